"""Layers and losses against PyTorch; modules, files and the old ways of using them."""

# ruff: noqa: NPY002 (that NumPy's global state decides the draws is what some tests are about)

import copy
import gc
import io
import pickle
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from operations import assert_same, compare, normal, ties
from torch.func import functional_call
from torch.nn import functional

from micrograd import Tensor, nn, no_grad
from micrograd.optim import Adam

LAYERS_OF_IMAGES = [
    "Conv2d(2, 3, 2)", "MaxPool2d(2)", "AvgPool2d(2)", "BatchNorm2d(2)", "LayerNorm(4)",
]  # fmt: skip

# Layers: every row is an expression that means the same in both libraries, and an input


class TorchLayer(torch.nn.Module):
    def __init__(self, n_inp, n_out, act=None):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.zeros(n_inp, n_out))
        self.bias = torch.nn.Parameter(torch.zeros(n_out))
        self.act = act

    def forward(self, x):
        y = x @ self.weights + self.bias
        return y if self.act is None else getattr(functional, self.act)(y)


def torch_mlp(n_inp, n_outs, act="relu"):
    acts = [act] * (len(n_outs) - 1) + [None]
    return torch.nn.Sequential(*map(TorchLayer, [n_inp, *n_outs], n_outs, acts))


class TorchDropout(torch.nn.Module):
    """Dropout with the mask that NumPy's state gives, in training."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        keep = torch.tensor(np.random.random(x.shape) >= self.p)
        return torch.where(keep, x / (1 - self.p), 0.0)


IN_TORCH = {
    **vars(torch.nn),
    "Layer": TorchLayer,
    "MultiLayerPerceptron": torch_mlp,
    "Dropout": TorchDropout,
}
LAYERS = [
    ("Layer(3, 2)", (3,)),
    ("Layer(3, 2)", (4, 3)),
    ("Layer(3, 2)", (2, 4, 3)),
    ("Layer(3, 2)", (0, 3)),
    ("Layer(1, 1)", (1, 1)),
    *((f"Layer(3, 2, act={act!r})", (4, 3)) for act in nn.ACTIVATIONS),
    ("MultiLayerPerceptron(3, [4, 5, 2])", (3,)),
    ("MultiLayerPerceptron(3, [4, 5, 2])", (6, 3)),
    ("MultiLayerPerceptron(3, [4, 2], act='tanh')", (2, 5, 3)),
    ("MultiLayerPerceptron(3, [2])", (6, 3)),
    ("MultiLayerPerceptron(3, [4, 2], act=None)", (6, 3)),
    ("Sequential(Layer(3, 4, 'relu'), Sequential(Layer(4, 5), LayerNorm(5)), Layer(5, 2))", (6, 3)),
    ("Sequential(Conv2d(1, 3, 3), BatchNorm2d(3), MaxPool2d(2), Flatten(), Layer(12, 2))",
     (4, 1, 6, 6)),
    ("Flatten()", (2, 3)),
    ("Flatten()", (2, 3, 4, 5)),
    ("Flatten()", (0, 3, 4)),
    ("Conv2d(2, 3, 3)", (2, 2, 5, 6)),
    ("Conv2d(2, 3, 3, bias=False)", (2, 2, 5, 6)),
    ("Conv2d(2, 3, 3, stride=2)", (2, 2, 7, 8)),
    ("Conv2d(2, 3, 3, padding=1)", (2, 2, 4, 5)),
    ("Conv2d(2, 3, (3, 2), stride=(1, 3), padding=(2, 1))", (2, 2, 5, 7)),
    ("Conv2d(2, 3, (1, 4), stride=(2, 1), padding=(0, 3), bias=False)", (1, 2, 3, 4)),
    ("Conv2d(1, 1, 2, stride=3)", (1, 1, 9, 9)),
    ("Conv2d(3, 2, 1)", (2, 3, 4, 4)),
    ("Conv2d(1, 2, 4)", (3, 1, 4, 4)),
    ("Conv2d(2, 3, 3)", (0, 2, 5, 6)),
    *((f"MaxPool2d({options})", (2, 3, 7, 8, kind))
      for options in ("2", "3, stride=2", "3, stride=1", "2, stride=3", "(3, 2)", "3, padding=1",
                      "(3, 2), stride=(1, 2), padding=(1, 0)")
      for kind in ("", "ties")),
    ("MaxPool2d(2)", (0, 3, 4, 4)),
    *((f"AvgPool2d({options})", (2, 3, 7, 8))
      for options in ("2", "3, stride=2", "3, stride=1", "2, stride=3", "(3, 2)", "3, padding=1",
                      "(3, 2), stride=(1, 2), padding=(1, 0)")),
    ("AvgPool2d(2)", (0, 3, 4, 4)),
    ("Embedding(5, 3)", np.array([0, 4, 2])),
    ("Embedding(5, 3)", np.array([[1, 1, 4], [0, 1, 4]])),
    ("Embedding(5, 3)", np.array(2)),
    ("LayerNorm(4)", (4,)),
    ("LayerNorm(4)", (3, 4)),
    ("LayerNorm(4, eps=0.1)", (2, 3, 4)),
    ("LayerNorm((3, 4))", (2, 5, 3, 4)),
    ("LayerNorm(4, bias=False)", (3, 4)),
    ("LayerNorm(4, elementwise_affine=False)", (3, 4)),
    ("LayerNorm(4)", (0, 4)),
    ("RMSNorm(4)", (4,)),
    ("RMSNorm(4)", (2, 3, 4)),
    ("RMSNorm(4, eps=0.1)", (3, 4)),
    ("RMSNorm((3, 4), eps=1e-5)", (2, 3, 4)),
    ("RMSNorm(4, elementwise_affine=False)", (3, 4)),
    ("BatchNorm1d(3)", (5, 3)),
    ("BatchNorm1d(3)", (2, 3)),
    ("BatchNorm1d(3)", (2, 3, 4)),
    ("BatchNorm1d(3)", (1, 3, 4)),
    ("BatchNorm1d(3, eps=0.1, momentum=0.7)", (5, 3)),
    ("BatchNorm1d(3, affine=False)", (5, 3)),
    ("BatchNorm2d(3)", (2, 3, 4, 5)),
    ("BatchNorm2d(3)", (1, 3, 1, 2)),
    ("BatchNorm2d(3, momentum=1.0)", (2, 3, 4, 5)),
    ("Dropout(0.0)", (4, 5)),
    ("Dropout(0.3)", (4, 5)),
    ("Dropout(0.5)", (2, 3, 4, 5)),
    ("Sequential(Layer(3, 8), Dropout(0.2), Layer(8, 2))", (4, 3)),
]  # fmt: skip
layers = pytest.mark.parametrize(
    "expression, kind", LAYERS, ids=[f"{e} of {getattr(x, 'shape', x)}" for e, x in LAYERS]
)
training_and_not = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def in_both(expression, training, dtype):
    """The module here and in PyTorch, with the same random parameters and buffers."""
    rng = np.random.default_rng(1)
    model, reference = eval(expression, {**vars(nn)}), eval(expression, {**IN_TORCH})
    model.astype(dtype).train(training)
    reference.to(torch.float32 if dtype == np.float32 else torch.float64).train(training)
    state = {
        name: (positive if name.endswith("var") else normal)(rng, array.shape).astype(array.dtype)
        for name, array in model.state_dict().items()
    }
    model.load_state_dict(state)
    missing, unexpected = reference.load_state_dict(
        {in_torch(name): torch.tensor(array) for name, array in state.items()}, strict=False
    )
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return model, reference


def positive(rng, shape):
    return rng.uniform(0.5, 2.0, shape)


def in_torch(name):
    return name.replace("layers.", "")


def an_input(kind):
    """Integers as they are; for a shape, numbers; with "ties" at its end, few different ones."""
    if isinstance(kind, np.ndarray):
        return kind
    shape = tuple(n for n in kind if not isinstance(n, str))
    domain = ties if "ties" in kind else normal
    return np.asarray(domain(np.random.default_rng(2), shape), np.float32).astype(np.float64)


def put_in(model, tensors):
    """Make these Tensors the parameters of a model."""
    tensors = iter(tensors)
    for module in model.named_modules().values():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor):
                setattr(module, name, next(tensors))


def assert_same_state(model, reference, tolerance=1e-9):
    theirs = reference.state_dict()
    for name, array in model.state_dict().items():
        assert_same(array, theirs[in_torch(name)], name, tolerance)


@layers
@training_and_not
def test_layer(expression, kind, training):
    """Values, gradients and second gradients of input and parameters, and running statistics."""
    model, reference = in_both(expression, training, np.float64)
    names = [name for name, _ in reference.named_parameters()]
    x = an_input(kind)
    constants = [x] if x.dtype.kind == "i" else []
    inputs = [] if constants else [x]

    def ours(*operands):
        np.random.seed(3)
        put_in(model, operands[len(inputs) :])
        return model(*constants, *operands[: len(inputs)])

    def theirs(*operands):
        np.random.seed(3)
        parameters = dict(zip(names, operands[len(inputs) :], strict=True))
        arguments = (*map(torch.tensor, constants), *operands[: len(inputs)])
        return functional_call(reference, parameters, arguments)

    operands = [*inputs, *(p.data for p in model.parameters())]
    compare(ours, theirs, operands, expression, np.random.default_rng(4))
    assert_same_state(model, reference)


@layers
@training_and_not
def test_layer_in_float32(expression, kind, training):
    model, reference = in_both(expression, training, np.float32)
    x = an_input(kind)
    x = x if x.dtype.kind == "i" else x.astype(np.float32)
    x_ours, x_theirs = x, torch.tensor(x)
    if x.dtype.kind == "f":
        x_ours, x_theirs = Tensor(x), x_theirs.requires_grad_()
    np.random.seed(3)
    y = model(x_ours)
    np.random.seed(3)
    y_theirs = reference(x_theirs)
    assert_same(y.data, y_theirs, f"{expression}, value", 1e-5)
    g = np.random.default_rng(4).normal(size=y.shape).astype(np.float32)
    y.backward(g)
    y_theirs.backward(torch.tensor(g))
    for p, q in zip([x_ours, *model.parameters()], [x_theirs, *reference.parameters()]):
        if isinstance(p, Tensor):
            assert_same(p.grad, q.grad, f"{expression}, gradient", 1e-4)
    assert_same_state(model, reference, 1e-5)


@layers
def test_layer_takes_an_array_as_it_takes_a_tensor(expression, kind):
    model, x = eval(expression, {**vars(nn)}), an_input(kind)
    y = []
    for argument in (x, Tensor(x)) if x.dtype.kind == "f" else (x, x.tolist()):
        np.random.seed(3)
        y.append(model(argument))
    on_array, on_tensor = (t.data if isinstance(t, Tensor) else t for t in y)
    assert_same(on_array, on_tensor, expression, 0)
    assert not model.parameters() or y[0].requires_grad


def test_batch_norm_follows_pytorch_through_several_batches():
    model, reference = in_both("BatchNorm1d(3, momentum=0.3)", True, np.float64)
    rng = np.random.default_rng(5)
    for n in (4, 7, 2):
        x = rng.normal(3, 2, (n, 3))
        model(x)
        reference(torch.tensor(x))
    assert_same_state(model, reference)
    x = rng.normal(3, 2, (1, 3))
    assert_same(model.eval()(x).data, reference.eval()(torch.tensor(x)), "one example in eval mode")


@pytest.mark.parametrize("expression", LAYERS_OF_IMAGES)
def test_a_layer_leaves_nothing_to_the_garbage_collector(expression):
    layer, x = eval(expression, vars(nn)), Tensor(np.ones((2, 2, 4, 4)))
    gc.collect()
    gc.disable()
    try:
        layer(x).sum().backward()
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: nn.Conv2d(1, 2, 3, padding="same"), "Conv2d: padding"),
        (lambda: nn.Conv2d(1, 2, 3, stride=0), "Conv2d: stride"),
        (lambda: nn.Conv2d(1, 2, 2.5), "Conv2d: kernel_size"),
        (lambda: nn.MaxPool2d((2, 2, 2)), "MaxPool2d: kernel_size"),
    ],
)
def test_a_window_that_is_no_int_or_pair_is_refused(make, what):
    with pytest.raises(ValueError, match=f"{what}: expected an int of at least"):
        make()


def test_dropout_draws_anew_at_every_call_from_the_generator_given():
    x, dropout = np.ones((100, 100)), nn.Dropout(0.2, np.random.default_rng(6))
    state = np.random.get_state()[1].copy()
    first, second = dropout(x), dropout(x)
    assert np.array_equal(np.random.get_state()[1], state), "NumPy's global state was used"
    rng = np.random.default_rng(6)
    for y in (first, second):
        assert_same(y.astype(np.float64), (rng.random(x.shape) >= 0.2) / 0.8, "Dropout(0.2)")
    assert not np.array_equal(first, second)
    assert abs((first == 0).mean() - 0.2) < 0.02


def test_dropout_of_everything_is_zero():
    assert_same(nn.Dropout(1.0)(Tensor([1.0, -2.0])).data, np.zeros(2), "Dropout(1.0)")


def test_embedding_adds_the_gradients_of_a_row_that_is_looked_up_twice():
    table = nn.Embedding(3, 2)
    (table([1, 1, 2]) * np.array([[1.0], [10.0], [100.0]])).sum().backward()
    assert_same(table.weight.grad, np.array([[0.0, 0], [11, 11], [100, 100]]), "gradient")


# Losses: every row has the loss here and in PyTorch, as functions of one or two Tensors


def torch_cross_entropy(x, targets, **options):
    """The classes along the last axis, which PyTorch wants as axis 1."""
    targets = torch.as_tensor(targets)
    if targets.ndim == x.ndim and x.ndim > 1:
        targets = targets.movedim(-1, 1)
    return functional.cross_entropy(x.movedim(-1, 1) if x.ndim > 1 else x, targets, **options)


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


def of(*shape):
    return Tensor(np.zeros(shape))


class NoCall(nn.Module):
    pass


ERRORS = {
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
    "Layer of a wrong width": (lambda: nn.Layer(3, 2)(of(4, 5)), ValueError, "(4, 5)", "(3, 2)"),
    "Layer of a number": (lambda: nn.Layer(1, 2)(of()), ValueError, "()", "(1, 2)"),
    "Layer of a list": (lambda: nn.Layer(2, 2)([1.0, 2.0]), TypeError, "linear", "list"),
    "Layer act": (lambda: nn.Layer(3, 2, act="Relu"), ValueError, "act", "'Relu'", "leaky_relu"),
    "Layer act of a wrong type": (lambda: nn.Layer(3, 2, act=3), TypeError, "act", "int"),
    "Layer init": (lambda: nn.Layer(3, 2, init="zero"), ValueError, "init", "'zero'", "glorot"),
    "MLP act": (lambda: nn.MultiLayerPerceptron(3, [4, 2], act="x"), ValueError, "act", "'x'"),
    "Conv2d init": (lambda: nn.Conv2d(1, 2, 3, init="?"), ValueError, "init", "'?'"),
    "Conv2d of 3 axes": (
        lambda: nn.Conv2d(2, 3, 3)(of(2, 5, 5)), ValueError, "Conv2d", "(2, 5, 5)"),
    "Conv2d of wrong channels": (
        lambda: nn.Conv2d(2, 3, 3)(of(1, 3, 5, 5)), ValueError, "Conv2d", "2", "(1, 3, 5, 5)"),
    "Conv2d of a small image": (
        lambda: nn.Conv2d(2, 3, 3)(of(1, 2, 2, 5)), ValueError, "Conv2d", "(3, 3)", "(2, 5)"),
    "MaxPool2d of 2 axes": (lambda: nn.MaxPool2d(2)(of(4, 4)), ValueError, "MaxPool2d", "(4, 4)"),
    "MaxPool2d of a small image": (
        lambda: nn.MaxPool2d(3)(of(1, 1, 2, 5)), ValueError, "MaxPool2d", "(3, 3)", "(2, 5)"),
    "MaxPool2d padding": (
        lambda: nn.MaxPool2d(2, padding=2), ValueError, "MaxPool2d", "padding", "2"),
    "AvgPool2d of 3 axes": (
        lambda: nn.AvgPool2d(2)(of(1, 4, 4)), ValueError, "AvgPool2d", "(1, 4, 4)"),
    "AvgPool2d of a small image": (
        lambda: nn.AvgPool2d(3)(of(1, 1, 2, 5)), ValueError, "AvgPool2d", "(3, 3)", "(2, 5)"),
    "LayerNorm of a wrong width": (
        lambda: nn.LayerNorm(4)(of(2, 3)), ValueError, "LayerNorm", "(..., 4", "(2, 3)"),
    "LayerNorm of a wrong shape": (
        lambda: nn.LayerNorm((3, 4))(of(4, 3)), ValueError, "LayerNorm", "3, 4", "(4, 3)"),
    "LayerNorm of too few axes": (
        lambda: nn.LayerNorm((3, 4))(of(4)), ValueError, "LayerNorm", "3, 4", "(4,)"),
    "RMSNorm of a wrong width": (
        lambda: nn.RMSNorm(4)(of(4, 1)), ValueError, "RMSNorm", "(..., 4", "(4, 1)"),
    "BatchNorm1d of 1 axis": (lambda: nn.BatchNorm1d(3)(of(3)), ValueError, "BatchNorm1d", "(3,)"),
    "BatchNorm1d of wrong features": (
        lambda: nn.BatchNorm1d(3)(of(2, 4)), ValueError, "BatchNorm1d", "3", "(2, 4)"),
    "BatchNorm1d of an image": (
        lambda: nn.BatchNorm1d(3)(of(2, 3, 4, 4)), ValueError, "BatchNorm1d", "(2, 3, 4, 4)"),
    "BatchNorm1d of one example": (
        lambda: nn.BatchNorm1d(3)(of(1, 3)), ValueError, "BatchNorm1d", "one value", "(1, 3)"),
    "BatchNorm2d of 2 axes": (
        lambda: nn.BatchNorm2d(3)(of(2, 3)), ValueError, "BatchNorm2d", "(2, 3)"),
    "BatchNorm2d of one pixel": (
        lambda: nn.BatchNorm2d(3)(of(1, 3, 1, 1)), ValueError, "BatchNorm2d", "(1, 3, 1, 1)"),
    "Dropout(1.5)": (lambda: nn.Dropout(1.5), ValueError, "Dropout", "1.5"),
    "Dropout(-0.1)": (lambda: nn.Dropout(-0.1), ValueError, "Dropout", "-0.1"),
    "Embedding of floats": (lambda: nn.Embedding(3, 2)([0.0]), TypeError, "Embedding", "float64"),
    "Embedding of 3 of 3": (lambda: nn.Embedding(3, 2)([0, 3]), IndexError, "Embedding", "0 to 2"),
    "Embedding of -1": (lambda: nn.Embedding(3, 2)([-1]), IndexError, "Embedding", "0 to 2", "-1"),
    "a Module without __call__": (lambda: NoCall()(1), NotImplementedError, "NoCall", "__call__"),
    "astype(int)": (lambda: nn.Layer(2, 2).astype(int), TypeError, "astype", "int64"),
    "save to .pt": (lambda: nn.save(nn.Layer(2, 2), "model.pt"), ValueError, ".npz", "'model.pt'"),
    "load from .pt": (lambda: nn.load(nn.Layer(2, 2), "model.pt"), ValueError, ".npz", "model.pt"),
    "load of no file": (lambda: nn.load(nn.Layer(2, 2), "none.npz"), FileNotFoundError, "none.npz"),
    "to_torch of a function": (
        lambda: nn.to_torch(nn.Layer(2, 2, act=lambda x: x)), TypeError, "to_torch", "<lambda>"),
    "to_torch of an unknown operation": (
        lambda: nn.to_torch(nn.Sequential(nn.Layer(2, 2), Tensor.exp)),
        TypeError, "to_torch", "exp"),
    "to_torch of a user's Module": (lambda: nn.to_torch(NoCall()), TypeError, "to_torch", "NoCall"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    do, error, *words = ERRORS[name]
    with pytest.raises(error) as caught:
        do()
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in {caught.value}"


# Modules


class Nested(nn.Module):
    """Tensors and Modules wherever they may stand."""

    def __init__(self):
        self.scale = Tensor(2.0)
        self.inner = nn.Layer(2, 3)
        self.pair = (Tensor([1.0]), [nn.Layer(3, 1), "no parameter"])
        self.again = self.inner.weights
        self.table = {"b": Tensor([1.0, 2.0]), "a": nn.BatchNorm1d(3), 3: Tensor([3.0])}
        self.name, self.size, self.nothing = "nested", 3, None
        self.array = np.ones(3)
        self.again_inner = self.inner

    def __call__(self, x):
        self.out = self.table["a"](self.inner(x)) * self.scale
        return self.out


NESTED = [
    "scale", "inner.weights", "inner.bias", "pair.0", "pair.1.0.weights", "pair.1.0.bias",
    "table.b", "table.a.weight", "table.a.bias", "table.3",
]  # fmt: skip


def test_parameters_are_found_in_order_and_once():
    model = Nested()
    assert list(model.named_parameters()) == NESTED
    parameters = model.parameters()
    assert type(parameters) is list
    assert parameters[0] is model.scale and parameters[1] is model.inner.weights
    assert list(model.named_modules()) == ["", "inner", "pair.1.0", "table.a"]
    assert nn.Sequential(model, model).parameters() == parameters


@pytest.mark.parametrize("context", [nullcontext, no_grad])
def test_a_stored_result_is_no_parameter(context):
    model = Nested()
    before = list(model.state_dict())
    with context():
        model(np.eye(2))
    assert model.out.shape == (2, 3)
    assert list(model.named_parameters()) == NESTED
    assert list(model.state_dict()) == before


def test_weights_computed_under_no_grad_become_parameters_by_requires_grad():
    model = nn.Module()
    with no_grad():
        model.weights = Tensor([1.0, 2.0]) * 0.1
    model.weights.requires_grad = True
    assert list(model.named_parameters()) == ["weights"]
    optimizer = Adam(model.parameters(), lr=0.1)
    (model.weights * model.weights).sum().backward()
    optimizer.step()
    assert_same(model.weights.data, np.array([0.0, 0.1]), "weights", 1e-7)


def test_a_frozen_parameter_belongs_to_the_state():
    model = nn.Layer(2, 3)
    model.weights.requires_grad = False
    assert list(model.state_dict()) == ["weights", "bias"]
    model(np.eye(2)).sum().backward()
    assert not model.weights.grad.any() and model.bias.grad.all()


def test_two_parameters_of_one_name_are_refused():
    model = nn.Module()
    model.d = {"a.b": Tensor([1.0]), "a": {"b": Tensor([2.0])}}
    with pytest.raises(ValueError, match="two parameters of Module have one dotted name"):
        model.state_dict()


def test_shared_weights_train_as_one():
    layer = nn.Layer(2, 2)
    model = nn.Sequential(layer, nn.LayerNorm(2), layer)
    assert list(model.named_parameters()) == [
        "layers.0.weights", "layers.0.bias", "layers.1.weight", "layers.1.bias",
    ]  # fmt: skip
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    model(x).sum().backward()
    assert layer.bias.grad.shape == (2,) and layer.bias.grad.max() > 2


def test_zero_grad_reaches_every_parameter():
    model = Nested()
    for p in model.parameters():
        p.grad = np.ones(p.shape)
    model.zero_grad()
    assert not any(p.grad.any() for p in model.parameters())


def test_train_and_eval_reach_every_module():
    model = nn.Sequential(Nested(), nn.Sequential(nn.Dropout(0.5)))
    modules = model.named_modules().values()
    assert len(modules) == 7 and all(m.training for m in modules)
    assert model.eval() is model and not any(m.training for m in modules)
    assert model.train() is model and all(m.training for m in modules)
    model.layers[0].train(False)
    assert [m.training for m in modules] == [True] + [False] * 4 + [True] * 2


def test_astype_turns_parameters_and_buffers_and_keeps_the_tensors():
    model = Nested()
    parameters = model.parameters()
    model(np.eye(2)).sum().backward()
    assert model.astype(np.float32) is model
    assert model.parameters() == parameters and model.again is model.inner.weights
    assert {array.dtype for array in model.state_dict().values()} == {np.dtype(np.float32)}
    assert len(model.state_dict()) == len(NESTED) + 2
    assert all(p.grad.dtype == np.float32 and not p.grad.any() for p in parameters)
    assert model(np.eye(2, dtype=np.float32)).dtype == np.float32


REPRS = {
    "Layer(4, 16, act='relu')": "Layer(16, act=relu)",
    "Layer(4, 1)": "Layer(1, act=None)",
    "Layer(4, 1, act=Tensor.tanh)": "Layer(1, act=tanh)",
    "MultiLayerPerceptron(2, [16, 1])": "MLP of [Layer(16, act=relu), Layer(1, act=None)]",
    "Sequential(Layer(2, 3), Tensor.relu, Flatten())":
        "Sequential of [Layer(3, act=None), relu, Flatten()]",
    "Conv2d(1, 2, 3)": "Conv2d(1, 2, (3, 3), stride=(1, 1), padding=(0, 0))",
    "MaxPool2d(2)": "MaxPool2d((2, 2), stride=(2, 2), padding=(0, 0))",
    "AvgPool2d(3, stride=2, padding=1)": "AvgPool2d((3, 3), stride=(2, 2), padding=(1, 1))",
    "Embedding(27, 10)": "Embedding(27, 10)",
    "Dropout(0.25)": "Dropout(0.25)",
    "LayerNorm(4)": "LayerNorm((4,))",
    "RMSNorm((3, 4))": "RMSNorm((3, 4))",
    "BatchNorm1d(3)": "BatchNorm1d(3)",
    "BatchNorm2d(3)": "BatchNorm2d(3)",
}  # fmt: skip


@pytest.mark.parametrize("expression", REPRS)
def test_repr(expression):
    assert repr(eval(expression, {**vars(nn)})) == REPRS[expression]


BOUNDS = {None: 1, "glorot": (2 / 7) ** 0.5, "xavier": (6 / 7) ** 0.5}


@pytest.mark.parametrize("init", [*BOUNDS, "he"])
def test_initial_weights_of_a_layer(init):
    """The draw itself is the contract: a seed gives the same network in every version."""

    def expected(random):
        if init == "he":
            return random.normal(0, (2 / 3) ** 0.5, (3, 4))
        return random.uniform(-BOUNDS[init], BOUNDS[init], (3, 4))

    np.random.seed(11)
    layer = nn.Layer(3, 4, init=init)
    np.random.seed(11)
    assert_same(layer.weights.data, expected(np.random), f"init={init}", 1e-15)
    assert_same(layer.bias.data, np.zeros(4), "bias", 0)
    state = np.random.get_state()[1].copy()
    layer = nn.Layer(3, 4, init=init, rng=np.random.default_rng(12))
    assert np.array_equal(np.random.get_state()[1], state), "NumPy's global state was used"
    assert_same(layer.weights.data, expected(np.random.default_rng(12)), f"init={init}", 1e-15)


def test_initial_weights_of_a_network_are_drawn_layer_by_layer():
    np.random.seed(1337)
    model = nn.MultiLayerPerceptron(2, [16, 16, 1], init="glorot")
    np.random.seed(1337)
    for layer, shape in zip(model.layers, [(2, 16), (16, 16), (16, 1)], strict=True):
        s = np.sqrt(2 / sum(shape))
        assert_same(layer.weights.data, np.random.uniform(-s, s, shape), str(shape), 1e-15)


CONV_BOUNDS = {
    "torch": (1 / 12) ** 0.5,
    None: 1,
    "glorot": (2 / 28) ** 0.5,
    "xavier": (6 / 28) ** 0.5,
}


@pytest.mark.parametrize("init", [*CONV_BOUNDS, "he"])
def test_initial_weights_of_a_convolution(init):
    conv = nn.Conv2d(3, 4, 2, init=init, rng=np.random.default_rng(13))
    rng = np.random.default_rng(13)
    if init == "he":
        expected = rng.normal(0, (2 / 12) ** 0.5, (4, 3, 2, 2))
    else:
        expected = rng.uniform(-CONV_BOUNDS[init], CONV_BOUNDS[init], (4, 3, 2, 2))
    assert_same(conv.weight.data, expected, f"init={init}", 1e-15)


def test_one_example_gives_what_it_gives_in_a_batch():
    model = nn.MultiLayerPerceptron(3, [8, 2], rng=np.random.default_rng(14))
    x = np.random.default_rng(15).normal(size=(5, 3))
    batch = model(x)
    assert batch.shape == (5, 2)
    for i in range(5):
        for one in (x[i], Tensor(x[i])):
            assert_same(model(one).data, batch.data[i], f"example {i}", 1e-12)


def test_an_activation_may_be_any_function():
    x = np.array([[-1.0, 2.0, 0.5]])
    layer = nn.Layer(3, 2, act=lambda y: y * y)
    linear = x @ layer.weights.data + layer.bias.data
    assert_same(layer(x).data, linear**2, "act=lambda", 1e-12)
    mlp = nn.MultiLayerPerceptron(3, [2, 1], act=Tensor.sin)
    assert mlp(x).shape == (1, 1)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
                         ids=["deepcopy", "pickle"])  # fmt: skip
@pytest.mark.parametrize("act", [None, *nn.ACTIVATIONS, Tensor.tanh])
def test_models_can_be_copied_and_pickled(again, act):
    layer = nn.Layer(3, 3, act=act)
    model = nn.Sequential(layer, nn.BatchNorm1d(3), nn.Dropout(0.5), layer)
    x = np.random.default_rng(16).normal(size=(4, 3))
    model(x).sum().backward()
    model.eval()
    twin = again(model)
    assert list(twin.state_dict()) == list(model.state_dict())
    assert twin.layers[0] is twin.layers[3], "shared weights are no longer shared"
    assert_same(twin(x).data, model(x).data, "output", 0)
    assert_same(twin.layers[0].weights.grad, layer.weights.grad, "gradient", 0)
    before = layer.weights.data.copy()
    twin.layers[0].weights.data += 1
    twin.layers[1].running_mean += 1
    assert_same(layer.weights.data, before, "weights of the original", 0)
    assert model.layers[1].running_mean.max() < 1


class EveryLayer(nn.Module):
    def __init__(self, rng):
        self.images = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, rng=rng),
            nn.BatchNorm2d(4),
            Tensor.relu,
            nn.MaxPool2d(2),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Layer(16, 24, act="gelu", init="he", rng=rng),
        )
        self.words = nn.Sequential(nn.Embedding(7, 8, rng=rng), nn.Flatten(), nn.LayerNorm(24))
        self.head = nn.Sequential(
            nn.RMSNorm(24),
            nn.Dropout(0.1, rng),
            nn.Layer(24, 24, init="xavier", rng=rng),
            nn.BatchNorm1d(24),
            nn.MultiLayerPerceptron(24, [32, 5], act="tanh", init="glorot", rng=rng),
        )

    def __call__(self, image, words):
        return self.head(self.images(image) + self.words(words))


def test_a_network_of_every_layer_learns_20_random_examples_by_heart():
    rng = np.random.default_rng(17)
    model = EveryLayer(rng)
    images, words = rng.normal(size=(20, 1, 8, 8)), rng.integers(0, 7, (20, 3))
    classes = rng.integers(0, 5, 20)
    optimizer = Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        model.zero_grad()
        nn.cross_entropy(model(images, words), classes).backward()
        optimizer.step()
    with no_grad():
        scores = model.eval()(images, words)
    assert nn.cross_entropy(scores, classes).item() < 0.01
    assert np.array_equal(scores.argmax(-1), classes)


# State


def test_state_dict_holds_copies():
    model = Nested()
    state = model.state_dict()
    assert list(state) == [*NESTED, "table.a.running_mean", "table.a.running_var"]
    for name, p in model.named_parameters().items():
        assert_same(state[name], p.data, name, 0)
        assert not np.shares_memory(state[name], p.data), name
    assert not np.shares_memory(state["table.a.running_var"], model.table["a"].running_var)


def test_load_state_dict_fills_the_arrays_that_are_there():
    model, other = Nested(), Nested()
    arrays = [p.data for p in model.parameters()]
    state = other.state_dict()
    model.load_state_dict(state)
    assert all(p.data is array for p, array in zip(model.parameters(), arrays))
    assert_same_states(model.state_dict(), state)
    state["scale"][...] = 7
    assert model.scale.item() == 2, "the caller's array is the model's"


def assert_same_states(ours, expected):
    assert list(ours) == list(expected)
    for name, array in ours.items():
        assert_same(array, expected[name], name, 0)


def test_load_state_dict_lists_all_that_is_wrong_and_changes_nothing():
    model = Nested()
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    del state["inner.bias"]
    state["more"] = np.zeros(2)
    state["pair.0"] = np.zeros((1, 1))
    state["table.a.running_var"] = np.ones(3, np.float32)
    with pytest.raises(ValueError) as caught:
        model.load_state_dict(state)
    message = str(caught.value)
    for part in ("inner.bias: missing", "more", "pair.0", "(1, 1)", "(1,)",
                 "table.a.running_var", "float32", "float64"):  # fmt: skip
        assert part in message, f"{part!r} is not in {message!r}"
    assert "scale" not in message
    assert_same_states(model.state_dict(), before)
    with pytest.raises(ValueError, match=r"pair\.0.*running_var"):
        model.load_state_dict(state, strict=False)
    assert_same_states(model.state_dict(), before)


def test_load_state_dict_that_is_not_strict_takes_what_fits_by_name():
    model = Nested()
    expected = model.state_dict()
    model.load_state_dict({"scale": np.array(5.0), "unknown": np.ones(2)}, strict=False)
    expected["scale"][...] = 5
    assert_same_states(model.state_dict(), expected)


# Files

formats = pytest.mark.parametrize("ending", [".npz", ".safetensors"])


class Awkward(nn.Module):
    """Names, shapes, dtypes, bit patterns and memory layouts that a file could get wrong."""

    buffers = ("count",)

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.file = Tensor(rng.normal(size=(3, 2)))  # np.savez has an argument of this name
        self.allow_pickle = Tensor(rng.normal(size=2).astype(np.float32))
        self.scalar = Tensor(rng.normal())
        self.empty = Tensor(np.zeros((0, 3)))
        self.columns = Tensor([])
        self.columns.data = rng.normal(size=(4, 3)).T
        self.odd = Tensor([-0.0, 5e-324, np.inf, rng.normal()])
        self.names = {"a/b": Tensor(rng.normal(size=1)), "ü": nn.BatchNorm1d(2)}
        self.count = rng.integers(0, 9, 3)


def bits(state):
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in state.items()}


@formats
def test_a_file_gives_back_every_bit(ending, tmp_path):
    path = tmp_path / f"model{ending}"
    model, other = Awkward(1), Awkward(2)
    assert bits(model.state_dict()) != bits(other.state_dict())
    nn.save(model, path)
    nn.load(other, path)
    assert bits(model.state_dict()) == bits(other.state_dict())
    nn.save(Awkward(3), str(path))
    nn.load(other, str(path))
    assert bits(Awkward(3).state_dict()) == bits(other.state_dict())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_files_can_be_read_without_this_library(tmp_path):
    import safetensors.numpy

    model = nn.MultiLayerPerceptron(2, [3, 1])
    nn.save(model, tmp_path / "model.npz")
    nn.save(model, tmp_path / "model.safetensors")
    with np.load(tmp_path / "model.npz") as archive:
        assert_same_states(dict(archive), model.state_dict())
    state = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert bits(state) == bits(model.state_dict())


@formats
def test_load_that_is_not_strict_takes_what_fits_by_name(ending, tmp_path):
    path = tmp_path / f"layer{ending}"
    layer = nn.Layer(2, 3)
    nn.save(layer, path)
    model = nn.Layer(2, 3)
    model.more = Tensor([1.0])
    with pytest.raises(ValueError, match="more: missing"):
        nn.load(model, path)
    nn.load(model, path, strict=False)
    assert_same(model.weights.data, layer.weights.data, "weights", 0)


class Unpickled:
    """Whose pickle would run code."""

    def __reduce__(self):
        return pytest.fail, ("the file was unpickled",)


def written_by(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def flipped(data, i):
    return data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]


DAMAGES = {
    "empty": lambda data: b"",
    "its first byte": lambda data: data[:1],
    "its first 10 bytes": lambda data: data[:10],
    "its first half": lambda data: data[: len(data) // 2],
    "all but its last byte": lambda data: data[:-1],
    "text": lambda data: b"weights = 1, 2, 3\n" * 20,
    "a pickle": lambda data: pickle.dumps(Unpickled()),
    "a pickled .npy": lambda data: written_by(
        lambda file: np.save(file, np.array([Unpickled()]), allow_pickle=True)
    ),
    "a plain .npy": lambda data: written_by(lambda file: np.save(file, np.ones(3))),
    "an .npz of pickles": lambda data: written_by(
        lambda file: np.savez(file, weights=np.array([Unpickled()]), bias=np.ones(3))
    ),
    "a zip of something else": lambda data: written_by(
        lambda file: np.savez(file, other=np.ones(3))
    ),
}


@formats
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_no_model_is_refused_and_nothing_changed(ending, damage, tmp_path):
    path = tmp_path / f"model{ending}"
    nn.save(nn.Layer(20, 30), path)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    model = nn.Layer(20, 30)
    before = model.state_dict()
    for strict in (True, False) if damage != "a zip of something else" else (True,):
        with pytest.raises(ValueError):
            nn.load(model, path, strict)
        assert_same_states(model.state_dict(), before)


def test_a_flipped_bit_in_an_npz_is_noticed(tmp_path):
    path = tmp_path / "model.npz"
    nn.save(nn.Layer(20, 30), path)
    data = path.read_bytes()
    model = nn.Layer(20, 30)
    before = model.state_dict()
    path.write_bytes(flipped(data, len(data) // 2))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        nn.load(model, path)
    assert_same_states(model.state_dict(), before)


# The kernel kills a process that writes beyond the limit on the size of its files: as a power cut,
# at a byte of our choice. Python ignores the signal unless told not to.
KILLED_WHILE_SAVING = """
import resource, signal, sys
import numpy as np
from micrograd import nn

