"""What holds for every test: few threads, and ROS traffic that nobody else on the network or machine sees."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

# Read when numerical libraries are loaded, so set before any of them.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["MPLBACKEND"] = "Agg"


def _reserve_domain() -> tuple[int, IO[str]]:
    """Find a DDS domain that no other test process of this machine uses.

    It stays ours as long as the lock is held, which is until this process ends.
    """
    folder = Path(tempfile.gettempdir(), f"cotracker_ros_domains_{os.getuid()}")
    folder.mkdir(exist_ok=True)
    # Above 101 the ports of a domain overlap with those that Linux gives to outgoing connections.
    for domain in range(101, 0, -1):
        lock = (folder / str(domain)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return domain, lock
    raise RuntimeError("all DDS domains from 1 to 101 are in use by tests")


_domain, _lock = _reserve_domain()
os.environ["ROS_DOMAIN_ID"] = str(_domain)
if os.environ.get("ROS_DISTRO") == "humble":
    os.environ["ROS_LOCALHOST_ONLY"] = "1"
else:  # deprecated there, with a warning at each start
    os.environ.pop("ROS_LOCALHOST_ONLY", None)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
