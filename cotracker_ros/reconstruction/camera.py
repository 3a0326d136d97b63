"""The camera's model: from points in space to pixels and from pixels to rays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

# Numbers of coefficients that each distortion model takes; none at all always means "no distortion",
# because many drivers publish "plumb_bob" with an empty list.
_COEFFICIENT_COUNTS: dict[str, tuple[int, ...]] = {
    "none": (0,),
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (0, 8, 12, 14),
    "equidistant": (0, 4),
}
_NEWTON_STEPS = 20
_GOOD_GUESS = 2.0  # px: from so near Newton's method goes straight to the solution
_MAX_RESIDUAL = 1e-7  # px: a ray that projects further than this from its pixel is no inverse
_NEAREST_Z = 1e-6  # m: a point nearer to the image plane through the pinhole has no projection


@dataclass(frozen=True, eq=False)
class CameraModel:
    """A calibrated camera.

    Convention: the optical frame has x to the right, y down, z forward. Pixel (0, 0) is the centre of the
    first pixel, x right, y down (the convention of ROS and OpenCV). Coefficients are in OpenCV's order.

    Attributes:
        width: Width of the image, px.
        height: Height of the image, px.
        K: (3, 3) float64, intrinsic matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], px.
        distortion_model: "none", "plumb_bob" (k1, k2, p1, p2[, k3]), "rational_polynomial" (8, 12 or 14
            coefficients) or "equidistant" (fisheye: k1 to k4); ROS's names.
        coefficients: (D,) float64; empty means no distortion, except for "equidistant", where it means that
            all four are zero.

    Raises:
        ValueError: A size that is not positive, a matrix that is no intrinsic matrix (zero or not finite
            focal length, skew), an unknown model or a number of coefficients that does not fit it.
    """

    width: int
    height: int
    K: NDArray[np.float64]
    distortion_model: str = "none"
    coefficients: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(
                f"the camera's image size is {self.width}x{self.height}: give a positive width and height"
            )
        object.__setattr__(self, "K", _checked_matrix(self.K))
        coefficients = _checked_coefficients(self.distortion_model, self.coefficients)
        object.__setattr__(self, "coefficients", coefficients)

    @classmethod
    def pinhole(cls, width: int, height: int, fx: float, fy: float, cx: float, cy: float) -> CameraModel:
        """Return a camera without distortion; all in px."""
        return cls(width, height, np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.width, self.height

    @property
    def distorted(self) -> bool:
        """True when rays and pixels are not related by `K` alone."""
        return self.distortion_model == "equidistant" or bool(np.any(self.coefficients))

    def project(self, xyz: ArrayLike) -> NDArray[np.float64]:
        """Project points of the optical frame into the image.

        Args:
            xyz: (N, 3) points in the optical frame, m.

        Returns:
            (N, 2) float64 pixels, which may lie outside the image; NaN for points that are NaN or not in
            front of the camera.
        """
        points = np.asarray(xyz, dtype=np.float64).reshape(-1, 3)
        pixels = np.full((len(points), 2), np.nan)
        x, y, z = points.T
        seen = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & (z > _NEAREST_Z))
        if len(seen):
            front = points.take(seen, axis=0)
            pixels[seen] = self._project_rays(front[:, :2] / front[:, 2:])
        return pixels

    def unproject(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Return the viewing rays of pixels.

        Args:
            xy: (N, 2) px.

        Returns:
            (N, 3) float64 rays in the optical frame with z = 1, so that a ray times a depth is a point; NaN
            for pixels that are NaN or that no ray in front of the camera reaches (the distortion has no
            inverse there).
        """
        pixels = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
        rays = np.full((len(pixels), 3), np.nan)
        finite = np.flatnonzero(np.isfinite(pixels[:, 0]) & np.isfinite(pixels[:, 1]))
        if len(finite):
            rays[finite, :2] = self._unproject_finite(pixels.take(finite, axis=0))
            rays[np.isfinite(rays[:, 0]), 2] = 1.0
        return rays

    def scaled(self, width: int, height: int) -> CameraModel:
        """Return the model of the same camera for its image resized to `width` x `height`.

        The outer borders of the image stay where they are, so the centre of a pixel moves by half a pixel
        more than the scale alone says: cx' = (cx + 0.5) s - 0.5.

        Raises:
            ValueError: The size is not positive.
        """
        scale_x, scale_y = width / self.width, height / self.height
        return replace(self, width=width, height=height, K=_scaled_matrix(self.K, scale_x, scale_y))

    def cropped(self, x: int, y: int, width: int, height: int) -> CameraModel:
        """Return the model for the part of the image whose first pixel is (x, y), e.g. a region of interest.

        Raises:
            ValueError: The part is empty or reaches outside the image.
        """
        if min(x, y) < 0 or min(width, height) < 1 or x + width > self.width or y + height > self.height:
            raise ValueError(
                f"the region {width}x{height} at ({x}, {y}) does not lie inside the "
                f"{self.width}x{self.height} image: give a region inside it"
            )
        matrix = self.K.copy()
        matrix[:2, 2] -= x, y
        return replace(self, width=width, height=height, K=matrix)

    def binned(self, x: int, y: int) -> CameraModel:
        """Return the model for the image whose pixels are the means of blocks of `x` times `y` pixels.

        Raises:
            ValueError: A factor is below 1 or larger than the image.
        """
        if x < 1 or y < 1 or self.width // x < 1 or self.height // y < 1:
            raise ValueError(
                f"binning by {x}x{y} does not fit a {self.width}x{self.height} image: give factors from 1 up"
            )
        matrix = _scaled_matrix(self.K, 1.0 / x, 1.0 / y)
        return replace(self, width=self.width // x, height=self.height // y, K=matrix)

    def _project_rays(self, rays: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project (N, 2) ray directions at z = 1 to (N, 2) px."""
        if not self.distorted:
            return np.asarray(rays * self._focal + self.K[:2, 2])
        if self.distortion_model == "equidistant":
            pixels, _ = cv2.fisheye.projectPoints(
                _at_unit_depth(rays)[None], _ZERO, _ZERO, self.K, self._fisheye_coefficients
            )
        else:
            pixels, _ = cv2.projectPoints(_at_unit_depth(rays), _ZERO, _ZERO, self.K, self.coefficients)
        return np.asarray(pixels, dtype=np.float64).reshape(-1, 2)

    def _unproject_finite(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 2) ray directions at z = 1 of finite pixels, NaN where there is none."""
        if not self.distorted:
            return np.asarray((pixels - self.K[:2, 2]) / self._focal)
        if self.distortion_model == "equidistant":
            return self._unproject_fisheye(pixels)
        return self._unproject_polynomial(pixels)

    def _unproject_polynomial(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Newton's method on OpenCV's projection, from where OpenCV's own undistortion got to.

        undistortPoints iterates a fixed point a few times, which is not enough where the distortion is
        strong; the Jacobian with respect to the translation is what Newton's method needs.
        """
        rays = self._first_guess(pixels)
        unsolved: NDArray[np.bool_] = np.ones(len(rays), dtype=bool)
        for _ in range(_NEWTON_STEPS):
            projected, jacobian = cv2.projectPoints(
                _at_unit_depth(rays), _ZERO, _ZERO, self.K, self.coefficients
            )
            slope = np.asarray(jacobian)[:, 3:5].reshape(-1, 2, 2)  # d(px) / d(translation x, y) at depth 1
            determinant = slope[:, 0, 0] * slope[:, 1, 1] - slope[:, 0, 1] * slope[:, 1, 0]
            fold = np.asarray(determinant <= 0)  # beyond the radius where the polynomial turns back
            error = pixels - np.asarray(projected).reshape(-1, 2)
            unsolved = fold | ~(np.abs(error).max(axis=1) <= _MAX_RESIDUAL)
            if not np.any(unsolved & ~fold):
                break
            inverse = 1.0 / np.where(fold, np.inf, determinant)
            step_x = (slope[:, 1, 1] * error[:, 0] - slope[:, 0, 1] * error[:, 1]) * inverse
            step_y = (slope[:, 0, 0] * error[:, 1] - slope[:, 1, 0] * error[:, 0]) * inverse
            rays = rays + np.stack([step_x, step_y], axis=1)
        rays[unsolved] = np.nan
        return rays

    def _first_guess(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return OpenCV's undistorted rays, or the undistorted pinhole's where those are no better."""
        undistorted = cv2.undistortPoints(pixels[:, None], self.K, self.coefficients)
        rays = np.array(undistorted, dtype=np.float64).reshape(-1, 2)
        lost = ~np.isfinite(rays).all(axis=1)
        rays[lost] = 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            lost |= ~(np.abs(self._project_rays(rays) - pixels).max(axis=1) < _GOOD_GUESS)
        rays[lost] = (pixels[lost] - self.K[:2, 2]) / self._focal
        return rays

    def _unproject_fisheye(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Newton's method on the angle of the equidistant model, for less than 90 degrees off the axis."""
        offset = (pixels - self.K[:2, 2]) / self._focal
        radius = np.hypot(offset[:, 0], offset[:, 1])
        powers = np.array([3, 5, 7, 9])
        theta = np.minimum(radius, np.pi / 2)
        step = theta
        for _ in range(_NEWTON_STEPS):
            terms = self._fisheye_coefficients * theta[:, None] ** (powers - 1)
            slope = 1.0 + terms @ powers
            step = (theta * (1.0 + terms.sum(axis=1)) - radius) / np.where(slope > 0, slope, np.inf)
            theta = np.clip(theta - step, 0.0, np.pi / 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(radius > 1e-12, np.tan(theta) / radius, 1.0)
        # At 90 degrees from the axis a ray has no point at z = 1.
        solved = (np.abs(step) * self._focal.max() <= _MAX_RESIDUAL) & (theta < np.pi / 2 - 1e-6)
        return np.where(solved[:, None], offset * scale[:, None], np.nan)

    @property
    def _focal(self) -> NDArray[np.float64]:
        return np.array([self.K[0, 0], self.K[1, 1]])

    @property
    def _fisheye_coefficients(self) -> NDArray[np.float64]:
        return self.coefficients if len(self.coefficients) else np.zeros(4)


_ZERO = np.zeros(3)


def _at_unit_depth(rays: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([rays, np.ones(len(rays))])


def _scaled_matrix(matrix: NDArray[np.float64], scale_x: float, scale_y: float) -> NDArray[np.float64]:
    scaled = matrix.copy()
    scaled[0] = [matrix[0, 0] * scale_x, 0.0, (matrix[0, 2] + 0.5) * scale_x - 0.5]
    scaled[1] = [0.0, matrix[1, 1] * scale_y, (matrix[1, 2] + 0.5) * scale_y - 0.5]
    return scaled


def _checked_matrix(matrix: ArrayLike) -> NDArray[np.float64]:
    given = np.array(matrix, dtype=np.float64)
    if given.size != 9:
        raise ValueError(f"the intrinsic matrix has {given.size} numbers: give 3x3")
    given = given.reshape(3, 3)
    values = given.ravel().tolist()
    if not np.isfinite(given).all() or given[0, 0] <= 0 or given[1, 1] <= 0:
        raise ValueError(
            f"the intrinsic matrix {values} has no positive, finite focal lengths: calibrate the camera"
        )
    if given[0, 1] or given[1, 0] or given[2].tolist() != [0.0, 0.0, 1.0]:
        raise ValueError(
            f"the intrinsic matrix {values} is not of the form fx, 0, cx, 0, fy, cy, 0, 0, 1: remove the skew"
        )
    given.flags.writeable = False
    return given


def _checked_coefficients(model: str, coefficients: ArrayLike) -> NDArray[np.float64]:
    if model not in _COEFFICIENT_COUNTS:
        known = ", ".join(_COEFFICIENT_COUNTS)
        raise ValueError(f"the distortion model {model!r} is not known: give one of {known}")
    given = np.array(coefficients, dtype=np.float64).ravel()
    if len(given) not in _COEFFICIENT_COUNTS[model]:
        counts = " or ".join(str(count) for count in _COEFFICIENT_COUNTS[model])
        raise ValueError(
            f"{len(given)} coefficients were given for the distortion model {model!r}: give {counts}"
        )
    if not np.isfinite(given).all():
        raise ValueError(f"the distortion coefficients {given.tolist()} are not finite: calibrate the camera")
    given.flags.writeable = False
    return given
