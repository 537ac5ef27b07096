"""Written by `python misc/reference.py`."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from micrograd.arrays import Axis
from micrograd.protocol import Operand, Protocol
from micrograd.recording import recording

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["Tensor", "apply", "no_grad", "operation"]

@overload
def no_grad() -> recording: ...
@overload
def no_grad(function: F) -> F: ...
def apply(
    op: str,
    forward: Callable[..., Any],
    operands: tuple[Any, ...],
    *derivatives: Callable[..., Any],
) -> Tensor:
    """The result of an operation, which remembers it if an operand requires a gradient."""

def operation(
    op: str, forward: Callable[..., Any], *derivatives: Callable[..., Any], doc: str = ""
) -> Callable[..., Tensor]:
    """An operation on one or two operands, without options, as a function; see `apply`."""

def record(
    op: str, forward: Callable[..., Any], operands: tuple[Any, ...], derivatives: tuple[Any, ...]
) -> Tensor:
    """What `apply` does."""

def wrap(value: np.ndarray, op: str = "") -> Tensor:
    """A constant Tensor around this very array: an operation without operands."""

class Tensor(Protocol):
    """An array, its gradient, and the operation it came out of."""

    _value: Any
    requires_grad: bool
    label: str
    _grad: Any
    _received: Any
    _op: Any
    _operands: Any
    _values: Any
    _forward: Any
    _derivatives: Any
    _age: Any
    _owner: Any
    def __init__(
        self, data: np.typing.ArrayLike, requires_grad: bool = True, label: str = ""
    ) -> None: ...
    def __add__(self, b: Operand) -> Tensor:
        """a + b, elementwise."""
    def __sub__(self, b: Operand) -> Tensor:
        """a - b, elementwise."""
    def __mul__(self, b: Operand) -> Tensor:
        """a * b, elementwise."""
    def __truediv__(self, b: Operand) -> Tensor:
        """a / b, elementwise."""
    def __pow__(self, b: Operand) -> Tensor:
        """a to the power b, elementwise."""
    def __matmul__(self, b: Operand) -> Tensor:
        """The matrix product a @ b, of stacks of matrices too."""
    def __neg__(self) -> Tensor:
        """-x, elementwise."""
    def __radd__(self, other: Operand) -> Tensor:
        """other + self, for an other that is no Tensor."""
    def __rsub__(self, other: Operand) -> Tensor:
        """other - self, for an other that is no Tensor."""
    def __rmul__(self, other: Operand) -> Tensor:
        """other * self, for an other that is no Tensor."""
    def __rtruediv__(self, other: Operand) -> Tensor:
        """other / self, for an other that is no Tensor."""
    def __rpow__(self, other: Operand) -> Tensor:
        """other ** self, for an other that is no Tensor."""
    def __rmatmul__(self, other: Operand) -> Tensor:
        """other @ self, for an other that is no Tensor."""
    def detach(self) -> Tensor:
        """A tensor of the same memory without history, which requires no gradient."""
    def backward(self, gradient: np.typing.ArrayLike | Tensor | None = None) -> None:
        """Compute the gradient of this tensor with respect to every tensor it was made from."""
    def _backward(self) -> None:
        """Hand `grad` on to the operands: what `backward` does with every tensor in its turn."""
    def exp(self) -> Tensor:
        """e^x."""
    def expm1(self) -> Tensor:
        """e^x - 1, exact near 0."""
    def log(self) -> Tensor:
        """The natural logarithm."""
    def log1p(self) -> Tensor:
        """log(1 + x), exact near 0."""
    def sqrt(self) -> Tensor:
        """The square root."""
    def sin(self) -> Tensor:
        """The sine."""
    def cos(self) -> Tensor:
        """The cosine."""
    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
    def abs(self) -> Tensor:
        """|x|; its slope at 0 is 0."""
    def relu(self) -> Tensor:
        """max(x, 0); its slope at 0 is 0."""
    def sigmoid(self) -> Tensor:
        """1 / (1 + e^-x), without overflow."""
    def softplus(self) -> Tensor:
        """log(1 + e^x), without overflow: a smooth relu."""
    def __abs__(self) -> Tensor:
        """|x|; its slope at 0 is 0."""
    def leaky_relu(self, slope: float = 0.01) -> Tensor:
        """x where positive, slope * x elsewhere; its slope at 0 is the small one."""
    def silu(self) -> Tensor:
        """x * sigmoid(x) (Hendrycks and Gimpel, 2016), also called swish."""
    def gelu(self, approximate: str = "none") -> Tensor:
        """x * Phi(x), where Phi is the normal distribution function (Hendrycks and Gimpel, 2016)."""
    def clip(
        self, lo: ArrayLike | Tensor | None = None, hi: ArrayLike | Tensor | None = None
    ) -> Tensor:
        """x limited to lo <= x <= hi: numbers, arrays, Tensors, or None for no limit."""
    def astype(self, dtype: DTypeLike) -> Tensor:
        """The same numbers as another floating type; the gradient comes back in this one's."""
    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The sum over axis."""
    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The mean over axis."""
    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The largest value over axis; equal ones share the gradient evenly."""
    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The smallest value over axis; equal ones share the gradient evenly."""
    def var(self, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
        """The variance over axis: the squared deviations' sum over n - ddof."""
    def std(self, axis: Axis = None, keepdims: bool = False, ddof: float = 0) -> Tensor:
        """The standard deviation over axis; where it is 0, so is its slope."""
    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The product over axis."""
    def cumprod(self, axis: int | None = None) -> Tensor:
        """The running product along axis; of the flattened tensor if axis is None."""
    def cumsum(self, axis: int | None = None) -> Tensor:
        """The running sum along axis; of the flattened tensor if axis is None."""
    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """log(sum(exp(x))) over axis, without overflow."""
    def softmax(self, axis: Axis = None) -> Tensor:
        """exp(x) / sum(exp(x)) along axis, without overflow."""
    def log_softmax(self, axis: Axis = None) -> Tensor:
        """log(softmax(x)) along axis, without overflow; the axis as in `softmax`."""
    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """The same elements in another shape: reshape(2, -1) or reshape((2, -1))."""
    def transpose(self, *axes: int | Sequence[int] | None) -> Tensor:
        """The axes in the order given, transpose(1, 0) or transpose((1, 0)); else reversed."""
    @property
    def T(self) -> Tensor:
        """The tensor with its axes reversed."""
    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """The tensor with two axes exchanged."""
    def broadcast_to(self, *shape: int | Sequence[int]) -> Tensor:
        """The tensor repeated to a shape, by NumPy's rules."""
    def ravel(self) -> Tensor:
        """All elements along one axis."""
    def flatten(self) -> Tensor:
        """All elements along one axis."""
    def squeeze(self, axis: Axis = None) -> Tensor:
        """Without the axes of length 1, or without those given."""
    def expand_dims(self, axis: int | tuple[int, ...]) -> Tensor:
        """With new axes of length 1, which stand at these places in the result."""
    def pad(
        self, pad_width: ArrayLike, mode: str = "constant", constant_values: float | Tensor = 0
    ) -> Tensor:
        """A border of a constant, a number or a 0-d Tensor, around x; pad_width as in `np.pad`."""
    def flip(self, axis: Axis = None) -> Tensor:
        """The elements in reverse order along axis."""
    def tril(self, k: int = 0) -> Tensor:
        """The lower triangle of the last two axes, zeros above the k-th diagonal."""
    def triu(self, k: int = 0) -> Tensor:
        """The upper triangle of the last two axes, zeros below the k-th diagonal."""
    def __getitem__(self, key: object) -> Tensor:
        """x[key] for every index that NumPy takes; an element taken twice adds both gradients."""

def backpropagate(
    output: Tensor, start: Any, on_tensors: bool = False, far: bool = True
) -> dict[Tensor, Any]:
    """The gradients of output and of all behind it, or of its operands alone if not far."""

def sum_to(g: Any, x: Any) -> Any:
    """Sum g over the axes along which x was broadcast; in the dtype of x."""
