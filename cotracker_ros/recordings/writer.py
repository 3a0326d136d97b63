"""Bags that any ROS 2 tool reads, written without ROS."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError

from cotracker_ros.messages.build import Fields, to_bag
from cotracker_ros.messages.definitions import ros2_typestore
from cotracker_ros.recordings.errors import RecordingError

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

_FOREVER = QosTime(2147483647, 4294967295)


class BagWriter:
    """Writes messages as CDR into an MCAP bag, with the definitions of their types.

    A path that ends in ``.mcap`` becomes one file; any other becomes a rosbag2 folder with metadata.yaml.
    A context manager: whatever ends the block, also an error or Ctrl-C, the bag is closed and valid. Until
    then it lies beside its place, under a name that ends in ``.partial``.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Say where to write.

        Args:
            path: File or folder to make; missing parent folders are made too.
            overwrite: Replace what is there (a file, or a folder that is a rosbag2).

        Raises:
            RecordingError: Something is there that may not be replaced.
        """
        self._path = Path(path)
        if self._path.exists() and not (overwrite and _is_bag(self._path)):
            hint = "it is no bag" if overwrite else "give another name or allow overwriting"
            raise RecordingError(f"{self._path} exists already: {hint}")
        self._single = self._path.suffix == ".mcap"
        # The names inside a rosbag2 folder follow the folder's: in its final place it is called as below.
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._typestore = ros2_typestore()
        self._connections: dict[str, Connection] = {}
        self._writer: Writer | None = None

    def __enter__(self) -> BagWriter:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._partial.exists():  # left behind by a run that was killed
                shutil.rmtree(self._partial)
            # Metadata of version 8 is read by all distributions from Humble on; version 9 is not.
            self._writer = Writer(
                self._partial / self._path.stem, version=8, storage_plugin=StoragePlugin.MCAP
            )
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
        except (OSError, WriterError) as error:
            raise RecordingError(f"{self._path} cannot be written: {error}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        if self._path.is_dir():
            shutil.rmtree(self._path)
        folder = self._partial / self._path.stem
        source = folder / f"{folder.name}.mcap" if self._single else folder
        source.replace(self._path)
        shutil.rmtree(self._partial)

    def write(self, topic: str, typename: str, stamp: int, fields: Fields, *, latched: bool = False) -> None:
        """Write one message.

        Args:
            topic: Such as "/tracker/tracks"; all its messages have the same type.
            typename: Such as "cotracker_ros/msg/TrackArray".
            stamp: Time under which it is stored, ns.
            fields: See `cotracker_ros.messages.build`.
            latched: Late subscribers get the last message too (tf_static, maps); the topic's first message
                decides.

        Raises:
            KeyError: The type or a field does not exist.
            RecordingError: The topic holds messages of another type.
        """
        connection = self._connection(topic, typename, latched)
        message = to_bag(self._typestore, typename, fields)
        self._write(connection, stamp, self._typestore.serialize_cdr(message, typename))

    def _write(self, connection: Connection, stamp: int, data: Any) -> None:
        assert self._writer is not None, "write inside the with block"
        self._writer.write(connection, max(stamp, 0), data)

    def _connection(self, topic: str, typename: str, latched: bool) -> Connection:
        connection = self._connections.get(topic)
        if connection is None:
            assert self._writer is not None, "write inside the with block"
            connection = self._writer.add_connection(
                topic, typename, typestore=self._typestore, offered_qos_profiles=[_qos(latched)]
            )
            self._connections[topic] = connection
        if connection.msgtype != typename:
            raise RecordingError(f"the topic {topic} holds {connection.msgtype}, not {typename}")
        return connection


def _qos(latched: bool) -> Qos:
    return Qos(
        QosHistory.KEEP_LAST,
        1 if latched else 10,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        _FOREVER,
        _FOREVER,
        QosLiveliness.AUTOMATIC,
        _FOREVER,
        False,
    )


def _is_bag(path: Path) -> bool:
    return path.suffix == ".mcap" if path.is_file() else (path / "metadata.yaml").is_file()
