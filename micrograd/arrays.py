"""Formulas longer than a line: NumPy where it overflows, lacks a function, or is slow.

No graph here. All that the formulas ask of x is that it speaks NumPy's protocols: they take arrays,
and Tensors too wherever a derivative made of them is to be differentiated again. What is here for
speed says how much it gains.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np

try:
    from micrograd import __version__  # noqa: F401 (this package's __init__.py has one)
except ImportError:
    raise ImportError(
        "another package, PyPI's micrograd, has replaced or taken away files of micrograd-tensor, "
        "for both are imported as micrograd. To mend it: pip uninstall micrograd, then "
        "pip install --force-reinstall --no-deps with micrograd-tensor's folder or wheel"
    ) from None

Axis = int | tuple[int, ...] | None

ERRORS = (  # of a wrong operand
    np.linalg.LinAlgError, np.exceptions.AxisError, IndexError, ValueError, TypeError
)  # fmt: skip
KINDS = {np.ndarray, np.memmap}  # what operations compute with; other arrays have their own rules


def describe(x: object) -> str:
    """What x is, for an error message."""
    if is_array(x):
        kind = "an array" if type(x) in KINDS else f"a {type(x).__name__}"
        return f"{kind} of dtype {x.dtype} and shape {x.shape}"
    return f"{x!r:.60} of type {type(x).__name__}"


def checksum(x: object) -> int:
    """A number that changes with an array's numbers; 0 for what isn't an array of numbers."""
    import zlib  # which NumPy does without, and so does `import micrograd`

    if not isinstance(x, (np.ndarray, np.generic)) or x.dtype.hasobject:
        return 0
    return zlib.crc32(np.ascontiguousarray(x).reshape(-1).view(np.uint8))


def own_kind(x: object) -> bool:
    """Whether x is an array that is computed with, but none of NumPy's."""
    return type(x) in KINDS and not isinstance(x, np.ndarray)


def array_of(what: str, x: object, kinds: str = "", expected: str = "real numbers") -> np.ndarray:
    """x as an array, whose dtype is of these kinds if any are given."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{what}: a masked array would lose its mask; take its data, or filled()")
    try:
        array = x if own_kind(x) else np.asarray(x)
    except ValueError as error:
        raise TypeError(f"{what}: expected a rectangular array of numbers: {error}") from None
    if kinds and array.dtype.kind not in kinds:
        raise TypeError(f"{what}: expected {expected}, got {describe(x)}")
    return array


def explained(op: str, values: Sequence, error: Exception) -> Exception:
    """An error of NumPy's that says which operation it was, and of which shapes."""
    kind = next(k for k in ERRORS if isinstance(error, k))
    return kind(f"{op} of shape {' and '.join(str(np.shape(x)) for x in values)}: {error}")


def floats(data: object) -> np.ndarray:
    """A copy of data as an array of floats; integers and bools become float64."""
    array = array_of("Tensor", data)
    array = array.copy() if own_kind(array) else np.array(array)
    large = array.dtype == object and all(isinstance(x, int) for x in array.flat)  # 2**70
    if array.dtype.kind in "iub" or large:
        return array.astype(np.float64)
    if array.dtype.kind != "f":
        raise TypeError(f"Tensor: expected real numbers, got {describe(data)}")
    return array


def integer(what: str, x: object, least: int = 1) -> int:
    """x as a Python int, once it is sure that it is one, and not below least."""
    if isinstance(x, bool) or not isinstance(x, (int, np.integer)):
        raise TypeError(f"{what}: expected an integer of at least {least}, got {describe(x)}")
    if x < least:
        raise ValueError(f"{what}: expected an integer of at least {least}, got {x}")
    return int(x)


# Axes and shapes


