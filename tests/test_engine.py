"""Tests of the engine: every operation against PyTorch, and what the graph promises around them."""

import gc
import itertools
import math
import operator
import threading
import tracemalloc
import weakref

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table import (
    ROWS,
    assert_same,
    check_against_pytorch,
    check_in_float32,
    compare,
    normal,
    off_zero,
    over_axes,
    positive,
    torch_dot,
    torch_index,
)

from micrograd import (
    Tensor,
    concatenate,
    dot,
    einsum,
    engine,
    grad,
    linear,
    maximum,
    minimum,
    no_grad,
    norm,
    stack,
    where,
)

# No operation may warn of an overflow or a division where its result is fine
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
search = settings(
    deadline=None,
    max_examples=50,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


# The table


@by_row
def test_values_gradients_and_second_gradients_are_those_of_pytorch(row):
    check_against_pytorch(row)


@by_row
def test_float32_stays_float32_and_agrees_with_float64(row):
    check_in_float32(row)


@pytest.mark.parametrize(
    ("ours", "theirs", "complaint"),
    [
        (np.ones((3, 1)), np.ones(3), "shape"),
        (np.ones(3, np.float32), np.ones(3), "dtype"),
        (np.float64(1), np.ones(()), "not an array"),
        (np.ones(3), np.ones(3) + 1e-8, "tolerance"),
        (np.full(3, np.nan), np.full(3, np.nan), "nan"),
    ],
)
def test_the_comparison_itself_refuses(ours, theirs, complaint):
    with pytest.raises(AssertionError, match=complaint):
        assert_same(ours, theirs, "here")


MIXED = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "@": (operator.matmul, lambda a, b: a.double() @ b.double()),
    "maximum": (maximum, torch.maximum),
    "where": (
        lambda a, b: where(np.eye(3) > 0, a, b),
        lambda a, b: torch.where(torch.eye(3) > 0, a, b),
    ),
    "concatenate": (lambda *xs: concatenate(xs), lambda *xs: torch.cat(xs)),
    "several uses": lambda a, b: (a + b.sum(0)) * b[0] + a.T,
}


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, (3, 3)) for name in MIXED] + [(name, ()) for name in (*"+-*/", "**", "maximum")],
)
def test_each_gradient_has_the_dtype_of_its_tensor_when_precisions_mix(name, shape):
    ours, theirs = MIXED[name] if isinstance(MIXED[name], tuple) else (MIXED[name],) * 2
    rng = np.random.default_rng(0)
    for dtypes in itertools.permutations((np.float32, np.float64)):
        arrays = [np.asarray(positive(rng, shape), dtype) for dtype in dtypes]
        x = [Tensor(a) for a in arrays]
        x_torch = [torch.tensor(a, requires_grad=True) for a in arrays]
        y, y_torch = ours(*x), theirs(*x_torch)
        if shape:  # PyTorch lets a 0-d float64 give way, NumPy doesn't
            assert_same(y.data, y_torch, f"{name} of {dtypes}", 1e-12)
        assert y.dtype == np.float64
        g = rng.normal(size=y.shape)
        y.backward(g)
        expected = torch.autograd.grad(y_torch, x_torch, torch.tensor(g).to(y_torch.dtype))
        for xk, e in zip(x, expected):
            assert_same(xk.grad, e, f"{name} of {dtypes}", 1e-6)
        for create_graph in (False, True):
            for gk, e in zip(grad(y, x, g, create_graph), expected):
                assert_same(gk.data, e, f"{name} of {dtypes}, grad({create_graph=})", 1e-6)


@pytest.mark.parametrize("base", [np.int8(3), np.array([2, 3], np.int8), np.float16(3)])
def test_a_narrow_constant_does_not_make_a_gradient_less_exact(base):
    x = Tensor(np.array([1.5, -0.5]))
    y = base**x
    y.backward()
    wide = np.asarray(base, np.float64)
    np.testing.assert_allclose(x.grad, np.log(wide) * wide**x.data, rtol=1e-14)


# Backward


def test_two_uses_of_one_tensor_add_up():
    x = Tensor([2.0, 3.0])
    y = x * x + x
    y.backward(np.array([1.0, 10.0]))
    assert x.grad.tolist() == [5.0, 70.0]


def test_backward_twice_doubles_leaves_and_only_leaves():
    x = Tensor([1.0, 2.0])
    h = x * 3
    y = h.exp() * 2
    y.backward()
    once = [t.grad.copy() for t in (x, h, y)]
    y.backward()
    assert np.array_equal(x.grad, 2 * once[0])
    assert np.array_equal(h.grad, once[1])
    assert np.array_equal(y.grad, once[2])


def test_backward_of_a_leaf_adds_to_its_gradient():
    x = Tensor([1.0, 2.0])
    x.backward()
    x.backward(np.array([1.0, 5.0]))
    assert x.grad.tolist() == [2.0, 6.0]


def test_two_losses_on_one_trunk_add_up_in_the_leaves_and_not_in_the_trunk():
    x = Tensor([1.0, 2.0])
    trunk = x * 3
    (trunk * 2).sum().backward()
    (trunk * trunk).sum().backward()
    assert trunk.grad.tolist() == [6.0, 12.0]
    assert x.grad.tolist() == [(2 + 6) * 3, (2 + 12) * 3]


def test_a_gradient_set_to_zero_or_none_starts_over():
    x = Tensor([1.0, 2.0])
    for reset in (lambda: setattr(x, "grad", None), lambda: x.grad.fill(0)):
        (x * 3).backward()
        assert x.grad.tolist() == [3.0, 3.0]
        reset()
        assert x.grad.tolist() == [0.0, 0.0]


