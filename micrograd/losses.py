"""Losses: what a network's output is from its targets, as a Tensor to call `backward()` on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import array_of, log_softmax
from micrograd.effects import effect
from micrograd.engine import Tensor, apply
from micrograd.layers import integers_below
from micrograd.operations import no_tensor, sigmoid, softplus, where
from micrograd.protocol import data_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "binary_cross_entropy_with_logits", "cross_entropy", "huber", "kl_div", "l1", "max_margin",
    "mse", "nll",
]  # fmt: skip


def cross_entropy(
    logits,
    targets,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
) -> Tensor:
    """-log of the probability that softmax(logits) gives to the targets.

    Args:
        logits: scores (..., classes), the classes along the last axis.
        targets: class numbers (...), or probabilities (..., classes).
        label_smoothing: this share of the target is spread over all classes (Szegedy et al., 2016).
        ignore_index: a class number that stands for "no target"; such places don't count.
        reduction: "mean" over the places that count, "sum", or "none" for the losses (...).
        weight: what each class counts, (classes,). With class numbers the mean is over the weights
            of the targets, as in PyTorch.

    Raises:
        TypeError: class numbers are not integers.
        ValueError: the shapes don't fit.
        IndexError: a class number is out of range.
    """
    _check_reduction("cross_entropy", reduction)
    no_tensor("cross_entropy: label_smoothing", label_smoothing)
    if not isinstance(label_smoothing, (int, float, np.floating)) or not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing={label_smoothing!r} is out of range")
    logits, targets = _tensor("cross_entropy", logits), _targets("cross_entropy", targets)
    if logits.ndim == 0:
        raise ValueError("cross_entropy: logits of shape () have no axis of classes")
    classes, shape = logits.shape[-1], np.shape(targets)
    weights = None if weight is None else _class_weights("cross_entropy", weight, logits)
    if shape == logits.shape:
        q, count, full = targets, math.prod(shape[:-1]), logits.dtype.type(1)
        share = logits.dtype.type(1 / count if reduction == "mean" and count else 1)
        factor = 1 if count or reduction != "mean" else np.nan
        if not isinstance(q, Tensor):
            if q.dtype.kind != "f":
                raise TypeError(
                    f"cross_entropy: targets of the logits' shape {shape} are probabilities, got "
                    f"dtype {q.dtype}"
                )
            q = q.astype(logits.dtype)
    elif shape == logits.shape[:-1]:
        numbers = data_of(targets)
        q, counts, share, factor = effect(
            _one_hot, "cross_entropy", numbers, classes, ignore_index, reduction, logits.dtype,
            weights,
        )  # fmt: skip
        full = counts[..., None]
    else:
        raise ValueError(
            f"cross_entropy: logits {logits.shape} take targets {logits.shape[:-1]} (class "
            f"numbers) or {logits.shape} (probabilities), got {shape}"
        )
    number = logits.dtype.type
    if label_smoothing:
        q = q * number(1 - label_smoothing) + full * number(label_smoothing / classes)
    if weights is not None:
        q = q * weights
    q = q * share
    axis = -1 if reduction == "none" else None

    def forward(x, q):
        log_p = log_softmax(x, -1)
        terms = q * np.where(q == 0, 0, log_p)  # where log_p is -inf, 0 times it would be nan
        return -terms.sum(axis=axis) * factor, log_p

    def per_row(g):
        return g if axis is None else g[..., None]

    return apply(
        "cross_entropy",
        forward,
        (logits, q),
        lambda g, y, x, q, log_p: per_row(g) * (np.exp(log_p) * q.sum(axis=-1, keepdims=True) - q),
        lambda g, y, x, q, log_p: -per_row(g) * log_p,
    )


def nll(log_p, targets, ignore_index: int = -100, reduction: str = "mean", weight=None) -> Tensor:
    """-log_p of the targets: `cross_entropy` of what `log_softmax` gave.

    Args:
        log_p: logarithms of probabilities (..., classes).
        targets: class numbers (...).
        ignore_index, reduction, weight: as for `cross_entropy`.

    Raises:
        TypeError: class numbers are not integers.
        ValueError: the shapes don't fit.
        IndexError: a class number is out of range.
    """
    _check_reduction("nll", reduction)
    log_p, targets = _tensor("nll", log_p), _targets("nll", targets)
    targets = data_of(targets)
    if log_p.ndim == 0 or targets.shape != log_p.shape[:-1]:
        raise ValueError(f"nll: log_p {log_p.shape} takes class numbers {log_p.shape[:-1]}, got "
                         f"{targets.shape}")  # fmt: skip
    classes, dtype = log_p.shape[-1], log_p.dtype
    q, *_ = effect(_one_hot, "nll", targets, classes, ignore_index, reduction, dtype)
    q = q * _class_weights("nll", weight, log_p)
    losses = -where(q == 0, 0, q * log_p).sum(axis=-1)  # 0 times -inf would be nan
    if reduction == "mean":
        with np.errstate(invalid="ignore"):  # nothing counts: nan, as in PyTorch
            return losses.sum() / q.sum()
    return _reduce("nll", losses, reduction)


def kl_div(log_p, target, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target (log(target) - log_p), elementwise: how far log_p's distribution is from the target's.

    The "mean" is over all elements, as in PyTorch; the divergence itself, of rows that each are a
    distribution, is the "batchmean": the sum over the number of rows.

    Args:
        log_p: logarithms of probabilities.
        target: probabilities of the same shape, or their logarithms if log_target.
        reduction: "mean", "batchmean", "sum" or "none".
    """
    log_p, t = _same_shape("kl_div", log_p, target)
    if log_target:
        losses = np.exp(t) * (t - log_p)
    else:
        positive = data_of(t) > 0  # 0 log 0 is 0
        losses = where(positive, t * (np.log(where(positive, t, 1)) - log_p), 0)
    if reduction == "batchmean":
        return losses.sum() / len(log_p)
    return _reduce("kl_div", losses, reduction)


