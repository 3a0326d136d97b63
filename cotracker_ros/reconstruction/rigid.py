"""Rigid motions of point sets: alignment, many hypotheses at once, small changes of a pose and their noise.

Convention of small changes: a `delta` (6,) is (translation, rotation vector) in the axes of the parent frame,
as in the covariances of ROS messages: the position moves by the first three, m, and the orientation turns by
the last three, rad, about the parent's axes through the child's origin. Poses are (4, 4) parent_from_child.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TINY_ANGLE = 1e-8  # rad: below, sine and cosine are their series' first terms to double precision
_FLAT = 1e-12  # m^2: twice the area of a triangle that gives no orientation
_STILL = 1e-9  # m, rad: a step that changes nothing
_BLUNT = 0.2  # least sharpness of the weights' minimum: below, errors are as large as the cutoff
_CUTOFF = 5.0  # sigmas: errors beyond it have no weight in `refine`; of honest ones 5e-5 are (3 dimensions)


def skew(vectors: ArrayLike) -> NDArray[np.float64]:
    """Return the (..., 3, 3) matrices S of (..., 3) vectors v with ``S @ x == cross(v, x)``."""
    v = np.asarray(vectors, dtype=np.float64)
    matrices = np.zeros((*v.shape, 3))
    matrices[..., 0, 1], matrices[..., 0, 2], matrices[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    matrices[..., 1, 0], matrices[..., 2, 0], matrices[..., 2, 1] = v[..., 2], -v[..., 1], v[..., 0]
    return matrices


def rotation_exp(vector: ArrayLike) -> NDArray[np.float64]:
    """Return the (3, 3) rotation of a rotation vector (3,), rad (Rodrigues' formula).

    For one, plain numbers are five times as fast as arrays; for many, see `body_fits.rotations`.
    """
    x, y, z = np.asarray(vector, dtype=np.float64).tolist()
    angle = math.sqrt(x * x + y * y + z * z)
    small = angle < _TINY_ANGLE
    s = 1.0 if small else math.sin(angle) / angle
    c = 0.5 if small else (1 - math.cos(angle)) / angle**2
    return np.array(
        [
            [1 - c * (y * y + z * z), c * x * y - s * z, c * x * z + s * y],
            [c * x * y + s * z, 1 - c * (x * x + z * z), c * y * z - s * x],
            [c * x * z - s * y, c * y * z + s * x, 1 - c * (x * x + y * y)],
        ]
    )


def rotation_log(rotation: ArrayLike) -> NDArray[np.float64]:
    """Return the rotation vector (3,), rad, at most pi long, of a (3, 3) rotation."""
    r = np.asarray(rotation, dtype=np.float64)
    (a, b, c), (d, e, f), (g, h, i) = r.tolist()
    axis = np.array([h - f, c - g, d - b]) / 2
    sine, cosine = math.sqrt((h - f) ** 2 + (c - g) ** 2 + (d - b) ** 2) / 2, (a + e + i - 1) / 2
    angle = math.atan2(sine, cosine)
    if sine > 1e-6:
        return axis * (angle / sine)
    if cosine > 0:
        return axis
    # Half a turn: the antisymmetric part vanishes, the symmetric part is 2 * axis * axis^T - 1.
    outer = (r + np.eye(3)) / 2
    column = int(np.argmax(np.diagonal(outer)))
    direction = outer[:, column] / np.sqrt(max(outer[column, column], 1e-12))
    return np.asarray(direction * (angle / np.linalg.norm(direction)))


def moved(pose: ArrayLike, delta: ArrayLike) -> NDArray[np.float64]:
    """Return the (4, 4) pose changed by a small `delta` (6,), see the module's convention."""
    given, change = np.asarray(pose, dtype=np.float64), np.asarray(delta, dtype=np.float64)
    result = np.eye(4)
    result[:3, :3] = rotation_exp(change[3:]) @ given[:3, :3]
    result[:3, 3] = given[:3, 3] + change[:3]
    return result


def difference(pose: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Return the `delta` (6,) with ``moved(other, delta) == pose``."""
    a, b = np.asarray(pose, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return np.concatenate([a[:3, 3] - b[:3, 3], rotation_log(a[:3, :3] @ b[:3, :3].T)])


def align(source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return the (4, 4) rigid pose that maps `source` to `target` with least squares.

    Kabsch's and Umeyama's solution by singular values; weighted.

    Args:
        source: (N, 3) m.
        target: (N, 3) m.
        weights: (N,) from 0 up; all alike by default.

    Raises:
        ValueError: There are fewer than three points with weight.
    """
    a, b = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    w = np.ones(len(a)) if weights is None else np.asarray(weights, dtype=np.float64)
    if np.count_nonzero(w > 0) < 3:
        raise ValueError(f"{np.count_nonzero(w > 0)} points do not give a pose: give three or more")
    w = w / w.sum()
    middle_a, middle_b = w @ a, w @ b
    u, _, vt = np.linalg.svd((b - middle_b).T @ ((a - middle_a) * w[:, None]))
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    pose = np.eye(4)
    pose[:3, :3] = (u * mirror) @ vt
    pose[:3, 3] = middle_b - pose[:3, :3] @ middle_a
    return pose


def align_triples(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return poses that map triples of points to triples, for all at once.

    The frames that the triangles span are laid over each other (TRIAD); as a hypothesis that is refined
    later it is as good as least squares, and far cheaper.

    Args:
        source: (H, 3, 3), H triples of points, m.
        target: (H, 3, 3).

    Returns:
        (H, 3, 3) rotations and (H, 3) translations. Triples on one line give NaN.
    """
    middle, frames = _frames(np.concatenate([source, target]))
    count = len(source)
    turn = frames[count:] @ frames[:count].transpose(0, 2, 1)
    return turn, middle[count:] - (turn @ middle[:count, :, None])[..., 0]


def _frames(triples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middles (H, 3) of triangles (H, 3, 3) and the orthonormal frames, as columns, they span."""
    first, second = triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0]
    # The bisector of the two sides turns least when one of them is off.
    bisector = (first + second) / 3
    normal = cross_products(first, second)
    area = np.sqrt((normal * normal).sum(axis=1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        normal = np.where(area > _FLAT, normal / area, np.nan)
        along = bisector / np.sqrt((bisector * bisector).sum(axis=1, keepdims=True))
    frames = np.array([along, cross_products(normal, along), normal]).transpose(1, 2, 0)
    return triples[:, 0] + bisector, frames


def cross_products(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cross products of (N, 3) and (N, 3); several times faster than NumPy's at this size."""
    x, y, z = a.T
    p, q, r = b.T
    return np.array([y * r - z * q, z * p - x * r, x * q - y * p]).T


def draw_triples(
    count: int, hypotheses: int, generator: np.random.Generator, preference: NDArray[np.float64] | None = None
) -> NDArray[np.intp]:
    """Return (H, 3) rows of N points, each triple of three different ones.

    Args:
        count: N, at least 3.
        hypotheses: H.
        generator: Where chance comes from.
        preference: (N,) how likely each point is drawn, from 0 up; all alike by default.

    Raises:
        ValueError: There are fewer than three points (with a preference above 0).
    """
    usable = np.arange(count) if preference is None else np.flatnonzero(preference > 0)
    if len(usable) < 3:
        raise ValueError(f"{len(usable)} points do not give a pose: give three or more")
    if preference is None:
        rows = generator.integers(0, count, (hypotheses, 3))
    else:
        edges = np.cumsum(preference[usable])
        drawn = np.searchsorted(edges, generator.random((hypotheses, 3)) * edges[-1], side="right")
        rows = usable[np.minimum(drawn, len(usable) - 1)]
    same = (rows[:, 0] == rows[:, 1]) | (rows[:, 0] == rows[:, 2]) | (rows[:, 1] == rows[:, 2])
    for row in np.flatnonzero(same):
        rows[row] = generator.choice(usable, 3, replace=False)
    return np.asarray(rows, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Consensus:
    """What many hypotheses about one motion came to.

    Attributes:
        pose: (4, 4) the pose with which most points agree.
        inliers: (N,) bool, the points that agree.
        score: Sum of the weights of the points that agree, each less its error's share of the threshold.
        hypotheses: (H, 4, 4) all poses that were tried, those given first.
        errors: (H, N) squared errors in sigmas; infinite where the hypothesis is none.
    """

    pose: NDArray[np.float64]
    inliers: NDArray[np.bool_]
    score: float
    hypotheses: NDArray[np.float64]
    errors: NDArray[np.float64]


def consensus(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    sigma: NDArray[np.float64],
    generator: np.random.Generator,
    *,
    threshold: float = 3.0,
    hypotheses: int = 64,
    weights: NDArray[np.float64] | None = None,
    given: NDArray[np.float64] | None = None,
) -> Consensus | None:
    """Find the rigid motion from `source` to `target` on which most points agree.

    RANSAC (Fischler and Bolles 1981) with the score of MSAC (Torr and Zisserman 2000), where all hypotheses
    are made and scored by a few matrix operations. Refine the result, e.g. by `refine`.

    Args:
        source: (N, 3) m.
        target: (N, 3) m, finite as `source`.
        sigma: (N,) or (N, 3) standard deviations of ``target - pose * source`` along the target's axes, m.
        generator: Where chance comes from; the same state gives the same result.
        threshold: A point agrees when its error is below so many sigmas.
        hypotheses: How many triples are tried.
        weights: (N,) how much a point counts and how often it is drawn; all alike by default.
        given: (G, 4, 4) poses tried besides the triples.

    Returns:
        The result, or None when there are fewer than three points with weight or no triple spans a triangle.
    """
    count = len(source)
    weight = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    if np.count_nonzero(weight > 0) < 3:
        return None
    triples = draw_triples(count, hypotheses, generator, weight)
    turns, shifts = align_triples(source[triples], target[triples])
    poses = np.zeros((len(turns), 4, 4))
    poses[:, :3, :3], poses[:, :3, 3], poses[:, 3, 3] = turns, shifts, 1.0
    if given is not None:
        poses = np.concatenate([given, poses])
    precision = 1.0 / np.broadcast_to(sigma if sigma.ndim == 2 else sigma[:, None], (count, 3))
    errors = squared_errors(poses, source, target, precision)
    limit = threshold**2
    scores = np.maximum(1 - errors / limit, 0.0) @ weight
    best = int(np.argmax(scores))
    if not scores[best] > 0:
        return None
    return Consensus(poses[best], errors[best] < limit, float(scores[best]), poses, errors)


def squared_errors(
    poses: NDArray[np.float64],
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    precision: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (H, N) squared errors, in sigmas, of N points under H poses; infinite for poses that are NaN.

    Args:
        poses: (H, 4, 4).
        source: (N, 3) m.
        target: (N, 3) m.
        precision: (N, 3) inverse standard deviations along the target's axes, 1/m.
    """
    mapped = poses[:, :3, :3].reshape(-1, 3) @ source.T + poses[:, :3, 3].reshape(-1, 1)
    mapped = (mapped.reshape(-1, 3, len(source)) - target.T) * precision.T
    errors = np.einsum("hcn,hcn->hn", mapped, mapped)
    return np.where(np.isnan(errors), np.inf, errors)


@dataclass(frozen=True, eq=False)
class Refined:
    """A pose by weighted least squares.

    Attributes:
        pose: (4, 4).
        covariance: (6, 6) of its `delta`, from the normal equations, enlarged when the errors are larger
            than their sigmas say; infinite on the diagonal where the points do not fix the pose.
        weights: (N,) robust weights, 0 to 1.
    """

    pose: NDArray[np.float64]
    covariance: NDArray[np.float64]
    weights: NDArray[np.float64]


def refine(
    pose: NDArray[np.float64],
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    information: NDArray[np.float64],
    *,
    iterations: int = 4,
    cutoff: float = _CUTOFF,
) -> Refined:
    """Improve a pose by Gauss-Newton with Tukey's weights.

    Args:
        pose: (4, 4) start, within about the cutoff of the solution.
        source: (N, 3) points in the child frame, m.
        target: (N, 3) the same points in the parent frame, m.
        information: (N, 3, 3) inverse covariances of ``target - pose * source``, 1/m^2.
        iterations: Steps.
        cutoff: Errors of so many sigmas have no weight.
    """
    for _ in range(iterations):
        offsets = source @ pose[:3, :3].T
        residuals = target - offsets - pose[:3, 3]
        weights, squared = tukey(residuals, information, cutoff)
        normal, right = normal_equations(offsets, residuals, information * weights[:, None, None])
        step = solve_normal(normal, right)
        pose = moved(pose, step)
        if np.abs(step).max() < _STILL:
            break
    counted = weights > 0
    normal, _ = normal_equations(offsets[counted], residuals[counted], information[counted])
    inflation = robust_inflation(squared[counted], cutoff, dimensions=3)
    return Refined(pose, covariance_of(normal) * inflation, weights)


def robust_inflation(squared: NDArray[np.float64], cutoff: float, *, dimensions: int) -> float:
    """Return by how much the covariance of a pose by Tukey's weights exceeds the one of least squares.

    Huber's (1981) asymptotic formula: it is about 1 for honest errors and large cutoffs, and grows as the
    errors are larger than their sigmas say. Never below 1: few points agree by chance.

    Args:
        squared: (N,) squared errors in sigmas of the points within the cutoff.
        cutoff: Of the weights, sigmas.
        dimensions: Of one residual.
    """
    freedom = len(squared) * dimensions - 6
    if freedom <= 0:
        return 1.0
    share = 1 - squared / cutoff**2
    influence = float(np.sum(share**4 * squared)) / freedom
    sharpness = float(np.mean(share**2 - 4 / dimensions * share * squared / cutoff**2))
    return max(1.0, influence / max(sharpness, _BLUNT) ** 2)


def tukey(
    residuals: NDArray[np.float64], information: NDArray[np.float64], cutoff: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (N,) Tukey's weights and (N,) squared errors in sigmas of (N, D) residuals.

    `information` is (N, D, D).
    """
    squared = np.einsum("ni,nij,nj->n", residuals, information, residuals)
    return np.maximum(1 - squared / cutoff**2, 0.0) ** 2, squared


def normal_equations(
    offsets: NDArray[np.float64], residuals: NDArray[np.float64], information: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (6, 6) normal matrix and (6,) right side for the `delta` of a pose.

    Args:
        offsets: (N, 3) points relative to the child's origin, in the parent's axes, m.
        residuals: (N, 3) measured less predicted position in the parent's frame, m.
        information: (N, 3, 3) weights, 1/m^2.
    """
    jacobian = np.zeros((len(offsets), 3, 6))
    jacobian[:, :, :3] = np.eye(3)
    jacobian[:, :, 3:] = -skew(offsets)
    weighted = (information @ jacobian).reshape(-1, 6)
    return jacobian.reshape(-1, 6).T @ weighted, weighted.T @ residuals.reshape(-1)


def solve_normal(normal: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve normal equations (6, 6); what they do not fix stays as it is."""
    values, vectors = np.linalg.eigh(normal)
    known = values > max(float(values[-1]), 1e-300) * 1e-12
    along = np.where(known, (right @ vectors) / np.where(known, values, 1.0), 0.0)
    return np.asarray(vectors @ along)


def covariance_of(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a normal matrix (6, 6); infinite on the diagonal where it is singular."""
    values, vectors = np.linalg.eigh(normal)
    if not values[0] > max(float(values[-1]), 1e-300) * 1e-12:
        return np.diag(np.full(len(normal), np.inf))
    return np.asarray((vectors / values) @ vectors.T)


def about_other_point(covariance: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (6, 6) covariance of a pose for another point of the same rigid body.

    Args:
        covariance: Of the `delta` at the body's origin.
        shift: (3,) from the body's origin to the point, in the parent's axes, m.
    """
    transport = np.eye(6)
    transport[:3, 3:] = -skew(shift)
    return np.asarray(transport @ covariance @ transport.T)
