"""Training over MPI, with real ranks: mpiexec starts ranks.py or the training script."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from micrograd import distributed
from micrograd.nn import (
    Layer,
    MultiLayerPerceptron,
    cross_entropy,
)
from micrograd.optim import Adam

RANKS = Path(__file__).with_name("ranks.py")
SCRIPT = Path(__file__).parents[1] / "misc" / "train_mnist_mpi.py"
MPIEXEC = shutil.which("mpiexec", path=os.path.dirname(sys.executable))


def launch(ranks, program, *arguments, timeout=60, **environment):
    """Run Python on this many ranks; on 0 ranks: without mpiexec."""
    assert MPIEXEC, "no mpiexec beside this Python: pip install '.[mpi]'"
    command = [MPIEXEC, "-n", str(ranks)] if ranks else []
    return subprocess.run(
        [*command, sys.executable, str(program), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def succeed(*launched, **options):
    """Launch something that has to end well; returns its standard output."""
    done = launch(*launched, **options)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def arrays(path):
    with np.load(path) as file:
        return dict(file)


def assert_same_bits(actual, expected):
    """Both are arrays by name."""
    assert list(actual) == list(expected)
    for name, array in expected.items():
        given = actual[name]
        assert (given.shape, given.dtype) == (array.shape, array.dtype), name
        assert given.tobytes() == array.tobytes(), name


# One process

ONE_PROCESS = """
import sys
import numpy as np
if "without mpi4py" in sys.argv:
    sys.modules["mpi4py"] = None  # an import of it fails
import micrograd
assert "micrograd.distributed" not in sys.modules
from micrograd import distributed
from micrograd.nn import Layer
assert not sys.modules.get("mpi4py")

model = Layer(2, 3)
model(np.ones((4, 2))).backward()
before = [(p.data.copy(), p.grad.copy()) for p in model.parameters()]
distributed.broadcast_parameters(model)
distributed.average_gradients(model, 4)
distributed.check_parameters(model)
for p, (data, gradient) in zip(model.parameters(), before):
    assert (p.data == data).all() and (p.grad == gradient).all()
assert (distributed.rank(), distributed.size()) == (0, 1)
assert [len(rows) for rows in distributed.shard(10, 4)] == [4, 4, 2]
assert sys.excepthook is sys.__excepthook__
"""


@pytest.mark.parametrize("installed", ["with mpi4py", "without mpi4py"])
def test_a_single_process_is_left_alone(installed):
    succeed(0, "-c", ONE_PROCESS, installed)


@pytest.mark.parametrize(
    ("installed", "variable", "message"),
    [
        ("without mpi4py", "PMI_SIZE", "pip install '.[mpi]'"),
        ("without mpi4py", "OMPI_COMM_WORLD_SIZE", "pip install '.[mpi]'"),
        ("with mpi4py", "OMPI_COMM_WORLD_SIZE", "this mpiexec belongs to another MPI"),
    ],
)
def test_ranks_that_could_not_talk_to_each_other_are_refused(installed, variable, message):
    done = launch(0, "-c", ONE_PROCESS, installed, **{variable: "2"})
    assert done.returncode == 1
    assert "2 processes were launched" in done.stderr
    assert message in done.stderr


# Shards


@pytest.mark.parametrize(("n", "batch"), [(10, 4), (12, 4), (9, 8), (3, 64), (0, 4)])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_any_number_of_ranks_trains_on_the_same_batches(monkeypatch, n, batch, ranks):
    monkeypatch.setattr(distributed, "size", lambda: ranks)
    shards = []
    for rank in range(ranks):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shards.append(distributed.shard(n, batch, epoch=3, seed=5))
    together = [np.concatenate(parts) for parts in zip(*shards)]
    order = np.random.default_rng([5, 3]).permutation(n)
    assert [len(rows) for rows in together] == [min(batch, n - i) for i in range(0, n, batch)]
    assert np.array_equal(np.concatenate([order[:0], *together]), order)
    for parts in zip(*shards):
        lengths = [len(part) for part in parts]
        assert max(lengths) - min(lengths) <= 1, lengths


def test_epochs_and_seeds_shuffle_differently(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 1)
    monkeypatch.setattr(distributed, "rank", lambda: 0)
    orders = {tuple(distributed.shard(20, 20, e, s)[0]) for e in range(3) for s in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: distributed.shard(10, 0),
            ValueError,
            "shard: a batch has at least one row, got batch=0",
        ),
        (
            lambda: distributed.average_gradients(Layer(1, 1), -1),
            ValueError,
            "average_gradients: count: expected an integer of at least 0, got -1",
        ),
        *(
            (
                lambda count=count: distributed.average_gradients(Layer(1, 1), count),
                TypeError,
                f"average_gradients: count: expected an integer of at least 0, got {count!r}",
            )
            for count in (float("nan"), 2.0, True, None)
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# What ranks do together, in as few processes as can be


@pytest.mark.parametrize(
    ("ranks", "programs"),
    [(2, "average+check"), (4, "average+check"), (3, "statistics+broadcast")],
)
def test_what_ranks_compute_together(ranks, programs):
    succeed(ranks, RANKS, programs)


def test_ranks_whose_models_or_counts_are_wrong_are_told():
    done = launch(2, RANKS, "misfits", timeout=30)
    assert "Rank 1 of 2 ends the run:" in done.stderr
    assert "TypeError: average_gradients: count: expected an integer" in done.stderr, done.stderr


def test_broadcast_refuses_another_form():
    done = launch(2, RANKS, "broadcast_misfit", timeout=10)
    assert done.returncode != 0
    assert "Rank 1 of 2" in done.stderr
    assert "load_state_dict: weights: float64 (2, 3), expected float64 (2, 4)" in done.stderr


def test_a_rank_that_raises_before_any_call_ends_all():
    done = launch(2, RANKS, "raise_early", timeout=10)
    assert done.returncode != 0
    assert "Rank 1 of 2 ends the run:" in done.stderr
    assert "FileNotFoundError: no data here" in done.stderr


# The training script


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The training script beside the first images alone, for all of MNIST take long to unpack."""
    folder = tmp_path_factory.mktemp("script")
    with np.load(SCRIPT.with_name("mnist.npz")) as data:
        first = {name: data[name][: 3200 if "train" in name else 100] for name in data.files}
    np.savez(folder / "mnist.npz", **first)
    return shutil.copy(SCRIPT, folder)


