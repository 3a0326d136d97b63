"""What a network must reach, beside KLT on the same images, to become the default on a CPU.

First answers are judged, because a robot acts on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cotracker_ros.tracking.names import KLT

SYNTHETIC_AJ_LEAD = 0.10
SYNTHETIC_RETURN_FACTOR = 2.0
REVISION_LEAD = 0.03
STATIC_AJ_LEAD = 0.03

CLIP_FRAMES = 48
SYNTHETIC_SIZE = "256x256"
STATIC_STARTS = (0, 50, 100, 150)

Json = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Whether one tracker meets one criterion.

    Attributes:
        tracker: Name of the tracker.
        criterion: What is asked for.
        needed: The number to reach.
        reached: The number reached.
        holds: Whether it is enough; None if these clips cannot tell.
    """

    tracker: str
    criterion: str
    needed: str
    reached: str
    holds: bool | None


def gate(results: Json) -> list[Verdict]:
    """Judge every network of a run.

    Args:
        results: What `results.to_json` returned, or the same read from its file.

    Returns:
        The verdicts; none if the run lacks synthetic clips, static scenes or palindromes, KLT or a network.
    """
    by_kind = {
        kind: [s for s in results["sets"] if s["kind"] == kind and s["clips"]]
        for kind in ("synthetic", "static_scene", "palindrome")
    }
    sets = [s for found in by_kind.values() for s in found]
    if not all(by_kind.values()) or not all(_klt(s) for s in sets):
        return []
    names = [
        tracker["name"]
        for tracker in sets[0]["trackers"]
        if tracker["weights"] != KLT and all(_has(s, tracker["name"]) for s in sets)
    ]
    return [
        verdict
        for name in names
        for verdict in (
            *_synthetic(name, by_kind["synthetic"][0]),
            *_static(name, by_kind["static_scene"]),
            *(verdict for video in by_kind["palindrome"] for verdict in _palindrome(name, video)),
        )
    ]


def _synthetic(name: str, clips: Json) -> Iterator[Verdict]:
    fits = clips["about"]["frames"] == [CLIP_FRAMES] and clips["about"]["sizes"] == [SYNTHETIC_SIZE]
    best = max(_klt(clips), key=lambda klt: _mean(klt, "average_jaccard"))
    ours = _tracker(clips, name)
    where = f"{clips['name']}: "

    needed, reached = _mean(best, "average_jaccard") + SYNTHETIC_AJ_LEAD, _mean(ours, "average_jaccard")
    text = f"{where}AJ, {best['name']} plus {100 * SYNTHETIC_AJ_LEAD:.0f}"
    yield Verdict(
        name, text, _at_least(needed), _percent(reached), _reaches(reached, needed) if fits else None
    )

    metric = "return_pts_within_thresh"
    needed, reached = SYNTHETIC_RETURN_FACTOR * _mean(best, metric), _mean(ours, metric)
    text = f"{where}δ after re-appearance, {SYNTHETIC_RETURN_FACTOR:.0f} times {best['name']}"
    yield Verdict(
        name, text, _at_least(needed), _percent(reached), _reaches(reached, needed) if fits else None
    )

    # Revised answers of any settings of the same network, so that a run without revisions proves nothing.
    revised = max(
        _mean(tracker, "average_jaccard", "final")
        for tracker in clips["trackers"]
        if tracker["weights"] == ours["weights"]
    )
    needed, reached = revised - REVISION_LEAD, _mean(ours, "average_jaccard")
    text = f"{where}AJ of first answers, best revised ones less {100 * REVISION_LEAD:.0f}"
    yield Verdict(
        name, text, _at_least(needed), _percent(reached), _reaches(reached, needed) if fits else None
    )


def _static(name: str, sets: list[Json]) -> Iterator[Verdict]:
    fits = all(
        s["about"]["frames"] == [CLIP_FRAMES] and set(STATIC_STARTS) <= set(s["about"].get("starts", []))
        for s in sets
    )

    def mean_over_clips(tracker: str) -> float:
        return _over_clips([_tracker(s, tracker) for s in sets], "average_jaccard")

    everywhere = [klt["name"] for klt in _klt(sets[0]) if all(_has(s, klt["name"]) for s in sets)]
    best = max(everywhere, key=mean_over_clips)
    needed, reached = mean_over_clips(best) + STATIC_AJ_LEAD, mean_over_clips(name)
    text = f"static scenes: mean AJ, {best} plus {100 * STATIC_AJ_LEAD:.0f}"
    yield Verdict(
        name, text, _at_least(needed), _percent(reached), _reaches(reached, needed) if fits else None
    )


def _palindrome(name: str, video: Json) -> Iterator[Verdict]:
    ours = _tracker(video, name)
    for metric, words in (("home_error_median", "median"), ("home_error_mean", "mean")):
        needed = min(_mean(klt, metric, worst=np.inf) for klt in _klt(video))
        reached = _mean(ours, metric, worst=np.inf)
        yield Verdict(
            name,
            f"{video['name']}: {words} home error, no worse than KLT's",
            f"≤ {needed:.2f} px",
            f"{reached:.2f} px",
            reached <= needed,
        )
    needed = max(_mean(klt, "home_survival") for klt in _klt(video))
    reached = _mean(ours, "home_survival")
    text = f"{video['name']}: survival, no worse than KLT's"
    yield Verdict(name, text, _at_least(needed), _percent(reached), _reaches(reached, needed))


def _klt(results: Json) -> list[Json]:
    return [tracker for tracker in results["trackers"] if tracker["weights"] == KLT]


def _has(results: Json, name: str) -> bool:
    return any(tracker["name"] == name and tracker["first"] for tracker in results["trackers"])


def _tracker(results: Json, name: str) -> Json:
    return next(tracker for tracker in results["trackers"] if tracker["name"] == name)


def _mean(tracker: Json, metric: str, which: str = "first", *, worst: float = -np.inf) -> float:
    """Mean of a metric; what could not be counted, or was infinite, is as bad as can be."""
    value = (tracker[which] or {"mean": {}})["mean"].get(metric)
    return worst if value is None else float(value)


def _over_clips(trackers: list[Json], metric: str) -> float:
    values = [clip["metrics"][metric] for tracker in trackers for clip in tracker["first"]["clips"]]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else -np.inf


def _reaches(reached: float, needed: float) -> bool:
    return bool(np.isfinite(reached) and np.isfinite(needed) and reached >= needed)


def _at_least(share: float) -> str:
    return f"≥ {_percent(share)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if np.isfinite(share) else "nothing"
