"""Measure micrograd against NumPy written by hand, PyTorch and others.

    pip install -e '.[bench]'
    python misc/benchmark.py
    python misc/benchmark.py --only mnist gpt --rounds 21 --json figures.json

MyGrad, autograd and JAX join in where they are installed. Every engine runs in a process of its
own, with one thread, and they take turns, so that whatever else the machine does meets them alike.
A time is processor time; a ratio is the median, over the rounds, of the ratio within a round.
Before the clock starts, the first losses of all engines must be the same, from the same weights and
data. A workload is one entry in `WORKLOADS`: a function that makes its data, and for each engine
one that builds `step()`, which returns the loss, or a list of arrays whose sum stands for it.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib.metadata
import importlib.util
import itertools
import json
import math
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.shared import (
    chain_step,
    make_chain,
    make_conv,
    make_gpt,
    make_mlp,
    make_moons,
    make_optimizer,
    train_step,
    transformed_chain,
    transformed_mlp,
    with_squares,
)

# micrograd


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


# PyTorch, eager


def torch_fill(model, task):
    """The model with the task's weights, in their dtype; PyTorch keeps a layer's transposed."""
    import torch

    weights = iter(task.weights)
    for module in model.modules():
        for p in module.parameters(recurse=False):
            w = next(weights)
            p.data = torch.tensor(w.T if isinstance(module, torch.nn.Linear) else w).contiguous()
    return model


def torch_mlp(task):
    import torch
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
    import torch

    return chain_step(task, partial(torch.tensor, requires_grad=True), torch.tanh)


def torch_conv(task):
    import torch
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
    import torch
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
    import torch

    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in task.weights]
    for p, g in zip(parameters, task.gradients):
        p.grad = torch.tensor(g)
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[task.kind]
    optimizer = kind(parameters, lr=task.lr)
    return lambda: optimizer.step() or [p.data for p in parameters]


# NumPy by hand: the derivatives worked out, what they need kept from the way forward


def numpy_cross_entropy(scores, y):
    """The loss, and its gradient by the scores (rows, classes)."""
    p = scores - scores.max(axis=1, keepdims=True)
    rows = np.arange(len(y))
    right = p[rows, y]
    np.exp(p, out=p)
    total = p.sum(axis=1, keepdims=True)
    loss = np.log(total).mean() - right.mean()
    p /= total
    p[rows, y] -= 1
    p /= len(y)
    return loss, p


def numpy_max_margin(scores, y):
    margin = 1 - y * scores
    short = margin > 0
    return (margin * short).mean(), -y * short / len(y)


def numpy_dense(x, w, b):
    y = x @ w
    y += b
    return y


def numpy_mlp(task):
    parameters = [w.copy() for w in task.weights]
    weights, biases = parameters[::2], parameters[1::2]
    loss_of = {"cross_entropy": numpy_cross_entropy, "max_margin": numpy_max_margin}[task.loss]
    last, shrink = len(weights) - 1, 2 * task.alpha + task.decay

    def step():
        inputs = [task.x]
        for i, (w, b) in enumerate(zip(weights, biases)):
            h = numpy_dense(inputs[-1], w, b)
            inputs.append(np.maximum(h, 0, out=h) if i < last else h)
        loss, g = loss_of(inputs.pop(), task.y)
        if task.alpha:
            loss += task.alpha * sum((p * p).sum() for p in parameters)
        gradients = []
        for i in range(last, -1, -1):
            gradients += [g.sum(axis=0), inputs[i].T @ g]
            if i:
                g = g @ weights[i].T
                g *= inputs[i] > 0
        for p, g in zip(parameters, reversed(gradients)):
            if shrink:
                g += shrink * p
            p -= task.lr * g
        return float(loss)

    return step


def numpy_chain(task):
    """On 0-d arrays, as the tensors are, which can be updated in place; plain floats are faster."""

    def step():
        x, w, b = map(np.array, task.leaves)
        kept = []
        for _ in range(task.turns):
            y = np.tanh(x * w + b)
            kept.append((x, y))
            x = y
        out, g, gw, gb = x, np.ones_like(x), np.zeros_like(w), np.zeros_like(b)
        for x, y in reversed(kept):
            g = g * (1 - y * y)
            gw += g * x
            gb += g
            g = g * w
        return [out, g, gw, gb]

    return step


def numpy_columns(x):
    """All 3 x 3 windows of images (n, c, h, w), as the columns of n matrices."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    n, c, h, w = windows.shape[:4]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * 9, h * w)


