"""Parameters from dataclasses: types, descriptors, validation."""

from dataclasses import dataclass

import pytest
from rclpy.parameter import Parameter

from cotracker_ros.nodes.parameters import (
    NodeParameters,
    ParameterGroup,
    field_descriptions,
    from_parameter,
    to_parameter,
)


@dataclass(frozen=True)
class Oven:
    """How to bake.

    Attributes:
        heat: Temperature, degrees; a long sentence that goes on
            over two lines.
        trays: How many.
        names: What lies on them.
    """

    heat: float = 180.0
    trays: int = 2
    names: tuple[str, ...] = ("",)
    fan: bool = False

    def __post_init__(self):
        if self.heat > 100 * self.trays:
            raise ValueError(f"heat is {self.heat:g}; give at most 100 per tray")


GROUP = ParameterGroup(
    Oven, live=frozenset({"heat"}), read_only=frozenset({"fan"}), ranges={"heat": (0.0, 300.0)}
)


@pytest.fixture
def oven(graph):
    state = {"fixed": False, "applied": []}
    state["node"] = graph.client
    state["parameters"] = NodeParameters(
        graph.client, [GROUP], fixed=lambda: state["fixed"], apply=state["applied"].append
    )
    return state


def set_one(oven, name, value):
    return oven["node"].set_parameters([Parameter(name, value=value)])[0]


def test_descriptions_come_from_the_docstring():
    assert field_descriptions(Oven) == {
        "heat": "Temperature, degrees; a long sentence that goes on over two lines.",
        "trays": "How many.",
        "names": "What lies on them.",
    }


def test_descriptor_has_range_and_flags(oven):
    heat = oven["node"].describe_parameter("heat")
    assert heat.floating_point_range[0].to_value == 300.0
    assert heat.description.startswith("Temperature")
    assert not heat.read_only
    assert oven["node"].describe_parameter("fan").read_only


def test_values_survive_the_way_into_ros_and_back(oven):
    assert oven["parameters"].configs()[Oven] == Oven()
    assert set_one(oven, "names", ["a", "b"]).successful
    assert oven["parameters"].configs()[Oven].names == ("a", "b")
    assert to_parameter((1, 2), tuple[int, ...]) == [1, 2]
    assert from_parameter([1, 2], tuple[int, ...]) == (1, 2)


def test_refused_with_the_sentence_of_the_dataclass(oven):
    result = set_one(oven, "heat", 250.0)
    assert not result.successful
    assert result.reason == "heat is 250; give at most 100 per tray"
    assert oven["node"].get_parameter("heat").value == 180.0
    assert oven["applied"] == []


def test_parameters_are_checked_together(oven):
    changes = [Parameter("heat", value=250.0), Parameter("trays", value=3)]
    assert oven["node"].set_parameters_atomically(changes).successful


def test_live_parameters_are_applied_others_wait_for_configure(oven):
    oven["fixed"] = True
    assert set_one(oven, "heat", 150.0).successful
    assert oven["applied"][-1][Oven].heat == 150.0
    refused = set_one(oven, "trays", 4)
    assert not refused.successful
    assert "clean the node up first" in refused.reason
    assert set_one(oven, "trays", 2).successful, "no change is no reason to refuse"


def test_values_wrong_from_the_start_can_be_mended_one_by_one(graph):
    parameters = NodeParameters(
        graph.client,
        [ParameterGroup(Oven, defaults={"heat": 1000.0, "trays": 1})],
        fixed=lambda: False,
        apply=lambda _: None,
    )
    with pytest.raises(ValueError, match="heat is 1000"):
        parameters.configs()
    assert graph.client.set_parameters([Parameter("heat", value=250.0)])[0].successful
    assert graph.client.set_parameters([Parameter("trays", value=3)])[0].successful
    assert parameters.configs()[Oven] == Oven(heat=250.0, trays=3)
    assert not graph.client.set_parameters([Parameter("trays", value=1)])[0].successful
