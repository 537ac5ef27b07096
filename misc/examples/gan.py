"""A generative adversarial network that learns a ring.

    python misc/examples/gan.py [steps]

Goodfellow et al. (2014). The critic learns to tell points of the ring from the generator's; the
generator learns what the critic takes for the ring. Each has an optimizer of its own, and `detach`
keeps the critic's gradient out of the generator.
"""

import sys

import numpy as np

from micrograd import nn, no_grad, optim


def ring(n, rng):
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.05, (n, 2))


def main(steps=2000, n=128):
    rng = np.random.default_rng(0)
    generator = nn.MultiLayerPerceptron(4, [64, 64, 2], rng=rng)
    critic = nn.MultiLayerPerceptron(2, [64, 64, 1], act="leaky_relu", rng=rng)
    makers = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    judges = optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
    true, false = np.ones((n, 1)), np.zeros((n, 1))
    judge = nn.binary_cross_entropy_with_logits
    for step in range(steps):
        made = generator(rng.normal(size=(n, 4)))
        judges.zero_grad()
        told = judge(critic(ring(n, rng)), true) + judge(critic(made.detach()), false)
        told.backward()
        judges.step()
        makers.zero_grad()
        fooled = judge(critic(made), true)
        fooled.backward()
        makers.step()
        if step % 250 == 0:
            print(f"step {step}: critic {told.item():.3f}, generator {fooled.item():.3f}")
    with no_grad():
        radius = np.hypot(*generator(rng.normal(size=(1000, 4))).data.T)
    print(f"radius of what is made: {radius.mean():.3f}, give or take {radius.std():.3f}")
    return radius


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
