"""Tests of the tests: faults planted in the engine one by one, every one of which must be caught.

Which operations and operands there are is found by running the table, so that none escapes. A
fault goes in through `engine.record`, the one door that every operation passes.
"""

import ast
import inspect
import itertools
import sys
from collections import defaultdict
from contextlib import contextmanager

import numpy as np
import pytest
import test_engine
import test_operations
import test_protocol
from table import ROWS, check_against_pytorch, check_in_float32

from micrograd import Tensor, arrays, calculus, engine, linalg, operations, order, shapes
from micrograd.protocol import data_of
from micrograd.recording import nobody, recorded_for

# A fault must show as a wrong number, not as a warning that hides it
pytestmark = pytest.mark.filterwarnings("ignore")

real_record = engine.record
no_collector, everything_behind = test_engine.no_collector, test_engine.everything_behind


def is_caught(rows, check):
    """Whether a row fails; it comes to the front, for it will most likely see the next fault."""
    for i, row in enumerate(rows):
        try:
            check(row)
        except Exception:  # a fault may surface as any error
            rows.insert(0, rows.pop(i))
            return True
    return False


def find_uses():
    """The rows that use each operation, and the operands whose derivative they use.

    A row that fails by itself is left out: it would catch every fault, and prove nothing.
    """
    rows, operands = defaultdict(list), defaultdict(set)

    def recording(op, forward, arguments, derivatives):
        if arguments:  # else a constant is wrapped
            used[op] |= {
                k for k, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad
            }
        return real_record(op, forward, arguments, derivatives)

    engine.record = recording
    try:
        for row in ROWS:
            used = defaultdict(set)
            if not is_caught([row], check_against_pytorch):
                for op in used:
                    rows[op].append(row)
                    operands[op] |= used[op]
    finally:
        engine.record = real_record
    for op in rows:  # first those about it, which are the likeliest to catch a fault
        rows[op].sort(key=lambda row: op not in row.name)
    return rows, operands


USES, OPERANDS = find_uses()


def constant(g):
    """g without its history."""
    return Tensor(g.data, requires_grad=False) if isinstance(g, Tensor) else g


# Vectors of which one choice is as good as another, without a derivative; see test_linalg.py
ARBITRARY = {"arbitrary"}
FLAT = {"norm_0", "matrix_power"}  # the derivative is 0, and so are most faults in it

DERIVATIVE_FAULTS = {
    "a factor of 1.001": lambda d, g, *rest: d(g, *rest) * 1.001,
    "the wrong sign": lambda d, g, *rest: -d(g, *rest),
    "dropped": lambda d, g, *rest: d(g, *rest) * 0,
    "an upstream gradient of ones": lambda d, g, *rest: d(g * 0 + 1, *rest),
    # Right to the first order: what the second order is there for
    "no history": lambda d, g, *rest: constant(d(g, *rest)),
}
FORWARD_FAULTS = {
    "a factor of 1.001": (lambda y: y * np.asarray(1.001, y.dtype), check_against_pytorch),
    "another shape": (lambda y: np.expand_dims(y, 0), check_against_pytorch),
    "always float64": (lambda y: np.asarray(y, np.float64), check_in_float32),
    "always float32": (lambda y: np.asarray(y, np.float32), check_against_pytorch),
}


ZERO = {("copysign", 1), ("heaviside", 0)}  # nothing that is done to it makes a difference


@pytest.mark.parametrize("fault", DERIVATIVE_FAULTS)
@pytest.mark.parametrize(
    ("op", "k"),
    [
        (op, k)
        for op in OPERANDS
        for k in sorted(OPERANDS[op])
        if op not in ARBITRARY | FLAT and (op, k) not in ZERO
    ],
)
def test_a_fault_in_a_derivative_is_caught(op, k, fault, monkeypatch):
    def faulty(name, forward, operands, derivatives):
        if name == op and k < len(derivatives):
            wrong, right = DERIVATIVE_FAULTS[fault], derivatives[k]
            derivatives = list(derivatives)
            derivatives[k] = lambda g, *rest: wrong(right, g, *rest)
        return real_record(name, forward, operands, derivatives)

    monkeypatch.setattr(engine, "record", faulty)
    assert is_caught(USES[op], check_against_pytorch)


# A gradient is cast to the dtype of its tensor, and summed to its shape
HARMLESS = {
    (op, fault)
    for op, fault in itertools.product(
        ("scatter", "cofactors", "cofactors_slope"), ("always float64", "another shape")
    )
} - {("scatter", "another shape")} | {("add_along_axis", "always float64")}


