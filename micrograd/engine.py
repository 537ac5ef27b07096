"""Reverse-mode automatic differentiation on NumPy arrays.

A `Tensor` wraps an array. Every operation on tensors computes its result with NumPy and remembers
three things: its name, its operands, and one derivative per operand. `backward()` walks this graph
from the result to the leaves and applies the chain rule at every step.

A derivative is a function `(g, y, *operands) -> gradient of its operand`, where `g` is the gradient
of the operation's output and `y` that output. It is plain NumPy arithmetic, and it may ignore
broadcasting: a gradient is summed to its operand's shape in one place, for all operations. The same
functions, run on Tensors instead of arrays, give gradients that can be differentiated again.
"""

from __future__ import annotations

import inspect
import itertools
import math
import operator
import os
import string
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

__all__ = [
    "Tensor", "concatenate", "dot", "einsum", "grad", "hessian", "jacobian", "linear", "maximum",
    "minimum", "no_grad", "norm", "outer", "stack", "where",
]  # fmt: skip

Axis = int | tuple[int, ...] | None

# glibc hands freed memory back to the system at once, and takes it again with a page fault for
# every 4 KB, until it has seen one large block freed; from then on it keeps up to 64 MB for reuse.
# Arrays of some 100 KB and up come and go in every step, and this makes such a step up to twice as
# fast. MICROGRAD_KEEP_MEMORY=0 in the environment leaves the process as it is.
if os.environ.get("MICROGRAD_KEEP_MEMORY") != "0":
    np.empty((32 << 20) - (1 << 16), np.uint8)

# The graph is recorded


class _Recording(threading.local):
    on = True  # in every thread, until that thread says otherwise


_recording = _Recording()


@contextmanager
def _set_recording(on: bool) -> Iterator[None]:
    before, _recording.on = _recording.on, on
    try:
        yield
    finally:
        _recording.on = before


def no_grad():
    """Record nothing: results have no history and require no gradient.

    Use it as `with no_grad(): ...` or, above a function, as `@no_grad()`. It holds for the thread
    that enters it, and for no other.
    """
    return _set_recording(False)


_next_rank = itertools.count(0, -1).__next__  # every operation ranks below all the earlier ones
_OLD_PROMOTION = np.result_type(np.float32(0), 1.0) != np.float32  # NumPy 1: float32(0) * 1.0
_watch = None  # what `debug.detect_anomaly` puts here is told of every operation and gradient


def _apply(op: str, forward: Callable, operands: tuple, *derivatives: Callable) -> Tensor:
    """Run `forward` on the operands' arrays; record the operation if an operand wants a gradient.

    Operands are Tensors, numbers or arrays. Numbers and arrays are constants and stay as they are.
    """
    return _record(op, forward, operands, derivatives)


def _record(op: str, forward: Callable, operands: tuple, derivatives: tuple) -> Tensor:
    """What `_apply` does, with derivatives that are a tuple already."""
    # The loop would do for all; its first two cases, written out, take a tenth off the time of a
    # small operation. So does computing with scalars instead of 0-d arrays, several times over.
    recorded = False
    if len(operands) == 1 and isinstance(operands[0], Tensor):
        (a,) = operands
        recorded, a = a.requires_grad, a._value
        arrays = (a,) if type(a) is not _ndarray or a.ndim else (a[()],)
    elif len(operands) == 2:
        a, b = operands
        if isinstance(a, Tensor):
            recorded, a = a.requires_grad, a._value
            if type(a) is _ndarray and not a.ndim:
                a = a[()]
        else:
            a = _constant(op, a, operands)
        if isinstance(b, Tensor):
            recorded, b = recorded or b.requires_grad, b._value
            if type(b) is _ndarray and not b.ndim:
                b = b[()]
        else:
            b = _constant(op, b, operands)
        arrays = (a, b)
    else:
        arrays = []
        for x in operands:
            if isinstance(x, Tensor):
                recorded = recorded or x.requires_grad
                arrays.append(x._value if x._value.ndim else x._value[()])
            else:
                arrays.append(_constant(op, x, operands))
    if _OLD_PROMOTION and op != "astype":
        dtype = np.result_type(*[x.dtype for x in arrays if hasattr(x, "dtype")])
        arrays = [x.astype(dtype) if hasattr(x, "dtype") else x for x in arrays]
    try:
        y = forward(*arrays)
    except (ValueError, IndexError) as error:
        shapes = " and ".join(str(np.shape(x)) for x in arrays)
        raise type(error)(f"{op} of shape {shapes}: {error}") from None
    if _OLD_PROMOTION and op != "astype":
        y = np.asarray(y, dtype)
    out = _new_tensor(Tensor)
    out._value = y
    out._grad = None
    out._op = op
    if recorded and _recording.on:
        out.requires_grad = True
        out._operands = operands
        out._arrays = arrays
        out._derivatives = derivatives
        out._rank = _next_rank()
    else:
        out.requires_grad = False
        out._operands = ()
    if _watch is not None:
        _watch.made(op, out, arrays)
    return out


def _unary(op: str, forward: Callable, derivative: Callable, doc: str | None = None) -> Callable:
    """The method for an operation on one operand that has no options."""
    derivatives = (derivative,)  # for all calls; see `_binary`

    def operation(self):
        return _record(op, forward, (self,), derivatives)

    operation.__name__, operation.__qualname__, operation.__doc__ = op, f"Tensor.{op}", doc
    return operation


def _binary(op: str, forward: Callable, left: Callable, right: Callable) -> Callable:
    """The method for an operation on two operands that has no options."""
    # One tuple for all calls: a long chain of operations, each with a tuple of its own for the
    # garbage collector to visit, takes a sixth longer.
    derivatives = (left, right)

    def operation(self, other):
        return _record(op, forward, (self, other), derivatives)

    operation.__name__ = op
    return operation


_new_tensor, _ndarray = object.__new__, np.ndarray


def _constant(op: str, x: object, operands: tuple) -> object:
    """Let real numbers and arrays of them pass; anything else is no operand.

    Arrays of integers take the dtype of the Tensors beside them: float32 stays float32.
    """
    if type(x) in (int, float, bool):
        return x
    array = type(x) in (np.ndarray, np.memmap)  # other kinds of array have arithmetic of their own
    if (array or isinstance(x, np.generic)) and x.dtype.kind in "fiub":
        dtypes = [y.dtype for y in operands if isinstance(y, Tensor)]
        return x.astype(np.result_type(*dtypes)) if x.dtype.kind in "iu" and dtypes else x
    raise TypeError(f"{op}: expected a Tensor, a real number or an array of them, got {_name(x)}")


