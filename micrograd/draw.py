"""A picture of the graph behind a tensor, drawn by Graphviz."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import describe
from micrograd.engine import Tensor
from micrograd.module import owner_of, where_made, where_used
from micrograd.protocol import data_of

if TYPE_CHECKING:
    from micrograd.module import Module

__all__ = ["Picture", "draw"]


def __dir__():  # what completion offers
    return __all__


_SMALL = (3, 4)  # arrays of at most so many rows and columns are written out
_LONGEST = 400  # characters of a name
_FORMATS = (".svg", ".png", ".pdf", ".dot")

# Shape, border and brightness tell the kinds apart without colour; the colours, of Okabe and Ito
# (2008), are as different for the colour-blind.
_STYLES = {
    "leaf": 'shape=box style="filled,rounded" fillcolor="#d3eafb" color="#0072b2" penwidth=1.5',
    "constant": 'shape=box style="filled,dashed" fillcolor="#f2f2f2" color="#707070"',
    "operation": 'shape=ellipse style=filled fillcolor="#333333" color="#333333" fontcolor=white '
    "width=0.3 height=0.3 margin=0.03",
    "result": 'shape=box style=filled fillcolor=white color="#333333"',
    "output": 'shape=box style=filled fillcolor="#fbdf9d" color="#8a5a00" peripheries=2',
    "module": 'shape=box3d style=filled fillcolor="#cdebdf" color="#00694b" penwidth=1.5 '
    'margin="0.15,0.1"',
    "rest": 'shape=folder style="filled,dotted" fillcolor="#f2f2f2" color="#333333"',
}


class Picture:
    """A graph in Graphviz' language, `dot`. A notebook shows it by itself."""

    def __init__(self, dot: str):
        self.dot = dot

    def __repr__(self) -> str:
        return f"Picture({len(self.dot.splitlines())} lines of DOT)"

    def save(self, path: str | os.PathLike, dpi: float = 150) -> None:
        """Write it to a file; the ending, .svg, .png, .pdf or .dot, decides the format.

        Args:
            path: where to.
            dpi: the resolution of a .png.

        Raises:
            ValueError: the path ends otherwise.
        """
        path = os.fspath(path)
        kind = os.path.splitext(path)[1]
        if kind not in _FORMATS:
            raise ValueError(f"save: expected a path that ends in {' '.join(_FORMATS)}: {path!r}")
        content = self.dot.encode() if kind == ".dot" else self._render(kind[1:], dpi)
        with open(path, "wb") as file:
            file.write(content)

    def _render(self, kind: str, dpi: float = 72) -> bytes:
        graph = _pygraphviz().AGraph(string=self.dot)
        if kind == "png":
            graph.graph_attr["dpi"] = dpi
        return graph.draw(format=kind, prog="dot")  # the wheel's own library, no program is run

    def _repr_svg_(self) -> str:
        return self._render("svg").decode()


