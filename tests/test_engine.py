"""Tests of the graph and the way back: what leaves and others get, and when a graph dies."""

import gc
import itertools
import math
import operator
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table import assert_same, compare, mistakes, raising, search

from micrograd import (
    Tensor,
    apply,
    concatenate,
    dot,
    einsum,
    engine,
    grad,
    linear,
    maximum,
    minimum,
    no_grad,
    operation,
    stack,
    where,
)
from micrograd.debug import gradcheck

# No operation may warn of an overflow or a division where its result is fine
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


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
    middle = weakref.ref(y.operands[0])
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


def test_threads_that_share_a_leaf_lose_no_gradient():
    x = Tensor(np.zeros(100_000))  # so large that NumPy lets other threads run while it adds
    start = threading.Barrier(4)

    def work():
        start.wait(10)
        for _ in range(50):
            (x * 1.0).backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (x.grad == 200).all()


# One node's step


def layers(x, w):
    """A perceptron of two layers."""
    return ((x @ w).tanh() @ w.T + x).relu().sum()


STEPWISE = {
    "one operation": lambda x, w: x * w,
    "one operand twice": lambda x, w: x * x + (x - x) * w,
    "a shared subexpression": lambda x, w: (lambda h: h.exp() * h + h)(x * w),
    "shared at several depths": lambda x, w: (lambda h: (h * x).sin() + h * (h - w))(x + w),
    "broadcasting": lambda x, w: (x[0] * w + x[:, :1]).sum(0) - x.sum(),
    "numbers": lambda x, w: (x.sum() * w[0, 0] + 2) ** 2 / w[0, 0],
    "constants": lambda x, w: np.ones((3, 3)) @ x * 2 + w.detach(),
    "layers": layers,
    "a leaf": lambda x, w: x,
}


@pytest.mark.parametrize("name", STEPWISE)
def test_steps_walked_by_hand_give_what_backward_gives(name):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))

    def graph():
        """The tensors, each after all that it was made from."""
        order, leaves = [], (Tensor(a), Tensor(b))

        def visit(t):
            if isinstance(t, Tensor) and all(t is not seen for seen in order):
                for x in t.operands:
                    visit(x)
                order.append(t)

        visit(STEPWISE[name](*leaves))
        return order, leaves

    expected, leaves_expected = graph()
    expected[-1].backward()
    order, leaves = graph()
    order[-1].grad = np.ones(order[-1].shape)
    for t in reversed(order):
        t._backward()
    pairs = zip((*order, *leaves), (*expected, *leaves_expected), strict=True)
    for k, (stepped, t) in enumerate(pairs):
        assert_same(stepped.grad, t.grad, f"tensor {k}, made by {t.op!r}", tolerance=0)


def test_a_step_hands_the_gradient_to_the_operands_alone():
    x = Tensor([1.0, 2.0])
    h = x * 3
    y = h * h
    y.grad = np.array([1.0, 10.0])
    y._backward()
    assert h.grad.tolist() == [6.0, 120.0]
    assert not x.has_grad
    h._backward()
    assert x.grad.tolist() == [18.0, 360.0]


# Operations of one's own


def lambert_w(x):
    """The w with w e^w = x, by Newton's method."""
    w = np.log1p(x)
    for _ in range(10):
        e = np.exp(w)
        w = w - (w * e - x) / (e * (w + 1))
    return w