def numpy_quarters(x):
    """The four pixels of each 2 x 2 window; an odd last row or column belongs to none."""
    h, w = (n // 2 * 2 for n in x.shape[2:])
    return [x[:, :, i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)]


def numpy_pool(x):
    a, b, c, d = numpy_quarters(x)
    return np.maximum(np.maximum(a, b), np.maximum(c, d))


def numpy_unpool(g, y, x):
    """The gradient of x, which a relu gave, where y is pooled from it and g is y's gradient."""
    out = np.zeros_like(x)
    for place, part in zip(numpy_quarters(out), numpy_quarters(x)):
        np.multiply(g, part == y, out=place)
    out *= x > 0
    return out.reshape(*x.shape[:2], -1)


def numpy_conv(task):
    parameters = [w.copy() for w in task.weights]
    w1, b1, w2, b2, w3, b3 = parameters
    w1, w2 = w1.reshape(8, 9), w2.reshape(16, 72)  # views, so they see the updates

    def convolve(columns, w, b, size):
        y = numpy_dense(w, columns, b[:, None])
        return np.maximum(y, 0, out=y).reshape(len(y), len(w), size, size)

    def step():
        n = len(task.x)
        columns1 = numpy_columns(task.x)
        y1 = convolve(columns1, w1, b1, 26)
        pool1 = numpy_pool(y1)
        columns2 = numpy_columns(pool1)
        y2 = convolve(columns2, w2, b2, 11)
        pool2 = numpy_pool(y2)
        flat = pool2.reshape(n, 400)
        loss, g = numpy_cross_entropy(numpy_dense(flat, w3, b3), task.y)

        gw3, gb3 = flat.T @ g, g.sum(axis=0)
        g = numpy_unpool((g @ w3.T).reshape(pool2.shape), pool2, y2)
        gw2, gb2 = (g @ columns2.swapaxes(1, 2)).sum(axis=0), g.sum(axis=(0, 2))
        parts = (w2.T @ g).reshape(n, 8, 3, 3, 11, 11)
        g = np.zeros_like(pool1)
        for i, j in itertools.product(range(3), range(3)):
            g[:, :, i : i + 11, j : j + 11] += parts[:, :, i, j]
        g = numpy_unpool(g, pool1, y1)
        gw1, gb1 = (g @ columns1.swapaxes(1, 2)).sum(axis=0), g.sum(axis=(0, 2))
        for p, g in zip(parameters, (gw1, gb1, gw2, gb2, gw3, gb3)):
            p -= task.lr * g.reshape(p.shape)
        return float(loss)

    return step


def numpy_normalize(x, w, b):
    y = x - x.mean(axis=1, keepdims=True)
    scale = 1 / np.sqrt((y * y).mean(axis=1, keepdims=True) + 1e-5)
    y *= scale
    return y * w + b, y, scale


def numpy_normalize_back(g, w, y, scale):
    """The gradients of x, w and b."""
    gw, gb = (g * y).sum(axis=0), g.sum(axis=0)
    g = g * w
    gx = g - g.mean(axis=1, keepdims=True)
    gx -= y * (g * y).mean(axis=1, keepdims=True)
    gx *= scale
    return gx, gw, gb


def numpy_gpt(task):
    parameters = [w.copy() for w in task.weights]
    token, position, *inner, wf, bf, wo, bo = parameters
    blocks = [inner[i : i + 16] for i in range(0, len(inner), 16)]
    (n, t), heads, size = task.x.shape, task.heads, task.width // task.heads
    a, a3 = math.sqrt(2 / math.pi), math.sqrt(2 / math.pi) * 0.044715
    update = numpy_adam(parameters, task.lr, task.decay)

    def split(x):  # rows (n t, width) to heads (n, heads, t, size)
        return x.reshape(n, t, heads, size).transpose(0, 2, 1, 3)

    def join(x):
        return x.transpose(0, 2, 1, 3).reshape(n * t, heads * size)

    def forward(x, w1, b1, wq, bq, wk, bk, wv, bv, wp, bp, w2, b2, wu, bu, wd, bd):
        h, h0, scale = numpy_normalize(x, w1, b1)
        q, k, v = (split(numpy_dense(h, w, b)) for w, b in ((wq, bq), (wk, bk), (wv, bv)))
        p = q @ k.swapaxes(2, 3)
        p *= size**-0.5
        p += task.mask
        p -= p.max(axis=3, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=3, keepdims=True)
        mixed = join(p @ v)
        x = x + numpy_dense(mixed, wp, bp)
        z, z0, scale2 = numpy_normalize(x, w2, b2)
        u = numpy_dense(z, wu, bu)
        tanh = np.tanh(u * (a + a3 * u * u))
        gelu = 0.5 * u * (1 + tanh)
        return x + numpy_dense(gelu, wd, bd), (
            h, h0, scale, q, k, v, p, mixed, z, z0, scale2, u, tanh, gelu,
        )  # fmt: skip

    def backward(g, kept, w1, b1, wq, bq, wk, bk, wv, bv, wp, bp, w2, b2, wu, bu, wd, bd):
        h, h0, scale, q, k, v, p, mixed, z, z0, scale2, u, tanh, gelu = kept
        gwd, gbd = gelu.T @ g, g.sum(axis=0)
        gu = g @ wd.T
        gu *= 0.5 * (1 + tanh) + 0.5 * u * (1 - tanh * tanh) * (a + 3 * a3 * u * u)
        gwu, gbu = z.T @ gu, gu.sum(axis=0)
        gx, gw2, gb2 = numpy_normalize_back(gu @ wu.T, w2, z0, scale2)
        g = g + gx
        gwp, gbp = mixed.T @ g, g.sum(axis=0)
        gm = split(g @ wp.T)
        gv = join(p.swapaxes(2, 3) @ gm)
        gp = gm @ v.swapaxes(2, 3)
        gp -= (gp * p).sum(axis=3, keepdims=True)
        gp *= p
        gp *= size**-0.5
        gq, gk = join(gp @ k), join(gp.swapaxes(2, 3) @ q)
        gh = gq @ wq.T
        gh += gk @ wk.T
        gh += gv @ wv.T
        gx, gw1, gb1 = numpy_normalize_back(gh, w1, h0, scale)
        inputs = [x for gy in (gq, gk, gv) for x in (h.T @ gy, gy.sum(axis=0))]
        return g + gx, [gw1, gb1, *inputs, gwp, gbp, gw2, gb2, gwu, gbu, gwd, gbd]

    def step():
        x = (token[task.x] + position).reshape(n * t, -1)
        kept = []
        for block in blocks:
            x, values = forward(x, *block)
            kept.append(values)
        y, y0, scale = numpy_normalize(x, wf, bf)
        loss, g = numpy_cross_entropy(numpy_dense(y, wo, bo), task.y.ravel())
        gwo, gbo = y.T @ g, g.sum(axis=0)
        g, gwf, gbf = numpy_normalize_back(g @ wo.T, wf, y0, scale)
        gradients = [gwf, gbf, gwo, gbo]
        for block, values in zip(reversed(blocks), reversed(kept)):
            g, more = backward(g, values, *block)
            gradients = more + gradients
        one_hot = (np.arange(len(token))[:, None] == task.x.ravel()).astype(g.dtype)
        update([one_hot @ g, g.reshape(n, t, -1).sum(axis=0), *gradients])
        return float(loss)

    return step


def numpy_adam(parameters, lr, decay=0.0, beta1=0.9, beta2=0.999, eps=1e-8):
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    steps = itertools.count(1)

    def update(gradients):
        k = next(steps)
        rate, root = lr / (1 - beta1**k), math.sqrt(1 - beta2**k)
        for p, g, mean, square in zip(parameters, gradients, means, squares):
            if decay:
                p *= 1 - lr * decay
            mean *= beta1
            mean += (1 - beta1) * g
            square *= beta2
            square += (1 - beta2) * g * g
            p -= rate * mean / (np.sqrt(square) / root + eps)

    return update


def numpy_optimizer(task):
    parameters = [w.copy() for w in task.weights]

    def sgd(gradients):
        for p, g in zip(parameters, gradients):
            p -= task.lr * g

    update = sgd if task.kind == "sgd" else numpy_adam(parameters, task.lr)
    return lambda: update(task.gradients) or parameters


# Further engines, on the workloads where they are short to write


def mygrad_mlp(task):
    import mygrad
    from mygrad.nnet.losses import softmax_crossentropy

    parameters = [mygrad.tensor(w) for w in task.weights]

    def step():
        z = task.x @ parameters[0] + parameters[1]
        for w, b in zip(parameters[2::2], parameters[3::2]):
            z = mygrad.maximum(z, 0) @ w + b
        if task.loss == "cross_entropy":
            loss = softmax_crossentropy(z, task.y)
        else:
            loss = mygrad.maximum(1 - task.y * z, 0).mean()
        loss = with_squares(loss, task.alpha, parameters)
        loss.backward()
        for p in parameters:
            p.data -= task.lr * (p.grad + task.decay * p.data if task.decay else p.grad)
        return loss.item()

    return step


def mygrad_chain(task):
    import mygrad

    return chain_step(task, mygrad.tensor, mygrad.tanh)


def with_autograd(build, task):
    import autograd.numpy

    return build(task, autograd.numpy, autograd.value_and_grad, lambda function: function)


def with_jax(build, task):
    import jax

    jax.config.update("jax_enable_x64", True)  # without it float64 would become float32

    def jit(function):
        compiled = jax.jit(function)
        return lambda x: jax.block_until_ready(compiled(x))

    return build(task, jax.numpy, jax.value_and_grad, jit)


# Measuring: what an engine's process is asked to do


def first_losses(step, count=5):
    """The first losses as floats; of arrays the sum."""
    losses = []
    for _ in range(count):
        value = step()
        parts = value if isinstance(value, list) else [value]
        losses.append(sum(float(np.sum(np.asarray(part), dtype=np.float64)) for part in parts))
    return losses


def timed(step, count):
    """The seconds that so many steps take, of the processor and of the clock."""
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(count):
        step()
    return time.process_time() - processor, time.perf_counter() - clock


def steps_for(step, seconds):
    """How many steps take about so long."""
    count = 1
    while (elapsed := timed(step, count)[0]) < seconds / 4:
        count *= 2
    return max(1, round(seconds * count / elapsed))


def resident_memory(step, first, last):
    """The bytes the process holds after `first` and `last` steps, without the garbage collector."""
    gc.disable()
    sizes = []
    for count in (first, last - first):
        timed(step, count)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        sizes.append(pages * os.sysconf("SC_PAGE_SIZE"))
    return sizes


def serve(pipe, workload, engine, dtype, threads):
    """The life of an engine's process: build the step, then do what is asked until the end."""
    if engine == "numpy":
        # glibc gives freed memory back at once, and takes it again page by page, until it has seen
        # one large block freed. micrograd does the same when it is imported.
        np.empty((32 << 20) - (1 << 16), np.uint8)
    if engine == "torch":
        import torch

        torch.set_num_threads(threads)
    step = WORKLOADS[workload].engines[engine](WORKLOADS[workload].make(dtype))
    while (message := pipe.recv()) is not None:
        function, *arguments = message
        pipe.send(function(step, *arguments))


# Measuring: who is asked, and in which order


@dataclass
class Result:
    """What the rounds of one workload gave: seconds or bytes, by engine."""

    workload: str
    dtype: str
    unit: str
    rounds: dict[str, list[float]]
    growth: dict[str, float] = field(default_factory=dict)  # bytes, of the memory workload

    @property
    def medians(self):
        return {engine: statistics.median(values) for engine, values in self.rounds.items()}

    @property
    def ratios(self):
        """micrograd over each other engine: the median of the rounds' ratios."""
        others = {engine: values for engine, values in self.rounds.items() if engine != "micrograd"}
        pairs = {engine: zip(self.rounds["micrograd"], values) for engine, values in others.items()}
        return {engine: statistics.median(a / b for a, b in pairs[engine]) for engine in others}


@dataclass(frozen=True)
class Plan:
    """How much is measured, and what: processor time, or the clock."""

    rounds: int
    seconds: float  # of one engine in one round
    memory_steps: tuple[int, int]
    threads: int = 1
    clock: bool = False


@contextmanager
def processes(workload, dtype, engines, threads):
    """For each engine a function that asks its process to run a function on its step."""
    for library in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM"):
        os.environ[f"{library}_THREADS"] = str(threads)  # read when NumPy is imported
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"
    context = multiprocessing.get_context("spawn")

    def stop(pipe, process):
        with suppress(OSError):  # it has died already
            pipe.send(None)
        process.join()

    def start(engine):
        pipe, end = context.Pipe()
        arguments = (end, workload.name, engine, dtype, threads)
        process = context.Process(target=serve, args=arguments, daemon=True)
        process.start()
        end.close()
        stack.callback(stop, pipe, process)

        def ask(function, *arguments):
            try:
                pipe.send((function, *arguments))
                return pipe.recv()
            except (EOFError, OSError):
                name = ENGINES[engine].title
                raise SystemExit(f"{workload.name}, {dtype}: the process of {name} died") from None

        return ask

    with ExitStack() as stack:
        yield {engine: start(engine) for engine in engines}


def measure_steps(workload, dtype, engines, plan, tick):
    """The time of a step, per operation if the workload says how many there are."""
    rounds = {engine: [] for engine in engines}
    with processes(workload, dtype, engines, plan.threads) as ask:
        check_losses(workload.name, dtype, {e: ask[e](first_losses) for e in engines})
        counts = {engine: ask[engine](steps_for, plan.seconds) for engine in engines}
        for turn in range(plan.rounds):
            for engine in engines if turn % 2 else reversed(engines):
                if plan.threads > 1:
                    time.sleep(0.3)  # threads spin for a while before they sleep
                seconds = ask[engine](timed, counts[engine])[plan.clock]
                rounds[engine].append(seconds / (counts[engine] * workload.operations))
            tick()
    return Result(workload.name, dtype, "s", rounds)


def check_losses(workload, dtype, losses):
    """The first losses of every engine are those of the first one, or nothing is measured."""
    tolerance = {"float32": 1e-4, "float64": 1e-9}[dtype]  # relative
    first, *others = losses
    for engine in others:
        if not np.allclose(losses[engine], losses[first], rtol=tolerance, atol=0):
            raise SystemExit(
                f"{workload}, {dtype}: the losses of {ENGINES[engine].title} {losses[engine]} are "
                f"not those of {ENGINES[first].title} {losses[first]}"
            )


def measure_import(workload, dtype, engines, plan, tick):
    """The processor time of a fresh Python that imports the engine, its own start included."""
    rounds = {engine: [] for engine in engines}
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def seconds(engine):
        code = f"import {workload.engines[engine]}, time; print(time.process_time())"
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=compiled, check=True, capture_output=True
        )
        return float(run.stdout)

    for engine in engines:
        seconds(engine)  # this time Python also compiles
    for _ in range(plan.rounds):
        for engine in [*engines, *reversed(engines)]:
            rounds[engine].append(seconds(engine))
        tick()
    return Result(workload.name, dtype, "s", rounds)