def draw(
    tensor: Tensor,
    model: Module | None = None,
    *,
    collapse: bool | Iterable[str] = False,
    gradients: bool = False,
    direction: str = "LR",
    limit: int = 200,
) -> Picture:
    """The graph behind a tensor as a picture, before or after `backward()`.

    Rounded blue boxes are leaves, dashed grey ones are constants, dark ellipses are operations,
    white boxes their results, and the yellow box with a double border is the tensor itself. A box
    tells the label, the shape, and, each written out where small, else by mean and Euclidean norm,
    the numbers and the gradient, if `backward()` has been there.

    An operation stands in the innermost module that ran when it was recorded, a parameter in the
    module that holds it. A constant stands where it was made: a dropout's mask inside the dropout,
    an argument of a module outside of it.

    Args:
        tensor: the output of the graph.
        model: names its parameters in the picture, and frames the operations of its modules.
        collapse: True draws each of the outermost modules in the model as one box, names of modules
            (as in `model.named_modules()`) draw these so.
        gradients: draw the edges the thicker the larger the gradient of their tensor is, by the
            root of its mean square.
        direction: from left to right, "LR", or from top to bottom, "TB".
        limit: a graph of more nodes is collapsed, and of what is then still too many, those nearest
            to the output are drawn. The picture says so.

    Raises:
        ImportError: pygraphviz is not installed.
        TypeError: tensor is not a Tensor.
        ValueError: a module to collapse is not in the model, there is no model, or direction is
            unknown.
    """
    _pygraphviz()
    if not isinstance(tensor, Tensor):
        raise TypeError(f"draw: expected a Tensor, got {describe(tensor)}")
    if direction not in ("LR", "TB"):
        raise ValueError(f'draw: direction is "LR" or "TB", got {direction!r}')
    modules = {} if model is None else model.named_modules()
    parameters = {} if model is None else model.named_parameters()
    nodes, edges = _graph(tensor)
    _assign_modules(nodes, edges, {id(t): name for name, t in parameters.items()}, modules)
    names = _names(parameters, modules)

    notes, cut = [], []
    if len(nodes) > limit and any(modules) and not collapse:
        cut.append("each module is drawn as one box")
        collapse = True
    shown = _collapse(nodes, modules, _modules_to_collapse(collapse, modules))
    near = _nearest(shown, edges, limit)
    if len(near) < len(set(shown.values())):
        cut.append("those nearest to the output are drawn")
        shown = {key: place if place in near else "rest" for key, place in shown.items()}
    if cut:
        notes.append(f"{len(nodes):,} nodes: {', '.join(cut)}")

    widths = {}
    if gradients:
        widths, note = _widths({id(e.tensor): e.tensor for e in edges})
        notes.append(note)
    lines = [
        "digraph {",
        f'graph [rankdir={direction} ranksep=0.25 nodesep=0.15 fontname="Helvetica" fontsize=11 '
        'style="rounded" color="#8a8a8a" labelloc=t labeljust=l]',
        'node [fontname="Helvetica" fontsize=11 margin="0.08,0.05" width=0 height=0]',
        'edge [color="#5a5a5a" arrowsize=0.6]',
    ]
    if notes:
        lines.append(f"label=<{_text('; '.join(notes))}>")
    lines += _boxes(nodes, edges, shown, names, modules)
    lines += _arrows(nodes, edges, shown, widths)
    return Picture("\n".join([*lines, "}", ""]))


def _pygraphviz():
    try:
        import pygraphviz
    except ImportError:
        raise ImportError(
            "draw wants pygraphviz, which brings Graphviz along: "
            "pip install 'micrograd-tensor[draw]'"
        ) from None
    return pygraphviz


# The graph


@dataclass
class _Node:
    kind: str  # a key of _STYLES
    value: object  # a Tensor, for an operation the one that it made, or what a constant is
    module: str = ""  # the dotted name of the module it belongs to, "" for none


@dataclass
class _Edge:
    tail: str
    head: str
    tensor: object  # the one whose gradient flows back along this edge


def _graph(output: Tensor) -> tuple[dict[str, _Node], list[_Edge]]:
    """All tensors and constants behind output, and an operation before each that came out of one.

    They are in an order in which operands precede what is made of them.
    """
    nodes, edges, keys = {}, [], {}
    todo = [(output, False)]
    while todo:
        x, operands_done = todo.pop()
        if id(x) in keys:
            continue
        operands = getattr(x, "operands", ())
        if operands and not operands_done:
            todo.append((x, True))
            todo += [(y, False) for y in reversed(operands) if _is_shared(y)]
            continue
        keys[id(x)] = key = f"x{len(keys)}"
        if operands:
            nodes[f"{key}_op"] = _Node("operation", x)
            for i, y in enumerate(operands):
                if _is_shared(y):
                    tail = keys[id(y)]
                else:  # the same number may stand in many places
                    tail = f"{key}_{i}"
                    nodes[tail] = _Node("constant", y)
                edges.append(_Edge(tail, f"{key}_op", y))
            edges.append(_Edge(f"{key}_op", key, x))
        wants_gradient = isinstance(x, Tensor) and x.requires_grad
        kind = "result" if operands else "leaf" if wants_gradient else "constant"
        nodes[key] = _Node("output" if x is output else kind, x)
    return nodes, edges


