"""The scenes of the rendered sequences beside the workshop itself.

World: x away from the camera's starting side, y to the left, z up, origin on the floor.
"""

from __future__ import annotations

import numpy as np

from cotracker_ros.synthetic import textures as tx
from cotracker_ros.synthetic.motion import HandHeld, Keyframes
from cotracker_ros.synthetic.patterns import Colour
from cotracker_ros.synthetic.scene import Body, Lamp, Part, Scene, box, cylinder, facing
from cotracker_ros.synthetic.surfaces import Patch
from cotracker_ros.synthetic.workshop import workshop

NAVY: Colour = (34, 42, 78)
CREAM: Colour = (238, 226, 200)
RED: Colour = (188, 52, 44)
TEAL: Colour = (42, 132, 140)
YELLOW: Colour = (240, 200, 84)
GREY: Colour = (120, 124, 128)
ORANGE: Colour = (232, 138, 46)

_DENSITY = 400.0  # px/m


def furnished_room(seed: int) -> Scene:
    """The room of the workshop without anything that moves."""
    scene = workshop(seed)
    return Scene(scene.bodies[:1], scene.lamp, scene.camera)


def crowded(seed: int) -> Scene:
    """The room, while two boards as high as the view are carried through it close to the camera.

    From 2.5 to 7.5 s they cover more than half of the view, together up to nine tenths.
    """
    scene = furnished_room(seed)
    rng = np.random.default_rng([seed, 1])
    left = tx.terrazzo(rng, 1.5, 1.7, CREAM, [NAVY, RED, TEAL, GREY], density=_DENSITY)
    right = tx.tiles(rng, 1.5, 1.7, [TEAL, CREAM, ORANGE, NAVY], tile=0.11, density=_DENSITY)
    wood = tx.wood(rng, 1.7, 0.1, tone=-0.1)
    boards = (
        Body("left board", tuple(box((0, 0, 0), (0.04, 1.3, 1.7), wood, front=left)), Keyframes(_LEFT)),
        Body("right board", tuple(box((0, 0, 0), (0.04, 1.3, 1.7), wood, front=right)), Keyframes(_RIGHT)),
    )
    return Scene((*scene.bodies, *boards), scene.lamp, scene.camera)


# (seconds, x, y, z, roll, pitch, yaw)
_LEFT = (
    (0.0, 1.75, 2.05, 1.05, 0.0, 0.0, 0.0),
    (1.5, 1.75, 2.05, 1.05, 0.0, 0.0, 0.0),
    (4.0, 1.70, 0.62, 1.05, 0.05, 0.0, 0.15),
    (6.0, 1.75, 0.75, 1.10, -0.05, 0.0, 0.05),
    (9.0, 1.75, 2.05, 1.05, 0.0, 0.0, 0.0),
    (10.0, 1.75, 2.05, 1.05, 0.0, 0.0, 0.0),
)
_RIGHT = (
    (0.0, 1.50, -1.85, 1.25, 0.0, 0.0, 0.0),
    (1.5, 1.50, -1.85, 1.25, 0.0, 0.0, 0.0),
    (4.5, 1.50, -0.55, 1.27, 0.0, 0.0, -0.10),
    (6.5, 1.55, -0.50, 1.24, 0.06, 0.0, -0.15),
    (9.5, 1.50, -1.85, 1.25, 0.0, 0.0, 0.0),
    (10.0, 1.50, -1.85, 1.25, 0.0, 0.0, 0.0),
)


def occlusion(seed: int) -> Scene:
    """A partition in a bare hall; a box and a drum pass behind it and are hidden whole for a while.

    The box moves on steadily and is hidden for a second; the drum rests there and is hidden for four.
    """
    rng = np.random.default_rng(seed)
    static = [
        Part(Patch(6, 6), facing((2, 0, 0), (0, 0, 1), (1, 0, 0)), tx.planks(rng, 6, 6, density=250)),
        Part(Patch(6, 3), facing((4.2, 0, 1.5), (-1, 0, 0)), tx.bricks(rng, 6, 3, density=250)),
        Part(Patch(6, 3), facing((2, 2.4, 1.5), (0, -1, 0)), tx.bricks(rng, 6, 3, density=250)),
        Part(Patch(6, 3), facing((2, -2.4, 1.5), (0, 1, 0)), tx.bricks(rng, 6, 3, density=250)),
    ]
    screen = tx.terrazzo(rng, 0.9, 1.5, GREY, [NAVY, CREAM, TEAL, RED], density=_DENSITY)
    static += box((1.75, 0.0, 0.72), (0.06, 0.72, 1.44), screen, front=screen)
    for x, y in ((3.6, 1.5), (3.7, -1.3), (3.2, -1.9)):
        coat = tx.speckle(rng, 0.8, 0.8, CREAM, [NAVY, TEAL, ORANGE, RED], density=_DENSITY)
        static += box((x, y, 0.4), (0.4, 0.4, 0.8), coat, yaw=float(rng.uniform(0, 1.5)))
    parcel = tx.carton(rng, 0.45, 0.4, (196, 158, 112), [NAVY, RED, TEAL], density=_DENSITY)
    drum = tx.tiles(rng, 1.3, 0.5, [NAVY, CREAM, YELLOW, RED], tile=0.08, density=_DENSITY)
    lid = tx.speckle(rng, 0.4, 0.4, GREY, [NAVY, YELLOW], density=_DENSITY)
    moving = (
        Body("box", tuple(box((0, 0, 0.2), (0.4, 0.45, 0.4), parcel, front=parcel)), Keyframes(_BOX)),
        Body("drum", tuple(cylinder((0, 0, 0.25), 0.2, 0.5, drum, lid=lid)), Keyframes(_DRUM)),
    )
    camera = HandHeld((0.0, 0.0, 1.25), (2.6, 0.0, 0.62), (0.10, 0.16, 0.08), (0.08, 0.2, 0.08))
    return Scene((Body("hall", tuple(static)), *moving), Lamp((0.4, 0.7, 2.6), (2.6, 0.0, 0.3)), camera)


_BOX = (
    (0.0, 2.35, 1.30, 0.0, 0.0, 0.0, 0.1),
    (0.5, 2.35, 1.30, 0.0, 0.0, 0.0, 0.1),
    (6.5, 2.45, -1.15, 0.0, 0.0, 0.0, 0.5),
    (7.0, 2.45, -1.15, 0.0, 0.0, 0.0, 0.5),
    (14.0, 2.35, 1.30, 0.0, 0.0, 0.0, 0.1),
)
_DRUM = (
    (0.0, 3.05, -1.30, 0.0, 0.0, 0.0, 0.0),
    (1.0, 3.05, -1.30, 0.0, 0.0, 0.0, 0.0),
    (4.5, 3.05, 0.02, 0.0, 0.0, 0.0, 1.2),
    (5.5, 3.05, 0.02, 0.0, 0.0, 0.0, 1.2),
    (8.5, 2.95, 1.25, 0.0, 0.0, 0.0, 2.4),
    (10.0, 2.95, 1.25, 0.0, 0.0, 0.0, 2.4),
)
