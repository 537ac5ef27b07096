"""The demo notebooks at the top, run whole: what they print is compared with the published figures.

A notebook runs in a folder of its own, so that the pictures it saves do not touch those of the
repository. Its cells are known by their ids.
"""

import gc
import hashlib
import json
import os
import re
import shutil
import sys
import tracemalloc
from pathlib import Path

import nbformat
import numpy as np
import pytest
from conftest import RUNNING
from nbclient import NotebookClient
from tqdm import tqdm

from micrograd import jit
from micrograd.nn import MultiLayerPerceptron

ROOT = Path(__file__).parent.parent
PROBES = {"moon": "import json\n\nprint(json.dumps(log))"}


def read(name):
    return nbformat.read(ROOT / name, as_version=4)


def source(notebook, cell_id):
    return next(cell.source for cell in notebook.cells if cell.id == cell_id)


def printed(notebook):
    """What each cell printed, by the cell's id."""
    return {
        cell.id: "".join(out.text for out in cell.outputs if out.output_type == "stream").rstrip()
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


def run(demo, folder):
    """Run a demo in folder, with one more cell, "probe", at its end; return what it printed."""
    notebook = read(f"demo-{demo}.ipynb")
    notebook.cells.append(nbformat.v4.new_code_cell(PROBES.get(demo, ""), id="probe"))
    (folder / "misc").mkdir(parents=True)
    for needed in ("mnist.npz", "mnist.py", "pictures.py"):
        shutil.copy(ROOT / "misc" / needed, folder / "misc")
    resources = {"metadata": {"path": folder}}
    NotebookClient(notebook, timeout=600, coalesce_streams=True, resources=resources).execute()
    return printed(notebook)


def assert_pictures(folder, *names):
    for name in names:
        assert (folder / "build" / name).read_bytes()[:4] == b"\x89PNG", f"{name} is no picture"


@pytest.fixture(scope="module")
def demos(request):
    """What the process that conftest.py has begun prints: of each demo, what its cells printed."""
    process, folder = request.config.stash[RUNNING]
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return {demo: (Path(folder.name) / demo, text) for demo, text in json.loads(output).items()}


@pytest.fixture(scope="module")
def moon(demos):
    return demos["moon"]


@pytest.fixture(scope="module")
def mnist(demos):
    return demos["mnist"]


# The moons


def test_moon_reproduces_the_published_log(moon):
    ours = np.array(json.loads(moon[1]["probe"]))
    published = np.loadtxt(Path(__file__).parent / "moon-log.csv", delimiter=",", skiprows=1)
    assert ours.shape == published.shape == (100, 3)
    for i, what in enumerate(("step", "loss", "accuracy")):
        np.testing.assert_allclose(ours[:, i], published[:, i], rtol=1e-9, err_msg=what)
    assert ours[-1, 2] == 100


def test_moon_prints_what_it_says(moon):
    folder, output = moon
    assert "337 parameters" in output["network"]
    assert output["training"].startswith("step   1: loss 1.581063, accuracy 48%")
    assert output["training"].endswith("step 100: loss 0.011967, accuracy 100%")
    assert_pictures(folder, "moon-demo.png")
    animation = folder / "build" / "moon-demo.gif"
    assert animation.read_bytes()[:4] == b"GIF8"
    assert animation.stat().st_size <= 500_000


# The digits


def test_mnist_reproduces_the_published_figures(mnist):
    folder, output = mnist
    assert "109,386 parameters" in output["network"]
    lines = output["training"].splitlines()
    pattern = r"Epoch (\d+)/20, Loss: \d\.\d{4}, Accuracy: \d\d\.\d\d%$"
    epochs = [re.match(pattern, line) for line in lines]
    assert all(epochs), output["training"]
    assert [int(epoch[1]) for epoch in epochs] == list(range(1, 21))
    assert lines[0] == "Epoch 1/20, Loss: 1.4643, Accuracy: 65.52%"
    assert lines[-1] == "Epoch 20/20, Loss: 0.1564, Accuracy: 96.08%"
    assert output["test"] == "Test loss: 0.1618, test accuracy: 95.81%"
    assert_pictures(folder, "mnist-demo.png", "mnist-demo-cm.png")


def test_mnist_with_adam_in_float32_gets_98_percent_right(mnist):
    match = re.match(r"Test accuracy with Adam in float32: (\d\d\.\d\d)%$", mnist[1]["adam"])
    assert match, mnist[1]["adam"]
    assert float(match[1]) >= 98


@pytest.mark.parametrize(
    "damage, error, message",
    [
        (lambda path: path.unlink(), FileNotFoundError, r"missing: .*mnist\.npz is part"),
        (lambda path: os.truncate(path, 1_000_000), ValueError, "damaged: .*checksum"),
        (lambda path: path.write_bytes(b""), ValueError, "damaged: .*checksum"),
    ],
    ids=["missing", "truncated", "empty"],
)
def test_mnist_says_what_is_wrong_with_its_data(tmp_path, monkeypatch, damage, error, message):
    monkeypatch.syspath_prepend(ROOT / "misc")
    from mnist import load

    path = tmp_path / "mnist.npz"
    shutil.copy(ROOT / "misc" / "mnist.npz", path)
    damage(path)
    with pytest.raises(error, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_mnist_training_needs_no_garbage_collector(monkeypatch):
    """The notebook's own loop, on 640 random images: 20 epochs of 10 batches."""
    rng = np.random.default_rng(0)
    images, digits = rng.integers(0, 256, (640, 28, 28), np.uint8), rng.integers(0, 10, 640)
    names = {"np": np, "sys": sys, "tqdm": tqdm, "MultiLayerPerceptron": MultiLayerPerceptron}
    names["jit"] = jit
    names |= {"X_train": images, "y_train": digits, "X_test": images, "y_test": digits}
    notebook = read("demo-mnist.ipynb")
    for cell_id in ("network", "loss"):
        exec(source(notebook, cell_id), names)

    memory = []  # at the start of each epoch, which is when it draws a permutation

    def permutation(n, draw=np.random.permutation):
        memory.append(tracemalloc.get_traced_memory()[0])
        return draw(n)

    monkeypatch.setattr(np.random, "permutation", permutation)
    gc.disable()
    tracemalloc.start()
    try:
        exec(source(notebook, "training"), names)
    finally:
        tracemalloc.stop()
        gc.enable()
    assert len(memory) == 20
    grown = memory[-1] - memory[1]
    assert grown < 1e6, f"{grown / 1e6:.1f} MB in 180 steps"


# What is stored


@pytest.mark.parametrize("name", ["demo-moon.ipynb", "demo-mnist.ipynb"])
def test_notebook_is_stored_as_executed(name, moon, mnist):
    notebook = read(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [out for cell in code for out in cell.outputs if out.get("name") == "stderr"]
    assert (ROOT / name).stat().st_size < 1_500_000

    _, output = moon if "moon" in name else mnist
    for cell_id, text in printed(notebook).items():
        if cell_id not in ("adam", "each"):  # in float32 last digits depend on the machine
            assert text == output[cell_id], f"{name}, cell {cell_id}"


@pytest.mark.parametrize("name", ["mnist.npz", "names.txt"])
def test_data_is_what_its_readme_says(name):
    checksum = hashlib.sha256((ROOT / "misc" / name).read_bytes()).hexdigest()
    readme = (ROOT / "misc" / "README.md").read_text(encoding="utf-8")
    assert f"| `{name}` | `{checksum}` |" in readme


if __name__ == "__main__":
    _, place, *wanted = sys.argv
    json.dump({demo: run(demo, Path(place) / demo) for demo in wanted}, sys.stdout)
