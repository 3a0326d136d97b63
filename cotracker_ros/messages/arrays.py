"""Reading the array fields of a message, whichever library made it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cotracker_ros.messages.errors import MessageError


def owned(values: Any, dtype: DTypeLike) -> NDArray[Any]:
    """Copy an array field (``array.array``, NumPy array, bytes or list) into an array of our own."""
    if isinstance(values, bytes | bytearray | memoryview):
        values = np.frombuffer(values, dtype=np.uint8)
    return np.array(values, dtype=dtype)


def byte_view(values: Any) -> NDArray[np.uint8]:
    """View a ``uint8[]`` field as a flat array, without copying where the field is a buffer."""
    if isinstance(values, list | tuple):
        return np.array(values, dtype=np.uint8)
    return np.frombuffer(values, dtype=np.uint8)


def check_lengths(kind: str, count: int, lengths: dict[str, int], colours: int) -> None:
    """Check that the parallel arrays of a ``kind`` message have ``count`` entries, and rgb three times that.

    Raises:
        MessageError: One of them has not.
    """
    for name, length, expected in [(n, k, count) for n, k in lengths.items()] + [("rgb", colours, 3 * count)]:
        if length != expected:
            raise MessageError(
                f"the {kind} message has {count} ids, so '{name}' must have {expected} entries, not {length}"
            )


def label_table(labels: tuple[str, ...]) -> tuple[NDArray[np.uint16], list[str]]:
    """Return the index of each label and the distinct labels, the empty one first.

    Raises:
        MessageError: There are more distinct labels than an index can tell apart.
    """
    index = {"": 0}
    positions = [index.setdefault(label, len(index)) for label in labels]
    if len(index) > 1 << 16:
        raise MessageError(f"{len(index)} distinct labels do not fit into a message: use at most 65,535")
    return np.array(positions, dtype=np.uint16), list(index)


def labels_from_table(kind: str, indices: Any, names: Any) -> tuple[str, ...]:
    """Undo `label_table`; raises `MessageError` when an index points beyond the names."""
    table = [str(name) for name in names]
    try:
        return tuple([table[i] for i in owned(indices, np.uint16).tolist()])
    except IndexError:
        raise MessageError(
            f"the {kind} message has a label index beyond its {len(table)} label_names"
        ) from None
