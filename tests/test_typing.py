"""What type checkers make of typed/program.py, which is right, and of typed/errors.py."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM, ERRORS = ROOT / "tests/typed/program.py", ROOT / "tests/typed/errors.py"
MARK = re.compile(r"# error: (.+)$")


def marked() -> list[tuple[str, int, str]]:
    """The file, line and kind of every error that errors.py asks for."""
    lines = enumerate(ERRORS.read_text(encoding="utf-8").splitlines(), 1)
    return [(ERRORS.name, n, mark[1]) for n, line in lines if (mark := MARK.search(line))]


def run(*command: str) -> str:
    """What a checker prints about both files; it must be able to run."""
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *command, str(PROGRAM), str(ERRORS)],
        capture_output=True, text=True, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert done.returncode == 1, f"{command[0]} did not run:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_mypy_finds_what_is_marked_and_nothing_else(tmp_path):
    # Silent about the library itself, as it is where the library is installed
    options = ["--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}", "--no-pretty"]
    output = run("mypy", *options)
    found = re.findall(r"(\w+\.py):(\d+): error: .*\[([a-z-]+)\]$", output, re.MULTILINE)
    assert [(name, int(n), kind) for name, n, kind in found] == marked(), output


def test_pyright_finds_what_is_marked_and_nothing_else():
    found = json.loads(run("pyright", "--outputjson", f"--pythonpath={sys.executable}"))[
        "generalDiagnostics"
    ]
    errors = [
        (Path(e["file"]).name, e["range"]["start"]["line"] + 1)
        for e in found
        if e["severity"] == "error"
    ]
    assert sorted(set(errors)) == [(name, n) for name, n, _ in marked()], found


def test_the_program_runs():
    subprocess.run([sys.executable, PROGRAM], check=True, cwd=ROOT)
