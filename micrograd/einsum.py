"""`einsum` on Tensors."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import describe
from micrograd.engine import Tensor, apply
from micrograd.operations import function

if TYPE_CHECKING:
    from micrograd.protocol import Operand

__all__ = ["einsum"]


@function()
def einsum(subscripts: str, *operands: Operand, optimize: bool | str = True) -> Tensor:
    """Products of operands summed as the subscripts say, `einsum("bij,bjk->bik", x, y)`.

    Everything of `np.einsum`'s string form: "...", repeated letters, implicit output.
    """
    inputs, output = labels_of(subscripts, [np.ndim(x) for x in operands])
    operands = tuple(diagonal(x, labels) for x, labels in zip(operands, inputs))
    inputs = ["".join(dict.fromkeys(labels)) for labels in inputs]

    def derivative(i: int) -> Callable:
        def d(g, y, *operands):
            others = [x for j, x in enumerate(operands) if j != i]
            labels = [output, *inputs[:i], *inputs[i + 1 :]]
            found = "".join(c for c in inputs[i] if c in "".join(labels))
            part = np.einsum(f"{','.join(labels)}->{found}", g, *others, optimize=optimize)
            alone = tuple(k for k, c in enumerate(inputs[i]) if c not in found)
            part = np.expand_dims(part, alone)  # what was summed over alone is repeated
            ones = [n if m == 1 else 1 for m, n in zip(part.shape, operands[i].shape)]
            return part * np.ones(ones, part.dtype)

        return d

    def forward(*arrays):
        return np.einsum(f"{','.join(inputs)}->{output}", *arrays, optimize=optimize)

    return apply("einsum", forward, operands, *map(derivative, range(len(operands))))


def labels_of(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """The labels of each operand and of the output, one letter per axis, without "..."."""
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: expected subscripts like 'ij,jk->ik', got {describe(subscripts)}")
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} is for {len(inputs)} operands, got {len(ndims)}")
    spare = [c for c in string.ascii_letters if c not in subscripts]
    batch = ""
    for i, (labels, ndim) in enumerate(zip(inputs, ndims)):
        more = ndim - len(labels.replace("...", ""))
        if more < 0 or (more and "..." not in labels):
            raise ValueError(f"einsum: {labels!r} does not fit an operand of {ndim} axes")
        letters = "".join(reversed(spare[:more]))  # "..." is aligned at its last axis
        inputs[i] = labels.replace("...", letters)
        batch = max(batch, letters, key=len)
    if arrow:
        return inputs, output.replace("...", batch)
    every = "".join(inputs)
    return inputs, batch + "".join(
        sorted(c for c in set(every) - set(batch) if every.count(c) == 1)
    )


def diagonal(x, labels: str):
    """Take the diagonal of the axes of x that share a label, so that every label stands once."""
    unique = list(dict.fromkeys(labels))
    if len(unique) == len(labels):
        return x
    for c in unique:
        if len({n for n, label in zip(x.shape, labels) if label == c}) > 1:
            raise ValueError(f"einsum: label {c!r} of {labels!r} has several lengths in {x.shape}")
    places = np.indices([x.shape[labels.index(c)] for c in unique], sparse=True)
    return x[tuple(places[unique.index(c)] for c in labels)]
