"""How first weights are drawn: layers know these rules by their names, and each fills a Tensor.

A rule goes by the fans, the numbers of inputs that an output is made of and of outputs that an
input goes into. A matrix is taken as the weights of a `Layer`, (fan_in, fan_out), and a tensor of
more axes as those of a convolution, (outputs, inputs, *window). `rng` is a `np.random.Generator`;
without it NumPy's global state is used. All give the Tensor itself back.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from micrograd.arrays import describe
from micrograd.engine import Tensor
from micrograd.names import INIT, of_module

__all__ = ["INITIALIZERS", "glorot", "he", "orthogonal", "torch", "uniform", "xavier"]

Fans = tuple[int, int]


def __dir__() -> list[str]:
    return __all__


__getattr__ = of_module("init", INIT)


def torch(t: Tensor, rng: np.random.Generator | None = None, fans: Fans | None = None) -> Tensor:
    """Uniformly from (-s, s) with s = sqrt(1 / fan_in), as PyTorch's layers are."""
    return uniform(t, rng, bound=math.sqrt(1 / max(_fans("torch", t, fans)[0], 1)))


def uniform(
    t: Tensor, rng: np.random.Generator | None = None, fans: Fans | None = None, bound: float = 1.0
) -> Tensor:
    """Uniformly from (-bound, bound), whatever the fans."""
    return _put("uniform", t, (rng or np.random).uniform(-bound, bound, np.shape(t)))


def glorot(t: Tensor, rng: np.random.Generator | None = None, fans: Fans | None = None) -> Tensor:
    """Uniformly from (-s, s) with s = sqrt(2 / (fan_in + fan_out)): "xavier" over sqrt(3).

    The root is the standard deviation that Glorot and Bengio (2010) ask for; taken as the bound it
    gives weights of a third of their variance.
    """
    return uniform(t, rng, bound=math.sqrt(2 / max(sum(_fans("glorot", t, fans)), 1)))


def xavier(t: Tensor, rng: np.random.Generator | None = None, fans: Fans | None = None) -> Tensor:
    """Uniformly from (-s, s) with s = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    return uniform(t, rng, bound=math.sqrt(6 / max(sum(_fans("xavier", t, fans)), 1)))


def he(t: Tensor, rng: np.random.Generator | None = None, fans: Fans | None = None) -> Tensor:
    """From a normal distribution of standard deviation sqrt(2 / fan_in) (He et al., 2015)."""
    deviation = math.sqrt(2 / max(_fans("he", t, fans)[0], 1))
    return _put("he", t, (rng or np.random).normal(0, deviation, np.shape(t)))


def orthogonal(
    t: Tensor, rng: np.random.Generator | None = None, fans: Fans | None = None, gain: float = 1.0
) -> Tensor:
    """gain times a random matrix of orthonormal rows or columns (Saxe et al., 2014).

    Axes after the second count as columns.
    """
    if np.ndim(t) < 2:
        raise ValueError(f"orthogonal: expected two axes or more, got shape {np.shape(t)}")
    rows = len(t)
    shape = (rows, t.size // rows if rows else 0)
    q, r = np.linalg.qr((rng or np.random).normal(size=(max(shape), min(shape))))
    q = q * np.sign(np.diagonal(r))  # else some rotations would come more often than others
    return _put("orthogonal", t, gain * (q if shape[0] >= shape[1] else q.T).reshape(t.shape))


INITIALIZERS: dict[str, Callable[..., Tensor]] = {
    f.__name__: f for f in (torch, uniform, glorot, xavier, he, orthogonal)
}


def initial(init: str, shape: tuple[int, ...], fan_in: int, fan_out: int, rng) -> np.ndarray:
    """The first weights of a layer, by the rule of this name."""
    if init not in INITIALIZERS:
        names = ", ".join(f'"{name}"' for name in INITIALIZERS)
        raise ValueError(f"init: expected one of {names}, got {init!r}")
    return INITIALIZERS[init](Tensor(np.zeros(shape)), rng, (fan_in, fan_out)).data


def initial_bias(init: str, n: int, fan_in: int, rng) -> Tensor:
    """The first n biases: drawn with the weights by the rule "torch", zeros by the others."""
    return Tensor(initial(init, (n,), fan_in, n, rng) if init == "torch" else np.zeros(n))


def _put(rule: str, t: Tensor, values: np.ndarray) -> Tensor:
    if not isinstance(t, Tensor) or t.operands:
        given = "the result of an operation" if isinstance(t, Tensor) else describe(t)
        raise TypeError(f"init.{rule}: expected a leaf Tensor, got {given}")
    t.data[...] = values
    t.data = t.data  # which says that it was written to
    return t


def _fans(rule: str, t: Tensor, fans: Fans | None) -> Fans:
    shape = np.shape(t)
    if fans is not None:
        return fans
    if len(shape) < 2:
        raise ValueError(f"init.{rule}: shape {shape} tells no fans: give fans=(inputs, outputs)")
    if len(shape) == 2:
        return shape
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window
