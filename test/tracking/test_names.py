"""Names of trackers, taken apart."""

from dataclasses import dataclass

import pytest

from cotracker_ros.tracking.config import KltConfig, TrackerConfig
from cotracker_ros.tracking.names import TrackerNameError, parse_name


@pytest.mark.parametrize(
    ("text", "kind", "weights", "settings"),
    [
        ("klt", "klt", "klt", {}),
        ("klt:max_error=2,window=31", "klt", "klt", {"max_error": "2", "window": "31"}),
        ("default", "network", "default", {}),
        ("scaled_online:update_every=1", "network", "scaled_online", {"update_every": "1"}),
        ("/a:b/net.pth", "network", "/a:b/net.pth", {}),
        ("/a:b/net.pth:iterations=", "network", "/a:b/net.pth", {"iterations": ""}),
        ("my_pkg.tapir:track", "function", "my_pkg.tapir:track", {}),
        ("my_pkg.tapir:Tracker.best", "function", "my_pkg.tapir:Tracker.best", {}),
        ("my_pkg.tapir:track:x=1", "network", "my_pkg.tapir:track", {"x": "1"}),  # functions have no settings
        ("klt:window", "function", "klt:window", {}),
        (":window=31", "network", ":window=31", {}),
    ],
)
def test_names_are_taken_apart(text, kind, weights, settings):
    assert parse_name(text) == (text, kind, weights, settings)


def test_settings_change_the_configurations_that_know_them():
    @dataclass(frozen=True)
    class Precision:
        precision: str = "auto"

    name = parse_name("klt:window=31,lost_after=5,precision=bf16")
    changed = name.configure(KltConfig(max_error=2.5), TrackerConfig(), Precision())
    assert changed == [KltConfig(window=31, max_error=2.5), TrackerConfig(lost_after=5), Precision("bf16")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a tracker has an empty name; give klt, default or a checkpoint"),
        ("klt:window=21,window=31", "the tracker 'klt:window=21,window=31' gives window twice; give it once"),
        ("klt:a=1,b=2", "the tracker 'klt:a=1,b=2' has no setting a, b; it knows window, levels, max_error"),
        ("klt:window=big", "the tracker 'klt:window=big': window is 'big'; give a value of type int"),
        (
            "klt:window=4",
            "the tracker 'klt:window=4': window is 4; give an odd number of px from 5 to 101",
        ),
    ],
)
def test_what_cannot_be_had_is_one_sentence(text, sentence):
    with pytest.raises(TrackerNameError) as caught:
        parse_name(text).configure(KltConfig())
    assert str(caught.value) == sentence
