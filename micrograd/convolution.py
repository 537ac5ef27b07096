"""Convolution, pooling and enlarging, for images (n, channels, height, width) and their 1-D kin.

A convolution moves a window over the image. Here it is one product of matrices for each row of the
window: the image is laid out once for each column of the window, shifted by so much, with the image
rows as the slowest axis, so that to step down a row is to take a slice. Laying out whole windows,
as is usual, copies the image as often as the window has pixels, and takes longer than the products.

The result depends linearly on the image and on the weights, and so there are three operations, each
of whose derivatives are the other two: images and weights give results, results and weights images,
images and results weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from micrograd.arrays import integer, sum_leading, zeros
from micrograd.engine import Tensor, apply
from micrograd.init import initial, initial_bias
from micrograd.layers import floating, sizes
from micrograd.module import Module

if TYPE_CHECKING:
    from micrograd.interop import Door

__all__ = ["AvgPool2d", "Conv1d", "Conv2d", "ConvTranspose2d", "MaxPool2d", "Upsample"]

Pair = tuple[int, int]
PORTION = 1 << 18  # numbers; all images of (32, 32, 32, 32) at once take 1.5 times as long


class _Windows(NamedTuple):
    """Where the windows stand on an image; all pairs are (vertical, horizontal)."""

    size: Pair  # of the image
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    counts: Pair  # how many windows there are

    def padded(self) -> Pair:
        """The size of the image with its padding."""
        return self.size[0] + 2 * self.padding[0], self.size[1] + 2 * self.padding[1]

    def inside(self) -> tuple:
        """The index of the image in (channels, height, n, width) with padding."""
        (h, w), (ph, pw) = self.size, self.padding
        return (slice(None), slice(ph, ph + h), slice(None), slice(pw, pw + w))

    def portions(self, n: int, channels: int) -> list[slice]:
        """Of n images as many at a time as, laid out, stay in the cache."""
        numbers = channels * self.kernel[1] * math.prod(self.padded())
        some = max(1, PORTION // numbers)
        return [slice(i, i + some) for i in range(0, n, some)]

    def steps(self, channels: int) -> int:
        """In how many products a convolution is done: a row of the window each, or one if small."""
        return self.kernel[0] if self.kernel[1] * channels >= 16 else 1

    def places(self, axis: int) -> list[slice]:
        """For each row (axis 0) or column (1) of a window, what stands there in all windows."""
        step, count = self.stride[axis], self.counts[axis]
        starts = (i * self.dilation[axis] for i in range(self.kernel[axis]))
        return [slice(start, start + step * (count - 1) + 1, step) for start in starts]


class _Convolution(Module):
    """What the convolutions share: how their arguments are checked, and their first weights."""

    torch_arguments: tuple[str, ...] = (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
        "bias",
    )  # fmt: skip
    torch_fixed = (("padding_mode", "zeros"),)
    _axes, _transposed = 2, False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        init: str = "torch",
        rng: np.random.Generator | None = None,
    ):
        name = type(self).__name__
        outer, inner = sizes(name, out_channels=out_channels, in_channels=in_channels)
        if self._transposed:
            outer, inner = inner, outer
        if (
            not isinstance(groups, (int, np.integer))
            or groups < 1
            or outer % groups
            or inner % groups
        ):
            raise ValueError(
                f"{name}: groups is an int that divides the channels on both sides, {inner} and "
                f"{outer}, got {groups!r}"
            )
        window = _lengths(f"{name}: kernel_size", kernel_size, self._axes)
        self.stride = _lengths(f"{name}: stride", stride, self._axes)
        self.dilation = _lengths(f"{name}: dilation", dilation, self._axes)
        if isinstance(padding, str) and not self._transposed:
            padding = self._named_padding(padding, window)
        self.padding = _lengths(f"{name}: padding", padding, self._axes, least=0)
        self.groups = int(groups)
        shape = (outer, inner // self.groups, *window)
        fan_in, fan_out = math.prod(shape[1:]), outer * math.prod(window)
        self.weight = Tensor(initial(init, shape, fan_in, fan_out, rng))
        self.bias = initial_bias(init, out_channels, fan_in, rng) if bias else None

    def _named_padding(self, padding: str, window: tuple[int, ...]) -> tuple[int, ...]:
        """PyTorch's "valid", and "same", with which results have the size of the images."""
        spans = tuple(d * (k - 1) for d, k in zip(self.dilation, window))
        name = f"{type(self).__name__}: padding={padding!r}"
        if padding not in ("valid", "same"):
            raise ValueError(f'{name}: expected integers, "valid" or "same"')
        if padding == "valid":
            return (0,) * self._axes
        if set(self.stride) != {1}:
            raise ValueError(f"{name} is for stride 1, got {self.stride}")
        if any(span % 2 for span in spans):
            raise ValueError(f"{name} of a window {window} is one more on one side: x.pad first")
        return tuple(span // 2 for span in spans)

    def _parts(self) -> tuple[int, int, tuple[int, ...]]:
        """The numbers of input and output channels, and the window."""
        out, channels, *window = self.weight.shape
        return channels * self.groups, out, tuple(window)

    def __call__(self, x) -> Tensor:
        """
        Raises:
            ValueError: x has another number of axes or channels, or is smaller than a window.
        """
        name, (channels, _, window) = type(self).__name__, self._parts()
        x = floating(name, x, self.weight)
        _check_images(name, x, channels, ("height", "width") if self._axes == 2 else ("length",))
        size, weight = x.shape[2:], self.weight
        if self._axes == 2:
            return _convolve(x, weight, self.bias, _windows_on(name, size, window, self))
        at = _windows_on(name, (1, *size), (1, *window), self)
        x, weight = (t.reshape(*t.shape[:2], 1, t.shape[2]) for t in (x, weight))
        y = _convolve(x, weight, self.bias, at)
        return y.reshape(*y.shape[:2], y.shape[3])

    def torch_modules(self, door: Door) -> list:
        channels, out, window = self._parts()
        conv = getattr(door.nn, f"Conv{self._axes}d")(
            channels, out, window, self.stride, self.padding, self.dilation, self.groups,
            bias=self.bias is not None,
        )  # fmt: skip
        return [door.filled(conv, weight=self.weight, bias=self.bias)]

    def __repr__(self) -> str:
        channels, out, window = self._parts()
        options = f"stride={self.stride}, padding={self.padding}"
        if set(self.dilation) != {1}:
            options += f", dilation={self.dilation}"
        if self.groups > 1:
            options += f", groups={self.groups}"
        options += "" if self.bias is not None else ", bias=False"
        return f"{type(self).__name__}({channels}, {out}, {window}, {options})"


class Conv2d(_Convolution):
    """Two-dimensional convolution (cross-correlation, as everywhere in the field).

    (n, in_channels, h, w) gives (n, out_channels, h', w') with
    h' = (h + 2 padding - dilation (kernel - 1) - 1) // stride + 1.

    Args:
        in_channels, out_channels: the number of channels.
        kernel_size, stride, padding: ints, or pairs (vertical, horizontal). padding="same" is what
            keeps the size, for stride 1 and an odd kernel.
        dilation: the distance between the pixels of a window, an int or a pair.
        groups: in how many groups the channels go, each by itself, into as many of outputs.
        bias: whether a number per output channel is added.
        init: as for `Layer`; the default draws `weight` (out_channels, in_channels / groups, kh,
            kw) and `bias` uniformly from (-s, s), where 1 / s^2 is the number of a window's inputs,
            as PyTorch does.
        rng: a `np.random.Generator`; without it NumPy's global state is used.
    """


class Conv1d(_Convolution):
    """Convolution along one axis: (n, in_channels, l) gives (n, out_channels, l').

    Args:
        in_channels, out_channels, groups, bias, init, rng: as for `Conv2d`; `weight` is
            (out_channels, in_channels / groups, kernel_size).
        kernel_size, stride, padding, dilation: ints.
    """

    _axes = 1


class ConvTranspose2d(_Convolution):
    """The way back through a `Conv2d` as a layer: every pixel puts a window of its own.

    (n, in_channels, h, w) gives (n, out_channels, h', w') with
    h' = (h - 1) stride - 2 padding + dilation (kernel - 1) + 1 + output_padding.

    Args:
        in_channels, out_channels: the number of channels.
        kernel_size, stride, padding, dilation: those of the `Conv2d`, ints or pairs; the padding is
            what it would put around the result, so here it is cut off.
        output_padding: how many pixels more the result has below and on the right: with a stride,
            several sizes give a convolution's result the same size. Less than stride or dilation.
        groups, bias, init, rng: as for `Conv2d`; `weight` is (in_channels, out_channels / groups,
            kh, kw), and s of the default is counted from it, as in PyTorch.
    """

    torch_arguments = (*_Convolution.torch_arguments, "output_padding")
    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Pair = 1,
        init: str = "torch",
        rng: np.random.Generator | None = None,
    ):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            init,
            rng,
        )
        name = "ConvTranspose2d: output_padding"
        self.output_padding = _lengths(name, output_padding, 2, least=0)
        if any(p >= max(s, d) for p, s, d in zip(self.output_padding, self.stride, self.dilation)):
            raise ValueError(
                f"{name} {self.output_padding} is not less than stride {self.stride} or dilation "
                f"{self.dilation}"
            )

    def _parts(self) -> tuple[int, int, tuple[int, ...]]:
        channels, out, *window = self.weight.shape
        return channels, out * self.groups, tuple(window)

    def __call__(self, x) -> Tensor:
        x = floating("ConvTranspose2d", x, self.weight)
        channels, out, window = self._parts()
        _check_images("ConvTranspose2d", x, channels)
        h, w = (
            (n - 1) * s - 2 * p + d * (k - 1) + 1 + more
            for n, k, s, p, d, more in zip(
                x.shape[2:], window, self.stride, self.padding, self.dilation, self.output_padding
            )
        )
        if h < 1 or w < 1:
            raise ValueError(f"ConvTranspose2d: nothing is left of shape {x.shape}: {(h, w)}")
        at = _Windows(
            (h, w), window, self.stride, self.padding, self.dilation, self.groups, x.shape[2:]
        )
        y = _back_to_images(x, self.weight, at)
        return y if self.bias is None else y + self.bias.reshape(out, 1, 1)

    def torch_modules(self, door: Door) -> list:
        conv = door.nn.ConvTranspose2d(
            *self._parts(), self.stride, self.padding, self.output_padding, self.groups,
            self.bias is not None, self.dilation,
        )  # fmt: skip
        return [door.filled(conv, weight=self.weight, bias=self.bias)]

    def __repr__(self) -> str:
        more = f", output_padding={self.output_padding})" if any(self.output_padding) else ")"
        return super().__repr__()[:-1] + more


