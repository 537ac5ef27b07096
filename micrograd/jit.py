"""`jit`: a function written out as a NumPy program, forward and backward, which is then replayed.

The first call of a kind runs the function on Tracers, which write down every call of NumPy
(tracing.py). The way back is run on Tracers too. The calls become source (program.py), and later
calls of that kind run it: no graph is built, and next to no memory is asked for.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import types
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, ParamSpec, TypeVar

from micrograd.arrays import describe
from micrograd.effects import here
from micrograd.guards import Given
from micrograd.replay import Program
from micrograd.standalone import save
from micrograd.tracing import JitError

P, R = ParamSpec("P"), TypeVar("R")

__all__ = ["Jit", "JitError", "jit"]


def jit(function: Callable[P, R]) -> Jit[P, R]:
    """The function, written out as a NumPy program at its first call and replayed from then on.

        @jit
        def loss_of(x, y):
            return cross_entropy(model(x), y)

    Values and gradients are those of the function itself, to the last bit. The result may be used
    as any other: added to others, `backward()` later, twice or never.

    Args:
        function: of arrays and Tensors; numbers, strings, None, Modules and functions, and tuples,
            lists and dicts of all of them. Calls that differ in anything but the numbers in arrays
            have programs of their own. It returns a Tensor or an array, or a tuple, list or dict.

    Parameters are read anew at each call, random draws of layers are repeated, modes and attributes
    of modules and the variables that the function uses are checked. Two things are as they were:
    the numbers in an array that the function closes over, whose change `detect_anomaly` finds, and
    what Python does besides computing, such as appending to a list.

    Raises:
        JitError: something would be the same at every call though it depends on numbers that
            change: a branch on them, `item()`, a draw from `np.random`, printing. It has the line.
    """
    return Jit(function)


class Jit(Generic[P, R]):
    """What `jit` gives: called as the function is; `source` is what was written last."""

    def __init__(self, function: Callable[P, R]):
        if not callable(function):
            raise TypeError(f"jit: expected a function, got {describe(function)}")
        functools.update_wrapper(self, function)
        self._function = function
        self._programs: dict[Any, list[Program]] = {}
        self._last: Program | None = None
        self._lock = threading.RLock()
        self._in_a_row = 0

    def __call__(self, *args: P.args, **options: P.kwargs) -> R:
        if here.watcher is not None:  # inside another, or of detect_anomaly()
            for program in [p for programs in self._programs.values() for p in programs]:
                program.guards.look_at_numbers(self._function.__qualname__)
            return self._function(*args, **options)
        given = Given(args, options)
        programs = self._programs.get(given.key)
        if programs:
            for program in programs:
                values = program.matching(given)
                if values is not None:
                    self._in_a_row = 0
                    return program.run(given, values)
        return self._traced(given)

    def _traced(self, given: Given) -> Any:
        """Run the function on Tracers, keep the program, and give the result of this very call."""
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row == 9:
                warnings.warn(
                    f"jit: {self._function.__qualname__} was written out anew at each of its last "
                    "9 calls: their shapes, numbers, or the variables that it uses keep changing",
                    stacklevel=3,
                )
            program = Program(self._function, given)
            kept = self._programs.setdefault(given.key, [])
            kept[:] = [program, *kept[:7]]
            self._last = program
            return program.first(given)

    @property
    def source(self) -> str:
        """The program that was written last, forward and backward, as Python.

        Raises:
            RuntimeError: the function has not been called.
        """
        if self._last is None:
            raise RuntimeError("source: the function has not been called, and is not written yet")
        return self._last.source

    def save(self, path: str | os.PathLike) -> None:
        """Write the program that was written last into a file that needs NumPy alone.

            with no_grad():
                predict(x)
            predict.save("predict.py")  # elsewhere: from predict import predict

        Beside `predict.py` stands `predict.npz` with the parameters and other arrays as they are
        now. The file has a function of the same name (a lambda gets the file's), which takes the
        arrays and Tensors of the call as arrays of the same dtypes and shapes; numbers and strings
        are as they were. It
        gives what the function returns, to the same bits. If that is a single number, and was not
        computed under `no_grad`, it gives a pair: that, and the gradients by the names of
        parameters and arguments; `arrays["layers.0.weights"] -= lr * gradients["layers.0.weights"]`
        is then a step of training. One call at a time: its memory is used again.

        Raises:
            RuntimeError: the function has not been called.
            ValueError: path does not end in .py.
            JitError: the program uses an object of yours that can't be written into a file.
        """
        if self._last is None:
            raise RuntimeError("save: the function has not been called, and is not written yet")
        save(self._last, path)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self):
        found = sys.modules.get(self.__module__)
        with suppress(AttributeError):
            for name in self.__qualname__.split("."):
                found = getattr(found, name)
        return self.__qualname__ if found is self else (jit, (self._function,))

    def __repr__(self) -> str:
        return f"jit({self._function!r})"
