"""The table of operations, and the two checks that every row of it goes through.

A row names an operation, says it once for Tensors and once for PyTorch, and lists the shapes of the
operands to run it on. `check_against_pytorch` compares value, gradients and second gradients in
float64; `check_in_float32` compares the same row in float32 with itself in float64.
"""

import itertools
import math
import operator
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from torch.nn import functional

import micrograd
from micrograd import Tensor, grad
from micrograd.operations import OPERATIONS
from micrograd.protocol import FUNCTIONS

# Mistakes, as (a call, its error, what the message says)


def raising(f):
    """Pass the operands that almost every line below needs."""
    return lambda: f(Tensor(np.ones((2, 3))), Tensor(np.ones(4)), Tensor(2.0))


def mistakes(table):
    """Run a test on every line of a table of mistakes."""
    ids = [f"{i}-{message}" for i, (_, _, message) in enumerate(table)]
    return pytest.mark.parametrize(("f", "error", "message"), table, ids=ids)


# For what hypothesis draws
search = settings(
    deadline=None,
    max_examples=50,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

# Comparison


def assert_same(ours, theirs, what, tolerance=1e-9):
    """Shape and dtype first: np.allclose would broadcast (3, 1) against (3,) and not see it."""
    theirs = theirs.numpy(force=True) if isinstance(theirs, torch.Tensor) else theirs
    assert type(ours) is np.ndarray, f"{what}: a {type(ours).__name__}, not an array"
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, expected {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{what}: dtype {ours.dtype}, expected {theirs.dtype}"
    # A row whose reference is nan would compare nothing, hence equal_nan=False
    np.testing.assert_allclose(
        ours, theirs, rtol=tolerance, atol=tolerance, equal_nan=False, err_msg=what
    )


# The operands: all are exact in float32, so that both precisions start from the same numbers


def normal(rng, shape):
    return rng.normal(size=shape)


def positive(rng, shape):
    return rng.uniform(0.5, 2.0, shape)


def off_zero(rng, shape):
    return rng.uniform(0.2, 2.0, shape) * rng.choice([-1, 1], shape)


def ties(rng, shape):
    return rng.integers(-1, 2, shape)


def inside_one(rng, shape):
    return rng.uniform(-0.9, 0.9, shape)


def above_one(rng, shape):
    return rng.uniform(1.2, 3.0, shape)


def between_0_and_1(rng, shape):
    return rng.uniform(0.1, 0.9, shape)


def whole(rng, shape):
    return rng.integers(1, 3, shape) * rng.choice([-1, 1], shape)


def broken(rng, shape):
    """Far from whole numbers."""
    return rng.integers(-4, 4, shape) + rng.uniform(0.2, 0.8, shape)


def distinct(rng, shape):
    """Far from one another, in any order."""
    return (rng.permutation(math.prod(shape)) * 0.5 - 1.25).reshape(shape)


def some_nan(rng, shape):
    """Every fifth element is nan."""
    x = np.array(off_zero(rng, shape))
    x.reshape(-1)[1::5] = np.nan
    return x


def one_zero(rng, shape):
    """A zero in the last place of every vector along the last axis."""
    x = np.array(off_zero(rng, shape))
    np.atleast_1d(x)[..., -1:] = 0
    return x


def two_zeros(rng, shape):
    """Two zeros in every vector along the last axis: the gradient is zero, the second is not."""
    x = one_zero(rng, shape)
    np.atleast_1d(x)[..., :1] = 0
    return x


@dataclass(frozen=True)
class Row:
    """An operation, for Tensors and for PyTorch, with the shapes of its operands in every case."""

    name: str
    ours: Callable
    theirs: Callable
    cases: tuple  # of tuples of shapes, one shape per operand
    domain: Callable | tuple = normal  # of all operands, or one for each

    def operands(self, shapes):
        rng = self.rng(shapes)
        domains = self.domain if isinstance(self.domain, tuple) else [self.domain] * len(shapes)
        return [
            np.asarray(domain(rng, shape), np.float32).astype(np.float64)
            for domain, shape in zip(domains, shapes, strict=True)
        ]

    def rng(self, shapes):
        return np.random.default_rng(zlib.crc32(f"{self.name}{shapes}".encode()))


def check_against_pytorch(row):
    """Value, gradient and second gradient of every operand, in every case of the row."""
    for shapes in row.cases:
        compare(row.ours, row.theirs, row.operands(shapes), row.name, row.rng(shapes))


def compare(ours, theirs, arrays, name, rng):
    """The same, for one case. The upstream gradient is not uniform: ones hide dropped factors."""
    case = f"{name} of {' and '.join(str(a.shape) for a in arrays)}"
    x = [Tensor(a) for a in arrays]
    x_torch = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, y_torch = ours(*x), theirs(*x_torch)
    assert type(y) is Tensor, f"{case}: a {type(y).__name__}, not a Tensor"
    assert_same(y.data, y_torch, f"{case}, value")

    g = Tensor(rng.normal(size=y.shape).astype(y.dtype))
    g_torch = torch.tensor(g.data, requires_grad=True)
    g_before = g.data.copy()
    y.backward(g.data)
    first = grad(y, x, g, create_graph=True)
    first_torch = torch_grad(y_torch, x_torch, g_torch)
    for k, (xk, on_tensors, expected) in enumerate(zip(x, first, first_torch)):
        assert_same(xk.grad, expected, f"{case}, operand {k}, gradient by backward()")
        assert_same(on_tensors.data, expected, f"{case}, operand {k}, gradient by grad()")

    # The gradient is a function of the upstream gradient too, the last operand of second order
    v = [rng.normal(size=a.shape) for a in arrays]
    total = sum((vk * gk).sum() for vk, gk in zip(v, first))
    total_torch = sum((torch.tensor(vk) * gk).sum() for vk, gk in zip(v, first_torch))
    second, second_torch = grad(total, [*x, g]), torch_grad(total_torch, [*x_torch, g_torch])
    for k, (result, expected) in enumerate(zip(second, second_torch)):
        operand = f"operand {k}" if k < len(x) else "upstream gradient"
        assert_same(result.data, expected, f"{case}, {operand}, second gradient")

    for k, (xk, a) in enumerate(zip(x, arrays)):
        assert np.array_equal(xk.data, a, equal_nan=True), (
            f"{case}, operand {k}: its data were written to"
        )
    assert np.array_equal(g.data, g_before), f"{case}: the upstream gradient was written to"


def torch_grad(output, inputs, gradient=None):
    if not output.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    return torch.autograd.grad(
        output, inputs, gradient, create_graph=True, allow_unused=True, materialize_grads=True
    )


def check_in_float32(row):
    """Output and gradients stay float32, and agree with those in float64."""
    for shapes in row.cases:
        case = f"{row.name} of {' and '.join(map(str, shapes))} in float32"
        results = {}
        for dtype in (np.float32, np.float64):
            x = [Tensor(a.astype(dtype)) for a in row.operands(shapes)]
            y = row.ours(*x)
            g = row.rng(shapes).normal(size=y.shape).astype(np.float32)
            y.backward(g)
            first = grad(y, x, Tensor(g.astype(y.dtype)), create_graph=True)
            results[dtype] = y.data, [xk.grad for xk in x], [gk.data for gk in first]
        (y, *gradients), (y64, *gradients64) = results[np.float32], results[np.float64]
        assert_same(y, y64.astype(np.float32), f"{case}, value", 1e-4)
        for way, narrow, wide in zip(("backward()", "grad()"), gradients, gradients64):
            for k, (result, expected) in enumerate(zip(narrow, wide)):
                what = f"{case}, operand {k}, gradient by {way}"
                assert_same(result, expected.astype(np.float32), what, 1e-4)


# The rows. A constant operand is narrow (float32 or int16), or else NumPy's own promotion would
# make a float32 row float64.

ROWS = []


def row(name, ours, theirs=None, cases=(), domain=normal):
    """Add a row; the same function serves PyTorch where `theirs` is None."""
    ROWS.append(Row(name, ours, theirs or ours, tuple(cases), domain))


def ones_of(*shapes):
    """Cases of one operand."""
    return [(shape,) for shape in shapes]


def wide(x):
    """A constant as PyTorch takes it: one that promotes to float64, and no bool."""
    return torch.tensor(np.asarray(x, np.float64)) if hasattr(x, "dtype") else +x


def constants(*shape):
    """Fixed numbers between 0.5 and 2, away from every kink, and positive for powers of them."""
    size = math.prod(shape)
    return (0.5 + 1.5 * (np.arange(size) * 7 % 11) / 11).astype(np.float32).reshape(shape)


ONE = ones_of((), (0,), (0, 3), (1,), (3,), (2, 3), (3, 1), (2, 1, 3), (2, 3, 2, 2))
TWO = [
    ((), ()), ((), (2, 3)), ((3,), ()), ((3,), (2, 3)), ((2, 3), (3,)), ((2, 2), (2, 2)),
    ((3, 1), (1, 4)), ((2, 1, 3), (4, 1)), ((1,), (3,)), ((3,), (1, 1, 1)), ((1, 1), (1,)),
    ((1,), (0,)), ((0, 3), (3,)), ((0, 3), (1, 3)), ((0, 1), (1, 3)), ((), (0,)),
    ((2, 3, 1, 2), (1, 4, 2)), ((2, 3, 2, 2), (3, 1, 1)),
]  # fmt: skip

# Arithmetic

ARITHMETIC = {
    "+": (operator.add, normal, normal),
    "-": (operator.sub, normal, normal),
    "*": (operator.mul, normal, normal),
    "/": (operator.truediv, normal, off_zero),
    "**": (operator.pow, positive, normal),
}
CONSTANTS = {
    "2": 2,
    "True": True,
    "-1.5": -1.5,
    "float32": np.float32(1.5),
    "int16": np.int16(3),
    "array (3,)": constants(3),
    "array (2, 1)": constants(2, 1),
    "array ()": constants(),
    "ints (3,)": np.array([1, 2, 3], np.int16),
    "bools (3,)": np.array([True, True, False]),
}


def add_arithmetic():
    for symbol, (f, left, right) in ARITHMETIC.items():
        row(symbol, f, cases=TWO, domain=(left, right))
        for name, c in CONSTANTS.items():
            if symbol == "/" and not np.all(c):
                continue
            cases = ones_of((), (3,), (1,), (4, 1, 3), (0, 1, 3), (2, 1))
            row(f"x {symbol} {name}", lambda x, f=f, c=c: f(x, c),
                lambda x, f=f, c=c: f(x, wide(c)), cases, left)  # fmt: skip
            # 0 ** x and negative bases: no slope in x that PyTorch and the reals agree on
            if symbol != "**" or np.all(np.asarray(c, float) > 0):
                row(f"{name} {symbol} x", lambda x, f=f, c=c: f(c, x),
                    lambda x, f=f, c=c: f(wide(c), x), cases, right)  # fmt: skip
    for exponent in (
        -2,
        -1,
        0,
        1,
        2,
        3,
        4,
        3.0,
        2.0,
        np.int16(-1),
        np.array([0, 1, 2, 3], np.int16),
    ):
        cases = ones_of((), (4,), (2, 1), (0, 4))
        row(f"x ** {exponent!r}, x < 0 too", lambda x, n=exponent: x**n,
            lambda x, n=exponent: x ** wide(n), cases, off_zero)  # fmt: skip
    row("x ** 0.5", lambda x: x**0.5, cases=ONE, domain=positive)
    row("x + x", lambda x: x + x, cases=ONE)
    row("x * x", lambda x: x * x, cases=ONE)
    row("x / x.sum()", lambda x: x / x.sum(), cases=ONE, domain=positive)
    row("neg", operator.neg, cases=ONE)


# Elementwise: a ufunc of NumPy's has its row as soon as it is an operation of ours. Here are only
# those that PyTorch calls otherwise, and those whose domain is not all numbers.

ELEMENTWISE = [
    f for f in FUNCTIONS if isinstance(f, np.ufunc) and f.signature is None and f.nout == 1
    if f not in (np.heaviside, np.float_power, np.ldexp)
]  # fmt: skip
IN_TORCH = {"power": "pow", "fabs": "abs", "degrees": "rad2deg", "radians": "deg2rad"}
DOMAINS = {
    "log": positive,
    "log1p": positive,
    "log2": positive,
    "log10": positive,
    "sqrt": positive,
    "cbrt": positive,
    "reciprocal": off_zero,
    "absolute": off_zero,
    "fabs": off_zero,
    "arcsin": inside_one,
    "arccos": inside_one,
    "arctanh": inside_one,
    "arccosh": above_one,
    "divide": (normal, off_zero),
    "power": (positive, normal),
    "arctan2": (off_zero, off_zero),
    "hypot": (off_zero, off_zero),
    "copysign": (off_zero, off_zero),
    # far from where the quotient is a whole number
    "remainder": (broken, whole),
    "fmod": (broken, whole),
}


def torch_function(ufunc):
    """PyTorch's function for a ufunc, looked up when called, so that one row alone can fail."""
    name = IN_TORCH.get(ufunc.__name__, ufunc.__name__)
    if name == "cbrt":
        return lambda x: x ** (1 / 3)
    if name == "logaddexp2":  # whose derivative PyTorch divides by log(2)
        return lambda a, b: torch.logaddexp(a * math.log(2), b * math.log(2)) / math.log(2)
    if name == "conjugate":
        return lambda x: x * 1
    return lambda *xs: getattr(torch, name)(*xs)


def domains_of(ufunc):
    """The domain of each operand."""
    domain = DOMAINS.get(ufunc.__name__, normal)
    return domain if isinstance(domain, tuple) else (domain,) * ufunc.nin


def torch_clamp(x, lo, hi):
    """PyTorch's clamp does not broadcast x to the shape of its limits."""
    return torch.clamp(*torch.broadcast_tensors(x, lo, hi))


def add_elementwise():
    for f in ELEMENTWISE:
        row(f"np.{f.__name__}", f, torch_function(f), ONE if f.nin == 1 else TWO, domains_of(f))
    row("sigmoid", lambda x: x.sigmoid(), cases=ONE)
    # At 0 all sides agree on the slopes of abs and relu, so ties are in
    for domain in (off_zero, ties):
        suffix = f", {domain.__name__}"
        row(f"abs(){suffix}", lambda x: x.abs(), cases=ONE, domain=domain)
        row(f"relu{suffix}", lambda x: x.relu(), cases=ONE, domain=domain)
        row(f"leaky_relu{suffix}", lambda x: x.leaky_relu(), functional.leaky_relu, ONE, domain)
    row("abs(x)", abs, cases=ONE, domain=off_zero)
    row("leaky_relu(0.3)", lambda x: x.leaky_relu(0.3), lambda x: functional.leaky_relu(x, 0.3),
        ONE, off_zero)  # fmt: skip
    # PyTorch's softplus is x itself beyond 20, where normal operands never come
    row("softplus", lambda x: x.softplus(), functional.softplus, ONE)
    row("silu", lambda x: x.silu(), functional.silu, ONE)
    row("gelu()", lambda x: x.gelu(), functional.gelu, ONE)
    row("gelu('none')", lambda x: x.gelu("none"), functional.gelu, ONE)
    row("gelu('tanh')", lambda x: x.gelu("tanh"),
        lambda x: functional.gelu(x, approximate="tanh"), ONE)  # fmt: skip

    row("real", lambda x: x.real, lambda x: x * 1, ONE)
    row("+x", operator.pos, lambda x: x * 1, ONE)
    row("x % y", operator.mod, torch.remainder, TWO, (broken, whole))
    row("x % 2", lambda x: x % 2, cases=ONE, domain=broken)
    row("7 % x", lambda x: 7 % x, lambda x: torch.remainder(torch.tensor(7.0).to(x), x), ONE,
        lambda rng, shape: rng.uniform(2.4, 3.2, shape))  # fmt: skip
    row("divmod(x, 2)[1]", lambda x: divmod(x, 2)[1], lambda x: x % 2, ONE, broken)
    row("np.divmod", lambda a, b: np.divmod(a, b)[1], torch.remainder, TWO, (broken, whole))
    row("np.heaviside", np.heaviside,
        lambda x, h: torch.where(x == 0, h, (x > 0).to(x) + h * 0), TWO, (ties, normal)
        )  # fmt: skip
    row("np.ldexp", lambda x: np.ldexp(x, [1, -2, 3]),
        lambda x: x * torch.tensor([2, 0.25, 8]).to(x), ones_of((), (3,), (2, 3)))  # fmt: skip
    row("np.frexp", lambda x: np.frexp(x)[0], lambda x: torch.frexp(x)[0], ONE, off_zero)
    # In float64 whatever comes
    row("np.float_power", lambda a, b: np.float_power(a, b).astype(np.result_type(a, b)),
        torch.pow, TWO, (positive, normal))  # fmt: skip
    row("np.modf", lambda x: np.modf(x)[0], torch.frac, ONE, broken)
    for name, f in (("fmax", torch.fmax), ("fmin", torch.fmin)):
        row(f"{name}, ties", getattr(micrograd, name), f, [*TWO, ((4, 5), (4, 5))], ties)
    row(
        "hypot(x, ints)",
        lambda x: micrograd.hypot(x, [1, 2, 3]),
        lambda x: torch.hypot(x, torch.tensor([1.0, 2, 3]).to(x)),
        ones_of((), (3,), (2, 3)),
    )
    row("arctan2(int8, x)", lambda x: micrograd.arctan2(np.int8([100, 101, 102]), x),
        lambda x: torch.arctan2(torch.tensor([100.0, 101, 102]).to(x), x),
        ones_of((3,), (2, 3)))  # fmt: skip
    for name, f, domain in (
        ("erf", torch.special.erf, normal),
        ("erfc", torch.special.erfc, normal),
        ("ndtr", torch.special.ndtr, normal),
        ("logit", torch.special.logit, between_0_and_1),
        ("gammaln", torch.special.gammaln, positive),
        ("digamma", torch.special.digamma, positive),
    ):
        row(name, getattr(micrograd, name), f, ONE, domain)
    for n in (0, 1, 2, 5):
        row(f"polygamma({n})", lambda x, n=n: micrograd.polygamma(n, x),
            lambda x, n=n: torch.polygamma(n, x), ONE, positive)  # fmt: skip
    row("sinc", lambda x: x.sinc(), torch.sinc, ONE, off_zero)
    row("nan_to_num", np.nan_to_num, torch.nan_to_num, ONE, some_nan)
    row("nan_to_num(nan=3)", lambda x: np.nan_to_num(x, nan=3.0),
        lambda x: torch.nan_to_num(x, nan=3.0), ONE, some_nan)  # fmt: skip

    for lo, hi in ((-0.5, 0.5), (None, 0.5), (-0.5, None), (-1, 1)):
        row(f"clip({lo}, {hi})", lambda x, lo=lo, hi=hi: x.clip(lo, hi),
            lambda x, lo=lo, hi=hi: x.clamp(lo, hi), ONE)  # fmt: skip
    row("clip(-1, 1), ties", lambda x: x.clip(-1, 1), lambda x: x.clamp(-1, 1), ONE, ties)
    row("clip(None, None)", lambda x: x.clip(None, None), lambda x: x * 1, ONE)
    row("clip(array, array)", lambda x: x.clip(-constants(3), constants(2, 1)),
        lambda x: torch_clamp(x, -wide(constants(3)), wide(constants(2, 1))),
        ones_of((), (3,), (2, 3), (1, 1), (4, 1, 3)))  # fmt: skip
    three = [((2, 3), (2, 3), (2, 3)), ((4, 3), (3,), (4, 1)), ((), (3,), ()), ((0, 3), (), (3,)),
             ((5, 1, 3), (4, 1), (1,)), ((20,), (), ())]  # fmt: skip
    row("clip(Tensor, Tensor)", lambda x, lo, hi: x.clip(lo, hi), torch_clamp, three)
    row("clip(Tensor, None)", lambda x, lo: x.clip(lo), lambda x, lo: x.clamp(lo), TWO)
    row("clip(None, Tensor)", lambda x, hi: x.clip(hi=hi), lambda x, hi: x.clamp(max=hi), TWO)
    row("clip(number, Tensor)", lambda x, hi: x.clip(-0.5, hi),
        lambda x, hi: torch_clamp(x, torch.tensor(-0.5, dtype=x.dtype), hi), TWO)  # fmt: skip
    row("astype", lambda x: x.astype(np.float32) * 2, lambda x: x.to(torch.float32) * 2, ONE)


# Reductions

REDUCED = [  # axis, and shapes that have it
    (None, [(), (1,), (3,), (2, 3), (2, 1, 3), (2, 3, 2, 2)]),
    (0, [(3,), (1,), (2, 3), (1, 3), (2, 1, 3), (2, 0)]),
    (1, [(2, 3), (3, 1), (2, 3, 4), (0, 3)]),
    (-1, [(3,), (2, 3), (3, 1), (2, 3, 2, 2), (0, 3)]),
    (-2, [(2, 3), (1, 3), (2, 3, 4)]),
    ((0,), [(3,), (2, 3)]),
    ((0, -1), [(2, 3), (2, 1, 3), (2, 3, 2, 2)]),
    ((2, 1), [(2, 3, 4), (2, 3, 1, 2)]),
    ((-3, 3, 0), [(2, 3, 2, 2)]),
]


def over_axes(f):
    """f(x, dims, keepdim) in PyTorch, for every axis argument and for 0-d tensors."""

    def reduction(x, axis, keepdims):
        if x.ndim == 0:
            return f(x.reshape(1), (0,), False)
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        return f(x, tuple(axes), keepdims)

    return reduction


def torch_prod(x, dims, keepdims):
    for i in dims:
        x = x.prod(i, keepdim=True)
    return x if keepdims else x.squeeze(dims)


def torch_spread(name, ddof):
    """var and std, without the warning that there are no degrees of freedom in an empty array."""

    def f(x, dims, keepdims):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return getattr(torch, name)(x, dims, correction=ddof, keepdim=keepdims)

    return f


def add_reduction(name, ours, theirs, domain=normal, least=0, empty=()):
    """`least`: how many elements must go into one result, for the row to have a meaning."""
    theirs = over_axes(theirs)
    for axis, shapes in REDUCED:
        axes = axis if isinstance(axis, tuple) else (axis,)
        shapes = [
            s for s in shapes
            if (math.prod(s) if axis is None else math.prod(s[i] for i in axes)) >= least
        ] + list(empty if axis is None else ())  # fmt: skip
        for keepdims in (False, True):
            row(f"{name}(axis={axis}, keepdims={keepdims}), {domain.__name__}",
                lambda x, axis=axis, keepdims=keepdims: ours(x, axis, keepdims),
                lambda x, axis=axis, keepdims=keepdims: theirs(x, axis, keepdims),
                ones_of(*shapes), domain)  # fmt: skip


def add_reductions():
    empty = [(0,), (0, 3)]
    add_reduction("sum", lambda x, a, k: x.sum(a, k), torch.sum, empty=empty)
    add_reduction("mean", lambda x, a, k: x.mean(a, k), torch.mean)
    for domain in (normal, ties):
        add_reduction("max", lambda x, a, k: x.max(a, k), torch.amax, domain, least=1)
        add_reduction("min", lambda x, a, k: x.min(a, k), torch.amin, domain, least=1)
    for ddof in (0, 1):
        # The variance of fewer than ddof + 1 numbers is 0 / 0; the slope of std has a kink at
        # 0, where PyTorch's second derivative is nan
        for name, least in (("var", ddof + 1), ("std", 2)):
            add_reduction(
                f"{name}[ddof={ddof}]",
                lambda x, a, k, name=name, ddof=ddof: getattr(x, name)(a, k, ddof),
                torch_spread(name, ddof),
                least=least,
            )
    for domain in (off_zero, one_zero, two_zeros):
        least = 0 if domain is off_zero else 1
        add_reduction("prod", lambda x, a, k: x.prod(a, k), torch_prod, domain, least,
                      empty if domain is off_zero else ())  # fmt: skip
    add_reduction("logsumexp", lambda x, a, k: x.logsumexp(a, k), torch.logsumexp, least=1)

    # With axis=() nothing is summed; PyTorch would take it for all axes
    for name in ("sum", "mean", "max", "min", "logsumexp"):
        row(f"{name}(axis=())", operator.methodcaller(name, axis=()), lambda x: x * 1,
            ones_of((), (3,), (2, 3)))  # fmt: skip

    row("cumsum()", lambda x: x.cumsum(), lambda x: x.reshape(-1).cumsum(0), ONE)
    for axis in (0, 1, -1, -2):
        row(f"cumsum({axis})", lambda x, axis=axis: x.cumsum(axis),
            cases=ones_of((2, 3), (3, 1), (0, 3), (2, 3, 2, 2)))  # fmt: skip

    row("cumprod()", lambda x: x.cumprod(), lambda x: x.reshape(-1).cumprod(0), ONE, off_zero)
    for domain in (off_zero, one_zero, two_zeros):
        for axis in (0, 1, -1, -2):
            row(f"cumprod({axis}), {domain.__name__}", lambda x, axis=axis: x.cumprod(axis),
                cases=ones_of((2, 3), (3, 1), (5, 4), (2, 3, 2, 2)), domain=domain)  # fmt: skip

    for name, f in (("softmax", torch.softmax), ("log_softmax", torch.log_softmax)):
        row(f"{name}()", operator.methodcaller(name), lambda x, f=f: f(x, -1),
            ones_of((), (3,), (1,), (1, 3), (2, 3), (2, 3, 1), (2, 3, 2, 2), (0, 3)))  # fmt: skip
        row(f"{name}() of a column", operator.methodcaller(name), lambda x, f=f: f(x, 0),
            ones_of((3, 1), (1, 1), (5, 1)))  # fmt: skip
        for axis in (0, 1, -1, -2):
            row(f"{name}({axis})", operator.methodcaller(name, axis),
                lambda x, f=f, axis=axis: f(x, axis),
                ones_of((2, 3), (3, 1), (1, 3), (0, 3), (3, 0), (2, 3, 2, 2)))  # fmt: skip
        row(f"{name}((0, 2))", operator.methodcaller(name, (0, 2)),
            lambda x, f=f: f(x.permute(1, 0, 2).flatten(1), 1)
            .reshape(x.shape[1], x.shape[0], x.shape[2]).permute(1, 0, 2),
            ones_of((2, 3, 4), (2, 1, 1)))  # fmt: skip


# Options of reductions


def add_options():
    mask = np.array([[True, False, True], [False, True, True]])
    here = torch.tensor(mask)
    cases = ones_of((2, 3), (4, 2, 3), (1, 2, 3))
    for name, theirs in {
        "sum": lambda x, m, a: (x * m).sum(a),
        "mean": lambda x, m, a: (x * m).sum(a) / m.sum(a),
        "prod": lambda x, m, a: torch.where(m, x, 1.0).prod(a),
        "var": lambda x, m, a: torch_var(x, m, a),
        "std": lambda x, m, a: torch_var(x, m, a).sqrt(),
    }.items():
        row(f"{name}(where=)", lambda x, n=name: getattr(x, n)(-1, where=mask),
            lambda x, f=theirs: f(x, here.expand(x.shape), -1), cases, off_zero)  # fmt: skip
        row(
            f"{name}(where=, keepdims=True)",
            lambda x, n=name: getattr(x, n)(-1, True, where=mask),
            lambda x, f=theirs: f(x, here.expand(x.shape), -1).unsqueeze(-1),
            cases,
            off_zero,
        )
    for name, f in (("max", torch.amax), ("min", torch.amin)):
        initial = {"max": -0.1, "min": 0.1}[name]
        beyond = {"max": torch.maximum, "min": torch.minimum}[name]
        row(f"{name}(initial=)", lambda x, n=name, i=initial: getattr(x, n)(-1, initial=i),
            lambda x, f=f, i=initial, b=beyond: b(f(x, -1), torch.tensor(i, dtype=x.dtype)),
            ones_of((3,), (2, 3), (4, 1)), off_zero)  # fmt: skip
        row(f"{name}(initial=, where=)",
            lambda x, n=name, i=initial: getattr(x, n)(-1, initial=i, where=mask),
            lambda x, f=f, i=initial, b=beyond: b(
                f(torch.where(here, x, -1e9 if i < 0 else 1e9), -1),
                torch.tensor(i, dtype=x.dtype)),
            cases, off_zero)  # fmt: skip
    row("sum(initial=)", lambda x: x.sum(0, initial=3.0), lambda x: x.sum(0) + 3,
        ones_of((3,), (2, 3), (0, 3)))  # fmt: skip
    row("prod(initial=)", lambda x: x.prod(0, initial=3.0), lambda x: x.prod(0) * 3,
        ones_of((3,), (2, 3)))  # fmt: skip
    row("var(correction=1)", lambda x: x.var(0, correction=1),
        lambda x: torch.var(x, 0, correction=1), ones_of((3,), (4, 3)))  # fmt: skip
    row("var(mean=)", lambda x: x.var(0, mean=x.mean(0, True)),
        lambda x: torch.var(x, 0, correction=0), ones_of((3,), (4, 3)))  # fmt: skip
    row("std(mean=)", lambda x: x.std(0, mean=x.mean(0, True)),
        lambda x: torch.std(x, 0, correction=0), ones_of((3,), (4, 3)))  # fmt: skip
    row("np.add.reduce", np.add.reduce, lambda x: x.sum(0), ones_of((3,), (2, 3)))
    row("np.multiply.reduce(axis=None)", lambda x: np.multiply.reduce(x, axis=None),
        lambda x: x.prod(), ones_of((3,), (2, 3)))  # fmt: skip
    row("np.maximum.reduce", np.maximum.reduce, lambda x: x.amax(0), ones_of((3,), (2, 3)))
    row("np.add.accumulate", np.add.accumulate, lambda x: x.cumsum(0), ones_of((3,), (2, 3)))
    row("np.subtract.outer", np.subtract.outer,
        lambda a, b: a.reshape(*a.shape, *[1] * b.ndim) - b,
        [((2,), (3,)), ((2, 2), (3,)), ((), (2, 1))])  # fmt: skip


def torch_var(x, m, axis):
    n = m.sum(axis, keepdim=True)
    d = (x - (x * m).sum(axis, keepdim=True) / n) * m
    return (d * d).sum(axis) / n.squeeze(axis)


# Along an axis, in the order of the elements


def lone_nan(rng, shape):
    """A nan among distinct elements, where there are so many that numbers are left everywhere."""
    x = distinct(rng, shape)
    if min(shape) > 1:
        x.reshape(-1)[1] = np.nan
    return x


def torch_unwrap(x, axis, period=4.0):
    """9 x without jumps of half a period or more."""
    y, n = 9 * x, period if isinstance(period, float) else period.item()
    way = np.unwrap(y.detach().numpy(), axis=axis, period=n) - y.detach().numpy()
    return y + torch.tensor(way / n).round() * period


def torch_median(x, axis, keepdims=False):
    return torch.quantile(x, 0.5, axis, keepdim=keepdims)


def torch_convolve(a, v):
    """The full convolution of two vectors."""
    return functional.conv1d(a[None, None], v.flip(0)[None, None], padding=len(v) - 1)[0, 0]


def torch_interp(x, xp, fp):
    piece = (torch.searchsorted(xp.detach(), x.detach(), right=True) - 1).clamp(0, len(xp) - 2)
    slope = (fp[piece + 1] - fp[piece]) / (xp[piece + 1] - xp[piece])
    y = fp[piece] + slope * (x - xp[piece])
    y = torch.where(x < xp[0], fp[0], y)
    return torch.where(x > xp[-1], fp[-1], y)


def ascending(rng, shape):
    return np.sort(distinct(rng, shape)) + rng.uniform(0, 0.2, shape)


def add_order():
    m = micrograd
    matrices = ones_of((3, 4), (4, 3), (2, 3, 4), (3, 1), (1, 3))
    for axis in (0, 1, -1):

        def along(name, ours, theirs, cases=matrices, domain=distinct, axis=axis):
            row(f"{name}, axis={axis}", lambda x: ours(x, axis), lambda x: theirs(x, axis),
                cases, domain)  # fmt: skip

        along("sort", lambda x, a: m.sort(x, a), lambda x, a: x.sort(a).values)
        along("sort, ties", lambda x, a: m.sort(x, a, "stable"),
              lambda x, a: x.sort(dim=a, stable=True).values, domain=ties)  # fmt: skip
        along(
            "partition",
            lambda x, a: m.partition(x, 0, a),
            lambda x, a: torch.gather(
                x, a, torch.tensor(np.argpartition(x.detach().numpy(), 0, a))
            ),
        )
        along("median", lambda x, a: m.median(x, a), torch_median)
        along("median(keepdims=True)", lambda x, a: m.median(x, a, True),
              lambda x, a: torch_median(x, a, True))  # fmt: skip
        for method in ("linear", "lower", "higher", "midpoint", "nearest"):
            along(
                f"quantile({method})",
                lambda x, a, k=method: m.quantile(x, [0.1, 0.5, 0.85], a, k),
                lambda x, a, k=method: torch.quantile(
                    x, torch.tensor([0.1, 0.5, 0.85], dtype=x.dtype), a, interpolation=k
                ),
            )
        along("percentile", lambda x, a: m.percentile(x, 30, a, keepdims=True),
              lambda x, a: torch.quantile(x, 0.3, a, keepdim=True))  # fmt: skip
        along("ptp", lambda x, a: x.ptp(a), lambda x, a: x.amax(a) - x.amin(a))
        along("diff", lambda x, a: m.diff(x, axis=a), lambda x, a: torch.diff(x, dim=a))
        along("diff(n=2)", lambda x, a: m.diff(x, 2, a), lambda x, a: torch.diff(x, 2, a))
        along("diff(n=0)", lambda x, a: m.diff(x, 0, a), lambda x, a: x * 1)
        along("diff(append=)", lambda x, a: m.diff(x, 1, a, append=x * x),
              lambda x, a: torch.diff(x, 1, a, append=x * x))  # fmt: skip
        along("trapezoid", lambda x, a: m.trapezoid(x, axis=a),
              lambda x, a: torch.trapezoid(x, dim=a))  # fmt: skip
        along("trapezoid(dx=)", lambda x, a: m.trapezoid(x, dx=0.5, axis=a),
              lambda x, a: torch.trapezoid(x, dx=0.5, dim=a))  # fmt: skip
        along("trapezoid(x=)", lambda x, a: m.trapezoid(x, x * x, axis=a),
              lambda x, a: torch.trapezoid(x, x * x, dim=a))  # fmt: skip
        for edge_order in (1, 2):
            along(
                f"gradient(edge_order={edge_order})",
                lambda x, a, e=edge_order: m.gradient(x, 0.5, axis=a, edge_order=e),
                lambda x, a, e=edge_order: torch.gradient(x, spacing=0.5, dim=a, edge_order=e)[0],
                ones_of((3, 4), (2 + edge_order, 3, 4)),
            )
        along("take_along_axis(argsort)", lambda x, a: m.take_along_axis(x, x.argsort(a), a),
              lambda x, a: x.sort(a).values)  # fmt: skip
        along(
            "take_along_axis, one place",
            lambda x, a: m.take_along_axis(x, np.zeros([1] * x.ndim, int), a),
            lambda x, a: x.narrow(a, 0, 1),
        )
        along("gradient of take_along_axis",
              lambda x, a: grad((m.take_along_axis(x, x.argsort(a), a) ** 2).sum(), x,
                                create_graph=True),
              lambda x, a: 2 * x)  # fmt: skip
        along("take", lambda x, a: x.take([0, 0, -1], a),
              lambda x, a: x.index_select(a, torch.tensor([0, 0, x.shape[a] - 1])))  # fmt: skip
        along("take(wrap)", lambda x, a: x.take([1, -9], a, "wrap"),
              lambda x, a: x.index_select(a, torch.tensor([1, -9]) % x.shape[a]))  # fmt: skip
        along("take(clip)", lambda x, a: x.take([9, -9], a, "clip"),
              lambda x, a: x.index_select(a, torch.tensor([x.shape[a] - 1, 0])))  # fmt: skip
        along("average(weights=)", lambda x, a: m.average(x, a, x * x),
              lambda x, a: (x * x * x).sum(a) / (x * x).sum(a))  # fmt: skip
        along("nanmedian", lambda x, a: np.nanmedian(x, a, keepdims=True),
              lambda x, a: torch.nanquantile(x, 0.5, a, True), domain=lone_nan)  # fmt: skip
        along(
            "nanquantile",
            lambda x, a: np.nanquantile(x, [0.1, 0.85], a),
            lambda x, a: torch.nanquantile(x, torch.tensor([0.1, 0.85], dtype=x.dtype), a),
            domain=lone_nan,
        )
        along("nanpercentile", lambda x, a: np.nanpercentile(x, 30, a, method="lower"),
              lambda x, a: torch.nanquantile(x, 0.3, a, interpolation="lower"),
              domain=lone_nan)  # fmt: skip
        along("cumulative_sum", lambda x, a: m.cumulative_sum(x, axis=a, include_initial=True),
              lambda x, a: torch.cat([0 * x.narrow(a, 0, 1), x.cumsum(a)], a))  # fmt: skip
        along("cumulative_prod", lambda x, a: m.cumulative_prod(x, axis=a, include_initial=True),
              lambda x, a: torch.cat([0 * x.narrow(a, 0, 1) + 1, x.cumprod(a)], a))  # fmt: skip
        along("unwrap", lambda x, a: np.unwrap(x * 9, axis=a, period=4.0), torch_unwrap)
        along("apply_along_axis",
              lambda x, a: np.apply_along_axis(lambda v, n: v[:1] * v.sum() * n, a, x, 3),
              lambda x, a: 3 * x.narrow(a, 0, 1) * x.sum(a, keepdim=True))  # fmt: skip
        along("nansum", lambda x, a: m.nansum(x, a), torch.nansum, domain=some_nan)
        along("nanmean", lambda x, a: m.nanmean(x, a), torch.nanmean,
              ones_of((3, 4), (2, 3, 4)), some_nan)  # fmt: skip
        along(
            "nanmax",
            lambda x, a: m.nanmax(x, a),
            lambda x, a: x.nan_to_num(-9.0).amax(a),
            ones_of((3, 4), (2, 3, 4)),
            some_nan,
        )
        along(
            "nanmin",
            lambda x, a: m.nanmin(x, a, True),
            lambda x, a: x.nan_to_num(9.0).amin(a, True),
            ones_of((3, 4), (2, 3, 4)),
            some_nan,
        )
        along("nanprod", lambda x, a: m.nanprod(x, a),
              lambda x, a: x.nan_to_num(1.0).prod(a), domain=some_nan)  # fmt: skip
        along(
            "nanvar",
            lambda x, a: m.nanvar(x, a),
            lambda x, a: torch_var(x.nan_to_num(), ~x.isnan(), a),
            ones_of((3, 4), (2, 3, 4)),
            some_nan,
        )
        along(
            "nanstd",
            lambda x, a: m.nanstd(x, a),
            lambda x, a: torch_var(x.nan_to_num(), ~x.isnan(), a).sqrt(),
            ones_of((4, 4), (4, 3, 4)),
            some_nan,
        )
        along("nancumsum", lambda x, a: m.nancumsum(x, a),
              lambda x, a: x.nan_to_num().cumsum(a), domain=some_nan)  # fmt: skip
        along("nancumprod", lambda x, a: m.nancumprod(x, a),
              lambda x, a: x.nan_to_num(1.0).cumprod(a), domain=some_nan)  # fmt: skip

    row("sort(axis=None)", lambda x: m.sort(x, None), lambda x: x.reshape(-1).sort().values,
        ONE, distinct)  # fmt: skip
    row("median()", m.median, lambda x: torch_median(x.reshape(-1), 0), ones_of((), (3,), (2, 4)))
    row("median((0, 2))", lambda x: m.median(x, (0, 2)),
        lambda x: torch_median(x.permute(1, 0, 2).flatten(1), 1), ones_of((2, 3, 4)))  # fmt: skip
    row(
        "take()",
        lambda x: x.take([[0, 2], [-1, 0]]),
        lambda x: x.reshape(-1)[torch.tensor([[0, 2], [-1, 0]])],
        ones_of((3,), (2, 3)),
    )
    row("copy", lambda x: x.copy(), lambda x: x.clone(), ONE)
    row("average", m.average, lambda x: x.mean(), ones_of((), (3,), (2, 3)))
    row("ediff1d", lambda x: m.ediff1d(x, 2.0, [1, 3]), lambda x: torch.cat([
        torch.tensor([1.0, 3.0]).to(x), torch.diff(x.reshape(-1)), torch.tensor([2.0]).to(x)]),
        ones_of((1,), (3,), (2, 3)))  # fmt: skip
    row(
        "gradient of both axes",
        lambda x: m.gradient(x)[0] * m.gradient(x)[1],
        lambda x: torch.gradient(x)[0] * torch.gradient(x)[1],
        ones_of((2, 3), (4, 4)),
    )
    row("gradient(coordinates)", lambda x: m.gradient(x, [0.0, 1.0, 3.0, 3.5]),
        lambda x: torch.gradient(x, spacing=(torch.tensor([0.0, 1.0, 3.0, 3.5]).to(x),))[0],
        ones_of((4,)))  # fmt: skip
    row(
        "linspace",
        lambda a, b: m.linspace(a, b, 5),
        lambda a, b: torch.stack([a + (b - a) * i / 4 for i in range(5)]),
        [((), ()), ((3,), (3,)), ((3,), (2, 1))],
    )
    row("linspace(endpoint=False, axis=-1)", lambda a, b: m.linspace(a, b, 4, False, axis=-1),
        lambda a, b: torch.stack([a + (b - a) * i / 4 for i in range(4)], -1),
        [((), ()), ((3,), (3,)), ((3,), (2, 1))])  # fmt: skip
    row("linspace(retstep=True)", lambda a, b: m.linspace(a, b, retstep=True)[1],
        lambda a, b: (b - a) / 49, [((), ()), ((3,), (3,))])  # fmt: skip
    ends = [((), ()), ((3,), (3,)), ((3,), (2, 1))]
    row("logspace", lambda a, b: np.logspace(a, b, 4), lambda a, b: torch.stack(
        [10 ** (a + (b - a) * i / 3) for i in range(4)]), ends)  # fmt: skip
    row("logspace(base=Tensor, axis=-1)", lambda a, b, c: np.logspace(a, b, 3, False, c, axis=-1),
        lambda a, b, c: torch.stack([c ** (a + (b - a) * i / 3) for i in range(3)], -1),
        [((), (), ()), ((3,), (), (2, 3))], (normal, normal, positive))  # fmt: skip
    row("geomspace", lambda a, b: np.geomspace(-a, -b, 4), lambda a, b: torch.stack(
        [-a * (b / a) ** (i / 3) for i in range(4)]), ends, positive)  # fmt: skip
    row("apply_over_axes", lambda x: np.apply_over_axes(np.prod, x, (0, -1)),
        lambda x: x.prod(0, keepdim=True).prod(-1, keepdim=True), ones_of((2, 3), (2, 3, 2))
        )  # fmt: skip
    row("unwrap(period=Tensor)", lambda x, p: np.unwrap(x * 9, period=p),
        lambda x, p: torch_unwrap(x, -1, p), [((6,), ())], (distinct, above_one))  # fmt: skip
    row("interp", m.interp, torch_interp,
        [((7,), (4,), (4,)), ((2, 3), (3,), (3,)), ((), (5,), (5,))],
        (normal, ascending, normal))  # fmt: skip
    row("interp at several points of one piece", m.interp, torch_interp, [((9,), (2,), (2,))],
        (between_0_and_1, lambda rng, shape: np.array([0.0, 1.0]), normal))  # fmt: skip
    vectors = [((5,), (2,)), ((2,), (5,)), ((3,), (3,)), ((1,), (4,))]
    row("convolve", m.convolve, torch_convolve, vectors)
    row("convolve(valid)", lambda a, v: m.convolve(a, v, "valid"),
        lambda a, v: torch_convolve(a, v)[
            min(len(a), len(v)) - 1 : max(len(a), len(v))], vectors)  # fmt: skip
    row("correlate(full)", lambda a, v: m.correlate(a, v, "full"),
        lambda a, v: torch_convolve(a, v.flip(0)), vectors)  # fmt: skip
    row(
        "convolve(x, list)",
        lambda x: m.convolve(x, [1, 2, 1], "same"),
        lambda x: torch_convolve(x, torch.tensor([1.0, 2, 1]).to(x))[1:-1],
        ones_of((3,), (5,)),
    )
    row("cov", m.cov, torch.cov, ones_of((2, 4), (3, 3), (5,)))
    row("cov(x, y, ddof=0)", lambda x, y: m.cov(x, y, ddof=0), lambda x, y: torch.cov(
        torch.cat([x, y]), correction=0), [((2, 4), (1, 4))])  # fmt: skip
    row("cov(aweights=x)", lambda x, w: m.cov(x, aweights=w), lambda x, w: torch_cov(x, w),
        [((2, 4), (4,))], (normal, positive))  # fmt: skip
    row(
        "cov(fweights=)",
        lambda x: m.cov(x, fweights=[1, 2, 1, 3]),
        lambda x: torch.cov(x, fweights=torch.tensor([1, 2, 1, 3])),
        ones_of((2, 4)),
    )
    row("corrcoef", m.corrcoef, torch.corrcoef, ones_of((2, 4), (3, 4)))
    row("meshgrid", lambda *xs: m.stack(m.meshgrid(*xs)), lambda *xs: torch.stack(
        torch.meshgrid(*xs, indexing="xy")), [((3,), (2,)), ((2,), (3,), (4,))])  # fmt: skip
    row("meshgrid(sparse, ij)", lambda *xs: m.meshgrid(*xs, indexing="ij", sparse=True)[1],
        lambda a, b: b[None] + 0 * a[0], [((3,), (2,))])  # fmt: skip
    row("bincount", lambda w: np.bincount([0, 2, 2, 1], w, 5),
        lambda w: w.new_zeros(5).index_add(0, torch.tensor([0, 2, 2, 1]), w),
        ones_of((4,)))  # fmt: skip
    row("full_like", lambda x: np.full_like(x, x.sum()), lambda x: x.sum().expand(x.shape),
        ones_of((3,), (2, 3)))  # fmt: skip


def torch_cov(x, w):
    """With weights, in PyTorch's own arithmetic, which takes no gradient of them."""
    mean = (x * w).sum(1, keepdim=True) / w.sum()
    d = x - mean
    return (d * w) @ d.T / (w.sum() - (w * w).sum() / w.sum())


# Shapes


def torch_pad(x, widths, value=0.0):
    """F.pad counts the axes from the last to the first."""
    return functional.pad(x, [n for pair in reversed(widths) for n in pair], value=value)


def torch_pad_with(x, f, length):
    """One in front and two behind, each f of so many elements, along one axis after the other."""
    for i in range(x.ndim):
        n = min(length or x.shape[i], x.shape[i])
        first, last = (f(x.narrow(i, k, n), i, True) for k in (0, x.shape[i] - n))
        x = torch.cat([first, x, last, last], i)
    return x


def torch_ramp(x, start, end):
    for i in range(x.ndim):
        first, last = x.narrow(i, 0, 1), x.narrow(i, x.shape[i] - 1, 1)
        x = torch.cat([first * 0 + start, x, (last + end) / 2, last * 0 + end], i)
    return x


def add_shapes():
    row("reshape(2, -1)", lambda x: x.reshape(2, -1), cases=ones_of((6,), (3, 2), (2, 1, 3)))
    row("reshape((3, 2))", lambda x: x.reshape((3, 2)), cases=ones_of((6,), (2, 3), (1, 6)))
    row("reshape([6])", lambda x: x.reshape([6]), cases=ones_of((6,), (2, 3)))
    row("reshape(())", lambda x: x.reshape(()), cases=ones_of((), (1,), (1, 1)))
    row("reshape(-1)", lambda x: x.reshape(-1), cases=ONE)
    row("reshape(0, 2)", lambda x: x.reshape(0, 2), cases=ones_of((0,), (0, 3)))
    row("flatten", lambda x: x.flatten(), lambda x: x.reshape(-1), ONE)
    row("ravel", lambda x: x.ravel(), cases=ONE)
    reverse = (lambda x: x.permute(tuple(reversed(range(x.ndim)))),)
    row("transpose()", lambda x: x.transpose(), *reverse, ONE)
    row("transpose(None)", lambda x: x.transpose(None), *reverse, ONE)
    row("T", lambda x: x.T, *reverse, ONE)
    for axes in ((1, 0, 2), (2, 0, 1), (1, 2, 0), (-1, 0, 1), (0, -1, -2), (-2, -1, -3)):
        cases = ones_of((2, 3, 4), (2, 1, 3), (0, 2, 3))
        permute = lambda x, axes=axes: x.permute(axes)  # noqa: E731
        row(f"transpose{axes}", lambda x, axes=axes: x.transpose(*axes), permute, cases)
        row(f"transpose({axes})", lambda x, axes=axes: x.transpose(axes), permute, cases)
        row(f"transpose({list(axes)})", lambda x, a=axes: x.transpose(list(a)), permute, cases)
    row("transpose(0)", lambda x: x.transpose(0), lambda x: x * 1, ones_of((3,)))
    row("transpose(2, 0, 3, 1)", lambda x: x.transpose(2, 0, 3, 1),
        lambda x: x.permute(2, 0, 3, 1), ones_of((2, 3, 4, 5)))  # fmt: skip
    for i, j in ((0, 1), (-1, 0), (-2, -1), (1, 1)):
        row(f"swapaxes({i}, {j})", lambda x, i=i, j=j: x.swapaxes(i, j),
            cases=ones_of((2, 3), (3, 1), (2, 3, 4), (2, 3, 2, 4), (0, 3)))  # fmt: skip
    row("squeeze()", lambda x: x.squeeze(), cases=ONE)
    row("squeeze(0)", lambda x: x.squeeze(0), cases=ones_of((1,), (1, 3), (1, 1, 2), (1, 0)))
    row("squeeze(-1)", lambda x: x.squeeze(-1), cases=ones_of((1,), (3, 1), (2, 1, 1)))
    row("squeeze((0, -1))", lambda x: x.squeeze((0, -1)), cases=ones_of((1, 3, 1), (1, 1)))
    for axis in (0, -1):
        row(f"expand_dims({axis})", lambda x, axis=axis: x.expand_dims(axis),
            lambda x, axis=axis: x.unsqueeze(axis), ONE)  # fmt: skip
    row("expand_dims((0, 2))", lambda x: x.expand_dims((0, 2)),
        lambda x: x.unsqueeze(0).unsqueeze(2), ones_of((3,), (2, 3)))  # fmt: skip
    for target in ((2, 3), (4, 2, 3), (0, 3)):
        row(f"broadcast_to({target})", lambda x, s=target: x.broadcast_to(s),
            cases=ones_of((), (3,), (1,), (1, 3), (1, 1)))  # fmt: skip
    row("broadcast_to(2, 3)", lambda x: x.broadcast_to(2, 3), lambda x: x.expand(2, 3),
        ones_of((), (3,), (2, 1), (2, 3)))  # fmt: skip
    row("pad(1)", lambda x: x.pad(1), lambda x: torch_pad(x, [(1, 1)] * x.ndim),
        ones_of((3,), (2, 3), (0, 3), (2, 3, 2, 2)))  # fmt: skip
    row("pad((1, 2), constant_values=5)", lambda x: x.pad((1, 2), constant_values=5),
        lambda x: torch_pad(x, [(1, 2)] * x.ndim, 5.0), ones_of((3,), (2, 3)))  # fmt: skip
    row("pad(((0, 1), (2, 0)))", lambda x: x.pad(((0, 1), (2, 0))),
        lambda x: torch_pad(x, [(0, 1), (2, 0)]), ones_of((2, 3), (1, 1), (0, 2)))  # fmt: skip
    row("pad({-1: (2, 1), 0: 1})", lambda x: x.pad({-1: (2, 1), 0: 1}),
        lambda x: torch_pad(x, [(1, 1), (2, 1)]), ones_of((2, 3), (1, 1), (0, 2)))  # fmt: skip
    for sides in ((5.0, -1.0), ((5.0, -1.0),), np.array([[5.0, -1.0]])):
        row(f"pad(1, constant_values={sides})", lambda x, s=sides: x.pad(1, constant_values=s),
            lambda x: torch_pad(torch_pad(x, [(1, 0)], 5.0), [(0, 1)], -1.0),
            ones_of((3,), (1,)))  # fmt: skip
    row("pad(1, constant_values=Tensor)", lambda x, c: x.pad(1, constant_values=c),
        lambda x, c: torch.cat([c[0, :1].expand(x.shape[0] + 2, 1), torch.cat(
            [c[0, 0].expand(1, x.shape[1]), x, c[0, 1].expand(1, x.shape[1])]),
            c[0, 1:].expand(x.shape[0] + 2, 1)], 1), [((2, 3), (1, 2))])  # fmt: skip
    for mode, f in (
        ("maximum", torch.amax),
        ("minimum", torch.amin),
        ("mean", torch.mean),
        ("median", torch_median),
    ):
        for length in (None, 2):
            row(f"pad({mode}, stat_length={length})",
                lambda x, m=mode, n=length: x.pad((1, 2), m, stat_length=n),
                lambda x, f=f, n=length: torch_pad_with(x, f, n), ones_of((3,), (2, 4))
                )  # fmt: skip
    row("pad(linear_ramp)", lambda x: x.pad((1, 2), "linear_ramp", end_values=(3, -1)),
        lambda x: torch_ramp(x, 3.0, -1.0), ones_of((3,), (2, 3), (1, 1)))  # fmt: skip
    row("pad(linear_ramp to a Tensor)", lambda x, c: x.pad((1, 2), "linear_ramp", end_values=c),
        lambda x, c: torch_ramp(x, c, c), [((3,), ()), ((2, 3), ())])  # fmt: skip
    for axis in (None, 0, -1, (0, -1)):
        row(f"flip({axis})", lambda x, axis=axis: x.flip(axis),
            lambda x, axis=axis: x.flip(tuple(range(x.ndim)) if axis is None else axis),
            ones_of((2, 3), (3, 1), (2, 3, 2, 2), (0, 3)))  # fmt: skip
    for k in (-1, 0, 1):
        cases = ones_of((3, 3), (2, 4), (4, 2), (2, 3, 3), (1, 1), (0, 3))
        row(f"tril({k})", lambda x, k=k: x.tril(k), cases=cases)
        row(f"triu({k})", lambda x, k=k: x.triu(k), cases=cases)
    row("tril of a vector", lambda x: x.tril(), lambda x: x.expand(3, 3).tril(), ones_of((3,)))
    row("triu of a vector", lambda x: x.triu(), lambda x: x.expand(3, 3).triu(), ones_of((3,)))


# Indexing


def torch_index(key):
    """x[key] by NumPy's rules, some of which PyTorch lacks: the flat places, taken one by one."""

    def take(x):
        places = np.arange(x.numel()).reshape(tuple(x.shape))[key]
        return x.reshape(-1)[torch.tensor(np.array(places), dtype=torch.long)]

    return take


ALL = slice(None)
INDICES = {
    (): [(), ..., None, True, False, (None, ...), np.array(True)],
    (5,): [
        0, -1, np.int64(2), slice(1, 4), slice(None, None, 2), slice(None, None, -1),
        slice(4, 0, -2), slice(-3, None), slice(2, 2), ..., None, (None, ...), (..., None, 1),
        [0, 0, 2], [4, -1, -5], [], np.array([0, 0, 2]), np.array([], int), np.array(3),
        np.array([[0, 1], [1, -1]]), np.array([[2, 2, 2]], np.uint8), (np.array([1, 1]), None),
        [True, False, True, True, False], np.array([False] * 5), True, False,
    ],
    (4, 3): [
        1, (1, 2), (-1, -1), (ALL, 1), (..., 0), (1, ...), (None, 1), (ALL, None, 2),
        (1, None, ALL),
        (slice(None, None, 2), slice(None, None, -1)), (slice(1, 3), slice(0, 1)), [0, 0, 3],
        ([0, 0, 1], [1, 1, 2]), ([0, 0, 1], 1), (1, [2, 2]), (ALL, [0, 0, 2]),
        (slice(None, None, 2), [[0], [2]]), np.ix_([0, 0, 2], [1, 1]), ([[0, 0], [3, 3]], ALL),
        np.arange(12).reshape(4, 3) % 2 == 0, np.array([True, False, True, False]),
        (np.array([True, False, True, False]), 1), (ALL, np.array([True, False, True])),
        ([True, False, True, True], [0, 0, 2]), (None, [0, 0]), (..., [0, 0]),
        (np.arange(4), np.array([0, 2, 1, 2])),
    ],
    (2, 3, 4): [
        (0, ALL, 1), (..., -1), (1, ..., 2), ([0, 1, 1], ALL, [0, 0, 0]), (0, ALL, [1, 1]),
        ([0, 0], ALL, 1), (..., [0, 0], None), (ALL, [0, 2], slice(1, None)),
        (ALL, np.arange(12).reshape(3, 4) % 3 == 0), (slice(1), [0, 0], [[1], [1]]),
        (ALL, None, [0, 0], ALL), ([1, 1], ..., slice(None, None, 3)),
        ([0, 0], None, [1, 1]), np.arange(24).reshape(2, 3, 4) % 5 == 0,
    ],
    (2, 3, 2, 2): [
        (1, ..., 0), ([0, 0], ALL, ALL, [1, 1]), (ALL, [0, 0], ALL, [1, 1]), (..., [0, 0], ALL),
        (ALL, [[0, 2], [2, 2]], 1), (slice(None, None, -1), 0, ..., None),
    ],
    (0, 3): [ALL, (ALL, 1), [], ([], []), (ALL, [0, 0]), None, np.zeros((0, 3), bool)],
    (1, 1): [0, (0, 0), ([0, 0, 0], 0), (ALL, [0, 0]), [[0, 0], [0, 0]]],
}  # fmt: skip


def add_indices():
    for shape, keys in INDICES.items():
        for key in keys:
            row(f"x[{key!r}], {shape}".replace("\n", ""), operator.itemgetter(key),
                torch_index(key), ones_of(shape))  # fmt: skip
    # The gradient of an index, as an operation of its own: a derivative of the third order uses
    # the derivative of its derivative
    for key in (1, slice(1, 3), [0, 0, 3], ([0, 0], [1, 1])):
        shape = np.empty((4, 3))[key].shape
        row(f"gradient of x[{key}]", lambda x, g, key=key: grad(x[key], x, g, create_graph=True),
            lambda x, g, key=key: torch_grad(torch_index(key)(x), x, g)[0],
            [((4, 3), shape)])  # fmt: skip
    for key in (1, slice(1, 3), [0, 0, 3], ([0, 0], [1, 1]), ..., np.eye(4, 3) > 0):
        shape = np.empty((4, 3))[key].shape
        row(f"add_at(x, {key})", lambda x, v, key=key: x.add_at(key, v), torch_add_at(key),
            [((4, 3), shape), ((4, 3), shape[1:]), ((4, 3), (1,) * len(shape))])  # fmt: skip
    row("add_at(x, 1, 2.5)", lambda x: x.add_at(1, 2.5), lambda x: torch_add_at(1)(x, x.new([2.5])),
        ones_of((4, 3), (2, 3, 2)))  # fmt: skip


def torch_add_at(key):
    def add(x, values):
        values = values.expand(np.broadcast_to(0, tuple(x.shape))[key].shape)
        places = torch.tensor(np.arange(x.numel()).reshape(tuple(x.shape))[key])
        return x.reshape(-1).index_add(0, places.reshape(-1), values.reshape(-1)).reshape(x.shape)

    return add


# Several tensors


def torch_dot(a, b):
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return torch.tensordot(a, b, dims=([-1], [max(b.ndim - 2, 0)]))


MATMUL = [
    ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((1, 3), (3, 1)),
    ((1, 1), (1, 1)), ((1,), (1,)), ((2, 1), (1, 3)),
    ((4, 2, 3), (3,)), ((3,), (4, 3, 2)), ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)),
    ((4, 2, 3), (4, 3, 2)), ((1, 2, 3), (4, 3, 2)), ((4, 2, 3), (1, 3, 2)),
    ((4, 1, 2, 3), (5, 3, 2)), ((2, 3, 2, 3), (2, 1, 3, 2)), ((2, 1, 2, 3), (3, 3, 1)),
    ((2, 3, 2, 3), (3, 2)), ((2, 1, 2, 3), (3,)), ((3,), (2, 1, 3, 2)), ((2, 3, 1, 1), (1, 1)),
    ((0,), (0,)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 2)), ((0, 2, 3), (3,)),
    ((2, 3), (0, 3, 2)), ((3,), (0, 3, 2)), ((2, 3), (3, 0)), ((0, 3), (3,)),
]  # fmt: skip
DOT = [
    ((), ()), ((), (2, 3)), ((2, 3), ()), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)),
    ((2, 3), (3, 4)), ((2, 2, 3), (3,)), ((2, 2, 3), (3, 4)), ((3,), (2, 3, 4)),
    ((2, 3), (4, 3, 2)), ((2, 2, 3), (4, 3, 2)), ((2, 2, 3), (2, 3, 3, 2)), ((0, 3), (3, 2)),
    ((2, 0), (0, 2)), ((2, 0), (3, 0, 2)), ((3,), (2, 4, 3, 2)),
]  # fmt: skip
EINSUM = {
    "ij,jk->ik": [((2, 3), (3, 4)), ((1, 1), (1, 1)), ((0, 3), (3, 2)), ((2, 0), (0, 2))],
    "ij,jk": [((2, 3), (3, 4))],
    " ij , jk -> ik ": [((2, 3), (3, 4))],
    "bij,bjk->bik": [((4, 2, 3), (4, 3, 2))],
    "bij,bjk": [((4, 2, 3), (4, 3, 2))],
    "bhqd,bhkd->bhqk": [((2, 2, 3, 4), (2, 2, 5, 4))],
    "ii": [((3, 3),), ((1, 1),), ((0, 0),)],
    "ii->i": [((3, 3),), ((1, 1),)],
    "iii->i": [((2, 2, 2),)],
    "iii->": [((2, 2, 2),)],
    "iij->j": [((3, 3, 2),)],
    "iji->j": [((3, 2, 3),)],
    "...ii->...i": [((2, 3, 3),), ((3, 3),)],
    "iij,jk->ik": [((3, 3, 2), (2, 4))],
    "ij->ji": [((2, 3),)],
    "ba": [((2, 3),)],
    "Ba": [((2, 3),)],
    "ij->": [((2, 3),), ((0, 3),)],
    "ij->j": [((2, 3),)],
    "->": [((),)],
    "i,j->ij": [((2,), (3,)), ((0,), (3,))],
    "i,j->ji": [((2,), (3,))],
    "i,i": [((3,), (3,))],
    "i,i->i": [((3,), (3,))],
    ",ij->ij": [((), (2, 3))],
    "ij,->i": [((2, 3), ())],
    "ij,kl->il": [((2, 3), (4, 5))],
    "ij,k->": [((2, 3), (4,))],
    "ij,k->k": [((2, 3), (4,))],
    "i,ij,j->": [((2,), (2, 3), (3,))],
    "ij,jk,kl->il": [((2, 3), (3, 4), (4, 2))],
    "ij,jk,kl": [((2, 3), (3, 4), (4, 2))],
    "i,i,i->i": [((3,), (3,), (3,))],
    "a,b,c->cab": [((2,), (3,), (4,))],
    "abc,cd,bd->ad": [((2, 3, 4), (4, 5), (3, 5))],
    "ij,ij->ij": [((2, 3), (2, 3)), ((1, 3), (2, 3)), ((2, 1), (1, 3))],
    "ij,jk->ik, length 1": [((2, 1), (3, 4)), ((2, 3), (1, 4))],
    "...ij,...jk->...ik": [
        ((2, 3), (3, 2)), ((4, 2, 3), (4, 3, 2)), ((1, 2, 3), (4, 3, 2)), ((2, 3), (4, 3, 2)),
        ((4, 2, 3), (3, 2)), ((2, 1, 2, 3), (3, 3, 1)), ((0, 2, 3), (1, 3, 2)),
    ],
    "...ij,...jk": [((4, 2, 3), (4, 3, 2)), ((2, 1, 2, 3), (3, 3, 1))],
    "...,...->...": [((3, 1), (1, 4)), ((3,), (2, 3)), ((), (2, 3)), ((2, 1, 3), (4, 1))],
    "...,...": [((3, 1), (1, 4)), ((3,), (2, 3))],
    "...i->...": [((3,), ), ((2, 3),), ((2, 3, 2, 2),)],
    "i...->...": [((2, 3),), ((2, 3, 2),)],
    "i...j->j...i": [((2, 3, 4),), ((2, 4),)],
    "...->": [((2, 3),), ((),)],
    "ij...,jk...->ik...": [((2, 3, 4), (3, 2, 4)), ((2, 3, 1), (3, 2, 4))],
    "...i,ij->...j": [((2, 2, 3), (3, 4)), ((3,), (3, 4))],
    "bi...,b->i...": [((2, 3, 4), (2,))],
}  # fmt: skip


