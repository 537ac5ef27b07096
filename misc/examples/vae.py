"""A variational autoencoder of a ring: two numbers through one of noise, and back.

    python misc/examples/vae.py [steps]

Kingma and Welling (2014). The encoder gives a mean and a deviation for each point; a draw from
there goes to the decoder. The draw is mean + deviation * noise, through which the gradient goes on.
Points drawn from nothing but noise should then lie on the ring of radius 1.
"""

import sys

import numpy as np

from micrograd import nn, no_grad, optim


class Autoencoder(nn.Module):
    def __init__(self, latent, rng):
        self.latent, self.rng = latent, rng
        self.encoder = nn.MultiLayerPerceptron(2, [64, 64, 2 * latent], act="tanh", rng=rng)
        self.decoder = nn.MultiLayerPerceptron(latent, [64, 64, 2], act="tanh", rng=rng)

    def forward(self, x):
        """The loss: what is lost of x, and how far the codes are from a normal distribution."""
        code = self.encoder(x)
        mean, log_var = code[:, : self.latent], code[:, self.latent :]
        noise = self.rng.normal(size=mean.shape)
        again = self.decoder(mean + (0.5 * log_var).exp() * noise)
        lost = ((again - x) ** 2).sum(axis=1) / (2 * 0.1**2)
        divergence = 0.5 * (mean**2 + log_var.exp() - log_var - 1).sum(axis=1)
        return (lost + divergence).mean()

    def sample(self, n):
        with no_grad():
            return self.decoder(self.rng.normal(size=(n, self.latent))).data


def main(steps=2000):
    rng = np.random.default_rng(0)
    model = Autoencoder(2, rng)
    optimizer = optim.Adam(model.parameters())
    for step in range(steps):
        angle = rng.uniform(0, 2 * np.pi, 128)
        x = np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.05, (128, 2))
        optimizer.lr = optim.cosine(step, steps, 5e-3)
        optimizer.zero_grad()
        loss = model(x)
        loss.backward()
        optimizer.step()
        if step % 250 == 0:
            print(f"step {step}: loss {loss.item():.3f}")
    radius = np.hypot(*model.sample(1000).T)
    print(f"radius of the samples: {radius.mean():.3f}, give or take {radius.std():.3f}")
    return radius


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
