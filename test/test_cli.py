import subprocess
import sys
import textwrap
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cotracker_ros import __version__, cli
from cotracker_ros.recordings import open_recording
from cotracker_ros.recordings.errors import RecordingError
from cotracker_ros.recordings.options import add_tracker_arguments, config_from
from cotracker_ros.tracking.config import TrackerConfig


def run(capsys, *arguments):
    """Return the exit code, stdout and stderr of a command."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def video(tmp_path):
    """A texture that moves one pixel to the right in each of 12 images."""
    folder = tmp_path / "images"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (96, 160, 3), dtype=np.uint8)
    noise = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    for i in range(12):
        cv2.imwrite(str(folder / f"{i}.png"), noise[:, 20 - i : 148 - i])
    return folder


def fake_command(monkeypatch, run_command, add_arguments=lambda parser: None):
    module = SimpleNamespace(add_arguments=add_arguments, run=run_command)
    monkeypatch.setitem(sys.modules, "fake_command", module)
    monkeypatch.setitem(cli._COMMANDS, "fake", ("fake_command", "pretend"))


def test_help_names_all_commands(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name in ("demo", "replay", "track", "bench"):
        assert f"\n    {name} " in out


def test_version(capsys):
    assert run(capsys, "--version")[:2] == (0, f"cotracker_ros {__version__}\n")


def test_without_a_command_help_is_shown(capsys):
    code, out, _ = run(capsys)
    assert code == 2
    assert "replay" in out


def test_help_imports_nothing_heavy():
    program = """
        import sys
        from cotracker_ros.cli import main
        try:
            main(["--help"])
        except SystemExit:
            print([name for name in ("numpy", "cv2", "torch", "rosbags", "yaml") if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["replay", "track"])
def test_the_help_of_a_command_needs_no_torch(command):
    program = f"""
        import sys
        from cotracker_ros.cli import main
        try:
            main(["{command}", "--help"])
        except SystemExit:
            print("torch" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
    assert "--update-every" in done.stdout


class TestErrors:
    def test_a_mistake_of_the_user_is_one_line(self, capsys, tmp_path):
        code, out, err = run(capsys, "replay", tmp_path / "no.mcap", tmp_path / "out.mcap")
        assert (code, out) == (2, "")
        assert err == f"cotracker_ros: {tmp_path}/no.mcap does not exist\n"

    @pytest.mark.parametrize(
        "error", [RecordingError("no images"), FileNotFoundError(2, "No such file", "a")]
    )
    def test_deliberate_errors_are_one_line(self, capsys, monkeypatch, error):
        def fail(args):
            raise error

        fake_command(monkeypatch, fail)
        code, _, err = run(capsys, "fake")
        assert code == 2
        assert err == f"cotracker_ros: {error}\n"

    @pytest.mark.parametrize("error", [ValueError("shapes do not match"), KeyError("x"), ZeroDivisionError()])
    def test_unexpected_errors_keep_their_traceback(self, monkeypatch, error):
        def fail(args):
            raise error

        fake_command(monkeypatch, fail)
        with pytest.raises(type(error)):
            cli.main(["fake"])

    def test_a_missing_package_is_one_line(self, capsys, monkeypatch):
        def fail(args):
            import no_such_package_at_all  # noqa: F401

        fake_command(monkeypatch, fail)
        code, _, err = run(capsys, "fake")
        assert code == 2
        assert err.count("\n") == 1
        assert "'no_such_package_at_all' is needed" in err

    def test_ctrl_c_is_silent(self, capsys, monkeypatch):
        def fail(args):
            raise KeyboardInterrupt

        fake_command(monkeypatch, fail)
        assert run(capsys, "fake") == (130, "", "")

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (["--update-every", "0"], "update_every is 0; give at least 1"),
            (["--seed", "everywhere"], "seed is 'everywhere'; give one of none, grid, corners"),
            (["--backend", "klt", "--weights", "x", "--points", "nan,3"], "finite"),
            (["--tolerance", "-1"], "tolerance is -1.0 s: give 0 or more"),
            (["--config", "/nowhere.yaml"], "the parameter file /nowhere.yaml cannot be read"),
            (["--backend", "network", "--weights", "/nowhere.pth"], "nowhere.pth"),
        ],
    )
    def test_settings_that_will_not_do(self, capsys, tmp_path, video, options, sentence):
        code, _, err = run(capsys, "replay", video, tmp_path / "out.mcap", *options)
        assert code == 2
        assert sentence in err
        assert err.count("\n") == 1
        assert not (tmp_path / "out.mcap").exists()

    def test_a_point_that_is_none(self, capsys, tmp_path, video):
        code, _, err = run(capsys, "track", video, "--points", "3;4")
        assert code == 2
        assert "'3;4' is no point; write X,Y such as 320,240" in err

    def test_an_output_that_exists_is_not_replaced(self, capsys, tmp_path, video):
        (tmp_path / "out.mcap").write_text("precious")
        code, _, err = run(capsys, "replay", video, tmp_path / "out.mcap", "--backend", "klt")
        assert code == 2
        assert "exists already" in err
        assert (tmp_path / "out.mcap").read_text() == "precious"

    @pytest.mark.parametrize("name", ["images", "."])
    def test_the_input_is_never_replaced(self, capsys, video, name):
        code, _, err = run(capsys, "replay", video, video.parent / name, "--overwrite")
        assert code == 2
        assert "would replace the input" in err
        assert video.exists()


class TestParameterFile:
    def options(self, monkeypatch, tmp_path, text, *arguments):
        (tmp_path / "tracker.yaml").write_text(textwrap.dedent(text))
        seen = []
        fake_command(monkeypatch, lambda args: seen.append(args) or 0, add_tracker_arguments)
        assert cli.main(["fake", "--config", str(tmp_path / "tracker.yaml"), *arguments]) == 0
        return seen[0]

    PARAMETERS = """
        /**/tracker:
          ros__parameters:
            backend: klt
            update_every: 1
            visible_threshold: 0
            queue_size: 3
    """

    def test_it_gives_the_defaults_and_the_command_line_wins(self, monkeypatch, tmp_path):
        args = self.options(monkeypatch, tmp_path, self.PARAMETERS, "--update-every", "2")
        config = config_from(args, TrackerConfig)
        assert args.backend == "klt"
        assert (config.update_every, config.visible_threshold) == (2, 0.0)

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("a: b: c", "cannot be read"),
            ("[1, 2]", "is no ROS parameter file"),
            ("tracker: {rate: 3}", "is no ROS parameter file"),
            (
                "tracker: {ros__parameters: {iterations: many}}",
                "iterations is 'many'; give a value of type int",
            ),
            (
                "tracker: {ros__parameters: {backend: magic}}",
                "backend is 'magic'; give one of auto, network, klt",
            ),
        ],
    )
    def test_files_that_make_no_sense(self, capsys, monkeypatch, tmp_path, text, sentence):
        (tmp_path / "a.yaml").write_text(text)
        fake_command(monkeypatch, lambda args: 0, add_tracker_arguments)
        code, _, err = run(capsys, "fake", "--config", tmp_path / "a.yaml")
        assert code == 2
        assert sentence in err
        assert err.count("\n") == 1


class TestTrack:
    def test_points_of_a_video(self, capsys, tmp_path, video):
        out = tmp_path / "new" / "results"
        arguments = ["--backend", "klt", "--points", "40,48", "90.5,30", "--out", out]
        code, text, err = run(capsys, "track", video, *arguments)
        assert (code, err) == (0, "")
        assert "12 images, 12 answered, 2 tracks" in text
        with np.load(out / "tracks.npz") as arrays:
            moved = arrays["xy"] - arrays["xy"][0]
            expected = np.stack([np.arange(12), np.zeros(12)], axis=1)[:, None]
            np.testing.assert_allclose(moved, np.broadcast_to(expected, moved.shape), atol=0.1)
        assert len((out / "tracks.csv").read_text().splitlines()) == 1 + 12 * 2
        overlay = open_recording(out / "overlay.mp4")
        images = [event.image for event in overlay.events()]
        assert len(images) == 12
        assert images[0].shape == (96, 128, 3)

    @pytest.mark.parametrize(
        ("arguments", "count"), [(["--grid", "32"], 12), (["--corners", "5"], 5), ([], None)]
    )
    def test_queries_of_the_first_image(self, capsys, tmp_path, video, arguments, count):
        code, _, _ = run(capsys, "track", video, "--backend", "klt", "--out", tmp_path / "out", *arguments)
        assert code == 0
        with np.load(tmp_path / "out" / "tracks.npz") as arrays:
            assert len(arrays["ids"]) == count if count else len(arrays["ids"]) > 100

    @pytest.mark.parametrize(
        "arguments", [["--grid", "-1"], ["--points", "500,20"], ["--trail-length", "-3"]]
    )
    def test_queries_that_make_no_sense(self, capsys, tmp_path, video, arguments):
        code, _, err = run(capsys, "track", video, "--backend", "klt", "--out", tmp_path / "out", *arguments)
        assert code == 2
        assert err.count("\n") == 1


def test_replay_writes_all_it_is_asked_for(capsys, tmp_path, video):
    files = [tmp_path / "bag", tmp_path / "tables" / "a.csv", tmp_path / "tables" / "a.npz"]
    options = [
        "--backend",
        "klt",
        "--seed-count",
        "30",
        "--csv",
        files[1],
        "--npz",
        files[2],
        "--with-inputs",
    ]
    code, text, err = run(capsys, "replay", video, files[0], *options)
    assert (code, err) == (0, "")
    assert "12 images, 12 answered" in text
    assert all(file.exists() for file in files)
    again = open_recording(tmp_path / "bag")
    assert again.summary.images == 12
    assert "/tracker/tracks" in again.summary.topics
    assert run(capsys, "replay", video, files[0], "--backend", "klt", "--overwrite")[0] == 0
