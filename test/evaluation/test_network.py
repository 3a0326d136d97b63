import socket
from pathlib import Path

import pytest

from cotracker_ros.evaluation import network


def test_a_domain_in_which_somebody_is_gets_passed_over(monkeypatch):
    monkeypatch.setattr(network.random, "shuffle", lambda domains: domains.sort())
    first = int(network.private_network()["ROS_DOMAIN_ID"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("", 7400 + 250 * first + 10))
        assert int(network.private_network()["ROS_DOMAIN_ID"]) > first


@pytest.mark.parametrize(
    ("distro", "local", "profile"),
    [
        ("humble", "ROS_LOCALHOST_ONLY", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("kilted", "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_every_distribution_stays_on_this_machine(monkeypatch, distro, local, profile):
    monkeypatch.setenv("ROS_DISTRO", distro)
    variables = network.private_network()
    assert variables[local] in ("1", "LOCALHOST")
    assert "segment_size" in Path(variables[profile]).read_text()
