"""Formulas longer than a line: NumPy where it overflows, lacks a function, or is slow.

No graph here. All that the formulas ask of x is that it speaks NumPy's protocols: they take arrays,
and Tensors too wherever a derivative made of them is to be differentiated again. What is here for
speed says how much it gains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Axis = int | tuple[int, ...] | None

KINDS = {np.ndarray, np.memmap}  # what operations compute with; other arrays have their own rules


def describe(x: object) -> str:
    """What x is, for an error message."""
    if isinstance(x, np.ndarray):
        kind = "an array" if type(x) is np.ndarray else f"a {type(x).__name__}"
        return f"{kind} of dtype {x.dtype} and shape {x.shape}"
    return f"{x!r:.60} of type {type(x).__name__}"


def floats(data: object) -> np.ndarray:
    """A copy of data as an array of floats; integers and bools become float64."""
    try:
        array = np.array(data)
    except ValueError as error:
        raise TypeError(f"Tensor: expected a rectangular array of numbers: {error}") from None
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    if array.dtype.kind != "f":
        raise TypeError(f"Tensor: expected real numbers, got {describe(data)}")
    return array


# Axes and shapes


def axes_of(op: str, axis: Axis, ndim: int) -> list[int]:
    """An axis argument as a list of non-negative ints."""
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if any(not -ndim <= i < ndim for i in axes):
        raise ValueError(f"{op}: axis {axis} is out of bounds for a tensor of {ndim} axes")
    return [i % ndim for i in axes]


def at(axis: int, key: int | slice, ndim: int) -> tuple:
    """The index that applies key to one axis and takes all of the others."""
    return (slice(None),) * (axis % ndim) + (key,)


def vector_axis(shape: tuple[int, ...]) -> int | tuple[()]:
    """The axis of softmax when none is given: the last, but the first of a column (n, 1)."""
    if len(shape) == 2 and shape[1] == 1:
        return 0
    return -1 if shape else ()


def rows(x):
    """All axes but the last as one: (..., n) as (m, n)."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def sum_leading(g, n: int):
    """The sum over the first n axes; of rows as a product, which is up to five times as fast."""
    if g.ndim - n == 1:
        g = rows(g)
        return np.ones(len(g), g.dtype, like=g) @ g
    return g.sum(axis=tuple(range(n)))


def spread(g, x, axis: Axis, keepdims: bool):
    """Repeat g, which belongs to a reduction of x over axis, to the shape of x."""
    if not x.ndim:
        return g
    if isinstance(g, np.generic):  # np.broadcast_to would take ten times as long
        return np.ndarray(x.shape, g.dtype, np.asarray(g), strides=(0,) * x.ndim)
    if axis is not None and not keepdims:
        g = np.expand_dims(g, axis)
    return np.broadcast_to(g, x.shape)


def share(g, y, x, axis: Axis, keepdims: bool):
    """The derivative of max and min: all elements equal to y share g evenly."""
    equal = x == spread(y, x, axis, keepdims)
    return spread(g, x, axis, keepdims) * (equal / equal.sum(axis=axis, keepdims=True))


def deviation(x, y, axis: Axis, ddof: float):
    """(x - mean) / (n - ddof), where y is a reduction of x over axis."""
    n = x.size / max(y.size, 1)
    return (x - x.mean(axis=axis, keepdims=True)) * (1 / (n - ddof) if n > ddof else np.nan)


def over(g, y):
    """g / y, but 0 where y is 0."""
    return g * (y != 0) / (y + (y == 0))


def zeros(shape: Sequence[int], g):
    """Zeros of the dtype of g, and of its kind of array."""
    return np.zeros(shape, g.dtype, like=None if isinstance(g, np.generic) else g)


def add_at(g, key, shape: Sequence[int]):
    """Zeros of this shape with g added at [key]."""
    out = zeros(shape, g)
    parts = key if isinstance(key, tuple) else (key,)
    if all(isinstance(k, (int, slice, type(None), type(...))) for k in parts):
        out[key] = g  # takes no element twice
    else:  # np.add.at is several times faster along one axis than along rows
        places = np.arange(out.size).reshape(shape)[key]
        np.add.at(out.reshape(-1), places.reshape(-1), g.reshape(-1))
    return out


def copied(key):
    """An index whose arrays and lists may change without changing this one."""
    if isinstance(key, tuple):
        return tuple(map(copied, key))
    return key.copy() if isinstance(key, (np.ndarray, list)) else key


# Powers


def power(a, b):
    """a ** b; the cube by multiplication, for np.power takes 200 times as long."""
    return a * a * a if type(b) in (int, float) and b == 3 else a**b


def power_slope(a, b):
    """b a^(b-1), the slope of a^b in a; 0 where both are 0, though 0^-1 is infinite."""
    if type(b) in (int, float):
        return b * (a if b == 2 else power(a, b - (b != 0)))
    a = np.where((a == 0) & (b == 0), 1, a)
    return b * a ** (b - a.dtype.type(1))


def log_of_base(y, a, b):
    """log(a), the slope of y = a^b in b over y; at a = 0 the slope is 0 for b >= 0, as 0^b is."""
    return np.log(np.where((a == 0) & (b >= 0), 1, a).astype(y.dtype))


# Exponentials without overflow


def sigmoid(x):
    """1 / (1 + e^-x) = e^x / (1 + e^x): neither exponent is ever positive."""
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def logsumexp(x, axis: Axis, keepdims: bool):
    """log(sum(exp(x))), with the largest x taken out of the sum."""
    top = x.max(axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)  # of nothing, or of -inf alone, it is log(0) = -inf
    with np.errstate(divide="ignore", over="ignore"):
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis)


def log_softmax(x, axis: Axis):
    """x - log(sum(exp(x))), with the largest x taken out."""
    if not x.size:
        return x
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def softmax(x, axis: Axis):
    """exp(x) / sum(exp(x)), with the largest x taken out."""
    if not x.size:
        return x
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x):
    """The error function, which NumPy lacks: element by element, by Python's `math`."""
    return _erf(x[None]).astype(x.dtype)[0]  # of a number, _erf would give a Python float


# Matrix products


def matmul(a, b):
    """a @ b; many matrices times one as a single product, which is faster."""
    if getattr(b, "ndim", 0) == 2 and getattr(a, "ndim", 0) > 2:  # not of a plain number
        return (rows(a) @ b).reshape(*a.shape[:-1], b.shape[-1])
    return np.matmul(a, b)


def matmul_left(g, y, a, b, *_):
    """The gradient of a in y = a @ b: g @ b^T, with the axes that a vector lacks put in."""
    if b.ndim == 1:
        return g[..., None] * b
    if a.ndim == 1:
        return (b @ g[..., None])[..., 0]
    return matmul(g, b.swapaxes(-1, -2))


def matmul_right(g, y, a, b, *_):
    """The gradient of b in y = a @ b: a^T @ g, summed over the batch if b has none."""
    if b.ndim == 1:
        return g.reshape(-1) @ rows(a)
    if a.ndim == 1:
        return a[:, None] * g[..., None, :]
    if b.ndim == 2:
        return rows(a).T @ rows(g)
    return a.swapaxes(-1, -2) @ g


def linear(x, weights, bias):
    """x @ weights + bias, the sum into the memory of the product."""
    y = matmul(x, weights)
    return np.add(y, bias, out=y if y.dtype == bias.dtype else None)
