"""Pickles of data sets, read without running anything that they name.

A pickle is a program: Python's own reader imports and calls whatever the file names, so a data set from
the internet could do anything. Published data sets need numbers, text, bytes, tuples, lists, dicts and plain
NumPy arrays; this reader knows those and refuses all else by its name. It reads what Python 3 writes
(protocols 2 to 5) and leaves long byte strings in the file until they are asked for, so that the videos of a
file never sit in memory together.
"""

from __future__ import annotations

import math
import pickle
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.evaluation.datasets.errors import DatasetError

_STAYS_IN_FILE = 4096  # bytes; shorter strings are read at once
_PLAIN_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|O[48]?|[SU]\d{1,9})")

# Opcodes with one argument of fixed size, and its format for `struct`.
_NUMBERS = {pickle.BININT: "<i", pickle.BININT1: "<B", pickle.BININT2: "<H", pickle.BINFLOAT: ">d"}
_PUTS = {pickle.BINPUT: "<B", pickle.LONG_BINPUT: "<I"}
_GETS = {pickle.BINGET: "<B", pickle.LONG_BINGET: "<I"}
_SKIPPED = {pickle.PROTO: "<B", pickle.FRAME: "<Q"}
# Opcodes with a counted argument, and the format of the count.
_INTEGERS = {pickle.LONG1: "<B", pickle.LONG4: "<I"}
_TEXTS = {pickle.SHORT_BINUNICODE: "<B", pickle.BINUNICODE: "<I", pickle.BINUNICODE8: "<Q"}
_BYTES = {
    pickle.SHORT_BINBYTES: "<B",
    pickle.BINBYTES: "<I",
    pickle.BINBYTES8: "<Q",
    pickle.BYTEARRAY8: "<Q",
}
_CONSTANTS: dict[bytes, object] = {
    pickle.NONE: None,
    pickle.NEWTRUE: True,
    pickle.NEWFALSE: False,
    pickle.EMPTY_TUPLE: (),
}
_TUPLES = {pickle.TUPLE1: 1, pickle.TUPLE2: 2, pickle.TUPLE3: 3}


@dataclass(frozen=True)
class StoredBytes:
    """Bytes that are still in their file."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Read them."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass
class PickledArray:
    """A NumPy array whose numbers may still be in the file.

    Attributes:
        dtype: Its type; a plain one.
        shape: Its shape.
        fortran: Whether the first index runs fastest.
        content: Its bytes, or for an array of objects the list of them.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    content: bytes | StoredBytes | list[Any]

    def load(self) -> NDArray[Any]:
        """Read the numbers.

        Raises:
            DatasetError: It is an array of objects, or its bytes do not fill its shape.
        """
        if isinstance(self.content, list) or self.dtype.hasobject:
            raise DatasetError("an array of Python objects stands where numbers belong")
        data = content_of(self.content)
        if len(data) != self.dtype.itemsize * math.prod(self.shape):
            raise DatasetError(
                f"an array of the shape {self.shape} has {len(data)} bytes, which do not fill it"
            )
        return np.frombuffer(data, self.dtype).reshape(self.shape, order="F" if self.fortran else "C")


def content_of(value: bytes | StoredBytes) -> bytes:
    """Return bytes, reading them if they are still in the file."""
    return value.read() if isinstance(value, StoredBytes) else value


def read_pickle(path: Path, start: int = 0) -> Any:
    """Return what a pickle holds: Python's own values, `PickledArray` and `StoredBytes`.

    Args:
        path: The file.
        start: Where in it the pickle begins, bytes.

    Raises:
        DatasetError: The file is empty, damaged, cut short or no pickle, or names something that no data
            set needs.
    """
    size = path.stat().st_size
    if size <= start:
        raise DatasetError(f"{path} is empty: download it again")
    with path.open("rb") as file:
        file.seek(start)
        machine = _Machine(file, path, size)
        try:
            return machine.run()
        except DatasetError as error:
            raise DatasetError(f"{path} {error}") from None
        # What a damaged program does to this machine: pops from an empty stack, asks for what was never put.
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise DatasetError(f"{path} is a damaged pickle (before byte {file.tell()})") from error


@dataclass(frozen=True)
class _Name:
    """Something that the file imports."""

    text: str


@dataclass
class _Dtype:
    """A NumPy type before its byte order is known."""

    code: str
    order: str = "="

    def resolved(self) -> np.dtype[Any]:
        return np.dtype(self.code).newbyteorder(self.order if self.order in "<>" else "=")  # type: ignore[arg-type]


