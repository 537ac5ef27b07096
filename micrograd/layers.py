"""Layers other than the fully connected one: flattening, embedding, dropout, normalization.

A layer takes and returns Tensors whose first axis is the batch; an ndarray as input is a constant,
for which no gradient is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import KINDS, array_of, describe, integer
from micrograd.effects import effect, state
from micrograd.engine import Tensor, apply
from micrograd.module import Module
from micrograd.operations import astype, no_tensor
from micrograd.protocol import data_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from micrograd.interop import Door, Taker

__all__ = [
    "ACTIVATIONS", "BatchNorm1d", "BatchNorm2d", "Dropout", "Embedding", "Flatten", "GroupNorm",
    "LayerNorm", "RMSNorm",
]  # fmt: skip


Activation = str | Callable[[Tensor], Tensor] | None
ACTIVATIONS = {
    name: getattr(Tensor, name)
    for name in ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "softplus")
}


def activation(act: Activation) -> Callable | None:
    if isinstance(act, str) and act not in ACTIVATIONS:
        raise ValueError(f"act: expected one of {', '.join(ACTIVATIONS)}, or a function: {act!r}")
    if not (act is None or isinstance(act, str) or callable(act)):
        raise TypeError(f"act: expected a name, a function or None, got {describe(act)}")
    return ACTIVATIONS[act] if isinstance(act, str) else act


class Flatten(Module):
    """(n, ...) to (n, m): everything but the batch along one axis."""

    torch_arguments = ()
    torch_fixed = (
        ("start_dim", 1),
        ("end_dim", -1),
    )

    def __init__(self) -> None:
        """Without options; object's own would say only that it takes no arguments."""

    def __call__(self, x) -> Tensor:
        if not isinstance(x, Tensor):
            x = array_of("Flatten", x, "fiub", "a Tensor or an array of numbers")
        if not x.ndim:
            raise ValueError("Flatten: expected (n, ...), got shape ()")
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def torch_modules(self, door: Door) -> list:
        return [door.nn.Flatten()]

    def __repr__(self) -> str:
        return "Flatten()"


class Embedding(Module):
    """A table of vectors: integers of any shape (...) give their rows (..., embedding_dim).

    The `weight` (num_embeddings, embedding_dim) is drawn from a standard normal distribution.
    """

    torch_arguments = ("num_embeddings", "embedding_dim")
    torch_fixed = (
        ("padding_idx", None),
        ("max_norm", None),
    )

    def __init__(self, num_embeddings: int, embedding_dim: int, rng=None):
        shape = sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.weight = Tensor((rng or np.random).normal(size=shape))

    def __call__(self, index: ArrayLike) -> Tensor:
        """The vectors (..., embedding_dim) of integers (...).

        Raises:
            TypeError: index is not made of integers.
            IndexError: an integer is negative or not below num_embeddings.
        """
        index = array_of("Embedding", data_of(index))
        effect(integers_below, "Embedding", index, len(self.weight))
        return self.weight[index]

    def torch_modules(self, door: Door) -> list:
        return [door.filled(door.nn.Embedding(*self.weight.shape), weight=self.weight)]

    def __repr__(self) -> str:
        return f"Embedding{self.weight.shape}"


class Dropout(Module):
    """In training, zero each element with probability p and divide the others by 1 - p.

    Srivastava et al. (2014). In evaluation mode the input passes as it is.
    """

    torch_arguments = ("p",)

    def __init__(self, p: float = 0.5, rng: np.random.Generator | None = None):
        self.p, self.rng = probability("Dropout: p", p), rng

    def __call__(self, x) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return dropped(floating("Dropout", x), self.p, self.rng)

    def torch_modules(self, door: Door) -> list:
        return [door.nn.Dropout(self.p)]

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


def probability(name: str, p: float) -> float:
    """p itself, once it is sure that it is one."""
    if not isinstance(p, (int, float, np.floating)) or not 0 <= p <= 1:
        raise ValueError(f"{name} is a probability, got {p!r}")
    return p


def dropped(x, p: float, rng: np.random.Generator | None) -> Tensor:
    """x with each element zeroed with probability p, and the others divided by 1 - p."""
    keep = effect((rng or np.random).random, x.shape) >= p
    return x * (keep.astype(x.dtype) / max(1 - p, np.finfo(x.dtype).tiny))


def floating(name: str, x, parameter: Tensor | None = None):
    """x itself, if it is a Tensor or an array of floats.

    Lists become arrays, and integers and bools floats: of the dtype of the parameter that they will
    meet, or float64.
    """
    if isinstance(x, Tensor) or (type(x) in KINDS and x.dtype.kind == "f"):
        return x
    array = array_of(name, x, "fiub", "a Tensor or an array of numbers")
    if array.dtype.kind == "f":
        return array
    return array.astype(np.float64 if parameter is None else parameter.dtype)


