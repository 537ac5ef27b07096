"""`einsum` on Tensors, and its relatives: products summed over some axes."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from micrograd.arrays import axes_of, describe
from micrograd.engine import Tensor, apply
from micrograd.operations import function, outer
from micrograd.protocol import FUNCTIONS
from micrograd.shapes import moveaxis, roll

if TYPE_CHECKING:
    from micrograd.protocol import Operand

__all__ = [
    "cross", "einsum", "inner", "kron", "matvec", "tensordot", "vdot", "vecdot", "vecmat"
]  # fmt: skip

LETTER = dict(enumerate(string.ascii_uppercase + string.ascii_lowercase))  # as they are sorted


@function()
def einsum(
    subscripts: str | Operand, *operands: Operand | Sequence, optimize: bool | str = True
) -> Tensor:
    """Products of operands summed as the subscripts say, `einsum("bij,bjk->bik", x, y)`.

    Everything of `np.einsum`: "...", repeated letters, implicit output, and lists of numbers in
    the place of letters, `einsum(x, [0, 1], y, [1, 2], [0, 2])`.
    """
    if not isinstance(subscripts, str):
        subscripts, operands = spelled((subscripts, *operands))
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


def spelled(given: tuple) -> tuple[str, tuple]:
    """The string form of operands that are each followed by a list of labels."""
    n = len(given) // 2
    operands, lists = given[: 2 * n : 2], [*given[1 : 2 * n : 2], *given[2 * n :]]
    try:
        words = ["".join("..." if c is ... else LETTER[c] for c in labels) for labels in lists]
    except (TypeError, KeyError):
        raise TypeError(
            "einsum: expected subscripts like 'ij,jk->ik', or operands each followed by a list of "
            f"labels below {len(LETTER)}, got {' and '.join(map(describe, lists))}"
        ) from None
    return ",".join(words[:n]) + "".join(f"->{word}" for word in words[n:]), operands


def labels_of(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """The labels of each operand and of the output, one letter per axis, without "..."."""
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


@function(np.linalg.tensordot, x1="a", x2="b")
def tensordot(a, b, axes: int | Sequence = 2) -> Tensor:
    """The sum of products over axes of a and of b: (axes of a, axes of b).

    A number n stands for the last n axes of a and the first n of b.
    """
    ndims = np.ndim(a), np.ndim(b)
    if isinstance(axes, (int, np.integer)):
        axes = range(ndims[0] - axes, ndims[0]), range(axes)
    left, right = (
        axes_of("tensordot", (i,) if np.ndim(i) == 0 else tuple(i), n) for i, n in zip(axes, ndims)
    )
    shapes = np.shape(a), np.shape(b)
    lengths = [[shape[i] for i in some] for shape, some in zip(shapes, (left, right))]
    if lengths[0] != lengths[1]:
        raise ValueError(
            f"tensordot: axes {left} of shape {shapes[0]} do not fit {right} of {shapes[1]}"
        )
    rest = [[i for i in range(n) if i not in some] for n, some in zip(ndims, (left, right))]
    n = math.prod(lengths[0])
    outside = [[shape[i] for i in some] for shape, some in zip(shapes, rest)]
    a = np.transpose(a, rest[0] + left).reshape(math.prod(outside[0]), n)
    b = np.transpose(b, right + rest[1]).reshape(n, math.prod(outside[1]))
    return (a @ b).reshape(outside[0] + outside[1])


@function()
def inner(a, b) -> Tensor:
    """The sum of products over the last axes of a and b."""
    return a * b if np.ndim(a) == 0 or np.ndim(b) == 0 else tensordot(a, b, (-1, -1))


@function()
def vdot(a, b) -> Tensor:
    """The sum of products of all elements of a and b."""
    return np.ravel(a) @ np.ravel(b)


@function(np.linalg.vecdot)
def vecdot(x1, x2, *, axis: int = -1) -> Tensor:
    """The sum of products over one axis of both."""
    if axis != -1:
        x1, x2 = (moveaxis(x, axis, -1) for x in (x1, x2))
    if np.shape(x1)[-1:] != np.shape(x2)[-1:] or () in (np.shape(x1), np.shape(x2)):
        raise ValueError(f"vecdot: lengths differ: {np.shape(x1)} and {np.shape(x2)}, axis {axis}")
    return (x1 * x2).sum(-1)


@function()
def matvec(x1, x2) -> Tensor:
    """Matrices (..., n, m) times vectors (..., m)."""
    return (x1 @ x2[..., None])[..., 0]


@function()
def vecmat(x1, x2) -> Tensor:
    """Vectors (..., n) times matrices (..., n, m)."""
    return (x1[..., None, :] @ x2)[..., 0, :]


@function()
def kron(a, b) -> Tensor:
    """Every element of a times all of b, the blocks side by side."""
    n = max(np.ndim(a), np.ndim(b))
    shapes = [(1,) * (n - np.ndim(x)) + np.shape(x) for x in (a, b)]
    a = np.reshape(a, [k for length in shapes[0] for k in (length, 1)])
    b = np.reshape(b, [k for length in shapes[1] for k in (1, length)])
    return (a * b).reshape([k * m for k, m in zip(*shapes)])


@function()
def cross(
    a, b, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Tensor:
    """The vector product along an axis of each: of vectors of length 3, or 2 in the plane.

    Of two vectors in the plane the result is a number, of one it has zero for its third element.
    """
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    lengths = np.shape(a)[-1], np.shape(b)[-1]
    if not {*lengths} <= {2, 3}:
        raise ValueError(f"cross: expected vectors of length 3, got {np.shape(a)}, {np.shape(b)}")
    if lengths == (2, 2):
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    a, b = (
        x if np.shape(x)[-1] == 3 else np.pad(x, [(0, 0)] * (np.ndim(x) - 1) + [(0, 1)])
        for x in (a, b)
    )
    y = roll(a, -1, -1) * roll(b, 1, -1) - roll(a, 1, -1) * roll(b, -1, -1)
    return moveaxis(y, -1, axisc)


FUNCTIONS.update({
    np.linalg.matmul: lambda x1, x2: x1 @ x2,
    np.linalg.outer: lambda x1, x2: outer(x1, x2),
    np.linalg.cross: lambda x1, x2, *, axis=-1: cross(x1, x2, axis=axis),
})  # fmt: skip
