"""The networks of *Neural Networks: Zero to Hero* and *microgpt*, here and in PyTorch.

Each model is what a user would write: a `Module` with Tensors and Modules as attributes and a
`__call__`, and the training loop of five lines in `train`. Beside it stands the same network in
PyTorch, a function of the weights in the order of `parameters()`. Both start from the same
weights, see the same batches, and must agree in every loss and every final weight. Through `jit`
they have to stay the same to the last bit.
"""

import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from table import assert_same
from torch.nn import functional

from micrograd import Tensor, jit, nn, optim, where
from micrograd.nn import Module, cross_entropy

NAMES = (Path(__file__).parent.parent / "misc" / "names.txt").read_text().split()[:200]
LETTERS = ".abcdefghijklmnopqrstuvwxyz"  # the dot begins and ends a name
STEPS = 10


def tokens(name):
    return [LETTERS.index(c) for c in f".{name}."]


def letters_and_next_ones(context):
    """Every letter of the names, and what stands before it: integers (n, context) and (n,)."""
    x, y = [], []
    for name in NAMES:
        before = [0] * context
        for token in tokens(name)[1:]:
            x.append(before)
            y.append(token)
            before = [*before[1:], token]
    return np.array(x), np.array(y)


def batches(x, y, size, steps=STEPS):
    rng = np.random.default_rng(1)
    for _ in range(steps):
        rows = rng.integers(0, len(x), size)
        yield x[rows], y[rows]


def train(model, data, lr=0.1, through=lambda f: f):
    losses = []
    loss_of = through(lambda x, y: cross_entropy(model(x), y))
    for x, y in data:
        loss = loss_of(x, y)
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= lr * p.grad
        losses.append(loss.item())
    return losses


def train_in_torch(network, weights, data, lr=0.1):
    losses = []
    for x, y in data:
        logits, y = network(weights, torch.tensor(x)), torch.tensor(y)
        loss = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for p, g in zip(weights, gradients):
                p -= lr * g
        losses.append(loss.item())
    return losses


def in_torch(model):
    return [torch.tensor(p.data, requires_grad=True) for p in model.parameters()]


def assert_jit_changes_nothing(model, x, y, size=32):
    """50 steps with and without it, to the last bit."""
    ours, jitted = copy.deepcopy(model), copy.deepcopy(model)
    losses = train(ours, batches(x, y, size, 50))
    assert train(jitted, batches(x, y, size, 50), through=jit) == losses
    for name, array in ours.state_dict().items():
        assert jitted.state_dict()[name].tobytes() == array.tobytes(), name


def assert_same_training(model, network, x, y, size=32):
    assert_jit_changes_nothing(model, x, y, size)
    weights = in_torch(model)
    losses = train(model, batches(x, y, size))
    assert_same_run(model, losses, weights, train_in_torch(network, weights, batches(x, y, size)))


def assert_same_run(model, losses, weights, losses_in_torch):
    assert len(losses) == STEPS
    assert_same(np.array(losses), np.array(losses_in_torch), "losses")
    for (name, p), q in zip(model.named_parameters(), weights, strict=True):
        assert_same(p.data, q, f"final {name}")


def rng():
    return np.random.default_rng(42)


# 1: micrograd


def test_a_neuron():
    """The lecture's example, whose gradients it computes by hand."""
    x1, x2 = Tensor(2.0), Tensor(0.0)
    w1, w2 = Tensor(-3.0), Tensor(1.0)
    b = Tensor(6.8813735870195432)
    n = x1 * w1 + x2 * w2 + b
    e = (2 * n).exp()
    o = (e - 1) / (e + 1)  # the hyperbolic tangent, in pieces
    o.backward()
    for name, t, expected in (
        ("o", o, 1.0), ("n", n, 0.5), ("b", b, 0.5),
        ("x1", x1, -1.5), ("w1", w1, 1.0), ("x2", x2, 0.5), ("w2", w2, 0.0),
    ):  # fmt: skip
        assert_same(t.grad, np.array(expected), name, 1e-12)