path, size = sys.argv[1], int(sys.argv[2])
model = nn.Layer(100, 100, rng=np.random.default_rng(2))
if path.endswith(".safetensors"):
    import safetensors.numpy
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
nn.save(model, path)
"""


@formats
@pytest.mark.parametrize("written", [0, 1, 40_000, 80_000])
def test_a_process_killed_while_saving_leaves_the_old_file(ending, written, tmp_path):
    path = tmp_path / f"model{ending}"
    old = nn.Layer(100, 100, rng=np.random.default_rng(1))
    nn.save(old, path)
    assert path.stat().st_size > 80_000
    arguments = [sys.executable, "-c", KILLED_WHILE_SAVING, str(path), str(written)]
    process = subprocess.run(arguments, capture_output=True, text=True)
    assert process.returncode < 0, f"it was not killed: {process.stderr}"
    model = nn.Layer(100, 100)
    nn.load(model, path)
    assert_same_states(model.state_dict(), old.state_dict())
    assert [p.name for p in tmp_path.glob(f"*{ending}")] == [path.name]
    nn.save(model, path)
    nn.load(old, path)


@formats
def test_who_reads_a_file_while_it_is_saved_reads_the_old_one(ending, tmp_path):
    path = tmp_path / f"model{ending}"
    nn.save(nn.Layer(2, 3), path)
    before = path.read_bytes()
    with open(path, "rb") as file:
        nn.save(nn.Layer(2, 3), path)
        assert file.read() == before
    assert path.read_bytes() != before


class Unsavable:
    def state_dict(self):
        return {"weights": np.ones(1000), "bias": np.array([object()])}


@formats
def test_an_error_while_saving_leaves_the_old_file_and_no_other(ending, tmp_path):
    path = tmp_path / f"model{ending}"
    nn.save(nn.Layer(2, 3), path)
    before = path.read_bytes()
    with pytest.raises(Exception):  # noqa: B017 (each library raises its own)
        nn.save(Unsavable(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_missing_safetensors_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    for use in (nn.save, nn.load):
        with pytest.raises(ImportError) as caught:
            use(nn.Layer(2, 3), path)
        command = re.search(r"pip install 'micrograd-tensor\[(\w+)\]'", str(caught.value))
        assert command, f"no pip command in {caught.value}"
    assert path.read_bytes() == b"old"
    project = Path(__file__).parent.parent / "pyproject.toml"
    assert f"\n{command[1]} = [" in project.read_text(), f"there is no extra {command[1]!r}"


# The door to PyTorch

TO_TORCH = {
    "MLP": ("MultiLayerPerceptron(5, [8, 8, 3])", (4, 5)),
    **{act: (f"Layer(5, 3, act={act!r})", (4, 5)) for act in nn.ACTIVATIONS},
    "Layer": ("Layer(5, 3)", (4, 5)),
    "functions": ("Sequential(Layer(5, 3), Tensor.relu, Layer(3, 2, act=Tensor.tanh))", (4, 5)),
    "convnet": (
        "Sequential(Conv2d(2, 4, 3, stride=(1, 2), padding=1), BatchNorm2d(4), Tensor.relu, "
        "MaxPool2d(3, stride=2, padding=1), Conv2d(4, 3, (2, 1), bias=False), "
        "AvgPool2d(2, stride=1, padding=1), Flatten(), Dropout(0.5), Layer(60, 3))",
        (4, 2, 9, 9),
    ),
    "embedding": (
        "Sequential(Embedding(7, 4), Flatten(), Layer(12, 8, 'gelu'), BatchNorm1d(8), "
        "LayerNorm(8), RMSNorm(8), Layer(8, 7))",
        np.array([[0, 6, 6], [1, 2, 3]]),
    ),
    "norms": (
        "Sequential(LayerNorm((2, 3), bias=False), RMSNorm(3, eps=0.1), "
        "LayerNorm(3, elementwise_affine=False), BatchNorm1d(2, affine=False))",
        (4, 2, 3),
    ),
}


@pytest.mark.parametrize("name", TO_TORCH)
def test_to_torch_gives_the_same_network(name):
    expression, kind = TO_TORCH[name]
    model, x = eval(expression, {**vars(nn)}).eval(), an_input(kind)
    rng = np.random.default_rng(18)
    model.load_state_dict({k: positive(rng, a.shape) for k, a in model.state_dict().items()})
    reference = nn.to_torch(model)
    assert isinstance(reference, torch.nn.Sequential) and not reference.training
    assert_same(model(x).data, reference(torch.tensor(x)), name, 1e-12)
    before = model.state_dict()
    with torch.no_grad():
        for p in reference.parameters():
            p += 1
    assert_same_states(model.state_dict(), before)


def test_to_torch_keeps_float32_and_the_training_mode():
    model = nn.MultiLayerPerceptron(3, [4, 2]).astype(np.float32)
    reference = nn.to_torch(model)
    assert reference.training
    assert {p.dtype for p in reference.parameters()} == {torch.float32}
    assert all(p.requires_grad for p in reference.parameters())
    x = np.ones((2, 3), np.float32)
    assert_same(model(x).data, reference(torch.tensor(x)), "float32", 1e-6)


def test_to_torch_keeps_what_is_shared_frozen_or_in_evaluation_mode():
    layer, norm = nn.Layer(3, 3, act="softplus"), nn.BatchNorm1d(3)
    layer.weights.requires_grad = layer.bias.requires_grad = False
    norm.eval()
    model = nn.Sequential(layer, norm, layer)
    reference = nn.to_torch(model)
    assert reference.training
    assert len(list(reference.parameters())) == 4
    assert [p.requires_grad for p in reference.parameters()] == [False, False, True, True]
    x = 30 * np.random.default_rng(0).normal(size=(5, 3))
    assert_same(model(x).data, reference(torch.tensor(x)), "output", 1e-12)


def test_to_torch_refuses_a_module_that_computes_something_else():
    class Residual(nn.Sequential):
        def __call__(self, x):
            return x + super().__call__(x)

    class Named(nn.Layer):
        pass

    assert len(nn.to_torch(Named(3, 3))) == 1
    with pytest.raises(TypeError, match="to_torch: Residual has a __call__ of its own"):
        nn.to_torch(nn.Sequential(Residual(nn.Layer(3, 3))))


def test_to_torch_names_the_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install"):
        nn.to_torch(nn.Layer(2, 2))


# The scalar micrograd's way of training


def test_the_training_loop_of_micrograd():
    """One example at a time, losses in a list, Python's sum, updates by hand."""
    rng = np.random.default_rng(19)
    inputs, labels = rng.normal(size=(20, 2)), rng.choice([-1, 1], 20)
    model = nn.MultiLayerPerceptron(2, [8, 1], rng=rng)
    w = [torch.tensor(p.data, requires_grad=True) for p in model.parameters()]

    for step in range(10):
        scores = list(map(model, [Tensor(x) for x in inputs]))
        losses = [(1 + -yi * si)[0].relu() for yi, si in zip(labels, scores)]
        data_loss = sum(losses) * (1.0 / len(losses))
        reg_loss = 1e-4 * sum((p * p).sum() for p in model.parameters())
        total_loss = data_loss + reg_loss
        model.zero_grad()
        total_loss.backward()
        learning_rate = 0.5 - 0.04 * step
        for p in model.parameters():
            p.data -= learning_rate * p.grad

        out = (torch.tensor(inputs) @ w[0] + w[1]).relu() @ w[2] + w[3]
        loss = (1 - torch.tensor(labels) * out[:, 0]).relu().mean()
        loss = loss + 1e-4 * sum((p * p).sum() for p in w)
        gradients = torch.autograd.grad(loss, w)
        with torch.no_grad():
            for p, g in zip(w, gradients):
                p -= learning_rate * g
        assert_same(total_loss.data, loss, f"loss {step}", 1e-12)

    for name, p, q in zip(model.named_parameters(), model.parameters(), w):
        assert_same(p.data, q, name, 1e-12)
    assert model.layers[0].weights.shape == (2, 8) and model.layers[0].bias.shape == (8,)


def test_max_margin_is_the_loss_of_that_loop():
    scores, labels = Tensor([[0.3], [-2.0], [1.5]]), np.array([1, 1, -1])
    losses = [(1 + -yi * si)[0].relu() for yi, si in zip(labels, scores)]
    by_hand = sum(losses) * (1.0 / len(losses))
    assert_same(nn.max_margin(scores[:, 0], labels).data, by_hand.data, "loss", 1e-15)