def add_several():
    row("@", operator.matmul, cases=MATMUL)
    square = constants(3, 3)
    row("x @ array", lambda x: x @ square, lambda x: x @ wide(square),
        ones_of((3,), (2, 3), (2, 2, 3), (0, 3)))  # fmt: skip
    row("array @ x", lambda x: square @ x, lambda x: wide(square) @ x,
        ones_of((3,), (3, 2), (2, 3, 2), (3, 0)))  # fmt: skip
    row("x @ x", lambda x: x @ x, cases=ones_of((3,), (3, 3), (2, 3, 3)))
    row("dot", micrograd.dot, torch_dot, DOT)
    row("np.dot(array, x)", lambda x: micrograd.dot(square, x),
        lambda x: torch_dot(wide(square), x),
        ones_of((), (3,), (3, 2), (2, 3, 2)))  # fmt: skip
    row("dot(x, array)", lambda x: micrograd.dot(x, square), lambda x: torch_dot(x, wide(square)),
        ones_of((), (3,), (2, 3)))  # fmt: skip
    row("outer", micrograd.outer, lambda a, b: torch.outer(a.reshape(-1), b.reshape(-1)),
        [((2,), (3,)), ((2, 2), (3,)), ((), (3,)), ((1,), (1,)), ((0,), (3,))])  # fmt: skip
    row("outer(array, x)", lambda x: micrograd.outer(square, x),
        lambda x: torch.outer(wide(square).reshape(-1), x), ones_of((2,)))  # fmt: skip
    cases = [
        ((3,), (3, 2), (2,)), ((4, 3), (3, 2), (2,)), ((2, 4, 3), (3, 2), (2,)),
        ((2, 2, 4, 3), (3, 1), (1,)), ((0, 3), (3, 2), (2,)), ((1, 1), (1, 1), (1,)),
    ]  # fmt: skip
    row("linear", micrograd.linear, lambda x, w, b: x @ w + b, cases)
    row("linear(array, ...)", lambda w, b: micrograd.linear(square, w, b),
        lambda w, b: wide(square) @ w + b, [((3, 2), (2,))])  # fmt: skip

    for name, f in (("maximum", torch.maximum), ("minimum", torch.minimum)):
        g = getattr(micrograd, name)
        row(f"{name}, ties", g, f, [*TWO, ((4, 5), (4, 5))], ties)
        row(f"{name}(x, 0.25)", lambda x, g=g: g(x, 0.25),
            lambda x, f=f: f(x, torch.tensor(0.25, dtype=x.dtype)), ONE)  # fmt: skip
        row(f"{name}(array, x)", lambda x, g=g: g(constants(3), x),
            lambda x, f=f: f(wide(constants(3)), x), ones_of((3,), (2, 1)), positive)  # fmt: skip

    mask = np.array([[True, False, True], [False, False, True]])
    for name, c in (("(2, 3)", mask), ("(3,)", mask[0]), ("(2, 1)", mask[:, :1]), ("True", True)):
        cases = [((2, 3), (2, 3)), ((), (2, 3)), ((3,), (2, 1)), ((1, 1), ()), ((4, 1, 3), (1,))]
        row(f"where({name}, x, y)", lambda a, b, c=c: micrograd.where(c, a, b),
            lambda a, b, c=c: torch.where(torch.tensor(c), a, b), cases)  # fmt: skip
    row("where(mask, x, 0)", lambda x: micrograd.where(mask, x, 0),
        lambda x: torch.where(torch.tensor(mask), x, 0.0), ones_of((2, 3), (3,)))  # fmt: skip
    row("where(mask, -1.0, x)", lambda x: micrograd.where(mask, -1.0, x),
        lambda x: torch.where(torch.tensor(mask), -1.0, x), ones_of((2, 3), (3,)))  # fmt: skip

    row("concatenate", lambda *xs: micrograd.concatenate(xs), lambda *xs: torch.cat(xs),
        [((2,), (3,)), ((2,), (0,), (1,)), ((1, 3), (2, 3)), ((0, 3), (2, 3)), ((3,),)]
        )  # fmt: skip
    for axis in (1, -1, -2):
        other = ((2, 1, 3), (2, 2, 3)) if axis != -1 else ((2, 2, 1), (2, 2, 3))
        row(f"concatenate(axis={axis})", lambda *xs, a=axis: micrograd.concatenate(xs, a),
            lambda *xs, a=axis: torch.cat(xs, a), [other, ((2, 3, 2, 2),) * 2])  # fmt: skip
    row("concatenate(dtype=)", lambda *xs: np.concatenate(xs, dtype=np.float32) * 2,
        lambda *xs: torch.cat(xs).float() * 2, [((2,), (3,))])  # fmt: skip
    row("stack(dtype=)", lambda *xs: np.stack(xs, dtype=np.float32) * 2,
        lambda *xs: torch.stack(xs).float() * 2, [((2,), (2,))])  # fmt: skip
    row("concatenate(axis=None)", lambda *xs: micrograd.concatenate(xs, None),
        lambda *xs: torch.cat([x.reshape(-1) for x in xs]),
        [((2, 3), (4,)), ((), (2,)), ((), ())])  # fmt: skip
    row("concatenate([x, array, x])", lambda x: micrograd.concatenate([x, square, x]),
        lambda x: torch.cat([x, wide(square), x]), ones_of((2, 3)))  # fmt: skip
    for axis in (0, -1):
        row(f"stack(axis={axis})", lambda *xs, a=axis: micrograd.stack(xs, a),
            lambda *xs, a=axis: torch.stack(xs, a),
            [((), ()), ((2, 3),) * 3, ((0, 3),) * 2, ((1,),), ((2, 3, 2),) * 2])  # fmt: skip
    row("stack(axis=1)", lambda *xs: micrograd.stack(xs, 1), lambda *xs: torch.stack(xs, 1),
        [((2, 3),) * 2, ((3,),) * 3])  # fmt: skip
    row("stack([array, x])", lambda x: micrograd.stack([square, x]),
        lambda x: torch.stack([wide(square), x]), ones_of((3, 3)))  # fmt: skip

    for name, cases in EINSUM.items():
        subscripts = name.partition(", length")[0]
        row(f"einsum({name!r})", lambda *xs, s=subscripts: micrograd.einsum(s, *xs),
            lambda *xs, s=subscripts: torch.einsum(s, *xs), cases)  # fmt: skip
    row("einsum('ij,jk->ik', array, x)", lambda x: micrograd.einsum("ij,jk->ik", square, x),
        lambda x: wide(square) @ x, ones_of((3, 2)))  # fmt: skip
    row("einsum(optimize=False)", lambda *xs: micrograd.einsum("ij,jk,kl", *xs, optimize=False),
        lambda *xs: torch.einsum("ij,jk,kl", *xs), [((2, 3), (3, 4), (4, 2))])  # fmt: skip


