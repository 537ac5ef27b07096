"""What has to happen anew at every call of a function, though `jit` runs its Python only once.

A layer that draws numbers, checks its input, moves a statistic, or reads an array that changes
between calls says so here. Outside of `jit` these are plain calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["effect", "state"]


class Here(threading.local):
    """Who writes down this thread's effects, if anybody does."""

    watcher: Any = None


here = Here()


def effect(function: Callable, *args: Any) -> Any:
    """function(*args), which is called at every call of a jitted function, and in this order.

        keep = effect(rng.random, x.shape) >= p

    Args:
        function: what it does is not looked into. It gives None, an array or a number, or a tuple
            of them, whose shapes and dtypes follow from those of the arguments.
        args: arrays, and whatever else it takes. Of a Tensor pass its `data`.
    """
    return function(*args) if here.watcher is None else here.watcher.effect(function, args)


def state(array: np.ndarray) -> np.ndarray:
    """The array itself; its numbers are read anew at every call of a jitted function."""
    return array if here.watcher is None else here.watcher.state(array)
