"""Neural networks made of Tensors: modules, layers, losses, and files to keep them in.

A module is a plain class with Tensors and other modules as attributes, and a `__call__`. Layers
take and return Tensors whose first axis is the batch; an ndarray as input is a constant, for which
no gradient is computed.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd.arrays import describe, log_softmax
from micrograd.engine import Tensor, apply, no_grad
from micrograd.operations import linear, sigmoid
from micrograd.protocol import data_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

__all__ = [
    "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv2d", "Dropout", "Embedding", "Flatten", "Layer",
    "LayerNorm", "MaxPool2d", "Module", "MultiLayerPerceptron", "RMSNorm", "Sequential",
    "binary_cross_entropy_with_logits", "cross_entropy", "load", "max_margin", "mse", "save",
    "summary", "to_torch",
]  # fmt: skip

Activation = str | Callable[[Tensor], Tensor] | None
ACTIVATIONS = {
    name: getattr(Tensor, name)
    for name in ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "softplus")
}


# Modules


class Module:
    """The base of everything with parameters.

    A subclass assigns Tensors and Modules to its attributes (or puts them in lists, tuples and
    dicts there), and defines `__call__`. Arrays that belong to its state without being trained are
    attributes named in `buffers`.
    """

    buffers: tuple[str, ...] = ()
    training = True

    def __call__(self, x):
        raise NotImplementedError(f"{type(self).__name__} defines no __call__")

    def named_modules(self) -> dict[str, Module]:
        """This module and those inside it by their dotted names, in the order of definition."""
        return {name: m for name, m in self._inside() if isinstance(m, Module)}

    def named_parameters(self) -> dict[str, Tensor]:
        """The parameters by their dotted names: leaf Tensors, each once, as defined.

        Raises:
            ValueError: two have one name, such as {"a.b": t} and {"a": {"b": u}}.
        """
        named = {name: t for name, t in self._inside() if _is_parameter(t)}
        if len(named) < len(self.parameters()):
            raise ValueError(f"two parameters of {type(self).__name__} have one dotted name")
        return named

    def parameters(self) -> list[Tensor]:
        """The parameters, each once, in the order of definition."""
        return [t for _, t in self._inside() if _is_parameter(t)]

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> Module:
        """Put this module and those inside it into training mode (dropout, batch statistics)."""
        for module in self.named_modules().values():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Put this module and those inside it into evaluation mode."""
        return self.train(False)

    def astype(self, dtype: DTypeLike) -> Module:
        """Turn parameters and buffers into this floating dtype; gradients are dropped.

        Make the optimizer afterwards: it keeps its state in the dtype of its parameters.
        """
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"astype: expected a floating dtype, got {np.dtype(dtype)}")
        for p in self.parameters():
            p.data, p.grad = p.data.astype(dtype), None
        for module in self.named_modules().values():
            for name in module.buffers:
                setattr(module, name, getattr(module, name).astype(dtype))
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers by their dotted names."""
        return {name: array.copy() for name, array in self._state().items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> None:
        """Take over parameters and buffers from a state of the same names, shapes and dtypes.

        Args:
            state: arrays by dotted name, as from `state_dict`.
            strict: also refuse a state that lacks names or has more of them.

        Raises:
            ValueError: something doesn't fit. Every misfit is listed, and nothing was changed.
        """
        mine = self._state()
        state = _fitting(state, mine, strict)
        for name, array in mine.items():
            array[...] = state[name]

    def _inside(self) -> Iterable[tuple[str, Module | Tensor]]:
        found = {id(self): ("", self)}
        _walk(vars(self), "", found)
        return found.values()

    def _state(self) -> dict[str, np.ndarray]:
        """The arrays of parameters and buffers themselves."""
        state = {name: p.data for name, p in self.named_parameters().items()}
        for path, module in self.named_modules().items():
            for name in module.buffers:
                state[f"{path}.{name}".lstrip(".")] = getattr(module, name)
        return state


def _is_parameter(x: Module | Tensor) -> bool:
    """A leaf; of the results computed without history, those made to require a gradient."""
    return isinstance(x, Tensor) and x.is_leaf and (x.requires_grad or not x.op)


def _fitting(
    state: Mapping[str, ArrayLike], mine: Mapping[str, np.ndarray], strict: bool
) -> dict[str, np.ndarray]:
    """The arrays of state by name, those of mine where it has none; an error if any doesn't fit."""
    state = {name: np.asarray(array) for name, array in state.items()}
    misfits = []
    if strict:
        misfits += [f"{name}: missing" for name in mine if name not in state]
        misfits += [f"{name}: unknown" for name in state if name not in mine]
    state = {name: state.get(name, array) for name, array in mine.items()}
    for name, array in mine.items():
        given = state[name]
        if (given.shape, given.dtype) != (array.shape, array.dtype):
            expected = f"expected {array.dtype} {array.shape}"
            misfits.append(f"{name}: {given.dtype} {given.shape}, {expected}")
    if misfits:
        raise ValueError("load_state_dict: " + "; ".join(misfits))
    return state


