"""Elements moved about: joined, split, repeated, turned, put on diagonals and taken from them.

All go by their NumPy names, and all are made of a few operations, so that none needs a derivative
of its own but `roll`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import Axis, at, axes_of, describe
from micrograd.engine import Tensor, apply
from micrograd.operations import concatenate, function, method, scatter, where
from micrograd.protocol import FUNCTIONS, data_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from micrograd.protocol import Operand

__all__ = [
    "append", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "block", "broadcast_arrays",
    "choose", "column_stack", "compress", "delete", "diag", "diagflat", "diagonal", "dsplit",
    "dstack", "extract", "fliplr", "flipud", "hsplit", "hstack", "insert", "moveaxis", "piecewise",
    "repeat", "resize", "roll", "rollaxis", "rot90", "select", "split", "tile", "trace",
    "trim_zeros", "unstack", "vsplit", "vstack",
]  # fmt: skip


def __dir__():  # what completion offers
    return __all__


def listed(x):
    """x, and a list of numbers as an array."""
    return np.asarray(x) if isinstance(x, (list, tuple)) else x


def rearranged(f: Callable[..., np.ndarray], *xs: Operand) -> Tensor:
    """f(*xs) for a function that only moves elements about: run on their places, then looked up."""
    sizes = [math.prod(np.shape(x)) for x in xs]
    starts = np.cumsum([0, *sizes[:-1]])
    places = [k + np.arange(n).reshape(np.shape(x)) for k, n, x in zip(starts, sizes, xs)]
    flat = np.ravel(xs[0]) if len(xs) == 1 else concatenate(xs, None)
    return flat[f(*places)]


# Joined


@function()
def vstack(tup: Sequence[Operand], *, dtype: DTypeLike | None = None) -> Tensor:
    """Joined along the first axis; vectors are rows."""
    return concatenate([atleast_2d(x) for x in tup], 0, dtype=dtype)


@function()
def hstack(tup: Sequence[Operand], *, dtype: DTypeLike | None = None) -> Tensor:
    """Joined along the second axis; vectors along their only one."""
    tensors = [atleast_1d(x) for x in tup]
    return concatenate(tensors, 0 if tensors and tensors[0].ndim == 1 else 1, dtype=dtype)


@function()
def dstack(tup: Sequence[Operand]) -> Tensor:
    """Joined along the third axis, which matrices (n, m) have as (n, m, 1)."""
    return concatenate([atleast_3d(x) for x in tup], 2)


@function()
def column_stack(tup: Sequence[Operand]) -> Tensor:
    """Joined along the second axis; vectors are columns."""
    tensors = [atleast_1d(x) for x in tup]
    return concatenate([x[:, None] if x.ndim == 1 else x for x in tensors], 1)


@function()
def append(arr, values, axis: int | None = None) -> Tensor:
    """arr and values joined along axis; both flattened if it is None."""
    return concatenate([listed(arr), listed(values)], axis)


@function()
def block(arrays: Sequence) -> Tensor:
    """Tensors in nested lists, joined along the last axis in the innermost lists, and so on."""
    leaves = []

    def outside(part):  # the nested lists, with numbers in place of their leaves
        if isinstance(part, list):
            return [outside(x) for x in part]
        leaves.append(part)
        return len(leaves) - 1

    def inside(part, places):
        return [inside(x, places) for x in part] if isinstance(part, list) else places[part]

    nested = outside(arrays)
    return rearranged(lambda *places: np.block(inside(nested, places)), *leaves)


@function()
def insert(arr, obj: int | slice | ArrayLike, values, axis: int | None = None) -> Tensor:
    """arr with values put in before the places obj along axis, as `np.insert` does."""
    obj = data_of(obj)
    return rearranged(lambda a, v: np.insert(a, obj, v, axis), listed(arr), listed(values))


@function()
def select(condlist: Sequence[ArrayLike], choicelist: Sequence[Operand], default=0) -> Tensor:
    """The elements of the first choice whose condition holds, else of default."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"select: {len(condlist)} conditions for {len(choicelist)} choices; as many are needed"
        )
    y = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        if np.asarray(data_of(condition)).dtype != bool:
            raise TypeError(f"select: a condition is made of bools, got {describe(condition)}")
        y = where(condition, choice, y)
    return y


