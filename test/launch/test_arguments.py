"""What can be said about the launch files without launch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def declared(path: Path) -> dict[str, dict[str, ast.expr]]:
    """Keywords of each declared argument, with those of the launch files it includes."""
    tree = ast.parse(path.read_text())
    found = {}
    for call in calls(tree, "DeclareLaunchArgument"):
        name = call.args[0]
        assert isinstance(name, ast.Constant)
        assert name.value not in found
        found[name.value] = {keyword.arg or "": keyword.value for keyword in call.keywords}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and str(node.value).endswith(".launch.py"):
            found = declared(path.parent / node.value) | found
    return found


def test_the_launch_files_are_there() -> None:
    assert [path.name.split(".")[0] for path in FILES] == ["reconstruction", "replay", "tracker"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_argument_has_a_default_and_a_description(path: Path) -> None:
    for name, keywords in declared(path).items():
        assert set(keywords) == {"default_value", "description"}, name
        description = ast.literal_eval(keywords["description"])
        assert description.endswith(".") and len(description) > 15, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_argument_that_is_read_is_declared(path: Path) -> None:
    bringup = ast.parse((ROOT / "cotracker_ros" / "bringup.py").read_text())
    read = [
        call.args[0]
        for tree in (ast.parse(path.read_text()), bringup)
        for call in calls(tree, "LaunchConfiguration")
    ]
    names = {node.value for node in read if isinstance(node, ast.Constant)}
    assert names
    assert names <= set(declared(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and str(node.value).endswith((".yaml", ".rviz")):
            assert (ROOT / "config" / node.value).is_file(), node.value


def test_rviz_shows_what_the_nodes_publish() -> None:
    config = yaml.safe_load((ROOT / "config" / "cotracker.rviz").read_text())
    displays = config["Visualization Manager"]["Displays"]
    topics = {display["Topic"]["Value"] for display in displays if "Topic" in display}
    assert topics == {"tracker/overlay", "lifter/points", "lifter/markers", "lifter/map"}
