"""Optimizers with PyTorch's names, arguments and update rules, and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat

import numpy as np

from micrograd.arrays import describe
from micrograd.engine import Tensor
from micrograd.module import fitting

__all__ = [
    "SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm", "cosine", "linear",
    "linear_warmup",
]  # fmt: skip


def __dir__():  # what completion offers
    return __all__


_BLOCK = 1 << 17  # elements updated at a time: their temporaries stay in the processor's cache


class Optimizer:
    """The base of the optimizers: it goes through the parameters, `_update` changes one of them.

    `lr` may be set at any time. A parameter that no `backward` has reached
    since `zero_grad` is left as it is.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float):
        self.parameters = _parameter_list(type(self).__name__, parameters)
        self.lr, self.weight_decay = lr, _number(self, "weight_decay", weight_decay)
        self.steps = [0] * len(self.parameters)
        self.state = {
            name: [np.zeros_like(p.data) for p in self.parameters] for name in self.state_names
        }

    @property
    def lr(self) -> float:
        """The learning rate; a number from 0 on."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        # A np.float64 would make float64 steps of float32 parameters, and other bits
        self._lr = _number(self, "lr", value)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero."""
        for p in self.parameters:
            p.grad = None

    def step(self) -> None:
        """Change every parameter, in place, by what its gradient says."""
        states = zip(*self.state.values()) if self.state else repeat(())
        for i, (p, state) in enumerate(zip(self.parameters, states)):
            if not p.has_grad:
                continue
            self.steps[i] += 1
            if p.ndim and p.size <= _BLOCK:
                self._update(self.steps[i], p.data, p.grad, *state)
            else:
                for block in _blocks(p.data, p.grad, *state):
                    self._update(self.steps[i], *block)
            p.data = p.data  # which says that it was written to

    def _update(self, step: int, p: np.ndarray, g: np.ndarray, *state: np.ndarray) -> None:
        """Change a parameter p with gradient g and its state in place; step counts from 1."""
        raise NotImplementedError

    def _decayed(self, p: np.ndarray, g: np.ndarray) -> np.ndarray:
        """g + weight_decay * p."""
        if not self.weight_decay:
            return g
        d = self.weight_decay * p
        d += g
        return d

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of `lr` and of all that `step` keeps: enough to go on to the same bits."""
        arrays = {
            f"{name}.{i}": array.copy()
            for name, arrays in self.state.items()
            for i, array in enumerate(arrays)
        }
        return {"lr": np.array(self.lr, np.float64), "steps": np.array(self.steps), **arrays}

    def load_state_dict(self, state: Mapping[str, np.ndarray], strict: bool = True) -> None:
        """Take over the state of an optimizer of the same kind for parameters of the same shapes.

        Raises:
            ValueError: something doesn't fit. Every misfit is listed, and nothing was changed.
        """
        state = fitting(state, self.state_dict(), strict)
        self.lr, self.steps = float(state["lr"]), np.asarray(state["steps"]).tolist()
        for name, arrays in self.state.items():
            for i, array in enumerate(arrays):
                array[...] = state[f"{name}.{i}"]


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr * g, with momentum if asked for.

    Args:
        parameters: the Tensors to train.
        lr: the learning rate.
        momentum: the share of the last direction that is kept.
        dampening: the share of the gradient that is kept out of the direction.
        weight_decay: this times p is added to the gradient.
        nesterov: look ahead along the direction; wants momentum and no dampening.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        self.state_names = ("direction",) if momentum else ()
        super().__init__(parameters, lr, weight_decay)
        self.momentum = _number(self, "momentum", momentum)
        self.dampening = _number(self, "dampening", dampening, low=-math.inf)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError("SGD: nesterov wants a momentum and no dampening")
        self.nesterov = nesterov

    def _update(self, step, p, g, direction=None):
        scratch = None
        if self.weight_decay:
            g = scratch = self._decayed(p, g)
        if direction is not None:
            direction *= self.momentum
            direction += g if step == 1 else (1 - self.dampening) * g
            g = g + self.momentum * direction if self.nesterov else direction
        p -= np.multiply(self.lr, g, out=scratch)


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015): steps of the size lr, scaled by the gradient's mean and square.

    Args:
        parameters: the Tensors to train.
        lr: the learning rate.
        betas: how much of the running mean and of the running square is kept in a step.
        eps: keeps the division finite.
        weight_decay: this times p is added to the gradient.
    """

    state_names = ("mean", "square")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr, weight_decay)
        if len(betas) != 2:
            raise ValueError(f"{type(self).__name__}: betas={betas!r} is to be a pair")
        self.betas = tuple(_number(self, "betas", b, below=1) for b in betas)
        self.eps = _number(self, "eps", eps)

    def _update(self, step, p, g, mean, square):
        g = self._decayed(p, g)
        self._adam(step, p, g, mean, square)

    def _adam(self, step, p, g, mean, square):
        beta1, beta2 = self.betas
        mean += (1 - beta1) * (g - mean)
        square *= beta2
        square += (1 - beta2) * g * g
        # both started from zero, hence are too small by these factors
        scale = np.sqrt(square)
        scale /= math.sqrt(1 - beta2**step)
        scale += self.eps
        np.divide(mean, scale, out=scale)
        scale *= self.lr / (1 - beta1**step)
        p -= scale


