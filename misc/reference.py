"""Write what follows from the code: stubs for type checkers and editors, and reference.md.

    python misc/reference.py

Operations become methods of Tensor at import, which a type checker does not see. The stubs beside
engine.py and operations.py tell it what `inspect` finds. tests/test_reference.py compares all with
the library as it is.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import micrograd
from micrograd import Tensor, engine, linalg, names, nn, operations, shapes
from micrograd.operations import OPERATIONS
from micrograd.protocol import Protocol

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python misc/reference.py"
EINSUM = sys.modules["micrograd.einsum"]  # micrograd.einsum is the function

# Where the annotation says less than is known
RETURNS = {
    "operation": "Callable[..., Tensor]",
    "__init__": "None",
}
OVERLOADS = {
    "no_grad": """
        @overload
        def no_grad() -> recording: ...
        @overload
        def no_grad(function: F) -> F: ...
        """,
    "svd": """
        @overload
        def svd(
            a: Operand,
            full_matrices: bool = True,
            compute_uv: Literal[True] = True,
            hermitian: bool = False,
        ) -> SVDResult: ...
        @overload
        def svd(
            a: Operand, full_matrices: bool, compute_uv: Literal[False], hermitian: bool = False
        ) -> Tensor: ...
        @overload
        def svd(
            a: Operand,
            full_matrices: bool = True,
            *,
            compute_uv: Literal[False],
            hermitian: bool = False,
        ) -> Tensor: ...
        """,
    "qr": """
        @overload
        def qr(a: Operand, mode: Literal["reduced", "complete"] = "reduced") -> QRResult: ...
        @overload
        def qr(a: Operand, mode: Literal["r"]) -> Tensor: ...
        """,
}
IMPORTS = {
    engine: """
        from collections.abc import Callable, Sequence
        from typing import Any, TypeVar, overload

        import numpy as np
        from numpy.typing import ArrayLike, DTypeLike

        from micrograd.arrays import Axis
        from micrograd.protocol import Operand, Protocol
        from micrograd.recording import recording

        F = TypeVar("F", bound=Callable[..., Any])
        """,
    **dict.fromkeys(
        (linalg, shapes, EINSUM),
        """
        from collections.abc import Callable, Iterable, Sequence
        from typing import Any, Literal, NamedTuple, overload

        import numpy as np
        from numpy.typing import ArrayLike, DTypeLike

        from micrograd.arrays import Axis
        from micrograd.engine import Tensor
        from micrograd.protocol import Operand
        """,
    ),
    operations: """
        from collections.abc import Callable, Sequence
        from typing import Any, TypeVar

        import numpy as np
        from numpy.typing import ArrayLike, DTypeLike

        from micrograd.arrays import Axis
        from micrograd.engine import Tensor
        from micrograd.protocol import Operand

        F = TypeVar("F", bound=Callable[..., Any])
        OPERATIONS: dict[str, Callable[..., Tensor]]
        """,
}

GRADIENTS = {
    "requires_grad", "grad", "has_grad", "backward", "detach", "op", "operands", "is_leaf", "label",
}  # fmt: skip
FIRST = ["nn", "optim", "calculus", "debug", "draw", "distributed"]  # the others by name


class Written(str):
    """An annotation that `inspect` prints as it stands in the source."""

    __slots__ = ()
    __repr__ = str.__str__


def signature(f: Callable, plain: str = "", of_self: bool = False, returns: str = "") -> str:
    """Such as "(x, axis: Axis = None) -> Tensor".

    Args:
        f: a function, or a class.
        plain: the annotation of arguments that have none.
        of_self: call the first argument self.
        returns: the annotation of the result, if not the one that f has.
    """
    found = inspect.signature(f)
    parameters = []
    for p in found.parameters.values():
        if isinstance(p.default, type) and p.default is not p.empty:
            p = p.replace(default=Written(f"np.{p.default.__name__}"))
        if of_self and not parameters:
            p = p.replace(name="self", annotation=p.empty)
        elif p.annotation is not p.empty:
            p = p.replace(annotation=Written(p.annotation))
        elif plain:
            p = p.replace(annotation=Written(plain))
        parameters.append(p)
    result = returns or found.return_annotation
    if inspect.isclass(f):
        result = found.empty
    if result is not found.empty:
        result = Written(result)
    return str(found.replace(parameters=parameters, return_annotation=result))


def line_of(x: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(x) or "").partition("\n")[0]


# The stubs


def stub(module: types.ModuleType) -> str:
    """All functions of a module, and Tensor, without what is inside them."""
    parts = [f'"""Written by `{COMMAND}`."""', inspect.cleandoc(IMPORTS[module])]
    parts.append(f"__all__ = {module.__all__}")
    for name in module.__all__:
        home = getattr(module, name).__module__
        if home != module.__name__:
            parts.append(f"from {home} import {name} as {name}")
    for name, x in vars(module).items():
        if getattr(x, "__module__", "") == module.__name__ and not name.startswith("_"):
            plain = "Any" if module is engine else "Operand"
            if inspect.isclass(x):
                parts.append(stub_of_tensor() if x is Tensor else stub_of_tuple(name, x))
            else:
                parts.append(stub_of(name, x, plain))
    return formatted("\n\n".join(parts) + "\n", f"{module.__name__.rpartition('.')[2]}.pyi")


def stub_of(name: str, f: Callable, plain: str, of_self: bool = False) -> str:
    if name in OVERLOADS:
        return inspect.cleandoc(OVERLOADS[name])
    returns = RETURNS.get(name) or inspect.signature(f).return_annotation
    returns = "Any" if returns is inspect.Signature.empty else returns
    head = f"def {name}{signature(f, plain, of_self, returns)}:"
    # `Callable` alone says less than strict checkers ask for
    head = re.sub(r"\bCallable\b(?!\[)", "Callable[..., Any]", head)
    head = re.sub(r"\btuple\b(?!\[)", "tuple[Any, ...]", head)
    head = re.sub(r"\bdict\b(?!\[)", "dict[Tensor, Any]", head)
    head = re.sub(r"\b(list|Sequence|Iterable)\b(?!\[)", r"\1[Any]", head)
    head = head.replace("= Ellipsis", "= ...")
    return f"{head} ..."  # editors find the docstring in the module


def stub_of_tuple(name: str, kind: type) -> str:
    types = kind.__annotations__
    fields = [f"{field}: {types[field].__forward_arg__}" for field in kind._fields]
    return "\n    ".join([f"class {name}(NamedTuple):", *fields])


def stub_of_tensor() -> str:
    init = inspect.signature(Tensor).parameters
    parts = []
    for name in Tensor.__slots__:
        if not name.startswith("_"):
            parts.append(f"{name}: {init[name].annotation if name in init else 'Any'}")
    for name, x in vars(Tensor).items():
        if isinstance(x, property):
            parts.append(f"@property\ndef {name}(self) -> Tensor: ...")
        elif inspect.isfunction(x):
            parts.append(stub_of(name, x, "Operand", of_self=True))
    body = "\n".join(parts).replace("\n", "\n    ")
    return f"class Tensor(Protocol):\n    {body}"


def formatted(text: str, name: str) -> str:
    command = ["ruff", "format", "--stdin-filename", ROOT / "micrograd" / name, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout


# The reference


def reference() -> str:
    """A table for every module: the public names, their signatures, and a line about each.

    What no docstring tells stands in by-hand.md.
    """
    parts = [
        "# Reference",
        "Every public name, with what it takes and a line about it; `help(name)` tells the rest. "
        "An `Axis` is an int, a\ntuple of ints or None, and what stands without a type is an "
        "operand: a Tensor, an array or a number.",
        f"Written from the docstrings by `{COMMAND}`; what stands at the end is from "
        "`misc/by-hand.md`.",
        *table("micrograd", rows(micrograd)),
    ]
    for title, group in tensor_groups().items():
        parts += table(f"Tensor: {title}", group, level=3)
    shown = {id(getattr(micrograd, name)) for name in micrograd.__all__}
    for module in modules():
        new = [name for name in module.__all__ if id(getattr(module, name)) not in shown]
        shown |= {id(getattr(module, name)) for name in new}
        if new:
            parts += table(module.__name__, rows(module, new))
    parts += elsewhere()
    parts.append((ROOT / "misc" / "by-hand.md").read_text(encoding="utf-8").rstrip())
    return "\n\n".join(parts) + "\n"


def elsewhere() -> list[str]:
    """What PyTorch and NumPy call it, from what the errors say."""
    lines = [
        "| PyTorch | NumPy | here |", "|---|---|---|",
        *(f"| `{name}=` | {numpys} | {ours} |" for name, (numpys, ours) in names.ARGUMENTS.items()),
        "| `t.size()` | `a.shape` | `t.shape` |",
        "| `loss.backward(retain_graph=True)` | | the same, and without it |",
        "| `for name, p in model.named_parameters()` | | the same |",
        "| `def forward(self, x)` | | the same, or `def __call__(self, x)` |",
        "| `with no_grad(): p -= lr * p.grad` | | the same, or `p.data -= lr * p.grad` |",
        "| `for name, m in model.named_modules()` | | `... in model.named_modules().items()` |",
        "| `t.transpose(0, 1)` | `a.swapaxes(0, 1)` | `t.swapaxes(0, 1)`: `transpose` takes all "
        "axes, as NumPy's |",
        "| `t.repeat(2, 3)` | `np.tile(a, (2, 3))` | `np.tile(t, (2, 3))`: `repeat` here is "
        "NumPy's |",
        "| `decoder.weight = embedding.weight` | | `x @ embedding.weight.T` |",
        '| `optim.SGD([{"params": a, "lr": 0.1}, {"params": b}], lr=0.01)` | | the same; '
        "`optimizer.param_groups[0][\"lr\"]` is a group's own, `optimizer.lr = 0.1` sets all |",
        "| `for x, y in DataLoader(...)` | | `for x, y in nn.batches(x, y, 64)`; without y it "
        "gives x alone |",
    ]  # fmt: skip
    for prefix, table in (
        ("t.", names.TENSOR), ("model.", names.MODULE), ("torch.", names.MICROGRAD),
        ("nn.", names.NN), ("init.", names.INIT), ("optim.", names.OPTIM),
    ):  # fmt: skip
        for name, (numpys, ours) in table.items():
            lines.append(f"| `{prefix}{name}` | {numpys} | {ours} |")
    about = "What isn't here goes by PyTorch's name or by NumPy's. `a` is an array, `t` a Tensor."
    return ["## PyTorch, NumPy, here", about, "\n".join(lines)]


def modules() -> list[types.ModuleType]:
    """Those that have public names; what names.py knows stands in a table of its own."""
    rooms = {m.name for m in pkgutil.iter_modules(micrograd.__path__)}
    order = FIRST + sorted(rooms.difference(FIRST, ["names"]))
    found = [importlib.import_module(f"micrograd.{name}") for name in order]
    return [module for module in found if hasattr(module, "__all__")]


def table(title: str, rows: list[tuple[str, str]], level: int = 2) -> list[str]:
    cells = (f"| `{call}` | {line} |".replace("\n", " ") for call, line in rows)
    return [f"{'#' * level} {title}", "\n".join(["| | |", "|---|---|", *cells])]


def rows(module: types.ModuleType, names: list[str] | None = None) -> list[tuple[str, str]]:
    found = []
    for name in names or module.__all__:
        x = getattr(module, name)
        if inspect.ismodule(x):
            found.append((name, line_of(x)))
            continue
        if isinstance(x, dict):
            found.append((name, f"By name: {', '.join(x)}."))
            continue
        found.append(row(name, x))
        if inspect.isclass(x) and issubclass(x, nn.Module):
            found += call_of(name, x)
        if inspect.isclass(x) and x is not Tensor:
            found += [
                row(f"{name}.{method}", f, of_self=True)
                for method, f in vars(x).items()
                if inspect.isfunction(f) and not method.startswith("_")
            ]
    return found


def call_of(name: str, layer: type[nn.Module]) -> list[tuple[str, str]]:
    """What a layer takes when it is called, if that is more than x; all that is said about it."""
    parameters = [*inspect.signature(layer.__call__).parameters]
    if parameters in (["self", "x"], ["self", "args", "options"]):
        return []
    call, _ = row(f"{name}(...)", layer.__call__, of_self=True)
    about = inspect.getdoc(layer.__call__).partition("Raises:")[0].replace("Args:", "")
    return [(call, escaped(" ".join(about.split())))]


def row(name: str, f: Callable, of_self: bool = False) -> tuple[str, str]:
    call = signature(f, of_self=of_self)
    call = call.partition(" -> Iterator")[0]  # a context manager, as its docstring says
    call = re.sub(r"\(self(, )?", "(", call, count=1) if of_self else call
    return escaped(name + call), escaped(line_of(f))


def escaped(text: str) -> str:
    return text.replace("|", r"\|")


def tensor_groups() -> dict[str, list[tuple[str, str]]]:
    """The methods and attributes of Tensor."""
    groups = {"arithmetic and comparisons": [], "operations": [], "the array": [], "gradients": []}
    for name, x in {**vars(Tensor), **vars(Protocol)}.items():
        function = x.fget if isinstance(x, property) else x
        operator = name.startswith("__") and inspect.isfunction(x) and x.__doc__
        if name.startswith("_") and not operator:
            continue
        if operator:
            group = "arithmetic and comparisons"
        elif name in GRADIENTS:
            group = "gradients"
        else:
            group = "operations" if function in OPERATIONS.values() else "the array"
        if inspect.isfunction(x):
            groups[group].append(row(name, x, of_self=True))
        elif isinstance(x, property):
            result = inspect.signature(function).return_annotation
            groups[group].append((escaped(f"{name}: {result}"), escaped(line_of(x))))
        else:
            groups[group].append(slot(name))
    return groups


def slot(name: str) -> tuple[str, str]:
    """An attribute that the docstring of Tensor tells about among the arguments."""
    line = re.search(rf"^ +{name}: (.*)", Tensor.__doc__, re.MULTILINE)[1]
    line = f"{line[0].upper()}{line[1:]}"
    return f"{name}: {inspect.signature(Tensor).parameters[name].annotation}", escaped(line)


def generated() -> dict[Path, str]:
    """The files, and what is to stand in them."""
    return {
        **{
            ROOT / "micrograd" / f"{module.__name__.rpartition('.')[2]}.pyi": stub(module)
            for module in (engine, operations, shapes, linalg, EINSUM)
        },
        ROOT / "misc" / "reference.md": reference(),
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
