"""Recurrent layers and attention against PyTorch."""

import copy
import pickle

import numpy as np
import pytest
import torch
from networks import assert_refused, of
from table import assert_same, compare
from torch.func import functional_call

from micrograd import Tensor, nn

MODELS = {
    "GRU": lambda n: n.GRU(3, 4, batch_first=True) if n is torch.nn else n.GRU(3, 4),
    "GRU of two layers": lambda n: n.GRU(3, 4, 2, True, **first(n)),
    "GRU without bias": lambda n: n.GRU(3, 4, 1, False, **first(n)),
    "LSTM": lambda n: n.LSTM(3, 4, 1, True, **first(n)),
    "LSTM of two layers": lambda n: n.LSTM(3, 4, 2, True, **first(n)),
    "LSTM without bias": lambda n: n.LSTM(3, 4, 1, False, **first(n)),
}
models = pytest.mark.parametrize("name", MODELS)


def first(n):
    return {"batch_first": True} if n is torch.nn else {}


def flat(y):
    """All that a recurrent layer gives, as a list."""
    return [part for item in y for part in (item if isinstance(item, tuple) else [item])]


def in_both(name, dtype=np.float64):
    reference = MODELS[name](torch.nn).to(torch.float32 if dtype == np.float32 else torch.float64)
    model = MODELS[name](nn).astype(dtype)
    assert list(model.state_dict()) == list(reference.state_dict())
    model.load_state_dict({k: v.numpy() for k, v in reference.state_dict().items()})
    return model, reference


def states(name, rng):
    shape = (2 if "two" in name else 1, 2, 4)
    return [rng.normal(size=shape) for _ in range(2 if "LSTM" in name else 1)]


@models
@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_recurrent_layer(name, which):
    """Values, gradients and second gradients of input, state and parameters."""
    model, reference = in_both(name)
    rng = np.random.default_rng(0)
    names = list(model.state_dict())
    start = states(name, rng)
    n = 1 + len(start)

    def run(call, x, state):
        return flat(call(x, tuple(state) if len(state) > 1 else state[0]))[which]

    def ours(x, *others):
        for key, p in zip(names, others[n - 1 :]):
            setattr(model, key, p)
        return run(model, x, others[: n - 1])

    def theirs(x, *others):
        parameters = dict(zip(names, others[n - 1 :]))
        return run(lambda *a: functional_call(reference, parameters, a), x, others[: n - 1])

    operands = [rng.normal(size=(2, 3, 3)), *start, *(p.data for p in model.parameters())]
    with torch.backends.mkldnn.flags(enabled=False):
        compare(ours, theirs, operands, name, rng)


@models
def test_a_recurrent_layer_in_float32_copied_and_across_the_door(name):
    model, reference = in_both(name, np.float32)
    x = np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
    expected = flat(reference(torch.tensor(x)))
    for twin in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)),
                 nn.from_torch(nn.to_torch(model)).layers[0]):  # fmt: skip
        for y, y_theirs in zip(flat(twin(x)), expected, strict=True):
            assert_same(y.data, y_theirs, name, 1e-5)
        assert repr(twin) == repr(model)


@models
def test_a_state_goes_on_where_a_sequence_was_cut(name):
    model, _ = in_both(name)
    x = np.random.default_rng(2).normal(size=(2, 6, 3))
    whole, end = model(x)
    begun, state = model(x[:, :4])
    rest, end_of_rest = model(x[:, 4:], state)
    assert_same(np.concatenate([begun, rest], axis=1).data, whole.data, "outputs", 1e-14)
    for a, b in zip(flat([end]), flat([end_of_rest])):
        assert_same(a.data, b.data, "state", 1e-14)


ATTENTION = ["self", "cross", "causal", "mask", "causal and mask", "no bias"]


