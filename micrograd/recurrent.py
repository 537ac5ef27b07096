"""Recurrent layers: GRU and LSTM, batch first, with PyTorch's parameters."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd.engine import Tensor
from micrograd.init import uniform
from micrograd.layers import dropped, floating, probability, sizes
from micrograd.module import Module
from micrograd.operations import concatenate, linear, stack

if TYPE_CHECKING:
    from micrograd.interop import Door

__all__ = ["GRU", "LSTM"]


class _Recurrent(Module):
    """Layers of cells; `_gates` times hidden_size numbers decide a step."""

    _gates = 1
    torch_arguments = (
        "input_size", "hidden_size", "num_layers", "bias", "dropout", "bidirectional",
    )  # fmt: skip
    torch_fixed = (
        ("batch_first", True),
        ("proj_size", 0),
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        rng: np.random.Generator | None = None,
    ):
        name = type(self).__name__
        if batch_first is not True:
            raise ValueError(f"{name}: the batch is always first: x (n, time, size)")
        input_size, hidden_size, num_layers = sizes(
            name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers
        )
        self.dropout, self.rng = probability(f"{name}: dropout", dropout), rng
        if dropout and num_layers == 1:
            warnings.warn(f"{name}: dropout is between layers, and there is one", stacklevel=2)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.bidirectional = bias, bidirectional
        rows, bound = self._gates * hidden_size, 1 / math.sqrt(hidden_size)
        for i in range(num_layers):
            n = (1 + bidirectional) * hidden_size if i else input_size
            shapes = {"weight_ih": (rows, n), "weight_hh": (rows, hidden_size)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for end in self._ends(i):
                for name, shape in shapes.items():
                    p = uniform(Tensor(np.zeros(shape)), rng, bound=bound)
                    setattr(self, f"{name}_{end}", p)

    def __call__(self, x, state=None) -> tuple[Tensor, Any]:
        """The outputs of the last layer (n, time, hidden_size), and the last state of every layer.

        Args:
            x: (n, time, input_size).
            state: what an earlier call gave as the second, or zeros if None: (num_layers, n,
                hidden_size), a pair (h, c) of them for an LSTM.

        Raises:
            ValueError: the shapes don't fit.
        """
        name = type(self).__name__
        x = floating(name, x, self.weight_ih_l0)
        if x.ndim != 3 or x.shape[2] != self.input_size or not x.shape[1]:
            raise ValueError(f"{name}: expected (n, time, {self.input_size}), got {x.shape}")
        starts, states = self._starts(x, state), []
        for i in range(self.num_layers):
            if i and self.dropout and self.training:
                x = dropped(x, self.dropout, self.rng)
            sides = []
            for end in self._ends(i):
                outputs, last = self._run(x, starts[len(states)], end)
                sides.append(outputs)
                states.append(last)
            x = concatenate(sides, axis=-1) if self.bidirectional else sides[0]
        return x, self._joined(states)

    def _ends(self, i: int) -> list[str]:
        """How the names of the parameters of layer i end, in each direction."""
        return [f"l{i}", f"l{i}_reverse"] if self.bidirectional else [f"l{i}"]

    def _run(self, x, state: tuple, end: str) -> tuple[Tensor, tuple]:
        """What the cells of one direction give (n, time, hidden_size), and their last state."""
        into, back = (getattr(self, f"weight_{kind}_{end}").T for kind in ("ih", "hh"))
        order = slice(None, None, -1 if end.endswith("_reverse") else 1)
        outputs = []
        for row in [*np.swapaxes(x, 0, 1)][order]:  # one large product has a slower way back
            fed = self._product(row, into, f"bias_ih_{end}")
            state = self._step(fed, self._product(state[0], back, f"bias_hh_{end}"), state)
            outputs.append(state[0])
        return stack(outputs[order], axis=1), state

    def _product(self, x, weights: Tensor, bias: str) -> Tensor:
        return linear(x, weights, getattr(self, bias)) if self.bias else x @ weights

    def _starts(self, x, state) -> list[tuple]:
        """What each layer and direction starts from."""
        raise NotImplementedError

    def _start(self, x, state):
        """A state (num_layers, n, hidden_size), twice as many if bidirectional; zeros if None."""
        shape = ((1 + self.bidirectional) * self.num_layers, len(x), self.hidden_size)
        if state is None:
            return np.zeros(shape, x.dtype)
        if np.shape(state) != shape:
            raise ValueError(
                f"{type(self).__name__}: expected a state {shape}, got {np.shape(state)}"
            )
        return floating(type(self).__name__, state, self.weight_ih_l0)

    def torch_modules(self, door: Door) -> list:
        kind = getattr(door.nn, "LSTM" if self._gates == 4 else "GRU")
        theirs = kind(
            self.input_size, self.hidden_size, self.num_layers, self.bias, True, self.dropout,
            self.bidirectional,
        )  # fmt: skip
        return [door.filled(theirs, **dict(self.named_parameters()))]

    def __repr__(self) -> str:
        options = f"num_layers={self.num_layers}" + ("" if self.bias else ", bias=False")
        options += f", dropout={self.dropout}" if self.dropout else ""
        options += ", bidirectional=True" if self.bidirectional else ""
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size}, {options})"


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al., 2014): x (n, time, input_size), oldest first.

    `y, h = gru(x)` gives the outputs of the last layer (n, time, hidden_size) and the last state of
    every layer (num_layers, n, hidden_size), which may be handed in with what follows: `gru(x, h)`.
    As in PyTorch's GRU with `batch_first=True`: the same names, shapes and first draws.

    Args:
        input_size, hidden_size: the numbers at each time, coming in and going out.
        num_layers: layers, each on the outputs of the one before.
        bias: whether there are biases.
        batch_first: True, for those who are used to say so.
        dropout: the probability with which, in training, an output of every layer but the last is
            dropped.
        bidirectional: whether each layer has a second one beside it, which starts at the end of the
            sequence. Outputs are (n, time, 2 hidden_size), forwards first, and there are twice as
            many states, those of a layer side by side.
        rng: a `np.random.Generator`; without it NumPy's global state is used.
    """

    _gates = 3

    def _starts(self, x, state):
        h = self._start(x, state)
        return [(h[i],) for i in range(len(h))]

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

    `y, (h, c) = lstm(x)` gives the outputs of the last layer (n, time, hidden_size) and the last
    state, both (num_layers, n, hidden_size), which may be handed in with what follows:
    `lstm(x, (h, c))`. As in PyTorch's LSTM with `batch_first=True`; the arguments are those of
    `GRU`.
    """

    _gates = 4

    def _starts(self, x, state):
        if state is not None and not (isinstance(state, (tuple, list)) and len(state) == 2):
            raise ValueError("LSTM: a state is a pair (h, c)")
        h, c = (self._start(x, s) for s in ((None, None) if state is None else state))
        return [(h[i], c[i]) for i in range(len(h))]

    def _step(self, fed, back, state):
        n = self.hidden_size
        gates = fed + back
        shares = gates.sigmoid()  # of g too, where it isn't needed: fewer operations
        i, f, o = shares[:, :n], shares[:, n : 2 * n], shares[:, 3 * n :]
        g = gates[:, 2 * n : 3 * n].tanh()
        c = f * state[1] + i * g
        return o * c.tanh(), c

    def _joined(self, ends):
        return stack([h for h, _ in ends]), stack([c for _, c in ends])
