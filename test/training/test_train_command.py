"""``cotracker_ros train`` from the command line: in one process, in two, and with wrong arguments."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from drifting import drifting_clip
from kubric import write_kubric
from safetensors import safe_open

from cotracker_ros import cli
from cotracker_ros.model import CoTracker3, checkpoints
from cotracker_ros.training import train_command
from cotracker_ros.training.config import read_config
from cotracker_ros.training.snapshots import SNAPSHOT
from cotracker_ros.training.trainer import LOG, WEIGHTS, averaged, new_run

SETTINGS = """
model: {
  window: 8, stem_width: 8, stage_widths: [8, 8, 8, 8], head_width: 8, feature_width: 8, corr_levels: 2,
  corr_radius: 1, support_radius: 1, corr_hidden: 8, corr_width: 8, hidden: 16, heads: 2, depth: 1,
  mlp_ratio: 1.0, virtual_tracks: 2,
}
data: {source: kubric, frames: 8, window: 8, sizes: [[64, 48]], tracks: 12, workers: 0}
iterations: 1
steps: 2
schedule: trapezoid
rate: 1e-3
average: 0
precision: fp32
evaluate_every: 0
"""

# What each process of a run ends with is kept under its own name. Before, the clock of the second process is
# ahead and its time is up at once: the first must not begin alone.
ONE_OF_MANY = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace
import torch
from cotracker_ros import cli
from cotracker_ros.model import checkpoints
from cotracker_ros.training import train_command, trainer

train = train_command.train

def keeping(config, out, **others):
    ahead = 3600.0 * int(os.environ["RANK"])
    trainer.time = SimpleNamespace(time=lambda: time.time() + ahead)
    stopped = train(config, out, **others | {"stop_at": time.time() + 1800})
    trainer.time = time
    network = train(config, out, **others)
    assert not torch.equal(stopped.corr_mlp.fc1.weight, network.corr_mlp.fc1.weight)
    checkpoints.save(network, config.model, out / f"rank{os.environ['RANK']}.safetensors")
    return network

train_command.train = keeping
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    for name in ("0000", "0001"):
        clip = drifting_clip(int(name), frames=12, size=(96, 64), tracks=40)
        write_kubric(tmp_path / "movi_f", name, clip)
    path = tmp_path / "tiny.yaml"
    path.write_text(SETTINGS.replace("kubric,", f"kubric, path: {tmp_path / 'movi_f'},"))
    return path


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    try:
        code = cli.main(["train", *map(str, arguments)])
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_a_run_ends_with_weights_and_says_where(capsys, tmp_path: Path, settings: Path) -> None:
    out = tmp_path / "new" / "run"
    code, said, _ = run(capsys, settings, "--out", out, "--device", "cpu")
    assert (code, said) == (0, f"weights: {out / WEIGHTS}\n")
    assert CoTracker3.from_checkpoint(out / WEIGHTS).config.hidden == 16
    assert (out / LOG).is_file()
    again, said, _ = run(capsys, settings, "--out", out, "--device", "cpu")
    assert (again, said) == (0, f"weights: {out / WEIGHTS}\n")


def test_without_a_folder_it_is_named_after_the_settings(
    capsys, tmp_path: Path, settings: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, settings, "--set", "steps=1")[0] == 0
    assert (tmp_path / "out" / "train" / "tiny" / WEIGHTS).is_file()


def test_a_run_whose_time_is_up_goes_on(capsys, tmp_path: Path, settings: Path, monkeypatch) -> None:
    out = tmp_path / "run"
    code, said, _ = run(capsys, settings, "--out", out, "--minutes", 1e-9)
    assert code == 0
    assert said.startswith("the time is up; the same command goes on where it stopped\nweights: ")
    assert run(capsys, settings, "--out", out)[0] == 0
    assert not torch.equal(*(flat(path) for path in (out / WEIGHTS, first_weights(settings, tmp_path))))


def first_weights(settings: Path, folder: Path) -> Path:
    config = read_config(str(settings))
    path = folder / "first.safetensors"
    checkpoints.save(averaged(new_run(config, torch.device("cpu"))), config.model, path)
    return path


def flat(path: Path) -> torch.Tensor:
    return torch.cat([part.flatten() for part in checkpoints.read(path)[1].values()])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.yaml"], "the settings none.yaml cannot be read: "),
        (["best"], "there is no preset 'best'; give a YAML file or one of "),
        (["default", "--set", "steps"], "'steps' is no setting; write NAME=VALUE such as steps=1000"),
        (
            ["default", "--set", "steps=["],
            "the value of 'steps=[' cannot be read; write it as in a YAML file",
        ),
        (["default", "--set", "steps=0"], "steps is 0; give at least 1"),
        (["default", "--set", "speed=3"], "the setting 'speed' is unknown; known are "),
        (["default", "--minutes", "-1"], "--minutes is -1; give a time above 0"),
        (["default", "--device", "abacus"], "the device 'abacus' is unknown; give "),
        (
            ["default", "--set", "data.source=kubric", "data.path=nowhere"],
            "nowhere holds no sequences: give the folder",
        ),
        (["cotracker3_distil_online", "--set", "initial=no.pth"], "no.pth"),
    ],
)
def test_wrong_arguments_are_one_sentence(capsys, tmp_path: Path, monkeypatch, arguments, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert last_line(err).startswith("cotracker_ros: ")
    assert said in last_line(err)


def test_an_interrupted_run_says_how_to_go_on(capsys, tmp_path: Path, settings: Path, monkeypatch) -> None:
    def interrupted(*arguments, **others):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "train", interrupted)
    code, out, err = run(capsys, settings, "--out", tmp_path / "run")
    assert (code, out) == (130, "")
    assert err == "interrupted; the same command goes on from the last snapshot\n"


@pytest.mark.timeout(300)  # ten seconds, but on a busy machine
def test_a_run_that_is_killed_at_some_moment_goes_on_exactly(capsys, tmp_path: Path, settings: Path) -> None:
    common = ("--device", "cpu", "--set", "steps=30", "snapshot_every=1")
    command = ["-m", "cotracker_ros.cli", "train", settings, "--out", tmp_path / "killed", *common]
    root = Path(cli.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, *map(str, command), "data.workers=1"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # with its worker
    )
    try:
        deadline = time.monotonic() + 280
        while not (tmp_path / "killed" / SNAPSHOT).is_file() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)  # somewhere in a step, or in the middle of writing a snapshot
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert 0 < saved_step(tmp_path / "killed") < 30
    for folder in ("killed", "whole"):
        assert run(capsys, settings, "--out", tmp_path / folder, *common)[0] == 0
    assert torch.equal(*(flat(tmp_path / folder / WEIGHTS) for folder in ("killed", "whole")))


def saved_step(folder: Path) -> int:
    with safe_open(folder / SNAPSHOT, framework="pt") as file:
        return int(file.metadata()["step"])


@pytest.mark.timeout(300)  # ten seconds, but three processes on a busy machine
def test_two_processes_learn_what_one_does_with_twice_the_batch(
    capsys, tmp_path: Path, settings: Path
) -> None:
    script = tmp_path / "one_of_many.py"
    script.write_text(ONE_OF_MANY)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script]
    arguments = ["train", settings, "--device", "cpu", "--out", tmp_path / "two"]
    root = Path(cli.__file__).parents[1]
    found = subprocess.run(
        [sys.executable, *map(str, [*launch, *arguments])],
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout == f"weights: {tmp_path / 'two' / WEIGHTS}\n"  # once
    first, second = (flat(tmp_path / "two" / f"rank{rank}.safetensors") for rank in (0, 1))
    assert torch.equal(first, second)
    assert run(capsys, settings, "--device", "cpu", "--out", tmp_path / "one", "--set", "batch=2")[0] == 0
    alone, before = flat(tmp_path / "one" / WEIGHTS), flat(first_weights(settings, tmp_path))
    assert float((alone - before).abs().max()) > 1e-3  # two steps at the full rate
    assert torch.allclose(first, alone, atol=1e-5)
