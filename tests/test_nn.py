"""The fully connected layer and networks of it; and the old ways of using them."""

# ruff: noqa: NPY002 (that NumPy's global state decides the draws is what some tests are about)

import copy
import pickle

import numpy as np
import pytest
import torch
from networks import assert_refused, of
from table import assert_same

from micrograd import Tensor, nn, no_grad
from micrograd.optim import Adam

REPRS = {
    "Layer(4, 16, act='relu')": "Layer(16, act=relu)",
    "Layer(4, 1)": "Layer(1, act=None)",
    "Layer(4, 1, act=Tensor.tanh)": "Layer(1, act=tanh)",
    "MultiLayerPerceptron(2, [16, 1])": "MLP of [Layer(16, act=relu), Layer(1, act=None)]",
    "Sequential(Layer(2, 3), Tensor.relu, Flatten())":
        "Sequential of [Layer(3, act=None), relu, Flatten()]",
}  # fmt: skip


@pytest.mark.parametrize("expression", REPRS)
def test_repr(expression):
    assert repr(eval(expression, {**vars(nn)})) == REPRS[expression]


BOUNDS = {"torch": (1 / 3) ** 0.5, "uniform": 1, "glorot": (2 / 7) ** 0.5, "xavier": (6 / 7) ** 0.5}


@pytest.mark.parametrize("init", [*BOUNDS, "he"])
def test_initial_weights_of_a_layer(init):
    """The draw itself is the contract: a seed gives the same network in every version."""

    def expected(random):
        if init == "he":
            return random.normal(0, (2 / 3) ** 0.5, (3, 4)), np.zeros(4)
        weights = random.uniform(-BOUNDS[init], BOUNDS[init], (3, 4))
        bound = BOUNDS[init] if init == "torch" else 0
        return weights, random.uniform(-bound, bound, 4)

    def assert_drawn(layer, random):
        for p, array in zip((layer.weights, layer.bias), expected(random)):
            assert_same(p.data, array, f"init={init}", 1e-15)

    np.random.seed(11)
    layer = nn.Layer(3, 4, init=init)
    np.random.seed(11)
    assert_drawn(layer, np.random)
    state = np.random.get_state()[1].copy()
    layer = nn.Layer(3, 4, init=init, rng=np.random.default_rng(12))
    assert np.array_equal(np.random.get_state()[1], state), "NumPy's global state was used"
    assert_drawn(layer, np.random.default_rng(12))


def test_the_default_rule_is_that_of_pytorch():
    layer, reference = nn.Layer(400, 300, rng=np.random.default_rng(0)), torch.nn.Linear(400, 300)
    for ours, theirs in ((layer.weights, reference.weight), (layer.bias, reference.bias)):
        assert np.abs(ours.data).max() <= 0.05
        assert abs(ours.data.std() / theirs.std().item() - 1) < 0.1


@pytest.mark.parametrize("shape", [(3, 3), (5, 2), (2, 3, 2), (1, 4)])
def test_orthogonal_weights_are_orthogonal(shape):
    t = Tensor(np.zeros(shape, np.float32))
    assert nn.init.orthogonal(t, np.random.default_rng(0), gain=2.0) is t
    matrix = t.data.reshape(len(t), -1)
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    expected = 4 * np.eye(matrix.shape[1], dtype=np.float32)
    assert_same(matrix.T @ matrix, expected, "q^T q", 1e-5)


@pytest.mark.parametrize("name", nn.init.INITIALIZERS)
def test_an_initializer_draws_for_a_tensor_what_a_layer_draws(name):
    t = Tensor(np.zeros((3, 4)))
    f = nn.init.INITIALIZERS[name]
    assert f(t, np.random.default_rng(0)) is t
    layer = nn.Layer(3, 4, init=name, rng=np.random.default_rng(0))
    assert_same(t.data, layer.weights.data, name, 0)
    t = Tensor(np.zeros((4, 3, 2, 2)))  # as of a convolution
    f(t, np.random.default_rng(0))
    conv = nn.Conv2d(3, 4, 2, init=name, rng=np.random.default_rng(0))
    assert_same(t.data, conv.weight.data, name, 0)