def _walk(x: Any, name: str, found: dict[int, tuple[str, Any]]) -> None:
    """Add the Modules and Tensors inside x to found, with dotted names, each object once."""
    items = x.items() if isinstance(x, dict) else enumerate(x)
    for key, value in items:
        if isinstance(value, (Tensor, Module)):
            if id(value) not in found:
                found[id(value)] = (f"{name}{key}", value)
                if isinstance(value, Module):
                    _walk(vars(value), f"{name}{key}.", found)
        elif isinstance(value, (list, tuple, dict)):
            _walk(value, f"{name}{key}.", found)


class Sequential(Module):
    """Modules (or any functions of a Tensor), one after the other."""

    def __init__(self, *layers: Callable[[Tensor], Tensor]):
        self.layers = list(layers)

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def __repr__(self) -> str:
        return f"Sequential of [{', '.join(_call_name(layer) for layer in self.layers)}]"


class Layer(Module):
    """A fully connected layer: act(x @ weights + bias), for x of shape (n_inp,) or (..., n_inp).

    Args:
        n_inp, n_out: the number of inputs and outputs; weights are (n_inp, n_out), bias (n_out,).
        act: the activation, a name from `ACTIVATIONS`, any function of a Tensor, or None.
        init: how the weights are drawn. None: uniformly from (-1, 1). "glorot": uniformly from
            (-s, s) with s = sqrt(2 / (n_inp + n_out)). "xavier": the same with
            s = sqrt(6 / (n_inp + n_out)), the rule of Glorot and Bengio (2010). "he": from a normal
            distribution of standard deviation sqrt(2 / n_inp), the rule of He et al. (2015).
            Biases start at zero.
        rng: a `np.random.Generator`; without it NumPy's global state is used.
    """

    def __init__(
        self,
        n_inp: int,
        n_out: int,
        act: Activation = None,
        init: str | None = None,
        rng: np.random.Generator | None = None,
    ):
        self.weights = Tensor(_draw(init, (n_inp, n_out), n_inp, n_out, rng))
        self.bias = Tensor(np.zeros(n_out))
        self.act, self._activate = act, _activation(act)

    def __call__(self, x) -> Tensor:
        y = linear(x, self.weights, self.bias)
        return y if self._activate is None else self._activate(y)

    def __repr__(self) -> str:
        return f"Layer({self.bias.size}, act={_call_name(self.act)})"


