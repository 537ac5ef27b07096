"""Tests of every operation: the table against PyTorch, edges of domains, random shapes."""

import itertools
import math
import operator
import sys

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table import (
    ELEMENTWISE,
    ROWS,
    assert_same,
    by_row,
    check_against_pytorch,
    check_in_float32,
    compare,
    domains_of,
    mistakes,
    over_axes,
    positive,
    raising,
    search,
    torch_dot,
    torch_function,
    torch_index,
)

from micrograd import Tensor, concatenate, dot, grad, maximum, minimum, norm, where
from micrograd.operations import OPERATIONS

# No operation may warn of an overflow or a division where its result is fine
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


# The table


@by_row
def test_values_gradients_and_second_gradients_are_those_of_pytorch(row):
    check_against_pytorch(row)


@by_row
def test_float32_stays_float32_and_agrees_with_float64(row):
    check_in_float32(row)


def test_the_table_uses_every_operation():
    rooms = {
        f"micrograd.{name}"
        for name in (
            "engine",
            "operations",
            "shapes",
            "order",
            "linalg",
            "einsum",
            "polynomials",
        )
    }
    used = set()

    def note(frame, event, _):
        if event == "call" and frame.f_globals.get("__name__") in rooms:
            used.add(frame.f_code.co_name)  # of `operation`, all functions have one code
            used.add(frame.f_locals.get("op"))

    sys.setprofile(note)
    try:
        for row in ROWS:
            row.ours(*map(Tensor, row.operands(row.cases[0])))
    finally:
        sys.setprofile(None)
    assert len(OPERATIONS) > 40
    assert set(OPERATIONS) <= used


@pytest.mark.parametrize(
    ("ours", "theirs", "complaint"),
    [
        (np.ones((3, 1)), np.ones(3), "shape"),
        (np.ones(3, np.float32), np.ones(3), "dtype"),
        (np.float64(1), np.ones(()), "not an array"),
        (np.ones(3), np.ones(3) + 1e-8, "tolerance"),
        (np.full(3, np.nan), np.full(3, np.nan), "nan"),
    ],
)
def test_the_comparison_itself_refuses(ours, theirs, complaint):
    with pytest.raises(AssertionError, match=complaint):
        assert_same(ours, theirs, "here")


# Precisions


MIXED = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "@": (operator.matmul, lambda a, b: a.double() @ b.double()),
    "maximum": (maximum, torch.maximum),
    "where": (
        lambda a, b: where(np.eye(3) > 0, a, b),
        lambda a, b: torch.where(torch.eye(3) > 0, a, b),
    ),
    "concatenate": (lambda *xs: concatenate(xs), lambda *xs: torch.cat(xs)),
    "several uses": lambda a, b: (a + b.sum(0)) * b[0] + a.T,
}


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, (3, 3)) for name in MIXED] + [(name, ()) for name in (*"+-*/", "**", "maximum")],
)
def test_each_gradient_has_the_dtype_of_its_tensor_when_precisions_mix(name, shape):
    ours, theirs = MIXED[name] if isinstance(MIXED[name], tuple) else (MIXED[name],) * 2
    rng = np.random.default_rng(0)
    for dtypes in itertools.permutations((np.float32, np.float64)):
        arrays = [np.asarray(positive(rng, shape), dtype) for dtype in dtypes]
        x = [Tensor(a) for a in arrays]
        x_torch = [torch.tensor(a, requires_grad=True) for a in arrays]
        y, y_torch = ours(*x), theirs(*x_torch)
        if shape:  # PyTorch lets a 0-d float64 give way, NumPy doesn't
            assert_same(y.data, y_torch, f"{name} of {dtypes}", 1e-12)
        assert y.dtype == np.float64
        g = rng.normal(size=y.shape)
        y.backward(g)
        expected = torch.autograd.grad(y_torch, x_torch, torch.tensor(g).to(y_torch.dtype))
        for xk, e in zip(x, expected):
            assert_same(xk.grad, e, f"{name} of {dtypes}", 1e-6)
        for create_graph in (False, True):
            for gk, e in zip(grad(y, x, g, create_graph), expected):
                assert_same(gk.data, e, f"{name} of {dtypes}, grad({create_graph=})", 1e-6)


