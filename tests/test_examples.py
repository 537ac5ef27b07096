"""The programs of misc/examples learn what they say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "misc" / "examples"
LEARNED = {  # what main() gives, after how many steps, and when that is good
    "lstm": (400, lambda error: error < 0.02),
    "physics": (1500, lambda error: error < 0.1),
    "vae": (600, lambda radius: abs(np.median(radius) - 1) < 0.15),
    "cartpole": (60, lambda lengths: np.mean(lengths[-10:]) > 3 * np.mean(lengths[:5])),
    "gan": (600, lambda radius: abs(np.median(radius) - 1) < 0.3),
    "graph_attention": (150, lambda right: right > 0.93),  # two of 34 wrong at most
}


def test_every_example_is_run():
    assert sorted(LEARNED) == sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", LEARNED)
def test_an_example_learns(name):
    path = EXAMPLES / f"{name}.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) < 80
    spec = importlib.util.spec_from_file_location(name, path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    steps, good = LEARNED[name]
    result = example.main(steps)
    assert good(result), result