def test_four_examples_one_at_a_time():
    """A network of 41 parameters, the squared error summed by Python, steps by hand."""
    xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    ys = [1.0, -1.0, -1.0, 1.0]
    model = nn.MultiLayerPerceptron(3, [4, 4, 1], act="tanh", rng=rng())
    assert sum(p.size for p in model.parameters()) == 41
    weights = in_torch(model)

    losses = []
    for _ in range(STEPS):
        predictions = [model(Tensor(x)).tanh() for x in xs]
        loss = sum((prediction - y) ** 2 for y, prediction in zip(ys, predictions))
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data += -0.05 * p.grad
        losses.append(loss.item())

    losses_in_torch = []
    for _ in range(STEPS):
        h = torch.tensor(xs, dtype=torch.float64)
        for w, b in zip(weights[::2], weights[1::2]):
            h = torch.tanh(h @ w + b)
        loss = ((h[:, 0] - torch.tensor(ys)) ** 2).sum()
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for p, g in zip(weights, gradients):
                p += -0.05 * g
        losses_in_torch.append(loss.item())
    assert_same_run(model, losses, weights, losses_in_torch)


# 2: the bigram as one matrix


def bigram_loss(matrix, x, y):
    """From one-hot rows to the likelihood step by step; the code is the same in both libraries."""
    counts = (x @ matrix).exp()
    probabilities = counts / counts.sum(1, keepdims=True)
    return -probabilities[range(len(y)), y].log().mean() + 0.01 * (matrix**2).mean()


def test_the_bigram():
    pairs = np.array([pair for name in NAMES for pair in pairwise(tokens(name))])
    x, y = np.eye(27)[pairs[:, 0]], pairs[:, 1]
    w = Tensor(rng().normal(size=(27, 27)))
    w_torch = torch.tensor(w.data, requires_grad=True)
    for step in range(STEPS):
        loss = bigram_loss(w, x, y)
        w.grad = None
        loss.backward()
        w.data += -50 * w.grad

        loss_in_torch = bigram_loss(w_torch, torch.tensor(x), torch.tensor(y))
        w_torch.grad = None
        loss_in_torch.backward()
        w_torch.data += -50 * w_torch.grad
        assert_same(loss.data, loss_in_torch, f"loss {step}")
    assert_same(w.data, w_torch, "final weights")

    results = []
    for loss_of in (bigram_loss, jit(bigram_loss)):
        w, losses = Tensor(rng().normal(size=(27, 27))), []
        for _ in range(50):
            loss = loss_of(w, x, y)
            w.grad = None
            loss.backward()
            w.data += -50 * w.grad
            losses.append(loss.item())
        results.append((losses, w.data.tolist()))
    assert results[0] == results[1]


# 3: embedding and MLP


class CharacterMLP(Module):
    """The next letter from three, by Bengio et al. (2003)."""

    def __init__(self, rng):
        self.C = Tensor(rng.normal(size=(27, 10)))
        self.W1 = Tensor(rng.normal(size=(30, 50)) * 0.2)
        self.b1 = Tensor(rng.normal(size=50) * 0.01)
        self.W2 = Tensor(rng.normal(size=(50, 27)) * 0.1)
        self.b2 = Tensor(np.zeros(27))

    def __call__(self, x):
        emb = self.C[x]  # (n, 3, 10)
        h = (emb.reshape(-1, 30) @ self.W1 + self.b1).tanh()
        return h @ self.W2 + self.b2


def test_embedding_and_mlp():
    def network(w, x):
        c, w1, b1, w2, b2 = w
        return torch.tanh(c[x].view(-1, 30) @ w1 + b1) @ w2 + b2

    assert_same_training(CharacterMLP(rng()), network, *letters_and_next_ones(3))


# 4: batch normalization


