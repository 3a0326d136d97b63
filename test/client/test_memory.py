"""Waiting for results: threads, no ROS."""

import threading
import time

import pytest

from cotracker_ros.client import ClientError
from cotracker_ros.client.memory import Feed


def count_to(wanted):
    def question(memory, _):
        if memory.updates < wanted:
            raise ClientError(f"only {memory.updates} of {wanted}")
        return memory.updates

    return question


def count(memory, _):
    memory.updates += 1


def test_a_question_that_can_be_answered_is_not_kept_waiting():
    feed = Feed()
    feed.put(count)
    began = time.monotonic()
    assert feed.ask(count_to(1), timeout=30.0) == 1
    assert time.monotonic() - began < 1.0


def test_an_answer_comes_with_the_result_that_makes_it_possible():
    feed = Feed()
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(feed.ask(count_to(3), timeout=30.0)))
    waiting.start()
    for _ in range(3):
        feed.put(count)
    waiting.join(10.0)
    assert answers == [3]


def test_without_an_answer_the_last_reason_is_told_in_time():
    feed = Feed()
    feed.put(count)
    began = time.monotonic()
    with pytest.raises(ClientError, match="only 1 of 2"):
        feed.ask(count_to(2), timeout=0.05)
    assert 0.05 <= time.monotonic() - began < 1.0
    with pytest.raises(ClientError, match="only 1 of 2"):
        feed.ask(count_to(2), timeout=0.0)


def test_closing_frees_who_waits_and_tells_the_first_reason():
    feed = Feed()
    reasons = []

    def wait():
        with pytest.raises(ClientError) as raised:
            feed.ask(count_to(1), timeout=30.0)
        reasons.append(str(raised.value))

    waiting = threading.Thread(target=wait)
    waiting.start()
    feed.close("over")
    feed.close("over again")
    waiting.join(10.0)
    assert reasons == ["over"]
    assert feed.closed
