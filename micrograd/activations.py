"""Activations as modules, for a `Sequential`: PyTorch's names for functions of a Tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from micrograd.engine import Tensor
from micrograd.layers import floating
from micrograd.module import Module

if TYPE_CHECKING:
    from micrograd.interop import Door

__all__ = [
    "GELU", "Identity", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Softplus", "Tanh",
]  # fmt: skip


class Identity(Module):
    """What comes in."""

    torch_arguments = ()

    def __call__(self, x):
        return x

    def torch_modules(self, door: Door) -> list:
        return [door.nn.Identity()]

    def __repr__(self) -> str:
        return "Identity()"


class _Activation(Module):
    """A function of a Tensor and of the attributes that `torch_arguments` names."""

    function: Callable[..., Tensor]
    torch_arguments: tuple[str, ...] = ()
    torch_fixed: tuple[tuple[str, object], ...] = ()

    def __init__(self) -> None:
        """Without options; object's own would say only that it takes no arguments."""

    def __call__(self, x) -> Tensor:
        return self.function(floating(type(self).__name__, x), *self._options().values())

    def torch_modules(self, door: Door) -> list:
        kind = next(k for k in type(self).__mro__ if _Activation in k.__bases__)
        return [getattr(door.nn, kind.__name__)(**self._options())]

    def _options(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.torch_arguments}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._options().values()))})"


class ReLU(_Activation):
    """max(x, 0)."""

    function = staticmethod(Tensor.relu)


class LeakyReLU(_Activation):
    """x where positive, negative_slope * x elsewhere."""

    function = staticmethod(Tensor.leaky_relu)
    torch_arguments = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope


class Tanh(_Activation):
    """The hyperbolic tangent."""

    function = staticmethod(Tensor.tanh)


class Sigmoid(_Activation):
    """1 / (1 + e^-x)."""

    function = staticmethod(Tensor.sigmoid)


class GELU(_Activation):
    """x * Phi(x), exactly ("none") or by the faster formula ("tanh"); see `Tensor.gelu`."""

    function = staticmethod(Tensor.gelu)
    torch_arguments = ("approximate",)

    def __init__(self, approximate: str = "none"):
        self.approximate = approximate


class SiLU(_Activation):
    """x * sigmoid(x)."""

    function = staticmethod(Tensor.silu)


class Softplus(_Activation):
    """log(1 + e^x); for every x, where PyTorch's gives x itself from 20 on."""

    function = staticmethod(Tensor.softplus)
    torch_fixed = (("beta", 1.0),)

    def torch_modules(self, door: Door) -> list:
        return door.convert(Tensor.softplus)
