"""A graph attention network tells the communities of a graph from three known members of each.

    python misc/examples/graph_attention.py [steps]

Velickovic et al. (2018): a node gathers its neighbours' features, each weighted by how much the two
go together. Features are noisy; what settles the matter is who knows whom.
"""

import sys

import numpy as np

from micrograd import Tensor, nn, no_grad, optim, where


class GraphAttention(nn.Module):
    """Features (n, n_inp) of nodes, and who is whose neighbour (n, n), give (n, n_out)."""

    def __init__(self, n_inp, n_out, rng):
        self.project = nn.Linear(n_inp, n_out, bias=False, rng=rng)
        self.sends = nn.init.xavier(Tensor(np.zeros((n_out, 1))), rng)
        self.takes = nn.init.xavier(Tensor(np.zeros((n_out, 1))), rng)

    def forward(self, x, edges):
        h = self.project(x)
        scores = (h @ self.takes + (h @ self.sends).T).leaky_relu(0.2)
        return where(edges, scores, -np.inf).softmax(-1) @ h


class Network(nn.Module):
    def __init__(self, n_inp, n_out, rng):
        self.first, self.second = GraphAttention(n_inp, 16, rng), GraphAttention(16, n_out, rng)

    def forward(self, x, edges):
        return self.second(np.maximum(self.first(x, edges), 0), edges)


def community_graph(rng, communities=4, members=30):
    """Classes (n,), noisy features (n, 8), and edges (n, n), most of them within a community."""
    classes = np.repeat(np.arange(communities), members)
    same = classes[:, None] == classes
    edges = np.triu(rng.random(same.shape) < np.where(same, 0.25, 0.01), 1)
    features = rng.normal(size=(communities, 8))[classes] + rng.normal(0, 1.5, (len(classes), 8))
    return classes, features, edges | edges.T | np.eye(len(classes), dtype=bool)


def main(steps=200):
    rng = np.random.default_rng(0)
    classes, x, edges = community_graph(rng)
    known = np.concatenate([np.flatnonzero(classes == c)[:3] for c in range(4)])
    model = Network(8, 4, rng)
    optimizer = optim.AdamW(model.parameters(), lr=0.02)
    for step in range(steps):
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x, edges)[known], classes[known])
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.4f}")
    with no_grad():
        right = (model(x, edges).argmax(axis=1) == classes).mean()
    print(f"{100 * right:.0f} % of all nodes told right, from {len(known)} that were known")
    return right


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
