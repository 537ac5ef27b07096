"""Options of NumPy's functions on Tensors: the values are NumPy's, the derivatives as differences.

Every line is a call of NumPy's, run on arrays and on Tensors, and differentiated twice. It stands
beside the table, for what PyTorch calls otherwise or lacks.
"""

import re
import warnings

import numpy as np
import pytest

from micrograd import Tensor, cumulative_sum, grad
from micrograd.debug import gradcheck

RNG = np.random.default_rng(0)
A, B, V = RNG.normal(size=(3, 4)), RNG.normal(size=(2, 3, 4)), RNG.normal(size=5)
N = A.copy()
N[0, 1] = N[2, 2] = np.nan
W, M = RNG.uniform(0.2, 1, (3, 4)), np.array([[1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]]) > 0
ARRAYS = {"A": A, "B": B, "V": V, "N": N}
CONSTANTS = {"np": np, "W": W, "M": M}

METHODS = """inverted_cdf averaged_inverted_cdf closest_observation interpolated_inverted_cdf hazen
    weibull linear median_unbiased normal_unbiased lower higher midpoint nearest"""
FOR_EVERY_AXIS = """
    np.median(A, axis=$)
    np.median(B, $, keepdims=True)
    np.quantile(A, [0.1, 0.5, 0.77], axis=$, keepdims=True)
    np.percentile(A, [[30, 40]], $)
    np.ptp(A, $, keepdims=True)
    np.average(A, axis=$, weights=W, keepdims=True, returned=True)
    np.average(A, $, returned=True)
    np.sum(A, $, np.float64, where=M, initial=2.0)
    np.prod(A, $, where=M, initial=2.0, keepdims=True)
    np.mean(A, axis=$, where=M)
    np.var(A, axis=$, ddof=1, where=M[:, :1] | M)
    np.std(A, $, where=M, keepdims=True)
    np.std(A, axis=$, correction=1, mean=A.mean(axis=$, keepdims=True))
    np.max(A, $, where=M, initial=-0.3)
    np.min(A, axis=$, initial=0.3)
    np.nansum(N, $)
    np.nanprod(N, axis=$, keepdims=True)
    np.nanmean(N, $, where=M)
    np.nanvar(N, axis=$, ddof=1)
    np.nanstd(N, $, keepdims=True)
    np.nanmax(N, $)
    np.nanmin(N, axis=$, keepdims=True)
    np.nanmedian(N, axis=$, keepdims=True)
    np.nanquantile(N, [[0.1, 0.5], [0, 1]], axis=$, keepdims=True)
    np.nanpercentile(N, 77, $)
    """.strip().splitlines()
FOR_ONE_AXIS = """
    np.sort(A, axis=$)
    np.sort(A, $, "stable")
    np.partition(A, (0, 2), axis=$)
    np.nancumsum(N, $)
    np.nancumprod(N, axis=$)
    np.cumsum(A, $, np.float64)
    np.take(A, [[0, 5], [-7, 2]], axis=$, mode="wrap")
    np.take(A, 1, $, mode="clip")
    np.diff(A, 2, $)
    np.diff(A, axis=$, prepend=1, append=A)
    np.gradient(A, 0.5, axis=$, edge_order=2)
    np.gradient(A, np.cumsum(W[0, : A.shape[$]]), axis=$)
    np.gradient(A, np.cumsum(W[0, : A.shape[$]]), axis=$, edge_order=2)
    np.trapezoid(A, x=W, axis=$)
    np.trapezoid(y=A, dx=0.3, axis=$)
    np.trapezoid(A, W[0, : A.shape[$]], axis=$)
    np.take_along_axis(A, np.argsort(A, axis=$), axis=$)
    np.take_along_axis(A, np.array([[0]]), $)
    np.linspace(A, 2 * A, 4, axis=$)
    np.average(A, axis=$, weights=W[0, : A.shape[$]])
    """.strip().splitlines()
