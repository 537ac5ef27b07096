"""The pages that step through backward(): what they hold, and how they behave in a browser."""

import json
import math
import re
import shutil
from pathlib import Path
from types import CodeType

import numpy as np
import pytest
from networks import Transformer, rng
from table import ROWS

from micrograd import Tensor, concatenate, operation
from micrograd.debug import detect_anomaly
from micrograd.draw import draw
from micrograd.graph import Graph, way_back
from micrograd.nn import MultiLayerPerceptron, cross_entropy, mse
from micrograd.page import source_of

# Graphs


def labelled(value, label):
    return Tensor(value, label=label)


def neuron():
    a, b = labelled(0.5, "a"), labelled(-3.0, "b")
    p = a * b
    p.label = "p"
    q = p + a
    q.label = "q"
    y = q.tanh()
    y.label = "y"
    return y


def squares():
    x = labelled(3.0, "x")
    y = x * x + x.exp() * 0.5 - x
    y.label = "y"
    return y


def broadcast():
    w, b = labelled(rng().normal(size=(3, 4)), "w"), labelled([0.1, -0.2, 0.3, 0.0], "b")
    x = rng().normal(size=(5, 3))
    y = (x @ w + b).relu()
    return (y * y).mean(axis=0).max()


def not_a_number():
    x = labelled([[0.0, 1.0], [-1.0, 4.0]], "x")
    with np.errstate(all="ignore"):
        return (x.log() * x.sqrt()).sum()


def single():
    x = labelled(np.arange(4, dtype=np.float32), "x")
    return concatenate([x, x[::-1] * 2, x[[0, 0]]]).softmax()


GRAPHS = {
    "neuron": neuron,
    "squares": squares,
    "broadcast": broadcast,
    "not a number": not_a_number,
    "float32 and no scalar": single,
}


def moons():
    model = MultiLayerPerceptron(2, [16, 16, 1], rng=rng())
    x = rng().normal(size=(100, 2))
    loss = mse(model(x), np.sign(x[:, :1]))
    loss.label = "loss"
    return loss, model


def walked(output):
    """The gradients by id after each turn, by `_backward()`, node after node as backward() does."""
    tensors = [n.value for n in Graph(output).nodes.values() if isinstance(n.value, Tensor)]
    tensors = list({id(x): x for x in tensors}.values())
    for x in tensors:
        x.grad = None
    output.grad = np.ones(output.shape)
    states = [{id(output): output.grad.copy()}]
    for node in sorted((x for x in tensors if x.operands), key=lambda x: x.recorded.age):
        node._backward()
        given = {id(x) for x in node.operands if isinstance(x, Tensor) and x.requires_grad}
        states.append({**states[-1], **{id(x): x.grad.copy() for x in tensors if id(x) in given}})
    for x in tensors:
        x.grad = None
    return states


# Without a browser


@pytest.mark.parametrize("name", GRAPHS)
def test_the_turns_are_those_of_backward_to_the_bit(name):
    with np.errstate(all="ignore"):
        output = GRAPHS[name]()
        turns = way_back(output)
        grads = {id(output): turns[0].gradient}
        for turn in turns:
            for gift in turn.gifts:
                x = turn.node.operands[gift.place]
                assert (gift.before is None) == (id(x) not in grads)
                grads[id(x)] = gift.after
        output.backward()
    tensors = [n.value for n in Graph(output).nodes.values() if isinstance(n.value, Tensor)]
    assert sum(x.requires_grad for x in tensors if x.requires_grad) >= 3
    for x in tensors:
        if x.requires_grad:
            np.testing.assert_array_equal(grads[id(x)], x.grad)
            assert grads[id(x)].dtype == x.dtype


def test_upto_is_the_state_after_so_many_steps():
    assert [len(re.findall(">grad<", draw(neuron(), upto=k).dot)) for k in range(4)] == [1, 2, 4, 5]
    dot = draw(neuron(), upto=2).dot
    assert "after step 2 of 3 of backward(): +" in dot
    a = next(line for line in dot.splitlines() if "<b>a</b>" in line)
    assert re.findall(r">(-?[\d.]+)<", a) == ["0.5", "0.42"], "not yet what * gives"
    assert dot.count('penwidth=3.5 color="#d55e00"') == 1 + 3, "the operation and its edges"