def _name(x: object) -> str:
    """What x is, for an error message."""
    if isinstance(x, np.ndarray):
        kind = "an array" if type(x) is np.ndarray else f"a {type(x).__name__}"
        return f"{kind} of dtype {x.dtype} and shape {x.shape}"
    return f"{x!r:.60} of type {type(x).__name__}"


def _wrap(array: np.ndarray, op: str) -> Tensor:
    """A constant Tensor around this very array: no copy and no history, but for a name."""
    t = Tensor.__new__(Tensor)
    t._value, t.requires_grad, t._grad = array, False, None
    t._op, t._operands = op, ()
    return t


class Tensor:
    """An array, its gradient, and the operation it came out of.

    Args:
        data: numbers, (nested) lists of them, or an array; copied. A floating array keeps its
            dtype, everything else becomes float64.
        requires_grad: whether `backward` computes a gradient for this tensor.
        label: a name, for pictures of the graph.

    Raises:
        TypeError: data is complex, text, ragged or otherwise not an array of real numbers, or is
            a tensor whose history would be lost.
    """

    __slots__ = (
        "_value", "requires_grad", "_label", "_grad", "_owns_grad",
        "_op", "_operands", "_arrays", "_derivatives", "_rank", "__weakref__",
    )  # fmt: skip

    def __init__(self, data: ArrayLike, requires_grad: bool = True, label: str = ""):
        try:
            array = np.array(data)
        except ValueError as error:
            raise TypeError(f"Tensor: expected a rectangular array of numbers: {error}") from None
        if array.dtype.kind in "iub":
            array = array.astype(np.float64)
        elif array.dtype.kind != "f":
            raise TypeError(f"Tensor: expected real numbers, got {_name(data)}")
        self._value, self.requires_grad, self._label = array, bool(requires_grad), label
        self._grad = None
        self._op, self._operands = "", ()

    # All operations have one form: a name, the function on arrays, the operands, and a derivative
    # for each operand. Those without options are made once, by `_unary` and `_binary`, for making
    # their derivatives anew in every call took a tenth of the time of a small operation. The
    # columns are aligned by hand.
    # fmt: off

    # Arithmetic

    __add__ = _binary("+", operator.add,
                      lambda g, y, a, b: g,                            # d(a + b)/da = 1
                      lambda g, y, a, b: g)                            # d(a + b)/db = 1

    __sub__ = _binary("-", operator.sub,
                      lambda g, y, a, b: g,                            # d(a - b)/da = 1
                      lambda g, y, a, b: -g)                           # d(a - b)/db = -1

    __mul__ = _binary("*", operator.mul,
                      lambda g, y, a, b: g * b,                        # d(ab)/da = b
                      lambda g, y, a, b: g * a)                        # d(ab)/db = a

    __truediv__ = _binary("/", operator.truediv,
                          lambda g, y, a, b: g / b,                    # d(a/b)/da = 1/b
                          lambda g, y, a, b: -g * y / b)               # d(a/b)/db = -a/b^2

    __pow__ = _binary("**", lambda a, b: _power(a, b),
                      lambda g, y, a, b: g * _power_slope(a, b),       # d(a^b)/da = b a^(b-1)
                      lambda g, y, a, b: g * y * _log_of_base(y, a, b))   # d(a^b)/db = a^b log(a)

    __matmul__ = _binary("@", lambda a, b: _matmul(a, b),
                         lambda g, y, a, b: _matmul_left(g, a, b),     # d(ab)/da = g b^T
                         lambda g, y, a, b: _matmul_right(g, a, b))    # d(ab)/db = a^T g

    __neg__ = _unary("neg", operator.neg, lambda g, y, x: -g)

    def __radd__(self, other):        # other + self
        return Tensor.__add__(other, self)

    def __rsub__(self, other):        # other - self
        return Tensor.__sub__(other, self)

    def __rmul__(self, other):        # other * self
        return Tensor.__mul__(other, self)

    def __rtruediv__(self, other):    # other / self
        return Tensor.__truediv__(other, self)

    def __rpow__(self, other):        # other ** self
        return Tensor.__pow__(other, self)

    def __rmatmul__(self, other):     # other @ self
        return Tensor.__matmul__(other, self)

    # Elementwise

    exp = _unary("exp", np.exp, lambda g, y, x: g * y,
                 "e^x. Its derivative is the output itself.")

    expm1 = _unary("expm1", np.expm1, lambda g, y, x: g * (y + 1),
                   "e^x - 1, exact for small x.")

    log = _unary("log", np.log, lambda g, y, x: g / x,
                 "The natural logarithm; -inf at 0.")

    log1p = _unary("log1p", np.log1p, lambda g, y, x: g / (1 + x),
                   "log(1 + x), exact for small x.")

    sqrt = _unary("sqrt", np.sqrt, lambda g, y, x: 0.5 * g / y,
                  "The square root.")

    sin = _unary("sin", np.sin, lambda g, y, x: g * np.cos(x),
                 "The sine.")

    cos = _unary("cos", np.cos, lambda g, y, x: -g * np.sin(x),
                 "The cosine.")

    abs = _unary("abs", operator.abs, lambda g, y, x: g * np.sign(x),
                 "The absolute value; its slope at 0 is 0.")

    tanh = _unary("tanh", np.tanh, lambda g, y, x: g * (1 - y * y),
                  "The hyperbolic tangent.")

    sigmoid = _unary("sigmoid", lambda x: _sigmoid(x), lambda g, y, x: g * (y * (1 - y)),
                     "1 / (1 + e^-x), without overflow.")

    relu = _unary("relu", lambda x: np.maximum(x, 0), lambda g, y, x: g * (y > 0),
                  "max(x, 0); its slope at 0 is 0.")

    softplus = _unary("softplus", lambda x: np.logaddexp(x, 0), lambda g, y, x: g * _sigmoid(x),
                      "log(1 + e^x), without overflow: a smooth relu.")

    __abs__ = abs

    def leaky_relu(self, slope: float = 0.01) -> Tensor:
        """x where positive, slope * x elsewhere; its slope at 0 is the small one."""
        return _apply("leaky_relu", lambda x: np.where(x > 0, x, slope * x), (self,),
                      lambda g, y, x: np.where(x > 0, g, slope * g))

    def silu(self) -> Tensor:
        """x * sigmoid(x) (Hendrycks and Gimpel, 2016), also called swish."""
        return self * self.sigmoid()

    def gelu(self, approximate: str = "none") -> Tensor:
        """x * Phi(x), where Phi is the normal distribution function (Hendrycks and Gimpel, 2016).

        `approximate="tanh"` takes their tanh formula for Phi, which is several times faster.
        """
        if approximate == "none":
            return self * (0.5 * (1 + _erf(self * math.sqrt(0.5))))
        if approximate == "tanh":
            return _apply("gelu", lambda x, t: 0.5 * x * (1 + t), (self, _gelu_tanh(self)),
                          lambda g, y, x, t: 0.5 * g * (1 + t),
                          lambda g, y, x, t: 0.5 * g * x)
        raise ValueError(f'gelu: approximate is "none" or "tanh", got {approximate!r}')

    def clip(self, lo=None, hi=None) -> Tensor:
        """x limited to lo <= x <= hi: numbers, arrays, Tensors, or None for no limit.

        The gradient goes to x where it is within the limits (and on them), elsewhere to the limit.
        """
        lo, hi = -np.inf if lo is None else lo, np.inf if hi is None else hi
        return _apply("clip", np.clip, (self, lo, hi),
                      lambda g, y, x, lo, hi: np.where((x >= lo) & (x <= hi), g, 0),
                      lambda g, y, x, lo, hi: np.where((x < lo) & (lo < hi), g, 0),
                      lambda g, y, x, lo, hi: np.where((x > hi) | (lo > hi), g, 0))

    def astype(self, dtype: DTypeLike) -> Tensor:
        """The same numbers as another floating type; the gradient comes back in this one's."""
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"astype: expected a floating dtype, got {np.dtype(dtype)}")
        return _apply("astype", lambda x: x.astype(dtype), (self,), lambda g, y, x: g)

    # Reductions: axis is None (all), an int or a tuple of ints, negative ones count from the end

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The sum over axis."""
        return _apply("sum", lambda x: x.sum(axis=axis, keepdims=keepdims), (self,),
                      lambda g, y, x: _spread(g, x, axis, keepdims))

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The mean over axis."""
        return _apply("mean", lambda x: x.mean(axis=axis, keepdims=keepdims), (self,),
                      lambda g, y, x: _spread(g * (y.size / max(x.size, 1)), x, axis, keepdims))

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The largest value over axis; equal ones share the gradient evenly."""
        return _apply("max", lambda x: x.max(axis=axis, keepdims=keepdims), (self,),
                      lambda g, y, x: _share(g, y, x, axis, keepdims))

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The smallest value over axis; equal ones share the gradient evenly."""
        return _apply("min", lambda x: x.min(axis=axis, keepdims=keepdims), (self,),
                      lambda g, y, x: _share(g, y, x, axis, keepdims))

    def var(self, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
        """The variance over axis: the squared deviations' sum over n - ddof."""
        return _apply("var", lambda x: x.var(axis=axis, keepdims=keepdims, ddof=ddof), (self,),
                      lambda g, y, x: _spread(g, x, axis, keepdims)
                      * _deviation(x, y, axis, ddof) * 2)

    def std(self, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
        """The standard deviation over axis; where it is 0, so is its slope."""
        return _apply("std", lambda x: x.std(axis=axis, keepdims=keepdims, ddof=ddof), (self,),
                      lambda g, y, x: _spread(_over(g, y), x, axis, keepdims)
                      * _deviation(x, y, axis, ddof))

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The product over axis: one half times the other, so that zeros need no special care."""
        axes = _axes("prod", axis, self.ndim)
        kept = [i for i in range(self.ndim) if i not in axes]
        n = math.prod(self.shape[i] for i in axes)
        width = 1 << max(n - 1, 0).bit_length()  # a power of two, filled up with ones
        x = self.transpose(kept + axes).reshape([self.shape[i] for i in kept] + [n])
        x = concatenate([x, np.ones((*x.shape[:-1], width - n), x.dtype)], axis=-1)
        while x.shape[-1] > 1:
            half = x.shape[-1] // 2
            x = x[..., :half] * x[..., half:]
        shape = [1 if i in axes else n for i, n in enumerate(self.shape) if keepdims or i in kept]
        return x.reshape(shape)

    def cumsum(self, axis: int | None = None) -> Tensor:
        """The running sum along axis; of the flattened tensor if axis is None."""
        if axis is None:
            return self.ravel().cumsum(0)
        return _apply("cumsum", lambda x: x.cumsum(axis), (self,),
                      lambda g, y, x: np.flip(np.flip(g, axis).cumsum(axis), axis))

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """log(sum(exp(x))) over axis, without overflow."""
        return _apply("logsumexp", lambda x: _logsumexp(x, axis, keepdims), (self,),
                      lambda g, y, x: _spread(g, x, axis, keepdims)
                      * np.exp(x - _spread(y, x, axis, keepdims)))

    def softmax(self, axis: Axis = None) -> Tensor:
        """exp(x) / sum(exp(x)) along axis, without overflow.

        With no axis: the last one; a vector written as a column (n, 1) counts as one vector.
        """
        axis = _vector_axis(self.shape) if axis is None else axis
        return _apply("softmax", lambda x: _softmax(x, axis), (self,),
                      lambda g, y, x: y * (g - (g * y).sum(axis=axis, keepdims=True)))

    def log_softmax(self, axis: Axis = None) -> Tensor:
        """log(softmax(x)) along axis, without overflow; the axis as in `softmax`."""
        axis = _vector_axis(self.shape) if axis is None else axis
        return _apply("log_softmax", lambda x: _log_softmax(x, axis), (self,),
                      lambda g, y, x: g - np.exp(y) * g.sum(axis=axis, keepdims=True))

    # Shapes

    def reshape(self, *shape) -> Tensor:
        """The same elements in another shape: reshape(2, -1) or reshape((2, -1))."""
        shape = shape[0] if len(shape) == 1 else shape
        return _apply("reshape", lambda x: x.reshape(shape), (self,),
                      lambda g, y, x: g.reshape(x.shape))

    def transpose(self, *axes) -> Tensor:
        """The axes in the order given, transpose(1, 0) or transpose((1, 0)); else reversed."""
        axes = axes[0] if len(axes) == 1 else axes
        if axes is None or np.size(axes) == 0:
            return _apply("transpose", np.transpose, (self,), lambda g, y, x: g.transpose())
        axes = np.atleast_1d(axes).tolist()
        return _apply("transpose", lambda x: x.transpose(axes), (self,),
                      lambda g, y, x: g.transpose(np.argsort([i % x.ndim for i in axes]).tolist()))

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's name)
        """The tensor with its axes reversed."""
        return self.transpose()

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """The tensor with two axes exchanged."""
        return _apply("swapaxes", lambda x: x.swapaxes(axis1, axis2), (self,),
                      lambda g, y, x: g.swapaxes(axis1, axis2))

    def broadcast_to(self, *shape) -> Tensor:
        """The tensor repeated to a shape, by NumPy's rules."""
        shape = shape[0] if len(shape) == 1 else shape
        return _apply("broadcast_to", lambda x: np.broadcast_to(x, shape), (self,),
                      lambda g, y, x: g)

    def ravel(self) -> Tensor:
        """All elements along one axis."""
        return self.reshape(-1)

    flatten = ravel

    def squeeze(self, axis: Axis = None) -> Tensor:
        """Without the axes of length 1, or without those given."""
        return _apply("squeeze", lambda x: x.squeeze(axis), (self,),
                      lambda g, y, x: g.reshape(x.shape))

    def expand_dims(self, axis: int | tuple[int, ...]) -> Tensor:
        """With new axes of length 1, which stand at these places in the result."""
        return _apply("expand_dims", lambda x: np.expand_dims(x, axis), (self,),
                      lambda g, y, x: g.reshape(x.shape))

    def pad(self, pad_width, mode: str = "constant", constant_values: float = 0) -> Tensor:
        """A border of a constant around the tensor; pad_width as in `np.pad`."""
        if mode != "constant":
            raise ValueError(f'pad: mode is "constant", got {mode!r}')
        widths = np.broadcast_to(pad_width, (self.ndim, 2)).tolist()
        inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, self.shape))
        return _apply("pad", lambda x: np.pad(x, widths, constant_values=constant_values), (self,),
                      lambda g, y, x: g[inside])

    def flip(self, axis: Axis = None) -> Tensor:
        """The elements in reverse order along axis."""
        axes = _axes("flip", axis, self.ndim)
        return self[tuple(slice(None, None, -1 if i in axes else 1) for i in range(self.ndim))]

    def tril(self, k: int = 0) -> Tensor:
        """The lower triangle of the last two axes, zeros above the k-th diagonal."""
        return _apply("tril", lambda x: np.tril(x, k), (self,), lambda g, y, x: np.tril(g, k))

    def triu(self, k: int = 0) -> Tensor:
        """The upper triangle of the last two axes, zeros below the k-th diagonal."""
        return _apply("triu", lambda x: np.triu(x, k), (self,), lambda g, y, x: np.triu(g, k))

    # Indexing

    def __getitem__(self, key) -> Tensor:
        """t[key] for every index that NumPy takes; an element taken twice adds both gradients."""
        key = _copied(key)
        return _apply("index", lambda x: x[key], (self,),
                      lambda g, y, x: _scatter(g, key, x.shape))

    # fmt: on

    def __setitem__(self, key, value):
        raise TypeError(
            "a Tensor's elements cannot be assigned, for its history would be wrong: use "
            "where(mask, value, t) for a new tensor, or t.data[key] = value to change a leaf"
        )

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d Tensor")
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d Tensor")
        return (self[i] for i in range(len(self)))

    # Comparisons and positions are plain NumPy: their derivative is zero everywhere

    def __eq__(self, other):
        return self.data == _data(other)

    def __ne__(self, other):
        return self.data != _data(other)

    def __lt__(self, other):
        return self.data < _data(other)

    def __le__(self, other):
        return self.data <= _data(other)

    def __gt__(self, other):
        return self.data > _data(other)

    def __ge__(self, other):
        return self.data >= _data(other)

    __hash__ = object.__hash__  # by identity, though == compares elements

    def argmax(self, axis: int | None = None, keepdims: bool = False):
        """Where the largest value is, as NumPy counts."""
        return self.data.argmax(axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False):
        """Where the smallest value is, as NumPy counts."""
        return self.data.argmin(axis, keepdims=keepdims)

    # The array inside

    @property
    def data(self) -> np.ndarray:
        """The array itself; it may be written to, and replaced."""
        if type(self._value) is not _ndarray:  # a scalar, as NumPy makes them of 0-d arrays
            self._value = np.asarray(self._value)
        return self._value

    @data.setter
    def data(self, array: ArrayLike) -> None:
        array = np.asarray(array)
        if array.dtype.kind != "f":
            raise TypeError(f"data: expected an array of floats, got {_name(array)}")
        self._value = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of every axis."""
        return self._value.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._value.ndim

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self._value.dtype

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._value.size

    def numel(self) -> int:
        """The number of elements."""
        return self._value.size

    def item(self) -> float:
        """The only element as a Python float.

        Raises:
            ValueError: there isn't exactly one.
        """
        if self.size != 1:
            raise ValueError(f"item: expected a tensor of one element, got shape {self.shape}")
        return float(self.data.item())

    def __float__(self) -> float:
        return self.item()

    def __bool__(self) -> bool:
        return bool(self.data)

    def numpy(self) -> np.ndarray:
        """The array itself, sharing memory; what is computed with it has no gradient."""
        return self.data

    def detach(self) -> Tensor:
        """A tensor of the same memory without history, which requires no gradient."""
        return _wrap(self.data, "detach")

    def __repr__(self) -> str:
        value, gradient = (
            np.array2string(x, threshold=20, edgeitems=2 if x.ndim < 3 else 1, separator=", ")
            for x in (self.data, self.grad)
        )
        return f"Tensor(value={value}, shape={self.shape}, grad={gradient})"

    def __getstate__(self) -> tuple:
        if self._operands:
            raise TypeError(
                f"a Tensor made by {self._op!r} cannot be copied or pickled, its history would be "
                "lost: take t.detach()"
            )
        grad = self._grad if self._has_grad() else None
        return self.data, self.requires_grad, self.label, grad

    def __setstate__(self, state: tuple) -> None:
        self.__init__(())
        self._value, self.requires_grad, self.label, self._grad = state
        self._owns_grad = False

    # The gradient

    @property
    def grad(self) -> np.ndarray:
        """The gradient: an array of the tensor's shape and dtype, zeros until `backward` comes."""
        if self._grad is None:
            self._grad, self._owns_grad = np.zeros(self.shape, self.dtype), None
        elif self._owns_grad is False or type(self._grad) is not _ndarray:
            self._grad, self._owns_grad = np.array(self._grad, self.dtype), True
        return self._grad

    @grad.setter
    def grad(self, value: ArrayLike | None) -> None:
        if value is self._grad and value is not None:  # after t.grad += ...
            self._owns_grad = True
            return
        if value is not None and np.shape(value) != self.shape:
            raise ValueError(f"grad of shape {np.shape(value)} for a tensor of shape {self.shape}")
        self._grad = None if value is None else np.array(value, self.dtype)
        self._owns_grad = True

    def _has_grad(self) -> bool:
        """Whether a gradient has come; zeros that were made to be looked at are none."""
        return self._grad is not None and (self._owns_grad is not None or bool(self._grad.any()))

    def backward(self, gradient: ArrayLike | None = None) -> None:
        """Compute the gradient of this tensor with respect to every tensor it was made from.

        It is added to the `grad` of leaves; the `grad` of a tensor in between is what the last
        `backward` gave it.

        Args:
            gradient: the gradient of this tensor, an array of its shape; ones if None, which
                makes it the gradient of the tensor's sum.

        Raises:
            RuntimeError: the tensor requires no gradient.
            ValueError: gradient has another shape.
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward: this tensor requires no gradient; it was computed under no_grad(), or "
                "from constants alone"
            )
        start = _start("backward", self, gradient)
        if isinstance(start, Tensor):
            start = np.array(start.data, self.dtype)
        gradients, owned = _backpropagate(self, start)
        for x, g in gradients.items():
            if x._operands or x._grad is None:
                x._grad, x._owns_grad = g, x in owned
            else:
                x.grad += g

    @property
    def _prev(self) -> tuple[Tensor, ...]:
        """The operands that are Tensors, in order."""
        return tuple(x for x in self._operands if isinstance(x, Tensor))

    @property
    def label(self) -> str:
        """A name, for pictures of the graph."""
        return getattr(self, "_label", "")

    @label.setter
    def label(self, label: str) -> None:
        self._label = label

    # NumPy's functions on Tensors

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if self._operands:
            raise TypeError(
                f"a Tensor made by {self._op!r} does not turn into an array by itself, its "
                "gradient would be lost: take t.detach(), or t.data"
            )
        array = np.asarray(self.data, dtype)
        return array.copy() if copy and array is self.data else array

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if out is not None:
            raise TypeError(
                f"np.{ufunc.__name__}: a Tensor cannot be written into an array, its gradient "
                "would be lost: write array = array + tensor instead of array += tensor"
            )
        if method != "__call__" or options or ufunc not in _OPERATIONS.keys() | _ON_DATA:
            call = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            raise _no_such_function(call, options)
        return ufunc(*map(_data, inputs)) if ufunc in _ON_DATA else _OPERATIONS[ufunc](*inputs)

    def __array_function__(self, function, types, args, options):
        if function in _ON_DATA:
            return function(*map(_data, args), **{k: _data(x) for k, x in options.items()})
        name = f"{function.__module__}.{function.__name__}".replace("numpy", "", 1).lstrip(".")
        if function not in _OPERATIONS:
            raise _no_such_function(name)
        return _call(name, function, args, options)


def _data(x: object) -> object:
    """The array of a Tensor; anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