def attention(case, dtype=np.float64):
    theirs = torch.nn.MultiheadAttention(6, 2, bias=case != "no bias", batch_first=True)
    theirs.to(torch.float32 if dtype == np.float32 else torch.float64)
    for p in theirs.parameters():
        torch.nn.init.normal_(p)
    ours = nn.from_torch(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("case", ATTENTION)
def test_attention(case):
    model, reference = attention(case)
    rng = np.random.default_rng(3)
    t, s = 4, 5 if case == "cross" else 4
    x = [rng.normal(size=(2, t, 6)), rng.normal(size=(2, s, 6)), rng.normal(size=(2, s, 6))]
    mask = rng.random((t, s)) < 0.6 if "mask" in case else np.ones((t, s), bool)
    np.fill_diagonal(mask, True)
    options = {"mask": mask} if "mask" in case else {}
    seen = mask
    if "causal" in case:
        options["causal"], seen = True, mask & np.tri(t, dtype=bool)
    names = list(model.state_dict())

    def ours(*operands):
        parameters = dict(zip(names, operands[3:]))
        model.in_proj_weight = parameters["in_proj_weight"]
        model.in_proj_bias = parameters.get("in_proj_bias")
        for key in model.out_proj:
            model.out_proj[key] = parameters[f"out_proj.{key}"]
        return model(*operands[:3], **options)

    def theirs(*operands):
        return functional_call(
            reference, dict(zip(names, operands[3:])), operands[:3],
            {"attn_mask": torch.tensor(~seen), "need_weights": True},
        )[0]  # fmt: skip

    compare(ours, theirs, [*x, *model.state_dict().values()], case, rng)


def test_attention_in_float32_and_across_the_door():
    model, reference = attention("self", np.float32)
    x = np.random.default_rng(4).normal(size=(2, 4, 6)).astype(np.float32)
    y = reference(*[torch.tensor(x)] * 3)[0]
    for twin in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)),
                 nn.from_torch(nn.to_torch(model)).layers[0]):  # fmt: skip
        assert_same(twin(x).data, y, "output", 1e-5)
        assert repr(twin) == "MultiHeadAttention(6, 2)"


ERRORS = {
    "LSTM of 2 axes": (lambda: nn.LSTM(3, 4)(of(5, 3)), ValueError, "LSTM", "(5, 3)", "time, 3"),
    "LSTM of one state": (
        lambda: nn.LSTM(3, 4)(of(2, 5, 3), of(1, 2, 4)), ValueError, "LSTM", "(h, c)"),
    "GRU of a wrong state": (
        lambda: nn.GRU(3, 4)(of(2, 5, 3), of(2, 4)), ValueError, "GRU", "(1, 2, 4)", "(2, 4)"),
    "GRU of no layers": (lambda: nn.GRU(3, 4, 0), ValueError, "GRU: num_layers", "got 0"),
    "LSTM of half an input": (lambda: nn.LSTM(2.5, 3), TypeError, "LSTM: input_size", "2.5"),
    "from_torch of a padding by name": (
        lambda: nn.from_torch(torch.nn.Conv2d(2, 3, 3, padding="same")),
        TypeError, "from_torch: Conv2d: padding", "'same'"),
    "heads": (lambda: nn.MultiHeadAttention(6, 4), ValueError, "4 heads", "6"),
    "attention width": (
        lambda: nn.MultiHeadAttention(6, 2)(of(2, 3, 4)), ValueError, "time, 6", "(2, 3, 4)"),
    "a mask of three axes": (
        lambda: nn.MultiHeadAttention(6, 2)(of(2, 3, 6), mask=np.ones((2, 3, 3), bool)),
        ValueError, "MultiHeadAttention: expected a mask (t, s)", "(2, 3, 3)",
    ),
    "GRU with time first": (
        lambda: nn.GRU(3, 4, batch_first=False), ValueError, "GRU: the batch is always first"),
    "attention mask": (
        lambda: nn.MultiHeadAttention(6, 2)(of(2, 3, 6), mask=np.ones((3, 3))),
        TypeError, "bools", "float64"),
    "from_torch of what isn't here": (
        lambda: nn.from_torch(torch.nn.Bilinear(2, 2, 2)), TypeError, "from_torch", "Bilinear"),
    "from_torch of an option that isn't here": (
        lambda: nn.from_torch(torch.nn.LSTM(3, 4, batch_first=True, bidirectional=True)),
        TypeError, "bidirectional=True"),
    "from_torch of time first": (
        lambda: nn.from_torch(torch.nn.GRU(3, 4)), TypeError, "batch_first=False"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    assert_refused(*ERRORS[name])


def test_from_torch_keeps_what_is_shared_frozen_or_in_evaluation_mode():
    layer = torch.nn.Linear(3, 3)
    layer.weight.requires_grad_(False)
    ours = nn.from_torch(torch.nn.Sequential(layer, torch.nn.ReLU().eval(), layer))
    assert ours.layers[0] is ours.layers[2] and ours.training and not ours.layers[1].training
    assert [p.requires_grad for p in ours.parameters()] == [False, True]
    assert ours.layers[0].weights.dtype == np.float32
    assert isinstance(ours(Tensor(np.ones((1, 3), np.float32))), Tensor)