def measure_memory(workload, dtype, engines, plan, tick):
    """The resident memory of each engine's whole process after many steps, and how it grew."""
    rounds, growth = {}, {}
    for engine in engines:
        with processes(workload, dtype, [engine], plan.threads) as ask:
            before, after = ask[engine](resident_memory, *plan.memory_steps)
        rounds[engine], growth[engine] = [after], after - before
    tick(plan.rounds)
    return Result(workload.name, dtype, "B", rounds, growth)


# What is measured


@dataclass(frozen=True)
class Engine:
    title: str
    package: str
    color: str = ""
    marker: str = ""


@dataclass(frozen=True)
class Workload:
    """One thing to measure: `make(dtype)` gives the data, `engines` the builders of the step."""

    name: str
    title: str
    make: Callable | None
    engines: dict[str, Callable]
    dtypes: tuple[str, ...] = ("float32", "float64")
    operations: int = 1  # of a step; the time is per operation
    clock: bool = False  # also measured with two threads
    measure: Callable = measure_steps


ROOT = Path(__file__).resolve().parents[1]
ENGINES = {
    "micrograd": Engine("micrograd", "numpy"),
    "numpy": Engine("NumPy by hand", "numpy", "#0072B2", "o"),
    "torch": Engine("PyTorch", "torch", "#D55E00", "s"),
    "mygrad": Engine("MyGrad", "mygrad", "#009E73", "^"),
    "autograd": Engine("autograd", "autograd", "#CC79A7", "D"),
    "jax": Engine("JAX (jit)", "jax", "#7F7F7F", "v"),
}
MLP = {
    "micrograd": micrograd_mlp, "numpy": numpy_mlp, "torch": torch_mlp, "mygrad": mygrad_mlp,
    "autograd": partial(with_autograd, transformed_mlp), "jax": partial(with_jax, transformed_mlp),
}  # fmt: skip
LONG_CHAIN = {"micrograd": micrograd_chain, "numpy": numpy_chain, "torch": torch_chain}
CHAIN = {
    **LONG_CHAIN, "mygrad": mygrad_chain, "autograd": partial(with_autograd, transformed_chain),
    "jax": partial(with_jax, transformed_chain),
}  # fmt: skip
CONV = {"micrograd": micrograd_conv, "numpy": numpy_conv, "torch": torch_conv}
GPT = {"micrograd": micrograd_gpt, "numpy": numpy_gpt, "torch": torch_gpt}
OPTIMIZER = {"micrograd": micrograd_optimizer, "numpy": numpy_optimizer, "torch": torch_optimizer}
MODULES = {"micrograd": "micrograd", "numpy": "numpy", "torch": "torch"}

