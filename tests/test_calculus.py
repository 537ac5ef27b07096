"""Tests of `grad`, `jacobian` and their kind: gradients as Tensors, of any order."""

import itertools
from collections import namedtuple

import numpy as np
import pytest
import torch
from table import assert_same, mistakes, raising

from micrograd import (
    Tensor,
    calculus,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    no_grad,
    operation,
    value_and_grad,
    vjp,
)
from micrograd.calculus import flatten

# No operation may warn of an overflow or a division where its result is fine
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def test_grad_gives_a_tensor_for_a_tensor_and_a_tuple_for_a_sequence():
    x, y = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    z = x * y
    one, both = grad(z, x), grad(z, [x, y])
    assert type(one) is Tensor
    assert one.data.tolist() == [3.0, 4.0]
    assert type(both) is tuple
    assert [t.data.tolist() for t in both] == [[3.0, 4.0], [1.0, 2.0]]
    assert [t.data.tolist() for t in grad(z, (y,))] == [[1.0, 2.0]]
    assert grad(z, ()) == ()


def test_grad_is_zeros_for_an_input_that_does_not_matter():
    x, other = Tensor([1.0]), Tensor(np.ones((2, 3), np.float32))
    for create_graph in (False, True):
        g = grad(x * 2, other, create_graph=create_graph)
        assert_same(g.data, np.zeros((2, 3), np.float32), "independent")


def test_grad_is_the_gradient_itself_for_the_output_and_reaches_intermediates():
    x = Tensor([1.0, 2.0])
    h = x * 3
    y = h * h
    start = np.array([1.0, 10.0])
    dy, dh = grad(y, (y, h), start)
    assert dy.data.tolist() == [1.0, 10.0]
    assert dh.data.tolist() == [6.0, 120.0]
    assert grad(x, x).data.tolist() == [1.0, 1.0]


def test_grad_touches_no_grad_attribute():
    x = Tensor([1.0, 2.0])
    h = x * 3
    y = h.exp()
    y.backward()
    before = [t.grad.copy() for t in (x, h, y)]
    first = grad(y, x, create_graph=True)
    grad(first, (x, h))
    for t, g in zip((x, h, y), before):
        assert np.array_equal(t.grad, g)
    assert not first.grad.any()


def test_grad_has_history_only_where_asked():
    x = Tensor([1.0, 2.0])
    plain = grad(x**3, x)
    assert not plain.requires_grad
    assert plain.is_leaf
    assert grad(x**3, x, create_graph=True).requires_grad


def test_grad_takes_a_gradient_of_its_output():
    x = Tensor([1.0, 2.0])
    for start in ([1.0, 10.0], np.array([1.0, 10.0]), Tensor([1.0, 10.0])):
        for create_graph in (False, True):
            g = grad(x * x, x, start, create_graph)
            assert g.data.tolist() == [2.0, 40.0]
    start = Tensor([1.0, 10.0])
    by_start = grad(grad(x * x, x, start, create_graph=True), start)
    assert by_start.data.tolist() == [2.0, 4.0]


def test_gradients_with_a_graph_share_no_memory():
    a, b, g = Tensor([1.0]), Tensor([2.0]), Tensor([3.0])
    results = (*grad(a + b, (a, b), g, create_graph=True), g)
    for x, y in itertools.combinations(results, 2):
        assert not np.shares_memory(x.data, y.data)


def test_derivatives_of_third_and_fourth_order():
    x = Tensor([0.5, 2.0])
    y, derivatives = x.sin() * x**4, []
    t = torch.tensor(x.data, requires_grad=True)
    y_torch, expected = t.sin() * t**4, []
    for _ in range(4):
        y = grad(y, x, create_graph=True)
        (y_torch,) = torch.autograd.grad(y_torch.sum(), t, create_graph=True)
        derivatives.append(y.data)
        expected.append(y_torch)
    for order, (ours, theirs) in enumerate(zip(derivatives, expected)):
        assert_same(ours, theirs, f"order {order + 1}")


def test_a_loss_on_a_gradient_trains_the_weights():
    w = Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]))
    x = Tensor(np.array([0.5, -0.5]))
    slope = grad((x @ w).tanh().sum(), x, create_graph=True)
    ((slope * slope).sum() - 1).backward()

    v = torch.tensor(w.data, requires_grad=True)
    u = torch.tensor(x.data, requires_grad=True)
    (s,) = torch.autograd.grad((u @ v).tanh().sum(), u, create_graph=True)
    ((s * s).sum() - 1).backward()
    assert_same(w.grad, v.grad, "weights")
    assert_same(x.grad, u.grad, "input")


