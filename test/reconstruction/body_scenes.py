"""Simulated scenes of tracks on moving bodies, seen by an RGB-D camera, with exact poses."""

from dataclasses import dataclass, field

import numpy as np

from cotracker_ros.reconstruction.rigid import difference, moved, rotation_exp
from cotracker_ros.reconstruction.types import DepthSource, Tracks3D

PIXEL = 1 / 525  # rad
RATE = 30.0


def pose(x=0.0, y=0.0, z=0.0, rx=0.0, ry=0.0, rz=0.0):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_exp([rx, ry, rz])
    matrix[:3, 3] = x, y, z
    return matrix


def moving(start, velocity=(0, 0, 0), turn=(0, 0, 0)):
    """A pose as a function of time: constant velocity of the origin and constant angular velocity."""
    return lambda t: moved(start, np.concatenate([np.multiply(velocity, t), np.multiply(turn, t)]))


def steps(start, *parts):
    """A pose as a function of time, of parts (until when, velocity, angular velocity)."""

    def at(t):
        now, since = start, 0.0
        for until, velocity, turn in parts:
            span = min(t, until) - since
            if span <= 0:
                break
            now = moved(now, np.concatenate([np.multiply(velocity, span), np.multiply(turn, span)]))
            since = until
        return now

    return at


def always(t):
    return True


@dataclass
class Thing:
    """Points on a body.

    Attributes:
        pose: Pose in the fixed frame as a function of time, s.
        points: (N, 3) in its frame, m.
        visible: Whether all its points are seen, or (N,) which, as a function of time.
        label: Label of its tracks.
    """

    pose: object
    points: np.ndarray
    visible: object = always
    label: str = ""


def box_points(count, size=0.3, seed=0):
    return np.random.default_rng([7, seed]).uniform(-size / 2, size / 2, (count, 3))


