"""What is written from the code is as the code is: stubs, reference.md, lists of operations."""

import re
import sys
from pathlib import Path

import pytest

import micrograd
from micrograd import Tensor
from micrograd.operations import OPERATIONS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "misc"))
import reference  # noqa: E402 (it lies in misc/, which is no package)

ROOMS = [f"micrograd/{m}.pyi" for m in ("engine", "operations", "shapes", "linalg", "einsum")]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BY_HAND = (ROOT / "misc" / "by-hand.md").read_text(encoding="utf-8")
TABLE = BY_HAND.partition("## The operations")[2].partition("\n\nAll are methods")[0]


@pytest.fixture(scope="module")
def generated():
    return reference.generated()


@pytest.mark.parametrize("name", ROOMS)
def test_stubs_are_current(name, generated):
    assert_current(name, generated)


def test_reference_is_current(generated):
    assert_current("misc/reference.md", generated)


def assert_current(name, generated):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == generated[ROOT / name], f"{name} is out of date: run {reference.COMMAND}"


def test_every_line_of_the_reference_says_something(generated):
    rows = [
        line
        for line in generated[ROOT / "misc/reference.md"].splitlines()
        if line.startswith("| `")
    ]
    assert len(rows) > 150
    assert [row for row in rows if not re.search(r"\w.* \|$", row.partition("` | ")[2])] == []


def test_reference_has_every_operation_and_public_name(generated):
    text = generated[ROOT / "misc/reference.md"]
    names = {*OPERATIONS, *micrograd.__all__, *(n for n in dir(Tensor) if not n.startswith("_"))}
    for module in reference.modules():
        names |= {*module.__all__}
    assert [name for name in sorted(names) if not re.search(rf"^\| `{name}\b", text, re.M)] == []


def test_reference_says_what_a_layer_takes_and_gives(generated):
    text = generated[ROOT / "misc/reference.md"]
    for call in ("LSTM(...)(x, state=None) -> tuple", "MultiHeadAttention(...)(query, key=None"):
        assert f"| `{call}" in text


def test_the_table_lists_every_operation():
    listed = {word for words in re.findall("`([^`]+)`", TABLE) for word in words.split()}
    assert sorted({*OPERATIONS} - listed) == []


def test_the_table_lists_nothing_that_is_not_there():
    rows = dict(re.findall(r"^\| (\w+).*? \| (.*) \|$", TABLE, re.MULTILINE))
    for row in ("elementwise", "reductions", "shapes", "functions"):
        for name in " ".join(re.findall("`([^`]+)`", rows[row])).split():
            assert hasattr(micrograd if row == "functions" else Tensor, name), f"{row}: {name}"


def test_readme_counts_and_names_operations_that_there_are():
    assert f"{len(OPERATIONS)} operations" in README
    sentence = README.partition("Operations are methods")[2].partition("`np.linalg`")[0]
    named = set(re.findall("`(\\w+)`", sentence)) - {"micrograd"}
    assert len(named) > 5
    assert sorted(named - {*OPERATIONS}) == []


def test_readme_says_how_long_the_engine_is():
    lines = (ROOT / "micrograd" / "engine.py").read_text(encoding="utf-8").count("\n")
    assert f"engine of {lines} lines" in README