@function()
def choose(a: ArrayLike, choices: Sequence[Operand], mode: str = "raise") -> Tensor:
    """In each place the element of choices[a] that stands there, for integers a."""
    a, choices = listed(data_of(a)), [listed(x) for x in choices]
    return rearranged(lambda *places: np.choose(a, places, mode=mode), *choices)


@function()
def piecewise(
    x, condlist: Sequence[ArrayLike] | ArrayLike, funclist: Sequence[Callable | Operand],
    *args, **kw,
) -> Tensor:  # fmt: skip
    """The function, or number, of the last condition that holds, of the elements where it does.

    One function more than there are conditions is for all others, for which there is 0 else.
    """
    conditions = np.asarray(data_of(condlist), bool)
    conditions = conditions if conditions.ndim > np.ndim(x) else conditions[None]
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise ValueError(
            f"piecewise: {len(funclist)} functions for {len(conditions)} conditions; as many are "
            "needed, or one more"
        )
    if len(funclist) > len(conditions):
        conditions = np.concatenate([conditions, ~conditions.any(0, keepdims=True)])
    y = Tensor(np.zeros_like(data_of(x)), requires_grad=False)
    free = np.ones(y.shape, bool)
    for holds, f in reversed([*zip(conditions, funclist)]):
        here = holds & free
        free = free & ~here
        if here.any():  # else f would be called with nothing
            part = f(x[here], *args, **kw) if callable(f) else f
            part = scatter(np.broadcast_to(part, int(here.sum())), here, y.shape)
            y = where(here, part, y)
    return y


# Split


def pieces(x, ends: list[int], axis: int) -> list[Tensor]:
    """x[:ends[0]], x[ends[0]:ends[1]] ..., out of halves of halves, as in `rows_of`."""
    middle = len(ends) // 2
    if len(ends) <= 32 or sorted(ends) != ends:
        return [x[at(axis, slice(i, j), x.ndim)] for i, j in zip([0, *ends], ends)]
    cut = ends[middle - 1]
    first, rest = (x[at(axis, part, x.ndim)] for part in (slice(cut), slice(cut, None)))
    return pieces(first, ends[:middle], axis) + pieces(rest, [i - cut for i in ends[middle:]], axis)


@function()
def array_split(ary, indices_or_sections: int | ArrayLike, axis: int = 0) -> list[Tensor]:
    """ary cut at indices along axis, or into sections of nearly equal length."""
    axes_of("array_split", axis, np.ndim(ary))
    n = ary.shape[axis]
    if np.ndim(indices_or_sections):
        ends = [*map(int, indices_or_sections), n]
        ends = [slice(i).indices(n)[1] for i in ends]
        return pieces(ary, ends, axis)
    sections = int(indices_or_sections)
    if sections <= 0:
        raise ValueError(f"array_split: the number of sections is positive, got {sections}")
    short, longer = divmod(n, sections)
    lengths = [short + 1] * longer + [short] * (sections - longer)
    return pieces(ary, np.cumsum(lengths).tolist(), axis)


@function()
def split(ary, indices_or_sections: int | ArrayLike, axis: int = 0) -> list[Tensor]:
    """ary cut at indices along axis, or into sections of equal length."""
    axes_of("split", axis, np.ndim(ary))
    if not np.ndim(indices_or_sections) and ary.shape[axis] % indices_or_sections:
        raise ValueError(
            f"split: axis {axis} of shape {ary.shape} has no {indices_or_sections} equal sections; "
            "array_split takes unequal ones"
        )
    return array_split(ary, indices_or_sections, axis)


@function()
def vsplit(ary, indices_or_sections: int | ArrayLike) -> list[Tensor]:
    """`split` along the first of two axes or more."""
    return split(of_axes("vsplit", ary, 2), indices_or_sections, 0)


@function()
def hsplit(ary, indices_or_sections: int | ArrayLike) -> list[Tensor]:
    """`split` along the second axis; of a vector along its only one."""
    return split(of_axes("hsplit", ary, 1), indices_or_sections, 1 if ary.ndim > 1 else 0)


@function()
def dsplit(ary, indices_or_sections: int | ArrayLike) -> list[Tensor]:
    """`split` along the third axis."""
    return split(of_axes("dsplit", ary, 3), indices_or_sections, 2)


