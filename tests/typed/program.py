"""A program as a user with a type checker writes it; tests/test_typing.py has it checked."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type  # in typing from Python 3.11 on

from micrograd import (
    Tensor,
    concatenate,
    einsum,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    linear,
    maximum,
    no_grad,
    norm,
    operation,
    stack,
    value_and_grad,
    vjp,
    where,
)
from micrograd.calculus import flatten
from micrograd.nn import Layer, Module, MultiLayerPerceptron, mse
from micrograd.optim import Adam

t = Tensor([[1.0, 2.0], [3.0, 4.0]], label="t")
x, w = Tensor(2.0), Tensor(np.ones(2), label="w")
array = np.ones((2, 2))

# Arithmetic, with numbers and arrays on either side
assert_type(t * 2, Tensor)
assert_type(2 * t, Tensor)
assert_type(t + t, Tensor)
assert_type(t - array, Tensor)
assert_type(array - t, Tensor)
assert_type(array @ t, Tensor)
assert_type(t @ t, Tensor)
assert_type(np.float64(2) * t, Tensor)
assert_type(np.float32(2) / t, Tensor)
assert_type(t / np.int64(2), Tensor)
assert_type(1 / t**2, Tensor)
assert_type(2**t, Tensor)
assert_type(-t, Tensor)
assert_type(abs(t), Tensor)
assert_type(t > 0, npt.NDArray[np.bool_])
assert_type(t == 0, npt.NDArray[np.bool_])

# Operations
assert_type(t.exp(), Tensor)
assert_type(t.sum(axis=(0, -1), keepdims=True), Tensor)
assert_type(t.mean(0).clip(0, w), Tensor)
assert_type(t.reshape(2, -1).reshape((4,)).transpose(), Tensor)
assert_type(t.T[0, 1:], Tensor)
assert_type(t[t > 0], Tensor)
assert_type([row for row in t], list[Tensor])
assert_type(t.softmax(axis=-1).log(), Tensor)
assert_type(maximum(t, 0), Tensor)
assert_type(where(t > 0, t, 0), Tensor)
assert_type(norm(t, axis=0), Tensor)
assert_type(linear(array, t, w), Tensor)
assert_type(stack([x, x]), Tensor)
assert_type(concatenate([t, array], axis=1), Tensor)
assert_type(einsum("ij,jk->ik", t, array), Tensor)
cube = operation("cube", lambda x: x**3, lambda g, y, x: g * 3 * x * x)
assert_type(cube(t), Tensor)

# NumPy's stubs say no more than this about a ufunc of one argument. Tensors in its other functions
# they refuse, though np.maximum(t, 0) and np.sum(t) work: hence maximum(t, 0) and t.sum().
assert_type(np.exp(t), Any)
y: Tensor = np.exp(t * x * w.sum())

# The array
assert_type(t.data, npt.NDArray[Any])
assert_type(t.shape, tuple[int, ...])
assert_type(x.item(), float)
assert_type(float(x), float)
assert_type(len(t), int)
assert_type(t.label, str)
t.data = [[1.0, 2.0], [3.0, 4.0]]
constant = t.detach()
constant.data -= 0.1 * t.grad
t.grad = None

# Gradients
y.backward()
(t * 2).sum().backward(1.0)
assert_type(t.grad, npt.NDArray[Any])
assert_type(t.detach(), Tensor)
assert_type(grad(y, x), Tensor)
assert_type(grad(y, [x, w]), tuple[Tensor, ...])
assert_type(grad(y, (x, w), create_graph=True), tuple[Tensor, ...])
assert_type(jacobian(lambda x: x * x, [1.0, 2.0]), Tensor)
assert_type(hessian(lambda x: (x * x).sum(), w), Tensor)
assert_type(hvp(lambda x: (x * x).sum(), w, [1.0, 2.0]), Tensor)
with no_grad():
    assert_type(t * 2, Tensor)
    step = Tensor(1.0)
    step -= 0.1
    assert_type(step, Tensor)


class Line(NamedTuple):
    slope: Tensor
    offset: Tensor


def squares(p: dict[str, Tensor], x: Tensor) -> Tensor:
    return ((p["w"] * x + p["b"]) ** 2).sum()


def error(line: Line, x: Tensor) -> Tensor:
    return ((line.slope * x + line.offset) ** 2).sum()


def total(x: Tensor, scale: float = 1.0) -> Tensor:
    return x.sum() * scale


parameters, line = {"w": w, "b": x}, Line(w, x)
assert_type(value_and_grad(squares)(parameters, w), tuple[Tensor, dict[str, Tensor]])
assert_type(value_and_grad(error)(line, w), tuple[Tensor, Line])
assert_type(value_and_grad(total)(w), tuple[Tensor, Tensor])
assert_type(value_and_grad(total)([1.0, 2.0], scale=2.0), tuple[Tensor, Tensor])
assert_type(value_and_grad(squares, (0, 1))(parameters, w), tuple[Tensor, Any])
assert_type(grad(y, parameters), dict[str, Tensor])
assert_type(grad(y, [[w, x], [t]]), list[list[Tensor]])
assert_type(hvp(lambda p: squares(p, w), parameters, parameters), dict[str, Tensor])
assert_type(jvp(total, w, array[0]), tuple[Tensor, Tensor])
out, pullback = vjp(squares, parameters, w)
assert_type(out, Tensor)
assert_type(pullback(1.0), tuple[Any, ...])
vector, unflatten = flatten(parameters)
assert_type(vector, Tensor)
assert_type(unflatten(vector.data), dict[str, Tensor])


@no_grad
def predict(model: Module, x: Tensor) -> float:
    return x.sum().item()


@no_grad()
def bare(x: Tensor) -> Tensor:
    return x.detach()


assert_type(predict(Module(), t), float)
assert_type(bare(t), Tensor)

# Networks
model = MultiLayerPerceptron(2, [8, 1], act="tanh")
optimizer = Adam(model.parameters(), lr=0.01)
loss = mse(Layer(2, 1)(t), np.ones((2, 1)))
assert_type(loss, Tensor)
optimizer.zero_grad()
loss.backward()
optimizer.step()
