"""A page that plays the forward and the backward pass over a graph, step by step, in any browser.

All numbers on it are the engine's, worked out here; page.html only shows them.
"""

from __future__ import annotations

import ast
import inspect
import json
import linecache
import math
import re
import textwrap
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path
from types import CodeType

import numpy as np

from micrograd.engine import Tensor
from micrograd.graph import (
    Graph,
    Node,
    Turn,
    printable,
    rendered,
    rest_label,
    written_out,
)
from micrograd.protocol import data_of

_WIDTH = 7  # of a letter, and
_LINE = 16  # the height of a line, in pixels, as page.html writes them

# What the derivatives say, for a sentence. Of other operations there is the line of source.
_RULES = {
    "+": "g to both as it is",
    "-": "g to the first, -g to the second",
    "*": "g times the other operand",
    "/": "g / b to the numerator, -g y / b to the divisor b, where y is the result",
    "**": "g times the slope of the power",
    "@": "g times the other matrix, transposed",
    "linear": "as from a matrix product, and to the bias g as it is",
    "neg": "-g",
    "exp": "g times the result, which is the slope of exp",
    "log": "g over x, for the slope of log is 1 / x",
    "sqrt": "g over twice the result",
    "tanh": "g times 1 - y², where y is the result",
    "sigmoid": "g times y (1 - y), where y is the result",
    "relu": "g where x is above 0, nothing elsewhere",
    "abs": "g times the sign of x",
    "sum": "g to every element",
    "mean": "g to every element, over their number",
    "max": "g to the largest element",
    "min": "g to the smallest element",
    "maximum": "g to the larger one",
    "minimum": "g to the smaller one",
    "reshape": "g in the old shape",
    "transpose": "g transposed back",
    "index": "g to the elements that were taken",
    "concatenate": "to each its part of g",
    "stack": "to each its part of g",
}


class Page:
    """A page of one graph: `html()` is all of it, and a notebook shows it by itself.

    It holds what the graph was when it was drawn, not the graph.
    """

    def __init__(
        self, graph: Graph, turns: list[Turn], collapsed: set[str], direction: str, limit: int
    ):
        output = next(reversed(graph.nodes.values()))
        name = graph.name(output)
        self.title = f"backward() of {_short(name)}" if name else "backward(), step by step"
        views = _views(graph, collapsed, limit)
        shown = {key for _, _, places in views for key, place in places.items() if key == place}
        story = _Story(graph, {*shown, *_inside_modules(views)}, large=len(shown) > 80)
        self._data = {
            "boxes": story.boxes,
            "backward": story.backward(turns),
            "forward": story.forward(turns),
            "sources": list(story.sources),
        }
        sizes = {key: _size(box, story.widest.get(key, "")) for key, box in story.boxes.items()}
        self._views = [(path, up, _View(graph, p, sizes, direction)) for path, up, p in views]

    def html(self) -> str:
        """The page, which needs no other file and no network."""
        views = {path: {"up": up, **view.layout()} for path, up, view in self._views}
        data = json.dumps({**self._data, "views": views}, separators=(",", ":"))
        template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        marks = {"data": data.replace("<", "\\u003c"), "title": escape(self.title)}
        return re.sub("{{(data|title)}}", lambda mark: marks[mark[1]], template)

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {len(self._data['backward']) - 1} steps)"

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="{escape(self.title)}" srcdoc="{escape(self.html())}" '
            'style="width: 100%; height: 640px; border: 1px solid #ccc"></iframe>'
        )


# What is drawn


