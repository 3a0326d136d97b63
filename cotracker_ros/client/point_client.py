"""The client of the tracker and the lifter: verbs of a robot's program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from cotracker_ros.client import answers
from cotracker_ros.client.answers import BodyPose, Position
from cotracker_ros.client.background import BackgroundNode
from cotracker_ros.client.errors import ClientError
from cotracker_ros.client.memory import Feed, Memory
from cotracker_ros.client.services import TrackerServices
from cotracker_ros.client.target import Box, Target, What
from cotracker_ros.messages import bodies_from_message, to_ros, tracks3d_from_message, tracks_from_message
from cotracker_ros.msg import RigidBodyArray, Track3DArray, TrackArray
from cotracker_ros.nodes.qos import LATCHED, RESULTS
from cotracker_ros.nodes.transforms import listen
from cotracker_ros.reconstruction import Tracks3D
from cotracker_ros.srv import AddPoints, AddRegion, RemoveTracks
from cotracker_ros.tracking.types import Tracks

Value = TypeVar("Value")

_TRANSFORMS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class PointClient:
    """Follows points by a tracker node and tells where they are by a lifter node.

    It works beside your program in a node and a thread of its own, so that its methods may wait anywhere,
    callbacks of your node included. All methods may be called from any thread, and raise `ClientError` with
    one sentence where there is no answer. Tracks are named by a label, an id or several ids.

    Args:
        node: Your node, whose context, namespace and remapped topics it shares; you spin it, or not. None:
            ROS is initialised if it is not yet.
        tracker: Name of the tracker node, or "tracker/CAMERA" where it has several cameras.
        lifter: Name of the lifter node.
        timeout: s that services may take to appear and to answer.
    """

    def __init__(
        self,
        node: Node | None = None,
        *,
        tracker: str = "tracker",
        lifter: str = "lifter",
        timeout: float = 5.0,
    ) -> None:
        self._timeout = timeout
        self._feed = Feed()
        self._updates_seen = 0
        self._background = BackgroundNode(f"{node.get_name()}_points" if node else "point_client", node)
        own = self._background.node
        self._services = TrackerServices(own, tracker, timeout)
        self._transforms = listen(own)
        self._listen(TrackArray, f"{tracker}/tracks", lambda m: tracks_from_message(m)[0], Memory.put_tracks)
        self._listen(Track3DArray, f"{lifter}/tracks_3d", tracks3d_from_message, Memory.put_tracks_3d)
        self._listen(RigidBodyArray, f"{lifter}/bodies", bodies_from_message, Memory.put_bodies)
        for topic, qos in (("/tf", _TRANSFORMS), ("/tf_static", LATCHED)):
            # After those of `listen`, so that what came is known when those who wait for it ask again.
            own.create_subscription(TFMessage, topic, lambda _: self._feed.look_again(), qos, raw=True)
        self._background.start(lambda: self._feed.close("the client is closed: ROS was shut down"))

    def close(self) -> None:
        """End the client's thread and node; whoever waits gets a `ClientError`. May be called again."""
        self._feed.close("the client is closed")
        self._background.close()

    def __enter__(self) -> PointClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def track_points(self, points: ArrayLike, label: str = "") -> NDArray[np.uint32]:
        """Follow points of the newest image from now on; before the first image they are kept for it.

        Args:
            points: (N, 2) positions x, y, px; pixel (0, 0) is the centre of the first pixel.
            label: Their label.

        Returns:
            (N,) lasting ids.

        Raises:
            ClientError: The tracker cannot be reached or refuses.
        """
        xy = np.asarray(points, np.float32)
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise ClientError(f"points of shape {xy.shape} were given; give one row x, y per point")
        return self._added(AddPoints.Request(x=xy[:, 0].tolist(), y=xy[:, 1].tolist(), labels=[label]))

    def track_box(
        self, x: float, y: float, width: float, height: float, *, count: int = 30, label: str = ""
    ) -> NDArray[np.uint32]:
        """Follow points spread over a box of the newest image, waiting for the first image if need be.

        Args:
            x: Left edge, px.
            y: Top edge, px.
            width: px.
            height: px.
            count: About so many points.
            label: Their label.

        Returns:
            (N,) lasting ids.

        Raises:
            ClientError: The tracker cannot be reached or refuses.
        """
        _check_count(count)
        box = {"x": float(x), "y": float(y), "width": float(width), "height": float(height)}
        return self._added(AddRegion.Request(shape=AddRegion.Request.BOX, count=count, label=label, **box))

    def track_mask(self, mask: ArrayLike, *, count: int = 30, label: str = "") -> NDArray[np.uint32]:
        """Follow points spread over a mask of the newest image, waiting for the first image if need be.

        Args:
            mask: (H, W) of the image's size; points are put where it is not 0.
            count: About so many points.
            label: Their label.

        Returns:
            (N,) lasting ids.

        Raises:
            ClientError: The tracker cannot be reached or refuses.
        """
        _check_count(count)
        pixels = np.asarray(mask)
        if pixels.ndim != 2:
            raise ClientError(f"a mask of shape {pixels.shape} was given; give (height, width)")
        height, width = pixels.shape
        image = {"height": height, "width": width, "encoding": "mono8", "step": width}
        data = ((pixels != 0) * np.uint8(255)).reshape(-1)
        request = AddRegion.Request(shape=AddRegion.Request.MASK, count=count, label=label)
        request.mask = to_ros(Image, {**image, "data": data})
        return self._added(request)

    def forget(self, what: What) -> None:
        """Stop following tracks.

        Raises:
            ClientError: The tracker cannot be reached or does not know them.
        """
        target = Target.of(what)
        labels = [target.label] if target.label else []
        response = self._services.call(RemoveTracks.Request(ids=list(target.ids), labels=labels))
        if not response.success:
            raise ClientError(response.message)

    def forget_all(self) -> None:
        """Stop following everything.

        Raises:
            ClientError: The tracker cannot be reached.
        """
        self._services.call(RemoveTracks.Request(all=True))

    def wait_until_visible(self, what: What, timeout: float = 5.0, *, share: float = 0.5) -> bool:
        """Wait until at least a share of the tracks is visible; False if that does not happen in time.

        Raises:
            ClientError: After `timeout` s there are still no such tracks, or no images come.
        """
        target = Target.of(what)

        def visible(memory: Memory, now: float) -> bool:
            return answers.visible_share(memory, target, now) >= share

        return self._until(visible, timeout)

    def seen_in(self, box: Box) -> NDArray[np.uint32]:
        """Return the ids of the visible tracks in a part of the newest image.

        Args:
            box: Left, top, width and height, px.

        Raises:
            ClientError: No images come.
        """
        return self._feed.ask(lambda memory, now: answers.seen_in_box(memory, box, now), 0.0)

    def where_is(
        self, what: What, frame: str = "base_link", *, timeout: float = 1.0, max_age: float = 0.5
    ) -> Position:
        """Tell where tracks are: their median, carried into a frame at the image's stamp.

        Args:
            what: The tracks.
            frame: Frame of the answer; "": the one in which the lifter publishes.
            timeout: s to wait for an answer; 0: what is known now.
            max_age: s that may have passed since the position was measured. Hidden points are carried on by
                the lifter: `Position.measured` is False for those, and `Position.age` grows.

        Raises:
            ClientError: Why it is not known.
        """
        target = Target.of(what)
        return self._feed.ask(
            lambda memory, now: answers.position(memory, target, frame, self._transforms, now, max_age),
            timeout,
        )

    def pose_of(
        self, label: str, frame: str = "base_link", *, timeout: float = 1.0, max_age: float = 0.5
    ) -> BodyPose:
        """Tell pose and velocity of a moving body, carried into a frame at the image's stamp.

        Args:
            label: Label of the body's tracks.
            frame: Frame of the answer; "": the fixed frame of the lifter.
            timeout: s to wait for an answer; 0: what is known now.
            max_age: s that may have passed since the result came.

        Raises:
            ClientError: Why it is not known; what has not moved yet is no body.
        """
        return self._feed.ask(
            lambda memory, now: answers.body_pose(memory, label, frame, self._transforms, now, max_age),
            timeout,
        )

    def moving(
        self, what: What | None = None, *, box: Box | None = None, speed: float = 0.05
    ) -> NDArray[np.uint32]:
        """Return the ids of the tracks that are seen to move in the newest image.

        Args:
            what: The tracks; None: all.
            box: Left, top, width and height, px: only what is in this part of the image (in place of `what`).
            speed: m/s from which on a track counts, in the lifter's frame.

        Raises:
            ClientError: No images come, or there are no such tracks.
        """
        wanted = _moving_target(what, box)
        return self._feed.ask(lambda memory, now: answers.moving_ids(memory, wanted, speed, now), 0.0)

    def wait_for_motion(
        self,
        what: What | None = None,
        *,
        box: Box | None = None,
        speed: float = 0.05,
        points: int = 2,
        timeout: float = 5.0,
    ) -> bool:
        """Wait until tracks move; False if that does not happen in time.

        Args:
            what: The tracks; None: all.
            box: Left, top, width and height, px: only what is in this part of the image (in place of `what`).
            speed: m/s from which on a track counts, in the lifter's frame.
            points: So many must move, so that a single bad track is no motion; all, if `what` are fewer.
            timeout: s to wait.

        Raises:
            ClientError: After `timeout` s no images come, or there are no such tracks.
        """
        wanted = _moving_target(what, box)
        return self._until(
            lambda memory, now: answers.enough_move(memory, wanted, speed, points, now), timeout
        )

    def wait_for_update(self, timeout: float = 1.0) -> bool:
        """Wait for 3D tracks that came since this was last called; False if none come in time.

        Raises:
            ClientError: The client is closed.
        """

        def updated(memory: Memory, _: float) -> bool:
            fresh = memory.updates > self._updates_seen
            self._updates_seen = memory.updates
            return fresh

        return self._until(updated, timeout)

    def updates(self, silence: float = 0.2) -> Iterator[bool]:
        """Run a loop in step with the camera until ROS is shut down.

        Args:
            silence: s without 3D tracks after which the loop runs all the same: a robot that gets no more
                answers has to stop.

        Yields:
            True when 3D tracks have come, False after each `silence`.
        """
        while not self._feed.closed:
            try:
                updated = self.wait_for_update(silence)
            except ClientError:
                return
            yield updated

    def latest(self) -> tuple[Tracks | None, Tracks3D | None]:
        """Return the newest 2D tracks and the newest 3D tracks, None while none have come."""
        return self._feed.ask(lambda memory, _: (_last(memory.tracks), _last(memory.tracks_3d)), 0.0)

    def _added(self, request: Any) -> NDArray[np.uint32]:
        # A region needs an image: a refusal may only mean that none has reached the tracker yet.
        early = isinstance(request, AddRegion.Request) and self.latest()[0] is None
        response = self._services.call(request)
        if not response.success and early and self._until(lambda m, _: bool(m.tracks), self._timeout):
            response = self._services.call(request)
        if not response.success:
            raise ClientError(response.message)
        return np.array(response.ids, np.uint32)

    def _until(self, condition: Callable[[Memory, float], bool], timeout: float) -> bool:
        """Wait until a condition holds; False if it does not in time."""

        def question(memory: Memory, now: float) -> bool:
            if not condition(memory, now):
                raise _NotYetError
            return True

        try:
            return self._feed.ask(question, timeout)
        except _NotYetError:
            return False

    def _listen(
        self,
        message_class: type,
        topic: str,
        read: Callable[[Any], Value],
        take: Callable[[Memory, Value, float], None],
    ) -> None:
        """Subscribe: a message becomes a value by `read`, and `take` puts it into the memory."""
        node = self._background.node

        def receive(message: Any) -> None:
            try:
                value = read(message)
            except ValueError as error:
                sentence = f"A message of {topic} was dropped: {error}"
                node.get_logger().warning(sentence, throttle_duration_sec=5.0)
                return
            self._feed.put(lambda memory, now: take(memory, value, now))

        node.create_subscription(message_class, topic, receive, RESULTS)


class _NotYetError(ClientError):
    """A condition does not hold yet."""


def _check_count(count: int) -> None:
    if count < 1:
        raise ClientError(f"count is {count}; give at least 1 point")


def _moving_target(what: What | None, box: Box | None) -> Target | Box | None:
    if what is not None and box is not None:
        raise ClientError(f"both {what!r} and the box {box} were given; give one of them")
    return box if what is None else Target.of(what)


def _last(results: Any) -> Any:
    return results[-1] if results else None
