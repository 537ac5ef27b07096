"""Data-parallel training over MPI, by mpi4py: `mpiexec -n 4 python train.py`.

Every rank (process) holds the whole model and computes the gradient of its share of each batch; the
average over the ranks is the gradient of the batch, so that all of them take the same step:

    distributed.broadcast_parameters(model)
    for epoch in range(epochs):
        for rows in distributed.shard(len(x), 64, epoch):
            model.zero_grad()
            if len(rows):
                cross_entropy(model(x[rows]), y[rows]).backward()
            distributed.average_gradients(model, len(rows))
            optimizer.step()

In a single process all of this does nothing (`shard` gives whole batches), with or without mpi4py.
Among several ranks, every one has to call these functions, in the same order. Once this module is
imported, an uncaught exception on one rank ends them all, with its traceback; `sys.exit` on one
alone does so only if the program runs under `python -m mpi4py`.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
import zlib
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import integer
from micrograd.nn import Module

if TYPE_CHECKING:
    from mpi4py import MPI

__all__ = [
    "average_gradients", "broadcast_parameters", "check_parameters", "rank", "shard", "size",
]  # fmt: skip


def __dir__():  # what completion offers
    return __all__


def rank() -> int:
    """The number of this process, from 0."""
    comm = _world()
    return comm.rank if comm else 0


def size() -> int:
    """The number of processes."""
    comm = _world()
    return comm.size if comm else 1


def shard(n: int, batch: int, epoch: int = 0, seed: int = 0) -> list[np.ndarray]:
    """The row numbers of this rank, one array per batch, for an epoch over n rows.

    Seed and epoch alone decide how the rows are shuffled and cut into batches, the last of which
    may be smaller. It is each batch that is divided among the ranks, as evenly as it goes, so that
    any number of ranks trains on the same batches. A batch of fewer rows than ranks leaves some of
    them an empty array.
    """
    if batch < 1:
        raise ValueError(f"shard: a batch has at least one row, got batch={batch}")
    order = np.random.default_rng([seed, epoch]).permutation(n)
    batches = [order[start : start + batch] for start in range(0, n, batch)]
    return [np.array_split(rows, size())[rank()] for rows in batches]


def broadcast_parameters(model: Module) -> None:
    """Give every rank the parameters and buffers of rank 0.

    It takes an optimizer as well, or anything else with `state_dict` and `load_state_dict`.

    Raises:
        ValueError: a rank's model has other names, shapes or dtypes than that of rank 0.
    """
    comm = _world()
    if comm:
        model.load_state_dict(comm.bcast(model.state_dict() if comm.rank == 0 else None))


def average_gradients(model: Module, count: int) -> None:
    """Replace the gradients of all ranks by those of the whole batch, in one `Allreduce`.

    The gradients are those of a mean over rows, so a rank's weight is its number of rows. A rank
    without rows needs no `backward`. A parameter that none has reached stays unreached, so that an
    optimizer leaves it alone.

    Floating buffers are averaged too. This makes a BatchNorm's running means those of the whole
    batch; its running variances miss what differs between the ranks' means. While training it
    normalizes by the statistics of the rank's own rows, as it does in PyTorch without
    `SyncBatchNorm`: a network with BatchNorm depends on the number of ranks, others don't.

    Args:
        model: the model, after `backward`.
        count: how many rows of the batch this rank had.

    Raises:
        TypeError: count is not an integer.
        ValueError: count is negative, or, on all ranks, it is zero on all of them, or their models
            differ in the names, dtypes or shapes of what is averaged.
    """
    count = integer("average_gradients: count", count, least=0)
    comm = _world()
    if comm is None:
        return
    from mpi4py import MPI

    parameters = dict(sorted(model.named_parameters()))
    buffers = {
        f"{path}.{name}": getattr(module, name)
        for path, module in sorted(model.named_modules().items())
        for name in module.buffers
        if getattr(module, name).dtype.kind == "f"
    }
    forms = {name: f"{x.dtype} {x.shape}" for name, x in (parameters | buffers).items()}
    everyone = comm.allgather((count, zlib.crc32(repr(forms).encode())))
    if len({checksum for _, checksum in everyone}) > 1:  # MPI would add up what lies side by side
        differences = _differences(comm.allgather(forms))
        raise ValueError(f"average_gradients: dtypes, shapes or names differ: {differences}")
    total = sum(count for count, _ in everyone)
    if total == 0:
        raise ValueError("average_gradients: no rank has any rows")

    reached = np.array([p.has_grad for p in parameters.values()], np.float32)
    gradients = [p.grad if p.has_grad else np.zeros_like(p.data) for p in parameters.values()]
    arrays = [reached, *gradients, *buffers.values()]
    flat = np.concatenate([array.ravel() for array in arrays])
    if count:
        flat *= count / total
    else:
        flat[:] = 0  # without rows there may be nan, which times 0 is nan
    comm.Allreduce(MPI.IN_PLACE, flat)

    ends = np.cumsum([array.size for array in arrays])[:-1]
    reached, *means = np.split(flat, ends)
    for p, share, mean in zip(parameters.values(), reached, means):
        p.grad = mean.reshape(p.shape) if share > 0 else None
    for buffer, mean in zip(buffers.values(), means[len(parameters) :]):
        buffer[...] = mean.reshape(buffer.shape)


def check_parameters(model: Module) -> None:
    """Compare a checksum of every parameter and buffer over all ranks.

    It takes whatever `broadcast_parameters` does. A difference means that the ranks no longer train
    one model: faulty memory, different versions of a library, or a program that treats ranks
    differently.

    Raises:
        RuntimeError: on all ranks, naming those that differ from most others, and in what.
    """
    comm = _world()
    if comm is None:
        return
    sums = {
        name: zlib.crc32(array.tobytes(), zlib.crc32(f"{array.dtype}{array.shape}".encode()))
        for name, array in model.state_dict().items()
    }
    differences = _differences(comm.allgather(sums))
    if differences:
        raise RuntimeError(f"check_parameters: {differences}")


def _differences(everyone: list[dict[str, object]]) -> str:
    """Which ranks differ from most others, and in what; everyone has a value a name, by rank."""
    [(most, _)] = Counter(tuple(sorted(mine.items())) for mine in everyone).most_common(1)
    most = dict(most)
    reference = everyone.index(most)
    differing = []
    for number, mine in enumerate(everyone):
        names = [x for x in {**most, **mine} if mine.get(x) != most.get(x)]
        if names:
            differing.append(f"rank {number} differs from rank {reference} in {', '.join(names)}")
    return "; ".join(differing)


def _launched() -> int:
    """How many processes the launcher says it started; 1 if there is none, or it does not say."""
    # MPICH, Intel and Microsoft MPI; Open MPI; MVAPICH
    sizes = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
    return max(int(os.environ.get(name, 1)) for name in sizes)


@cache
def _world() -> MPI.Intracomm | None:
    """The communicator of all ranks; None in a single process."""
    launched = _launched()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no MPI library
        if launched == 1:
            return None
        raise ImportError(
            f"{launched} processes were launched, but mpi4py is missing or finds no MPI library "
            f"({error}): in a clone of this repository, pip install '.[mpi]'"
        ) from None
    comm = MPI.COMM_WORLD
    if comm.size == 1 < launched:
        raise RuntimeError(
            f"{launched} processes were launched, but mpi4py's library ({MPI.get_vendor()[0]}) "
            "sees one: this mpiexec belongs to another MPI; take the one that came with mpi4py's"
        )
    if comm.size == 1:
        return None

    def show_and_abort(*error):
        """Without this, the other ranks would wait for the one that raised."""
        text = "".join(traceback.format_exception(*error))
        text = f"\nRank {comm.rank} of {comm.size} ends the run:\n{text}"
        print(text, file=sys.stderr, flush=True)
        time.sleep(1)  # mpiexec passes the text on in its own time, and drops it when it aborts
        comm.Abort(1)

    sys.excepthook = show_and_abort
    return comm


if _launched() > 1:
    _world()  # now, so that an exception before the first call ends all ranks too
