"""Layers beside the fully connected one: flattening, embedding, dropout, normalization, images.

A layer takes and returns Tensors whose first axis is the batch; an ndarray as input is a constant,
for which no gradient is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import KINDS, describe, zeros
from micrograd.engine import Tensor, apply
from micrograd.module import Module
from micrograd.operations import astype, linear
from micrograd.protocol import data_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from micrograd.interop import Door

__all__ = [
    "ACTIVATIONS", "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv2d", "Dropout", "Embedding",
    "Flatten", "LayerNorm", "MaxPool2d", "RMSNorm",
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


def initial(init: str | None, shape: tuple, fan_in: int, fan_out: int, rng) -> np.ndarray:
    """Initial weights: `Layer` says what the names mean, "torch" is PyTorch's own default."""
    rng = rng or np.random
    if init == "he":
        return rng.normal(0, math.sqrt(2 / fan_in), shape)
    bounds = {
        None: 1,
        "glorot": math.sqrt(2 / (fan_in + fan_out)),
        "xavier": math.sqrt(6 / (fan_in + fan_out)),
        "torch": math.sqrt(1 / fan_in),
    }
    if init not in bounds:
        raise ValueError(f'init: expected None, "glorot", "xavier" or "he", got {init!r}')
    return rng.uniform(-bounds[init], bounds[init], shape)


class Flatten(Module):
    """(n, ...) to (n, m): everything but the batch along one axis."""

    def __call__(self, x) -> Tensor:
        x = x if isinstance(x, Tensor) else np.asarray(x)
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

    def __init__(self, num_embeddings: int, embedding_dim: int, rng=None):
        self.weight = Tensor((rng or np.random).normal(size=(num_embeddings, embedding_dim)))

    def __call__(self, index: ArrayLike) -> Tensor:
        """
        Raises:
            TypeError: index is not made of integers.
            IndexError: an integer is negative or not below num_embeddings.
        """
        return self.weight[integers_below("Embedding", index, len(self.weight))]

    def torch_modules(self, door: Door) -> list:
        return [door.filled(door.nn.Embedding(*self.weight.shape), weight=self.weight)]

    def __repr__(self) -> str:
        return f"Embedding{self.weight.shape}"


class Dropout(Module):
    """In training, zero each element with probability p and divide the others by 1 - p.

    Srivastava et al. (2014). In evaluation mode the input passes as it is.
    """

    def __init__(self, p: float = 0.5, rng: np.random.Generator | None = None):
        if isinstance(p, Tensor) or not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is a probability, got {p!r}")
        self.p, self.rng = p, rng

    def __call__(self, x) -> Tensor:
        if not self.training or self.p == 0:
            return x
        x = floating("Dropout", x)
        keep = (self.rng or np.random).random(x.shape) >= self.p
        return x * (keep.astype(x.dtype) / max(1 - self.p, np.finfo(x.dtype).tiny))

    def torch_modules(self, door: Door) -> list:
        return [door.nn.Dropout(self.p)]

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


def floating(name: str, x, parameter: Tensor | None = None):
    """x itself, if it is a Tensor or an array of floats.

    Lists become arrays, and integers and bools floats: of the dtype of the parameter that they will
    meet, or float64.
    """
    if isinstance(x, Tensor) or (type(x) in KINDS and x.dtype.kind == "f"):
        return x
    array = np.asarray(x)
    if array.dtype.kind in "iub":
        return array.astype(np.float64 if parameter is None else parameter.dtype)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected a Tensor or an array of numbers, got {describe(x)}")
    return array


def integers_below(name: str, numbers: ArrayLike, classes: int) -> np.ndarray:
    """Integers from 0 to classes - 1."""
    numbers = np.asarray(numbers)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got dtype {numbers.dtype}")
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < classes:
        raise IndexError(
            f"{name}: expected integers from 0 to {classes - 1}, got {numbers.min()} to "
            f"{numbers.max()}"
        )
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

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ):
        self.shape = _shape(normalized_shape)
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

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ):
        self.shape = _shape(normalized_shape)
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
    _ndims = (2, 3)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
    ):
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
                running += self.momentum * (batch - running)
        else:
            scale = 1 / np.sqrt(self.running_var + self.eps)
            y = (x - self.running_mean.reshape(column)) * scale.reshape(column)
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


