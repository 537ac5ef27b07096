"""Attention."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd.arrays import array_of
from micrograd.engine import Tensor
from micrograd.init import torch, xavier
from micrograd.layers import dropped, floating, probability, sizes
from micrograd.module import Module
from micrograd.names import explaining
from micrograd.operations import where
from micrograd.protocol import data_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from micrograd.interop import Door, Taker

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(Module):
    """softmax(q k^T / sqrt(d)) v in several heads of width d (Vaswani et al., 2017).

    Its parameters are those of PyTorch's MultiheadAttention with `batch_first=True`.

    Args:
        embed_dim: the width of queries, keys, values and the output.
        num_heads: the number of heads, which divides embed_dim.
        dropout: the probability with which, in training, each weight of the attention is dropped.
        bias: whether there are biases.
        rng: a `np.random.Generator`; without it NumPy's global state is used.
    """

    torch_name = "MultiheadAttention"
    torch_fixed = (
        ("batch_first", True),
        ("bias_k", None),
        ("add_zero_attn", False),
    )

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        rng: np.random.Generator | None = None,
    ):
        embed_dim, num_heads = sizes("MultiHeadAttention", embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise ValueError(f"MultiHeadAttention: {num_heads} heads don't divide {embed_dim}")
        e = embed_dim
        self.embed_dim, self.num_heads = e, num_heads
        self.dropout, self.rng = probability("MultiHeadAttention: dropout", dropout), rng
        self.in_proj_weight = xavier(Tensor(np.zeros((3 * e, e))), rng)
        self.in_proj_bias = Tensor(np.zeros(3 * e)) if bias else None
        self.out_proj = {"weight": torch(Tensor(np.zeros((e, e))), rng)}
        if bias:
            self.out_proj["bias"] = Tensor(np.zeros(e))

    @explaining
    def __call__(
        self,
        query,
        key=None,
        value=None,
        mask: ArrayLike | None = None,
        causal: bool = False,
        need_weights: bool = False,
        average_attn_weights: bool = True,
    ) -> Tensor | Any:
        """The output (n, t, embed_dim), or if need_weights a pair of it and of the weights.

        Args:
            query: (n, t, embed_dim).
            key, value: (n, s, embed_dim); the query if None, and the value the key.
            mask: bools (t, s), or four axes that broadcast to (n, num_heads, t, s): True where a
                query may look, which is the opposite of PyTorch's `attn_mask`. A row without any
                gives nan.
            causal: whether a query at i sees keys up to i alone.
            need_weights: also give the weights of the attention, as PyTorch does by default.
            average_attn_weights: their mean over the heads, (n, t, s); if False those of each,
                (n, num_heads, t, s).

        Raises:
            ValueError: the shapes don't fit.
        """
        key = query if key is None else key
        value = key if value is None else value
        x = [floating("MultiHeadAttention", x, self.in_proj_weight) for x in (query, key, value)]
        e, heads = self.embed_dim, self.num_heads
        for t in x:
            if t.ndim != 3 or t.shape[2] != e:
                raise ValueError(f"MultiHeadAttention: expected (n, time, {e}), got {t.shape}")
        parts = []
        for i, t in enumerate(x):
            rows = slice(i * e, (i + 1) * e)
            t = t @ self.in_proj_weight[rows].T
            t = t if self.in_proj_bias is None else t + self.in_proj_bias[rows]
            parts.append(t.reshape(*t.shape[:2], heads, e // heads).swapaxes(1, 2))
        q, k, v = parts
        scores = q @ (k * (1 / math.sqrt(e // heads))).swapaxes(-1, -2)
        allowed = None if mask is None else _mask_for(scores.shape, mask)
        if causal:
            seen = np.tri(*scores.shape[-2:], dtype=bool)
            allowed = seen if allowed is None else seen & allowed
        if allowed is not None:
            scores = where(allowed, scores, -np.inf)
        weights = scores.softmax(-1)
        if self.training and self.dropout:
            weights = dropped(weights, self.dropout, self.rng)
        y = (weights @ v).swapaxes(1, 2).reshape(*x[0].shape[:2], e) @ self.out_proj["weight"].T
        y = y + self.out_proj["bias"] if "bias" in self.out_proj else y
        if not need_weights:
            return y
        return y, weights.mean(axis=1) if average_attn_weights else weights

    @property
    def bias(self) -> bool:
        """Whether there are biases."""
        return self.in_proj_bias is not None

    def torch_modules(self, door: Door) -> list:
        theirs = door.nn.MultiheadAttention(
            self.embed_dim, self.num_heads, self.dropout, self.bias, batch_first=True
        )
        door.filled(theirs, in_proj_weight=self.in_proj_weight, in_proj_bias=self.in_proj_bias)
        door.filled(theirs.out_proj, **self.out_proj)
        return [theirs]

    @classmethod
    def from_torch_module(cls, theirs, taker: Taker) -> MultiHeadAttention:
        if theirs.in_proj_weight is None:
            raise TypeError("from_torch: MultiheadAttention with kdim or vdim has no counterpart")
        ours = cls(
            theirs.embed_dim, theirs.num_heads, theirs.dropout, theirs.in_proj_bias is not None
        )
        taker.taken(ours, theirs)
        ours.out_proj = {n: taker.tensor(p) for n, p in theirs.out_proj.named_parameters()}
        return ours

    def __repr__(self) -> str:
        options = f", dropout={self.dropout}" if self.dropout else ""
        options += "" if self.bias else ", bias=False"
        return f"MultiHeadAttention({self.embed_dim}, {self.num_heads}{options})"


def _mask_for(scores: tuple[int, ...], mask: ArrayLike) -> np.ndarray:
    """The mask as an array, once it is sure that it broadcasts to scores of this shape."""
    allowed = array_of("MultiHeadAttention: mask", data_of(mask))
    if allowed.dtype != bool:
        raise TypeError(f"MultiHeadAttention: a mask is made of bools, got {allowed.dtype}")
    if allowed.ndim not in (2, 4):
        raise ValueError(
            "MultiHeadAttention: expected a mask (t, s), or one that broadcasts to (n, "
            f"num_heads, t, s), such as padding[:, None, None, :], got {allowed.shape}"
        )
    if any(n not in (1, whole) for n, whole in zip(allowed.shape[::-1], scores[::-1])):
        raise ValueError(
            f"MultiHeadAttention: a mask {allowed.shape} for scores {scores}, which are (n, "
            "num_heads, t, s)"
        )
    return allowed