def test_a_gradient_can_be_assigned_and_added_to_in_place():
    for dtype in (np.float32, np.float64):
        x = Tensor(np.ones(2, np.float32))
        mine = np.array([1.0, 2.0], dtype)
        x.grad = mine
        x.grad += 1
        assert mine.tolist() == [1.0, 2.0]
        assert x.grad.tolist() == [2.0, 3.0]
        assert x.grad.dtype == np.float32
        (x * 2).backward()
        assert x.grad.tolist() == [4.0, 5.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_the_gradient_is_zeros_before_backward(shape, dtype):
    x = Tensor(np.ones(shape, dtype))
    for t in (x, x * 2):
        assert_same(t.grad, np.zeros(shape, dtype), "before backward")
        assert t.grad is t.grad


def test_every_intermediate_has_its_gradient():
    x = Tensor([1.0, 2.0])
    a = x * 3
    b = a.exp()
    c = b.sum()
    c.backward()
    assert c.grad.tolist() == 1.0
    assert b.grad.tolist() == [1.0, 1.0]
    assert np.array_equal(a.grad, b.data)
    assert np.array_equal(x.grad, 3 * b.data)


def test_backward_starts_from_ones_or_from_the_gradient_given():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    (x * 2).backward()
    assert x.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    for given_as in (np.array, lambda g: g, Tensor, lambda g: np.array(g, np.float32)):
        x.grad = None
        y = x * 2
        y.backward(given_as([[1.0, 2.0], [3.0, 4.0]]))
        assert x.grad.tolist() == [[2.0, 4.0], [6.0, 8.0]]
        assert y.grad.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("given_as", [np.array, Tensor])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_gradient_given_in_another_precision_takes_that_of_its_tensor(shape, given_as):
    x = Tensor(np.full(shape, 3.0, np.float32))
    g = given_as(np.full(shape, 0.1))
    y = x * x
    y.backward(g)
    x.backward(g)
    for t in (x, y, grad(y, x, g), grad(y, y, g), grad(y, x, g, create_graph=True)):
        assert t.data.dtype == t.grad.dtype == np.float32


def test_a_chain_of_100_000_operations_runs_backward_and_dies():
    x = Tensor(1.0)
    y = x
    for _ in range(50_000):
        y = (y + 1e-5) * 1.00001
    middle = weakref.ref(y._prev[0])
    y.backward()
    assert x.grad == pytest.approx(1.00001**50_000, rel=1e-9)
    del y
    assert middle() is None


def test_a_tensor_used_by_many_is_visited_once():
    x = Tensor(1.0)
    y = x
    for _ in range(200):  # 2^200 paths
        y = y + y
    y.backward()
    assert x.grad == 2.0**200
    fan = sum((x * 1.0 for _ in range(2000)), Tensor(0.0))
    x.grad = None
    fan.backward()
    assert x.grad == 2000


def test_the_order_of_summation_and_so_the_last_digit_never_changes():
    rng = np.random.default_rng(0)
    start = rng.normal(size=50)

    def gradient():
        x = Tensor(start)
        terms = [x**k * math.pi**k for k in range(1, 10)]
        stack(terms).sum().backward()
        return x.grad.tobytes()

    assert len({gradient() for _ in range(20)}) == 1


# Memory


def train(steps, w=None):
    w = Tensor(np.full((20, 20), 0.01)) if w is None else w
    x = np.ones((5, 20))
    for _ in range(steps):
        w.grad = None
        h = linear(x, w, Tensor(np.zeros(20))).tanh()
        loss = ((h @ w).softmax() * h).sum() + (w[[0, 0]] ** 2).mean() + w.prod(0).std()
        loss.backward()
        (grad((w * w).exp().sum(), w, create_graph=True) * w).sum().backward()
        w.data -= 0.01 * w.grad
    return w


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_graph_dies_with_its_last_name():
    x = Tensor([1.0, 2.0])
    parts = [x * 2]
    parts += [parts[0].exp(), parts[0].softmax(), parts[0][[0, 0]], parts[0].std(), parts[0].prod()]
    y = sum(part.sum() for part in parts)
    y.backward()
    second = grad(grad(y, x, create_graph=True).sum(), x, create_graph=True)
    refs = [weakref.ref(t) for t in (*parts, y, second)]
    del parts, y, second
    assert all(ref() is None for ref in refs)


@pytest.mark.usefixtures("no_collector")
def test_objects_do_not_accumulate_in_a_training_loop():
    def count():
        objects = gc.get_objects()
        return len(objects), sum(type(o) is Tensor for o in objects)

    w = train(3)
    before = count()
    train(40, w)
    after = count()
    assert after[1] == before[1]
    assert after[0] - before[0] < 40  # less than one object a step


@pytest.mark.usefixtures("no_collector")
def test_memory_does_not_grow_in_a_training_loop_and_no_garbage_is_left_to_collect():
    w = train(3)
    tracemalloc.start()
    try:
        train(3, w)
        gc.collect()  # Python keeps dead tuples for reuse, and lets go of them here alone
        before, _ = tracemalloc.get_traced_memory()
        train(40, w)
        assert gc.collect() == 0
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 40 * 400  # an eighth of the smallest matrix here, for every step


def test_data_are_copied_at_construction():
    array = np.ones(3)
    for data in (array, Tensor(array)):
        x = Tensor(data)
        x.data += 1
        assert array.tolist() == [1.0, 1.0, 1.0]
        assert np.asarray(data).tolist() == [1.0, 1.0, 1.0]


ALIASES = {
    "x + y": lambda x, y: x + y,
    "x + x": lambda x, y: x + x,
    "x - y": lambda x, y: x - y,
    "(x + y) + x": lambda x, y: (x + y) + x,
    "(x + y) + (x + y)": lambda x, y: (x + y) + (x + y),
    "x + (x + y)": lambda x, y: x + (x + y),
    "h + h.T": lambda x, y: (lambda h: h + h.T)(x + y),
    "h + h.T + x": lambda x, y: (lambda h: (h + h.T) + x)(x + y),
    "reshape": lambda x, y: x.reshape(9) + y.ravel(),
    "transpose": lambda x, y: x.T + y,
    "swapaxes": lambda x, y: x.swapaxes(0, 1) + y.transpose(1, 0),
    "expand_dims, squeeze": lambda x, y: x.expand_dims(0).squeeze(0) + y.broadcast_to(2, 3, 3),
    "sum": lambda x, y: x.sum(0) + y.sum(1),
    "index": lambda x, y: x[1:] + y[:2],
    "row by row": lambda x, y: x[0] + x[1] + y[0] + y[0],
    "concatenate": lambda x, y: concatenate([x, y, x]),
    "stack": lambda x, y: stack([x, y, y]),
    "where": lambda x, y: where(True, x, y),
    "pad": lambda x, y: x.pad(0) + y.pad(0),
    "tril": lambda x, y: x.tril() + y.triu(),
    "clip": lambda x, y: x.clip(-9, 9) + y.clip(-9, 9),
    "astype": lambda x, y: x.astype(float) + y.astype(float),
    "cumsum": lambda x, y: x.cumsum(0) + y,
    "einsum": lambda x, y: einsum("ij->ji", x) + einsum("ij->ij", y),
    "linear": lambda x, y: linear(x, y, y[0]),
    "max": lambda x, y: x.max(()) + y.mean(()),
    "x * 1": lambda x, y: x * 1 + y,
    "leaf": lambda x, y: x,
}


@pytest.mark.parametrize("name", ALIASES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_no_gradient_shares_memory_with_another_or_with_the_callers(name, order):
    rng = np.random.default_rng(0)
    x, y = Tensor(rng.normal(size=(3, 3))), Tensor(rng.normal(size=(3, 3)))
    output = ALIASES[name](x, y)
    gradient = np.array(rng.normal(size=output.shape), order=order)
    kept = gradient.copy()
    output.backward(gradient)
    output.backward(gradient)
    tensors = everything_behind(output, x, y)
    arrays = [gradient, *(t.grad for t in tensors)]
    for a, b in itertools.combinations(arrays, 2):
        assert not np.shares_memory(a, b)
    for a, t in itertools.product(arrays, tensors):
        assert not np.shares_memory(a, t.data)
    assert all(a.flags.writeable for a in arrays)
    assert np.array_equal(gradient, kept)

    results = grad(output, (x, y), gradient)
    arrays = [gradient, *(r.data for r in results), x.data, y.data]
    for a, b in itertools.combinations(arrays, 2):
        assert not np.shares_memory(a, b)
    for result in grad(output, (x, y, output), gradient, create_graph=True):
        assert not np.shares_memory(result.data, gradient)


def everything_behind(*tensors):
    found, todo = [], list(tensors)
    while todo:
        t = todo.pop()
        if all(t is not seen for seen in found):
            found.append(t)
            todo += t._prev
    return found


@pytest.mark.parametrize("name", ALIASES)
def test_writing_to_one_gradient_changes_no_other_even_one_not_looked_at_yet(name):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))

    def run():
        x, y = Tensor(a), Tensor(b)
        output = ALIASES[name](x, y)
        gradient = Tensor(np.cos(np.arange(output.size)).reshape(output.shape))
        output.backward(gradient)
        return everything_behind(output, x, y), gradient

    tensors, _ = run()
    expected = [t.grad for t in tensors]
    for written in range(len(tensors) + 1):
        tensors, gradient = run()
        (gradient.data if written == len(tensors) else tensors[written].grad).fill(np.nan)
        for k, t in enumerate(tensors):
            if k != written:
                assert_same(t.grad, expected[k], f"gradient {k} after {written} was written to")