class AdamW(Adam):
    """Adam with a weight decay of its own: p shrinks by lr * weight_decay * p, whatever g is.

    Loshchilov and Hutter (2019). The arguments are those of `Adam`.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(parameters, lr, betas, eps, weight_decay)

    def _update(self, step, p, g, mean, square):
        p *= 1 - self.lr * self.weight_decay
        self._adam(step, p, g, mean, square)


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012): the gradient over the root of its running square.

    Args:
        parameters: the Tensors to train.
        lr: the learning rate.
        alpha: how much of the running square is kept in a step.
        eps: keeps the division finite.
        weight_decay: this times p is added to the gradient.
        momentum: the share of the last direction that is kept.
        centered: take the running variance instead of the square.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ):
        self.state_names = ("square", "direction", "mean")
        super().__init__(parameters, lr, weight_decay)
        self.alpha = _number(self, "alpha", alpha, below=1)
        self.eps = _number(self, "eps", eps)
        self.momentum, self.centered = _number(self, "momentum", momentum), centered

    def _update(self, step, p, g, square, direction, mean):
        g = self._decayed(p, g)
        square *= self.alpha
        square += (1 - self.alpha) * g * g
        variance = square
        if self.centered:
            mean += (1 - self.alpha) * (g - mean)
            variance = square - mean * mean
        change = g / (np.sqrt(variance) + self.eps)
        if self.momentum:
            direction *= self.momentum
            direction += change
            change = direction
        p -= self.lr * change


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients, in place, so that together they are no longer than max_norm.

    Returns the Euclidean norm of all gradients before that. As in PyTorch, the factor is
    max_norm / (norm + 1e-6), and never above 1.
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm: max_norm={max_norm!r} is out of range")
    reached = [p for p in _parameter_list("clip_grad_norm", parameters) if p.has_grad]
    # the squares of float16 would overflow
    gradients = [p.grad.astype(np.result_type(p.grad, np.float32), copy=False) for p in reached]
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients))
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:  # nan as well
        for p in reached:
            p.grad *= factor
    return norm


def cosine(step: int, total: int, start: float, end: float = 0.0) -> float:
    """From start to end along half a cosine (Loshchilov and Hutter, 2017), then end."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * _share("cosine", step, total)))


def linear(step: int, total: int, start: float, end: float = 0.0) -> float:
    """From start to end along a line, then end."""
    return start + (end - start) * _share("linear", step, total)


def linear_warmup(step: int, steps: int) -> float:
    """A factor that rises from 1 / steps at step 0 to 1, where it stays."""
    if step < 0 or steps < 0:
        raise ValueError(f"linear_warmup: step {step!r} of {steps!r}, where neither is negative")
    return min((step + 1) / steps, 1.0) if steps else 1.0


def _share(schedule: str, step: int, total: int) -> float:
    """How much of total is over."""
    if step < 0 or total < 1:
        raise ValueError(f"{schedule}: step {step!r} of {total!r}, where 0 of 1 is the least")
    return min(step / total, 1.0)


def _parameter_list(name: str, parameters: Iterable[Tensor]) -> list[Tensor]:
    """Parameters as a list, once it is sure that they are leaf Tensors, each there once."""
    if isinstance(parameters, Tensor):
        raise TypeError(f"{name}: expected a list of Tensors, got a Tensor")
    if hasattr(parameters, "parameters"):
        raise TypeError(f"{name}: expected model.parameters(), got the model itself")
    parameters = list(parameters)
    if not parameters:
        raise ValueError(f"{name}: got no parameters")
    for p in parameters:
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: expected Tensors, got {describe(p)}")
        if p.operands:
            raise ValueError(f"{name}: expected leaves, got the result of {p.op!r}")
    if len(set(parameters)) < len(parameters):
        raise ValueError(f"{name}: a parameter is there twice")
    return parameters


def _number(
    optimizer: Optimizer, name: str, value: object, low: float = 0.0, below: float = math.inf
) -> float:
    """The value as a Python float, once it is sure that low <= value < below."""
    given = f"{type(optimizer).__name__}: {name}={value!r}"
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{given} is no number")
    if not low <= value < below:
        raise ValueError(f"{given} is out of range")
    return float(value)


def _blocks(*arrays: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Views of arrays of one shape, block by block; the whole if an array is not contiguous."""
    if not all(array.flags.c_contiguous for array in arrays):
        yield list(arrays)
        return
    flat = [array.reshape(-1) for array in arrays]
    for i in range(0, flat[0].size, _BLOCK):
        yield [array[i : i + _BLOCK] for array in flat]
