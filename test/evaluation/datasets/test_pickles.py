import contextlib
import io
import os
import pickle
import pickletools

import numpy as np
import pytest

from cotracker_ros.evaluation.datasets.errors import DatasetError
from cotracker_ros.evaluation.datasets.pickles import (
    PickledArray,
    StoredBytes,
    content_of,
    read_pickle,
)

LONG = 100_000  # bytes: too long to be read at once


def plain(value):
    """Undo what the reader leaves in the file."""
    if isinstance(value, PickledArray):
        return value.load()
    if isinstance(value, StoredBytes):
        return content_of(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value


@pytest.fixture
def file(tmp_path):
    return tmp_path / "data.pkl"


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_reads_what_data_sets_hold(file, protocol):
    rng = np.random.default_rng(0)
    value = {
        "bytes": [b"", b"short", bytes(LONG)],
        "numbers": (0, 1, -7, 300, 70_000, 2**40, -(2**200), 2.5, True, False, None, ()),
        "text": ["", "kurz", "Bär" * 200],
        "arrays": [
            rng.integers(0, 255, (5, 6, 7, 3), dtype=np.uint8),
            rng.random((4, 3)),
            np.asfortranarray(rng.random((60, 30), dtype=np.float32)),
            np.array([True, False]),
            np.array(3.0),
            np.arange(4, dtype=">i4"),
            np.array([b"ab", b"cde"]),
            np.zeros((0, 2)),
        ],
        "scalars": [np.float64(1.5), np.int64(-3), np.bool_(True)],
        "many": {str(number): number for number in range(2500)},
    }
    file.write_bytes(pickle.dumps(value, protocol))
    found = plain(read_pickle(file))
    for array, expected in zip(found.pop("arrays"), value.pop("arrays"), strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
    assert found == value


def test_the_names_of_old_and_new_numpy_mean_the_same(file):
    data = pickle.dumps(np.arange(3.0), 4)
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    renamed = data.replace(b"\x8c\x16" + new, b"\x8c\x15" + old) if new in data else data
    assert old in renamed
    # The frame is one byte shorter now; the reader needs no frames.
    file.write_bytes(renamed)
    np.testing.assert_array_equal(read_pickle(file).load(), np.arange(3.0))
    file.write_bytes(renamed.replace(b"\x8c\x15" + old, b"\x8c\x16" + new))
    np.testing.assert_array_equal(read_pickle(file).load(), np.arange(3.0))


@pytest.mark.parametrize("protocol", [4, 5])
def test_long_arrays_and_bytes_stay_in_the_file(file, protocol):
    file.write_bytes(pickle.dumps([np.ones(LONG, np.uint8), bytes(LONG)], protocol))
    array, data = read_pickle(file)
    assert isinstance(array.content, StoredBytes)
    assert isinstance(data, StoredBytes)
    assert array.load().sum() == LONG


def test_shared_values_are_shared(file):
    array = np.arange(3)
    file.write_bytes(pickle.dumps([array, array, ["a"] * 2], 4))
    first, second, texts = read_pickle(file)
    assert first is second
    assert texts == ["a", "a"]


class Shell:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, "system"), (eval, "eval"), (np.load, "numpy"), (getattr, "getattr"), (io.open, "open")],
)
def test_nothing_is_run(file, tmp_path, protocol, function, name):
    trace = tmp_path / "trace"
    file.write_bytes(pickle.dumps({"video": Shell(function, f"touch {trace}")}, protocol))
    with pytest.raises(DatasetError, match=f"asks to run .*{name}.*not read"):
        read_pickle(file)
    assert not trace.exists()


def test_numpy_itself_is_not_a_way_in(file):
    """Names below an allowed module, with dots in them, are other names."""
    for module, name in [
        ("numpy", "ndarray.tofile"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy", "f2py"),
    ]:
        program = io.BytesIO()
        program.write(pickle.PROTO + b"\x04")
        for text in (module, name):
            program.write(pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode())
        program.write(pickle.STACK_GLOBAL + pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.STOP)
        file.write_bytes(program.getvalue())
        with pytest.raises(DatasetError, match="asks to run"):
            read_pickle(file)


def test_records_and_their_types_are_refused(file):
    file.write_bytes(pickle.dumps(np.zeros(2, [("a", "f4"), ("b", "i4")]), 4))
    with pytest.raises(DatasetError, match="'V8', which no data set needs"):
        read_pickle(file)


def test_a_plain_type_that_is_turned_into_a_record_is_refused(file):
    """Such a type could declare raw bytes to be pointers to objects."""

    class Forged:
        def __reduce__(self):
            return np.dtype, ("f8",), (3, "<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 8, 0)

    file.write_bytes(pickle.dumps(Forged(), 4))
    with pytest.raises(DatasetError, match="array of records"):
        read_pickle(file)


def test_arrays_of_objects_are_not_made_of_bytes(file):
    """The bytes would be taken for pointers."""
    state = (1, (1,), np.dtype("O"), False, b"\x01" * 8)
    make = np.arange(1).__reduce__()

    class Forged:
        def __reduce__(self):
            return make[0], make[1], state

    file.write_bytes(pickle.dumps(Forged(), 4))
    with pytest.raises(DatasetError, match="damaged"):
        read_pickle(file)


def test_an_array_must_fill_its_shape(file):
    array = np.arange(4.0)
    make, arguments, (version, _, dtype, fortran, data) = array.__reduce__()

    class Forged:
        def __reduce__(self):
            return make, arguments, (version, (10**12, 10**12), dtype, fortran, data)

    file.write_bytes(pickle.dumps(Forged(), 4))
    with pytest.raises(DatasetError, match="do not fill it"):
        read_pickle(file).load()


def test_a_file_cut_short_anywhere_is_one_sentence(file):
    data = pickle.dumps({"a": [np.arange(2000.0), b"x" * 5000, 1.5, "text"], "b": np.float32(2)}, 4)
    for length in [1, 2, 5, 20, *range(30, len(data), 397), len(data) - 1]:
        file.write_bytes(data[:length])
        with pytest.raises(DatasetError, match=r"ends in the middle|damaged"):
            read_pickle(file)


def test_noise_is_one_sentence(file):
    rng = np.random.default_rng(0)
    good = bytearray(pickle.dumps({"a": [np.arange(20.0), b"x" * 50, 1.5, "text"], "b": (1, 2)}, 4))
    names = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]
    for _ in range(200):
        bad = bytearray(good)
        for place in rng.integers(0, len(bad), 3):
            bad[place] = rng.integers(256) if rng.random() < 0.5 else names[rng.integers(len(names))][0]
        file.write_bytes(bad)
        with contextlib.suppress(DatasetError):
            plain(read_pickle(file))


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04 a zip file", b"\x00\x00\x00 ftypisom", b"<html>", b"\xff\xd8\xff"]
)
def test_other_files_are_named(file, data):
    file.write_bytes(data)
    with pytest.raises(DatasetError, match="is no pickle of a data set"):
        read_pickle(file)


def test_an_empty_file_is_named(file):
    file.write_bytes(b"")
    with pytest.raises(DatasetError, match="is empty"):
        read_pickle(file)