def _is_shared(x: object) -> bool:
    """Whether x is one thing wherever it stands, unlike a number."""
    return isinstance(x, (Tensor, np.ndarray))


def _assign_modules(
    nodes: dict[str, _Node],
    edges: list[_Edge],
    parameters: dict[int, str],
    modules: dict[str, Module],
) -> None:
    """Set the module of every node, by the rule that the docstring of `draw` states."""
    paths = {id(module): path for path, module in modules.items()}
    places = {}  # for each node that is no result, where its uses would have it
    for edge in edges:
        if nodes[edge.head].kind != "operation":
            continue
        x, y = edge.tensor, nodes[edge.head].value
        place = where_used(x, y, paths) if _is_shared(x) else where_made(y, paths)
        places.setdefault(edge.tail, []).append(place)
    for key, node in nodes.items():
        if id(node.value) in parameters:
            node.module = owner_of(parameters[id(node.value)], modules)
        elif getattr(node.value, "operands", ()):
            node.module = where_made(node.value, paths)
        elif key in places:
            node.module = _around(places[key], modules)


def _names(parameters: dict[str, Tensor], modules: dict[str, Module]) -> dict[int, str]:
    """What parameters, and arrays that are attributes of modules, are called, by their ids."""
    names = {id(t): name for name, t in parameters.items()}
    for path, module in modules.items():
        for key, value in vars(module).items():
            if isinstance(value, np.ndarray):
                names[id(value)] = f"{path}.{key}".lstrip(".")
    return names


def _name(node: _Node, names: dict[int, str]) -> str:
    """What a node is called; a constant inside a module at least by what it is."""
    x = node.value
    if getattr(x, "label", ""):
        return x.label
    if id(x) in names:
        return names[id(x)]
    whole = getattr(data_of(x), "base", None)  # of a view, the array that it shows
    if whole is not None and id(whole) in names:
        return f"{names[id(whole)]}[...]"
    if node.kind == "constant" and node.module and _is_shared(x):
        return getattr(x, "op", "") or "constant"
    return ""


def _around(paths: list[str], modules: dict[str, Module]) -> str:
    """The innermost module in which all of these stand."""
    levels = zip(*(_chain(path, modules) for path in paths))
    return ["", *(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))][-1]


def _chain(path: str, modules: dict[str, Module]) -> list[str]:
    """The modules around the one of this name and itself, the outermost first, without the root."""
    parts = path.split(".") if path else []
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return [name for name in names if name in modules]


# What is drawn of it


def _modules_to_collapse(collapse: bool | Iterable[str], modules: dict[str, Module]) -> set[str]:
    if collapse and not modules:
        raise ValueError("draw: collapse wants the model whose modules are to be collapsed")
    if isinstance(collapse, bool):
        return {_chain(path, modules)[0] for path in modules if path} if collapse else set()
    collapse = {collapse} if isinstance(collapse, str) else set(collapse)
    if unknown := collapse - modules.keys():
        raise ValueError(
            f"draw: no module {', '.join(map(repr, sorted(unknown)))} to collapse; the model has "
            f"{', '.join(path for path in modules if path) or 'none'}"
        )
    return collapse


def _collapse(
    nodes: dict[str, _Node], modules: dict[str, Module], collapsed: set[str]
) -> dict[str, str]:
    """For each node the key under which it is drawn: its own, or its collapsed module's."""
    shown, number = {}, {path: i for i, path in enumerate(modules)}
    for key, node in nodes.items():
        outermost = next((p for p in _chain(node.module, modules) if p in collapsed), None)
        boxed = outermost is not None and node.kind != "output"
        shown[key] = f"m{number[outermost]}" if boxed else key
    return shown