class Upsample(Module):
    """Images (n, channels, height, width) in another size.

    Args:
        size: (height, width) of the result, or an int for both; or else
        scale_factor: how many times as large it is, a number or a pair of them; rounded down.
        mode: "nearest" repeats pixels, also of (n, channels, length); "bilinear" takes the mean of
            the four around a point, weighted by how near they are.
        align_corners: for "bilinear", whether the middles of the corner pixels keep their places,
            and not the corners of the image.
    """

    torch_arguments = ("size", "scale_factor", "mode", "align_corners")
    torch_fixed = (("recompute_scale_factor", None),)

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ):
        if mode not in ("nearest", "bilinear"):
            raise ValueError(f'Upsample: mode is "nearest" or "bilinear", got {mode!r}')
        if (size is None) == (scale_factor is None):
            raise ValueError("Upsample: expected either size or scale_factor")
        if mode == "nearest" and align_corners is not None:
            raise ValueError('Upsample: align_corners is for mode="bilinear"')
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def __call__(self, x) -> Tensor:
        """
        Raises:
            ValueError: x has another number of axes, or nothing is left of one.
        """
        x = floating("Upsample", x)
        if x.ndim != 4 and (self.mode == "bilinear" or x.ndim != 3):
            raise ValueError(f"Upsample: expected (n, channels, height, width), got {x.shape}")
        given = self.scale_factor if self.size is None else self.size
        given = tuple(given) if isinstance(given, (tuple, list)) else (given,) * (x.ndim - 2)
        if len(given) != x.ndim - 2 or any(not n > 0 for n in given):
            what = "scale_factor" if self.size is None else "size"
            raise ValueError(f"Upsample: {what} {given} does not fit shape {x.shape}")
        for axis, number in enumerate(given, start=2):
            old = x.shape[axis]
            new, step = (
                (int(old * number), 1 / number) if self.size is None else (number, old / number)
            )
            if new < 1:
                raise ValueError(f"Upsample: nothing is left of axis {axis} of shape {x.shape}")
            x = self._resized(x, axis, new, step)
        return x

    def _resized(self, x, axis: int, new: int, step: float) -> Tensor:
        """x with this many places along an axis, each a step of the old ones from the next."""
        old, places = x.shape[axis], np.arange(new)
        if self.mode == "nearest":
            return _take(x, np.minimum((places * step).astype(int), old - 1), axis)
        if self.align_corners:
            places = places * ((old - 1) / max(new - 1, 1))
        else:
            places = np.maximum((places + 0.5) * step - 0.5, 0)
        before = np.minimum(places.astype(int), old - 1)
        after = np.minimum(before + 1, old - 1)
        near = (places - before).astype(x.dtype).reshape(new, *(1,) * (x.ndim - axis - 1))
        return _take(x, before, axis) * (1 - near) + _take(x, after, axis) * near

    def torch_modules(self, door: Door) -> list:
        return [door.nn.Upsample(self.size, self.scale_factor, self.mode, self.align_corners)]

    def __repr__(self) -> str:
        name, given = (
            ("size", self.size)
            if self.scale_factor is None
            else ("scale_factor", self.scale_factor)
        )
        corners = "" if self.align_corners is None else f", align_corners={self.align_corners}"
        return f"Upsample({name}={given}, mode={self.mode!r}{corners})"


