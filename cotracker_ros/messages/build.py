"""From plain fields to messages, of rclpy or of rosbags.

Fields are a dict of field name to value: a plain value, a NumPy array for an array of numbers, a dict for
a nested message, a list of dicts for an array of messages. Fields that are left out keep their defaults.
An array of messages whose fields are all numbers may also be given as a 2D NumPy array: one row a message,
one column a field (points and colours of markers).
"""

from __future__ import annotations

import array
import importlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

Fields = dict[str, Any]

# ROS's name of a number, its NumPy type and the type code that rclpy wants in an array.array.
_NUMBERS = {
    "float": ("f4", "f"),
    "double": ("f8", "d"),
    "int8": ("i1", "b"),
    "uint8": ("u1", "B"),
    "int16": ("i2", "h"),
    "uint16": ("u2", "H"),
    "int32": ("i4", "i"),
    "uint32": ("u4", "I"),
    "int64": ("i8", "q"),
    "uint64": ("u8", "Q"),
}


def to_ros(message_class: type, fields: Fields) -> Any:
    """Make a message of an rclpy class.

    Raises:
        KeyError: The message has no field of that name.
    """
    message: Any = message_class()
    _fill_ros(message, fields)
    return message


def _fill_ros(message: Any, fields: Fields) -> None:
    types = message.get_fields_and_field_types()
    for name, value in fields.items():
        kind = types[name]
        if isinstance(value, dict):
            _fill_ros(getattr(message, name), value)
        elif isinstance(value, np.ndarray):
            setattr(message, name, _ros_array(kind, value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            element = _ros_class(_element(kind))
            setattr(message, name, [to_ros(element, item) for item in value])
        else:
            setattr(message, name, value)


def _ros_array(kind: str, values: NDArray[Any]) -> Any:
    element = _element(kind)
    if element not in _NUMBERS:
        return _ros_rows(_ros_class(element), values)
    dtype, code = _NUMBERS[element]
    packed = np.ascontiguousarray(values, dtype=dtype)
    if kind.endswith("]"):  # an array of fixed length is a NumPy array in rclpy as well
        return packed
    buffer = array.array(code)
    buffer.frombytes(packed.view(np.uint8).data)
    return buffer


def _ros_rows(message_class: Any, rows: NDArray[Any]) -> list[Any]:
    names = list(message_class.get_fields_and_field_types())[: rows.shape[1]]
    return _rows(message_class, names, rows)


def _rows(message_class: Any, names: list[str], rows: NDArray[Any]) -> list[Any]:
    made: dict[tuple[float, ...], Any] = {}
    # A message costs microseconds to make, and trails repeat points and colours: equal rows share one.
    keys = [tuple(row) for row in rows.astype(float).tolist()]
    for key in keys:
        if key not in made:
            made[key] = message_class(**dict(zip(names, key, strict=True)))
    return [made[key] for key in keys]


def _element(kind: str) -> str:
    """Return the element of "sequence<T>", "sequence<T, N>" or "T[N]"."""
    if kind.startswith("sequence<"):
        return kind[len("sequence<") : -1].split(",")[0]
    return kind.split("[")[0]


@lru_cache(maxsize=64)
def _ros_class(kind: str) -> Any:
    package, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def to_bag(typestore: Typestore, typename: str, fields: Fields) -> Any:
    """Make a message of a rosbags class, ready for ``typestore.serialize_cdr``.

    Args:
        typestore: Where the type is registered.
        typename: Such as "sensor_msgs/msg/Image".
        fields: See the module.

    Raises:
        KeyError: The type is not registered, or it has no field of that name.
    """
    unknown = fields.keys() - _bag_fields(typestore, typename).keys()
    if unknown:
        raise KeyError(f"{typename} has no field {sorted(unknown)}")
    values = {
        name: _bag_value(typestore, description, fields[name])
        if name in fields
        else _bag_default(typestore, description)
        for name, description in _bag_fields(typestore, typename).items()
    }
    return typestore.types[typename](**values)


def _bag_fields(typestore: Typestore, typename: str) -> dict[str, Any]:
    return dict(typestore.fielddefs[typename][1])


def _bag_value(typestore: Typestore, description: Any, value: Any) -> Any:
    kind, detail = description
    if isinstance(value, dict):
        return to_bag(typestore, detail, value)
    if kind.name in ("BASE", "NAME"):
        return value
    element_kind, element = detail[0]
    if element_kind.name == "NAME":
        if isinstance(value, np.ndarray):
            names = list(_bag_fields(typestore, element))[: value.shape[1]]
            return _rows(typestore.types[element], names, value)
        return [to_bag(typestore, element, item) for item in value]
    if element[0] == "string":
        return list(value)
    return np.ascontiguousarray(value, dtype=element[0])


def _bag_default(typestore: Typestore, description: Any) -> Any:
    kind, detail = description
    if kind.name == "NAME":
        return to_bag(typestore, detail, {})
    if kind.name == "BASE":
        return {"string": "", "bool": False, "float32": 0.0, "float64": 0.0}.get(detail[0], 0)
    (element_kind, element), length = detail
    count = length if kind.name == "ARRAY" else 0
    if element_kind.name == "NAME":
        return [to_bag(typestore, element, {}) for _ in range(count)]
    return [""] * count if element[0] == "string" else np.zeros(count, dtype=element[0])
