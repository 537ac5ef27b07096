"""The losses against PyTorch, at their edges too."""

import numpy as np
import pytest
import torch
from networks import assert_refused, of, positive
from table import assert_same, compare, normal
from torch.nn import functional

from micrograd import Tensor, nn

# Losses: every row has the loss here and in PyTorch, as functions of one or two Tensors


def torch_cross_entropy(x, targets, **options):
    """The classes along the last axis, which PyTorch wants as axis 1."""
    targets = torch.as_tensor(targets)
    if targets.ndim == x.ndim and x.ndim > 1:
        targets = targets.movedim(-1, 1)
    return functional.cross_entropy(x.movedim(-1, 1) if x.ndim > 1 else x, targets, **options)


def torch_nll(x, targets, weight, reduction):
    """Of rows, for PyTorch takes no more than two axes besides batch and classes."""
    weight = None if weight is None else torch.tensor(weight, dtype=x.dtype)
    rows, numbers = x.reshape(-1, x.shape[-1]), torch.tensor(targets).reshape(-1)
    y = functional.nll_loss(rows, numbers, weight, ignore_index=1, reduction=reduction)
    return y.reshape(targets.shape) if reduction == "none" else y


def torch_max_margin(x, targets, reduction):
    """As `multi_margin_loss`, which PyTorch can't differentiate twice."""
    targets = torch.tensor(targets)
    if targets.shape == x.shape:
        losses = (1 - targets * x).relu()
        return losses if reduction == "none" else getattr(losses, reduction)()
    others = 1 - functional.one_hot(targets, x.shape[-1])
    right = x.gather(-1, targets[..., None])
    losses = ((1 - right + x).relu() * others).mean(-1)
    theirs = functional.multi_margin_loss(
        x.detach().reshape(-1, x.shape[-1]), targets.reshape(-1), reduction="none"
    )
    tolerance = 1e-12 if x.dtype == torch.float64 else 1e-6
    torch.testing.assert_close(losses.detach().reshape(-1), theirs, rtol=tolerance, atol=tolerance)
    return losses if reduction == "none" else getattr(losses, reduction)()


def large(rng, shape):
    return rng.choice([-1000.0, -40.0, 0.0, 40.0, 1000.0], shape)


def fractions(rng, shape):
    return rng.integers(0, 9, shape) / 8


def with_minus_infinity(rng, shape):
    """-inf for the last class, which is no target in the rows."""
    x = rng.normal(size=shape)
    x[..., -1] = -np.inf
    return x


def class_numbers(shape):
    """Each class but the last of (..., classes) at some place of (...), as far as there are."""
    n = int(np.prod(shape[:-1]))
    return (np.arange(n) * 3 % (shape[-1] - 1)).reshape(shape[:-1])


LOSSES = {}


def add_loss(name, ours, theirs, shapes, domains):
    for reduction in ("mean", "sum", "none"):
        LOSSES[f"{name} of {shapes}, {reduction}"] = (
            lambda *x, r=reduction: ours(*x, reduction=r),
            lambda *x, r=reduction: theirs(*x, reduction=r),
            shapes,
            domains,
        )


