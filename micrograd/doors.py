"""The doors that every operation and every way back passes, and all that is read of a Tensor.

Somebody who watches a thread, as `jit` and `detect_anomaly` do, sees all of it there. They are put
into the engine while there is anybody who watches: otherwise nothing is slower for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from micrograd import engine
from micrograd.effects import here
from micrograd.engine import Tensor
from micrograd.protocol import Protocol


class Watcher:
    """One who lets everything pass. Each method is given what happens, and what would do it."""

    def record(
        self, record: Callable, op: str, forward: Callable, operands: tuple, derivatives: tuple
    ) -> Tensor:
        return record(op, forward, operands, derivatives)

    def backpropagate(self, backpropagate: Callable, output: Tensor, *how, **options) -> dict:
        return backpropagate(output, *how, **options)

    def data(self, t: Tensor) -> Any:
        """What `t.data` is to be."""
        return Protocol.data.fget(t)

    def look_at_grad(self, t: Tensor) -> None:
        """Somebody reads `t.grad`."""

    def set_data(self, t: Tensor) -> None:
        """Somebody sets `t.data`."""

    def effect(self, function: Callable, args: tuple) -> Any:
        return function(*args)

    def state(self, array: np.ndarray) -> Any:
        return array


class _Doors:
    lock = threading.Lock()
    inside: set[object] = set()  # noqa: RUF012 (one for each who watches)
    real = engine.record, engine.backpropagate  # as they were before


def record(op: str, forward: Callable, operands: tuple, derivatives: tuple) -> Tensor:
    """`engine.record`, without anybody who watches."""
    return _Doors.real[0](op, forward, operands, derivatives)


def backpropagate(output: Tensor, *how, **options) -> dict:
    """`engine.backpropagate`, without anybody who watches."""
    return _Doors.real[1](output, *how, **options)


def _record(op: str, forward: Callable, operands: tuple, derivatives: tuple) -> Tensor:
    if here.watcher is None:
        return record(op, forward, operands, derivatives)
    return here.watcher.record(record, op, forward, operands, derivatives)


def _backpropagate(output: Tensor, *how, **options) -> dict:
    if here.watcher is None:
        return backpropagate(output, *how, **options)
    return here.watcher.backpropagate(backpropagate, output, *how, **options)


def _data(t: Tensor) -> Any:
    return Protocol.data.fget(t) if here.watcher is None else here.watcher.data(t)


def _set_data(t: Tensor, value: Any) -> None:
    if here.watcher is not None:
        here.watcher.set_data(t)
    Protocol.data.fset(t, value)


def _grad(t: Tensor) -> Any:
    if here.watcher is not None:
        here.watcher.look_at_grad(t)
    return Protocol.grad.fget(t)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Let the watcher, and nobody else, see what this thread does with Tensors."""
    entry, outer = object(), here.watcher
    try:
        with _Doors.lock:
            if not _Doors.inside:
                _Doors.real = engine.record, engine.backpropagate
            _Doors.inside.add(entry)
            engine.record, engine.backpropagate = _record, _backpropagate
            Tensor.data = property(_data, _set_data, doc=Protocol.data.__doc__)
            Tensor.grad = property(_grad, Protocol.grad.fset, doc=Protocol.grad.__doc__)
        here.watcher = watcher
        yield
    finally:  # also where Ctrl-C came while this was half entered, wherever that was
        here.watcher = outer
        with _Doors.lock:
            if entry in _Doors.inside:
                _Doors.inside.remove(entry)
                if not _Doors.inside:
                    engine.record, engine.backpropagate = _Doors.real
                    for name in ("data", "grad"):
                        if name in vars(Tensor):
                            delattr(Tensor, name)
