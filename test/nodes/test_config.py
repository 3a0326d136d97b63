"""The parameter files and what the nodes declare say the same."""

import json
from pathlib import Path

import pytest
import rclpy
import yaml

from cotracker_ros.nodes.lifter_node import LifterNode
from cotracker_ros.nodes.player_node import PlayerNode
from cotracker_ros.nodes.tracker_node import TrackerNode

CONFIG = Path(__file__).parents[2] / "config"
NODES = [("tracker", TrackerNode), ("lifter", LifterNode), ("player", PlayerNode)]


@pytest.fixture
def context():
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.mark.parametrize("name, node_class", NODES)
def test_the_file_lists_every_parameter_with_its_default(context, name, node_class):
    node = node_class()
    listed = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())["/**"]["ros__parameters"]
    declared = {name: node.get_parameter(name).value for name in node.parameters.names}
    node.destroy_node()
    assert listed == declared
    for key, value in declared.items():
        assert type(listed[key]) is type(value), f"{key}: ROS tells 1 from 1.0"


@pytest.mark.parametrize("name, node_class", NODES)
def test_every_parameter_is_explained(context, name, node_class):
    lines = (CONFIG / f"{name}.yaml").read_text().splitlines()
    node = node_class()
    for parameter in node.parameters.names:
        at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{parameter}:"))
        assert lines[at - 1].strip().startswith("# ")
        assert node.describe_parameter(parameter).description, parameter
    node.destroy_node()


@pytest.mark.parametrize("name, node_class", NODES)
def test_the_node_starts_with_the_file(context, name, node_class):
    node = node_class(cli_args=["--ros-args", "--params-file", str(CONFIG / f"{name}.yaml")])
    node.parameters.configs()
    node.destroy_node()


@pytest.mark.parametrize("name, node_class", NODES)
def test_the_documentation_lists_the_same_defaults(context, name, node_class):
    page = (CONFIG.parent / "docs" / "parameters.md").read_text()
    section = page.split(f"## {name}_node")[1].split("\n## ")[0]
    node = node_class()
    for parameter in node.parameters.names:
        value = json.dumps(node.get_parameter(parameter).value)
        assert f"| `{parameter}` | `{value}` |" in section
    node.destroy_node()
