"""The furnished workshop of the sample recording.

World: x away from the camera's starting side, y to the left, z up, origin on the floor.
"""

from __future__ import annotations

import numpy as np

from cotracker_ros.synthetic import textures as tx
from cotracker_ros.synthetic.motion import Drift, HandHeld, Keyframes, pose_matrix
from cotracker_ros.synthetic.patterns import Colour, random_colour
from cotracker_ros.synthetic.scene import Body, Lamp, Part, Scene, box, cylinder, facing
from cotracker_ros.synthetic.surfaces import Patch, Sphere

Rng = np.random.Generator
Triple = tuple[float, float, float]

RED: Colour = (188, 52, 44)
ORANGE: Colour = (232, 138, 46)
YELLOW: Colour = (240, 200, 84)
GREEN: Colour = (64, 128, 84)
TEAL: Colour = (42, 132, 140)
BLUE: Colour = (46, 84, 156)
NAVY: Colour = (34, 42, 78)
CREAM: Colour = (238, 226, 200)
GREY: Colour = (120, 124, 128)
DARK: Colour = (54, 56, 60)


def workshop(seed: int) -> Scene:
    """A furnished room with a driving cart, a parcel on a hoist, a rolling ball and a turning globe.

    The choreography takes 10 s and then repeats: the cart drives behind a pillar and comes back, the parcel
    is lifted from its stool, turned, carried past the table and set down again. The ball rolls across the
    room in the first 10 s and back in the next.
    """
    rng = np.random.default_rng(seed)
    static = [*_room(rng), *_bookcase(rng), *_table(rng), *_floor_things(rng)]
    bodies = (
        Body("room", tuple(static)),
        Body("cart", tuple(_cart(rng)), Keyframes(_CART)),
        Body("parcel", tuple(_parcel(rng)), Keyframes(_PARCEL)),
        Body("ball", tuple(_ball(rng)), Keyframes(_ball_path())),
        Body("globe", tuple(_globe(rng)), Drift((3.05, -0.78, 0.98), (0, 0, 0), (0.35, 0, 0), (0, 0, 0.45))),
    )
    camera = HandHeld((0.0, 0.0, 1.36), (2.7, 0.0, 0.74), (0.16, 0.40, 0.10), (0.1, 0.34, 0.10))
    return Scene(bodies, Lamp((0.8, -0.75, 2.55), (3.0, 0.1, 0.3)), camera)


def _room(rng: Rng) -> list[Part]:
    floor = tx.planks(rng, 5.0, 5.0, density=420, tone=0.02)
    back = tx.bricks(rng, 5.2, 2.7, density=380)
    left = tx.plaster(rng, 5.0, 2.7, colour=(176, 190, 186), density=320)
    right = tx.plaster(rng, 5.0, 2.7, colour=(206, 188, 160), density=320)
    parts = [
        Part(Patch(5.0, 5.0), facing((1.9, 0, 0), (0, 0, 1), (1, 0, 0)) @ _QUARTER, floor, gloss=0.10),
        Part(Patch(5.2, 2.7), facing((4.2, 0, 1.35), (-1, 0, 0)), back),
        Part(Patch(5.0, 2.7), facing((1.9, 2.35, 1.35), (0, -1, 0)), left),
        Part(Patch(5.0, 2.7), facing((1.9, -2.35, 1.35), (0, 1, 0)), right),
    ]
    skirting = tx.wood(rng, 1.2, 0.3, tone=-0.15)
    parts += box((4.18, 0, 0.05), (0.03, 4.7, 0.10), skirting)
    for centre, size in (((4.18, -0.62, 1.62), (0.62, 0.46)), ((4.18, -1.5, 1.55), (0.5, 0.66))):
        picture = tx.poster(rng, *size)
        parts += box(centre, (0.03, *size), picture, front=picture)
    for x, z, size in ((2.6, 1.35, (0.7, 0.5)), (3.5, 1.5, (0.45, 0.6))):
        picture = tx.poster(rng, *size)
        parts += _hung(picture, (x, 2.335, z), (0.0, -1.0, 0.0))
    parts += _hung(tx.page(rng, 0.42, 0.56, density=700), (2.9, -2.335, 1.45), (0.0, 1.0, 0.0))
    parts += _hung(tx.page(rng, 0.36, 0.5, density=700), (4.185, 0.28, 1.5), (-1.0, 0.0, 0.0))
    return parts


