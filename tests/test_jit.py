"""`jit`: values and gradients to the last bit, and what it refuses."""

import contextlib
import copy
import gc
import math
import pickle
import re
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from networks import Transformer, rng
from strategies import graphs, numbers, seeds
from table import ROWS, search

from micrograd import Tensor, effect, engine, grad, jit, nn, no_grad, optim, program, replay, state
from micrograd.debug import detect_anomaly
from micrograd.jit import JitError
from micrograd.program import Writer


def bits(x):
    """An array's dtype, shape and bytes."""
    return x.dtype, x.shape, np.asarray(x).tobytes()


# Operations

OF_NUMBERS = (  # the shape of a result depends on the numbers, or it is a gradient itself
    "lstsq", "trim_zeros", "gradient of", "second gradient of", "eig", "piecewise", "polydiv",
    "polyfit", "polymul",
)  # fmt: skip
JITTED = [row for row in ROWS if not row.name.startswith(OF_NUMBERS)]


@pytest.mark.parametrize("row", JITTED, ids=lambda row: row.name)
def test_a_row_of_the_table_is_the_same_to_the_bit(row):
    for shapes in row.cases[-1:]:
        jitted = jit(row.ours)
        gradient, expected = None, None
        for function in (row.ours, jitted, jitted):
            leaves = [Tensor(a) for a in row.operands(shapes)]
            y = function(*leaves)
            if gradient is None:
                gradient = np.asarray(row.rng(shapes).normal(size=y.shape), y.dtype)
            y.backward(gradient)
            result = [bits(y.data), *((x.has_grad, bits(x.grad)) for x in leaves)]
            expected = expected or result
            assert result == expected, f"{row.name} of {shapes}"


@search
@given(graphs(max_steps=8), seeds)
@np.errstate(all="ignore")
def test_a_graph_of_any_operations_is_the_same_to_the_bit(graph, seed):
    results = []
    jitted = jit(lambda *leaves: graph.run([*leaves])[-1])
    for function in (jitted._function, jitted, jitted):
        leaves = []
        for array, (*_, requires_grad) in zip(graph.arrays(), graph.leaves):
            leaves.append(Tensor(array, requires_grad))
        y = function(*leaves)
        if y.requires_grad:
            y.backward(numbers(seed, y.shape, y.dtype))
        results.append([bits(y.data), *(bits(x.grad) for x in leaves)])
    assert results[0] == results[1] == results[2]


def test_a_contribution_that_two_leaves_share_is_added_to_each_of_them():
    r = rng()
    c, d, e = r.normal(size=(3, 5))

    def function(a, b, k):  # b's first contribution is a's second; b's sum must not get into a's
        oldest = (b * e).sum() + (a * c).sum()
        return (oldest + (a * d).sum() + (b * c).sum()) * k

    results = []
    jitted = jit(function)
    for f in (function, jitted, jitted):
        a, b = Tensor(np.ones(5)), Tensor(np.ones(5))
        f(a, b, np.array([1.7])).sum().backward()
        results.append((bits(a.grad), bits(b.grad)))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("first", [True, False])
def test_a_leaf_used_several_times_inside_and_outside_gets_the_same_bits(first):
    r = rng()
    values, factors = r.normal(size=(2, 40)), r.normal(size=(4, 40))

    def function(w):
        return sum((w * f * w).sum() for f in factors)

    results = []
    jitted = jit(function)
    for f in (function, jitted, jitted):
        w = Tensor(values[0])
        inside = f(w)
        outside = (w * values[1]).sum()
        (inside + outside if first else outside + inside).backward()
        inside.backward()  # alone, and onto a gradient
        results.append(bits(w.grad))
    assert results[0] == results[1] == results[2]