class _Machine:
    """Runs the opcodes of one pickle."""

    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self._file = file
        self._path = path
        self._size = size
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []  # the stacks below each mark
        self._memo: dict[int, Any] = {}
        self._simple: dict[bytes, Callable[[], None]] = {
            pickle.MARK: self._mark,
            pickle.EMPTY_LIST: lambda: self._stack.append([]),
            pickle.EMPTY_DICT: lambda: self._stack.append({}),
            pickle.TUPLE: lambda: self._push_over_mark(tuple),
            pickle.APPEND: lambda: self._extend([self._stack.pop()]),
            pickle.APPENDS: lambda: self._extend(self._since_mark()),
            pickle.SETITEM: lambda: self._update([self._stack.pop(-2), self._stack.pop()]),
            pickle.SETITEMS: lambda: self._update(self._since_mark()),
            pickle.MEMOIZE: lambda: self._put(len(self._memo)),
            pickle.GLOBAL: lambda: self._import(self._line(), self._line()),
            pickle.STACK_GLOBAL: lambda: self._import(self._stack.pop(-2), self._stack.pop()),
            pickle.REDUCE: self._call,
            pickle.BUILD: self._build,
        }

    def run(self) -> Any:
        while True:
            code = self._take(1)
            if code == pickle.STOP:
                return self._stack.pop()
            self._do(code)

    def _do(self, code: bytes) -> None:
        if code in self._simple:
            self._simple[code]()
        elif code in _CONSTANTS:
            self._stack.append(_CONSTANTS[code])
        elif code in _NUMBERS:
            self._stack.append(self._number(_NUMBERS[code]))
        elif code in _INTEGERS:
            data = self._take(self._number(_INTEGERS[code]))
            self._stack.append(int.from_bytes(data, "little", signed=True))
        elif code in _TEXTS:
            data = self._take(self._number(_TEXTS[code]))
            self._stack.append(data.decode("utf-8", "surrogatepass"))
        elif code in _BYTES:
            self._stack.append(self._bytes(self._number(_BYTES[code])))
        elif code in _TUPLES:
            items = [self._stack.pop() for _ in range(_TUPLES[code])]
            self._stack.append(tuple(reversed(items)))
        elif code in _PUTS:
            self._put(self._number(_PUTS[code]))
        elif code in _GETS:
            self._stack.append(self._memo[self._number(_GETS[code])])
        elif code in _SKIPPED:
            self._number(_SKIPPED[code])
        else:
            at = self._file.tell() - 1
            raise DatasetError(
                f"is no pickle of a data set (it has {code!r} at byte {at}): is it another file?"
            )

    def _take(self, count: int) -> bytes:
        data = self._file.read(min(count, self._size)) if count else b""
        if len(data) < count:
            raise DatasetError("ends in the middle: the download is not complete, repeat it")
        return data

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        return self._file.readline(1000).rstrip(b"\n").decode()

    def _bytes(self, count: int) -> bytes | StoredBytes:
        offset = self._file.tell()
        if count < _STAYS_IN_FILE or offset + count > self._size:
            return self._take(count)
        self._file.seek(count, 1)
        return StoredBytes(self._path, offset, count)

    def _mark(self) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _push_over_mark(self, kind: Callable[[list[Any]], object]) -> None:
        value = kind(self._since_mark())
        self._stack.append(value)

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise TypeError("items are put into something that is no list")
        self._stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], dict):
            raise TypeError("entries are put into something that is no dict")
        self._stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _put(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def _import(self, module: str, name: str) -> None:
        # NumPy 2 renamed the module in which its functions live.
        text = f"{module}.{name}".replace("numpy._core.", "numpy.core.")
        if text not in _CALLS and text != "numpy.ndarray":
            raise DatasetError(f"asks to run {module}.{name}, which no data set needs: it was not read")
        self._stack.append(_Name(text))

    def _call(self) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        self._stack.append(_CALLS[name.text](*arguments))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, _Dtype):
            _, target.order, *structure = state
            if any(part for part in structure[:3]):  # of a part-array, of named fields
                raise DatasetError("holds an array of records, which no data set needs: it was not read")
        elif isinstance(target, PickledArray):
            _, shape, dtype, fortran, content = state
            filled = _array(content, dtype, shape, "F" if fortran else "C")
            vars(target).update(vars(filled))
        else:
            raise TypeError("a state is set on something that has none")


def _dtype(code: str, *_: object) -> _Dtype:
    if not _PLAIN_DTYPE.fullmatch(code):
        raise DatasetError(f"holds an array of the type {code!r}, which no data set needs: it was not read")
    return _Dtype(code)


def _empty_array(*_: object) -> PickledArray:
    return PickledArray(np.dtype(np.uint8), (0,), False, b"")


def _array(
    content: bytes | StoredBytes | list[Any], dtype: _Dtype, shape: tuple[int, ...], order: str
) -> PickledArray:
    resolved = dtype.resolved()
    if isinstance(content, list) != resolved.hasobject or not all(type(n) is int and n >= 0 for n in shape):
        raise TypeError("content, type and shape of an array do not belong together")
    return PickledArray(resolved, tuple(shape), order == "F", content)


def _scalar(dtype: _Dtype, content: bytes) -> object:
    return _array(content, dtype, (), "C").load().item()


_CALLS: dict[str, Callable[..., object]] = {
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array,
}