mnist = partial(make_mlp, sizes=(784, 128, 64, 10), batch=64)
wide = partial(make_mlp, sizes=(784, 1024, 1024, 10), batch=1024)
WORKLOADS = {
    w.name: w
    for w in (
        Workload("mnist", "784-128-64-10, batch 64, cross-entropy, squares in the loss, SGD",
                 partial(mnist, alpha=1e-4), MLP, clock=True),
        Workload("mnist-decay", "the same, with weight decay in SGD instead of the squares",
                 partial(mnist, decay=2e-4), MLP),
        Workload("wide", "784-1024-1024-10, batch 1024, cross-entropy, SGD", wide, MLP, clock=True),
        Workload("moons", "2-16-16-1, 100 points, max-margin loss, SGD", make_moons, MLP),
        Workload("overhead", "501 operations on 0-d tensors, time per operation",
                 partial(make_chain, operations=501), CHAIN, operations=501),
        Workload("chain", "99,999 operations on 0-d tensors, time per operation",
                 partial(make_chain, operations=99_999), LONG_CHAIN, operations=99_999),
        Workload("conv", "two 3x3 convolutions with pooling, 64 images of 28x28, SGD",
                 make_conv, CONV, clock=True),
        Workload("gpt", "2 blocks of width 64 with 4 heads, batch 32 x 16, AdamW",
                 make_gpt, GPT, clock=True),
        Workload("sgd", "a step of SGD on 109,386 parameters",
                 partial(make_optimizer, kind="sgd"), OPTIMIZER),
        Workload("adam", "a step of Adam on 109,386 parameters",
                 partial(make_optimizer, kind="adam"), OPTIMIZER),
        Workload("import", "a Python process that imports it and ends",
                 None, MODULES, dtypes=("",), measure=measure_import),
        Workload("memory", "what the process holds after 2,000 steps of mnist",
                 partial(mnist, alpha=1e-4), {engine: MLP[engine] for engine in MODULES},
                 measure=measure_memory),
    )
}  # fmt: skip


