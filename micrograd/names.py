"""What PyTorch calls it, what NumPy calls it, and what is written here.

Whoever asks for a name of PyTorch's that isn't here is told by the error what to write;
misc/reference.md has the same as a table.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from opcode import opmap
from typing import Any

__all__ = ["ARGUMENTS", "MICROGRAD", "MODULE", "NN", "OPTIM", "TENSOR"]

Names = Mapping[str, tuple[str, str]]  # PyTorch's name: NumPy's way, if it has one, and ours

_ITSELF = "t itself: everything is on the CPU"
_OPERATOR = "the operator: t + u, t - u, t * u, t / u, t ** u, t @ u"

TENSOR: Names = {
    "view": ("a.reshape(2, -1)", "t.reshape(2, -1)"),
    "permute": ("a.transpose(0, 2, 1)", "t.transpose(0, 2, 1)"),
    "unsqueeze": ("np.expand_dims(a, 0)", "t.expand_dims(0), or t[None]"),
    "masked_fill": ("np.where(mask, -np.inf, a)", "where(mask, -np.inf, t) of micrograd"),
    "clone": ("a.copy()", "t.copy(); copy.deepcopy(t) copies a leaf"),
    "contiguous": ("np.ascontiguousarray(a)", "t itself: every layout is taken"),
    "t": ("a.T", "t.T"),
    "dim": ("a.ndim", "t.ndim"),
    "expand": ("np.broadcast_to(a, shape)", "t.broadcast_to(shape)"),
    "expand_as": ("np.broadcast_to(a, b.shape)", "t.broadcast_to(u.shape)"),
    "unbind": ("list(a)", "list(t)"),
    "amax": ("a.max(axis=0)", "t.max(axis=0)"),
    "amin": ("a.min(axis=0)", "t.min(axis=0)"),
    "clamp": ("np.clip(a, lo, hi)", "t.clip(lo, hi)"),
    "split": ("np.split(a, [2, 5])", "np.split(t, [2, 5]), where to cut"),
    "chunk": ("np.array_split(a, 3)", "np.array_split(t, 3)"),
    "norm": ("np.linalg.norm(a)", "norm(t) of micrograd"),
    "gather": ("np.take_along_axis(a, i, 1)", "take_along_axis(t, i, 1) of micrograd"),
    "index_select": ("a.take(i, axis=0)", "t.take(i, axis=0)"),
    "to": ("a.astype(np.float32)", "t.astype(np.float32); " + _ITSELF),
    "type": ("a.astype(np.float32)", "t.astype(np.float32)"),
    "float": ("a.astype(np.float32)", "t.astype(np.float32), or t.item() for a number"),
    "double": ("a.astype(np.float64)", "t.astype(np.float64)"),
    "half": ("a.astype(np.float16)", "t.astype(np.float16)"),
    "long": ("a.astype(int)", "t.data.astype(int), an array"),
    "cpu": ("", _ITSELF),
    "cuda": ("", "nn.to_torch(model): this library has no GPU"),
    "device": ("", _ITSELF),
    "requires_grad_": ("", "t.requires_grad = True"),
    "retain_grad": ("", "nothing: tensors in between keep their grad"),
    "register_hook": ("", "an operation: see micrograd.operation"),
    "grad_fn": ("", "t.op and t.operands"),
    "zero_": ("a[...] = 0", "t.data[...] = 0"),
    "fill_": ("a[...] = 1", "t.data[...] = 1"),
    "copy_": ("a[...] = b", "t.data[...] = b"),
    "normal_": ("rng.normal(0, 1, a.shape)", "t.data[...] = rng.normal(0, 1, t.shape)"),
    "uniform_": ("rng.uniform(0, 1, a.shape)", "t.data[...] = rng.uniform(0, 1, t.shape)"),
    **{name: ("", _OPERATOR)
       for name in ("add", "sub", "mul", "div", "pow", "matmul", "mm", "bmm")},
    **{name: ("", "t.data, changed by NumPy")
       for name in ("add_", "sub_", "mul_", "div_", "clamp_")},
}  # fmt: skip

MODULE: Names = {
    "weight": ("", "weights, of shape (n_inp, n_out): PyTorch's transposed"),
    "to": ("", "model.astype(np.float32); everything is on the CPU"),
    "cuda": ("", "nn.to_torch(model): this library has no GPU"),
    "cpu": ("", "the model itself: everything is on the CPU"),
    "float": ("", "model.astype(np.float32)"),
    "double": ("", "model.astype(np.float64)"),
    "half": ("", "model.astype(np.float16)"),
    "modules": ("", "model.named_modules().values()"),
    "children": ("", "vars(model).values()"),
    "named_children": ("", "vars(model).items()"),
    "apply": ("", "for m in model.named_modules().values(): f(m)"),
    "add_module": ("", "setattr(model, name, module)"),
    "register_module": ("", "setattr(model, name, module)"),
    "register_parameter": ("", "model.name = Tensor(array)"),
    "register_buffer": ("", "model.name = array, and buffers = ('name',) in the class"),
    "register_forward_hook": ("", "with nn.trace(model) as given: model(x)"),
    "requires_grad_": ("", "for p in model.parameters(): p.requires_grad = False"),
}

_LOSSES = {
    "MSELoss": "mse", "CrossEntropyLoss": "cross_entropy", "NLLLoss": "nll", "L1Loss": "l1",
    "HuberLoss": "huber", "KLDivLoss": "kl_div", "MultiMarginLoss": "max_margin",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
}  # fmt: skip

NN: Names = {
    "functional": ("", "a method of the Tensor, x.relu(), or a function of nn, nn.cross_entropy"),
    "Parameter": ("", "Tensor(array)"),
    "ModuleList": ("", "a list of modules"),
    "ModuleDict": ("", "a dict of modules"),
    "ParameterList": ("", "a list of Tensors"),
    "ParameterDict": ("", "a dict of Tensors"),
    "Softmax": ("", "x.softmax(-1), of scores"),
    "LogSoftmax": ("", "x.log_softmax(-1)"),
    "Unflatten": ("", "x.reshape(len(x), *shape)"),
    "MultiheadAttention": ("", "nn.MultiHeadAttention"),
    "BCELoss": ("", "nn.binary_cross_entropy_with_logits(scores, target), without the sigmoid"),
    "utils": ("", "clip_grad_norm and clip_grad_value of micrograd.optim"),
    **{theirs: ("", f"nn.{ours}(output, target), a function")
       for theirs, ours in _LOSSES.items()},
}  # fmt: skip

OPTIM: Names = {
    "lr_scheduler": ("", "a function of the step: optimizer.lr = cosine(step, total, lr)"),
    "swa_utils": ("", "optim.Average(model.parameters())"),
}

MICROGRAD: Names = {
    "tensor": ("np.array([1.0])", "Tensor([1.0])"),
    "from_numpy": ("a", "Tensor(a), a copy; an array itself is a constant"),
    "cat": ("np.concatenate([a, b])", "concatenate([t, u])"),
    "zeros": ("np.zeros((2, 3))", "Tensor(np.zeros((2, 3)))"),
    "ones": ("np.ones((2, 3))", "Tensor(np.ones((2, 3)))"),
    "randn": ("rng.normal(size=(2, 3))", "Tensor(rng.normal(size=(2, 3)))"),
    "rand": ("rng.random((2, 3))", "Tensor(rng.random((2, 3)))"),
    "arange": ("np.arange(3)", "np.arange(3), a constant"),
    "eye": ("np.eye(3)", "np.eye(3), a constant"),
    "manual_seed": ("np.random.default_rng(0)", "np.random.seed(0), or rng= of layers"),
    "matmul": ("a @ b", "t @ u"),
    **{name: (f"np.{name}(a)", f"np.{name}(t), or t.{name}()")
       for name in ("exp", "log", "sqrt", "sin", "cos", "tanh", "abs", "sum", "mean", "var")},
    **{name: ("", f"t.{name}()") for name in ("relu", "sigmoid", "softmax", "log_softmax")},
}  # fmt: skip

ARGUMENTS = {  # of methods and functions, for the table alone: to explain them would slow all calls
    "dim": "axis", "keepdim": "keepdims", "unbiased": "ddof",
}  # fmt: skip


def missing(owner: str, name: str, names: Names, x: object) -> AttributeError:
    """The error for an attribute that isn't there, which says what to write for PyTorch's."""
    here = f": here it is {names[name][1]}" if name in names else ""
    return AttributeError(f"{owner} has no attribute {name!r}{here}", name=name, obj=x)


def of_module(module: str, names: Names, rooms: tuple[str, ...] = ()) -> Callable[[str], Any]:
    """The `__getattr__` of a module, which imports these rooms of it when they are first used."""

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name in rooms:
            return importlib.import_module(f"{module}.{name}")
        error = missing(module, name, names, None)
        frame = sys._getframe(1)
        if name in names and frame.f_code.co_code[frame.f_lasti] == opmap["IMPORT_FROM"]:
            raise ImportError(str(error), name=module)  # an AttributeError's text would be lost
        raise error

    return __getattr__
