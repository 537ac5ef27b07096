"""Linear algebra: what `numpy.linalg` has, on Tensors, for stacks of matrices too.

All go by their NumPy names: `np.linalg.solve(a, b)`. Derivatives are those of M. Giles, "Collected
matrix derivative results for forward and reverse mode algorithmic differentiation" (2008), and of
J. Townsend, "Differentiating the singular value decomposition" (2016), unless another is named.

A matrix that is symmetric by promise, as that of `cholesky` and `eigh`, gets a symmetric gradient.
Where eigenvalues or singular values coincide, their own gradient is still right, but the vectors
have none: it comes out as nan or inf, as in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from micrograd.arrays import (
    Axis,
    axes_of,
    describe,
    over,
    product_before,
    product_of_others,
    spread,
)
from micrograd.effects import effect
from micrograd.engine import Tensor, apply
from micrograd.operations import astype, concatenate, function, matrix_transpose
from micrograd.protocol import CONSTANT, data_of
from micrograd.shapes import listed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from micrograd.protocol import Operand

__all__ = [
    "cholesky", "cond", "det", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matrix_norm",
    "matrix_power", "matrix_transpose", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve",
    "svd", "svdvals", "tensorinv", "tensorsolve", "vector_norm",
]  # fmt: skip

CONSTANT.add(np.linalg.matrix_rank)


def __dir__():  # what completion offers
    return __all__


class EigResult(NamedTuple):
    """What `eig` gives."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EighResult(NamedTuple):
    """What `eigh` gives."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """What `qr` gives."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """What `svd` gives."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class SlogdetResult(NamedTuple):
    """What `slogdet` gives; the sign has no slope, and is an array."""

    sign: np.ndarray
    logabsdet: Tensor


# Equations


@function(np.linalg.solve)
def solve(a, b) -> Tensor:
    """The x with a @ x = b: a (..., n, n), and b (n,) or (..., n, k).

    Raises LinAlgError if a is singular.
    """
    a, b = listed(a), listed(b)
    if np.ndim(b) == 1:  # one vector for all matrices, as in NumPy 2
        return solve(a, np.expand_dims(b, 1))[..., 0]
    return apply(
        "solve",
        np.linalg.solve,
        (a, b),
        lambda g, y, a, b: -np.linalg.solve(a.mT, g) @ y.mT,
        lambda g, y, a, b: np.linalg.solve(a.mT, g),
    )


@function(np.linalg.inv)
def inv(a) -> Tensor:
    """The inverse of a (..., n, n). Raises LinAlgError if a is singular."""
    return apply("inv", np.linalg.inv, (a,), lambda g, y, a: -y.mT @ g @ y.mT)


@function(np.linalg.pinv)
def pinv(
    a, rcond: ArrayLike | None = None, hermitian: bool = False, *, rtol: ArrayLike | None = ...
) -> Tensor:
    """The pseudo-inverse of a (..., m, n), (..., n, m); singular values up to rcond are none.

    The derivative, of G. Golub and V. Pereyra (1973), is that among matrices of the same rank.
    """
    if hermitian:
        return pinv(symmetric(a, "L"), rcond, rtol=rtol)
    options = {"rcond": data_of(rcond)} | ({} if rtol is ... else {"rtol": data_of(rtol)})

    def derivative(g, y, a):
        g, yt = g.mT, y.mT
        return (g - a @ (y @ g)) @ (y @ yt) - yt @ g.mT @ yt + (yt @ y) @ (g - (g @ y) @ a)

    return apply("pinv", lambda a: np.linalg.pinv(a, **options), (a,), derivative)