CALLS = [
    *(line.strip().replace("$", axis) for line in FOR_EVERY_AXIS
      for axis in ("None", "1", "-2", "(0, 1)")),
    *(line.strip().replace("$", axis) for line in FOR_ONE_AXIS for axis in ("0", "-1")),
    *(f"np.quantile(A, [0, 0.1, 0.25, 0.5, 0.77, 1], axis=1, method={name!r})"
      for name in METHODS.split()),
    *(f"np.{name}({a}, {v}, {mode!r})" for name in ("convolve", "correlate")
      for a, v in (("V", "V[:2]"), ("V[:2]", "V"), ("V", "V"), ("V[:4]", "V"), ("[1, 2, 1]", "V"))
      for mode in ("full", "same", "valid")),
    "np.sort(A, None)", "np.partition(A, 2, None)", "np.take(A, [0, 9])", "np.cumprod(A)",
    "np.correlate(V, V)", "np.take_along_axis(A, np.array([0, 9]), None)",
    "np.gradient(A)", "np.gradient(A, 2.0, 3.0)", "np.gradient(V, [0, 1, 3, 4, 8])",
    "np.gradient(B, axis=(0, 2))", "np.ediff1d(A)", "np.ediff1d(A, to_end=[1, 2], to_begin=7)",
    "np.average(B, axis=(1, 0), weights=np.abs(B[:, :, 0].T))",
    "np.linspace(V[0], V[1])", "np.linspace(V[0], 3, 7, False)", "np.linspace(V, 1, 1)",
    "np.linspace(V, V * 2, 5, retstep=True)", "np.linspace(A, 1, 0)",
    "np.cov(A)", "np.cov(A, rowvar=False)", "np.cov(V, V**2)", "np.cov(V)", "np.cov(A, bias=True)",
    "np.cov(A, fweights=[1, 2, 3, 1])", "np.cov(A, aweights=W[0])", "np.cov(A, A**2, False)",
    "np.cov(A, fweights=np.array([1, 2, 3, 1]), aweights=W[0], ddof=2)",
    "np.corrcoef(A)", "np.corrcoef(A, rowvar=False)", "np.corrcoef(V, V**2)", "np.corrcoef(V)",
    "np.interp(V, [-1, 0, 1], [3.0, 1, 2])", "np.interp([-3, -0.5, 0.2, 9], [-1, 0, 1], V[:3])",
    "np.interp(A, np.sort(V), V, left=-5, right=7)", "np.interp(V * 10, np.abs(V), V, period=2)",
    "np.interp(V[0], [0.0], [2.0])", "np.interp(0.3, np.sort(V), V)",
    "np.meshgrid(V, V[:2])", "np.meshgrid(V, W[0], V[:3], indexing='ij')", "np.meshgrid(V)",
    "np.meshgrid(V, V[:2], V[:3], sparse=True)", "np.copy(A)", "np.full_like(A, V[0])",
    "np.nan_to_num(N, nan=3)", "np.divmod(A, 0.7)", "np.modf(A)", "A % V[:4]", "3 % A",
    "divmod(A, 2)",
    "np.add.reduce(A)", "np.add.reduce(A, axis=None)", "np.multiply.reduce(A, 1, where=M)",
    "np.maximum.reduce(A, keepdims=True)", "np.add.accumulate(A)", "np.logaddexp.reduce(A, 1)",
    "np.multiply.accumulate(A, 1)", "np.multiply.outer(A, V)", "np.subtract.outer(V, [1, 2])",
    "A.take([0, 1], axis=1)", "A.cumprod(1)", "A.copy()", "+A", "A.real",
    "np.hypot(A, [1, 2, 3, 4])",
    *(f"np.nanquantile(N, [0.25, 0.77], axis=1, method={name!r})" for name in METHODS.split()),
    *(f"np.pad({a}, {width}, {mode!r}{more})" for a in ("A", "V") for width in ("1", "(1, 2)")
      for mode, more in (
          *((m, f", stat_length={n}") for m in ("maximum", "minimum", "mean", "median")
            for n in ("None", "2", "(1, 3)", "9")),
          *(("linear_ramp", f", end_values={n}") for n in ("0", "(2, -3)", "V[0]")))),
    "np.pad(A, ((0, 2), (3, 0)), 'mean')", "np.pad(B[:, :2, :2], 1, 'median')",
    "np.pad(A, ((1, 2), (3, 0)), 'linear_ramp', end_values=((1, 2), (3, 4)))",
    "np.pad(A, ((1, 2), (3, 1)), 'maximum', stat_length=((2, 2), (1, 3)))",
    "np.pad(A, {-1: 2}, 'minimum')" if np.lib.NumpyVersion(np.__version__) >= "2.2.0" else "+A",
    "np.logspace(V, 1, 4, axis=-1)", "np.logspace(V[:2], 2, 3, base=np.array([[2.0], [3.0]]))",
    "np.logspace(0, V[0], 5, False, 2)", "np.logspace(0.5, 1, 4, base=np.abs(V), axis=1)",
    "np.geomspace(np.abs(V), 3, 4)", "np.geomspace(-2, -np.abs(V), 4, endpoint=False, axis=-1)",
    "np.unwrap(9 * A)", "np.unwrap(9 * A, axis=0)", "np.unwrap(9 * V, 4)",
    "np.unwrap(9 * A, period=3.0, discont=2.5)", "np.float_power(np.abs(A), V[:4])",
    "np.heaviside(A, V[:4])", "np.frexp(A)", "np.ldexp(A, [1, 2, 3, -4])",
    "np.vander(V)", "np.vander(V, 3)", "np.vander(V, 4, increasing=True)", "np.vander(V, 0)",
    "np.polyval(V, A)", "np.polyval([1, 2, 3], A)", "np.polyadd(V, [1.0, 2.0])",
    "np.polysub([1.0, 2.0], V)", "np.polymul([0, 0, 1, 2], V)", "np.polydiv(V, [2.0, 1.0])",
    "np.polydiv(V[:1], V)", "np.polyder(V, 2)", "np.polyint(V, 3, [1, 2, 3])", "np.polyint(V, 0)",
    "np.polyfit(V, A[0, :1] * V**2, 1)", "np.polyfit([1, 2, 3, 4], A.T, 2, w=W[0])",
    "np.poly(V)", "np.poly(A[:, :3] @ A[:, :3].T)", "np.bincount([0, 3, 3, 1, 0], V)",
    "np.bincount([0, 3, 3, 1, 0], V, minlength=7)",
    "np.apply_along_axis(np.cumsum, 1, A)", "np.apply_along_axis(lambda v: v[:2] * v[0], 0, B)",
    "np.apply_along_axis(lambda v: v[:, None] * v, 1, B)", "np.apply_along_axis(np.sum, -1, A)",
    "np.apply_over_axes(np.sum, B, [0, -1])", "np.apply_over_axes(np.cumsum, A, 1)",
    "np.choose([[0, 1, 2, 1]], [A, A * A, 3.0])", "np.compress([0, 1, 1], A, 0)",
    "np.extract(M, A)", "np.piecewise(A, [A < 0, A > 1], [np.sin, -1, lambda v: v * v])",
    "np.piecewise(V, V > 0, [np.exp])", "np.piecewise(V, [V < 9, V > 0], [np.exp, 2])",
    "np.concatenate([A, M], dtype=np.float64)",
    *(f"np.ravel({a}, order={order!r})" for order in "KAFC"
      for a in ("A", "A.T", "B.transpose(1, 0, 2)", "np.flip(A, 0)", "A[:, ::2]")),
    "A.T.reshape(2, 6, order='A')", "B.swapaxes(0, 2).flatten('K')", "A.T.ravel('A')",
]  # fmt: skip


