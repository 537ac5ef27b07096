"""Neural networks made of Tensors: modules, layers, losses, and files to keep them in.

A module is a plain class with Tensors and other modules as attributes, and a `__call__`. Layers
take and return Tensors whose first axis is the batch; an ndarray as input is a constant, for which
no gradient is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd import activations, attention, convolution, init, layers, losses, recurrent
from micrograd.activations import *  # noqa: F403
from micrograd.arrays import describe, integer
from micrograd.attention import *  # noqa: F403
from micrograd.batches import batches
from micrograd.convolution import *  # noqa: F403
from micrograd.engine import Tensor
from micrograd.files import Checkpoint, load, save
from micrograd.init import initial, initial_bias
from micrograd.interop import from_torch, to_torch
from micrograd.layers import *  # noqa: F403
from micrograd.layers import Activation, activation, sizes
from micrograd.losses import *  # noqa: F403
from micrograd.module import Module, name_of, summary, trace
from micrograd.names import MODULE, NN, missing, of_module
from micrograd.operations import linear
from micrograd.recurrent import *  # noqa: F403

if TYPE_CHECKING:
    from micrograd.interop import Door, Taker

__all__ = [
    "Checkpoint", "Layer", "Linear", "Module", "MultiLayerPerceptron", "Sequential", "batches",
    "from_torch", "init", "load", "save", "summary", "to_torch", "trace",
    *activations.__all__, *attention.__all__, *convolution.__all__, *layers.__all__,
    *losses.__all__, *recurrent.__all__,
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


__getattr__ = of_module("nn", NN)


class Sequential(Module):
    """Modules (or any functions of a Tensor), one after the other."""

    def __init__(self, *layers: Callable[[Tensor], Tensor]):
        for layer in layers:
            if not callable(layer) and not isinstance(layer, Tensor):  # a parameter to keep
                raise TypeError(f"Sequential: expected layers, as in Sequential(*layers), or "
                                f"Sequential(*d.values()), got {type(layer).__name__}")  # fmt: skip
        self.layers = list(layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, i: int | slice) -> Any:
        """A layer, or a Sequential of several, which counts them from 0."""
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def torch_modules(self, door: Door) -> list:
        return [part for layer in self.layers for part in door.convert(layer)]

    @classmethod
    def from_torch_module(cls, theirs, taker: Taker) -> Sequential:
        return cls(*map(taker.taken_from, theirs))

    def __repr__(self) -> str:
        return f"{type(self).__name__} of [{', '.join(name_of(layer) for layer in self.layers)}]"


class Layer(Module):
    """A fully connected layer: act(x @ weights + bias), for x of shape (n_inp,) or (..., n_inp).

    Args:
        n_inp, n_out: the number of inputs and outputs; weights are (n_inp, n_out), bias (n_out,).
        act: the activation, a name from `ACTIVATIONS`, any function of a Tensor, or None.
        init: how the weights are drawn, a name from `init.INITIALIZERS`. "torch", PyTorch's rule:
            weights and biases uniformly from (-s, s) with s = sqrt(1 / n_inp). With the others
            biases start at zero, and weights are, for "uniform", uniformly from (-1, 1); for
            "xavier", uniformly from (-s, s) with s = sqrt(6 / (n_inp + n_out)), the rule of Glorot
            and Bengio (2010); for "glorot", the same with s = sqrt(2 / (n_inp + n_out)), a third of
            the paper's variance; for "he", of standard deviation sqrt(2 / n_inp) (He et al., 2015);
            for "orthogonal", of orthonormal rows or columns.
        rng: a `np.random.Generator`; without it NumPy's global state is used.
        bias: whether there is one.
    """

    def __init__(
        self,
        n_inp: int,
        n_out: int,
        act: Activation = None,
        init: str = "torch",
        rng: np.random.Generator | None = None,
        bias: bool = True,
    ):
        n_inp, n_out = sizes("Layer", n_inp=n_inp, n_out=n_out)
        self.weights = Tensor(initial(init, (n_inp, n_out), n_inp, n_out, rng))
        self.bias = initial_bias(init, n_out, n_inp, rng) if bias else None
        self.act, self._activate = act, activation(act)

    def __call__(self, x) -> Tensor:
        try:
            y = x @ self.weights if self.bias is None else linear(x, self.weights, self.bias)
        except ValueError as error:
            n_inp, shape = len(self.weights), np.shape(x)
            raise ValueError(
                f"Layer: expected (..., {n_inp}), got shape {shape}: weights are "
                f"{self.weights.shape}"
            ) from error
        return y if self._activate is None else self._activate(y)

    if not TYPE_CHECKING:  # else every name could be set

        def __setattr__(self, name: str, value: object):
            if name == "weight" and type(self).__module__ == __name__:  # nothing would use it
                raise missing(type(self).__name__, name, MODULE, self)
            super().__setattr__(name, value)

    def torch_modules(self, door: Door) -> list:
        weight = Tensor(self.weights.data.T, self.weights.requires_grad)
        full = door.nn.Linear(*self.weights.shape, bias=self.bias is not None)
        act = [] if self._activate is None else door.convert(self._activate)
        return [door.filled(full, weight=weight, bias=self.bias), *act]

    def heading(self) -> str:
        n_inp, n_out = self.weights.shape
        return f"Layer({n_inp}, {n_out}, act={name_of(self.act)})"

    def __repr__(self) -> str:
        return f"Layer({self.weights.shape[1]}, act={name_of(self.act)})"


class Linear(Layer):
    """A `Layer` without activation, by PyTorch's name and with its arguments.

    Its weights are (in_features, out_features), PyTorch's transposed.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        init: str = "torch",
        rng: np.random.Generator | None = None,
        *,
        act: None = None,
    ):
        if act is not None:
            raise TypeError(f"Linear has no activation: Layer({in_features}, {out_features}, "
                            f"{name_of(act)!r}) has one")  # fmt: skip
        super().__init__(in_features, out_features, None, init, rng, bias)

    @classmethod
    def from_torch_module(cls, theirs, taker: Taker) -> Linear:
        ours = cls(theirs.in_features, theirs.out_features, theirs.bias is not None)
        ours.weights = taker.tensor(theirs.weight.T)
        ours.weights.requires_grad = theirs.weight.requires_grad
        ours.bias = None if theirs.bias is None else taker.tensor(theirs.bias)
        return ours

    def heading(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"Linear{self.weights.shape}"


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
        init: str = "torch",
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
