"""What reference.md says about PyTorch: every line gives PyTorch's values and gradients."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from table import assert_same
from torch.nn import functional

import micrograd
from micrograd import Tensor, nn

TEXT = (Path(__file__).parents[1] / "misc" / "by-hand.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## What PyTorch has under another name")[2]
PAIRS = [
    (theirs, ours)
    for theirs, cell in re.findall(r"^\| `(.*?)` \| (.*) \|$", TABLE, re.MULTILINE)
    for ours in re.findall("`(.*?)`", cell)
]
SHAPES = {"t": (4, 3), "u": (4, 3), "v": (3,), "m": (2, 4, 3), "n": (2, 3, 4), "s": (3, 3)}
CONSTANTS = {
    "i": np.array([[0, 0, 2], [1, 1, 1], [2, 0, 1], [0, 2, 2]]),
    "k": np.array([2, 0, 2, 1]),
    "p": np.array([2, 0, 3, 1]),
    "mask": np.arange(12).reshape(4, 3) % 5 < 2,
}


def test_there_are_lines_to_run():
    assert len(PAIRS) > 60
    assert len(PAIRS) >= TABLE.count("\n| `")


@pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=[ours for _, ours in PAIRS])
def test_a_line_is_pytorchs(theirs, ours):
    rng = np.random.default_rng(5)
    arrays = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    tensors = {name: Tensor(x) for name, x in arrays.items()}
    names = {**vars(micrograd), "nn": nn, "np": np, "rows": np.arange(4)[:, None]}
    names |= {**CONSTANTS, **tensors}
    found = eval(ours, names)

    torchs = {name: torch.tensor(x, requires_grad=True) for name, x in arrays.items()}
    names = {"torch": torch, "F": functional, **torchs}
    names.update({name: torch.tensor(x) for name, x in CONSTANTS.items()})
    expected = eval(theirs, names)

    if not isinstance(found, Tensor):  # without a gradient
        assert_same(np.asarray(found), expected, ours)
        return
    assert_same(found.data, expected, ours)
    assert found.requires_grad == expected.requires_grad
    if not found.requires_grad:
        return
    weights = np.cos(np.arange(found.size)).reshape(found.shape)
    found.backward(weights)
    expected.backward(torch.tensor(weights))
    for name, x in tensors.items():
        g = torchs[name].grad
        assert x.has_grad == (g is not None), f"{ours} by {name}"
        if g is not None:
            assert_same(x.grad, g, f"{ours} by {name}")