MAPS = {
    "(3,) -> (3,)": (lambda x: x.exp() * x[0], (3,)),
    "(3,) -> (2, 3)": (lambda x: x.reshape(1, 3) * x.sin()[:2].reshape(2, 1), (3,)),
    "(2, 2) -> ()": (lambda x: (x @ x).sum() * x[0, 1], (2, 2)),
    "() -> ()": (lambda x: x.sin() * x, ()),
    "() -> (3,)": (lambda x: x * x.reshape(1).exp() * x.broadcast_to((3,)), ()),
    "(2,) -> (0,)": (lambda x: x[:0] * 2, (2,)),
    "(0,) -> ()": (lambda x: (x * 2).sum(), (0,)),
}


@pytest.mark.parametrize("name", MAPS)
def test_jacobian_is_that_of_pytorch(name):
    f, shape = MAPS[name]
    x = np.random.default_rng(0).normal(size=shape)
    y = f(Tensor(x))
    if 0 in (y.size, x.size):
        expected = np.zeros(y.shape + shape)  # PyTorch's function takes no empty array
    else:
        expected = torch.autograd.functional.jacobian(f, torch.tensor(x))
    for given_as in (Tensor(x), x):
        assert_same(jacobian(f, given_as).data, expected, name)
    assert_same(jacobian(f, Tensor(x), create_graph=True).data, expected, name)


@pytest.mark.parametrize("name", ["(2, 2) -> ()", "() -> ()"])
def test_hessian_is_that_of_pytorch(name):
    f, shape = MAPS[name]
    x = np.random.default_rng(0).normal(size=shape)
    expected = torch.autograd.functional.hessian(f, torch.tensor(x))
    for given_as in (Tensor(x), x):
        assert_same(hessian(f, given_as).data, expected, name)


def test_the_mixed_second_derivative_of_a_power_is_right_where_the_exponent_is_0():
    # d/db (b a^(b-1)) = a^(b-1) (1 + b log a), which is 1/a at b = 0
    curvature = hessian(lambda v: v[0] ** v[1], Tensor([2.0, 0.0]))
    assert_same(curvature.data, np.array([[0.0, 0.5], [0.5, np.log(2) ** 2]]), "hessian")


def test_jacobian_and_hessian_record_for_themselves():
    x = Tensor([1.0, 2.0])
    with no_grad():
        assert jacobian(lambda x: x * x, x).data.tolist() == [[2.0, 0.0], [0.0, 4.0]]
        assert hessian(lambda x: (x**3).sum(), x).data.tolist() == [[6.0, 0.0], [0.0, 12.0]]


def test_a_hessian_of_several_numbers_is_refused():
    with pytest.raises(ValueError, match=r"hessian: f is to give one number, it gave shape \(2,\)"):
        hessian(lambda x: x * x, Tensor([1.0, 2.0]))


def test_a_jacobian_with_its_graph_can_be_differentiated():
    f, x = (lambda x: x**3 * x[0]), np.array([1.0, 2.0])
    t, u = Tensor(x), torch.tensor(x, requires_grad=True)
    ours = grad((jacobian(f, t, create_graph=True) ** 2).sum(), t)
    theirs = torch.autograd.functional.jacobian(f, u, create_graph=True)
    assert_same(ours.data, torch.autograd.grad((theirs**2).sum(), u)[0], "gradient")
    float32 = jacobian(f, Tensor(x.astype(np.float32)))
    assert float32.dtype == np.float32


ERRORS = [
    (raising(lambda x, y, s: grad(x * 2, x, np.ones(3))), ValueError,
     r"grad: a gradient of shape \(3,\) for a tensor of shape \(2, 3\)"),
    (raising(lambda x, y, s: grad(1.0, x)), TypeError, "grad: expected a Tensor, got 1.0"),
    (raising(lambda x, y, s: grad(x, [x, 1.0])), TypeError, "grad: expected a Tensor, got 1.0"),
    (raising(lambda x, y, s: grad(x * 2, x.detach())), ValueError, "requires_grad=False"),
]  # fmt: skip


@mistakes(ERRORS)
def test_a_mistake_raises_an_error_that_names_it(f, error, message):
    with pytest.raises(error, match=message):
        f()


# Functions and structures

