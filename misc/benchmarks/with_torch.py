"""PyTorch, eager, as its users write a model."""

import itertools
import os
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from .shared import chain_step, train_step, with_squares

# As many threads as NumPy has, however PyTorch was built
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))


def fill(model, task):
    """The model with the task's weights, in their dtype; PyTorch keeps a layer's transposed."""
    weights = iter(task.weights)
    for module in model.modules():
        for p in module.parameters(recurse=False):
            w = next(weights)
            p.data = torch.tensor(w.T if isinstance(module, nn.Linear) else w).contiguous()
    return model


def mlp(task):
    pairs = itertools.pairwise(task.sizes)
    layers = [layer for n, m in pairs for layer in (nn.Linear(n, m), nn.ReLU())]
    model = fill(nn.Sequential(*layers[:-1]), task)
    x, y, parameters = torch.tensor(task.x), torch.tensor(task.y), list(model.parameters())
    loss = {
        "cross_entropy": functional.cross_entropy,
        "max_margin": lambda scores, y: (1 - y * scores).relu().mean(),
    }[task.loss]
    return train_step(
        lambda: with_squares(loss(model(x), y), task.alpha, parameters),
        torch.optim.SGD(parameters, task.lr, weight_decay=task.decay),
    )


def chain(task):
    return chain_step(task, partial(torch.tensor, requires_grad=True), torch.tanh)


def conv(task):
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 10),
    )  # fmt: skip
    fill(model, task)
    x, y = torch.tensor(task.x), torch.tensor(task.y)
    optimizer = torch.optim.SGD(model.parameters(), task.lr)
    return train_step(lambda: functional.cross_entropy(model(x), y), optimizer)


class Block(nn.Module):
    def __init__(self, task):
        super().__init__()
        c, self.heads = task.width, task.heads
        self.norm1 = nn.LayerNorm(c)
        self.query, self.key, self.value, self.project = (nn.Linear(c, c) for _ in range(4))
        self.norm2 = nn.LayerNorm(c)
        self.up, self.gelu = nn.Linear(c, 4 * c), nn.GELU("tanh")
        self.down = nn.Linear(4 * c, c)

    def split(self, x):
        n, t, c = x.shape
        return x.view(n, t, self.heads, c // self.heads).transpose(1, 2)

    def forward(self, x):
        y = self.norm1(x)
        q, k, v = self.split(self.query(y)), self.split(self.key(y)), self.split(self.value(y))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, task):
        super().__init__()
        c, self.places = task.width, torch.arange(task.block)
        self.token = nn.Embedding(task.vocabulary, c)
        self.position = nn.Embedding(task.block, c)
        self.blocks = nn.Sequential(*(Block(task) for _ in range(task.layers)))
        self.norm = nn.LayerNorm(c)
        self.output = nn.Linear(c, task.vocabulary)

    def forward(self, index):
        x = self.token(index) + self.position(self.places)
        return self.output(self.norm(self.blocks(x))).flatten(0, 1)


def gpt(task):
    model = fill(GPT(task), task)
    x, y = torch.tensor(task.x), torch.tensor(task.y).flatten()
    optimizer = torch.optim.AdamW(model.parameters(), task.lr, weight_decay=task.decay)
    return train_step(lambda: functional.cross_entropy(model(x), y), optimizer)


def optimizer_step(task):
    parameters = [nn.Parameter(torch.tensor(w)) for w in task.weights]
    for p, g in zip(parameters, task.gradients):
        p.grad = torch.tensor(g)
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[task.kind]
    optimizer = kind(parameters, lr=task.lr)
    return lambda: optimizer.step() or [p.data for p in parameters]


WORKLOADS = {
    "mnist": mlp,
    "mnist-decay": mlp,
    "wide": mlp,
    "moons": mlp,
    "overhead": chain,
    "chain": chain,
    "conv": conv,
    "gpt": gpt,
    "sgd": optimizer_step,
    "adam": optimizer_step,
    "memory": mlp,
}
