"""`Jit.save`: files that give the same bits where there is NumPy and no micrograd."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from networks import rng

from micrograd import Tensor, effect, jit, nn, no_grad, optim
from micrograd.interop import from_torch
from micrograd.jit import JitError

ALONE = """
import importlib, json, sys
sys.modules["micrograd"] = None  # to import it is an error
sys.path.insert(0, sys.argv[1])
import numpy as np
given = dict(np.load(sys.argv[1] + "/given.npz"))
results = {}
for name in json.loads(sys.argv[2]):
    function = getattr(importlib.import_module(name), name)
    results[name] = function(given[name])
generator = np.random.default_rng(5)
context, drawn = np.zeros((1, 8), int), []
for i in range(7):
    p = np.exp(importlib.import_module("gpt").gpt(context)[0, i])
    context[0, i + 1] = generator.choice(len(p), p=p / p.sum())
np.savez(sys.argv[1] + "/results.npz", sampled=context, **results)
assert not [m for m in sys.modules if m.startswith("micrograd.")]
"""


class GPT(nn.Module):
    def __init__(self):
        r = rng()
        self.tokens, self.places = nn.Embedding(27, 16, r), nn.Embedding(8, 16, r)
        self.norm, self.drop = nn.LayerNorm(16), nn.Dropout(0.1)
        self.attention = nn.MultiHeadAttention(16, 4)
        self.head = nn.Layer(16, 27, rng=r)

    def __call__(self, x):
        x = self.tokens(x) + self.places(np.arange(x.shape[-1]))
        return self.head(self.drop(x + self.attention(self.norm(x), causal=True)))


def read(path):
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_networks_predict_the_same_bits_without_micrograd(tmp_path):
    r = rng()
    mnist = nn.MultiLayerPerceptron(784, [128, 64, 10], rng=r).astype(np.float32)
    convnet = nn.Sequential(
        nn.Conv2d(1, 4, 3), Tensor.relu, nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.Dropout(0.5),
        nn.Flatten(), nn.Layer(4 * 13 * 13, 10),
    ).eval()  # fmt: skip
    transformer = GPT().eval()
    given = {
        "mnist": r.random((5, 784)).astype(np.float32),
        "convnet": r.random((3, 1, 28, 28)),
        "gpt": r.integers(0, 27, (1, 8)),
    }

    def mnist_of(x):
        return mnist(x).log_softmax(-1)

    expected = {}
    for name, function in (("mnist", mnist_of), ("convnet", convnet), ("gpt", transformer)):

        def predict(x, function=function):
            return function(x)

        predict.__name__ = name
        predict = jit(predict)
        with no_grad():
            expected[name] = predict(given[name]).data
        predict.save(tmp_path / f"{name}.py")
    generator = np.random.default_rng(5)
    context = np.zeros((1, 8), int)
    for i in range(7):
        p = np.exp(transformer(context).data[0, i])
        context[0, i + 1] = generator.choice(len(p), p=p / p.sum())
    np.savez(tmp_path / "given.npz", **given)
    subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path), json.dumps([*given])], check=True, timeout=120
    )
    results = np.load(tmp_path / "results.npz")
    for name, y in expected.items():
        assert results[name].dtype == y.dtype and results[name].tobytes() == y.tobytes(), name
    assert results["sampled"].tolist() == context.tolist()


@pytest.mark.parametrize("loss", ["cross_entropy", "nll", "max_margin"])
def test_a_step_of_training_is_that_of_micrograd(loss, tmp_path):
    r = rng()
    model = nn.Sequential(nn.Layer(6, 5, act=Tensor.tanh), nn.BatchNorm1d(5), nn.Layer(5, 3))
    x, y = r.normal(size=(8, 6)), r.integers(0, 3, 8)

    @jit
    def loss_of(x, y):
        scores = model(x)
        scores = scores.log_softmax(-1) if loss == "nll" else scores
        penalty = sum((p**2).sum() for p in model.parameters())
        return getattr(nn, loss)(scores, y) + 1e-3 * penalty

    loss_of(x, y)
    loss_of.save(tmp_path / "step.py")
    there = read(tmp_path / "step.py")
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for i in range(3):
        optimizer.zero_grad()
        value = loss_of(x, y)
        value.backward()
        optimizer.step()
        result, gradients = there.loss_of(x, y)
        assert result.tobytes() == value.data.tobytes(), f"step {i}"
        for name, p in model.named_parameters():
            assert gradients[name].tobytes() == p.grad.tobytes(), f"{name} in step {i}"
            there.arrays[name] -= 0.1 * gradients[name]
    for name, buffer in model.state_dict().items():
        assert there.arrays[name].tobytes() == buffer.tobytes(), name
    with pytest.raises((IndexError, ValueError), match="expected integers from 0 to 2"):
        there.loss_of(x, y + 1)


def test_a_lambda_gets_the_name_of_its_file(tmp_path):
    doubled = jit(lambda x: Tensor(2.0) * x)
    doubled(np.ones(3))
    doubled.save(tmp_path / "by-two.py")
    assert read(tmp_path / "by-two.py").by_two(np.ones(3)).tolist() == [2, 2, 2]


def test_draws_go_on_where_the_generator_stood(tmp_path):
    model = nn.Dropout(0.5, rng=np.random.default_rng(3))

    @jit
    def thinned(x):
        return model(x)

    with no_grad():
        thinned(np.ones(20))
        thinned.save(tmp_path / "thinned.py")
        there = read(tmp_path / "thinned.py")
        for _ in range(3):
            assert there.thinned(np.ones(20)).tolist() == thinned(np.ones(20)).data.tolist()


def test_arguments_results_and_what_the_function_closes_over(tmp_path):
    r = rng()
    table, small, scale = r.normal(size=(10, 20)), np.arange(20.0), Tensor(2.0)

    @jit
    def forward(w, both, power, y=None):
        z = (both["rows"] @ w + table) * scale + small
        return {"z": [z**power, (z.data > 0)], "w": w, "given": (y, power, None)}

    w, rows, y = Tensor(r.normal(size=(3, 20))), r.normal(size=(10, 3)), np.float32(7)
    expected = forward(w, {"rows": rows}, 2, y=y)
    forward.save(tmp_path / "of_all.py")
    there = read(tmp_path / "of_all.py")
    result = there.forward_(w.data, rows, y)
    assert result["z"][0].tobytes() == expected["z"][0].data.tobytes()
    assert result["z"][1].tolist() == expected["z"][1].tolist()
    assert (result["w"] == w.data).all() and result["given"] == (y, 2, None)
    assert sorted(there.arrays) == ["scale", "table"]
    with pytest.raises(ValueError, match=r"both_rows: expected float64 \(10, 3\), got float64"):
        there.forward_(w.data, rows[:2], y)
    with pytest.raises(ValueError, match="w: expected float64"):
        there.forward_(w.data.astype(np.float32), rows, y)


def factor():
    return 2


def doubled(x):
    return x * factor()


def test_functions_of_a_users_module_come_along(tmp_path):
    @jit
    def of_effect(x):
        return Tensor(1.0) * effect(doubled, x)

    with no_grad():
        expected = of_effect(np.ones(3))
    of_effect.save(tmp_path / "of_effect.py")
    assert read(tmp_path / "of_effect.py").of_effect(np.ones(3)).tolist() == expected.data.tolist()


def test_what_cannot_be_written_is_refused(tmp_path):
    f = jit(lambda x: Tensor(1.0) * effect(lambda x: x, x))
    with pytest.raises(RuntimeError, match="save: the function has not been called"):
        f.save(tmp_path / "a.py")
    f(np.ones(3))
    with pytest.raises(ValueError, match=r"is to end in \.py"):
        f.save(tmp_path / "a.txt")
    with pytest.raises(JitError, match=r"save: .* of functions only"):
        f.save(tmp_path / "a.py")
    legacy = nn.Dropout(0.5, rng=np.random.Generator(np.random.MT19937(1)))
    g = jit(lambda x: legacy(x))
    g(np.ones(3))
    with pytest.raises(JitError, match="save: the state of a generator of MT19937"):
        g.save(tmp_path / "a.py")
    labels = np.array(["a", None], dtype=object)
    h = jit(lambda x: x * (x.data == labels))
    h(Tensor([1.0, 2.0]))
    with pytest.raises(JitError, match="save: labels is an array of objects"):
        h.save(tmp_path / "a.py")
    assert not [*tmp_path.iterdir()]


def test_a_network_of_pytorch_is_carried_to_numpy(tmp_path):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.LayerNorm(16), torch.nn.Linear(16, 4)
    ).double()
    model = from_torch(theirs)

    @jit
    def predict(x):
        return model(x)

    x = rng().normal(size=(5, 8))
    with no_grad():
        predict(x)
    predict.save(tmp_path / "predict.py")
    expected = theirs(torch.tensor(x)).detach().numpy()
    assert np.abs(read(tmp_path / "predict.py").predict(x) - expected).max() < 1e-12
