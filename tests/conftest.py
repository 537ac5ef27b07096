"""How long hypothesis searches, what runs first, and what is said at the end of tests left out."""

import os

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

# A thread for each of the processes that pytest-xdist starts, which inherit this
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name != "test_demos.py")  # it takes longest


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
