"""Batches, and a run that is kept whole in one file."""

import numpy as np
import pytest
from networks import assert_refused
from table import assert_same

from micrograd import nn, optim

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10)


@pytest.mark.parametrize("size", [1, 3, 5, 10, 11])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_go_through_all_rows_once(size, shuffle):
    loader = nn.batches(X, Y, size, shuffle, np.random.default_rng(0))
    orders = []
    for _ in range(2):
        pairs = list(loader)
        assert len(pairs) == len(loader)
        assert [len(x) for x, _ in pairs[:-1]] == [size] * (len(pairs) - 1)
        for x, y in pairs:
            assert_same(x, X[y], "x of y", 0)
        orders.append(np.concatenate([y for _, y in pairs]).tolist())
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert (orders[0] == orders[1]) == (not shuffle)
    assert shuffle or orders[0] == list(range(10))


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_of_x_alone(shuffle):
    """The same rows in the same order as with y; also through what asks for their number."""
    of_x = nn.batches(X, size=4, shuffle=shuffle, rng=np.random.default_rng(0))
    of_both = nn.batches(X, Y, 4, shuffle, np.random.default_rng(0))
    assert len(of_x) == 3
    for x_alone, (x, _) in zip(of_x, of_both, strict=True):
        assert_same(x_alone, x, "rows", 0)


def test_batches_of_lists():
    (x, y), *_ = nn.batches([[1.0], [2.0]], [0, 1], 2, shuffle=False)
    assert isinstance(x, np.ndarray) and y.tolist() == [0, 1]


def a_run():
    rng = np.random.default_rng(1)
    model = nn.Sequential(nn.Linear(2, 4, rng=rng), nn.BatchNorm1d(4), nn.Linear(4, 1, rng=rng))
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    return model, optimizer, np.random.default_rng(2), np.zeros(1, int)


def train(model, optimizer, rng, epoch, until):
    while epoch[0] < until:
        for x, y in nn.batches(X / 20, Y / 10, 4, rng=rng):
            optimizer.zero_grad()
            nn.mse(model(x)[:, 0], y).backward()
            optimizer.step()
        epoch += 1


def checkpoint(model, optimizer, rng, epoch):
    return nn.Checkpoint(model=model, optimizer=optimizer, rng=rng, epoch=epoch)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_a_run_in_one_file_goes_on_to_the_same_bits(ending, tmp_path):
    whole, first, second = a_run(), a_run(), a_run()
    train(*whole, 6)
    train(*first, 3)
    nn.save(checkpoint(*first), tmp_path / f"run{ending}")
    nn.load(checkpoint(*second), tmp_path / f"run{ending}")
    assert second[3] == 3
    train(*second, 6)
    ours, expected = checkpoint(*second).state_dict(), checkpoint(*whole).state_dict()
    assert list(ours) == list(expected)
    for name, array in ours.items():
        assert_same(array, expected[name], name, 0)


ERRORS = {
    "batches of other lengths": (lambda: nn.batches(X, Y[1:], 2), ValueError, "10", "9"),
    "batches of nothing": (lambda: nn.batches(X, Y, 0), ValueError, "batches: size", "got 0"),
    "batches of a half": (lambda: nn.batches(X, Y, 1.5), TypeError, "batches: size", "1.5"),
    "batches of no size": (lambda: nn.batches(X, Y), TypeError, "batches(x, y, size)", "size None"),
    "batches of x and a size": (lambda: nn.batches(X, 4), TypeError, "batches(x, size=...)", "y 4"),
    "a checkpoint of a number": (lambda: nn.Checkpoint(epoch=3), TypeError, "epoch", "int"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    assert_refused(*ERRORS[name])
