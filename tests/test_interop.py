"""The door to PyTorch."""

import sys

import numpy as np
import pytest
import torch
from networks import NoCall, an_input, assert_refused, assert_same_states, positive
from table import assert_same

from micrograd import Tensor, nn

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


class Scaled(nn.Module):
    """A module that brings its own counterpart: a frozen scale around another module."""

    def __init__(self, inner):
        self.scale, self.inner = Tensor([[2.0]], requires_grad=False), inner

    def __call__(self, x):
        return self.inner(x * self.scale)

    def torch_modules(self, door):
        linear = door.filled(door.nn.Linear(1, 1, bias=False), weight=self.scale)
        return [door.nn.Sequential(linear, *door.convert(self.inner))]


def test_to_torch_takes_a_module_with_a_counterpart_of_its_own():
    model = nn.Sequential(Scaled(nn.Sequential(nn.Layer(1, 3, "tanh"), nn.BatchNorm1d(3))))
    model.layers[0].inner.layers[1].eval()
    reference = nn.to_torch(model)
    flags = {type(m).__name__: m.training for m in reference[0].modules()}
    assert flags == {
        "Sequential": True, "Linear": True, "Tanh": True, "BatchNorm1d": False,
    }  # fmt: skip
    assert [p.requires_grad for p in reference.parameters()] == [False] + [True] * 4
    x = np.random.default_rng(0).normal(size=(5, 1))
    assert_same(model(x).data, reference(torch.tensor(x)), "output", 1e-12)


@pytest.mark.parametrize("base", [nn.BatchNorm1d, nn.MaxPool2d, nn.MultiLayerPerceptron])
def test_to_torch_takes_a_subclass_that_computes_the_same(base):
    class Same(base):
        pass

    class Other(base):
        def __call__(self, x):
            return super().__call__(x) * 2

    arguments = (2, [3, 1]) if base is nn.MultiLayerPerceptron else (2,)
    same, other = nn.to_torch(base(*arguments)), nn.to_torch(Same(*arguments))
    assert [type(m) for m in same.modules()] == [type(m) for m in other.modules()]
    with pytest.raises(TypeError, match="to_torch: Other has a __call__ of its own"):
        nn.to_torch(Other(*arguments))


def test_to_torch_names_the_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install"):
        nn.to_torch(nn.Layer(2, 2))


# Errors: what was given, what it should say

ERRORS = {
    "to_torch of a function": (
        lambda: nn.to_torch(nn.Layer(2, 2, act=lambda x: x)), TypeError, "to_torch", "<lambda>"),
    "to_torch of an unknown operation": (
        lambda: nn.to_torch(nn.Sequential(nn.Layer(2, 2), Tensor.exp)),
        TypeError, "to_torch", "exp"),
    "to_torch of a user's Module": (lambda: nn.to_torch(NoCall()), TypeError, "to_torch", "NoCall"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    assert_refused(*ERRORS[name])