def test_a_view_in_which_elements_share_memory_is_taken_once():
    def function(x):
        return (np.broadcast_to(np.exp(x[:1]), (2, 3)) * x).sum()

    results = []
    jitted = jit(function)
    for f in (function, jitted, jitted):
        x = Tensor(rng().normal(size=(2, 3)))
        f(x).backward()
        results.append(bits(x.grad))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("view", [
    lambda x: x.reshape(6, 5), lambda x: x.swapaxes(0, 1), lambda x: x[1:], lambda x: x.T
])  # fmt: skip
def test_memory_that_a_view_is_still_read_from_is_not_written_over(view):
    results = []

    def function(x):
        return (view(x.softmax(-1)) ** 2).sum()

    jitted = jit(function)
    for f in (function, jitted, jitted):
        x = Tensor(rng().normal(size=(2, 3, 5)))
        f(x).backward()
        results.append(bits(x.grad))
    assert results[0] == results[1] == results[2]


# Networks


def features(r, dtype):
    return r.normal(size=(12, 6)).astype(dtype), r.integers(0, 3, 12)


def images(r, dtype):
    return r.normal(size=(3, 1, 10, 10)).astype(dtype), r.integers(0, 3, 3)


def text(r, dtype):
    return r.integers(0, 7, (2, 5)), r.integers(0, 7, (2, 5))


def moons(r, dtype):
    return r.normal(size=(20, 2)).astype(dtype), r.choice([-1, 1], (20, 1))


def digits(r, dtype):
    return r.random((8, 784)).astype(dtype), r.integers(0, 10, 8)


class GPT(nn.Module):
    """As in the demo: dropout on the embedding, on the attention and on what a block adds."""

    def __init__(self):
        r = rng()
        self.tokens, self.places = nn.Embedding(7, 8, r), nn.Embedding(5, 8, r)
        self.drop = nn.Dropout(0.2, r)
        self.norms = [nn.LayerNorm(8) for _ in range(3)]
        self.attention = nn.MultiHeadAttention(8, 2, dropout=0.1, rng=r)
        self.up, self.down = nn.Layer(8, 32, "gelu", rng=r), nn.Layer(32, 8, rng=r)
        self.head = nn.Layer(8, 7, rng=r)

    def __call__(self, x):
        x = self.drop(self.tokens(x) + self.places(np.arange(x.shape[-1])))
        x = x + self.drop(self.attention(self.norms[0](x), causal=True))
        x = x + self.drop(self.down(self.up(self.norms[1](x))))
        return self.head(self.norms[2](x))


def squared(loss):
    """The loss, and the squares of the parameters as in the demos."""
    return lambda model, x, y: (
        loss(model(x), y) + 1e-4 * sum((p**2).sum() for p in model.parameters())
    )


def convnet():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, rng=rng()), nn.BatchNorm2d(3), Tensor.relu, nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3, padding=1, rng=rng()), Tensor.tanh, nn.AvgPool2d(4), nn.Flatten(),
        nn.Layer(4, 3, rng=rng()),
    )  # fmt: skip


def normalized():
    return nn.Sequential(
        nn.Layer(6, 8, "sigmoid", rng=rng()), nn.BatchNorm1d(8), nn.Dropout(0.3, rng()),
        nn.LayerNorm(8), nn.Layer(8, 8, "gelu", rng=rng()), nn.RMSNorm(8), nn.Dropout(0.1),
        nn.Layer(8, 3, "silu", rng=rng()),
    )  # fmt: skip