@function(np.linalg.lstsq)
def lstsq(a, b, rcond: float | None = None) -> tuple[Tensor, Tensor, int, Tensor]:
    """The x that makes |a @ x - b| smallest, the shortest of several, as in `np.linalg.lstsq`.

    Gives x, the sums of squares |a @ x - b|^2 (none if a has not full rank, or no more rows than
    columns), the rank, and the singular values of a. One matrix a (m, n), and b (m,) or (m, k).
    """
    a, b = listed(a), listed(b)
    if np.ndim(b) == 1:
        x, squares, rank, s = lstsq(a, np.expand_dims(b, 1), rcond)
        return x[:, 0], squares, rank, s
    dtypes = [x.dtype for x in (a, b) if x.dtype.kind == "f"]
    cut = float(np.finfo(np.result_type(*dtypes)).eps)
    cut = cut * max(a.shape) if rcond is None else cut if rcond < 0 else rcond

    def of_a(g, y, a, b):  # that of pinv(a) @ b
        p, r = np.linalg.pinv(a, cut), b - a @ y
        h = p.mT @ g
        return r @ (p @ h).mT - h @ y.mT + p.mT @ y @ (g - a.mT @ h).mT

    x = apply(
        "lstsq",
        lambda a, b: np.linalg.lstsq(a, b, rcond)[0],
        (a, b),
        of_a,
        lambda g, y, a, b: np.linalg.pinv(a, cut).mT @ g,
    )
    m, n = a.shape
    s = svdvals(a)
    rank = int((s > cut * (s.data[0] if s.size else 0)).sum())
    squares = ((a @ x - b) ** 2).sum(0)
    return x, squares if rank == n < m else squares[:0], rank, s


@function(np.linalg.tensorsolve)
def tensorsolve(a, b, axes: Sequence[int] | None = None) -> Tensor:
    """The x with tensordot(a, x, x.ndim) = b; axes of a are put last before."""
    a, b = listed(a), listed(b)
    if axes is not None:
        last = axes_of("tensorsolve", tuple(axes), a.ndim)
        a = a.transpose([i for i in range(a.ndim) if i not in last] + last)
    shape = a.shape[np.ndim(b) :]
    n = math.prod(shape)
    if n * n != math.prod(a.shape):
        raise ValueError(f"tensorsolve: {a.shape} is no square matrix for b of shape {b.shape}")
    return solve(a.reshape(n, n), np.ravel(b)).reshape(shape)


@function(np.linalg.tensorinv)
def tensorinv(a, ind: int = 2) -> Tensor:
    """The inverse of a as a matrix whose rows are its first ind axes."""
    if ind <= 0:
        raise ValueError(f"tensorinv: ind is a positive number, got {ind!r}")
    shape = a.shape[ind:] + a.shape[:ind]
    return inv(a.reshape(math.prod(a.shape[:ind]), -1)).reshape(shape)


# Determinants


@function(np.linalg.det)
def det(a) -> Tensor:
    """The determinant of a (..., n, n); its gradient is right for singular matrices too."""
    return apply("det", np.linalg.det, (a,), lambda g, y, a: g[..., None, None] * cofactors(a))


@function(np.linalg.slogdet)
def slogdet(a) -> SlogdetResult:
    """The sign of the determinant of a (..., n, n), an array, and the logarithm of its size."""

    y = apply(
        "slogdet",
        lambda a: np.stack([*np.linalg.slogdet(a)], -1),
        (a,),
        lambda g, y, a: g[..., 1, None, None] * np.linalg.inv(a).mT,
    )
    return SlogdetResult(y.data[..., 0], y[..., 1])


def cofactors(a) -> Tensor:
    """The derivative of det(a) by each element: the cofactors, those of singular matrices too.

    For a = u s v they are det(u) det(v) u c v, where c_i is the product of all s but s_i.
    """

    def forward(a):
        u, s, v = np.linalg.svd(a)
        sign = np.linalg.det(u) * np.linalg.det(v)
        return sign[..., None, None] * ((u * product_of_others(s, -1)[..., None, :]) @ v)

    return apply("cofactors", forward, (a,), lambda g, y, a: cofactors_slope(g, a))


