"""A search for what is wrong: random graphs, layers, optimizers and files, against PyTorch.

It takes seconds, and always the same cases; with `--hypothesis-profile=long`, minutes and others.
At the end, faults that were there once are planted again, and each must be found.
"""

import copy
import os
import tempfile
import zlib

import numpy as np
import pytest
import torch
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from recording import Recording
from strategies import LAYOUTS, floats, graphs, layers, layouts, numbers, optimizers, seeds

from micrograd import Tensor, apply, arrays, calculus, convolution, files, grad, nn, no_grad, optim
from micrograd import layers as rooms
from micrograd.arrays import KINDS
from micrograd.engine import backpropagate, wrap


def assert_close(ours, theirs, what, tolerance):
    """Shape and dtype, then the numbers, to a share of the largest of them; nan like nan."""
    theirs = theirs.numpy(force=True)
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, expected {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{what}: dtype {ours.dtype}, expected {theirs.dtype}"
    largest = np.nanmax(np.abs(theirs), initial=1)
    np.testing.assert_allclose(
        ours, theirs, rtol=tolerance, atol=tolerance * largest, equal_nan=True, err_msg=what
    )


def torch_grad(y, leaves, g=None):
    if not y.requires_grad:
        return [torch.zeros_like(x) for x in leaves]
    return torch.autograd.grad(
        y, leaves, g, create_graph=True, allow_unused=True, materialize_grads=True
    )


# Graphs


def leaves_of(graph):
    """The leaves as ours, in their memory layouts, and as PyTorch's."""
    ours, theirs = [], []
    for array, (*_, requires_grad) in zip(graph.arrays(), graph.leaves):
        x = Tensor(array, requires_grad)
        x.data = array
        ours.append(x)
        theirs.append(torch.tensor(array.copy(), requires_grad=requires_grad))
    return ours, theirs


GRAPHS = graphs(), seeds


@given(*GRAPHS)
@np.errstate(all="ignore")
def test_a_graph_is_that_of_pytorch_to_the_second_order(graph, seed):
    ours, theirs = leaves_of(graph)
    before = [x.data.copy() for x in ours]
    y, y_torch = graph.run(ours)[-1], graph.run(theirs, "theirs")[-1]
    tolerance = 1e-9 if all(dtype is np.float64 for _, _, dtype, *_ in graph.leaves) else 1e-3
    assert_close(y.data, y_torch, "value", tolerance)
    assume(y.requires_grad)
    with no_grad():
        assert graph.run(ours)[-1].data.tobytes() == y.data.tobytes(), "without history"

    g = numbers(seed, y.shape, y.dtype)
    y.backward(g)
    wanted = [x for x in ours if x.requires_grad]
    wanted_torch = [x for x in theirs if x.requires_grad]
    g_ours, g_torch = Tensor(g), torch.tensor(g, requires_grad=True)
    first = grad(y, wanted, g_ours, create_graph=True)
    first_torch = torch_grad(y_torch, wanted_torch, g_torch)
    for x, d, expected in zip(wanted, first, first_torch):
        assert_close(x.grad, expected, "gradient by backward()", tolerance)
        assert_close(d.data, expected, "gradient by grad()", tolerance)
    memory = [g, g_ours.data, *(x.grad for x in wanted), *(d.data for d in first)]
    for i, a in enumerate(memory):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in memory[:i]), "gradients share memory"

    v = [numbers(seed + i, x.shape, x.dtype) for i, x in enumerate(wanted, 1)]
    total = sum(((d * a).sum() for a, d in zip(v, first)), Tensor(0.0, requires_grad=False))
    total_torch = sum((d * torch.tensor(a)).sum().double() for a, d in zip(v, first_torch))
    if total.requires_grad:
        second = grad(total, [*wanted, g_ours])
        for d, expected in zip(second, torch_grad(total_torch, [*wanted_torch, g_torch])):
            assert_close(d.data, expected, "second gradient", tolerance)

    twice = [2 * x.grad for x in wanted]
    y.backward(g)
    for x, expected in zip(wanted, twice):
        np.testing.assert_array_equal(x.grad, expected, "backward() a second time")
    for x, array in zip(ours, before):
        np.testing.assert_array_equal(x.data, array, "a leaf was written to")


