"""What the ranks of test_distributed.py run: python ranks.py NAME[+NAME ...] [ARGUMENTS].

It is a file of its own so that a rank starts without pytest. Whatever it raises is the outcome.
"""

import itertools
import os
import runpy
import signal
import sys

import numpy as np

from micrograd import Tensor, distributed
from micrograd.nn import BatchNorm1d, Layer, Module, MultiLayerPerceptron, Sequential, mse
from micrograd.optim import Adam

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


class Net(Module):
    """Parameters of two dtypes, one that is never reached, one that only rank 1 reaches."""

    def __init__(self, dtype):
        rng = np.random.default_rng(7)
        self.first, self.second = Layer(3, 4, "tanh", rng=rng), Layer(4, 2, rng=rng).astype(dtype)
        self.unreached, self.rare = Tensor(np.ones(3)), Tensor(2.0)

    def __call__(self, x):
        return self.second(self.first(x).astype(self.second.bias.dtype))


@program
def average():
    rank, size = distributed.rank(), distributed.size()
    for counts, dtype in itertools.product(
        [(3, 3, 3, 3), (5, 0, 1, 7), (0, 1, 0, 0)], [np.float64, np.float32]
    ):
        counts = counts[:size]
        ends = np.cumsum(counts)
        rows = slice(ends[rank] - counts[rank], ends[rank])
        x, y = np.random.default_rng(8).normal(size=(2, ends[-1], 3))
        whole, model = Net(dtype), Net(dtype)
        mse(whole(x), y[:, :2].astype(dtype)).backward()
        if counts[rank]:
            mse(model(x[rows]), y[rows, :2].astype(dtype)).backward()
        else:  # the mean over no rows, which must not reach the others
            model.first.bias.grad = np.full(4, np.nan)
        if rank == 1 and counts[rank]:
            model.rare.backward()
        distributed.average_gradients(model, counts[rank])

        case = f"rank {rank}, counts {counts}, {dtype.__name__}"
        assert not model.unreached.has_grad, case
        tolerance = 1e-14 if dtype is np.float64 else 1e-6
        for (name, p), expected in zip(model.named_parameters(), whole.parameters()):
            if name in ("unreached", "rare"):
                continue
            assert (p.grad.shape, p.grad.dtype) == (p.shape, p.dtype), f"{case}: {name}"
            np.testing.assert_allclose(
                p.grad, expected.grad, 0, tolerance, err_msg=f"{case}: {name}"
            )
        if counts[1]:
            np.testing.assert_allclose(model.rare.grad, counts[1] / ends[-1], 1e-14, err_msg=case)
        else:
            assert not model.rare.has_grad, case
    try:
        distributed.average_gradients(model, 0)
    except ValueError as error:
        assert str(error) == "average_gradients: no rank has any rows"
    else:
        raise AssertionError("an empty batch was accepted")


@program
def misfits():
    """Ranks whose models differ are told so, all of them, and large gradients don't overflow."""
    rank = distributed.rank()
    shapes = [(2, 3), (3, 2)]
    for mine, names in (
        (Layer(*((2, 6), (8, 2))[rank]), "bias, weights"),  # of 18 numbers each
        (Sequential(Tensor(np.ones(shapes[rank]))), "layers.0"),
        (Layer(2, 3).astype((np.float32, np.float64)[rank]), "bias, weights"),
        (MultiLayerPerceptron(2, [3, 1][: 2 - rank]), "layers.1.bias, layers.1.weights"),
    ):
        try:
            distributed.average_gradients(mine, 1)
        except ValueError as error:
            assert str(error).endswith(f"rank 1 differs from rank 0 in {names}"), error
        else:
            raise AssertionError(f"{names}: averaged")
    p = Tensor(np.ones(2, np.float32))
    p.grad = np.full(2, 2e38)
    distributed.average_gradients(Sequential(p), 1000)
    np.testing.assert_allclose(p.grad, np.full(2, 2e38, np.float32), 1e-6)
    if rank == 1:
        distributed.average_gradients(Sequential(p), float("nan"))
    distributed.average_gradients(Sequential(p), 1)  # the others wait here


@program
def statistics():
    """The running statistics of a BatchNorm, and a buffer of integers, which stays as it is."""
    rank, counts = distributed.rank(), (4, 0, 3)
    ends = np.cumsum(counts)
    x = np.random.default_rng(9).normal(size=(ends[-1], 5))
    parts = np.split(x, ends[:-1])
    model, whole = BatchNorm1d(5), BatchNorm1d(5)
    model.buffers, model.number = (*model.buffers, "number"), np.array([rank])
    whole(x)
    if counts[rank]:
        model(parts[rank]).backward()
    distributed.average_gradients(model, counts[rank])
    variances = [parts[0].var(axis=0, ddof=1), parts[2].var(axis=0, ddof=1)]
    variance = 0.9 + 0.1 * np.average(variances, axis=0, weights=[4, 3])
    np.testing.assert_allclose(model.running_mean, whole.running_mean, 0, 1e-14)
    np.testing.assert_allclose(model.running_var, variance, 0, 1e-14)
    assert model.number == rank


@program
def broadcast():
    rank = distributed.rank()
    model = BatchNorm1d(4)
    for array in model._state().values():
        array[...] = rank + 1
    optimizer = Adam(model.parameters(), lr=rank + 1)
    distributed.broadcast_parameters(model)
    distributed.broadcast_parameters(optimizer)
    for name, array in model._state().items():
        assert (array == 1).all(), name
    assert optimizer.lr == 1


@program
def broadcast_misfit():
    distributed.broadcast_parameters(Layer(2, 3 + distributed.rank()))
    distributed.check_parameters(Layer(2, 3))  # rank 0 waits here for ever, if nobody ends it


@program
def raise_early():
    if os.environ["PMI_RANK"] == "1":
        raise FileNotFoundError("no data here")
    distributed.check_parameters(Layer(2, 3))


@program
def check():
    """Change one bit of one array on one rank; all ranks have to be told which."""
    rank, size = distributed.rank(), distributed.size()
    distributed.check_parameters(BatchNorm1d(4))
    for changed, name in itertools.product(range(size), ("weight", "running_var")):
        model = BatchNorm1d(4)
        if rank == changed:
            array = model._state()[name]
            array[2] = np.nextafter(array[2], 2)
        # of two ranks neither is the majority, and rank 0 counts as right
        wrong, right = (1, 0) if size == 2 else (changed, int(changed == 0))
        try:
            distributed.check_parameters(model)
        except RuntimeError as error:
            expected = f"check_parameters: rank {wrong} differs from rank {right} in {name}"
            assert str(error) == expected, f"{error}, expected {expected}"
        else:
            raise AssertionError(f"{name} of rank {changed}: not found")


@program
def planted(fault, step, script, *arguments):
    """The training script with noise in its gradients, and a fault on the last rank at a step.

    The noise stands for what draws random numbers in a training step, such as Dropout.
    """
    average, steps = distributed.average_gradients, itertools.count(1)

    def average_with_fault(model, count):
        if next(steps) == int(step) and distributed.rank() == distributed.size() - 1:
            if fault == "raise":
                raise ArithmeticError("the planted error")
            if fault == "differ":
                model.layers[1].bias.data[0] += 1e-3
            if fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        for p in model.parameters():
            p.grad += np.random.normal(0, 1e-3, p.shape)  # noqa: NPY002 (as Dropout does)
        average(model, count)

    distributed.average_gradients = average_with_fault
    sys.argv[1:] = arguments
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    for name in sys.argv[1].split("+"):
        PROGRAMS[name](*sys.argv[2:])
