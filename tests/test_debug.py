"""`gradcheck` finds every planted fault, and `detect_anomaly` names the operation and the line."""

import gc
import threading
import tracemalloc

import numpy as np
import pytest

from micrograd import Tensor, apply, concatenate, engine, grad, no_grad, where
from micrograd.debug import detect_anomaly, gradcheck
from micrograd.nn import Dropout, MaxPool2d, MultiLayerPerceptron, cross_entropy, mse
from micrograd.optim import SGD


def rng():
    return np.random.default_rng(3)


# gradcheck

RIGHT = {
    "product": (lambda a, b: a @ b, (3, 4), (4, 2)),
    "broadcast": (lambda a, b: a * b, (3, 1), (4,)),
    "scalar": (lambda a: a.exp(), ()),
    "used twice": (lambda a: a * a + a, (5,)),
    "empty": (lambda a: a.sum(), (0, 3)),
    "identity": (lambda a: a, (2,)),
    "one operand unused": (lambda a, b: a + 1, (2,), (3,)),
    "gradient of a gradient": (
        lambda a: grad((a**3).sum(), a, create_graph=True),
        (3,),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_derivatives_pass(name):
    f, *shapes = RIGHT[name]
    assert gradcheck(f, *(rng().normal(size=shape) for shape in shapes)) is True


def test_large_numbers_pass():
    x = np.array([1e6, -3e8, 2.5])
    assert gradcheck(lambda x: x * x, x)


def planted(derivative):
    return lambda a: apply("planted", lambda a: a * a, (a,), derivative)


WRONG = {
    "factor dropped": lambda g, y, a: g * a,
    "upstream gradient dropped": lambda g, y, a: 2 * a,
    "upstream gradient averaged": lambda g, y, a: g.mean() * 2 * a,
    "elements exchanged": lambda g, y, a: (g * 2 * a)[::-1],
    "sign": lambda g, y, a: -2 * g * a,
    "zero": lambda g, y, a: 0 * g,
    "nan": lambda g, y, a: g * np.nan,
    "off by a thousandth": lambda g, y, a: 2.002 * g * a,
}


@pytest.mark.parametrize("name", WRONG)
def test_planted_faults_are_found(name):
    with pytest.raises(AssertionError, match=r"gradcheck: operand 0 of shape \(4,\)"):
        gradcheck(planted(WRONG[name]), np.array([0.5, -1.0, 2.0, 0.75]))


def test_the_message_names_operand_element_and_both_numbers():
    def forgets_one(g, y, a, b):
        d = g * np.ones_like(b)
        d[1, 2] = 0
        return d

    def f(a, b):
        return apply("planted", np.add, (a, b), lambda g, y, a, b: g, forgets_one)

    with pytest.raises(AssertionError) as caught:
        gradcheck(f, np.zeros((2, 3)), Tensor(np.zeros((2, 3)), label="bias"))
    weight = 1.5 + np.sin(5)
    assert str(caught.value) == (
        "gradcheck: operand 1 (bias) of shape (2, 3), element (1, 2): the derivative is 0, "
        f"central differences say {weight:.9g} (1 of 6 elements are off)"
    )


def test_gradcheck_of_a_models_own_parameters():
    model = MultiLayerPerceptron(3, [4, 2], act="tanh", rng=rng())
    x, y = rng().normal(size=(5, 3)), rng().normal(size=(5, 2))
    assert gradcheck(lambda *_: mse(model(x), y), *model.parameters())


def test_inputs_are_left_as_they_were():
    x, frozen = Tensor(rng().normal(size=3)), Tensor([2.0, 3.0, 4.0], requires_grad=False)
    array, before = x.data, x.data.copy()
    with pytest.raises(AssertionError):
        gradcheck(lambda x, c: planted(WRONG["sign"])(x) * c, x, frozen)
    assert x.data is array
    assert x.data.tobytes() == before.tobytes()
    assert not x.has_grad
    assert gradcheck(lambda x, c: x * c, x, frozen)


def test_gradcheck_under_no_grad():
    with no_grad():
        assert gradcheck(lambda x: x * x, [1.0, 2.0])


REFUSED = {
    "float32": (lambda x: x, np.ones(2, np.float32), TypeError, "operand 0 is float32"),
    "no Tensor": (lambda x: x.data, np.ones(2), TypeError, "f gives an array of dtype float64"),
    "random": (Dropout(0.5, rng()), np.ones(64), ValueError, "another result when called again"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_gradcheck_refuses(name):
    f, x, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        gradcheck(f, x)


# detect_anomaly: what is not finite

GRADIENT_OF_SQRT = "backward: the gradient of operand 0 of 'sqrt' is inf"

ANOMALIES = {
    "log of 0": (lambda: Tensor([1.0, 0.0]).log(), "'log' gave -inf at [1] (1 of 2 "),
    "log of -1": (lambda: Tensor([[-1.0, 1.0]]).log(), "'log' gave nan at [0, 0] (1 of 2 "),
    "scalar": (lambda: Tensor(0.0) ** -1, "'**' gave inf\n"),
    "overflow": (lambda: Tensor(np.float32([100])).exp(), "'exp' gave inf at [0]"),
    "0 / 0": (lambda: Tensor([0.0]) / np.zeros(1), "'/' gave nan at [0]"),
    "a constant nan": (lambda: Tensor([1.0, 2.0]) * np.array([1, np.nan]), "'*' gave nan at [1]"),
    "unrecorded": (no_grad()(lambda: Tensor([0.0]).log()), "'log' gave -inf at [0]"),
    "by NumPy's name": (lambda: np.log(Tensor([0.0])), "'log' gave -inf at [0]"),
    "gradient": (lambda: Tensor([4.0, 0.0]).sqrt().sum().backward(), GRADIENT_OF_SQRT),
    "second operand": (
        lambda: (Tensor([-2.0]) ** Tensor([2.0])).backward(),
        "backward: the gradient of operand 1 of '**' is nan",
    ),
    "gradient as a Tensor": (
        lambda: grad((x := Tensor([0.0])).sqrt(), x, create_graph=True),
        GRADIENT_OF_SQRT,
    ),
    "many operands": (
        lambda: concatenate([Tensor([float(i)]) for i in range(10)] + [np.array([np.nan])]),
        "and 3 operands more",
    ),
}


@pytest.mark.parametrize("name", ANOMALIES)
def test_the_first_operation_that_is_not_finite_is_named(name):
    f, message = ANOMALIES[name]
    with pytest.raises(FloatingPointError) as caught, detect_anomaly():
        f()
    assert message in str(caught.value)


def test_the_message_tells_shapes_ranges_and_the_callers_line():
    with pytest.raises(FloatingPointError) as caught, detect_anomaly():
        Tensor([[1.0, 2.0, 0.5]]) / (Tensor([[0.0], [4.0]]))  # the line
    message = str(caught.value).splitlines()
    assert message[1:4] == [
        "operand 0: shape (1, 3), from 0.5 to 2",
        "operand 1: shape (2, 1), from 0 to 4",
        "result: shape (2, 3)",
    ]
    assert message[4].startswith(f'run at File "{__file__}", line ')
    assert message[4].endswith(", in test_the_message_tells_shapes_ranges_and_the_callers_line")
    assert message[5].endswith("# the line")


def test_the_line_is_the_callers_also_where_the_package_calls_itself():
    with pytest.raises(FloatingPointError) as caught, detect_anomaly():
        model = MultiLayerPerceptron(2, [3, 1])
        model.layers[0].weights.data[...] = np.nan
        model(np.ones(2))  # the call of the model
    assert str(caught.value).endswith("# the call of the model")


def test_the_line_of_a_gradient_is_that_of_its_operation():
    with pytest.raises(FloatingPointError) as caught, detect_anomaly():
        y = Tensor([0.0]).sqrt()  # forward
        (y * 2).sum().backward()
    assert str(caught.value).endswith("# forward")


def test_a_cell_of_a_notebook_is_a_place_too():
    code = compile("\n\nTensor([0.0]).log()", "not a file", "exec")
    with pytest.raises(FloatingPointError) as caught, detect_anomaly():
        exec(code, {"Tensor": Tensor})
    assert str(caught.value).endswith("run at line 3 of a cell, in <module>")


def test_an_operation_from_before_is_named_without_its_line():
    y = Tensor([0.0]).sqrt()
    with pytest.raises(FloatingPointError, match="before detect_anomaly"), detect_anomaly():
        y.backward()


def deliberate_mask():
    scores = Tensor(rng().normal(size=(3, 3)))
    return where(np.tri(3) > 0, scores, -np.inf).softmax(-1).sum()


def added_mask():
    scores, mask = Tensor(np.zeros((2, 2))), np.array([[0, -np.inf], [0, 0]])
    return cross_entropy(scores + mask, np.array([0, 1]))


FINE = {
    "mask before a softmax": deliberate_mask,
    "mask added to logits": added_mask,
    "padding of max pooling": lambda: MaxPool2d(2, padding=1)(Tensor(np.ones((1, 1, 3, 3)))).sum(),
    "clip with one limit": lambda: Tensor([-1.0, 2.0]).clip(0).sum(),
    "nothing": lambda: Tensor(np.zeros((0, 2))).sum(),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_deliberate_or_finite_passes(name):
    with detect_anomaly():
        loss = FINE[name]()
        loss.backward()
    assert np.isfinite(loss.item())


# detect_anomaly: what was changed


def change_leaf(x, c, y):
    x.data[0] = 7


def change_leaf_by_name(x, c, y):
    x.data = x.data + 1


def change_constant(x, c, y):
    c[1] = 7


def change_result(x, c, y):
    y.data[0] = 7


CHANGES = {
    change_leaf: "operand 0",
    change_leaf_by_name: "operand 0",
    change_constant: "operand 1",
    change_result: "its result",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("differentiate", ["backward", "grad", "create_graph"])
def test_data_changed_before_backward_is_refused(change, differentiate):
    with pytest.raises(RuntimeError) as caught, detect_anomaly():
        x, c = Tensor([1.0, 2.0]), np.array([3.0, 4.0])
        y = x * c  # the operation
        change(x, c, y)
        if differentiate == "backward":
            y.backward()
        else:
            grad(y, x, create_graph=differentiate == "create_graph")
    message = str(caught.value)
    assert message.startswith(f"backward: {CHANGES[change]} of '*', of shape (2,), was changed")
    assert message.endswith("# the operation")


def test_a_changed_scalar_is_refused():
    with pytest.raises(RuntimeError, match="was changed"), detect_anomaly():
        x = Tensor(2.0)
        y = x * x
        x.data[...] = 3
        y.backward()


def test_training_passes_and_counts_as_no_change():
    model = MultiLayerPerceptron(2, [8, 1], act="tanh", rng=rng())
    optimizer, x = SGD(model.parameters(), lr=0.1), rng().normal(size=(16, 2))
    losses = []
    with detect_anomaly():
        for _ in range(20):
            model.zero_grad()
            loss = mse(model(x), x[:, :1])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_gradients_are_the_same_inside_and_outside():
    x = rng().normal(size=(4, 3))
    gradients = []
    for watched in (False, True):
        t = Tensor(x)
        loss = (t @ x.T).tanh().sum() + t.var(axis=0).sqrt().sum()
        if watched:
            with detect_anomaly():
                loss = (t @ x.T).tanh().sum() + t.var(axis=0).sqrt().sum()
                loss.backward()
        else:
            loss.backward()
        gradients.append(t.grad)
    assert gradients[0].tobytes() == gradients[1].tobytes()


# detect_anomaly: where it holds

DOORS = engine.record, engine.backpropagate


def test_it_is_off_outside_also_after_an_error_and_when_nested():
    assert (engine.record, engine.backpropagate) == DOORS
    with detect_anomaly():
        with pytest.raises(FloatingPointError), detect_anomaly():
            Tensor([0.0]).log()
        with pytest.raises(FloatingPointError):
            Tensor([0.0]).log()
        x = Tensor([1.0])
        y = x * x
        with detect_anomaly():
            pass
        x.data[0] = 2
        with pytest.raises(RuntimeError, match="was changed"):
            y.backward()
    assert (engine.record, engine.backpropagate) == DOORS
    with np.errstate(divide="ignore"):
        assert Tensor([0.0]).log().data[0] == -np.inf


def test_another_door_that_was_there_before_is_used_inside_and_put_back(monkeypatch):
    told = []

    def telling(op, *arguments):
        told.append(op)
        return real(op, *arguments)

    real = engine.record
    monkeypatch.setattr(engine, "record", telling)
    with detect_anomaly():
        Tensor([1.0]).exp()
    assert engine.record is telling
    Tensor([1.0]).log()
    assert told == ["exp", "log"]


def test_it_is_a_decorator_too():
    @detect_anomaly()
    def f():
        return Tensor([0.0]).log()

    for _ in range(2):
        with pytest.raises(FloatingPointError):
            f()
    assert (engine.record, engine.backpropagate) == DOORS


def test_it_judges_only_the_thread_that_entered_it():
    inside, outside = threading.Event(), threading.Event()
    found = {}

    def other():
        inside.wait(10)
        with np.errstate(divide="ignore"):
            found["outside"] = Tensor([0.0]).log().data[0]
        with detect_anomaly():
            outside.set()  # the first thread leaves while this one stays
            first.join(10)
            try:
                Tensor([0.0]).log()
            except FloatingPointError as error:
                found["after the other has left"] = str(error)

    def enter():
        with detect_anomaly():
            inside.set()
            outside.wait(10)

    first, second = threading.Thread(target=enter), threading.Thread(target=other)
    for thread in (first, second):
        thread.start()
    for thread in (first, second):
        thread.join(20)
    assert found["outside"] == -np.inf
    assert "'log' gave -inf" in found["after the other has left"]
    assert (engine.record, engine.backpropagate) == DOORS


def test_nothing_is_kept_of_graphs_that_are_gone():
    with detect_anomaly():
        x = Tensor(np.ones(4))
        y = (x * x).sum()
        for _ in range(3):
            y = (x * x).sum()
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(500):
            y = (x * x).sum()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        y.backward()
    assert after - before < 20_000, "a graph leaves something behind"
