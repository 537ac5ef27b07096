"""PyTorch, eager."""

import itertools
import os
from functools import partial

import torch

from .shared import chain_step, train_step, with_squares

# As many threads as NumPy has, however PyTorch was built
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))


def torch_fill(model, task):
    """The model with the task's weights, in their dtype; PyTorch keeps a layer's transposed."""
    weights = iter(task.weights)
    for module in model.modules():
        for p in module.parameters(recurse=False):
            w = next(weights)
            p.data = torch.tensor(w.T if isinstance(module, torch.nn.Linear) else w).contiguous()
    return model


def torch_mlp(task):
    from torch import nn

    pairs = itertools.pairwise(task.sizes)
    layers = [layer for n, m in pairs for layer in (nn.Linear(n, m), nn.ReLU())]
    model = torch_fill(nn.Sequential(*layers[:-1]), task)
    x, y, parameters = torch.tensor(task.x), torch.tensor(task.y), list(model.parameters())
    loss = {
        "cross_entropy": nn.functional.cross_entropy,
        "max_margin": lambda scores, y: (1 - y * scores).relu().mean(),
    }[task.loss]
    return train_step(
        lambda: with_squares(loss(model(x), y), task.alpha, parameters),
        torch.optim.SGD(parameters, task.lr, weight_decay=task.decay),
    )


def torch_chain(task):
    return chain_step(task, partial(torch.tensor, requires_grad=True), torch.tanh)


def torch_conv(task):
    from torch import nn

    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 10),
    )  # fmt: skip
    torch_fill(model, task)
    x, y = torch.tensor(task.x), torch.tensor(task.y)
    optimizer = torch.optim.SGD(model.parameters(), task.lr)
    return train_step(lambda: nn.functional.cross_entropy(model(x), y), optimizer)


def torch_gpt(task):
    from torch import nn
    from torch.nn import functional

    c, heads = task.width, task.heads

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = nn.LayerNorm(c)
            self.query, self.key, self.value, self.project = (nn.Linear(c, c) for _ in range(4))
            self.norm2 = nn.LayerNorm(c)
            self.up, self.gelu = nn.Linear(c, 4 * c), nn.GELU("tanh")
            self.down = nn.Linear(4 * c, c)

        def split(self, x):
            return x.view(*x.shape[:2], heads, c // heads).transpose(1, 2)

        def forward(self, x):
            y = self.norm1(x)
            q, k, v = self.split(self.query(y)), self.split(self.key(y)), self.split(self.value(y))
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.project(mixed.transpose(1, 2).reshape(x.shape))
            return x + self.down(self.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(task.vocabulary, c)
            self.position = nn.Embedding(task.block, c)
            self.blocks = nn.Sequential(*(Block() for _ in range(task.layers)))
            self.norm = nn.LayerNorm(c)
            self.output = nn.Linear(c, task.vocabulary)

        def forward(self, index):
            x = self.token(index) + self.position(places)
            return self.output(self.norm(self.blocks(x))).flatten(0, 1)

    model, places = torch_fill(GPT(), task), torch.arange(task.block)
    x, y = torch.tensor(task.x), torch.tensor(task.y).flatten()
    optimizer = torch.optim.AdamW(model.parameters(), task.lr, weight_decay=task.decay)
    return train_step(lambda: functional.cross_entropy(model(x), y), optimizer)


def torch_optimizer(task):
    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in task.weights]
    for p, g in zip(parameters, task.gradients):
        p.grad = torch.tensor(g)
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[task.kind]
    optimizer = kind(parameters, lr=task.lr)
    return lambda: optimizer.step() or [p.data for p in parameters]


WORKLOADS = {
    "mnist": torch_mlp,
    "mnist-decay": torch_mlp,
    "wide": torch_mlp,
    "moons": torch_mlp,
    "overhead": torch_chain,
    "chain": torch_chain,
    "conv": torch_conv,
    "gpt": torch_gpt,
    "sgd": torch_optimizer,
    "adam": torch_optimizer,
    "memory": torch_mlp,
}
