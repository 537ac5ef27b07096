"""Train a network on MNIST with as many MPI ranks as it is started with.

    python misc/train_mnist_mpi.py
    mpiexec -n 2 python misc/train_mnist_mpi.py
    mpiexec -n 2 python misc/train_mnist_mpi.py --resume

Each batch is divided among the ranks, so that any number of them gives the same weights, to within
rounding. A checkpoint is written after each epoch and the last two are kept: a run that was killed
goes on from there with --resume, and with the same number of ranks it ends with the same bits as if
nothing had happened.
"""

import argparse
import os
from pathlib import Path

# One BLAS thread a rank: the ranks share the cores already. NumPy reads this when it is imported.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["VECLIB_MAXIMUM_THREADS"] = "1"

import numpy as np

from micrograd import distributed, no_grad
from micrograd.nn import MultiLayerPerceptron, cross_entropy, load, save
from micrograd.optim import Adam

CHECK_EVERY = 100  # steps between two comparisons of the ranks' parameters


class Run:
    """All that decides how training goes on, as one object for `save` and `load`.

    The random state is the seed in the settings together with the epoch: every epoch starts its
    generators from the two, whatever was drawn before.
    """

    def __init__(self, model, optimizer, settings):
        self.model, self.optimizer, self.settings = model, optimizer, settings
        self.epoch = 0  # how many are complete

    def state_dict(self):
        """Arrays by name; the names start with "settings.", "model." or "optimizer."."""
        parts = {
            "settings": {name: np.array(value) for name, value in self.settings.items()},
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        state = {f"{part}.{name}": x for part, xs in parts.items() for name, x in xs.items()}
        return {"epoch": np.array(self.epoch), **state}

    def load_state_dict(self, state, strict=True):
        """Take over such arrays; a ValueError if they are of a run with other settings."""

        def part(prefix):
            return {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}

        settings = {name: x.item() for name, x in part("settings.").items()}
        if settings != self.settings:
            raise ValueError(f"it was written with {settings}, this run has {self.settings}")
        self.model.load_state_dict(part("model."), strict)
        self.optimizer.load_state_dict(part("optimizer."), strict)
        self.epoch = int(state["epoch"])


def checkpoints(directory):
    """The checkpoint files of a directory, the newest first."""
    return sorted(directory.glob("epoch-*.npz"), reverse=True)


def write_checkpoint(run, directory):
    """Save a run under its epoch; keep the one before it, and nothing older."""
    directory.mkdir(parents=True, exist_ok=True)
    save(run, directory / f"epoch-{run.epoch:04}.npz")
    for old in [*checkpoints(directory)[2:], *directory.glob("epoch-*.tmp")]:
        old.unlink()


def resume(run, directory):
    """Load the newest checkpoint that is whole; without any, the run starts at the beginning."""
    refused = []
    for path in checkpoints(directory):
        try:
            load(run, path)
        except ValueError as error:
            refused.append(f"{path} is refused: {error}")
            print(refused[-1])
        else:
            print(f"resuming from {path}")
            return
    if refused:
        raise ValueError("no checkpoint can be used:\n" + "\n".join(refused))
    print(f"no checkpoint in {directory}, starting at the beginning")


def progress(batches, label):
    """The batches, with a progress bar on rank 0."""
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError("this needs tqdm: pip install -e '.[demo]'") from None
    return tqdm(batches, label, disable=distributed.rank() != 0)


def train_epoch(run, images, labels):
    """One pass over the images."""
    # For whatever draws random numbers, as Dropout does: other ones on each rank and in each epoch
    seed, batch = run.settings["seed"], run.settings["batch"]
    np.random.seed([seed, run.epoch, distributed.rank()])  # noqa: NPY002 (Dropout's default)
    batches = distributed.shard(len(labels), batch, run.epoch, seed)
    bar = progress(batches, f"epoch {run.epoch + 1}")
    for step, rows in enumerate(bar):
        if step % CHECK_EVERY == 0:
            distributed.check_parameters(run.model)
        run.model.zero_grad()
        if len(rows):
            loss = cross_entropy(run.model(images[rows] / 255), labels[rows])
            loss.backward()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        distributed.average_gradients(run.model, len(rows))
        run.optimizer.step()
    run.epoch += 1
    distributed.check_parameters(run)


@no_grad()
def accuracy(model, images, labels):
    """The share of the images that the model gets right."""
    return np.mean(model(images / 255).argmax(-1) == labels)


def main():
    parser = argparse.ArgumentParser(
        description="Train a network on MNIST, on all MPI ranks.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epochs", type=int, default=5, help="passes over the images, in all")
    parser.add_argument("--batch", type=int, default=64, help="rows a step, over all ranks")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of Adam")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the shuffling")
    parser.add_argument("--limit", type=int, default=60000, help="images, at most")
    parser.add_argument(
        "--checkpoint", type=Path, default="checkpoints", metavar="DIR", help="for checkpoints"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    options = parser.parse_args()

    first = distributed.rank() == 0
    with np.load(Path(__file__).with_name("mnist.npz")) as data:
        names = "X_train", "y_train", "X_test", "y_test"
        images, labels, test_images, test_labels = (data[x][: options.limit] for x in names)
    images, test_images = (x.reshape(len(x), -1) for x in (images, test_images))

    rng = np.random.default_rng(options.seed)
    model = MultiLayerPerceptron(784, [128, 64, 10], init="glorot", rng=rng)
    settings = {name: getattr(options, name) for name in ("batch", "lr", "seed", "limit")}
    run = Run(model, Adam(model.parameters(), options.lr), settings)
    if first:
        print(f"ranks: {distributed.size()}, BLAS threads each: 1")
        if options.resume:
            resume(run, options.checkpoint)
        elif checkpoints(options.checkpoint):
            raise FileExistsError(
                f"{options.checkpoint} has the checkpoints of another run: add --resume to go on "
                "with it, or name another directory with --checkpoint"
            )
    distributed.broadcast_parameters(run)

    while run.epoch < options.epochs:
        train_epoch(run, images, labels)
        if first:
            write_checkpoint(run, options.checkpoint)
            right = accuracy(model, test_images, test_labels)
            print(f"epoch {run.epoch}: {right:.2%} of the test images are right", flush=True)


if __name__ == "__main__":
    main()
