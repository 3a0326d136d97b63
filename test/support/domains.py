"""DDS domains for tests, in which nobody else of this machine takes part."""

import socket


def reserve_domain() -> tuple[int, socket.socket]:
    """Find an unused domain and keep it.

    Returns:
        The domain, and a socket at the port of its last participant: while that is open, neither other tests
        nor demonstrations take the domain for unused.
    """
    # Not before the environment that numerical libraries read is set.
    from cotracker_ros.evaluation.network import PARTICIPANTS, discovery_port, unused_domain

    while True:
        domain = unused_domain()
        kept = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            kept.bind(("", discovery_port(domain, PARTICIPANTS - 1)))
        except OSError:
            kept.close()
            continue
        return domain, kept
