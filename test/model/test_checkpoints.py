import pickle

import pytest
import torch

from cotracker_ros.model import CoTracker3, CoTracker3Config, WeightsError, checkpoints, find_weights


@pytest.fixture(scope="module")
def weights():
    return CoTracker3().state_dict()


SMALL = CoTracker3Config(
    window=8, stride=8, stem_width=8, stage_widths=(8, 8, 12, 16), head_width=16, feature_width=16,
    corr_levels=3, corr_radius=1, support_radius=1, corr_hidden=16, corr_width=16, hidden=32, heads=2,
    depth=2,
    virtual_tracks=4,
)  # fmt: skip


@pytest.mark.parametrize("wrap", ["plain", "model", "module"])
def test_published_files_load_in_every_wrapping(tmp_path, weights, wrap):
    content = {f"module.{k}": v for k, v in weights.items()} if wrap == "module" else weights
    content = content if wrap == "plain" else {"model": content, "total_steps": 7}
    torch.save(content, tmp_path / "scaled_online.pth")
    model = CoTracker3.from_checkpoint(tmp_path / "scaled_online.pth")
    assert not model.config.offline
    assert torch.equal(model.fnet.conv1.weight, weights["fnet.conv1.weight"])


def test_an_offline_file_is_known_by_its_time_embedding(tmp_path):
    offline = CoTracker3(CoTracker3Config(window=60, offline=True))
    torch.save(offline.state_dict(), tmp_path / "baseline_offline.pth")
    assert CoTracker3.from_checkpoint(tmp_path / "baseline_offline.pth").config.offline


def test_own_files_carry_their_configuration(tmp_path):
    model = CoTracker3(SMALL)
    checkpoints.save(model, SMALL, tmp_path / "small.safetensors")
    again = CoTracker3.from_checkpoint(tmp_path / "small.safetensors")
    assert again.config == SMALL
    video, queries = torch.rand(1, 5, 3, 64, 64) * 255, torch.tensor([[[0.0, 30.0, 30.0]]])
    with torch.no_grad():
        assert torch.equal(model(video, queries).xy, again(video, queries).xy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("corr_mlp.fc1.bias"), "missing: corr_mlp.fc1.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra: extra"),
        (
            lambda t: t.update({"fnet.conv1.bias": torch.zeros(3)}),
            r"fnet.conv1.bias is \[3\] instead of \[64\]",
        ),
        (lambda t: t.pop("time_emb"), "missing: time_emb"),
    ],
)
def test_a_wrong_file_says_which_tensor(tmp_path, weights, change, words):
    tensors = dict(weights)
    change(tensors)
    torch.save(tensors, tmp_path / "wrong.pth")
    with pytest.raises(WeightsError, match=words):
        CoTracker3.from_checkpoint(tmp_path / "wrong.pth")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("an object was unpickled",))


BROKEN = ("bomb.pth", "noise.pth", "noise.safetensors", "empty.pth", "list.pth", "absent.pth")


@pytest.mark.parametrize("name", BROKEN)
def test_files_that_are_no_checkpoint_are_refused(tmp_path, name):
    path = tmp_path / name
    if name == "bomb.pth":
        path.write_bytes(pickle.dumps({"model": Bomb()}))
    elif name == "list.pth":
        torch.save([torch.zeros(1)], path)
    elif name != "absent.pth":
        path.write_bytes(b"" if name == "empty.pth" else b"\x80noise" * 100)
    with pytest.raises(WeightsError, match=name) as error:
        CoTracker3.from_checkpoint(path)
    assert "\n" not in str(error.value)


def test_weights_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(WeightsError, match=r"CC-BY-NC.*curl.*scaled_online.pth"):
        find_weights("scaled_online")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "scaled_online.pth").touch()
    assert find_weights("scaled_online").name == "scaled_online.pth"
    monkeypatch.setattr(checkpoints, "DEFAULT_FILE", tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match=r"missing at .*none.safetensors; install"):
        find_weights("default")
    with pytest.raises(WeightsError, match=r"no weights at .*mine.pth"):
        find_weights(str(tmp_path / "mine.pth"))


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_weights_that_cannot_be_written_leave_what_was_there(tmp_path, monkeypatch, interruption):
    path = tmp_path / "small.safetensors"
    path.write_bytes(b"before")

    def half(tensors, unfinished, metadata):
        unfinished.write_bytes(b"half")
        raise interruption

    monkeypatch.setattr(checkpoints, "save_file", half)
    with pytest.raises((KeyboardInterrupt, OSError)):
        checkpoints.save(CoTracker3(SMALL), SMALL, path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stride": 3}, "stride is 3"),
        ({"window": 7}, "window is 7"),
        ({"heads": 5}, "heads 5"),
        ({"stage_widths": (1, 2)}, "stage_widths"),
        ({"depth": 0}, "depth is 0"),
    ],
)
def test_impossible_configurations_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        CoTracker3Config(**change)


@pytest.mark.parametrize(
    ("video", "queries", "words"),
    [
        (torch.zeros(1, 4, 3, 30, 32), torch.zeros(1, 1, 3), "multiples of 8"),
        (torch.zeros(1, 4, 3, 16, 16), torch.zeros(1, 1, 3), "at least 32"),
        (torch.zeros(1, 4, 1, 32, 32), torch.zeros(1, 1, 3), "the video has the shape"),
        (torch.zeros(1, 4, 3, 32, 32), torch.zeros(1, 3), "the queries have the shape"),
        (torch.zeros(1, 4, 3, 32, 32), torch.tensor([[[4.0, 1, 1]]]), "frames 0 to 3"),
        (torch.zeros(1, 4, 3, 32, 32), torch.full((1, 1, 3), torch.nan), "not finite"),
    ],
)
def test_wrong_clips_and_queries_are_refused(video, queries, words):
    with pytest.raises(ValueError, match=words):
        CoTracker3(SMALL)(video, queries)
