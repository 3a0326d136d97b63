"""What a scene is made of: textured surfaces on rigid bodies that move, a lamp, a camera path.

Convention: the world has z up; lengths are metres. Body 0 is the static world.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.synthetic.motion import Matrix, Motion, Still, invert, pose_matrix
from cotracker_ros.synthetic.surfaces import Patch, Surface, Tube
from cotracker_ros.synthetic.textures import Texture

Window = tuple[float, float, float, float]
WHOLE: Window = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion; pixel (0, 0) is the centre of the first pixel."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or self.fx <= 0 or self.fy <= 0:
            raise ValueError(
                f"a camera needs a positive size and focal length, got {self.width}x{self.height} px "
                f"and {self.fx}, {self.fy} px; give positive numbers"
            )

    @classmethod
    def centred(cls, width: int, height: int, *, focal: float) -> Intrinsics:
        """Return a camera with square pixels whose axis meets the middle of the image."""
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    @property
    def matrix(self) -> Matrix:
        """(3, 3) K."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    def refined(self, factor: int) -> Intrinsics:
        """Return the same view with `factor` times as many pixels along each axis."""
        cx, cy = ((c + 0.5) * factor - 0.5 for c in (self.cx, self.cy))
        return Intrinsics(
            self.width * factor, self.height * factor, self.fx * factor, self.fy * factor, cx, cy
        )

    def project(self, xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (..., 2) pixels of (..., 3) points in the optical frame; NaN behind the camera."""
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(xyz[..., 2] > 0, xyz[..., 2], np.nan)
            x, y = self.fx * xyz[..., 0] / z + self.cx, self.fy * xyz[..., 1] / z + self.cy
        return np.stack([x, y], axis=-1)


@dataclass(frozen=True, eq=False)
class Part:
    """A textured surface at a fixed place on its body.

    Attributes:
        surface: The shape.
        pose: (4, 4) body from surface.
        texture: What it is covered with.
        window: The part of the texture used (left, top, right, bottom), fractions.
        gloss: Strength of the lamp's reflection, 0 for matt.
    """

    surface: Surface
    pose: Matrix
    texture: Texture
    window: Window = WHOLE
    gloss: float = 0.0


@dataclass(frozen=True, eq=False)
class Body:
    """Parts that move together."""

    name: str
    parts: tuple[Part, ...]
    motion: Motion = field(default_factory=Still)


@dataclass(frozen=True)
class Lamp:
    """A lamp that throws shadows, and the light that comes from everywhere (RGB, 1 = full brightness)."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    colour: tuple[float, float, float] = (1.0, 0.94, 0.84)
    ambient: tuple[float, float, float] = (0.40, 0.43, 0.48)
    reach: float = 3.0  # distance at which the lamp has its nominal brightness, m


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything there is to see, and who looks at it.

    Attributes:
        bodies: Body 0 does not move.
        lamp: The light.
        camera: World from optical frame over time.
    """

    bodies: tuple[Body, ...]
    lamp: Lamp
    camera: Motion

    def __post_init__(self) -> None:
        if not self.bodies or not isinstance(self.bodies[0].motion, Still):
            raise ValueError("the first body of a scene must be the static world; put moving bodies after it")

    @property
    def parts(self) -> list[tuple[int, Part]]:
        """All parts with the index of their body, in the order of the renderer's part indices."""
        return [(i, part) for i, body in enumerate(self.bodies) for part in body.parts]

    def body_poses(self, seconds: float) -> Matrix:
        """Return (B, 4, 4) world from body."""
        return np.stack([body.motion.pose(seconds) for body in self.bodies])

    def surfaces_from(self, frame: Matrix, seconds: float) -> Matrix:
        """Return (P, 4, 4) surface from `frame` (a world pose) for every part."""
        bodies = self.body_poses(seconds)
        return np.stack([invert(bodies[i] @ part.pose) @ frame for i, part in self.parts])


def facing(centre: Iterable[float], normal: Iterable[float], up: Iterable[float] = (0, 0, 1)) -> Matrix:
    """Return the pose of a `Patch` at `centre` that is seen from where `normal` points; `up` is its top."""
    z = -np.asarray(list(normal), dtype=np.float64)
    y = -np.asarray(list(up), dtype=np.float64)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([np.cross(y, z), y, z], axis=1)
    pose[:3, 3] = list(centre)
    return pose


def box(
    centre: tuple[float, float, float],
    size: tuple[float, float, float],
    texture: Texture,
    *,
    yaw: float = 0.0,
    top: Texture | None = None,
    front: Texture | None = None,
    gloss: float = 0.0,
) -> list[Part]:
    """Return the six faces of a box.

    Args:
        centre: Middle of the box, m.
        size: Lengths along x, y, z, m.
        texture: Covers all faces, each with another part of the texture at the same scale.
        yaw: Turn about z, rad.
        top: Texture of the upper face, whole.
        front: Texture of the face towards -x (before the turn), whole.
        gloss: See `Part`.
    """
    sx, sy, sz = (float(length) for length in size)  # NumPy scalars would turn the pictures into float64
    place = pose_matrix(centre, (0.0, 0.0, yaw))
    faces = [
        ((-1, 0, 0), (0, 0, 1), sy, sz, front),
        ((1, 0, 0), (0, 0, 1), sy, sz, None),
        ((0, -1, 0), (0, 0, 1), sx, sz, None),
        ((0, 1, 0), (0, 0, 1), sx, sz, None),
        ((0, 0, 1), (1, 0, 0), sy, sx, top),
        ((0, 0, -1), (1, 0, 0), sy, sx, None),
    ]
    parts = []
    for i, (normal, up, width, height, own) in enumerate(faces):
        middle = np.array(normal) * np.array(size) / 2
        window = WHOLE if own else _window(texture, width, height, i)
        pose = place @ facing(middle, normal, up)
        parts.append(Part(Patch(width, height), pose, own or texture, window, gloss))
    return parts


def cylinder(
    centre: tuple[float, float, float],
    radius: float,
    height: float,
    texture: Texture,
    *,
    lid: Texture | None = None,
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
    gloss: float = 0.0,
) -> list[Part]:
    """Return mantle and both lids of a cylinder along z (before the turn by `angles`: roll, pitch, yaw)."""
    place = pose_matrix(centre, angles)
    parts = [Part(Tube(radius, height), place, texture, WHOLE, gloss)]
    for side in (1.0, -1.0):
        pose = place @ facing((0, 0, side * height / 2), (0, 0, side), (1, 0, 0))
        cover = lid or texture
        parts.append(Part(Patch(2 * radius, 2 * radius, round=True), pose, cover, WHOLE, gloss))
    return parts


def _window(texture: Texture, width: float, height: float, index: int) -> Window:
    """Cut the piece for one face at the texture's own scale; shrink the scale where the face is too large."""
    w, h = width / texture.width, height / texture.height
    shrink = max(w, h, 1.0)
    w, h = w / shrink, h / shrink
    # Golden-ratio steps spread the pieces, so that faces of one object do not look alike.
    left, top = ((0.618 * index) % 1.0) * (1 - w), ((0.382 * index) % 1.0) * (1 - h)
    return (left, top, left + w, top + h)
