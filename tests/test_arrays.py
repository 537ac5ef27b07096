"""Tests that formulas are NumPy calls on whatever speaks NumPy's protocols."""

import math
import operator

import numpy as np
import pytest
from recording import Recording
from table import ROWS, Row

from micrograd import nn, operation
from micrograd.arrays import KINDS
from micrograd.engine import backpropagate, wrap


@pytest.fixture
def computed_with():
    """Recordings are among the arrays that operations compute with."""
    KINDS.add(Recording)
    Recording.calls.clear()
    yield
    KINDS.remove(Recording)


def values_and_gradients(row, shapes, kind):
    """Those of every tensor in the graph of a row, computed with arrays of this kind."""
    operands = [wrap(kind(a[()])) for a in row.operands(shapes)]
    for x in operands:
        x.requires_grad = True
    y = row.ours(*operands)
    start = np.asarray(row.rng(shapes).normal(size=y.shape), y.dtype)
    gradients = backpropagate(y, kind(start[()]))
    tensors = [*operands, *(t for t in gradients if not t.is_leaf)]
    return [t.data for t in tensors], [gradients.get(t) for t in tensors]


def assert_the_same_to_the_bit(row):
    for shapes in row.cases:
        plain = values_and_gradients(row, shapes, lambda array: array)
        Recording.calls.clear()
        recordings = values_and_gradients(row, shapes, Recording)
        assert Recording.calls
        for what, ours, expected in zip(("value", "gradient"), recordings, plain):
            for x, array in zip(ours, expected, strict=True):
                case = f"{row.name} of {shapes}, a {what}"
                if array is None:  # of an operand that the result does not depend on
                    assert x is None, case
                    continue
                assert type(x) is Recording, f"{case}: a {type(x).__name__}"
                assert x.shape == array.shape, case
                assert x.array.astype(array.dtype).tobytes() == array.tobytes(), case


# The shape of their results depends on the numbers
NUMBERS = ("lstsq", "trim_zeros", "piecewise", "polydiv", "polyfit", "polymul")
REAL = ("eig", "eigvals", "poly of a matrix")  # and here whether they are real, since NumPy 2.5


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if not row.name.startswith(NUMBERS) and row.name not in REAL],
    ids=lambda row: row.name,
)
@pytest.mark.usefixtures("computed_with")
def test_a_row_on_arrays_of_another_kind_gives_the_same_to_the_bit(row):
    assert_the_same_to_the_bit(row)


def layer_row(expression, *shapes):
    """A layer as a function of its input and parameters."""

    def run(x, *parameters):
        layer = eval(expression, vars(nn))
        for name, parameter in zip(("weight", "bias"), parameters):
            setattr(layer, name, parameter)
        return layer(x)

    return Row(expression, run, None, [shapes])


LAYERS_OF_IMAGES = [
    layer_row("Conv2d(2, 3, 3)", (2, 2, 5, 6), (3, 2, 3, 3), (3,)),
    layer_row("Conv2d(12, 4, 3, 2, 1, groups=2, bias=False)", (2, 12, 5, 6), (4, 6, 3, 3)),
    layer_row("Conv1d(2, 3, 3, dilation=2)", (2, 2, 6), (3, 2, 3), (3,)),
    layer_row("ConvTranspose2d(2, 3, 3, stride=2)", (2, 2, 3, 4), (2, 3, 3, 3), (3,)),
    layer_row("Upsample(size=(3, 7))", (2, 2, 4, 3)),
    layer_row("Upsample(scale_factor=1.7, mode='bilinear')", (2, 2, 4, 3)),
]


@pytest.mark.parametrize("row", LAYERS_OF_IMAGES, ids=lambda row: row.name)
@pytest.mark.usefixtures("computed_with")
def test_a_layer_of_images_on_arrays_of_another_kind_gives_the_same_to_the_bit(row):
    assert_the_same_to_the_bit(row)


REFUSED = {
    "an array": np.asarray,
    "a bool": bool,
    "a float": float,
    "an int": int,
    "an index": lambda x: [1, 2][x],
    "an iteration": list,
    "an element of a list": lambda x: np.array([x, x]),
    "an argument of math": math.sqrt,
    "an operand written into an array": lambda x: np.add(np.ones(1), x, out=np.ones(1)),
    "elements written into an array": lambda x: operator.setitem(np.ones(1), ..., x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_recording_becomes_no_other_array_and_no_number(name):
    with pytest.raises(TypeError, match="a Recording was to be"):
        REFUSED[name](Recording(np.ones(1)))


@pytest.mark.usefixtures("computed_with")
def test_a_formula_that_makes_a_plain_array_of_its_operand_is_caught():
    row = Row("bad", operation("bad", lambda x: np.asarray(x) * 2, lambda g, y, x: g), None, ())
    with pytest.raises(TypeError, match="a Recording was to be"):
        values_and_gradients(row, [(3,)], Recording)
