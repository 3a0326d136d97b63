"""The wheels' CMake files must name this machine's paths."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "patch_wheels.py"


def patch(text: str) -> str:
    spec = importlib.util.spec_from_file_location("patch_wheels", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.patch_text(text, include="/usr/include/python3.12", prefix="/home/me/.venv")


def test_the_folder_of_python_h() -> None:
    assert patch('"/opt/python/cp312-cp312/include/python3.12;x"') == '"/usr/include/python3.12;x"'


def test_everything_else_lies_in_the_environment() -> None:
    numpy = "lib/python3.11/site-packages/numpy/_core/include"
    assert patch(f"/opt/python/cp311-cp311/{numpy}") == f"/home/me/.venv/{numpy}"


def test_a_second_run_changes_nothing() -> None:
    once = patch("/opt/python/cp310-cp310/include/python3.10;/opt/python/cp310-cp310/lib")
    assert patch(once) == once