def binary_cross_entropy_with_logits(
    logits, targets, reduction: str = "mean", weight=None, pos_weight=None
) -> Tensor:
    """-t log(p) - (1 - t) log(1 - p) with p = sigmoid(logits), for targets t from 0 to 1.

    Logits and targets have the same shape. `weight`, of a shape that broadcasts to it, is what each
    loss counts; `pos_weight`, likewise, what the term of t counts. Raises ValueError if shapes
    don't fit, or for targets out of range.
    """
    name = "binary_cross_entropy_with_logits"
    logits, targets = _same_shape(name, logits, targets)
    effect(_check_shares, data_of(targets))
    losses = apply(
        "binary_cross_entropy_with_logits",
        lambda x, t: np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))),
        (logits, targets),
        lambda g, y, x, t: g * (sigmoid(x) - t),
        lambda g, y, x, t: -g * x,
    )
    for factor, part in ((pos_weight, "pos_weight"), (weight, "weight")):
        if factor is None:
            continue
        factor = array_of(f"{name}: {part}", factor, "fiub").astype(losses.dtype)
        if np.broadcast_shapes(factor.shape, losses.shape) != losses.shape:
            raise ValueError(f"{name}: {part} {factor.shape} does not broadcast to {losses.shape}")
        if part == "pos_weight":  # -log(p) is softplus(-x)
            losses = losses + (factor - 1) * targets * softplus(-logits)
        else:
            losses = losses * factor
    return _reduce(name, losses, reduction)


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
    scores = _tensor("max_margin", scores)
    targets = _targets("max_margin", targets)
    targets = data_of(targets)
    shape = scores.shape
    if targets.shape == shape:
        effect(_check_signs, targets)
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
    effect(integers_below, "max_margin", targets, shape[-1])
    numbers = targets[..., None]
    others = np.arange(shape[-1]) != numbers
    right = scores[(*np.indices(numbers.shape[:-1], sparse=True), numbers[..., 0])][..., None]
    losses = ((1 - right + scores).relu() * others).sum(axis=-1) / shape[-1]
    return _reduce("max_margin", losses, reduction)