def results(call, **tensors):
    """What a call gives, in a list."""
    y = eval(call, {**CONSTANTS, **ARRAYS, **tensors})
    return list(y) if isinstance(y, (tuple, list)) else [y]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("call", CALLS)
def test_a_call_gives_numpys_numbers_and_derivatives_as_differences(call):
    names = sorted(set(re.findall(r"\b[ABVN]\b", call)))
    expected = results(call)
    tensors = {name: Tensor(ARRAYS[name]) for name in names}
    for ours, theirs in zip(results(call, **tensors), expected, strict=True):
        ours, theirs = ours.data if isinstance(ours, Tensor) else ours, np.asarray(theirs)
        assert (np.shape(ours), ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)
    if "N" in names:  # a nan cannot be moved to and fro
        names, call = ["A"], call.replace("N", "np.where(np.isnan(N), np.nan, A)", 1)
    x = [Tensor(ARRAYS[name]) for name in names]

    def total(*x):
        parts = [y for y in results(call, **dict(zip(names, x))) if isinstance(y, Tensor)]
        weights = [1 + np.cos(np.arange(y.size) + i).reshape(y.shape) for i, y in enumerate(parts)]
        return sum((w * y * (y + 1)).sum() for w, y in zip(weights, parts))

    def slope(*x):
        first = grad(total(*x), x, create_graph=True)
        return sum((np.sin(1 + np.arange(g.size)).reshape(g.shape) * g).sum() for g in first)

    assert gradcheck(total, *x)
    assert gradcheck(slope, *x, atol=1e-4)


def test_a_dtype_is_that_of_the_sum_and_the_gradient_keeps_its_own():
    for name in ("sum", "mean", "prod", "var", "std", "cumsum", "cumprod", "nansum", "nanmean"):
        x, twin = Tensor(V), Tensor(V)
        y = getattr(np, name)(x, axis=0, dtype=np.float32)
        expected = getattr(np, name)(twin.astype(np.float32), axis=0)
        assert y.dtype == np.float32, name
        np.testing.assert_array_equal(y.data, expected.data)
        y.backward()
        expected.backward()
        assert x.grad.dtype == np.float64
        np.testing.assert_array_equal(x.grad, twin.grad)


