"""Batches of examples: what every training loop writes by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from micrograd.arrays import array_of, describe, integer
from micrograd.names import explaining

__all__ = ["batches"]


class batches:  # noqa: N801 (it is used like `range`)
    """Rows of x and of y that belong together: `for x_rows, y_rows in batches(x, y, 64)`.

    Without y they are rows of x alone: `for x_rows in batches(x, size=64)`. Every iteration goes
    through all rows once, in a new order if shuffled; the last batch may be smaller. `len` is the
    number of batches, so that tqdm knows it.

    Args:
        x, y: arrays of as many rows; y may be None.
        size: the rows of a batch, to be given.
        shuffle: whether the order is drawn anew for each iteration.
        rng: a `np.random.Generator`; without it NumPy's global state is used.

    Raises:
        ValueError: x and y have different lengths, or size is less than 1.
        TypeError: size is no integer or missing, or a list holds no rectangular array.
    """

    @explaining
    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray | None = None,
        size: int | None = None,
        shuffle: bool = True,
        rng: np.random.Generator | None = None,
    ):
        if size is None or not (y is None or hasattr(y, "__len__")):
            raise TypeError(
                f"batches: expected batches(x, y, size), or batches(x, size=...) of x alone, got y "
                f"{describe(y)} and size {size}"
            )
        if y is not None and len(x) != len(y):
            raise ValueError(f"batches: {len(x)} rows of x and {len(y)} of y")
        self.size, self.shuffle, self.rng = integer("batches: size", size), shuffle, rng
        self.x = array_of("batches: x", x) if isinstance(x, list) else x
        self.y = array_of("batches: y", y) if isinstance(y, list) else y

    def __len__(self) -> int:
        return -(-len(self.x) // self.size)

    def __iter__(self) -> Iterator[Any]:
        n, order = len(self.x), None
        if self.shuffle:
            order = (self.rng or np.random).permutation(n)
        for start in range(0, n, self.size):
            rows = slice(start, start + self.size)
            rows = rows if order is None else order[rows]
            yield self.x[rows] if self.y is None else (self.x[rows], self.y[rows])