class Linear(Module):
    """A layer as the lectures have it: the bias can be left out, and the output is kept."""

    def __init__(self, n_inp, n_out, rng, bias=True, std=None):
        std = n_inp**-0.5 if std is None else std
        self.weight = Tensor(rng.normal(0, std, (n_inp, n_out)))
        self.bias = Tensor(np.zeros(n_out)) if bias else None

    def __call__(self, x):
        self.out = x @ self.weight
        if self.bias is not None:
            self.out = self.out + self.bias
        return self.out


def test_batch_normalization():
    random = rng()
    model = nn.Sequential(
        nn.Embedding(27, 10, rng=random),
        nn.Flatten(),
        Linear(30, 50, random, bias=False),
        nn.BatchNorm1d(50),
        Tensor.tanh,
        Linear(50, 50, random, bias=False),
        nn.BatchNorm1d(50),
        Tensor.tanh,
        Linear(50, 27, random),
    )
    running = [torch.tensor(a) for a in (np.zeros(50), np.ones(50), np.zeros(50), np.ones(50))]

    def network(w, x, training=True):
        h = w[0][x].flatten(1) @ w[1]
        h = torch.tanh(functional.batch_norm(h, *running[:2], *w[2:4], training=training)) @ w[4]
        h = torch.tanh(functional.batch_norm(h, *running[2:], *w[5:7], training=training))
        return h @ w[7] + w[8]

    x, y = letters_and_next_ones(3)
    weights = in_torch(model)
    assert_jit_changes_nothing(model, x, y)
    losses = train(model, batches(x, y, 32))
    assert_same_run(model, losses, weights, train_in_torch(network, weights, batches(x, y, 32)))
    statistics = [a for norm in model.layers[3::3] for a in (norm.running_mean, norm.running_var)]
    for ours, theirs in zip(statistics, running, strict=True):
        assert_same(ours, theirs, "running statistics")
    logits = network(weights, torch.tensor(x), training=False)
    assert_same(model.eval()(x).data, logits, "logits in evaluation mode")
    hidden = model.layers[2].out
    assert hidden.shape == (len(x), 50), "the stored output is there to be looked at"


# 5: backprop ninja


def ninja(weights, x, y, largest):
    """A network in single steps, all of them by name; the code is the same in both libraries."""
    c, w1, b1, gain, shift, w2, b2 = weights
    n = len(y)
    t = {}
    t["embedded"] = c[x]
    t["joined"] = t["embedded"].reshape(n, -1)
    t["before"] = t["joined"] @ w1 + b1
    t["mean"] = t["before"].sum(0, keepdims=True) / n
    t["deviation"] = t["before"] - t["mean"]
    t["square"] = t["deviation"] ** 2
    t["variance"] = t["square"].sum(0, keepdims=True) / (n - 1)
    t["scale"] = (t["variance"] + 1e-5) ** -0.5
    t["normal"] = t["deviation"] * t["scale"]
    t["preactivation"] = gain * t["normal"] + shift
    t["hidden"] = t["preactivation"].tanh()
    t["logits"] = t["hidden"] @ w2 + b2
    t["largest"] = largest(t["logits"])
    t["lowered"] = t["logits"] - t["largest"]
    t["counts"] = t["lowered"].exp()
    t["total"] = t["counts"].sum(1, keepdims=True)
    t["inverse"] = t["total"] ** -1
    t["probabilities"] = t["counts"] * t["inverse"]
    t["logarithms"] = t["probabilities"].log()
    t["loss"] = -t["logarithms"][range(n), y].mean()
    return t


