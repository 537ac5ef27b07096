"""Polynomials as NumPy's oldest functions have them: vectors of coefficients, the highest first.

All go by their NumPy names, and all are made of operations that stand elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import integer
from micrograd.engine import Tensor
from micrograd.linalg import eigvals, lstsq
from micrograd.operations import concatenate, function
from micrograd.order import convolve, tensor_of, together, weak
from micrograd.shapes import atleast_1d, trim_zeros

if TYPE_CHECKING:
    from micrograd.protocol import Operand

__all__ = [
    "poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval",
    "vander",
]  # fmt: skip


def __dir__():  # what completion offers
    return __all__


def coefficients(*ps: Operand) -> list[Tensor]:
    """Vectors of one dtype."""
    vectors = [atleast_1d(p) for p in together(*ps)]
    for p in vectors:
        if p.ndim != 1 or not p.size:
            raise ValueError(f"a polynomial is a vector of 1 or more, got shape {p.shape}")
    return vectors


def without_zeros(p: Tensor) -> Tensor:
    """p without the zeros at its front, but the last."""
    return trim_zeros(p, "f") if np.any(p) else p[-1:]


@function()
def polyval(p, x) -> Tensor:
    """The polynomial's values at x, by Horner's rule."""
    p, x = together(p, x)
    (p,) = coefficients(p)
    y = np.broadcast_to(p[0], x.shape)
    for c in p[1:]:
        y = y * x + c
    return y


@function()
def polyadd(a1, a2) -> Tensor:
    """The sum of two polynomials."""
    a, b = coefficients(a1, a2)
    n = np.maximum(a.size, b.size)
    return np.pad(a, (n - a.size, 0)) + np.pad(b, (n - b.size, 0))


@function()
def polysub(a1, a2) -> Tensor:
    """The difference of two polynomials."""
    a, b = together(a1, a2)
    return polyadd(a, -b)


@function()
def polymul(a1, a2) -> Tensor:
    """The product of two polynomials; zeros at the front of the factors fall away."""
    return convolve(*map(without_zeros, coefficients(a1, a2)))


@function()
def polydiv(u, v) -> tuple[Tensor, Tensor]:
    """The quotient and the remainder of two polynomials, without zeros at its front."""
    rest, v = coefficients(u, v)
    n, quotient = v.size, []
    for _ in range(rest.size - n + 1):
        quotient.append(rest[0] / v[0])
        rest = concatenate([rest[1:n] - quotient[-1] * v[1:], rest[n:]])
    return np.stack(quotient or [tensor_of(v.data[0] * 0)]), without_zeros(np.atleast_1d(rest))


@function()
def polyder(p, m: int = 1) -> Tensor:
    """The m-th derivative of a polynomial."""
    (p,) = coefficients(p)
    for _ in range(integer("polyder: m", m, 0)):
        p = p[:-1] * np.arange(p.size - 1, 0, -1)
    return p


@function()
def polyint(p, m: int = 1, k: Operand | Sequence[Operand] | None = None) -> Tensor:
    """The m-th integral of a polynomial, with constants k, one for each time; 0 if None."""
    (p,) = coefficients(p)
    m = integer("polyint: m", m, 0)
    k = weak(0 if k is None else k, p)
    for constant in np.broadcast_to(k, m):
        p = concatenate([p / np.arange(p.size, 0, -1), np.reshape(constant, 1)])
    return p


@function()
def polyfit(
    x, y: Operand, deg: int, rcond: float | None = None, *, w: Operand | None = None
) -> Tensor:
    """The polynomial of degree `deg` that is nearest to the points (x, y), weighted by w."""
    x, y, *weights = together(x, y) if w is None else together(x, y, w)
    powers = vander(x, integer("polyfit: deg", deg, 0) + 1)
    for weight in weights:
        powers, y = powers * weight[:, None], (y.T * weight).T
    scale = np.sqrt((powers * powers).sum(0))
    rcond = x.size * np.finfo(x.dtype).eps if rcond is None else rcond
    found = lstsq(powers / scale, y, rcond)[0]
    return (found.T / scale).T


@function()
def poly(seq_of_zeros) -> Tensor:
    """The polynomial with these zeros, or the characteristic one of a matrix, first 1."""
    zeros = atleast_1d(tensor_of(seq_of_zeros))
    zeros = eigvals(zeros) if zeros.ndim == 2 else zeros
    y = Tensor(np.ones(1, zeros.dtype), requires_grad=False)
    for zero in zeros:
        y = convolve(y, concatenate([np.ones(1, y.dtype), -zero[None]]))
    return y


@function()
def vander(x, N: int | None = None, increasing: bool = False) -> Tensor:  # noqa: N803 (as NumPy has it)
    """The powers of each element of a vector in a row, N - 1 to 0, or 0 to N - 1 if increasing."""
    x = tensor_of(x)
    if x.ndim != 1:
        raise ValueError(f"vander: expected a vector, got shape {x.shape}")
    powers = np.arange(x.size if N is None else N)
    return x[:, None] ** (powers if increasing else powers[::-1])
