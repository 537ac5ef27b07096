"""What the notebooks draw, kept apart from what they teach.

    python misc/pictures.py

writes the pictures of the README anew: the graph of its first example, and what the demos at the
top draw. It takes about a minute, and `pip install -e '.[demo,draw]'`.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

# Okabe and Ito's colours, which colour-blind readers can tell apart as well
BLUE, ORANGE, GREEN, GREY, BLACK = "#0072B2", "#D55E00", "#009E73", "#999999", "#333333"
MISC = Path(__file__).resolve().parent
plt.rcParams.update({"figure.dpi": 100, "font.size": 11})
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})


def file(name):
    """Where a notebook keeps a picture: in build/, which git ignores."""
    Path("build").mkdir(exist_ok=True)
    return Path("build") / name


# The moons


def moons(axes, points, labels, size=50):
    """The points, each moon in its own colour and shape."""
    for label, color, marker in ((1, BLUE, "o"), (-1, ORANGE, "s")):
        moon = points[labels == label]
        style = {"color": color, "marker": marker, "edgecolor": "white", "label": f"label {label}"}
        axes.scatter(moon[:, 0], moon[:, 1], s=size, **style)
    axes.set(xlabel="first coordinate", ylabel="second coordinate")


def border(axes, plane, scores, points, labels, title, size=50):
    """Which moon each point of the plane (rows, columns, 2) is assigned to, and the margin."""
    x1, x2 = plane[..., 0], plane[..., 1]
    sides = [-np.inf, 0, np.inf]
    axes.contourf(x1, x2, scores, levels=sides, colors=[ORANGE, BLUE], alpha=0.25)
    if scores.min() < 0 < scores.max():
        lines = ["--", "-", "--"]
        axes.contour(x1, x2, scores, levels=[-1, 0, 1], colors="black", linestyles=lines)
    moons(axes, points, labels, size)
    axes.set_title(title)


def bare(axes):
    """Without ticks, labels and lines around it, for small pictures."""
    axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
    axes.spines[:].set_visible(False)


def strip(planes, points, labels):
    """One small picture of the border beside the other: a dict of title: (plane, scores)."""
    figure, row = plt.subplots(1, len(planes), figsize=(11, 2.5), layout="constrained")
    for axes, (title, (plane, scores)) in zip(row, planes.items()):
        border(axes, plane, scores, points, labels, title, size=10)
        bare(axes)
    return figure


def save_animation(path, draw, frames):
    """An animated GIF: draw(axes, frame) for each of the frames; the last one stays for a while."""
    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")

    def show(frame):
        axes.clear()
        draw(axes, frame)
        bare(axes)

    frames = [*frames, *[frames[-1]] * 20]
    FuncAnimation(figure, show, frames).save(path, PillowWriter(fps=10), dpi=64)
    plt.close(figure)


def units(plane, layers, points, labels):
    """For each layer's title, what some of its units (rows, columns, n) make of the plane."""
    count = len(next(iter(layers.values())))
    figure, grid = plt.subplots(
        len(layers), count, figsize=(11, 2.3 * len(layers)), layout="constrained"
    )
    for row, (title, outputs) in zip(grid, layers.items()):
        for axes, output in zip(row, outputs):
            axes.contourf(plane[..., 0], plane[..., 1], output, levels=12, cmap="Greys")
            moons(axes, points, labels, size=8)
            bare(axes)
        row[0].set_ylabel(title)
    return figure


# Curves


def running_mean(values, width):
    return np.convolve(values, np.ones(width) / width, mode="valid")


def loss_curve(axes, losses, title="The loss during training", **style):
    axes.plot(np.arange(1, len(losses) + 1), losses, **{"color": BLUE, "linewidth": 2, **style})
    axes.set(yscale="log", xlabel="step", ylabel="loss (logarithmic)", title=title)
    axes.grid(alpha=0.3)


# Digits


def digits(images, titles, title, colors=None):
    """Ten images in two rows, each with a title of its own."""
    figure, grid = plt.subplots(2, 5, figsize=(9, 5), layout="constrained")
    for i, axes in enumerate(grid.flat):
        axes.imshow(images[i], cmap="gray_r")
        axes.set_title(titles[i], fontsize=12, color=colors[i] if colors else "black")
        bare(axes)
    figure.suptitle(title, fontsize=14)
    return figure