SMALL_GRAPHS = graphs(max_steps=8), seeds


@given(*SMALL_GRAPHS)
@np.errstate(all="ignore")
def test_a_graph_on_arrays_of_another_kind_is_the_same_to_the_bit(graph, seed):
    def gradients(kind):  # of one dtype: among numbers of two, NumPy's own stay wide for longer
        leaves = [wrap(kind(a.astype(np.float64)[()])) for a in graph.arrays()]
        for x in leaves:
            x.requires_grad = True
        y = graph.run(leaves)[-1]
        found = backpropagate(y, kind(numbers(seed, y.shape, y.dtype)[()]))
        return [y.data, *(found[x] for x in leaves if x in found)]

    expected = gradients(lambda array: array)
    KINDS.add(Recording)
    try:
        result = gradients(Recording)
    finally:
        KINDS.remove(Recording)
    for ours, array in zip(result, expected, strict=True):
        assert ours.array.astype(array.dtype).tobytes() == np.asarray(array).tobytes()


# Layers


LAYERS = (
    layers(), seeds, layouts, st.sampled_from([np.float64, np.float32, np.float16]),
    st.sampled_from(["float", "float", "nan", "uint8", "bool", "list"]), st.booleans(),
)  # fmt: skip


@given(*LAYERS)
@np.errstate(all="ignore")
def test_a_layer_is_that_of_pytorch(drawn, seed, layout, dtype, kind, training):
    name, arguments, options, shape = drawn
    layer = getattr(nn, name)(*arguments, **options).astype(dtype)
    reference = nn.to_torch(layer).double()
    x = LAYOUTS[layout](numbers(seed, shape).astype(dtype))
    if dtype is np.float16 and "Norm" in name:
        x = x * dtype(300)
    if kind == "nan" and "Pool" in name:
        x.flat[:: 1 + seed % 5] = np.nan
    if kind in ("uint8", "bool", "list"):
        x = (np.abs(x) * 50).astype("uint8" if kind == "list" else kind)
    given_ = x.tolist() if kind == "list" and name != "Layer" else x
    (layer.train if training else layer.eval)()
    reference.train(training)
    t = torch.tensor(np.array(x, np.float64, order="C"), requires_grad=True)
    u = Tensor(given_) if kind in ("float", "nan") else given_
    y, y_torch = layer(u), reference(t)
    tolerance = {np.float64: 1e-9, np.float32: 1e-4, np.float16: 1e-2}[dtype]
    if not isinstance(y, Tensor):
        np.testing.assert_allclose(y, y_torch.detach(), tolerance)
        return
    what = f"{layer} of {shape}"
    if layer.parameters() or kind in ("float", "nan"):
        assert y.dtype == dtype
    assert_close(y.data.astype(np.float64), y_torch, what, tolerance)
    if not y.requires_grad:
        return
    g = numbers(seed + 1, y.shape, y.dtype)
    y.backward(g)
    y_torch.backward(torch.tensor(g.astype(np.float64)))
    if isinstance(u, Tensor):
        assert u.grad.dtype == dtype
        assert_close(u.grad.astype(np.float64), t.grad, f"{what}, gradient", tolerance)
    for p, q in zip(layer.parameters(), parameters_of(reference, name)):
        assert_close(p.grad.astype(np.float64), q, f"{what}, parameter", 5 * tolerance)
    for buffer, q in zip(layer.buffers, reference.buffers()):
        ours = getattr(layer, buffer).astype(np.float64)
        assert_close(ours, q, f"{what}, {buffer}", 5 * tolerance)


def parameters_of(reference, name):
    """The gradients in PyTorch; those of a Linear lie the other way round."""
    found = [p.grad for p in reference.parameters()]
    return [q.T if name == "Layer" and q.ndim == 2 else q for q in found]


# Optimizers


leaves = st.tuples(seeds, st.sampled_from([(), (1,), (0, 2), (3,), (2, 3)]), floats, layouts)
rates = st.sampled_from([None, 0.5, np.float64(0.01)])
RUNS = (
    optimizers(),
    st.lists(leaves, min_size=1, max_size=3),
    st.lists(st.tuples(seeds, rates), min_size=1, max_size=8),
    st.integers(0, 8),
)