def _call(name: str, function: Callable, args: tuple, options: dict) -> Tensor:
    """Call the operation that stands for a NumPy function with arguments given as to NumPy."""
    operation, numpys = _OPERATIONS[function], _signature(function)
    if numpys is None or any(p.kind is p.VAR_POSITIONAL for p in numpys.parameters.values()):
        return operation(*args, **options)
    ours = _signature(operation).parameters.values()
    known = {p.name for p in ours}
    tuples = {"shape", *(p.name for p in ours if p.kind is p.VAR_POSITIONAL)}  # reshape(*shape)
    given = numpys.bind(*args, **options).arguments
    given |= given.pop("kwargs", {})
    (_, first), *rest = given.items()
    shape, others = (), {}
    for key, value in rest:
        key = _RENAMED.get(key, key)
        if value is np._NoValue:
            continue
        if key in tuples:
            shape = (value,)
        elif key in known:
            others[key] = value
        elif value is not None and (key, value) != ("order", "C"):
            raise _no_such_function(name, [key])
    return operation(first, *shape, **others)


@cache
def _signature(function: Callable) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except ValueError:  # some of NumPy's functions, written in C, tell none
        return None


# What NumPy's functions call the arguments that operations have under another name
_RENAMED = {
    "a_min": "lo", "a_max": "hi", "min": "lo", "max": "hi", "newshape": "shape", "x": "a", "y": "b",
}  # fmt: skip


