"""What hypothesis draws: graphs of operations, layers and optimizers with their inputs.

Each is drawn with what PyTorch has for it, and says in its repr how it was made.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import hypothesis.extra.numpy as hnp
import numpy as np
import torch
from hypothesis import strategies as st
from torch.nn import functional

from micrograd import Tensor, concatenate, einsum, linear, maximum, minimum, nn, stack, where

# Arrays


LAYOUTS = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "gaps": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "reversed": lambda a: np.flip(a).copy()[(slice(None, None, -1),) * a.ndim],
    "transposed": lambda a: a.T.copy().T,
}
seeds = st.integers(0, 2**32 - 1)
layouts = st.sampled_from(sorted(LAYOUTS))
floats = st.sampled_from([np.float64, np.float64, np.float32])


def numbers(seed, shape, dtype=np.float64):
    """Normally distributed, and exact in float32."""
    array = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(array, np.float32).astype(dtype)


# Graphs


@dataclass
class Step:
    """An operation on tensors that are there already, here and in PyTorch."""

    name: str
    operands: tuple[int, ...]
    ours: Callable = field(repr=False)
    theirs: Callable = field(repr=False)


@dataclass
class Graph:
    """Leaves, and operations on them one after the other; the last tensor is the result."""

    leaves: list[tuple[int, tuple, type, str, bool]]  # seed, shape, dtype, layout, requires_grad
    steps: list[Step] = field(default_factory=list)

    def arrays(self):
        return [
            LAYOUTS[layout](numbers(seed, shape, dtype))
            for seed, shape, dtype, layout, _ in self.leaves
        ]

    def run(self, leaves, side="ours"):
        """All tensors of the graph."""
        tensors = list(leaves)
        for step in self.steps:
            tensors.append(getattr(step, side)(*(tensors[i] for i in step.operands)))
        return tensors


def promoted(f):
    """PyTorch's f with the dtypes of NumPy, where a number without axes counts as any other."""

    def g(*xs):
        wide = torch.float64 in [x.dtype for x in xs]
        return f(*(x.to(torch.float64) if wide else x for x in xs))

    return g


def both(f):
    return f, promoted(f)


ELEMENTWISE = {
    name: (lambda x, name=name: getattr(x, name)(), theirs)
    for name, theirs in {
        "tanh": torch.tanh, "sin": torch.sin, "cos": torch.cos, "sigmoid": torch.sigmoid,
        "softplus": functional.softplus, "silu": functional.silu, "expm1": torch.expm1,
        "exp": torch.exp, "relu": torch.relu, "abs": torch.abs,
    }.items()
}  # fmt: skip
ELEMENTWISE |= {
    "neg": both(lambda x: -x),
    "+ 1": both(lambda x: x + 1),
    "2 -": both(lambda x: 2 - x),
    "** 2": both(lambda x: x**2),
    "** 3": both(lambda x: x**3),
    "/ (1 + x ** 2)": both(lambda x: x / (1 + x**2)),
    "gelu": (lambda x: x.gelu("tanh"), lambda x: functional.gelu(x, approximate="tanh")),
    "log1p of the square": (lambda x: (x * x).log1p(), lambda x: torch.log1p(x * x)),
    "leaky_relu": (lambda x: x.leaky_relu(), functional.leaky_relu),
    "clip": (lambda x: x.clip(-0.5, 0.8), lambda x: x.clamp(-0.5, 0.8)),
}
TOGETHER = {
    "+": both(lambda a, b: a + b),
    "-": both(lambda a, b: a - b),
    "*": both(lambda a, b: a * b),
    "/": both(lambda a, b: a / (1.5 + b * b)),
    "**": both(lambda a, b: (1 + a * a) ** b),
    "maximum": (maximum, promoted(torch.maximum)),
    "minimum": (minimum, promoted(torch.minimum)),
}
REDUCTIONS = {
    name: (lambda x, axis, keep, name=name: getattr(x, name)(axis, keep), theirs)
    for name, theirs in {
        "sum": torch.sum, "mean": torch.mean, "logsumexp": torch.logsumexp, "max": torch.amax,
        "min": torch.amin, "var": lambda x, d, k: torch.var(x, d, correction=0, keepdim=k),
    }.items()
}  # fmt: skip
ALONG = {
    "softmax": (lambda x, i: x.softmax(i), lambda x, i: x.softmax(i)),
    "log_softmax": (lambda x, i: x.log_softmax(i), lambda x, i: x.log_softmax(i)),
    "cumsum": (lambda x, i: x.cumsum(i), lambda x, i: x.cumsum(i)),
    "cumprod": (lambda x, i: x.cumprod(i), lambda x, i: x.cumprod(i)),
    "prod": (lambda x, i: x.prod(i), lambda x, i: x.prod(i)),
    "flip": (lambda x, i: x.flip(i), lambda x, i: x.flip((i,))),
    "stack": (lambda x, i: stack([x, x * 2], i), lambda x, i: torch.stack([x, x * 2], i)),
    "concatenate": (
        lambda x, i: concatenate([x, -x, x], i), lambda x, i: torch.cat([x, -x, x], i)),
    "rows": (lambda x, i: stack(list(x.swapaxes(0, i))), lambda x, i: x.swapaxes(0, i)),
}  # fmt: skip
# Slopes that jump: there both sides must stand on the same side of the jump
JUMPS = {"relu": (0,), "abs": (0,), "leaky_relu": (0,), "clip": (-0.5, 0.8)}
CONSTANTS = {
    "2": 2,
    "-0.5": -0.5,
    "True": True,
    "int64": np.array([1, 2, 3]),
    "int16": np.array([1, 2, 3], np.int16),
    "uint8": np.array([200, 3, 1], np.uint8),
    "bool": np.array([True, False, True]),
    "float32": np.array([0.5, -1, 2], np.float32),
}


