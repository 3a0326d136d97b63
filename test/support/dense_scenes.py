"""A ball before a wall, seen by a pinhole camera: depth images that are known exactly."""

import numpy as np

from cotracker_ros.reconstruction import CameraModel

CAMERA = CameraModel.pinhole(160, 120, 150.0, 150.0, 79.5, 59.5)
WALL, BALL, RADIUS = 2.0, np.array([0.0, 0.0, 1.5]), 0.3  # m, in the fixed frame
WALL_COLOUR, BALL_COLOUR = (60, 90, 200), (220, 40, 30)


def pose(x=0.0, y=0.0, z=0.0):
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def rays(camera=CAMERA):
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return camera.unproject(np.stack([column.ravel(), row.ravel()], axis=1))


def view(fixed_from_camera, ball=BALL, camera=CAMERA, radius=RADIUS):
    """Return depth (H, W), m, colours (H, W, 3) and the pixels (H, W) of the ball; no ball if it is None."""
    rotation, centre = fixed_from_camera[:3, :3], fixed_from_camera[:3, 3]
    direction = rays(camera) @ rotation.T
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (WALL - centre[2]) / direction[:, 2]
        hit = np.zeros(len(z), bool)
        if ball is not None:
            a = (direction**2).sum(axis=1)
            b = direction @ (centre - ball)
            root = b**2 - a * (((centre - ball) ** 2).sum() - radius**2)
            hit = root > 0
            z = np.where(hit, (-b - np.sqrt(root)) / a, z)
    shape = camera.height, camera.width
    colours = np.where(hit[:, None], BALL_COLOUR, WALL_COLOUR).astype(np.uint8)
    return z.astype(np.float32).reshape(shape), colours.reshape(*shape, 3), hit.reshape(shape)
