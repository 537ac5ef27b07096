"""Convolution and pooling, for images (n, channels, height, width)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import zeros
from micrograd.engine import Tensor, apply
from micrograd.layers import floating, initial
from micrograd.module import Module
from micrograd.operations import linear

if TYPE_CHECKING:
    from micrograd.interop import Door

__all__ = ["AvgPool2d", "Conv2d", "MaxPool2d"]


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