CONSTANT = {
    "*": operator.mul,
    "/": operator.truediv,
    "@": operator.matmul,
    "**": operator.pow,
    "maximum": maximum,
    "einsum": lambda a, b: einsum("ij,jk->ik", a, b),
    "linear": lambda a, b: linear(a, b, np.ones(2)),
    "concatenate": lambda a, b: concatenate([a, b]),
    "where": lambda a, b: where(True, a, b),
}


@pytest.mark.parametrize("constant", [np.asarray, lambda a: Tensor(a, requires_grad=False)])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", CONSTANT)
def test_nothing_is_computed_for_a_constant(name, place, constant, monkeypatch):
    called, record_operation = set(), engine.record

    def recording(op, forward, operands, derivatives):
        def record(k, derivative):
            def d(*arguments):
                called.add(k)
                return derivative(*arguments)

            return d

        derivatives = tuple(record(k, d) for k, d in enumerate(derivatives))
        return record_operation(op, forward, operands, derivatives)

    monkeypatch.setattr(engine, "record", recording)
    operands = [Tensor(np.full((2, 2), 2.0)), Tensor(np.full((2, 2), 3.0))]
    operands[place] = constant(operands[place].data)
    CONSTANT[name](*operands).backward()
    assert called == {1 - place}
    if isinstance(operands[place], Tensor):
        assert not operands[place].grad.any()


def test_operations_on_constants_alone_have_no_history():
    fixed = Tensor([1.0, 2.0], requires_grad=False)
    for y in (fixed * 2, maximum(np.ones(2), 0.0), fixed[0], fixed.exp().sum()):
        assert type(y) is Tensor
        assert not y.requires_grad
        assert y._prev == ()


# no_grad


def is_recorded():
    return (Tensor(1.0) * 2).requires_grad


def test_no_grad_records_nothing_and_ends():
    with no_grad():
        assert not is_recorded()
    assert is_recorded()


def test_no_grad_decorates_again_and_again():
    @no_grad()
    def inside(depth):
        return is_recorded() or (depth and inside(depth - 1))

    for _ in range(3):
        assert not inside(2)
        assert is_recorded()
    assert inside.__name__ == "inside"


def test_no_grad_nests():
    with no_grad():
        with no_grad():
            assert not is_recorded()
        assert not is_recorded()
    assert is_recorded()


def test_no_grad_ends_with_an_exception():
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_recorded()


def test_no_grad_holds_for_its_own_thread_alone():
    seen = {}
    with no_grad():
        thread = threading.Thread(target=lambda: seen.update(other=is_recorded()))
        thread.start()
        thread.join()
        assert not is_recorded()
    assert seen == {"other": True}

    entered, leave = threading.Event(), threading.Event()

    def hold():
        with no_grad():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(10)
    assert is_recorded()
    leave.set()
    thread.join()


