"""The pictures of graphs: what stands in them, and how they are saved."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from html import escape

import numpy as np
import pytest
from networks import Attention, Transformer, rng

from micrograd import Tensor, concatenate, no_grad
from micrograd.draw import draw
from micrograd.nn import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    MaxPool2d,
    Module,
    MultiLayerPerceptron,
    Sequential,
    cross_entropy,
    mse,
)

# Reading a picture

KINDS = {
    "#d3eafb": "leaf",
    "dashed": "constant",
    "ellipse": "operation",
    "fillcolor=white": "result",
    "peripheries=2": "output",
    "box3d": "module",
    "folder": "rest",
}


class Read:
    """The nodes, edges and frames in the DOT text of a picture."""

    def __init__(self, picture):
        self.nodes, self.edges, self.frames, around = {}, [], {}, []
        self.note = ""
        for line in picture.dot.splitlines():
            text = re.sub("<br/>", "\n", line)
            text = re.sub("<td", " <td", text)
            text = re.sub("</?[a-z][^<>]*>", "", text)
            text = re.sub(" +", " ", text.replace("&#160;", ""))
            if arrow := re.fullmatch(r"(\w+) -> (\w+)(.*)", line):
                if "style=invis" not in line:
                    self.edges.append(arrow.groups())
            elif line.startswith("subgraph"):
                around.append(re.search(r'label="(.*)\\l"$', text).group(1))
                self.frames["/".join(around)] = []
            elif line.startswith("label="):
                self.note = line[len('label="') : -len('\\l"')]
            elif line == "}" and around:
                around.pop()
            elif node := re.match(r"(x\w+|m\d+|rest) \[", line):
                kind = next(kind for sign, kind in KINDS.items() if sign in line)
                label = re.search(r'label=[<"]\s*(.*?)\s*[>"] shape=', text, re.S).group(1)
                label = label.replace("\\n", "\n")
                self.nodes[node.group(1)] = kind, label
                for i in range(len(around)):
                    self.frames["/".join(around[: i + 1])].append((kind, label))

    def count(self):
        kinds = [kind for kind, _ in self.nodes.values()]
        return {kind: kinds.count(kind) for kind in kinds}

    def labels(self, kind):
        return [label for k, label in self.nodes.values() if k == kind]

    def arrows(self):
        """The edges by what stands first on the labels at their ends."""
        name = {key: label.split(" ")[0] for key, (_, label) in self.nodes.items()}
        return [(name[tail], name[head]) for tail, head, _ in self.edges]


def lecture():
    a, b, c, f = (
        Tensor(x, label=s) for x, s in ((2.0, "a"), (-3.0, "b"), (10.0, "c"), (-2.0, "f"))
    )
    e = a * b
    e.label = "e"
    d = e + c
    d.label = "d"
    out = d * f
    out.label = "L"
    return out


# What stands in a picture


def test_scalars_show_data_gradient_and_operation():
    out = lecture()
    before = Read(draw(out))
    assert before.labels("leaf") == ["a data 2", "b data -3", "c data 10", "f data -2"]
    out.backward()
    picture = Read(draw(out))
    assert picture.labels("leaf") == [
        "a data 2 grad 6",
        "b data -3 grad -4",
        "c data 10 grad -2",
        "f data -2 grad 4",
    ]
    assert picture.labels("operation") == ["*", "+", "*"]
    assert picture.labels("result") == ["e data -6 grad -2", "d data 4 grad -2"]
    assert picture.labels("output") == ["L data -8 grad 1"]
    assert picture.arrows() == [
        ("a", "*"), ("b", "*"), ("*", "e"), ("e", "+"), ("c", "+"), ("+", "d"),
        ("d", "*"), ("f", "*"), ("*", "L"),
    ]  # fmt: skip


def test_the_dot_text_of_a_known_graph():
    x = Tensor(3.0, label="x")
    lines = draw(x.exp()).dot.splitlines()
    assert lines[0] == "digraph {"
    assert lines[-1] == "}"
    assert lines[4:-1] == [
        'x0 [label=<<table border="0" cellspacing="0" cellpadding="2">'
        '<tr><td align="left" colspan="2"><b>x</b></td></tr>'
        '<tr><td align="left" balign="left" valign="top"><font color="#4a4a4a">data</font></td>'
        '<td align="left" balign="left" valign="top">3</td></tr></table>> shape=box '
        'style="filled,rounded" fillcolor="#d3eafb" color="#0072b2" penwidth=1.5]',
        'x1_op [label="exp" shape=ellipse style=filled fillcolor="#333333" color="#333333" '
        'fontcolor=white fontname="Helvetica-Bold" width=0.3 height=0.3 margin=0.03]',
        'x1 [label=<<table border="0" cellspacing="0" cellpadding="2">'
        '<tr><td align="left" balign="left" valign="top"><font color="#4a4a4a">data</font></td>'
        '<td align="left" balign="left" valign="top">20.09</td></tr></table>> shape=box '
        'style=filled fillcolor="#fbdf9d" color="#8a5a00" peripheries=2]',
        "x0 -> x1_op",
        "x1_op -> x1 [weight=4]",
    ]


def test_an_operand_used_twice_has_two_arrows_and_one_box():
    x = Tensor(3.0, label="x")
    picture = Read(draw(x * x + x))
    assert picture.count() == {"leaf": 1, "operation": 2, "result": 1, "output": 1}
    assert picture.arrows().count(("x", "*")) == 2
    assert picture.arrows().count(("x", "+")) == 1


def test_constants_are_told_from_leaves():
    array, frozen = np.array([1.0, 2.0]), Tensor([3.0, 4.0], requires_grad=False)
    y = Tensor([5.0, 6.0]) * array * 0.5 + array * frozen * 0.5
    picture = Read(draw((y * 0.5).sum()))
    assert picture.labels("leaf") == ["(2,) data [5 6]"]
    # the array once, each number wherever it stands; what is made of constants alone is one
    assert sorted(picture.labels("constant")) == [
        "(2,) data [1 2]", "(2,) data [1.5 4]", "0.5", "0.5",
    ]  # fmt: skip
    assert picture.count()["operation"] == 5


NUMBERS = {
    "number": (np.array(2.0), "data 2"),
    "vector": (np.array([1.0, -0.5]), "(2,) data [1 -0.5]"),
    "matrix": (np.array([[1.0, 2.0], [3.0, 1 / 3]]), "(2, 2) data [[1 2]\n[3 0.3333]]"),
    "large": (np.array([1.0] * 15 + [9.0]), "(16,) mean norm data 1.5 9.8"),
    "deep": (np.full((2, 1, 2), 2.0), "(2, 1, 2) mean norm data 2 4"),
    "empty": (np.zeros((0, 3)), "(0, 3) data empty"),
    "empty and deep": (np.zeros((0, 3, 4)), "(0, 3, 4) data empty"),
    "not finite": (np.array([np.nan, np.inf]), "(2,) data [nan inf]"),
    "large and not finite": (np.full(99, np.inf), "(99,) mean norm data inf inf"),
    "float32": (np.full(9, 3e38, np.float32), "(9,) mean norm data 3e+38 9e+38"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_small_arrays_are_written_out_and_large_ones_are_summed_up(name):
    data, expected = NUMBERS[name]
    picture = draw(Tensor(data))
    assert Read(picture).labels("output") == [expected]
    ElementTree.fromstring(picture._repr_svg_())


def test_drawing_changes_nothing():
    model, x = MultiLayerPerceptron(3, [4, 1], rng=rng()), Tensor(rng().normal(size=(8, 3)))
    loss = mse(model(x), np.zeros((8, 1)))
    draw(loss, model, gradients=True)
    assert not any(p.has_grad for p in [x, loss, *model.parameters()])
    loss.backward()
    before = [p.grad.copy() for p in [x, loss, *model.parameters()]]
    draw(loss, model, gradients=True)
    after = [p.grad for p in [x, loss, *model.parameters()]]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


def test_a_tensor_without_history_is_a_picture_of_one_box():
    with no_grad():
        y = Tensor([1.0]) * 2
    for t in (y, Tensor([2.0])):
        assert Read(draw(t)).nodes == {"x0": ("output", "(1,) data [2]")}


def test_gradients_widen_the_edges():
    x, y = Tensor(1.0, label="x"), Tensor(1.0, label="y")
    out = x * 1000 + y
    assert "no gradients yet" in Read(draw(out, gradients=True)).note
    out.backward()
    picture = Read(draw(out, gradients=True))
    assert "1 to 1e+03" in picture.note
    style = {(tail, head): style for tail, head, style in picture.edges}
    by_name = {picture.nodes[tail][1].split(" ")[0]: style[tail, head] for tail, head in style}
    assert "penwidth=5.00" in by_name["x"]
    assert "penwidth=0.80" in by_name["y"]
    assert "penwidth" not in by_name["1000"]
    assert "penwidth" not in draw(out).dot.split("edge [")[1].replace("penwidth=1.5", "")


def test_a_narrow_range_of_gradients_is_not_drawn_as_a_wide_one():
    a, b = Tensor(1.0, label="a"), Tensor(6.0, label="b")
    out = a * b
    out.backward()
    picture = Read(draw(out, gradients=True))
    assert "1 to 6" in picture.note
    widths = [float(re.search(r"penwidth=([\d.]+)", style)[1]) for _, _, style in picture.edges]
    assert max(widths) == 5
    assert min(widths) > 2.5, "a sixth of the largest is no hairline"


def test_a_zero_gradient_has_the_thinnest_edge():
    x, y = Tensor(1.0, label="x"), Tensor(0.0, label="y")
    out = x * y
    out.backward()
    edges = Read(draw(out, gradients=True)).edges
    widths = sorted(float(re.search(r"penwidth=([\d.]+)", style)[1]) for _, _, style in edges)
    assert widths == [0.8, 5, 5]


LABELS = {
    "quotes": "\"a\" 'b'",
    "markup": "<b>&amp;</b>",
    "ampersand": "a & b < c > d",
    "lines": "one\ntwo",
    "backslashes": "\\N \\n \\\\L \\Lambda \\",
    "braces": "{a|b} [c] -> ;",
    "unicode": "θ ∂ 日本",
    "control characters": "a\x00\x07\r\tb",
    "half a character": "\ud800",
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_stand_in_the_picture_as_they_are(name, capfd):
    label = LABELS[name]
    out = Tensor(1.0, label=label) * 2
    svg = ElementTree.fromstring(draw(out)._repr_svg_())
    texts = [text.text or "" for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    shown = [" ".join(text.split()) for text in texts]
    for line in label.split("\n"):
        printable = "".join(c if c.isprintable() else "\ufffd" for c in line)
        assert " ".join(printable.split()) in shown
    errors = [line for line in capfd.readouterr().err.splitlines() if "Fontconfig" not in line]
    assert not errors


# Modules


def perceptron_loss(act="relu"):
    model = MultiLayerPerceptron(3, [4, 4, 1], act=act, rng=rng())
    loss = mse(model(rng().normal(size=(8, 3))), np.zeros((8, 1)))
    loss.label = "loss"
    return loss, model


def operations(frame):
    return [label for kind, label in frame if kind == "operation"]


def test_parameters_are_named_and_their_modules_framed():
    loss, model = perceptron_loss()
    picture = Read(draw(loss, model))
    assert [label.split(" ")[0] for label in picture.labels("leaf")] == list(
        dict(model.named_parameters())
    )
    assert {name: operations(frame) for name, frame in picture.frames.items()} == {
        "layers.0 Layer(4, act=relu)": ["linear", "relu"],
        "layers.1 Layer(4, act=relu)": ["linear", "relu"],
        "layers.2 Layer(1, act=None)": ["linear"],
    }
    assert picture.count() == {
        "leaf": 6, "operation": 8, "result": 7, "output": 1, "constant": 3,
    }  # fmt: skip
    assert len(picture.edges) == 8 + 8 + 8  # of parameters, of results into and out of operations


def test_a_label_goes_before_a_parameters_name():
    loss, model = perceptron_loss()
    model.layers[0].weights.label = "w"
    assert "w" in [label.split(" ")[0] for label in Read(draw(loss, model)).labels("leaf")]


def test_an_activation_of_several_operations_is_part_of_its_layer():
    loss, model = perceptron_loss("silu")
    frames = Read(draw(loss, model)).frames
    assert operations(frames["layers.0 Layer(4, act=silu)"]) == ["linear", "sigmoid", "*"]


def test_a_model_of_images():
    model = Sequential(
        Conv2d(1, 2, 3, padding=1, rng=rng()),
        BatchNorm2d(2),
        Tensor.relu,
        MaxPool2d(2),
        Conv2d(2, 2, 1, rng=rng()),
        Flatten(),
        Layer(8, 3, rng=rng()),
    )
    loss = cross_entropy(model(rng().normal(size=(4, 1, 4, 4))), np.arange(4) % 3)
    frames = Read(draw(loss, model)).frames
    assert {name: operations(frame) for name, frame in frames.items()} == {
        "layers.0 Conv2d": ["convolve"],
        "layers.1 BatchNorm2d(2)": ["normalize", "reshape", "*", "reshape", "+"],
        "layers.3 MaxPool2d": ["max_pool"],
        "layers.4 Conv2d": ["convolve"],
        "layers.5 Flatten()": ["reshape"],
        "layers.6 Layer(3, act=None)": ["linear"],
    }  # fmt: skip


def transformer_loss(blocks):
    model, x = Transformer(blocks), np.arange(10).reshape(2, 5) % 7
    return cross_entropy(model(x), x), model


def test_frames_stand_in_frames():
    loss, model = transformer_loss(1)
    picture = Read(draw(loss, model))
    block, attention = "blocks.0 Block", "blocks.0 Block/blocks.0.attention Attention"
    assert set(picture.frames) == {
        "tokens Embedding(7, 4)",
        "places Embedding(5, 4)",
        block,
        f"{block}/blocks.0.norm LayerNorm((4,))",
        attention,
        f"{attention}/blocks.0.attention.q Layer(4, act=None)",
        f"{attention}/blocks.0.attention.k Layer(4, act=None)",
        f"{attention}/blocks.0.attention.out Layer(4, act=None)",
        f"{block}/blocks.0.mlp MultiLayerPerceptron",
        f"{block}/blocks.0.mlp MultiLayerPerceptron/blocks.0.mlp.layers.0 Layer(8, act=relu)",
        f"{block}/blocks.0.mlp MultiLayerPerceptron/blocks.0.mlp.layers.1 Layer(4, act=None)",
        f"head.{escape(chr(34) + '<&>' + chr(34))} Layer(7, act=None)",
    }
    assert operations(picture.frames[block]).count("+") == 2 + 1  # both sums and the norm's bias
    assert operations(picture.frames[attention]).count("@") == 2


def test_a_collapsed_model_is_one_box_for_each_outermost_module():
    loss, model = transformer_loss(2)
    picture = Read(draw(loss, model, collapse=True))
    sizes = [sum(p.size for p in block.parameters()) for block in model.blocks]
    assert picture.labels("module") == [
        "tokens Embedding(7, 4)\n28 parameters\ngives (2, 5, 4)",
        "places Embedding(5, 4)\n20 parameters\ngives (5, 4)",
        f"blocks.0 Block\n{sizes[0]} parameters\ngives (2, 5, 4)",
        f"blocks.1 Block\n{sizes[1]} parameters\ngives (2, 5, 4)",
        f"head.{escape(chr(34) + '<&>' + chr(34))} Layer(7, act=None)\n35 parameters\n"
        "gives (2, 5, 7)",
    ]
    assert picture.labels("operation") == ["+", "cross_entropy"]
    assert not picture.frames
    assert picture.arrows()[:6] == [
        ("tokens", "+"), ("places", "+"), ("+", "(2,"), ("(2,", "blocks.0"),
        ("blocks.0", "blocks.1"), ("blocks.1", f"head.{escape(chr(34) + '<&>' + chr(34))}"),
    ]  # fmt: skip


def test_modules_are_collapsed_by_name():
    loss, model = transformer_loss(1)
    picture = Read(draw(loss, model, collapse=["blocks.0.mlp", "blocks.0.attention"]))
    assert [label.split(" ")[0] for label in picture.labels("module")] == [
        "blocks.0.attention",
        "blocks.0.mlp",
    ]
    assert [kind for kind, _ in picture.frames["blocks.0 Block"]].count("module") == 2
    assert "blocks.0.attention" not in " ".join(picture.frames)
    one = Read(draw(*perceptron_loss(), collapse="layers.1"))
    assert one.count() == {
        "module": 1, "leaf": 4, "operation": 6, "result": 5, "output": 1, "constant": 3,
    }  # fmt: skip


def test_the_output_of_a_collapsed_module_is_still_drawn():
    model = MultiLayerPerceptron(3, [4, 2], rng=rng())
    picture = Read(draw(model(np.ones(3)), model, collapse=True))
    assert picture.count() == {"module": 2, "constant": 1, "output": 1}
    assert picture.labels("module")[1].endswith("gives (2,)")


class Recurrent(Module):
    def __init__(self):
        self.cell = Layer(6, 4, "tanh", rng=rng())

    def __call__(self, x):
        h = np.zeros((1, 4))
        for t in range(len(x)):
            h = self.cell(concatenate([h, x[t]], axis=1))
        return h


def test_a_module_that_runs_several_times_is_one_frame():
    model = Recurrent()
    loss = model(rng().normal(size=(3, 1, 2))).sum()
    frame = operations(Read(draw(loss, model)).frames["cell Layer(4, act=tanh)"])
    assert frame.count("linear") == 3
    collapsed = Read(draw(loss, model, collapse=True))
    assert collapsed.count()["module"] == 1
    assert ("cell", "cell") not in collapsed.arrows()


def constants(frame):
    """What stands on the constants in a frame before their numbers."""
    return [re.split(r" (?:data|mean)", label)[0] for kind, label in frame if kind == "constant"]


def test_a_penalty_on_the_weights_stands_outside_of_the_layers():
    model = MultiLayerPerceptron(2, [16, 1], rng=rng())
    scores = model(rng().normal(size=(100, 2)))
    loss = mse(scores, np.zeros((100, 1))) + 1e-4 * sum((p * p).sum() for p in model.parameters())
    frames = Read(draw(loss, model)).frames
    assert {name: operations(frame) for name, frame in frames.items()} == {
        "layers.0 Layer(16, act=relu)": ["linear", "relu"],
        "layers.1 Layer(1, act=None)": ["linear"],
    }
    boxes = Read(draw(loss, model, collapse=True)).labels("module")
    assert [box.split("\n")[-1] for box in boxes] == ["gives (100, 16)", "gives (100, 1)"]


def test_constants_made_in_a_collapsed_module_are_inside_its_box():
    model = Sequential(MaskedAttention(3, 8), BatchNorm1d(3).eval(), Dropout(0.5, rng()))
    x = rng().normal(size=(5, 3))
    picture = Read(draw(model(x).sum(), model, collapse=True))
    assert picture.count() == {"module": 3, "constant": 1, "operation": 1, "output": 1}
    assert constants(list(picture.nodes.values())) == ["(5, 3)"], "the input"
    one = Read(draw(model(x).sum(), model, collapse=["layers.0.drop", "layers.2"]))
    assert one.count()["module"] == 2
    assert "mask" not in [label.split(" ")[0] for label in one.labels("constant")]


def test_masks_are_called_so():
    class Causal(Module):
        def __call__(self, x):
            hidden = np.where(np.tri(len(x)) > 0, 0, -np.inf)
            return (x @ x.T + hidden).softmax(-1) + np.tri(len(x))

    model = Sequential(Causal(), Dropout(0.5, rng()))
    picture = Read(draw(model(Tensor(np.ones((4, 2)))).sum(), model))
    assert constants(list(picture.nodes.values())) == [
        "mask (4, 4)",
        "constant (4, 4)",
        "mask (4, 4)",
    ]


class Add(Module):
    def __call__(self, scores, mask):
        return scores + mask


class MaskedAttention(Attention):
    """No token sees those after it; and some of what it sees is dropped."""

    def __init__(self, width, length):
        super().__init__(width)
        self.add = Add()
        self.mask, self.drop = np.triu(np.full((length, length), -np.inf), 1), Dropout(0.5, rng())

    def __call__(self, x):
        n = len(x)
        scores = self.add(self.q(x) @ self.k(x).T * 0.5, mask=self.mask[:n, :n])
        return self.out(self.drop((scores + np.zeros((n, n))).softmax(-1)) @ x)


def test_what_attention_does_between_its_layers_is_its_own():
    model = Sequential(Layer(3, 4, rng=rng()), MaskedAttention(4, 8))
    frames = Read(draw(model(rng().normal(size=(5, 3))).sum(), model)).frames
    attention = "layers.1 MaskedAttention"
    inner = ("q Layer(4, act=None)", "k Layer(4, act=None)", "out Layer(4, act=None)")
    for name in inner:
        assert operations(frames[f"{attention}/layers.1.{name}"]) == ["linear"]
    assert operations(frames[f"{attention}/layers.1.drop Dropout(0.5)"]) == ["*"]
    assert operations(frames[f"{attention}/layers.1.add Add"]) == ["+"]
    own = ["transpose", "@", "*", "+", "+", "softmax", "@"]
    assert sorted(operations(frames[attention])) == sorted([*own, "*", *["linear"] * 3])


def test_masks_stand_in_their_module_and_inputs_outside():
    model = Sequential(MaskedAttention(3, 8), BatchNorm1d(3).eval(), Layer(3, 2))
    x = rng().normal(size=(5, 3))
    picture = Read(draw(model(x).sum(), model))
    attention = "layers.0 MaskedAttention"
    assert constants(picture.frames[f"{attention}/layers.0.drop Dropout(0.5)"]) == ["mask (5, 5)"]
    assert sorted(constants(picture.frames[attention])) == [
        "0.5", "constant (5, 5)", "layers.0.mask[...] (5, 5)", "mask (5, 5)",
    ]  # fmt: skip
    assert "layers.1.running_mean[...] (3,)" in constants(picture.frames["layers.1 BatchNorm1d(3)"])
    framed = [node for frame in picture.frames.values() for node in frame]
    outside = [node for node in picture.nodes.values() if node not in framed]
    assert constants(outside) == ["(5, 3)"]


def test_an_array_handed_on_inside_a_module_stands_where_it_was_made():
    class Model(Module):
        def __init__(self):
            self.inner = Sequential(Recurrent())

        def __call__(self, x):
            return self.inner(x) + self.inner.layers[0].cell(np.ones((1, 6)))

    model = Sequential(Model())
    frames = Read(draw(model(rng().normal(size=(2, 1, 2))).sum(), model)).frames
    shapes = [sorted(c[c.index("(") :] for c in constants(frame)) for frame in frames.values()]
    model, inner, recurrent, cell = shapes
    assert cell == []  # what it was given comes from around it
    assert recurrent == inner == ["(1, 2)", "(1, 6)"]
    assert model == ["(1, 2)", "(1, 6)", "(1, 6)"]


def test_the_owner_does_not_depend_on_what_a_module_returns_or_keeps():
    class Pair(Module):
        def __init__(self):
            self.a, self.b = Layer(3, 3, rng=rng()), Layer(3, 3, rng=rng())

        def __call__(self, x):
            y = self.a(x)
            self.penalty = (y * y).mean()
            return {"sum": y + self.b(y), "slope": [y.tanh()]}

    model = Sequential(Pair())
    y = model(np.ones((2, 3)))
    for result in (y["sum"], y["slope"][0], model.layers[0].penalty):
        picture = Read(draw(result.exp(), model))
        own = operations(picture.frames["layers.0 Pair"])
        assert len(own) == picture.count()["operation"] - 1, "but for exp"


def test_a_module_that_calls_its_base_class_and_one_unknown_to_the_model():
    class Residual(Sequential):
        def __call__(self, x):
            return x + Layer(3, 3, rng=rng())(super().__call__(x))

    model = Sequential(Residual(Layer(3, 3, rng=rng())))
    frames = Read(draw(model(np.ones((2, 3))).sum(), model)).frames
    residual = "layers.0 Residual of [Layer(3, act=None)]"
    assert operations(frames[residual]) == ["linear", "+", "linear"]
    assert list(frames)[1:] == [f"{residual}/layers.0.layers.0 Layer(3, act=None)"]


def test_a_graph_made_while_others_were_made_in_threads_has_its_own_frames():
    models = [MultiLayerPerceptron(3, [4, 1], rng=rng()) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            losses = list(pool.map(lambda model: (model(np.ones((50, 3))) ** 2).sum(), models))
    for model, loss in zip(models, losses):
        frames = Read(draw(loss, model)).frames
        assert [operations(frame) for frame in frames.values()] == [["linear", "relu"], ["linear"]]
        assert not Read(draw(loss, models[models.index(model) - 1])).frames


# Graphs that are too large


def test_a_large_model_is_collapsed_and_says_so():
    loss, model = transformer_loss(6)
    picture = Read(draw(loss, model))
    assert re.search(r"\d\d\d nodes: each module is drawn as one box", picture.note)
    assert picture.count()["module"] == 9
    assert not Read(draw(loss, model, limit=10_000)).note


def test_a_long_chain_is_cut_and_says_so():
    y = Tensor(1.0)
    for _ in range(20_000):
        y = y.sin()
    picture = draw(y)
    read = Read(picture)
    assert read.note == "40,001 nodes: those nearest to the output are drawn"
    assert len(read.nodes) == 200 + 1
    assert read.labels("rest") == ["39,801 nodes more,\n19,900 of them operations"]
    ElementTree.fromstring(picture._repr_svg_())
    assert len(Read(draw(y, limit=7)).nodes) == 8


# Showing and saving

PICTURES = {
    "lecture": lambda: draw(lecture()),
    "perceptron": lambda: draw(*perceptron_loss()),
    "transformer": lambda: draw(*transformer_loss(1)),
    "collapsed": lambda: draw(*transformer_loss(1), collapse=True),
    "gradients": lambda: draw(*perceptron_loss(), gradients=True, direction="TB"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_gets_svg_that_parses(name, capfd, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no program is run
    picture = PICTURES[name]()
    svg = ElementTree.fromstring(picture._repr_svg_())
    groups = [g.get("class") for g in svg.iter("{http://www.w3.org/2000/svg}g")]
    read = Read(picture)
    assert groups.count("node") == len(read.nodes)
    assert groups.count("edge") == len(read.edges)
    assert groups.count("cluster") == len(read.frames)
    errors = [line for line in capfd.readouterr().err.splitlines() if "Fontconfig" not in line]
    assert not errors


SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", PICTURES)
def test_text_stands_in_its_place_in_any_font(name):
    """Graphviz takes one font's widths for granted; a browser has another's."""
    picture = PICTURES[name]()
    for cell in re.findall("<td.*?</td>", picture.dot):  # one font, which begins at the left
        runs = r"<b>[^<]*</b>|<font[^>]*>[^<]*</font>|[^<]*(<br/>[^<]*)*"
        assert re.fullmatch(f'<td align="left"[^>]*>({runs})</td>', cell)
    svg = ElementTree.fromstring(picture._repr_svg_())
    operations = [g for g in svg.iter(f"{SVG}g") if g.find(f"{SVG}ellipse") is not None]
    assert operations
    for group in operations:
        (text,) = group.findall(f"{SVG}text")
        assert text.get("text-anchor") == "middle"
        assert float(text.get("x")) == pytest.approx(float(group.find(f"{SVG}ellipse").get("cx")))


def test_an_svg_says_what_is_where_the_mouse_rests_and_fits_its_page():
    loss, model = perceptron_loss()
    svg = ElementTree.fromstring(draw(loss, model, collapse=["layers.1"])._repr_svg_())
    assert svg.get("style") == "max-width: 100%; height: auto"
    titles = [title.text for title in svg.iter(f"{SVG}title")]
    assert not [title for title in titles if re.search(r"x\d|cluster|%", title)]
    assert {
        "layers.0 Layer(4, act=relu)", "layers.1 Layer(4, act=relu)", "layers.0.weights", "linear",
        "layers.0.weights to linear", "the result of relu", "a constant", "loss",
    } <= set(titles)  # fmt: skip


def test_a_wide_svg_is_made_as_wide_as_a_page_down_to_half_its_size():
    sizes = []
    for count in (1, 6, 60):
        x = Tensor(1.0)
        for _ in range(count):
            x = x.tanh()
        svg = ElementTree.fromstring(draw(x)._repr_svg_())
        _, _, width, height = map(float, svg.get("viewBox").split())
        shown = [float(svg.get(side).removesuffix("pt")) for side in ("width", "height")]
        assert shown[1] / shown[0] == pytest.approx(height / width, rel=0.05)
        sizes.append((shown[0], shown[0] / width))
    assert sizes[0][0] < 720 and sizes[0][1] == 1
    assert sizes[1][0] == 720 and 0.5 < sizes[1][1] < 1
    assert sizes[2][0] > 720 and sizes[2][1] == pytest.approx(0.5, rel=0.01)


STARTS = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF", ".dot": b"digraph {"}


@pytest.mark.parametrize("ending", STARTS)
def test_it_is_saved_in_four_formats(ending, tmp_path):
    path = tmp_path / f"graph{ending}"
    draw(lecture()).save(path)
    content = path.read_bytes()
    assert content.startswith(STARTS[ending])
    draw(lecture()).save(str(path))
    if ending in (".svg", ".dot"):  # the others hold the time of day
        assert path.read_bytes() == content


def test_a_png_has_the_resolution_asked_for(tmp_path):
    sizes = []
    for dpi in (50, 200):
        draw(lecture()).save(tmp_path / "graph.png", dpi=dpi)
        sizes.append(int.from_bytes((tmp_path / "graph.png").read_bytes()[16:20], "big"))
    assert sizes[1] == pytest.approx(4 * sizes[0], rel=0.02)


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.svg .*\.dot \.html: '.*graph\.jpeg'"):
        draw(lecture()).save(tmp_path / "graph.jpeg")
    assert not list(tmp_path.iterdir())


def test_without_pygraphviz_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(ImportError, match=r"in a clone .*, pip install '\.\[draw\]'"):
        draw(lecture())


REFUSED = {
    "no Tensor": (lambda: draw(2.0), TypeError, "draw: expected a Tensor, got 2.0"),
    "direction": (lambda: draw(lecture(), direction="UP"), ValueError, 'direction is "LR" or "TB"'),
    "collapse": (
        lambda: draw(*perceptron_loss(), collapse=["layers.7"]),
        ValueError,
        r"no module 'layers\.7' to collapse; the model has layers\.0, layers\.1, layers\.2",
    ),
    "collapse nothing": (lambda: draw(lecture(), collapse=True), ValueError, "wants the model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_draw_refuses(name):
    f, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        f()


@pytest.mark.parametrize("length", [100, 390, 401, 20_000])
def test_a_label_of_any_length_is_drawn_and_a_long_one_loses_its_middle(length):
    label = "a" + "&" * (length - 2) + "z"
    picture = draw(Tensor([1.0], label=label) * 2)
    assert "<svg" in picture._repr_svg_()
    assert (escape(label) in picture.dot) == (length <= 400)
    assert "a&amp;" in picture.dot and "&amp;z" in picture.dot