def axes_of(op: str, axis: Axis, ndim: int) -> list[int]:
    """An axis argument as a list of non-negative ints."""
    axes = range(ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    if not all(isinstance(i, (int, np.integer)) for i in axes):
        raise TypeError(f"{op}: axis is an integer, a tuple of them or None, got {describe(axis)}")
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
    """The sum over the first n axes."""
    if g.ndim == n:
        return g.sum()
    if g.ndim == 2:
        return sum_rows(g)
    rest = g.shape[n:]
    return sum_rows(g.reshape(math.prod(g.shape[:n]), math.prod(rest))).reshape(rest)


def sum_rows(g):
    """The sum over axis 0, as a product: up to five times as fast as g.sum(axis=0).

    Of many rows first the sums of 256 at a time: a million float32 added up one by one would be
    off by 1e-3 to 1e-2, so they are by 1e-6.
    """
    n = len(g)
    if n <= 256:
        return np.ones(n, g.dtype, like=g) @ g
    whole = n - n % 256
    blocks = np.ones(256, g.dtype, like=g) @ g[:whole].reshape(n // 256, 256, g.shape[1])
    return sum_rows(blocks) + sum_rows(g[whole:])


def sum_keeping(g, axes: tuple[int, ...]):
    """The sum over axes, which stay with length 1; as exact as `sum_rows` where there are many."""
    first = [i for i in axes if set(range(i, g.ndim)) - set(axes)]  # NumPy adds the last in pairs
    if math.prod(g.shape[i] for i in first) < 1000:
        return g.sum(axis=axes, keepdims=True)
    g = g.sum(axis=tuple(set(axes) - set(first)), keepdims=True)
    kept = [i for i in range(g.ndim) if i not in first]
    shape = [1 if i in first else n for i, n in enumerate(g.shape)]
    return sum_leading(g.transpose(*first, *kept), len(first)).reshape(shape)


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


def is_array(x: object) -> bool:
    """Whether x is an array, NumPy's or of another kind."""
    return isinstance(x, np.ndarray) or own_kind(x)


def add_at(g, key, shape: Sequence[int]):
    """Zeros of this shape with g added at [key]."""
    out = zeros(shape, g)
    parts = key if isinstance(key, tuple) else (key,)
    parts = [np.asarray(k) if isinstance(k, list) else k for k in parts]
    numbers = [k for k in parts if is_array(k) and k.dtype != bool and k.size]
    if not numbers:
        out[key] = g  # takes no element twice
        return out
    # np.add.at is several times faster along one axis than along several
    n = len(parts)
    if all(isinstance(k, (int, np.integer)) for k in parts if not is_array(k)) and (
        len(numbers) == sum(map(is_array, parts))
    ):  # rows of the first n axes
        lengths, width = shape[:n], math.prod(shape[n:])
        rows = np.ravel_multi_index([k % m for k, m in zip(parts, lengths)], lengths)
        places = rows[..., None] * width + np.arange(width)
    else:
        like = None if isinstance(g, np.generic) else g
        places = np.arange(out.size, like=like).reshape(shape)[key]
    np.add.at(out.reshape(-1), places.reshape(-1), g.reshape(-1))
    return out


def add_along(g, indices, axis: int, shape: Sequence[int]):
    """Zeros of this shape, to which g is added at these places along axis."""
    out = zeros(shape, g)
    key = [*np.indices(shape, sparse=True)]
    key[axis] = indices
    np.add.at(out, tuple(key), g)
    return out


def copied(key):
    """An index whose arrays and lists may change without changing this one."""
    if isinstance(key, tuple):
        return tuple(map(copied, key))
    return copy.deepcopy(key) if isinstance(key, (np.ndarray, list)) else key


# Powers


def power(a, b):
    """a ** b; the cube by multiplication, for np.power takes 200 times as long.

    Between arrays np.power, for a ** b asks b whether it is an index, before NumPy 2.2; numbers
    keep the operator, which is faster.
    """
    if type(b) in (int, float) and b == 3:
        return a * a * a
    number = isinstance(a, np.generic) or isinstance(b, (int, float, np.generic))
    return a**b if number else np.power(a, b)


def power_slope(a, b):
    """b a^(b-1), the slope of a^b in a; 0 where b is 0, though 1 / a may be infinite."""
    if type(b) in (int, float):
        return b * (a if b == 2 else power(a, b - (b != 0)))
    infinite = np.abs(a) < np.finfo(a.dtype).tiny  # 1 / a, or all but
    a = np.where(infinite & (b == 0), 1, a)
    return b * a ** (b - a.dtype.type(1))


def log_of_base(y, a, b):
    """log(a), the slope of y = a^b in b over y; at a = 0 the slope is 0 for b >= 0, as 0^b is."""
    return np.log(np.where((a == 0) & (b >= 0), 1, a).astype(y.dtype))


# Products


def product_of_others(x, axis: Axis):
    """For each x the product of all others over axis: those before it times those after."""
    if not x.ndim:
        return np.ones_like(x)
    axes = axes_of("prod", axis, x.ndim)
    order = [i for i in range(x.ndim) if i not in axes] + axes
    moved = x.transpose(order)
    rows = moved.reshape(*moved.shape[: x.ndim - len(axes)], math.prod(x.shape[i] for i in axes))
    others = product_before(rows) * np.flip(product_before(np.flip(rows, -1)), -1)
    return others.reshape(moved.shape).transpose(np.argsort(order).tolist())


def product_before(x):
    """The running product along the last axis, without x itself."""
    return np.concatenate([np.ones_like(x[..., :1]), np.cumprod(x[..., :-1], axis=-1)], axis=-1)


def cumprod_slope(g, y, x, axis: int):
    """The gradient of x in y = cumprod(x), for zeros too.

    That of x_i is (x_0 ... x_(i-1)) r_i, with r_i = g_i + x_(i+1) r_(i+1), a recurrence which is
    solved for all i at once, 1, 2, 4, 8 ... steps at a time.
    """
    g, x = g.swapaxes(axis, -1), x.swapaxes(axis, -1)
    n, step, r = x.shape[-1], 1, g
    factor = shifted(x, 1)
    while step < n:
        r = r + factor * shifted(r, step)
        factor = factor * shifted(factor, step)
        step *= 2
    return (product_before(x) * r).swapaxes(axis, -1)


def shifted(x, n: int):
    """x[n:] along the last axis, and zeros."""
    return np.concatenate([x[..., n:], np.zeros_like(x[..., :n])], axis=-1)


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


def half_of_one_plus(t):
    """(1 + t) / 2, in the memory of t, a new array: it saves gelu two arrays of that size."""
    t += 1
    t *= 0.5
    return t


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
    if y.ndim and y.dtype is getattr(bias, "dtype", None):
        return np.add(y, bias, out=y)
    return y + bias
