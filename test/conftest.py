"""What holds for every test: few threads, and ROS traffic that nobody else on the network or machine sees."""

import os

from domains import reserve_domain

# Read when numerical libraries are loaded, so set before any of them.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["MPLBACKEND"] = "Agg"


_domain, _kept = reserve_domain()
os.environ["ROS_DOMAIN_ID"] = str(_domain)
if os.environ.get("ROS_DISTRO") == "humble":
    os.environ["ROS_LOCALHOST_ONLY"] = "1"
else:  # deprecated there, with a warning at each start
    os.environ.pop("ROS_LOCALHOST_ONLY", None)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
