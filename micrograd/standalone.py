"""`Jit.save`: a program as a file that needs NumPy alone, and its arrays in a file beside it."""

from __future__ import annotations

import ast
import builtins
import inspect
import os
import re
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import numpy as np

from micrograd.engine import Tensor
from micrograd.protocol import data_of
from micrograd.replay import Leaf, Output, Program
from micrograd.tracing import JitError

FITTING = '''def fitting(name, x, dtype, shape):
    """x as an array, which has to be of this dtype and shape."""
    x = np.asarray(x)
    if x.dtype != dtype or x.shape != shape:
        raise ValueError(f"{name}: expected {dtype} {shape}, got {x.dtype} {x.shape}")
    return x if x.ndim else x[()]
'''


def save(program: Program, path: str | os.PathLike) -> None:
    """Write a program to path, which ends in .py, and its arrays beside it; see `Jit.save`."""
    path = Path(path)
    if path.suffix != ".py":
        raise ValueError(f"save: the file is Python, and is to end in .py, got {path}")
    text, arrays = Text(program, path.stem).whole()
    path.write_text(text, encoding="utf-8")
    if arrays:
        np.savez(path.with_suffix(".npz"), **arrays)


class Text:
    """The text of a program, and the arrays that it reads from a file, by their names."""

    def __init__(self, program: Program, stem: str):
        self.program = program
        self.arrays: dict[str, np.ndarray] = {}
        self.known: dict[str, str] = {}  # the functions that it calls, and what these need
        self.generators: dict[int, str] = {}
        own = getattr(program.function, "__name__", "")
        wish = own if own.isidentifier() else re.sub(r"\W|^(?=\d)", "_", stem)  # a lambda
        taken = {"arrays", "fitting", "file", "Path", *program.writer.taken}
        while wish in taken:
            wish += "_"
        self.name = wish

    def whole(self) -> tuple[str, dict[str, np.ndarray]]:
        program = self.program
        header = "\n".join(self.header())
        given, passed = program.given_kinds, self.passed()
        back = program.backs.get("one")
        parts = [program.forward_source, *([back.source] if back else ())]
        call = [f"results, kept, _ = forward(memory, {', '.join(passed)})"]
        setup = ["memory, everything = forward_memory()"]
        result, told = self.result(program.structure), "what the function returns"
        if back:
            setup.append("memory_of_backward = backward_memory(everything)")
            call.append("gradients = backward(memory_of_backward, kept)")
            names = [self.leaves[i] for i in program.operands]
            pairs = ", ".join(f'"{name}": gradients[{i}]' for i, name in enumerate(names))
            result = f"{result}, {{{pairs}}}"
            told += ", and its gradients by the names of what they belong to"
        call.append(f"return {result}")
        kinds = "".join(f"    {x}: {dtype} {shape}\n" for x, (dtype, shape) in given.items())
        held = "\n`arrays` holds the numbers that it uses, by their names." if self.arrays else ""
        text = (
            f'"""{self.name}({", ".join(given)}), written by micrograd. It needs NumPy alone.\n\n'
        )
        text += f'{kinds}\nIt returns {told}.{held}\n"""\n\nfrom __future__ import annotations\n\n'
        text += "from pathlib import Path\n\n" * bool(self.arrays) + "import numpy as np\n\n"
        if self.arrays:
            text += 'with np.load(Path(__file__).with_suffix(".npz")) as file:\n'
            text += "    arrays = dict(file)\n"
        text += "\n\n".join(["", *self.known.values(), header, "\n\n".join(parts), FITTING, ""])
        checks = [
            f'{x} = fitting("{x}", {x}, "{dtype}", {shape})' for x, (dtype, shape) in given.items()
        ]
        body = "".join(f"    {line}\n" for line in [*checks, *call])
        text += "\n".join(setup) + f"\n\n\ndef {self.name}({', '.join(given)}):\n{body}"
        return re.sub(r"\n{4,}", "\n\n\n", text), self.arrays

    def passed(self) -> list[str]:
        """What is passed on to `forward`: the arguments, then what the file holds."""
        program = self.program
        passed = program.arguments[: len(program.given_kinds)]
        self.leaves = passed[program.n_arrays :]
        for argument, x in zip(
            program.arguments[len(passed) :], [*program.closed_over, *program.states]
        ):
            array = data_of(x)
            name = self.held(program.tensor_names.get(id(x), argument), array)
            if isinstance(x, Tensor):
                self.leaves.append(name)
            passed.append(f'arrays["{name}"]' + "[()]" * (not array.ndim))
        return passed

    def held(self, wish: str, array: np.ndarray) -> str:
        """The name under which an array stands in the file."""
        if array.dtype.hasobject:
            raise JitError(f"save: {wish} is an array of objects, which would have to be pickled")
        name = wish
        while name in self.arrays:
            name += "_"
        self.arrays[name] = np.array(array)
        return name

    def header(self) -> list[str]:
        """What the program makes once, without micrograd and without the user's own objects."""
        lines = []
        for line in self.program.writer.header:
            if line not in self.program.writer.outside:
                lines.append(line)
                continue
            name, x = self.program.writer.outside[line]
            owner = getattr(x, "__self__", None)
            if isinstance(x, np.ndarray):
                held = self.held(self.program.tensor_names.get(id(x), name), x)
                lines.append(f'{name} = arrays["{held}"]')
            elif isinstance(owner, np.random.Generator):
                if id(owner) not in self.generators:
                    generator = self.generators[id(owner)] = f"generator_of_{name}"
                    lines += generator_source(generator, owner)
                lines.append(f"{name} = {self.generators[id(owner)]}.{x.__name__}")
            elif isinstance(owner, np.random.RandomState) or (
                getattr(x, "__module__", "").startswith("numpy")
            ):
                lines.append(line)
            else:
                definitions(x, name, self.known)
                lines += [f"{name} = {x.__name__}"] * (x.__name__ != name)
        return lines

    def result(self, x: Any) -> str:
        """What the function returns, as an expression."""
        if type(x) is Output:
            return f"results[{x.place + (0 if x.is_tensor else self.program.n_outputs)}]"
        if type(x) is Leaf:
            if x.tensor is not None:
                return f'arrays["{self.held("result", x.tensor.data)}"]'
            return self.leaves[x.place]
        if isinstance(x, tuple):
            inside = ", ".join(self.result(y) for y in x)
            return f"({inside}{',' if len(x) == 1 else ''})"
        if isinstance(x, list):
            return f"[{', '.join(self.result(y) for y in x)}]"
        if isinstance(x, dict):
            pairs = ", ".join(f"{k!r}: {self.result(v)}" for k, v in x.items())
            return f"{{{pairs}}}"
        if isinstance(x, np.ndarray):
            return f'arrays["{self.held("result", x)}"]'
        return repr(x)


