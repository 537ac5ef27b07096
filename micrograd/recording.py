"""Whether operations are recorded. Each thread, and each task of asyncio, says so for itself."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Generator
from contextvars import ContextVar
from functools import wraps
from typing import TypeVar

F = TypeVar("F", bound=Callable)


class Running:
    """Whom a thread records for at the moment: its `owner` becomes that of every result.

    A thread has one and writes to it. To enter each call of a module in the context itself would
    take three times as long, and NumPy, which looks up its error state there, would take longer
    too. A thread that is given a copy of another's context, as by `asyncio.to_thread`, gets one of
    its own.
    """

    __slots__ = ("owner", "thread")

    def __init__(self, thread: int | None):
        self.owner, self.thread = None, thread


next_age = itertools.count(0, -1).__next__  # of results, and of writes: the younger, the smaller
nobody = Running(thread=None)  # where no module runs; see module.py
recorded_for: ContextVar = ContextVar("recorded_for", default=nobody)  # None: nothing is recorded


class recording:  # noqa: N801 (it is used like a function)
    """Record operations, or don't, inside a `with` block or a decorated function."""

    def __init__(self, on: bool):
        self.on, self._tokens = on, []

    def __enter__(self) -> None:
        self._tokens.append(recorded_for.set((recorded_for.get() or nobody) if self.on else None))

    def __exit__(self, *error: object) -> None:
        recorded_for.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        """The function, which runs inside; a generator function, each of whose steps does."""
        if inspect.isasyncgenfunction(function):
            raise TypeError(
                f"no_grad: {function.__name__} is an asynchronous generator: take `with`"
            )
        if inspect.iscoroutinefunction(function):

            async def inside(*args, **options):
                with recording(self.on):
                    return await function(*args, **options)

        elif inspect.isgeneratorfunction(function):

            def inside(*args, **options):
                return self._stepwise(function(*args, **options))

        else:

            def inside(*args, **options):
                with recording(self.on):
                    return function(*args, **options)

        return wraps(function)(inside)

    def _stepwise(self, generator: Generator) -> Generator:
        step, given = generator.send, None
        while True:
            try:
                with recording(self.on):
                    value = step(given)
            except StopIteration as stop:
                return stop.value
            try:
                step, given = generator.send, (yield value)
            except BaseException as error:  # thrown in, or GeneratorExit: it is the generator's
                step, given = generator.throw, error
