"""PyTorch's names: what works, and what the error says to write."""

import copy
import operator
import pickle
import re

import numpy as np
import pytest
import torch.optim.swa_utils
from networks import NoCall, assert_refused
from table import assert_same

import micrograd
from micrograd import Tensor, names, nn, no_grad, optim

HERE = {
    "Tensor": (lambda: Tensor([[1.0]]), names.TENSOR),
    "NoCall": (NoCall, names.MODULE),
    "nn": (lambda: nn, names.NN),
    "init": (lambda: nn.init, names.INIT),
    "optim": (lambda: optim, names.OPTIM),
    "micrograd": (lambda: micrograd, names.MICROGRAD),
}
THEIRS = {
    "Tensor": [torch.Tensor],
    "NoCall": [torch.nn.Module],
    "nn": [torch.nn, torch.nn.functional],
    "init": [torch.nn.init],
    "optim": [torch.optim, torch.optim.lr_scheduler, torch.nn.utils],
    "micrograd": [torch],
}
ALL = [(owner, name) for owner, (_, table) in HERE.items() for name in table]


@pytest.mark.parametrize(("owner", "name"), ALL)
def test_a_name_of_pytorchs_that_is_not_here_says_what_is(owner, name):
    make, table = HERE[owner]
    with pytest.raises(AttributeError) as caught:
        getattr(make(), name)
    assert str(caught.value) == f"{owner} has no attribute {name!r}: here it is {table[name][1]}"


@pytest.mark.parametrize(("owner", "name"), [pair for pair in ALL if pair != ("NoCall", "weight")])
def test_pytorch_has_the_name(owner, name):
    assert any(hasattr(place, name) for place in THEIRS[owner])