def _no_such_function(name: str, options: Iterable[str] = ()) -> TypeError:
    """The error for a NumPy function, or for options of one, that Tensors don't have."""
    given = f" with {', '.join(options)}" if options else ""
    names = sorted({f.__name__ for f in _OPERATIONS if f is not np.linalg.norm} | {"linalg.norm"})
    return TypeError(
        f"np.{name}{given} is not defined for a Tensor (use t.data where no gradient is wanted). "
        f"Defined are: {', '.join(names)}"
    )


# Functions of several tensors

# fmt: off


def maximum(a, b) -> Tensor:
    """The larger of a and b, elementwise; where they are equal, each gets half the gradient."""
    return _apply("maximum", np.maximum, (a, b),
                  lambda g, y, a, b: g * ((a > b) + 0.5 * (a == b)),
                  lambda g, y, a, b: g * ((b > a) + 0.5 * (a == b)))


def minimum(a, b) -> Tensor:
    """The smaller of a and b, elementwise; where they are equal, each gets half the gradient."""
    return _apply("minimum", np.minimum, (a, b),
                  lambda g, y, a, b: g * ((a < b) + 0.5 * (a == b)),
                  lambda g, y, a, b: g * ((b < a) + 0.5 * (a == b)))


def where(condition, a, b) -> Tensor:
    """a where condition holds, elsewhere b; the condition is an array of bools."""
    condition = np.array(condition, bool)  # a copy: it may change before backward()
    return _apply("where", lambda a, b: np.where(condition, a, b), (a, b),
                  lambda g, y, a, b: np.where(condition, g, 0),
                  lambda g, y, a, b: np.where(condition, 0, g))


