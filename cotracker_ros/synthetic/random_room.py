"""Small random rooms for test clips."""

from __future__ import annotations

import numpy as np

from cotracker_ros.synthetic import textures as tx
from cotracker_ros.synthetic.motion import Drift, HandHeld
from cotracker_ros.synthetic.patterns import random_colour
from cotracker_ros.synthetic.scene import Body, Lamp, Part, Scene, box, facing
from cotracker_ros.synthetic.surfaces import Patch, Sphere

_DENSITY = 300.0  # px/m: coarse textures, because test clips are small


def random_room(seed: int) -> Scene:
    """A corner of a room with random boxes standing about and two boxes and a ball that move."""
    rng = np.random.default_rng(seed)
    static = [
        Part(Patch(6, 6), facing((2, 0, 0), (0, 0, 1), (1, 0, 0)), tx.planks(rng, 6, 6, density=150)),
        Part(Patch(6, 3), facing((4, 0, 1.5), (-1, 0, 0)), tx.bricks(rng, 6, 3, density=150)),
    ]
    for _ in range(4):
        x, y = rng.uniform(3.3, 3.7), rng.uniform(-1.2, 1.2)
        size = rng.uniform([0.2, 0.2, 0.3], [0.5, 0.5, 1.1])
        static += box((x, y, size[2] / 2), tuple(size), _coat(rng), yaw=float(rng.uniform(0, 1.5)))
    # A post before the moving things, so that they are hidden for a while and come out again.
    static += box((1.1, float(rng.uniform(-0.25, 0.25)), 0.6), (0.08, 0.08, 1.2), _coat(rng), yaw=0.4)
    moving = []  # each in its own range of x, so that nothing collides
    for i, side in enumerate((-1.0, 1.0)):
        size = rng.uniform(0.28, 0.4, 3)
        position = (1.95 + 0.65 * i, side * float(rng.uniform(0.35, 0.7)), float(rng.uniform(0.6, 1.0)))
        velocity = (0.0, -side * float(rng.uniform(0.2, 0.5)), float(rng.uniform(-0.1, 0.2)))
        roll, pitch, turn = (float(v) for v in rng.uniform(-0.6, 0.6, 3))
        parts = tuple(box((0.0, 0.0, 0.0), tuple(size), _coat(rng)))
        moving.append(
            Body(f"box {i + 1}", parts, Drift(position, velocity, (0, 0, 0.5), (roll, pitch, turn)))
        )
    skin = tx.ball(rng, 0.18, _colours(rng), density=_DENSITY)
    ball = Part(Sphere(0.18), np.eye(4), skin)
    moving.append(Body("ball", (ball,), Drift((1.42, -0.3, 0.4), (0.0, 0.3, 0.1), rates=(0.5, 0.4, 0.2))))
    camera = HandHeld(
        (0.0, 0.0, 1.1), (2.6, 0.0, 0.7), (0.1, 0.3, 0.1), (0.1, 0.2, 0.1), phase=float(rng.uniform(0, 6.28))
    )
    return Scene((Body("room", tuple(static)), *moving), Lamp((0.5, 1.0, 2.6), (2.8, 0.0, 0.3)), camera)


def _coat(rng: np.random.Generator) -> tx.Texture:
    base, colours = random_colour(rng, 30, 240), _colours(rng)
    kind = int(rng.integers(4))
    if kind == 0:
        return tx.terrazzo(rng, 0.8, 0.8, base, colours, density=_DENSITY)
    if kind == 1:
        return tx.speckle(rng, 0.8, 0.8, base, colours, density=_DENSITY)
    if kind == 2:
        return tx.tiles(rng, 0.8, 0.8, colours, density=_DENSITY)
    return tx.carton(rng, 0.8, 0.8, base, colours, density=_DENSITY)


def _colours(rng: np.random.Generator) -> list[tx.Colour]:
    return [random_colour(rng, 30, 240) for _ in range(4)]
