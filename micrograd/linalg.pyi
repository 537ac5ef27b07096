"""Written by `python misc/reference.py`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from micrograd.arrays import Axis
from micrograd.engine import Tensor
from micrograd.protocol import Operand

__all__ = [
    "cholesky",
    "cond",
    "det",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matrix_norm",
    "matrix_power",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vector_norm",
]

from micrograd.operations import matrix_transpose as matrix_transpose

class EigResult(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor

class EighResult(NamedTuple):
    eigenvalues: Tensor
    eigenvectors: Tensor

class QRResult(NamedTuple):
    Q: Tensor
    R: Tensor

class SVDResult(NamedTuple):
    U: Tensor
    S: Tensor
    Vh: Tensor

class SlogdetResult(NamedTuple):
    sign: np.ndarray
    logabsdet: Tensor

def solve(a: Operand, b: Operand) -> Tensor: ...
def inv(a: Operand) -> Tensor: ...
def pinv(
    a: Operand,
    rcond: ArrayLike | None = None,
    hermitian: bool = False,
    *,
    rtol: ArrayLike | None = ...,
) -> Tensor: ...
def lstsq(
    a: Operand, b: Operand, rcond: float | None = None
) -> tuple[Tensor, Tensor, int, Tensor]: ...
def tensorsolve(a: Operand, b: Operand, axes: Sequence[int] | None = None) -> Tensor: ...
def tensorinv(a: Operand, ind: int = 2) -> Tensor: ...
def det(a: Operand) -> Tensor: ...
def slogdet(a: Operand) -> SlogdetResult: ...
def cofactors(a: Operand) -> Tensor: ...
def cofactors_slope(g: Operand, a: Operand) -> Tensor: ...
def product_of_other_pairs(s: Operand) -> Any: ...
def cholesky(a: Operand, upper: bool = False) -> Tensor: ...
def symmetric(a: Operand, triangle: str) -> Tensor: ...
def eigh(a: Operand, UPLO: str = "L") -> EighResult: ...
def eigvalsh(a: Operand, UPLO: str = "L") -> Tensor: ...
def eigenvalues_of_symmetric(a: Operand) -> Tensor: ...
def triangle_of(op: str, name: str) -> str: ...
def gaps(w: Operand) -> Any: ...
def eig(a: Operand) -> EigResult: ...
def eigvals(a: Operand) -> Tensor: ...
def real_eig(a: Operand) -> tuple[Any, ...]: ...
def real_parts(w: Operand, v: Operand) -> tuple[Any, ...]: ...
@overload
def svd(
    a: Operand,
    full_matrices: bool = True,
    compute_uv: Literal[True] = True,
    hermitian: bool = False,
) -> SVDResult: ...
@overload
def svd(
    a: Operand, full_matrices: bool, compute_uv: Literal[False], hermitian: bool = False
) -> Tensor: ...
@overload
def svd(
    a: Operand,
    full_matrices: bool = True,
    *,
    compute_uv: Literal[False],
    hermitian: bool = False,
) -> Tensor: ...
def svdvals(x: Operand) -> Tensor: ...
def arbitrary(op: str, forward: Operand, a: Operand) -> Tensor: ...
@overload
def qr(a: Operand, mode: Literal["reduced", "complete"] = "reduced") -> QRResult: ...
@overload
def qr(a: Operand, mode: Literal["r"]) -> Tensor: ...
def matrix_power(a: Operand, n: int) -> Tensor: ...
def multi_dot(arrays: Sequence[Operand]) -> Tensor: ...
def norm(
    x: Operand, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False
) -> Tensor: ...
def vector_norm(
    x: Operand, *, axis: Axis = None, keepdims: bool = False, ord: float = 2
) -> Tensor: ...
def matrix_norm(x: Operand, *, keepdims: bool = False, ord: float | str = "fro") -> Tensor: ...
def cond(x: Operand, p: float | str | None = None) -> Tensor: ...
def euclidean(x: Operand, axis: Axis, keepdims: bool) -> Tensor: ...
def of_vectors(x: Operand, ord: float, axis: Axis, keepdims: bool) -> Tensor: ...
def of_matrices(x: Operand, ord: float | str, axes: list[int], keepdims: bool) -> Tensor: ...