def linear(x, weights, bias) -> Tensor:
    """x @ weights + bias in one operation: x (..., n), weights (n, m), bias (m,).

    Other shapes that fit do as well, as long as the bias is no larger than the product.
    """
    return _apply("linear", _linear, (x, weights, bias),
                  lambda g, y, x, w, b: _matmul_left(g, x, w),
                  lambda g, y, x, w, b: _matmul_right(g, x, w),
                  lambda g, y, x, w, b: g)


def outer(a, b) -> Tensor:
    """Every element of a times every element of b, both flattened: (n,) and (m,) give (n, m)."""
    return np.ravel(a)[:, None] * np.ravel(b)


def dot(a, b) -> Tensor:
    """`np.dot`: the sum of products over the last axis of a and the last but one of b."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(a) == 1 or np.ndim(b) <= 2:
        return a @ b
    n_columns = math.prod(b.shape[:-2]) * b.shape[-1]
    columns = b.transpose(-2, *range(b.ndim - 2), -1).reshape(b.shape[-2], n_columns)
    return (_rows(a) @ columns).reshape(*a.shape[:-1], *b.shape[:-2], b.shape[-1])


def concatenate(tensors: Sequence, axis: int | None = 0) -> Tensor:
    """Tensors (or arrays) joined along an axis that exists; flattened first if axis is None."""
    tensors = list(tensors)
    if axis is None:
        tensors, axis = [np.ravel(x) for x in tensors], 0
    if tensors:
        _axes("concatenate", axis, np.ndim(tensors[0]))
    ends = np.cumsum([np.shape(x)[axis] if np.ndim(x) else 0 for x in tensors]).tolist()
    return _apply("concatenate", lambda *xs: np.concatenate(xs, axis), tuple(tensors),
                  *(lambda g, y, *xs, part=slice(start, end): g[_at(axis, part, g.ndim)]
                    for start, end in zip([0, *ends], ends)))


def stack(tensors: Sequence, axis: int = 0) -> Tensor:
    """Tensors (or arrays) of one shape joined along a new axis."""
    tensors = list(tensors)
    return _apply("stack", lambda *xs: np.stack(xs, axis), tuple(tensors),
                  *(lambda g, y, *xs, i=i: g[_at(axis, i, g.ndim)] for i in range(len(tensors))))


def norm(x, ord=None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The length of a vector: Euclidean (None or 2), the sum (1) or the largest (inf) of |x|.

    With `ord=None` the axis may also be None (all elements) or a tuple (the Frobenius norm), as in
    `np.linalg.norm`. The slope of the Euclidean norm at 0 is 0.
    """
    if ord is not None and np.ndim(x) != 1 and not isinstance(axis, (int, np.integer)):
        raise ValueError(f"norm: ord={ord!r} is for vectors: name one axis of shape {np.shape(x)}")
    if ord in (None, 2):
        return _apply("norm", lambda x: np.sqrt((x * x).sum(axis=axis, keepdims=keepdims)), (x,),
                      lambda g, y, x: _spread(_over(g, y), x, axis, keepdims) * x)
    if ord == 1:
        return np.abs(x).sum(axis=axis, keepdims=keepdims)
    if ord == np.inf:
        return np.abs(x).max(axis=axis, keepdims=keepdims)
    raise ValueError(f"norm: ord is None, 1, 2 or inf, got {ord!r}")