# Linear algebra. The signs of eigenvectors and the like are nobody's promise: all are turned so
# that the diagonal is positive, which it is far from 0 in the matrices below.


def regular(rng, shape):
    """Far from singular, with real eigenvalues and singular values that are far apart."""
    *_, m, n = shape
    return np.eye(m, n) * (1.5 + np.arange(n)) + 0.2 * rng.normal(size=shape)


def positive_definite(rng, shape):
    x = regular(rng, shape).astype(np.float32)
    return x + x.swapaxes(-1, -2)


def low_rank(rng, shape):
    """Of rank 1."""
    *batch, m, n = shape
    return rng.integers(1, 4, (*batch, m, 1)) * rng.integers(1, 4, (*batch, 1, n))


def turned(v, *others):
    """The columns with a positive diagonal, and those of others by the same signs."""
    if isinstance(v, Tensor):
        sign = np.sign(np.linalg.diagonal(v))
    else:
        sign = torch.sign(torch.diagonal(v.detach(), 0, -2, -1))
    return [x * sign[..., None, :] for x in (v, *others)]


def joined(xs):
    """Tensors of any shapes as one vector."""
    return (micrograd if isinstance(xs[0], Tensor) else torch).concatenate(
        [x.reshape(-1) for x in xs]
    )


def svd_parts(x, **options):
    f = np.linalg.svd if isinstance(x, Tensor) else torch.linalg.svd
    u, s, vh = f(x, full_matrices=False, **options)
    return joined([*turned(u, vh.mT), s])