Pair = namedtuple("Pair", "w b")
RNG = np.random.default_rng(3)
W, B, X = RNG.normal(size=(3, 2)), RNG.normal(size=2), RNG.normal(size=(4, 3))
STRUCTURES = {
    "dict": (lambda w, b: {"w": w, "b": b}, lambda p: (p["w"], p["b"])),
    "dict the other way round": (lambda w, b: {"b": b, "w": w}, lambda p: (p["w"], p["b"])),
    "tuple": (lambda w, b: (w, b), lambda p: p),
    "namedtuple": (Pair, lambda p: (p.w, p.b)),
    "nested lists": (lambda w, b: [[w, None], [b]], lambda p: (p[0][0], p[1][0])),
    "a dict of tuples": (lambda w, b: {"a": (w,), "z": [b]}, lambda p: (p["a"][0], p["z"][0])),
}


def predict(w, b, x=X):
    """For our Tensors and PyTorch's alike."""
    return ((x @ w + b).tanh() ** 2).sum() + (w[0] * b).sum() ** 2


def torch_tensors(*arrays):
    return [torch.tensor(a, requires_grad=True) for a in arrays]


def torch_predict(w, b):
    return predict(w, b, torch.tensor(X))


@pytest.mark.parametrize("kind", [Tensor, np.asarray])
@pytest.mark.parametrize("name", STRUCTURES)
def test_a_gradient_has_the_structure_of_the_parameters(name, kind):
    build, parts = STRUCTURES[name]
    parameters = build(kind(W), kind(B))
    value, slopes = value_and_grad(lambda p: predict(*parts(p)))(parameters)
    w, b = torch_tensors(W, B)
    expected = torch_predict(w, b)
    assert_same(value.data, expected, "value")
    for ours, theirs in zip(parts(slopes), torch.autograd.grad(expected, (w, b))):
        assert_same(ours.data, theirs, name)
        assert not ours.requires_grad
    assert not value.requires_grad
    assert type(slopes) is type(parameters)
    if kind is Tensor:
        again = grad(predict(*parts(parameters)), parameters)
        assert type(again) is type(parameters)
        for ours, same in zip(parts(again), parts(slopes)):
            assert_same(ours.data, same.data, name)


@pytest.mark.parametrize("name", STRUCTURES)
def test_second_derivatives_have_the_structure_of_the_parameters_twice(name):
    build, parts = STRUCTURES[name]
    expected = torch.autograd.functional.hessian(torch_predict, tuple(torch_tensors(W, B)))

    def f(p):
        return predict(*parts(p))

    found = hessian(f, build(W, B))
    for i, row in enumerate(parts(found)):
        for j, block in enumerate(parts(row)):
            assert_same(block.data, expected[i][j], f"{name}: {i}, {j}")
    v = torch_tensors(np.cos(W), np.sin(B))
    expected = torch.autograd.functional.hvp(torch_predict, tuple(torch_tensors(W, B)), tuple(v))[1]
    for ours, theirs in zip(parts(hvp(f, build(W, B), build(np.cos(W), np.sin(B)))), expected):
        assert_same(ours.data, theirs, name)


def test_value_and_grad_takes_other_arguments_and_their_places():
    def f(a, b, *, c=1.0):
        return (a * b * b).sum() * c

    a, b = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    value, by_a = value_and_grad(f)(a, b, c=2.0)
    assert (value.item(), by_a.data.tolist()) == (82.0, [18.0, 32.0])
    assert value_and_grad(f, argnums=-1)(a, b)[1].data.tolist() == [6.0, 16.0]
    by_b, by_a = value_and_grad(f, argnums=(1, 0))(a, b)[1]
    assert (by_b.data.tolist(), by_a.data.tolist()) == ([6.0, 16.0], [9.0, 16.0])
    assert not a.grad.any()


def test_value_and_grad_of_value_and_grad():
    def slope(x):
        return value_and_grad(lambda x: (x**4).sum(), create_graph=True)(x)[1].sum()

    assert value_and_grad(slope)(Tensor([1.0, 2.0]))[1].data.tolist() == [12.0, 48.0]


def test_an_argument_is_not_the_tensor_itself_that_a_function_knows():
    p = Tensor([0.5, 1.5])

    def divergence(q):  # whose Hessian at q = p is the Fisher information
        return (p * (p.log() - q.log())).sum() + (q - p).sum()

    assert_same(hessian(divergence, p).data, np.diag(1 / p.data), "Fisher information")
    assert jacobian(lambda x: x * p, p).data.tolist() == np.diag(p.data).tolist()
    assert hessian(lambda x: (x * p).sum(), p).data.tolist() == [[0, 0], [0, 0]]
    assert hvp(lambda x: (x * p).sum(), p, [1.0, 1.0]).data.tolist() == [0, 0]