def sizes(layer: str, **given: int) -> tuple[int, ...]:
    """The arguments of a layer that are lengths, as ints of at least 1."""
    return tuple(integer(f"{layer}: {name}", n) for name, n in given.items())


def integers_below(name: str, numbers: np.ndarray, classes: int) -> np.ndarray:
    """Integers from 0 to classes - 1."""
    if numbers.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: expected integers, such as np.array([0, 2]), got dtype {numbers.dtype}"
        )
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < classes:
        low, high = numbers.min(), numbers.max()
        given = low if low == high else f"{low} to {high}"
        raise IndexError(f"{name}: expected integers from 0 to {classes - 1}, got {given}")
    return numbers


# Normalization


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) over the last axes, times `weight`, plus `bias`.

    Ba et al. (2016).

    Args:
        normalized_shape: the lengths of the axes to normalize over, an int for the last one.
        eps: keeps the division finite.
        elementwise_affine: whether there are a weight and a bias, of shape normalized_shape.
        bias: whether there is a bias.
    """

    @classmethod
    def from_torch_module(cls, theirs, taker: Taker) -> LayerNorm:
        affine, biased = theirs.elementwise_affine, theirs.bias is not None
        return taker.taken(cls(theirs.normalized_shape, theirs.eps, affine, biased), theirs)

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        self.shape = _shape("LayerNorm", normalized_shape)
        self.eps = eps
        self.weight = Tensor(np.ones(self.shape)) if elementwise_affine else None
        self.bias = Tensor(np.zeros(self.shape)) if elementwise_affine and bias else None

    def __call__(self, x) -> Tensor:
        x = floating("LayerNorm", x, self.weight)
        _check_last_axes("LayerNorm", x, self.shape)
        return _affine(_normalize(x, _last(self.shape), self.eps), self.weight, self.bias)

    def torch_modules(self, door: Door) -> list:
        affine, biased = self.weight is not None, self.bias is not None
        norm = door.nn.LayerNorm(self.shape, self.eps, affine, biased)
        return [door.filled(norm, weight=self.weight, bias=self.bias)]

    def __repr__(self) -> str:
        return f"LayerNorm({self.shape})"


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) over the last axes, times `weight` (Zhang and Sennrich, 2019).

    Args:
        normalized_shape: the lengths of the axes to normalize over, an int for the last one.
        eps: keeps the division finite; None: the machine precision of the input's dtype.
        elementwise_affine: whether there is a weight, of shape normalized_shape.
    """

    torch_arguments = ("normalized_shape", "eps", "elementwise_affine")

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ):
        self.shape = _shape("RMSNorm", normalized_shape)
        self.eps = eps
        self.weight = Tensor(np.ones(self.shape)) if elementwise_affine else None

    def __call__(self, x) -> Tensor:
        x = floating("RMSNorm", x, self.weight)
        _check_last_axes("RMSNorm", x, self.shape)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        return _affine(_normalize(x, _last(self.shape), eps, center=False), self.weight, None)

    def torch_modules(self, door: Door) -> list:
        norm = door.nn.RMSNorm(self.shape, self.eps, self.weight is not None)
        return [door.filled(norm, weight=self.weight)]

    def __repr__(self) -> str:
        return f"RMSNorm({self.shape})"


class BatchNorm1d(Module):
    """(x - mean) / sqrt(var + eps) for each feature, over the batch: x (n, features[, length]).

    Ioffe and Szegedy (2015). In training the mean and variance are the batch's, and the buffers
    `running_mean` and `running_var` (with n - 1 in the denominator, as in PyTorch) move towards
    them by `momentum`; in evaluation mode the buffers are used.

    Args:
        num_features: the length of axis 1.
        eps: keeps the division finite.
        momentum: the weight of a batch in the running statistics.
        affine: whether the result is multiplied by `weight` and `bias` is added.
    """

    buffers = ("running_mean", "running_var")
    torch_arguments = ("num_features", "eps", "momentum", "affine")
    torch_fixed = (("track_running_stats", True),)
    _ndims = (2, 3)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
    ):
        (num_features,) = sizes(type(self).__name__, num_features=num_features)
        self.eps, self.momentum = eps, momentum
        self.weight = Tensor(np.ones(num_features)) if affine else None
        self.bias = Tensor(np.zeros(num_features)) if affine else None
        self.running_mean = np.zeros(num_features)
        self.running_var = np.ones(num_features)

    def __call__(self, x) -> Tensor:
        """
        Raises:
            ValueError: x has another number of axes or features, or, in training, one value per
                feature, which has no variance.
        """
        name, features = type(self).__name__, len(self.running_mean)
        x = floating(name, x, self.weight)
        if x.ndim not in self._ndims or x.shape[1] != features:
            raise ValueError(f"{name}: expected (n, {features}, ...), got shape {x.shape}")
        axes = (0, *range(2, x.ndim))
        column = (features,) + (1,) * (x.ndim - 2)  # one number per feature, along axis 1
        if self.training:
            n = x.size // features
            if n < 2:
                raise ValueError(f"{name}: one value per feature in shape {x.shape} while training")
            y, array = _normalize(x, axes, self.eps), data_of(x)
            array = array.astype(np.result_type(array, np.float32), copy=False)  # of float16
            for running, batch in (
                (self.running_mean, array.mean(axis=axes)),
                (self.running_var, array.var(axis=axes, ddof=1)),
            ):
                effect(_move, running, batch, self.momentum)
        else:
            mean, var = state(self.running_mean), state(self.running_var)
            scale = 1 / np.sqrt(var + self.eps)
            y = (x - mean.reshape(column)) * scale.reshape(column)
        if self.weight is None:
            return y
        return y * self.weight.reshape(column) + self.bias.reshape(column)

    def torch_modules(self, door: Door) -> list:
        kind = door.nn.BatchNorm2d if 4 in self._ndims else door.nn.BatchNorm1d
        norm = kind(len(self.running_mean), self.eps, self.momentum, self.weight is not None)
        statistics = {name: getattr(self, name) for name in self.buffers}
        return [door.filled(norm, weight=self.weight, bias=self.bias, **statistics)]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.running_mean)})"