# What comes out


def measure(workloads, plan, quick, installed, label):
    """The results of all workloads in all their dtypes, with a progress bar."""
    from tqdm import tqdm

    cases = [(w, dtype) for w in workloads for dtype in (w.dtypes[-1:] if quick else w.dtypes)]
    results = []
    with tqdm(total=len(cases) * plan.rounds, desc=label) as bar:
        for workload, dtype in cases:
            bar.set_postfix_str(f"{workload.name} {dtype}")
            engines = [engine for engine in workload.engines if engine in installed]
            results.append(workload.measure(workload, dtype, engines, plan, bar.update))
    return results


def table(results):
    """A Markdown table: what micrograd takes, and that divided by what each other engine takes."""
    others = [engine for engine in ENGINES if any(engine in r.ratios for r in results)]
    rows = [["workload", "dtype", "micrograd", *(f"/ {ENGINES[e].title}" for e in others)]]
    for r in results:
        ratios = [f"{r.ratios[e]:.2f}" if e in r.ratios else "" for e in others]
        rows.append([r.workload, r.dtype, amount(r.medians["micrograd"], r.unit), *ratios])
    rows.insert(1, ["---", "---"] + ["---:"] * (len(others) + 1))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
        for row in rows
    )


def amount(value, unit):
    """Seconds or bytes for people: three digits, or whole megabytes."""
    if unit == "B":
        return f"{value / 2**20:.0f} MB"
    units = ((1e3, "ms"), (1e6, "µs"), (1e9, "ns"))
    value, name = next((value * factor, name) for factor, name in units if value * factor >= 1)
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f} {name}"


