"""Every preset trains: one step of it, with a network and clips that are small."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drifting import drifting_clip
from kubric import write_kubric

from cotracker_ros.model import CoTracker3, CoTracker3Config, checkpoints
from cotracker_ros.training import trainer
from cotracker_ros.training.config import TrainConfig, preset_names, read_config
from cotracker_ros.training.label_cache import CachedLabels, ClipRecord, save_clip, write_list
from cotracker_ros.training.pseudo_labels import PseudoLabels

NETWORK = {
    "window": 8, "stem_width": 8, "stage_widths": [8, 8, 8, 8], "head_width": 8, "feature_width": 8,
    "corr_levels": 2, "corr_radius": 1, "support_radius": 1, "corr_hidden": 8, "corr_width": 8, "hidden": 16,
    "heads": 2, "depth": 1, "mlp_ratio": 1.0, "virtual_tracks": 2,
}  # fmt: skip
TINY = {f"model.{name}": value for name, value in NETWORK.items()} | {
    "data.sizes": [[64, 48]], "data.tracks": 16, "data.workers": 0, "data.window": 8,
    "data.photographs": False, "data.frames": 12, "steps": 1, "evaluate_every": 0,
}  # fmt: skip


def kubric(folder: Path) -> dict[str, object]:
    write_kubric(folder, "0000", drifting_clip(frames=30, size=(96, 64), tracks=40))
    return {"data.path": str(folder)}


def labels(folder: Path) -> dict[str, object]:
    clip = drifting_clip(frames=16, size=(96, 64), tracks=40)
    chosen = np.zeros(clip.visible.shape, np.int8)
    record = ClipRecord("lab.bag", tuple(range(16)), clip.size, ("truth",), {}, "settings")
    queries = np.concatenate([np.zeros((40, 1)), clip.xy[0]], 1).astype(np.float32)
    cached = CachedLabels(record, queries, PseudoLabels(clip.xy, clip.visible, clip.known, chosen))
    save_clip(folder / "one.safetensors", clip.frames, cached)
    write_list(folder, {"one.safetensors": "settings"})
    return {"data.path": str(folder)}


def tiny(name: str, folder: Path) -> TrainConfig:
    """A preset with small numbers, data to train on, and weights to start from where it names some."""
    preset = read_config(name)
    changes = dict(TINY)
    if preset.data.least_frames:
        changes["data.least_frames"] = 10
    if preset.data.source != "synthetic":
        changes |= {"kubric": kubric, "labels": labels}[preset.data.source](folder / "data")
    if preset.initial or preset.starts == "rollout":
        model = CoTracker3Config(
            **NETWORK
            | {
                "stage_widths": (8, 8, 8, 8),
                "causal": preset.model.causal,
                "offline": preset.model.offline,
            },
            motion_height=preset.model.motion_height,
            motion_width=preset.model.motion_width,
        )
        changes["initial"] = str(folder / "first.safetensors")
        checkpoints.save(CoTracker3(model), model, folder / "first.safetensors")
    return read_config(name, changes)


@pytest.mark.parametrize("name", preset_names())
def test_a_step_of_every_preset(name: str, tmp_path: Path) -> None:
    config = tiny(name, tmp_path)
    before = trainer.averaged(trainer.new_run(config, torch.device("cpu"))).state_dict()
    after = trainer.train(config, tmp_path / "run", device=torch.device("cpu")).state_dict()
    moved = {part for part, tensor in before.items() if not torch.equal(tensor, after[part])}
    assert "updateformer.flow_head.weight" in moved
    assert ("updateformer.vis_conf_head.weight" in moved) is not config.loss.freeze_visibility
    assert any(part.startswith("verifier") for part in after) is (config.verifier_clips > 0)
    assert all(torch.isfinite(part).all() for part in after.values())


@pytest.mark.parametrize(("name", "offline"), [("cotracker3_online", False), ("cotracker3_offline", True)])
def test_the_first_stage_is_as_published(name: str, offline: bool) -> None:
    config = read_config(name)
    assert config.model == CoTracker3Config(offline=offline, window=60 if offline else 16)
    loss = config.loss
    assert (loss.visible, loss.hidden, loss.visibility, loss.confidence) == (0.05, 0.01, 1, 1)
    assert (loss.gamma, loss.huber, loss.close, loss.hidden_balance, loss.features) == (0.8, 6, 12, 1, 0)
    assert not loss.masked
    assert (config.data.frames, config.data.tracks) == ((59, 512) if offline else (64, 384))
    assert (config.rate, config.weight_decay, config.clip_norm, config.warm_up) == (5e-4, 5e-4, 1.0, 0.05)
    assert (config.steps, config.iterations, config.schedule) == (50_000, 4, "one_cycle")


@pytest.mark.parametrize("kind", ["online", "offline"])
def test_the_second_stage_is_as_published(kind: str) -> None:
    config = read_config(f"cotracker3_distil_{kind}")
    assert config.model == read_config(f"cotracker3_{kind}").model
    frames = config.data.least_frames, config.data.frames
    assert frames == {"online": (0, 64), "offline": (40, 79)}[kind]
    assert config.data.tracks == 384
    assert config.loss.freeze_visibility
    assert (config.loss.visibility, config.loss.confidence) == (0, 0)
    assert (config.rate, config.weight_decay, config.clip_norm, config.warm_up) == (5e-5, 1e-5, 10.0, 0)
