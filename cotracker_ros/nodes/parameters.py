"""ROS parameters made from the configuration dataclasses of the other rooms.

A field of a dataclass becomes a parameter of the same name; its default is the parameter's default and
its entry in the docstring's ``Attributes:`` the description. The dataclass validates itself, so a change
is refused with the dataclass's own sentence.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

Configs = Mapping[type, Any]


@dataclass(frozen=True)
class ParameterGroup:
    """A configuration dataclass and how its fields appear as parameters.

    Attributes:
        config: The dataclass; every field needs a default.
        prefix: Put before each name, e.g. "klt.".
        live: Fields whose changes take effect at once; the others are fixed while the node is configured.
        read_only: Fields that can only be given at start.
        hidden: Fields that are no parameters.
        ranges: Smallest and largest value of a field, for descriptors (tools draw sliders from them).
        defaults: Defaults that differ from those of the dataclass.
    """

    config: type
    prefix: str = ""
    live: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> list[dataclasses.Field[Any]]:
        """The fields that are parameters."""
        return [f for f in dataclasses.fields(self.config) if f.name not in self.hidden]

    def default(self, entry: dataclasses.Field[Any]) -> Any:
        """Default of a field."""
        if entry.name in self.defaults:
            return self.defaults[entry.name]
        if entry.default_factory is not dataclasses.MISSING:
            return entry.default_factory()
        return entry.default


def field_descriptions(config: type) -> dict[str, str]:
    """What the ``Attributes:`` section of a dataclass's docstring says about each field."""
    text = inspect.cleandoc(config.__doc__ or "")
    _, _, section = text.partition("Attributes:\n")
    descriptions: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            name = entry.group(1)
            descriptions[name] = entry.group(2).strip()
        elif name and line.startswith("     ") and line.strip():
            descriptions[name] += " " + line.strip()
        elif line.strip():
            break
    return descriptions


def to_parameter(value: Any, annotation: Any) -> Any:
    """Value of a field as ROS can hold it: a tuple becomes a list, a number the type that is declared."""
    if typing.get_origin(annotation) is tuple:
        kind = typing.get_args(annotation)[0]
        return [kind(entry) for entry in value]
    return annotation(value)


def from_parameter(value: Any, annotation: Any) -> Any:
    """Value of a parameter as its field holds it; the inverse of `to_parameter`."""
    return tuple(value) if typing.get_origin(annotation) is tuple else value


class NodeParameters:
    """The parameters of a node, declared from dataclasses and always valid together.

    Args:
        node: The node that declares them.
        groups: Where they come from. Names must be distinct over all groups.
        fixed: Tells whether parameters that are not live may not change now (the node is configured).
        apply: Called with the new configurations after an accepted change of live parameters.
    """

    def __init__(
        self,
        node: Node,
        groups: Sequence[ParameterGroup],
        *,
        fixed: Callable[[], bool],
        apply: Callable[[Configs], None],
    ) -> None:
        self._node = node
        self._groups = groups
        self._fixed = fixed
        self._apply = apply
        self._names = {group.prefix + f.name: (group, f.name) for group in groups for f in group.fields()}
        self._hints = {group.config: typing.get_type_hints(group.config) for group in groups}
        for group in groups:
            descriptions = field_descriptions(group.config)
            for entry in group.fields():
                annotation = self._hints[group.config][entry.name]
                node.declare_parameter(
                    group.prefix + entry.name,
                    to_parameter(group.default(entry), annotation),
                    _descriptor(group, entry.name, annotation, descriptions.get(entry.name, "")),
                )
        node.add_on_set_parameters_callback(self._check)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of declaration."""
        return tuple(self._names)

    def configs(self, changes: Mapping[str, Any] | None = None) -> Configs:
        """Build the dataclasses from the present values.

        Args:
            changes: Parameter values that replace the present ones.

        Returns:
            One instance for each group, by its class.

        Raises:
            ValueError: A dataclass refused its values; the message is its sentence.
        """
        values = {name: self._node.get_parameter(name).value for name in self._names} | dict(changes or {})
        built = {}
        for group in self._groups:
            hints = self._hints[group.config]
            built[group.config] = group.config(
                **{
                    f.name: from_parameter(values[group.prefix + f.name], hints[f.name])
                    for f in group.fields()
                }
            )
        return built

    def _check(self, parameters: Iterable[Parameter]) -> SetParametersResult:
        changes = {
            p.name: p.value
            for p in parameters
            if p.name in self._names and p.value != self._node.get_parameter(p.name).value
        }
        structural = [name for name in changes if not self._is_live(name)]
        if structural and self._fixed():
            return SetParametersResult(
                successful=False,
                reason=f"{structural[0]} takes effect at configure: clean the node up first, "
                "then set it and configure again.",
            )
        try:
            configs = self.configs(changes)
        except ValueError as error:
            # Values from the command line may be wrong together; then they are mended one by one,
            # and configure refuses until they are right.
            if self._valid():
                return SetParametersResult(successful=False, reason=str(error))
        else:
            if any(self._is_live(name) for name in changes):
                self._apply(configs)
        return SetParametersResult(successful=True)

    def _is_live(self, name: str) -> bool:
        group, entry = self._names[name]
        return entry in group.live

    def _valid(self) -> bool:
        try:
            self.configs()
        except ValueError:
            return False
        return True


def _descriptor(group: ParameterGroup, name: str, annotation: Any, description: str) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=description,
        read_only=name in group.read_only,
        additional_constraints="" if name in group.live else "takes effect at configure",
    )
    if name in group.ranges:
        low, high = group.ranges[name]
        if annotation is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
            ]
    return descriptor