class MultiLayerPerceptron(Module):
    """Fully connected layers, all but the last followed by the activation.

    Args:
        n_inp: the number of inputs.
        n_outs: the number of outputs of each layer.
        act, init, rng: as for `Layer`.
    """

    def __init__(
        self,
        n_inp: int,
        n_outs: Sequence[int],
        act: Activation = "relu",
        init: str | None = None,
        rng: np.random.Generator | None = None,
    ):
        acts = [act] * (len(n_outs) - 1) + [None]
        self.layers = [Layer(n, m, a, init, rng) for n, m, a in zip([n_inp, *n_outs], n_outs, acts)]

    def __call__(self, x) -> Tensor:
        """Scores of shape (..., n_outs[-1]) for one example (n_inp,) or a batch (..., n_inp)."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(repr, self.layers))}]"


class Flatten(Module):
    """(n, ...) to (n, m): everything but the batch along one axis."""

    def __call__(self, x) -> Tensor:
        return x.reshape(len(x), math.prod(x.shape[1:]))

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
        return self.weight[_class_numbers("Embedding", index, len(self.weight))]

    def __repr__(self) -> str:
        return f"Embedding{self.weight.shape}"


class Dropout(Module):
    """In training, zero each element with probability p and divide the others by 1 - p.

    Srivastava et al. (2014). In evaluation mode the input passes as it is.
    """

    def __init__(self, p: float = 0.5, rng: np.random.Generator | None = None):
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is a probability, got {p!r}")
        self.p, self.rng = p, rng

    def __call__(self, x) -> Tensor:
        if not self.training or self.p == 0:
            return x
        keep = (self.rng or np.random).random(x.shape) >= self.p
        return x * (keep.astype(x.dtype) / max(1 - self.p, np.finfo(x.dtype).tiny))

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


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
        _check_last_axes("LayerNorm", x, self.shape)
        return _affine(_normalize(x, _last(self.shape), self.eps), self.weight, self.bias)

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
        _check_last_axes("RMSNorm", x, self.shape)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        return _affine(_normalize(x, _last(self.shape), eps, center=False), self.weight, None)

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
        if x.ndim not in self._ndims or x.shape[1] != features:
            raise ValueError(f"{name}: expected (n, {features}, ...), got shape {x.shape}")
        axes = (0, *range(2, x.ndim))
        column = (features,) + (1,) * (x.ndim - 2)  # one number per feature, along axis 1
        if self.training:
            n = x.size // features
            if n < 2:
                raise ValueError(f"{name}: one value per feature in shape {x.shape} while training")
            y, array = _normalize(x, axes, self.eps), data_of(x)
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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.running_mean)})"


class BatchNorm2d(BatchNorm1d):
    """`BatchNorm1d` for images: x (n, features, height, width), over batch, height and width."""

    _ndims = (4,)


def _normalize(x, axes: tuple[int, ...], eps: float, center: bool = True) -> Tensor:
    """(x - mean) / sqrt(var + eps) over axes, in one operation; without the mean if not center."""

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
        raise ValueError(f"{name}: expected (..., {str(shape)[1:]}, got shape {x.shape}")


# Convolution and pooling, for images (n, channels, height, width)


class Conv2d(Module):
    """Two-dimensional convolution (cross-correlation, as everywhere in the field).

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
        weight = _draw(init, (out_channels, in_channels, kh, kw), fan_in, fan_out, rng)
        self.weight = Tensor(weight)
        self.bias = None
        if bias:
            start = _draw(init, (out_channels,), fan_in, fan_out, rng) if init == "torch" else None
            self.bias = Tensor(np.zeros(out_channels) if start is None else start)
        self.stride = _pair("Conv2d: stride", stride)
        self.padding = _pair("Conv2d: padding", padding, least=0)

    def __call__(self, x) -> Tensor:
        out, *window = self.weight.shape
        _check_images("Conv2d", x, window[0])
        x = _windows("Conv2d", _pad(x, self.padding), tuple(window[1:]), self.stride)
        n, _, h, w = x.shape[:4]
        columns = x.transpose(0, 1, 4, 5, 2, 3).reshape(n, math.prod(window), h * w)
        weight = self.weight.reshape(out, math.prod(window))
        if self.bias is None:
            y = weight @ columns
        else:
            y = linear(weight, columns, self.bias.reshape(out, 1))
        return y.reshape(n, out, h, w)

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
        _check_images("MaxPool2d", x)
        x = _pad(x, self.padding, -np.inf)
        parts = _parts("MaxPool2d", x.shape, self.kernel, self.stride)

        def forward(x):
            y = x[parts[0]].copy()
            for part in parts[1:]:
                np.maximum(y, x[part], out=y)
            return y

        apart = self.stride[0] >= self.kernel[0] and self.stride[1] >= self.kernel[1]
        return apply("max_pool", forward, (x,), lambda g, y, x: _to_largest(g, y, x, parts, apart))


