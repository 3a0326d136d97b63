"""Fit the verifier of labels, `cotracker_ros distill --labels verified`, and take it into the package.

The same machine and versions give the same file.

Usage: python scripts/fit_label_verifier.py
"""

import argparse

import torch

from cotracker_ros.training.label_fitting import fit_label_verifier, fitting_clips
from cotracker_ros.training.label_verifier import FILE, save_verifier

CLIPS = 26


def main(count: int) -> None:
    """Write the verifier."""
    verifier = fit_label_verifier(fitting_clips(count))
    save_verifier(verifier)
    FILE.chmod(0o644)
    parameters = sum(part.numel() for part in verifier.parameters())
    print(f"{FILE}: {parameters} parameters, {FILE.stat().st_size / 1e3:.1f} kB")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    parser = argparse.ArgumentParser(description="Fit the verifier of labels.")
    parser.add_argument("--clips", type=int, default=CLIPS, metavar="N", help=f"to fit it on [{CLIPS}]")
    main(parser.parse_args().clips)