def remarks(results):
    """What the table has no column for."""
    per_operation = {(r.workload, r.dtype): r.medians["micrograd"] for r in results}
    for r in results:
        short = per_operation.get(("overhead", r.dtype))
        if r.workload == "chain" and short:
            times = r.medians["micrograd"] / short
            yield f"chain, {r.dtype}: an operation takes micrograd {times:.2f} times as in overhead"
        if r.growth:
            sizes = [f"{ENGINES[e].title} {g / 2**20:+.2f} MB" for e, g in r.growth.items()]
            yield f"memory, {r.dtype}: growth from a tenth of the steps on: {', '.join(sizes)}"


def draw_picture(results, path):
    """A dot for every ratio: how many times as long as micrograd the others take."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(r.workload for r in results))
    figure, panels = plt.subplots(1, 2, figsize=(9.5, 4.8), sharex=True, sharey=True)
    for panel, dtype in zip(panels, ("float32", "float64")):
        shown = [r for r in results if r.dtype in (dtype, "")]
        for engine, e in ENGINES.items():
            points = [(1 / r.ratios[engine], r.workload) for r in shown if engine in r.ratios]
            if points:
                x, y = zip(*[(ratio, names.index(name)) for ratio, name in points])
                panel.plot(x, y, e.marker, color=e.color, label=e.title, alpha=0.85)
        panel.axvline(1, color="black", linewidth=1)
        panel.set(title=f"{dtype}, one thread", xscale="log")
        panel.set_xlabel("time, micrograd = 1; to the right is slower")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.grid(alpha=0.3)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def surroundings(installed):
    """The versions and the machine that the figures belong to."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
    packages = sorted({ENGINES[engine].package for engine in installed})
    return {
        "date": datetime.date.today().isoformat(),
        "system": platform.system(),
        "processor": processor,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
        "blas": f"{blas['name']} {blas['version']}",
    }