def _take(x, places: np.ndarray, axis: int) -> Tensor:
    """What stands at these places of an axis, which never go back."""
    return apply("take", lambda x: np.take(x, places, axis=axis), (x,),
                 lambda g, y, x: _add_up(g, places, axis, x.shape))  # fmt: skip


def _add_up(g, places: np.ndarray, axis: int, shape: tuple[int, ...]) -> Tensor:
    """Zeros of this shape with g added at these places of an axis, which never go back.

    All firsts for a place are added at once, then all seconds: several times as fast as
    np.add.reduceat.
    """
    firsts = np.flatnonzero(np.diff(places, prepend=-1))
    counts = np.diff(firsts, append=len(places))

    def forward(g):
        total = np.take(g, firsts, axis=axis)
        for k in range(1, counts.max()):
            more = np.take(g, np.minimum(firsts + k, len(places) - 1), axis=axis)
            there = (counts > k).reshape(-1, *(1,) * (g.ndim - axis - 1))
            total += more if there.all() else np.where(there, more, 0)
        if total.shape == shape:
            return total
        out = zeros(shape, g)
        out[(slice(None),) * axis + (places[firsts],)] = total
        return out

    return apply("add_up", forward, (g,), lambda v, y, g: _take(v, places, axis))


class _Pool2d(Module):
    """What the pooling layers share: a window, its stride, and the padding."""

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        *,
        ceil_mode: bool = False,
    ):
        name = type(self).__name__
        self.kernel = _lengths(f"{name}: kernel_size", kernel_size, 2)
        self.stride = self.kernel if stride is None else _lengths(f"{name}: stride", stride, 2)
        self.padding = _lengths(f"{name}: padding", padding, 2, least=0)
        self.ceil_mode = ceil_mode
        if any(2 * p > k for p, k in zip(self.padding, self.kernel)):
            raise ValueError(
                f"{name}: padding {self.padding} is more than half the kernel size {self.kernel}"
            )

    def _framed(self, x, value: float):
        """Images with their padding, and with what the last windows reach beyond it."""
        name, widths = type(self).__name__, []
        x = floating(name, x)
        _check_images(name, x)
        for n, k, s, p in zip(x.shape[2:], self.kernel, self.stride, self.padding):
            beyond = 0
            if self.ceil_mode:
                last = -((k - n - 2 * p) // s) * s
                last -= s if last >= n + p else 0  # no window starts in the padding behind
                beyond = max(last + k - n - 2 * p, 0)
            widths.append((p, p + beyond))
        if any(map(any, widths)):
            x = np.pad(x, ((0, 0), (0, 0), *widths), constant_values=value)
        _check_window(name, x, self.kernel)
        return x

    def _options(self) -> dict[str, bool]:
        return {"ceil_mode": True} if self.ceil_mode else {}

    def __repr__(self) -> str:
        options = "".join(f", {name}={value}" for name, value in self._options().items())
        return (
            f"{type(self).__name__}({self.kernel}, stride={self.stride}, padding={self.padding}"
            f"{options})"
        )


class MaxPool2d(_Pool2d):
    """The largest value of each window; of equal ones the first gets the gradient, as in PyTorch.

    The padding counts as -inf.

    Args:
        kernel_size, stride, padding: ints, or pairs (vertical, horizontal); stride is the kernel
            size if None. The padding is at most half the kernel size.
        ceil_mode: whether a window that reaches beyond the image counts too.
    """

    torch_arguments = ("kernel_size", "stride", "padding", "ceil_mode")
    torch_fixed = (
        ("dilation", 1),
        ("return_indices", False),
    )

    def __call__(self, x) -> Tensor:
        return _max_pool(self._framed(x, -np.inf), self.kernel, self.stride)

    def torch_modules(self, door: Door) -> list:
        return [door.nn.MaxPool2d(self.kernel, self.stride, self.padding, **self._options())]


class AvgPool2d(_Pool2d):
    """The mean of each window; the zeros of the padding count, as in PyTorch.

    Args:
        kernel_size, stride, padding, ceil_mode: as for `MaxPool2d`.
        count_include_pad: whether the zeros of the padding count.
    """

    torch_arguments = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
    torch_fixed = (("divisor_override", None),)

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode=ceil_mode)
        self.count_include_pad = count_include_pad

    def __call__(self, x) -> Tensor:
        y = _windows(self._framed(x, 0), self.kernel, self.stride).mean(axis=(-2, -1))
        if not self._options():
            return y
        counts = []  # of the pixels in a window those that do
        for axis, (k, s, p) in enumerate(zip(self.kernel, self.stride, self.padding), start=2):
            starts, first = np.arange(y.shape[axis]) * s, 0 if self.count_include_pad else p
            end = np.shape(x)[axis] + 2 * p - first
            counts.append(np.minimum(starts + k, end) - np.maximum(starts, first))
        factor = math.prod(self.kernel) / (counts[0][:, None] * counts[1])
        return y * factor.astype(y.dtype)

    def torch_modules(self, door: Door) -> list:
        return [door.nn.AvgPool2d(self.kernel, self.stride, self.padding, **self._options())]

    def _options(self) -> dict[str, bool]:
        return super()._options() | ({} if self.count_include_pad else {"count_include_pad": False})