@given(*RUNS)
def test_an_optimizer_is_that_of_pytorch_step_by_step(drawn, leaves, course, stop):
    """After a while it is stopped, and another one goes on from its state."""
    name, options = drawn
    ours, theirs = [], []
    for seed, shape, dtype, layout in leaves:
        p = Tensor(0.0)
        p.data = LAYOUTS[layout](numbers(seed, shape, dtype))
        ours.append(p)
        theirs.append(torch.tensor(p.data.copy()))
    optimizer = getattr(optim, name)(ours, **options)
    theirs_options = {k: v if type(v) in (bool, tuple) else float(v) for k, v in options.items()}
    reference = getattr(torch.optim, name)(theirs, **theirs_options)
    twin = [copy.deepcopy(p) for p in ours]
    other = getattr(optim, name)(twin, **options)
    for i, (seed, rate) in enumerate(course):
        if i == stop:  # the twin is a new optimizer that takes over its own state
            state = {key: array.copy() for key, array in other.state_dict().items()}
            other = getattr(optim, name)(twin, **options)
            other.load_state_dict(state)
        if rate is not None:
            optimizer.lr = other.lr = rate
            reference.param_groups[0]["lr"] = float(rate)
        for k, (p, q, r) in enumerate(zip(ours, theirs, twin)):
            g = numbers(seed + k, p.shape, p.dtype)
            missing = (seed + k) % 4 == 0
            p.grad, r.grad = (None, None) if missing else (g, g)
            q.grad = None if missing else torch.tensor(g)
        for one in (optimizer, reference, other):
            one.step()
        for p, q, r in zip(ours, theirs, twin):
            tolerance = 1e-11 if p.dtype == np.float64 else 1e-4
            assert_close(p.data, q, f"{name} {options}, step {i}", tolerance)
            assert p.data.tobytes() == r.data.tobytes(), f"{name}: other bits after going on"


# Files


class State:
    """Arrays by name, as a model has them."""

    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return {name: array.copy() for name, array in self.state.items()}

    def load_state_dict(self, state, strict=True):
        assert state.keys() == self.state.keys(), "other names came back"
        self.state = {name: np.asarray(array) for name, array in state.items()}


def bits(state):
    return {
        name: (a.dtype.newbyteorder("="), a.shape, a.astype(a.dtype.newbyteorder("=")).tobytes())
        for name, a in state.items()
    }


dtypes = st.sampled_from(["<f8", ">f8", "f4", "f2", "i8", ">i4", "u1", "?"])
shapes = st.sampled_from([(), (0,), (3,), (2, 3), (1, 0, 2)])
names = st.sampled_from(["w", "w.npy", "a/b", "ü", "file", "", "a.0.b", "__metadata", " "])
states = st.dictionaries(names, st.tuples(seeds, shapes, dtypes, layouts), min_size=1, max_size=4)
endings = st.sampled_from([".npz", ".safetensors"])


def saved(drawn, ending):
    state = {
        name: LAYOUTS[layout]((numbers(seed, shape) * 9).astype(dtype))
        for name, (seed, shape, dtype, layout) in drawn.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"x{ending}")
        nn.save(State(state), path)
        with open(path, "rb") as file:
            return state, file.read()


def load(data, state, ending):
    """What is read from these bytes into a state of zeros, and the state afterwards."""
    model = State({name: np.zeros_like(array) for name, array in state.items()})
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"x{ending}")
        with open(path, "wb") as file:
            file.write(data)
        try:
            nn.load(model, path)
        except ValueError:
            zeros = {name: np.zeros_like(array) for name, array in state.items()}
            assert bits(model.state) == bits(zeros), "a damaged file changed the model"
            return None
    return model.state


FILES = states, endings


@given(*FILES)
def test_a_file_gives_back_every_bit(drawn, ending):
    state, data = saved(drawn, ending)
    back = load(data, state, ending)
    assert back is not None, "refused"
    assert bits(back) == bits(state)


