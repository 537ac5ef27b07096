"""How long hypothesis searches, and a process in which the MNIST demo trains beside the tests.

The demo takes a minute, and is judged last. And what is said at the end of tests left out.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# For test_random.py: seconds, the same ones every time; minutes with --hypothesis-profile=long
settings.register_profile(
    "short", max_examples=100, derandomize=True, database=None, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
settings.register_profile(
    "long", settings.get_profile("short"), max_examples=5000, derandomize=False
)
settings.load_profile("short")

RUNNING = pytest.StashKey()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name == "test_demos.py")


def pytest_collection_finish(session):
    wanted = any("mnist" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        folder = tempfile.TemporaryDirectory()
        program = Path(__file__).with_name("test_demos.py")
        command = [sys.executable, str(program), "demo-mnist.ipynb", folder.name]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        session.config.stash[RUNNING] = process, folder


def pytest_unconfigure(config):
    if RUNNING in config.stash:
        process, folder = config.stash[RUNNING]
        process.kill()
        process.wait()
        folder.cleanup()


def pytest_terminal_summary(terminalreporter):
    left_out = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
        if "test_pages.py" in report.nodeid
    ]
    for reason in dict.fromkeys(left_out):
        terminalreporter.write_line(
            f"{left_out.count(reason)} tests of pages in a browser were left out: {reason}",
            yellow=True,
        )
