"""What engines share: the tasks, in plain NumPy, and how several of them take a step."""

import itertools
import math
from types import SimpleNamespace as Task

import numpy as np


def draw(rng, dtype, *shapes, scale=None):
    """Weights uniform in (-s, s), s = sqrt(2 / (n_inp + n_out)) unless given; zeros for vectors."""
    spans = [scale or math.sqrt(2 / (shape[0] + shape[-1])) for shape in shapes]
    arrays = [rng.uniform(-s, s, shape) * (len(shape) > 1) for s, shape in zip(spans, shapes)]
    return [array.astype(dtype) for array in arrays]


def make_mlp(dtype, sizes, batch, lr=0.01, alpha=0.0, decay=0.0):
    """Images and class numbers. alpha: of the squares in the loss; decay: of the optimizer."""
    rng = np.random.default_rng(0)
    shapes = [shape for n, m in itertools.pairwise(sizes) for shape in ((n, m), (m,))]
    return Task(
        weights=draw(rng, dtype, *shapes), sizes=sizes, lr=lr, alpha=alpha, decay=decay,
        x=rng.random((batch, sizes[0])).astype(dtype), y=rng.integers(0, sizes[-1], batch),
        loss="cross_entropy",
    )  # fmt: skip


def make_moons(dtype):
    """Two half circles of 50 points each, with labels of 1 and -1, for the max-margin loss."""
    task = make_mlp(dtype, (2, 16, 16, 1), 100, lr=0.1, alpha=1e-4)
    angle = np.linspace(0, np.pi, 50)
    moons = [(np.cos(angle), np.sin(angle)), (1 - np.cos(angle), 0.5 - np.sin(angle))]
    noise = np.random.default_rng(0).normal(0, 0.1, (100, 2))
    task.x = (np.concatenate(moons, axis=1).T + noise).astype(dtype)
    task.y, task.loss = np.repeat([1.0, -1.0], 50).astype(dtype)[:, None], "max_margin"
    return task


def make_chain(dtype, operations):
    """x = tanh(x * w + b), three operations a turn; w = 1 keeps the slopes from dying out."""
    return Task(leaves=list(np.array([0.5, 1.0, 0.0], dtype)), turns=operations // 3)


def make_conv(dtype):
    rng = np.random.default_rng(0)
    first = draw(rng, dtype, (8, 1, 3, 3), (8,), scale=1 / 3)
    second = draw(rng, dtype, (16, 8, 3, 3), (16,), scale=1 / math.sqrt(72))
    x, y = rng.random((64, 1, 28, 28)).astype(dtype), rng.integers(0, 10, 64)
    return Task(weights=[*first, *second, *draw(rng, dtype, (400, 10), (10,))], lr=0.01, x=x, y=y)


def make_gpt(dtype, vocabulary=27, block=16, c=64, heads=4, layers=2, batch=32):
    rng = np.random.default_rng(0)
    weights = draw(rng, dtype, (vocabulary, c), (block, c))
    norm = [np.ones(c, dtype), np.zeros(c, dtype)]
    for _ in range(layers):
        weights += norm + draw(rng, dtype, *[(c, c), (c,)] * 4)  # query, key, value, projection
        weights += norm + draw(rng, dtype, (c, 4 * c), (4 * c,), (4 * c, c), (c,))
    text = rng.integers(0, vocabulary, (batch, block + 1))
    return Task(
        weights=weights + norm + draw(rng, dtype, (c, vocabulary), (vocabulary,)),
        x=text[:, :-1].copy(), y=text[:, 1:].copy(), lr=1e-3, decay=0.01,
        vocabulary=vocabulary, block=block, width=c, heads=heads, layers=layers,
        mask=np.triu(np.full((block, block), -np.inf, dtype), 1),
    )  # fmt: skip


def make_optimizer(dtype, kind):
    task, rng = make_mlp(dtype, (784, 128, 64, 10), 1), np.random.default_rng(1)
    task.gradients = [rng.normal(0, 0.1, w.shape).astype(dtype) for w in task.weights]
    task.kind = kind
    return task


def train_step(loss_of, optimizer):
    def step():
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def with_squares(loss, alpha, parameters):
    return loss + alpha * sum((p**2).sum() for p in parameters) if alpha else loss


def chain_step(task, leaf, tanh, through=lambda function: function):
    def chain(y, w, b):
        for _ in range(task.turns):
            y = tanh(y * w + b)
        return y

    chain = through(chain)

    def step():
        x, w, b = map(leaf, task.leaves)
        y = chain(x, w, b)
        y.backward()
        return [y.item(), x.grad, w.grad, b.grad]

    return step


def transformed_mlp(task, numpy, value_and_grad, jit=lambda function: function):
    """A step with a library that makes the gradient of a function from the function."""

    def loss_of(parameters):
        z = task.x @ parameters[0] + parameters[1]
        for w, b in zip(parameters[2::2], parameters[3::2]):
            z = numpy.maximum(z, 0) @ w + b
        if task.loss == "cross_entropy":
            z = z - z.max(axis=1, keepdims=True)
            right = z[np.arange(len(task.y)), task.y]
            loss = (numpy.log(numpy.exp(z).sum(axis=1)) - right).mean()
        else:
            loss = numpy.maximum(1 - task.y * z, 0).mean()
        return with_squares(loss, task.alpha, parameters)

    def train(parameters):
        loss, gradients = value_and_grad(loss_of)(parameters)
        if task.decay:
            gradients = [g + task.decay * p for p, g in zip(parameters, gradients)]
        return loss, [p - task.lr * g for p, g in zip(parameters, gradients)]

    train, parameters = jit(train), task.weights

    def step():
        nonlocal parameters
        loss, parameters = train(parameters)
        return float(loss)

    return step


def transformed_chain(task, numpy, value_and_grad, jit=lambda function: function):
    def chain(leaves):
        y, w, b = leaves
        for _ in range(task.turns):
            y = numpy.tanh(y * w + b)
        return y

    both = jit(value_and_grad(chain))

    def step():
        y, gradients = both(task.leaves)
        return [y, *gradients]

    return step
