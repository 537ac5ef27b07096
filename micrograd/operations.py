"""All operations but the arithmetic: a name, a function on arrays, a derivative for each operand.

What stands here under `@function` answers to its name in NumPy, if NumPy has one; what stands under
`@method` is a method of `Tensor` too. To add an operation, write it here: no other place needs to
know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from micrograd import arrays
from micrograd.arrays import Axis, array_of, at, axes_of, describe, deviation, over, share, spread
from micrograd.engine import Tensor, apply, operation
from micrograd.protocol import CONSTANT, FUNCTIONS, RENAMED, data_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from micrograd.protocol import Operand

    F = TypeVar("F", bound=Callable)

__all__ = ["concatenate", "dot", "linear", "maximum", "minimum", "outer", "stack", "where"]

OPERATIONS: dict[str, Callable] = {}  # all that stand here, by name


def function(*numpys: Callable, **renamed: str) -> Callable[[F], F]:
    """Let an operation stand for NumPy's of its name, and for those given.

    What NumPy's function calls its arguments is told where we call them otherwise.
    """

    def enter(f):
        OPERATIONS[f.__name__] = f
        own = [getattr(np, f.__name__)] if hasattr(np, f.__name__) else []
        for numpys_function in (*own, *numpys):
            FUNCTIONS[numpys_function] = f
            RENAMED[numpys_function] = renamed
        return f

    return enter


def method(*numpys: Callable, **renamed: str) -> Callable[[F], F]:
    """`function`, and a method of Tensor too."""

    def enter(f):
        setattr(Tensor, f.__name__, f)
        return function(*numpys, **renamed)(f)

    return enter


FUNCTIONS.update({
    np.add: Tensor.__add__, np.subtract: Tensor.__sub__, np.multiply: Tensor.__mul__,
    np.divide: Tensor.__truediv__, np.power: Tensor.__pow__, np.matmul: Tensor.__matmul__,
    np.negative: Tensor.__neg__,
})  # fmt: skip

# Computed on the arrays, as comparisons are
CONSTANT.update({
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.sign, np.isfinite, np.isinf, np.isnan, np.shape, np.ndim, np.size, np.argmax, np.argmin,
    np.zeros, np.ones, np.zeros_like, np.ones_like,
})  # fmt: skip

# Elementwise


def elementwise(
    name: str, forward: Callable, *derivatives: Callable, doc: str
) -> Callable[..., Tensor]:
    """An operation without options, whose module is this one."""
    return operation(name, forward, *derivatives, doc=doc)


def unary(name: str, forward: Callable, derivative: Callable, doc: str) -> Callable[..., Tensor]:
    """An elementwise method."""
    return method()(elementwise(name, forward, derivative, doc=doc))


# fmt: off
exp      = unary("exp",   np.exp,   lambda g, y, x: g * y,           "e^x.")
expm1    = unary("expm1", np.expm1, lambda g, y, x: g * (y + 1),     "e^x - 1, exact near 0.")
log      = unary("log",   np.log,   lambda g, y, x: g / x,           "The natural logarithm.")
log1p    = unary("log1p", np.log1p, lambda g, y, x: g / (1 + x),     "log(1 + x), exact near 0.")
sqrt     = unary("sqrt",  np.sqrt,  lambda g, y, x: 0.5 * g / y,     "The square root.")
sin      = unary("sin",   np.sin,   lambda g, y, x: g * np.cos(x),   "The sine.")
cos      = unary("cos",   np.cos,   lambda g, y, x: -g * np.sin(x),  "The cosine.")
tanh     = unary("tanh",  np.tanh,  lambda g, y, x: g * (1 - y * y), "The hyperbolic tangent.")
abs      = unary("abs",   np.abs,   lambda g, y, x: g * np.sign(x),  "|x|; its slope at 0 is 0.")
relu     = unary("relu",  lambda x: np.maximum(x, 0), lambda g, y, x: g * (y != 0),
                 "max(x, 0); its slope at 0 is 0.")
sigmoid  = unary("sigmoid", arrays.sigmoid, lambda g, y, x: g * (y * (1 - y)),
                 "1 / (1 + e^-x), without overflow.")
softplus = unary("softplus", lambda x: np.logaddexp(x, 0), lambda g, y, x: g * sigmoid(x),
                 "log(1 + e^x), without overflow: a smooth relu.")
erf      = elementwise("erf", arrays.erf,
                       lambda g, y, x: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x),
                       doc="The integral of 2 / sqrt(pi) e^-t^2 for t from 0 to x.")
Tensor.__abs__ = abs

# Of equal ones each gets half the gradient; where one is nan, both get all of it, as in PyTorch
maximum  = function()(elementwise("maximum", np.maximum,
                                  lambda g, y, a, b: g * (~(a < b) - 0.5 * (a == b)),
                                  lambda g, y, a, b: g * (~(b < a) - 0.5 * (a == b)),
                                  doc="The larger of a and b; equal ones share the gradient."))
minimum  = function()(elementwise("minimum", np.minimum,
                                  lambda g, y, a, b: g * (~(a > b) - 0.5 * (a == b)),
                                  lambda g, y, a, b: g * (~(b > a) - 0.5 * (a == b)),
                                  doc="The smaller of a and b; equal ones share the gradient."))


def no_tensor(what: str, option: object) -> None:
    """Refuse an option for which there is no gradient, where it looks as if there were one."""
    if isinstance(option, Tensor):
        raise TypeError(f"{what} is a number, for which there is no gradient: take its item()")


@method()
def leaky_relu(x, slope: float = 0.01) -> Tensor:
    """x where positive, slope * x elsewhere; its slope at 0 is the small one."""
    if not isinstance(slope, (int, float, np.floating)):
        raise TypeError(f"leaky_relu: slope is a number, got {describe(slope)}")
    return apply("leaky_relu", lambda x: np.where(x > 0, x, slope * x), (x,),
                 lambda g, y, x: np.where(x > 0, g, slope * g))


@method()
def silu(x) -> Tensor:
    """x * sigmoid(x) (Hendrycks and Gimpel, 2016), also called swish."""
    return x * sigmoid(x)


@method()
def gelu(x, approximate: str = "none") -> Tensor:
    """x * Phi(x), where Phi is the normal distribution function (Hendrycks and Gimpel, 2016).

    `approximate="tanh"` takes their tanh formula for Phi, which is several times faster.
    """
    if approximate == "none":
        return x * (0.5 * (1 + erf(x * math.sqrt(0.5))))
    if approximate == "tanh":
        c = math.sqrt(2 / math.pi)
        t = apply("gelu_tanh", lambda x: np.tanh(x * (c + 0.044715 * c * x * x)), (x,),
                  lambda g, y, x: g * (1 - y * y) * (c + 3 * 0.044715 * c * x * x))
        return apply("gelu", lambda x, t: 0.5 * x * (1 + t), (x, t),
                     lambda g, y, x, t: 0.5 * g * (1 + t),
                     lambda g, y, x, t: 0.5 * g * x)
    raise ValueError(f'gelu: approximate is "none" or "tanh", got {approximate!r}')


@method(a_min="lo", a_max="hi", min="lo", max="hi")
def clip(x, lo: ArrayLike | Tensor | None = None, hi: ArrayLike | Tensor | None = None) -> Tensor:
    """x limited to lo <= x <= hi: numbers, arrays, Tensors, or None for no limit.

    The gradient goes to x where it is within the limits (and on them), elsewhere to the limit.
    """
    lo, hi = -np.inf if lo is None else lo, np.inf if hi is None else hi
    return apply("clip", np.clip, (x, lo, hi),
                 lambda g, y, x, lo, hi: np.where((x >= lo) & (x <= hi), g, 0),
                 lambda g, y, x, lo, hi: np.where((x < lo) & (lo < hi), g, 0),
                 lambda g, y, x, lo, hi: np.where((x > hi) | (lo > hi), g, 0))


@method()
def astype(x, dtype: DTypeLike) -> Tensor:
    """The same numbers as another floating type; the gradient comes back in this one's."""
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"astype: expected a floating dtype, got {np.dtype(dtype)}")
    return apply("astype", lambda x: x.astype(dtype), (x,), lambda g, y, x: g)