def test_numbers_lists_and_integers_beside_a_float32_tensor_leave_it_float32():
    x = Tensor(A[0].astype(np.float32))
    for y in (
        np.linspace(x, 2), np.linspace(0, x, 3), np.interp(x, [0, 1], [1.5, 2]),
        np.cov(x, [1, 2, 3, 4]),
        np.interp([0.5, 1], [0, 1, 2, 3], x), np.average(x, weights=[1, 2, 3, 4]),
        np.diff(x, prepend=0),
        np.ediff1d(x, 1.5), np.gradient(x, 0.5), np.gradient(x, [0, 1, 3, 4]),
        np.convolve(x, [1, 2]),
        np.trapezoid(x, [0, 1, 2, 4]), np.quantile(x, [0.3, 0.4]), np.max(x, initial=0.5),
        np.sum(x, initial=1), np.var(x, where=[True, True, False, True], ddof=1.0), np.median(x),
        x % 2, np.sinc(x),
    ):  # fmt: skip
        assert y.dtype == np.float32, y.op


def test_a_nan_makes_median_and_quantile_nan_and_nothing_else():
    for f in (np.median, lambda x, axis: np.quantile(x, 0.3, axis=axis)):
        np.testing.assert_allclose(f(Tensor(N), axis=0).data, f(N, axis=0), rtol=1e-15)


def test_nanmax_of_nothing_is_nan_without_a_gradient():
    x = Tensor([[np.nan, np.nan], [1.0, np.nan]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        y = np.nanmax(x, axis=1)
    y.backward()
    assert np.isnan(y.data).tolist() == [True, False]
    assert x.grad.tolist() == [[0, 0], [1, 0]]


def test_places_that_change_later_change_no_gradient():
    x, places = Tensor(V), np.array([0, 0])
    y = np.take_along_axis(x, places, 0).sum() + x.take(places).sum()
    places[:] = 1
    y.backward()
    assert x.grad.tolist() == [4, 0, 0, 0, 0]


MISTAKES = {
    "take: places are integers, got": lambda x: x.take([0.5]),
    'mode is "raise", "wrap" or "clip"': lambda x: x.take(0, mode="around"),
    "sort: axis 2 is out of bounds": lambda x: np.sort(x, 2),
    "median: there is none of no elements": lambda x: np.median(x[:0]),
    "quantile: q is a constant": lambda x: np.quantile(x, Tensor(0.5)),
    "percentile: q is a constant": lambda x: np.percentile(x, Tensor(0.5)),
    "diff: n is 0 or more": lambda x: np.diff(x, -1),
    "diff: expected one axis": lambda x: np.diff(x[0, 0]),
    "gradient: edge_order is 1 or 2": lambda x: np.gradient(x, edge_order=3),
    "gradient: distances for 2 axes, got 3": lambda x: np.gradient(x, 1, 2, 3),
    "gradient: 4 coordinates along axis 1": lambda x: np.gradient(x, [1, 2], axis=1),
    "gradient: 2 elements or more along axis 0": lambda x: np.gradient(x[:1]),
    "linspace: num is 0 or more": lambda x: np.linspace(x, 1, -1),
    "interp: xp and fp are vectors of one length": lambda x: np.interp(x, [1, 2], [1, 2, 3]),
    "convolve: expected vectors": lambda x: np.convolve(x, [1, 2]),
    'convolve: mode is "full"': lambda x: np.convolve(x[0], [1, 2], "half"),
    "average: weights of shape": lambda x: np.average(x, 1, weights=[1, 2]),
    "cov: aweights of shape": lambda x: np.cov(x, aweights=[1, 2]),
    "cov: two axes at most": lambda x: np.cov(x[None]),
    "cumulative_sum: an axis is needed": cumulative_sum,
    "unwrap: axis 2 is out of bounds": lambda x: np.unwrap(x, axis=2),
    "nanquantile: q is a constant": lambda x: np.nanquantile(x, Tensor(0.5)),
    "ldexp: n is an integer": lambda x: np.ldexp(x, 0.5),
    "bincount: expected integers": lambda x: np.bincount([0, 1], x),
    "pad: mode is one of constant, edge": lambda x: np.pad(x, 1, "empty"),
    'pad: reflect_type is "even"': lambda x: np.pad(x, 1, "reflect", reflect_type="odd"),
    "vander: expected a vector": np.vander,
    "polynomial is a vector": lambda x: np.polyval(x, 1.0),
    "polyder: m": lambda x: np.polyder(x[0], -1),
    "piecewise: 1 functions for 2 conditions": lambda x: np.piecewise(x, [x > 0, x > 1], [1]),
    "apply_along_axis: there is no vector": lambda x: np.apply_along_axis(np.sum, 1, x[:0]),
    "apply_over_axes: func gave shape": lambda x: np.apply_over_axes(lambda y, i: y[0, 0], x, 0),
    "meshgrid: indexing is": lambda x: np.meshgrid(x, indexing="yx"),
    "polygamma: n is an integer": lambda x: __import__("micrograd").polygamma(0.5, x),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_raises_an_error_that_names_it(message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        MISTAKES[message](Tensor(A))