@pytest.mark.parametrize("upto", [-1, 4, 1.0, "1", True])
def test_upto_beyond_the_steps_is_refused(upto):
    with pytest.raises(ValueError, match="upto is from 0 to 3, got"):
        draw(neuron(), upto=upto)


def data_on(page):
    html = page.html()
    return json.loads(
        re.search('<script type="application/json" id="data">(.*?)</script>', html)[1]
    )


def test_the_sentences_of_a_neuron():
    data = data_on(draw(neuron()).page())
    assert [step["say"] for step in data["backward"]] == [
        "The gradient of y with respect to itself is 1.",
        "g times 1 - y², where y is the result; g = 1; q gets 0.42.",
        "g to both as it is; g = 0.42; p gets 0.42; a gets 0.42.",
        "g times the other operand; g = 0.42; a gets -1.26, which is added to 0.42: -0.8399; "
        "b gets 0.21.",
    ]
    assert [step["say"] for step in data["forward"]] == [
        "The graph starts from 2 leaves.",
        "a = 0.5 and b = -3 give p: -1.5.",
        "p = -1.5 and a = 0.5 give q: -1.",
        "q = -1 gives y: -0.7616.",
    ]
    lines = [[data["sources"][i] for _, i in step.get("source", ())] for step in data["backward"]]
    assert lines == [
        [],
        ["lambda g, y, x: g * (1 - y * y)"],
        ["lambda g, y, a, b: g  # d(a + b)/da = 1", "lambda g, y, a, b: g  # d(a + b)/db = 1"],
        ["lambda g, y, a, b: g * b  # d(ab)/da = b", "lambda g, y, a, b: g * a  # d(ab)/db = a"],
    ]


def test_a_page_is_one_small_file(tmp_path):
    for name, f in GRAPHS.items():
        with np.errstate(all="ignore"):
            draw(f()).save(tmp_path / "graph.html")
        html = (tmp_path / "graph.html").read_text(encoding="utf-8")
        assert len(html.encode()) < 50_000, name
        assert set(re.findall(r"https?://[^\"]*", html)) == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"<link|@import|\bsrc=|fetch\(|XMLHttp", html)
    assert len(draw(*moons()).page().html().encode()) < 100_000


def test_a_notebook_shows_the_page():
    page = draw(neuron()).page()
    assert repr(page) == "Page('backward() of y', 3 steps)"
    frame = page._repr_html_()
    assert frame.startswith('<iframe title="backward() of y" srcdoc="')
    assert "<script" not in frame, "it is escaped, inside the frame's attribute"


def test_a_page_holds_what_was_drawn_whatever_comes_later():
    y = neuron()
    picture = draw(y)
    before = picture.page().html()
    y.backward()
    y.operands[0].operands[1].data[...] = 7.0
    assert picture.page().html() == before


def test_a_graph_whose_derivative_fails_is_drawn_and_its_page_says_why():
    def wrong(g, y, x):
        raise ZeroDivisionError("in the derivative")

    y = operation("wrong", np.exp, wrong)(Tensor(1.0))
    picture = draw(y)
    assert "wrong" in picture.dot
    with pytest.raises(ZeroDivisionError, match="in the derivative"):
        picture.page()
    with pytest.raises(ZeroDivisionError, match="in the derivative"):
        draw(y, upto=0)