class AvgPool2d(_Pool2d):
    """The mean of each window; the zeros of the padding count, as in PyTorch.

    Args:
        kernel_size, stride, padding: as for `MaxPool2d`.
    """

    def __call__(self, x) -> Tensor:
        _check_images("AvgPool2d", x)
        x = _pad(x, self.padding)
        return _windows("AvgPool2d", x, self.kernel, self.stride).mean(axis=(-2, -1))


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


def _parts(name: str, shape: tuple, kernel: tuple[int, int], stride: tuple[int, int]) -> list:
    """For each place (i, j) of a window, in rows: the index of what stands there in all windows."""
    h, w = ((n - k) // s + 1 for n, k, s in zip(shape[2:], kernel, stride))
    if h < 1 or w < 1:
        raise ValueError(f"{name}: a window {kernel} is larger than the image {shape[2:]}")
    return [
        (..., slice(i, i + h * stride[0], stride[0]), slice(j, j + w * stride[1], stride[1]))
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]


def _windows(name: str, x, kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """All windows of images, (n, c, h', w', kh, kw): a view, from which nothing is copied."""
    parts = _parts(name, x.shape, kernel, stride)
    return apply(
        "windows",
        lambda x: _view(x, kernel, stride),
        (x,),
        lambda g, y, x: _fold(g, x.shape, kernel, stride, parts),
    )


def _view(x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    return view[:, :, :: stride[0], :: stride[1]]


def _fold(g, shape: tuple, kernel: tuple[int, int], stride: tuple[int, int], parts: list):
    """Add the windows up where they overlap: the derivative of taking them, and the reverse."""
    if isinstance(g, Tensor):
        return apply(
            "fold",
            lambda g: _fold(g, shape, kernel, stride, parts),
            (g,),
            lambda u, y, g: (
                _windows("fold", u, kernel, stride)
                if isinstance(u, Tensor)
                else _view(u, kernel, stride)
            ),
        )
    out = np.zeros(shape, g.dtype)
    for k, part in enumerate(parts):
        out[part] += g[(..., *divmod(k, kernel[1]))]
    return out


def _to_largest(g, y, x, parts: list, apart: bool):
    """Put g where x has the y of its window, in the first such place; zeros elsewhere.

    Where windows that are not apart overlap, the sum of their g.
    """
    x, y = data_of(x), data_of(y)
    free = np.ones(y.shape, bool)
    found = []
    for part in parts:
        found.append((x[part] == y) & free)
        free &= ~found[-1]

    def forward(g):
        out = np.zeros(x.shape, g.dtype)
        for part, here in zip(parts, found):
            if apart:
                np.multiply(g, here, out=out[part])
            else:
                out[part] += g * here
        return out

    def derivative(u, y, g):
        return sum(u[part] * here for part, here in zip(parts, found))

    return apply("to_largest", forward, (g,), derivative) if isinstance(g, Tensor) else forward(g)


# Losses


def cross_entropy(
    logits,
    targets,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-log of the probability that softmax(logits) gives to the targets.

    Args:
        logits: scores (..., classes), the classes along the last axis.
        targets: class numbers (...), or probabilities (..., classes).
        label_smoothing: this share of the target is spread over all classes (Szegedy et al., 2016).
        ignore_index: a class number that stands for "no target"; such places don't count.
        reduction: "mean" over the places that count, "sum", or "none" for the losses (...).

    Raises:
        TypeError: class numbers are not integers.
        ValueError: the shapes don't fit.
        IndexError: a class number is out of range.
    """
    _check_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing={label_smoothing!r} is out of range")
    logits = _tensor(logits)
    if logits.ndim == 0:
        raise ValueError("cross_entropy: logits of shape () have no axis of classes")
    classes, shape = logits.shape[-1], np.shape(targets)
    if shape == logits.shape:
        q, count, full = targets, math.prod(shape[:-1]), logits.dtype.type(1)
        if not isinstance(q, Tensor):
            q = np.asarray(q)
            if q.dtype.kind != "f":
                raise TypeError(
                    f"cross_entropy: targets of the logits' shape {shape} are probabilities, got "
                    f"dtype {q.dtype}"
                )
            q = q.astype(logits.dtype)
    elif shape == logits.shape[:-1]:
        q, counts = _one_hot("cross_entropy", np.asarray(targets), classes, ignore_index)
        count = np.count_nonzero(counts)
        full = counts[..., None]
    else:
        raise ValueError(
            f"cross_entropy: logits {logits.shape} take targets {logits.shape[:-1]} (class "
            f"numbers) or {logits.shape} (probabilities), got {shape}"
        )
    number = logits.dtype.type
    if label_smoothing:
        q = q * number(1 - label_smoothing) + full * number(label_smoothing / classes)
    nothing = reduction == "mean" and count == 0  # its mean is nan, its gradient 0, as in PyTorch
    q = q * number(1 / count if reduction == "mean" and count else 1)
    axis = -1 if reduction == "none" else None

    def forward(x, q):
        log_p = log_softmax(x, -1)
        terms = q * np.where(q == 0, 0, log_p)  # where log_p is -inf, 0 times it would be nan
        return -terms.sum(axis=axis) * (np.nan if nothing else 1), log_p

    def per_row(g):
        return g if axis is None else g[..., None]

    return apply(
        "cross_entropy",
        forward,
        (logits, q),
        lambda g, y, x, q, log_p: per_row(g) * (np.exp(log_p) * q.sum(axis=-1, keepdims=True) - q),
        lambda g, y, x, q, log_p: -per_row(g) * log_p,
    )


def binary_cross_entropy_with_logits(logits, targets, reduction: str = "mean") -> Tensor:
    """-t log(p) - (1 - t) log(1 - p) with p = sigmoid(logits), for targets t from 0 to 1.

    Logits and targets have the same shape. Raises ValueError if not, or for targets out of range.
    """
    logits, targets = _same_shape("binary_cross_entropy_with_logits", logits, targets)
    if not np.all((data_of(targets) >= 0) & (data_of(targets) <= 1)):
        raise ValueError("binary_cross_entropy_with_logits: targets are between 0 and 1")
    losses = apply(
        "binary_cross_entropy_with_logits",
        lambda x, t: np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))),
        (logits, targets),
        lambda g, y, x, t: g * (sigmoid(x) - t),
        lambda g, y, x, t: -g * x,
    )
    return _reduce("binary_cross_entropy_with_logits", losses, reduction)


def max_margin(scores, targets, reduction: str = "mean") -> Tensor:
    """The hinge losses of support-vector machines.

    Args:
        scores: any shape (...) for two classes; (..., classes) for several.
        targets: for two classes -1 or 1, of the scores' shape: relu(1 - target * score). For
            several classes their numbers (...): the sum of relu(1 - s_target + s_other) over the
            other classes, divided by the number of classes, as in `torch.nn.MultiMarginLoss`.
        reduction: "mean", "sum" or "none".

    Raises:
        TypeError: class numbers are not integers.
        ValueError: the shapes don't fit, or a target is neither -1 nor 1.
        IndexError: a class number is out of range.
    """
    scores, targets = _tensor(scores), np.asarray(targets)
    shape = scores.shape
    if targets.shape == shape:
        if not (np.abs(targets) == 1).all():
            raise ValueError("max_margin: targets of the scores' shape are -1 or 1")
        t = targets.astype(scores.dtype)
        losses = apply(
            "max_margin",
            lambda s: np.maximum(1 - t * s, 0),
            (scores,),
            lambda g, y, s: g * (-t * (y > 0)),
        )
        return _reduce("max_margin", losses, reduction)
    if targets.shape != shape[:-1] or shape[-1] < 2:
        raise ValueError(
            f"max_margin: scores {shape} take targets {shape} (-1 or 1) or {shape[:-1]} (numbers "
            f"of at least 2 classes), got {targets.shape}"
        )
    numbers = _class_numbers("max_margin", targets, shape[-1])[..., None]
    others = np.arange(shape[-1]) != numbers
    right = scores[(*np.indices(numbers.shape[:-1], sparse=True), numbers[..., 0])][..., None]
    losses = ((1 - right + scores).relu() * others).sum(axis=-1) / shape[-1]
    return _reduce("max_margin", losses, reduction)


def mse(prediction, target, reduction: str = "mean") -> Tensor:
    """The squared difference. Raises ValueError unless the shapes are the same."""
    prediction, target = _same_shape("mse", prediction, target)
    return _reduce("mse", (prediction - target) ** 2, reduction)


def _tensor(x) -> Tensor:
    """x itself, or a constant Tensor made of it."""
    return x if isinstance(x, Tensor) else Tensor(x, requires_grad=False)


def _same_shape(loss: str, prediction, target) -> tuple[Tensor, Tensor | np.ndarray]:
    """Prediction as a Tensor, and a target that is an array in its dtype, once the shapes fit."""
    prediction = _tensor(prediction)
    if prediction.shape != np.shape(target):
        raise ValueError(f"{loss}: shapes {prediction.shape} and {np.shape(target)} differ")
    return prediction, target if isinstance(target, Tensor) else np.asarray(
        target, prediction.dtype
    )


def _class_numbers(name: str, numbers: ArrayLike, classes: int) -> np.ndarray:
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


def _one_hot(
    name: str, numbers: np.ndarray, classes: int, ignore_index: int
) -> tuple[np.ndarray, np.ndarray]:
    """(..., classes) bools, True at each class number, and (...) bools, True where one counts."""
    hot = numbers[..., None] == np.arange(classes)
    counts = numbers != ignore_index
    if 0 <= ignore_index < classes:
        hot &= counts[..., None]
    if numbers.dtype.kind not in "iu" or np.count_nonzero(hot) != np.count_nonzero(counts):
        _class_numbers(name, numbers[counts], classes)
    return hot, counts


def _check_reduction(loss: str, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{loss}: reduction is "mean", "sum" or "none", got {reduction!r}')


def _reduce(loss: str, losses: Tensor, reduction: str) -> Tensor:
    _check_reduction(loss, reduction)
    return losses if reduction == "none" else getattr(losses, reduction)()


# A look at a model


def summary(model: Module, input_shape: int | Sequence[int], dtype: DTypeLike = np.float64) -> str:
    """A table of the modules in a model: what each is, the shape it gives, its own parameters.

    The shapes are those of a run on zeros, in evaluation mode and without gradients; afterwards
    training flags and buffers are what they were. A module that is used twice stands there once,
    with the shape it gave last.

    Args:
        model: the model.
        input_shape: the shape of an input, with its batch: (1, 784), or (1, 3, 32, 32).
        dtype: of the input; an integer one for a model that starts with an `Embedding`.
    """
    modules = model.named_modules()
    kept = [(m, type(m), m.training) for m in modules.values()]
    buffers = [(m, name, getattr(m, name)) for m in modules.values() for name in m.buffers]
    copies = [array.copy() for _, _, array in buffers]
    zeros, shapes = np.zeros(input_shape, dtype), {}
    try:
        for name, m in modules.items():
            m.__class__ = _reporting(type(m), name, shapes)
        with no_grad():
            model.eval()(Tensor(zeros, requires_grad=False) if zeros.dtype.kind == "f" else zeros)
    finally:
        for m, kind, mode in kept:
            m.__class__, m.training = kind, mode
        for (m, name, array), copy in zip(buffers, copies):
            array[...] = copy
            setattr(m, name, array)
    owned = dict.fromkeys(modules, 0)
    for name, p in model.named_parameters().items():
        owner = name.rpartition(".")[0]
        while owner not in modules:  # a list inside a module is none
            owner = owner.rpartition(".")[0]
        owned[owner] += p.size
    rows = [("layer", "output shape", "parameters")]
    for name, m in modules.items():
        plain = len(m.named_modules()) > 1 or type(m).__repr__ is object.__repr__
        what = type(m).__name__ if plain else repr(m)
        rows.append(
            (f"{name}  {what}".strip(), str(shapes.get(name, "not run")), f"{owned[name]:,}")
        )
    rows.append(("total", "", f"{sum(owned.values()):,}"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        f"{what:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}"
        for what, shape, count in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _reporting(kind: type[Module], name: str, shapes: dict[str, tuple]) -> type[Module]:
    """The class with a `__call__` that notes the shape of what it gives under a name."""

    def call(self, *args, **options):
        y = kind.__call__(self, *args, **options)
        shapes[name] = getattr(y, "shape", type(y).__name__)
        return y

    return type(kind.__name__, (kind,), {"__call__": call})


# Files


def save(model, path: str | os.PathLike) -> None:
    """Write `model.state_dict()` to a file, .npz or .safetensors.

    The file appears under its name only once it is complete: a process killed while saving leaves
    an older file of that name as it was, and beside it what it had written, in a file that ends in
    .tmp.

    Args:
        model: a Module, an Optimizer, or anything with a `state_dict()` of arrays.
        path: where to; the ending decides the format. .safetensors wants the safetensors package.

    Raises:
        ValueError: the path ends otherwise.
    """
    path = os.fspath(path)
    write = _file_format(path)[0]
    temporary = f"{path}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        with open(temporary, "wb") as file:
            write(file, model.state_dict())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def load(model, path: str | os.PathLike, strict: bool = True) -> None:
    """Read what `save` wrote back into a model (or optimizer) of the same form.

    Nothing is unpickled, and nothing is changed unless the whole file is read and fits.

    Raises:
        ValueError: the file is damaged, of another kind, or doesn't fit the model.
    """
    path = os.fspath(path)
    read = _file_format(path)[1]
    with open(path, "rb") as file:
        try:
            state = read(file)
        except Exception as error:  # each library raises its own kinds for a damaged file
            kind = os.path.splitext(path)[1]
            raise ValueError(f"load: {path} is not a complete {kind} file: {error}") from error
    model.load_state_dict(state, strict)


def _file_format(path: str) -> tuple[Callable, Callable]:
    """The functions that write and read the format that the path's ending names."""
    if path.endswith(".npz"):
        return _write_npz, _read_npz
    if path.endswith(".safetensors"):
        try:
            import safetensors.numpy as safetensors
        except ImportError:
            raise ImportError(
                ".safetensors files want a package: pip install 'micrograd-tensor[safetensors]'"
            ) from None
        return (
            lambda file, state: file.write(safetensors.save(state)),
            lambda file: safetensors.load(file.read()),
        )
    raise ValueError(f"expected a path that ends in .npz or .safetensors, got {path!r}")


def _write_npz(file, state: dict[str, np.ndarray]) -> None:
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:  # np.savez can't take an array named "file"
        for name, array in state.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _read_npz(file) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


# The door to PyTorch


def to_torch(model: Module):
    """The same network as a `torch.nn.Sequential`, with a copy of the same weights.

    Raises:
        ImportError: PyTorch is not installed.
        TypeError: a module or an activation has no counterpart in PyTorch.
    """
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch wants PyTorch: pip install torch") from None

    t = torch.nn
    activations = {
        "relu": t.ReLU, "leaky_relu": t.LeakyReLU, "tanh": t.Tanh, "sigmoid": t.Sigmoid,
        "gelu": t.GELU, "silu": t.SiLU, "softplus": partial(t.Softplus, threshold=40),
    }  # fmt: skip
    by_function = {ACTIVATIONS[name]: module for name, module in activations.items()}

    def filled(module, **arrays):
        """A PyTorch module with these parameters and buffers, in their dtype."""
        with torch.no_grad():
            for name, array in arrays.items():
                if array is not None:
                    old = getattr(module, name)
                    new = torch.tensor(np.ascontiguousarray(data_of(array)))
                    if isinstance(old, t.Parameter):
                        new = t.Parameter(new, getattr(array, "requires_grad", True))
                    setattr(module, name, new)
        return module

    made = {}  # by id: a module that stands twice in the model does so in the copy

    def convert(m) -> list:
        if id(m) not in made:
            made[id(m)] = converted(m)
            if isinstance(m, Module) and not isinstance(m, (Sequential, MultiLayerPerceptron)):
                made[id(m)] = [part.train(m.training) for part in made[id(m)]]
        return made[id(m)]

    def converted(m) -> list:
        home = next((k for k in type(m).__mro__ if k.__module__ == __name__), None)
        if isinstance(m, Module) and type(m).__call__ is not home.__call__:
            raise TypeError(f"to_torch: {type(m).__name__} has a __call__ of its own")
        if isinstance(m, (Sequential, MultiLayerPerceptron)):
            return [part for layer in m.layers for part in convert(layer)]
        if isinstance(m, Layer):
            linear = filled(t.Linear(*m.weights.shape), weight=m.weights.data.T, bias=m.bias)
            linear.weight.requires_grad_(m.weights.requires_grad)
            return [linear, *([] if m.act is None else convert(m._activate))]
        if isinstance(m, Conv2d):
            out, channels, *kernel = m.weight.shape
            conv = t.Conv2d(channels, out, kernel, m.stride, m.padding, bias=m.bias is not None)
            return [filled(conv, weight=m.weight, bias=m.bias)]
        if isinstance(m, MaxPool2d):
            return [t.MaxPool2d(m.kernel, m.stride, m.padding)]
        if isinstance(m, AvgPool2d):
            return [t.AvgPool2d(m.kernel, m.stride, m.padding)]
        if isinstance(m, Flatten):
            return [t.Flatten()]
        if isinstance(m, Dropout):
            return [t.Dropout(m.p)]
        if isinstance(m, Embedding):
            return [filled(t.Embedding(*m.weight.shape), weight=m.weight)]
        if isinstance(m, LayerNorm):
            norm = t.LayerNorm(m.shape, m.eps, m.weight is not None, m.bias is not None)
            return [filled(norm, weight=m.weight, bias=m.bias)]
        if isinstance(m, RMSNorm):
            return [filled(t.RMSNorm(m.shape, m.eps, m.weight is not None), weight=m.weight)]
        if isinstance(m, BatchNorm1d):
            kind = getattr(t, type(m).__name__)
            norm = kind(len(m.running_mean), m.eps, m.momentum, m.weight is not None)
            statistics = {name: getattr(m, name) for name in m.buffers}
            return [filled(norm, weight=m.weight, bias=m.bias, **statistics)]
        if m in by_function:
            return [by_function[m]()]
        raise TypeError(f"to_torch: {_call_name(m)} has no counterpart in PyTorch")

    network = t.Sequential(*convert(model))
    network.training = model.training  # each of its parts has its own
    return network


# Small helpers


def _activation(act: Activation) -> Callable | None:
    if isinstance(act, str) and act not in ACTIVATIONS:
        raise ValueError(f"act: expected one of {', '.join(ACTIVATIONS)}, or a function: {act!r}")
    if not (act is None or isinstance(act, str) or callable(act)):
        raise TypeError(f"act: expected a name, a function or None, got {describe(act)}")
    return ACTIVATIONS[act] if isinstance(act, str) else act


def _call_name(f: object) -> str:
    """How a layer or an activation is shown."""
    return f if isinstance(f, str) else getattr(f, "__name__", repr(f))


def _draw(init: str | None, shape: tuple, fan_in: int, fan_out: int, rng) -> np.ndarray:
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
