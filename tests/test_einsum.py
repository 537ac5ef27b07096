"""Tests of `einsum`, beside its rows in the table."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table import compare, search

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
