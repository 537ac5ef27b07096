"""micrograd."""

import numpy as np

from .shared import chain_step, train_step, with_squares


def micrograd_fill(model, task):
    """The model with the task's weights, in their dtype."""
    model.astype(task.weights[0].dtype)
    model.load_state_dict(dict(zip(model.named_parameters(), task.weights)))
    return model


def micrograd_mlp(task):
    from micrograd import nn, optim

    n_inp, *n_outs = task.sizes
    model = micrograd_fill(nn.MultiLayerPerceptron(n_inp, n_outs, init="glorot"), task)
    parameters, loss = model.parameters(), getattr(nn, task.loss)
    return train_step(
        lambda: with_squares(loss(model(task.x), task.y), task.alpha, parameters),
        optim.SGD(parameters, task.lr, weight_decay=task.decay),
    )


def micrograd_chain(task):
    from micrograd import Tensor

    return chain_step(task, Tensor, Tensor.tanh)


def micrograd_conv(task):
    from micrograd import nn, optim

    relu = nn.ACTIVATIONS["relu"]
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), relu, nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), relu, nn.MaxPool2d(2),
        nn.Flatten(), nn.Layer(400, 10),
    )  # fmt: skip
    micrograd_fill(model, task)
    optimizer = optim.SGD(model.parameters(), task.lr)
    return train_step(lambda: nn.cross_entropy(model(task.x), task.y), optimizer)


def micrograd_gpt(task):
    from micrograd import nn, optim

    c, heads = task.width, task.heads

    class Block(nn.Module):
        def __init__(self):
            self.norm1 = nn.LayerNorm(c)
            self.query, self.key, self.value, self.project = (nn.Layer(c, c) for _ in range(4))
            self.norm2 = nn.LayerNorm(c)
            self.up = nn.Layer(c, 4 * c, act=lambda x: x.gelu("tanh"))
            self.down = nn.Layer(4 * c, c)

        def split(self, x):
            return x.reshape(*x.shape[:2], heads, c // heads).transpose(0, 2, 1, 3)

        def __call__(self, x):
            y = self.norm1(x)
            q, k, v = self.split(self.query(y)), self.split(self.key(y)), self.split(self.value(y))
            scores = q @ k.swapaxes(-1, -2) * (c // heads) ** -0.5 + task.mask
            mixed = scores.softmax(-1) @ v
            x = x + self.project(mixed.transpose(0, 2, 1, 3).reshape(x.shape))
            return x + self.down(self.up(self.norm2(x)))

    class GPT(nn.Module):
        def __init__(self):
            self.token = nn.Embedding(task.vocabulary, c)
            self.position = nn.Embedding(task.block, c)
            self.blocks = nn.Sequential(*(Block() for _ in range(task.layers)))
            self.norm = nn.LayerNorm(c)
            self.output = nn.Layer(c, task.vocabulary)

        def __call__(self, index):
            x = self.token(index) + self.position(np.arange(task.block))
            return self.output(self.norm(self.blocks(x)))

    model = micrograd_fill(GPT(), task)
    optimizer = optim.AdamW(model.parameters(), task.lr, weight_decay=task.decay)
    return train_step(lambda: nn.cross_entropy(model(task.x), task.y), optimizer)


def micrograd_optimizer(task):
    from micrograd import Tensor, optim

    parameters = [Tensor(w) for w in task.weights]
    for p, g in zip(parameters, task.gradients):
        p.grad = g
    optimizer = {"sgd": optim.SGD, "adam": optim.Adam}[task.kind](parameters, lr=task.lr)
    return lambda: optimizer.step() or [p.data for p in parameters]


WORKLOADS = {
    "mnist": micrograd_mlp,
    "mnist-decay": micrograd_mlp,
    "wide": micrograd_mlp,
    "moons": micrograd_mlp,
    "overhead": micrograd_chain,
    "chain": micrograd_chain,
    "conv": micrograd_conv,
    "gpt": micrograd_gpt,
    "sgd": micrograd_optimizer,
    "adam": micrograd_optimizer,
    "memory": micrograd_mlp,
}