@pytest.mark.parametrize(
    ("op", "fault"),
    [
        (op, fault)
        for op in USES
        for fault in FORWARD_FAULTS
        if op not in ARBITRARY and (op, fault) not in HARMLESS
    ],
)
def test_a_fault_in_a_forward_function_is_caught(op, fault, monkeypatch):
    wrong, check = FORWARD_FAULTS[fault]

    def faulty(name, forward, operands, derivatives):
        if name == op:
            return real_record(name, lambda *xs: wrong(forward(*xs)), operands, derivatives)
        return real_record(name, forward, operands, derivatives)

    monkeypatch.setattr(engine, "record", faulty)
    assert is_caught(USES[op], check)


def test_the_table_uses_every_operation_of_the_engine():
    made = {
        call.args[0].value
        for room in (
            engine,
            operations,
            shapes,
            order,
            linalg,
            calculus,
            sys.modules["micrograd.einsum"],
        )
        for call in ast.walk(ast.parse(inspect.getsource(room)))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") in ("apply", "operation", "elementwise", "unary", "binary")
        and isinstance(call.args[0], ast.Constant)
    }
    assert len(made) > 40
    assert made == set(USES)


# Faults that are not one derivative's: each has been seen in a real engine


def table(start):
    """A test: the table's rows whose name starts like this."""
    rows = [row for row in ROWS if row.name.startswith(start)]
    assert rows

    def test():
        for row in rows:
            check_against_pytorch(row)

    return test


def edge(name):
    return lambda: test_operations.test_values_and_slopes_at_the_edges_of_a_domain(name)


def assigning(g, key, shape):
    out = np.zeros(shape, g.dtype)
    out[key] = g
    return out


def leading_axes_alone(g, x):
    while g.ndim > x.ndim:
        g = g.sum(axis=0)
    return g


def longer_than_one(g, x):
    """Length 0 counted as a broadcast axis, as `n <= 1` has it."""
    g = leading_axes_alone(g, x)
    ones = tuple(i for i, n in enumerate(x.shape) if n <= 1)
    return g.sum(axis=ones, keepdims=True) if ones else g


def mean_of_broadcast(g, x):
    return real_sum_to(g, x) * (np.prod(x.shape) / max(g.size, 1))


def transposed_whole(g, y, a, b):
    return g @ b.T if b.ndim > 1 and a.ndim > 1 else arrays.matmul_left(g, y, a, b)


def replacing(op, forward=None, derivatives=None):
    """A door through which one operation passes with another forward function or derivatives."""

    def door(name, *rest):
        if name != op:
            return real_record(name, *rest)
        return real_record(name, forward or rest[0], rest[1], derivatives or rest[2])

    return door


def all_equal_ones_alike(g, y, x, axis, keepdims):
    spread = arrays.spread
    return spread(g, x, axis, keepdims) * (x == spread(y, x, axis, keepdims))


class SharedByAllThreads:
    """In the place of a ContextVar."""

    on = nobody

    def get(self):
        return self.on

    def set(self, on):
        before, self.on = self.on, on
        return before

    reset = set


@contextmanager
def forgetful(on):
    recorded_for.set(nobody if on else None)
    yield


def every_path(output, start, on_tensors=False):
    """A sum over all paths: right, and exponential."""
    gradients = {}
    todo = [(output, start)]
    for _ in range(10_000):  # the test would never end
        if not todo:
            return gradients
        node, g = todo.pop()
        gradients[node] = gradients[node] + g if node in gradients else g
        for x, derivative in zip(node.operands, node._derivatives if node.operands else ()):
            if isinstance(x, Tensor):
                d = derivative(g, node.data, *node._values)
                todo.append((x, engine.sum_to(np.asarray(d), x.data)))
    raise RecursionError


def adding_everywhere(self, gradient=None):
    """Adds to the gradients of intermediates too, as to those of leaves."""
    seen = everything_behind(self)
    before = [t.grad.copy() for t in seen]
    real_backward(self, gradient)
    for t, g in zip(seen, before):
        if t.op:
            t.grad += g


def spreading_stale_gradients(self, gradient=None):
    """Starts from what an earlier backward left behind."""
    start = np.ones(self.shape, self.dtype) if gradient is None else np.asarray(gradient)
    real_backward(self, start + self.grad)


def overwriting(self, gradient=None):
    """Forgets what the leaves had."""
    for t in everything_behind(self):
        t.grad = None
    real_backward(self, gradient)


def keeping_the_callers_array(self, gradient=None):
    real_backward(self, gradient)
    if gradient is not None:
        self._grad = gradient


def sharing_data(self, data, *arguments, **options):
    real_init(self, data, *arguments, **options)
    if isinstance(data, np.ndarray) and data.dtype.kind == "f":
        self.data = data


def making_float64(self, data, *arguments, **options):
    real_init(self, data, *arguments, **options)
    self.data = self.data.astype(np.float64)


def axis_by_truth(self, axis=None, keepdims=False):
    return real_sum(self, axis or None, keepdims)