def cofactors_slope(g, a) -> Tensor:
    """The gradient of a in cofactors(a), whose gradient is g. A linear, symmetric function of g.

    Its own derivative by a is taken of det(a) inv(a), and so asks for a regular matrix.
    """

    def forward(g, a):
        u, s, v = np.linalg.svd(a)
        sign = np.linalg.det(u) * np.linalg.det(v)
        g, p = u.mT @ g @ v.mT, product_of_other_pairs(s)
        diagonal = p @ np.diagonal(g, 0, -2, -1)[..., None] * np.eye(s.shape[-1], dtype=s.dtype)
        return sign[..., None, None] * (u @ (diagonal - p * g.mT) @ v)

    def of_a(u, _, g, a):
        y = np.linalg.inv(a).mT
        gy, uy = (np.sum(x * y, axis=(-2, -1), keepdims=True) for x in (g, u))
        ygy, yuy = y @ g.mT @ y, y @ u.mT @ y
        both = np.sum(u * ygy, axis=(-2, -1), keepdims=True)
        slope = (gy * uy - both) * y - uy * ygy - gy * yuy + ygy @ u.mT @ y + yuy @ g.mT @ y
        return np.linalg.det(a)[..., None, None] * slope

    return apply("cofactors_slope", forward, (g, a), lambda u, y, g, a: cofactors_slope(u, a), of_a)


def product_of_other_pairs(s):
    """The product of all s but s_i and s_j, along the last axis; 0 for i = j."""
    n = s.shape[-1]
    later = np.where(np.triu(np.ones((n, n), bool), 1), s[..., None, :], s.dtype.type(1))
    after = np.flip(product_before(np.flip(s, -1)), -1)
    p = np.triu(product_before(s)[..., :, None] * product_before(later) * after[..., None, :], 1)
    return p + p.mT


# Decompositions


@function(np.linalg.cholesky)
def cholesky(a, upper: bool = False) -> Tensor:
    """The lower triangular L with L @ L^T = a, symmetric and positive definite (..., n, n).

    Only the lower triangle of a is read. With upper=True L^T, out of the upper triangle.
    Raises LinAlgError if a is not positive definite.
    """

    def derivative(g, y, a):
        p = np.tril(y.mT @ g)
        p = p - p * (np.eye(y.shape[-1], dtype=y.dtype) / 2)
        return np.linalg.solve(y.mT, np.linalg.solve(y.mT, p).mT).mT

    a = symmetric(a, "U" if upper else "L")
    y = apply("cholesky", np.linalg.cholesky, (a,), derivative)
    return y.mT if upper else y


def symmetric(a, triangle: str) -> Tensor:
    """The symmetric matrix with this triangle of a, "L" or "U". Its gradient is symmetric."""

    def forward(a):
        return np.tril(a) + np.tril(a, -1).mT if triangle == "L" else np.triu(a) + np.triu(a, 1).mT

    return apply("symmetric", forward, (a,), lambda g, y, a: (g + g.mT) / 2)


@function(np.linalg.eigh)
def eigh(a, UPLO: str = "L") -> EighResult:  # noqa: N803 (as NumPy has it)
    """Eigenvalues (..., n), ascending, and eigenvectors (..., n, n) of a symmetric matrix.

    Only one triangle of a is read, the lower one or, with UPLO="U", the upper one.
    """
    triangle = triangle_of("eigh", UPLO)
    a = symmetric(a, triangle)

    def forward(a):
        w, v = np.linalg.eigh(a, triangle)  # on which the signs of the vectors depend
        return v, w

    def derivative(g, v, a, w):
        k = v.mT @ g
        return v @ ((k - k.mT) / (2 * gaps(w))) @ v.mT

    return EighResult(eigenvalues_of_symmetric(a), apply("eigh", forward, (a,), derivative))


@function(np.linalg.eigvalsh)
def eigvalsh(a, UPLO: str = "L") -> Tensor:  # noqa: N803 (as NumPy has it)
    """The eigenvalues of a symmetric matrix, as those of `eigh`."""
    return eigenvalues_of_symmetric(symmetric(a, triangle_of("eigvalsh", UPLO)))


def eigenvalues_of_symmetric(a) -> Tensor:
    return apply(
        "eigvalsh",
        lambda a: tuple(np.linalg.eigh(a)),
        (a,),
        lambda g, w, a, v: (v * g[..., None, :]) @ v.mT,
    )


def triangle_of(op: str, name: str) -> str:
    if name not in ("L", "U", "l", "u"):
        raise ValueError(f'{op}: UPLO is "L" or "U", got {name!r}')
    return name.upper()