@dataclass
class World:
    """A scene.

    Attributes:
        things: Moving bodies.
        static: Number of static points.
        outliers: Number of tracks that slip about by themselves.
        noise: Times the sensor's noise.
        correlation: Of a track's error with that in the last image.
        camera: Pose of the camera as a function of time.
        rate: Images per second.
        claimed: Standard deviation that measurements claim, as a multiple of the true one.
        mistake: Error of the camera's pose in the fixed frame, as a function of time.
    """

    things: list = field(default_factory=list)
    static: int = 80
    outliers: int = 0
    noise: float = 1.0
    correlation: float = 0.0
    camera: object = moving(pose())
    rate: float = RATE
    seed: int = 0
    quadratic: float = 0.0019
    claimed: float = 1.0
    mistake: object = moving(pose())

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)
        self.room = self.rng.uniform((-1.8, -1.2, 1.5), (1.8, 1.2, 4.0), (self.static, 3))
        self.slips = self.rng.uniform((-1.5, -1.0, 1.2), (1.5, 1.0, 3.0), (self.outliers, 3))
        self.slip_speed = self.rng.normal(0, 0.3, (self.outliers, 3))
        sizes = [self.static, self.outliers, *(len(thing.points) for thing in self.things)]
        # -2 static, -1 outlier, else the thing
        self.owner = np.repeat(np.arange(len(sizes)) - 2, sizes)
        self.ids = np.arange(1, len(self.owner) + 1, dtype=np.uint32)
        labels = ["", "", *(thing.label for thing in self.things)]
        self.labels = tuple(labels[k + 2] for k in self.owner)
        self.error = self.rng.standard_normal((len(self.ids), 3))

    def stamp(self, frame):
        return 1_000_000_000 + round(frame * 1e9 / self.rate)

    def truth(self, frame):
        """(N, 3) exact positions and (N,) what is seen."""
        t = frame / self.rate
        self.slip_speed += self.rng.normal(0, 0.2, self.slip_speed.shape)
        self.slips = self.slips + self.slip_speed / self.rate
        xyz, seen = [self.room, self.slips], [np.ones(self.static + self.outliers, bool)]
        for thing in self.things:
            matrix = thing.pose(t)
            xyz.append(thing.points @ matrix[:3, :3].T + matrix[:3, 3])
            seen.append(np.broadcast_to(thing.visible(t), (len(thing.points),)))
        return np.concatenate(xyz), np.concatenate(seen)

    def tracks(self, frame, epoch=0):
        """The tracks of an image as the lifter would measure them, in the fixed frame, and the camera."""
        xyz, seen = self.truth(frame)
        camera = self.camera(frame / self.rate)
        local = (xyz - camera[:3, 3]) @ camera[:3, :3]
        z = local[:, 2]
        sigma = 0.0012 + self.quadratic * np.maximum(z - 0.4, 0) ** 2
        fresh = self.rng.standard_normal(local.shape)
        self.error = self.correlation * self.error + np.sqrt(1 - self.correlation**2) * fresh
        scale = self.noise * np.stack([z * PIXEL, z * PIXEL, sigma], axis=1)
        rays = local / z[:, None]
        local = local + self.error * scale * (1, 1, 0) + rays * (self.error * scale)[:, 2:]
        measured = local @ camera[:3, :3].T + camera[:3, 3]
        measured = np.where(seen[:, None], measured, xyz)  # held somewhere
        mistake = self.mistake(frame / self.rate)
        measured, camera = measured @ mistake[:3, :3].T + mistake[:3, 3], mistake @ camera
        count = len(xyz)
        tracks = Tracks3D(
            frame=frame,
            stamp=self.stamp(frame),
            epoch=epoch,
            frame_id="odom",
            ids=self.ids,
            xyz=measured.astype(np.float32),
            velocity=np.full((count, 3), np.nan, np.float32),
            sigma=np.maximum(self.claimed * self.noise * sigma * np.linalg.norm(rays, axis=1), 1e-4).astype(
                np.float32
            ),
            source=np.where(seen, DepthSource.MEASURED, DepthSource.HELD).astype(np.uint8),
            motion=np.zeros(count, np.uint8),
            flags=np.zeros(count, np.uint8),
            rgb=np.zeros((count, 3), np.uint8),
            labels=self.labels,
        )
        return tracks, camera

    def purity(self, body):
        """Thing that most members of a body are on, and the part of them that are."""
        owners = self.owner[np.asarray(body.members, int) - 1]
        names, counts = np.unique(owners, return_counts=True)
        return int(names[np.argmax(counts)]), float(counts.max() / counts.sum())

    def of(self, bodies, thing):
        """The bodies most of whose members are on a thing."""
        return [body for body in bodies.bodies if self.purity(body)[0] == thing]


@dataclass
class Follower:
    """Compares the poses of one body with the truth, from where it is first told."""

    world: World
    thing: int
    first: object = None
    errors: list = field(default_factory=list)
    nees: list = field(default_factory=list)
    twist_errors: list = field(default_factory=list)
    twist_nees: list = field(default_factory=list)
    ids: list = field(default_factory=list)
    frames: list = field(default_factory=list)

    def see(self, bodies, frame):
        found = self.world.of(bodies, self.thing)
        if not found:
            return None
        body = found[0]
        now = self.world.things[self.thing].pose(frame / self.world.rate)
        if self.first is None or self.first[0] != body.id:
            self.first = (body.id, np.linalg.inv(now) @ body.pose)
        truth = now @ self.first[1]
        error = difference(body.pose, truth)
        ahead = self.world.things[self.thing].pose((frame + 1e-3) / self.world.rate) @ self.first[1]
        twist = difference(ahead, truth) * self.world.rate * 1e3
        off = body.twist - twist
        self.errors.append(error)
        self.nees.append(float(error @ np.linalg.solve(body.covariance, error)))
        self.twist_errors.append(off)
        self.twist_nees.append(float(off @ np.linalg.solve(body.twist_covariance, off)))
        self.ids.append(body.id)
        self.frames.append(frame)
        return body


def run(world, tracker, frames, *followers, start=0):
    """Run frames and return all results."""
    results = []
    for frame in range(start, start + frames):
        tracks, camera = world.tracks(frame)
        bodies = tracker.update(tracks, camera)
        for follower in followers:
            follower.see(bodies, frame)
        results.append(bodies)
    return results
