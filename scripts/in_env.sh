#!/usr/bin/env bash
# Run a command in the environment that setup.sh made, and in no other: a ROS that the calling shell has
# sourced would bring its own Python modules and libraries.
#
# Usage: scripts/in_env.sh <kilted|jazzy> <command>...

set -euo pipefail

distro="$1"
shift
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export VIRTUAL_ENV="$root/.venv"
[ "$distro" = kilted ] || export VIRTUAL_ENV="$root/.venv-$distro"

unset PYTHONPATH PYTHONHOME LD_LIBRARY_PATH COLCON_PREFIX_PATH RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_DISTRO="$distro"
export PATH="$VIRTUAL_ENV/bin:$PATH"
export AMENT_PREFIX_PATH="$VIRTUAL_ENV"
export CMAKE_PREFIX_PATH="$VIRTUAL_ENV"
exec "$@"
