"""Optimizers with PyTorch's names, arguments and update rules, and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any

import numpy as np

from micrograd.arrays import describe
from micrograd.engine import Tensor
from micrograd.module import fitting
from micrograd.names import OPTIM, explaining, of_module
from micrograd.protocol import data_of

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "Average", "Muon", "Optimizer", "Plateau", "RMSprop",
    "clip_grad_norm", "clip_grad_value", "cosine", "linear", "linear_warmup", "one_cycle", "steps",
]  # fmt: skip


def __dir__():  # what completion offers
    return __all__


__getattr__ = of_module("optim", OPTIM)
Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]

_BLOCK = 1 << 17  # elements updated at a time: their temporaries stay in the processor's cache


class Optimizer:
    """The base of the optimizers: it goes through the parameters, `_update` changes one of them.

    `lr` may be set at any time. A parameter that no `backward` has reached
    since `zero_grad` is left as it is.

    In place of Tensors it takes groups, `[{"params": [...], "lr": 0.1, "weight_decay": 0.0}, ...]`,
    whose own `lr` and `weight_decay` stand in `param_groups` and may be changed there. To set
    `optimizer.lr` sets that of every group.
    """

    state_names: tuple[str, ...] = ()
    _whole = False  # whether `_update` is to see a parameter in one piece

    def __init__(self, parameters: Parameters, lr: float, weight_decay: float):
        name, parameters = type(self).__name__, _iterated(parameters)
        grouped = isinstance(parameters, list) and any(map(_is_group, parameters))
        if grouped and not all(map(_is_group, parameters)):
            raise TypeError(f"{name}: expected Tensors, or groups with params, not both")
        groups = [dict(group) for group in parameters] if grouped else []
        for group in groups:
            if group.keys() - {"params", "lr", "weight_decay"}:
                raise ValueError(
                    f"{name}: a group has params, lr and weight_decay, got {', '.join(group)}"
                )
            group["params"] = _parameter_list(name, group["params"])
        self.param_groups = groups or [{"params": _parameter_list(name, parameters)}]
        for group in self.param_groups:
            for option, value in (("lr", lr), ("weight_decay", weight_decay)):
                group[option] = _number(self, option, group.get(option, value))
        self.parameters = _parameter_list(name, [p for g in self.param_groups for p in g["params"]])
        self._group = self.param_groups[0]  # the one that `_update` is at
        self.steps = [0] * len(self.parameters)
        self.state = {
            name: [np.zeros_like(p.data) for p in self.parameters] for name in self.state_names
        }

    @property
    def lr(self) -> float:
        """The learning rate, a number from 0 on; of several groups that of the first."""
        return self._group["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        # A np.float64 would make float64 steps of float32 parameters, and other bits
        for group in self.param_groups:
            group["lr"] = _number(self, "lr", value)

    @property
    def weight_decay(self) -> float:
        """The weight decay; of several groups that of the first."""
        return self._group["weight_decay"]

    @weight_decay.setter
    def weight_decay(self, value: float) -> None:
        for group in self.param_groups:
            group["weight_decay"] = _number(self, "weight_decay", value)

    @explaining
    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero."""
        for p in self.parameters:
            p.grad = None

    def step(self) -> None:
        """Change every parameter, in place, by what its gradient says."""
        states = iter(zip(*self.state.values()) if self.state else repeat(()))
        i = -1
        for group in self.param_groups:
            self._group = group
            for option in ("lr", "weight_decay"):  # somebody may have set them
                group[option] = _number(self, option, group[option])
            for p in group["params"]:
                i, state = i + 1, next(states)
                if not p.has_grad:
                    continue
                self.steps[i] += 1
                data = p.data
                if self._whole or (data.ndim and data.size <= _BLOCK):
                    self._update(self.steps[i], data, p.grad, *state)
                else:
                    for block in _blocks(data, p.grad, *state):
                        self._update(self.steps[i], *block)
                p.data = data  # which says that it was written to
        self._group = self.param_groups[0]

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
        state = {"lr": np.array(self.lr, np.float64), "steps": np.array(self.steps), **arrays}
        if len(self.param_groups) > 1:
            state["lr"] = np.array([group["lr"] for group in self.param_groups])
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray], strict: bool = True) -> None:
        """Take over the state of an optimizer of the same kind for parameters of the same shapes.

        Raises:
            ValueError: something doesn't fit. Every misfit is listed, and nothing was changed.
        """
        state = fitting(state, self.state_dict(), strict)
        self.steps = np.asarray(state["steps"]).tolist()
        for group, lr in zip(self.param_groups, np.atleast_1d(state["lr"])):
            group["lr"] = float(lr)
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

    @explaining
    def __init__(
        self,
        parameters: Parameters,
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

    @explaining
    def __init__(
        self,
        parameters: Parameters,
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

    @explaining
    def __init__(
        self,
        parameters: Parameters,
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

    @explaining
    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ):
        self.state_names = (
            "square", *(["direction"] if momentum else []), *(["mean"] if centered else [])
        )  # fmt: skip
        super().__init__(parameters, lr, weight_decay)
        self.alpha = _number(self, "alpha", alpha, below=1)
        self.eps = _number(self, "eps", eps)
        self.momentum, self.centered = _number(self, "momentum", momentum), centered

    def _update(self, step, p, g, square, *others):
        others = dict(zip(self.state_names[1:], others))
        g = self._decayed(p, g)
        square *= self.alpha
        square += (1 - self.alpha) * g * g
        variance = square
        if "mean" in others:
            mean = others["mean"]
            mean += (1 - self.alpha) * (g - mean)
            variance = square - mean * mean
        change = g / (np.sqrt(variance) + self.eps)
        if "direction" in others:
            direction = others["direction"]
            direction *= self.momentum
            direction += change
            change = direction
        p -= self.lr * change


class Adagrad(Optimizer):
    """Adagrad (Duchi et al., 2011): the gradient over the root of the sum of all its squares.

    Args:
        parameters: the Tensors to train.
        lr: the learning rate.
        lr_decay: in step t the rate is lr / (1 + (t - 1) lr_decay).
        weight_decay: this times p is added to the gradient.
        initial_accumulator_value: what the sum starts from.
        eps: keeps the division finite.
    """

    state_names = ("sum",)

    @explaining
    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ):
        super().__init__(parameters, lr, weight_decay)
        self.lr_decay = _number(self, "lr_decay", lr_decay)
        self.eps = _number(self, "eps", eps)
        start = _number(self, "initial_accumulator_value", initial_accumulator_value)
        for total in self.state["sum"]:
            total[...] = start

    def _update(self, step, p, g, total):
        g = self._decayed(p, g)
        total += g * g
        p -= self.lr / (1 + (step - 1) * self.lr_decay) * g / (np.sqrt(total) + self.eps)


class Muon(Optimizer):
    """Muon (Jordan et al., 2024): the momentum of a matrix, made orthogonal, is the step.

    For the matrices inside a network; leave embeddings, the last layer and vectors to another
    optimizer. Five steps of Newton and Schulz's iteration bring all singular values to about 1.
    PyTorch's Muon computes them in bfloat16, this one in the parameter's dtype.

    Args:
        parameters: the Tensors to train, of two axes each.
        lr: the learning rate; times sqrt(max(1, rows / columns)), where PyTorch's (out, in) have as
            many rows as the weights of a `Layer` have columns.
        weight_decay: p shrinks by lr * weight_decay * p.
        momentum: the share of the last direction that is kept.
        nesterov: look ahead along the direction.
        eps: the least length that a direction is divided by.
    """

    state_names = ("direction",)
    _whole = True

    @explaining
    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        eps: float = 1e-7,
    ):
        super().__init__(parameters, lr, weight_decay)
        others = [p.shape for p in self.parameters if p.ndim != 2]
        if others:
            raise ValueError(
                "Muon: expected matrices, such as [p for p in model.parameters() if p.ndim == 2], "
                f"got {len(others)} of other shapes, the first {others[0]}; AdamW is for those"
            )
        self.momentum = _number(self, "momentum", momentum)
        self.nesterov, self.eps = nesterov, _number(self, "eps", eps)

    def _update(self, step, p, g, direction):
        direction += (1 - self.momentum) * (g - direction)
        x = g + self.momentum * (direction - g) if self.nesterov else direction
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / max(float(np.linalg.norm(x)), self.eps)
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
        x = x.T if tall else x
        p *= 1 - self.lr * self.weight_decay
        p -= self.lr * math.sqrt(max(1.0, p.shape[0] / max(p.shape[1], 1))) * x