def einsum(subscripts: str, *operands, optimize: bool | str = True) -> Tensor:
    """Products of operands summed as the subscripts say, `einsum("bij,bjk->bik", x, y)`.

    Everything of `np.einsum`'s string form: "...", repeated letters, implicit output.
    """
    inputs, output = _einsum_labels(subscripts, [np.ndim(x) for x in operands])
    operands = tuple(_diagonal(x, labels) for x, labels in zip(operands, inputs))
    inputs = ["".join(dict.fromkeys(labels)) for labels in inputs]

    def derivative(i: int) -> Callable:
        def d(g, y, *operands):
            others = [x for j, x in enumerate(operands) if j != i]
            labels = [output, *inputs[:i], *inputs[i + 1 :]]
            found = "".join(c for c in inputs[i] if c in "".join(labels))
            part = np.einsum(f"{','.join(labels)}->{found}", g, *others, optimize=optimize)
            alone = tuple(k for k, c in enumerate(inputs[i]) if c not in found)
            part = np.expand_dims(part, alone)  # what was summed over alone is repeated
            ones = [n if m == 1 else 1 for m, n in zip(part.shape, operands[i].shape)]
            return part * np.ones(ones, part.dtype)

        return d

    def forward(*arrays):
        return np.einsum(f"{','.join(inputs)}->{output}", *arrays, optimize=optimize)

    return _apply("einsum", forward, operands, *map(derivative, range(len(operands))))


# fmt: on

# Gradients as Tensors, of any order


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    gradient: ArrayLike | Tensor | None = None,
    create_graph: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    """The gradient of output with respect to each input; no `.grad` is touched.

    Args:
        output: a tensor of any shape.
        inputs: a Tensor, which gives one Tensor, or a sequence of them, which gives a tuple. An
            input that the output does not depend on gets zeros.
        gradient: the gradient of output, of its shape; ones if None.
        create_graph: record the computation, so that the gradients can be differentiated again.

    Raises:
        TypeError: output or an input is not a Tensor.
        ValueError: an input requires no gradient, or gradient has another shape than output.
    """
    several = isinstance(inputs, Iterable) and not isinstance(inputs, Tensor)
    wanted = tuple(inputs) if several else (inputs,)
    for x in (output, *wanted):
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: expected a Tensor, got {_name(x)}")
    for x in wanted:
        if not x.requires_grad:
            raise ValueError(f"grad: an input of shape {x.shape} has requires_grad=False")
    start = _start("grad", output, gradient)
    if create_graph:
        with _set_recording(True):
            start = start if isinstance(start, Tensor) else _wrap(start, "grad")
            gradients, _ = _backpropagate(output, start, on_tensors=True)
            results = [gradients.get(x) for x in wanted]
            for i, g in enumerate(results):
                if g is gradient or any(g is other for other in results[:i]):
                    results[i] = g if g is None else g * 1  # no two share memory
    else:
        gradients, _ = _backpropagate(output, _data(start))
        arrays = [gradients.get(x) for x in wanted]
        results = [
            g if g is None else _wrap(np.array(g, x.dtype), "grad") for x, g in zip(wanted, arrays)
        ]
    results = [
        _wrap(np.zeros_like(x.data), "grad") if g is None else g for x, g in zip(wanted, results)
    ]
    return tuple(results) if several else results[0]