@pytest.mark.parametrize("base", [np.int8(3), np.array([2, 3], np.int8), np.float16(3)])
def test_a_narrow_constant_does_not_make_a_gradient_less_exact(base):
    x = Tensor(np.array([1.5, -0.5]))
    y = base**x
    y.backward()
    wide = np.asarray(base, np.float64)
    np.testing.assert_allclose(x.grad, np.log(wide) * wide**x.data, rtol=1e-14)


def test_astype_brings_the_gradient_back():
    x = Tensor(np.array([1.0, 2.0], np.float32))
    y = x.astype(np.float64) * np.pi
    assert y.dtype == np.float64
    y.backward()
    assert_same(x.grad, np.full(2, np.pi, np.float32), "gradient")


# Edges of domains


def values_and_slopes(f, points):
    x = Tensor(points)
    y = f(x)
    y.backward()
    on_tensors = grad(y, x, create_graph=True)
    np.testing.assert_array_equal(on_tensors.data, x.grad)
    return y.data.tolist(), x.grad.tolist()


EDGES = {
    "relu at 0": (lambda x: x.relu(), [0.0, -0.0], [0, 0], [0, 0]),
    "leaky_relu at 0": (lambda x: x.leaky_relu(0.1), [0.0], [0], [0.1]),
    "abs at 0": (lambda x: abs(x), [0.0, -0.0], [0, 0], [0, 0]),
    "x ** 0": (lambda x: x**0, [0.0, 2.0, -1.0], [1, 1, 1], [0, 0, 0]),
    "x ** 0.0": (lambda x: x**0.0, [0.0, 2.0], [1, 1], [0, 0]),
    "x ** 1": (lambda x: x**1, [0.0, -2.0], [0, -2], [1, 1]),
    "x ** 1.0": (lambda x: x**1.0, [0.0], [0], [1]),
    "x ** 2": (lambda x: x**2, [0.0, -3.0], [0, 9], [0, -6]),
    "x ** 3": (lambda x: x**3, [0.0, -2.0], [0, -8], [0, 12]),
    "x ** [0, 1, 2]": (lambda x: x ** np.arange(3), [0.0, 0.0, 0.0], [1, 0, 0], [0, 1, 0]),
    "0 ** x": (lambda x: 0**x, [0.0, 1.0, 2.0], [1, 0, 0], [0, 0, 0]),
    "0.0 ** x": (lambda x: np.zeros(3) ** x, [0.0, 1.0, 2.0], [1, 0, 0], [0, 0, 0]),
    "1 ** x": (lambda x: 1**x, [0.0, -5.0], [1, 1], [0, 0]),
    "max of equals": (lambda x: x.max(), [3.0, 1.0, 3.0], 3, [0.5, 0, 0.5]),
    "min of equals": (lambda x: x.min(), [1.0] * 4, 1, [0.25] * 4),
    "max over rows": (lambda x: x.max(1), [[2.0, 2.0], [1.0, 5.0]], [2, 5], [[0.5, 0.5], [0, 1]]),
    "maximum(x, x)": (lambda x: maximum(x, x), [2.0], [2], [1]),
    "maximum(x, 2)": (lambda x: maximum(x, 2), [2.0], [2], [0.5]),
    "minimum(2, x)": (lambda x: minimum(2, x), [2.0], [2], [0.5]),
    "clip at its limits": (
        lambda x: x.clip(0, 1), [0.0, 1.0, -1.0, 2.0], [0, 1, 0, 1], [1, 1, 0, 0],
    ),
    "std of equals": (lambda x: x.std(), [2.0, 2.0], 0, [0, 0]),
    "std of one": (lambda x: x.std(0), [[2.0, 3.0]], [0, 0], [[0, 0]]),
    "var of one": (lambda x: x.var(), [2.0], 0, [0]),
    "norm at 0": (lambda x: norm(x), [0.0, 0.0], 0, [0, 0]),
    "prod with a zero": (lambda x: x.prod(), [0.0, 2.0, 3.0], 0, [6, 0, 0]),
    "prod with two zeros": (lambda x: x.prod(), [0.0, 2.0, 0.0], 0, [0, 0, 0]),
    "prod of nothing": (lambda x: x.prod(), [], 1, []),
    "sum of nothing": (lambda x: x.sum(), [], 0, []),
    "logsumexp of nothing": (lambda x: x.logsumexp(), [], -np.inf, []),
    "logsumexp with -inf": (lambda x: x.logsumexp(), [-np.inf, 0.0], 0, [0, 1]),
    "softmax with -inf": (lambda x: x.softmax(), [-np.inf, 0.0], [0, 1], [0, 0]),
    "log1p of little": (lambda x: x.log1p(), [1e-20], [1e-20], [1]),
    "expm1 of little": (lambda x: x.expm1(), [1e-20], [1e-20], [1]),
    "tanh far out": (lambda x: x.tanh(), [-1000.0, 1000.0], [-1, 1], [0, 0]),
    "sigmoid far out": (lambda x: x.sigmoid(), [-1000.0, 1000.0], [0, 1], [0, 0]),
    "softplus far out": (lambda x: x.softplus(), [-1000.0, 1000.0], [0, 1000], [0, 1]),
    "silu far out": (lambda x: x.silu(), [-1000.0, 1000.0], [0, 1000], [0, 1]),
    "gelu far out": (lambda x: x.gelu(), [-1000.0, 1000.0], [0, 1000], [0, 1]),
    "gelu('tanh') far out": (lambda x: x.gelu("tanh"), [-1000.0, 1000.0], [0, 1000], [0, 1]),
    "softmax far out": (lambda x: x.softmax(), [-1000.0, 1000.0], [0, 1], [0, 0]),
    "log_softmax far out": (lambda x: x.log_softmax(), [-1000.0, 1000.0], [-2000, 0], [1, -1]),
    "logsumexp far out": (lambda x: x.logsumexp(), [-1000.0, 1000.0], 1000, [0, 1]),
    "logsumexp of large": (
        lambda x: x.logsumexp() - math.log(2), [1000.0, 1000.0], 1000, [0.5, 0.5],
    ),
    "logsumexp of small": (
        lambda x: x.logsumexp() - math.log(2), [-1000.0, -1000.0], -1000, [0.5, 0.5],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_values_and_slopes_at_the_edges_of_a_domain(name):
    f, points, values, slopes = EDGES[name]
    y, dy = values_and_slopes(f, points)
    # Relative: a zero is exactly zero
    np.testing.assert_allclose(y, values, rtol=1e-12, atol=0, err_msg="values")
    np.testing.assert_allclose(dy, slopes, rtol=1e-12, atol=0, err_msg="slopes")


def test_0_to_the_0_is_1_and_flat_in_the_exponent():
    a, b = Tensor([0.0, 0.0]), Tensor([0.0, 2.0])
    y = a**b
    y.backward()
    assert y.data.tolist() == [1.0, 0.0]
    assert a.grad.tolist() == [0.0, 0.0]
    assert b.grad.tolist() == [0.0, 0.0]


@np.errstate(divide="ignore")
def test_log_of_0_is_minus_infinity_and_sqrt_is_steep_there():
    assert values_and_slopes(Tensor.log, [0.0, 1.0]) == ([-np.inf, 0.0], [np.inf, 1.0])
    assert values_and_slopes(Tensor.log1p, [-1.0]) == ([-np.inf], [np.inf])
    assert values_and_slopes(Tensor.sqrt, [0.0, 4.0]) == ([0.0, 2.0], [np.inf, 0.25])
    assert values_and_slopes(lambda x: x**0.5, [0.0]) == ([0.0], [np.inf])
    assert values_and_slopes(lambda x: 1 / x, [0.0]) == ([np.inf], [-np.inf])


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "silu", "gelu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_second_slopes_far_out_are_zero_and_not_nan(name, dtype):
    x = Tensor(np.array([-1000.0, 1000.0], dtype))
    second = grad(grad(getattr(x, name)(), x, create_graph=True), x)
    assert_same(second.data, np.zeros(2, dtype), name)


def test_the_derivatives_of_softplus_at_0_are_right_to_the_fourth():
    x = Tensor(0.0)
    y = x.softplus()
    for expected in (0.5, 0.25, 0.0, -0.125):
        y = grad(y, x, create_graph=True)
        assert_same(y.data, np.array(expected), "derivative")


def test_two_equal_maxima_share_over_every_axis():
    x = Tensor(np.ones((2, 3, 2)))
    x.max((0, 2)).backward(np.array([4.0, 8.0, 12.0]))
    assert_same(x.grad, np.broadcast_to([[1.0], [2.0], [3.0]], (2, 3, 2)), "gradient")


@pytest.mark.parametrize("name", ["sum", "max", "min", "logsumexp"])
def test_a_number_is_reduced_over_its_last_axis_as_in_numpy(name):
    x = Tensor(2.0)
    y = getattr(x, name)(axis=-1)
    y.backward(np.array(3.0))
    assert x.grad == 3
    assert grad(y * y, x, create_graph=True).item() == 4


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_a_column_is_that_of_the_vector(name):
    v = np.array([1.0, 2.0, 4.0])
    g = np.array([1.0, -2.0, 3.0])
    results = []
    for shape in ((3,), (3, 1), (1, 3)):
        x = Tensor(v.reshape(shape))
        y = getattr(x, name)()
        y.backward(g.reshape(shape))
        assert y.shape == x.grad.shape == shape
        results.append((y.data.ravel(), x.grad.ravel()))
    for y, dx in results:
        np.testing.assert_allclose(y, results[0][0], rtol=1e-15)
        np.testing.assert_allclose(dx, results[0][1], rtol=1e-14)
    assert (np.exp(y) if name == "log_softmax" else y).sum() == pytest.approx(1)


def test_an_index_or_condition_that_changes_later_changes_no_gradient():
    x, index, key, condition = Tensor([1.0, 2.0]), np.array([0, 0]), [0], np.array([True, False])
    y = x[index].sum() + x[key].sum() + where(condition, x, 0.0).sum()
    index[:], key[0], condition[:] = 1, 1, False
    y.backward()
    assert x.grad.tolist() == [4.0, 0.0]


# Random shapes, axes and indices


small = {"max_dims": 3, "min_side": 0, "max_side": 3}
BINARY = {f.__name__: f for f in ELEMENTWISE if f.nin == 2}
REDUCTIONS = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
    "logsumexp": torch.logsumexp,
    "var": lambda x, d, k: torch.var(x, d, correction=0, keepdim=k),
}


@search
@given(
    name=st.sampled_from(sorted(BINARY)),
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, **small),
)
def test_binary_operations_of_any_two_shapes_that_broadcast(name, shapes):
    ufunc = BINARY[name]
    rng = np.random.default_rng(0)
    arrays = [np.asarray(f(rng, s), float) for f, s in zip(domains_of(ufunc), shapes.input_shapes)]
    compare(ufunc, torch_function(ufunc), arrays, name, rng)


