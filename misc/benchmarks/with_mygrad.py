"""MyGrad, on the workloads where it is short to write."""

import mygrad
from mygrad.nnet.losses import softmax_crossentropy

from .shared import chain_step, with_squares


def mlp(task):
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


def chain(task):
    return chain_step(task, mygrad.tensor, mygrad.tanh)


WORKLOADS = {
    "mnist": mlp,
    "mnist-decay": mlp,
    "wide": mlp,
    "moons": mlp,
    "overhead": chain,
}
