"""REINFORCE learns to balance a pole on a cart, whose mechanics are written out here.

    python misc/examples/cartpole.py [updates]

Williams (1992): what was done is made more probable, the more so the better it went afterwards. The
cart is that of Barto, Sutton and Anderson (1983), ten of them at a time.
"""

import sys

import numpy as np

from micrograd import nn, no_grad, optim

LONGEST = 200


def moved(state, push):
    """The states (n, 4), a fiftieth of a second later, of carts pushed by -10 or 10 newton."""
    x, v, angle, spin = state.T
    sin, cos = np.sin(angle), np.cos(angle)
    force = (push + 0.05 * spin**2 * sin) / 1.1
    twist = (9.8 * sin - cos * force) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    pull = force - 0.05 * twist * cos / 1.1
    return np.stack([x + 0.02 * v, v + 0.02 * pull, angle + 0.02 * spin, spin + 0.02 * twist], 1)


def played(policy, rng, n=10):
    """What n carts saw and did, in time steps (t, n), and which were still up (t, n)."""
    state, up = rng.uniform(-0.05, 0.05, (n, 4)), np.ones(n, bool)
    seen, done, alive = [], [], []
    while up.any() and len(seen) < LONGEST:
        with no_grad():
            right = rng.random(n) < policy(state).sigmoid().data[:, 0]
        seen.append(state)
        done.append(right)
        alive.append(up)
        state = moved(state, np.where(right, 10.0, -10.0))
        up = up & (np.abs(state[:, 0]) < 2.4) & (np.abs(state[:, 2]) < np.pi / 15)
    return np.array(seen), np.array(done, float), np.array(alive)


def main(updates=100):
    rng = np.random.default_rng(0)
    policy = nn.MultiLayerPerceptron(4, [32, 1], act="tanh", rng=rng)
    optimizer = optim.Adam(policy.parameters(), lr=0.02)
    lengths = []
    for update in range(updates):
        seen, done, alive = played(policy, rng)
        gain = np.zeros(
            alive.shape
        )  # the time that is still to come, each step worth 0.99 of the last
        for t in reversed(range(len(gain))):
            gain[t] = alive[t] * (1 + 0.99 * (gain[t + 1] if t + 1 < len(gain) else 0))
        advantage = (gain - gain[alive].mean()) / (gain[alive].std() + 1e-8)
        cost = nn.binary_cross_entropy_with_logits(policy(seen)[..., 0], done, reduction="none")
        optimizer.zero_grad()
        (cost * (advantage * alive)).sum().backward()
        for p in policy.parameters():
            p.grad /= alive.sum()
        optimizer.step()
        lengths.append(alive.sum(axis=0).mean())
        if update % 10 == 0:
            print(f"update {update}: up for {lengths[-1]:.0f} steps of {LONGEST}")
    return lengths


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