def jacobian(f: Callable, x: ArrayLike | Tensor, create_graph: bool = False) -> Tensor:
    """The derivative of every element of f(x) by every element of x, of shape f(x).shape + x.shape.

    Args:
        f: a function from a Tensor to a Tensor.
        x: where to differentiate.
        create_graph: record the computation, so that the Jacobian can be differentiated again.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    with _set_recording(True):
        y = f(x)
        units = np.eye(y.size, dtype=y.dtype)
        rows = [grad(y, x, unit.reshape(y.shape), create_graph) for unit in units]
        if not rows:
            return _wrap(np.zeros(y.shape + x.shape, x.dtype), "grad")
        return stack(rows).reshape(y.shape + x.shape)


def hessian(f: Callable, x: ArrayLike | Tensor, create_graph: bool = False) -> Tensor:
    """The second derivatives of f, a function from a Tensor to one number: x.shape + x.shape.

    Raises:
        ValueError: f gives more or less than one number.
    """

    def slope(x):
        y = f(x)
        if y.size != 1:
            raise ValueError(f"hessian: f is to give one number, it gave shape {y.shape}")
        return grad(y, x, create_graph=True)

    return jacobian(slope, x, create_graph)


def _start(op: str, output: Tensor, gradient: ArrayLike | Tensor | None) -> np.ndarray | Tensor:
    """The gradient that a backward pass starts from: the one given, as a copy, or ones."""
    if gradient is None:
        return np.ones(output.shape, output.dtype) if output.ndim else output.dtype.type(1)
    if np.shape(gradient) != output.shape:
        raise ValueError(
            f"{op}: a gradient of shape {np.shape(gradient)} for a tensor of shape {output.shape}"
        )
    return gradient if isinstance(gradient, Tensor) else np.array(gradient, output.dtype)


def _backpropagate(
    output: Tensor, start: np.ndarray | Tensor, on_tensors: bool = False
) -> tuple[dict, set]:
    """Walk the graph behind output and apply the chain rule to every operation, the newest first.

    Returns the gradients, and the set of the tensors that own theirs: an array which nothing else
    refers to, so that it may be added to in place.
    """
    gradients, owned = {output: start}, {output}
    todo = (
        [(output._rank, output)] if output._operands else []
    )  # a heap: all users precede what they use
    while todo:
        _, node = heappop(todo)
        g, y, operands = gradients[node], node._value, node._arrays
        if on_tensors:
            y, operands = node, node._operands
        if _watch is not None:
            _watch.before(node, node._arrays)
        for x, derivative in zip(node._operands, node._derivatives):
            if not (isinstance(x, Tensor) and x.requires_grad):
                continue
            d = derivative(g, y, *operands)
            if _watch is not None:
                _watch.gradient(node, x, d)
            if type(d) is _ndarray or on_tensors:  # else a scalar, as x is
                value = x._value
                if d.shape != value.shape:
                    d = _sum_to(d, value.shape)
                if d.dtype is not value.dtype:
                    d = d.astype(value.dtype)
            if x not in gradients:
                gradients[x] = d
                if x._operands:
                    heappush(todo, (x._rank, x))
                if type(d) is _ndarray:
                    if d.base is None and d is not g:
                        owned.add(x)
                    else:  # d may be g or a view of it: from now on neither is written to
                        owned.discard(node)
            elif x in owned:
                gradients[x] += d
            else:
                gradients[x] = gradients[x] + d
                owned.add(x)
    return gradients, owned


# Derivatives and forward functions of more than one step. They too take arrays or Tensors.


def _sum_to(g, shape: tuple[int, ...]):
    """Sum g over the axes along which an operand of this shape was broadcast."""
    lead = g.ndim - len(shape)
    if lead and len(shape) == 1:  # the sum of rows as a product: up to five times as fast
        rows = _rows(g)
        g = np.ones(len(rows), rows.dtype) @ rows
    elif lead:
        g = g.sum(axis=tuple(range(lead)))
    if g.shape == shape:
        return g
    ones = tuple(i for i, n in enumerate(shape) if n == 1 != g.shape[i])
    return g.sum(axis=ones, keepdims=True) if ones else g


def _spread(g, x, axis: Axis, keepdims: bool):
    """Repeat g, which belongs to a reduction of x over axis, to the shape of x."""
    if not x.ndim:
        return g
    if isinstance(g, np.generic):  # a scalar: np.broadcast_to would take ten times as long
        return np.ndarray(x.shape, g.dtype, np.asarray(g), strides=(0,) * x.ndim)
    if axis is not None and not keepdims:
        g = np.expand_dims(g, axis)
    return np.broadcast_to(g, x.shape)


def _share(g, y, x, axis: Axis, keepdims: bool):
    """The derivative of max and min: all elements equal to y share g evenly."""
    equal = x == _spread(y, x, axis, keepdims)
    return _spread(g, x, axis, keepdims) * (equal / equal.sum(axis=axis, keepdims=True))


def _deviation(x, y, axis: Axis, ddof: float):
    """(x - mean) / (n - ddof), where y is a reduction of x over axis."""
    n = x.size / max(y.size, 1)
    return (x - x.mean(axis=axis, keepdims=True)) * (1 / (n - ddof) if n > ddof else np.nan)


def _over(g, y):
    """g / y, but 0 where y is 0."""
    return g * (y != 0) / (y + (y == 0))


def _axes(op: str, axis: Axis, ndim: int) -> list[int]:
    """An axis argument as a list of non-negative ints."""
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if any(not -ndim <= i < ndim for i in axes):
        raise ValueError(f"{op}: axis {axis} is out of bounds for a tensor of {ndim} axes")
    return [i % ndim for i in axes]


def _at(axis: int, key: int | slice, ndim: int) -> tuple:
    """The index that applies key to one axis and takes all of the others."""
    return (slice(None),) * (axis % ndim) + (key,)


def _vector_axis(shape: tuple[int, ...]) -> int | tuple[()]:
    """The axis of softmax when none is given: the last, but the first of a column (n, 1)."""
    if len(shape) == 2 and shape[1] == 1:
        return 0
    return -1 if shape else ()


def _power(a, b):
    """a ** b; the cube by multiplication, for np.power takes 200 times as long."""
    return a * a * a if type(b) in (int, float) and b == 3 else a**b


def _power_slope(a, b):
    """b a^(b-1), the slope of a^b in a; 0 where both are 0, though 0^-1 is infinite."""
    if type(b) in (int, float):
        return b * (a if b == 2 else _power(a, b - (b != 0)))
    a = np.where((a == 0) & (b == 0), 1, a)
    return b * a ** (b - a.dtype.type(1))


def _log_of_base(y, a, b):
    """log(a), the slope of y = a^b in b over y; at a = 0 the slope is 0 for b >= 0, as 0^b is."""
    return np.log(np.where((a == 0) & (b >= 0), 1, a).astype(y.dtype))


def _sigmoid(x):
    """1 / (1 + e^-x) = e^x / (1 + e^x): neither exponent is ever positive."""
    if isinstance(x, Tensor):
        return x.sigmoid()
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def _erf(x: Tensor) -> Tensor:
    """The error function, which NumPy lacks: element by element, by Python's `math`."""

    def forward(x):
        return np.fromiter(map(math.erf, x.ravel().tolist()), x.dtype, x.size).reshape(x.shape)

    return _apply(
        "erf", forward, (x,), lambda g, y, x: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x)
    )