def _lengths(name: str, x: int | Sequence[int], axes: int, least: int = 1) -> tuple[int, ...]:
    """One int for every axis: x itself for all of them, or those given."""
    lengths = tuple(x) if isinstance(x, (tuple, list)) else (x,) * axes
    if len(lengths) != axes:
        pair = ", or a pair of them" if axes == 2 else ""
        raise ValueError(f"{name}: expected an integer{pair}: {x!r}")
    return tuple(integer(name, n, least) for n in lengths)


def _windows_on(name: str, size: Pair, kernel: Pair, layer: _Convolution) -> _Windows:
    """The windows of a layer on images of this size; along a line they are one pixel high."""
    stride, dilation = ((1, *n)[-2:] for n in (layer.stride, layer.dilation))
    padding = (0, *layer.padding)[-2:]
    span = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel))
    room = tuple(n + 2 * p for n, p in zip(size, padding))
    if any(k > n for k, n in zip(span, room)):
        raise ValueError(f"{name}: a window {span} is larger than the image {room}")
    counts = tuple((n - k) // s + 1 for n, k, s in zip(room, span, stride))
    return _Windows(size, kernel, stride, padding, dilation, layer.groups, counts)


# The three operations of a convolution


def _shifted(x, at: _Windows) -> list:
    """For each row of a window, what stands in it in all windows, or for all rows as one.

    That is (groups, kw c / groups, h' n w'), where (h', w') are the counts.
    """
    n, c = x.shape[:2]
    (h, w), (down, across), groups = at.padded(), at.counts, at.groups
    x = x.transpose(1, 2, 0, 3)
    if at.padding != (0, 0):
        framed = zeros((c, h, n, w), x)
        framed[at.inside()] = x
        x = framed
    x = x.reshape(groups, c // groups, h, n, w)
    columns = at.places(1)
    out = np.empty((groups, len(columns), c // groups, h, n, across), x.dtype, like=x)
    for j, column in enumerate(columns):
        out[:, j] = x[..., column]
    rows, inner = out.shape[1] * out.shape[2], n * across
    out = out.reshape(groups, rows, h, inner)
    parts = [out[:, :, row].reshape(groups, rows, down * inner) for row in at.places(0)]
    return parts if at.steps(c // groups) > 1 else [np.concatenate(parts, axis=1)]


def _by_row(weight, groups: int, steps: int):
    """Weights (o, c, kh, kw) as matrices (groups, o / groups, kw c) for each row, or as one."""
    o, c, kh, kw = weight.shape
    weight = weight.reshape(groups, o // groups, c, steps, kh // steps, kw)
    weight = weight.transpose(3, 0, 1, 4, 5, 2)
    return weight.reshape(steps, groups, o // groups, kh // steps * kw * c)


def _flat(y, groups: int):
    """A result (n, o, h', w') as matrices (groups, o / groups, h' n w')."""
    n, o, down, across = y.shape
    return y.transpose(1, 2, 0, 3).reshape(groups, o // groups, down * n * across)


def _long_product(a, b):
    """a @ b with a long axis in common; of few rows and columns as the sum of products of parts.

    OpenBLAS has a way of its own for small products, up to 10^6 multiplications, which takes a
    quarter of the time with 9 rows and 8 columns, a half with 24 and 16.
    """
    (m, k), n = a.shape[-2:], b.shape[-1]
    parts = next((p for p in (1, 4, 8, 16) if k % p == 0 and m * n * k <= p * 10**6), 1)
    if parts == 1:
        return a @ b
    a = a.reshape(*a.shape[:-1], parts, k // parts).swapaxes(-3, -2)
    return (a @ b.reshape(*b.shape[:-2], parts, k // parts, n)).sum(axis=-3)


def _convolve(x, weight, bias, at: _Windows) -> Tensor:
    """x (n, c, h, w) with weight (o, c / groups, kh, kw), plus bias (o,) if it isn't None."""

    def forward(x, weight, bias=None):
        o, (down, across) = len(weight), at.counts
        matrices = _by_row(weight, at.groups, at.steps(weight.shape[1]))
        dtype = np.result_type(x.dtype, weight.dtype, *([] if bias is None else [bias.dtype]))
        out = np.empty((len(x), o, down, across), dtype, like=x)
        for some in at.portions(*x.shape[:2]):
            parts = _shifted(x[some], at)
            y = matrices[0] @ parts[0]
            for i in range(1, len(parts)):
                y += matrices[i] @ parts[i]
            y = y.reshape(o, down, -1, across).transpose(2, 0, 1, 3)
            if bias is None:
                out[some] = y
            else:
                np.add(y, bias.reshape(o, 1, 1), out=out[some])
        return out

    def of_x(g, y, x, weight, *bias):
        return _back_to_images(g, weight, at)

    def of_weight(g, y, x, weight, *bias):
        return _back_to_weights(g, x, at)

    def of_bias(g, y, *operands):
        return sum_leading(g, 1).sum(axis=(1, 2))

    if bias is None:
        return apply("convolve", forward, (x, weight), of_x, of_weight)
    return apply("convolve", forward, (x, weight, bias), of_x, of_weight, of_bias)


def _back_to_images(g, weight, at: _Windows) -> Tensor:
    """The gradient of the images x in y = convolve(x, weight), where g is that of y.

    Each pixel adds up what it gets from all the windows that it stands in.
    """

    def forward(g, weight):
        (h, w), (down, across), groups, c = at.padded(), at.counts, at.groups, weight.shape[1]
        columns, rows = at.places(1), at.places(0)
        matrices = _by_row(weight, groups, len(rows)).swapaxes(2, 3)
        out = np.empty(
            (len(g), groups * c, *at.size), np.result_type(g.dtype, weight.dtype), like=g
        )
        for some in at.portions(len(g), groups * c):
            n, flat = len(g[some]), _flat(g[some], groups)
            shifted = zeros((groups, len(columns) * c, h, n * across), out)
            for i, row in enumerate(rows):
                part = matrices[i] @ flat
                shifted[:, :, row] += part.reshape(*shifted.shape[:2], down, n * across)
            shifted = shifted.reshape(groups, len(columns), c, h, n, across)
            images = zeros((groups, c, h, n, w), out)
            for j, column in enumerate(columns):
                images[..., column] += shifted[:, j]
            images = images.reshape(groups * c, h, n, w)[at.inside()]
            out[some] = images.transpose(2, 0, 1, 3)
        return out

    return apply("convolve_back", forward, (g, weight),
                 lambda v, y, g, weight: _convolve(v, weight, None, at),
                 lambda v, y, g, weight: _back_to_weights(g, v, at))  # fmt: skip


def _back_to_weights(g, x, at: _Windows) -> Tensor:
    """The gradient of the weights in y = convolve(x, weight), where g is that of y."""

    def forward(g, x):
        (o, c), groups, (kh, kw) = (g.shape[1], x.shape[1] // at.groups), at.groups, at.kernel
        steps = at.steps(c)
        out = zeros((steps, groups, kh // steps * kw * c, o // groups), g)
        for some in at.portions(*x.shape[:2]):
            flat = _flat(g[some], groups).swapaxes(1, 2)
            for i, part in enumerate(_shifted(x[some], at)):
                out[i] += _long_product(part, flat)
        out = out.reshape(steps, groups, kh // steps, kw, c, o // groups)
        return out.transpose(1, 5, 4, 0, 2, 3).reshape(o, c, kh, kw)

    return apply("convolve_weights", forward, (g, x),
                 lambda v, y, g, x: _convolve(x, v, None, at),
                 lambda v, y, g, x: _back_to_images(g, v, at))  # fmt: skip


# Pooling


def _check_images(
    name: str, x, channels: int | None = None, axes: Sequence[str] = ("height", "width")
) -> None:
    if x.ndim != 2 + len(axes) or channels not in (None, x.shape[1]):
        expected = f"(n, {'channels' if channels is None else channels}, {', '.join(axes)})"
        raise ValueError(f"{name}: expected {expected}, got shape {x.shape}")


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
        largest = [x[parts[0]] == y]
        free = ~largest[0]
        for part in parts[1:]:
            largest.append((x[part] == y) & free)
            free = free & ~largest[-1]
        nan = x != x  # once for all: within a part, it takes five times as long
        for i, part in reversed([*enumerate(parts)]):  # what is free now is nan: the last of them
            last = nan[part] & free
            largest[i] = largest[i] | last
            free = free & ~last
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
