"""A physics-informed network: it solves u'' = -u with u(0) = 0 and u'(0) = 1 without any data.

    python misc/examples/physics.py [steps]

The loss is how much a network u(t) misses the equation (Raissi et al., 2019). It holds derivatives
of the network by its input, and `backward` goes through them. The solution is the sine.
"""

import sys

import numpy as np

from micrograd import Tensor, grad, nn, no_grad, optim


def residual(model, t):
    """u'' + u at the times t, and u' there."""
    u = model(t)
    slope = grad(u.sum(), t, create_graph=True)
    return grad(slope.sum(), t, create_graph=True) + u, slope


def main(steps=1500):
    rng = np.random.default_rng(0)
    model = nn.MultiLayerPerceptron(1, [32, 32, 1], act="tanh", init="xavier", rng=rng)
    optimizer = optim.Adam(model.parameters())
    times, start = np.linspace(0, 2 * np.pi, 64)[:, None], Tensor([[0.0]])
    for step in range(steps):
        optimizer.lr = optim.cosine(step, steps, 0.01)
        optimizer.zero_grad()
        missed, _ = residual(model, Tensor(times))
        _, slope = residual(model, start)
        loss = (missed**2).mean() + (model(start) ** 2 + (slope - 1) ** 2).sum()
        loss.backward()
        optimizer.step()
        if step % 250 == 0:
            print(f"step {step}: loss {loss.item():.6f}")
    with no_grad():
        error = np.abs(model(times).data - np.sin(times)).max()
    print(f"farthest from the sine: {error:.4f}")
    return error


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