@function(x="a", y="b")
def where(condition: ArrayLike, a, b) -> Tensor:
    """a where condition holds, elsewhere b; the condition is an array of bools."""
    condition = array_of("where: the condition", data_of(condition), "biuf", "bools")
    condition = condition.astype(bool)  # a copy: it may change before backward()
    return apply("where", lambda a, b: np.where(condition, a, b), (a, b),
                 lambda g, y, a, b: np.where(condition, g, 0),
                 lambda g, y, a, b: np.where(condition, 0, g))


# Reductions: axis is None (all), an int or a tuple of ints, negative ones count from the end


@method()
def sum(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over axis."""
    return apply("sum", lambda x: x.sum(axis=axis, keepdims=keepdims), (x,),
                 lambda g, y, x: spread(g, x, axis, keepdims))


@method()
def mean(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over axis."""
    return apply("mean", lambda x: x.mean(axis=axis, keepdims=keepdims), (x,),
                 lambda g, y, x: spread(g * (y.size / (x.size or 1)), x, axis, keepdims))


@method(np.amax)
def max(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest value over axis; equal ones share the gradient evenly."""
    return apply("max", lambda x: x.max(axis=axis, keepdims=keepdims), (x,),
                 lambda g, y, x: share(g, y, x, axis, keepdims))


@method(np.amin)
def min(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest value over axis; equal ones share the gradient evenly."""
    return apply("min", lambda x: x.min(axis=axis, keepdims=keepdims), (x,),
                 lambda g, y, x: share(g, y, x, axis, keepdims))


@method()
def var(x, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The variance over axis: the squared deviations' sum over n - ddof."""
    no_tensor("var: ddof", ddof)
    return apply("var", lambda x: x.var(axis=axis, keepdims=keepdims, ddof=ddof), (x,),
                 lambda g, y, x: spread(g, x, axis, keepdims) * deviation(x, y, axis, ddof) * 2)


@method()
def std(x, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The standard deviation over axis; where it is 0, so is its slope."""
    no_tensor("std: ddof", ddof)
    return apply("std", lambda x: x.std(axis=axis, keepdims=keepdims, ddof=ddof), (x,),
                 lambda g, y, x: spread(over(g, y), x, axis, keepdims)
                 * deviation(x, y, axis, ddof))


@method()
def prod(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over axis."""
    return apply("prod", lambda x: x.prod(axis=axis, keepdims=keepdims), (x,),
                 lambda g, y, x: spread(g, x, axis, keepdims) * arrays.product_of_others(x, axis))


@method()
def cumprod(x, axis: int | None = None) -> Tensor:
    """The running product along axis; of the flattened tensor if axis is None."""
    if axis is None:
        return x.ravel().cumprod(0)
    return apply("cumprod", lambda x: x.cumprod(axis), (x,),
                 lambda g, y, x: arrays.cumprod_slope(g, y, x, axis))


@method()
def cumsum(x, axis: int | None = None) -> Tensor:
    """The running sum along axis; of the flattened tensor if axis is None."""
    if axis is None:
        return x.ravel().cumsum(0)
    return apply("cumsum", lambda x: x.cumsum(axis), (x,),
                 lambda g, y, x: np.flip(np.flip(g, axis).cumsum(axis), axis))


@method()
def logsumexp(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axis, without overflow."""
    return apply("logsumexp", lambda x: arrays.logsumexp(x, axis, keepdims), (x,),
                 lambda g, y, x: spread(g, x, axis, keepdims)
                 * np.exp(x - spread(y, x, axis, keepdims)))


@method()
def softmax(x, axis: Axis = None) -> Tensor:
    """exp(x) / sum(exp(x)) along axis, without overflow.

    With no axis: the last one; a vector written as a column (n, 1) counts as one vector.
    """
    axis = arrays.vector_axis(x.shape) if axis is None else axis
    return apply("softmax", lambda x: arrays.softmax(x, axis), (x,),
                 lambda g, y, x: y * (g - (g * y).sum(axis=axis, keepdims=True)))


@method()
def log_softmax(x, axis: Axis = None) -> Tensor:
    """log(softmax(x)) along axis, without overflow; the axis as in `softmax`."""
    axis = arrays.vector_axis(x.shape) if axis is None else axis
    return apply("log_softmax", lambda x: arrays.log_softmax(x, axis), (x,),
                 lambda g, y, x: g - np.exp(y) * g.sum(axis=axis, keepdims=True))


# Shapes


@method(newshape="shape")
def reshape(x, *shape: int | Sequence[int], order: str = "C") -> Tensor:
    """The same elements in another shape: reshape(2, -1) or reshape((2, -1)).

    They are read and placed with the last axis, or with order="F" the first, changing fastest.
    """
    shape = shape[0] if len(shape) == 1 else shape
    if order not in ("C", "F"):
        raise ValueError(f'reshape: order is "C" or "F", got {order!r}')
    if order == "F":
        return transpose(reshape(transpose(x), np.atleast_1d(shape)[::-1].tolist()))
    return apply("reshape", lambda x: x.reshape(shape), (x,), lambda g, y, x: g.reshape(x.shape))


@method()
def transpose(x, *axes: int | Sequence[int] | None) -> Tensor:
    """The axes in the order given, transpose(1, 0) or transpose((1, 0)); else reversed."""
    axes = axes[0] if len(axes) == 1 else axes
    if axes is None or np.size(axes) == 0:
        return apply("transpose", np.transpose, (x,), lambda g, y, x: g.transpose())
    axes = np.atleast_1d(axes).tolist()
    return apply("transpose", lambda x: x.transpose(axes), (x,),
                 lambda g, y, x: g.transpose(np.argsort([i % x.ndim for i in axes]).tolist()))


Tensor.T = property(transpose, doc="The tensor with its axes reversed.")


@method()
def swapaxes(x, axis1: int, axis2: int) -> Tensor:
    """The tensor with two axes exchanged."""
    return apply("swapaxes", lambda x: x.swapaxes(axis1, axis2), (x,),
                 lambda g, y, x: g.swapaxes(axis1, axis2))


@function(np.linalg.matrix_transpose)
def matrix_transpose(x) -> Tensor:
    """The last two axes exchanged: every matrix of a stack of them transposed."""
    return np.swapaxes(x, -1, -2)


Tensor.mT = property(matrix_transpose, doc="The tensor with its last two axes exchanged.")


@method()
def broadcast_to(x, *shape: int | Sequence[int]) -> Tensor:
    """The tensor repeated to a shape, by NumPy's rules."""
    shape = shape[0] if len(shape) == 1 else shape
    return apply("broadcast_to", lambda x: np.broadcast_to(x, shape), (x,), lambda g, y, x: g)


@method()
def ravel(x, order: str = "C") -> Tensor:
    """All elements along one axis; in the order of `reshape`."""
    return x.reshape(-1, order=order)


Tensor.flatten = ravel


@method()
def squeeze(x, axis: Axis = None) -> Tensor:
    """Without the axes of length 1, or without those given."""
    return apply("squeeze", lambda x: x.squeeze(axis), (x,), lambda g, y, x: g.reshape(x.shape))


@method()
def expand_dims(x, axis: int | tuple[int, ...]) -> Tensor:
    """With new axes of length 1, which stand at these places in the result."""
    return apply("expand_dims", lambda x: np.expand_dims(x, axis), (x,),
                 lambda g, y, x: g.reshape(x.shape))


@method()
def pad(
    x, pad_width: ArrayLike, mode: str = "constant", constant_values: float | Tensor = 0
) -> Tensor:
    """A border around x; pad_width as in `np.pad`.

    mode is "constant", a number or a 0-d Tensor, or as in `np.pad` "edge", "reflect", "symmetric"
    or "wrap", whose border is made of elements of x.
    """
    if mode in ("edge", "reflect", "symmetric", "wrap"):
        places = np.arange(x.size).reshape(x.shape)
        return ravel(x)[np.pad(places, pad_width, mode)]
    if mode != "constant":
        raise ValueError(
            f'pad: mode is "constant", "edge", "reflect", "symmetric" or "wrap", got {mode!r}'
        )
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape))
    return apply("pad", lambda x, c: np.pad(x, widths, constant_values=c), (x, constant_values),
                 lambda g, y, x, c: g[inside],
                 lambda g, y, x, c: g.sum() - g[inside].sum())


@method()
def flip(x, axis: Axis = None) -> Tensor:
    """The elements in reverse order along axis."""
    axes = axes_of("flip", axis, x.ndim)
    return x[tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim))]


@method()
def tril(x, k: int = 0) -> Tensor:
    """The lower triangle of the last two axes, zeros above the k-th diagonal."""
    return apply("tril", lambda x: np.tril(x, k), (x,), lambda g, y, x: np.tril(g, k))


@method()
def triu(x, k: int = 0) -> Tensor:
    """The upper triangle of the last two axes, zeros below the k-th diagonal."""
    return apply("triu", lambda x: np.triu(x, k), (x,), lambda g, y, x: np.triu(g, k))


# Indexing, and its reverse: each is the other's derivative


def index(x, key: object) -> Tensor:
    """x[key] for every index that NumPy takes; an element taken twice adds both gradients."""
    key = arrays.copied(key)
    return apply("index", lambda x: x[key], (x,), lambda g, y, x: scatter(g, key, x.shape))


def scatter(g, key: object, shape: Sequence[int]) -> Tensor:
    """Zeros of this shape with g added at [key]."""
    return apply("scatter", lambda g: arrays.add_at(g, key, shape), (g,), lambda u, y, g: u[key])


Tensor.__getitem__ = index


@method()
def add_at(x, key: object, values) -> Tensor:
    """A new tensor: x with values added at x[key]; an element that stands there twice gets both.

    The values are broadcast to the shape of x[key]. It is what `np.add.at` does in place, and what
    `index_add` and `scatter_add` do in PyTorch.
    """
    key = arrays.copied(key)
    if type(values) in (int, float):
        values = x.dtype.type(values)
    places = np.broadcast_to(False, x.shape)[key]
    return x + scatter(np.broadcast_to(values, places.shape), key, x.shape)


# Several tensors


def linear(x, weights, bias) -> Tensor:
    """x @ weights + bias in one operation: x (..., n), weights (n, m), bias (m,).

    Other shapes that fit do as well, as long as the bias is no larger than the product.
    """
    return apply("linear", arrays.linear, (x, weights, bias),
                 arrays.matmul_left,
                 arrays.matmul_right,
                 lambda g, y, x, w, b: g)


@function()
def outer(a, b) -> Tensor:
    """Every element of a times every element of b, both flattened: (n,) and (m,) give (n, m)."""
    return np.ravel(a)[:, None] * np.ravel(b)


@method()
def dot(a, b) -> Tensor:
    """`np.dot`: the sum of products over the last axis of a and the last but one of b."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(a) == 1 or np.ndim(b) <= 2:
        return a @ b
    n_columns = math.prod(b.shape[:-2]) * b.shape[-1]
    columns = b.transpose(-2, *range(b.ndim - 2), -1).reshape(b.shape[-2], n_columns)
    return (arrays.rows(a) @ columns).reshape(*a.shape[:-1], *b.shape[:-2], b.shape[-1])


@function()
def concatenate(tensors: Sequence[Operand], axis: int | None = 0) -> Tensor:
    """Tensors (or arrays) joined along an axis that exists; flattened first if axis is None."""
    tensors = list(tensors)
    if axis is None:
        tensors, axis = [np.ravel(x) for x in tensors], 0
    if tensors:
        axes_of("concatenate", axis, np.ndim(tensors[0]))

    def join(some):
        lengths = [np.shape(x)[axis] if -np.ndim(x) <= axis < np.ndim(x) else 0 for x in some]
        ends = np.cumsum(lengths).tolist()  # NumPy complains of one that has no such axis
        return apply("concatenate", lambda *xs: np.concatenate(xs, axis), tuple(some),
                     *(lambda g, y, *xs, part=slice(start, end): g[at(axis, part, g.ndim)]
                       for start, end in zip([0, *ends], ends)))

    return by_the_dozen(join, tensors, join)


@function()
def stack(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Tensors (or arrays) of one shape joined along a new axis."""

    def join(some):
        return apply("stack", lambda *xs: np.stack(xs, axis), tuple(some),
                     *(lambda g, y, *xs, i=i: g[at(axis, i, g.ndim)] for i in range(len(some))))

    return by_the_dozen(join, list(tensors), lambda parts: concatenate(parts, axis))


def by_the_dozen(join: Callable, tensors: list, join_parts: Callable) -> Tensor:
    """join(tensors), in parts where they are many.

    Every derivative is given all of the operands, so n of them cost n^2: 32,000 took 10 s.
    """
    if len(tensors) <= 64:
        return join(tensors)
    parts = [join(tensors[i : i + 64]) for i in range(0, len(tensors), 64)]
    return by_the_dozen(join_parts, parts, join_parts)