_QUARTER = pose_matrix((0, 0, 0), (0, 0, np.pi / 2))


def _hung(picture: tx.Texture, centre: Triple, normal: Triple) -> list[Part]:
    """A sheet that hangs just before a wall."""
    return [Part(Patch(picture.width, picture.height), facing(centre, normal), picture)]


def _bookcase(rng: Rng) -> list[Part]:
    board = tx.wood(rng, 1.4, 0.5, tone=0.05)
    back = tx.wood(rng, 1.2, 1.6, tone=-0.2)
    x, y, depth, width, height = 4.02, 1.32, 0.30, 1.05, 1.62
    parts = [Part(Patch(width, height), facing((4.165, y, height / 2), (-1, 0, 0)), back)]
    for side in (-1, 1):
        parts += box((x, y + side * width / 2, height / 2), (depth, 0.035, height), board)
    for level in range(5):
        parts += box((x, y, 0.05 + 0.385 * level), (depth, width, 0.03), board)
    for level in range(4):
        length = float(rng.uniform(0.55, 0.98))
        row = tx.book_spines(rng, length, 0.31)
        shift = (width - 0.04 - length) / 2 * (1 if level % 2 else -1)
        parts += box((x + 0.03, y + shift, 0.225 + 0.385 * level), (0.2, length, 0.31), board, front=row)
    tin = tx.carton(rng, 0.44, 0.16, TEAL, [YELLOW, RED])
    parts += cylinder((3.98, 1.62, 1.70), 0.07, 0.17, tin, lid=tx.speckle(rng, 0.14, 0.14, GREY, [DARK]))
    parcel = tx.carton(rng, 0.3, 0.24, (190, 150, 104), [RED, NAVY])
    parts += box((4.0, 1.15, 1.73), (0.2, 0.3, 0.22), parcel, yaw=0.2, front=parcel)
    return parts


def _table(rng: Rng) -> list[Part]:
    top = tx.wood(rng, 1.3, 0.75, tone=0.12)
    leg = _turned(tx.wood(rng, 0.7, 0.3, tone=-0.05))
    x, y = 3.15, -1.12
    parts = box((x, y, 0.72), (0.7, 1.3, 0.045), leg, top=_turned(top), gloss=0.06)
    for sx in (-1, 1):
        for sy in (-1, 1):
            parts += box((x + 0.29 * sx, y + 0.58 * sy, 0.35), (0.06, 0.06, 0.70), leg)
    z = 0.742
    for thick, yaw in ((0.05, 0.15), (0.035, -0.25), (0.045, 0.4)):
        cover = tx.page(rng, 0.21, 0.28, paper=random_colour(rng, 120, 240))
        edges = tx.speckle(rng, 0.3, 0.1, CREAM, [(190, 180, 160), GREY])
        parts += box((3.0, -1.22, z + thick / 2), (0.28, 0.21, thick), edges, yaw=yaw, top=cover)
        z += thick
    for cx, cy, size, base, accents, yaw in (
        (3.28, -1.05, (0.10, 0.22, 0.32), YELLOW, [RED, NAVY, TEAL], 0.25),
        (3.32, -1.40, (0.12, 0.20, 0.26), TEAL, [ORANGE, CREAM, NAVY], -0.2),
    ):
        packet = tx.carton(rng, size[1], size[2], base, accents)
        parts += box((cx, cy, 0.742 + size[2] / 2), size, packet, yaw=yaw, front=packet)
    coffee = tx.speckle(rng, 0.1, 0.1, (60, 38, 24), [DARK])
    mug = tx.tiles(rng, 0.25, 0.1, [NAVY, CREAM, YELLOW], tile=0.05)
    parts += cylinder((2.93, -1.55, 0.795), 0.042, 0.105, mug, lid=coffee)
    stand = tx.wood(rng, 0.5, 0.2, tone=-0.2)
    parts += cylinder((3.05, -0.78, 0.755), 0.09, 0.025, stand)
    parts += cylinder((3.05, -0.78, 0.80), 0.015, 0.10, stand)
    return parts