def gaps(w):
    """w_j - w_i, and 1 for i = j."""
    return w[..., None, :] - w[..., :, None] + np.eye(w.shape[-1], dtype=w.dtype)


@function(np.linalg.eig)
def eig(a) -> EigResult:
    """Eigenvalues (..., n) and eigenvectors (..., n, n), of length 1, of a square matrix.

    Raises ValueError if one is complex.
    """

    def forward(a):
        w, v = real_eig(a)
        return v, w

    def derivative(g, v, a, w):
        k = v.mT @ g
        k = k - (v.mT @ v) * np.diagonal(k, 0, -2, -1)[..., None, :]
        return np.linalg.solve(v.mT, k / gaps(w) @ v.mT)

    return EigResult(eigvals(a), apply("eig", forward, (a,), derivative))


@function(np.linalg.eigvals)
def eigvals(a) -> Tensor:
    """The eigenvalues of a square matrix. Raises ValueError if one is complex."""
    return apply(
        "eigvals", real_eig, (a,), lambda g, w, a, v: np.linalg.solve(v.mT, g[..., None] * v.mT)
    )


def real_eig(a) -> tuple:
    return effect(real_parts, *np.linalg.eig(a))


def real_parts(w, v) -> tuple:
    """Eigenvalues and vectors as real numbers, which since NumPy 2.5 come as complex ones."""
    if w.dtype.kind == "c":
        if np.imag(w).any():
            raise ValueError(
                "an eigenvalue is complex, and Tensors are real; eigh is for symmetric a"
            )
        w, v = np.real(w).copy(), np.real(v).copy()
    return w, v