def options(directory, epochs=3, batch=64, steps=10):
    """The last batch of an epoch has 3 rows, which leaves one of 4 ranks without any."""
    limit = (steps - 1) * batch + 3
    return "--epochs", epochs, "--batch", batch, "--limit", limit, "--checkpoint", directory


@pytest.mark.parametrize(
    ("batch", "numbers_of_ranks"),
    [(64, (1, 2, 4)), (61, (0, 2, 4))],
    ids=["equal shards", "unequal shards"],
)
def test_any_number_of_ranks_gives_the_weights_of_plain_training(
    tmp_path, batch, numbers_of_ranks, script
):
    with np.load(SCRIPT.with_name("mnist.npz")) as data:
        limit = 49 * batch + 3
        x, y = data["X_train"][:limit].reshape(limit, 784) / 255, data["y_train"][:limit]
    rng = np.random.default_rng(0)
    model = MultiLayerPerceptron(784, [128, 64, 10], init="glorot", rng=rng)
    start, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=1e-3)
    for epoch in range(2):
        order = np.random.default_rng([0, epoch]).permutation(limit)
        for i in range(0, limit, batch):
            model.zero_grad()
            cross_entropy(model(x[order[i : i + batch]]), y[order[i : i + batch]]).backward()
            optimizer.step()
    assert optimizer.steps == [100] * 6

    for ranks in numbers_of_ranks:
        directory = tmp_path / str(ranks)
        succeed(ranks, script, *options(directory, 2, batch, steps=50))
        state = arrays(directory / "epoch-0002.npz")
        for (name, p), first in zip(model.named_parameters(), start.parameters()):
            error = np.abs(state[f"model.{name}"] - p.data).max()
            assert error < 1e-10, f"{ranks} ranks, {name}: off by {error}"
            assert np.abs(p.data - first.data).max() > 1e-2, f"{name} was not trained"


def test_only_rank_0_reports(tmp_path):
    done = launch(2, SCRIPT, *options(tmp_path, epochs=1))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "ranks: 2, BLAS threads each: 1"
    assert [line.split(":")[0] for line in lines[1:]] == ["epoch 1"]
    bars = [line for line in done.stderr.replace("\r", "\n").splitlines() if line]
    assert {line.split(":")[0] for line in bars} == {"epoch 1"}, done.stderr
    assert sum("| 0/10 " in line for line in bars) == 1, done.stderr


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, script):
    succeed(2, RANKS, "planted", "none", 0, script, *options(tmp_path / "undisturbed"))
    done = launch(2, RANKS, "planted", "kill", 25, script, *options(tmp_path / "killed"))
    assert done.returncode != 0
    assert [path.name for path in sorted((tmp_path / "killed").iterdir())] == [
        "epoch-0001.npz",
        "epoch-0002.npz",
    ]
    output = succeed(
        2, RANKS, "planted", "none", 0, script, *options(tmp_path / "killed"), "--resume"
    )
    assert f"resuming from {tmp_path / 'killed' / 'epoch-0002.npz'}" in output
    ends = [arrays(tmp_path / run / "epoch-0003.npz") for run in ("killed", "undisturbed")]
    assert_same_bits(*ends)