class Average:
    """An exponential moving average of parameters, for evaluation (Polyak and Juditsky, 1992).

        average = Average(model.parameters())
        ...
        optimizer.step()
        average.update()
        ...
        with average:
            evaluate(model)

    Inside the block the parameters are their averages, afterwards what they were.

    Args:
        parameters: the Tensors, from whose values it starts; PyTorch's AveragedModel starts from
            those at the first update.
        decay: how much of the average is kept in an `update`.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float = 0.999):
        if not 0 <= decay <= 1:
            raise ValueError(f"Average: decay={decay!r} is out of range")
        self.parameters, self.decay = _parameter_list("Average", parameters), decay
        self.averages = [p.data.copy() for p in self.parameters]
        self._kept: list[np.ndarray] | None = None

    def update(self) -> None:
        """Take in the parameters as they are now."""
        for average, p in zip(self.averages, self.parameters):
            average += (1 - self.decay) * (p.data - average)

    def __enter__(self) -> Average:
        if self._kept is not None:
            raise RuntimeError("Average: its block is entered twice")
        self._kept = [p.data.copy() for p in self.parameters]
        for average, p in zip(self.averages, self.parameters):
            p.data[...] = average
            p.data = p.data  # which says that it was written to
        return self

    def __exit__(self, *error) -> None:
        for kept, p in zip(self._kept, self.parameters):
            p.data[...] = kept
            p.data = p.data
        self._kept = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the averages."""
        return {f"average.{i}": array.copy() for i, array in enumerate(self.averages)}

    def load_state_dict(self, state: Mapping[str, np.ndarray], strict: bool = True) -> None:
        """Take over averages of parameters of the same shapes; ValueError if they don't fit."""
        state = fitting(state, self.state_dict(), strict)
        for i, array in enumerate(self.averages):
            array[...] = state[f"average.{i}"]