def add_losses():
    for shape in ((5,), (4, 5), (1, 2), (2, 3, 5), (2, 2, 2, 3)):
        t = class_numbers(shape)
        for options in (
            {},
            {"label_smoothing": 0.1},
            {"ignore_index": 1},
            {"ignore_index": 1, "label_smoothing": 0.3},
            {"ignore_index": -100},
        ):
            numbers = t if options != {"ignore_index": -100} else np.where(t == 1, -100, t)
            add_loss(
                f"cross_entropy{options}",
                lambda x, reduction, t=numbers, o=options: nn.cross_entropy(
                    x, t, **o, reduction=reduction
                ),
                lambda x, reduction, t=numbers, o=options: torch_cross_entropy(
                    x, t, **o, reduction=reduction
                ),
                [shape],
                [normal],
            )
        for domain in (large, with_minus_infinity):
            add_loss(
                f"cross_entropy, {domain.__name__}",
                lambda x, reduction, t=t: nn.cross_entropy(x, t, reduction=reduction),
                lambda x, reduction, t=t: torch_cross_entropy(x, t, reduction=reduction),
                [shape],
                [domain],
            )
        q = np.random.default_rng(7).dirichlet(np.ones(shape[-1]), shape[:-1])
        for options in ({}, {"label_smoothing": 0.1}):
            add_loss(
                f"cross_entropy, probabilities{options}",
                lambda x, reduction, q=q, o=options: nn.cross_entropy(
                    x, q, **o, reduction=reduction
                ),
                lambda x, reduction, q=q, o=options: torch_cross_entropy(
                    x, q, **o, reduction=reduction
                ),
                [shape],
                [normal],
            )
            add_loss(
                f"cross_entropy, Tensor of probabilities{options}",
                lambda x, q, reduction, o=options: nn.cross_entropy(x, q, **o, reduction=reduction),
                lambda x, q, reduction, o=options: torch_cross_entropy(
                    x, q, **o, reduction=reduction
                ),
                [shape, shape],
                [normal, positive],
            )
        if t.ndim:
            add_loss(
                "max_margin, classes",
                lambda x, reduction, t=t: nn.max_margin(x, t, reduction=reduction),
                lambda x, reduction, t=t: torch_max_margin(x, t, reduction),
                [shape],
                [normal],
            )

        w = np.arange(1.0, shape[-1] + 1)
        for options in ({}, {"label_smoothing": 0.2}, {"ignore_index": 1}):
            for targets in (t, q) if options != {"ignore_index": 1} else (t,):
                add_loss(
                    f"cross_entropy, weight{options} of {targets.ndim} axes",
                    lambda x, reduction, t=targets, o=options, w=w: nn.cross_entropy(
                        x, t, **o, weight=w, reduction=reduction
                    ),
                    lambda x, reduction, t=targets, o=options, w=w: torch_cross_entropy(
                        x, t, **o, weight=torch.tensor(w, dtype=x.dtype), reduction=reduction
                    ),
                    [shape],
                    [normal],
                )
        for weight in (None, w):
            add_loss(
                f"nll, weight {weight is not None}",
                lambda x, reduction, t=t, w=weight: nn.nll(
                    x, t, weight=w, ignore_index=1, reduction=reduction
                ),
                lambda x, reduction, t=t, w=weight: torch_nll(x, t, w, reduction),
                [shape],
                [normal],
            )  # fmt: skip

    for shape in ((), (6,), (2, 3)):
        add_loss("l1", nn.l1, functional.l1_loss, [shape, shape], [normal, normal])
        for delta in (1.0, 0.3):
            add_loss(
                f"huber {delta}",
                lambda x, t, reduction, d=delta: nn.huber(x, t, reduction, d),
                lambda x, t, reduction, d=delta: functional.huber_loss(x, t, reduction, d),
                [shape, shape],
                [normal, normal],
            )
        add_loss("kl_div", nn.kl_div, functional.kl_div, [shape, shape], [normal, positive])
        add_loss(
            "kl_div of logarithms",
            lambda x, t, reduction: nn.kl_div(x, t, reduction, log_target=True),
            lambda x, t, reduction: functional.kl_div(x, t, reduction=reduction, log_target=True),
            [shape, shape],
            [normal, normal],
        )
        add_loss(
            "binary_cross_entropy, weights",
            lambda x, t, reduction: nn.binary_cross_entropy_with_logits(
                x, t, reduction, weight=0.5, pos_weight=3.0
            ),
            lambda x, t, reduction: functional.binary_cross_entropy_with_logits(
                x, t, weight=torch.tensor(0.5, dtype=x.dtype),
                pos_weight=torch.tensor(3.0, dtype=x.dtype), reduction=reduction,
            ),
            [shape, shape],
            [normal, fractions],
        )  # fmt: skip

    bce = functional.binary_cross_entropy_with_logits
    for shape in ((), (6,), (2, 3), (4, 1)):
        for domain in (normal, large):
            add_loss("binary_cross_entropy", nn.binary_cross_entropy_with_logits, bce,
                     [shape, shape], [domain, fractions])  # fmt: skip
        bits = (np.arange(np.prod(shape, dtype=int)) % 3 == 0).reshape(shape)
        add_loss(
            "binary_cross_entropy, array",
            lambda x, reduction, t=bits: nn.binary_cross_entropy_with_logits(
                x, t, reduction=reduction
            ),
            lambda x, reduction, t=bits: bce(
                x, torch.tensor(t, dtype=x.dtype), reduction=reduction
            ),
            [shape],
            [normal],
        )
        signs = np.where(bits, 1, -1)
        add_loss(
            "max_margin, signs",
            lambda x, reduction, t=signs: nn.max_margin(x, t, reduction=reduction),
            lambda x, reduction, t=signs: torch_max_margin(x, t, reduction),
            [shape],
            [normal],
        )
        add_loss("mse", nn.mse, functional.mse_loss, [shape, shape], [normal, normal])
        add_loss(
            "mse, array",
            lambda x, reduction, t=signs: nn.mse(x, t, reduction=reduction),
            lambda x, reduction, t=signs: functional.mse_loss(
                x, torch.tensor(t, dtype=x.dtype), reduction=reduction
            ),
            [shape],
            [normal],
        )