def test_a_run_killed_in_its_first_epoch_resumes_from_the_beginning(tmp_path, script):
    done = launch(2, RANKS, "planted", "kill", 5, script, *options(tmp_path / "killed", epochs=1))
    assert done.returncode != 0
    resumed = (*options(tmp_path / "killed", epochs=1), "--resume")
    assert "starting at the beginning" in succeed(2, script, *resumed)
    succeed(2, script, *options(tmp_path / "undisturbed", epochs=1))
    ends = [arrays(tmp_path / run / "epoch-0001.npz") for run in ("killed", "undisturbed")]
    assert_same_bits(*ends)


def test_a_rank_that_raises_ends_all(tmp_path, script):
    done = launch(4, RANKS, "planted", "raise", 5, script, *options(tmp_path), timeout=10)
    assert done.returncode != 0
    assert "Rank 3 of 4 ends the run:" in done.stderr
    assert "Traceback" in done.stderr
    assert "in average_with_fault" in done.stderr
    assert "ArithmeticError: the planted error" in done.stderr


@pytest.mark.parametrize(
    ("steps", "fault_at", "name", "saved"),
    [(10, 15, "model.layers.1.bias", ["epoch-0001.npz"]), (105, 5, "layers.1.bias", [])],
    ids=["found at the end of an epoch", "found within an epoch"],
)
def test_a_rank_that_drifts_is_named_and_not_saved(tmp_path, steps, fault_at, name, saved, script):
    arguments = options(tmp_path, epochs=2, batch=16, steps=steps)
    done = launch(3, RANKS, "planted", "differ", fault_at, script, *arguments)
    assert done.returncode != 0
    assert f"rank 2 differs from rank 0 in {name}\n" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == saved


# Checkpoints


@pytest.fixture(scope="module")
def finished(tmp_path_factory, script):
    """The checkpoints of a run of 4 epochs, of which the last two are left."""
    directory = tmp_path_factory.mktemp("finished")
    succeed(0, script, *options(directory, epochs=4))
    names = [path.name for path in sorted(directory.iterdir())]
    assert names == ["epoch-0003.npz", "epoch-0004.npz"]
    return directory


def cut_short(path):
    os.truncate(path, path.stat().st_size - 1000)


def change_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_short, change_a_byte])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_used(
    tmp_path, finished, damage, script
):
    directory = shutil.copytree(finished, tmp_path / "run")
    damage(directory / "epoch-0004.npz")
    output = succeed(0, script, *options(directory, epochs=4), "--resume")
    assert f"{directory / 'epoch-0004.npz'} is refused" in output
    assert f"resuming from {directory / 'epoch-0003.npz'}" in output
    assert_same_bits(arrays(directory / "epoch-0004.npz"), arrays(finished / "epoch-0004.npz"))


def test_what_was_left_of_an_interrupted_save_is_swept_away(tmp_path, finished, script):
    directory = shutil.copytree(finished, tmp_path / "run")
    (directory / "epoch-0005.npz.123.tmp").write_bytes(b"half a checkpoint")
    succeed(0, script, *options(directory, epochs=5), "--resume")
    names = [path.name for path in sorted(directory.iterdir())]
    assert names == ["epoch-0004.npz", "epoch-0005.npz"]


def test_checkpoints_that_cannot_be_used_end_the_run(tmp_path, finished, script):
    directory = shutil.copytree(finished, tmp_path / "run")
    for path in directory.iterdir():
        cut_short(path)
    cases = [
        (directory, ("--resume",), "no checkpoint can be used"),
        (finished, ("--resume", "--lr", "0.5"), "'lr': 0.001"),
        (finished, (), "add --resume"),
    ]
    for where, more, message in cases:
        before = {path.name: path.read_bytes() for path in where.iterdir()}
        done = launch(0, script, *options(where, epochs=5), *more)
        assert done.returncode == 1, f"{more}: {done.stdout}"
        assert message in done.stderr, f"{more}: {done.stderr}"
        assert before == {path.name: path.read_bytes() for path in where.iterdir()}, more