def qr_parts(x, **options):
    f = np.linalg.qr if isinstance(x, Tensor) else torch.linalg.qr
    q, r = f(x, **options)
    k = min(x.shape[-2:])
    return joined(turned(q[..., :k], r[..., :k, :].mT))


def eig_parts(name, **options):
    def parts(x):
        if isinstance(x, Tensor):
            w, v = getattr(np.linalg, name)(x, **options)
        elif name == "eigh":
            w, v = torch.linalg.eigh(x, **options)
        else:  # in another order than LAPACK's that NumPy has, and complex
            w, v = (y.real for y in torch.linalg.eig(x))
        if name == "eig":
            order = np.argsort(getattr(w.detach().numpy(), "array", w.detach().numpy())).tolist()
            w, v = w[order], v[:, order]
        return joined([w, *turned(v)])

    return parts


SQUARE = ones_of((1, 1), (2, 2), (3, 3), (2, 3, 3), (2, 1, 2, 2), (0, 0), (0, 2, 2))
TALL, BROAD = ones_of((3, 2), (4, 1), (2, 4, 3), (3, 0)), ones_of((2, 3), (1, 4), (2, 3, 4), (0, 3))
SOLVE = [
    ((3, 3), (3,)), ((3, 3), (3, 2)), ((1, 1), (1,)), ((2, 3, 3), (3,)), ((2, 3, 3), (3, 2)),
    ((2, 3, 3), (2, 3, 1)), ((3, 3), (2, 3, 2)), ((2, 1, 3, 3), (4, 3, 2)), ((0, 3, 3), (3, 2)),
    ((0, 0), (0,)), ((3, 3), (3, 0)), ((1, 2, 2), (3, 2, 2)),
]  # fmt: skip


