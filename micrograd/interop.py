"""Models handed over to PyTorch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd.engine import Tensor
from micrograd.module import Module, name_of
from micrograd.protocol import data_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

__all__ = ["Door", "Taker", "from_torch", "to_torch"]


def to_torch(model: Module) -> Any:
    """The same network as a `torch.nn.Sequential`, with a copy of the same weights.

    A module that stands twice in the model does so in the copy; training flags are kept, and frozen
    parameters stay frozen. A module of your own is converted if it has a `torch_modules` method.

    Raises:
        ImportError: PyTorch is not installed.
        TypeError: a module or an activation has no counterpart in PyTorch.
    """
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch wants PyTorch: pip install torch") from None
    network = torch.nn.Sequential(*Door(torch).convert(model))
    network.training = model.training  # each of its parts has its own
    return network


def from_torch(model: Any) -> Module:
    """The same network here, with a copy of the same weights: what `to_torch` undoes.

    A `torch.nn.Sequential` becomes a `Sequential`, and any other of PyTorch's modules the class of
    its name here. Dtypes, training flags, what is shared and what is frozen are kept. A class of
    your own takes part by `torch_arguments`, the names of what its `__init__` takes in PyTorch's
    module of the same name (and `torch_fixed`, pairs of an option and the one value that it may
    have), or by a class method `from_torch_module(theirs, taker)`.

    Raises:
        TypeError: a module has no counterpart here, or an option that ours doesn't have.
    """
    return Taker().taken_from(model)


class Taker:
    """What `from_torch` builds with, and a class method `from_torch_module` too."""

    def __init__(self):
        self._made: dict[int, Module] = {}
        self._kinds: dict[str, type[Module]] = {}
        todo = [Module]
        for kind in todo:  # the library's come before a user's of the same name
            if hasattr(kind, "torch_arguments") or hasattr(kind, "from_torch_module"):
                self._kinds.setdefault(getattr(kind, "torch_name", kind.__name__), kind)
            todo += kind.__subclasses__()

    def taken_from(self, theirs: Any) -> Module:
        """Our module for one of PyTorch's, the same one every time."""
        if id(theirs) not in self._made:
            name = type(theirs).__name__
            if name not in self._kinds or not type(theirs).__module__.startswith("torch."):
                raise TypeError(f"from_torch: {name} has no counterpart here")
            kind = self._kinds[name]
            for option, value in getattr(kind, "torch_fixed", ()):
                if getattr(theirs, option, value) != value:
                    given = getattr(theirs, option)
                    raise TypeError(f"from_torch: {name} has {option}={given!r}, ours {value!r}")
            if hasattr(kind, "from_torch_module"):
                ours = kind.from_torch_module(theirs, self)
            else:
                arguments = {n: getattr(theirs, n) for n in kind.torch_arguments}
                if "bias" in arguments:
                    arguments["bias"] = (
                        arguments["bias"] is not None and arguments["bias"] is not False
                    )
                try:
                    ours = kind(**arguments)
                except (TypeError, ValueError) as error:
                    raise TypeError(f"from_torch: {error}") from None
                self.taken(ours, theirs)
            ours.training = theirs.training
            self._made[id(theirs)] = ours
        return self._made[id(theirs)]

    def taken(self, ours: Module, theirs: Any) -> Module:
        """Our module, with their parameters and with those buffers that ours names."""
        for name, p in theirs.named_parameters(recurse=False):
            setattr(ours, name, self.tensor(p))
        for name in ours.buffers:
            setattr(ours, name, getattr(theirs, name).detach().cpu().numpy().copy())
        return ours

    def tensor(self, parameter: Any) -> Tensor:
        """A Tensor of the same numbers, frozen if the parameter is."""
        return Tensor(parameter.detach().cpu().numpy(), parameter.requires_grad)


class Door:
    """What `Module.torch_modules` builds with.

    Attributes:
        nn: `torch.nn`.
    """

    def __init__(self, torch: Any):
        self.nn, self._torch = torch.nn, torch
        self._made: dict[int, tuple] = {}  # by id, each module and what became of it
        self._done: set = set()  # PyTorch's modules that have their training flag

    def convert(self, x: Module | Callable) -> list:
        """PyTorch's modules for a module, the same ones every time, or for an activation.

        Raises:
            TypeError: there are none.
        """
        if not isinstance(x, Module):
            return [self._activation(x)]
        if id(x) not in self._made:
            _check_call(x)
            parts = x.torch_modules(self)
            for new in {m for part in parts for m in part.modules()} - self._done:
                new.training = x.training
                self._done.add(new)
            self._made[id(x)] = x, parts
        return self._made[id(x)][1]

    def filled(self, module: Any, **arrays: Tensor | ArrayLike | None) -> Any:
        """One of PyTorch's modules with copies of these parameters and buffers, in their dtype.

        What is None stays as it is. A Tensor that requires no gradient makes a frozen parameter.
        """
        for name, array in arrays.items():
            if array is not None:
                new = self._torch.tensor(np.ascontiguousarray(data_of(array)))
                if isinstance(getattr(module, name), self.nn.Parameter):
                    new = self.nn.Parameter(new, getattr(array, "requires_grad", True))
                setattr(module, name, new)
        return module

    def _activation(self, function: Callable) -> Any:
        nn = self.nn
        for ours, make in (
            (Tensor.relu, nn.ReLU),
            (Tensor.leaky_relu, nn.LeakyReLU),
            (Tensor.tanh, nn.Tanh),
            (Tensor.sigmoid, nn.Sigmoid),
            (Tensor.gelu, nn.GELU),
            (Tensor.silu, nn.SiLU),
            (Tensor.softplus, partial(nn.Softplus, threshold=40)),
        ):
            if function is ours:
                return make()
        raise TypeError(f"to_torch: {name_of(function)} has no counterpart in PyTorch")


def _check_call(module: Module) -> None:
    """Refuse a module of a class that computes something else than the class it is converted by."""
    kind = type(module)
    home = next(k for k in kind.__mro__ if "torch_modules" in vars(k))
    if home is not Module and kind.__call__ is not home.__call__:
        raise TypeError(
            f"to_torch: {kind.__name__} has a __call__ of its own, but no torch_modules beside it"
        )
