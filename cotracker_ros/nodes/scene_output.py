"""What the lifter says of each image, as topics and transforms."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage

from cotracker_ros.messages import (
    body_pose_fields,
    odometry_fields,
    rigid_body_array_fields,
    to_ros,
    track3d_array_fields,
    track_cloud_fields,
    transform_fields,
)
from cotracker_ros.msg import RigidBodyArray, Track3DArray
from cotracker_ros.nodes.lifter_node_config import LifterNodeConfig
from cotracker_ros.nodes.managed_node import ManagedNode
from cotracker_ros.nodes.qos import RESULTS
from cotracker_ros.nodes.scene_markers import SceneMarkers
from cotracker_ros.nodes.transforms import TransformListener
from cotracker_ros.reconstruction import Odometry as CameraOdometry
from cotracker_ros.reconstruction import OdometryState, RigidBodies, RigidBody, SceneUpdate

_TF = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


class SceneOutput:
    """Publishes scenes.

    Args:
        node: The lifter node.
        config: What is shown.
        transforms: Tells which frames others publish.

    Attributes:
        conflict: Why no transform tells of the odometry though one is asked for, one sentence, or "".
    """

    def __init__(self, node: ManagedNode, config: LifterNodeConfig, transforms: TransformListener) -> None:
        self._node = node
        self._config = config
        self._known = transforms
        self._fixed_frames: set[str] = set()
        self.conflict = ""
        self._tracks_3d = node.create_lifecycle_publisher(Track3DArray, "~/tracks_3d", RESULTS)
        self._points = node.create_lifecycle_publisher(PointCloud2, "~/points", RESULTS)
        self._odometry = node.create_lifecycle_publisher(Odometry, "~/odometry", RESULTS)
        self._bodies = node.create_lifecycle_publisher(RigidBodyArray, "~/bodies", RESULTS)
        self._body_pose = node.create_lifecycle_publisher(PoseStamped, "~/body_pose", RESULTS)
        self._transforms = node.create_lifecycle_publisher(TFMessage, "/tf", _TF)
        self._markers = SceneMarkers(node, "~/markers", config.trail_length, config.marker_period)

    def publish(self, scene: SceneUpdate) -> None:
        """Publish what one image tells."""
        tracks, odometry, bodies = scene.tracks, scene.odometry, scene.bodies
        self._tracks_3d.publish(to_ros(Track3DArray, track3d_array_fields(tracks)))
        if self._points.get_subscription_count():
            self._points.publish(to_ros(PointCloud2, track_cloud_fields(tracks)))
        if odometry is not None:
            self._odometry.publish(to_ros(Odometry, odometry_fields(odometry)))
        if bodies is not None:
            self._bodies.publish(to_ros(RigidBodyArray, rigid_body_array_fields(bodies)))
            self._publish_pose(bodies)
        self._publish_transforms(odometry, bodies)
        self._markers.add(scene)

    def configure(self, config: LifterNodeConfig) -> None:
        """Take over live parameters."""
        self._config = config
        self._markers.set_style(config.trail_length, config.marker_period)

    def clear(self) -> None:
        """Forget what is shown of earlier images."""
        self._markers.clear()

    def destroy(self) -> None:
        """Take the topics away."""
        self._markers.destroy()
        for publisher in (
            self._tracks_3d,
            self._points,
            self._odometry,
            self._bodies,
            self._body_pose,
            self._transforms,
        ):
            self._node.destroy_lifecycle_publisher(publisher)

    def _publish_pose(self, bodies: RigidBodies) -> None:
        """Publish the pose of the chosen label's body while it is seen: nobody should grasp at a guess."""
        for body in bodies.bodies:
            if body.label and body.label == self._config.pose_label and not body.predicted:
                self._body_pose.publish(to_ros(PoseStamped, body_pose_fields(bodies, body)))

    def _publish_transforms(self, odometry: CameraOdometry | None, bodies: RigidBodies | None) -> None:
        transforms = []
        # What TF has told is not told to it again. And a lost camera has no transform: whoever needs one
        # waits instead of driving by a guess.
        camera = odometry
        if camera is not None and (camera.given or not self._config.odometry_tf):
            camera = None
        self._look_for_conflict(camera)
        if camera is not None and camera.state is not OdometryState.LOST and not self.conflict:
            child = camera.child_frame_id
            transforms.append(transform_fields(camera.stamp, camera.frame_id, child, camera.pose))
        if bodies is not None and self._config.body_tf:
            transforms += [
                transform_fields(bodies.stamp, bodies.frame_id, body_frame(body), body.pose)
                for body in bodies.bodies
            ]
        if transforms:
            self._transforms.publish(to_ros(TFMessage, {"transforms": transforms}))

    def _look_for_conflict(self, odometry: CameraOdometry | None) -> None:
        """See whether somebody else places the frame of the odometry: with two parents, it would jump."""
        conflict = ""
        if odometry is not None:
            fixed, child = odometry.frame_id, odometry.child_frame_id
            self._fixed_frames.add(fixed)  # also those of before, should it be changed: they were told by us
            parent = self._known.parent(child)
            if parent and parent not in self._fixed_frames:
                conflict = (
                    f'odometry_tf publishes no transform from "{fixed}" to "{child}", because TF has that '
                    f'in "{parent}" already: give base_frame the frame at the top of the robot\'s tree'
                )
        if conflict and conflict != self.conflict:
            self._node.get_logger().warning(conflict)
        self.conflict = conflict


def body_frame(body: RigidBody) -> str:
    """Return the name of a body's TF frame: its label, or else "body", and its id."""
    return f"{body.label or 'body'}_{body.id}"