def torch_solve(a, b):
    return torch.linalg.solve(a, b[:, None])[..., 0] if b.ndim == 1 else torch.linalg.solve(a, b)


def torch_norm(ord, axis, keepdims):
    def f(x):
        if axis is None and ord is None:
            return torch.linalg.vector_norm(x, keepdim=keepdims)
        axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        if len(axes) == 1 or ord is None:
            return torch.linalg.vector_norm(x, 2 if ord is None else ord, tuple(axes), keepdims)
        return torch.linalg.matrix_norm(x, ord, tuple(axes), keepdims)

    return f


def torch_cond(x, p):
    """torch.linalg.cond has no second derivative for the other norms."""
    if p in (None, 2, -2):
        return torch.linalg.cond(x, p)
    return torch.linalg.matrix_norm(x, p) * torch.linalg.matrix_norm(torch.linalg.inv(x), p)


def add_norms():
    add_reduction("norm", lambda x, a, k: micrograd.norm(x, None, a, k),
                  lambda x, d, k: torch.linalg.vector_norm(x, 2, d, k), off_zero, 1)  # fmt: skip
    vectors = [1, 2, np.inf, -np.inf, 0, 3, 2.5, 0.5, -1, -2]
    matrices = ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]
    for orders, axis, shapes, domain in (
        (vectors, None, [(3,), (1,)], off_zero),
        (vectors, 0, [(3,), (2, 3), (2, 3, 2, 2)], off_zero),
        (vectors, -1, [(3,), (2, 3)], off_zero),
        (matrices, None, [(3, 3), (2, 4), (1, 1)], regular),
        (matrices, (0, 1), [(3, 3), (3, 2)], regular),
        (matrices, (-1, 0), [(2, 3), (2, 2, 4)], off_zero),
    ):
        for order, keepdims in itertools.product(orders, (False, True)):
            row(f"norm({order}, axis={axis}, keepdims={keepdims}) {domain.__name__}",
                lambda x, o=order, a=axis, k=keepdims: np.linalg.norm(x, o, a, k),
                torch_norm(order, axis, keepdims), ones_of(*shapes), domain)  # fmt: skip
    for order in (3, 4, 1):
        row(f"norm({order}) with a zero", lambda x, o=order: np.linalg.norm(x, o, -1),
            lambda x, o=order: torch.linalg.vector_norm(x, o, -1),
            ones_of((3,), (2, 4)), one_zero)  # fmt: skip
    for axis in (None, 1, (0, 2)):
        row(f"vector_norm(axis={axis})", lambda x, a=axis: np.linalg.vector_norm(x, axis=a, ord=3),
            lambda x, a=axis: torch.linalg.vector_norm(x, 3, a), ones_of((2, 3, 2)))  # fmt: skip
    row("matrix_norm", lambda x: np.linalg.matrix_norm(x, ord="nuc", keepdims=True),
        lambda x: torch.linalg.matrix_norm(x, "nuc", keepdim=True), ones_of((2, 3, 2)), regular
        )  # fmt: skip
    for p in (None, 2, -2, "fro", "nuc", 1, -1, np.inf, -np.inf):
        row(f"cond({p})", lambda x, p=p: np.linalg.cond(x, p),
            lambda x, p=p: torch_cond(x, p),
            ones_of((3, 3), (2, 3, 3), *([(3, 2)] if p in (None, 2, -2) else [])), regular
            )  # fmt: skip