def test_a_graph_recorded_before_runs_backward_under_no_grad():
    x = Tensor([1.0, 2.0])
    y = x * x
    with no_grad():
        y.backward()
        second = grad(grad(y, x, create_graph=True), x)
    assert x.grad.tolist() == [2.0, 4.0]
    assert second.data.tolist() == [2.0, 2.0]


def test_detach_shares_the_memory_and_drops_the_history():
    x = Tensor([1.0, 2.0])
    y = x * 2
    d = y.detach()
    assert np.shares_memory(d.data, y.data)
    assert not d.requires_grad
    assert d._prev == ()
    (x * d).backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_astype_brings_the_gradient_back():
    x = Tensor(np.array([1.0, 2.0], np.float32))
    y = x.astype(np.float64) * np.pi
    assert y.dtype == np.float64
    y.backward()
    assert_same(x.grad, np.full(2, np.pi, np.float32), "gradient")


# Domain edges


def values_and_slopes(f, points):
    x = Tensor(points)
    y = f(x)
    y.backward()
    on_tensors = grad(y, x, create_graph=True)
    np.testing.assert_array_equal(on_tensors.data, x.grad)
    return y.data.tolist(), x.grad.tolist()


EDGES = {
    "relu at 0": (lambda x: x.relu(), [0.0, -0.0], [0, 0], [0, 0]),
    "leaky_relu at 0": (lambda x: x.leaky_relu(0.1), [0.0], [0], [0.1]),
    "abs at 0": (lambda x: abs(x), [0.0, -0.0], [0, 0], [0, 0]),
    "x ** 0": (lambda x: x**0, [0.0, 2.0, -1.0], [1, 1, 1], [0, 0, 0]),
    "x ** 0.0": (lambda x: x**0.0, [0.0, 2.0], [1, 1], [0, 0]),
    "x ** 1": (lambda x: x**1, [0.0, -2.0], [0, -2], [1, 1]),
    "x ** 1.0": (lambda x: x**1.0, [0.0], [0], [1]),
    "x ** 2": (lambda x: x**2, [0.0, -3.0], [0, 9], [0, -6]),
    "x ** 3": (lambda x: x**3, [0.0, -2.0], [0, -8], [0, 12]),
    "x ** [0, 1, 2]": (lambda x: x ** np.arange(3), [0.0, 0.0, 0.0], [1, 0, 0], [0, 1, 0]),
    "0 ** x": (lambda x: 0**x, [0.0, 1.0, 2.0], [1, 0, 0], [0, 0, 0]),
    "0.0 ** x": (lambda x: np.zeros(3) ** x, [0.0, 1.0, 2.0], [1, 0, 0], [0, 0, 0]),
    "1 ** x": (lambda x: 1**x, [0.0, -5.0], [1, 1], [0, 0]),
    "max of equals": (lambda x: x.max(), [3.0, 1.0, 3.0], 3, [0.5, 0, 0.5]),
    "min of equals": (lambda x: x.min(), [1.0] * 4, 1, [0.25] * 4),
    "max over rows": (lambda x: x.max(1), [[2.0, 2.0], [1.0, 5.0]], [2, 5], [[0.5, 0.5], [0, 1]]),
    "maximum(x, x)": (lambda x: maximum(x, x), [2.0], [2], [1]),
    "maximum(x, 2)": (lambda x: maximum(x, 2), [2.0], [2], [0.5]),
    "minimum(2, x)": (lambda x: minimum(2, x), [2.0], [2], [0.5]),
    "clip at its limits": (
        lambda x: x.clip(0, 1), [0.0, 1.0, -1.0, 2.0], [0, 1, 0, 1], [1, 1, 0, 0],
    ),
    "std of equals": (lambda x: x.std(), [2.0, 2.0], 0, [0, 0]),
    "std of one": (lambda x: x.std(0), [[2.0, 3.0]], [0, 0], [[0, 0]]),
    "var of one": (lambda x: x.var(), [2.0], 0, [0]),
    "norm at 0": (lambda x: norm(x), [0.0, 0.0], 0, [0, 0]),
    "prod with a zero": (lambda x: x.prod(), [0.0, 2.0, 3.0], 0, [6, 0, 0]),
    "prod with two zeros": (lambda x: x.prod(), [0.0, 2.0, 0.0], 0, [0, 0, 0]),
    "prod of nothing": (lambda x: x.prod(), [], 1, []),
    "sum of nothing": (lambda x: x.sum(), [], 0, []),
    "logsumexp of nothing": (lambda x: x.logsumexp(), [], -np.inf, []),
    "logsumexp with -inf": (lambda x: x.logsumexp(), [-np.inf, 0.0], 0, [0, 1]),
    "softmax with -inf": (lambda x: x.softmax(), [-np.inf, 0.0], [0, 1], [0, 0]),
    "log1p of little": (lambda x: x.log1p(), [1e-20], [1e-20], [1]),
    "expm1 of little": (lambda x: x.expm1(), [1e-20], [1e-20], [1]),
    "tanh far out": (lambda x: x.tanh(), [-1000.0, 1000.0], [-1, 1], [0, 0]),
    "sigmoid far out": (lambda x: x.sigmoid(), [-1000.0, 1000.0], [0, 1], [0, 0]),
    "softplus far out": (lambda x: x.softplus(), [-1000.0, 1000.0], [0, 1000], [0, 1]),
    "silu far out": (lambda x: x.silu(), [-1000.0, 1000.0], [0, 1000], [0, 1]),
    "gelu far out": (lambda x: x.gelu(), [-1000.0, 1000.0], [0, 1000], [0, 1]),
    "gelu('tanh') far out": (lambda x: x.gelu("tanh"), [-1000.0, 1000.0], [0, 1000], [0, 1]),
    "softmax far out": (lambda x: x.softmax(), [-1000.0, 1000.0], [0, 1], [0, 0]),
    "log_softmax far out": (lambda x: x.log_softmax(), [-1000.0, 1000.0], [-2000, 0], [1, -1]),
    "logsumexp far out": (lambda x: x.logsumexp(), [-1000.0, 1000.0], 1000, [0, 1]),
    "logsumexp of large": (
        lambda x: x.logsumexp() - math.log(2), [1000.0, 1000.0], 1000, [0.5, 0.5],
    ),
    "logsumexp of small": (
        lambda x: x.logsumexp() - math.log(2), [-1000.0, -1000.0], -1000, [0.5, 0.5],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_values_and_slopes_at_the_edges_of_a_domain(name):
    f, points, values, slopes = EDGES[name]
    y, dy = values_and_slopes(f, points)
    # Relative: a zero is exactly zero
    np.testing.assert_allclose(y, values, rtol=1e-12, atol=0, err_msg="values")
    np.testing.assert_allclose(dy, slopes, rtol=1e-12, atol=0, err_msg="slopes")


def test_0_to_the_0_is_1_and_flat_in_the_exponent():
    a, b = Tensor([0.0, 0.0]), Tensor([0.0, 2.0])
    y = a**b
    y.backward()
    assert y.data.tolist() == [1.0, 0.0]
    assert a.grad.tolist() == [0.0, 0.0]
    assert b.grad.tolist() == [0.0, 0.0]


@np.errstate(divide="ignore")
def test_log_of_0_is_minus_infinity_and_sqrt_is_steep_there():
    assert values_and_slopes(Tensor.log, [0.0, 1.0]) == ([-np.inf, 0.0], [np.inf, 1.0])
    assert values_and_slopes(Tensor.log1p, [-1.0]) == ([-np.inf], [np.inf])
    assert values_and_slopes(Tensor.sqrt, [0.0, 4.0]) == ([0.0, 2.0], [np.inf, 0.25])
    assert values_and_slopes(lambda x: x**0.5, [0.0]) == ([0.0], [np.inf])
    assert values_and_slopes(lambda x: 1 / x, [0.0]) == ([np.inf], [-np.inf])


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "silu", "gelu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_second_slopes_far_out_are_zero_and_not_nan(name, dtype):
    x = Tensor(np.array([-1000.0, 1000.0], dtype))
    second = grad(grad(getattr(x, name)(), x, create_graph=True), x)
    assert_same(second.data, np.zeros(2, dtype), name)


def test_two_equal_maxima_share_over_every_axis():
    x = Tensor(np.ones((2, 3, 2)))
    x.max((0, 2)).backward(np.array([4.0, 8.0, 12.0]))
    assert_same(x.grad, np.broadcast_to([[1.0], [2.0], [3.0]], (2, 3, 2)), "gradient")


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_a_column_is_that_of_the_vector(name):
    v = np.array([1.0, 2.0, 4.0])
    g = np.array([1.0, -2.0, 3.0])
    results = []
    for shape in ((3,), (3, 1), (1, 3)):
        x = Tensor(v.reshape(shape))
        y = getattr(x, name)()
        y.backward(g.reshape(shape))
        assert y.shape == x.grad.shape == shape
        results.append((y.data.ravel(), x.grad.ravel()))
    for y, dx in results:
        np.testing.assert_allclose(y, results[0][0], rtol=1e-15)
        np.testing.assert_allclose(dx, results[0][1], rtol=1e-14)
    assert (np.exp(y) if name == "log_softmax" else y).sum() == pytest.approx(1)


# The old faces


def test_the_classic_example():
    a = Tensor(-4.0)
    b = Tensor(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    assert f"{g.item():.4f}" == "24.7041"
    g.backward()
    assert f"{a.grad:.4f}" == "138.8338"
    assert f"{b.grad:.4f}" == "645.5773"


def test_the_graph_can_be_walked_by_prev_and_op():
    x, w = Tensor([1.0, 2.0], label="x"), Tensor([3.0, 4.0])
    array = np.ones(2)
    h = x * w
    y = h + array
    z = (y**2).sum()
    assert (z._op, y._op, h._op, x._op) == ("sum", "+", "*", "")
    assert h._prev == (x, w)
    assert y._prev == (h,)
    assert x._prev == ()
    assert (x - x)._prev == (x, x)
    assert z._prev[0]._prev[0] is y


def test_a_step_of_gradient_descent_in_place():
    p = Tensor(np.array([1.0, 2.0]))
    same = p.data
    (p * p).sum().backward()
    p.data -= 0.1 * p.grad
    assert p.data is same
    np.testing.assert_allclose(p.data, [0.8, 1.6], rtol=1e-15)


# Errors, all of them: what was wrong, and where


def raising(f):
    """Pass the operands that almost every line below needs."""
    return lambda: f(Tensor(np.ones((2, 3))), Tensor(np.ones(4)), Tensor(2.0))


ERRORS = [
    # construction
    (lambda: Tensor(1j), TypeError, "expected real numbers, got 1j of type complex"),
    (lambda: Tensor([1j]), TypeError, "expected real numbers"),
    (lambda: Tensor("text"), TypeError, "expected real numbers, got 'text' of type str"),
    (lambda: Tensor(["a"]), TypeError, "expected real numbers"),
    (lambda: Tensor(None), TypeError, "expected real numbers, got None of type NoneType"),
    (lambda: Tensor(object()), TypeError, "expected real numbers"),
    (lambda: Tensor({}), TypeError, "expected real numbers"),
    (lambda: Tensor([1.0, None]), TypeError, "expected real numbers"),
    (lambda: Tensor([[1.0], [1.0, 2.0]]), TypeError, "rectangular array"),
    (lambda: Tensor(np.array([1j])), TypeError, r"array of dtype complex128 and shape \(1,\)"),
    (lambda: Tensor(np.array([None])), TypeError, r"array of dtype object and shape \(1,\)"),
    (lambda: Tensor(Tensor(1.0) * 2), TypeError, r"made by '\*'"),
    (lambda: Tensor([Tensor(1.0) * 2, Tensor(1.0) * 2]), TypeError, r"made by '\*'"),
    (lambda: Tensor([[Tensor([1.0]) * 2], [Tensor([1.0]) * 2]]), TypeError, r"made by '\*'"),
    # operands
    *[
        (raising(lambda x, y, s, f=f, bad=bad: f(x, bad)), TypeError, r"expected a Tensor, a real")
        for f in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow,
                  operator.matmul, maximum, lambda x, bad: where(True, x, bad),
                  lambda x, bad: bad + x, lambda x, bad: concatenate([x, bad]))
        for bad in (None, "text", 1j)
    ],
    (raising(lambda x, y, s: x * np.array([1j])), TypeError, r"\*: .* array of dtype complex128"),
    (raising(lambda x, y, s: x * [1, 2, 3]), TypeError, r"\*: .* of type list"),
    (raising(lambda x, y, s: x + np.array(["a"])), TypeError, r"\+: .* array of dtype <U1"),
    # shapes: the operation, and both shapes
    *[
        (raising(lambda x, y, s, f=f: f(x, y)), ValueError, rf"{op} of shape \(2, 3\) and \(4,\)")
        for op, f in ((r"\+", operator.add), ("-", operator.sub), (r"\*", operator.mul),
                      ("/", operator.truediv), (r"\*\*", operator.pow), ("@", operator.matmul),
                      ("maximum", maximum), ("minimum", minimum), ("@", dot),
                      ("where", lambda x, y: where(True, x, y)),
                      ("concatenate", lambda x, y: concatenate([x, y])),
                      ("stack", lambda x, y: stack([x, y])),
                      ("einsum", lambda x, y: einsum("ij,j->i", x, y)))
    ],
    (raising(lambda x, y, s: np.ones((2, 3)) * y), ValueError, r"\* of shape \(2, 3\) and \(4,\)"),
    (raising(lambda x, y, s: np.ones((2, 3)) @ y), ValueError, r"@ of shape \(2, 3\) and \(4,\)"),
    (raising(lambda x, y, s: x @ s), ValueError, r"@ of shape \(2, 3\) and \(\)"),
    (raising(lambda x, y, s: 2 @ x), ValueError, r"@ of shape \(\) and \(2, 3\)"),
    (raising(lambda x, y, s: linear(x, y, s)), ValueError, r"linear of shape \(2, 3\) and \(4,\)"),
    (raising(lambda x, y, s: Tensor(np.ones((2, 2, 3))) @ x), ValueError,
     r"@ of shape \(2, 2, 3\) and \(2, 3\)"),
    (raising(lambda x, y, s: x.reshape(4)), ValueError, r"reshape of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.transpose(0)), ValueError, r"transpose of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.transpose(0, 0)), ValueError, r"transpose of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.swapaxes(0, 2)), ValueError, r"swapaxes of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.broadcast_to(3, 2)), ValueError, r"broadcast_to of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.squeeze(0)), ValueError, r"squeeze of shape \(2, 3\)"),
    (raising(lambda x, y, s: x.expand_dims(4)), ValueError, r"expand_dims of shape \(2, 3\)"),
    (raising(lambda x, y, s: x[2]), IndexError, r"index of shape \(2, 3\)"),
    (raising(lambda x, y, s: x[0, 0, 0]), IndexError, r"index of shape \(2, 3\)"),
    (raising(lambda x, y, s: x[0.5]), IndexError, r"index of shape \(2, 3\)"),
    (raising(lambda x, y, s: s[0]), IndexError, r"index of shape \(\)"),
    *[
        (raising(lambda x, y, s, name=name: getattr(x, name)(axis=2)), ValueError, name)
        for name in ("sum", "mean", "max", "min", "var", "std", "prod", "cumsum", "softmax",
                     "log_softmax", "logsumexp")
    ],
    (raising(lambda x, y, s: norm(x, axis=2)), ValueError, "norm"),
    *[
        (lambda name=name: getattr(Tensor(np.ones((0, 3))), name)(), ValueError,
         rf"{name} of shape \(0, 3\)")
        for name in ("max", "min")
    ],
    # options
    (raising(lambda x, y, s: x.gelu("erf")), ValueError, "approximate is .* got 'erf'"),
    (raising(lambda x, y, s: x.astype(int)), TypeError, "floating dtype, got int64"),
    (raising(lambda x, y, s: norm(x, 1)), ValueError, r"ord=1 is for vectors.*\(2, 3\)"),
    (raising(lambda x, y, s: norm(x, 1, (0, 1))), ValueError, "ord=1 is for vectors"),
    (raising(lambda x, y, s: norm(y, 3)), ValueError, "norm: ord is None, 1, 2 or inf, got 3"),
    (raising(lambda x, y, s: einsum("ij,j->i", x)), ValueError, "is for 2 operands, got 1"),
    (raising(lambda x, y, s: einsum("ijk->i", x)), ValueError, "'ijk' does not fit .* 2 axes"),
    (raising(lambda x, y, s: einsum("i->i", x)), ValueError, "'i' does not fit .* 2 axes"),
    (raising(lambda x, y, s: einsum("ii->i", x)), ValueError, "label 'i' of 'ii' .* several"),
    (raising(lambda x, y, s: einsum("ij->k", x)), ValueError, "einsum"),
    (raising(lambda x, y, s: einsum(x, [0, 1])), TypeError, "expected subscripts"),
    # the graph
    (raising(lambda x, y, s: x.backward(np.ones(3))), ValueError,
     r"backward: a gradient of shape \(3,\) for a tensor of shape \(2, 3\)"),
    (raising(lambda x, y, s: (x * 2).backward(np.ones((2, 1)))), ValueError, r"shape \(2, 1\)"),
    (raising(lambda x, y, s: s.backward(np.ones(1))), ValueError, r"shape \(1,\)"),
    (lambda: Tensor(1.0, requires_grad=False).backward(), RuntimeError, "requires no gradient"),
    (raising(lambda x, y, s: x.detach().backward()), RuntimeError, "requires no gradient"),
    (raising(lambda x, y, s: no_grad()(lambda: x * 2)().backward()), RuntimeError, "no_grad"),
    (raising(lambda x, y, s: setattr(x, "grad", np.ones(3))), ValueError,
     r"grad of shape \(3,\) for a tensor of shape \(2, 3\)"),
    (raising(lambda x, y, s: grad(x * 2, x, np.ones(3))), ValueError,
     r"grad: a gradient of shape \(3,\) for a tensor of shape \(2, 3\)"),
    (raising(lambda x, y, s: grad(1.0, x)), TypeError, "grad: expected a Tensor, got 1.0"),
    (raising(lambda x, y, s: grad(x, [x, 1.0])), TypeError, "grad: expected a Tensor, got 1.0"),
    (raising(lambda x, y, s: grad(x * 2, x.detach())), ValueError, "requires_grad=False"),
    # the face
    (raising(lambda x, y, s: x.item()), ValueError, r"one element, got shape \(2, 3\)"),
    (raising(lambda x, y, s: float(x)), ValueError, "one element"),
    (lambda: Tensor([]).item(), ValueError, r"got shape \(0,\)"),
    (raising(lambda x, y, s: len(s)), TypeError, "0-d Tensor"),
    (raising(lambda x, y, s: iter(s)), TypeError, "0-d Tensor"),
    (raising(lambda x, y, s: bool(x)), ValueError, "ambiguous"),
    (raising(lambda x, y, s: operator.setitem(x, 0, 1.0)), TypeError, "cannot be assigned"),
    # NumPy's doors
    (raising(lambda x, y, s: np.asarray(x * 2)), TypeError, r"made by '\*' does not turn into"),
    (raising(lambda x, y, s: np.array([s * 2, s * 2])), TypeError, r"made by '\*'"),
    (raising(lambda x, y, s: np.array([y * 2, y * 2])), TypeError, r"made by '\*'"),
    (raising(lambda x, y, s: np.arctan(x)), TypeError, r"np\.arctan is not defined .* absolute"),
    (raising(lambda x, y, s: np.median(x)), TypeError, r"np\.median is not defined"),
    (raising(lambda x, y, s: np.linalg.inv(x)), TypeError, r"np\.linalg\.inv is not defined"),
    (raising(lambda x, y, s: np.fft.fft(x)), TypeError, r"np\.fft\.fft is not defined"),
    (raising(lambda x, y, s: np.floor_divide(x, 2)), TypeError, r"np\.floor_divide"),
    (raising(lambda x, y, s: np.add.reduce(x)), TypeError, r"np\.add\.reduce is not defined"),
    (raising(lambda x, y, s: np.multiply.outer(x, y)), TypeError, r"np\.multiply\.outer"),
    (raising(lambda x, y, s: np.add.at(x, 0, 1)), TypeError, r"np\.add\.at"),
    (raising(lambda x, y, s: np.exp(x, dtype=float)), TypeError, r"np\.exp with dtype"),
    (raising(lambda x, y, s: np.exp(x, where=np.ones(3, bool))), TypeError, r"np\.exp with where"),
    (raising(lambda x, y, s: np.exp(x, out=np.ones((2, 3)))), TypeError, r"np\.exp: .* written"),
    (raising(lambda x, y, s: np.add(np.ones((2, 3)), 1, out=x)), TypeError, r"np\.add"),
    (raising(lambda x, y, s: operator.iadd(np.ones((2, 3)), x)), TypeError, "array = array"),
    (raising(lambda x, y, s: operator.imatmul(np.ones((2, 2)), x)), TypeError, "np.matmul"),
    (raising(lambda x, y, s: operator.setitem(np.ones((2, 3)), 0, x[0])), TypeError, "'index'"),
    (raising(lambda x, y, s: np.sum(x, dtype=int)), TypeError, "dtype"),
    (raising(lambda x, y, s: np.sum(x, out=np.ones(()))), TypeError, "out"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("f", "error", "message"), ERRORS, ids=[f"{i}-{e[2]}" for i, e in enumerate(ERRORS)]
)
def test_a_mistake_raises_an_error_that_names_it(f, error, message):
    with pytest.raises(error, match=message) as raised:
        f()
    assert raised.type is error or issubclass(raised.type, error)


@pytest.mark.parametrize("name", ["sum", "max", "min", "logsumexp"])
def test_a_number_is_reduced_over_its_last_axis_as_in_numpy(name):
    x = Tensor(2.0)
    y = getattr(x, name)(axis=-1)
    y.backward(np.array(3.0))
    assert x.grad == 3
    assert grad(y * y, x, create_graph=True).item() == 4


def test_an_index_or_condition_that_changes_later_changes_no_gradient():
    x, index, key, condition = Tensor([1.0, 2.0]), np.array([0, 0]), [0], np.array([True, False])
    y = x[index].sum() + x[key].sum() + where(condition, x, 0.0).sum()
    index[:], key[0], condition[:] = 1, 1, False
    y.backward()
    assert x.grad.tolist() == [4.0, 0.0]


def test_the_derivatives_of_softplus_at_0_are_right_to_the_fourth():
    x = Tensor(0.0)
    y = x.softplus()
    for expected in (0.5, 0.25, 0.0, -0.125):
        y = grad(y, x, create_graph=True)
        assert_same(y.data, np.array(expected), "derivative")


# Random shapes, axes, indices and graphs

small = {"max_dims": 3, "min_side": 0, "max_side": 3}
BINARY = {
    "+": (operator.add, operator.add, normal),
    "-": (operator.sub, operator.sub, normal),
    "*": (operator.mul, operator.mul, normal),
    "/": (operator.truediv, operator.truediv, off_zero),
    "**": (operator.pow, operator.pow, positive),
    "maximum": (maximum, torch.maximum, normal),
    "minimum": (minimum, torch.minimum, normal),
}
REDUCTIONS = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
    "logsumexp": torch.logsumexp,
    "var": lambda x, d, k: torch.var(x, d, correction=0, keepdim=k),
}


@search
@given(
    name=st.sampled_from(sorted(BINARY)),
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, **small),
)
def test_binary_operations_of_any_two_shapes_that_broadcast(name, shapes):
    ours, theirs, domain = BINARY[name]
    rng = np.random.default_rng(0)
    compare(ours, theirs, [np.asarray(domain(rng, s)) for s in shapes.input_shapes], name, rng)


