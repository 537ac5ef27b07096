"""Neural networks made of Tensors: modules, layers, losses, and files to keep them in.

A module is a plain class with Tensors and other modules as attributes, and a `__call__`. Layers
take and return Tensors whose first axis is the batch; an ndarray as input is a constant, for which
no gradient is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from micrograd import convolution, layers, losses
from micrograd.arrays import describe, integer
from micrograd.convolution import *  # noqa: F403
from micrograd.engine import Tensor
from micrograd.files import load, save
from micrograd.interop import to_torch
from micrograd.layers import *  # noqa: F403
from micrograd.layers import Activation, activation, initial, sizes
from micrograd.losses import *  # noqa: F403
from micrograd.module import Module, name_of, summary, trace
from micrograd.operations import linear

if TYPE_CHECKING:
    from micrograd.interop import Door

__all__ = [
    "Layer", "Module", "MultiLayerPerceptron", "Sequential", "load", "save", "summary", "to_torch",
    "trace", *convolution.__all__, *layers.__all__, *losses.__all__,
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


class Sequential(Module):
    """Modules (or any functions of a Tensor), one after the other."""

    def __init__(self, *layers: Callable[[Tensor], Tensor]):
        self.layers = list(layers)

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def torch_modules(self, door: Door) -> list:
        return [part for layer in self.layers for part in door.convert(layer)]

    def __repr__(self) -> str:
        return f"{type(self).__name__} of [{', '.join(name_of(layer) for layer in self.layers)}]"


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
        n_inp, n_out = sizes("Layer", n_inp=n_inp, n_out=n_out)
        self.weights = Tensor(initial(init, (n_inp, n_out), n_inp, n_out, rng))
        self.bias = Tensor(np.zeros(n_out))
        self.act, self._activate = act, activation(act)

    def __call__(self, x) -> Tensor:
        y = linear(x, self.weights, self.bias)
        return y if self._activate is None else self._activate(y)

    def torch_modules(self, door: Door) -> list:
        weight = Tensor(self.weights.data.T, self.weights.requires_grad)
        full = door.nn.Linear(*self.weights.shape)
        act = [] if self._activate is None else door.convert(self._activate)
        return [door.filled(full, weight=weight, bias=self.bias), *act]

    def __repr__(self) -> str:
        return f"Layer({self.bias.size}, act={name_of(self.act)})"


class MultiLayerPerceptron(Sequential):
    """Fully connected layers, all but the last followed by the activation.

    One example (n_inp,) or a batch (..., n_inp) gives scores of shape (..., n_outs[-1]).

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
        name, given = type(self).__name__, n_outs
        n_outs = [integer(f"{name}: n_outs", n) for n in given] if np.iterable(given) else []
        if not n_outs:
            raise ValueError(f"{name}: n_outs: expected a list of integers, got {describe(given)}")
        acts = [act] * (len(n_outs) - 1) + [None]
        shapes = zip([integer(f"{name}: n_inp", n_inp), *n_outs], n_outs)
        super().__init__(*(Layer(n, m, a, init, rng) for (n, m), a in zip(shapes, acts)))

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(repr, self.layers))}]"
