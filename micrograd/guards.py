"""What a program that `jit` wrote is good for: arguments, and variables from outside."""

from __future__ import annotations

import functools
import inspect
import operator
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from micrograd.arrays import checksum, describe
from micrograd.engine import Tensor
from micrograd.module import Module
from micrograd.program import kind_of
from micrograd.recording import recorded_for
from micrograd.tracing import mapped

is_ = operator.is_


class Given:
    """The arguments of a call: their key, and the arrays and Tensors among them in order."""

    __slots__ = ("args", "arrays", "key", "options", "tensors")

    def __init__(self, args: tuple, options: dict):
        self.args, self.options = args, options
        self.arrays: list[Any] = []
        self.tensors: list[Tensor] = []
        key = [self.part(x) for x in args]
        for name in sorted(options):
            key += [name, self.part(options[name])]
        self.key = (bool(recorded_for.get()), *key)

    def part(self, x: Any) -> Any:
        """What of an argument must be the same for a program to fit."""
        kind = type(x)
        if kind is np.ndarray or kind is np.memmap:
            self.arrays.append(x)
            return x.dtype, x.shape, x.strides
        if isinstance(x, Tensor):
            for i, t in enumerate(self.tensors):
                if t is x:
                    return i
            self.tensors.append(x)
            return kind_of(x._value), x.requires_grad, x.is_leaf
        if isinstance(x, np.generic):
            self.arrays.append(x)
            return kind
        if kind is float:
            return kind, x.hex()
        if x is None or kind in (bool, int, str, bytes, complex):
            return kind, x
        if isinstance(x, (tuple, list)):
            return kind, *map(self.part, x)
        if isinstance(x, dict):
            return kind, *((k, self.part(v)) for k, v in x.items())
        if isinstance(x, Module) or callable(x) or isinstance(x, np.dtype):
            return Same(x)
        raise TypeError(
            "jit: arguments are arrays, Tensors, numbers, strings, None, Modules, and tuples, "
            f"lists and dicts of them, got {describe(x)}"
        )

    def replaced(self, array: Callable, tensor: Callable) -> tuple[tuple, dict]:
        """The arguments with others in the places of arrays and Tensors."""
        count = iter(range(len(self.arrays)))

        def new(x):
            if isinstance(x, Tensor):
                return tensor(next(i for i, t in enumerate(self.tensors) if t is x))
            return array(next(count)) if isinstance(x, (np.ndarray, np.generic)) else x

        options = {k: self.options[k] for k in sorted(self.options)}
        return mapped(self.args, new), mapped(options, new)

    def names(self, function: Callable) -> dict[tuple[str, int], str]:
        """The names of arrays and of tensors by their places among them."""
        try:
            parameters = [*inspect.signature(function).parameters]
        except (TypeError, ValueError):
            parameters = []
        names: dict[tuple[str, int], str] = {}
        count = {"array": 0}

        def walk(x, name):
            if isinstance(x, Tensor):
                place = next(i for i, t in enumerate(self.tensors) if t is x)
                names.setdefault(("tensor", place), name)
            elif isinstance(x, (np.ndarray, np.generic)):
                names["array", count["array"]] = name
                count["array"] += 1
            elif isinstance(x, (tuple, list)):
                for i, y in enumerate(x):
                    walk(y, f"{name}_{i}")
            elif isinstance(x, dict):
                for k, y in x.items():
                    walk(y, f"{name}_{k}")

        for i, x in enumerate(self.args):
            walk(x, parameters[i] if i < len(parameters) else f"x_{i}")
        for k in sorted(self.options):
            walk(self.options[k], k)
        return names


class Same:
    """An object that is itself alone, in a key."""

    __slots__ = ("x",)

    def __init__(self, x: object):
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.x is other.x

    def __hash__(self) -> int:
        return id(self.x)