@search
@given(data=st.data(), name=st.sampled_from(sorted(REDUCTIONS)), keepdims=st.booleans())
def test_reductions_over_any_axes(data, name, keepdims):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=3))
    axes = st.none()
    if shape:
        axes |= st.integers(-len(shape), len(shape) - 1)
        axes |= hnp.valid_tuple_axes(len(shape), min_size=1)
    axis = data.draw(axes)
    theirs = over_axes(REDUCTIONS[name])
    rng = np.random.default_rng(0)
    compare(
        lambda x: getattr(x, name)(axis=axis, keepdims=keepdims),
        lambda x: theirs(x, axis, keepdims),
        [rng.normal(size=shape)],
        f"{name}(axis={axis}, keepdims={keepdims})",
        rng,
    )


@st.composite
def shapes_and_keys(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    kind = draw(st.sampled_from(["basic", "integers", "mask", "mixed"]))
    if kind == "basic":
        return shape, draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    if kind == "integers":
        return shape, draw(hnp.integer_array_indices(shape, dtype=np.int64))
    if kind == "mask":
        return shape, draw(hnp.arrays(bool, draw(st.sampled_from([shape, shape[:1]]))))
    length = draw(st.integers(1, 3))
    key = [
        draw(
            st.slices(n)
            | st.integers(-n, n - 1)
            | st.lists(st.integers(-n, n - 1), min_size=length, max_size=length)
        )
        for n in shape[: draw(st.integers(1, len(shape)))]
    ]
    key.insert(draw(st.integers(0, len(key))), draw(st.sampled_from([None, ...])))
    return shape, tuple(key)


@settings(search, max_examples=200)
@given(shapes_and_keys())
def test_any_index_and_its_transposed_operation(shape_and_key):
    shape, key = shape_and_key
    rng = np.random.default_rng(0)
    a = rng.normal(size=shape)
    compare(operator.itemgetter(key), torch_index(key), [a], f"x[{key!r}]", rng)

    # Indexing is linear: its matrix has a 1 where an element goes, and the gradient is by its
    # transpose
    taken = np.arange(a.size).reshape(shape)[key]
    matrix = (taken.reshape(-1, 1) == np.arange(a.size)).astype(float)
    x = Tensor(a)
    y = x[key]
    assert_same(y.data, np.asarray(a[key]), f"x[{key!r}]")
    g = rng.normal(size=y.shape)
    y.backward(g)
    assert_same(x.grad, (matrix.T @ g.reshape(-1)).reshape(shape), f"x[{key!r}]")


@search
@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, **small))
def test_matmul_and_dot_of_any_two_shapes_that_fit(shapes):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in shapes.input_shapes]
    compare(operator.matmul, operator.matmul, arrays, "@", rng)
    compare(dot, torch_dot, arrays, "dot", rng)