def clip_grad_value(parameters: Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of all gradients, in place, to -clip_value ... clip_value."""
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value: clip_value={clip_value!r} is out of range")
    for p in _parameter_list("clip_grad_value", parameters):
        if p.has_grad:
            np.clip(p.grad, -clip_value, clip_value, out=p.grad)


@explaining
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


@explaining
def one_cycle(
    step: int, total: int, peak: float, warm: float = 0.3, div: float = 25.0, final_div: float = 1e4
) -> float:
    """From peak / div up to peak and down to peak / div / final_div, along cosines.

    Smith and Topin (2018), with the defaults of PyTorch's OneCycleLR. The peak is where the share
    `warm` of all steps is over, the end at step total - 1.
    """
    up = warm * total - 1
    _share("one_cycle", step, total)
    if step <= up:
        return cosine(step, up, peak / div, peak) if up > 0 else peak
    return peak + (peak / div / final_div - peak) * 0.5 * (
        1 - math.cos(math.pi * min((step - up) / max(total - 1 - up, 1e-9), 1.0))
    )


@explaining
def steps(step: int, every: int, start: float, factor: float = 0.1) -> float:
    """start, times factor after every so many steps: PyTorch's StepLR."""
    if step < 0 or every < 1:
        raise ValueError(f"steps: step {step!r} and every {every!r}, where 0 and 1 are the least")
    return start * factor ** (step // every)


class Plateau:
    """Lowers an optimizer's rates when a loss no longer falls: PyTorch's ReduceLROnPlateau.

        plateau = Plateau(optimizer, patience=5)
        for epoch in range(100):
            ...
            plateau.step(validation_loss)

    Args:
        optimizer: whose rates, group by group, are multiplied by factor.
        factor: below 1.
        patience: after how many steps without a better loss one more is too many.
        threshold: better is below (1 - threshold) times the best so far.
        least: no rate falls below this one.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        least: float = 0.0,
    ):
        if not 0 <= factor < 1:
            raise ValueError(f"Plateau: factor={factor!r} is out of range")
        self.optimizer, self.factor, self.patience = optimizer, factor, patience
        self.threshold, self.least = threshold, least
        self.best, self.waited = math.inf, 0

    def step(self, loss: float) -> None:
        """Take in the loss of another epoch."""
        loss = float(data_of(loss))
        better = loss < self.best * (1 - self.threshold)
        self.best, self.waited = (loss, 0) if better else (self.best, self.waited + 1)
        if self.waited > self.patience:
            self.waited = 0
            for group in self.optimizer.param_groups:
                group["lr"] = max(group["lr"] * self.factor, self.least)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The best loss so far, and for how many steps none was better."""
        return {"best": np.array(self.best), "waited": np.array(self.waited)}

    def load_state_dict(self, state: Mapping[str, np.ndarray], strict: bool = True) -> None:
        """Take over what `state_dict` gave; ValueError if it doesn't fit."""
        state = fitting(state, self.state_dict(), strict)
        self.best, self.waited = float(state["best"]), int(state["waited"])


def _share(schedule: str, step: int, total: int) -> float:
    """How much of total is over."""
    if step < 0 or total < 1:
        raise ValueError(f"{schedule}: step {step!r} of {total!r}, where 0 of 1 is the least")
    return min(step / total, 1.0)


def _iterated(parameters):
    """What may be gone through twice."""
    single = isinstance(parameters, Tensor) or hasattr(parameters, "parameters")
    return parameters if single else list(parameters)


def _is_group(x: object) -> bool:
    return isinstance(x, dict) and "params" in x


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
