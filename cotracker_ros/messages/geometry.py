"""CameraInfo and transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.messages.arrays import owned
from cotracker_ros.messages.errors import MessageError
from cotracker_ros.messages.header import header_fields, stamp_ns
from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.reconstruction.poses import pose_matrix, quaternion_from_rotation


def camera_from_message(message: Any, *, rectified: bool = False) -> CameraModel:
    """Return the camera of a sensor_msgs/CameraInfo, for the image as it is published.

    A region of interest and binning move and shrink the image; the model follows them. ROS 1's upper-case
    field names are understood too.

    Args:
        message: The CameraInfo.
        rectified: True for rectified images: the matrix P then holds and there is no distortion.

    Raises:
        MessageError: The camera is not calibrated (K is zero) or the message makes no sense.
    """
    matrix = _matrix(message, "p", 12)[:, :3] if rectified else _matrix(message, "k", 9)
    if not matrix.any():
        name = "P" if rectified else "K"
        raise MessageError(f"the camera_info has no calibration ({name} is zero): calibrate the camera")
    coefficients = np.zeros(0) if rectified else owned(_field(message, "d"), np.float64)
    model = str(message.distortion_model) or "plumb_bob"
    if rectified or (model != "equidistant" and not coefficients.any()):
        model, coefficients = "none", np.zeros(0)
    roi = message.roi
    width, height = (int(roi.width) or int(message.width)), (int(roi.height) or int(message.height))
    bin_x, bin_y = max(int(message.binning_x), 1), max(int(message.binning_y), 1)
    offset = np.array([[1, 0, -float(roi.x_offset)], [0, 1, -float(roi.y_offset)], [0, 0, 1]])
    try:
        camera = CameraModel(width, height, offset @ matrix, model, coefficients)
        return camera.scaled(width // bin_x, height // bin_y)
    except ValueError as error:
        raise MessageError(f"the camera_info makes no sense: {error}") from error


def camera_info_fields(camera: CameraModel, stamp: int, frame_id: str) -> dict[str, Any]:
    """Return the fields of sensor_msgs/CameraInfo for raw images of the camera."""
    projection = np.zeros((3, 4))
    projection[:, :3] = camera.K
    none = camera.distortion_model == "none"
    return {
        "header": header_fields(stamp, frame_id),
        "height": camera.height,
        "width": camera.width,
        "distortion_model": "plumb_bob" if none else camera.distortion_model,
        "d": np.zeros(5) if none else np.asarray(camera.coefficients, dtype=np.float64),
        "k": np.asarray(camera.K, dtype=np.float64).reshape(-1),
        "r": np.eye(3).reshape(-1),
        "p": projection.reshape(-1),
    }


def transforms_from_message(message: Any) -> list[tuple[int, str, str, NDArray[np.float64]]]:
    """Return the transforms of a tf2_msgs/TFMessage.

    Returns:
        (stamp in ns, parent frame, child frame, pose of the child in the parent as (4, 4) float64, m), in
        the message's order.

    Raises:
        MessageError: A quaternion is zero or a number is not finite.
    """
    return [
        (
            stamp_ns(item.header.stamp),
            # tf of ROS 1 allowed a leading slash, tf2 does not know it.
            str(item.header.frame_id).lstrip("/"),
            str(item.child_frame_id).lstrip("/"),
            _pose(item),
        )
        for item in message.transforms
    ]


def transform_fields(stamp: int, parent: str, child: str, matrix: NDArray[np.float64]) -> dict[str, Any]:
    """Return the fields of geometry_msgs/TransformStamped.

    Args:
        stamp: ns.
        parent: Frame in which the pose is expressed.
        child: Frame whose pose it is.
        matrix: (4, 4) pose of the child in the parent, m.
    """
    x, y, z, w = (float(v) for v in quaternion_from_rotation(matrix))
    return {
        "header": header_fields(stamp, parent),
        "child_frame_id": child,
        "transform": {
            "translation": dict(zip("xyz", (float(v) for v in matrix[:3, 3]), strict=True)),
            "rotation": {"x": x, "y": y, "z": z, "w": w},
        },
    }


def pose_fields(matrix: NDArray[np.float64]) -> dict[str, Any]:
    """Return the fields of geometry_msgs/Pose for a (4, 4) pose, m."""
    return {
        "position": dict(zip("xyz", matrix[:3, 3].tolist(), strict=True)),
        "orientation": dict(zip("xyzw", quaternion_from_rotation(matrix).tolist(), strict=True)),
    }


def pose_from_message(message: Any) -> NDArray[np.float64]:
    """Return the (4, 4) pose, m, of a geometry_msgs/Pose.

    Raises:
        MessageError: The quaternion is zero or a number is not finite.
    """
    shift, turn = message.position, message.orientation
    try:
        return pose_matrix((shift.x, shift.y, shift.z), (turn.x, turn.y, turn.z, turn.w))
    except ValueError as error:
        raise MessageError(f"the pose is no rigid motion: {error}") from error


def _pose(item: Any) -> NDArray[np.float64]:
    shift, turn = item.transform.translation, item.transform.rotation
    try:
        return pose_matrix((shift.x, shift.y, shift.z), (turn.x, turn.y, turn.z, turn.w))
    except ValueError as error:
        name = f"from '{item.header.frame_id}' to '{item.child_frame_id}'"
        raise MessageError(f"the transform {name} is no rigid motion: {error}") from error


def _field(message: Any, name: str) -> Any:
    return getattr(message, name) if hasattr(message, name) else getattr(message, name.upper())


def _matrix(message: Any, name: str, size: int) -> NDArray[np.float64]:
    values = owned(_field(message, name), np.float64)
    if values.size != size:
        raise MessageError(f"the camera_info's {name.upper()} has {values.size} numbers instead of {size}")
    return values.reshape(3, -1)