def flip(data, place):
    i = place % (8 * len(data))
    return data[: i // 8] + bytes([data[i // 8] ^ (1 << i % 8)]) + data[i // 8 + 1 :]


DAMAGES = {
    "a bit": flip,
    "two bits": lambda data, place: flip(flip(data, place), place * 7 + 1),
    "cut short": lambda data, place: data[: place % len(data)],
    "longer": lambda data, place: data + data[: place % len(data)],
    "a part lost": lambda data, place: data[: place % len(data)] + data[place % len(data) + 3 :],
}


DAMAGED = states, endings, st.sampled_from(sorted(DAMAGES)), seeds, st.booleans()


@given(*DAMAGED)
def test_a_damaged_file_is_refused_or_gives_back_every_bit(drawn, ending, damage, place, renamed):
    state, data = saved(drawn, ending)
    data = DAMAGES[damage](data, place)
    if renamed:
        ending = {".npz": ".safetensors", ".safetensors": ".npz"}[ending]
    back = load(data, state, ending)
    assert back is None or bits(back) == bits(state)


# Faults that were there once, planted again


def every_nan_alike(x, kernel, stride):
    """Max pooling as it was, where nan is equal to nothing."""
    parts = convolution._parts(x.shape, kernel, stride)

    def derivative(g, y, x):
        largest, free = [], True
        for part in parts:
            largest.append((x[part] == y) & free)
            free = free & ~largest[-1]
        return convolution._put(g, parts, largest, x.shape, False)

    windows = convolution._windows
    return apply(
        "max_pool", lambda x: windows(x, kernel, stride).data.max((-1, -2)), (x,), derivative
    )


def in_its_own_dtype(x, axes, eps, center=True):
    x = x - x.mean(axis=axes, keepdims=True) if center else x
    return x / np.sqrt((x * x).mean(axis=axes, keepdims=True) + eps)


def without_numpys_numbers(name, x, parameter=None):
    return x if isinstance(x, Tensor) else np.asarray(x)


def keeping_numpys_numbers(optimizer, name, value, **limits):
    return value


FOUND = {  # what is replaced where, by what, and the test that finds it
    "gradients share memory": (calculus, "copied", lambda g: g, "graph"),
    "an array of another kind is made plain": (
        arrays, "zeros", lambda shape, g: np.zeros(shape, g.dtype), "kind"),
    "a nan keeps the gradient": (convolution, "_max_pool", every_nan_alike, "layer"),
    "float16 overflows": (rooms, "_normalize", in_its_own_dtype, "layer"),
    "layers take no lists": (rooms, "floating", without_numpys_numbers, "layer"),
    "a rate of NumPy's": (optim, "_number", keeping_numpys_numbers, "optimizer"),
    "no checksum": (files, "_checksum", lambda state: "", "damaged"),
    "a checksum of the numbers alone": (
        files, "_checksum",
        lambda state: str(zlib.crc32(b"".join(x.tobytes() for _, x in sorted(state.items())))),
        "damaged"),
    "members go by np.load": (
        files, "_read_npz", lambda file, mine: dict(np.load(file)), "every bit"),
    "big-endian bytes as they are": (files, "native", lambda dtype: dtype, "every bit"),
}  # fmt: skip
TESTS = {
    "graph": (test_a_graph_is_that_of_pytorch_to_the_second_order, GRAPHS),
    "kind": (test_a_graph_on_arrays_of_another_kind_is_the_same_to_the_bit, SMALL_GRAPHS),
    "layer": (test_a_layer_is_that_of_pytorch, LAYERS),
    "optimizer": (test_an_optimizer_is_that_of_pytorch_step_by_step, RUNS),
    "every bit": (test_a_file_gives_back_every_bit, FILES),
    "damaged": (test_a_damaged_file_is_refused_or_gives_back_every_bit, DAMAGED),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_planted_fault_is_found(name, monkeypatch):
    owner, attribute, wrong, kind = FOUND[name]
    test, strategies = TESTS[kind]
    search = given(*strategies)(test.hypothesis.inner_test)
    search = settings(max_examples=500, phases=[Phase.generate], report_multiple_bugs=False)(search)
    monkeypatch.setattr(owner, attribute, wrong)
    with pytest.raises(Exception) as found:
        search()
    assert not isinstance(found.value, HypothesisException), "no fault, but the search went wrong"
