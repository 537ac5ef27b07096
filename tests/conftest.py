"""How long hypothesis searches, and a process in which the demos run beside the tests.

They take a minute or two, and are judged last; just before come the tests that start several
processes themselves, which have both cores then. And what is said at the end of tests left out.
"""

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Set before NumPy and PyTorch are imported: threads beside the demos would wait for each other
os.environ["OMP_NUM_THREADS"] = "1"

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
DEMOS = ("moon", "mnist")  # fixtures of test_demos.py
LAST = ("test_notes.py", "test_benchmark.py", "test_distributed.py", "test_demos.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LAST.index(item.path.name) if item.path.name in LAST else -1)


def pytest_collection_finish(session):
    gc.freeze()  # 14,000 tests are many objects, through which every collection would go
    used = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    wanted = [name for name in DEMOS if name in used]
    if wanted and not session.config.option.collectonly:
        folder = tempfile.TemporaryDirectory()
        program = Path(__file__).with_name("test_demos.py")
        process = subprocess.Popen(
            [sys.executable, str(program), folder.name, *wanted],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
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
