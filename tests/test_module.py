"""Modules: parameters, modes, state, what runs inside; and the table of a model."""

import gc
import inspect
import re
import threading
import weakref
from contextlib import nullcontext

import numpy as np
import pytest
from networks import NESTED, Nested, NoCall, Transformer, assert_refused, assert_same_states, rng
from table import assert_same

from micrograd import Tensor, nn, no_grad
from micrograd.module import where_made
from micrograd.optim import Adam


def test_parameters_are_found_in_order_and_once():
    model = Nested()
    assert list(dict(model.named_parameters())) == NESTED
    parameters = model.parameters()
    assert type(parameters) is list
    assert parameters[0] is model.scale and parameters[1] is model.inner.weights
    assert list(model.named_modules()) == ["", "inner", "pair.1.0", "table.a"]
    assert nn.Sequential(model, model).parameters() == parameters


@pytest.mark.parametrize("context", [nullcontext, no_grad])
def test_a_stored_result_is_no_parameter(context):
    model = Nested()
    before = list(model.state_dict())
    with context():
        model(np.eye(2))
    assert model.out.shape == (2, 3)
    assert list(dict(model.named_parameters())) == NESTED
    assert list(model.state_dict()) == before


def test_weights_computed_under_no_grad_become_parameters_by_requires_grad():
    model = nn.Module()
    with no_grad():
        model.weights = Tensor([1.0, 2.0]) * 0.1
    model.weights.requires_grad = True
    assert list(dict(model.named_parameters())) == ["weights"]
    optimizer = Adam(model.parameters(), lr=0.1)
    (model.weights * model.weights).sum().backward()
    optimizer.step()
    assert_same(model.weights.data, np.array([0.0, 0.1]), "weights", 1e-7)


def test_a_frozen_parameter_belongs_to_the_state():
    model = nn.Layer(2, 3)
    model.weights.requires_grad = False
    assert list(model.state_dict()) == ["weights", "bias"]
    model(np.eye(2)).sum().backward()
    assert not model.weights.grad.any() and model.bias.grad.all()


def test_two_parameters_of_one_name_are_refused():
    model = nn.Module()
    model.d = {"a.b": Tensor([1.0]), "a": {"b": Tensor([2.0])}}
    with pytest.raises(ValueError, match="two parameters of Module have one dotted name"):
        model.state_dict()


def test_shared_weights_train_as_one():
    layer = nn.Layer(2, 2)
    model = nn.Sequential(layer, nn.LayerNorm(2), layer)
    assert list(dict(model.named_parameters())) == [
        "layers.0.weights", "layers.0.bias", "layers.1.weight", "layers.1.bias",
    ]  # fmt: skip
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    model(x).sum().backward()
    assert layer.bias.grad.shape == (2,) and layer.bias.grad.max() > 2


def test_named_parameters_are_pairs():
    layer = nn.Layer(2, 3)
    assert layer.named_parameters() == [("weights", layer.weights), ("bias", layer.bias)]


class Doubled(nn.Layer):
    def forward(self, x, times=2):
        return super().__call__(x) * times


class Halved(Doubled):
    def forward(self, x):
        return super().forward(x, times=0.5)


class Plain(Halved):
    def __call__(self, x):
        return super().__call__(x) * 2


@pytest.mark.parametrize(("kind", "factor"), [(Doubled, 2), (Halved, 0.5), (Plain, 1)])
def test_a_module_may_define_forward(kind, factor):
    """It comes before the `__call__` of a base, and what runs in it is the module's."""
    model, x = kind(3, 2), np.ones((4, 3))
    y = model(x)
    assert_same(y.data, factor * (x @ model.weights.data + model.bias.data), kind.__name__, 1e-15)
    assert where_made(y, {id(model): "it"}) == "it"
    with nn.trace(model) as given:
        model(x)
    assert [name for name, _ in given] == [""]


def test_zero_grad_reaches_every_parameter():
    model = Nested()
    for p in model.parameters():
        p.grad = np.ones(p.shape)
    model.zero_grad()
    assert not any(p.grad.any() for p in model.parameters())


def test_train_and_eval_reach_every_module():
    model = nn.Sequential(Nested(), nn.Sequential(nn.Dropout(0.5)))
    modules = model.named_modules().values()
    assert len(modules) == 7 and all(m.training for m in modules)
    assert model.eval() is model and not any(m.training for m in modules)
    assert model.train() is model and all(m.training for m in modules)
    model.layers[0].train(False)
    assert [m.training for m in modules] == [True] + [False] * 4 + [True] * 2


def test_astype_turns_parameters_and_buffers_and_keeps_the_tensors():
    model = Nested()
    parameters = model.parameters()
    model(np.eye(2)).sum().backward()
    assert model.astype(np.float32) is model
    assert model.parameters() == parameters and model.again is model.inner.weights
    assert {array.dtype for array in model.state_dict().values()} == {np.dtype(np.float32)}
    assert len(model.state_dict()) == len(NESTED) + 2
    assert all(p.grad.dtype == np.float32 and not p.grad.any() for p in parameters)
    assert model(np.eye(2, dtype=np.float32)).dtype == np.float32