def of_axes(op: str, x, n: int):
    if np.ndim(x) < n:
        raise ValueError(f"{op}: expected {n} axes or more, got shape {np.shape(x)}")
    return x


@function()
def unstack(x, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts that `stack` would join along axis."""
    return tuple(moveaxis(of_axes("unstack", x, 1), axis, 0))


@function()
def delete(arr, obj: int | slice | ArrayLike, axis: int | None = None) -> Tensor:
    """arr without the places obj along axis; flattened first if it is None."""
    arr, axis = (np.ravel(arr), 0) if axis is None else (arr, axis)
    kept = np.delete(np.arange(arr.shape[axis]), data_of(obj))
    return arr[at(axis, kept, arr.ndim)]


@function()
def compress(condition: ArrayLike, a, axis: int | None = None) -> Tensor:
    """The parts of a along axis for which the condition holds; flattened first if it is None."""
    (places,) = np.nonzero(data_of(condition))
    return np.take(a, places, axis)


@function()
def extract(condition: ArrayLike, arr) -> Tensor:
    """The elements where the condition, of as many elements, holds."""
    return np.take(arr, np.flatnonzero(data_of(condition)))


@function()
def trim_zeros(filt, trim: str = "fb", axis: None = None) -> Tensor:
    """A vector without the zeros at its front ("f"), back ("b") or both ("fb")."""
    if np.ndim(filt) != 1:
        raise ValueError(f"trim_zeros: expected a vector, got shape {np.shape(filt)}")
    n = len(filt)
    (places,) = np.nonzero(data_of(filt))
    first = places[0] if places.size and "f" in trim.lower() else 0
    last = places[-1] + 1 if places.size and "b" in trim.lower() else n
    return filt[first:last] if places.size else filt[:0]


# Repeated


@method()
def repeat(a, repeats: int | ArrayLike, axis: int | None = None) -> Tensor:
    """Every element along axis so many times; flattened first if axis is None."""
    a, axis = (np.ravel(a), 0) if axis is None else (a, axes_of("repeat", axis, a.ndim)[0])
    times = np.asarray(data_of(repeats))
    if times.dtype.kind not in "iu":
        raise TypeError(f"repeat: repeats is an integer or several, got {describe(repeats)}")
    if times.size == 1:
        n, k = a.shape[axis], times.item()
        before, after = a.shape[:axis], a.shape[axis + 1 :]
        a = np.broadcast_to(np.expand_dims(a, axis + 1), (*before, n, k, *after))
        return a.reshape(*before, n * k, *after)
    return a[at(axis, np.repeat(np.arange(a.shape[axis]), times), a.ndim)]


@function()
def tile(A, reps: int | Sequence[int]) -> Tensor:  # noqa: N803 (as NumPy has it)
    """A laid out reps times along each of the last axes."""
    reps = [*map(int, np.atleast_1d(reps))]
    reps = [1] * (A.ndim - len(reps)) + reps
    shape = (1,) * (len(reps) - A.ndim) + A.shape
    rows = A.reshape([n for length in shape for n in (1, length)])
    rows = np.broadcast_to(rows, [n for pair in zip(reps, shape) for n in pair])
    return rows.reshape([k * n for k, n in zip(reps, shape)])


@function()
def resize(a, new_shape: int | Sequence[int]) -> Tensor:
    """The elements in another shape, from the first on again where it is larger."""
    return rearranged(lambda a: np.resize(a, new_shape), a)


@function()
def broadcast_arrays(*args: Operand) -> tuple[Tensor, ...]:
    """All repeated to the shape that they have together."""
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(x, shape) for x in args)


# Turned


@function()
def roll(a, shift: int | Sequence[int], axis: Axis = None) -> Tensor:
    """The elements moved along axis, those beyond the end to the start; flattened for axis=None."""
    back = tuple(-i for i in shift) if isinstance(shift, (tuple, list)) else -shift
    return apply(
        "roll", lambda a: np.roll(a, shift, axis), (a,), lambda g, y, a: np.roll(g, back, axis)
    )


@function()
def moveaxis(a, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """The axes source moved to the places destination, the others in order."""
    old, new = (
        axes_of("moveaxis", tuple(i) if isinstance(i, (list, tuple)) else i, np.ndim(a))
        for i in (source, destination)
    )
    if len(old) != len(new) or len({*old}) < len(old) or len({*new}) < len(new):
        raise ValueError(
            f"moveaxis: {source} and {destination} are to name as many axes, each once"
        )
    order = [i for i in range(np.ndim(a)) if i not in old]
    for place, axis in sorted(zip(new, old)):
        order.insert(place, axis)
    return np.transpose(a, order)


@function()
def rollaxis(a, axis: int, start: int = 0) -> Tensor:
    """The axis moved before that which is at start."""
    n = np.ndim(a)
    (axis,) = axes_of("rollaxis", axis, n)
    if not -n <= start <= n:
        raise ValueError(f"rollaxis: start {start} is out of bounds for a tensor of {n} axes")
    start += n if start < 0 else 0
    return moveaxis(a, axis, start - (axis < start))


@function()
def flipud(m) -> Tensor:
    """The first axis in reverse order."""
    return np.flip(m, 0)


@function()
def fliplr(m) -> Tensor:
    """The second axis in reverse order."""
    return np.flip(of_axes("fliplr", m, 2), 1)


@function()
def rot90(m, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """Turned k times by 90 degrees, from the first of two axes towards the second."""
    first, second = axes_of("rot90", tuple(axes), np.ndim(m))
    if first == second:
        raise ValueError(f"rot90: two different axes are needed, got {axes}")
    if k % 4 == 0:
        return m[...]
    if k % 4 == 2:
        return np.flip(m, (first, second))
    if k % 4 == 1:
        return np.swapaxes(np.flip(m, second), first, second)
    return np.flip(np.swapaxes(m, first, second), second)


@function()
def atleast_1d(*arys: Operand) -> Tensor | tuple[Tensor, ...]:
    """With one axis at least; several give a tuple."""
    return of_each(arys, lambda x: np.expand_dims(x, tuple(range(1 - np.ndim(x)))))


@function()
def atleast_2d(*arys: Operand) -> Tensor | tuple[Tensor, ...]:
    """With two axes at least, the new ones in front; several give a tuple."""
    return of_each(arys, lambda x: np.expand_dims(x, tuple(range(2 - np.ndim(x)))))


@function()
def atleast_3d(*arys: Operand) -> Tensor | tuple[Tensor, ...]:
    """With three axes at least: (n,) gives (1, n, 1) and (n, m) gives (n, m, 1)."""
    new = [(0, 1, 2), (0, 2), (2,)]
    return of_each(arys, lambda x: np.expand_dims(x, new[np.ndim(x)] if np.ndim(x) < 3 else ()))


def of_each(xs: Iterable, f: Callable):
    results = tuple(f(listed(x)) for x in xs)
    return results[0] if len(results) == 1 else results


# Diagonals


@method()
def diagonal(a, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The diagonal of two axes, as the last axis of the result."""
    shape = np.shape(of_axes("diagonal", a, 2))
    first, second = (axes_of("diagonal", i, len(shape))[0] for i in (axis1, axis2))
    n = min(shape[first] + min(offset, 0), shape[second] - max(offset, 0))
    rows = np.arange(max(n, 0)) - min(offset, 0)
    return moveaxis(a, (axis1, axis2), (-2, -1))[..., rows, rows + offset]


@method()
def trace(a, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of a diagonal."""
    return diagonal(a, offset, axis1, axis2).sum(-1)


@function()
def diag(v, k: int = 0) -> Tensor:
    """The k-th diagonal of a matrix, or the matrix that has a vector there and zeros elsewhere."""
    if np.ndim(v) == 2:
        return diagonal(v, k)
    if np.ndim(v) != 1:
        raise ValueError(f"diag: expected a vector or a matrix, got shape {np.shape(v)}")
    n = np.shape(v)[0] + np.abs(k)
    rows = np.arange(np.shape(v)[0]) - min(k, 0)
    return scatter(v, (rows, rows + k), (n, n))


@function()
def diagflat(v, k: int = 0) -> Tensor:
    """The matrix that has all elements on its k-th diagonal."""
    return diag(np.ravel(listed(v)), k)


FUNCTIONS.update({  # of the last two axes, where those above take the first two
    np.linalg.diagonal: lambda x, *, offset=0: diagonal(x, offset, -2, -1),
    np.linalg.trace: lambda x, *, offset=0: trace(x, offset, -2, -1),
})  # fmt: skip
