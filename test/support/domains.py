"""DDS domains for tests, in which nobody else of this machine takes part."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO


def reserve_domain() -> tuple[int, IO[str]]:
    """Find a domain that is unused and that no other test process has reserved.

    Returns:
        The domain, and a lock: the domain stays reserved until that is closed.
    """
    # Not before the environment that numerical libraries read is set.
    from cotracker_ros.evaluation.network import unused_domain

    folder = Path(tempfile.gettempdir(), f"cotracker_ros_domains_{os.getuid()}")
    folder.mkdir(exist_ok=True)
    while True:
        domain = unused_domain()
        lock = (folder / str(domain)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return domain, lock