def test_state_dict_holds_copies():
    model = Nested()
    state = model.state_dict()
    assert list(state) == [*NESTED, "table.a.running_mean", "table.a.running_var"]
    for name, p in model.named_parameters():
        assert_same(state[name], p.data, name, 0)
        assert not np.shares_memory(state[name], p.data), name
    assert not np.shares_memory(state["table.a.running_var"], model.table["a"].running_var)


def test_load_state_dict_fills_the_arrays_that_are_there():
    model, other = Nested(), Nested()
    arrays = [p.data for p in model.parameters()]
    state = other.state_dict()
    model.load_state_dict(state)
    assert all(p.data is array for p, array in zip(model.parameters(), arrays))
    assert_same_states(model.state_dict(), state)
    state["scale"][...] = 7
    assert model.scale.item() == 2, "the caller's array is the model's"


def test_load_state_dict_lists_all_that_is_wrong_and_changes_nothing():
    model = Nested()
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    del state["inner.bias"]
    state["more"] = np.zeros(2)
    state["pair.0"] = np.zeros((1, 1))
    state["table.a.running_var"] = np.ones(3, np.float32)
    with pytest.raises(ValueError) as caught:
        model.load_state_dict(state)
    message = str(caught.value)
    for part in ("inner.bias: missing", "more", "pair.0", "(1, 1)", "(1,)",
                 "table.a.running_var", "float32", "float64"):  # fmt: skip
        assert part in message, f"{part!r} is not in {message!r}"
    assert "scale" not in message
    assert_same_states(model.state_dict(), before)
    with pytest.raises(ValueError, match=r"pair\.0.*running_var"):
        model.load_state_dict(state, strict=False)
    assert_same_states(model.state_dict(), before)


def test_load_state_dict_that_is_not_strict_takes_what_fits_by_name():
    model = Nested()
    expected = model.state_dict()
    model.load_state_dict({"scale": np.array(5.0), "unknown": np.ones(2)}, strict=False)
    expected["scale"][...] = 5
    assert_same_states(model.state_dict(), expected)


# What runs inside


def test_trace_tells_what_each_module_gives_in_the_order_in_which_they_end():
    layer = nn.Layer(3, 3, "tanh", rng=rng())
    model = nn.Sequential(layer, nn.Dropout(0.5).eval(), layer)
    x = rng().normal(size=(4, 3))
    with nn.trace(model) as given:
        y = model(x)
    assert [name for name, _ in given] == ["layers.0", "layers.1", "layers.0", ""]
    assert_same(given[0][1].data, layer(x).data, "the first layer", 0)
    assert given[1][1] is given[0][1], "a dropout that does nothing gives what it is given"
    assert given[2][1] is given[3][1] is y
    model(x)
    assert len(given) == 4, "the trace has ended"


def test_trace_is_for_one_model_and_one_thread_and_works_without_gradients():
    model, other = nn.Sequential(nn.Flatten()), nn.Sequential(nn.Flatten())
    x = Tensor(np.ones((2, 3, 4)))
    with no_grad(), nn.trace(model) as given, nn.trace(other) as nothing:
        model(x)
        thread = threading.Thread(target=other, args=(x,))
        thread.start()
        thread.join()
    assert [(name, y.shape) for name, y in given] == [("layers.0", (2, 12)), ("", (2, 12))]
    assert nothing == []
    with pytest.raises(ValueError), nn.trace(model) as given:
        model(3)
    assert given == []
    model(x)
    assert given == [], "an error ends the trace"


def test_a_call_of_the_base_class_is_a_part_of_the_call():
    class Twice(nn.Sequential):
        def __call__(self, x):
            return super().__call__(super().__call__(x))

    model = Twice(nn.Layer(3, 3))
    with nn.trace(model) as given:
        model(np.ones((2, 3)))
    assert [name for name, _ in given] == ["layers.0", "layers.0", ""]


def test_a_call_defined_by_a_class_that_is_no_module_is_seen_too():
    class Mixin:
        def __call__(self, x, power=2, *, scale=1):
            """A power."""
            return x**power * scale

    class Power(Mixin, nn.Module):
        pass

    model = Power()
    with nn.trace(model) as given:
        y = model(Tensor([3.0]), scale=2)
    assert y.data == 18 and given == [("", y)]
    assert where_made(y, {id(model): "it"}) == "it"
    assert Power.__call__.__doc__ == "A power."
    assert list(inspect.signature(model).parameters) == ["x", "power", "scale"]


def test_results_belong_to_the_innermost_module_that_runs():
    class Failing(nn.Module):
        def __call__(self, x):
            raise ValueError("no")

    inner, failing = nn.Layer(2, 2, "tanh"), Failing()
    outer = nn.Sequential(inner, lambda y: y + 1, lambda y: seen.append(y) or y)
    names = {id(outer): "outer", id(inner): "inner"}
    seen = []
    y = outer(np.ones((1, 2)))
    assert where_made(y, names) == "outer" and seen == [y]
    assert where_made(y.operands[0], names) == "inner"
    assert where_made(y.operands[0], {id(outer): "outer"}) == "outer", "inner has no name there"
    with pytest.raises(ValueError, match="no"):
        failing(y)
    assert where_made(y * 2, names) == "" and (y * 2).owner is None
    with no_grad():
        outer(np.ones((1, 2)))
        assert (y * 2).owner is None
    assert inner.weights.owner is None, "leaves have none"


