"""Bag files of every kind through rosbags, with its many errors turned into one."""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from cotracker_ros.recordings.errors import RecordingError

_STORAGE_SUFFIXES = {".mcap": "mcap", ".db3": "sqlite3", ".bag": "ros1"}


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: its message type as "package/msg/Name", and how many messages it has."""

    name: str
    typename: str
    count: int


def bag_kind(path: Path) -> str | None:
    """Return "mcap", "sqlite3" or "ros1", or None when the path is no bag by its name."""
    if not path.is_dir():
        return _STORAGE_SUFFIXES.get(path.suffix)
    kinds = {_STORAGE_SUFFIXES[file.suffix] for file in _storage_files(path)}
    if len(kinds) == 1:
        return kinds.pop()
    return "mcap" if (path / "metadata.yaml").is_file() else None


class BagFile:
    """An open bag: topics, raw messages in the order of their recording, and their meaning."""

    def __init__(self, path: Path, readers: list[Reader1] | list[Reader2], typestore: Typestore) -> None:
        self._path = path
        self._readers = readers
        self._typestore = typestore
        self.topics: dict[str, Topic] = {}
        for reader in readers:
            for connection in reader.connections:
                name, typename = connection.topic, connection.msgtype
                known = self.topics.get(name, Topic(name, typename, 0))
                self.topics[name] = Topic(name, typename, known.count + connection.msgcount)

    @property
    def duration(self) -> float:
        """From the first message to the last, s."""
        if not any(topic.count for topic in self.topics.values()):
            return 0.0
        start = min(reader.start_time for reader in self._readers)
        return (max(reader.end_time for reader in self._readers) - start) / 1e9

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """Yield the topic, the time of recording in ns and the raw data of the messages of some topics.

        Raises:
            RecordingError: The file is damaged at the message that should come next.
        """
        streams = []
        for reader in self._readers:
            connections: Any = [c for c in reader.connections if c.topic in topics]
            if connections:
                streams.append(reader.messages(connections))
        # Split bags follow each other, but may overlap by a few messages.
        merged = heapq.merge(*streams, key=lambda message: message[1])
        with _one_sentence(f"{self._path} is damaged"):
            for connection, logged, data in merged:
                yield connection.topic, logged, data

    def decode(self, topic: str, data: bytes) -> Any:
        """Return the message of some raw data.

        Raises:
            RecordingError: The data does not fit the topic's type.
        """
        typename = self.topics[topic].typename
        with _one_sentence(f"a message is no {typename}"):
            if isinstance(self._readers[0], Reader1):
                return self._typestore.deserialize_ros1(data, typename)
            return self._typestore.deserialize_cdr(data, typename)


@contextmanager
def open_bag(path: Path) -> Iterator[BagFile]:
    """Open a bag: an .mcap, .db3 or .bag file, or a rosbag2 folder.

    The types read here are standard messages that never changed, so the bag's own definitions, which may
    be missing, are not needed.

    Raises:
        RecordingError: The bag cannot be read, or is empty.
    """
    ros1 = bag_kind(path) == "ros1"
    with ExitStack() as stack:
        readers: Any = []
        with _one_sentence(f"{path} cannot be read as a bag"):
            for file in _files_to_open(path):
                reader = Reader1(file) if ros1 else Reader2(file)
                readers.append(stack.enter_context(reader))
        bag = BagFile(path, readers, _ros1_typestore() if ros1 else get_typestore(Stores.ROS2_HUMBLE))
        if not any(topic.count for topic in bag.topics.values()):
            raise RecordingError(f"{path} is empty: it holds no messages")
        yield bag


def _ros1_typestore() -> Typestore:
    typestore = get_typestore(Stores.ROS1_NOETIC)
    for typename in ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"):  # rosbags leaves them out
        typestore.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", typename))
    return typestore


def _files_to_open(path: Path) -> list[Path]:
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        # A recorder that was killed did not write the metadata, but the data is there.
        return _storage_files(path)
    return [path]


def _storage_files(folder: Path) -> list[Path]:
    return sorted(
        (file for file in folder.iterdir() if file.suffix in _STORAGE_SUFFIXES),
        key=lambda file: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", file.name)],
    )


@contextmanager
def _one_sentence(what: str) -> Iterator[None]:
    try:
        yield
    except RecordingError:
        raise
    # A parser of damaged files fails in many ways (struct, decompression, SQL, missing keys ...), and
    # rosbags lets them through: whatever it is, the file is what is wrong.
    except Exception as error:
        raise RecordingError(f"{what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = re.split(r"[\r\n]", str(error).strip(), maxsplit=1)[0].rstrip(".") or type(error).__name__
    if "end magic" in text or "footer" in text:
        return "the recorder did not close the file; repair it with `mcap recover IN OUT`"
    if "not indexed" in text:
        return "the recorder did not close the file; repair it with `rosbag reindex`"
    return text