def answers(images, labels, probabilities, title):
    """Ten images with the answer, its probability and the truth: blue is right, orange is wrong."""
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    titles = [f"answer {a} ({p:.0%})\ntruth {t}" for a, p, t in zip(said, sure, labels)]
    colors = [BLUE if a == t else ORANGE for a, t in zip(said, labels)]
    return digits(images, titles, title, colors)


def confusion(truth, said, title):
    """How often each digit was taken for each other; the colours stop at 60."""
    from sklearn.metrics import ConfusionMatrixDisplay

    figure, axes = plt.subplots(figsize=(6.4, 6.4), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        truth, said, ax=axes, cmap="Blues", im_kw={"vmax": 60}, colorbar=False
    )
    axes.set(xlabel="the network's answer", ylabel="truth", title=title)
    return figure


def loss_by_epoch(losses):
    """The loss (epochs, batches) of each batch, and the mean of each epoch."""
    epochs, count = losses.shape
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    at = np.arange(losses.size) / count
    axes.plot(at, losses.ravel(), color=BLUE, alpha=0.25, linewidth=0.5, label="each batch")
    means = losses.mean(axis=1)
    axes.plot(np.arange(epochs) + 0.5, means, "o-", color=ORANGE, label="mean of an epoch")
    axes.set(yscale="log", xlabel="epochs", ylabel="loss (logarithmic)", xlim=(0, epochs))
    axes.set(title="The loss during training", xticks=range(0, epochs + 1, 5))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


# Convolutions


def im2col(image, columns, weights, sums, shown):
    """A convolution as a product of matrices; one window and what becomes of it are outlined."""
    size = len(weights)
    figure, row = plt.subplots(
        1, 4, figsize=(10, 3), layout="constrained", width_ratios=[1.3, 2, 0.6, 1]
    )
    column = weights.reshape(-1, 1)
    places = divmod(shown, sums.shape[1])
    for axes, array, title, (top, left), (height, width) in zip(
        row,
        (image, columns, column, sums),
        ("an image, and a window", "all windows, one a row", "the filter", "the sums"),
        (places, (shown, 0), (0, 0), places),
        ((size, size), (1, columns.shape[1]), column.shape, (1, 1)),
    ):
        axes.imshow(array, cmap="PuOr", vmin=-6, vmax=6)
        for i, j in np.ndindex(array.shape):
            axes.text(j, i, f"{array[i, j]:.0f}", ha="center", va="center", fontsize=9)
        corner = left - 0.5, top - 0.5
        axes.add_patch(plt.Rectangle(corner, width, height, fill=False, color=BLACK, lw=2.5))
        axes.set_title(title, fontsize=11)
        bare(axes)
    return figure


