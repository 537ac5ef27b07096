"""Recurrent layers and attention against PyTorch."""

import copy
import pickle

import numpy as np
import pytest
import torch
from networks import assert_refused, of
from table import assert_same, compare
from torch.func import functional_call

from micrograd import Tensor, jit, nn

MODELS = {
    "GRU": lambda n: n.GRU(3, 4, batch_first=True) if n is torch.nn else n.GRU(3, 4),
    "GRU of two layers": lambda n: n.GRU(3, 4, 2, True, **first(n)),
    "GRU without bias": lambda n: n.GRU(3, 4, 1, False, **first(n)),
    "LSTM": lambda n: n.LSTM(3, 4, 1, True, **first(n)),
    "LSTM of two layers": lambda n: n.LSTM(3, 4, 2, True, **first(n)),
    "LSTM without bias": lambda n: n.LSTM(3, 4, 1, False, **first(n)),
    "GRU both ways": lambda n: n.GRU(3, 4, 1, True, True, 0.0, True),
    "LSTM of two layers both ways": lambda n: n.LSTM(3, 4, 2, True, True, 0.0, True),
    "LSTM both ways without bias": lambda n: n.LSTM(3, 4, 1, False, True, 0.0, True),
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
    shape = ((2 if "two" in name else 1) * (2 if "both" in name else 1), 2, 4)
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


@pytest.mark.parametrize("name", [name for name in MODELS if "both" not in name])
def test_a_state_goes_on_where_a_sequence_was_cut(name):
    model, _ = in_both(name)
    x = np.random.default_rng(2).normal(size=(2, 6, 3))
    whole, end = model(x)
    begun, state = model(x[:, :4])
    rest, end_of_rest = model(x[:, 4:], state)
    assert_same(np.concatenate([begun, rest], axis=1).data, whole.data, "outputs", 1e-14)
    for a, b in zip(flat([end]), flat([end_of_rest])):
        assert_same(a.data, b.data, "state", 1e-14)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
def test_dropout_between_layers(kind, both):
    """In training the second layer sees what is left of the first one's outputs, and no more."""
    options = {"dropout": 0.4, "bidirectional": both}
    model = getattr(nn, kind)(3, 4, 2, **options, rng=np.random.default_rng(5))
    below = getattr(nn, kind)(3, 4, bidirectional=both)
    above = getattr(nn, kind)(8 if both else 4, 4, bidirectional=both)
    for name, p in model.named_parameters():
        setattr(above if "l1" in name else below, name.replace("l1", "l0"), p)
    x = np.random.default_rng(6).normal(size=(2, 5, 3))
    between = below(x)[0]
    model.rng = np.random.default_rng(7)
    keep = np.random.default_rng(7).random(between.shape) >= 0.4
    assert 0 < keep.mean() < 1
    assert_same(model(x)[0].data, above(between * keep / 0.6)[0].data, "training", 1e-14)
    theirs = nn.to_torch(model.eval())
    assert_same(model(x)[0].data, theirs(torch.tensor(x))[0], "evaluation", 1e-12)
    again = nn.from_torch(theirs).layers[0]
    assert repr(again) == repr(model) and "dropout=0.4" in repr(model) and not again.training


def test_dropout_beside_a_single_layer_warns():
    with pytest.warns(UserWarning, match="GRU: dropout is between layers"):
        nn.GRU(3, 4, dropout=0.1)


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


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_attention_weights_and_their_dropout(average, training, monkeypatch):
    """PyTorch's weights, dropped where NumPy says so; and their gradients."""
    reference = torch.nn.MultiheadAttention(6, 2, 0.4, batch_first=True).double().train(training)
    model = nn.from_torch(reference)
    assert model.dropout == 0.4 and nn.to_torch(model)[0].dropout == 0.4

    def dropout(weights, p):
        keep = np.random.default_rng(8).random((2, 2, 4, 5)).reshape(weights.shape) >= p
        return weights * torch.tensor(keep) / (1 - p)

    monkeypatch.setattr(torch.nn.functional, "dropout", dropout)
    rng = np.random.default_rng(3)
    x = [rng.normal(size=shape) for shape in ((2, 4, 6), (2, 5, 6), (2, 5, 6))]
    for part in (0, 1):

        def ours(*x, part=part):
            model.rng = np.random.default_rng(8)
            return model(*x, need_weights=True, average_attn_weights=average)[part]

        def theirs(*x, part=part):
            return reference(*x, average_attn_weights=average)[part]

        compare(ours, theirs, x, f"part {part}", rng)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("make", "of_result"),
    [
        (lambda: nn.LSTM(4, 3, 2, dropout=0.3, bidirectional=True), lambda y: y[0] + y[1][1].sum()),
        (lambda: nn.GRU(4, 3, 2, False, dropout=0.3), lambda y: y[0] * y[1].sum()),
        (lambda: nn.MultiHeadAttention(4, 2, 0.3), lambda y: y),
        (lambda: nn.MultiHeadAttention(4, 2, 0.3), None),
    ],
    ids=["LSTM", "GRU", "attention", "attention weights"],
)
def test_jit_of_a_layer(make, of_result, training):
    """The numbers of the layer itself, with what is dropped drawn anew at every call."""
    model, x = make().train(training), Tensor(np.random.default_rng(9).normal(size=(2, 5, 4)))

    def plain(x):
        if of_result is None:
            y, weights = model(x, causal=True, need_weights=True)
            return y.sum() + (weights * weights).sum()
        return of_result(model(x))

    results = []
    for f in (plain, jit(plain)):
        model.rng = np.random.default_rng(10)
        runs = []
        for _ in range(3):
            model.zero_grad()
            x.grad = None
            y = f(x)
            y.backward()
            runs.append([y.data, x.grad, *(p.grad for p in model.parameters())])
        results.append(runs)
        assert training == (not np.array_equal(runs[0][0], runs[1][0]))
    for i, (ours, expected) in enumerate(zip(*results)):
        for a, b in zip(ours, expected, strict=True):
            assert_same(b, a, f"call {i}", 0)


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
        lambda: nn.from_torch(torch.nn.Conv2d(2, 3, 2, padding="same")),
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
        lambda: nn.from_torch(torch.nn.LSTM(3, 4, batch_first=True, proj_size=2)),
        TypeError, "proj_size=2"),
    "GRU of half a state": (
        lambda: nn.GRU(3, 4, 2, bidirectional=True)(of(2, 5, 3), of(2, 2, 4)),
        ValueError, "GRU", "(4, 2, 4)", "(2, 2, 4)"),
    "LSTM's unknown option": (lambda: nn.LSTM(3, 4, size=2), TypeError, "LSTM.__init__()", "size"),
    "LSTM's dropout": (lambda: nn.LSTM(3, 4, 2, dropout=2), ValueError, "LSTM: dropout", "2"),
    "attention's dropout": (
        lambda: nn.MultiHeadAttention(4, 2, dropout=-1), ValueError, "Attention: dropout", "-1"),
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
