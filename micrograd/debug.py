"""Two instruments for gradients that look wrong: `gradcheck` and `detect_anomaly`."""

from __future__ import annotations

import linecache
import os
import sys
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from micrograd import engine
from micrograd.engine import Tensor, grad

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["detect_anomaly", "gradcheck"]


# Derivatives against differences


def gradcheck(
    f: Callable[..., Tensor], *inputs: Tensor | ArrayLike, eps: float = 1e-6, atol: float = 1e-5
) -> bool:
    """Compare the derivatives of f with central differences, (f(x + h) - f(x - h)) / 2h.

    What is compared is the gradient of a sum of f's elements with weights that all differ, so that
    a factor which is lost or exchanged between elements shows.

    Args:
        f: a function of the inputs that gives a Tensor of any shape, the same one in every call.
        inputs: float64 Tensors, or arrays to make such Tensors of. Every element of those that
            require a gradient is moved to and fro, in the Tensor itself, and put back: to check the
            parameters of a model, give them here, and let f run the model whatever its arguments.
        eps: h is eps, or eps * abs(x) where that is more.
        atol: the largest error allowed, relative to the difference quotient where it exceeds 1.

    Returns:
        True.

    Raises:
        AssertionError: a derivative is wrong. The message names the operand, the element that is
            furthest off, and both numbers.
        TypeError: f gives no Tensor, or an input is not float64.
        ValueError: f gives another result when called again.
    """
    operands = [x if isinstance(x, Tensor) else Tensor(x) for x in inputs]
    for i, x in enumerate(operands):
        if x.dtype != np.float64:
            raise TypeError(
                f"gradcheck: operand {i} is {x.dtype}, whose rounding hides the differences: "
                "give float64"
            )
    checked = [(i, x) for i, x in enumerate(operands) if x.requires_grad]
    given = [x.data for x in operands]

    def value() -> np.ndarray:
        return _result(f, operands).data.copy()

    with engine._set_recording(True):  # f may itself compute gradients, also for the differences
        try:
            for x in operands:
                x.data = x.data.copy()
            output = _result(f, operands)
            if not np.array_equal(output.data, value(), equal_nan=True):
                raise ValueError(
                    "gradcheck: f gives another result when called again: switch off its "
                    "randomness (model.eval() for dropout), or seed it inside f"
                )
            weights = 1.5 + np.sin(np.arange(output.size)).reshape(output.shape)
            gradients = grad(output, [x for _, x in checked], weights)
            for (i, x), gradient in zip(checked, gradients):
                _compare(i, x, gradient.data, _differences(value, x, weights, eps), atol)
        finally:
            for x, array in zip(operands, given):
                x.data = array
    return True


def _result(f: Callable[..., Tensor], operands: list[Tensor]) -> Tensor:
    y = f(*operands)
    if not isinstance(y, Tensor):
        raise TypeError(f"gradcheck: f gives {engine._name(y)}, not a Tensor")
    return y


def _differences(
    value: Callable[[], np.ndarray], x: Tensor, weights: np.ndarray, eps: float
) -> np.ndarray:
    """The difference quotients of the weighted sum of value() for every element of x."""
    quotients = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        middle = x.data[index]
        h = eps * max(1, abs(middle))
        x.data[index] = above = middle + h
        high = value()
        x.data[index] = below = middle - h
        low = value()
        x.data[index] = middle
        quotients[index] = (weights * (high - low)).sum() / (above - below)
    return quotients


def _compare(
    operand: int, x: Tensor, gradient: np.ndarray, quotients: np.ndarray, atol: float
) -> None:
    off = np.abs(gradient - quotients) / np.maximum(1, np.abs(quotients))
    wrong = ~(off <= atol)  # nan is wrong as well
    if wrong.any():
        worst = np.unravel_index(np.where(np.isnan(off), np.inf, off).argmax(), x.shape)
        name = f" ({x.label})" if x.label else ""
        raise AssertionError(
            f"gradcheck: operand {operand}{name} of shape {x.shape}, element "
            f"{tuple(map(int, worst))}: the derivative is {gradient[worst]:.9g}, central "
            f"differences say {quotients[worst]:.9g} ({wrong.sum()} of {wrong.size} elements are "
            "off)"
        )