@search
@given(data=st.data(), name=st.sampled_from(sorted(REDUCTIONS)), keepdims=st.booleans())
def test_reductions_over_any_axes(data, name, keepdims):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=3))
    axes = st.none()
    if shape:
        axes |= st.integers(-len(shape), len(shape) - 1)
        axes |= hnp.valid_tuple_axes(len(shape), min_size=1)
    axis = data.draw(axes)
    theirs = over_axes(REDUCTIONS[name])
    rng = np.random.default_rng(0)
    compare(
        lambda x: getattr(x, name)(axis=axis, keepdims=keepdims),
        lambda x: theirs(x, axis, keepdims),
        [rng.normal(size=shape)],
        f"{name}(axis={axis}, keepdims={keepdims})",
        rng,
    )


@st.composite
def shapes_and_keys(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    kind = draw(st.sampled_from(["basic", "integers", "mask", "mixed"]))
    if kind == "basic":
        return shape, draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    if kind == "integers":
        return shape, draw(hnp.integer_array_indices(shape, dtype=np.int64))
    if kind == "mask":
        return shape, draw(hnp.arrays(bool, draw(st.sampled_from([shape, shape[:1]]))))
    length = draw(st.integers(1, 3))
    key = [
        draw(
            st.slices(n)
            | st.integers(-n, n - 1)
            | st.lists(st.integers(-n, n - 1), min_size=length, max_size=length)
        )
        for n in shape[: draw(st.integers(1, len(shape)))]
    ]
    key.insert(draw(st.integers(0, len(key))), draw(st.sampled_from([None, ...])))
    return shape, tuple(key)


@settings(search, max_examples=200)
@given(shapes_and_keys())
def test_any_index_and_its_transposed_operation(shape_and_key):
    shape, key = shape_and_key
    rng = np.random.default_rng(0)
    a = rng.normal(size=shape)
    compare(operator.itemgetter(key), torch_index(key), [a], f"x[{key!r}]", rng)

    # Indexing is linear: its matrix has a 1 where an element goes, and the gradient is by its
    # transpose
    taken = np.arange(a.size).reshape(shape)[key]
    matrix = (taken.reshape(-1, 1) == np.arange(a.size)).astype(float)
    x = Tensor(a)
    y = x[key]
    assert_same(y.data, np.asarray(a[key]), f"x[{key!r}]")
    g = rng.normal(size=y.shape)
    y.backward(g)
    assert_same(x.grad, (matrix.T @ g.reshape(-1)).reshape(shape), f"x[{key!r}]")


@search
@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, **small))
def test_matmul_and_dot_of_any_two_shapes_that_fit(shapes):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in shapes.input_shapes]
    compare(operator.matmul, operator.matmul, arrays, "@", rng)
    compare(dot, torch_dot, arrays, "dot", rng)