def mse(prediction, target, reduction: str = "mean") -> Tensor:
    """The squared difference. Raises ValueError unless the shapes are the same."""
    prediction, target = _same_shape("mse", prediction, target)
    return _reduce("mse", (prediction - target) ** 2, reduction)


def l1(prediction, target, reduction: str = "mean") -> Tensor:
    """The absolute difference. Raises ValueError unless the shapes are the same."""
    prediction, target = _same_shape("l1", prediction, target)
    return _reduce("l1", abs(prediction - target), reduction)


def huber(prediction, target, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Half the squared difference up to delta, beyond it a line of slope delta (Huber, 1964).

    Raises ValueError unless the shapes are the same and delta is positive.
    """
    if not delta > 0:
        raise ValueError(f"huber: delta={delta!r} is out of range")
    prediction, target = _same_shape("huber", prediction, target)
    d = prediction - target
    near = d.clip(-delta, delta)
    return _reduce("huber", near * (d - 0.5 * near), reduction)


def _class_weights(loss: str, weight, scores: Tensor) -> np.ndarray:
    """(classes,) weights in the dtype of the scores, ones if None."""
    classes = scores.shape[-1:]
    if weight is None:
        return np.ones(classes, scores.dtype)
    weights = array_of(f"{loss}: weight", weight, "fiub").astype(scores.dtype)
    if weights.shape != classes:
        raise ValueError(f"{loss}: expected a weight {classes}, got {weights.shape}")
    return weights


def _tensor(loss: str, x) -> Tensor:
    """What a network gave: x itself, or a constant Tensor made of it."""
    if isinstance(x, Tensor):
        return x
    return Tensor(array_of(loss, x, "fiub", "a Tensor or an array of numbers"), requires_grad=False)


def _targets(loss: str, x) -> Tensor | np.ndarray:
    """x itself if it is a Tensor, or an array of numbers."""
    return x if isinstance(x, Tensor) else array_of(f"{loss}: targets", x, "fiub")


def _same_shape(loss: str, prediction, target) -> tuple[Tensor, Tensor | np.ndarray]:
    """Prediction as a Tensor, and a target that is an array in its dtype, once the shapes fit."""
    prediction, target = _tensor(loss, prediction), _targets(loss, target)
    if prediction.shape != target.shape:
        raise ValueError(f"{loss}: shapes {prediction.shape} and {target.shape} differ")
    if not isinstance(target, Tensor):
        target = target.astype(prediction.dtype, copy=False)
    return prediction, target


def _one_hot(
    name: str, numbers: np.ndarray, classes: int, ignore_index: int, reduction: str,
    dtype: np.dtype, weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.floating, float]:  # fmt: skip
    """(..., classes) bools, True at each class number, and (...) bools, True where one counts.

    Then the share of each in the loss, and a factor: the mean of none is nan, but its gradient 0,
    as in PyTorch.
    """
    hot = numbers[..., None] == np.arange(classes)
    counts = numbers != ignore_index
    if 0 <= ignore_index < classes:
        hot &= counts[..., None]
    if numbers.dtype.kind not in "iu" or np.count_nonzero(hot) != np.count_nonzero(counts):
        integers_below(name, numbers[counts], classes)
    count = np.count_nonzero(counts) if weights is None else float((hot * weights).sum())
    share = dtype.type(1 / count if reduction == "mean" and count else 1)
    return hot, counts, share, np.nan if reduction == "mean" and count == 0 else 1


def _check_shares(targets: np.ndarray) -> None:
    if not np.all((targets >= 0) & (targets <= 1)):
        raise ValueError("binary_cross_entropy_with_logits: targets are between 0 and 1")


def _check_signs(targets: np.ndarray) -> None:
    if not (np.abs(targets) == 1).all():
        raise ValueError("max_margin: targets of the scores' shape are -1 or 1")


def _check_reduction(loss: str, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{loss}: reduction is "mean", "sum" or "none", got {reduction!r}')


def _reduce(loss: str, losses: Tensor, reduction: str) -> Tensor:
    _check_reduction(loss, reduction)
    return losses if reduction == "none" else getattr(losses, reduction)()