# Anomalies


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Stop at the first operation that goes wrong, and name it and the line of code that ran it.

    Use it as `with detect_anomaly(): ...` around the forward and the backward pass, or as a
    decorator. It judges the work of the thread that entered it, and may be nested. Inside it, every
    operation costs a look at all its elements; outside, nothing.

    An infinity that was given to an operation is taken for deliberate, as in a mask of -inf before
    a softmax; one that an operation makes out of finite numbers is not.

    Raises:
        FloatingPointError: the output of an operation, or the gradient of an operand, is not
            finite.
        RuntimeError: the array of an operand, or of a result, was changed between the operation
            and `backward()`, which would compute a derivative with the wrong numbers.
    """
    global _inside, _replaced
    with _lock:
        if not _inside:
            _replaced, engine._watch = engine._watch, _watch
        _inside += 1
    _watch.depth += 1
    try:
        with np.errstate(all="ignore"):  # here these are errors, with more to say than a warning
            yield
    finally:
        _watch.depth -= 1
        if not _watch.depth:
            _watch.made_here.clear()
        with _lock:
            _inside -= 1
            if not _inside:
                engine._watch = _replaced


class _Watch(threading.local):
    """What the engine reports to while a thread is inside `detect_anomaly`; a state per thread."""

    def __init__(self):
        self.depth = 0
        self.made_here = {}  # by rank: the line that ran an operation, and checksums of its arrays

    def made(self, op: str, out: Tensor, arrays: list) -> None:
        """`op` has turned the arrays into out."""
        if not self.depth:
            return
        line, differentiating = _caller()
        # within a derivative, `gradient` judges the whole and names the operation it belongs to
        if not differentiating and _made_non_finite(op, out.data, arrays):
            raise FloatingPointError(
                f"{op!r} gave {_first_non_finite(out.data)}\n{_operation(out.data, arrays)}"
                f"\n{_told(line)}"
            )
        if out.requires_grad:
            forget, rank = self.made_here.pop, out._rank
            alive = weakref.ref(out, lambda _: forget(rank, None))
            self.made_here[rank] = alive, line, [_checksum(x) for x in (out.data, *arrays)]

    def before(self, node: Tensor, arrays: list) -> None:
        """The derivatives of node are about to be computed."""
        if not self.depth or node._rank not in self.made_here:
            return
        _, line, checksums = self.made_here[node._rank]
        places = ["its result", *(f"operand {i}" for i in range(len(arrays)))]
        tensors, used = (node, *node._operands), (node.data, *arrays)
        for place, x, array, checksum in zip(places, tensors, used, checksums):
            now = engine._data(x)
            if _checksum(array) != checksum or (now is not array and _checksum(now) != checksum):
                raise RuntimeError(
                    f"backward: {place} of {node._op!r}, of shape {np.shape(now)}, was changed "
                    "after the operation had run: its derivative would be computed with the wrong "
                    "numbers. Change data after backward(), or compute with a copy\n"
                    f"{_told(line)}"
                )

    def gradient(self, node: Tensor, x: Tensor, d) -> None:
        """d is the gradient of node's operand x, before it is summed to the shape of x."""
        d = engine._data(d)
        if not self.depth or np.isfinite(d).all():
            return
        line = self.made_here.get(node._rank, (None, None))[1]
        place = next(i for i, operand in enumerate(node._operands) if operand is x)
        raise FloatingPointError(
            f"backward: the gradient of operand {place} of {node._op!r} is "
            f"{_first_non_finite(d)}\n{_operation(node.data, node._arrays)}\n{_told(line)}"
        )


_lock = threading.Lock()
_watch = _Watch()
_inside = 0  # how many times threads have entered `detect_anomaly` without having left it
_replaced = None  # what stood in the engine's place for a watch before

_NOT_THE_CALLER = tuple(os.path.dirname(m.__file__) + os.sep for m in (engine, np))


def _caller() -> tuple[tuple[str, int, str], bool]:
    """The file, line and function that called the engine, and whether it is differentiating."""
    frame, differentiating = sys._getframe(2), False
    while frame.f_back and frame.f_code.co_filename.startswith(_NOT_THE_CALLER):
        differentiating |= frame.f_code is engine._backpropagate.__code__
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name), differentiating


def _told(line: tuple[str, int, str] | None) -> str:
    """A line of code, for an error message."""
    if line is None:
        return "the operation was run before detect_anomaly() was entered: enter it before"
    file, number, function = line
    # cells of a notebook have file names too, of files that don't exist
    place = f'File "{file}", line {number}' if os.path.exists(file) else f"line {number} of a cell"
    source = linecache.getline(file, number).strip()
    return f"run at {place}, in {function}" + (f"\n    {source}" if source else "")


def _made_non_finite(op: str, y: np.ndarray, arrays: list) -> bool:
    """Whether y holds nan, or an infinity that was given neither as an operand nor to fill in."""
    if np.isfinite(y).all():
        return False
    given = op == "pad" or any(np.isinf(x).any() for x in arrays if not isinstance(x, int))
    return not given or bool(np.isnan(y).any())


def _first_non_finite(array: np.ndarray) -> str:
    bad = ~np.isfinite(array)
    if not np.ndim(array):
        return str(array)
    index = tuple(int(i[0]) for i in bad.nonzero())
    return f"{array[index]} at {list(index)} ({bad.sum()} of {bad.size} elements are not finite)"


def _operation(y: np.ndarray, arrays: list) -> str:
    """The shapes and ranges of an operation's operands, and the shape of its result."""
    lines = []
    for i, x in enumerate(arrays[:8]):
        numbers = f"{float(x):.6g}" if not np.ndim(x) else "empty"
        if np.ndim(x) and np.size(x):
            numbers = f"from {float(np.min(x)):.6g} to {float(np.max(x)):.6g}"
        lines.append(f"operand {i}: shape {np.shape(x)}, {numbers}")
    if len(arrays) > 8:
        lines.append(f"and {len(arrays) - 8} operands more")
    return "\n".join([*lines, f"result: shape {y.shape}"])


def _checksum(x: object) -> int:
    """A number that changes when the array does; 0 for Python's numbers, which cannot change."""
    return zlib.crc32(np.ascontiguousarray(x)) if isinstance(x, (np.ndarray, np.generic)) else 0
