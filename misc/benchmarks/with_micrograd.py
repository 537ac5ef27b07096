"""micrograd, as its users write a model."""

from functools import partial

from micrograd import Tensor, optim

from .models import STEPS, chain


def as_it_is(function):
    return function


def optimizer_step(task):
    parameters = [Tensor(w) for w in task.weights]
    for p, g in zip(parameters, task.gradients):
        p.grad = g
    optimizer = {"sgd": optim.SGD, "adam": optim.Adam}[task.kind](parameters, lr=task.lr)
    return lambda: optimizer.step() or [p.data for p in parameters]


WORKLOADS = {name: partial(step, through=as_it_is) for name, step in STEPS.items()} | {
    "chain": partial(chain, through=as_it_is),
    "sgd": optimizer_step,
    "adam": optimizer_step,
}
