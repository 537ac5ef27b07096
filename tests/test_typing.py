"""What type checkers make of typed/program.py, which is right, and of typed/errors.py."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PROGRAM, ERRORS = ROOT / "tests/typed/program.py", ROOT / "tests/typed/errors.py"
MARK = re.compile(r"# error: (.+)$")


def marked() -> list[tuple[str, int, str]]:
    """The file, line and kind of every error that errors.py asks for."""
    lines = enumerate(ERRORS.read_text(encoding="utf-8").splitlines(), 1)
    return [(ERRORS.name, n, mark[1]) for n, line in lines if (mark := MARK.search(line))]


# Silent about the library itself, as it is where the library is installed
CHECKERS = {
    "mypy": ["--strict", "--follow-imports=silent", "--no-pretty"],
    "pyright": ["--outputjson", f"--pythonpath={sys.executable}"],
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each checker prints about both files; they run side by side, for they take a while."""
    cache = str(tmp_path_factory.mktemp("mypy"))
    environment = {**os.environ, "MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": cache}
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", name, *options, str(PROGRAM), str(ERRORS)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        )
        for name, options in CHECKERS.items()
    }  # fmt: skip
    output = {}
    for name, process in running.items():
        output[name], errors = process.communicate()
        assert process.returncode == 1, f"{name} did not run:\n{output[name]}{errors}"
    return output


def test_mypy_finds_what_is_marked_and_nothing_else(printed):
    output = printed["mypy"]
    found = re.findall(r"(\w+\.py):(\d+): error: .*\[([a-z-]+)\]$", output, re.MULTILINE)
    assert [(name, int(n), kind) for name, n, kind in found] == marked(), output


def test_pyright_finds_what_is_marked_and_nothing_else(printed):
    found = json.loads(printed["pyright"])["generalDiagnostics"]
    errors = [
        (Path(e["file"]).name, e["range"]["start"]["line"] + 1)
        for e in found
        if e["severity"] == "error"
    ]
    expected = {(name, n) for name, n, _ in marked()}
    assert not set(errors) - expected, found
    if np.lib.NumpyVersion(np.__version__) >= "2.2.0":  # before, NumPy's own stubs know less
        assert not expected - set(errors), found


def test_the_program_runs():
    subprocess.run([sys.executable, PROGRAM], check=True, cwd=ROOT)
