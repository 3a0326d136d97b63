"""Any video, forward and then backward: a track that follows its point must come home.

No labels are needed. What the test cannot see: a tracker that does not move at all comes home too, which is
why the distance travelled to the turning point stands beside the errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.candidates import Candidate
from cotracker_ros.evaluation.following import Answers
from cotracker_ros.evaluation.tapvid import METRIC_SIZE
from cotracker_ros.evaluation.trials import Score, Trial, make_trial
from cotracker_ros.recordings import ImageEvent, open_recording
from cotracker_ros.tracking.queries import corner_points

HOME_DISTANCE = 8.0
"""A track has come home when it ends, visible, this close to its start, px at 256x256."""

_SPREAD = 40  # corners are at least a 40th of the image's longer side apart, so that they cover it


class PalindromeError(ValueError):
    """A video that makes no palindrome; the text is one sentence."""


@dataclass(frozen=True, eq=False)
class VideoClip:
    """Images of a video: ``frames`` (T, H, W, 3) uint8 RGB, and a name."""

    frames: NDArray[np.uint8]
    name: str


@dataclass(frozen=True)
class PalindromeTask:
    """Follow corners of the first image forward to the last and back again.

    Attributes:
        points: At most so many corners.
    """

    points: int = 100

    def run(self, candidate: Candidate, clip: VideoClip) -> Trial | None:
        """Run a tracker; None if the first image has no corner."""
        height, width = clip.frames.shape[1:3]
        corners = corner_points(
            clip.frames[0], self.points, min_distance=max(8.0, max(height, width) / _SPREAD)
        )
        if not len(corners):
            return None
        queries = np.concatenate([np.zeros((len(corners), 1)), corners], axis=1)
        there_and_back = np.concatenate([clip.frames, clip.frames[-2::-1]])
        run = candidate.follow(there_and_back, queries)
        return make_trial(clip.name, run, lambda answers: score_home(answers, corners, (width, height)))


def score_home(answers: Answers, start: NDArray[np.floating], size: tuple[int, int]) -> Score:
    """Score a palindrome.

    Args:
        answers: Over 2 T - 1 images, of which the middle one is the turning point.
        start: (N, 2) where the points began, px.
        size: Width and height of the images, px.

    Returns:
        ``home_error_median`` and ``home_error_mean``: distance between end and start of all tracks, px at
        256x256; ``home_error_median_px`` and ``home_error_mean_px``: the same in px of the video;
        ``home_survival``: share of tracks that end visible and within 8 px (at 256x256) of their start;
        ``visible_at_turn``: share of tracks visible in the middle; ``travel_median``: distance between
        start and turning point, px at 256x256. A track without a position at the end is infinitely far. The
        curve is the median distance between the same image on the way there and back, by images from home.
    """
    scale = (np.array(METRIC_SIZE) - 1) / (np.array(size) - 1)
    turn = len(answers.xy) // 2
    error = _distance(answers.xy[-1] - start, scale)
    error_px = _distance(answers.xy[-1] - start, np.ones(2))
    apart = _distance(answers.xy[:turn] - answers.xy[:turn:-1], scale)
    apart[0] = error  # what a tracker says of the query's own image does not matter
    metrics = {
        "home_error_median": float(np.median(error)),
        "home_error_mean": float(np.mean(error)),
        "home_error_median_px": float(np.median(error_px)),
        "home_error_mean_px": float(np.mean(error_px)),
        "home_survival": float(np.mean(answers.visible[-1] & (error < HOME_DISTANCE))),
        "visible_at_turn": float(np.mean(answers.visible[turn])),
        "travel_median": float(np.median(_distance(answers.xy[turn] - start, scale))),
    }
    return Score(metrics, [float(value) for value in np.median(apart, axis=1)])


def _distance(difference: NDArray[np.floating], scale: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.nan_to_num(np.linalg.norm(difference * scale, axis=-1), nan=np.inf)


def video_clips(
    path: Path, *, frames: int, starts: tuple[int, ...] = (), image_topic: str | None = None
) -> Iterator[VideoClip]:
    """Cut clips out of a video, an image folder or a bag.

    Args:
        path: The recording.
        frames: Images in each clip, at least 2.
        starts: First image of each clip; by default one clip after the other.
        image_topic: Topic of the images, if a bag holds several.

    Raises:
        PalindromeError: The recording ends before a clip is complete, or there are no two images in a clip.
        RecordingError: It cannot be read.
    """
    if frames < 2:
        raise PalindromeError(f"a palindrome of {frames} images goes nowhere; give at least 2")
    recording = open_recording(path, image_topic=image_topic, depth_topic="none")
    images = (event.image for event in recording.events() if isinstance(event, ImageEvent))
    waiting = sorted(set(starts))
    held: dict[int, list[NDArray[np.uint8]]] = {}
    seen = found = 0
    for image in images:
        if seen in waiting if starts else seen % frames == 0:
            held[seen] = []
        seen += 1
        for clip in held.values():
            clip.append(image)
        for start in [start for start, clip in held.items() if len(clip) == frames]:
            yield VideoClip(np.stack(held.pop(start)), f"{path.name} {start}")
            found += 1
        if starts and found == len(waiting):
            return
    if starts or not found:
        need = max(waiting, default=0) + frames
        raise PalindromeError(
            f"{path} holds {seen} images; a palindrome of images {need - frames} to {need - 1} needs {need}: "
            "give fewer images or an earlier start"
        )
