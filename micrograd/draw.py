"""A picture of the graph behind a tensor, drawn by Graphviz, and a page that plays backward()."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from html import escape, unescape
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import describe
from micrograd.engine import Tensor
from micrograd.graph import (
    Graph,
    Turn,
    plain,
    printable,
    pygraphviz,
    rendered,
    rest_label,
    way_back,
    written_out,
)  # fmt: skip
from micrograd.page import Page
from micrograd.protocol import data_of, first_gradient

if TYPE_CHECKING:
    from micrograd.module import Module

__all__ = ["Picture", "draw"]


def __dir__():  # what completion offers
    return __all__


_SMALL = (3, 4)  # arrays of at most so many rows and columns are written out
_FORMATS = (".svg", ".png", ".pdf", ".dot", ".html")
_PAGE = 720  # points: what fits beside a notebook's cell numbers

# Shape, border and brightness tell the kinds apart without colour; the colours, of Okabe and Ito
# (2008), are as different for the colour-blind.
_STYLES = {
    "leaf": 'shape=box style="filled,rounded" fillcolor="#d3eafb" color="#0072b2" penwidth=1.5',
    "constant": 'shape=box style="filled,dashed" fillcolor="#f2f2f2" color="#707070"',
    "operation": 'shape=ellipse style=filled fillcolor="#333333" color="#333333" fontcolor=white '
    'fontname="Helvetica-Bold" width=0.3 height=0.3 margin=0.03',
    "result": 'shape=box style=filled fillcolor=white color="#333333"',
    "output": 'shape=box style=filled fillcolor="#fbdf9d" color="#8a5a00" peripheries=2',
    "module": 'shape=box3d style=filled fillcolor="#cdebdf" color="#00694b" penwidth=1.5 '
    'margin="0.15,0.1"',
    "rest": 'shape=folder style="filled,dotted" fillcolor="#f2f2f2" color="#333333"',
}


_LIT = ' penwidth=3.5 color="#d55e00"'  # where the way back has just been


class Picture:
    """A graph in Graphviz' language, `dot`, which a notebook shows by itself.

    It holds what the graph was when it was drawn, not the graph.
    """

    def __init__(self, dot: str, page: Page | Exception, titles: dict[str, str]):
        self.dot, self._page, self._titles = dot, page, titles

    def __repr__(self) -> str:
        return f"Picture({len(self.dot.splitlines())} lines of DOT)"

    def page(self) -> Page:
        """The page that steps through `backward()`; a notebook shows it by itself.

        Raises:
            Exception: what `backward()` would raise, because a derivative does.
        """
        if isinstance(self._page, Exception):
            raise self._page
        return self._page

    def save(self, path: str | os.PathLike, dpi: float = 150) -> None:
        """Write it to a file; the ending, .svg, .png, .pdf, .dot or .html, decides the format.

        An .html file is the page: it needs nothing but a browser.

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
        if kind == ".html":
            content = self.page().html().encode()
        elif kind == ".svg":
            content = self._repr_svg_().encode()
        else:
            content = self.dot.encode() if kind == ".dot" else rendered(self.dot, kind[1:], dpi)
        with open(path, "wb") as file:
            file.write(content)

    def _repr_svg_(self) -> str:
        svg = rendered(self.dot, "svg").decode()
        svg = re.sub("<title>(.*?)</title>", self._title, svg)
        size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
        width, height = float(size[1]), float(size[2])
        # A notebook shows it as an image, which its style does not reach: it is made as wide as a
        # page, unless it could not be read then.
        scale = max(min(1.0, _PAGE / width), 0.5)
        fitted = f'width="{width * scale:.0f}pt" height="{height * scale:.0f}pt"'
        svg = svg.replace(size[0], fitted, 1)
        return svg.replace("<svg ", '<svg style="max-width: 100%; height: auto" ', 1)

    def _title(self, found: re.Match) -> str:
        """What is shown where the mouse rests: what a thing is, instead of its key."""
        ends = [self._titles.get(key, "") for key in unescape(found[1]).split("->")]
        return f"<title>{escape(printable(' to '.join(ends)))}</title>" if all(ends) else ""


