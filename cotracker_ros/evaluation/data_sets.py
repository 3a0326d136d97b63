"""The data sets of an evaluation, as the command line names them. Nothing is read before its turn comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from cotracker_ros.evaluation.candidates import BEST_OF_KLT, make_candidates
from cotracker_ros.evaluation.clip_queries import ClipQueryMode
from cotracker_ros.evaluation.datasets import DatasetError, read_tapvid, static_scene_clips
from cotracker_ros.evaluation.palindromes import PalindromeTask, video_clips
from cotracker_ros.evaluation.runner import DataSet
from cotracker_ros.evaluation.trials import LabelledTask
from cotracker_ros.synthetic.training_clip import ClipConfig, training_clip
from cotracker_ros.tracking.labelled import LabelledClip


def tapvid(path: Path, mode: ClipQueryMode, alone: bool) -> DataSet:
    """A TAP-Vid file or a folder of its shards, at 256x256."""
    return DataSet(
        _name(path),
        "tapvid",
        partial(read_tapvid, path),
        LabelledTask(mode, alone),
        about=_asked(mode, alone),
    )


def dynamic_replica(folder: Path, split: str, alone: bool) -> DataSet:
    """Dynamic Replica by its own protocol: every point is asked for in frame 0."""
    from cotracker_ros.evaluation.datasets import read_dynamic_replica  # torch comes with it

    return DataSet(
        f"Dynamic Replica {split}",
        "dynamic_replica",
        partial(read_dynamic_replica, folder, split=split),
        LabelledTask("start", alone),
        about=_asked("start", alone),
    )


def static_scene(
    source: Path,
    mode: ClipQueryMode,
    alone: bool,
    *,
    starts: Sequence[int],
    length: int,
    intrinsics: tuple[float, float, float, float] | None = None,
    world: str | None = None,
    image_topic: str | None = None,
    depth_topic: str | None = None,
    camera_info_topic: str | None = None,
) -> DataSet:
    """Clips of a recording in which only the camera moves; see `static_scene_clips`."""
    return DataSet(
        _name(source),
        "static_scene",
        partial(
            static_scene_clips,
            source,
            starts=starts,
            length=length,
            intrinsics=intrinsics,
            world=world,
            image_topic=image_topic,
            depth_topic=depth_topic,
            camera_info_topic=camera_info_topic,
        ),
        LabelledTask(mode, alone),
        total=len(set(starts)) or None,
        about=_asked(mode, alone) | {"starts": list(starts)},
    )


def palindrome(
    video: Path, *, frames: int, starts: Sequence[int], points: int, image_topic: str | None = None
) -> DataSet:
    """Clips of a video, forward and backward; see `video_clips`."""
    return DataSet(
        _name(video),
        "palindrome",
        partial(video_clips, video, frames=frames, starts=tuple(starts), image_topic=image_topic),
        PalindromeTask(points),
        total=len(set(starts)) or None,
        about={"starts": list(starts), "forward and backward, corners": points},
    )


def synthetic(
    count: int, mode: ClipQueryMode, alone: bool, *, frames: int = 48, side: int = 256, with_klt: bool = True
) -> DataSet:
    """Clips made of textures and scenes that training never sees, with KLT at several settings beside.

    Raises:
        DatasetError: There would be no clip.
        ClipConfigError: The clips are too short or too small.
    """
    if count < 1:
        raise DatasetError(f"{count} synthetic clips are none; give at least 1")
    config = ClipConfig(frames=frames, width=side, height=side, tracks=64, held_out=True)

    def clips() -> Iterator[LabelledClip]:
        return (training_clip(seed, config) for seed in range(count))

    extra = make_candidates(BEST_OF_KLT) if with_klt else []
    return DataSet(
        "synthetic",
        "synthetic",
        clips,
        LabelledTask(mode, alone),
        total=count,
        about=_asked(mode, alone),
        extra=extra,
    )


def _name(path: Path) -> str:
    return path.resolve().name


def _asked(mode: ClipQueryMode, alone: bool) -> dict[str, str]:
    return {"queries": mode, "tracked": "alone with support points" if alone else "jointly"}