# Errors: what was wrong, and where

ERRORS = [
    (raising(lambda x, y, s: x.reshape(4)), ValueError, r"reshape of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.transpose(0)), ValueError, r"transpose of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.transpose(0, 0)), ValueError, r"transpose of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.swapaxes(0, 2)), ValueError, r"swapaxes of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.broadcast_to(3, 2)), ValueError, r"broadcast_to of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.squeeze(0)), ValueError, r"squeeze of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.expand_dims(4)), ValueError, r"expand_dims of shape \(2, 3\)"),
    (raising(lambda x, y, s: x[2]), IndexError, r"index of shape \(2, 3\)"),
    (raising(lambda x, y, s: x[0, 0, 0]), IndexError, r"index of shape \(2, 3\)"),
    (raising(lambda x, y, s: x[0.5]), IndexError, r"index of shape \(2, 3\)"),
    (raising(lambda x, y, s: s[0]), IndexError, r"index of shape \(\)"),
    *[
        (raising(lambda x, y, s, name=name: getattr(x, name)(axis=2)), ValueError, name)
        for name in ("sum", "mean", "max", "min", "var", "std", "prod", "cumsum", "softmax",
                     "log_softmax", "logsumexp")
    ],
    (raising(lambda x, y, s: norm(x, axis=2)), ValueError, "norm"),
    *[
        (lambda name=name: getattr(Tensor(np.ones((0, 3))), name)(), ValueError,
         rf"{name} of shape \(0, 3\)")
        for name in ("max", "min")
    ],
    (raising(lambda x, y, s: x.gelu("erf")), ValueError, "approximate is .* got 'erf'"),
    (raising(lambda x, y, s: x.astype(int)), TypeError, "floating dtype, got int64"),
]  # fmt: skip


@mistakes(ERRORS)
def test_a_mistake_raises_an_error_that_names_it(f, error, message):
    with pytest.raises(error, match=message):
        f()
