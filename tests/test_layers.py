"""The layers against PyTorch: every row of one table through all that a layer is to do."""

# ruff: noqa: NPY002 (that NumPy's global state decides the draws is what some tests are about)

import copy
import gc
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import an_input, assert_refused, assert_same_states, of, positive
from table import assert_same, compare, normal, search
from torch.func import functional_call
from torch.nn import functional

from micrograd import Tensor, convolution, jit, nn
from micrograd.draw import draw
from micrograd.protocol import data_of

LAYERS_OF_IMAGES = [
    "Conv2d(2, 3, 2)", "ConvTranspose2d(2, 3, 2)", "Upsample(scale_factor=2)", "MaxPool2d(2)",
    "AvgPool2d(2)", "BatchNorm2d(2)", "LayerNorm(4)",
]  # fmt: skip


# Layers: every row is an expression that means the same in both libraries, and an input


class TorchLayer(torch.nn.Module):
    def __init__(self, n_inp, n_out, act=None, bias=True):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.zeros(n_inp, n_out))
        self.bias = torch.nn.Parameter(torch.zeros(n_out)) if bias else None
        self.act = act

    def forward(self, x):
        y = x @ self.weights
        y = y if self.bias is None else y + self.bias
        return y if self.act is None else getattr(functional, self.act)(y)


def torch_mlp(n_inp, n_outs, act="relu"):
    acts = [act] * (len(n_outs) - 1) + [None]
    return torch.nn.Sequential(*map(TorchLayer, [n_inp, *n_outs], n_outs, acts))


