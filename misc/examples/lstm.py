"""An LSTM that adds: it reads ten pairs of a number and a mark, and sums the two marked numbers.

    python misc/examples/lstm.py [steps]

The adding problem of Hochreiter and Schmidhuber (1997). Whoever always answers 1, the mean, has an
error of 1/6; to do better, the state has to carry the first number to the second.
"""

import sys

import numpy as np

from micrograd import nn, no_grad, optim


class Adder(nn.Module):
    def __init__(self, width, rng):
        self.lstm, self.out = nn.LSTM(2, width, rng=rng), nn.Linear(width, 1, rng=rng)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.out(h[-1])[:, 0]


def examples(n, rng, length=10):
    """Sequences (n, length, 2) of numbers and marks, and the sums (n,) of the two marked."""
    numbers, marks = rng.random((n, length)), np.zeros((n, length))
    half = length // 2
    for start in (0, half):
        marks[np.arange(n), start + rng.integers(half, size=n)] = 1
    return np.stack([numbers, marks], axis=-1), (numbers * marks).sum(axis=1)


def main(steps=600):
    rng = np.random.default_rng(0)
    model = Adder(24, rng)
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    for step in range(steps):
        x, y = examples(64, rng)
        optimizer.lr = optim.one_cycle(step, steps, 0.02)
        optimizer.zero_grad()
        loss = nn.mse(model(x), y)
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.4f}")
    x, y = examples(1000, rng)
    with no_grad():
        error = nn.mse(model(x), y).item()
    print(f"mean squared error {error:.4f}, where the mean would have {y.var():.4f}")
    return error


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
