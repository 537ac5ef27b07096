"""What PyTorch calls it, what NumPy calls it, and what is written here.

Whoever asks for a name of PyTorch's that isn't here is told by the error what to write;
misc/reference.md has the same as a table.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import CO_VARKEYWORDS
from opcode import opmap
from typing import Any, TypeVar

__all__ = ["ARGUMENTS", "INIT", "MICROGRAD", "MODULE", "NN", "OPTIM", "TENSOR"]

F = TypeVar("F", bound=Callable)

Names = Mapping[str, tuple[str, str]]  # PyTorch's name: NumPy's way, if it has one, and ours

_ITSELF = "t itself: everything is on the CPU"
_OPERATOR = "the operator: t + u, t - u, t * u, t / u, t ** u, t @ u"

TENSOR: Names = {
    "where": ("np.where(mask, a, b)", "where(mask, t, u) of micrograd"),
    "view_as": ("a.reshape(b.shape)", "t.reshape(u.shape)"),
    "new_zeros": ("np.zeros((2, 3), a.dtype)", "np.zeros((2, 3), t.dtype), a constant"),
    "new_ones": ("np.ones((2, 3), a.dtype)", "np.ones((2, 3), t.dtype), a constant"),
    "atan": ("np.arctan(a)", "np.arctan(t)"),
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
    "topk": ("np.sort(a)[..., :-4:-1]", "np.sort(t)[..., :-4:-1] for the three largest"),
    "gather": ("np.take_along_axis(a, i, 1)", "take_along_axis(t, i, 1) of micrograd"),
    "scatter_add": ("np.add.at(a, i, b)", "t.add_at(i, u)"),
    "index_add": ("np.add.at(a, i, b)", "t.add_at(i, u)"),
    "masked_select": ("a[mask]", "t[mask]"),
    "narrow": ("a[2:5]", "t[2:5]"),
    "select": ("a[:, 2]", "t[:, 2]"),
    "unflatten": ("a.reshape(2, 3, -1)", "t.reshape(2, 3, -1)"),
    "movedim": ("np.moveaxis(a, 0, 1)", "np.moveaxis(t, 0, 1)"),
    "repeat_interleave": ("np.repeat(a, 2, axis=0)", "t.repeat(2, axis=0)"),
    "type_as": ("a.astype(b.dtype)", "t.astype(u.dtype)"),
    "rsqrt": ("1 / np.sqrt(a)", "1 / t.sqrt()"),
    "lgamma": ("", "t.gammaln()"),
    "lerp": ("", "t + share * (u - t)"),
    "index_select": ("a.take(i, axis=0)", "t.take(i, axis=0)"),
    "to": ("a.astype(np.float32)", "t.astype(np.float32); " + _ITSELF),
    "type": ("a.astype(np.float32)", "t.astype(np.float32)"),
    "float": ("a.astype(np.float32)", "t.astype(np.float32), or t.item() for a number"),
    "double": ("a.astype(np.float64)", "t.astype(np.float64)"),
    "half": ("a.astype(np.float16)", "t.astype(np.float16)"),
    "int": ("a.astype(int)", "t.data.astype(int), an array"),
    "bool": ("a.astype(bool)", "t.data.astype(bool), an array"),
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
       for name in ("add", "sub", "mul", "div", "pow", "matmul", "mm", "bmm", "mv")},
    "neg": ("-a", "-t"),
    "unique": ("np.unique(a)", "np.unique(t.data)"),
    "roll": ("np.roll(a, 1)", "np.roll(t, 1)"),
    "tile": ("np.tile(a, (2, 1))", "np.tile(t, (2, 1))"),
    **{name: ("a == b, a < b", "the operator, which gives bools: t == u, t != u, t < u, t <= u")
       for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{name: (f"np.{name}(a)", f"np.{name}(t), an array")
       for name in ("isnan", "isfinite", "sign", "floor", "ceil", "nonzero")},
    **{name: (f"np.{name}(a)", f"np.{name}(t)") for name in ("sort", "median", "diag")},
    **{name: (f"np.{name}(a, b)", f"np.{name}(t, u)") for name in ("outer", "maximum", "minimum")},
    **{name: ("", "t.data, changed by NumPy")
       for name in ("add_", "sub_", "mul_", "div_", "clamp_", "masked_fill_", "exp_", "relu_")},
}  # fmt: skip

MODULE: Names = {
    "weight": ("", "weights, of shape (n_inp, n_out): PyTorch's transposed"),
    "to": ("", "model.astype(np.float32); everything is on the CPU"),
    "cuda": ("", "nn.to_torch(model): this library has no GPU"),
    "cpu": ("", "the model itself: everything is on the CPU"),
    "float": ("", "model.astype(np.float32)"),
    "double": ("", "model.astype(np.float64)"),
    "half": ("", "model.astype(np.float16)"),
    "modules": ("", "model.named_modules().values(), of a dict"),
    "named_buffers": ("", "model.state_dict(), which has parameters and buffers"),
    "children": ("", "vars(model).values()"),
    "named_children": ("", "vars(model).items()"),
    "apply": ("", "for m in model.named_modules().values(): f(m)"),
    "add_module": ("", "setattr(model, name, module)"),
    "register_module": ("", "setattr(model, name, module)"),
    "register_parameter": ("", "model.name = Tensor(array)"),
    "register_buffer": ("", "model.name = array, and buffers = ('name',) in the class"),
    "register_forward_hook": ("", "with nn.trace(model) as given: model(x)"),
    "compile": ("", "step = jit(step), with jit of micrograd"),
    "requires_grad_": ("", "for p in model.parameters(): p.requires_grad = False"),
}

_LOSSES = {
    "MSELoss": "mse", "CrossEntropyLoss": "cross_entropy", "NLLLoss": "nll", "L1Loss": "l1",
    "HuberLoss": "huber", "KLDivLoss": "kl_div", "MultiMarginLoss": "max_margin",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits", "SmoothL1Loss": "huber",
    "mse_loss": "mse", "l1_loss": "l1", "nll_loss": "nll", "huber_loss": "huber",
    "smooth_l1_loss": "huber",
}  # fmt: skip
_BINARY = "nn.binary_cross_entropy_with_logits(scores, target), without the sigmoid"
_COSINE = "(x * y).sum(-1) / (norm(x, axis=-1) * norm(y, axis=-1)), norm of micrograd"
_RECURRENT = "nn.GRU, or nn.LSTM; a cell of one's own is (x @ u + h @ w + b).tanh() in a loop"
_BLOCK = "a module of nn.MultiHeadAttention, nn.LayerNorm and layers, as in misc/demo-gpt.ipynb"
_CHANNELS = "x * drop(np.ones((*x.shape[:2], 1, 1))), with drop = nn.Dropout(p)"

NN: Names = {
    "functional": ("", "a method of the Tensor, x.relu(), or a function of nn, nn.cross_entropy"),
    "Parameter": ("", "Tensor(array)"),
    "ModuleList": ("", "a list of modules"),
    "ModuleDict": ("", "a dict of modules"),
    "ParameterList": ("", "a list of Tensors"),
    "ParameterDict": ("", "a dict of Tensors"),
    "Buffer": ("", "an array, and buffers = ('name',) in the class"),
    **dict.fromkeys(("RNN", "RNNCell"), ("", _RECURRENT)),
    "GRUCell": ("", "nn.GRU(n, m), on sequences of one: gru(x[:, None], h[None])"),
    "LSTMCell": ("", "nn.LSTM(n, m), on sequences of one: lstm(x[:, None], (h[None], c[None]))"),
    **dict.fromkeys(
        ("Transformer", "TransformerEncoder", "TransformerEncoderLayer",
         "TransformerDecoderLayer"), ("", _BLOCK)),
    "ConvTranspose1d": ("", "nn.ConvTranspose2d(n, m, (1, k))(x[:, :, None])[:, :, 0]"),
    "MaxPool1d": ("", "nn.MaxPool2d((1, k))(x[:, :, None])[:, :, 0]"),
    "AvgPool1d": ("", "nn.AvgPool2d((1, k))(x[:, :, None])[:, :, 0]"),
    "AdaptiveAvgPool1d": ("", "x.mean(axis=2), a number for each channel"),
    "AdaptiveAvgPool2d": ("", "x.mean(axis=(2, 3)), a number for each channel"),
    "AdaptiveMaxPool2d": ("", "x.max(axis=(2, 3)), a number for each channel"),
    **dict.fromkeys(("Dropout1d", "Dropout2d"), ("", _CHANNELS)),
    **dict.fromkeys(
        ("InstanceNorm1d", "InstanceNorm2d"),
        ("", "nn.GroupNorm(channels, channels, affine=False)")),
    "ZeroPad2d": ("", "x.pad(((0, 0), (0, 0), (1, 1), (1, 1)))"),
    "ELU": ("", "where(x > 0, x, x.clip(hi=0).expm1()), where of micrograd"),
    "PReLU": ("", "where(x > 0, x, a * x), with a parameter a = Tensor(0.25)"),
    "ReLU6": ("", "x.clip(0, 6)"),
    "Hardtanh": ("", "x.clip(-1, 1)"),
    "Mish": ("", "x * x.softplus().tanh()"),
    "LogSigmoid": ("", "-(-x).softplus()"),
    **dict.fromkeys(("CosineSimilarity", "cosine_similarity"), ("", _COSINE)),
    "PairwiseDistance": ("", "norm(x - y, axis=-1), norm of micrograd"),
    "GaussianNLLLoss": ("", "(0.5 * (var.log() + (x - mean) ** 2 / var)).mean()"),
    "DataParallel": ("", "micrograd.distributed"),
    "Softmax": ("", "x.softmax(-1), of scores"),
    "LogSoftmax": ("", "x.log_softmax(-1)"),
    "Unflatten": ("", "x.reshape(len(x), *shape)"),
    "MultiheadAttention": ("", "nn.MultiHeadAttention"),
    **dict.fromkeys(("BCELoss", "binary_cross_entropy"), ("", _BINARY)),
    "utils": ("", "clip_grad_norm and clip_grad_value of micrograd.optim"),
    "one_hot": ("", "np.eye(classes)[numbers]"),
    "elu": ("", "where(x > 0, x, x.clip(hi=0).expm1()), where of micrograd"),
    "pad": ("", "np.pad(x, ((0, 0), (1, 1))), a pair for each axis"),
    "dropout": ("", "nn.Dropout(p)(x), of a module in training mode"),
    "layer_norm": ("", "nn.LayerNorm(n)(x)"),
    "embedding": ("", "weight[numbers]"),
    "conv2d": ("", "nn.Conv2d(n, m, k)(x), a module"),
    "PixelShuffle": ("", "x.reshape(n, c, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3)"
                         ".reshape(n, c, 2 * h, 2 * w)"),
    "normalize": ("", "x / norm(x, axis=-1, keepdims=True), norm of micrograd"),
    "interpolate": ("", "nn.Upsample(scale_factor=2)(x)"),
    "scaled_dot_product_attention": (
        "", "(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])).softmax() @ v"),
    **{name: ("", f"x.{name}()") for name in (
        "relu", "leaky_relu", "gelu", "silu", "softplus", "sigmoid", "tanh", "softmax",
        "log_softmax")},
    **{theirs: ("", f"nn.{ours}(output, target), a function")
       for theirs, ours in _LOSSES.items()},
}  # fmt: skip

OPTIM: Names = {
    "lr_scheduler": ("", "a function of the step: optimizer.lr = cosine(step, total, lr)"),
    "swa_utils": ("", "optim.Average(model.parameters())"),
    "clip_grad_norm_": ("", "optim.clip_grad_norm(parameters, max_norm)"),
    "clip_grad_value_": ("", "optim.clip_grad_value(parameters, clip_value)"),
    "LBFGS": ("", "scipy.optimize.minimize, with micrograd.calculus.flatten: misc/reference.md "
                  "shows it"),
    "StepLR": ("", "optimizer.lr = optim.steps(step, every, lr)"),
    "LinearLR": ("", "optimizer.lr = optim.linear(step, total, lr / 3, lr)"),
    "CosineAnnealingLR": ("", "optimizer.lr = optim.cosine(step, total, lr)"),
    "OneCycleLR": ("", "optimizer.lr = optim.one_cycle(step, total, peak)"),
    "ExponentialLR": ("", "optimizer.lr *= gamma"),
    "LambdaLR": ("", "optimizer.lr = lr * f(step)"),
    "ReduceLROnPlateau": ("", "optim.Plateau(optimizer), and its step(loss)"),
}  # fmt: skip

INIT: Names = {
    "xavier_uniform_": ("", "init.xavier(t), which takes a matrix as (inputs, outputs)"),
    "xavier_normal_": ("", "t.data[...] = rng.normal(0, (2 / (n_inp + n_out)) ** 0.5, t.shape)"),
    "kaiming_normal_": ("", "init.he(t), which takes a matrix as (inputs, outputs)"),
    "kaiming_uniform_": ("", "init.uniform(t, bound=(6 / n_inp) ** 0.5); that of PyTorch's layers "
                             "is init.torch(t)"),
    "orthogonal_": ("", "init.orthogonal(t)"),
    "uniform_": ("", "init.uniform(t, bound=0.1), from -0.1 to 0.1"),
    "normal_": ("", "t.data[...] = rng.normal(0, 0.02, t.shape)"),
    "zeros_": ("", "t.data[...] = 0"),
    "ones_": ("", "t.data[...] = 1"),
    "constant_": ("", "t.data[...] = number"),
    "eye_": ("", "t.data[...] = np.eye(n)"),
}  # fmt: skip

MICROGRAD: Names = {
    "tensor": ("np.array([1.0])", "Tensor([1.0]); whole numbers, such as classes, stay arrays"),
    "from_numpy": ("a", "Tensor(a), a copy; an array itself is a constant"),
    "cat": ("np.concatenate([a, b])", "concatenate([t, u])"),
    "randn": ("rng.normal(size=(2, 3))", "Tensor(rng.normal(size=(2, 3)))"),
    "rand": ("rng.random((2, 3))", "Tensor(rng.random((2, 3)))"),
    "arange": ("np.arange(3)", "np.arange(3), a constant"),
    "eye": ("np.eye(3)", "np.eye(3), a constant"),
    "manual_seed": ("np.random.default_rng(0)", "np.random.seed(0), or rng= of layers"),
    **{name: ("a @ b", "t @ u") for name in ("matmul", "mm", "bmm", "mv")},
    **{name: TENSOR[name]
       for name in ("split", "chunk", "clamp", "unsqueeze", "permute", "gather", "topk")},
    "reshape": ("a.reshape(2, -1)", "t.reshape(2, -1)"),
    "randint": ("rng.integers(0, 9, (2, 3))", "rng.integers(0, 9, (2, 3)), an array"),
    "randperm": ("rng.permutation(9)", "rng.permutation(9), an array"),
    "multinomial": ("rng.choice(9, p=p)", "rng.choice(9, p=p.data)"),
    **{name: (f"np.{name}((2, 3))", f"Tensor(np.{name}((2, 3)))")
       for name in ("zeros", "ones", "empty")},
    **{name: (f"np.{name}(a)", f"np.{name}(t), a constant")
       for name in ("zeros_like", "ones_like")},
    "full": ("np.full((2, 3), 1.0)", "Tensor(np.full((2, 3), 1.0))"),
    "as_tensor": ("np.asarray(a)", "Tensor(a), a copy; an array itself is a constant"),
    "compile": ("", "jit(f)"),
    "autograd": ("", "grad, jacobian and hessian of micrograd"),
    "func": ("", "value_and_grad, vjp, jvp and hessian of micrograd"),
    **{name: ("", "no_grad()") for name in ("inference_mode", "set_grad_enabled")},
    "utils": ("", "nn.batches(x, y, size) for a DataLoader"),
    **{name: ("", f"nn.{name}") for name in ("save", "load")},
    **{name: (f"np.{name}", f"np.{name}, in astype") for name in ("float16", "float32", "float64")},
    "device": ("", "nothing: everything is on the CPU"),
    "cuda": ("", "nn.to_torch(model): this library has no GPU"),
    **{name: (f"np.{name}(a)", f"np.{name}(t), or t.{name}()")
       for name in (
           "exp", "log", "sqrt", "sin", "cos", "tanh", "abs", "sum", "mean", "max", "min", "prod",
           "cumsum", "argmax", "argsort", "square", "squeeze", "flip", "tril", "triu")},
    **{name: (f"np.{name}(a, ddof=1)", f"np.{name}(t, ddof=1), or t.{name}(ddof=1)")
       for name in ("var", "std")},
    "transpose": ("a.swapaxes(0, 1)", "t.swapaxes(0, 1)"),
    "pow": ("a ** 2", "t ** 2"),
    **{name: (f"np.{name}(a)", f"np.{name}(t), an array")
       for name in ("isnan", "isfinite", "sign")},
    "normal": ("rng.normal(0, 1, (2, 3))", "Tensor(rng.normal(0, 1, (2, 3)))"),
    "randn_like": ("rng.normal(size=a.shape)", "rng.normal(size=t.shape), an array"),
    "rand_like": ("rng.random(a.shape)", "rng.random(t.shape), an array"),
    **{name: ("np.int64", "np.int64: whole numbers, such as classes, stay arrays")
       for name in ("long", "int")},
    **{name: (f"np.{name}", f"np.{name}") for name in ("inf", "nan", "pi")},
    **{name: ("", f"t.{name}()")
       for name in ("relu", "sigmoid", "softmax", "log_softmax", "logsumexp")},
}  # fmt: skip

ARGUMENTS: Names = {  # PyTorch's, of operations, modules and optimizers
    **{name: ("axis=", "axis=") for name in ("dim", "dims")},
    "keepdim": ("keepdims=", "keepdims="),
    "unbiased": ("ddof=1", "ddof=1 if unbiased, else ddof=0"),
    **{name: ("np.clip(a, lo, hi)", "t.clip(lo, hi)") for name in ("min", "max")},
    **{name: ("a.swapaxes(0, 1)", "t.swapaxes(0, 1)") for name in ("dim0", "dim1")},
    "descending": ("np.sort(a)[..., ::-1]", "np.sort(t)[..., ::-1]"),
    "negative_slope": ("", "slope="),
    "start_dim": ("a.reshape(len(a), -1)", "t.reshape(len(t), -1)"),
    "end_dim": ("", "t.reshape(...)"),
    "inplace": ("", "nothing: a result is always a new tensor"),
    "device": ("", "nothing: everything is on the CPU"),
    "dtype": ("", "t.astype(np.float32), or model.astype(np.float32)"),
    "padding_mode": ("np.pad(a, ..., mode=)", "np.pad(x, ..., mode=) of what the layer is given"),
    "proj_size": ("", "a Linear of what the layer gives; its state stays as wide as hidden_size"),
    "padding_idx": ("", "nothing, and set the gradient of that row to 0 before each step"),
    "batch_first": ("", "nothing: the batch is first"),
    "attn_mask": ("", "mask=, which is True where a query may look"),
    "key_padding_mask": ("", "mask=~padding[:, None, None, :]"),
    "is_causal": ("", "causal="),
    "batch_size": ("", "size="),
    "drop_last": ("", "nothing, and hand in whole batches: x[: len(x) // size * size]"),
    "pct_start": ("", "warm="),
    "gamma": ("", "factor="),
    "set_to_none": ("", "nothing: there is no memory of a gradient to keep"),
    "amsgrad": ("", "nothing: Adam and AdamW are the usual ones"),
    "params": ("", "parameters="),
    "maximize": ("", "nothing, and call backward() of the negative"),
    **{name: ("", "nothing: there is one way to compute it")
       for name in ("foreach", "fused", "capturable", "differentiable")},
}  # fmt: skip


def missing(owner: str, name: str, names: Names, x: object) -> AttributeError:
    """The error for an attribute that isn't there, which says what to write for PyTorch's."""
    here = f": here it is {names[name][1]}" if name in names else ""
    return AttributeError(f"{owner} has no attribute {name!r}{here}", name=name, obj=x)


def _advice(name: str) -> str:
    ours = ARGUMENTS[name][1]
    if ours.startswith("nothing"):
        return f"leave out {name}={ours.removeprefix('nothing')}"
    return f"instead of {name}= write {ours}"


def explaining(f: F) -> F:
    """f, whose error for an argument that PyTorch has says what to write here."""
    code = f.__code__
    if code.co_flags & CO_VARKEYWORDS:
        return f
    known = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])

    @wraps(f)
    def explained(*args, **options):
        try:
            return f(*args, **options)
        except TypeError as error:
            foreign = sorted(ARGUMENTS.keys() & options.keys() - known)
            if not foreign:
                raise
            raise TypeError(f"{error}: {'; '.join(map(_advice, foreign))}") from None

    return explained


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
