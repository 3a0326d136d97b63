"""Points in a room, seen by a camera that moves through it: exact truth for tests of ego-motion."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from cotracker_ros.reconstruction.ego_types import CameraPoints
from cotracker_ros.reconstruction.poses import invert_pose, transform_points
from cotracker_ros.reconstruction.rigid import moved

FOCAL = 500.0
HALF = np.array([320.0, 240.0])
PERIOD = 33_333_333
START = 1_700_000_000_000_000_000


def swaying(seconds: float) -> np.ndarray:
    """Return the pose of a camera that is carried about by hand; the identity at 0 s."""
    t = seconds
    shift = [0.3 * np.sin(0.9 * t), 0.1 * np.sin(1.3 * t), 0.25 * (1 - np.cos(0.7 * t))]
    turn = [0.06 * np.sin(1.1 * t), 0.25 * np.sin(0.6 * t), 0.05 * np.sin(0.8 * t)]
    return moved(np.eye(4), [*shift, *turn])


def advancing(seconds: float) -> np.ndarray:
    """Return the pose of a camera that looks sideways and drives on at 0.5 m/s."""
    return moved(np.eye(4), [0.5 * seconds, 0, 0, 0, 0.05 * np.sin(seconds), 0])


def still(seconds: float) -> np.ndarray:
    return np.eye(4)


class Room:
    """A cloud of points that may move, and what a depth camera says of them.

    Args:
        count: Points in the room, most of them out of view when it is long.
        length: Of the room along x, m.
        seed: Of everything.
        pixel: Noise of the tracks, px.
        depth: Noise of the depth at 1 m, m; it grows with the square.
    """

    def __init__(self, count=300, length=4.0, seed=0, pixel=0.5, depth=0.002):
        self.rng = np.random.default_rng(seed)
        low, high = np.array([-length / 2, -1.2, 1.0]), np.array([length / 2, 1.2, 4.0])
        self.points = self.rng.uniform(low, high, (count, 3))
        self.pixel, self.depth = pixel, depth
        self.ids = np.arange(count, dtype=np.uint32) + 1
        self.lost = np.zeros(count, dtype=bool)
        self.next = count + 1

    def see(self, pose, k, points=None, share_lost=0.0) -> CameraPoints:
        """Return what is measured in image `k` from `pose`; tracks that leave the view are lost for good."""
        world = self.points if points is None else points
        local = transform_points(invert_pose(pose), world)
        z = np.where(local[:, 2] > 0.1, local[:, 2], np.nan)
        sigma = self.depth * z**2
        uv = local[:, :2] / z[:, None] * FOCAL
        with np.errstate(invalid="ignore"):
            visible = (np.abs(uv) < HALF).all(axis=1)
        self.lost |= self.rng.random(len(z)) < share_lost
        # A point that comes back, or is lost, is another track from then on.
        fresh = visible & self.lost
        self.ids[fresh] = np.arange(self.next, self.next + fresh.sum())
        self.next += int(fresh.sum())
        self.lost = ~visible
        uv = uv + self.rng.normal(0, self.pixel, uv.shape)
        deep = z + sigma * self.rng.normal(size=len(z))
        xyz = np.column_stack([uv / FOCAL * deep[:, None], deep])
        xyz[~visible] = np.nan
        return CameraPoints(
            stamp=START + k * PERIOD,
            epoch=0,
            ids=self.ids[visible].copy(),
            xyz=xyz[visible],
            sigma=sigma[visible],
            image_sigma=max(self.pixel, 0.05) / FOCAL,
            moving=np.zeros(visible.sum(), dtype=bool),
        )


def film(
    room: Room, path: Callable[[float], np.ndarray], images: int, **kwargs
) -> Iterator[tuple[np.ndarray, CameraPoints]]:
    """Yield the true pose and what is seen, image by image."""
    for k in range(images):
        pose = path(k / 30)
        yield pose, room.see(pose, k, **kwargs)


def every_track(room: Room, pose, k: int, world, first: int) -> CameraPoints:
    """Return what is seen of points whose tracks never end, with a row for each of them."""
    count = len(world)
    room.ids, room.lost = np.arange(first, first + count, dtype=np.uint32), np.zeros(count, bool)
    seen = room.see(pose, k, points=world)
    rows = seen.ids - first
    xyz, sigma = np.full((count, 3), np.nan), np.ones(count)
    xyz[rows], sigma[rows] = seen.xyz, seen.sigma
    return replace(seen, ids=room.ids.copy(), xyz=xyz, sigma=sigma, moving=np.zeros(count, bool))


def joined(one: CameraPoints, two: CameraPoints) -> CameraPoints:
    """Return the tracks of both."""
    both = {
        name: np.concatenate([getattr(one, name), getattr(two, name)]) for name in ("ids", "xyz", "sigma")
    }
    return replace(one, **both, moving=np.zeros(len(both["ids"]), bool))
