"""Recurrent layers: GRU and LSTM, batch first, with PyTorch's parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd.engine import Tensor
from micrograd.init import uniform
from micrograd.layers import floating, sizes
from micrograd.module import Module
from micrograd.operations import linear, stack

if TYPE_CHECKING:
    from micrograd.interop import Door

__all__ = ["GRU", "LSTM"]


class _Recurrent(Module):
    """Layers of cells; `_gates` times hidden_size numbers decide a step."""

    _gates = 1
    torch_arguments = ("input_size", "hidden_size", "num_layers", "bias")
    torch_fixed = (
        ("batch_first", True),
        ("bidirectional", False),
        ("dropout", 0.0),
        ("proj_size", 0),
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        rng: np.random.Generator | None = None,
    ):
        if batch_first is not True:
            raise ValueError(f"{type(self).__name__}: the batch is always first: x (n, time, size)")
        input_size, hidden_size, num_layers = sizes(
            type(self).__name__,
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
        )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        rows, bound = self._gates * hidden_size, 1 / math.sqrt(hidden_size)
        for i in range(num_layers):
            n = hidden_size if i else input_size
            shapes = {"weight_ih": (rows, n), "weight_hh": (rows, hidden_size)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for name, shape in shapes.items():
                setattr(self, f"{name}_l{i}", uniform(Tensor(np.zeros(shape)), rng, bound=bound))
        self.bias = bias

    def __call__(self, x, state=None) -> tuple[Tensor, Any]:
        name = type(self).__name__
        x = floating(name, x, self.weight_ih_l0)
        if x.ndim != 3 or x.shape[2] != self.input_size or not x.shape[1]:
            raise ValueError(f"{name}: expected (n, time, {self.input_size}), got {x.shape}")
        starts, ends = self._starts(x, state), []
        for i in range(self.num_layers):
            weights, step = getattr(self, f"weight_hh_l{i}").T, starts[i]
            fed = self._product(x, getattr(self, f"weight_ih_l{i}").T, f"bias_ih_l{i}")
            outputs = []
            for row in np.swapaxes(fed, 0, 1):
                step = self._step(row, self._product(step[0], weights, f"bias_hh_l{i}"), step)
                outputs.append(step[0])
            x = stack(outputs, axis=1)
            ends.append(step)
        return x, self._joined(ends)

    def _product(self, x, weights: Tensor, bias: str) -> Tensor:
        return linear(x, weights, getattr(self, bias)) if self.bias else x @ weights

    def _starts(self, x, state) -> list[tuple]:
        """What each layer starts from."""
        raise NotImplementedError

    def _start(self, x, state):
        """A state (num_layers, n, hidden_size), zeros if None."""
        shape = (self.num_layers, len(x), self.hidden_size)
        if state is None:
            return np.zeros(shape, x.dtype)
        if np.shape(state) != shape:
            raise ValueError(
                f"{type(self).__name__}: expected a state {shape}, got {np.shape(state)}"
            )
        return floating(type(self).__name__, state, self.weight_ih_l0)

    def torch_modules(self, door: Door) -> list:
        kind = getattr(door.nn, "LSTM" if self._gates == 4 else "GRU")
        size = self.input_size, self.hidden_size, self.num_layers
        return [
            door.filled(kind(*size, self.bias, batch_first=True), **dict(self.named_parameters()))
        ]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.input_size}, {self.hidden_size}, "
            f"num_layers={self.num_layers})"
        )


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al., 2014): x (n, time, input_size), oldest first.

    Gives the outputs of the last layer (n, time, hidden_size) and the last state of every layer
    (num_layers, n, hidden_size), which may be handed in with what follows. As in PyTorch's GRU with
    `batch_first=True`: the same names, shapes and first draws of parameters.

    Args:
        input_size, hidden_size: the numbers at each time, coming in and going out.
        num_layers: layers, each on the outputs of the one before.
        bias: whether there are biases.
        batch_first: True, for those who are used to say so.
        rng: a `np.random.Generator`; without it NumPy's global state is used.
    """

    _gates = 3

    def _starts(self, x, state):
        h = self._start(x, state)
        return [(h[i],) for i in range(self.num_layers)]

    def _step(self, fed, back, state):
        n = self.hidden_size
        rz = (fed[:, : 2 * n] + back[:, : 2 * n]).sigmoid()
        z = rz[:, n:]
        new = (fed[:, 2 * n :] + rz[:, :n] * back[:, 2 * n :]).tanh()
        return (new + z * (state[0] - new),)

    def _joined(self, ends):
        return stack([h for (h,) in ends])


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): x (n, time, input_size).

    Gives the outputs of the last layer (n, time, hidden_size) and the last state (h, c), both
    (num_layers, n, hidden_size), which may be handed in with what follows. As in PyTorch's LSTM
    with `batch_first=True`; the arguments are those of `GRU`.
    """

    _gates = 4

    def _starts(self, x, state):
        if state is not None and not (isinstance(state, (tuple, list)) and len(state) == 2):
            raise ValueError("LSTM: a state is a pair (h, c)")
        h, c = (self._start(x, s) for s in ((None, None) if state is None else state))
        return [(h[i], c[i]) for i in range(self.num_layers)]

    def _step(self, fed, back, state):
        n = self.hidden_size
        gates = fed + back
        i, f = gates[:, :n].sigmoid(), gates[:, n : 2 * n].sigmoid()
        g, o = gates[:, 2 * n : 3 * n].tanh(), gates[:, 3 * n :].sigmoid()
        c = f * state[1] + i * g
        return o * c.tanh(), c

    def _joined(self, ends):
        return stack([h for h, _ in ends]), stack([c for _, c in ends])