@pytest.mark.parametrize("derivative", [value_and_grad, jacobian, hessian, hvp, vjp, jvp])
def test_a_function_that_ignores_its_argument_is_not_of_gradient_0_in_silence(derivative):
    p = Tensor([0.5, 1.5])

    def f(_):
        return (p * p).sum()

    with pytest.raises(ValueError, match="in terms of its argument"):
        if derivative is value_and_grad:
            value_and_grad(f)(p)
        elif derivative is vjp:
            vjp(f, p)[1]()
        else:
            derivative(f, p, *([[1.0, 1.0]] if derivative in (hvp, jvp) else []))


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_argument_that_does_not_matter_has_gradient_0(create_graph):
    w = Tensor([1.0, 2.0])
    for other in (w, w * 2, Tensor(3.0)):  # also where there is a way to it behind the other one
        given = {"used": other * 1, "not": w}
        slopes = value_and_grad(lambda p: p["used"].sum(), create_graph=create_graph)(given)[1]
        assert slopes["used"].data.tolist() == np.ones(other.shape).tolist()
        assert slopes["not"].data.tolist() == [0, 0]


def test_a_constant_is_differentiated_by_where_it_is_given_as_argument():
    x = Tensor([1.0, 2.0], requires_grad=False)
    assert value_and_grad(lambda x: (x * x).sum())(x)[1].data.tolist() == [2.0, 4.0]
    assert jacobian(lambda x: x * x, x).data.tolist() == [[2.0, 0.0], [0.0, 4.0]]
    assert not x.requires_grad


# Products with Jacobians


A2, B2 = RNG.normal(size=3), RNG.normal(size=(2, 2))
DA, DB = RNG.normal(size=3), RNG.normal(size=(2, 2))
F2 = {
    "two results": lambda a, b: (a.exp() * b[0, 0], (a * a[0]).sum() - b),
    "one result": lambda a, b: a.exp() * b[1, 0],
    "a number": lambda a, b: (a.exp() * b[1, 0]).sum(),
    "one argument alone": lambda a, b: b * b[0],
}


@pytest.mark.parametrize("name", F2)
def test_jvp_and_vjp_are_those_of_pytorch(name):
    f = F2[name]
    ts = tuple(torch.tensor(x) for x in (A2, B2))
    ys, expected = torch.func.jvp(f, ts, tuple(torch.tensor(x) for x in (DA, DB)))
    found, tangents = jvp(f, (A2, B2), (DA, DB))
    if name != "two results":
        ys, expected, found, tangents = [ys], [expected], [found], [tangents]
    for y, ours, t, theirs in zip(found, tangents, ys, expected):
        assert_same(y.data, t, "value")
        assert_same(ours.data, theirs, "tangent")
        assert not ours.requires_grad

    y, pullback = vjp(f, A2, B2)
    t, theirs = torch.func.vjp(f, *ts)
    for _ in range(2):  # it can be called more than once
        if name == "two results":
            v = (np.cos(y[0].data), np.sin(y[1].data))
            expected = theirs((torch.tensor(v[0]), torch.tensor(v[1])))
        else:
            v = np.cos(y.data)
            expected = theirs(torch.tensor(v))
        slopes = pullback(v)
        assert type(slopes) is tuple
        for ours, other in zip(slopes, expected):
            assert_same(ours.data, other, "pulled back")


def test_vjp_starts_from_ones_and_jvp_takes_one_argument_bare():
    y, pullback = vjp(lambda x: x**3, [1.0, 2.0])
    assert y.data.tolist() == [1.0, 8.0]
    assert [g.data.tolist() for g in pullback()] == [[3.0, 12.0]]
    y, tangent = jvp(lambda x: x**3, np.array([1.0, 2.0]), [1.0, -1.0])
    assert tangent.data.tolist() == [3.0, -12.0]
    y, tangent = jvp(lambda a, b: a * b, (2.0, 3.0), (Tensor(1.0), 2.0))
    assert (y.item(), tangent.item()) == (6.0, 7.0)
    y, tangent = jvp(lambda p: {"y": p["x"] ** 2}, {"x": 3.0}, {"x": 1.0})
    assert (y["y"].item(), tangent["y"].item()) == (9.0, 6.0)