@st.composite
def products(draw):
    lengths = {"a": 2, "b": 3, "c": 1, "d": draw(st.integers(0, 2))}
    inputs = draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(inputs)))
    output = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
    shapes = [tuple(lengths[c] for c in labels) for labels in inputs]
    arrow = draw(st.sampled_from(["->" + "".join(output), ""]))
    return ",".join(inputs) + arrow, shapes


@settings(search, max_examples=150)
@given(products())
def test_any_einsum(product):
    subscripts, shapes = product
    rng = np.random.default_rng(0)
    compare(
        lambda *xs: einsum(subscripts, *xs),
        lambda *xs: torch.einsum(subscripts if subscripts.strip(",") else subscripts + "->", *xs),
        [rng.normal(size=s) for s in shapes],
        f"einsum({subscripts!r})",
        rng,
    )


STEPS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "@": lambda a, b: a @ b * 0.3,
    "T": lambda a, b: a.T,
    "reshape": lambda a, b: a.reshape(9).reshape(3, 3),
    "row": lambda a, b: a + b[1],
    "column": lambda a, b: b[:, 1:2] + a,
    "swap": lambda a, b: a[[2, 0, 0]] - b,
    "tanh": lambda a, b: a.tanh(),
    "sum": lambda a, b: a.sum() + b,
    "same": lambda a, b: a + a,
    "identity": lambda a, b: a + 0,
}


@settings(search, max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 4), st.integers(1, 4)),
        min_size=2,
        max_size=12,
    )
)
def test_any_graph_gives_every_tensor_in_it_the_gradient_of_pytorch(steps):
    """Whatever is shared or added in place on the way back, no gradient may spoil another."""
    rng = np.random.default_rng(0)
    ours = [Tensor(rng.normal(size=(3, 3))) for _ in range(4)]
    theirs = [torch.tensor(t.data, requires_grad=True) for t in ours]
    for name, i, j in steps:  # operands counted from the newest, so that most are used
        ours.append(STEPS[name](ours[-i], ours[-j]))
        theirs.append(STEPS[name](theirs[-i], theirs[-j]))
        theirs[-1].retain_grad()
    g = rng.normal(size=(3, 3))
    for _ in range(2):
        for t in theirs:
            if not t.is_leaf:
                t.grad = None
        ours[-1].backward(g)
        theirs[-1].backward(torch.tensor(g), retain_graph=True)
        for k, (t, u) in enumerate(zip(ours, theirs)):
            expected = torch.zeros(3, 3, dtype=torch.float64) if u.grad is None else u.grad
            assert_same(t.grad, expected, f"tensor {k} of {steps}")