def _nearest(shown: dict[str, str], edges: list[_Edge], limit: int) -> set[str]:
    """At most limit of the drawn nodes, the nearest to the output first."""
    before = {}
    for edge in edges:
        before.setdefault(shown[edge.head], []).append(shown[edge.tail])
    near = [shown[next(reversed(shown))]]
    found = set(near)
    for place in near:
        for other in before.get(place, ()):
            if other not in found and len(found) < limit:
                found.add(other)
                near.append(other)
    return found


def _widths(tensors: dict[int, object]) -> tuple[dict[int, str], str]:
    """The edge attributes of tensors with a gradient, by id, and a note that explains them."""
    sizes = {}
    for i, x in tensors.items():
        if isinstance(x, Tensor) and x.has_grad and x.size:
            sizes[i] = math.sqrt(np.square(x.grad, dtype=np.float64).mean())
    finite = [size for size in sizes.values() if 0 < size < math.inf]
    if not finite:
        return {}, "no gradients yet"
    top = max(finite)
    bottom = max(min(finite), top * 1e-6)
    widths = {}
    for i, size in sizes.items():
        share = 1.0
        if size <= bottom:
            share = 0.0
        elif size < top:
            share = math.log(size / bottom) / math.log(top / bottom)
        colour = "#{:02x}{:02x}{:02x}".format(
            *(round(a + share * (b - a)) for a, b in zip((0xB8, 0xB8, 0xB8), (0xB0, 0x42, 0)))
        )
        widths[i] = f'penwidth={0.6 + 4.4 * share:.2f} color="{colour}"'
    return widths, f"width of an edge: the gradient's size, {bottom:.2g} to {top:.2g}"


def _boxes(
    nodes: dict[str, _Node],
    edges: list[_Edge],
    shown: dict[str, str],
    names: dict[int, str],
    modules: dict[str, Module],
) -> list[str]:
    """The nodes as lines of DOT, inside the frames of their modules."""
    inside = {}  # lines by module
    hidden = {}  # nodes by the box that stands for them
    paths = list(modules)
    for key, node in nodes.items():
        if shown[key] == key:
            x, operation = node.value, node.kind == "operation"
            label = f"<b>{_text(x.op)}</b>" if operation else _label(x, _name(node, names))
            line = f"{key} [label=<{label}> {_STYLES[node.kind]}]"
            inside.setdefault(node.module, []).append(line)
        else:
            hidden.setdefault(shown[key], []).append(node)
    for place, group in hidden.items():
        if place == "rest":
            around, label, style = [], _rest_label(group), _STYLES["rest"]
        else:
            path = paths[int(place[1:])]
            around, style = _chain(path, modules)[:-1], _STYLES["module"]
            given = [e for e in edges if shown[e.tail] == place != shown[e.head]]
            label = _module_label(path, modules[path], given)
        line = f"{place} [label=<{label}> {style}]"
        inside.setdefault(around[-1] if around else "", []).append(line)

    lines = inside.pop("", [])
    open_frames = []
    framed = {outer for path in inside for outer in _chain(path, modules)}
    for i, path in enumerate(paths):  # a module comes before those inside it
        if path not in framed:
            continue
        around = _chain(path, modules)
        while open_frames and open_frames[-1] not in around:
            open_frames.pop()
            lines.append("}")
        open_frames.append(path)
        lines.append(f"subgraph cluster_{i} {{ label=<{_title(path, modules[path])}>")
        lines += inside.get(path, [])
    return lines + ["}"] * len(open_frames)