def filters(weights, responses, title):
    """Sixteen filters, from orange to purple, and below each what it gives for an image."""
    figure, grid = plt.subplots(4, 8, figsize=(9, 4.8), layout="constrained")
    limit = np.abs(weights).max()
    for k in range(16):
        row, column = 2 * (k // 8), k % 8
        grid[row, column].imshow(weights[k], cmap="PuOr", vmin=-limit, vmax=limit)
        grid[row + 1, column].imshow(responses[k], cmap="gray", vmin=0, vmax=responses.max())
    for axes in grid.flat:
        axes.set_axis_off()
    figure.suptitle(title)
    return figure


def many(images, titles, title):
    """Forty small images, each with a title of its own."""
    figure, grid = plt.subplots(4, 10, figsize=(9, 4.6), layout="constrained")
    for axes in grid.flat:
        axes.set_axis_off()
    for image, text, axes in zip(images, titles, grid.flat):
        axes.imshow(image, cmap="gray_r")
        axes.set_title(text, fontsize=8.5)
    figure.suptitle(title)
    return figure


def saliency(images, gradients):
    """Ten images, and below each the gradient of its score: purple where ink would raise it."""
    figure, grid = plt.subplots(2, 10, figsize=(11, 2.6), layout="constrained")
    for image, gradient, (above, below) in zip(images, gradients, grid.T):
        above.imshow(image, cmap="gray_r")
        limit = np.abs(gradient).max()
        below.imshow(gradient, cmap="PuOr", vmin=-limit, vmax=limit)
        above.set_axis_off()
        below.set_axis_off()
    figure.suptitle("Digits, and the gradient of the right score by their pixels")
    return figure


def race(runs, steps):
    """Training loss and test error of several runs: a dict of name: (losses, accuracies)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    styles = (
        {"color": BLUE, "linewidth": 4, "alpha": 0.6},
        {"color": ORANGE, "linestyle": "--"},
    )
    for (name, (losses, tested)), style in zip(runs.items(), styles):
        at = np.arange(100, len(losses) - 99) / steps
        left.plot(at, running_mean(losses, 200), **style, label=name)
        errors = 100 - 100 * np.array(tested)
        right.plot(np.arange(1, len(tested) + 1), errors, marker="o", **style, label=name)
    left.set(xlabel="epoch", ylabel="loss (mean of 200 steps)", yscale="log")
    left.set_title("Training loss")
    left.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"])
    left.minorticks_off()
    right.axhline(1, color=GREY, linestyle=":")
    right.set(xlabel="epoch", ylabel="test error in %", title="Test error", ylim=(0, None))
    right.legend(frameon=False)
    return figure


# Language models


def language_loss(losses, width, levels, title, limits):
    """The loss of each step, its running mean, and levels to compare with, by name."""
    axes = plt.subplots(figsize=(7, 3.2), layout="constrained")[1]
    axes.plot(losses, color=BLUE, alpha=0.25, linewidth=0.7, label="each step")
    at = np.arange(len(losses) - width + 1) + width // 2
    axes.plot(at, running_mean(losses, width), color=BLUE, label=f"mean of {width}")
    for (name, level), color in zip(levels.items(), (GREY, ORANGE)):
        axes.axhline(level, color=color, linestyle="--", label=name)
    axes.set(xlabel="step", ylabel="loss", title=title, ylim=limits)
    axes.legend(frameon=False, ncols=3, loc="upper right")
    return axes


def attention(patterns, text, title):
    """For each layer, the weights (heads, n, n) with which each letter looks at those before."""
    count = len(patterns[0])
    figure, grid = plt.subplots(
        len(patterns), count, figsize=(9, 7.2), layout="constrained", sharex=True, sharey=True
    )
    for layer, heads in enumerate(patterns):
        for head, axes in enumerate(grid[layer]):
            image = axes.imshow(heads[head], cmap="Blues", vmin=0, vmax=1)
            axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=10)
            axes.set_xticks(range(len(text)), text, va="baseline")
            axes.set_yticks(range(len(text)), text)
            axes.tick_params(axis="x", length=0, pad=12)
            axes.tick_params(axis="y", length=0)
    figure.colorbar(image, ax=grid, label="attention weight", shrink=0.6)
    figure.supxlabel("is looked at")
    figure.supylabel("looks")
    figure.suptitle(title)
    return figure


def expectations(probabilities, letters, text, targets):
    """How probable each letter is after each beginning of the text; what came next is outlined."""
    figure, axes = plt.subplots(figsize=(8.5, 3.7), layout="constrained")
    image = axes.imshow(probabilities, cmap="Blues", vmin=0, vmax=1)
    for row, letter in enumerate(targets):
        corner = letter - 0.5, row - 0.5
        axes.add_patch(plt.Rectangle(corner, 1, 1, fill=False, color=ORANGE, lw=2))
    axes.set_xticks(range(len(letters)), letters, va="baseline")
    axes.set_yticks(range(len(text)), [text[: i + 1] for i in range(len(text))])
    axes.tick_params(axis="x", length=0, pad=12)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="next letter", ylabel="read so far", title="What the model expects next")
    figure.colorbar(image, ax=axes, label="probability", shrink=0.8)
    return figure


# The README's


def graph(path):
    """The graph of `y` in the README's first example."""
    from micrograd.draw import draw

    readme = (MISC.parent / "README.md").read_text(encoding="utf-8")
    names = {}
    exec(re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1], names)
    draw(names["y"]).save(path, dpi=100)


def from_demos(folder):
    """What both demos draw, run in a copy of what they read."""
    shutil.copytree(MISC, folder / "misc", ignore=shutil.ignore_patterns("*.ipynb"))
    for demo in ("demo-moon.ipynb", "demo-mnist.ipynb"):
        shutil.copy(MISC.parent / demo, folder)
        command = ["-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", demo]
        subprocess.run([sys.executable, *command], cwd=folder, check=True)
    return sorted((folder / "build").iterdir())


if __name__ == "__main__":
    graph(MISC / "graph.png")
    with tempfile.TemporaryDirectory() as folder:
        for picture in from_demos(Path(folder)):
            shutil.copy(picture, MISC)
