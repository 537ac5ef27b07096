"""What several tests of the network side share: inputs, models, and how errors are told."""

import numpy as np
import pytest
from table import assert_same, normal, ties

from micrograd import Tensor, nn


def rng():
    return np.random.default_rng(5)


def positive(rng, shape):
    return rng.uniform(0.5, 2.0, shape)


def an_input(kind):
    """Integers as they are; for a shape, numbers; with "ties" at its end, few different ones."""
    if isinstance(kind, np.ndarray):
        return kind
    shape = tuple(n for n in kind if not isinstance(n, str))
    domain = ties if "ties" in kind else normal
    return np.asarray(domain(np.random.default_rng(2), shape), np.float32).astype(np.float64)


def assert_same_states(ours, expected):
    assert list(ours) == list(expected)
    for name, array in ours.items():
        assert_same(array, expected[name], name, 0)


def of(*shape):
    return Tensor(np.zeros(shape))


class NoCall(nn.Module):
    pass


class Nested(nn.Module):
    """Tensors and Modules wherever they may stand."""

    def __init__(self):
        self.scale = Tensor(2.0)
        self.inner = nn.Layer(2, 3)
        self.pair = (Tensor([1.0]), [nn.Layer(3, 1), "no parameter"])
        self.again = self.inner.weights
        self.table = {"b": Tensor([1.0, 2.0]), "a": nn.BatchNorm1d(3), 3: Tensor([3.0])}
        self.name, self.size, self.nothing = "nested", 3, None
        self.array = np.ones(3)
        self.again_inner = self.inner

    def __call__(self, x):
        self.out = self.table["a"](self.inner(x)) * self.scale
        return self.out


NESTED = [
    "scale", "inner.weights", "inner.bias", "pair.0", "pair.1.0.weights", "pair.1.0.bias",
    "table.b", "table.a.weight", "table.a.bias", "table.3",
]  # fmt: skip


class Attention(nn.Module):
    def __init__(self, width):
        self.q, self.k = nn.Layer(width, width, rng=rng()), nn.Layer(width, width, rng=rng())
        self.out = nn.Layer(width, width, rng=rng())

    def __call__(self, x):
        return self.out((self.q(x) @ self.k(x).swapaxes(-1, -2)).softmax(-1) @ x)


class Block(nn.Module):
    def __init__(self, width):
        self.norm, self.attention = nn.LayerNorm(width), Attention(width)
        self.mlp = nn.MultiLayerPerceptron(width, [8, width], rng=rng())

    def __call__(self, x):
        x = x + self.attention(self.norm(x))
        return x + self.mlp(x)


class Transformer(nn.Module):
    def __init__(self, blocks):
        self.tokens, self.places = nn.Embedding(7, 4, rng()), nn.Embedding(5, 4, rng())
        self.blocks = [Block(4) for _ in range(blocks)]
        self.head = {'"<&>"': nn.Layer(4, 7, rng=rng())}

    def __call__(self, x):
        x = self.tokens(x) + self.places(np.arange(x.shape[-1]))
        for block in self.blocks:
            x = block(x)
        return self.head['"<&>"'](x)


def assert_refused(do, error, *words):
    """What is done raises this very error, with these words in its message."""
    with pytest.raises(error) as caught:
        do()
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in {caught.value}"