real_sum_to = engine.sum_to
real_backward, real_init, real_sum = Tensor.backward, Tensor.__init__, Tensor.sum
twice = test_engine.test_backward_twice_doubles_leaves_and_only_leaves
trunk = test_engine.test_two_losses_on_one_trunk_add_up_in_the_leaves_and_not_in_the_trunk
shared = test_engine.test_no_gradient_shares_memory_with_another_or_with_the_callers
from_numpy = test_protocol.test_arrays_and_scalars_of_numpy_left_of_a_tensor_make_tensors

OTHER_FAULTS = {  # what is replaced where, by what, and the test that sees it
    "index: the gradient assigned, not added": (arrays, "add_at", assigning, table("x[")),
    "broadcasting: leading axes alone": (engine, "sum_to", leading_axes_alone, table("+")),
    "broadcasting: length 0 taken for 1": (engine, "sum_to", longer_than_one, table("+")),
    "broadcasting: the mean, not the sum": (engine, "sum_to", mean_of_broadcast, table("+")),
    "broadcasting: nothing summed": (engine, "sum_to", lambda g, x: g, table("+")),
    "matmul: .T of a batch": (
        engine, "record", replacing("@", None, (transposed_whole, arrays.matmul_right)), table("@"),
    ),
    "max: equal ones all take all": (operations, "share", all_equal_ones_alike, table("max(axis")),
    "sum: `axis or None`": (Tensor, "sum", axis_by_truth, table("sum(")),
    "pow: no slope of x ** 1 at 0": (
        arrays, "power_slope", lambda a, b: np.where(a == 0, 0, b * a ** (b - 1)), edge("x ** 1"),
    ),
    "pow: no slope of x ** 0 but nan": (
        arrays, "power_slope", lambda a, b: b * a ** (b - 1.0), edge("x ** 0"),
    ),
    "sigmoid: overflow": (
        engine, "record", replacing("sigmoid", lambda x: np.exp(x) / (1 + np.exp(x))),
        edge("softplus far out"),
    ),
    "softmax: overflow": (
        arrays, "softmax", lambda x, axis: np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True),
        edge("softmax far out"),
    ),
    "intermediates accumulate, seen by a second backward": (
        Tensor, "backward", adding_everywhere, twice,
    ),
    "intermediates accumulate, seen by a second loss": (
        Tensor, "backward", adding_everywhere, trunk,
    ),
    "stale gradients are spread": (Tensor, "backward", spreading_stale_gradients, twice),
    "leaves do not accumulate": (Tensor, "backward", overwriting, twice),
    "the caller's gradient is kept": (
        Tensor, "backward", keeping_the_callers_array, lambda: shared("x + y", "C"),
    ),
    "data are shared": (
        Tensor, "__init__", sharing_data, test_engine.test_data_are_copied_at_construction,
    ),
    "everything becomes float64": (
        Tensor, "__init__", making_float64, lambda: check_in_float32(USES["+"][0]),
    ),
    "every path is walked": (
        engine, "backpropagate", every_path,
        test_engine.test_a_tensor_used_by_many_is_visited_once,
    ),
    "array * tensor drops the gradient": (
        Tensor, "__array_ufunc__",
        lambda self, ufunc, method, *inputs: ufunc(*map(data_of, inputs)), from_numpy,
    ),
    "no_grad for all threads": (
        engine, "recorded_for", SharedByAllThreads(),
        test_engine.test_no_grad_holds_for_its_own_thread_alone,
    ),
    "no_grad without end": (
        engine, "recording", forgetful, test_engine.test_no_grad_ends_with_an_exception,
    ),
    "== hashes by value": (
        Tensor, "__hash__", lambda self: 0, test_protocol.test_hash_is_by_identity,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_FAULTS)
def test_a_fault_in_what_the_operations_share_is_caught(name, monkeypatch):
    owner, attribute, wrong, test = OTHER_FAULTS[name]
    test()  # for if it failed by itself, it would prove nothing
    monkeypatch.setattr(owner, attribute, wrong)
    try:
        with pytest.raises(Exception):  # noqa: B017 (a fault may surface as any error)
            test()
    finally:
        recorded_for.set(nobody)


@pytest.mark.usefixtures("no_collector")
def test_a_cycle_that_keeps_a_graph_alive_is_caught(monkeypatch):
    def cyclic(op, forward, operands, derivatives):
        captured = []  # the closure below holds the output that holds the closure
        closures = tuple(lambda *xs, d=d: d(*xs) if captured else None for d in derivatives)
        captured.append(real_record(op, forward, operands, closures))
        return captured[0]

    test_engine.test_a_graph_dies_with_its_last_name()
    monkeypatch.setattr(engine, "record", cyclic)
    with pytest.raises(AssertionError):
        test_engine.test_a_graph_dies_with_its_last_name()


def test_what_has_no_fault_is_not_caught():
    for op in ("exp", "+", "index"):
        assert not is_caught(USES[op][:10], check_against_pytorch)
        assert not is_caught(USES[op][:10], check_in_float32)
