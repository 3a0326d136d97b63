"""A ROS network of a run's own: on this machine only, in a domain where nobody else is."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

from cotracker_ros.evaluation.processes import DemoError

PARTICIPANTS = 10
"""First participants of a domain, whose ports tell whether it is in use."""


def private_network() -> dict[str, str]:
    """Environment variables that keep the nodes of a run among themselves, on this machine.

    Raises:
        DemoError: No domain is left.
    """
    distro = os.environ.get("ROS_DISTRO")
    profile = (
        "FASTRTPS_DEFAULT_PROFILES_FILE" if distro in ("humble", "jazzy") else "FASTDDS_DEFAULT_PROFILES_FILE"
    )
    discovery = (
        {"ROS_LOCALHOST_ONLY": "1"} if distro == "humble" else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    )
    return {
        "ROS_DOMAIN_ID": str(unused_domain()),
        profile: str(Path(__file__).with_name("fastdds.xml").resolve()),
        **discovery,
    }


def unused_domain() -> int:
    """A DDS domain in which nobody takes part on this machine: nodes of the same names would mix.

    Raises:
        DemoError: All of them are in use.
    """
    domains = list(range(1, 101))  # above, the ports lie where the system gives them to anybody
    random.shuffle(domains)
    for domain in domains:
        if all(_is_free(discovery_port(domain, participant)) for participant in range(PARTICIPANTS)):
            return domain
    raise DemoError("all ROS domains are in use on this machine; end some of the ROS nodes")


def discovery_port(domain: int, participant: int) -> int:
    """Return the UDP port at which a participant of a domain is discovered, by the DDSI-RTPS standard."""
    return 7400 + 250 * domain + 10 + 2 * participant


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