def add_linalg():
    la = torch.linalg
    row("solve", np.linalg.solve, torch_solve, SOLVE, (regular, normal))
    row("solve(array, x)", lambda x: np.linalg.solve(constants(3, 3), x),
        lambda x: torch_solve(wide(constants(3, 3)), x), ones_of((3,), (3, 2), (2, 3, 1))
        )  # fmt: skip
    for name in ("inv", "det", "eigvalsh", "svdvals", "cholesky", "pinv"):
        domain = positive_definite if name in ("eigvalsh", "cholesky") else regular
        row(f"linalg.{name}", getattr(np.linalg, name), getattr(la, name), SQUARE, domain)
    row("slogdet", lambda x: np.linalg.slogdet(-x).logabsdet, lambda x: la.slogdet(-x)[1],
        SQUARE, regular)  # fmt: skip
    row("eigvals", lambda x: np.linalg.eigvals(x).sum(-1) + (np.linalg.eigvals(x) ** 3).sum(-1),
        lambda x: (la.eigvals(x) + la.eigvals(x) ** 3).real.sum(-1), SQUARE[:-2], regular
        )  # fmt: skip
    for upper in (False, True):
        # What is not symmetric: one triangle is not read, and yet has its half of the gradient
        row(f"cholesky(upper={upper}), not symmetric",
            lambda x, u=upper: np.linalg.cholesky(x, upper=u),
            lambda x, u=upper: la.cholesky(x, upper=u), ones_of((3, 3), (2, 2, 2)), regular
            )  # fmt: skip
    for uplo in "LUl":
        row(f"eigh({uplo})", eig_parts("eigh", UPLO=uplo), eig_parts("eigh", UPLO=uplo.upper()),
            SQUARE, regular)  # fmt: skip
        row(f"eigvalsh({uplo})", lambda x, u=uplo: np.linalg.eigvalsh(x, u),
            lambda x, u=uplo: la.eigvalsh(x, UPLO=u.upper()), SQUARE, regular)  # fmt: skip
    row("eig", eig_parts("eig"), cases=ones_of((1, 1), (2, 2), (3, 3), (4, 4)), domain=regular)
    row("svd", svd_parts, cases=[*SQUARE, *TALL, *BROAD], domain=regular)
    row("U of svd(full_matrices=True)", lambda x: turned(np.linalg.svd(x).U)[0],
        lambda x: turned(la.svd(x, full_matrices=False).U)[0],
        ones_of((3, 3), (2, 3), (2, 2, 4)), regular)  # fmt: skip
    row("svd(compute_uv=False)", lambda x: np.linalg.svd(x, compute_uv=False), la.svdvals,
        [*SQUARE, *TALL, *BROAD], regular)  # fmt: skip
    row("svd(hermitian=True)", lambda x: svd_parts(x, hermitian=True),
        lambda x: svd_parts((x + x.mT) / 2),
        ones_of((3, 3), (2, 3, 3)), positive_definite)  # fmt: skip
    row("svdvals", np.linalg.svdvals, la.svdvals, [*TALL, *BROAD], regular)
    row("qr", qr_parts, cases=[*SQUARE, *TALL, *BROAD], domain=regular)
    row("qr(mode='r')", lambda x: turned(np.linalg.qr(x, "r").mT[..., :2, :])[0],
        lambda x: turned(la.qr(x).R.mT[..., :2, :])[0], ones_of((3, 2), (2, 2), (2, 3, 2)), regular
        )  # fmt: skip
    row("qr(mode='complete')", lambda x: qr_parts(x, mode="complete"),
        lambda x: qr_parts(x, mode="reduced"), ones_of((3, 3), (2, 3), (2, 2, 3)), regular
        )  # fmt: skip
    row("R of qr(mode='complete')", lambda x: np.linalg.qr(x, "complete").R ** 2,
        lambda x: functional.pad(la.qr(x).R, (0, 0, 0, x.shape[-2] - x.shape[-1])) ** 2,
        ones_of((3, 2), (2, 4, 2)), regular)  # fmt: skip
    row("pinv of oblong ones", np.linalg.pinv, la.pinv, [*TALL[:-1], *BROAD[:-1]], regular)
    row("pinv of low rank", lambda x: np.linalg.pinv(x, 1e-3), lambda x: la.pinv(x, rtol=1e-3),
        ones_of((3, 3), (2, 3, 2), (2, 4)), low_rank)  # fmt: skip
    row("pinv(rtol=)", lambda x: np.linalg.pinv(x, rtol=1e-3), lambda x: la.pinv(x, rtol=1e-3),
        ones_of((3, 3), (2, 4)), low_rank)  # fmt: skip
    row("pinv(hermitian=True)", lambda x: np.linalg.pinv(x, hermitian=True),
        lambda x: la.pinv((x + x.mT) / 2), ones_of((3, 3), (2, 2, 2)), positive_definite
        )  # fmt: skip
    row("lstsq", lambda a, b: np.linalg.lstsq(a, b)[0],
        lambda a, b: la.pinv(a) @ b, [((4, 2), (4,)), ((4, 2), (4, 3)), ((3, 3), (3,)),
        ((2, 3), (2, 2)), ((1, 1), (1, 1))], (regular, normal))  # fmt: skip
    row("lstsq of low rank", lambda a, b: np.linalg.lstsq(a, b, 1e-3)[0],
        lambda a, b: la.pinv(a, rtol=1e-3) @ b, [((4, 3), (4,)), ((2, 3), (2, 2))],
        (low_rank, normal))  # fmt: skip
    row("lstsq, residuals", lambda a, b: np.linalg.lstsq(a, b)[1],
        lambda a, b: ((a @ (la.pinv(a) @ b) - b) ** 2).sum(0).reshape(-1),
        [((4, 2), (4,)), ((4, 2), (4, 3))], (regular, normal))  # fmt: skip
    row("lstsq, singular values", lambda a, b: np.linalg.lstsq(a, b)[3] * b[0],
        lambda a, b: la.svdvals(a) * b[0], [((4, 2), (4,))], (regular, normal))  # fmt: skip
    for n in (-3, -1, 0, 2, 5):
        row(f"matrix_power({n})", lambda x, n=n: np.linalg.matrix_power(x, n),
            lambda x, n=n: la.matrix_power(x, n) if n else x * 0 + torch.eye(x.shape[-1]),
            ones_of((1, 1), (3, 3), (2, 2, 2)), regular)  # fmt: skip
    row("multi_dot", lambda *xs: np.linalg.multi_dot(xs), lambda *xs: la.multi_dot(xs),
        [((2, 3), (3, 4)), ((2, 3), (3, 4), (4, 1)), ((2,), (2, 5), (5, 3), (3,)),
         ((3, 2), (2, 2), (2, 5), (5, 3), (3,)), ((2,), (2,))])  # fmt: skip
    row("tensorsolve", np.linalg.tensorsolve, la.tensorsolve,
        [((6, 2, 3), (6,)), ((2, 3, 6), (2, 3))],
        (lambda rng, s: regular(rng, (6, 6)).reshape(s), normal))  # fmt: skip
    row("tensorsolve(axes=)", lambda a, b: np.linalg.tensorsolve(a, b, (0,)),
        lambda a, b: la.tensorsolve(a, b, (0,)), [((6, 2, 3), (2, 3))],
        (lambda rng, s: regular(rng, (6, 6)).reshape(s), normal))  # fmt: skip
    row("tensorinv", lambda x: np.linalg.tensorinv(x, 1), lambda x: la.tensorinv(x, 1),
        ones_of((6, 2, 3)), lambda rng, s: regular(rng, (6, 6)).reshape(s))  # fmt: skip
    row("mT", lambda x: x.mT, cases=ones_of((2, 3), (2, 3, 4), (0, 2)))
    row("np.matrix_transpose", np.matrix_transpose, lambda x: x.mT, ones_of((2, 3)))
    row("matrix_transpose", np.linalg.matrix_transpose, lambda x: x.mT, ones_of((2, 3), (2, 3, 4)))
    # The gradients of det, as operations of their own: third derivatives
    row("gradient of det", lambda x, g: grad(np.linalg.det(x), x, g, create_graph=True),
        lambda x, g: torch_grad(la.det(x), x, g)[0],
        [((3, 3), ()), ((2, 2, 2), (2,)), ((4, 4), ())], (regular, normal))  # fmt: skip
    row("second gradient of det",
        lambda x, g: grad((grad(np.linalg.det(x), x, create_graph=True) ** 2).sum(), x, g.sum(),
                          create_graph=True),
        lambda x, g: torch_grad((torch_grad(la.det(x), x)[0] ** 2).sum(), x, g.sum())[0],
        [((3, 3), (1,)), ((4, 4), (1,))], (regular, normal))  # fmt: skip


