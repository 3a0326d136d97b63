#!/usr/bin/env python3
"""Write config/*.yaml and the lists of docs/parameters.md from what the nodes declare.

Usage: scripts/in_env.sh kilted python scripts/write_parameters.py
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import rclpy

from cotracker_ros.nodes.lifter_node import LifterNode
from cotracker_ros.nodes.managed_node import ManagedNode
from cotracker_ros.nodes.player_node import PlayerNode
from cotracker_ros.nodes.tracker_node import TrackerNode

ROOT = Path(__file__).resolve().parents[1]
NODES: dict[str, type[ManagedNode]] = {"tracker": TrackerNode, "lifter": LifterNode, "player": PlayerNode}
_WIDTH = 104


def takes_effect(node: ManagedNode, parameter: str) -> str:
    """Say when a change takes effect."""
    described = node.describe_parameter(parameter)
    if described.read_only:
        return "at start"
    return "at configure" if described.additional_constraints else "yes"


def write_config(name: str, node: ManagedNode) -> None:
    """Write a node's parameter file; the comment at its head stays."""
    path = ROOT / "config" / f"{name}.yaml"
    head = path.read_text().split("/**:")[0]
    lines = ["/**:", "  ros__parameters:"]
    for parameter in node.parameters.names:
        text = node.describe_parameter(parameter).description
        if takes_effect(node, parameter) == "yes":
            text += " (live)"
        comment = textwrap.wrap(text, _WIDTH, initial_indent="    # ", subsequent_indent="    # ")
        lines += [*comment, f"    {parameter}: {json.dumps(node.get_parameter(parameter).value)}"]
    path.write_text(head + "\n".join(lines) + "\n")


def write_table(name: str, node: ManagedNode) -> None:
    """Write a node's table into the page of parameters; what stands before and after it stays."""
    path = ROOT / "docs" / "parameters.md"
    before, section = path.read_text().split(f"## {name}_node\n")
    rows = [
        f"| `{parameter}` | `{json.dumps(node.get_parameter(parameter).value)}` | "
        f"{takes_effect(node, parameter)} | {node.describe_parameter(parameter).description} |"
        for parameter in node.parameters.names
    ]
    lines = section.split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith("| ---")) + 1
    last = next((i for i in range(first, len(lines)) if not lines[i].startswith("|")), len(lines))
    path.write_text(before + f"## {name}_node\n" + "\n".join([*lines[:first], *rows, *lines[last:]]))


def main() -> None:
    """Write all of them."""
    rclpy.init()
    for name, node_class in NODES.items():
        node = node_class()
        write_config(name, node)
        write_table(name, node)
        node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