add_losses()


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    """Values, gradients and second gradients of scores and targets."""
    ours, theirs, shapes, domains = LOSSES[name]
    rng = np.random.default_rng(8)
    operands = [domain(rng, shape) for domain, shape in zip(domains, shapes)]
    compare(ours, theirs, operands, name, rng)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_in_float32(name):
    """The gradients are float32, and the loss is if the targets are: probabilities may be wider."""
    ours, theirs, shapes, domains = LOSSES[name]
    rng = np.random.default_rng(8)
    arrays = [domain(rng, shape).astype(np.float32) for domain, shape in zip(domains, shapes)]
    x, x_theirs = [Tensor(a) for a in arrays], [torch.tensor(a).requires_grad_() for a in arrays]
    y, y_theirs = ours(*x), theirs(*x_theirs)
    if "probabilities" not in name:
        assert y.dtype == np.float32, f"{name}: dtype {y.dtype}"
    value, expected = y.data.astype(np.float32), y_theirs.to(torch.float32)
    assert_same(np.asarray(value), expected, f"{name}, value", 1e-5)
    y.sum().backward()
    y_theirs.sum().backward()
    for a, b in zip(x, x_theirs):
        assert_same(a.grad, b.grad, f"{name}, gradient", 1e-5)


FLOAT32_LOSSES = {
    "cross_entropy": ((2, 3), [0, 2]),
    "binary_cross_entropy_with_logits": ((2,), [0, 1]),
    "max_margin, signs": ((2,), [-1, 1]),
    "max_margin, classes": ((2, 3), [0, 2]),
    "mse": ((2,), [3, 4]),
}


@pytest.mark.parametrize("kind", ["list", "int64", "uint8 or int8"])
@pytest.mark.parametrize("name", FLOAT32_LOSSES)
def test_integer_targets_leave_a_float32_loss_float32(name, kind):
    shape, targets = FLOAT32_LOSSES[name]
    if kind != "list":
        narrow = np.int8 if min(targets) < 0 else np.uint8
        targets = np.array(targets, np.int64 if kind == "int64" else narrow)
    loss = getattr(nn, name.partition(",")[0])(Tensor(np.ones(shape, np.float32)), targets)
    assert loss.dtype == np.float32