# Elements moved about, and products. NumPy's own function, run on the places of the elements, is
# the reference of the first, for PyTorch has few of them.


def moved(f):
    """f for PyTorch, where f only moves elements about: it takes those that NumPy's f takes."""

    def theirs(*xs):
        starts = np.cumsum([0] + [x.numel() for x in xs])
        places = [k + np.arange(x.numel()).reshape(tuple(x.shape)) for k, x in zip(starts, xs)]
        taken = torch.tensor(np.array(f(*places)), dtype=torch.long)
        return torch.cat([x.reshape(-1) for x in xs])[taken]

    return theirs


def moving(name, f, *cases):
    """A row for such a function, of one tensor or of several."""
    several = any(isinstance(n, tuple) for case in cases for n in case)
    row(name, f, moved(f), cases if several else ones_of(*cases))


def add_moved():
    unstack = getattr(np, "unstack", OPERATIONS["unstack"])  # since NumPy 2.1
    matrices, any_shape = [(2, 3), (3, 1), (2, 3, 4), (0, 3)], [(), (3,), (2, 3), (2, 1, 3), (0, 2)]
    two = [((2, 3), (2, 3)), ((1, 3), (2, 3)), ((3,), (3,)), ((0, 3), (2, 3))]
    for name in ("vstack", "hstack", "dstack", "column_stack", "append"):
        f = getattr(np, name)
        join = (lambda *xs, f=f: f(xs)) if name != "append" else f
        same = two[:1] + two[2:3] + ([((), ())] if name != "column_stack" else [])
        cases = [*two, *same] if name in ("vstack", "append") else same
        moving(name, join, *cases)
        if name in ("vstack", "hstack"):
            row(f"{name}(dtype=)", lambda *xs, f=f: f(xs, dtype=np.float32) * 2,
                lambda *xs, n=name: getattr(torch, n)(xs).float() * 2, same[:1])  # fmt: skip
        if name != "append":
            moving(f"{name} of three", join, ((2, 1),) * 3, ((2,),) * 3, ((2, 2, 2),) * 3)
            moving(f"{name} beside an array", lambda x, f=f: f([x, x, x[:0] if x.ndim > 1 else x]),
                   (3,))  # fmt: skip
    for axis in (0, 1, -1):
        moving(f"append(axis={axis})", lambda *xs, a=axis: np.append(*xs, axis=a),
               ((2, 3), (2, 3)), ((2, 3, 2), (2, 3, 2)))  # fmt: skip
    moving("block", lambda a, b, c: np.block([[a, b], [c]]), ((2, 1), (2, 2), (1, 3)))
    moving("block of a list", lambda a, b: np.block([a, b]), ((2,), (3,)), ((2, 2), (2, 1)))
    for obj in (1, -1, [0, 2], slice(0, 2), [1, 1]):
        moving(f"insert({obj})", lambda a, v, o=obj: np.insert(a, o, v), ((4,), (1,)), ((2, 2), ()))
        moving(f"delete({obj})", lambda a, o=obj: np.delete(a, o), (4,), (2, 3))
        for axis in (0, -1):
            moving(f"insert({obj}, axis={axis})",
                   lambda a, v, o=obj, x=axis: np.insert(a, o, v, axis=x),
                   ((3, 3), (1,)), ((3, 3), ()))  # fmt: skip
            moving(f"delete({obj}, axis={axis})", lambda a, o=obj, x=axis: np.delete(a, o, axis=x),
                   (3, 3), (4, 2, 3))  # fmt: skip
    for sections in (1, 2, [1], [1, 3], [], [2, 1], [-1], [0, 9]):
        for k in (0, -1):
            for axis in (0, 1, -1):
                moving(f"split({sections}, {axis})[{k}]",
                       lambda x, s=sections, a=axis, k=k: np.split(x, s, a)[k], (4, 2), (2, 4, 2)
                       )  # fmt: skip
            moving(f"hsplit({sections})[{k}]", lambda x, s=sections, k=k: np.hsplit(x, s)[k],
                   (4,), (3, 4))  # fmt: skip
            moving(f"vsplit({sections})[{k}]", lambda x, s=sections, k=k: np.vsplit(x, s)[k],
                   (4, 2))  # fmt: skip
            moving(f"dsplit({sections})[{k}]", lambda x, s=sections, k=k: np.dsplit(x, s)[k],
                   (1, 2, 4))  # fmt: skip
    for k in (0, 1, 2):
        moving(f"array_split(3)[{k}]", lambda x, k=k: np.array_split(x, 3)[k], (4,), (5, 2), (2, 1))
    moving("split into many", lambda x: np.concatenate(np.split(x, 50)[20:40:17]), (100,), (50, 2))
    for axis in (0, 1, -1):
        row(f"unstack(axis={axis})", lambda x, a=axis: unstack(x, axis=a)[1],
            lambda x, a=axis: torch.unbind(x, a)[1], ones_of((2, 3), (2, 2, 2)))  # fmt: skip
    for trim in ("fb", "f", "b"):
        row(f"trim_zeros({trim})", lambda x, t=trim: np.trim_zeros(x, t),
            lambda x, t=trim: x[:-1] if "b" in t else x * 1, ones_of((3,), (2,)), one_zero
            )  # fmt: skip
    for repeats in (2, 0, [3], [1, 0, 2], np.array([2, 2, 1])):
        for axis in (0, 1, -1, None):
            shapes = ((2, 3), (2, 3, 1)) if np.size(repeats) == 1 else ()
            shapes += {0: ((3,), (3, 2)), 1: ((2, 3),), -1: ((3,),), None: ((3,), (1, 3))}[axis]
            moving(f"repeat({repeats}, axis={axis})",
                   lambda x, r=repeats, a=axis: np.repeat(x, r, axis=a), *shapes)  # fmt: skip
    moving("repeat as a method", lambda x: x.repeat(2, -1), (2, 3), (3,))
    for reps in (2, (2,), (2, 1), (1, 3, 2), (0, 2), ()):
        moving(f"tile({reps})", lambda x, r=reps: np.tile(x, r), *any_shape)
    for shape in ((2, 2), 7, (1, 2, 1), (0,)):
        moving(f"resize({shape})", lambda x, s=shape: np.resize(x, s), (3,), (2, 3))
    moving("broadcast_arrays", lambda a, b: np.stack(np.broadcast_arrays(a, b)),
           ((3, 1), (2,)), ((), (2, 2)), ((2, 1, 3), (4, 1)))  # fmt: skip
    for shift, axis in (
        (1, None),
        (-2, 0),
        (5, -1),
        ((1, 2), (0, 1)),
        ((1, 1), (0, 0)),
        (2, (0, 1)),
    ):
        moving(f"roll({shift}, axis={axis})", lambda x, s=shift, a=axis: np.roll(x, s, a),
               (2, 3), (4, 1), (2, 3, 2), (0, 2), *[(), (4,)][: 2 * (axis is None)])  # fmt: skip
    for source, destination in ((0, -1), (2, 0), ((0, 1), (-1, 0)), ([2, 0], [0, 1]), ((), ())):
        moving(
            f"moveaxis({source}, {destination})",
            lambda x, s=source, d=destination: np.moveaxis(x, s, d),
            (2, 3, 4),
            (2, 3, 1, 2),
        )
    for axis, start in ((2, 0), (0, 3), (-1, 1), (1, -1), (1, 1)):
        moving(f"rollaxis({axis}, {start})", lambda x, a=axis, s=start: np.rollaxis(x, a, s),
               (2, 3, 4), (2, 3, 1, 2))  # fmt: skip
    for name in ("flipud", "fliplr"):
        moving(name, getattr(np, name), *matrices)
    for k in range(-1, 5):
        for axes in ((0, 1), (1, 0), (-1, 0)):
            moving(f"rot90({k}, {axes})", lambda x, k=k, a=axes: np.rot90(x, k, a), *matrices)
    for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
        moving(name, getattr(np, name), *any_shape)
        several = getattr(np, name)
        moving(f"{name} of two", lambda a, b, f=several: f(a, b)[1], ((2,), ()), ((), (3,)))
    for order in "CF":
        moving(f"ravel({order})", lambda x, o=order: x.ravel(o), *any_shape)
        moving(f"flatten({order})", lambda x, o=order: x.flatten(order=o), *any_shape)
        moving(f"np.ravel({order})", lambda x, o=order: np.ravel(x, order=o), *any_shape)
        for shape in ((3, 2), -1, (2, -1), [6]):
            moving(f"reshape({shape}, {order})", lambda x, s=shape, o=order: x.reshape(s, order=o),
                   (6,), (2, 3), (3, 2, 1))  # fmt: skip
            moving(f"np.reshape({shape}, {order})",
                   lambda x, s=shape, o=order: np.reshape(x, s, order=o), (2, 3))  # fmt: skip
    for mode in ("edge", "reflect", "symmetric", "wrap"):
        for width in (1, (2, 1), ((0, 1), (2, 0))):
            moving(
                f"pad({width}, {mode})", lambda x, w=width, m=mode: np.pad(x, w, m), (3, 3), (2, 4)
            )

    for k in (-2, -1, 0, 1):
        row(f"diag({k}) of a vector", lambda x, k=k: np.diag(x, k), lambda x, k=k: torch.diag(x, k),
            ones_of((3,), (1,), (0,)))  # fmt: skip
        moving(
            f"diag({k}) of a matrix", lambda x, k=k: np.diag(x, k), (3, 3), (2, 4), (4, 2), (2, 3)
        )
        row(f"diagflat({k})", lambda x, k=k: np.diagflat(x, k), lambda x, k=k: torch.diagflat(x, k),
            ones_of((), (3,), (2, 2)))  # fmt: skip
        for axes in ((0, 1), (1, 0), (-1, -2), (-3, 2)):
            moving(f"diagonal({k}, {axes})", lambda x, k=k, a=axes: np.diagonal(x, k, *a),
                   (3, 4, 2), (2, 3, 4))  # fmt: skip
            row(f"trace({k}, {axes})", lambda x, k=k, a=axes: np.trace(x, k, *a),
                lambda x, k=k, a=axes: torch.diagonal(x, k, *a).sum(-1),
                ones_of((3, 4, 2), (2, 3, 4)))  # fmt: skip
        moving(f"linalg.diagonal({k})", lambda x, k=k: np.linalg.diagonal(x, offset=k), (2, 3, 4))
        row(f"linalg.trace({k})", lambda x, k=k: np.linalg.trace(x, offset=k),
            lambda x, k=k: torch.diagonal(x, k, -2, -1).sum(-1), ones_of((3, 3), (2, 3, 4))
            )  # fmt: skip
    moving("choose", lambda a, b: np.choose([[0, 1, 1], [1, 0, 0]], [a, b]), ((2, 3), (3,)))
    moving("choose(wrap)", lambda a, b: np.choose([2, 5, 0], [a, b], mode="wrap"), ((3,), (3,)))
    moving("compress", lambda x: np.compress([1, 0, 1], x, -1), (3,), (2, 3))
    moving("compress(axis=None)", lambda x: np.compress([0, 1, 1], x), (3,), (2, 3))
    moving("extract", lambda x: np.extract(np.eye(2, 3), x), (2, 3))
    row("piecewise", lambda x: np.piecewise(x, [x < 0, x > 0.5], [lambda v: v * v, np.exp, 7]),
        lambda x: torch.where(x < 0, x * x, torch.where(x > 0.5, x.exp(), 7.0)),
        ones_of((5,), (2, 3)))  # fmt: skip
    row("piecewise, the last wins",
        lambda x: np.piecewise(x, [x > -9, x > 0], [lambda v, n: v, lambda v, n: v * n], 2),
        lambda x: torch.where(x > 0, x * 2, x), ones_of((3,), (2, 3)))  # fmt: skip
    moving("diagonal as a method", lambda x: x.diagonal(1), (3, 3))
    row("trace as a method", lambda x: x.trace(), cases=ones_of((3, 3), (2, 4), (1, 1)))
    mask = np.array([[True, False, True], [False, False, True]])
    row("select", lambda a, b: np.select([mask, ~mask[0], mask], [a, b, a], 2.0),
        lambda a, b: torch.where(torch.tensor(mask), a,
                                 torch.where(torch.tensor(~mask[0]), b, 2.0)),
        [((2, 3), (2, 3)), ((3,), (2, 3)), ((2, 1), ())])  # fmt: skip
    row("select, default", lambda a, b: np.select([mask], [a], b),
        lambda a, b: torch.where(torch.tensor(mask), a, b), [((2, 3), (2, 3)), ((), (3,))]
        )  # fmt: skip


