"""Operations along an axis, where the order of the elements matters: differences, sorting, places
in the order, interpolation, sliding products; and what statistics make of them.

Most are made of operations that stand elsewhere, so that their derivatives are too. Their names and
arguments are NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from micrograd import arrays
from micrograd.arrays import Axis, at, axes_of, describe, spread
from micrograd.engine import Tensor, apply
from micrograd.operations import (
    broadcast_to,
    concatenate,
    correction_of,
    cumprod,
    cumsum,
    function,
    mask_of,
    max,
    mean,
    method,
    min,
    prod,
    stack,
    std,
    sum,
    var,
    where,
)  # fmt: skip
from micrograd.protocol import data_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from micrograd.protocol import Operand

__all__ = [
    "apply_along_axis", "apply_over_axes", "average", "convolve", "corrcoef", "correlate", "cov",
    "cumulative_prod", "cumulative_sum", "diff", "ediff1d", "full_like", "geomspace", "gradient",
    "interp", "linspace", "logspace", "median", "meshgrid", "nancumprod", "nancumsum", "nanmax",
    "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum",
    "nanvar", "partition", "percentile", "quantile", "sort", "take_along_axis", "trapezoid",
    "unwrap",
]  # fmt: skip


def tensor_of(x) -> Tensor:
    """x itself, or a constant Tensor of an array or of numbers."""
    return x if isinstance(x, Tensor) else Tensor(x, requires_grad=False)


def together(*xs) -> list[Tensor]:
    """All as Tensors, numbers, lists and integers in the dtype of the others."""
    dtypes = [x.dtype for x in xs if hasattr(x, "dtype") and x.dtype.kind == "f"]
    dtype = np.result_type(*dtypes) if dtypes else np.float64
    real = [getattr(x, "dtype", np.dtype(int)).kind == "f" for x in xs]
    return [tensor_of(x if r else np.array(x).astype(dtype)) for x, r in zip(xs, real)]


def operand_of(x):
    """A Tensor, an array or a number as it is; lists become arrays."""
    return np.array(x) if isinstance(x, (list, tuple)) else x


def weak(x, beside: Tensor):
    """Numbers, and lists of them, in the dtype of the tensor they are combined with."""
    return x if hasattr(x, "dtype") else np.array(x, beside.dtype)


def integers_of(op: str, x: ArrayLike | Tensor) -> np.ndarray:
    """Places, which are integers."""
    x = data_of(operand_of(x))
    if not isinstance(x, int) and getattr(x, "dtype", np.dtype(float)).kind not in "iu":
        if np.size(x):
            raise TypeError(f"{op}: places are integers, got {describe(x)}")
        x = np.zeros(np.shape(x), int)
    return np.array(x) if isinstance(x, (int, np.ndarray)) else x  # a copy, for it may change


# Taking elements


@method()
def copy(x) -> Tensor:
    """The same elements in memory of their own; the gradient goes on to x."""
    return apply("copy", lambda x: x.copy(), (x,), lambda g, y, x: g)


@method()
def take(x, indices: ArrayLike, axis: int | None = None, mode: str = "raise") -> Tensor:
    """The elements at these places along axis, of the flattened tensor if axis is None.

    Beyond the ends, mode "raise" is an error, "wrap" goes around and "clip" takes the last one.
    """
    x = tensor_of(x)
    if axis is None:
        x, axis = x.ravel(), 0
    indices = integers_of("take", indices)
    (axis,) = axes_of("take", axis, x.ndim)
    if mode == "wrap":
        indices = indices % x.shape[axis]
    elif mode == "clip":
        indices = np.clip(indices, 0, x.shape[axis] - 1)
    elif mode != "raise":
        raise ValueError(f'take: mode is "raise", "wrap" or "clip", got {mode!r}')
    return x[at(axis, indices, x.ndim)]


@function(arr="x")
def take_along_axis(x, indices: ArrayLike, axis: int | None = -1) -> Tensor:
    """x[i, indices[i, j]] in the place [i, j] for axis=1, as `np.take_along_axis`; see argsort."""
    x, indices = tensor_of(x), integers_of("take_along_axis", indices)
    if axis is None:
        x, axis = x.ravel(), 0
    axes_of("take_along_axis", axis, x.ndim)
    return apply(
        "take_along_axis",
        lambda x: np.take_along_axis(x, indices, axis),
        (x,),
        lambda g, y, x: add_along_axis(g, indices, axis, x.shape),
    )


def add_along_axis(g, indices: np.ndarray, axis: int, shape: Sequence[int]) -> Tensor:
    """Zeros of this shape, to which g is added at these places along axis."""
    return apply(
        "add_along_axis",
        lambda g: arrays.add_along(g, indices, axis, shape),
        (g,),
        lambda u, y, g: np.take_along_axis(u, indices, axis),
    )


# Sorting, and places in the order


@function(a="x")
def sort(
    x, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None
) -> Tensor:
    """The elements along axis in ascending order, of the flattened tensor if axis is None.

    A gradient goes to the element that stands there; equal ones stand in some order.
    """
    x = tensor_of(x)
    if axis is None:
        x, axis = x.ravel(), -1
    axes_of("sort", axis, x.ndim)
    return take_along_axis(x, np.argsort(x, axis, kind, stable=stable), axis)


@function()
def partition(
    x, kth: int | Sequence[int], axis: int | None = -1, kind: str = "introselect"
) -> Tensor:
    """The elements along axis so that the k-th is where it would be if they were sorted.

    Smaller ones stand before it and larger ones behind it.
    """
    x = tensor_of(x)
    if axis is None:
        x, axis = x.ravel(), -1
    axes_of("partition", axis, x.ndim)
    return take_along_axis(x, np.argpartition(x, kth, axis, kind), axis)


def sorted_along(op: str, x: Tensor, axis: Axis) -> tuple[Tensor, tuple[int, ...]]:
    """x sorted over axes that become the first one; and its shape with these axes of length 1.

    Every nan stands behind the numbers.
    """
    axes = axes_of(op, axis, x.ndim)
    others = [i for i in range(x.ndim) if i not in axes]
    n = math.prod(x.shape[i] for i in axes)
    if n == 0:
        raise ValueError(f"{op}: there is none of no elements, got shape {x.shape}")
    ordered = x.transpose([*axes, *others]) if x.ndim else x
    ordered = sort(ordered.reshape(n, *(x.shape[i] for i in others)), 0)
    return ordered, tuple(1 if i in axes else m for i, m in enumerate(x.shape))


def nan_for_all(ordered: Tensor) -> Tensor:
    """Nothing but nan along the first axis, where there is one."""
    return where(np.isnan(ordered[-1]), np.nan, ordered)


def ranks(ordered: Tensor) -> np.ndarray:
    """0, 1, 2 ... along the first axis, and nan where there is one."""
    x = ordered.data
    return np.where(np.isnan(x), np.nan, np.cumsum(np.ones_like(x, dtype=np.float64), 0) - 1)


def shares_of(op: str, q: ArrayLike) -> np.ndarray:
    """The q of a quantile as float64."""
    if isinstance(q, Tensor) and q.requires_grad:
        raise TypeError(f"{op}: q is a constant, and a gradient of it would be lost: q.detach()")
    return np.asarray(data_of(q), np.float64)


@function()
def median(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The middle one of the elements over axis in order, or the mean of the two in the middle."""
    ordered, kept = sorted_along("median", tensor_of(x), axis)
    ordered, n = nan_for_all(ordered), len(ordered)
    y = ordered[n // 2] if n % 2 else 0.5 * (ordered[n // 2 - 1] + ordered[n // 2])
    return y.reshape(kept) if keepdims else y


@function()
def quantile(
    x, q: ArrayLike, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """What a share q of the elements over axis lie below, for every q in [0, 1], a number or more.

    The axes of q come first in the result. `method` is one of those of `np.quantile`.
    """
    q, x = shares_of("quantile", q), tensor_of(x)
    ordered, kept = sorted_along("quantile", x, axis)
    ordered = nan_for_all(ordered)
    # NumPy tells the places between the elements, asked for the quantile of 0, 1, 2 ...
    places = np.quantile(np.arange(len(ordered), dtype=np.float64), q, method=method)
    before = np.floor(places).astype(int)
    after = np.ceil(places).astype(int)
    share = (places - before).astype(x.dtype).reshape(q.shape + (1,) * (ordered.ndim - 1))
    y = ordered[before]
    if share.any():  # else nothing lies between, not even where it would be inf - inf
        y = y + (ordered[after] - y) * share
    return y.reshape(q.shape + kept) if keepdims else y


@function()
def percentile(
    x, q: ArrayLike, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """`quantile` of q / 100."""
    return quantile(x, shares_of("percentile", q) / 100, axis, method, keepdims)


@function(a="x")
def nanmedian(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The median over axis of what is not nan, nan if nothing is."""
    ordered, kept = sorted_along("nanmedian", tensor_of(x), axis)
    places = np.nanmedian(ranks(ordered), axis=0, keepdims=True)
    before, after = (taken_at(ordered, f(places)) for f in (np.floor, np.ceil))
    y = where(np.isnan(places), np.nan, 0.5 * (before + after))
    return y.reshape(kept if keepdims else y.shape[1:])


@function(a="x")
def nanquantile(
    x, q: ArrayLike, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """The `quantile` over axis of what is not nan, nan if nothing is."""
    q, x = shares_of("nanquantile", q), tensor_of(x)
    ordered, kept = sorted_along("nanquantile", x, axis)
    places = np.nanquantile(ranks(ordered), q.reshape(-1), axis=0, method=method)
    before, after = (taken_at(ordered, f(places)) for f in (np.floor, np.ceil))
    share = (places - np.floor(places)).astype(x.dtype)
    y = where(share > 0, before + (after - before) * share, before)
    y = where(np.isnan(places), np.nan, y)
    return y.reshape(q.shape + (kept if keepdims else ordered.shape[1:]))


@function(a="x")
def nanpercentile(
    x, q: ArrayLike, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    """`nanquantile` of q / 100."""
    return nanquantile(x, shares_of("nanpercentile", q) / 100, axis, method, keepdims)


def taken_at(x: Tensor, places: np.ndarray) -> Tensor:
    """The elements at these whole numbers along the first axis, the first one for nan."""
    return take_along_axis(x, np.where(np.isnan(places), 0, places).astype(int), 0)


@method()
def ptp(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest value over axis minus the smallest; equal ones share the gradient evenly."""
    return max(x, axis, keepdims) - min(x, axis, keepdims)


# Running sums, differences and integrals


@function()
def cumulative_sum(
    x, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Tensor:
    """The running sum along axis, in `dtype`; with include_initial it begins with 0."""
    return running(cumsum, "cumulative_sum", 0, tensor_of(x), axis, dtype, include_initial)


@function()
def cumulative_prod(
    x, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Tensor:
    """The running product along axis, in `dtype`; with include_initial it begins with 1."""
    return running(cumprod, "cumulative_prod", 1, tensor_of(x), axis, dtype, include_initial)


def running(
    f, op: str, initial: int, x: Tensor, axis: int | None, dtype: DTypeLike | None, begins: bool
) -> Tensor:
    """What cumulative_sum and cumulative_prod have in common."""
    if x.ndim == 0 or (axis is None and x.ndim > 1):
        raise ValueError(f"{op}: an axis is needed, or a vector, got shape {x.shape}")
    (axis,) = axes_of(op, 0 if axis is None else axis, x.ndim)
    y = f(x, axis, dtype=dtype)
    if not begins:
        return y
    row = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    return concatenate([np.broadcast_to(y.dtype.type(initial), row), y], axis)


@function(p="x")
def unwrap(
    x, discont: float | None = None, axis: int = -1, *, period: Operand = 2 * math.pi
) -> Tensor:
    """Angles without jumps along axis: by whole periods nearer to the one before.

    Only jumps of more than `discont`, half a period if None, are mended.
    """
    x = tensor_of(x)
    axes_of("unwrap", axis, x.ndim)
    length = data_of(period)
    way = np.unwrap(x.data, data_of(discont), axis, period=length) - x.data
    return x + np.rint(way / length).astype(x.dtype) * period


@function(a="x")
def diff(
    x, n: int = 1, axis: int = -1, prepend: Operand | None = None, append: Operand | None = None
) -> Tensor:
    """The differences of neighbours along axis, n times over; prepend and append come first."""
    x = tensor_of(x)
    if n < 0:
        raise ValueError(f"diff: n is 0 or more, got {n}")
    if x.ndim == 0:
        raise ValueError("diff: expected one axis or more, got a number")
    axes_of("diff", axis, x.ndim)
    row = [*x.shape]
    row[axis] = 1
    if n > 0 and (prepend is not None or append is not None):
        ends = [
            end if end is None or np.ndim(end) else np.broadcast_to(weak(end, x), row)
            for end in (operand_of(prepend), operand_of(append))
        ]
        x = concatenate([part for part in (ends[0], x, ends[1]) if part is not None], axis)
    if n == 0:
        return x.copy()
    for _ in range(n):
        x = x[at(axis, slice(1, None), x.ndim)] - x[at(axis, slice(-1), x.ndim)]
    return x


@function(ary="x")
def ediff1d(x, to_end: Operand | None = None, to_begin: Operand | None = None) -> Tensor:
    """The differences of neighbours in the flattened tensor, between to_begin and to_end."""
    y = diff(tensor_of(x).ravel())
    parts = [end if end is None else np.ravel(weak(end, y)) for end in (to_begin, to_end)]
    parts.insert(1, y)
    return concatenate([part for part in parts if part is not None])


@function(f="x")
def gradient(
    x, *varargs: Operand, axis: Axis = None, edge_order: int = 1
) -> Tensor | tuple[Tensor, ...]:
    """The slopes along every axis, by differences, in a tuple if there are several.

    Inside they are exact for parabolas, at the ends for lines, or for parabolas with edge_order 2.
    `varargs` are the distances between elements: one for all axes, or for each a number or a vector
    of coordinates.
    """
    x = tensor_of(x)
    axes = axes_of("gradient", axis, x.ndim)
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order is 1 or 2, got {edge_order!r}")
    if len(varargs) not in (0, 1, len(axes)) or (
        len(varargs) == 1 < len(axes) and np.ndim(varargs[0])
    ):
        raise TypeError(f"gradient: distances for {len(axes)} axes, got {len(varargs)}")
    steps = varargs or (1.0,)
    steps = steps * len(axes) if len(steps) == 1 else steps
    slopes = tuple(slope_along(x, weak(h, x), i, edge_order) for h, i in zip(steps, axes))
    return slopes[0] if len(axes) == 1 else slopes


def slope_along(x: Tensor, h: Operand, axis: int, edge_order: int) -> Tensor:
    """The slopes of x along one axis, whose elements stand in distances h, or at coordinates h."""
    n = x.shape[axis]
    if n <= edge_order:
        raise ValueError(f"gradient: {edge_order + 1} elements or more along axis {axis}, got {n}")
    if np.ndim(h) == 0:
        h = np.broadcast_to(h, n - 1)
    elif np.shape(h) == (n,):
        h = h[1:] - h[:-1]
    else:
        raise ValueError(f"gradient: {n} coordinates along axis {axis}, got shape {np.shape(h)}")
    h = h.reshape((n - 1,) + (1,) * (x.ndim - axis - 1))
    secants = diff(x, axis=axis) / h  # of each element with the next

    def some(a, *key: int | None):
        return a[at(axis - x.ndim, slice(*key), a.ndim)]

    before, after, left, right = some(secants, -1), some(secants, 1, None), h[:-1], h[1:]
    inside = (before * right + after * left) / (left + right)  # the parabola through all three
    first, last = some(secants, 1), some(secants, -1, None)
    if edge_order == 2:
        bend = (after - before) / (left + right)
        first, last = first - some(bend, 1) * h[:1], last + some(bend, -1, None) * h[-1:]
    return concatenate([first, inside, last], axis)


@function()
def trapezoid(y, x: Operand | None = None, dx: Operand = 1.0, axis: int = -1) -> Tensor:
    """The integral along axis by trapezoids, of values y at coordinates x, or dx apart."""
    y, x = tensor_of(y), operand_of(x)
    (axis,) = axes_of("trapezoid", axis, y.ndim)
    if x is not None and np.ndim(x) == 1:
        dx = (x[1:] - x[:-1]).reshape((-1,) + (1,) * (y.ndim - axis - 1))
    elif x is not None:
        dx = np.diff(x, axis=axis)
    left, right = y[at(axis, slice(-1), y.ndim)], y[at(axis, slice(1, None), y.ndim)]
    return (dx * (left + right) / 2).sum(axis)


@function()
def linspace(
    start, stop, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: DTypeLike | None = None, axis: int = 0,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """num numbers from start to stop, evenly apart, along a new axis of the result."""
    start, stop = together(start, stop)
    if num < 0:
        raise ValueError(f"linspace: num is 0 or more, got {num}")
    steps = num - 1 if endpoint else num
    way = stop - start
    shares = (np.arange(num) / (steps or 1)).astype(way.dtype).reshape(-1, *np.ones(way.ndim, int))
    y = start * (1 - shares) + stop * shares
    y = moved(y if dtype is None else y.astype(dtype), "linspace", axis)
    return (y, way / steps if steps else way * np.nan) if retstep else y


@function()
def logspace(
    start, stop, num: int = 50, endpoint: bool = True, base: Operand = 10.0,
    dtype: DTypeLike | None = None, axis: int = 0,
) -> Tensor:  # fmt: skip
    """base to the powers that `linspace` gives: each so many times as large as the one before."""
    if np.ndim(base):
        start, stop, base = np.broadcast_arrays(*together(start, stop, base))
    y = base ** linspace(start, stop, num, endpoint)
    return moved(y if dtype is None else y.astype(dtype), "logspace", axis)


@function()
def geomspace(
    start, stop, num: int = 50, endpoint: bool = True, dtype: DTypeLike | None = None, axis: int = 0
) -> Tensor:
    """num numbers from start to stop, each so many times as large as the one before.

    Where start and stop are not of one sign, there are none: nan.
    """
    start, stop = together(start, stop)
    sign = np.sign(start)
    y = sign * np.exp(linspace(np.log(start * sign), np.log(stop * sign), num, endpoint))
    return moved(y if dtype is None else y.astype(dtype), "geomspace", axis)


def moved(y: Tensor, op: str, axis: int) -> Tensor:
    """y with its first axis at the place of axis."""
    order = [*range(1, y.ndim)]
    order.insert(axes_of(op, axis, y.ndim)[0], 0)
    return y.transpose(order)


# Interpolation and sliding products


@function()
def interp(
    x, xp: Operand, fp: Operand, left: Operand | None = None, right: Operand | None = None,
    period: float | None = None,
) -> Tensor:  # fmt: skip
    """Values at these points of the line through (xp, fp), where xp ascends.

    Beyond its ends: the first and last of fp, or left and right; or, with a period, what repeats.
    At a corner the slope is that of the piece to the right.
    """
    x, xp, fp = together(x, xp, fp)
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size:
        raise ValueError(f"interp: xp and fp are vectors of one length, got {xp.shape}, {fp.shape}")
    if period is not None:
        if period == 0:
            raise ValueError("interp: period is not 0")
        x, xp, left, right = x % abs(period), xp % abs(period), None, None
        order = np.argsort(xp)
        xp, fp = take_along_axis(xp, order), take_along_axis(fp, order)
        xp = concatenate([xp[-1:] - abs(period), xp, xp[:1] + abs(period)])
        fp = concatenate([fp[-1:], fp, fp[:1]])
    n = xp.size
    if n == 1:
        y = fp[0] + 0 * x
    else:
        flat = x.ravel()
        piece = np.clip(np.searchsorted(xp, flat, side="right") - 1, 0, n - 2)
        x0, x1 = take_along_axis(xp, piece), take_along_axis(xp, piece + 1)
        y0, y1 = take_along_axis(fp, piece), take_along_axis(fp, piece + 1)
        y = (y0 + (y1 - y0) / (x1 - x0) * (flat - x0)).reshape(x.shape)
    y = where(x < xp[0], fp[0] if left is None else left, y)
    return where(x > xp[-1], fp[-1] if right is None else right, y)


@function()
def convolve(a, v, mode: str = "full") -> Tensor:
    """The products of a vector a with a vector v reversed that slides along it, summed.

    mode "full" has all places where they overlap, "same" as many as the longer one has elements,
    "valid" those where all of the shorter one does.
    """
    a, v = operand_of(a), operand_of(v)
    if np.ndim(a) > 1 or np.ndim(v) > 1 or not np.size(a) or not np.size(v):
        raise ValueError(
            f"convolve: expected vectors of 1 or more, got {np.shape(a)}, {np.shape(v)}"
        )
    a, v = (x if np.ndim(x) else np.reshape(x, 1) for x in (a, v))
    y = apply(
        "convolve",
        np.convolve,
        (a, v),
        lambda g, y, a, v: np.convolve(g, np.flip(v), "valid"),
        lambda g, y, a, v: np.convolve(g, np.flip(a), "valid"),
    )
    long, short = sorted((len(a), len(v)), reverse=True)
    if mode == "full":
        return y
    if mode == "same":
        return y[(short - 1) // 2 : (short - 1) // 2 + long]
    if mode == "valid":
        return y[short - 1 : long]
    raise ValueError(f'convolve: mode is "full", "same" or "valid", got {mode!r}')


@function()
def correlate(a, v, mode: str = "valid") -> Tensor:
    """The products of a vector a with a vector v that slides along it, summed; as `convolve`."""
    a, v = operand_of(a), operand_of(v)
    if np.size(a) < np.size(v):  # as NumPy has it, which shows in mode "same"
        return np.flip(convolve(v, np.flip(a), mode))
    return convolve(a, np.flip(v), mode)


# Statistics


@function(a="x")
def average(
    x, axis: Axis = None, weights: Operand | None = None, returned: bool = False,
    keepdims: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """The mean over axis, weighted; and with returned=True the sum of the weights as well.

    The weights have the shape of x, or of the axes that are summed over.
    """
    x, *given = together(x) if weights is None else together(x, weights)
    axes = axes_of("average", axis, x.ndim)
    if weights is None:
        y = x.mean(axis, keepdims)
        total = np.full(y.shape, x.size / (y.size or 1), y.dtype)
        return (y, tensor_of(total)) if returned else y
    (weights,) = given
    if weights.shape != x.shape:
        lengths = tuple(x.shape[i] for i in axes)
        if axis is None or np.shape(weights) != lengths:
            raise ValueError(
                f"average: weights of shape {x.shape} or {lengths}, got {np.shape(weights)}"
            )
        order = sorted(range(len(axes)), key=axes.__getitem__)
        weights = np.transpose(weights, order).reshape(
            [m if i in axes else 1 for i, m in enumerate(x.shape)]
        )
    weights = weights * np.ones(x.shape, x.dtype)
    total = weights.sum(axis=axis, keepdims=keepdims)
    y = (x * weights).sum(axis, keepdims) / total
    return (y, tensor_of(total)) if returned else y


@function(m="x")
def cov(
    x, y: Operand | None = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None,
    fweights: ArrayLike | None = None, aweights: Operand | None = None, *,
    dtype: DTypeLike | None = None,
) -> Tensor:  # fmt: skip
    """The covariances of the rows of x (and y), of the columns with rowvar=False.

    Divided by n - 1, or by n if biased, or by n - ddof. `fweights` says how often each
    observation counts, in whole numbers, `aweights` how much.
    """
    given = together(x) if y is None else together(x, y)
    x = concatenate([variables(part, rowvar, dtype) for part in given])
    ddof = (0 if bias else 1) if ddof is None else ddof
    n = x.shape[1]
    counts = None if fweights is None else integers_of("cov", fweights)
    weights = operand_of(aweights)
    for name, w in (("fweights", counts), ("aweights", weights)):
        if w is not None and np.shape(w) != (n,):
            raise ValueError(f"cov: {name} of shape ({n},), got {np.shape(w)}")
    if counts is not None:
        counts = counts.astype(x.dtype)
        weights = counts if weights is None else counts * weights
    if weights is None:
        deviations = x - x.mean(1, keepdims=True)
        return (deviations @ deviations.T / np.maximum(n - ddof, 0)).squeeze()
    total = weights.sum()
    deviations = x - (x * weights).sum(1, keepdims=True) / total
    if aweights is None or ddof == 0:
        factor = total - ddof
    else:
        factor = total - ddof * (weights * operand_of(aweights)).sum() / total
    return ((deviations * weights) @ deviations.T / factor).squeeze()


def variables(x: Tensor, rowvar: bool, dtype: DTypeLike | None) -> Tensor:
    """A row for each variable, as cov has them."""
    x = x if dtype is None else x.astype(dtype)
    if x.ndim > 2:
        raise ValueError(f"cov: two axes at most, got shape {x.shape}")
    if x.ndim < 2:
        return x.reshape(1, -1)
    return x if rowvar or x.shape[0] == 1 else x.T


@function()
def corrcoef(
    x, y: Operand | None = None, rowvar: bool = True, *, dtype: DTypeLike | None = None
) -> Tensor:
    """The correlations of the rows of x (and y), of the columns with rowvar=False."""
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    places = np.arange(len(c))
    deviations = np.sqrt(c[places, places])
    return (c / deviations[:, None] / deviations).clip(-1, 1)


# Sums without nan


def numbers(x, op: str = "", where: ArrayLike = True) -> np.ndarray:
    """Where x is not nan, and the `where` of a reduction holds."""
    found = ~np.isnan(x)
    return found if where is True else found & mask_of(op, where, x)


@function(a="x")
def nansum(x, axis: Axis = None, keepdims: bool = False, *, dtype: DTypeLike | None = None,
           initial: float | None = None, where: ArrayLike = True) -> Tensor:  # fmt: skip
    """The sum over axis of what is not nan."""
    x = tensor_of(x)
    return sum(x, axis, keepdims, dtype=dtype, initial=initial, where=numbers(x, "nansum", where))


@function(a="x")
def nanprod(x, axis: Axis = None, keepdims: bool = False, *, dtype: DTypeLike | None = None,
            initial: float | None = None, where: ArrayLike = True) -> Tensor:  # fmt: skip
    """The product over axis of what is not nan."""
    x = tensor_of(x)
    return prod(x, axis, keepdims, dtype=dtype, initial=initial, where=numbers(x, "nanprod", where))


@function(a="x")
def nanmean(x, axis: Axis = None, keepdims: bool = False, *, dtype: DTypeLike | None = None,
            where: ArrayLike = True) -> Tensor:  # fmt: skip
    """The mean over axis of what is not nan."""
    x = tensor_of(x)
    return mean(x, axis, keepdims, dtype=dtype, where=numbers(x, "nanmean", where))


@function(a="x")
def nanvar(x, axis: Axis = None, keepdims: bool = False, ddof: float = 0, *,
           correction: float | None = None, dtype: DTypeLike | None = None,
           where: ArrayLike = True, mean: Operand | None = None) -> Tensor:  # fmt: skip
    """The variance over axis of what is not nan."""
    x, ddof = tensor_of(x), correction_of("nanvar", ddof, correction)
    return var(x, axis, keepdims, ddof, dtype=dtype, where=numbers(x, "nanvar", where), mean=mean)


@function(a="x")
def nanstd(x, axis: Axis = None, keepdims: bool = False, ddof: float = 0, *,
           correction: float | None = None, dtype: DTypeLike | None = None,
           where: ArrayLike = True, mean: Operand | None = None) -> Tensor:  # fmt: skip
    """The standard deviation over axis of what is not nan."""
    x, ddof = tensor_of(x), correction_of("nanstd", ddof, correction)
    return std(x, axis, keepdims, ddof, dtype=dtype, where=numbers(x, "nanstd", where), mean=mean)


@function(a="x")
def nanmax(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest over axis of what is not nan, nan if nothing is; equal ones share evenly."""
    return apply(
        "nanmax",
        lambda x: np.nanmax(x, axis=axis, keepdims=keepdims),
        (tensor_of(x),),
        lambda g, y, x: share_of_some(g, y, x, axis, keepdims),
    )


@function(a="x")
def nanmin(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest over axis of what is not nan, nan if nothing is; equal ones share evenly."""
    return apply(
        "nanmin",
        lambda x: np.nanmin(x, axis=axis, keepdims=keepdims),
        (tensor_of(x),),
        lambda g, y, x: share_of_some(g, y, x, axis, keepdims),
    )


def share_of_some(g, y, x, axis: Axis, keepdims: bool):
    """The derivative of nanmax and nanmin: all elements equal to y share g evenly, if there are."""
    equal = x == spread(y, x, axis, keepdims)
    n = np.maximum(equal.sum(axis=axis, keepdims=True), 1)
    return spread(g, x, axis, keepdims) * (equal / n)


@function(a="x")
def nancumsum(x, axis: int | None = None, *, dtype: DTypeLike | None = None) -> Tensor:
    """The running sum along axis, in which nan counts as 0."""
    x = tensor_of(x)
    return where(numbers(x), x, 0).cumsum(axis, dtype=dtype)


@function(a="x")
def nancumprod(x, axis: int | None = None, *, dtype: DTypeLike | None = None) -> Tensor:
    """The running product along axis, in which nan counts as 1."""
    x = tensor_of(x)
    return where(numbers(x), x, 1).cumprod(axis, dtype=dtype)


# Any function, along an axis or over axes


@function()
def apply_along_axis(func1d: Callable, axis: int, arr, *args, **kwargs) -> Tensor:
    """func1d(vector, *args, **kwargs) of every vector along axis; the axes it gives stand there."""
    arr = tensor_of(arr)
    (axis,) = axes_of("apply_along_axis", axis, arr.ndim)
    shape = [n for i, n in enumerate(arr.shape) if i != axis]
    vectors = np.moveaxis(arr, axis, -1).reshape(math.prod(shape), arr.shape[axis])
    if not len(vectors):
        raise ValueError(f"apply_along_axis: there is no vector in shape {arr.shape}")
    y = stack([func1d(v, *args, **kwargs) for v in vectors])
    y = y.reshape(*shape, *y.shape[1:])
    new = range(len(shape), y.ndim)
    return np.moveaxis(y, [*new], [axis + i for i in range(len(new))])


@function()
def apply_over_axes(func: Callable, a, axes: int | Sequence[int]) -> Tensor:
    """func(a, axis) for one axis after the other, which keep their places."""
    y = tensor_of(a)
    for axis in axes_of("apply_over_axes", tuple(np.atleast_1d(axes).tolist()), y.ndim):
        result = func(y, axis)
        y = result if np.ndim(result) == y.ndim else np.expand_dims(result, axis)
        if np.ndim(y) != np.ndim(a):
            raise ValueError(f"apply_over_axes: func gave shape {np.shape(result)} for axis {axis}")
    return y


# Grids


@function()
def meshgrid(
    *xi: Operand, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Tensor, ...]:
    """For vectors of coordinates their grid, an array of coordinates for each: as `np.meshgrid`."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid: indexing is "xy" or "ij", got {indexing!r}')
    vectors = [tensor_of(x).ravel() for x in xi]
    places = [*range(len(vectors))]
    if indexing == "xy" and len(vectors) > 1:
        places[:2] = 1, 0
    lengths = [vectors[i].size for i in places]
    shapes = [[n if i == place else 1 for i, n in enumerate(lengths)] for place in places]
    grids = [v.reshape(shape) for v, shape in zip(vectors, shapes)]
    return tuple(grids if sparse else (broadcast_to(v, lengths) for v in grids))


@function(a="x")
def full_like(
    x, fill_value, dtype: DTypeLike | None = None, *, shape: int | Sequence[int] | None = None
) -> Tensor | np.ndarray:
    """An array of the shape and dtype of x; a Tensor, if the value is one that has a gradient."""
    shape = np.shape(x) if shape is None else shape
    dtype = np.result_type(x) if dtype is None else dtype
    if isinstance(fill_value, Tensor) and fill_value.requires_grad:
        return broadcast_to(fill_value, shape).astype(dtype)
    return np.full(shape, data_of(fill_value), dtype)