def test_cross_entropy_of_an_impossible_target_is_infinite():
    x = Tensor([[0.0, -np.inf], [0.0, 0.0]])
    loss = nn.cross_entropy(x, [1, 0], reduction="none")
    assert_same(loss.data, np.array([np.inf, np.log(2)]), "loss")
    loss.backward()
    assert_same(x.grad, np.array([[1.0, -1.0], [-0.5, 0.5]]), "gradient")


def test_cross_entropy_of_nothing_but_ignored_targets_is_nan_as_in_pytorch():
    x = Tensor(np.ones((2, 3)))
    with np.errstate(all="ignore"):
        assert np.isnan(nn.cross_entropy(x, [-100, -100]).item())
    assert nn.cross_entropy(x, [-100, -100], reduction="sum").item() == 0
    nn.cross_entropy(x, [-100, -100]).backward()
    assert x.grad.tolist() == [[0.0] * 3] * 2


def test_a_small_binary_cross_entropy_keeps_its_digits_in_float32():
    logits, targets = np.array([15.0, -15.0], np.float32), np.array([1.0, 0.0], np.float32)
    loss = nn.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    assert_same(loss.data, np.full(2, np.log1p(np.exp(-15)), np.float32), "loss", 1e-12)


def test_max_margin_takes_a_class_that_is_ruled_out():
    scores = Tensor([[1.0, -np.inf, 0.5]])
    loss = nn.max_margin(scores, np.array([0]))
    loss.backward()
    assert_same(loss.data, np.array(0.5 / 3), "loss")
    assert_same(scores.grad, np.array([[-1.0, 0.0, 1.0]]) / 3, "gradient")


def test_losses_take_scores_that_are_no_tensors():
    for name, (shape, targets) in FLOAT32_LOSSES.items():
        loss, scores = getattr(nn, name.partition(",")[0]), normal(np.random.default_rng(9), shape)
        assert loss(scores, targets).item() == loss(Tensor(scores), targets).item(), name


# Errors: what was given, what it should say


def test_the_batchmean_of_kl_div_is_that_of_pytorch():
    x, t = np.random.default_rng(0).dirichlet(np.ones(4), (2, 3))
    expected = functional.kl_div(torch.tensor(np.log(x)), torch.tensor(t), reduction="batchmean")
    assert_same(nn.kl_div(np.log(x), t, "batchmean").data, expected, "batchmean", 1e-12)


