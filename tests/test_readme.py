"""What README.md and the pages of misc/ show runs as printed, and their links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "misc/README.md", "misc/reference.md")
TEXT = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
# Each block of Python, and the block without a language that may follow it: what it prints
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n\n```\n(.*?)```)?", TEXT, re.DOTALL)
PROGRAMS = [(code, output) for code, output in BLOCKS if "import" in code]
EXCERPTS = [code for code, _ in BLOCKS if "import" not in code]


def test_there_is_something_to_check():
    assert len(PROGRAMS) >= 6
    assert len(EXCERPTS) >= 1


@pytest.mark.parametrize(("code", "output"), PROGRAMS, ids=[code[:60] for code, _ in PROGRAMS])
def test_a_block_prints_what_the_page_says(code, output, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    if output:
        assert run.stdout == output
    for said in re.findall(rf"{re.escape(code)}```\n\nThis prints `(.*?)`", TEXT):
        assert run.stdout.strip() == said


@pytest.mark.parametrize("code", EXCERPTS)
def test_an_excerpt_stands_in_the_engine(code):
    def without_layout(text):
        return re.sub(r"\s+", " ", text).replace("( ", "(").strip()

    engine = (ROOT / "micrograd" / "engine.py").read_text(encoding="utf-8")
    assert without_layout(code) in without_layout(engine)


def test_links_lead_to_files_and_headings():
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        text = re.sub(r"```.*?```|`[^`\n]*\(.*?`", "", text, flags=re.DOTALL)  # without code
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text):
            path = (ROOT / page).parent / target if target else ROOT / page
            assert path.exists(), f"{page}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
                assert anchor in anchors, f"{page}: {target}#{anchor}"