def parse():
    parser = argparse.ArgumentParser(
        description="Measure micrograd against NumPy written by hand, PyTorch and others.",
        epilog="Workloads: " + "; ".join(f"{w.name}: {w.title}" for w in WORKLOADS.values()) + ".",
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=WORKLOADS, metavar="NAME", help="these workloads alone")
    add("--rounds", type=int, help="rounds, of which the median is taken (11)")
    add("--json", type=Path, metavar="PATH", help="write all figures to this file")
    add("--quick", action="store_true", help="short rounds in float64: to see that it runs")
    add("--no-picture", action="store_true", help="don't draw misc/benchmark.png, which a run of "
        "all workloads does, unless it is --quick")  # fmt: skip
    add("--threads-table", action=argparse.BooleanOptionalAction,
        help="also measure with two threads and the clock; the default unless --quick")  # fmt: skip
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 3 if options.quick else 11
    if options.threads_table is None:
        options.threads_table = not options.quick
    options.picture = not (options.no_picture or options.quick or options.only)
    if options.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {options.rounds}")
    if options.json and not options.json.resolve().parent.is_dir():
        parser.error(f"--json: there is no directory {options.json.parent}")
    for package in ["tqdm"] + ["matplotlib"] * options.picture:
        if importlib.util.find_spec(package) is None:
            parser.error(f"this wants {package}: pip install 'micrograd-tensor[bench]'")
    return options