def test_every_derivative_of_the_operations_has_its_source():
    seen = set()
    for row in ROWS:
        todo = [row.ours(*[Tensor(a) for a in row.operands(row.cases[-1])])]
        while todo:
            y = todo.pop()
            if not y.operands or y.op in seen:
                continue
            seen.add(y.op)
            todo += [x for x in y.operands if isinstance(x, Tensor)]
            for derivative in y.recorded.derivatives:
                source = source_of(derivative)
                assert source, f"{y.op}: no source"
                code = derivative.__code__
                if source.startswith("lambda"):
                    whole = compile(source, "", "eval").co_consts
                    again = next(c for c in whole if isinstance(c, CodeType))
                    assert again.co_varnames == code.co_varnames, f"{y.op}: {source}"
                    names = {*code.co_names, *code.co_freevars}
                    assert {*again.co_names} == names, f"{y.op}: {source}"
                else:
                    assert source.startswith(f"def {derivative.__name__}("), y.op
    assert len(seen) > 50


def test_sources_of_what_is_not_written_on_a_line():
    here = [lambda g, y, x: g * 1, lambda g, y, x: g * 2]
    assert source_of(here[0]) == "" == source_of(here[1]), "two of one line that look alike"
    assert source_of(np.exp) == "numpy.exp"
    assert source_of(eval("lambda g: g")) == ""
    with detect_anomaly():
        y = Tensor(2.0).exp()
    assert source_of(y.recorded.derivatives[0]) == "lambda g, y, x: g * y"


def test_an_operation_of_a_user_is_not_explained_by_the_name_of_another():
    third = operation("exp", np.exp, lambda g, y, x: g * y / 3)
    (_, step) = data_on(draw(third(labelled(0.0, "x"))).page())["backward"]
    assert step["say"] == "g = 1; x gets 0.3333."


def test_a_long_label_is_cut():
    y = labelled(1.0, "x" * 20_000) * 2
    page = draw(labelled(1.0, "a" * 59) * y, limit=4).page()
    assert max(width for _, _, width, _ in data_on(page)["views"][""]["nodes"].values()) < 600


def test_a_long_chain_has_the_steps_that_are_drawn():
    y = Tensor(1.0)
    for _ in range(2000):
        y = y.sin()
    data = data_on(draw(y, limit=10).page())
    assert len(data["backward"]) == 1 + 5
    assert set(data["views"][""]["nodes"]) >= {"rest"}


def test_modules_inside_a_large_module_are_opened_one_by_one():
    model, x = Transformer(2), np.arange(10).reshape(2, 5) % 7
    loss = cross_entropy(model(x), x)
    views = data_on(draw(loss, model, collapse=True, limit=30).page())["views"]
    assert views["blocks.1"]["up"] == ""
    assert views["blocks.1.attention"]["up"] == "blocks.1"
    assert "blocks.1.attention" in views["blocks.1"]["closed"].values()
    assert all(len(view["nodes"]) <= 31 for view in views.values())