def take(x, key):
    """x[key] by NumPy's rules, in PyTorch: the flat places, taken one by one."""
    places = np.arange(x.numel()).reshape(tuple(x.shape))[key]
    return x.reshape(-1)[torch.tensor(np.array(places), dtype=torch.long)]


@st.composite
def keys(draw, shape):
    """Indices of every kind for this shape."""
    kinds = [hnp.basic_indices(shape, allow_newaxis=True)]
    if shape and all(shape):
        kinds.append(
            hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3))
        )
        kinds.append(hnp.arrays(bool, shape))
        kinds.append(st.lists(st.integers(-shape[0], shape[0] - 1), max_size=4))
    return draw(st.one_of(kinds))


def shapes_of_size(n):
    pairs = [(i, n // i) for i in range(1, n + 1) if n % i == 0]
    return st.sampled_from([(n,), (-1,), (1, n), (n, 1), *pairs, *([()] if n == 1 else [])])


def permutations(ndim):
    return st.permutations(range(ndim)).map(tuple)


def apart(array, values):
    return all((np.abs(array - v) > 1e-3).all() for v in values)


@st.composite
def steps(draw, tensors):
    """A step on some of these tensors of ours, or None where what was drawn does not apply."""
    n = len(tensors)
    i = draw(st.integers(max(0, n - 5), n - 1))  # mostly the newest, so that few are left over
    x = tensors[i]
    kind = draw(
        st.sampled_from(
            [
                "elementwise",
                "together",
                "together",
                "reduction",
                "along",
                "shape",
                "index",
                "constant",
                "matmul",
                "several",
            ]
        )
    )
    if kind == "elementwise":
        name = draw(st.sampled_from(sorted(ELEMENTWISE)))
        if apart(x.data, JUMPS.get(name, ())):
            return Step(name, (i,), *ELEMENTWISE[name])
    if kind == "together":
        name = draw(st.sampled_from(sorted(TOGETHER)))
        j = draw(
            st.sampled_from([k for k in range(n) if k == i or broadcast(x.shape, tensors[k].shape)])
        )
        jumps = name in ("maximum", "minimum")
        if not jumps or apart(x.data - tensors[j].data, (0,)):
            return Step(name, (i, j), *TOGETHER[name])
    if kind == "constant":
        name = draw(st.sampled_from(sorted(CONSTANTS)))
        c, op = CONSTANTS[name], draw(st.sampled_from(["+", "*", "-"]))
        if broadcast(x.shape, np.shape(c)):
            f = {"+": lambda a, b: b + a, "*": lambda a, b: b * a, "-": lambda a, b: b - a}[op]

            def theirs(x):
                if isinstance(c, (int, float)):
                    return f(x, +c)
                dtype = c.dtype if c.dtype.kind == "f" else x.detach().numpy().dtype
                return promoted(f)(x, torch.tensor(c.astype(dtype)))

            return Step(f"{name} {op}", (i,), lambda x: f(x, c), theirs)
    if kind == "reduction" and x.size:
        name = draw(st.sampled_from(sorted(REDUCTIONS)))
        axes = (
            draw(st.none() | st.lists(st.integers(-x.ndim, x.ndim - 1), max_size=2))
            if x.ndim
            else None
        )
        keep = draw(st.booleans())
        if axes is not None:
            axes = tuple({a % x.ndim: a for a in axes}.values()) or (0,)
        dims = tuple(range(x.ndim)) if axes is None else axes
        if x.ndim == 0 or (name in ("max", "min") and not apart_along(x.data)):
            return None
        ours, theirs = REDUCTIONS[name]
        return Step(
            f"{name}({axes}, {keep})",
            (i,),
            lambda x: ours(x, axes, keep),
            lambda x: theirs(x, dims, keep),
        )
    if kind == "along" and x.ndim and x.size:
        name, axis = draw(st.sampled_from(sorted(ALONG))), draw(st.integers(-x.ndim, x.ndim - 1))
        ours, theirs = ALONG[name]
        return Step(f"{name}({axis})", (i,), lambda x: ours(x, axis), lambda x: theirs(x, axis))
    if kind == "shape":
        name = draw(
            st.sampled_from(
                ["reshape", "transpose", "expand_dims", "broadcast_to", "pad", "tril", "T"]
            )
        )
        if name == "T":
            return Step(
                "T", (i,), lambda x: x.T, lambda x: x.permute(tuple(reversed(range(x.ndim))))
            )
        if name == "reshape" and x.size:
            s = draw(shapes_of_size(x.size))
            return Step(f"reshape{s}", (i,), lambda x: x.reshape(s), lambda x: x.reshape(s))
        if name == "transpose":
            p = draw(permutations(x.ndim))
            return Step(f"transpose{p}", (i,), lambda x: np.transpose(x, p), lambda x: x.permute(p))
        if name == "expand_dims" and x.ndim < 4:
            a = draw(st.integers(-x.ndim - 1, x.ndim))
            return Step(
                f"expand_dims({a})", (i,), lambda x: x.expand_dims(a), lambda x: x.unsqueeze(a)
            )
        if name == "broadcast_to" and x.size < 100 and x.ndim < 4:
            s = (draw(st.integers(0, 3)), *x.shape)
            return Step(
                f"broadcast_to{s}", (i,), lambda x: x.broadcast_to(s), lambda x: x.expand(s)
            )
        if name == "pad" and x.ndim and x.size < 100:
            w = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
            return Step(
                f"pad({w})", (i,), lambda x: x.pad(w), lambda x: functional.pad(x, w * x.ndim)
            )
        if name == "tril" and x.ndim > 1:
            k = draw(st.integers(-1, 1))
            return Step(f"tril({k})", (i,), lambda x: x.tril(k), lambda x: x.tril(k))
    if kind == "index":
        key = draw(keys(x.shape))
        return Step(f"[{key!r}]", (i,), lambda x: x[key], lambda x: take(x, key))
    if kind == "matmul":
        fitting = [k for k in range(n) if matmul_fits(x.shape, tensors[k].shape)]
        if fitting:
            return Step("@", (i, draw(st.sampled_from(fitting))), *both(lambda a, b: a @ b))
        if x.ndim > 1:
            return Step("x @ x^T", (i,), *both(lambda x: x @ x.swapaxes(-1, -2)))
    if kind == "several":
        alike = [k for k in range(n) if tensors[k].shape == x.shape]
        j, k = draw(st.sampled_from(alike)), draw(st.sampled_from(alike))
        name = draw(st.sampled_from(["where", "stack", "concatenate", "einsum", "linear"]))
        if name == "where":
            mask = np.random.default_rng(draw(seeds)).integers(0, 2, x.shape) == 1
            return Step("where", (j, k), lambda a, b: where(mask, a, b),
                        promoted(lambda a, b: torch.where(torch.tensor(mask), a, b)))  # fmt: skip
        if name == "stack" and x.ndim < 4:
            return Step(
                "stack",
                (i, j, k),
                lambda *xs: stack(xs, -1),
                promoted(lambda *xs: torch.stack(xs, -1)),
            )
        if name == "concatenate" and x.ndim:
            return Step(
                "concatenate",
                (i, j),
                lambda *xs: concatenate(xs, -1),
                promoted(lambda *xs: torch.cat(xs, -1)),
            )
        if name == "einsum" and x.ndim == 2:
            return Step("einsum", (i, j, k), lambda *xs: einsum("ij,ij,kj->ik", *xs),
                        promoted(lambda *xs: torch.einsum("ij,ij,kj->ik", *xs)))  # fmt: skip
        if name == "linear" and x.ndim == 2 and x.shape[0] == x.shape[1] > 0:
            return Step(
                "linear",
                (i, j, k),
                lambda x, w, b: linear(x, w, b[0]),
                promoted(lambda x, w, b: x @ w + b[0]),
            )
    return None


def broadcast(a, b):
    """Whether these shapes do, to a small array."""
    try:
        shape = np.broadcast_shapes(a, b)
    except ValueError:
        return False
    return len(shape) < 5 and math.prod(shape) < 500


def matmul_fits(a, b):
    return (
        bool(a)
        and bool(b)
        and a[-1] == (b[-2] if len(b) > 1 else b[0])
        and broadcast(a[:-2], b[:-2])
    )


def apart_along(array):
    """Whether no two of its numbers are all but equal."""
    return array.size < 2 or bool((np.diff(np.sort(array, axis=None)) > 1e-3).all())


@st.composite
def graphs(draw, max_steps=15):
    """Graphs of up to so many operations, whose numbers stay within a few units of 0."""
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    leaf = st.tuples(seeds, shapes, floats, layouts, st.sampled_from([True, True, True, False]))
    graph = Graph(draw(st.lists(leaf, min_size=1, max_size=4)))
    with np.errstate(all="ignore"):
        tensors = [Tensor(a) for a in graph.arrays()]
        for _ in range(draw(st.integers(1, max_steps))):
            step = draw(steps(tensors))
            if step is None:
                continue
            y = step.ours(*(tensors[i] for i in step.operands))
            if y.size > 500 or not np.isfinite(y.data).all():
                continue
            graph.steps.append(step)
            tensors.append(y)
            if y.size and np.abs(y.data).max() > 4:
                graph.steps.append(Step("tanh", (len(tensors) - 1,), *ELEMENTWISE["tanh"]))
                tensors.append(y.tanh())
    return graph


# Layers


def pair(least, most):
    one = st.integers(least, most)
    return one | st.tuples(one, one)


@st.composite
def windows(draw):
    """Arguments of a pooling layer, or of a convolution."""
    kernel = draw(pair(1, 3))
    kernels = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernels)
    return {"kernel_size": kernel, "stride": draw(pair(1, 4)), "padding": padding}


@st.composite
def layers(draw):
    """A layer and the shape of an input: as text of a constructor's call, and a shape."""
    n, c = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    images = (n, c, draw(st.integers(3, 7)), draw(st.integers(3, 7)))
    name = draw(
        st.sampled_from(
            [
                "Layer",
                "Conv2d",
                "Conv2d",
                "MaxPool2d",
                "MaxPool2d",
                "AvgPool2d",
                "LayerNorm",
                "RMSNorm",
                "BatchNorm1d",
                "BatchNorm2d",
                "Flatten",
            ]
        )
    )
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    if name == "Layer":
        return (
            name,
            (shape[-1], draw(st.integers(1, 3))),
            {"act": draw(st.sampled_from([None, *nn.ACTIVATIONS]))},
            shape,
        )
    if name == "Conv2d":
        options = draw(windows())
        return name, (c, draw(st.integers(1, 3))), {**options, "bias": draw(st.booleans())}, images
    if name in ("MaxPool2d", "AvgPool2d"):
        return name, (), draw(windows()), images
    if name in ("LayerNorm", "RMSNorm"):
        axes = draw(st.integers(1, len(shape)))
        return name, (shape[-axes:],), {"eps": draw(st.sampled_from([1e-5, 1e-2]))}, shape
    if name == "BatchNorm1d":
        shape = (draw(st.integers(2, 5)), c, *draw(st.sampled_from([(), (3,), (1,)])))
        return (
            name,
            (c,),
            {"affine": draw(st.booleans()), "momentum": draw(st.sampled_from([0.1, 0.7]))},
            shape,
        )
    if name == "BatchNorm2d":
        return name, (c,), {"affine": draw(st.booleans())}, images
    return name, (), {}, (n, *shape)


# Optimizers


@st.composite
def optimizers(draw):
    """The name of an optimizer, and its settings."""
    share = st.sampled_from([0.0, 0.3, 0.9, 0.99])
    options = {"lr": draw(st.sampled_from([0.0, 1e-3, 0.05, 1, np.float64(0.1), np.float32(0.25)]))}
    name = draw(st.sampled_from(["SGD", "Adam", "AdamW", "RMSprop"]))
    options["weight_decay"] = draw(st.sampled_from([0, 0.0, 0.1, 1.0]))
    if name == "SGD":
        options["momentum"] = draw(share)
        options["nesterov"] = bool(options["momentum"]) and draw(st.booleans())
        if not options["nesterov"]:
            options["dampening"] = draw(st.sampled_from([0.0, 0.5, 1.0, 0]))
    else:
        options["eps"] = draw(st.sampled_from([1e-8, 1e-3, 1.0]))
    if name in ("Adam", "AdamW"):
        options["betas"] = draw(st.tuples(share, share))
    if name == "RMSprop":
        options |= {"alpha": draw(share), "momentum": draw(share)}
        # with alpha=0 the variance is what rounding leaves of it
        options["centered"] = options["alpha"] > 0 and draw(st.booleans())
    return name, options
