"""The exercises of notes.ipynb: `check(n, f)` says whether an answer is right.

An operation is written as a function of arrays that returns its result and, for each operand, a
function that turns the gradient of the result into that of the operand.
"""

from itertools import pairwise

import numpy as np

from micrograd import apply
from micrograd.debug import gradcheck

_RNG = np.random.default_rng(7)


def _point(*shape):
    """Numbers between 0.3 and 2.3 in size, of either sign: far from where a derivative jumps."""
    return _RNG.uniform(0.3, 2.3, shape) * _RNG.choice([-1, 1], shape)


_POINTS = {  # what each exercise is tried on
    1: (_point(2, 3), _point(2, 3)),
    2: (_point(4, 3),),
    3: (_point(2, 3), _point(3, 4)),
    4: (_point(4, 3),),
    5: (_point(3),),
}


def check(n, f):
    """Say whether f answers exercise n: "right", or what is wrong first."""
    tests = {5: _sums, 6: _hunt, 7: _walks}
    try:
        problem = tests[n](f) if n in tests else _differs(f, *_POINTS[n])
    except Exception as error:
        problem = f"it raises {type(error).__name__}: {error}"
    print(f"exercise {n}: {problem or 'right'}")


def differs(f):
    """For exercise 6: what is wrong with the derivative of one of the suspects, or None."""
    return _differs(f, abs(_POINTS[2][0]))


def _differs(f, *operands):
    """What gradcheck says against an operation, if anything."""
    derivatives = [
        lambda g, y, *arrays, k=k: f(*arrays)[1][k](g)  # of operand k
        for k in range(len(operands))
    ]
    try:
        gradcheck(lambda *xs: apply("it", lambda *a: f(*a)[0], xs, *derivatives), *operands)
    except AssertionError as error:
        return str(error).removeprefix("gradcheck: ")
    return None


def _sums(sum_to):
    """Exercise 5: the gradient of what was broadcast."""
    for shape in ((3,), (2, 1), (1, 3), (), (2, 3)):
        g = np.arange(6.0).reshape(2, 3)
        rest = tuple(i for i in range(2) if i >= len(shape) or shape[::-1][i] == 1)
        right = g.sum(axis=tuple(1 - i for i in rest), keepdims=True).reshape(shape)
        given = np.asarray(sum_to(g, shape))
        if given.shape != shape:
            return f"for the shape {shape} the result has the shape {given.shape}"
        if not np.allclose(given, right):
            return f"for the shape {shape} the result is {given.tolist()}, not {right.tolist()}"
    return None


# Exercise 6: one of these derivatives is wrong


def _softmax(x):
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y = y / y.sum(axis=-1, keepdims=True)
    return y, (lambda g: y * (g - (g * y).sum(axis=-1, keepdims=True)),)


def _cumsum(x):
    return x.cumsum(axis=0), (lambda g: g.cumsum(axis=0),)


SUSPECTS = {
    "square root": lambda x: (np.sqrt(x), (lambda g: g / (2 * np.sqrt(x)),)),
    "softmax": _softmax,
    "norm": lambda x: (np.sqrt((x * x).sum()), (lambda g: g * x / np.sqrt((x * x).sum()),)),
    "running sum": _cumsum,
    "turned around": lambda x: (x[::-1], (lambda g: g[::-1],)),
}


def _hunt(name):
    if name not in SUSPECTS:
        return f"the suspects are {', '.join(SUSPECTS)}"
    return None if differs(SUSPECTS[name]) else f"the derivative of the {name} is right"


# Exercise 7, and the engine that is made of all answers


class Node:
    """A number or array in a graph: its operands, and for each a function of the gradient."""

    def __init__(self, data, operands=(), derivatives=()):
        self.data = np.asarray(data, float)
        self.grad = np.zeros_like(self.data)
        self.operands, self.derivatives = operands, derivatives


def made(operation, *operands):
    """The Node that an operation makes of others."""
    y, derivatives = operation(*(x.data for x in operands))
    return Node(y, operands, derivatives)


def _times(a, b):
    return a * b, (lambda g: g * b, lambda g: g * a)


def _plus(a, b):
    return a + b, (lambda g: g, lambda g: g)


def _walks(backward):
    """Exercise 7: paths part and meet again, and a row is broadcast."""
    a, row = Node([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]]), Node([2.0, 3.0, 5.0])
    p = made(_times, a, row)
    y = made(_plus, made(_times, p, p), a)
    for _ in range(20):  # two paths each time: a walk over all of them would never end
        y = made(_plus, y, y)
    backward(y)
    scale = 2.0**20
    right_a = scale * (2 * a.data * row.data**2 + 1)
    right_row = scale * (2 * a.data**2 * row.data).sum(axis=0)
    for name, x, right in (("a", a, right_a), ("row", row, right_row)):
        if x.grad.shape != right.shape:
            return f"the gradient of {name} has the shape {x.grad.shape}, not {right.shape}"
        if not np.allclose(x.grad, right):
            return f"the gradient of {name} is {x.grad.tolist()}, not {right.tolist()}"
    return None


def train_moons(relu, matmul, mean, backward, steps=150):
    """A network made of the answers learns the moons; returns its loss and share of right ones."""
    from sklearn.datasets import make_moons

    points, labels = make_moons(n_samples=100, noise=0.1, random_state=1)
    rng = np.random.default_rng(2)
    sizes = (2, 16, 16, 1)
    weights = [Node(rng.normal(size=s) * np.sqrt(2 / s[0])) for s in pairwise(sizes)]
    biases = [Node(np.zeros(n)) for n in sizes[1:]]
    signs = (2.0 * labels - 1).reshape(-1, 1)
    for _ in range(steps):
        x = Node(points)
        for i, (w, b) in enumerate(zip(weights, biases)):
            x = made(_plus, made(matmul, x, w), b)
            if i < 2:
                x = made(relu, x)
        missing = made(relu, made(_plus, Node(1.0), made(_times, x, Node(-signs))))
        loss = made(mean, missing)
        backward(loss)
        for parameter in (*weights, *biases):
            parameter.data = parameter.data - 0.3 * parameter.grad
    return float(loss.data), float(np.mean((x.data > 0) == (signs > 0)))
