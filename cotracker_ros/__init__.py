"""Follow any point a camera sees, live, and know where it is in 3D."""

import pkgutil

# On a ROS 2 workspace the generated messages (cotracker_ros.msg, cotracker_ros.srv) may be installed
# in another folder than the Python modules: both belong to this package.
__path__ = pkgutil.extend_path(__path__, __name__)

__version__ = "0.1.0"