NETWORKS = {
    "relu": (lambda: nn.MultiLayerPerceptron(6, [8, 3], rng=rng()), features),
    "normalized": (normalized, features),
    "convnet": (convnet, images),
    "transformer": (lambda: Transformer(2), text),
    "gpt with dropout": (GPT, text),
    "moons": (
        lambda: nn.MultiLayerPerceptron(2, [16, 16, 1], rng=rng()), moons, squared(nn.max_margin)
    ),
    "mnist": (
        lambda: nn.MultiLayerPerceptron(784, [32, 16, 10], rng=rng()), digits,
        squared(nn.cross_entropy),
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", NETWORKS)
def test_50_steps_of_training_are_the_same_to_the_bit(name, dtype):
    build, data, loss_with = (*NETWORKS[name], lambda m, x, y: nn.cross_entropy(m(x), y))[:3]
    results = []
    for through in (lambda f: f, jit):
        np.random.seed(0)  # noqa: NPY002 (a layer without a generator draws from it)
        model, r, history = build().astype(dtype), np.random.default_rng(3), []
        optimizer = optim.AdamW(model.parameters(), 1e-2)
        loss_of = through(lambda x, y, model=model: loss_with(model, x, y))
        for i in range(50):
            model.train(not 20 <= i < 25)
            optimizer.zero_grad()
            loss = loss_of(*data(r, dtype))
            loss.backward()
            history += [bits(loss.data), *(bits(p.grad) for p in model.parameters())]
            optimizer.step()
            history += [bits(a) for a in model.state_dict().values()]
        results.append(history)
    assert results[0] == results[1]


LOSSES = {
    "mse": (nn.mse, lambda r: r.normal(size=(5, 4))),
    "binary": (nn.binary_cross_entropy_with_logits, lambda r: r.uniform(size=(5, 4))),
    "max_margin of signs": (nn.max_margin, lambda r: r.choice([-1, 1], (5, 4))),
    "max_margin of numbers": (nn.max_margin, lambda r: r.integers(0, 4, 5)),
    "cross_entropy": (nn.cross_entropy, lambda r: r.integers(0, 4, 5)),
    "smoothed": (lambda x, y: nn.cross_entropy(x, y, 0.1, 2), lambda r: r.integers(0, 4, 5)),
    "probabilities": (nn.cross_entropy, lambda r: r.dirichlet(np.ones(4), 5)),
    "l1": (nn.l1, lambda r: r.normal(size=(5, 4))),
    "huber": (nn.huber, lambda r: r.normal(size=(5, 4))),
    "nll": (lambda x, y: nn.nll(x.log_softmax(-1), y), lambda r: r.integers(0, 4, 5)),
    "kl_div": (
        lambda x, y: nn.kl_div(x.log_softmax(-1), y), lambda r: r.dirichlet(np.ones(4), 5)
    ),
    "weight": (
        lambda x, y: nn.cross_entropy(x, y, weight=[1, 2, 0.5, 3]), lambda r: r.integers(0, 4, 5)
    ),
    "pos_weight": (
        lambda x, y: nn.binary_cross_entropy_with_logits(x, y, pos_weight=[1, 2, 0.5, 3]),
        lambda r: r.uniform(size=(5, 4)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_the_same_to_the_bit(name):
    loss, targets = LOSSES[name]
    jitted, r = jit(loss), np.random.default_rng(1)
    for _ in range(4):
        y, data = targets(r), r.normal(size=(5, 4))
        a, b = Tensor(data), Tensor(data)
        ours, expected = jitted(a, y), loss(b, y)
        ours.backward(), expected.backward()
        assert bits(ours.data) == bits(expected.data)
        assert bits(a.grad) == bits(b.grad)


@pytest.mark.parametrize(
    ("loss", "wrong", "error"),
    [
        (nn.cross_entropy, np.array([0, 9]), IndexError),
        (nn.max_margin, np.array([0, -1]), IndexError),
        (nn.binary_cross_entropy_with_logits, np.full((2, 3), 2.0), ValueError),
    ],
)
def test_a_replay_checks_targets_as_the_loss_does(loss, wrong, error):
    good = np.zeros_like(wrong)
    jitted, x = jit(loss), Tensor(np.ones((2, 3)))
    before = jitted(x, good).item()
    with pytest.raises(error) as expected:
        loss(x, wrong)
    with pytest.raises(error) as caught:
        jitted(x, wrong)
    assert str(caught.value) == str(expected.value)
    assert jitted(x, good).item() == before, "an error made it unusable"


def test_an_operation_that_fails_in_a_replay_tells_what_it_tells_without():
    jitted = jit(lambda x: np.linalg.inv(x).sum())
    jitted(Tensor(np.eye(2)))
    with pytest.raises(np.linalg.LinAlgError) as expected:
        np.linalg.inv(Tensor(np.zeros((2, 2))))
    with pytest.raises(np.linalg.LinAlgError) as caught:
        jitted(Tensor(np.zeros((2, 2))))
    assert str(caught.value) == str(expected.value)


# What it means


def both(function, use, *arrays):
    """What `use` gives with the function, and with it jitted and traced before."""
    results = []
    for through in (lambda f: f, jit):
        f, leaves = through(function), [Tensor(a) for a in arrays]
        if through is jit:
            f(*leaves)
        results.append([bits(np.asarray(x)) for x in use(f, *leaves)])
    return results


DATA = np.random.default_rng(0).normal(size=(4, 3)), np.random.default_rng(1).normal(size=(3, 4))


def used_outside(f, a, b):
    ((a * a).sum() + f(a, b) * 3 + (a / 3).sum()).backward()
    return a.grad, b.grad


def used_twice(f, a, b):
    first, second = f(a, b), f(b.T, a.T)
    second.backward()
    first.backward()
    first.backward()
    return a.grad, b.grad, first.data, second.data


def of_results(f, a, b):
    f(a.tanh(), (a.T * b).exp()).backward(2.5)
    return a.grad, b.grad


def by_grad(f, a, b):
    return [d.data for d in grad(f(a, b), [a, b])]


def second_order(f, a, b):
    d, e = grad(f(a, b), [a, b], create_graph=True)
    return [x.data for x in grad((d * d).sum() + (e * d.T).sum(), [a, b])]


def without_history(f, a, b):
    with no_grad():
        y = f(a, b)
    assert not y.requires_grad
    return (y.data,)


def changed_in_place(f, a, b):
    f(a, b)
    a.data += 1
    b.data = b.data * 2
    f(a, b).backward()
    return a.grad, b.grad


USES = [
    used_outside, used_twice, of_results, by_grad, second_order, without_history, changed_in_place
]  # fmt: skip


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_the_result_is_an_ordinary_tensor(use):
    def f(a, b):
        return ((a @ b).tanh() * (a * a).sum() + a.sum() * 1.5).mean()

    ours, expected = both(f, use, *DATA)
    if use is second_order:  # the function is run again: right, if not to the bit
        for (*_, x), (*_, y) in zip(ours, expected):
            np.testing.assert_allclose(np.frombuffer(x), np.frombuffer(y), rtol=1e-12)
    else:
        assert ours == expected


def test_second_derivatives_are_of_the_draws_that_were_made():
    drop, x = nn.Dropout(0.5, rng()), Tensor(np.arange(1.0, 41))
    jitted = jit(lambda x: (drop(x) ** 3).sum())
    jitted(x)
    y = jitted(x)
    first = grad(y, x)
    second = grad(y, x, create_graph=True)
    np.testing.assert_allclose(second.data, first.data, rtol=1e-12)


def test_several_outputs():
    def f(a, b):
        c = (a @ b).tanh()
        return {"loss": (c * c).sum(), "rest": (c.exp(), [a, 3]), "places": c.argmax(1)}

    def use(f, a, b):
        y = f(a, b)
        assert y["rest"][1][0] is a
        ((y["rest"][0] * 2).sum() + y["loss"] * 3 + y["rest"][0].mean()).backward()
        z = f(a, b)
        z["rest"][0].T.sum().backward()
        z["loss"].backward()
        return a.grad, b.grad, y["places"], z["rest"][0].data

    assert len({str(x) for x in both(f, use, *DATA)}) == 1


def test_what_the_user_holds_is_not_overwritten():
    w = Tensor(DATA[0])
    jitted = jit(lambda x: (w * x).exp())
    held = []
    for i in range(5):
        y = jitted(np.full((4, 3), 0.1 * i))
        (d,) = grad(y, [w], np.ones((4, 3)))
        held.append((y.data, y.data.copy(), d.data, d.data.copy()))
    for y, y_copy, d, d_copy in held:
        assert (y == y_copy).all()
        assert (d == d_copy).all()


def test_parameters_are_read_anew_and_requires_grad_is_checked():
    layer = nn.Layer(3, 2, rng=rng())
    jitted, x = jit(lambda x: layer(x).sum()), DATA[0]
    for change in (
        lambda: None,
        lambda: layer.weights.data.fill(2),
        lambda: layer.load_state_dict(nn.Layer(3, 2, rng=np.random.default_rng(9)).state_dict()),
        lambda: setattr(layer, "weights", Tensor(np.ones((3, 2)))),
        lambda: (
            setattr(layer.weights, "data", np.ones((3, 5)))
            or setattr(layer.bias, "data", np.ones(5))
        ),
        lambda: layer.astype(np.float32),
    ):
        change()
        assert bits(jitted(x).data) == bits(layer(x).sum().data)
    layer.weights.requires_grad = layer.bias.requires_grad = False
    assert not jitted(x).requires_grad


def test_variables_attributes_and_modes_are_checked():
    scale, parts = 2.0, [nn.Layer(3, 3, rng=rng())]
    model = nn.Sequential(*parts, nn.Dropout(0.5, rng()))

    def f(x):
        return (model(x) * scale).sum()

    jitted, x = jit(f), DATA[0]
    model.eval()
    first = jitted(x).item()
    scale = 3.0
    assert jitted(x).item() == f(x).item() != first
    model.layers.append(nn.Layer(3, 2, rng=rng()))
    assert jitted(x).item() == f(x).item()
    model.train()
    model.layers[1].p = 0.0
    assert jitted(x).item() == f(x).item()


def test_numbers_strings_and_shapes_are_part_of_the_key():
    jitted = jit(lambda x, how, n=1: getattr(x * n, how)())
    x = Tensor(DATA[0])
    for arguments in (("sum",), ("mean",), ("sum", 2), ("sum", 2.5)):
        n = arguments[1] if len(arguments) == 2 else 1
        assert jitted(x, *arguments).item() == getattr(x * n, arguments[0])().item()
    assert jitted(Tensor(DATA[1]), "sum").item() == Tensor(DATA[1]).sum().item()
    assert jitted(x, n=3, how="max").item() == (x * 3).max().item()


def test_effects_and_states_happen_at_every_call():
    seen, table = [], np.zeros(3)

    def f(x):
        effect(seen.append, 1)
        return (x * state(table)).sum()

    jitted = jit(f)
    for i in range(3):
        table += 1
        assert jitted(Tensor(np.ones(3))).item() == 3 * (i + 1)
    assert seen == [1, 1, 1]


# What is refused


def branch(x):
    if x.sum() > 0:
        return x
    return -x


def stored(x):
    np.zeros((4, 3))[...] = x.data
    return x


generator = np.random.default_rng(0)
REFUSED = {
    "a branch": branch,
    "float": lambda x: x * float(x.data.sum()),
    "item": lambda x: x * x.sum().item(),
    "an array": lambda x: x * np.asarray(x.data),
    "a mask": lambda x: x[x > 0].sum(),
    "a draw": lambda x: x * np.random.random(3),  # noqa: NPY002
    "a draw from a generator": lambda x: x * generator.random(3),
    "printing": lambda x: x * len(str(x)),
    "written": stored,
    "backward": lambda x: grad((x * x).sum(), x),
    "a length": lambda x: x * np.nonzero(x.data)[0].size,
    "in place": lambda x: x.data.__iadd__(1),
    "math": lambda x: x * math.sqrt(x.data[0, 0]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_frozen_is_refused_with_its_line(name):
    jitted = jit(REFUSED[name])
    for _ in range(2):
        with pytest.raises(TypeError, match="jit: ") as caught:
            jitted(Tensor(DATA[0]))
        assert "test_jit.py" in str(caught.value)
    assert Tensor(DATA[0]).data is not None, "a door stayed open"
    assert Tensor.__dict__.get("data") is None


def test_a_refusal_that_the_function_swallows_is_raised_all_the_same():
    def f(x):
        try:
            return x * x.sum().item()
        except TypeError:
            return x

    with pytest.raises(JitError):
        jit(f)(Tensor(DATA[0]))


def test_an_array_that_is_kept_cannot_be_used_later():
    kept = []
    jit(lambda x: kept.append(x * 1) or x * 2)(Tensor(DATA[0]))
    with pytest.raises(TypeError, match="was kept"):
        kept[0] * 2


def test_arguments_of_other_types_are_refused():
    with pytest.raises(TypeError, match="arguments are"):
        jit(lambda x: x)({1, 2})
    with pytest.raises(TypeError, match="expected a function"):
        jit(3)
    with pytest.raises(RuntimeError, match="has not been called"):
        jit(lambda x: x).source  # noqa: B018


def test_an_exception_leaves_it_usable():
    broken = True

    @jit
    def f(x):
        y = x * 2
        if broken:
            raise KeyError("mine")
        return y

    with pytest.raises(KeyError, match="mine"):
        f(Tensor(DATA[0]))
    broken = False
    assert bits(f(Tensor(DATA[0])).data) == bits(DATA[0] * 2)


def test_a_loop_that_traces_at_every_call_is_told():
    jitted = jit(lambda x, i: (x * i).sum())
    with pytest.warns(UserWarning, match="written out anew at each of its last 9"):
        for i in range(10):
            jitted(Tensor(DATA[0]), i)


def test_inside_detect_anomaly_it_runs_as_it_is():
    jitted = jit(lambda x: np.log(x).sum())
    jitted(Tensor([1.0, 2.0]))
    with detect_anomaly(), pytest.raises(FloatingPointError, match="log"):
        jitted(Tensor([0.0, 1.0]))


@pytest.mark.parametrize("anomalies_first", [True, False])
def test_threads_that_trace_and_that_detect_anomalies_do_not_disturb_each_other(anomalies_first):
    inside, leave = threading.Event(), threading.Event()
    before = engine.record, engine.backpropagate
    results = []

    @jit
    def function(x):
        y = x * x
        inside.set()
        leave.wait(10)
        return y.sum()

    def traces():
        x = Tensor(np.arange(3.0))
        for _ in range(2):
            function(x).backward()
        results.append(x.grad.tolist())

    thread = threading.Thread(target=traces)
    with contextlib.ExitStack() as stack:
        if anomalies_first:
            stack.enter_context(detect_anomaly())
        thread.start()
        assert inside.wait(10)
        if not anomalies_first:
            stack.enter_context(detect_anomaly())
            leave.set()
            thread.join()
        with pytest.raises(FloatingPointError, match="'log' gave -inf"):
            np.log(Tensor(0.0))
    leave.set()
    thread.join()
    assert results == [[0.0, 4.0, 8.0]]
    assert (engine.record, engine.backpropagate) == before
    assert not {"data", "grad"} & vars(Tensor).keys()
    with np.errstate(divide="ignore"):
        assert np.log(Tensor(0.0)).item() == -math.inf


def test_a_constant_whose_numbers_have_changed_is_an_anomaly():
    scale = np.array([[2.0], [3.0]])

    @jit
    def function(x):
        return (x * np.sum(scale)).sum()

    x = Tensor([1.0])
    assert function(x).item() == 5
    with detect_anomaly():
        assert function(x).item() == 5
    scale[0] = 7
    with (
        detect_anomaly(),
        pytest.raises(RuntimeError, match=r"jit: the numbers in scale \(2, 1\), which .*function"),
    ):
        function(x)


def test_anomalies_are_detected_around_a_jitted_function_not_inside():
    @jit
    def function(x):
        with detect_anomaly():
            return (x * x).sum()

    with pytest.raises(RuntimeError, match="detect_anomaly: enter it around the call"):
        function(Tensor([1.0]))


@jit
def of_a_module(x):
    return (x * x).sum()


def test_it_pickles_and_copies_as_the_function_that_it_wraps():
    assert pickle.loads(pickle.dumps(of_a_module)) is of_a_module
    assert copy.deepcopy(of_a_module) is of_a_module
    other = pickle.loads(pickle.dumps(jit(np.sum)))
    assert other(Tensor([1.0, 2.0])).item() == 3


def test_threads():
    w = Tensor(DATA[0])
    jitted = jit(lambda x: (w * x).tanh().sum())
    wrong = []

    def work(i):
        for j in range(30):
            x = np.full((4, 3), 0.01 * i + 0.1 * j)
            (d,) = grad(jitted(x), [w])
            (e,) = grad((w * x).tanh().sum(), [w])
            if bits(d.data) != bits(e.data):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_memory_is_flat_with_the_collector_off():
    model = nn.MultiLayerPerceptron(6, [8, 3], rng=rng())
    jitted = jit(lambda x, y: nn.cross_entropy(model(x), y))
    x, y = features(rng(), np.float64)

    def steps(n):
        for _ in range(n):
            jitted(x, y).backward()
            model.zero_grad()
        return len(gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        assert steps(2000) - steps(20) < 50
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["convolutions", "layers"])
def test_a_replayed_step_takes_little_more_memory_than_an_eager_one(name):
    r, peaks = rng(), []
    if name == "layers":
        model, x = nn.MultiLayerPerceptron(300, [200, 10], rng=r), r.normal(size=(500, 300))
    else:
        x = r.normal(size=(32, 1, 28, 28))
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3), Tensor.relu, nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), Tensor.relu,
            nn.MaxPool2d(2), nn.Flatten(), nn.Layer(400, 10),
        )  # fmt: skip
    y = r.integers(0, 10, len(x))

    def loss_of(x, y):
        return nn.cross_entropy(model(x), y)

    for function in (loss_of, jit(loss_of)):
        tracemalloc.start()
        for _ in range(3):
            tracemalloc.reset_peak()
            model.zero_grad()
            function(x, y).backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= 1.1 * peaks[0]


# The program


def source_of(function, *arguments):
    jitted = jit(function)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jitted(*arguments).backward()
    return jitted.source


def test_the_source_runs_as_it_stands():
    model = nn.MultiLayerPerceptron(6, [8, 3], act="tanh", rng=rng())
    x, y = features(rng(), np.float64)
    source = source_of(lambda x, y: nn.cross_entropy(model(x), y), x, y)
    space = {}
    exec(source, space)
    first, everything = space["forward_memory"]()
    parameters = [p.data for p in model.parameters()]
    (loss, *_), kept, _ = space["forward"](first, x, y, *parameters)
    model.zero_grad()
    expected = nn.cross_entropy(model(x), y)
    expected.backward()
    assert loss == expected.item()
    gradients = space["backward"](space["backward_memory"](everything), kept)
    assert {bits(g) for g in gradients} == {bits(p.grad) for p in model.parameters()}
    for name in ("layers_0_weights", "# layers.1: Layer(3, act=None)"):
        assert name in source


def unchanged(trace, calls):
    return calls


def not_done(*given):
    return None


# A function, what does the rule, and lines of the source without it and with it
PASSES = {
    "means are sums": (
        lambda x: x.mean(0).sum(), (replay, "means_as_sums", unchanged),
        ["mean = x.mean(axis=0, keepdims=False)"],
        ["np.add.reduce(x, axis=0, out=sum_2)", "np.divide(sum_2, n2_64, quotient)"],
    ),
    "constants are computed once": (
        lambda x: (x * 2).sum(), (replay, "constants_once", not_done),
        ["product_2 = np.multiply(broadcast_to, n2_64)", "return (product_2,)"],
        ["product_2 = broadcast_to * 2", "return (product_2.copy(),)"],
    ),
    "products with ones are left out": (
        lambda x: (x * 1).sum(), (replay, "without_ones", not_done),
        ["np.multiply(x, n1_64, product)", "sum_2 = np.add.reduce(product, axis=None)"],
        ["sum_2 = np.add.reduce(x, axis=None)"],
    ),
    "equal calls are made once": (
        lambda x: (x.exp() * x.exp()).sum(), (replay, "equal_once", not_done),
        ["np.exp(x, exp)", "np.exp(x, exp_2)", "np.multiply(exp, exp_2, product)"],
        ["np.exp(x, exp)", "np.multiply(exp, exp, product)"],
    ),
    "dead calls are dropped": (
        lambda x: (x.exp(), x.sum())[1], (replay, "without_dead", not_done),
        ["np.exp(x, exp)"],
        [],
    ),
    "numbers are 0-d arrays": (
        lambda x: (x.exp() * 3).exp().sum(),
        (Writer, "zero_d", lambda self, x, dtype: self.text(x)),
        ["np.multiply(exp, 3, product)"],
        ["n3_64 = np.array(3, np.float64)", "np.multiply(exp, n3_64, product)"],
    ),
    "results go into buffers": (
        lambda x: (-x).exp().sum(), (Writer, "into", not_done),
        ["negative = -x", "exp = np.exp(negative)"],
        ["np.negative(x, negative)", "np.exp(negative, exp)"],
    ),
    "elementwise ones into an operand that dies": (
        lambda x: (-(x + 1)).exp().sum(), (Writer, "reuse", not_done),
        ["block_0 = sum_2 = exp = np.empty((2, 3), np.float64)",
         "block_1 = negative = np.empty((2, 3), np.float64)"],
        ["block_0 = sum_2 = negative = exp = np.empty((2, 3), np.float64)"],
    ),
    "what leaves is made in the memory of an operand that dies": (
        lambda x: (x.exp() * 3).exp().sum(), (Writer, "leave_in_place", not_done),
        ["product_3 = np.multiply(product_2, exp)"],
        ["product_3 = np.multiply(product_2, exp, out=product_2)"],
    ),
    "large arrays go when nobody needs them": (
        lambda x: (np.concatenate([x, x]).exp() * 2).sum(), (program, "LARGE", math.inf),
        [],
        ["del concatenate"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSES)
def test_what_a_pass_changes(name, monkeypatch):
    function, (owner, rule, instead), without, with_it = PASSES[name]
    monkeypatch.setattr(program, "LARGE", 6)

    def lines():
        source = source_of(function, Tensor(np.arange(6.0).reshape(2, 3)))
        return [line.strip() for line in re.sub(r"  #.*", "", source).splitlines()]

    after = lines()
    monkeypatch.setattr(owner, rule, instead)
    before = lines()
    assert [line for line in without if line not in before] == []
    assert [line for line in with_it if line not in after] == []
    assert [line for line in without if line in after and line not in with_it] == []
    assert before != after


def test_views_of_buffers_are_taken_once():
    source = source_of(lambda x: ((x + 1).T @ x).exp().sum(), Tensor(DATA[0]))
    memory, forward = source.split("def forward(")
    assert "transpose = np.transpose(sum_2)" in memory
    assert "np.matmul(transpose, x, matmul)" in forward and "np.transpose" not in forward