def test_an_owner_keeps_neither_module_nor_result_alive():
    class Keeping(nn.Module):
        def __init__(self):
            self.layer, self.results = nn.Layer(2, 2), []

        def __call__(self, x, results):
            y = self.layer(x)
            self.results.append(y)
            results.append(y)
            return y

    gc.collect()
    gc.disable()
    try:
        model, results = Keeping(), []
        y = model(np.ones((1, 2)), results)
        module, result = weakref.ref(model), weakref.ref(y)
        del model
        assert module() is None
        assert where_made(y, {}) == ""
        del y, results
        assert result() is None
        assert gc.collect() == 0
    finally:
        gc.enable()


# The table of a model


def test_summary_of_a_perceptron():
    assert nn.summary(nn.MultiLayerPerceptron(784, [32, 10]), (1, 784)).splitlines() == [
        "layer                               output shape  parameters",
        "------------------------------------------------------------",
        "MultiLayerPerceptron                (1, 10)                0",
        "layers.0  Layer(784, 32, act=relu)  (1, 32)           25,120",
        "layers.1  Layer(32, 10, act=None)   (1, 10)              330",
        "------------------------------------------------------------",
        "total                                                 25,450",
    ]


def columns(table):
    return [re.split(" {2,}", line) for line in table.splitlines() if "--" not in line][1:]


def test_summary_of_integers():
    model = Transformer(1)
    rows = columns(nn.summary(model, (2, 5), dtype=int))
    assert ["tokens", "Embedding(7, 4)", "(2, 5, 4)", "28"] in rows
    assert rows[-1] == ["total", f"{sum(p.size for p in model.parameters()):,}"]
    assert sum(int(row[-1].replace(",", "")) for row in rows[:-1]) == int(rows[-1][1])


def test_summary_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Layer(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Layer(4, 2))
    model(rng().normal(size=(8, 3)))
    model.layers[1].eval()
    flags = [m.training for m in model.named_modules().values()]
    kinds = [type(m) for m in model.named_modules().values()]
    state = model.state_dict()
    arrays = [model.layers[1].running_mean, model.layers[1].running_var]
    for shape in ((5, 3), (5, 9)):  # the second does not fit
        try:
            rows = columns(nn.summary(model, shape))
        except ValueError:
            assert shape == (5, 9)
    assert rows[2] == ["layers.1", "BatchNorm1d(4)", "(5, 4)", "8"]
    assert [m.training for m in model.named_modules().values()] == flags
    assert [type(m) for m in model.named_modules().values()] == kinds
    assert model.layers[1].running_mean is arrays[0]
    assert model.layers[1].running_var is arrays[1]
    assert all(np.array_equal(state[name], array) for name, array in model.state_dict().items())
    assert not any(p.has_grad for p in model.parameters())


def test_summary_in_float32_and_of_a_module_that_does_not_run():
    class Model(nn.Module):
        def __init__(self):
            self.used, self.unused = nn.Layer(3, 2), nn.Layer(5, 5)

        def __call__(self, x):
            assert x.dtype == np.float32
            return self.used(x)

    rows = columns(nn.summary(Model().astype(np.float32), 3, np.float32))
    assert rows[0] == ["Model", "(2,)", "0"]
    assert rows[2] == ["unused", "Layer(5, 5, act=None)", "not run", "30"]


# Errors: what was given, what it should say

ERRORS = {
    "a Module without __call__": (lambda: NoCall()(1), NotImplementedError, "NoCall", "__call__"),
    "astype(int)": (lambda: nn.Layer(2, 2).astype(int), TypeError, "astype", "int64"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    assert_refused(*ERRORS[name])


def test_a_state_may_exchange_the_arrays_of_a_model():
    model = nn.Module()
    model.a, model.b = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    model.load_state_dict({"a": model.b.data, "b": model.a.data})
    assert (model.a.data.tolist(), model.b.data.tolist()) == ([3.0, 4.0], [1.0, 2.0])


def test_modules_may_be_nested_deeply_and_lists_hold_themselves():
    model = inner = nn.Module()
    for _ in range(2000):
        inner.next = nn.Module()
        inner = inner.next
    inner.weight = Tensor([1.0])
    assert model.parameters() == [inner.weight]
    assert not model.eval().next.next.training

    model = nn.Module()
    model.items = [Tensor([1.0])]
    model.items.append(model.items)
    assert list(dict(model.named_parameters())) == ["items.0"]

    shared = [Tensor([2.0])]
    for _ in range(40):
        shared = [shared, shared]
    model.items = shared
    assert len(model.parameters()) == 1