def _views(graph: Graph, collapsed: set[str], limit: int) -> list[tuple[str, str, dict[str, str]]]:
    """The picture at first, and one for each module that can be opened: there it is open.

    Each is the name of the module, that of the view to go back to, and where the nodes are shown.
    What is too large inside shows its modules as boxes, which can be opened in their turn.
    """
    views, todo = [], [("", "", collapsed)]
    paths = list(graph.modules)
    while todo:
        path, up, closed = todo.pop(0)
        places = graph.shown(closed, limit)
        if path and len(set(places.values())) > limit:
            closed = closed | {p for p in paths if graph.chain(p)[-2:-1] == [path]}
            places = graph.shown(closed, limit)
        views.append((path, up, places))
        for place in dict.fromkeys(places.values()):
            inner = paths[int(place[1:])] if place[0] == "m" else ""
            if inner and (not path or inner.startswith(f"{path}.")):
                todo.append((inner, path, closed - {inner}))
    return views


def _inside_modules(views: list[tuple[str, str, dict[str, str]]]) -> set[str]:
    """What stands in closed modules of the first picture."""
    return {key for key, place in views[0][2].items() if place[0] == "m"}


def _size(box: dict, widest: str) -> tuple[int, int]:
    """The width and height of a box, in pixels; widest is the longest of its gradients."""
    if box["kind"] == "operation":
        return max(26, 14 + (_WIDTH + 1) * len(box["name"])), 26
    if "lines" in box:
        return 34 + _WIDTH * max(map(len, box["lines"])), 14 + _LINE * len(box["lines"])
    if box.get("bare"):
        return 14 + _WIDTH * len(box["data"]), _LINE + 8
    title = len(box["name"]) + len(box["shape"]) + bool(box["name"] and box["shape"])
    width, height = (_WIDTH + 1) * title, 10 + _LINE * bool(title)
    for value in [box["data"], widest] if box["grad"] else [box["data"]]:
        if isinstance(box["data"], str):
            width, height = max(width, 38 + _WIDTH * len(value)), height + _LINE
        else:
            rows, columns = box["data"]["rows"], box["data"]["columns"]
            wide, high = box["data"]["cell"]
            width, height = max(width, 58 + wide * columns), height + max(high * rows, 28) + 4
    return width + 16, height


class _View:
    """One picture of the graph: what Graphviz is to lay out."""

    def __init__(
        self,
        graph: Graph,
        places: dict[str, str],
        sizes: dict[str, tuple[int, int]],
        direction: str,
    ):
        self.boxes, self.closed, inside, hidden = {}, {}, {}, {}
        for key, node in graph.nodes.items():
            if places[key] == key:
                inside.setdefault(node.module, []).append(self._node(key, sizes[key]))
            else:
                hidden.setdefault(places[key], []).append(node)
        for place, group in hidden.items():
            if place == "rest":
                around, label = "", rest_label(group)
            else:
                path = list(graph.modules)[int(place[1:])]
                around, label = ["", *graph.chain(path)][-2], graph.module_label(path, places)
                self.closed[place] = path
            kind = "rest" if place == "rest" else "module"
            self.boxes[place] = box = {"kind": kind, "lines": printable(label).split("\n")}
            inside.setdefault(around, []).append(self._node(place, _size(box, "")))
        self.frames = {
            f"cluster_{i}": (path, printable(f"{path}  {graph.title(path)}"))
            for i, path in enumerate(graph.modules)
        }
        lines = [
            "digraph {",
            f"graph [rankdir={direction} ranksep=0.55 nodesep=0.25 fontsize=12 "
            'fontname="Helvetica-Bold" labelloc=t labeljust=l]',
            'node [shape=box fixedsize=true label=""]',
            "edge [arrowsize=0.7]",
            *graph.framed(inside),
        ]
        for tail, head, edge, straight in graph.arrows(places):
            style = "style=invis" if edge is None else "weight=4" if straight else ""
            lines.append(f"{tail} -> {head} [{style}]")
        self.dot = "\n".join([*lines, "}"])

    def _node(self, key: str, size: tuple[int, int]) -> str:
        return f"{key} [width={size[0] / 72:.3f} height={size[1] / 72:.3f}]"

    def layout(self) -> dict:
        """Where everything stands, in pixels from the left and from the top."""
        laid = json.loads(rendered(self.dot, "json"))
        _, _, width, height = _numbers(laid["bb"])
        names, nodes, frames = {}, {}, []
        for item in laid.get("objects", ()):
            names[item["_gvid"]] = item["name"]
            if "bb" in item:
                x, y, right, top = _numbers(item["bb"])
                path, title = self.frames[item["name"]]
                frames.append([path, title, *map(round, (x, height - top, right - x, top - y))])
            else:
                (x, y), w, h = _numbers(item["pos"]), *(float(item[k]) for k in ("width", "height"))
                corner = x - 36 * w, height - y - 36 * h
                nodes[item["name"]] = [round(n) for n in (*corner, 72 * w, 72 * h)]
        edges = [
            [names[item["tail"]], names[item["head"]], *_curve(item["pos"], height)]
            for item in laid.get("edges", ())
            if item.get("style") != "invis"
        ]
        return {
            "size": [round(width), round(height)], "nodes": nodes, "edges": edges,
            "frames": frames, "boxes": self.boxes, "closed": self.closed,
        }  # fmt: skip


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _curve(pos: str, height: float) -> tuple[str, str]:
    """The path of an edge, and the corners of its head, in SVG."""
    end, *points = (_numbers(p.removeprefix("e,")) for p in pos.split())
    (x, y), (u, v) = end, points[-1]
    length = math.hypot(x - u, y - v) or 1
    sideways = 3.5 * (y - v) / length, -3.5 * (x - u) / length
    corners = [(x, y), (u + sideways[0], v + sideways[1]), (u - sideways[0], v - sideways[1])]
    start, *curve = [f"{px:.0f} {height - py:.0f}" for px, py in points]
    return f"M{start}C{' '.join(curve)}", " ".join(
        f"{px:.1f},{height - py:.1f}" for px, py in corners
    )