OWN = {
    "with a second result": (
        lambda x: apply(
            "squash",
            lambda x: (x / np.sqrt(1 + x * x), np.sqrt(1 + x * x)),
            (x,),
            lambda g, y, x, root: g / root**3,
        ),
        lambda x: x / torch.sqrt(1 + x * x),
        [((),), ((3,),), ((2, 3),)],
    ),
    "of two operands, with two more results": (
        lambda a, b: apply(
            "ratio",
            lambda a, b: (a / (1 + b * b), 1 / (1 + b * b), 2 * b),
            (a, b),
            lambda g, y, a, b, scale, slope: g * scale,
            lambda g, y, a, b, scale, slope: -g * y * scale * slope,
        ),
        lambda a, b: a / (1 + b * b),
        [((), ()), ((2, 3), (3,)), ((3, 1), (1, 4)), ((2,), ())],
    ),
    "whose derivative calls operations": (
        operation(
            "half a square", lambda x: np.maximum(x, 0) ** 2 / 2, lambda g, y, x: g * maximum(x, 0)
        ),
        lambda x: torch.relu(x) ** 2 / 2,
        [((),), ((3,),), ((2, 3),)],
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_an_operation_of_ones_own_has_the_gradients_of_pytorch(name):
    ours, theirs, cases = OWN[name]
    for shapes in cases:
        rng = np.random.default_rng(0)
        compare(ours, theirs, [np.asarray(rng.normal(size=s)) for s in shapes], name, rng)


def test_an_operation_of_ones_own_in_numpy_passes_gradcheck():
    w = operation("lambert_w", lambert_w, lambda g, y, x: g * y / (x * (1 + y)), doc="Newton's.")
    x = np.array([[0.1, 0.5, 1.0], [2.0, 5.0, 9.0]])
    y = w(x).data
    np.testing.assert_allclose(y * np.exp(y), x, rtol=1e-14)
    assert (w.__name__, w.__doc__) == ("lambert_w", "Newton's.")
    assert gradcheck(w, x)
    assert gradcheck(lambda x: grad(w(x), x, create_graph=True), x)
    with pytest.raises(AssertionError):
        gradcheck(operation("wrong", lambert_w, lambda g, y, x: g * y / (1 + y)), x)


def test_a_straight_through_estimator_rounds_and_lets_the_gradient_pass():
    rounded = operation("round", np.round, lambda g, y, x: g)
    x = Tensor([0.2, 0.7, -1.6])
    y = rounded(x) * np.array([1.0, 10.0, 100.0])
    y.backward()
    assert y.data.tolist() == [0.0, 10.0, -200.0]
    assert x.grad.tolist() == [1.0, 10.0, 100.0]


def test_an_operation_takes_as_many_operands_as_it_has_derivatives():
    one = operation("one", np.exp, lambda g, y, x: g * y)
    two = operation("two", np.hypot, lambda g, y, a, b: g * a / y, lambda g, y, a, b: g * b / y)
    x = Tensor([1.0])
    for f, operands in ((one, ()), (one, (x, x)), (two, (x,)), (two, (x, x, x))):
        with pytest.raises(TypeError, match="positional argument"):
            f(*operands)


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
    for data in (array, Tensor(array, requires_grad=False)):
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
            todo += [x for x in t.operands if isinstance(x, Tensor)]
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
        assert y.is_leaf


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
    assert d.is_leaf
    (x * d).backward()
    assert x.grad.tolist() == [2.0, 4.0]


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


def test_the_graph_can_be_walked_by_op_and_operands():
    x, w = Tensor([1.0, 2.0], label="x"), Tensor([3.0, 4.0])
    array = np.ones(2)
    h = x * w
    y = h + array
    z = (y**2).sum()
    assert (z.op, y.op, h.op, x.op) == ("sum", "+", "*", "")
    assert h.operands == (x, w)
    assert y.operands[0] is h
    assert y.operands[1] is array
    assert x.operands == ()
    assert (x.is_leaf, h.is_leaf, z.is_leaf) == (True, False, False)
    assert (x - x).operands == (x, x)
    assert z.operands[0].operands == (y, 2)


def test_prev_has_the_operands_that_are_tensors():
    x, w = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    h = x * w
    y = h + np.ones(2)
    assert h._prev == (x, w)
    assert y._prev == (h,)
    assert x._prev == ()
    assert (x - x)._prev == (x, x)


def test_a_step_of_gradient_descent_in_place():
    p = Tensor(np.array([1.0, 2.0]))
    same = p.data
    (p * p).sum().backward()
    p.data -= 0.1 * p.grad
    assert p.data is same
    np.testing.assert_allclose(p.data, [0.8, 1.6], rtol=1e-15)


# Errors: what was wrong, and where

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
]  # fmt: skip


@mistakes(ERRORS)
def test_a_mistake_raises_an_error_that_names_it(f, error, message):
    with pytest.raises(error, match=message):
        f()


# Random graphs


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
