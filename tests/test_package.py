"""What is said where PyPI's package of the same import name has been installed over this one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import micrograd

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(params=["replaced", "taken away"])
def mixed(request, tmp_path):
    """What is left when its three files have replaced ours, and when they are uninstalled then."""
    here = tmp_path / "micrograd"
    shutil.copytree(ROOT / "micrograd", here, ignore=shutil.ignore_patterns("__pycache__"))
    theirs = {"__init__.py": "", "engine.py": "class Value: ...\n", "nn.py": "class Neuron: ...\n"}
    for name, text in theirs.items():
        (here / name).unlink()
        if request.param == "replaced":
            (here / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("module", ["optim", "calculus", "debug", "draw", "distributed", "linalg"])
def test_mixed_files_are_an_error_that_says_how_to_mend_it(module, mixed):
    done = subprocess.run(
        [sys.executable, "-c", f"import micrograd.{module}"],
        cwd=mixed, env={"PYTHONPATH": str(mixed)}, capture_output=True, text=True,
    )  # fmt: skip
    error = done.stderr.splitlines()[-1]
    assert error.startswith("ImportError: another package, PyPI's micrograd, has replaced"), error
    assert "pip uninstall micrograd" in error


def test_the_version_is_said_alike():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{micrograd.__version__}"\n' in text