def _turned(texture: tx.Texture) -> tx.Texture:
    return tx.Texture(np.ascontiguousarray(np.rot90(texture.image)), texture.height, texture.width)


def _floor_things(rng: Rng) -> list[Part]:
    carpet = tx.rug(rng, 1.9, 1.25, [(132, 36, 40), NAVY, CREAM, ORANGE, (88, 24, 34), TEAL])
    edge = tx.speckle(rng, 0.3, 0.1, (132, 36, 40), [NAVY, CREAM])
    parts = box((2.35, 0.1, 0.006), (1.25, 1.9, 0.012), edge, top=carpet)
    chips = [DARK, (150, 92, 70), (206, 198, 184), TEAL, (96, 104, 110)]
    pillar = tx.terrazzo(rng, 0.85, 2.8, (164, 160, 152), chips)
    parts += cylinder((2.42, 0.62, 1.4), 0.125, 2.8, pillar)
    parts += cylinder((2.42, 0.62, 0.04), 0.17, 0.08, tx.wood(rng, 1.1, 0.1, tone=-0.15))
    crate = tx.planks(rng, 0.9, 0.6, density=800, tone=0.18)
    label = tx.carton(rng, 0.4, 0.36, (196, 158, 112), [NAVY, RED, GREEN])
    parts += box((1.60, -0.62, 0.18), (0.40, 0.40, 0.36), crate, yaw=0.45, front=label)
    stool = tx.tiles(rng, 0.4, 0.4, [BLUE, CREAM, YELLOW, (150, 190, 190)], tile=0.08)
    leg = _turned(tx.wood(rng, 0.5, 0.4))
    parts += box((2.45, -0.28, 0.37), (0.38, 0.38, 0.04), leg, top=stool)
    for sx in (-1, 1):
        for sy in (-1, 1):
            parts += box((2.45 + 0.15 * sx, -0.28 + 0.15 * sy, 0.175), (0.04, 0.04, 0.35), leg)
    return parts


# (seconds, x, y, z, roll, pitch, yaw)
_CART = (
    (0.0, 3.05, 1.45, 0.0, 0.0, 0.0, 0.0),
    (4.2, 2.95, -0.10, 0.0, 0.0, 0.0, 0.0),
    (5.6, 2.95, -0.10, 0.0, 0.0, 0.0, 0.7),
    (8.8, 3.05, 1.45, 0.0, 0.0, 0.0, 0.7),
    (10.0, 3.05, 1.45, 0.0, 0.0, 0.0, 0.0),
)

_PARCEL = (
    (0.0, 2.45, -0.28, 0.39, 0.0, 0.0, 0.35),
    (0.8, 2.45, -0.28, 0.39, 0.0, 0.0, 0.35),
    (2.6, 2.45, -0.28, 0.86, 0.05, 0.0, 0.8),
    (5.2, 2.35, -1.05, 0.92, 0.0, 0.08, 1.95),
    (7.6, 2.45, -0.28, 0.86, 0.0, 0.0, 0.35),
    (9.4, 2.45, -0.28, 0.39, 0.0, 0.0, 0.35),
    (10.0, 2.45, -0.28, 0.39, 0.0, 0.0, 0.35),
)

