"""JAX, compiled, on the workloads where it is short to write."""

from functools import partial

from .shared import transformed_chain, transformed_mlp


def with_jax(build, task):
    import jax

    jax.config.update("jax_enable_x64", True)  # without it float64 would become float32

    def jit(function):
        compiled = jax.jit(function)
        return lambda x: jax.block_until_ready(compiled(x))

    return build(task, jax.numpy, jax.value_and_grad, jit)


WORKLOADS = {
    "mnist": partial(with_jax, transformed_mlp),
    "mnist-decay": partial(with_jax, transformed_mlp),
    "wide": partial(with_jax, transformed_mlp),
    "moons": partial(with_jax, transformed_mlp),
    "overhead": partial(with_jax, transformed_chain),
}
