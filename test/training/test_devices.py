"""Training elsewhere than on the CPU: on a device that holds nothing, but does not mix with another one."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drifting import drifting_clip

from cotracker_ros.model import CoTracker3, CoTracker3Config
from cotracker_ros.training.config import DataConfig, TrainConfig
from cotracker_ros.training.forward import sample_losses
from cotracker_ros.training.samples import Sample, streamed_sample, unrolled_sample
from cotracker_ros.training.snapshots import RunState, load_snapshot, save_snapshot

ONLINE = CoTracker3Config(
    window=4, stem_width=8, stage_widths=(8, 8, 8, 8), head_width=8, feature_width=8, corr_levels=2,
    corr_radius=1, support_radius=1, corr_hidden=8, corr_width=8, hidden=16, heads=2, depth=1, mlp_ratio=1.0,
    virtual_tracks=2,
)  # fmt: skip
OFFLINE, CAUSAL = replace(ONLINE, offline=True), replace(ONLINE, causal=True)


def sample_for(config: TrainConfig) -> Sample:
    cut = unrolled_sample if config.starts == "query" else streamed_sample
    sample = cut(drifting_clip(0, frames=8, tracks=40), config, np.random.default_rng(0))
    assert sample is not None
    return sample


@pytest.mark.parametrize(
    ("model", "starts"), [(ONLINE, "query"), (OFFLINE, "query"), (CAUSAL, "lucas_kanade")]
)
def test_everything_of_a_step_is_on_the_device_of_the_network(
    model: CoTracker3Config, starts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # this device has none
    data = DataConfig(frames=8, window=6, sizes=((48, 32),), tracks=12, workers=0)
    config = TrainConfig(model=model, data=data, starts=starts, iterations=2)
    sample = sample_for(config)
    network = CoTracker3(model).to("meta")
    losses = sample_losses(network, sample.to(torch.device("meta")), config)
    torch.stack(list(losses.values())).sum().backward()
    assert {part.grad.device.type for part in network.parameters() if part.grad is not None} == {"meta"}


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_a_run_goes_on_where_it_computes(tmp_path: Path) -> None:
    def run(device: str) -> RunState:
        network = torch.nn.Linear(2, 2, device=device)
        average = {name: part.detach().clone() for name, part in network.state_dict().items()}
        return RunState(network, average, torch.optim.AdamW(network.parameters()), 3)

    save_snapshot(run("cpu"), TrainConfig(), tmp_path)
    elsewhere = run("meta")
    assert load_snapshot(elsewhere, TrainConfig(), tmp_path)
    assert {part.device.type for part in elsewhere.average.values()} == {"meta"}
