"""Install the Python package and the `cotracker_ros` command where there is no ROS.

On a robot, colcon builds the same repository by its CMakeLists.txt.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

source = Path(__file__).with_name("cotracker_ros").joinpath("__init__.py").read_text(encoding="utf-8")
version = re.search(r'^__version__ = "(.+)"$', source, re.M).group(1)

setup(
    name="cotracker_ros",
    version=version,
    description="Follow any point a camera sees, live, and know where it is in 3D.",
    author="cotracker_ros maintainers",
    author_email="maintainers@example.com",
    license="Apache-2.0",
    python_requires=">=3.10",
    # The message definitions and the parameter files lie where ROS wants them and are packaged from there.
    packages=[
        *find_packages(include=["cotracker_ros", "cotracker_ros.*"]),
        "cotracker_ros.definitions",
        "cotracker_ros.config",
    ],
    package_dir={"cotracker_ros.definitions": "msg", "cotracker_ros.config": "config"},
    package_data={
        "cotracker_ros": ["**/*.safetensors", "**/*.md", "**/*.html", "**/*.xml", "**/*.yaml"],
        "cotracker_ros.definitions": ["*.msg"],
        "cotracker_ros.config": ["*.yaml"],
    },
    install_requires=[
        "av>=12",
        "Jinja2>=3.0",
        "matplotlib>=3.5",
        "numpy>=1.23",
        # The headless build: the other one needs libGL and X libraries that a server or container lacks.
        "opencv-python-headless>=4.6",
        "pillow>=9.0",
        "psutil>=5.8",
        "PyYAML>=5.4",
        "rosbags>=0.11",
        "rosbags-image>=0.10",
        "safetensors>=0.4",
        "torch>=2.1",
        "tqdm>=4.60",
    ],
    # Training takes what it finds: pictures in the public domain as textures, and curves for TensorBoard.
    # Open3D without CUDA is a quarter of the size, but there is none for other machines than these. A Python
    # newer than a release of Open3D finds no wheel of it; 0.19 is the first one that works with NumPy 2.
    extras_require={
        "dense": [
            "open3d-cpu>=0.19; platform_system == 'Linux' and platform_machine == 'x86_64'",
            "open3d>=0.19; platform_system != 'Linux' or platform_machine != 'x86_64'",
        ],
        "rerun": ["rerun-sdk>=0.41"],
        "train": ["scikit-image>=0.20", "tensorboard>=2.10"],
    },
    entry_points={"console_scripts": ["cotracker_ros = cotracker_ros.cli:main"]},
)