TENSORDOT = [
    (0, [((2,), (3,)), ((2, 3), (2,)), ((), (3,))]),
    (1, [((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((2, 2, 3), (3, 2))]),
    (2, [((2, 3), (2, 3)), ((4, 2, 3), (2, 3, 2)), ((0, 3), (0, 3))]),
    (([0], [1]), [((2, 3), (4, 2)), ((2,), (3, 2))]),
    ((1, 0), [((2, 3), (3, 4)), ((2, 3, 2), (3, 2, 2))]),
    ((-1, -1), [((2, 3), (4, 3)), ((3,), (2, 2, 3))]),
    (([1, 0], [0, 1]), [((2, 3), (3, 2)), ((2, 3, 4), (3, 2, 4))]),
    (((0, 2), (2, 0)), [((2, 3, 4), (4, 5, 2))]),
    (([], []), [((2,), (3,))]),
]


def torch_tensordot(axes):
    if isinstance(axes, int):
        return lambda a, b: torch.tensordot(a, b, axes)
    dims = [[i] if isinstance(i, int) else list(i) for i in axes]
    return lambda a, b: torch.tensordot(a, b, dims)


def add_products():
    for axes, cases in TENSORDOT:
        row(f"tensordot({axes})", lambda a, b, x=axes: np.tensordot(a, b, x), torch_tensordot(axes),
            cases)  # fmt: skip
        row(f"linalg.tensordot({axes})", lambda a, b, x=axes: np.linalg.tensordot(a, b, axes=x),
            torch_tensordot(axes), cases[:1])  # fmt: skip
    row("inner", np.inner, cases=[((), ()), ((), (2, 3)), ((3,), (3,)), ((2, 3), (4, 3)),
        ((2, 2, 3), (3,)), ((3,), (2, 3)), ((0,), (0,)), ((2, 0), (3, 0))],
        theirs=lambda a, b: torch.inner(a, b))  # fmt: skip
    row("vdot", np.vdot, lambda a, b: a.reshape(-1) @ b.reshape(-1),
        [((3,), (3,)), ((2, 3), (3, 2)), ((), ()), ((0,), (0,))])  # fmt: skip
    vectors = [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (2, 3)), ((2, 1, 3), (4, 3)), ((0, 3), (3,))]
    row("vecdot", lambda a, b: np.vecdot(a, b), lambda a, b: (a * b).sum(-1), vectors)
    row("vecdot(axis=0)", lambda a, b: np.vecdot(a, b, axis=0), lambda a, b: (a * b).sum(0),
        [((3, 2), (3, 2)), ((3, 1), (3, 2)), ((3,), (3,))])  # fmt: skip
    row("linalg.vecdot(axis=0)", lambda a, b: np.linalg.vecdot(a, b, axis=0),
        lambda a, b: (a * b).sum(0), [((3, 2), (3, 2))])  # fmt: skip
    row("matvec", OPERATIONS["matvec"], lambda a, b: (a @ b[..., None])[..., 0],
        [((2, 3), (3,)), ((4, 2, 3), (3,)), ((2, 3), (4, 3)), ((0, 3), (3,))])  # fmt: skip
    row("vecmat", OPERATIONS["vecmat"], lambda a, b: (a[..., None, :] @ b)[..., 0, :],
        [((2,), (2, 3)), ((4, 2), (2, 3)), ((2,), (4, 2, 3)), ((2,), (2, 0))])  # fmt: skip
    row("kron", np.kron, torch.kron, [((2,), (3,)), ((2, 3), (3, 2)), ((), (2, 3)), ((2, 2), ()),
        ((2,), (2, 3)), ((2, 3), (2,)), ((2, 1, 2), (1, 2)), ((0, 2), (2, 2)), ((1, 1), (1, 1))]
        )  # fmt: skip
    row("cross", np.cross, lambda a, b: torch.linalg.cross(*torch.broadcast_tensors(a, b)),
        [((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (3,)), ((3,), (2, 2, 3)), ((0, 3), (3,))]
        )  # fmt: skip
    row(
        "cross in the plane",
        OPERATIONS["cross"],  # NumPy is about to drop it
        lambda a, b: a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        [((2,), (2,)), ((3, 2), (2,))],
    )
    row(
        "cross out of the plane",
        OPERATIONS["cross"],
        lambda a, b: torch.linalg.cross(functional.pad(a, (0, 1)), b),
        [((4, 2), (4, 3))],
    )
    row("cross(axis=0)", lambda a, b: np.cross(a, b, axis=0),
        lambda a, b: torch.linalg.cross(a, b, dim=0), [((3, 2), (3, 2)), ((3,), (3,))])  # fmt: skip
    row("cross(axisa=, axisb=, axisc=)", lambda a, b: np.cross(a, b, axisa=0, axisb=1, axisc=0),
        lambda a, b: torch.linalg.cross(a.mT, b).mT, [((3, 2), (2, 3))])  # fmt: skip
    row("linalg.cross", lambda a, b: np.linalg.cross(a, b, axis=0),
        lambda a, b: torch.linalg.cross(a, b, dim=0), [((3, 2), (3, 2))])  # fmt: skip
    row("linalg.outer", np.linalg.outer, torch.outer, [((2,), (3,))])
    row("linalg.matmul", np.linalg.matmul, torch.matmul, [((2, 3), (3, 2))])
    row("t.dot", lambda a, b: a.dot(b), torch_dot, [((2, 3), (3, 2)), ((3,), (3,)), ((2, 3), ())])
    for name, f, g in (
        ("[0, 1], [1, 2], [0, 2]", lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [0, 2]),
         "ij,jk->ik"),
        ("[0, 1], [1, 2]", lambda a, b: np.einsum(a, [0, 1], b, [1, 2]), "ij,jk"),
        ("[30, 1], [1, 2]", lambda a, b: np.einsum(a, [30, 1], b, [1, 2]), "ki,ij->jk"),
        ("[..., 0], [..., 0], [...]", lambda a, b: np.einsum(a, [..., 0], b.T, [..., 0], [...]),
         "...i,i...->..."),
    ):  # fmt: skip
        row(f"einsum({name})", f, lambda a, b, g=g: torch.einsum(g, a, b), [((2, 3), (3, 2))])


# Polynomials


def torch_polyval(p, x):
    return sum(c * x ** (len(p) - 1 - i) for i, c in enumerate(p)) + 0 * x


def torch_polydiv(u, v):
    """Of a cubic by a line."""
    a = u[0] / v[0]
    b = (u[1] - a * v[1]) / v[0]
    c = (u[2] - b * v[1]) / v[0]
    return torch.stack([a, b, c, u[3] - c * v[1]])


def torch_polyfit(x, y, w):
    a, b = torch_vander(x, 3) * w[:, None], y * w.reshape(-1, *[1] * (y.ndim - 1))
    return torch.linalg.inv(a.T @ a) @ a.T @ b


def torch_vander(x, n):
    """PyTorch's own has no second gradient."""
    return x[:, None] ** torch.arange(n - 1, -1, -1)


def add_polynomials():
    row("polyval", np.polyval, torch_polyval, [((3,), (4,)), ((1,), (2, 2)), ((4,), ())])
    row("polyadd", np.polyadd, lambda p, q: functional.pad(p, (max(0, len(q) - len(p)), 0))
        + functional.pad(q, (max(0, len(p) - len(q)), 0)),
        [((3,), (3,)), ((2,), (4,)), ((3,), (1,))])  # fmt: skip
    row("polysub", np.polysub, lambda p, q: functional.pad(p, (1, 0)) - q, [((2,), (3,))])
    row("polymul", np.polymul, torch_convolve, [((3,), (2,)), ((1,), (4,))])
    row("polydiv", lambda u, v: np.concatenate(np.polydiv(u, v)), torch_polydiv,
        [((4,), (2,))], off_zero)  # fmt: skip
    row("polyder", np.polyder, lambda p: p[:-1] * torch.arange(len(p) - 1, 0, -1),
        ones_of((4,), (1,)))  # fmt: skip
    row("polyder(2)", lambda p: np.polyder(p, 2), lambda p: p[:2] * torch.tensor([6, 2]),
        ones_of((4,)))  # fmt: skip
    row("polyint", np.polyint, lambda p: functional.pad(p / torch.arange(len(p), 0, -1), (0, 1)),
        ones_of((3,), (1,)))  # fmt: skip
    row("polyint(2, k)", lambda p, k: np.polyint(p, 2, k), lambda p, k: torch.cat(
        [p / torch.tensor([6, 2]), k]), [((2,), (2,))])  # fmt: skip
    row("polyfit", lambda x, y, w: np.polyfit(x, y, 2, w=w), torch_polyfit,
        [((5,), (5,), (5,)), ((4,), (4, 2), (4,))], (ascending, normal, positive))  # fmt: skip
    row("poly", np.poly, lambda z: torch.stack([z[0] ** 0, -z.sum(), z[0] * z[1] + z[0] * z[2]
        + z[1] * z[2], -z.prod()]), ones_of((3,)))  # fmt: skip
    row("poly of a matrix", lambda a: np.poly(a @ a.T), lambda a: torch.stack(
        [a[0, 0] ** 0, -(a @ a.T).trace(), torch.linalg.det(a @ a.T)]), ones_of((2, 2))
        )  # fmt: skip
    row("vander", np.vander, lambda x: torch_vander(x, len(x)), ones_of((3,), (1,), (0,)))
    row("vander(increasing)", lambda x: np.vander(x, 4, True),
        lambda x: torch_vander(x, 4).flip(1), ones_of((3,)))  # fmt: skip


add_arithmetic()
add_elementwise()
add_reductions()
add_options()
add_order()
add_shapes()
add_indices()
add_several()
add_norms()
add_linalg()
add_moved()
add_products()
add_polynomials()

by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