F, LINE, IMAGE, ROWS = torch.nn.functional, (2, 3, 6), (2, 3, 4, 6), (4, 3)
FORMULAS = {  # PyTorch's, and what x and the others in our formula are
    "MaxPool1d": (torch.nn.MaxPool1d(2), {"x": LINE}),
    "AvgPool1d": (torch.nn.AvgPool1d(2), {"x": LINE}),
    "AdaptiveAvgPool1d": (lambda x: F.adaptive_avg_pool1d(x, 1)[..., 0], {"x": LINE}),
    "AdaptiveAvgPool2d": (lambda x: F.adaptive_avg_pool2d(x, 1)[..., 0, 0], {"x": IMAGE}),
    "AdaptiveMaxPool2d": (lambda x: F.adaptive_max_pool2d(x, 1)[..., 0, 0], {"x": IMAGE}),
    "InstanceNorm2d": (torch.nn.InstanceNorm2d(3), {"x": IMAGE}),
    "ZeroPad2d": (torch.nn.ZeroPad2d(1), {"x": IMAGE}),
    "ELU": (torch.nn.ELU(), {"x": ROWS}),
    "PReLU": (lambda x: F.prelu(x, torch.tensor([0.25]).double()), {"x": ROWS}),
    "ReLU6": (torch.nn.ReLU6(), {"x": ROWS}),
    "elu": (F.elu, {"x": ROWS}),
    "Hardtanh": (torch.nn.Hardtanh(), {"x": ROWS}),
    "Mish": (torch.nn.Mish(), {"x": ROWS}),
    "LogSigmoid": (torch.nn.LogSigmoid(), {"x": ROWS}),
    "CosineSimilarity": (torch.nn.CosineSimilarity(-1), {"x": ROWS, "y": ROWS}),
    "PairwiseDistance": (torch.nn.PairwiseDistance(eps=0), {"x": ROWS, "y": ROWS}),
    "SmoothL1Loss": (torch.nn.SmoothL1Loss(), {"output": ROWS, "target": ROWS}),
    "normalize": (lambda x: F.normalize(x, dim=-1), {"x": ROWS}),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2), {"x": IMAGE}),
    "scaled_dot_product_attention": (
        F.scaled_dot_product_attention, {"q": LINE, "k": (2, 4, 6), "v": (2, 4, 5)}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_what_the_error_says_to_write_is_the_same(name):
    theirs, shapes = FORMULAS[name]
    rng = np.random.default_rng(0)
    given = {key: Tensor(rng.normal(size=shape)) for key, shape in shapes.items()}
    formula = re.sub(r", (norm of|where of|a number|with a|a function).*", "", names.NN[name][1])
    others = {"a": Tensor(0.25), "k": 2, "channels": 3, "nn": nn, "np": np}
    ours = eval(formula, {**vars(micrograd), **others, **given})
    ours = ours(given["x"]) if isinstance(ours, nn.Module) else ours
    expected = theirs(*(torch.tensor(t.data) for t in given.values()))
    assert_same(ours.data if ours.ndim else np.array(ours.data), expected, name)


@pytest.mark.parametrize("owner", HERE)
def test_other_names_are_missing_as_ever(owner):
    x = HERE[owner][0]()
    assert not hasattr(x, "nonsense")
    assert_refused(lambda: x.nonsense, AttributeError, owner, "'nonsense'")


@pytest.mark.parametrize("module", ["nn", "optim", ""])
def test_an_import_says_so_too(module):
    name = {"nn": "functional", "optim": "lr_scheduler", "": "cat"}[module]
    place = f"micrograd.{module}".rstrip(".")
    with pytest.raises(ImportError, match="here it is"):
        exec(f"from {place} import {name}")
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec(f"from {place} import nonsense")


@pytest.mark.parametrize("name", names.ARGUMENTS)
def test_an_argument_of_pytorchs_is_refused_with_what_to_write(name):
    ours = names.ARGUMENTS[name][1]
    nothing = f": leave out {name}={ours[7:]}", f"unexpected keyword argument '{name}'"
    said = nothing if ours.startswith("nothing") else (f": instead of {name}= write {ours}",)
    for f in (Tensor.softmax, Tensor.argmax, nn.ReLU, nn.Dropout, nn.Flatten, optim.Adam):
        assert_refused(lambda f=f: f(Tensor([1.0]), **{name: 0}), TypeError, f.__name__, *said)


def test_all_arguments_of_pytorchs_are_explained_at_once():
    def call():
        Tensor([[1.0, 2.0]]).mean(dim=1, keepdim=True)

    assert_refused(call, TypeError, "mean", "write axis=;", "write keepdims=")


def test_other_arguments_and_the_errors_of_ones_own_classes_are_left_alone():
    class Head(nn.Module):
        def __init__(self, size):
            self.size = size

    for call in (lambda: Tensor([1.0]).sum(nonsense=1), lambda: Head(dim=1)):
        with pytest.raises(TypeError, match=r"argument '(nonsense|dim)'$"):
            call()


ERRORS = {
    "size()": (lambda: Tensor([1.0]).size(), TypeError, "t.shape"),
    "flatten(1)": (lambda: Tensor([[1.0]]).flatten(1), TypeError, "t.reshape(*t.shape[:1], -1)"),
    "size(0)": (lambda: Tensor([1.0]).size(0), TypeError, "t.shape[0]"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    assert_refused(*ERRORS[name])


def test_the_size_is_a_number_like_any_other():
    t = Tensor(np.ones((2, 3), np.float32))
    assert t.size == 6 and repr(t.size) == "6" and np.ones(t.size).shape == (6,)
    assert (t / t.size).dtype == np.float32 and (t.size * t).dtype == np.float32
    assert type(t.size * 2) is int


def test_a_graph_stays_for_another_backward():
    t = Tensor([1.0, 2.0])
    loss = (t * t).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert np.array_equal(t.grad, [4.0, 8.0])


def test_a_parameter_is_changed_in_place_under_no_grad_and_replaced_elsewhere():
    for step in (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow):
        for data in (2.0, [1.0, 2.0]):
            p, q = Tensor(data), torch.tensor(data, requires_grad=True, dtype=torch.float64)
            with no_grad(), torch.no_grad():
                assert step(p, 0.5) is p
                assert step(q, 0.5) is q
            assert_same(p.data, q.detach(), f"{step.__name__} of {data}")
            result = step(p, 0.5)
            assert result is not p and result.op, step
            assert_same(p.data, q.detach(), f"{step.__name__} of {data}, while it is recorded")


def test_a_frozen_copy_follows_a_model_in_place():
    model = nn.Linear(3, 2)
    average = copy.deepcopy(model)
    for p, q in zip(average.parameters(), model.parameters()):
        p.requires_grad = False
        q.data += 1.0
    pairs = [*zip(average.parameters(), model.parameters())]
    expected = [0.9 * p.data + 0.1 * q.data for p, q in pairs]
    with no_grad():
        for p, q in zip(average.parameters(), model.parameters()):
            p *= 0.9
            p += 0.1 * q
    for p, array in zip(average.parameters(), expected):
        np.testing.assert_allclose(p.data, array, rtol=1e-15)


def test_in_place_the_shape_and_dtype_stay():
    p = Tensor(np.ones(2, np.float32))
    with no_grad():
        p -= np.full(2, 0.25)
        assert p.dtype == np.float32 and np.array_equal(p.data, [0.75, 0.75])
        with pytest.raises(ValueError, match=r"-= in place: \(2,\) would become \(3, 2\)"):
            p -= np.ones((3, 2))
        with pytest.raises(TypeError, match="-"):
            p -= "a"
    assert np.array_equal(p.data, [0.75, 0.75])


def test_results_are_replaced_under_no_grad_as_well():
    w = Tensor([1.0, 2.0])
    with no_grad():
        y = before = w * 2
        y += 1
    assert y is not before and np.array_equal(before.data, [2.0, 4.0])


def test_an_update_between_forward_and_backward_is_seen():
    p = Tensor([1.0, 2.0])
    loss = (p * p).sum()
    with no_grad():
        p -= 0.5
    assert_refused(loss.backward, RuntimeError, "a leaf was written to in place")


def test_a_weight_of_pytorchs_cannot_be_tied_to_a_name_that_nothing_reads():
    layer = nn.Linear(4, 3)

    def tie():
        layer.weight = nn.Embedding(3, 4).weight

    assert_refused(tie, AttributeError, "Linear has no attribute 'weight': here it is weights")
    assert [name for name, _ in layer.named_parameters()] == ["weights", "bias"]


MISTAKES = {
    "axes": (lambda: Tensor(np.ones((2, 3, 4))).transpose(0, 1), ValueError, "swapaxes(0, 1)"),
    "a list of layers": (lambda: nn.Sequential([nn.ReLU()]), TypeError, "Sequential(*layers)"),
    "a mask": (
        lambda: nn.MultiHeadAttention(4, 2)(np.ones((2, 3, 4)), mask=np.ones((2, 5), bool)),
        ValueError, "a mask (2, 5) for scores (2, 2, 3, 3)"),
    "a mask by its name": (
        lambda: nn.MultiHeadAttention(4, 2)(np.ones((2, 3, 4)), attn_mask=None),
        TypeError, "instead of attn_mask= write mask="),
    "batches": (lambda: nn.batches([1.0], batch_size=1), TypeError, "write size="),
    "a dict of layers": (
        lambda: nn.Sequential({"a": nn.ReLU()}), TypeError, "Sequential(*d.values()), got dict"),
    "expand_dims": (
        lambda: Tensor([1.0]).expand_dims(dim=0), TypeError, "instead of dim= write axis="),
    "in place": (
        lambda: nn.Dropout(0.5, inplace=True), TypeError, "leave out inplace=: a result is"),
    "classes": (
        lambda: nn.cross_entropy(Tensor([[1.0, 2.0]]), Tensor([1])), TypeError, "np.array([0, 2])"),
    "rows": (lambda: nn.Embedding(3, 4)(Tensor([1])), TypeError, "np.array([0, 2])"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_what_pytorchs_users_write_is_refused_with_what_to_write(name):
    assert_refused(*MISTAKES[name])


def test_a_sequential_has_layers_by_number():
    assert len(nn.Sequential()) == 0
    layers = [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)]
    model = nn.Sequential(*layers)
    assert [*pickle.loads(pickle.dumps(model)).state_dict()] == [*model.state_dict()]
    assert [*model[1:].state_dict()] == ["layers.1.weights", "layers.1.bias"]
    assert len(model) == 3 and [*model] == layers and model[-1] is layers[-1]
    assert isinstance(model[:2], nn.Sequential) and [*model[:2]] == layers[:2]