def test_products_can_be_differentiated_again():
    x, v = Tensor([0.3, 0.7]), Tensor([1.0, 2.0])
    t, u = (torch.tensor(a.data, requires_grad=True) for a in (x, v))

    def f(x):
        return (x**3).sum() * x

    third = torch.autograd.functional.jvp(f, t, u, create_graph=True)[1]
    expected = torch.autograd.grad((third**2).sum(), (t, u))
    found = jvp(f, x, v, create_graph=True)[1]
    for ours, theirs in zip(grad((found**2).sum(), (x, v)), expected):
        assert_same(ours.data, theirs, "of jvp")

    def g(x):
        return (x**4).sum() * x[0]

    second = torch.autograd.functional.hvp(g, t, u, create_graph=True)[1]
    expected = torch.autograd.grad((second**2).sum(), (t, u))
    found = hvp(g, x, v, create_graph=True)
    for ours, theirs in zip(grad((found**2).sum(), (x, v)), expected):
        assert_same(ours.data, theirs, "of hvp")

    found = vjp(f, x, create_graph=True)[1](v)[0]
    second = torch.autograd.functional.vjp(f, t, u, create_graph=True)[1]
    expected = torch.autograd.grad((second**2).sum(), (t, u))
    for ours, theirs in zip(grad((found**2).sum(), (x, v)), expected):
        assert_same(ours.data, theirs, "of vjp")


def test_what_they_give_stays_when_what_they_were_given_changes():
    x = Tensor([1.0, 2.0])
    value, slope = value_and_grad(lambda x: x[0])(x)
    y, pullback = vjp(lambda x: x * x, x)
    same, tangent = jvp(lambda x: x, x, x)
    x.data += 10
    assert (value.item(), slope.data.tolist()) == (1, [1, 0])
    assert (same.data.tolist(), tangent.data.tolist()) == ([1, 2], [1, 2])
    assert (y.data.tolist(), pullback()[0].data.tolist()) == ([1, 4], [2, 4])


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("column", [0, 1e9])  # by columns, by rows
@pytest.mark.parametrize("name", MAPS)
def test_a_jacobian_by_columns_is_that_by_rows(name, column, create_graph, monkeypatch):
    f, shape = MAPS[name]
    x = np.random.default_rng(0).normal(size=shape)
    expected = jacobian(f, x)
    monkeypatch.setattr(calculus, "COLUMN", column)
    assert_same(jacobian(f, Tensor(x), create_graph).data, expected.data, name)


@pytest.mark.parametrize("n", [3, 20])
def test_a_jacobian_takes_the_cheaper_side(n):
    matrix, ways = RNG.normal(size=(20, n)), []
    counted = operation("counted", lambda x: x * 1, lambda g, y, x: ways.append(0) or g * 1)
    found = jacobian(lambda x: counted(x).reshape(1, n) @ matrix.T, np.ones(n))
    assert_same(found.data, matrix[None], "Jacobian")
    assert len(ways) == (1 if n == 3 else 20)


def test_a_jacobian_needs_no_second_derivative():
    def doubled(g, y, x):
        return g * (2 * x if type(x) is np.ndarray else np.spacing(x))  # not of a Tensor

    square = operation("square", lambda x: x * x, doubled)
    found = jacobian(lambda x: square(x) * np.ones((10, 1)), [1.0, 2.0])
    assert_same(found.data, np.array([[[2.0, 0.0], [0.0, 4.0]]] * 10), "Jacobian")


def test_the_jacobian_of_structures_is_one_of_structures():
    def f(p):
        return {"sum": p["a"] + p["b"][0], "product": (p["a"] * p["b"][0]).sum()}

    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0], np.float32)
    for x in ({"a": a, "b": (b,)}, {"a": Tensor(a), "b": (Tensor(b),)}):
        found = jacobian(f, x)
        assert_same(found["sum"]["a"].data, np.eye(2), "sum by a")
        assert_same(found["sum"]["b"][0].data, np.eye(2, dtype=np.float32), "sum by b")
        assert_same(found["product"]["a"].data, b.astype(float), "product by a")
        assert_same(found["product"]["b"][0].data, a.astype(np.float32), "product by b")


