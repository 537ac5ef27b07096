"""JAX, compiled, on the workloads where it is short to write."""

import jax

from .shared import transformed_chain, transformed_mlp

jax.config.update("jax_enable_x64", True)  # without it float64 would become float32


def jit(function):
    compiled = jax.jit(function)
    return lambda x: jax.block_until_ready(compiled(x))


def mlp(task):
    return transformed_mlp(task, jax.numpy, jax.value_and_grad, jit)


def chain(task):
    return transformed_chain(task, jax.numpy, jax.value_and_grad, jit)


WORKLOADS = {
    "mnist": mlp,
    "mnist-decay": mlp,
    "wide": mlp,
    "moons": mlp,
    "overhead": chain,
}
