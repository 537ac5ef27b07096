"""autograd, on the workloads where it is short to write."""

from functools import partial

from .shared import transformed_chain, transformed_mlp


def with_autograd(build, task):
    import autograd.numpy

    return build(task, autograd.numpy, autograd.value_and_grad, lambda function: function)


WORKLOADS = {
    "mnist": partial(with_autograd, transformed_mlp),
    "mnist-decay": partial(with_autograd, transformed_mlp),
    "wide": partial(with_autograd, transformed_mlp),
    "moons": partial(with_autograd, transformed_mlp),
    "overhead": partial(with_autograd, transformed_chain),
}