def definitions(function: Any, name: str, known: dict[str, str]) -> None:
    """Enter the source of a function, and of all functions that it calls, by their names.

    Raises:
        JitError: it needs something that can't be written down.
    """
    own = getattr(function, "__name__", "")
    if not isinstance(function, types.FunctionType) or function.__closure__ or own == "<lambda>":
        raise JitError(
            f"save: {name} is {function!r:.60}: of functions only those of NumPy can be written "
            "into a file, and those that a module defines with `def`"
        )
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except OSError:
        raise JitError(f"save: the source of {name} is not to be found") from None
    space = function.__globals__
    needs = {word: space[word] for word in names_used(text) if word in space and word != own}
    for word, value in needs.items():
        if word in known or hasattr(builtins, word) or value is np:
            continue
        if isinstance(value, types.ModuleType) and value.__name__ in sys.stdlib_module_names:
            known[word] = f"import {value.__name__} as {word}"
        elif value is None or type(value) in (bool, int, float, str):
            known[word] = f"{word} = {value!r}"
        else:
            definitions(value, f"{word}, which {own} uses,", known)
    known[own] = text


def names_used(text: str) -> list[str]:
    """The names that a function reads when it runs; those in annotations don't count."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for part in ("annotation", "returns"):
            if getattr(node, part, None) is not None:
                setattr(node, part, None)
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


def generator_source(name: str, generator: np.random.Generator) -> list[str]:
    """Lines that make a generator which goes on to draw what this one would.

    Raises:
        JitError: it is of a kind whose state is more than a few numbers.
    """
    bits = generator.bit_generator
    if type(bits) is not np.random.PCG64:
        raise JitError(
            f"save: the state of a generator of {type(bits).__name__} can't be written into a "
            "file; take np.random.default_rng(seed)"
        )
    return [f"{name} = np.random.default_rng()", f"{name}.bit_generator.state = {bits.state!r}"]