def draw(
    tensor: Tensor,
    model: Module | None = None,
    *,
    collapse: bool | Iterable[str] = False,
    gradients: bool = False,
    direction: str = "LR",
    limit: int = 200,
    upto: int | None = None,
) -> Picture:
    """The graph behind a tensor as a picture, before or after `backward()`.

    Rounded blue boxes are leaves, dashed grey ones are constants, dark ellipses are operations,
    white boxes their results, and the yellow box with a double border is the tensor itself. A box
    tells the label, the shape, and, each written out where small, else by mean and Euclidean norm,
    the numbers and the gradient, if `backward()` has been there.

    An operation stands in the innermost module that ran when it was recorded, a parameter in the
    module that holds it. A constant stands where it was made: a dropout's mask inside the dropout,
    an argument of a module outside of it.

    `draw(y).save("graph.html")` writes a page, one file that needs nothing but a browser. It steps
    through `backward()`, and through the forward pass, operation after operation: what each does,
    with its numbers and its derivative's line of source, and where gradients arrive and are added.
    In a notebook, `draw(y).page()` shows it. `draw(y, upto=k)` is one of its states, for print.

    Args:
        tensor: the output of the graph.
        model: names its parameters in the picture, and frames the operations of its modules.
        collapse: True draws each of the outermost modules in the model as one box, names of modules
            (as in `model.named_modules()`) draw these so. On a page, they open with a click.
        gradients: draw the edges the thicker the larger the gradient of their tensor is, by the
            root of its mean square.
        direction: from left to right, "LR", or from top to bottom, "TB".
        limit: a graph of more nodes is collapsed, and of what is then still too many, those nearest
            to the output are drawn. The picture says so.
        upto: the gradients are those after so many operations have handed theirs on, in the order
            of `backward()` and whatever `grad` holds; 0: only the tensor itself has one.

    Raises:
        ImportError: pygraphviz is not installed.
        TypeError: tensor is not a Tensor.
        ValueError: a module to collapse is not in the model, there is no model, direction is
            unknown, or there are fewer operations than upto.
    """
    pygraphviz()
    if not isinstance(tensor, Tensor):
        raise TypeError(f"draw: expected a Tensor, got {describe(tensor)}")
    if direction not in ("LR", "TB"):
        raise ValueError(f'draw: direction is "LR" or "TB", got {direction!r}')
    graph = Graph(tensor, model)
    notes, cut = [], []
    if len(graph.nodes) > limit and any(graph.modules) and not collapse:
        cut.append("each module is drawn as one box")
        collapse = True
    collapsed = graph.to_collapse(collapse)
    shown = graph.shown(collapsed, limit)
    if "rest" in shown.values():
        cut.append("those nearest to the output are drawn")
    if cut:
        notes.append(f"{len(graph.nodes):,} nodes: {', '.join(cut)}")

    turns = error = None
    try:
        with np.errstate(all="ignore"):
            turns = way_back(tensor)
    except Exception as e:  # a faulty derivative is drawn too, and is the more worth looking at
        if upto is not None:
            raise
        error = e.with_traceback(None)  # which would keep the graph
    turn = ""  # the key of the operation whose turn it was
    if upto is None:
        grads = {i: x.grad for i, x in _tensors(graph).items() if x.has_grad}
    else:
        if type(upto) is not int or not 0 <= upto <= len(turns):
            raise ValueError(f"draw: upto is from 0 to {len(turns)}, got {upto!r}")
        grads = _grads_after(turns[:upto], tensor)
        last = f": {turns[upto - 1].node.op}" if upto else ""
        notes.append(f"after step {upto} of {len(turns)} of backward(){last}")
        turn = f"{graph.keys[id(turns[upto - 1].node)]}_op" if upto else ""
    widths = {}
    if gradients:
        widths, note = _widths(grads)
        notes.append(note)
    lines = [
        "digraph {",
        f'graph [rankdir={direction} ranksep=0.25 nodesep=0.15 fontname="Helvetica" fontsize=11 '
        'style="rounded" color="#8a8a8a" labelloc=t labeljust=l]',
        'node [fontname="Helvetica" fontsize=11 margin="0.08,0.05" width=0 height=0]',
        'edge [color="#5a5a5a" arrowsize=0.6]',
    ]
    if notes:
        lines.append(f"label={plain('; '.join(notes), left=True)}")
    lines += _boxes(graph, shown, grads, turn)
    lines += _arrows(graph, shown, widths, turn)
    dot = "\n".join([*lines, "}", ""])
    page = Page(graph, turns, collapsed, direction, limit) if error is None else error
    return Picture(dot, page, _titles(graph, shown))


def _tensors(graph: Graph) -> dict[int, Tensor]:
    values = (node.value for node in graph.nodes.values())
    return {id(x): x for x in values if isinstance(x, Tensor)}


def _grads_after(turns: list[Turn], output: Tensor) -> dict[int, np.ndarray]:
    """The gradients that these turns have given, by the id of their tensor."""
    grads = {id(output): first_gradient("draw", output, None)} if output.requires_grad else {}
    for turn in turns:
        for gift in turn.gifts:
            grads[id(turn.node.operands[gift.place])] = gift.after
    return grads


