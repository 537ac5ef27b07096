"""autograd, on the workloads where it is short to write."""

import autograd.numpy

from .shared import transformed_chain, transformed_mlp


def mlp(task):
    return transformed_mlp(task, autograd.numpy, autograd.value_and_grad)


def chain(task):
    return transformed_chain(task, autograd.numpy, autograd.value_and_grad)


WORKLOADS = {
    "mnist": mlp,
    "mnist-decay": mlp,
    "wide": mlp,
    "moons": mlp,
    "overhead": chain,
}
