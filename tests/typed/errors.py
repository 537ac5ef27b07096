"""Mistakes that a type checker is to find, each where mypy's name for it stands; and no others."""

from typing import Any

import numpy.typing as npt

from micrograd import Tensor, grad, hvp, jacobian, no_grad, stack, value_and_grad
from micrograd.optim import Adam

t = Tensor([1.0, 2.0])

t.exp(3, 4)  # error: call-arg
t.sum(axis="rows")  # error: arg-type
t.sum(dim=0)  # error: call-arg
t.gelu(approximate=True)  # error: arg-type
t.expp()  # error: attr-defined
t * "two"  # error: operator
t * [1.0, 2.0]  # error: operator
t + None  # error: operator
1j * t  # error: operator
Tensor([t, t])  # error: arg-type
t.data = None  # error: assignment
t.shape = (2, 1)  # error: misc
t.label = 3  # error: assignment
stack(t)  # error: arg-type
grad(t, 1.0)  # error: call-overload
grad(t, t).grads()  # error: attr-defined
grad(t, [t]).exp()  # error: attr-defined
jacobian(t, t)  # error: call-overload
hvp(t, t, t)  # error: call-overload
value_and_grad(t)  # error: call-overload
no_grad(True)  # error: call-overload
Adam(t, learning_rate=0.1)  # error: call-arg
number: float = t.sum()  # error: assignment
array: npt.NDArray[Any] = t  # error: assignment
