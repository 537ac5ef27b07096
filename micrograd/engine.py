"""The engine: a Tensor that remembers how it was made, and the way back through all of it.

A `Tensor` wraps a NumPy array. An operation computes its result with NumPy, and the result
remembers the operation's name, its operands, and a derivative for each. This is multiplication:

    __mul__ = operation("*", operator.mul,
                        lambda g, y, a, b: g * b,      # d(ab)/da = b
                        lambda g, y, a, b: g * a)      # d(ab)/db = a

A derivative takes the gradient g of the result, the result y, and the operands, and gives the
gradient of its operand. It is plain NumPy, and knows nothing of broadcasting: on the way back a
gradient is summed to its operand's shape, in one place. Run on Tensors instead of arrays, the same
lines give gradients that can be differentiated again.

Here are the graph and the arithmetic. The other operations are in operations.py, a few lines each.
"""

from __future__ import annotations

import operator
import sys
import threading
from collections.abc import Callable
from heapq import heappop, heappush

import numpy as np

from micrograd import arrays
from micrograd.protocol import ForeignError, Protocol, constant, data_of, first_gradient, reflected
from micrograd.recording import next_age, recorded_for, recording

__all__ = ["Tensor", "apply", "no_grad", "operation"]

# The way there: a result remembers the operation it came out of
_new = object.__new__
_one_at_a_time = threading.Lock()  # for threads that share leaves


def no_grad(function: Callable | None = None):
    """`with no_grad(): ...`, or `@no_grad` on a function: what is computed there has no history."""
    return recording(False) if function is None else recording(False)(function)


def apply(op: str, forward: Callable, operands: tuple, *derivatives: Callable) -> Tensor:
    """The result of an operation, which remembers it if an operand requires a gradient.

    Args:
        op: its name.
        forward: a function of the operands' arrays, in NumPy. It gives an array of floats, or a
            tuple of one and whatever else the derivatives need of it.
        operands: Tensors, and as constants, for which no gradient is computed, arrays and numbers.
        derivatives: for each operand a function (g, y, *operands, *whatever) that gives its
            gradient: a new array, or g, or a view of g. It may ignore broadcasting.

    Raises:
        TypeError: an operand is none of these, or has no derivative.
        ValueError: the shapes don't fit.
    """
    if len(operands) != len(derivatives):
        raise TypeError(f"{op}: {len(derivatives)} derivatives for {len(operands)} operands")
    return record(op, forward, operands, derivatives)


def operation(op: str, forward: Callable, *derivatives: Callable, doc: str = "") -> Callable:
    """An operation on one or two operands, without options, as a function; see `apply`."""

    def unary(x) -> Tensor:
        return record(op, forward, (x,), derivatives)

    def binary(a, b) -> Tensor:
        try:
            return record(op, forward, (a, b), derivatives)
        except ForeignError:  # an operator leaves it to the other's type
            return NotImplemented

    if len(derivatives) not in (1, 2):
        raise TypeError(f"{op}: an operation has one or two derivatives, for more there is apply")
    function = unary if len(derivatives) == 1 else binary
    function.__module__ = sys._getframe(1).f_globals["__name__"]  # where pickle finds it
    function.__name__, function.__qualname__, function.__doc__ = op, op, doc
    return function


def record(op: str, forward: Callable, operands: tuple, derivatives: tuple) -> Tensor:
    """What `apply` does; `detect_anomaly` puts a watchful version in its place."""
    values, wanted = [], False
    for x in operands:
        if isinstance(x, Tensor) and x._requires_grad:
            wanted = True
            values.append(x._value)
        else:
            values.append(constant(op, x, operands))
    try:
        y = forward(*values)
    except arrays.ERRORS as error:
        raise arrays.explained(op, values, error) from error
    if type(y) is tuple:
        y, *kept = y
        values += kept
    out = _new(Tensor)
    out._value, out._requires_grad, out.label = y, False, ""
    out._grad = out._received = None
    out._op, out._operands, out._written = op, (), 1
    if wanted and (running := recorded_for.get()):
        out._requires_grad, out._age = True, next_age()
        out._owner = running.owner
        out._operands, out._values = operands, tuple(values)
        out._forward, out._derivatives = forward, derivatives
    return out


def wrap(value: np.ndarray, op: str = "") -> Tensor:
    """A constant Tensor around this very array."""
    return record(op, lambda: value, (), ())


