"""Settings of a run: presets, files and changes on the command line, and what is said of wrong ones."""

from pathlib import Path

import pytest

from cotracker_ros.training.config import TrainConfig, TrainingError, preset_names, read_config


def write(folder: Path, text: str) -> str:
    path = folder / "run.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid(name: str) -> None:
    assert isinstance(read_config(name), TrainConfig)


def test_a_file_gives_settings_and_the_rest_has_defaults(tmp_path: Path) -> None:
    text = "rate: 6e-4\nmodel: {depth: 2, stage_widths: [8, 8, 16, 16]}\ndata: {sizes: [[64, 48]]}\n"
    config = read_config(write(tmp_path, text))
    assert config.rate == 6e-4  # which YAML takes for a word
    assert (config.model.depth, config.model.stage_widths) == (2, (8, 8, 16, 16))
    assert config.data.sizes == ((64, 48),)
    assert config.steps == TrainConfig().steps


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, "")) == TrainConfig()


def test_changes_win_over_the_file_also_in_sections_that_it_lacks(tmp_path: Path) -> None:
    path = write(tmp_path, "steps: 5\nloss: {gamma: 0.5}\n")
    config = read_config(path, {"steps": 7, "loss.huber": 2, "data.source": "labels", "data.path": "here"})
    assert (config.steps, config.loss.gamma, config.loss.huber) == (7, 0.5, 2.0)
    assert (config.data.source, config.data.path) == ("labels", "here")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stepps: 5", "the setting 'stepps' is unknown; known are .*steps"),
        ("data: {siezs: [[64, 64]]}", "the setting 'data.siezs' is unknown; known are .*sizes"),
        ("1: 2", "the setting '1' is unknown"),
        ("steps: many", "steps is 'many'; give a value of type int"),
        ("steps: 1.5", "steps is 1.5; give a value of type int"),
        ("loss: {freeze_visibility: 1}", "loss.freeze_visibility is 1; give a value of type bool"),
        ("data: 5", "data is 5; give settings below it"),
        ("data:", "data is None; give settings below it"),
        ("data: {sizes: 160}", "data.sizes is 160; give a value of type tuple"),
        ("data: {sizes: [160, 160]}", r"data.sizes holds 160; give \[width, height\]"),
        ("data: {sizes: [[160, large]]}", "data.sizes is .*; give whole numbers"),
        ("data: {sizes: []}", "data.sizes is empty"),
        ("data: {sizes: [[162, 160]]}", "holds 162x160; give multiples of the network's stride, 4"),
        ("data: {source: youtube}", "data.source is 'youtube'; give synthetic, kubric or labels"),
        ("data: {source: kubric}", "data.source is 'kubric' without a folder; give data.path"),
        ("data: {window: 31}", "data.window is 31; give 2 to data.frames frames"),
        ("data: {least_frames: 20}", "data.least_frames is 20; give 0 or data.window to data.frames"),
        ("data: {max_stride: 0}", "data.max_stride is 0; give at least 1"),
        ("data: {late: 1.5}", "data.late is 1.5; give a share"),
        ("model: {depth: 0}", "model.depth is 0; give a number above 0"),
        ("model: {hidden: 10, heads: 3}", "model.hidden is 10 and heads 3"),
        (
            "starts: lucas_kanade",
            "starts is 'lucas_kanade' but the network is not causal; give starts: query",
        ),
        ("starts: here", "starts is 'here'; give one of query, lucas_kanade, rollout"),
        ("schedule: flat", "schedule is 'flat'; give one of one_cycle, cosine, trapezoid"),
        ("precision: fp16", "precision is 'fp16'; give fp32 or bf16"),
        ("rate: -1", "rate is -1.0; give a number above 0"),
        ("rate: .nan", "rate is nan; give a number above 0"),
        ("average: 1", "average is 1.0; give a decay"),
        ("loss: {hidden: -0.1}", "loss.hidden is -0.1; give 0 or more"),
        ("loss: {gamma: 0}", "loss.gamma is 0.0; give a number above 0"),
        ("- 5", "holds no settings; write 'name: value' lines"),
        ("steps: [", "cannot be read: "),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TrainingError, match=said) as caught:
        read_config(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_files_and_presets_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no preset 'best'; give a YAML file or one of .*default"):
        read_config("best")
    with pytest.raises(TrainingError, match=r"none\.yaml cannot be read: .*No such file"):
        read_config(str(tmp_path / "none.yaml"))


def test_a_change_below_what_is_no_section() -> None:
    with pytest.raises(
        TrainingError, match=r"the setting 'steps\.most' is unknown; 'steps' holds no settings"
    ):
        read_config("default", {"steps.most": 5})