ERRORS = {
    "cross_entropy weight": (
        lambda: nn.cross_entropy(of(4, 3), [0] * 4, weight=[1.0, 2.0]), ValueError, "(3,)", "(2,)"),
    "nll of wrong targets": (
        lambda: nn.nll(of(4, 3), [0, 1]), ValueError, "nll", "(4, 3)", "(4,)", "(2,)"),
    "pos_weight": (
        lambda: nn.binary_cross_entropy_with_logits(
            of(4), np.ones(4), pos_weight=np.ones((3, 1))), ValueError, "pos_weight", "(3, 1)"),
    "huber delta": (lambda: nn.huber(of(2), np.ones(2), delta=0), ValueError, "delta=0"),
    "l1 of other shapes": (lambda: nn.l1(of(2, 1), np.ones(2)), ValueError, "l1", "(2, 1)"),
    "mse (4, 1) and (4,)": (
        lambda: nn.mse(of(4, 1), np.zeros(4)), ValueError, "mse", "(4, 1)", "(4,)"),
    "mse (4,) and ()": (lambda: nn.mse(of(4), 0.0), ValueError, "mse", "(4,)", "()"),
    "mse of Tensors (3,) and (2, 3)": (
        lambda: nn.mse(of(3), of(2, 3)), ValueError, "mse", "(3,)", "(2, 3)"),
    "mse reduction": (
        lambda: nn.mse(of(3), of(3), reduction="avg"), ValueError, "mse", "reduction", "'avg'"),
    "binary_cross_entropy (4, 1) and (4,)": (
        lambda: nn.binary_cross_entropy_with_logits(of(4, 1), np.zeros(4)),
        ValueError, "binary_cross_entropy", "(4, 1)", "(4,)"),
    "binary_cross_entropy of -1": (
        lambda: nn.binary_cross_entropy_with_logits(of(2), [-1, 1]),
        ValueError, "binary_cross_entropy", "between 0 and 1"),
    "binary_cross_entropy of nan": (
        lambda: nn.binary_cross_entropy_with_logits(of(2), [np.nan, 1]),
        ValueError, "binary_cross_entropy", "between 0 and 1"),
    "binary_cross_entropy reduction": (
        lambda: nn.binary_cross_entropy_with_logits(of(2), [0, 1], reduction=None),
        ValueError, "binary_cross_entropy", "reduction"),
    "max_margin (4, 1) and (4,)": (
        lambda: nn.max_margin(of(4, 1), np.ones(4)), ValueError, "max_margin", "(4, 1)", "(4,)"),
    "max_margin (4,) and (4, 1)": (
        lambda: nn.max_margin(of(4), np.ones((4, 1))), ValueError, "max_margin", "(4,)", "(4, 1)"),
    "max_margin of 0 and 1": (
        lambda: nn.max_margin(of(2), [0, 1]), ValueError, "max_margin", "-1 or 1"),
    "max_margin of floats as classes": (
        lambda: nn.max_margin(of(2, 3), [0.0, 1.0]), TypeError, "max_margin", "float64"),
    "max_margin of class 3 of 3": (
        lambda: nn.max_margin(of(2, 3), [0, 3]), IndexError, "max_margin", "0 to 2", "3"),
    "max_margin of class -1": (
        lambda: nn.max_margin(of(2, 3), [0, -1]), IndexError, "max_margin", "0 to 2", "-1"),
    "max_margin reduction": (
        lambda: nn.max_margin(of(2), [1, 1], reduction="all"), ValueError, "reduction", "'all'"),
    "cross_entropy (4, 3) and (4, 1)": (
        lambda: nn.cross_entropy(of(4, 3), np.zeros((4, 1), int)),
        ValueError, "cross_entropy", "(4, 3)", "(4, 1)"),
    "cross_entropy (4, 3) and (3,)": (
        lambda: nn.cross_entropy(of(4, 3), [0, 1, 2]),
        ValueError, "cross_entropy", "(4, 3)", "(3,)"),
    "cross_entropy, classes not last": (
        lambda: nn.cross_entropy(of(2, 5, 3), np.zeros((2, 3), int)),
        ValueError, "cross_entropy", "(2, 5, 3)", "(2, 3)"),
    "cross_entropy of a number": (lambda: nn.cross_entropy(of(), 0), ValueError, "cross_entropy"),
    "cross_entropy of floats as classes": (
        lambda: nn.cross_entropy(of(2, 3), [0.0, 1.0]), TypeError, "cross_entropy", "float64"),
    "cross_entropy of ints as probabilities": (
        lambda: nn.cross_entropy(of(2, 3), np.eye(3, dtype=int)[:2]),
        TypeError, "cross_entropy", "int"),
    "cross_entropy of bools as classes": (
        lambda: nn.cross_entropy(of(2, 2), [True, False]), TypeError, "cross_entropy", "bool"),
    "cross_entropy of class 3 of 3": (
        lambda: nn.cross_entropy(of(2, 3), [0, 3]), IndexError, "cross_entropy", "0 to 2", "3"),
    "cross_entropy of class -1": (
        lambda: nn.cross_entropy(of(2, 3), [-1, 0]), IndexError, "cross_entropy", "0 to 2", "-1"),
    "cross_entropy reduction": (
        lambda: nn.cross_entropy(of(2, 3), [0, 1], reduction="batchmean"),
        ValueError, "cross_entropy", "reduction", "'batchmean'"),
    "cross_entropy label_smoothing": (
        lambda: nn.cross_entropy(of(2, 3), [0, 1], label_smoothing=1.5),
        ValueError, "cross_entropy", "label_smoothing", "1.5"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    assert_refused(*ERRORS[name])
