"""What can be said about the launch files without launch."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def rviz_displays() -> list[dict[str, Any]]:
    config = yaml.safe_load((ROOT / "config" / "cotracker.rviz").read_text())
    return config["Visualization Manager"]["Displays"]


def foxglove_panels() -> dict[str, dict[str, Any]]:
    return json.loads((ROOT / "config" / "foxglove.json").read_text())["configById"]


def published() -> set[str]:
    """Topics that the nodes publish, as far as their names stand in the code."""
    sources = (path.read_text() for path in (ROOT / "cotracker_ros" / "nodes").glob("*.py"))
    return {name for source in sources for name in re.findall(r'"~/(?:\{\w+\})?(\w+)"', source)}


def test_rviz_shows_all_that_the_nodes_publish_for_eyes() -> None:
    topics = {display["Topic"]["Value"] for display in rviz_displays() if "Topic" in display}
    assert topics == {
        "tracker/overlay",
        "lifter/points",
        "lifter/markers",
        "lifter/map",
        "lifter/odometry",
    }
    assert {topic.split("/")[1] for topic in topics} <= published()


def test_every_rviz_display_is_of_a_kind_for_its_topic_and_says_how_it_listens() -> None:
    kinds = {"overlay": "Image", "markers": "MarkerArray", "odometry": "Odometry"}
    for display in rviz_displays():
        assert display["Class"].startswith("rviz_default_plugins/") and display["Enabled"], display["Name"]
        if "Topic" in display:
            name = display["Topic"]["Value"].split("/")[1]
            assert display["Class"].split("/")[1] == kinds.get(name, "PointCloud2")
            policies = {"Depth", "Durability Policy", "History Policy", "Reliability Policy", "Value"}
            assert set(display["Topic"]) == policies
            # Hundreds of kB in many packets: sent best effort, messages get lost, and RViz warns.
            assert name != "markers" or display["Topic"]["Reliability Policy"] == "Reliable"


def test_viewers_switch_namespaces_that_markers_have() -> None:
    source = (ROOT / "cotracker_ros" / "messages" / "markers.py").read_text()
    listed = source.split("The namespaces: ")[1].split('"""')[0]
    known = set(re.findall(r"[a-z_]+(?=[,. (])", re.sub(r"\([^)]*\)", "", listed)))
    (markers,) = (item for item in rviz_displays() if item["Class"].endswith("/MarkerArray"))
    assert set(markers["Namespaces"]) == known
    for panel in ("3D!scene", "Image!camera"):
        assert set(foxglove_panels()[panel]["topics"]["/lifter/markers"]["namespaces"]) <= known


def test_foxglove_shows_topics_of_a_replay() -> None:
    layout = json.loads((ROOT / "config" / "foxglove.json").read_text())
    assert set(layout) == {"configById", "globalVariables", "layout", "playbackConfig", "userNodes"}
    panels = foxglove_panels()

    def leaves(tree: Any) -> set[str]:
        return {tree} if isinstance(tree, str) else leaves(tree["first"]) | leaves(tree["second"])

    assert leaves(layout["layout"]) == set(panels)
    assert set(panels["3D!scene"]["topics"]) == {"/lifter/points", "/lifter/markers", "/lifter/map"}
    assert set(panels["Image!camera"]["topics"]) == {"/lifter/points", "/lifter/markers"}
    written = (ROOT / "cotracker_ros" / "recordings" / "outputs.py").read_text()
    assert all(f'"{topic}"' in written for topic in panels["3D!scene"]["topics"])
    for curve in panels["Plot!odometry"]["paths"]:
        assert curve["value"].startswith("/lifter/odometry.")
