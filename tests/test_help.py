"""What `help`, `inspect.signature`, completion and pickle find."""

import importlib
import inspect
import pickle
import pydoc
import re

import numpy as np
import pytest

import micrograd
from micrograd import Tensor, nn
from micrograd.operations import OPERATIONS

MODULES = ["calculus", "debug", "distributed", "draw", "nn", "optim"]
METHODS = dict(inspect.getmembers(Tensor, inspect.isfunction))
ARITHMETIC = ["add", "sub", "mul", "truediv", "pow", "matmul"]
OPERATORS = {
    f"__{name}__": METHODS[f"__{name}__"]
    for name in [*ARITHMETIC, *("r" + name for name in ARITHMETIC), "neg", "abs", "getitem"]
    + ["eq", "ne", "lt", "le", "gt", "ge"]
}


@pytest.mark.parametrize(
    ("f", "lines"),
    [
        (Tensor.exp, ["exp(x)", "e^x."]),
        (
            Tensor.sum,
            ["x, axis: 'Axis' = None, keepdims: 'bool' = False, *, dtype", "The sum over axis"],
        ),
        (Tensor.__mul__, ["__mul__(a, b)", "a * b, elementwise."]),
        (Tensor.__radd__, ["__radd__(self, other)", "other + self"]),
        (Tensor.__matmul__, ["__matmul__(a, b)", "The matrix product a @ b"]),
        (micrograd.maximum, ["maximum(a, b)", "The larger of a and b"]),
    ],
)
def test_help_shows_name_arguments_and_docstring(f, lines):
    text = re.sub(r"\s+", " ", pydoc.plain(pydoc.render_doc(f)))  # Python 3.13 breaks long lines
    for line in lines:
        assert line in text


def test_all_that_is_public_has_a_docstring():
    functions = {**OPERATIONS, **OPERATORS}
    functions |= {name: f for name, f in METHODS.items() if not name.startswith("_")}
    for module in (micrograd, *(importlib.import_module(f"micrograd.{m}") for m in MODULES)):
        functions |= {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
    assert [name for name, f in functions.items() if not f.__doc__] == []


def test_completion_offers_public_names_alone():
    for module in (micrograd, *(importlib.import_module(f"micrograd.{m}") for m in MODULES)):
        assert dir(module) == sorted(module.__all__)
        for name in module.__all__:
            assert hasattr(module, name)


def test_completion_on_a_tensor_offers_what_belongs_there():
    t = Tensor([1.0, 2.0])
    for tensor in (t, np.exp(t)):
        names = {name for name in dir(tensor) if not name.startswith("_")}
        assert {"exp", "sum", "T", "data", "grad", "backward"} <= names
        assert not names & {"np", "os", "math", "engine", "arrays"}


@pytest.mark.parametrize("kind", ["OPERATIONS", "operators", "methods", "ACTIVATIONS"])
def test_operations_pickle(kind):
    functions = {
        "OPERATIONS": OPERATIONS,
        "operators": OPERATORS,
        "methods": METHODS,
        "ACTIVATIONS": nn.ACTIVATIONS,
    }[kind]
    for name, f in functions.items():
        assert pickle.loads(pickle.dumps(f)) is f, name