def _normalize(x, axes: tuple[int, ...], eps: float, center: bool = True) -> Tensor:
    """(x - mean) / sqrt(var + eps) over axes, in one operation; without the mean if not center."""
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


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(shape)


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """As many last axes as shape has."""
    return tuple(range(-len(shape), 0))


def _check_last_axes(name: str, x, shape: tuple[int, ...]) -> None:
    if x.shape[-len(shape) :] != shape:
        expected = ", ".join(map(str, shape))
        raise ValueError(f"{name}: expected (..., {expected}), got shape {x.shape}")


# Convolution and pooling, for images (n, channels, height, width)


class Conv2d(Module):
    """Two-dimensional convolution (cross-correlation, as everywhere in the field).

    The windows of the image are laid out as columns, so that the convolution is a product of
    matrices. On the way back a pixel adds up what it gets from all the windows that it stands in.

    (n, in_channels, h, w) gives (n, out_channels, h', w') with
    h' = (h + 2 padding - kernel) // stride + 1.

    Args:
        in_channels, out_channels: the number of channels.
        kernel_size, stride, padding: ints, or pairs (vertical, horizontal).
        bias: whether a number per output channel is added.
        init: as for `Layer`; the default draws `weight` (out_channels, in_channels, kh, kw) and
            `bias` uniformly from (-s, s) with s = 1 / sqrt(in_channels kh kw), as PyTorch does.
        rng: a `np.random.Generator`; without it NumPy's global state is used.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        bias: bool = True,
        init: str | None = "torch",
        rng: np.random.Generator | None = None,
    ):
        kh, kw = _pair("Conv2d: kernel_size", kernel_size)
        fan_in, fan_out = in_channels * kh * kw, out_channels * kh * kw
        weight = initial(init, (out_channels, in_channels, kh, kw), fan_in, fan_out, rng)
        self.weight = Tensor(weight)
        self.bias = None
        if bias:
            self.bias = Tensor(np.zeros(out_channels))
            if init == "torch":
                self.bias = Tensor(initial(init, (out_channels,), fan_in, fan_out, rng))
        self.stride = _pair("Conv2d: stride", stride)
        self.padding = _pair("Conv2d: padding", padding, least=0)

    def __call__(self, x) -> Tensor:
        out, *window = self.weight.shape
        x = floating("Conv2d", x, self.weight)
        _check_images("Conv2d", x, window[0])
        x = _pad(x, self.padding)
        _check_window("Conv2d", x, tuple(window[1:]))
        x = _windows(x, tuple(window[1:]), self.stride)
        n, _, h, w = x.shape[:4]
        columns = x.transpose(0, 1, 4, 5, 2, 3).reshape(n, math.prod(window), h * w)
        weight = self.weight.reshape(out, math.prod(window))
        if self.bias is None:
            y = weight @ columns
        else:
            y = linear(weight, columns, self.bias.reshape(out, 1))
        return y.reshape(n, out, h, w)

    def torch_modules(self, door: Door) -> list:
        out, channels, *kernel = self.weight.shape
        biased = self.bias is not None
        conv = door.nn.Conv2d(channels, out, kernel, self.stride, self.padding, bias=biased)
        return [door.filled(conv, weight=self.weight, bias=self.bias)]

    def __repr__(self) -> str:
        out, channels, *kernel = self.weight.shape
        return (
            f"Conv2d({channels}, {out}, {tuple(kernel)}, "
            f"stride={self.stride}, padding={self.padding})"
        )


class _Pool2d(Module):
    """What the pooling layers share: a window, its stride, and the padding."""

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
    ):
        name = type(self).__name__
        self.kernel = _pair(f"{name}: kernel_size", kernel_size)
        self.stride = self.kernel if stride is None else _pair(f"{name}: stride", stride)
        self.padding = _pair(f"{name}: padding", padding, least=0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel)):
            raise ValueError(
                f"{name}: padding {self.padding} is more than half the kernel size {self.kernel}"
            )

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self.kernel}, stride={self.stride}, padding={self.padding})"


class MaxPool2d(_Pool2d):
    """The largest value of each window; of equal ones the first gets the gradient, as in PyTorch.

    The padding counts as -inf.

    Args:
        kernel_size, stride, padding: ints, or pairs (vertical, horizontal); stride is the kernel
            size if None. The padding is at most half the kernel size.
    """

    def __call__(self, x) -> Tensor:
        x = floating("MaxPool2d", x)
        _check_images("MaxPool2d", x)
        x = _pad(x, self.padding, -np.inf)
        _check_window("MaxPool2d", x, self.kernel)
        return _max_pool(x, self.kernel, self.stride)

    def torch_modules(self, door: Door) -> list:
        return [door.nn.MaxPool2d(self.kernel, self.stride, self.padding)]


class AvgPool2d(_Pool2d):
    """The mean of each window; the zeros of the padding count, as in PyTorch.

    Args:
        kernel_size, stride, padding: as for `MaxPool2d`.
    """

    def __call__(self, x) -> Tensor:
        x = floating("AvgPool2d", x)
        _check_images("AvgPool2d", x)
        x = _pad(x, self.padding)
        _check_window("AvgPool2d", x, self.kernel)
        return _windows(x, self.kernel, self.stride).mean(axis=(-2, -1))

    def torch_modules(self, door: Door) -> list:
        return [door.nn.AvgPool2d(self.kernel, self.stride, self.padding)]


def _pair(name: str, x: int | Sequence[int], least: int = 1) -> tuple[int, int]:
    """An int twice, or a pair of ints."""
    pair = tuple(x) if isinstance(x, (tuple, list)) else (x, x)
    if len(pair) != 2 or any(not isinstance(n, (int, np.integer)) or n < least for n in pair):
        raise ValueError(f"{name}: expected an int of at least {least}, or a pair of them: {x!r}")
    return int(pair[0]), int(pair[1])


def _check_images(name: str, x, channels: int | None = None) -> None:
    if x.ndim != 4 or channels not in (None, x.shape[1]):
        expected = "channels" if channels is None else channels
        raise ValueError(f"{name}: expected (n, {expected}, height, width), got shape {x.shape}")


def _pad(x, padding: tuple[int, int], value: float = 0):
    """A border around the last two axes."""
    if padding == (0, 0):
        return x
    widths = ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)
    return np.pad(x, widths, constant_values=value)


def _check_window(name: str, x, kernel: tuple[int, int]) -> None:
    if any(k > n for k, n in zip(kernel, x.shape[2:])):
        raise ValueError(f"{name}: a window {kernel} is larger than the image {x.shape[2:]}")


def _parts(shape: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int]) -> list:
    """For each place (i, j) of a window, in rows: the index of what stands there in all windows."""
    h, w = ((n - k) // s + 1 for n, k, s in zip(shape[2:], kernel, stride))
    return [
        (..., slice(i, i + h * stride[0], stride[0]), slice(j, j + w * stride[1], stride[1]))
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]


def _windows(x, kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """All windows of images, (n, c, h', w', kh, kw): a view, from which nothing is copied."""

    def forward(x):
        view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
        return view[:, :, :: stride[0], :: stride[1]]

    return apply("windows", forward, (x,), lambda g, y, x: _fold(g, x.shape, kernel, stride))


def _fold(x, shape: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """Images of this shape from all of their windows, added up where they overlap."""

    def forward(x):
        out = zeros(shape, x)
        for k, part in enumerate(_parts(shape, kernel, stride)):
            out[part] += x[(..., *divmod(k, kernel[1]))]
        return out

    return apply("fold", forward, (x,), lambda g, y, x: _windows(g, kernel, stride))


def _max_pool(x, kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """The largest value of each window; the gradient goes to the first of them, in rows."""
    parts = _parts(x.shape, kernel, stride)

    def forward(x):
        y = x[parts[0]].copy()
        for part in parts[1:]:
            np.maximum(y, x[part], out=y)
        return y

    def derivative(g, y, x):
        largest, free = [], True
        for part in parts:
            largest.append((x[part] == y) & free)
            free = free & ~largest[-1]
        apart = stride[0] >= kernel[0] and stride[1] >= kernel[1]
        return _put(g, parts, largest, x.shape, apart)

    return apply("max_pool", forward, (x,), derivative)


def _put(x, parts: list, masks: list, shape: tuple[int, ...], apart: bool) -> Tensor:
    """Zeros of this shape with x added at each part where its mask holds; apart if none overlap."""

    def forward(x):
        out = zeros(shape, x)
        for part, mask in zip(parts, masks):
            if apart:  # then most of the time goes into the memory, which is written once
                np.multiply(x, mask, out=out[part])
            else:
                out[part] += x * mask
        return out

    def derivative(g, y, x):
        return sum(g[part] * mask for part, mask in zip(parts, masks))

    return apply("put", forward, (x,), derivative)