@function(np.linalg.svd)
def svd(
    a, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> SVDResult | Tensor:
    """Singular values S (..., k), descending, and vectors U and Vh with a = U * S @ Vh.

    a is (..., m, n) and k = min(m, n). Without compute_uv S alone. With full_matrices U and Vh are
    square; what they have besides U (..., m, k) and Vh (..., k, n) is arbitrary, so that backward
    through it is an error: full_matrices=False leaves it out. With hermitian only the lower
    triangle is read.
    """
    if hermitian:
        a = symmetric(a, "L")
    if not compute_uv:
        return svdvals(a)
    *_, m, n = a.shape
    k = min(m, n)

    def forward(a):  # U and V have k columns each, and stand one below the other
        u, s, v = np.linalg.svd(a, full_matrices=full_matrices)
        return np.concatenate([u[..., :k], v[..., :k, :].mT], -2), s

    def derivative(g, y, a, s):
        (gu, gv), (u, v) = ((x[..., :m, :], x[..., m:, :]) for x in (g, y))
        ku, kv, row = u.mT @ gu, v.mT @ gv, s[..., None, :]
        gap = gaps(s) * (row + row.mT)
        inner = (ku - ku.mT) / gap * row + row.mT * ((kv - kv.mT) / gap)
        d = u @ inner @ v.mT
        if m > k:
            d = d + (gu - u @ ku) / row @ v.mT
        if n > k:
            d = d + u @ ((gv - v @ kv) / row).mT
        return d

    y = apply("svd", forward, (a,), derivative)
    u, v = y[..., :m, :], y[..., m:, :].mT
    if full_matrices and m > k:
        more = arbitrary("svd", lambda a: np.linalg.svd(a)[0][..., k:], a)
        u = concatenate([u, more], -1)
    if full_matrices and n > k:
        more = arbitrary("svd", lambda a: np.linalg.svd(a)[2][..., k:, :], a)
        v = concatenate([v, more], -2)
    return SVDResult(u, svdvals(a), v)


@function(np.linalg.svdvals)
def svdvals(x) -> Tensor:
    """The singular values of x (..., m, n), descending."""

    def forward(x):
        u, s, v = np.linalg.svd(x, full_matrices=False)
        return s, u, v

    return apply("svdvals", forward, (x,), lambda g, s, x, u, v: (u * g[..., None, :]) @ v)


def arbitrary(op: str, forward, a) -> Tensor:
    """Vectors that are only one choice among many, through which no gradient goes back."""
    cure = {"svd": "full_matrices=False", "qr": 'mode="reduced"'}[op]

    def refuse(g, y, a):
        raise ValueError(
            f"{op}: the vectors that fill up the square matrices have no derivative: take {cure}"
        )

    return apply("arbitrary", forward, (a,), refuse)


@function(np.linalg.qr)
def qr(a, mode: str = "reduced") -> QRResult | Tensor:
    """Q with orthonormal columns and R upper triangular, with a = Q @ R, for a (..., m, n).

    mode is "reduced", "r" (R alone) or "complete" (with a square Q; no gradient goes back through
    the columns that fill it up). The first min(m, n) columns of a must be independent.
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f'qr: mode is "reduced", "complete" or "r", got {mode!r}')
    *_, m, n = a.shape
    if m < n:
        q, r = qr(a[..., :m])
        r = concatenate([r, q.mT @ a[..., m:]], -1)
        return r if mode == "r" else QRResult(q, r)

    def forward(a):  # Q and R^T have n columns each, and stand one below the other
        q, r = np.linalg.qr(a)
        return np.concatenate([q, r.mT], -2)

    def derivative(g, y, a):
        (gq, gr), (q, r) = ((x[..., :m, :], x[..., m:, :].mT) for x in (g, y))
        k = np.tril(r @ gr.mT - gq.mT @ q)
        k = k + np.tril(k, -1).mT
        return np.linalg.solve(r, (gq + q @ k).mT).mT

    y = apply("qr", forward, (a,), derivative)
    q, r = y[..., :m, :], y[..., m:, :].mT
    if mode == "complete" and m > n:
        q = concatenate(
            [q, arbitrary("qr", lambda a: np.linalg.qr(a, "complete")[0][..., n:], a)], -1
        )
        r = concatenate([r, np.zeros((*r.shape[:-2], m - n, n), r.dtype)], -2)
    return r if mode == "r" else QRResult(q, r)


# Products


@function(np.linalg.matrix_power)
def matrix_power(a, n: int) -> Tensor:
    """a (..., m, m) multiplied n times by itself; its inverse -n times, if n is negative."""
    if not isinstance(n, (int, np.integer)):
        raise TypeError(f"matrix_power: n is an integer, got {describe(n)}")
    if np.shape(a)[-2:-1] != np.shape(a)[-1:]:
        raise np.linalg.LinAlgError(f"matrix_power: expected square matrices, got {np.shape(a)}")
    if n < 0:
        return matrix_power(inv(a), -n)
    if n == 0:
        return apply(
            "matrix_power", lambda a: np.linalg.matrix_power(a, 0), (a,), lambda g, y, a: g * 0
        )
    result = None
    while n:  # a, a^2, a^4 ..., of which those are multiplied that are ones in n's binary digits
        if n % 2:
            result = a if result is None else result @ a
        n //= 2
        a = a @ a if n else a
    return result


@function(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Operand]) -> Tensor:
    """The product of several matrices in the cheapest order; the first and last may be vectors.

    The order is found as in T. Cormen et al., "Introduction to Algorithms", chapter 15.2.
    """
    arrays = list(arrays)
    if len(arrays) < 2:
        raise ValueError(f"multi_dot: expected two arrays or more, got {len(arrays)}")
    shapes = [np.shape(x) for x in arrays]
    ends = [(1, *shapes[0])[-2:], *shapes[1:-1], (*shapes[-1], 1)[:2]]
    if any(len(shape) != 2 for shape in ends):
        raise ValueError(f"multi_dot: expected matrices, got shapes {shapes}")
    lengths = [n for n, _ in ends] + [ends[-1][1]]

    @cache
    def best(i: int, j: int) -> tuple:
        """The cost of the product of those from i to j, and the last of its left factor."""
        if i == j:
            return 0, i
        return min(
            (best(i, k)[0] + best(k + 1, j)[0] + lengths[i] * lengths[k + 1] * lengths[j + 1], k)
            for k in range(i, j)
        )

    def product(i: int, j: int):
        k = best(i, j)[1]
        return arrays[i] if i == j else product(i, k) @ product(k + 1, j)

    return product(0, len(arrays) - 1)


# Norms


@function(np.linalg.norm)
def norm(x, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The length of vectors, or the size of matrices, with every ord of `np.linalg.norm`.

    One axis holds vectors, two hold matrices; with no axis x is one vector or matrix, and with no
    ord its elements' Euclidean norm. The slope of the Euclidean norm at 0 is 0.
    """
    if getattr(x, "dtype", None) == np.float16:  # whose squares overflow above 256
        return astype(norm(astype(x, np.float32), ord, axis, keepdims), np.float16)
    if ord is None:
        return euclidean(x, axis, keepdims)
    axes = axes_of("norm", axis, np.ndim(x))
    if len(axes) == 1:
        return of_vectors(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return of_matrices(x, ord, axes, keepdims)
    raise ValueError(f"norm: ord={ord!r} is for vectors or matrices: name their axes in {x.shape}")


@function(np.linalg.vector_norm)
def vector_norm(x, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """The norm of all elements over axis, as those of one vector."""
    return of_vectors(x, ord, tuple(axes_of("vector_norm", axis, np.ndim(x))), keepdims)


@function(np.linalg.matrix_norm)
def matrix_norm(x, *, keepdims: bool = False, ord: float | str = "fro") -> Tensor:
    """The norm of the matrices in the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)


@function(np.linalg.cond)
def cond(x, p: float | str | None = None) -> Tensor:
    """The condition number of x (..., n, n), by the norm p; without p, or with 2, of any matrix."""
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
    return norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))


def euclidean(x, axis: Axis, keepdims: bool) -> Tensor:
    return apply(
        "norm",
        lambda x: np.sqrt((x * x).sum(axis=axis, keepdims=keepdims)),
        (x,),
        lambda g, y, x: spread(over(g, y), x, axis, keepdims) * x,
    )


def of_vectors(x, ord: float, axis: Axis, keepdims: bool) -> Tensor:
    if isinstance(ord, str):
        raise ValueError(f"norm: ord={ord!r} is for matrices, of two axes")
    if ord == 2:
        return euclidean(x, axis, keepdims)
    if ord == 1:
        return np.abs(x).sum(axis=axis, keepdims=keepdims)
    if ord == np.inf:
        return np.abs(x).max(axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return np.abs(x).min(axis=axis, keepdims=keepdims)
    if ord == 0:  # how many are not 0
        return apply(
            "norm_0",
            lambda x: (x != 0).astype(x.dtype).sum(axis=axis, keepdims=keepdims),
            (x,),
            lambda g, y, x: spread(g, x, axis, keepdims) * 0,
        )

    p = float(ord)

    def forward(x):
        return (np.abs(x) ** p).sum(axis=axis, keepdims=keepdims) ** (1 / p)

    def derivative(g, y, x):
        y = spread(y, x, axis, keepdims)
        share = np.where((x == 0) | (y == 0), 1, np.abs(x) / np.where(y == 0, 1, y))
        return spread(g, x, axis, keepdims) * np.sign(x) * (y != 0) * share ** (p - 1)

    return apply("norm_p", forward, (x,), derivative)


def of_matrices(x, ord: float | str, axes: list[int], keepdims: bool) -> Tensor:
    if ord == "fro":
        return euclidean(x, tuple(axes), keepdims)
    x = np.transpose(x, [i for i in range(np.ndim(x)) if i not in axes] + axes)
    if ord in ("nuc", 2, -2):
        y, axis = svdvals(x), -1
    elif ord in (1, -1):
        y, axis = np.abs(x).sum(axis=-2), -1
    elif ord in (np.inf, -np.inf):
        y, axis = np.abs(x).sum(axis=-1), -1
    else:
        raise ValueError(
            f'norm: ord of matrices is "fro", "nuc", 1, -1, 2, -2, inf or -inf, got {ord!r}'
        )
    y = y.sum(axis=axis) if ord == "nuc" else y.max(axis=axis) if ord > 0 else y.min(axis=axis)
    return np.expand_dims(y, tuple(sorted(axes))) if keepdims else y
