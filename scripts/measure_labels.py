"""How good are labels, chosen at random, by rules, or by the verifier? Measured against exact or true tracks.

Prints a table in Markdown. "random" is what drawing one of the teachers for each clip gives in the mean.
Queries themselves and entries whose truth is not known are not counted.

Usage: python scripts/measure_labels.py --synthetic 12 --static-scene redkitchen
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from cotracker_ros.evaluation.datasets.static_scene import static_scene_clips
from cotracker_ros.synthetic.training_clip import ClipConfig, training_clip
from cotracker_ros.tracking.labelled import LabelledClip
from cotracker_ros.training.answers import ask_all
from cotracker_ros.training.label_fitting import early_queries, errors, fitting_clips, to_judge
from cotracker_ros.training.labelling import choose
from cotracker_ros.training.named_teachers import make_teachers
from cotracker_ros.training.pseudo_labels import LabelConfig, PseudoLabels, label_by_one
from cotracker_ros.training.teachers import Teacher

HELD_OUT = ClipConfig(frames=32, width=256, height=256, tracks=64, held_out=True)
FIRST_SEED = 2_000_000  # neither those that choose a training run nor those of `cotracker_ros evaluate`
UNFITTED = 100_000  # clips as the verifier was fitted on, but others: to choose the least reliability by
STARTS = (0, 50, 100, 150)
NEAR = (2, 4, 8)  # px at 256x256
HEAD = f"""| clips | labels | visible entries labelled | {" | ".join(f"within {d} px" for d in NEAR)} | \
visible, as labelled | hidden entries labelled | hidden, as labelled |
| --- | --- |{" ---: |" * (len(NEAR) + 4)}"""


def counted(clip: LabelledClip, track: np.ndarray, queries: np.ndarray, labels: PseudoLabels) -> np.ndarray:
    """Count (visible, labelled so, within each of `NEAR`; called visible; hidden, labelled so, called so)."""
    known, visible = to_judge(clip, track, queries), clip.visible[:, track]
    called, hidden = known & labels.known & labels.visible, known & labels.known & ~labels.visible
    both, far = called & visible, errors(clip, track, labels.xy)
    within = [(both & (far < distance)).sum() for distance in NEAR]
    counts = [known & visible, both, called, known & ~visible, hidden & ~visible, hidden]
    return np.array([*(count.sum() for count in counts), *within], float)


def ways(reliabilities: list[float]) -> dict[str, LabelConfig]:
    """Ways to choose from all teachers' answers, by name."""
    verified = {
        f"verified, {least:g}": LabelConfig("verified", min_reliability=least) for least in reliabilities
    }
    return {"reliable": LabelConfig("reliable")} | verified


def measure(
    name: str, clips: Iterable[LabelledClip], teachers: list[Teacher], reliabilities: list[float]
) -> Iterator[str]:
    """Yield the lines of a table."""
    totals: dict[str, np.ndarray] = {}
    for clip in clips:
        track, queries = early_queries(clip)
        answers, failures = ask_all(teachers, clip.frames, queries, LabelConfig())
        if failures:
            raise SystemExit(f"teachers failed on {clip.name}: {failures}")
        made = {
            f"only {teachers[answer.teacher].name}": label_by_one(
                answer.teacher, answer.tracks, queries, clip.size, LabelConfig()
            )
            for answer in answers
        }
        for way, config in ways(reliabilities).items():
            made[way] = choose(answers, clip.frames, queries, config)
        for way, labels in made.items():
            totals[way] = totals.get(way, 0) + counted(clip, track, queries, labels)
    drawn = sum(total for way, total in totals.items() if way.startswith("only "))
    for way, total in ({"random": drawn} | totals).items():
        visible, both, called, hidden, right, told, *within = total
        shares = [both / visible, *(count / both for count in within), both / called]
        shares += [right / hidden, right / told if told else np.nan]
        cells = ("" if np.isnan(share) else f"{100 * share:.1f} %" for share in shares)
        yield f"| {name} | {way} | {' | '.join(cells)} |"


def main(args: argparse.Namespace) -> None:
    """Print the table."""
    teachers = make_teachers(args.teachers, "cpu")
    print(HEAD)
    if args.choosing:
        clips = fitting_clips(args.choosing, UNFITTED)
        print(*measure("for choosing", clips, teachers, args.min_reliability), sep="\n", flush=True)
    if args.synthetic:
        clips = (training_clip(FIRST_SEED + number, HELD_OUT) for number in range(args.synthetic))
        print(*measure("synthetic, held out", clips, teachers, args.min_reliability), sep="\n", flush=True)
    if args.static_scene:
        clips = static_scene_clips(args.static_scene, starts=STARTS, count=HELD_OUT.tracks)
        lines = measure(args.static_scene.name, clips, teachers, args.min_reliability)
        print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    parser = argparse.ArgumentParser(description="Measure labels against the truth.")
    parser.add_argument("--teachers", nargs="+", default=["klt", "default"], metavar="NAME")
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="held-out synthetic clips")
    parser.add_argument(
        "--choosing", type=int, default=0, metavar="N", help="clips to choose the least reliability by"
    )
    parser.add_argument("--static-scene", type=Path, metavar="DIR", help="as for `cotracker_ros evaluate`")
    parser.add_argument(
        "--min-reliability", nargs="+", type=float, default=[LabelConfig.min_reliability], metavar="P"
    )
    main(parser.parse_args())
