"""Two instruments for gradients that look wrong: `gradcheck` and `detect_anomaly`."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import checksum, describe
from micrograd.calculus import grad
from micrograd.doors import Watcher, watching
from micrograd.effects import here
from micrograd.engine import Tensor, backpropagate
from micrograd.protocol import data_of
from micrograd.recording import recording

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["detect_anomaly", "gradcheck"]


def __dir__():  # what completion offers
    return __all__


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
    if not checked:
        raise ValueError("gradcheck: no input requires a gradient, so there is nothing to check")
    given = [x.data for x in operands]

    def value() -> np.ndarray:
        return _result(f, operands).data.copy()

    with recording(True):  # f may itself compute gradients, also for the differences
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
        raise TypeError(f"gradcheck: f gives {describe(y)}, not a Tensor")
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
    if here.watcher is not None and not _watched():
        raise RuntimeError("detect_anomaly: enter it around the call of the jitted function")
    with watching(_Anomalies()), np.errstate(all="ignore"):  # errors here, with more to say
        yield


def _watched() -> bool:
    """Whether this thread is inside `detect_anomaly`."""
    return isinstance(here.watcher, _Anomalies)


class _Anomalies(Watcher):
    """Judges what operations and their derivatives give."""

    def record(self, record, op, forward, operands, derivatives):
        return (
            _judged(record, op, forward, operands, derivatives)
            if operands
            else record(op, forward, operands, derivatives)
        )

    def backpropagate(self, backpropagate, output, *how, **options):
        """Judge what operations recorded outside gave."""
        gradients = backpropagate(output, *how, **options)
        for node in gradients:
            for place, x in enumerate(node.operands):
                d = data_of(gradients[x]) if isinstance(x, Tensor) and x in gradients else 0
                if not np.isfinite(d).all():
                    values = [data_of(y) for y in node.operands]
                    raise _bad_gradient(node.op, place, d, node.data, values, None)
        return gradients


def _judged(
    record: Callable, op: str, forward: Callable, operands: tuple, derivatives: tuple
) -> Tensor:
    """The operation, whose result is judged, and what its derivatives give when they are used."""
    line, differentiating = _caller()
    before = []  # the arrays, and their checksums

    def watched_forward(*arrays):
        result = forward(*arrays)
        y = result[0] if isinstance(result, tuple) else result
        # within a derivative, that derivative is judged as a whole
        if not differentiating and _made_non_finite(data_of(y), arrays):
            raise FloatingPointError(
                f"{op!r} gave {_first_non_finite(data_of(y))}\n{_operation(data_of(y), arrays)}"
                f"\n{_told(line)}"
            )
        before[:] = [checksum(data_of(x)) for x in (y, *arrays, *operands)]
        return result

    def watched(place: int, derivative: Callable) -> Callable:
        def judged(g, y, *used):
            if not _watched():
                return derivative(g, y, *used)
            now = [data_of(x) for x in (y, *used[: len(operands)], *operands)]
            for i, (array, earlier) in enumerate(zip(now, before)):
                if checksum(array) != earlier:
                    what = f"operand {(i - 1) % len(operands)}" if i else "its result"
                    raise RuntimeError(
                        f"backward: {what} of {op!r}, of shape {np.shape(array)}, was changed "
                        "after the operation had run: its derivative would be computed with the "
                        f"wrong numbers. Change data after backward(), or compute with a copy\n"
                        f"{_told(line)}"
                    )
            d = derivative(g, y, *used)
            if not np.isfinite(data_of(d)).all():
                raise _bad_gradient(
                    op, place, data_of(d), data_of(y), now[1 : len(operands) + 1], line
                )
            return d

        judged.__wrapped__ = derivative  # a page shows its source
        return judged

    derivatives = tuple([watched(place, d) for place, d in enumerate(derivatives)])
    return record(op, watched_forward, operands, derivatives)


def _bad_gradient(op, place, d, y, operands, line) -> FloatingPointError:
    return FloatingPointError(
        f"backward: the gradient of operand {place} of {op!r} is {_first_non_finite(d)}"
        f"\n{_operation(y, operands)}\n{_told(line)}"
    )


BACKPROPAGATE = backpropagate.__code__
_NOT_THE_CALLER = tuple(os.path.dirname(path) + os.sep for path in (__file__, np.__file__))


def _caller() -> tuple[tuple[str, int, str], bool]:
    """The file, line and function that called the engine, and whether it is differentiating."""
    frame, differentiating = sys._getframe(2), False
    while frame.f_back and frame.f_code.co_filename.startswith(_NOT_THE_CALLER):
        differentiating |= frame.f_code is BACKPROPAGATE
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


def _made_non_finite(y: np.ndarray, arrays: list) -> bool:
    """Whether y holds nan, or an infinity that no operand held."""
    if np.isfinite(y).all():
        return False
    given = any(np.isinf(x).any() for x in arrays if not isinstance(x, int))
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