class Tensor(Protocol):
    """An array, its gradient, and the operation it came out of.

    Args:
        data: numbers, (nested) lists of them, or an array; copied. A floating array keeps its
            dtype, everything else becomes float64.
        requires_grad: whether `backward` computes a gradient for this tensor.
        label: a name, for pictures of the graph.

    Raises:
        TypeError: data is no array of real numbers, or a tensor whose history would be lost.
    """

    __slots__ = (
        "_value", "_requires_grad", "label", "_grad", "_received",
        "_op", "_operands", "_values", "_forward", "_derivatives", "_age", "_owner", "_written",
        "__weakref__",
    )  # fmt: skip

    def __init__(self, data: np.typing.ArrayLike, requires_grad: bool = True, label: str = ""):
        array = arrays.floats(data)
        self._value = array if array.ndim else array[()]  # NumPy computes faster with its scalars
        self._requires_grad, self.label = bool(requires_grad), label
        self._grad = self._received = None
        self._op, self._operands, self._written = "", (), 1  # older than any result

    # fmt: off
    __add__ = operation("+", operator.add,
                        lambda g, y, a, b: g,                               # d(a + b)/da = 1
                        lambda g, y, a, b: g)                               # d(a + b)/db = 1

    __sub__ = operation("-", operator.sub,
                        lambda g, y, a, b: g,                               # d(a - b)/da = 1
                        lambda g, y, a, b: -g)                              # d(a - b)/db = -1

    __mul__ = operation("*", operator.mul,
                        lambda g, y, a, b: g * b,                           # d(ab)/da = b
                        lambda g, y, a, b: g * a)                           # d(ab)/db = a

    __truediv__ = operation("/", operator.truediv,
                            lambda g, y, a, b: g / b,                       # d(a/b)/da = 1/b
                            lambda g, y, a, b: -g * y / b)                  # d(a/b)/db = -a/b^2

    __pow__ = operation("**", arrays.power,
                        lambda g, y, a, b: g * arrays.power_slope(a, b),    # d(a^b)/da = b a^(b-1)
                        lambda g, y, a, b: g * y * arrays.log_of_base(y, a, b))  # d/db = a^b log a

    __matmul__ = operation("@", arrays.matmul,
                           arrays.matmul_left,                              # d(ab)/da: g b^T
                           arrays.matmul_right)                             # d(ab)/db: a^T g

    __neg__ = operation("neg", operator.neg, lambda g, y, x: -g)            # d(-x)/dx = -1
    # fmt: on

    __radd__, __rsub__, __rmul__ = map(reflected, (__add__, __sub__, __mul__))
    __rtruediv__, __rpow__, __rmatmul__ = map(reflected, (__truediv__, __pow__, __matmul__))

    def detach(self) -> Tensor:
        """A tensor of the same memory without history, which requires no gradient."""
        return wrap(self.data, "detach")

    def backward(self, gradient: object = None, retain_graph: bool = True) -> None:
        """Compute the gradient of this tensor with respect to every tensor it was made from.

        It is added to the `grad` of leaves; that of a tensor in between is of the last `backward`.

        Args:
            gradient: that of this tensor, of its shape; ones if None: the gradient of its sum.
            retain_graph: for those who come from PyTorch; a graph stays as long as its tensors.

        Raises:
            RuntimeError: the tensor requires no gradient.
            ValueError: gradient has another shape.
        """
        if not self._requires_grad:
            raise RuntimeError("backward: this tensor requires no gradient; is it of no_grad()?")
        start = first_gradient("backward: a gradient", self, data_of(gradient))
        gradients = backpropagate(self, start)
        with _one_at_a_time:
            for x, g in gradients.items():
                if x._operands:
                    x._grad, x._received = None, g
                elif g.shape != x._value.shape:
                    raise RuntimeError(f"backward: a gradient {g.shape} for a leaf {x.shape}")
                elif x._grad is None:
                    x._grad = x._received = g if g.ndim else np.asarray(g, x.dtype)
                else:
                    x.grad += g

    def _backward(self) -> None:
        """Add what `grad` gives to the operands' own: one turn of `backward`, on a fresh graph."""
        for x, g in backpropagate(self, self.grad, far=False).items():
            if x is not self:
                x.grad = x.grad + g


# The way back: a tensor hands its gradient on to the operands it was made from


def backpropagate(output: Tensor, start, on_tensors: bool = False, far: bool = True) -> dict:
    """The gradients of output and of all behind it, or of its operands alone if not far.

    The youngest tensor comes first. It is younger than all that it was made from, so when its turn
    comes it has collected the gradients from all its uses.
    """
    gradients, todo = {output: start}, [(0, output)] if output._operands else []
    while todo:
        _, node = heappop(todo)
        g, y, operands = gradients[node], node._value, node._values
        if on_tensors:
            y, operands = node, node._operands
            if len(node._values) > len(operands):  # it kept more, which becomes Tensors too
                operands = (*operands, *node._forward(*operands)[1:])
        for x, value, derivative in zip(node._operands, node._values, node._derivatives):
            if not (isinstance(x, Tensor) and x._requires_grad):
                continue
            d = derivative(g, y, *operands)
            if not x._operands and x._written < node._age:
                raise RuntimeError(f"backward: a leaf was written to in place after {node.op!r}")
            if not isinstance(d, np.generic):  # a number fits; a chain of them saves a fifth
                d = d if on_tensors else data_of(d)
                if d.shape != value.shape or d.dtype != value.dtype:
                    d = sum_to(d, value)
            if x not in gradients:
                if x._operands and far:
                    heappush(todo, (x._age, x))
                elif not on_tensors and (d is g or d.base is not None):
                    d = d.copy()  # the gradient of a leaf is its own
                gradients[x] = d
            elif x._operands:  # not in place, for others may have its first gradient too
                gradients[x] = gradients[x] + d
            else:
                gradients[x] += d
    return gradients


def sum_to(g, x):
    """Sum g over the axes along which x was broadcast; in the dtype of x."""
    if g.ndim > x.ndim:
        g = arrays.sum_leading(g, g.ndim - x.ndim)
    if g.shape != x.shape:
        ones = tuple(i for i, (n, m) in enumerate(zip(x.shape, g.shape)) if n == 1 != m)
        g = arrays.sum_keeping(g, ones)
    return g if g.dtype == x.dtype else g.astype(x.dtype)