# What is told


class _Story:
    """The boxes and the steps, with all numbers as they are shown."""

    def __init__(self, graph: Graph, shown: set[str], large: bool):
        self.graph, self.shown, self.most = graph, shown, 8 if large else 16
        self.sources: dict[str, int] = {}  # texts, each once
        self.widest: dict[str, str] = {}  # the longest text of a gradient, by node
        self.boxes = {key: self._box(key, graph.nodes[key]) for key in graph.nodes if key in shown}

    def _box(self, key: str, node: Node) -> dict:
        x = node.value
        box = {"kind": node.kind, "module": node.module, "what": self._called(key)}
        if node.kind == "operation":
            return {**box, "name": printable(x.op)}
        data = np.asarray(data_of(x))
        if not isinstance(x, Tensor) and not data.ndim:
            return {**box, "bare": True, "name": "", "shape": "", "data": _brief(data)}
        return {
            **box,
            "name": _short(self.graph.name(node)),
            "shape": str(data.shape) if data.ndim else "",
            "data": self._value(data),
            "grad": isinstance(x, Tensor) and x.requires_grad,
        }  # fmt: skip

    def _called(self, key: str) -> str:
        return _short(self.graph.described(self.graph.nodes[key]))

    def _value(self, array: np.ndarray) -> str | dict:
        """Numbers as text where they are few, else the cells of a heat map."""
        array = np.asarray(array)
        if _few(array):
            return _brief(array)
        table = array.astype(np.float64).reshape(-1, array.shape[-1])
        rows, columns = (max(1, -(-n // self.most)) for n in table.shape)  # to a cell
        with np.errstate(all="ignore"):
            cells = [
                [_digits(table[i : i + rows, j : j + columns].mean())
                 for j in range(0, table.shape[1], columns)]
                for i in range(0, table.shape[0], rows)
            ]  # fmt: skip
            finite = np.abs([c for row in cells for c in row if not isinstance(c, str)])
            norm = np.sqrt((table * table).sum())
        return {
            "rows": len(cells), "columns": len(cells[0]), "by": [rows, columns],
            "cell": [min(max(80 // n, 5), 12) for n in (len(cells[0]), len(cells))],
            "cells": [c for row in cells for c in row],
            "top": _digits(finite.max(initial=0)), "norm": f"{norm:.4g}",
        }  # fmt: skip

    def _operands(self, key: str) -> list[str]:
        """The keys of the operands of the result with this key."""
        node = self.graph.nodes[key].value
        return [self.graph.keys.get(id(x), f"{key}_{i}") for i, x in enumerate(node.operands)]

    def _source(self, function: Callable) -> int | None:
        text = source_of(function)
        return self.sources.setdefault(text, len(self.sources)) if text else None

    def forward(self, turns: list[Turn]) -> list[dict]:
        """The steps of the forward pass: what there is at first, and each operation's result."""
        kinds = [box["kind"] for box in self.boxes.values()]
        counts = [
            f"{kinds.count(kind)} {'leaf' if kind == 'leaf' else kind}" if kinds.count(kind) == 1
            else f"{kinds.count(kind)} {'leaves' if kind == 'leaf' else 'constants'}"
            for kind in ("leaf", "constant") if kind in kinds
        ]  # fmt: skip
        steps = [{"say": f"The graph starts from {' and '.join(counts) or 'one tensor'}."}]
        for turn in reversed(turns):
            key = self.graph.keys[id(turn.node)]
            operands = self._operands(key)
            if not self.shown & {key, f"{key}_op", *operands}:
                continue
            given = [self._with_value(k) for k in operands]
            names = ", ".join(given[:-1]) + " and " * (len(given) > 1) + given[-1]
            verb = "give" if len(given) > 1 else "gives"
            result = _brief(turn.node.data)
            steps.append({
                "op": f"{key}_op", "out": key, "name": printable(turn.node.op),
                "say": f"{names} {verb} {self._called(key)}: {result}.",
                "to": [[k, ""] for k in operands],
                "source": [["", self._source(turn.node.recorded.forward)]],
            })  # fmt: skip
        return steps

    def _with_value(self, key: str) -> str:
        """A node with its number, or its shape."""
        x = self.graph.nodes[key].value
        array, name = np.asarray(data_of(x)), self._called(key)
        if array.ndim:
            return f"{name} {array.shape}"
        value = _brief(array)
        return name if name == value else f"{name} = {value}"

    def backward(self, turns: list[Turn]) -> list[dict]:
        """The steps of `backward()`: the one that it starts with, and each operation's turn."""
        key = next(reversed(self.graph.nodes))
        output = self.graph.nodes[key].value
        if not turns:
            return [{"say": "No operation was recorded: there is nothing to step through."}]
        start = turns[0].gradient
        each = ", for each of its elements: backward() differentiates their sum"
        say = f"The gradient of {self._called(key)} with respect to itself is 1"
        say = f"{say}{each * bool(output.ndim)}."
        steps = [{"say": say, "show": {key: self._grad(key, start)}}]
        for turn in turns:
            key = self.graph.keys[id(turn.node)]
            operands, name = self._operands(key), printable(turn.node.op)
            given = [operands[gift.place] for gift in turn.gifts]
            if not self.shown & {key, f"{key}_op", *given}:
                continue
            told, show, to, source = [], {}, [], []
            for gift, k in zip(turn.gifts, given):
                amount = _brief(gift.gradient)
                summed = " (summed to its shape, as it was broadcast)" * gift.summed
                added = ""
                if gift.before is not None:
                    before, after = _brief(gift.before, "one of "), _brief(gift.after, "")
                    added = f", which is added to {before}: {after}"
                told.append(f"{self._called(k)} gets {amount}{summed}{added}")
                if k in self.shown:
                    show[k] = self._grad(k, gift.after)
                to.append([k, amount if np.size(gift.gradient) == 1 else ""])
                text = self._source(turn.node.recorded.derivatives[gift.place])
                source.append([self._called(k), text])
            rule = self._rule(turn)
            steps.append({
                "op": f"{key}_op", "out": key, "name": name, "to": to, "show": show,
                "say": f"{rule}g = {_brief(turn.gradient)}; {'; '.join(told)}.",
                "source": source,
            })  # fmt: skip
        return steps

    def _rule(self, turn: Turn) -> str:
        """What a derivative of this library says in words; a user's may have the same name."""
        name, derivative = turn.node.op, inspect.unwrap(turn.node.recorded.derivatives[0])
        ours = getattr(derivative, "__module__", "").startswith("micrograd.")
        return f"{_RULES[name]}; " if ours and name in _RULES else ""

    def _grad(self, key: str, gradient: np.ndarray) -> str | dict:
        value = self._value(gradient)
        if isinstance(value, str):
            self.widest[key] = max(self.widest.get(key, ""), value, key=len)
        return value


def _short(name: str) -> str:
    """A name on one line that fits into a box."""
    name = printable(name[:60]).replace("\n", " ")
    return f"{name[:59]}\u2026" if len(name) == 60 else name


def _digits(number: float) -> float | int | str:
    """Three digits of a number, as JSON has it."""
    if not math.isfinite(number):
        return str(float(number))
    number = float(f"{number:.3g}")
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _few(array: np.ndarray) -> bool:
    """Whether the numbers are written out, on one line."""
    return not array.size or (array.size <= 3 and math.prod(array.shape[:-1]) == 1)


def _brief(array: np.ndarray, what: str = "an array of ") -> str:
    """A number, a few numbers, or the size of more of them, for a sentence."""
    array = np.asarray(array)
    if array.ndim == 0:
        return f"{float(array) + 0:.4g}"  # + 0: there is no -0
    if _few(array):
        return written_out(array + 0)
    with np.errstate(all="ignore"):
        norm = np.sqrt(np.square(array, dtype=np.float64).sum())
    return f"{what}norm {norm:.4g}"


# The source of a derivative


def source_of(function: Callable) -> str:
    """A lambda as it stands in its file, on one line and with the comment behind it; of a function
    all lines but its docstring; the name of one that is not written in Python; "" if not found.
    """
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        name = getattr(function, "__name__", "")
        module = "numpy" if isinstance(function, np.ufunc) else getattr(function, "__module__", "")
        return f"{module}.{name}".replace("_operator", "operator") if name and module else ""
    return _source(code)


@cache
def _source(code: CodeType) -> str:
    text = "".join(linecache.getlines(code.co_filename))
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    outside = {*code.co_names, *code.co_freevars}
    found = [
        node
        for node in _functions(code.co_filename, text).get(code.co_firstlineno, ())
        if tuple(a.arg for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
        == arguments
    ]
    if len(found) > 1:  # on one line
        found = [node for node in found if _names_in(node) - {*code.co_varnames} == outside]
    texts = {_text_of(node, text) for node in found}
    return texts.pop() if len(texts) == 1 else ""


@cache
def _functions(file: str, text: str) -> dict[int, list]:
    """The functions and lambdas of a file, by the line where they begin."""
    functions = {}
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a cell with a command of IPython
        return functions
    for node in ast.walk(tree):
        if isinstance(node, (ast.Lambda, ast.FunctionDef)):
            line = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
            functions.setdefault(line, []).append(node)
    return functions


def _names_in(node: ast.AST) -> set[str]:
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def _text_of(node: ast.Lambda | ast.FunctionDef, text: str) -> str:
    lines = text.splitlines()
    if isinstance(node, ast.Lambda):
        last = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
        comment = re.fullmatch(r"[\s,)]*(#.*)", last)
        source = re.sub(r"\s*\n\s*", " ", ast.get_source_segment(text, node))
        return f"{source}  {comment[1]}" if comment else source
    first, *others = node.body
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    skipped = range(first.lineno, first.end_lineno + 1) if documented and others else ()
    kept = [lines[i - 1] for i in range(node.lineno, node.end_lineno + 1) if i not in skipped]
    return textwrap.dedent("\n".join(kept))
