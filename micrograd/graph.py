"""The graph behind a tensor, for pictures and pages: its nodes, their names and modules, its steps.

Graphviz, which lays it out, is run here too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from micrograd.engine import Tensor, sum_to
from micrograd.layers import Dropout
from micrograd.module import owner_of, where_made, where_used
from micrograd.protocol import data_of, first_gradient

if TYPE_CHECKING:
    from micrograd.module import Module

LONGEST = 400  # characters of a name


@dataclass
class Node:
    kind: str  # leaf, constant, operation, result or output
    value: object  # a Tensor, for an operation the one that it made, or what a constant is
    module: str = ""  # the dotted name of the module it belongs to, "" for none


@dataclass
class Edge:
    tail: str
    head: str
    tensor: object  # the one whose gradient flows back along this edge


class Graph:
    """The nodes and edges behind a tensor.

    `nodes` holds all tensors and constants by key, and an operation before each that came out of
    one, in an order in which operands precede what is made of them. The operation before "x2" has
    the key "x2_op".
    """

    def __init__(self, output: Tensor, model: Module | None = None):
        self.modules = {} if model is None else model.named_modules()
        parameters = {} if model is None else dict(model.named_parameters())
        self.names = _names(parameters, self.modules)
        self.nodes, self.edges, self.keys = _trace(output)
        self._assign_modules({id(t): name for name, t in parameters.items()})

    def name(self, node: Node) -> str:
        """What a node is called; a constant inside a module at least by what it is."""
        x = node.value
        if getattr(x, "label", ""):
            return x.label
        if id(x) in self.names:
            return self.names[id(x)]
        whole = getattr(data_of(x), "base", None)  # of a view, the array that it shows
        if whole is not None and id(whole) in self.names:
            return f"{self.names[id(whole)]}[...]"
        if node.kind == "constant" and node.module and _is_shared(x):
            masks = isinstance(self.modules[node.module], Dropout) or _hides(data_of(x))
            return getattr(x, "op", "") or ("mask" if masks else "constant")
        return ""

    def described(self, node: Node) -> str:
        """The name of a node, or what it is if it has none, for a sentence."""
        name, x = self.name(node), node.value
        if node.kind == "operation":
            return x.op
        if name:
            return name
        if getattr(x, "operands", ()):
            return f"the result of {x.op}"
        if node.kind == "constant" and not np.ndim(data_of(x)):
            return f"{float(data_of(x)):.4g}"
        return "the tensor" if node.kind == "output" else f"a {node.kind}"

    def chain(self, path: str) -> list[str]:
        """The modules around the one of this name and itself, the outermost first, no root."""
        parts = path.split(".") if path else []
        names = [".".join(parts[: i + 1]) for i in range(len(parts))]
        return [name for name in names if name in self.modules]

    def title(self, path: str) -> str:
        """What a module is."""
        module = self.modules[path]
        text = repr(module)
        if len(text) > 40 or "\n" in text or type(module).__repr__ is object.__repr__:
            text = type(module).__name__
        return text

    def module_label(self, path: str, shown: dict[str, str]) -> str:
        """What stands on the box of a module: its name, its size, the shapes that it gives."""
        count = sum(p.size for p in self.modules[path].parameters())
        lines = [f"{path}  {self.title(path)}", f"{count:,} parameter{'s' * (count != 1)}"]
        box = f"m{list(self.modules).index(path)}"
        given = [e.tensor for e in self.edges if shown[e.tail] == box != shown[e.head]]
        shapes = [str(x.shape) for x in given if getattr(x, "operands", ())]
        if shapes:
            lines.append(f"gives {' and '.join(dict.fromkeys(shapes))}")
        return "\n".join(lines)

    def to_collapse(self, collapse: bool | Iterable[str]) -> set[str]:
        """The modules that the argument of `draw` means."""
        if collapse and not self.modules:
            raise ValueError("draw: collapse wants the model whose modules are to be collapsed")
        if isinstance(collapse, bool):
            return {self.chain(path)[0] for path in self.modules if path} if collapse else set()
        collapse = {collapse} if isinstance(collapse, str) else set(collapse)
        if unknown := collapse - self.modules.keys():
            raise ValueError(
                f"draw: no module {', '.join(map(repr, sorted(unknown)))} to collapse; the model "
                f"has {', '.join(path for path in self.modules if path) or 'none'}"
            )
        return collapse

    def shown(self, collapsed: set[str], limit: int) -> dict[str, str]:
        """For each node the key under which it is drawn.

        It is its own, or its collapsed module's, or, for all but the `limit` that are nearest to
        the output, "rest".
        """
        shown, number = {}, {path: i for i, path in enumerate(self.modules)}
        for key, node in self.nodes.items():
            outermost = next((p for p in self.chain(node.module) if p in collapsed), None)
            boxed = outermost is not None and node.kind != "output"
            shown[key] = f"m{number[outermost]}" if boxed else key
        near = self._nearest(shown, limit)
        return {key: place if place in near else "rest" for key, place in shown.items()}

    def framed(self, inside: dict[str, list[str]]) -> list[str]:
        """Lines of DOT, given by their modules, inside the frames of these."""
        lines, open_frames = inside.pop("", []), []
        framed = {outer for path in inside for outer in self.chain(path)}
        for i, path in enumerate(self.modules):  # a module comes before those inside it
            if path not in framed:
                continue
            around = self.chain(path)
            while open_frames and open_frames[-1] not in around:
                open_frames.pop()
                lines.append("}")
            open_frames.append(path)
            title = plain(f"{path}  {self.title(path)}", left=True)
            lines += [f"subgraph cluster_{i} {{ label={title}", *inside.get(path, [])]
        return lines + ["}"] * len(open_frames)

    def arrows(self, shown: dict[str, str]) -> list[tuple[str, str, Edge | None, bool]]:
        """Tail, head, edge, and whether it is to be straight, of all that is drawn.

        Between a box and another node there is one at most. Those without an edge are invisible:
        parameters are kept behind what comes into their module, so that the frames stand in a row.
        """
        arrows, drawn, entrances, nodes = [], set(), {}, self.nodes
        for edge in self.edges:
            before, after = nodes[edge.tail], nodes[edge.head]
            if before.module != after.module:
                entrances.setdefault(after.module, edge.tail)
            tail, head = shown[edge.tail], shown[edge.head]
            if (tail, head) != (edge.tail, edge.head):
                if tail == head or (tail, head) in drawn:
                    continue
                drawn.add((tail, head))
            straight = before.kind in ("operation", "result") and before.module == after.module
            arrows.append((tail, head, edge, straight))
        # What comes later in `nodes` isn't among the operands of what comes first: no cycle
        place = {key: i for i, key in enumerate(nodes)}
        for key, node in nodes.items():
            entrance = entrances.get(node.module) if node.module else None
            behind = entrance and place[entrance] < place[key]
            if node.kind == "leaf" and shown[key] == key and behind:
                arrows.append((shown[entrance], key, None, False))
        return arrows

    def _nearest(self, shown: dict[str, str], limit: int) -> set[str]:
        """At most limit of the drawn nodes, the nearest to the output first."""
        before = {}
        for edge in self.edges:
            before.setdefault(shown[edge.head], []).append(shown[edge.tail])
        near = [shown[next(reversed(shown))]]
        found = set(near)
        for place in near:
            for other in before.get(place, ()):
                if other not in found and len(found) < limit:
                    found.add(other)
                    near.append(other)
        return found

    def _assign_modules(self, parameters: dict[int, str]) -> None:
        """Set the module of every node, by the rule that the docstring of `draw` states."""
        paths = {id(module): path for path, module in self.modules.items()}
        places = {}  # for each node that is no result, where its uses would have it
        for edge in self.edges:
            if self.nodes[edge.head].kind != "operation":
                continue
            x, y = edge.tensor, self.nodes[edge.head].value
            place = where_used(x, y, paths) if _is_shared(x) else where_made(y, paths)
            places.setdefault(edge.tail, []).append(place)
        for key, node in self.nodes.items():
            if id(node.value) in parameters:
                node.module = owner_of(parameters[id(node.value)], self.modules)
            elif getattr(node.value, "operands", ()):
                node.module = where_made(node.value, paths)
            elif key in places:
                node.module = self._around(places[key])

    def _around(self, paths: list[str]) -> str:
        """The innermost module in which all of these stand."""
        levels = zip(*map(self.chain, paths))
        alike = takewhile(lambda level: len(set(level)) == 1, levels)
        return ["", *(level[0] for level in alike)][-1]


def _trace(output: Tensor) -> tuple[dict[str, Node], list[Edge], dict[int, str]]:
    """The nodes and edges behind output, and the keys of what is shared, by id."""
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
            nodes[f"{key}_op"] = Node("operation", x)
            for i, y in enumerate(operands):
                if _is_shared(y):
                    tail = keys[id(y)]
                else:  # the same number may stand in many places
                    tail = f"{key}_{i}"
                    nodes[tail] = Node("constant", y)
                edges.append(Edge(tail, f"{key}_op", y))
            edges.append(Edge(f"{key}_op", key, x))
        wants_gradient = isinstance(x, Tensor) and x.requires_grad
        kind = "result" if operands else "leaf" if wants_gradient else "constant"
        nodes[key] = Node("output" if x is output else kind, x)
    return nodes, edges, keys


def _is_shared(x: object) -> bool:
    """Whether x is one thing wherever it stands, unlike a number."""
    return isinstance(x, (Tensor, np.ndarray))


def _hides(array: np.ndarray) -> bool:
    """Whether this is what attention adds to hide places: zeros, and -inf for those hidden."""
    return bool(np.isneginf(array).any() and (np.isneginf(array) | (array == 0)).all())


def _names(parameters: dict[str, Tensor], modules: dict[str, Module]) -> dict[int, str]:
    """What parameters, and arrays that are attributes of modules, are called, by their ids."""
    names = {id(t): name for name, t in parameters.items()}
    for path, module in modules.items():
        for key, value in vars(module).items():
            if isinstance(value, np.ndarray):
                names[id(value)] = f"{path}.{key}".lstrip(".")
    return names


def rest_label(group: list[Node]) -> str:
    """What stands on the box of all that isn't drawn."""
    operations = sum(node.kind == "operation" for node in group)
    return f"{len(group):,} nodes more,\n{operations:,} of them operations"


