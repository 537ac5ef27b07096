"""The door to PyTorch."""

from __future__ import annotations

from functools import partial

import numpy as np

from micrograd.module import Module, name_of
from micrograd.protocol import data_of

__all__ = ["to_torch"]


def to_torch(model: Module):
    """The same network as a `torch.nn.Sequential`, with a copy of the same weights.

    Raises:
        ImportError: PyTorch is not installed.
        TypeError: a module or an activation has no counterpart in PyTorch.
    """
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch wants PyTorch: pip install torch") from None

    from micrograd.layers import (
        ACTIVATIONS,
        AvgPool2d,
        BatchNorm1d,
        Conv2d,
        Dropout,
        Embedding,
        Flatten,
        LayerNorm,
        MaxPool2d,
        RMSNorm,
    )
    from micrograd.nn import Layer, MultiLayerPerceptron, Sequential

    t = torch.nn
    activations = {
        "relu": t.ReLU, "leaky_relu": t.LeakyReLU, "tanh": t.Tanh, "sigmoid": t.Sigmoid,
        "gelu": t.GELU, "silu": t.SiLU, "softplus": partial(t.Softplus, threshold=40),
    }  # fmt: skip
    by_function = {ACTIVATIONS[name]: module for name, module in activations.items()}

    def filled(module, **arrays):
        """A PyTorch module with these parameters and buffers, in their dtype."""
        with torch.no_grad():
            for name, array in arrays.items():
                if array is not None:
                    old = getattr(module, name)
                    new = torch.tensor(np.ascontiguousarray(data_of(array)))
                    if isinstance(old, t.Parameter):
                        new = t.Parameter(new, getattr(array, "requires_grad", True))
                    setattr(module, name, new)
        return module

    made = {}  # by id: a module that stands twice in the model does so in the copy

    def convert(m) -> list:
        if id(m) not in made:
            made[id(m)] = converted(m)
            if isinstance(m, Module) and not isinstance(m, (Sequential, MultiLayerPerceptron)):
                made[id(m)] = [part.train(m.training) for part in made[id(m)]]
        return made[id(m)]

    def converted(m) -> list:
        home = next((k for k in type(m).__mro__ if k.__module__.startswith("micrograd.")), None)
        if isinstance(m, Module) and type(m).__call__ is not home.__call__:
            raise TypeError(f"to_torch: {type(m).__name__} has a __call__ of its own")
        if isinstance(m, (Sequential, MultiLayerPerceptron)):
            return [part for layer in m.layers for part in convert(layer)]
        if isinstance(m, Layer):
            linear = filled(t.Linear(*m.weights.shape), weight=m.weights.data.T, bias=m.bias)
            linear.weight.requires_grad_(m.weights.requires_grad)
            return [linear, *([] if m.act is None else convert(m._activate))]
        if isinstance(m, Conv2d):
            out, channels, *kernel = m.weight.shape
            conv = t.Conv2d(channels, out, kernel, m.stride, m.padding, bias=m.bias is not None)
            return [filled(conv, weight=m.weight, bias=m.bias)]
        if isinstance(m, MaxPool2d):
            return [t.MaxPool2d(m.kernel, m.stride, m.padding)]
        if isinstance(m, AvgPool2d):
            return [t.AvgPool2d(m.kernel, m.stride, m.padding)]
        if isinstance(m, Flatten):
            return [t.Flatten()]
        if isinstance(m, Dropout):
            return [t.Dropout(m.p)]
        if isinstance(m, Embedding):
            return [filled(t.Embedding(*m.weight.shape), weight=m.weight)]
        if isinstance(m, LayerNorm):
            norm = t.LayerNorm(m.shape, m.eps, m.weight is not None, m.bias is not None)
            return [filled(norm, weight=m.weight, bias=m.bias)]
        if isinstance(m, RMSNorm):
            return [filled(t.RMSNorm(m.shape, m.eps, m.weight is not None), weight=m.weight)]
        if isinstance(m, BatchNorm1d):
            kind = getattr(t, type(m).__name__)
            norm = kind(len(m.running_mean), m.eps, m.momentum, m.weight is not None)
            statistics = {name: getattr(m, name) for name in m.buffers}
            return [filled(norm, weight=m.weight, bias=m.bias, **statistics)]
        if m in by_function:
            return [by_function[m]()]
        raise TypeError(f"to_torch: {name_of(m)} has no counterpart in PyTorch")

    network = t.Sequential(*convert(model))
    network.training = model.training  # each of its parts has its own
    return network
