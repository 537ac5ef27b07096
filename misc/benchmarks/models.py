"""The models and steps of both columns of micrograd: each takes what its function goes through."""

import numpy as np

from micrograd import Tensor, nn, optim

from .shared import chain_step, train_step, with_squares


def fill(model, task):
    """The model with the task's weights, in their dtype."""
    model.astype(task.weights[0].dtype)
    model.load_state_dict(dict(zip(dict(model.named_parameters()), task.weights)))
    return model


def mlp(task, through):
    n_inp, *n_outs = task.sizes
    model = fill(nn.MultiLayerPerceptron(n_inp, n_outs, init="glorot"), task)
    parameters, loss = model.parameters(), getattr(nn, task.loss)
    loss_of = through(lambda x, y: with_squares(loss(model(x), y), task.alpha, parameters))
    optimizer = optim.SGD(parameters, task.lr, weight_decay=task.decay)
    return train_step(lambda: loss_of(task.x, task.y), optimizer)


def chain(task, through):
    return chain_step(task, Tensor, Tensor.tanh, through)


def conv(task, through):
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), Tensor.relu, nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3), Tensor.relu, nn.MaxPool2d(2),
        nn.Flatten(), nn.Layer(400, 10),
    )  # fmt: skip
    fill(model, task)
    optimizer = optim.SGD(model.parameters(), task.lr)
    loss_of = through(lambda x, y: nn.cross_entropy(model(x), y))
    return train_step(lambda: loss_of(task.x, task.y), optimizer)


class Block(nn.Module):
    def __init__(self, task):
        c = task.width
        self.heads, self.mask = task.heads, task.mask
        self.norm1 = nn.LayerNorm(c)
        self.query, self.key, self.value, self.project = (nn.Layer(c, c) for _ in range(4))
        self.norm2 = nn.LayerNorm(c)
        self.up = nn.Layer(c, 4 * c, act=lambda x: x.gelu("tanh"))
        self.down = nn.Layer(4 * c, c)

    def split(self, x):
        n, t, c = x.shape
        return x.reshape(n, t, self.heads, c // self.heads).transpose(0, 2, 1, 3)

    def __call__(self, x):
        y = self.norm1(x)
        q, k, v = self.split(self.query(y)), self.split(self.key(y)), self.split(self.value(y))
        scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5 + self.mask
        mixed = scores.softmax(-1) @ v
        x = x + self.project(mixed.transpose(0, 2, 1, 3).reshape(x.shape))
        return x + self.down(self.up(self.norm2(x)))


class GPT(nn.Module):
    def __init__(self, task):
        c = task.width
        self.token = nn.Embedding(task.vocabulary, c)
        self.position = nn.Embedding(task.block, c)
        self.blocks = nn.Sequential(*(Block(task) for _ in range(task.layers)))
        self.norm = nn.LayerNorm(c)
        self.output = nn.Layer(c, task.vocabulary)

    def __call__(self, index):
        x = self.token(index) + self.position(np.arange(index.shape[1]))
        return self.output(self.norm(self.blocks(x)))


def gpt(task, through):
    model = fill(GPT(task), task)
    optimizer = optim.AdamW(model.parameters(), task.lr, weight_decay=task.decay)
    loss_of = through(lambda x, y: nn.cross_entropy(model(x), y))
    return train_step(lambda: loss_of(task.x, task.y), optimizer)


STEPS = {
    "mnist": mlp,
    "mnist-decay": mlp,
    "wide": mlp,
    "moons": mlp,
    "overhead": chain,
    "conv": conv,
    "gpt": gpt,
    "memory": mlp,
}