def variables_of(
    function: Any, seen: set[int], names: dict[int, str]
) -> list[tuple[Callable[[], Any], Any]]:
    """The variables from outside that a function uses: how each is read, and what it is now.

    Their names are entered into `names`, by the ids of what they stand for.
    """
    found: list[tuple[Callable[[], Any], Any]] = []
    while not isinstance(function, types.FunctionType):
        if isinstance(function, functools.partial):
            values = [*function.args, *function.keywords.values()]
            found += [(functools.partial(lambda v: v, v), v) for v in values]
            function = function.func
        elif isinstance(function, types.MethodType):
            owner = function.__self__
            found.append((functools.partial(lambda v: v, owner), owner))
            function = function.__func__
        elif hasattr(function, "__wrapped__"):  # another jit, or a cache
            function = function.__wrapped__
        else:
            return found
    if id(function) in seen:
        return found
    seen.add(id(function))
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        with suppress(ValueError):
            x = cell.cell_contents
            found.append((functools.partial(getattr, cell, "cell_contents"), x))
            names.setdefault(id(x), name)
    used, codes = set(), [function.__code__]
    while codes:
        code = codes.pop()
        used.update(code.co_names)
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    space = function.__globals__
    for name in sorted(used & space.keys()):
        found.append((functools.partial(space.get, name), space[name]))
        names.setdefault(id(space[name]), name)
    for _, x in list(found):
        inner = x if isinstance(x, (Module, Tensor)) else getattr(x, "__wrapped__", x)
        module = getattr(inner, "__module__", None) or ""
        if isinstance(inner, types.FunctionType) and not module.startswith(("micrograd", "numpy")):
            found += variables_of(inner, seen, names)
    return found


class Guards:
    """Variables, and the attributes and elements of what stands in them, as they were."""

    def __init__(self, function: Callable):
        self.names: dict[int, str] = {}  # of what stands in variables and attributes, by id
        self.variables = variables_of(function, set(), self.names)
        self.modules: dict[int, Module] = {}
        self.generators: dict[int, np.random.Generator] = {}
        self.parts: dict[int, tuple[Any, tuple]] = {}  # of dicts and lists: what is in them
        for _, x in self.variables:
            self.look_into(x)

    def look_into(self, x: Any) -> None:
        """Note what x holds: a module's attributes, the elements of lists, and so on."""
        todo = [x]
        while todo:
            x = todo.pop()
            if isinstance(x, np.random.Generator):
                self.generators[id(x)] = x
            if not isinstance(x, (Module, list, tuple, dict)) or id(x) in self.parts:
                continue
            if isinstance(x, Module):
                self.modules[id(x)] = x
            holder = vars(x) if isinstance(x, Module) else x
            inside = tuple(holder.values() if isinstance(holder, dict) else holder)
            if isinstance(x, Module):
                for name, y in vars(x).items():
                    self.names.setdefault(id(y), name)
            self.parts[id(x)] = holder, inside
            todo += inside

    def close(self, moving: set[int]) -> None:
        """Take everything as it is now: what must stay so. moving: ids of arrays that need not."""
        for key, (holder, _) in list(self.parts.items()):
            inside = tuple(holder.values() if isinstance(holder, dict) else holder)
            self.parts[key] = holder, inside
        self.dicts = [(h, i) for h, i in self.parts.values() if isinstance(h, dict)]
        self.lists = [(h, i) for h, i in self.parts.values() if isinstance(h, list)]
        self.training = [(m, m.training) for m in self.modules.values()]
        self.variables = [(read, read()) for read, _ in self.variables]
        inside = [x for _, parts in self.parts.values() for x in parts]
        arrays = {id(x): x for x in [*(x for _, x in self.variables), *inside]}
        self.arrays = [
            (x, checksum(x)) for i, x in arrays.items()
            if isinstance(x, np.ndarray) and i not in moving
        ]  # fmt: skip

    def look_at_numbers(self, what: str) -> None:
        """Refuse arrays from outside whose numbers have changed, though they are constants."""
        for x, before in self.arrays:
            if checksum(x) != before:
                raise RuntimeError(
                    f"jit: the numbers in {self.names.get(id(x), 'an array')} {x.shape}, which "
                    f"{what} closes over, have changed since it was written out, where they are "
                    "constants: make it an argument, or call the function anew with another array"
                )

    def hold(self) -> bool:
        """Whether everything is as it was."""
        for read, x in self.variables:
            now = read()
            if now is not x and not equal(now, x):
                return False
        for holder, inside in self.dicts:
            if not same(holder.values(), inside):
                return False
        for holder, inside in self.lists:
            if not same(holder, inside):
                return False
        return all([m.training is mode for m, mode in self.training])


def same(now: Any, before: tuple) -> bool:
    """Whether the elements are the objects that they were, or equal plain values."""
    return len(now) == len(before) and (all(map(is_, now, before)) or all(map(equal, now, before)))


def equal(a: Any, b: Any) -> bool:
    """Whether they are one object, or equal plain values."""
    return a is b or (
        type(a) is type(b)
        and type(a) in (int, float, str, bool, complex, bytes)
        and (a == b and str(a) == str(b))
    )
