"""The figures in the texts are those in the outputs of the notebooks."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
MOON, MNIST = "demo-moon.ipynb", "demo-mnist.ipynb"
CONVNET, GPT, NOTES = "misc/demo-convnet.ipynb", "misc/demo-gpt.ipynb", "misc/notes.ipynb"

# What a text says, and what a cell has printed. A pattern's groups are the figures, in the same
# order; a text may give fewer digits.
CASES = [
    ("README.md", r"([\d.]+) % by plain gradient descent", MNIST, "test", r"accuracy: ([\d.]+)%"),
    ("README.md", r"([\d.]+) % by Adam", MNIST, "adam", r"float32: ([\d.]+)%"),
    ("README.md", r"([\d.]+) % of the digits", CONVNET, "result", r"micrograd +([\d.]+)%"),
    (
        f"{CONVNET} result-explained",
        r"both get ([\d.]+) %",
        CONVNET,
        "result",
        r"PyTorch ([\d.]+)%",
    ),
    (
        "misc/README.md",
        r"convnet.ipynb` takes ([\d.]+) times",
        CONVNET,
        "speed",
        r"takes ([\d.]+) times",
    ),
    (
        f"{MNIST} each-explained",
        r"from ([\d.]+) to ([\d.]+)",
        MNIST,
        "each",
        r"(?s)all of them +([\d.]+).*not shifted +([\d.]+)",
    ),
    (
        f"{GPT} data-text",
        r"repeats some\s+names, ([\d,]+) lines",
        "misc/names.txt",
        "repeated",
        r"(\d+) repeated",
    ),
    (
        f"{GPT} each-explained",
        r"(?s)from ([\d.]+) to ([\d.]+):.* to ([\d.]+), .*schedule to ([\d.]+),",
        GPT,
        "each",
        r"(?s)a step +\d+ +([\d.]+)\n.*128 +\d+ +([\d.]+)\n.*layers +\d+ +([\d.]+)\n.* ([\d.]+)\n",
    ),
    (f"{GPT} jit-explained", r"(\d+) lengths", GPT, "jit", r"(\d+) lengths"),
    (f"{NOTES} note-07", r"approx ([\d.]+)\.\$", NOTES, "note-10", r"straight ([\d.]+)"),
    (f"{NOTES} note-07", r"instead of ([\d.]+)\.\)", NOTES, "note-08", r"rule: +dy/db = ([\d.]+)"),
    (f"{NOTES} note-15", r"additions take ([\d,]+) visits", NOTES, "note-14", r" 15 +([\d,]+)"),
    (f"{NOTES} costs-text", r"\(([\d.]+) MB each\)", NOTES, "costs", r"result +([\d.]+)"),
]


def text_of(place):
    """A file's text, or that of one cell: "file cell"."""
    path, _, cell_id = place.partition(" ")
    if not cell_id:
        return (ROOT / path).read_text(encoding="utf-8")
    return cell(path, cell_id).source


def cell(path, cell_id):
    notebook = nbformat.read(ROOT / path, as_version=4)
    return next(cell for cell in notebook.cells if cell.id == cell_id)


def printed(path, cell_id):
    if path.endswith(".txt"):
        names = (ROOT / path).read_text(encoding="utf-8").split()
        return f"{len(names) - len(set(names))} repeated"
    return "".join(out.text for out in cell(path, cell_id).outputs if out.output_type == "stream")


def figures(pattern, text):
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in {text[:500]}"
    return [figure.replace(",", "") for figure in found.groups()]


def agree(said, measured):
    """The same number, rounded to the digits that are said."""
    decimals = len(said.partition(".")[2])
    return abs(float(said) - float(measured)) <= 0.5 * 10**-decimals * (1 + 1e-9)


@pytest.mark.parametrize("case", CASES, ids=[f"{place}: {what}" for place, what, *_ in CASES])
def test_a_figure_in_a_text_was_printed(case):
    place, pattern, path, cell_id, output = case
    said, measured = figures(pattern, text_of(place)), figures(output, printed(path, cell_id))
    assert len(said) == len(measured) >= 1
    for a, b in zip(said, measured):
        assert agree(a, b), f"{place} says {a}, {path} printed {b}"


def test_the_names_that_remain_are_those_the_gpt_says():
    said = figures(r"the texts are ([\d,]+) first names", text_of(f"{GPT} title"))
    split = figures(r"([\d,]+) names to train on, ([\d,]+) held out", printed(GPT, "data"))
    assert int(said[0]) == sum(map(int, split))


def test_the_moons_settle_when_the_text_says():
    log = np.loadtxt(ROOT / "tests" / "moon-log.csv", delimiter=",", skiprows=1)
    steps, losses, accuracies = log.T
    pattern = r"first time at step (\d+), and for good from step (\d+);.* until step (\d+)"
    first, good, settled = map(int, figures(f"(?s){pattern}", text_of(f"{MOON} about-curve")))
    assert first == steps[accuracies == 100][0]
    assert good == steps[accuracies < 100][-1] + 1
    assert all(np.diff(losses[settled - 1 :]) < 0)
    assert np.ptp(losses[settled - 1 :]) < 1e-4 < np.ptp(losses[settled - 2 :])
    (rest,) = figures(r"the ([\d.]+) that is left", text_of(f"{MOON} about-curve"))
    assert agree(rest, losses[-1])


def test_the_convnet_starts_as_far_apart_as_the_text_says():
    (apart,) = figures(r"differ by at most ([\d.e+-]+)", printed(CONVNET, "result"))
    assert "to seven digits" in text_of(f"{CONVNET} result-explained")
    assert float(apart) < 5e-7 * 2.4  # of losses up to 2.4
    means = figures(r"600 steps are ([\d.]+) and ([\d.]+)", printed(CONVNET, "result"))
    assert "mean losses agree" in text_of(f"{CONVNET} result-explained")
    assert abs(float(means[0]) - float(means[1])) < 1e-3


def test_the_sigmoids_gradient_vanishes_as_far_as_the_text_says():
    (said,) = figures(r"some (\d+) million times", text_of(f"{NOTES} note-33"))
    (ratio,) = figures(r"sigmoid.* ([\d.e+]+)\n", printed(NOTES, "note-32"))
    assert abs(1e6 * float(said) / float(ratio) - 1) < 0.2


def test_the_story_of_a_name_is_told_in_the_figures_of_the_table():
    story, table = text_of(f"{GPT} story"), printed(GPT, "probability")
    shares = re.findall(r"(\d+) %", story)
    assert len(shares) >= 8
    assert set(shares) <= set(re.findall(r"(\d+)%", table))
    begun, i, o = figures(r"(?s)of the (\d+) training .* (\d+) go on .*only (\d+) with", story)
    assert re.search(rf"\.christ +o \d+% .* {begun}\n", table)
    assert re.search(rf"goes on with i {i}, .*o {o},", table)
    (seen,) = re.findall(r"seen in training: (.*)", table)
    assert sorted(seen.split()) == sorted(re.findall(r"\*(christop\w+)\*", story))
