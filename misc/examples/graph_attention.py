"""A graph attention network tells who went with whom when a karate club broke up.

    python misc/examples/graph_attention.py [steps]

Velickovic et al. (2018): a node gathers its neighbours' features, each weighted by how much the two
go together. All that is known are the friendships of 34 members and the sides of the two leaders,
members 1 and 34; who is friends with whom settles the rest (Zachary, 1977).
"""

import sys

import numpy as np

from micrograd import Tensor, nn, no_grad, optim, where

FRIENDS = {  # of each member, those of higher number
    1: [2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 18, 20, 22, 32], 2: [3, 4, 8, 14, 18, 20, 22, 31],
    3: [4, 8, 9, 10, 14, 28, 29, 33], 4: [8, 13, 14], 5: [7, 11], 6: [7, 11, 17], 7: [17],
    9: [31, 33, 34], 10: [34], 14: [34], 15: [33, 34], 16: [33, 34], 19: [33, 34], 20: [34],
    21: [33, 34], 23: [33, 34], 24: [26, 28, 30, 33, 34], 25: [26, 28, 32], 26: [32], 27: [30, 34],
    28: [34], 29: [32, 34], 30: [33, 34], 31: [33, 34], 32: [33, 34], 33: [34],
}  # fmt: skip
WITH_THE_FIRST = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 17, 18, 20, 22]


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
    """Two layers. A member's only feature is which one it is.

    In training half of all features are dropped, for two known sides are soon learnt by heart.
    """

    def __init__(self, members, rng):
        self.first, self.second = GraphAttention(members, 64, rng), GraphAttention(64, 2, rng)
        self.drop = nn.Dropout(0.5, rng)

    def forward(self, edges):
        x = self.first(self.drop(np.eye(len(edges))), edges)
        return self.second(self.drop(x.relu()), edges)


def main(steps=150):
    rng = np.random.default_rng(0)
    edges = np.eye(34, dtype=bool)
    for member, friends in FRIENDS.items():
        for friend in friends:
            edges[member - 1, friend - 1] = edges[friend - 1, member - 1] = True
    sides = 1 - np.isin(np.arange(1, 35), WITH_THE_FIRST)
    leaders = [0, 33]
    model = Network(34, rng)
    optimizer = optim.AdamW(model.parameters(), lr=0.02, weight_decay=1.0)
    for step in range(steps):
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(edges)[leaders], sides[leaders])
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.4f}")
    with no_grad():
        right = model.eval()(edges).argmax(axis=1) == sides
    print(f"{right.sum()} of 34 members told right, from the two leaders")
    return right.mean()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