def _gelu_tanh(x: Tensor) -> Tensor:
    """tanh(c (x + 0.044715 x^3)) with c = sqrt(2 / pi), from the tanh formula for gelu."""
    c = math.sqrt(2 / math.pi)
    return _apply(
        "gelu_tanh",
        lambda x: np.tanh(x * (c + 0.044715 * c * x * x)),
        (x,),
        lambda g, y, x: g * (1 - y * y) * (c + 3 * 0.044715 * c * x * x),
    )


def _logsumexp(x: np.ndarray, axis: Axis, keepdims: bool) -> np.ndarray:
    """log(sum(exp(x))), with the largest x taken out of the sum."""
    top = x.max(axis=axis, keepdims=True, initial=-np.inf)
    if np.isfinite(top).all():
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    else:  # of nothing, or of -inf alone, it is log(0) = -inf
        top = np.where(np.isfinite(top), top, 0)
        with np.errstate(divide="ignore", over="ignore"):
            y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis)


def _log_softmax(x: np.ndarray, axis: Axis) -> np.ndarray:
    x = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True)) if x.size else x


def _softmax(x: np.ndarray, axis: Axis) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=axis, keepdims=True)


def _rows(x):
    """All axes but the last as one: (..., n) as (m, n)."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _matmul(a, b):
    """a @ b; many matrices times one as a single product, which is faster."""
    if getattr(b, "ndim", 0) == 2 and getattr(a, "ndim", 0) > 2:  # not of a plain number
        return (_rows(a) @ b).reshape(*a.shape[:-1], b.shape[-1])
    return np.matmul(a, b)


def _matmul_left(g, a, b):
    """The gradient of a in y = a @ b: g @ b^T, with the axes that a vector lacks put in."""
    if b.ndim == 1:
        return g[..., None] * b
    if a.ndim == 1:
        return (b @ g[..., None])[..., 0]
    return _matmul(g, b.swapaxes(-1, -2))


def _matmul_right(g, a, b):
    """The gradient of b in y = a @ b: a^T @ g, summed over the batch if b has none."""
    if b.ndim == 1:
        return g.reshape(-1) @ _rows(a)
    if a.ndim == 1:
        return a[:, None] * g[..., None, :]
    if b.ndim == 2:
        return _rows(a).T @ _rows(g)
    return a.swapaxes(-1, -2) @ g


def _linear(x: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    y = _matmul(x, weights)
    return np.add(y, bias, out=y if y.dtype == bias.dtype else None)


def _copied(key):
    """An index whose arrays and lists may change without changing this one."""
    if isinstance(key, tuple):
        return tuple(map(_copied, key))
    return key.copy() if isinstance(key, (np.ndarray, list)) else key


def _scatter(g, key, shape: tuple[int, ...]):
    """Zeros of this shape with g added at [key]: the derivative of indexing, and the reverse."""
    if isinstance(g, Tensor):
        return _apply("scatter", lambda g: _scatter(g, key, shape), (g,), lambda gg, y, g: gg[key])
    out = np.zeros(shape, g.dtype)
    parts = key if isinstance(key, tuple) else (key,)
    if all(isinstance(k, (int, slice, type(None), type(...))) for k in parts):
        out[key] = g  # takes no element twice
    else:  # np.add.at is several times faster along one axis than along rows
        places = np.arange(out.size).reshape(shape)[key]
        np.add.at(out.reshape(-1), places.reshape(-1), g.reshape(-1))
    return out


def _einsum_labels(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """The labels of each operand and of the output, one letter per axis, without "..."."""
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: expected subscripts like 'ij,jk->ik', got {_name(subscripts)}")
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} is for {len(inputs)} operands, got {len(ndims)}")
    spare = [c for c in string.ascii_letters if c not in subscripts]
    batch = ""
    for i, (labels, ndim) in enumerate(zip(inputs, ndims)):
        more = ndim - len(labels.replace("...", ""))
        if more < 0 or (more and "..." not in labels):
            raise ValueError(f"einsum: {labels!r} does not fit an operand of {ndim} axes")
        letters = "".join(reversed(spare[:more]))  # "..." is aligned at its last axis
        inputs[i] = labels.replace("...", letters)
        batch = max(batch, letters, key=len)
    if arrow:
        return inputs, output.replace("...", batch)
    every = "".join(inputs)
    return inputs, batch + "".join(
        sorted(c for c in set(every) - set(batch) if every.count(c) == 1)
    )


def _diagonal(x, labels: str):
    """Take the diagonal of the axes of x that share a label, so that every label stands once."""
    unique = list(dict.fromkeys(labels))
    if len(unique) == len(labels):
        return x
    for c in unique:
        if len({n for n, label in zip(x.shape, labels) if label == c}) > 1:
            raise ValueError(f"einsum: label {c!r} of {labels!r} has several lengths in {x.shape}")
    places = np.indices([x.shape[labels.index(c)] for c in unique], sparse=True)
    return x[tuple(places[unique.index(c)] for c in labels)]


# NumPy's names for all of this, for `np.exp(t)`, `array * t` and the like

_SAME_NAME = [
    Tensor.exp, Tensor.expm1, Tensor.log, Tensor.log1p, Tensor.sqrt, Tensor.sin, Tensor.cos,
    Tensor.tanh, Tensor.abs, Tensor.clip, Tensor.sum, Tensor.mean, Tensor.max, Tensor.min,
    Tensor.var, Tensor.std, Tensor.prod, Tensor.cumsum, Tensor.reshape, Tensor.transpose,
    Tensor.swapaxes, Tensor.broadcast_to, Tensor.ravel, Tensor.squeeze, Tensor.expand_dims,
    Tensor.pad, Tensor.flip, Tensor.tril, Tensor.triu,
    concatenate, dot, einsum, maximum, minimum, outer, stack, where,
]  # fmt: skip
_OPERATIONS = {
    np.add: Tensor.__add__,
    np.subtract: Tensor.__sub__,
    np.multiply: Tensor.__mul__,
    np.divide: Tensor.__truediv__,
    np.power: Tensor.__pow__,
    np.matmul: Tensor.__matmul__,
    np.negative: Tensor.__neg__,
    np.linalg.norm: norm,
    np.amax: Tensor.max,
    np.amin: Tensor.min,
    **{getattr(np, operation.__name__): operation for operation in _SAME_NAME},
}

# What is constant wherever it has a derivative: computed on the arrays, as comparisons are
_ON_DATA = frozenset({
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.sign, np.isfinite, np.isinf, np.isnan, np.shape, np.ndim, np.size, np.argmax, np.argmin,
})  # fmt: skip