_BALL_RADIUS = 0.12


def _cart(rng: Rng) -> list[Part]:
    """A small robot that drives along y; its origin lies on the floor."""
    hull = tx.speckle(rng, 0.9, 0.5, ORANGE, [NAVY, CREAM, RED, DARK])
    deck = tx.tiles(rng, 0.34, 0.5, [DARK, YELLOW, GREY], tile=0.085)
    sign = tx.carton(rng, 0.44, 0.18, CREAM, [BLUE, RED])
    load = tx.carton(rng, 0.24, 0.26, (186, 146, 100), [GREEN, NAVY, RED])
    parts = box((0, 0, 0.17), (0.34, 0.5, 0.18), hull, front=sign, top=deck)
    parts += box((-0.02, 0.08, 0.39), (0.24, 0.26, 0.26), load, yaw=0.15, front=load, top=load)
    head = tx.tiles(rng, 0.35, 0.08, [NAVY, CREAM, RED], tile=0.04)
    mast = tx.speckle(rng, 0.2, 0.5, DARK, [YELLOW, CREAM])
    parts += cylinder((0.05, -0.17, 0.44), 0.025, 0.36, mast)
    parts += cylinder((0.05, -0.17, 0.65), 0.055, 0.08, head)
    hub = tx.speckle(rng, 0.16, 0.16, GREY, [DARK, YELLOW, CREAM])
    tyre = tx.speckle(rng, 0.5, 0.06, DARK, [GREY, (30, 30, 32)])
    for y in (-0.15, 0.15):
        for x in (-0.16, 0.16):
            parts += cylinder((x, y, 0.08), 0.08, 0.05, tyre, lid=hub, angles=(0.0, np.pi / 2, 0.0))
    return parts


def _parcel(rng: Rng) -> list[Part]:
    """A packet on a hoist; its origin is the middle of its bottom."""
    faces = [tx.carton(rng, 0.34, 0.26, base, accents) for base, accents in _PACKETS]
    lid = tx.page(rng, 0.24, 0.34)
    parts = box((0, 0, 0.13), (0.24, 0.34, 0.26), faces[0], front=faces[1], top=lid)
    # The face away from the camera gets its own print too: the parcel is turned round.
    parts[1] = Part(parts[1].surface, parts[1].pose, faces[2])
    rope = tx.speckle(rng, 0.1, 1.0, CREAM, [DARK, GREY])
    parts += cylinder((0, 0, 1.26), 0.008, 2.0, rope)
    parts += box((0, 0, 0.27), (0.05, 0.16, 0.03), tx.speckle(rng, 0.3, 0.2, GREY, [DARK, YELLOW]))
    return parts


_PACKETS: tuple[tuple[Colour, list[Colour]], ...] = (
    ((90, 130, 170), [YELLOW, RED, CREAM]),
    ((196, 80, 64), [CREAM, NAVY, YELLOW]),
    ((84, 144, 104), [ORANGE, CREAM, NAVY]),
)


def _ball(rng: Rng) -> list[Part]:
    skin = tx.ball(rng, _BALL_RADIUS, [RED, CREAM, BLUE, YELLOW])
    return [Part(Sphere(_BALL_RADIUS), np.eye(4), skin, gloss=0.25)]


def _globe(rng: Rng) -> list[Part]:
    return [Part(Sphere(0.14), np.eye(4), tx.globe(rng, 0.14), gloss=0.15)]


def _ball_path() -> tuple[tuple[float, float, float, float, float, float, float], ...]:
    """Roll along y without slipping: a turn about x by distance / radius."""
    x, z = 2.03, _BALL_RADIUS + 0.012
    stops = ((0.0, -1.6), (9.5, 1.35), (10.0, 1.35), (19.5, -1.6), (20.0, -1.6))
    return tuple((t, x, y, z, -(y + 1.6) / _BALL_RADIUS, 0.0, 0.0) for t, y in stops)