def test_a_wide_network_starts_at_the_loss_of_chance():
    x, y = np.random.default_rng(0).uniform(size=(64, 784)), np.arange(64) % 10
    model = nn.MultiLayerPerceptron(784, [256, 256, 10], rng=np.random.default_rng(1))
    assert abs(nn.cross_entropy(model(x), y).item() - np.log(10)) < 0.1


def test_a_layer_without_bias():
    layer = nn.Layer(3, 2, bias=False)
    assert [name for name, _ in layer.state_dict().items()] == ["weights"]
    x = np.ones((4, 3))
    assert_same(layer(x).data, x @ layer.weights.data, "x @ weights", 0)


def test_initial_weights_of_a_network_are_drawn_layer_by_layer():
    np.random.seed(1337)
    model = nn.MultiLayerPerceptron(2, [16, 16, 1], init="glorot")
    np.random.seed(1337)
    for layer, shape in zip(model.layers, [(2, 16), (16, 16), (16, 1)], strict=True):
        s = np.sqrt(2 / sum(shape))
        assert_same(layer.weights.data, np.random.uniform(-s, s, shape), str(shape), 1e-15)


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

    for (name, p), q in zip(model.named_parameters(), w):
        assert_same(p.data, q, name, 1e-12)
    assert model.layers[0].weights.shape == (2, 8) and model.layers[0].bias.shape == (8,)


def test_max_margin_is_the_loss_of_that_loop():
    scores, labels = Tensor([[0.3], [-2.0], [1.5]]), np.array([1, 1, -1])
    losses = [(1 + -yi * si)[0].relu() for yi, si in zip(labels, scores)]
    by_hand = sum(losses) * (1.0 / len(losses))
    assert_same(nn.max_margin(scores[:, 0], labels).data, by_hand.data, "loss", 1e-15)


# Errors: what was given, what it should say

ERRORS = {
    "Linear with an activation": (
        lambda: nn.Linear(3, 2, act="relu"), TypeError, "Layer(3, 2, 'relu') has one"),
    "Layer of a wrong width": (
        lambda: nn.Layer(3, 2)(of(4, 5)), ValueError, "Layer", "(..., 3)", "(4, 5)", "(3, 2)"),
    "Layer of a number": (lambda: nn.Layer(1, 2)(of()), ValueError, "Layer", "()", "(1, 2)"),
    "Layer without bias of a wrong width": (
        lambda: nn.Layer(3, 2, bias=False)(np.ones(5)), ValueError, "Layer", "(..., 3)", "(5,)"),
    "Layer of a list": (lambda: nn.Layer(2, 2)([1.0, 2.0]), TypeError, "linear", "list"),
    "Layer act": (lambda: nn.Layer(3, 2, act="Relu"), ValueError, "act", "'Relu'", "leaky_relu"),
    "Layer act of a wrong type": (lambda: nn.Layer(3, 2, act=3), TypeError, "act", "int"),
    "Layer init": (
        lambda: nn.Layer(3, 2, init="zero"), ValueError, "'zero'", *nn.init.INITIALIZERS),
    "Layer init None": (lambda: nn.Layer(3, 2, init=None), ValueError, "None", "torch"),
    "an initializer of a bias": (
        lambda: nn.init.he(of(3)), ValueError, "init.he", "(3,)", "fans=(inputs, outputs)"),
    "an initializer of a result": (
        lambda: nn.init.uniform(of(3) * 2), TypeError, "init.uniform", "result"),
    "orthogonal of a bias": (lambda: nn.init.orthogonal(of(3)), ValueError, "orthogonal", "(3,)"),
    "MLP act": (lambda: nn.MultiLayerPerceptron(3, [4, 2], act="x"), ValueError, "act", "'x'"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    assert_refused(*ERRORS[name])
