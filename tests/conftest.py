"""What pytest says at its end about tests that were left out."""


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