# The way back, one operation at a time


@dataclass
class Gift:
    """What an operation gives to one of its operands."""

    place: int  # among the operands
    gradient: np.ndarray
    before: np.ndarray | None  # what the operand had
    after: np.ndarray  # what it has now
    summed: bool  # to the operand's shape, which was broadcast


@dataclass
class Turn:
    """One operation of the way back: its result's gradient, and what it gives to its operands."""

    node: Tensor
    gradient: np.ndarray
    gifts: list[Gift]


def way_back(output: Tensor) -> list[Turn]:
    """What `output.backward()` does, operation after operation; no tensor's `grad` is touched.

    These are the engine's derivatives in the engine's order, so that the sums are its to the bit.
    """
    nodes, todo = {}, [output]
    while todo:
        x = todo.pop()
        if x.operands and id(x) not in nodes:
            nodes[id(x)] = x
            todo += [y for y in x.operands if isinstance(y, Tensor) and y.requires_grad]
    gradients, turns = {output: first_gradient("draw", output, None)}, []
    for node in sorted(nodes.values(), key=lambda x: x.recorded.age):
        turn = Turn(node, gradients[node], [])
        saved, derivatives = node.recorded.saved, node.recorded.derivatives
        for place, (x, value, derivative) in enumerate(zip(node.operands, saved, derivatives)):
            if isinstance(x, Tensor) and x.requires_grad:
                given = data_of(derivative(turn.gradient, node.data, *saved))
                d, before = sum_to(given, value), gradients.get(x)
                gradients[x] = d if before is None else before + d
                turn.gifts.append(Gift(place, d, before, gradients[x], d.shape != given.shape))
        turns.append(turn)
    return turns