def _arrows(
    nodes: dict[str, _Node], edges: list[_Edge], shown: dict[str, str], widths: dict[int, str]
) -> list[str]:
    """The edges as lines of DOT; between a box and another node there is one at most."""
    lines, drawn, entrances = [], set(), {}
    for edge in edges:
        before, after = nodes[edge.tail], nodes[edge.head]
        if before.module != after.module:
            entrances.setdefault(after.module, edge.tail)
        tail, head = shown[edge.tail], shown[edge.head]
        if (tail, head) != (edge.tail, edge.head):
            if tail == head or (tail, head) in drawn:
                continue
            drawn.add((tail, head))
        straight = before.kind in ("operation", "result") and before.module == after.module
        style = f"{'weight=4 ' * straight}{widths.get(id(edge.tensor), '')}".rstrip()
        lines.append(f"{tail} -> {head}" + (f" [{style}]" if style else ""))
    # Parameters are kept behind what comes into their module, so that the frames stand in a row.
    # What comes later in `nodes` is not among the operands of what comes first: there is no cycle.
    place = {key: i for i, key in enumerate(nodes)}
    for key, node in nodes.items():
        entrance = entrances.get(node.module) if node.module else None
        if node.kind == "leaf" and shown[key] == key and entrance and place[entrance] < place[key]:
            lines.append(f"{shown[entrance]} -> {key} [style=invis]")
    return lines


# Labels, in Graphviz' HTML


def _label(x: object, name: str) -> str:
    """The name, shape, numbers and gradient of a tensor or a constant."""
    data = np.asarray(data_of(x))
    if not isinstance(x, Tensor) and not data.ndim:
        return f"{float(data):.4g}"
    rows = {"data": data}
    if isinstance(x, Tensor) and x.has_grad:
        rows["grad"] = x.grad
    small = data.ndim <= 2 and all(n <= m for n, m in zip(data.shape[::-1], _SMALL[::-1]))
    if small or not data.size:
        table = [[_grey(key), _text(_written_out(array))] for key, array in rows.items()]
    else:
        table = [["", _grey("mean"), _grey("norm")]]
        with np.errstate(all="ignore"):
            for key, array in rows.items():
                wide = array.astype(np.float64)
                norm = np.sqrt((wide * wide).sum())
                table.append([_grey(key), f"{wide.mean():.3g}", f"{norm:.3g}"])
    title = f"<b>{_text(name)}</b>" if name else ""
    if data.ndim:
        title += f"{' ' * bool(name)}{_grey(data.shape)}"
    head = f'<tr><td colspan="{len(table[0])}">{title}</td></tr>' if title else ""
    cells = "".join(
        f'<tr><td align="right" valign="top">{key}&#160;</td>'
        + "".join(f'<td align="left" balign="left">{"&#160;" * i}{x}</td>' for i, x in enumerate(v))
        + "</tr>"
        for key, *v in table
    )
    return f'<table border="0" cellspacing="2" cellpadding="0">{head}{cells}</table>'


def _grey(text: object) -> str:
    return f'<font color="#4a4a4a">{text}</font>'


def _written_out(array: np.ndarray) -> str:
    """All numbers of a small array, to four digits."""
    if not array.size:
        return "empty"
    text = np.array2string(array.astype(float), formatter={"float": lambda v: f"{v:.4g}"})
    return text.replace("\n ", "\n")


def _text(text: object) -> str:
    """Any text as Graphviz and XML take it; a character that can't be printed is replaced.

    A long text loses its middle, for Graphviz takes no label of more than 16 KB.
    """
    text = str(text)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    text = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
    return escape(text).replace("\\", "\\\\").replace("\n", "<br/>")


def _title(path: str, module: Module) -> str:
    """The name of a module and what it is."""
    text = repr(module)
    if len(text) > 40 or "\n" in text or type(module).__repr__ is object.__repr__:
        text = type(module).__name__
    return f"<b>{_text(path)}</b> {_text(text)}"


def _module_label(path: str, module: Module, given: list[_Edge]) -> str:
    """A module's name, its size, and the shapes of the results that it gives along these edges."""
    count = sum(p.size for p in module.parameters())
    lines = [_title(path, module), f"{count:,} parameter{'s' * (count != 1)}"]
    shapes = [str(e.tensor.shape) for e in given if getattr(e.tensor, "operands", ())]
    if shapes:
        lines.append(f"gives {' and '.join(dict.fromkeys(shapes))}")
    return "<br/>".join(lines)


def _rest_label(group: list[_Node]) -> str:
    operations = sum(node.kind == "operation" for node in group)
    return f"{len(group):,} nodes more,<br/>{operations:,} of them operations"
