"""package.xml, setup.py and the pinned requirements must agree with the code and with each other."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
# rosdep keys of Python modules. What has none that installs from a system's packages is for robot.txt.
KEYS = {
    "cv2": "python3-opencv",
    "jinja2": "python3-jinja2",
    "matplotlib": "python3-matplotlib",
    "PIL": "python3-pil",
    "numpy": "python3-numpy",
    "psutil": "python3-psutil",
    "torch": "python3-torch",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python-headless", "jinja2": "Jinja2", "yaml": "PyYAML"}
ROS_MODULE = re.compile(
    r"rclpy|launch|launch_ros|ament_index_python|cv_bridge|tf2_ros|\w+_(msgs|srvs|interfaces)"
)


def declared() -> set[str]:
    return {entry.text for entry in MANIFEST if entry.tag.endswith("depend") and entry.text}


def imported(*folders: str) -> set[str]:
    """Top-level names of all modules that the Python files of these folders import."""
    names: set[str] = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"cotracker_ros"}


def requirements(name: str) -> list[Requirement]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def split(names: set[str]) -> tuple[set[str], set[str]]:
    """ROS modules and others."""
    ros = {name for name in names if ROS_MODULE.fullmatch(name)}
    return ros, names - ros


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """What `pip install .` installs, built from a copy: setuptools leaves files in the folder it builds."""
    source = tmp_path_factory.mktemp("source")
    for name in ("cotracker_ros", "msg", "config"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "."]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout + result.stderr
    return zipfile.ZipFile(next(source.glob("*.whl")))


@pytest.fixture(scope="module")
def wheel_requirements(wheel: zipfile.ZipFile) -> dict[str, Requirement]:
    metadata = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    found = re.findall(r"^Requires-Dist: (.*)$", wheel.read(metadata).decode(), re.M)
    # What only an extra brings is not needed to use the package.
    needed = (entry for entry in map(Requirement, found) if "extra" not in str(entry.marker))
    return {entry.name: entry for entry in needed}


def test_wheel_holds_the_package_definitions_and_parameter_files(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = [path for path in (ROOT / "cotracker_ros").rglob("*") if path.is_file()]
    ours = {str(path.relative_to(ROOT)) for path in files if path.parent.name != "__pycache__"}
    messages = {f"cotracker_ros/definitions/{path.name}" for path in (ROOT / "msg").glob("*.msg")}
    parameters = {f"cotracker_ros/config/{path.name}" for path in (ROOT / "config").glob("*.yaml")}
    assert names == ours | messages | parameters


def test_wheel_brings_the_command(wheel: zipfile.ZipFile) -> None:
    points = next(name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert "cotracker_ros = cotracker_ros.cli:main" in wheel.read(points).decode()


def test_every_python_library_is_required_by_the_wheel(wheel_requirements: dict[str, Requirement]) -> None:
    _, libraries = split(imported("cotracker_ros"))
    assert {DISTRIBUTIONS.get(name, name) for name in libraries} <= set(wheel_requirements)


def test_every_python_library_can_be_had_on_a_robot() -> None:
    _, libraries = split(imported("cotracker_ros"))
    from_pip = {requirement.name for requirement in requirements("robot.txt")}
    assert {KEYS.get(name, name) for name in libraries} <= declared() | from_pip


def test_every_ros_package_is_declared() -> None:
    ros, _ = split(imported("cotracker_ros", "launch"))
    assert ros <= declared()


def test_versions_agree() -> None:
    source = (ROOT / "cotracker_ros" / "__init__.py").read_text()
    assert f'__version__ = "{MANIFEST.findtext("version")}"' in source


@pytest.mark.parametrize("name", ["python.txt", "kilted.txt", "jazzy.txt", "constraints.txt"])
def test_requirements_are_pinned_once(name: str) -> None:
    for python in ("3.10", "3.11", "3.13"):
        active = [
            r for r in requirements(name) if not r.marker or r.marker.evaluate({"python_version": python})
        ]
        assert len({r.name for r in active}) == len(active)
        assert all(re.fullmatch(r"==[^*,]+", str(r.specifier)) for r in active)


def test_pins_lie_in_the_ranges_of_the_wheel(wheel_requirements: dict[str, Requirement]) -> None:
    pins = [(pin.name, str(pin.specifier).removeprefix("==")) for pin in requirements("python.txt")]
    assert set(wheel_requirements) <= {name for name, _ in pins}
    assert all(
        version in wheel_requirements[name].specifier for name, version in pins if name in wheel_requirements
    )


def test_both_distributions_bring_the_same_ros_packages() -> None:
    """A package that only one of them lists would be missed in tests on the other."""

    def packages(distro: str) -> set[str]:
        prefix = f"ros-{distro}-"
        names = {
            r.name.removeprefix(prefix) for r in requirements(f"{distro}.txt") if r.name.startswith(prefix)
        }
        return {name for name in names if name.endswith(("-msgs", "-srvs")) or name == "rclpy"}

    assert packages("kilted") == packages("jazzy")
