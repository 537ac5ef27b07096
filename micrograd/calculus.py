"""Gradients as Tensors, of any order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, overload

import numpy as np

from micrograd import engine
from micrograd.arrays import describe
from micrograd.engine import Tensor, apply, wrap
from micrograd.operations import stack
from micrograd.protocol import data_of, first_gradient
from micrograd.recording import recording

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["grad", "hessian", "jacobian"]


def __dir__():  # what completion offers
    return __all__


@overload
def grad(
    output: Tensor,
    inputs: Tensor,
    gradient: ArrayLike | Tensor | None = None,
    create_graph: bool = False,
) -> Tensor: ...
@overload
def grad(
    output: Tensor,
    inputs: Iterable[Tensor],
    gradient: ArrayLike | Tensor | None = None,
    create_graph: bool = False,
) -> tuple[Tensor, ...]: ...
def grad(output, inputs, gradient=None, create_graph=False):
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
            raise TypeError(f"grad: expected a Tensor, got {describe(x)}")
    for x in wanted:
        if not x.requires_grad:
            raise ValueError(f"grad: an input of shape {x.shape} has requires_grad=False")
    start = first_gradient("grad: a gradient", output, gradient)
    if create_graph:
        with recording(True):
            start = start if isinstance(start, Tensor) else wrap(start, "grad")
            gradients = engine.backpropagate(output, start, on_tensors=True)
            results = [copied(gradients[x]) if x in gradients else None for x in wanted]
    else:
        gradients = engine.backpropagate(output, data_of(start))
        results = [
            wrap(np.array(gradients[x], x.dtype), "grad") if x in gradients else None
            for x in wanted
        ]
    results = [
        wrap(np.zeros(x.shape, x.dtype), "grad") if g is None else g
        for x, g in zip(wanted, results)
    ]
    return tuple(results) if several else results[0]


def jacobian(
    f: Callable[[Tensor], Tensor], x: ArrayLike | Tensor, create_graph: bool = False
) -> Tensor:
    """The derivative of every element of f(x) by every element of x, of shape f(x).shape + x.shape.

    Args:
        f: a function from a Tensor to a Tensor.
        x: where to differentiate.
        create_graph: record the computation, so that the Jacobian can be differentiated again.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    with recording(True):
        y = _result("jacobian", f, x)
        rows = []
        for i in range(y.size):
            unit = np.zeros(y.shape, y.dtype)
            unit.flat[i] = 1
            rows.append(grad(y, x, unit, create_graph))
        if not rows:
            return wrap(np.zeros(y.shape + x.shape, x.dtype), "grad")
        return stack(rows).reshape(y.shape + x.shape)


def _result(what: str, f: Callable, x: Tensor) -> Tensor:
    y = f(x)
    if not isinstance(y, Tensor):
        raise TypeError(f"{what}: f is to give a Tensor, it gave {describe(y)}")
    return y


def copied(g: Tensor) -> Tensor:
    """g in memory of its own: a gradient may be the one given, another's, or a view of either."""
    return apply("copy", lambda x: x.copy(), (g,), lambda u, y, x: u)


def hessian(
    f: Callable[[Tensor], Tensor], x: ArrayLike | Tensor, create_graph: bool = False
) -> Tensor:
    """The second derivatives of f, a function from a Tensor to one number: x.shape + x.shape.

    Raises:
        ValueError: f gives more or less than one number.
    """

    def slope(x):
        y = _result("hessian", f, x)
        if y.size != 1:
            raise ValueError(f"hessian: f is to give one number, it gave shape {y.shape}")
        return grad(y, x, create_graph=True)

    return jacobian(slope, x, create_graph)