def test_backprop_ninja():
    """After `backward()` every intermediate result has its gradient, with no `retain_grad()`."""
    random = rng()
    shapes = [(27, 10), (30, 64), (64,), (1, 64), (1, 64), (64, 27), (27,)]
    weights = [Tensor(random.normal(size=shape) * 0.3) for shape in shapes]
    theirs = [torch.tensor(p.data, requires_grad=True) for p in weights]
    x, y = next(batches(*letters_and_next_ones(3), 32))

    steps = ninja(weights, x, y, lambda t: t.max(1, keepdims=True))
    steps["loss"].backward()

    steps_in_torch = ninja(
        theirs, torch.tensor(x), torch.tensor(y), lambda t: t.amax(1, keepdims=True)
    )
    for t in steps_in_torch.values():
        t.retain_grad()
    steps_in_torch["loss"].backward()

    for name, t in steps.items():
        assert_same(t.data, steps_in_torch[name], name)
        assert_same(t.grad, steps_in_torch[name].grad, f"gradient of {name}")
    for shape, p, q in zip(shapes, weights, theirs):
        assert_same(p.grad, q.grad, f"gradient of the weights {shape}")

    # the exercise's answers for the two big pieces, each as one formula
    n = len(y)
    logits_grad = (steps["probabilities"].data - np.eye(27)[y]) / n
    assert_same(steps["logits"].grad, logits_grad, "gradient of cross-entropy by hand")
    g, normal = steps["normal"].grad, steps["normal"].data
    before_grad = steps["scale"].data * (g - g.mean(0) - normal * (g * normal).sum(0) / (n - 1))
    assert_same(steps["before"].grad, before_grad, "gradient of batch normalization by hand")


# 6: the tree of WaveNet


class FlattenConsecutive(Module):
    """Every n neighbours side by side: (b, t, c) to (b, t / n, c n), or (b, c n) for the last."""

    def __init__(self, n):
        self.n = n

    def __call__(self, x):
        b, t, c = x.shape
        x = x.reshape(b, t // self.n, c * self.n)
        return x.squeeze(1) if x.shape[1] == 1 else x


class BatchNormLast(nn.BatchNorm1d):
    """Batch normalization for features along the last axis: (..., features)."""

    def __call__(self, x):
        return super().__call__(x.reshape(-1, x.shape[-1])).reshape(x.shape)


def test_wavenet():
    random = rng()
    width = 24

    def joined(n_inp):
        return [
            FlattenConsecutive(2),
            Linear(2 * n_inp, width, random, bias=False),
            BatchNormLast(width),
            Tensor.tanh,
        ]

    model = nn.Sequential(
        nn.Embedding(27, 10, rng=random),
        *joined(10),
        *joined(width),
        *joined(width),
        Linear(width, 27, random),
    )

    def network(w, x):
        h = w[0][x]
        for weight, gain, bias in (w[1:4], w[4:7], w[7:10]):
            h = h.unflatten(1, (-1, 2)).flatten(2) @ weight
            rows = functional.batch_norm(h.flatten(0, 1), None, None, gain, bias, training=True)
            h = torch.tanh(rows.view_as(h))
        return h[:, 0] @ w[10] + w[11]

    assert_same_training(model, network, *letters_and_next_ones(8))


# 7: GPT


class Attention(Module):
    """Several heads of causal attention over x (..., time, width)."""

    def __init__(self, width, heads, rng, std=None):
        self.heads = heads
        self.query, self.key, self.value, self.mix = (
            Linear(width, width, rng, bias=False, std=std) for _ in range(4)
        )

    def __call__(self, x):
        q, k, v = (self.split(project(x)) for project in (self.query, self.key, self.value))
        scores = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5  # (..., heads, time, time)
        past = np.tril(np.ones(scores.shape[-2:], bool))
        mixed = where(past, scores, -np.inf).softmax(-1) @ v
        return self.mix(mixed.swapaxes(-2, -3).reshape(x.shape))

    def split(self, x):
        """(..., time, width) to (..., heads, time, width / heads)."""
        *batch, time, width = x.shape
        return x.reshape(*batch, time, self.heads, width // self.heads).swapaxes(-2, -3)


class Block(Module):
    def __init__(self, width, heads, rng):
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, rng)
        self.mlp = nn.Sequential(
            Linear(width, 4 * width, rng), Tensor.relu, Linear(4 * width, width, rng)
        )
        self.dropout = nn.Dropout(0.2)

    def __call__(self, x):
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.mlp(self.norm2(x)))


