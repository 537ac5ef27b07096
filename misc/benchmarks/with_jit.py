"""micrograd, the loss written out by `jit`. A chain of 99,999 operations is no program to write."""

from functools import partial

from micrograd import jit

from .models import STEPS

WORKLOADS = {name: partial(step, through=jit) for name, step in STEPS.items()}
