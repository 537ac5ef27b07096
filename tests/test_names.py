"""PyTorch's names: what works, and what the error says to write."""

import importlib

import numpy as np
import pytest
import torch
from networks import NoCall, assert_refused

import micrograd
from micrograd import Tensor, names, nn, optim

HERE = {
    "Tensor": (lambda: Tensor([[1.0]]), names.TENSOR),
    "NoCall": (NoCall, names.MODULE),
    "nn": (lambda: nn, names.NN),
    "optim": (lambda: optim, names.OPTIM),
    "micrograd": (lambda: micrograd, names.MICROGRAD),
}
THEIRS = {
    "Tensor": torch.Tensor, "NoCall": torch.nn.Module, "nn": torch.nn, "optim": torch.optim,
    "micrograd": torch,
}  # fmt: skip
ALL = [(owner, name) for owner, (_, table) in HERE.items() for name in table]


@pytest.mark.parametrize(("owner", "name"), ALL)
def test_a_name_of_pytorchs_that_is_not_here_says_what_is(owner, name):
    make, table = HERE[owner]
    with pytest.raises(AttributeError) as caught:
        getattr(make(), name)
    assert str(caught.value) == f"{owner} has no attribute {name!r}: here it is {table[name][1]}"


@pytest.mark.parametrize(("owner", "name"), [pair for pair in ALL if pair != ("NoCall", "weight")])
def test_pytorch_has_the_name(owner, name):
    if owner == "optim":
        importlib.import_module(f"torch.optim.{name}")
    else:
        assert hasattr(THEIRS[owner], name)


@pytest.mark.parametrize("owner", HERE)
def test_other_names_are_missing_as_ever(owner):
    x = HERE[owner][0]()
    assert not hasattr(x, "nonsense")
    assert_refused(lambda: x.nonsense, AttributeError, owner, "'nonsense'")


@pytest.mark.parametrize("module", ["nn", "optim", ""])
def test_an_import_says_so_too(module):
    name = {"nn": "functional", "optim": "lr_scheduler", "": "cat"}[module]
    place = f"micrograd.{module}".rstrip(".")
    with pytest.raises(ImportError, match="here it is"):
        exec(f"from {place} import {name}")
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec(f"from {place} import nonsense")


@pytest.mark.parametrize("name", names.ARGUMENTS)
def test_pytorchs_arguments_are_refused(name):
    assert_refused(lambda: Tensor([[1.0, 2.0]]).var(**{name: 0}), TypeError, "var", f"'{name}'")


ERRORS = {
    "size()": (lambda: Tensor([1.0]).size(), TypeError, "t.shape"),
    "size(0)": (lambda: Tensor([1.0]).size(0), TypeError, "t.shape[0]"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    assert_refused(*ERRORS[name])


def test_the_size_is_a_number_like_any_other():
    t = Tensor(np.ones((2, 3), np.float32))
    assert t.size == 6 and repr(t.size) == "6" and np.ones(t.size).shape == (6,)
    assert (t / t.size).dtype == np.float32 and (t.size * t).dtype == np.float32
    assert type(t.size * 2) is int


def test_a_graph_stays_for_another_backward():
    t = Tensor([1.0, 2.0])
    loss = (t * t).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert np.array_equal(t.grad, [4.0, 8.0])