class GPT(Module):
    def __init__(self, width, heads, time, blocks, rng):
        self.token = nn.Embedding(27, width, rng=rng)
        self.position = nn.Embedding(time, width, rng=rng)
        self.blocks = [Block(width, heads, rng) for _ in range(blocks)]
        self.norm = nn.LayerNorm(width)
        self.head = Linear(width, 27, rng)

    def __call__(self, x):
        x = self.token(x) + self.position(np.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def attention_in_torch(x, heads, query, key, value, mix):
    q, k, v = ((x @ w).unflatten(-1, (heads, -1)).transpose(-2, -3) for w in (query, key, value))
    mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mixed.transpose(-2, -3).flatten(-2) @ mix


def test_gpt():
    model = GPT(width=16, heads=4, time=8, blocks=2, rng=rng()).eval()  # hence without dropout

    def network(w, x):
        token, position, *blocks, norm_weight, norm_bias, head, head_bias = w
        x = token[x] + position
        while blocks:
            (g1, b1, g2, b2, q, k, v, o, w1, c1, w2, c2), blocks = blocks[:12], blocks[12:]
            h = functional.layer_norm(x, (16,), g1, b1)
            x = x + attention_in_torch(h, 4, q, k, v, o)
            h = functional.layer_norm(x, (16,), g2, b2)
            x = x + torch.relu(h @ w1 + c1) @ w2 + c2
        return functional.layer_norm(x, (16,), norm_weight, norm_bias) @ head + head_bias

    text = np.array([token for name in NAMES for token in tokens(name)[1:]])
    windows = np.lib.stride_tricks.sliding_window_view(text, 9)
    assert_same_training(model, network, windows[:, :-1], windows[:, 1:], size=8)


# microgpt


class MicroGPT(Module):
    """4,192 parameters: one block of width 16, nothing but matrices."""

    def __init__(self, rng):
        self.token = Tensor(rng.normal(0, 0.08, (27, 16)))
        self.position = Tensor(rng.normal(0, 0.08, (16, 16)))
        self.norm = nn.RMSNorm(16, eps=1e-5, elementwise_affine=False)
        self.attention = Attention(16, 4, rng, std=0.08)
        self.mlp = nn.Sequential(
            Linear(16, 64, rng, bias=False, std=0.08),
            Tensor.relu,
            Linear(64, 16, rng, bias=False, std=0.08),
        )
        self.head = Linear(16, 27, rng, bias=False, std=0.08)

    def __call__(self, x):
        x = self.norm(self.token[x] + self.position[: len(x)])
        x = x + self.attention(self.norm(x))
        x = x + self.mlp(self.norm(x))
        return self.head(x)


def microgpt_in_torch(w, x):
    token, position, query, key, value, mix, up, down, head = w

    def norm(x):
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    x = norm(token[x] + position[: len(x)])
    x = x + attention_in_torch(norm(x), 4, query, key, value, mix)
    x = x + torch.relu(norm(x) @ up) @ down
    return x @ head


def test_microgpt():
    model = MicroGPT(rng())
    assert sum(p.size for p in model.parameters()) == 4192
    weights = in_torch(model)
    names = [tokens(name)[:17] for name in NAMES[:STEPS]]

    optimizer = optim.Adam(model.parameters(), betas=(0.85, 0.99), eps=1e-8)
    losses = []
    for step, name in enumerate(names):
        loss = cross_entropy(model(np.array(name[:-1])), name[1:])
        model.zero_grad()
        loss.backward()
        optimizer.lr = optim.linear(step, STEPS, 0.01)
        optimizer.step()
        losses.append(loss.item())

    optimizer = torch.optim.Adam(weights, betas=(0.85, 0.99), eps=1e-8)
    losses_in_torch = []
    for step, name in enumerate(names):
        x, y = torch.tensor(name[:-1]), torch.tensor(name[1:])
        loss = functional.cross_entropy(microgpt_in_torch(weights, x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / STEPS)
        optimizer.step()
        losses_in_torch.append(loss.item())
    assert_same_run(model, losses, weights, losses_in_torch)