def _widths(grads: dict[int, np.ndarray]) -> tuple[dict[int, str], str]:
    """The edge attributes of tensors with a gradient, by id, and a note that explains them."""
    sizes = {
        i: math.sqrt(np.square(g, dtype=np.float64).mean()) for i, g in grads.items() if g.size
    }
    finite = [size for size in sizes.values() if 0 < size < math.inf]
    if not finite:
        return {}, "no gradients yet"
    top = max(finite)
    bottom = max(min(finite), top * 1e-6)
    decades = max(math.log10(top / bottom), 2)  # a range of 1 to 6 isn't drawn as one of 1 to 100
    widths = {}
    for i, size in sizes.items():
        share = 0.0
        if size > 0:
            share = min(max(1 + math.log10(size / top) / decades, 0), 1) if size < top else 1.0
        colour = "#{:02x}{:02x}{:02x}".format(
            *(round(a + share * (b - a)) for a, b in zip((0x90, 0x90, 0x90), (0xB0, 0x42, 0)))
        )
        widths[i] = f'penwidth={0.8 + 4.2 * share:.2f} color="{colour}"'
    return widths, f"width of an edge: the gradient's size, {bottom:.2g} to {top:.2g}"


def _boxes(
    graph: Graph, shown: dict[str, str], grads: dict[int, np.ndarray], turn: str
) -> list[str]:
    """The nodes as lines of DOT, inside the frames of their modules."""
    inside = {}  # lines by module
    hidden = {}  # nodes by the box that stands for them
    paths = list(graph.modules)
    for key, node in graph.nodes.items():
        if shown[key] == key:
            x = node.value
            if node.kind == "operation":
                label = plain(x.op)
            else:
                label = f"<{_label(x, graph.name(node), grads.get(id(x)))}>"
            line = f"{key} [label={label} {_STYLES[node.kind]}{_LIT * (key == turn)}]"
            inside.setdefault(node.module, []).append(line)
        else:
            hidden.setdefault(shown[key], []).append(node)
    for place, group in hidden.items():
        if place == "rest":
            around, label, style = [], rest_label(group), _STYLES["rest"]
        else:
            path = paths[int(place[1:])]
            around, style = graph.chain(path)[:-1], _STYLES["module"]
            label = graph.module_label(path, shown)
        line = f"{place} [label={plain(label)} {style}{_LIT * (place == shown.get(turn))}]"
        inside.setdefault(around[-1] if around else "", []).append(line)
    return graph.framed(inside)


def _arrows(graph: Graph, shown: dict[str, str], widths: dict[int, str], turn: str) -> list[str]:
    """The edges as lines of DOT."""
    lit = {
        (shown[e.tail], shown[e.head])
        for e in graph.edges
        if turn in (e.tail, e.head) and getattr(e.tensor, "requires_grad", False)
    }
    lines = []
    for tail, head, edge, straight in graph.arrows(shown):
        style = "style=invis" if edge is None else widths.get(id(edge.tensor), "")
        if (tail, head) in lit and not style:
            style = _LIT
        style = f"{'weight=4 ' * straight}{style}".strip()
        lines.append(f"{tail} -> {head}" + (f" [{style}]" if style else ""))
    return lines


# Labels. What a browser's font makes of a line of several fonts, or of one that isn't at the left,
# differs from what Graphviz took for granted: a cell holds one font, and begins at the left.


def _label(x: object, name: str, grad: np.ndarray | None) -> str:
    """The name, shape, numbers and gradient of a tensor or a constant, in Graphviz' HTML."""
    data = np.asarray(data_of(x))
    if not isinstance(x, Tensor) and not data.ndim:
        return f"{float(data):.4g}"
    rows = {"data": data}
    if grad is not None:
        rows["grad"] = np.asarray(grad)
    small = data.ndim <= 2 and all(n <= m for n, m in zip(data.shape[::-1], _SMALL[::-1]))
    if small or not data.size:
        table = [[_grey(key), _html(written_out(array))] for key, array in rows.items()]
    else:
        table = [["", _grey("mean"), _grey("norm")]]
        with np.errstate(all="ignore"):
            for key, array in rows.items():
                wide = array.astype(np.float64)
                norm = np.sqrt((wide * wide).sum())
                table.append([_grey(key), f"{wide.mean():.3g}", f"{norm:.3g}"])
    shape = str(data.shape) if data.ndim else ""
    title = f"<b>{_html(f'{name} {shape}'.strip())}</b>" if name else _grey(shape) if shape else ""
    head = f'<tr><td align="left" colspan="{len(table[0])}">{title}</td></tr>' if title else ""
    rows = (
        "".join(f'<td align="left" balign="left" valign="top">{x}</td>' for x in row)
        for row in table
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<table border="0" cellspacing="0" cellpadding="2">{head}{body}</table>'


def _grey(text: object) -> str:
    return f'<font color="#4a4a4a">{text}</font>'


def _html(text: object) -> str:
    """Any text in Graphviz' HTML."""
    return escape(printable(text)).replace("\\", "\\\\").replace("\n", "<br/>")


def _titles(graph: Graph, shown: dict[str, str]) -> dict[str, str]:
    """What to show where the mouse rests on a node or a frame, by their keys."""
    titles = {"rest": "nodes that are not drawn"}
    for key, node in graph.nodes.items():
        if shown[key] == key:
            titles[key] = graph.described(node)
    for i, path in enumerate(graph.modules):
        titles[f"m{i}"] = titles[f"cluster_{i}"] = f"{path} {graph.title(path)}"
    return titles
