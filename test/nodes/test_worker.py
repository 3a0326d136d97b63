"""The hand-over from callbacks to the working thread."""

import threading

import pytest

from cotracker_ros.nodes.worker import Worker


class Bench:
    """A worker that stops at each item until it is let go."""

    def __init__(self, size):
        self.handled, self.failures = [], []
        self.began, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.worker = Worker("bench", size, self.handle, lambda *failure: self.failures.append(failure))

    def handle(self, key, item):
        self.began.release()
        self.go.acquire()
        if item == "bad":
            raise RuntimeError("broken")
        self.handled.append((key, item))

    def let_go(self, count):
        for _ in range(count):
            self.go.release()
        for _ in range(count - 1):
            assert self.began.acquire(timeout=5)


@pytest.fixture
def bench():
    made = Bench(size=2)
    yield made
    made.go.release(100)
    made.worker.stop()


def test_oldest_is_dropped_and_counted(bench):
    bench.worker.put("a", 0)
    assert bench.began.acquire(timeout=5)
    for item in (1, 2, 3, 4):
        bench.worker.put("a", item)
    assert bench.worker.dropped("a") == 2
    bench.let_go(3)
    bench.worker.flush()
    assert bench.handled == [("a", 0), ("a", 3), ("a", 4)]


def test_keys_have_their_own_room_and_go_in_order_of_arrival(bench):
    bench.worker.put("a", 0)
    assert bench.began.acquire(timeout=5)
    for key, item in (("b", 1), ("a", 2), ("b", 3), ("a", 4)):
        bench.worker.put(key, item)
    bench.let_go(5)
    bench.worker.flush()
    assert [item for _, item in bench.handled] == [0, 1, 2, 3, 4]
    assert bench.worker.dropped("a") == bench.worker.dropped("b") == 0


def test_a_failure_is_told_and_the_worker_goes_on(bench):
    bench.worker.put("a", "bad")
    bench.worker.put("a", "good")
    assert bench.began.acquire(timeout=5)
    bench.let_go(2)
    bench.worker.flush()
    assert bench.handled == [("a", "good")]
    assert [str(error) for _, error in bench.failures] == ["broken"]
