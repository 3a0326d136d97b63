"""How messages get from the executor's threads to the one that does the work."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Worker(Generic[Item]):
    """A thread that handles items one after the other, in the order of their arrival.

    Items wait in bounded queues side by side, one per key. A full queue drops its oldest item: for a robot
    the newest image is worth more than an old one.

    Args:
        name: Name of the thread.
        size: Items that wait at most under each key.
        handle: Called in the worker's thread with the key and the item.
        failed: Called in the worker's thread when `handle` raised; the worker goes on.
    """

    def __init__(
        self,
        name: str,
        size: int,
        handle: Callable[[str, Item], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._size = size
        self._handle = handle
        self._failed = failed
        self._queues: dict[str, deque[tuple[int, Item]]] = {}
        self._arrivals = 0
        self._dropped: Counter[str] = Counter()
        self._closed = False
        self._busy = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, key: str, item: Item) -> None:
        """Hand an item over; never blocks."""
        with self._changed:
            queue = self._queues.setdefault(key, deque())
            if len(queue) == self._size:
                queue.popleft()
                self._dropped[key] += 1
            queue.append((self._arrivals, item))
            self._arrivals += 1
            self._changed.notify_all()

    def dropped(self, key: str) -> int:
        """How many items of this key were dropped because the worker could not keep up."""
        with self._changed:
            return self._dropped[key]

    def flush(self) -> None:
        """Forget what waits, and wait until the item in hand is done."""
        with self._changed:
            self._queues.clear()
            self._changed.wait_for(lambda: not self._busy)

    def stop(self) -> None:
        """Forget what waits, let the item in hand be done, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            try:
                self._handle(*entry)
            except Exception as error:  # whatever a message does, the stream goes on
                self._failed(entry[0], error)

    def _next(self) -> tuple[str, Item] | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or any(self._queues.values()))
            if self._closed:
                return None
            self._busy = True
            first = min((queue[0][0], key) for key, queue in self._queues.items() if queue)
            return first[1], self._queues[first[1]].popleft()[1]