def installed_engines():
    """The engines whose package is there; the others are named."""
    found = [name for name, e in ENGINES.items() if importlib.util.find_spec(e.package)]
    for e in (engine for name, engine in ENGINES.items() if name not in found):
        print(f"{e.title} is left out, it is not installed: pip install {e.package}")
    return found


def main():
    options, installed = parse(), installed_engines()
    workloads = [WORKLOADS[name] for name in dict.fromkeys(options.only or WORKLOADS)]
    if not Path("/proc/self/statm").exists() and WORKLOADS["memory"] in workloads:
        print("memory is left out: it is read from /proc, which Linux has")
        workloads.remove(WORKLOADS["memory"])
    plan = Plan(options.rounds, 0.15, (200, 2000))
    if options.quick:
        plan = Plan(options.rounds, 0.02, (20, 200))
    around = surroundings(installed)
    tables = []

    def run(workloads, plan, label, explanation):
        results = measure(workloads, plan, options.quick, installed, label)
        rows = [{**asdict(r), "medians": r.medians, "ratios": r.ratios} for r in results]
        tables.append({**asdict(plan), "results": rows})
        print(f"\n{explanation}\n\n{table(results)}", *remarks(results), sep="\n")
        return results

    print(", ".join(f"{key} {value}" for key, value in around.items()))
    results = run(
        workloads, plan, "one thread",
        "One thread, processor time. After micrograd's own figure: how many times as long it\n"
        "takes as each other engine (of memory: as much). Below 1, micrograd is faster.",
    )  # fmt: skip
    clocked = [w for w in workloads if w.clock]
    if options.threads_table and clocked:
        run(
            clocked, replace(plan, threads=2, clock=True), "two threads",
            "Two threads, by the clock: only as good as the machine is idle. Here PyTorch divides\n"
            "its elementwise work among the threads as well, NumPy its matrix products alone.",
        )  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps({**around, "tables": tables}, indent=1) + "\n")
    if options.picture:
        draw_picture(results, Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
