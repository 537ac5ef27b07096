"""An array of another kind than NumPy's: it notes each call that it sees, and turns into no other.

What computes with it computes by NumPy's protocols alone. It stands for the tracers of a compiler,
and for the arrays of other libraries.
"""

import operator

import numpy as np

from micrograd import Tensor


class Recording(np.lib.mixins.NDArrayOperatorsMixin):
    """An array in a shell. `Recording.calls` has the names of all calls that reached one."""

    calls: list[str] = []  # noqa: RUF012 (one for all, as it says)

    def __init__(self, array):
        self.array = array

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        if out is None:
            return call(name, getattr(ufunc, method), inputs, options)
        (target,) = out
        if not isinstance(target, Recording):
            raise TypeError(f"{name}: a Recording was to be written into {type(target).__name__}")
        if isinstance(target.array, np.ndarray):
            options["out"] = target
        result = call(name, getattr(ufunc, method), inputs, options)
        target.array = result.array  # a number cannot be written to, but replaced
        return target

    def __array_function__(self, function, types, args, options):
        if any(issubclass(kind, Tensor) for kind in types):
            return NotImplemented
        return call(function.__name__, function, args, options)

    def __getitem__(self, key):
        return call("getitem", lambda x, key: x[key], (self, key))

    def __setitem__(self, key, value):
        self.calls.append("setitem")
        self.array[plain(key)] = plain(value)

    def __pow__(self, other):  # x ** 0.5 is a root in NumPy 2.0, as np.power(x, 0.5) is not
        return call("power", operator.pow, (self, other))

    def __len__(self):
        return len(self.array)

    def _refuse(self, *_, **__):
        raise TypeError("a Recording was to become a plain array, number or bool, or was iterated")

    __array__ = __bool__ = __float__ = __int__ = __index__ = __complex__ = __iter__ = _refuse


def call(name, function, args, options=None):
    """The result of a call with the arrays of Recordings, as a Recording; it is noted."""
    Recording.calls.append(name)
    return recorded(function(*plain(args), **plain(options or {})))


def plain(x):
    """x with arrays in the place of Recordings."""
    if isinstance(x, Recording):
        return x.array
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    return type(x)(map(plain, x)) if type(x) in (list, tuple) else x


def recorded(x):
    """x with Recordings in the place of arrays, and of the floats that some ufuncs give."""
    if isinstance(x, np.ndarray | np.generic | float):
        return Recording(x)
    if hasattr(x, "_fields"):  # what numpy.linalg gives
        return type(x)(*map(recorded, x))
    return type(x)(map(recorded, x)) if type(x) in (list, tuple) else x


def attribute(name):
    return property(lambda self: recorded(getattr(self.array, name)))


def method(name):
    return lambda self, *args, **options: call(
        name, lambda x, *args, **options: getattr(x, name)(*args, **options), (self, *args), options
    )


for name in ("shape", "ndim", "dtype", "size", "base", "T", "mT"):
    setattr(Recording, name, attribute(name))

for name in (
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "copy", "cumprod", "cumsum",
    "diagonal", "dot", "flatten", "max", "mean", "min", "prod", "ravel", "repeat", "reshape",
    "squeeze", "std", "sum", "swapaxes", "take", "trace", "transpose", "var",
):  # fmt: skip
    setattr(Recording, name, method(name))
