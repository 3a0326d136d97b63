"""Make the CMake files of the ROS wheels of this virtual environment name its paths.

They name those of the machine that built the wheels; CMake refuses include folders that do not exist.
"""

import re
import sys
import sysconfig
from pathlib import Path

BUILDER_INCLUDE = re.compile(r"/opt/python/cp\d+-cp\d+/include/python\d\.\d+")
BUILDER_PREFIX = re.compile(r"/opt/python/cp\d+-cp\d+")


def patch_text(text: str, *, include: str, prefix: str) -> str:
    """Replace the builder's paths.

    Args:
        text: what a CMake file says.
        include: folder of Python.h.
        prefix: the virtual environment.

    Returns:
        The same with this machine's paths.
    """
    return BUILDER_PREFIX.sub(lambda _: prefix, BUILDER_INCLUDE.sub(lambda _: include, text))


def main() -> None:
    """Patch every CMake file below `share` of the running interpreter's environment."""
    patched = 0
    for path in Path(sys.prefix, "share").rglob("*.cmake"):
        text = path.read_text(encoding="utf-8")
        new = patch_text(text, include=sysconfig.get_paths()["include"], prefix=sys.prefix)
        if new != text:
            path.write_text(new, encoding="utf-8")
            patched += 1
    print(f"{patched} CMake files patched")


if __name__ == "__main__":
    main()
