"""Reverse-mode automatic differentiation on NumPy arrays, and a small neural-network library."""

from micrograd import linalg, memory, nn, optim  # noqa: F401
from micrograd.calculus import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from micrograd.einsum import einsum
from micrograd.engine import Tensor, apply, no_grad, operation
from micrograd.linalg import norm
from micrograd.operations import (
    concatenate,
    dot,
    linear,
    maximum,
    minimum,
    outer,
    stack,
    where,
)

__version__ = "1.0.0"
__all__ = [
    "Tensor", "apply", "concatenate", "dot", "einsum", "grad", "hessian", "hvp", "jacobian", "jvp",
    "linalg", "linear", "maximum", "minimum", "nn", "no_grad", "norm", "operation", "optim",
    "outer", "stack", "value_and_grad", "vjp", "where",
]  # fmt: skip


def __dir__():  # what completion offers
    return __all__