class BatchNorm2d(BatchNorm1d):
    """`BatchNorm1d` for images: x (n, features, height, width), over batch, height and width."""

    _ndims = (4,)


class GroupNorm(Module):
    """(x - mean) / sqrt(var + eps) in each group of channels: x (n, num_channels, ...).

    Wu and He (2018). As in PyTorch, times `weight` and plus `bias`, a number a channel, if affine.

    Args:
        num_groups: the number of groups, which divides num_channels.
        num_channels: the length of axis 1.
        eps: keeps the division finite.
        affine: whether there are a weight and a bias.
    """

    torch_arguments = ("num_groups", "num_channels", "eps", "affine")

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True):
        num_groups, num_channels = sizes(
            "GroupNorm", num_groups=num_groups, num_channels=num_channels
        )
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_groups} groups don't divide {num_channels} channels")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Tensor(np.ones(num_channels)) if affine else None
        self.bias = Tensor(np.zeros(num_channels)) if affine else None

    def __call__(self, x) -> Tensor:
        x, channels = floating("GroupNorm", x, self.weight), self.num_channels
        if x.ndim < 2 or x.shape[1] != channels:
            raise ValueError(f"GroupNorm: expected (n, {channels}, ...), got shape {x.shape}")
        in_group = channels // self.num_groups * math.prod(x.shape[2:])
        groups = x.reshape(len(x), self.num_groups, in_group)
        y = _normalize(groups, (2,), self.eps).reshape(x.shape)
        if self.weight is None:
            return y
        column = (channels,) + (1,) * (x.ndim - 2)
        return y * self.weight.reshape(column) + self.bias.reshape(column)

    def torch_modules(self, door: Door) -> list:
        affine = self.weight is not None
        norm = door.nn.GroupNorm(self.num_groups, self.num_channels, self.eps, affine)
        return [door.filled(norm, weight=self.weight, bias=self.bias)]

    def __repr__(self) -> str:
        return f"GroupNorm({self.num_groups}, {self.num_channels})"


def _move(running: np.ndarray, batch: np.ndarray, momentum: float) -> None:
    """Move running statistics towards those of a batch."""
    running += momentum * (batch - running)


def _normalize(x, axes: tuple[int, ...], eps: float, center: bool = True) -> Tensor:
    """(x - mean) / sqrt(var + eps) over axes, in one operation; without the mean if not center."""
    no_tensor("eps of a normalization", eps)
    if x.dtype == np.float16:  # whose squares overflow above 256: in float32, as in PyTorch
        return astype(_normalize(astype(x, np.float32), axes, eps, center), np.float16)

    def mean(x):
        return x.mean(axis=axes, keepdims=True)

    def forward(x):
        x = x - mean(x) if center else x
        scale = 1 / np.sqrt(mean(x * x) + eps)
        return x * scale, scale

    def derivative(g, y, x, scale):
        """scale (g - mean(g) - y mean(gy)): g without its parts along 1 and along y."""
        rest = g - y * mean(g * y)
        return scale * (rest - mean(g) if center else rest)

    return apply("normalize", forward, (x,), derivative)


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _shape(name: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    """The normalized shape, of one axis at least."""
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) and shape else (shape,)
    return tuple(integer(f"{name}: normalized_shape", n) for n in lengths)


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """As many last axes as shape has."""
    return tuple(range(-len(shape), 0))


def _check_last_axes(name: str, x, shape: tuple[int, ...]) -> None:
    if x.shape[-len(shape) :] != shape:
        expected = ", ".join(map(str, shape))
        raise ValueError(f"{name}: expected (..., {expected}), got shape {x.shape}")