PRODUCTS = {
    "jvp": lambda x: jvp(lambda x: x * x, x, x)[1],
    "vjp": lambda x: vjp(lambda x: x * x, x)[1](x)[0],
    "hvp": lambda x: hvp(lambda x: (x * x).sum(), x, np.ones(2)),
    "value_and_grad": lambda x: value_and_grad(lambda x: (x * x).sum())(x)[1],
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_float32_stays_float32(name):
    assert PRODUCTS[name](Tensor(np.ones(2, np.float32))).dtype == np.float32
    assert PRODUCTS[name](np.ones(2, np.float32)).dtype == np.float32


def test_all_of_them_record_for_themselves():
    with no_grad():
        assert value_and_grad(lambda x: x * x)(3.0)[1].item() == 6
        assert vjp(lambda x: x * x, 3.0)[1]()[0].item() == 6
        assert jvp(lambda x: x * x, 3.0, 2.0)[1].item() == 12
        assert hvp(lambda x: x**3, 3.0, 1.0).item() == 18


# One vector of a structure


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_is_flattened_and_back(name):
    build, parts = STRUCTURES[name]
    structure = build(W.astype(np.float32), B)
    vector, unflatten = flatten(structure)
    assert vector.shape == (8,)
    for flat in (vector, vector.data):
        again = unflatten(flat)
        assert type(again) is type(structure)
        for ours, expected in zip(parts(again), parts(structure)):
            assert_same(ours.data, expected, name)
            assert ours.is_leaf == (flat is not vector)


def test_gradients_go_through_flatten_and_unflatten():
    w, b = Tensor(W), Tensor(B)
    vector, unflatten = flatten({"w": w, "b": b})
    again = unflatten(vector * 2)
    for ours, expected in zip(
        grad(predict(again["w"], again["b"]), (w, b)),
        grad(predict(w * 2, b * 2), (w, b)),
    ):
        assert_same(ours.data, expected.data, "gradient")


def test_what_is_frozen_stays_so_when_it_comes_back():
    vector, unflatten = flatten([Tensor([1.0]), Tensor([2.0], requires_grad=False)])
    free, frozen = unflatten(vector.data)
    assert (free.requires_grad, frozen.requires_grad) == (True, False)
    assert not np.shares_memory(free.data, vector.data)


def test_of_nothing_the_vector_is_empty():
    vector, unflatten = flatten({"bias": None})
    assert vector.shape == (0,)
    assert unflatten(vector) == {"bias": None}
    assert value_and_grad(lambda p: Tensor(1.0))({})[1] == {}


V = Tensor([1.0, 2.0])
STRUCTURE_ERRORS = [
    (lambda: grad(lambda x: x, V), TypeError, r"value_and_grad\(f\)\(x\) is for functions"),
    (lambda: grad(V.sum(), {"a": V, "b": "relu"}), TypeError, "expected a Tensor, got 'relu'"),
    (lambda: value_and_grad(lambda x: x.sum().item())(V), TypeError, "f is to give a Tensor"),
    (lambda: value_and_grad(lambda x: x)(V), ValueError, r"one number, it gave shape \(2,\)"),
    (lambda: value_and_grad(lambda x: x, 1)(V), TypeError, "argnums=1 of 1 arguments"),
    (lambda: hvp(lambda x: x, V, V), ValueError, r"hvp: f is to give one number"),
    (lambda: hvp(lambda x: x.sum(), V, [1.0]), ValueError, r"expected shape \(2,\), got \(1,\)"),
    (lambda: jvp(lambda x: x, V, 1.0), ValueError, r"jvp: expected shape \(2,\), got \(\)"),
    (lambda: jvp(lambda x, y: x, (V, V), (V,)), ValueError, r"jvp: expected a sequence of 2"),
    (lambda: jvp(lambda x: x.data, V, V), TypeError, "jvp: f is to give Tensors, it gave an arr"),
    (lambda: jvp(lambda p: p["a"], {"a": V}, {"b": V}), ValueError, r"a dict of \['a'\]"),
    (lambda: jvp(lambda x, y: x, (V, V), V), ValueError, "jvp: expected a sequence of 2, got Ten"),
    (lambda: vjp(lambda x: (x, x), V)[1](V), ValueError, "vjp: expected a sequence of 2"),
    (lambda: jacobian(lambda x: x.data, V), TypeError, "jacobian: f is to give Tensors"),
    (lambda: jacobian(lambda x: x, "ab"), TypeError, "expected real numbers, got 'ab'"),
    (lambda: flatten({"a": V})[1](np.ones(3)), ValueError, r"expected shape \(2,\), got \(3,\)"),
]  # fmt: skip


@mistakes(STRUCTURE_ERRORS)
def test_a_mistake_with_a_function_raises_an_error_that_names_it(f, error, message):
    with pytest.raises(error, match=message):
        f()