# In a browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
SCREENSHOTS = Path(__file__).parents[1] / "build" / "pages"  # to be looked at


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        names = ", ".join(BROWSERS)
        pytest.skip(f"none of {names} is installed (as root: apt-get install chromium)")
    reason = "Playwright is not installed (pip install -e '.[browser]')"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens the page of a picture; at the end nothing stands on the console."""
    pages, said = [], []

    def open_page(picture, width=1200, height=800, **options):
        picture.save(tmp_path / "graph.html")
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        url = (tmp_path / "graph.html").as_uri()
        page.on("request", lambda request: said.append(request.url) if request.url != url else 0)
        page.goto(url)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert said == []


def keep(page, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(500)  # until it has scrolled
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


# What a reader sees of every box: its texts, and the table that is shown while it has the focus
SEEN = """() => Object.fromEntries([...document.querySelectorAll(".node[tabindex]")].map(g => {
  g.focus();
  const texts = [...g.querySelectorAll(".value")].map(t => [t.classList[1], t.textContent]);
  const tables = [...document.querySelectorAll("#values table")].map(t =>
    [t.caption.textContent.split(",")[0], [...t.rows].map(r => [...r.cells].map(c =>
      c.textContent))]);
  return [g.dataset.key, {texts: Object.fromEntries(texts), tables: Object.fromEntries(tables),
    label: g.getAttribute("aria-label"), bare: texts.length + tables.length ? "" : g.textContent}];
}))"""


def assert_shown(seen, slot, array, what):
    """The numbers of an array, as the box has them or the table beneath."""
    array = np.asarray(array)
    if slot in seen["tables"]:
        table = array.reshape(-1, array.shape[-1])
        assert seen["tables"][slot] == [[three(v) for v in row] for row in table], what
    else:
        numbers = re.findall(r"[^\s\[\]]+", seen["texts"][slot])
        expected = [str(float(f"{v + 0:.4g}")) for v in array.flat]  # as text, for nan
        assert [str(float(n)) for n in numbers] == expected, what


def three(number):
    """Three digits, as JavaScript writes them."""
    text = f"{float(f'{number:.3g}'):.15g}" if math.isfinite(number) else str(float(number))
    return re.sub(r"e([+-])0", r"e\1", "0" if text == "-0" else text)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_number_of_every_step_is_the_engines(name, opened):
    with np.errstate(all="ignore"):
        output = GRAPHS[name]()
        states, picture = walked(output), draw(output)
    page, nodes = opened(picture), Graph(output).nodes
    results = {id(n.value): n.value for n in nodes.values() if n.kind == "operation"}
    order = sorted(results.values(), key=lambda x: x.recorded.age)
    for step, grads in enumerate(states):
        assert page.inner_text("#count") == f"{step} / {len(states) - 1}"
        seen = page.evaluate(SEEN)
        assert len(seen) == sum(node.kind != "operation" for node in nodes.values())
        for key, box in seen.items():
            x, what = nodes[key].value, f"step {step}, {box['label']}"
            if box["bare"]:
                assert float(box["bare"]) == float(f"{float(x):.4g}"), what
                continue
            assert_shown(box, "data", x.data, what)
            if id(x) in grads:
                assert_shown(box, "grad", grads[id(x)], what)
            else:
                assert not box["texts"].get("grad"), what
                assert "grad" not in box["tables"], what
        if step:
            assert_said(page.inner_text("#say"), order[step - 1], grads)
        if step < len(states) - 1:
            page.keyboard.press("ArrowRight")


def assert_said(say, node, grads):
    """The numbers of a sentence: the gradient of the result, and what each operand has by now."""
    given = [x for x in node.operands if isinstance(x, Tensor) and x.requires_grad]
    said = re.findall(r" gets .*?(?=; |\.$)", say)
    assert len(said) == len(given), say
    has = {id(x): text for x, text in zip(given, said)}  # the last, where it stands twice
    told = [(node, re.search(r"g = (.*?); ", say)[1]), *((x, has[id(x)]) for x in given)]
    for x, text in told:
        text = re.sub(r" \(summed.*\)", "", text)
        g = grads[id(x)].astype(float)
        if "norm" in text:
            expected, text = [np.sqrt((g * g).sum())], text.rpartition("norm ")[2]
        else:
            expected, text = g.flat, re.split(r": | gets |^", text)[-1].strip("[]")
        numbers = [str(float(n)) for n in text.split()]
        assert numbers == [str(float(f"{v + 0:.4g}")) for v in expected], say


def test_what_is_lit_and_said(opened):
    page = opened(draw(neuron()))
    for _ in range(3):
        page.click("#next")
    assert page.locator("#next").is_disabled()
    assert page.inner_text("#say") == (
        "*: g times the other operand; g = 0.42; a gets -1.26, which is added to 0.42: -0.8399; "
        "b gets 0.21."
    )
    assert page.locator("#source pre").all_inner_texts() == [
        "to a: lambda g, y, a, b: g * b  # d(ab)/da = b",
        "to b: lambda g, y, a, b: g * a  # d(ab)/db = a",
    ]
    assert page.locator(".turn").text_content() == "*"
    assert [text[0] for text in page.locator(".hit .name").all_text_contents()] == ["a", "b"]
    assert page.locator(".lit").count() == 3
    assert sorted(page.locator(".amount").all_text_contents()) == ["-1.26", "0.21"]
    keep(page, "neuron")
    page.click("#prev")
    assert page.locator(".turn").text_content() == "+"
    assert page.locator(".amount").all_text_contents() == ["0.42", "0.42"]


def test_a_tensor_used_twice_by_one_operation_gets_both_gradients(opened):
    x = labelled(3.0, "x")
    page = opened(draw(x * x))
    page.click("#next")
    assert "x gets 3; x gets 3, which is added to 3: 6." in page.inner_text("#say")
    assert page.locator(".lit").count() == 3
    assert page.locator(".amount").all_text_contents() == ["3", "3"]


def test_the_forward_pass(opened):
    page = opened(draw(neuron()))
    page.check("[value=forward]")

    def made():
        return page.evaluate("""() => [...document.querySelectorAll(".value.data")].map(
            t => t.textContent).filter(t => t)""")

    assert sorted(made()) == ["-3", "0.5"]
    page.click("#next")
    assert page.inner_text("#say") == "*: a = 0.5 and b = -3 give p: -1.5."
    assert sorted(made()) == ["-1.5", "-3", "0.5"]
    page.keyboard.press("End")
    assert len(made()) == 5
    assert page.locator(".value.grad").all_text_contents() == [""] * 5
    page.check("[value=backward]")
    assert page.inner_text("#count") == "0 / 3", "each pass keeps its place"


def test_it_is_played_by_keyboard_slider_and_by_itself(opened):
    page = opened(draw(neuron()))
    count = page.locator("#count")
    for key, expected in (("ArrowRight", 1), ("End", 3), ("ArrowLeft", 2), ("Home", 0)):
        page.keyboard.press(key)
        assert count.inner_text() == f"{expected} / 3", key
    page.focus("#slider")
    page.keyboard.press("ArrowRight")
    assert count.inner_text() == "1 / 3", "one step, also on the slider"
    assert page.get_attribute("#slider", "aria-valuetext") == "step 1 of 3, tanh"
    page.fill("#slider", "2")
    assert count.inner_text() == "2 / 3"
    page.click("#play")
    assert page.inner_text("#play") == "pause"
    page.wait_for_function("document.getElementById('count').textContent === '3 / 3'")
    assert page.inner_text("#play") == "play"
    page.click("#play")  # from the beginning
    assert count.inner_text() == "0 / 3"
    page.click("#prev", force=True)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(" ")
    assert page.inner_text("#play") == "play", "the space bar stops it"


def test_what_a_screen_reader_is_told(opened):
    page = opened(draw(broadcast()))
    assert page.get_attribute("#say", "role") == "status"
    assert page.get_attribute("#say", "aria-live") == "polite"
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    roles = page.evaluate("""() => [...document.querySelectorAll(".node")].map(
        g => [g.getAttribute("role"), g.getAttribute("aria-label")])""")
    assert all(role == "img" and label for role, label in roles)
    labels = [label for _, label in roles]
    assert "operation relu" in labels
    assert any(re.fullmatch(r"b, leaf: data an array of norm \S+, gradient an array of norm \S+",
                            label) for label in labels)  # fmt: skip
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "pass", (
        "the first is the choice of a pass"
    )


def test_the_cells_of_a_heat_map_tell_their_values(opened):
    w = labelled(rng().normal(size=(2, 3, 4)), "w")
    page = opened(draw(w.exp()))
    page.locator(".leaf .map.data .cell").nth(17).hover()
    assert (
        page.inner_text("#values p").strip()
        == f"w (2, 3, 4) data [1, 1, 1] = {three(w.data[1, 1, 1])}"
    )
    large = labelled(rng().normal(size=(40, 20)), "large")
    page = opened(draw(large.exp()))
    page.locator(".leaf .map.data .cell").nth(11).hover()
    mean = three(large.data[3:6, 2:4].mean())
    assert page.inner_text("#values p").strip() == (
        f"large (40, 20) data mean of 6 from [3, 2] = {mean}"
    )
    colours = page.evaluate("""() => ["#00224e", "#35456c", "#7c7b78", "#bbae6b", "#fee838"].map(
        (_, i) => colour((i - 2) / 2, 1).match(/\\d+/g).map(Number))""")
    light = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in colours]
    assert light == sorted(light), "in grey as well, the larger is the lighter"
    assert min(np.diff(light)) > 30


def test_a_narrow_window_scrolls_only_the_picture(opened):
    page = opened(draw(*moons()), width=360, height=740, has_touch=True)
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(700)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360, "nothing but the picture is wider than the window"
    turn, frame = page.locator(".turn").bounding_box(), page.locator("#picture").bounding_box()
    assert frame["x"] <= turn["x"] <= frame["x"] + frame["width"] - turn["width"]
    assert frame["y"] + frame["height"] <= 740, "the picture is in sight"
    for button in page.locator("button").all():
        box = button.bounding_box()
        assert box["height"] >= 40 and box["x"] + box["width"] <= 360
    text = page.evaluate("""() => { const s = document.querySelector("#picture svg");
        return 12 * s.getBoundingClientRect().width / s.viewBox.baseVal.width; }""")
    assert text >= 10, f"letters of {text} pixels"
    keep(page, "phone")
    page.click("#fit")
    svg = page.locator("#picture svg").bounding_box()
    assert svg["width"] <= 360


def test_a_notebook_cell_is_played_like_a_page(browser):
    cell = browser.new_page()
    cell.set_content(draw(neuron()).page()._repr_html_())
    inside = cell.frame_locator("iframe")
    inside.locator("#next").click()
    assert inside.locator("#count").inner_text() == "1 / 3"
    inside.locator("#picture").press("ArrowRight")
    assert inside.locator(".turn").text_content() == "+"
    cell.close()


def test_the_picture_does_not_jump_from_step_to_step(opened):
    page = opened(draw(*moons()))
    places = set()
    for _ in range(8):
        places.add(page.locator("#picture").bounding_box()["y"])
        page.keyboard.press("ArrowRight")
    assert len(places) == 1
    keep(page, "perceptron")


def test_modules_open_and_close_by_mouse_and_keyboard(opened):
    loss, model = moons()
    page = opened(draw(loss, model, collapse=True))
    assert page.locator(".module").count() == 3
    page.keyboard.press("End")
    assert page.locator(".module.turn").count() == 1
    closed = page.locator(".module[aria-label^='layers.1']")
    assert closed.get_attribute("aria-expanded") == "false"
    closed.click()
    assert page.locator(".module").count() == 2
    assert "layers.1.weights" in page.locator(".leaf .name").all_text_contents()
    assert page.locator(".leaf .map.grad .cell[visibility=visible]").count() >= 256
    frame = page.locator(".frame.open")
    assert frame.get_attribute("aria-expanded") == "true"
    assert page.evaluate("document.activeElement.dataset.path") == "layers.1"
    keep(page, "module")
    page.keyboard.press("Enter")
    assert page.locator(".module").count() == 3
    assert "layers.1" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press(" ")
    assert page.locator(".module").count() == 2
    page.keyboard.press("Escape")
    assert page.locator(".module").count() == 3
    last = page.get_attribute("#slider", "max")
    assert page.inner_text("#count") == f"{last} / {last}", "the step is kept"


def test_labels_stand_on_the_page_as_they_are(opened):
    labels = ["</script><b>&amp;", "{{data}} {{title}}", "θ ∂ \\n \"'", "a\x07b"]
    shown = [*labels[:3], "a\ufffdb"]
    y = concatenate([labelled([1.0], label) for label in labels])
    y.label = "</title>"
    page = opened(draw(y))
    assert page.locator(".name").all_text_contents() == [*shown, "</title>"]
    assert page.title() == page.inner_text("h1") == "backward() of </title>"
    page.click("#next")
    said = page.text_content("#say")
    assert all(f"{label} gets [1]" in said for label in shown)


def test_a_tensor_without_history_has_a_page_too(opened):
    page = opened(draw(Tensor([1.0, 2.0, 3.0, 4.0], label="t")))
    assert page.inner_text("#count") == "0 / 0"
    assert "nothing to step through" in page.inner_text("#say")
    assert page.locator(".node").count() == 1
