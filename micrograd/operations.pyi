"""Written by `python misc/reference.py`."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from numpy.typing import ArrayLike, DTypeLike

from micrograd.arrays import Axis
from micrograd.engine import Tensor
from micrograd.protocol import Operand

F = TypeVar("F", bound=Callable[..., Any])
OPERATIONS: dict[str, Callable[..., Tensor]]

__all__ = ["concatenate", "dot", "linear", "maximum", "minimum", "norm", "outer", "stack", "where"]

def function(*numpys: Callable[..., Any], **renamed: str) -> Callable[[F], F]:
    """Let an operation stand for NumPy's of its name, and for those given."""

def method(*numpys: Callable[..., Any], **renamed: str) -> Callable[[F], F]:
    """`function`, and a method of Tensor too."""

def elementwise(
    name: str, forward: Callable[..., Any], *derivatives: Callable[..., Any], doc: str
) -> Callable[..., Tensor]:
    """An operation without options, which pickle finds in this module."""

def unary(
    name: str, forward: Callable[..., Any], derivative: Callable[..., Any], doc: str
) -> Callable[..., Tensor]:
    """An elementwise method."""

def exp(x: Operand) -> Tensor:
    """e^x."""

def expm1(x: Operand) -> Tensor:
    """e^x - 1, exact near 0."""

def log(x: Operand) -> Tensor:
    """The natural logarithm."""

def log1p(x: Operand) -> Tensor:
    """log(1 + x), exact near 0."""

def sqrt(x: Operand) -> Tensor:
    """The square root."""

def sin(x: Operand) -> Tensor:
    """The sine."""

def cos(x: Operand) -> Tensor:
    """The cosine."""

def tanh(x: Operand) -> Tensor:
    """The hyperbolic tangent."""

def abs(x: Operand) -> Tensor:
    """|x|; its slope at 0 is 0."""

def relu(x: Operand) -> Tensor:
    """max(x, 0); its slope at 0 is 0."""

def sigmoid(x: Operand) -> Tensor:
    """1 / (1 + e^-x), without overflow."""

def softplus(x: Operand) -> Tensor:
    """log(1 + e^x), without overflow: a smooth relu."""

def erf(x: Operand) -> Tensor:
    """The integral of 2 / sqrt(pi) e^-t^2 for t from 0 to x."""

def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger of a and b; equal ones share the gradient."""

def minimum(a: Operand, b: Operand) -> Tensor:
    """The smaller of a and b; equal ones share the gradient."""

def leaky_relu(x: Operand, slope: float = 0.01) -> Tensor:
    """x where positive, slope * x elsewhere; its slope at 0 is the small one."""

def silu(x: Operand) -> Tensor:
    """x * sigmoid(x) (Hendrycks and Gimpel, 2016), also called swish."""

def gelu(x: Operand, approximate: str = "none") -> Tensor:
    """x * Phi(x), where Phi is the normal distribution function (Hendrycks and Gimpel, 2016)."""

def clip(
    x: Operand, lo: ArrayLike | Tensor | None = None, hi: ArrayLike | Tensor | None = None
) -> Tensor:
    """x limited to lo <= x <= hi: numbers, arrays, Tensors, or None for no limit."""

def astype(x: Operand, dtype: DTypeLike) -> Tensor:
    """The same numbers as another floating type; the gradient comes back in this one's."""

def where(condition: ArrayLike, a: Operand, b: Operand) -> Tensor:
    """a where condition holds, elsewhere b; the condition is an array of bools."""

def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over axis."""

def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over axis."""

def max(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest value over axis; equal ones share the gradient evenly."""

def min(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest value over axis; equal ones share the gradient evenly."""

def var(x: Operand, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The variance over axis: the squared deviations' sum over n - ddof."""

def std(x: Operand, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
    """The standard deviation over axis; where it is 0, so is its slope."""

def prod(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over axis."""

def cumprod(x: Operand, axis: int | None = None) -> Tensor:
    """The running product along axis; of the flattened tensor if axis is None."""

def cumsum(x: Operand, axis: int | None = None) -> Tensor:
    """The running sum along axis; of the flattened tensor if axis is None."""

def logsumexp(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axis, without overflow."""

def softmax(x: Operand, axis: Axis = None) -> Tensor:
    """exp(x) / sum(exp(x)) along axis, without overflow."""

def log_softmax(x: Operand, axis: Axis = None) -> Tensor:
    """log(softmax(x)) along axis, without overflow; the axis as in `softmax`."""

def norm(x: Operand, ord: float | None = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The length of a vector: Euclidean (None or 2), the sum (1) or the largest (inf) of |x|."""

def reshape(x: Operand, *shape: int | Sequence[int]) -> Tensor:
    """The same elements in another shape: reshape(2, -1) or reshape((2, -1))."""

def transpose(x: Operand, *axes: int | Sequence[int] | None) -> Tensor:
    """The axes in the order given, transpose(1, 0) or transpose((1, 0)); else reversed."""

def swapaxes(x: Operand, axis1: int, axis2: int) -> Tensor:
    """The tensor with two axes exchanged."""

def broadcast_to(x: Operand, *shape: int | Sequence[int]) -> Tensor:
    """The tensor repeated to a shape, by NumPy's rules."""

def ravel(x: Operand) -> Tensor:
    """All elements along one axis."""

def squeeze(x: Operand, axis: Axis = None) -> Tensor:
    """Without the axes of length 1, or without those given."""

def expand_dims(x: Operand, axis: int | tuple[int, ...]) -> Tensor:
    """With new axes of length 1, which stand at these places in the result."""

def pad(
    x: Operand, pad_width: ArrayLike, mode: str = "constant", constant_values: float | Tensor = 0
) -> Tensor:
    """A border of a constant, a number or a 0-d Tensor, around x; pad_width as in `np.pad`."""

def flip(x: Operand, axis: Axis = None) -> Tensor:
    """The elements in reverse order along axis."""

def tril(x: Operand, k: int = 0) -> Tensor:
    """The lower triangle of the last two axes, zeros above the k-th diagonal."""

def triu(x: Operand, k: int = 0) -> Tensor:
    """The upper triangle of the last two axes, zeros below the k-th diagonal."""

def index(x: Operand, key: object) -> Tensor:
    """x[key] for every index that NumPy takes; an element taken twice adds both gradients."""

def scatter(g: Operand, key: object, shape: Sequence[int]) -> Tensor:
    """Zeros of this shape with g added at [key]."""

def linear(x: Operand, weights: Operand, bias: Operand) -> Tensor:
    """x @ weights + bias in one operation: x (..., n), weights (n, m), bias (m,)."""

def outer(a: Operand, b: Operand) -> Tensor:
    """Every element of a times every element of b, both flattened: (n,) and (m,) give (n, m)."""

def dot(a: Operand, b: Operand) -> Tensor:
    """`np.dot`: the sum of products over the last axis of a and the last but one of b."""

def concatenate(tensors: Sequence[Operand], axis: int | None = 0) -> Tensor:
    """Tensors (or arrays) joined along an axis that exists; flattened first if axis is None."""

def stack(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Tensors (or arrays) of one shape joined along a new axis."""

def by_the_dozen(join: Callable[..., Any], tensors: list, join_parts: Callable[..., Any]) -> Tensor:
    """join(tensors), in parts where they are many."""