class TorchDropout(torch.nn.Module):
    """Dropout with the mask that NumPy's state gives, in training."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        keep = torch.tensor(np.random.random(x.shape) >= self.p)
        return torch.where(keep, x / (1 - self.p), 0.0)


IN_TORCH = {
    **vars(torch.nn),
    "Layer": TorchLayer,
    "MultiLayerPerceptron": torch_mlp,
    "Dropout": TorchDropout,
}
LAYERS = [
    ("Layer(3, 2)", (3,)),
    ("Layer(3, 2)", (4, 3)),
    ("Layer(3, 2)", (2, 4, 3)),
    ("Layer(3, 2)", (0, 3)),
    ("Layer(1, 1)", (1, 1)),
    ("Layer(3, 2, bias=False)", (4, 3)),
    ("Layer(3, 2, 'tanh', bias=False)", (3,)),
    *((f"Layer(3, 2, act={act!r})", (4, 3)) for act in nn.ACTIVATIONS),
    ("MultiLayerPerceptron(3, [4, 5, 2])", (3,)),
    ("MultiLayerPerceptron(3, [4, 5, 2])", (6, 3)),
    ("MultiLayerPerceptron(3, [4, 2], act='tanh')", (2, 5, 3)),
    ("MultiLayerPerceptron(3, [2])", (6, 3)),
    ("MultiLayerPerceptron(3, [4, 2], act=None)", (6, 3)),
    ("Sequential(Layer(3, 4, 'relu'), Sequential(Layer(4, 5), LayerNorm(5)), Layer(5, 2))", (6, 3)),
    ("Sequential(Conv2d(1, 3, 3), BatchNorm2d(3), MaxPool2d(2), Flatten(), Layer(12, 2))",
     (4, 1, 6, 6)),
    *((f"{name}()", (4, 3)) for name in nn.activations.__all__),
    ("LeakyReLU(0.2)", (4, 3)),
    ("GELU('tanh')", (4, 3)),
    ("Flatten()", (2, 3)),
    ("Flatten()", (2, 3, 4, 5)),
    ("Flatten()", (0, 3, 4)),
    ("Conv2d(2, 3, 3)", (2, 2, 5, 6)),
    ("Conv2d(2, 3, 3, bias=False)", (2, 2, 5, 6)),
    ("Conv2d(2, 3, 3, stride=2)", (2, 2, 7, 8)),
    ("Conv2d(2, 3, 3, padding=1)", (2, 2, 4, 5)),
    ("Conv2d(2, 3, (3, 2), stride=(1, 3), padding=(2, 1))", (2, 2, 5, 7)),
    ("Conv2d(2, 3, (1, 4), stride=(2, 1), padding=(0, 3), bias=False)", (1, 2, 3, 4)),
    ("Conv2d(1, 1, 2, stride=3)", (1, 1, 9, 9)),
    ("Conv2d(3, 2, 1)", (2, 3, 4, 4)),
    ("Conv2d(1, 2, 4)", (3, 1, 4, 4)),
    ("Conv2d(2, 3, 3)", (0, 2, 5, 6)),
    ("Conv2d(6, 4, 3, padding=1)", (2, 6, 4, 5)),  # of so many channels row by row
    ("Conv2d(6, 4, 3, stride=2, padding=1)", (3, 6, 7, 6)),
    ("Conv2d(6, 2, (3, 4), stride=(2, 3), padding=(0, 2), dilation=(2, 1))", (2, 6, 8, 5)),
    ("Conv2d(2, 3, 3, dilation=2)", (2, 2, 7, 6)),
    ("Conv2d(2, 3, 2, dilation=(1, 3), padding=(0, 1), stride=2)", (1, 2, 5, 6)),
    ("Conv2d(4, 6, 3, groups=2)", (2, 4, 5, 4)),
    ("Conv2d(3, 6, 2, groups=3, bias=False)", (2, 3, 3, 4)),
    ("Conv2d(12, 4, 3, groups=2, padding=1)", (2, 12, 4, 3)),
    ("Conv2d(3, 3, (2, 3), (1, 2), 1, (2, 1), 3, False)", (2, 3, 4, 5)),
    ("Conv2d(2, 3, (3, 5), padding='same', dilation=(1, 2))", (2, 2, 4, 5)),
    ("Conv2d(2, 3, 3, padding='valid', stride=2)", (2, 2, 7, 5)),
    ("Conv1d(2, 3, 3, padding='same')", (2, 2, 7)),
    ("Conv1d(2, 3, 3)", (2, 2, 7)),
    ("Conv1d(2, 3, 3, stride=2, padding=2, bias=False)", (2, 2, 6)),
    ("Conv1d(4, 6, 2, dilation=3, groups=2)", (3, 4, 8)),
    ("Conv1d(4, 2, (5,), 2, 1, 1, 2, False)", (1, 4, 9)),
    ("Conv1d(2, 3, 1)", (0, 2, 4)),
    ("ConvTranspose2d(2, 3, 3)", (2, 2, 4, 3)),
    ("ConvTranspose2d(2, 3, 2, stride=2)", (2, 2, 3, 4)),
    ("ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1)", (2, 2, 3, 4)),
    ("ConvTranspose2d(4, 6, (3, 2), stride=(3, 1), padding=(0, 1), groups=2, bias=False)",
     (2, 4, 2, 4)),
    ("ConvTranspose2d(2, 1, 3, dilation=(2, 3), output_padding=(1, 2))", (1, 2, 3, 2)),
    ("ConvTranspose2d(6, 2, 3, 2, (1, 0), (1, 0), 2, True, (1, 2))", (2, 6, 3, 4)),
    ("ConvTranspose2d(2, 3, 2)", (0, 2, 3, 3)),
    *((f"Upsample({options})", (2, 3, 4, 5))
      for options in ("scale_factor=2", "scale_factor=(1.5, 3)", "size=7", "size=(3, 9)",
                      "scale_factor=0.5", "4, None, 'nearest'")),
    *((f"Upsample({options}, mode='bilinear'{corners})", (2, 2, 4, 5))
      for options in ("scale_factor=2", "scale_factor=(1.5, 3)", "size=7", "size=(3, 9)", "size=1",
                      "scale_factor=0.7")
      for corners in ("", ", align_corners=False", ", align_corners=True")),
    ("Upsample(scale_factor=2)", (2, 3, 5)),
    ("Upsample(size=3)", (0, 2, 2, 2)),
    *((f"MaxPool2d({options})", (2, 3, 7, 8, kind))
      for options in ("2", "3, stride=2", "3, stride=1", "2, stride=3", "(3, 2)", "3, padding=1",
                      "(3, 2), stride=(1, 2), padding=(1, 0)")
      for kind in ("", "ties")),
    ("MaxPool2d(2)", (0, 3, 4, 4)),
    *((f"AvgPool2d({options})", (2, 3, 7, 8))
      for options in ("2", "3, stride=2", "3, stride=1", "2, stride=3", "(3, 2)", "3, padding=1",
                      "(3, 2), stride=(1, 2), padding=(1, 0)")),
    ("AvgPool2d(2)", (0, 3, 4, 4)),
    *((f"MaxPool2d({options}, ceil_mode=True)", (2, 3, 7, 8, "ties"))
      for options in ("2", "3, stride=2", "3, stride=2, padding=1", "2, stride=3, padding=1",
                      "(3, 9)")),
    *((f"AvgPool2d({options})", (2, 3, 7, 8))
      for options in ("2, ceil_mode=True", "3, stride=2, padding=1, ceil_mode=True",
                      "3, stride=2, padding=1, count_include_pad=False",
                      "2, stride=3, padding=1, ceil_mode=True, count_include_pad=False",
                      "(3, 9), ceil_mode=True", "2, count_include_pad=False")),
    ("Embedding(5, 3)", np.array([0, 4, 2])),
    ("Embedding(5, 3)", np.array([[1, 1, 4], [0, 1, 4]])),
    ("Embedding(5, 3)", np.array(2)),
    ("LayerNorm(4)", (4,)),
    ("LayerNorm(4)", (3, 4)),
    ("LayerNorm(4, eps=0.1)", (2, 3, 4)),
    ("LayerNorm((3, 4))", (2, 5, 3, 4)),
    ("LayerNorm(4, bias=False)", (3, 4)),
    ("LayerNorm(4, elementwise_affine=False)", (3, 4)),
    ("LayerNorm(4)", (0, 4)),
    ("RMSNorm(4)", (4,)),
    ("RMSNorm(4)", (2, 3, 4)),
    ("RMSNorm(4, eps=0.1)", (3, 4)),
    ("RMSNorm((3, 4), eps=1e-5)", (2, 3, 4)),
    ("RMSNorm(4, elementwise_affine=False)", (3, 4)),
    ("GroupNorm(2, 4)", (3, 4)),
    ("GroupNorm(2, 4, eps=0.1)", (3, 4, 5)),
    ("GroupNorm(1, 4)", (2, 4, 3, 2)),
    ("GroupNorm(4, 4, affine=False)", (2, 4, 3, 2)),
    ("BatchNorm1d(3)", (5, 3)),
    ("BatchNorm1d(3)", (2, 3)),
    ("BatchNorm1d(3)", (2, 3, 4)),
    ("BatchNorm1d(3)", (1, 3, 4)),
    ("BatchNorm1d(3, eps=0.1, momentum=0.7)", (5, 3)),
    ("BatchNorm1d(3, affine=False)", (5, 3)),
    ("BatchNorm2d(3)", (2, 3, 4, 5)),
    ("BatchNorm2d(3)", (1, 3, 1, 2)),
    ("BatchNorm2d(3, momentum=1.0)", (2, 3, 4, 5)),
    ("Dropout(0.0)", (4, 5)),
    ("Dropout(0.3)", (4, 5)),
    ("Dropout(0.5)", (2, 3, 4, 5)),
    ("Sequential(Layer(3, 8), Dropout(0.2), Layer(8, 2))", (4, 3)),
]  # fmt: skip
layers = pytest.mark.parametrize(
    "expression, kind", LAYERS, ids=[f"{e} of {getattr(x, 'shape', x)}" for e, x in LAYERS]
)
training_and_not = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def in_both(expression, training, dtype):
    """The module here and in PyTorch, with the same random parameters and buffers."""
    rng = np.random.default_rng(1)
    model, reference = eval(expression, {**vars(nn)}), eval(expression, {**IN_TORCH})
    model.astype(dtype).train(training)
    reference.to(torch.float32 if dtype == np.float32 else torch.float64).train(training)
    state = {
        name: (positive if name.endswith("var") else normal)(rng, array.shape).astype(array.dtype)
        for name, array in model.state_dict().items()
    }
    model.load_state_dict(state)
    missing, unexpected = reference.load_state_dict(
        {in_torch(name): torch.tensor(array) for name, array in state.items()}, strict=False
    )
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return model, reference


def in_torch(name):
    return name.replace("layers.", "")


def put_in(model, tensors):
    """Make these Tensors the parameters of a model."""
    tensors = iter(tensors)
    for module in model.named_modules().values():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor):
                setattr(module, name, next(tensors))


def assert_same_state(model, reference, tolerance=1e-9):
    theirs = reference.state_dict()
    for name, array in model.state_dict().items():
        assert_same(array, theirs[in_torch(name)], name, tolerance)


@layers
@training_and_not
def test_layer(expression, kind, training):
    """Values, gradients and second gradients of input and parameters, and running statistics."""
    model, reference = in_both(expression, training, np.float64)
    names = [name for name, _ in reference.named_parameters()]
    x = an_input(kind)
    constants = [x] if x.dtype.kind == "i" else []
    inputs = [] if constants else [x]

    def ours(*operands):
        np.random.seed(3)
        put_in(model, operands[len(inputs) :])
        return model(*constants, *operands[: len(inputs)])

    def theirs(*operands):
        np.random.seed(3)
        parameters = dict(zip(names, operands[len(inputs) :], strict=True))
        arguments = (*map(torch.tensor, constants), *operands[: len(inputs)])
        return functional_call(reference, parameters, arguments)

    operands = [*inputs, *(p.data for p in model.parameters())]
    compare(ours, theirs, operands, expression, np.random.default_rng(4))
    assert_same_state(model, reference)


@layers
@training_and_not
def test_layer_in_float32(expression, kind, training):
    model, reference = in_both(expression, training, np.float32)
    x = an_input(kind)
    x = x if x.dtype.kind == "i" else x.astype(np.float32)
    x_ours, x_theirs = x, torch.tensor(x)
    if x.dtype.kind == "f":
        x_ours, x_theirs = Tensor(x), x_theirs.requires_grad_()
    np.random.seed(3)
    y = model(x_ours)
    np.random.seed(3)
    y_theirs = reference(x_theirs)
    assert_same(y.data, y_theirs, f"{expression}, value", 1e-5)
    g = np.random.default_rng(4).normal(size=y.shape).astype(np.float32)
    y.backward(g)
    y_theirs.backward(torch.tensor(g))
    for p, q in zip([x_ours, *model.parameters()], [x_theirs, *reference.parameters()]):
        if isinstance(p, Tensor):
            assert_same(p.grad, q.grad, f"{expression}, gradient", 1e-4)
    assert_same_state(model, reference, 1e-5)


@layers
def test_a_layer_under_jit_gives_the_same_bits(expression, kind):
    """In training, twice: values, gradients, and what it changes or draws on its way."""
    results = []
    for wrap in (lambda f: f, jit):
        model, x = in_both(expression, True, np.float64)[0], an_input(kind)
        x = x if x.dtype.kind == "i" else Tensor(x)
        leaves = [*model.parameters(), *([x] if isinstance(x, Tensor) else [])]
        f, arrays = wrap(lambda x, model=model: model(x) ** 2), []
        np.random.seed(3)
        for _ in range(2):
            y = f(x)
            y.backward(normal(np.random.default_rng(4), y.shape))
            arrays += [y.data, *(t.grad.copy() for t in leaves)]
        results.append([*arrays, *model.state_dict().values()])
    for i, (ours, expected) in enumerate(zip(*results[::-1], strict=True)):
        assert_same(ours, expected, f"{expression}, {i}", 0)


@layers
def test_layer_takes_an_array_as_it_takes_a_tensor(expression, kind):
    model, x = eval(expression, {**vars(nn)}), an_input(kind)
    y = []
    for argument in (x, Tensor(x)) if x.dtype.kind == "f" else (x, x.tolist()):
        np.random.seed(3)
        y.append(model(argument))
    on_array, on_tensor = (t.data if isinstance(t, Tensor) else t for t in y)
    assert_same(on_array, on_tensor, expression, 0)
    assert not model.parameters() or y[0].requires_grad


@layers
@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
                         ids=["deepcopy", "pickle"])  # fmt: skip
def test_a_copied_or_pickled_layer_is_its_own(expression, kind, again):
    model, x = in_both(expression, False, np.float64)[0], an_input(kind)
    twin = again(model)
    assert repr(twin) == repr(model)
    assert_same_states(twin.state_dict(), model.state_dict())
    assert_same(data_of(twin(x)), data_of(model(x)), expression, 0)
    for array in [p.data for p in twin.parameters()]:
        array += 1
    for name, array in model.state_dict().items():
        old = in_both(expression, False, np.float64)[0].state_dict()[name]
        assert_same(array, old, f"{name} of the original", 0)


@layers
def test_the_state_of_a_layer_is_all_that_it_needs(expression, kind):
    model, x = in_both(expression, False, np.float64)[0], an_input(kind)
    other = eval(expression, {**vars(nn)}).eval()
    other.load_state_dict(model.state_dict())
    assert_same(data_of(other(x)), data_of(model(x)), expression, 0)


@layers
def test_to_torch_gives_the_same_layer(expression, kind):
    model, x = in_both(expression, False, np.float64)[0], an_input(kind)
    assert_same(data_of(model(x)), nn.to_torch(model)(torch.tensor(x)), expression, 1e-9)


@layers
def test_from_torch_gives_the_layer_back(expression, kind):
    model, x = in_both(expression, False, np.float64)[0], an_input(kind)
    again = nn.from_torch(nn.to_torch(model))
    assert type(again) is nn.Sequential and not again.training
    assert_same(data_of(again(x)), data_of(model(x)), expression, 1e-12)
    theirs = sorted(a.tobytes() for a in again.state_dict().values())
    assert theirs == sorted(a.tobytes() for a in model.state_dict().values()), expression


@layers
def test_pictures_and_tables_know_a_layer(expression, kind):
    """Its name and its size; in the picture its operations stand in its frame."""
    model, x = nn.Sequential(eval(expression, {**vars(nn)})).eval(), an_input(kind)
    table = nn.summary(model, x.shape, x.dtype)
    assert f"layers.0  {type(model.layers[0]).__name__}" in table
    assert f" {sum(p.size for p in model.parameters()):,}" in table.splitlines()[-1]
    y = model(Tensor(x) if x.dtype.kind == "f" else x)
    if y.operands:  # a Dropout in evaluation mode gives its input
        picture = draw(y.sum(), model).dot
        assert 'label="layers.0  ' in picture
        outside = picture.partition("subgraph")[0]
        assert outside.count("shape=ellipse") == 1, "there is more outside than the sum"


@st.composite
def convolutions(draw):
    """A kind of convolution, its arguments, the shape of an image, and the size of a portion."""

    def ints(least, most):
        return draw(st.integers(least, most))

    def pair(least, most):
        return ints(least, most), ints(least, most)

    groups = ints(1, 3)
    options = {
        "kernel_size": pair(1, 3), "stride": pair(1, 3), "padding": pair(0, 2),
        "dilation": pair(1, 3), "groups": groups, "bias": draw(st.booleans()),
    }  # fmt: skip
    spans = [d * (k - 1) + 1 for d, k in zip(options["dilation"], options["kernel_size"])]
    kind = draw(st.sampled_from(["Conv2d", "ConvTranspose2d"]))
    if kind == "Conv2d":
        sizes = [max(s - 2 * p, 1) + ints(0, 4) for s, p in zip(spans, options["padding"])]
    else:
        steps = zip(options["stride"], options["dilation"])
        options["output_padding"] = tuple(ints(0, max(step) - 1) for step in steps)
        sizes = [1 + 2 * p + ints(0, 3) for p in options["padding"]]
    channels = groups * ints(1, 6), groups * ints(1, 2)
    return (
        kind,
        channels,
        options,
        (ints(1, 3), channels[0], *sizes),
        draw(st.sampled_from([1, 999])),
    )


@settings(search, max_examples=60)
@given(convolutions())
def test_any_convolution(drawn):
    kind, channels, options, shape, portion = drawn
    ours, theirs = (getattr(lib, kind)(*channels, **options) for lib in (nn, torch.nn))
    names = [name for name, _ in theirs.named_parameters()]

    def run(x, *parameters):
        put_in(ours, parameters)
        return ours(x)

    def run_theirs(x, *parameters):
        return functional_call(theirs, dict(zip(names, parameters, strict=True)), (x,))

    rng = np.random.default_rng(0)
    operands = [rng.normal(size=shape), *(p.data for p in ours.parameters())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "PORTION", portion)
        compare(run, run_theirs, operands, str(drawn), rng)


def test_a_convolution_keeps_nothing_but_its_operands_and_its_result():
    x = Tensor(np.ones((2, 3, 9, 9)))
    y = nn.Conv2d(3, 4, 3, padding=1)(x)
    kept = {id(array) for array in y._values} - {id(t.data) for t in y.operands}
    assert y.operands[0] is x
    assert not kept


def test_batch_norm_follows_pytorch_through_several_batches():
    model, reference = in_both("BatchNorm1d(3, momentum=0.3)", True, np.float64)
    rng = np.random.default_rng(5)
    for n in (4, 7, 2):
        x = rng.normal(3, 2, (n, 3))
        model(x)
        reference(torch.tensor(x))
    assert_same_state(model, reference)
    x = rng.normal(3, 2, (1, 3))
    assert_same(model.eval()(x).data, reference.eval()(torch.tensor(x)), "one example in eval mode")


@pytest.mark.parametrize("expression", LAYERS_OF_IMAGES)
def test_a_layer_leaves_nothing_to_the_garbage_collector(expression):
    layer, x = eval(expression, vars(nn)), Tensor(np.ones((2, 2, 4, 4)))
    gc.collect()
    gc.disable()
    try:
        layer(x).sum().backward()
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: nn.Conv2d(1, 2, 3, padding=None), "Conv2d: padding"),
        (lambda: nn.Conv2d(1, 2, 3, stride=0), "Conv2d: stride"),
        (lambda: nn.Conv2d(1, 2, 2.5), "Conv2d: kernel_size"),
        (lambda: nn.MaxPool2d((2, 2, 2)), "MaxPool2d: kernel_size"),
    ],
)
def test_a_window_that_is_no_int_or_pair_is_refused(make, what):
    with pytest.raises((TypeError, ValueError), match=f"{what}: expected an integer"):
        make()


def test_dropout_draws_anew_at_every_call_from_the_generator_given():
    x, dropout = np.ones((100, 100)), nn.Dropout(0.2, np.random.default_rng(6))
    state = np.random.get_state()[1].copy()
    first, second = dropout(x), dropout(x)
    assert np.array_equal(np.random.get_state()[1], state), "NumPy's global state was used"
    rng = np.random.default_rng(6)
    for y in (first, second):
        assert_same(y.astype(np.float64), (rng.random(x.shape) >= 0.2) / 0.8, "Dropout(0.2)")
    assert not np.array_equal(first, second)
    assert abs((first == 0).mean() - 0.2) < 0.02


def test_dropout_of_everything_is_zero():
    assert_same(nn.Dropout(1.0)(Tensor([1.0, -2.0])).data, np.zeros(2), "Dropout(1.0)")


def test_embedding_adds_the_gradients_of_a_row_that_is_looked_up_twice():
    table = nn.Embedding(3, 2)
    (table([1, 1, 2]) * np.array([[1.0], [10.0], [100.0]])).sum().backward()
    assert_same(table.weight.grad, np.array([[0.0, 0], [11, 11], [100, 100]]), "gradient")


CONV_BOUNDS = {
    "torch": (1 / 12) ** 0.5,
    "uniform": 1,
    "glorot": (2 / 28) ** 0.5,
    "xavier": (6 / 28) ** 0.5,
}


@pytest.mark.parametrize("init", [*CONV_BOUNDS, "he"])
def test_initial_weights_of_a_convolution(init):
    conv = nn.Conv2d(3, 4, 2, init=init, rng=np.random.default_rng(13))
    rng = np.random.default_rng(13)
    if init == "he":
        expected = rng.normal(0, (2 / 12) ** 0.5, (4, 3, 2, 2))
    else:
        expected = rng.uniform(-CONV_BOUNDS[init], CONV_BOUNDS[init], (4, 3, 2, 2))
    assert_same(conv.weight.data, expected, f"init={init}", 1e-15)


REPRS = {
    "Conv2d(1, 2, 3)": "Conv2d(1, 2, (3, 3), stride=(1, 1), padding=(0, 0))",
    "Conv2d(4, 2, 3, dilation=2, groups=2)":
        "Conv2d(4, 2, (3, 3), stride=(1, 1), padding=(0, 0), dilation=(2, 2), groups=2)",
    "Conv1d(1, 2, 3)": "Conv1d(1, 2, (3,), stride=(1,), padding=(0,))",
    "ConvTranspose2d(1, 2, 3, 2, output_padding=1)":
        "ConvTranspose2d(1, 2, (3, 3), stride=(2, 2), padding=(0, 0), output_padding=(1, 1))",
    "Upsample(scale_factor=2)": "Upsample(scale_factor=2, mode='nearest')",
    "Upsample(size=(3, 4), mode='bilinear', align_corners=True)":
        "Upsample(size=(3, 4), mode='bilinear', align_corners=True)",
    "MaxPool2d(2)": "MaxPool2d((2, 2), stride=(2, 2), padding=(0, 0))",
    "AvgPool2d(3, stride=2, padding=1)": "AvgPool2d((3, 3), stride=(2, 2), padding=(1, 1))",
    "Conv2d(1, 2, 3, bias=False)":
        "Conv2d(1, 2, (3, 3), stride=(1, 1), padding=(0, 0), bias=False)",
    "AvgPool2d(2, ceil_mode=True, count_include_pad=False)":
        "AvgPool2d((2, 2), stride=(2, 2), padding=(0, 0), ceil_mode=True, count_include_pad=False)",
    "LSTM(3, 4)": "LSTM(3, 4, num_layers=1)",
    "GRU(3, 4, 2, bias=False, dropout=0.1, bidirectional=True)":
        "GRU(3, 4, num_layers=2, bias=False, dropout=0.1, bidirectional=True)",
    "MultiHeadAttention(6, 2, dropout=0.1, bias=False)":
        "MultiHeadAttention(6, 2, dropout=0.1, bias=False)",
    "Embedding(27, 10)": "Embedding(27, 10)",
    "Dropout(0.25)": "Dropout(0.25)",
    "LayerNorm(4)": "LayerNorm((4,))",
    "RMSNorm((3, 4))": "RMSNorm((3, 4))",
    "BatchNorm1d(3)": "BatchNorm1d(3)",
    "BatchNorm2d(3)": "BatchNorm2d(3)",
}  # fmt: skip


@pytest.mark.parametrize("expression", REPRS)
def test_repr(expression):
    assert repr(eval(expression, {**vars(nn)})) == REPRS[expression]


# Errors: what was given, what it should say

ERRORS = {
    "Conv2d init": (lambda: nn.Conv2d(1, 2, 3, init="?"), ValueError, "init", "'?'"),
    "Conv2d of 3 axes": (
        lambda: nn.Conv2d(2, 3, 3)(of(2, 5, 5)), ValueError, "Conv2d", "(2, 5, 5)"),
    "Conv2d of wrong channels": (
        lambda: nn.Conv2d(2, 3, 3)(of(1, 3, 5, 5)), ValueError, "Conv2d", "2", "(1, 3, 5, 5)"),
    "Conv2d of a small image": (
        lambda: nn.Conv2d(2, 3, 3)(of(1, 2, 2, 5)), ValueError, "Conv2d", "(3, 3)", "(2, 5)"),
    "Conv2d of a dilated window": (
        lambda: nn.Conv2d(2, 3, 3, dilation=2)(of(1, 2, 6, 4)), ValueError, "(5, 5)", "(6, 4)"),
    "Conv2d groups": (
        lambda: nn.Conv2d(4, 6, 3, groups=4), ValueError, "Conv2d", "groups", "4", "6"),
    "Conv2d of wrong channels in groups": (
        lambda: nn.Conv2d(4, 6, 3, groups=2)(of(1, 2, 5, 5)), ValueError, "4", "(1, 2, 5, 5)"),
    "Conv1d of an image": (
        lambda: nn.Conv1d(2, 3, 3)(of(1, 2, 5, 5)), ValueError, "Conv1d", "(n, 2, length)",
        "(1, 2, 5, 5)"),
    "Conv1d of a pair": (
        lambda: nn.Conv1d(2, 3, (3, 3)), ValueError, "Conv1d: kernel_size", "(3, 3)"),
    "Conv1d of too short a line": (
        lambda: nn.Conv1d(2, 3, 3)(of(1, 2, 2)), ValueError, "Conv1d", "3", "2"),
    "ConvTranspose2d output_padding": (
        lambda: nn.ConvTranspose2d(2, 3, 3, 2, output_padding=2), ValueError, "output_padding",
        "(2, 2)"),
    "ConvTranspose2d of nothing left": (
        lambda: nn.ConvTranspose2d(2, 3, 2, padding=1)(of(1, 2, 1, 1)), ValueError,
        "ConvTranspose2d", "(1, 2, 1, 1)"),
    "Upsample mode": (
        lambda: nn.Upsample(2, mode="bicubic"), ValueError, "Upsample", "bicubic", "bilinear"),
    "Upsample of both": (lambda: nn.Upsample(2, 2), ValueError, "Upsample", "size", "scale_factor"),
    "Upsample of neither": (lambda: nn.Upsample(), ValueError, "size", "scale_factor"),
    "Upsample align_corners": (
        lambda: nn.Upsample(2, align_corners=True), ValueError, "align_corners", "bilinear"),
    "Upsample of a line": (
        lambda: nn.Upsample(2, mode="bilinear")(of(1, 2, 3)), ValueError, "Upsample", "(1, 2, 3)"),
    "Upsample of a wrong size": (
        lambda: nn.Upsample((2, 3, 4))(of(1, 2, 3, 3)), ValueError, "size", "(2, 3, 4)"),
    "Upsample to nothing": (
        lambda: nn.Upsample(scale_factor=0.1)(of(1, 2, 3, 3)), ValueError, "(1, 2, 3, 3)"),
    "MaxPool2d of 2 axes": (lambda: nn.MaxPool2d(2)(of(4, 4)), ValueError, "MaxPool2d", "(4, 4)"),
    "MaxPool2d of a small image": (
        lambda: nn.MaxPool2d(3)(of(1, 1, 2, 5)), ValueError, "MaxPool2d", "(3, 3)", "(2, 5)"),
    "MaxPool2d padding": (
        lambda: nn.MaxPool2d(2, padding=2), ValueError, "MaxPool2d", "padding", "2"),
    "AvgPool2d of 3 axes": (
        lambda: nn.AvgPool2d(2)(of(1, 4, 4)), ValueError, "AvgPool2d", "(1, 4, 4)"),
    "AvgPool2d of a small image": (
        lambda: nn.AvgPool2d(3)(of(1, 1, 2, 5)), ValueError, "AvgPool2d", "(3, 3)", "(2, 5)"),
    "LayerNorm of a wrong width": (
        lambda: nn.LayerNorm(4)(of(2, 3)), ValueError, "LayerNorm", "(..., 4", "(2, 3)"),
    "LayerNorm of a wrong shape": (
        lambda: nn.LayerNorm((3, 4))(of(4, 3)), ValueError, "LayerNorm", "3, 4", "(4, 3)"),
    "LayerNorm of too few axes": (
        lambda: nn.LayerNorm((3, 4))(of(4)), ValueError, "LayerNorm", "3, 4", "(4,)"),
    "RMSNorm of a wrong width": (
        lambda: nn.RMSNorm(4)(of(4, 1)), ValueError, "RMSNorm", "(..., 4", "(4, 1)"),
    "BatchNorm1d of 1 axis": (lambda: nn.BatchNorm1d(3)(of(3)), ValueError, "BatchNorm1d", "(3,)"),
    "BatchNorm1d of wrong features": (
        lambda: nn.BatchNorm1d(3)(of(2, 4)), ValueError, "BatchNorm1d", "3", "(2, 4)"),
    "BatchNorm1d of an image": (
        lambda: nn.BatchNorm1d(3)(of(2, 3, 4, 4)), ValueError, "BatchNorm1d", "(2, 3, 4, 4)"),
    "BatchNorm1d of one example": (
        lambda: nn.BatchNorm1d(3)(of(1, 3)), ValueError, "BatchNorm1d", "one value", "(1, 3)"),
    "BatchNorm2d of 2 axes": (
        lambda: nn.BatchNorm2d(3)(of(2, 3)), ValueError, "BatchNorm2d", "(2, 3)"),
    "BatchNorm2d of one pixel": (
        lambda: nn.BatchNorm2d(3)(of(1, 3, 1, 1)), ValueError, "BatchNorm2d", "(1, 3, 1, 1)"),
    "Conv2d of an even window with padding by name": (
        lambda: nn.Conv2d(1, 2, (3, 2), padding="same"), ValueError, "'same'", "(3, 2)", "x.pad"),
    "Conv1d of a stride with padding by name": (
        lambda: nn.Conv1d(1, 2, 3, stride=2, padding="same"), ValueError, "stride 1, got (2,)"),
    "Conv2d of an unknown padding": (
        lambda: nn.Conv2d(1, 2, 3, padding="full"), ValueError, "Conv2d: padding='full'", "same"),
    "MaxPool2d of nothing": (lambda: nn.MaxPool2d(), TypeError, "MaxPool2d.__init__()"),
    "Conv2d of a size": (lambda: nn.Conv2d(1, 2, 3, size=1), TypeError, "Conv2d.__init__()"),
    "Dropout(1.5)": (lambda: nn.Dropout(1.5), ValueError, "Dropout", "1.5"),
    "Dropout(-0.1)": (lambda: nn.Dropout(-0.1), ValueError, "Dropout", "-0.1"),
    "Embedding of floats": (lambda: nn.Embedding(3, 2)([0.0]), TypeError, "Embedding", "float64"),
    "Embedding of 3 of 3": (lambda: nn.Embedding(3, 2)([0, 3]), IndexError, "Embedding", "0 to 2"),
    "Embedding of 3 alone": (lambda: nn.Embedding(3, 2)([3]), IndexError, "0 to 2, got 3"),
    "Embedding of -1": (lambda: nn.Embedding(3, 2)([-1]), IndexError, "Embedding", "0 to 2", "-1"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    assert_refused(*ERRORS[name])
