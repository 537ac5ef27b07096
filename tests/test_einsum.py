"""Tests of `einsum`, beside its rows in the table."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table import compare, mistakes, raising, search

from micrograd import einsum

# No operation may warn of an overflow or a division where its result is fine
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@st.composite
def products(draw):
    lengths = {"a": 2, "b": 3, "c": 1, "d": draw(st.integers(0, 2))}
    inputs = draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(inputs)))
    output = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
    shapes = [tuple(lengths[c] for c in labels) for labels in inputs]
    arrow = draw(st.sampled_from(["->" + "".join(output), ""]))
    return ",".join(inputs) + arrow, shapes


@settings(search, max_examples=150)
@given(products())
def test_any_einsum(product):
    subscripts, shapes = product
    rng = np.random.default_rng(0)
    compare(
        lambda *xs: einsum(subscripts, *xs),
        lambda *xs: torch.einsum(subscripts if subscripts.strip(",") else subscripts + "->", *xs),
        [rng.normal(size=s) for s in shapes],
        f"einsum({subscripts!r})",
        rng,
    )


ERRORS = [
    (raising(lambda x, y, s: einsum("ij,j->i", x)), ValueError, "is for 2 operands, got 1"),
    (raising(lambda x, y, s: einsum("ijk->i", x)), ValueError, "'ijk' does not fit .* 2 axes"),
    (raising(lambda x, y, s: einsum("i->i", x)), ValueError, "'i' does not fit .* 2 axes"),
    (raising(lambda x, y, s: einsum("ii->i", x)), ValueError, "label 'i' of 'ii' .* several"),
    (raising(lambda x, y, s: einsum("ij->k", x)), ValueError, "einsum"),
    (raising(lambda x, y, s: einsum(x, y, [0, 1])), TypeError, "expected subscripts"),
    (raising(lambda x, y, s: einsum(x, [0, 52])), TypeError, "list of labels below 52"),
    (raising(lambda x, y, s: einsum(x, [0, -1])), TypeError, "list of labels below 52"),
]  # fmt: skip


@mistakes(ERRORS)
def test_a_mistake_raises_an_error_that_names_it(f, error, message):
    with pytest.raises(error, match=message):
        f()
