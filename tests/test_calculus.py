"""Tests of `grad`, `jacobian` and `hessian`: gradients as Tensors, of any order."""

import itertools

import numpy as np
import pytest
import torch
from table import assert_same, mistakes, raising

from micrograd import Tensor, grad, hessian, jacobian, no_grad

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