# Numbers as text, and Graphviz


def written_out(array: np.ndarray) -> str:
    """All numbers of a small array, to four digits."""
    if not array.size:
        return "empty"
    text = np.array2string(array.astype(float), formatter={"float": lambda v: f"{v:.4g}"})
    return text.replace("\n ", "\n")


def printable(text: object) -> str:
    """Any text as Graphviz and XML take it; a character that can't be printed is replaced.

    A long text loses its middle, for Graphviz takes no label of more than 16 KB.
    """
    text = str(text)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def plain(text: object, left: bool = False) -> str:
    """Any text as a plain label of DOT, whose lines are centred, or begin at the left."""
    end = "\\l" if left else "\\n"
    text = escape(printable(text)).replace("\\", "\\\\").replace("\n", end)
    return f'"{text}{end if left else ""}"'


def pygraphviz():
    """The package, or an error that says how to get it."""
    try:
        import pygraphviz
    except ImportError:
        raise ImportError(
            "draw needs pygraphviz, which brings Graphviz with it: in a clone of this repository, "
            "pip install '.[draw]'"
        ) from None
    return pygraphviz


def rendered(dot: str, kind: str, dpi: float = 72) -> bytes:
    """A graph in Graphviz' language in another format, such as "svg" or "json"."""
    graph = pygraphviz().AGraph(string=dot)
    if kind == "png":
        graph.graph_attr["dpi"] = dpi
    return graph.draw(format=kind, prog="dot")  # the wheel's own library, no program is run
