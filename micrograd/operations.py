"""All operations but the arithmetic: a name, a function on arrays, a derivative for each operand.

What stands here under `@function` answers to its name in NumPy, if NumPy has one; what stands under
`@method` is a method of `Tensor` too. To add an operation, write it here: no other place needs to
know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from micrograd import arrays, special
from micrograd.arrays import Axis, array_of, at, axes_of, describe, deviation, over, share, spread
from micrograd.engine import Tensor, apply, operation
from micrograd.names import explaining
from micrograd.protocol import (
    CONSTANT,
    FUNCTIONS,
    OF_UFUNCS,
    RENAMED,
    constant,
    data_of,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from micrograd.protocol import Operand

    F = TypeVar("F", bound=Callable)

__all__ = [
    "arctan2", "bincount", "concatenate", "copysign", "digamma", "divmod", "dot", "erf", "erfc",
    "float_power", "fmax", "fmin", "fmod", "frexp", "gammaln", "heaviside", "hypot", "ldexp",
    "linear", "logaddexp", "logaddexp2", "logit", "maximum", "minimum", "mod", "modf", "ndtr",
    "outer", "polygamma", "stack", "where",
]  # fmt: skip

OPERATIONS: dict[str, Callable] = {}  # all that stand here, by name


def function(*numpys: Callable, **renamed: str) -> Callable[[F], F]:
    """Let an operation stand for NumPy's of its name, and for those given.

    NumPy's names of the arguments are given where ours differ.
    """

    def enter(f):
        own = [getattr(np, f.__name__)] if hasattr(np, f.__name__) else []
        for numpys_function in (*own, *numpys):
            FUNCTIONS[numpys_function] = f
            RENAMED[numpys_function] = renamed
        if f.__code__.co_argcount + f.__code__.co_kwonlyargcount > 1:
            f = explaining(f)
        OPERATIONS[f.__name__] = f
        return f

    return enter


def method(*numpys: Callable, **renamed: str) -> Callable[[F], F]:
    """`function`, and a method of Tensor too."""

    def enter(f):
        f = function(*numpys, **renamed)(f)
        setattr(Tensor, f.__name__, f)
        return f

    return enter


FUNCTIONS.update({
    np.add: Tensor.__add__, np.subtract: Tensor.__sub__, np.multiply: Tensor.__mul__,
    np.divide: Tensor.__truediv__, np.power: Tensor.__pow__, np.matmul: Tensor.__matmul__,
    np.negative: Tensor.__neg__,
})  # fmt: skip

# Computed on the arrays, as comparisons are: whether, where, how many, of what kind; and steps
STEPS_AND_PLACES = """
    equal not_equal less less_equal greater greater_equal isclose allclose array_equal array_equiv
    isfinite isinf isnan isneginf isposinf isreal iscomplex isrealobj iscomplexobj isin signbit
    logical_and logical_or logical_xor logical_not all any count_nonzero
    argmax argmin nanargmax nanargmin argsort argpartition lexsort searchsorted digitize
    nonzero flatnonzero argwhere diag_indices_from tril_indices_from triu_indices_from
    sign floor ceil rint trunc fix round around floor_divide imag angle
    zeros ones zeros_like ones_like empty_like
    shape ndim size result_type can_cast min_scalar_type common_type einsum_path
    may_share_memory shares_memory array_repr array_str array2string
    save savez savez_compressed savetxt
    """
CONSTANT.update(getattr(np, name) for name in STEPS_AND_PLACES.split())

# Elementwise


def elementwise(
    name: str, forward: Callable, *derivatives: Callable, doc: str
) -> Callable[..., Tensor]:
    """An operation without options, whose module is this one."""
    return operation(name, forward, *derivatives, doc=doc)


def unary(name: str, forward: Callable, derivative: Callable, doc: str) -> Callable[..., Tensor]:
    """An elementwise method."""
    return method()(elementwise(name, forward, derivative, doc=doc))


def binary(name: str, forward: Callable, *derivatives: Callable, doc: str) -> Callable[..., Tensor]:
    """An elementwise function of two operands."""
    return function()(lenient(elementwise(name, forward, *derivatives, doc=doc)))


def lenient(f: Callable) -> Callable:
    """Let lists be operands too, and integers become floats before f sees them."""

    @wraps(f)
    def of_anything(*operands):
        if any(isinstance(x, Tensor) for x in operands):
            made = [np.array(x) if isinstance(x, (list, tuple)) else x for x in operands]
            beside = [
                constant(f.__name__, x, operands) if isinstance(x, np.ndarray) else x for x in made
            ]
            return f(*beside)
        real = [getattr(x, "dtype", np.dtype(int)).kind == "f" for x in operands]
        return f(*(x if r else Tensor(x, requires_grad=False) for x, r in zip(operands, real)))

    return of_anything


LOG_2, LOG_10 = math.log(2), math.log(10)

# fmt: off
exp      = unary("exp",     np.exp,     lambda g, y, x: g * y,               "e^x.")
expm1    = unary("expm1",   np.expm1,   lambda g, y, x: g * (y + 1),
                 "e^x - 1, exact near 0.")
exp2     = unary("exp2",    np.exp2,    lambda g, y, x: g * (y * LOG_2),     "2^x.")
log      = unary("log",     np.log,     lambda g, y, x: g / x,
                 "The natural logarithm.")
log1p    = unary("log1p",   np.log1p,   lambda g, y, x: g / (1 + x),
                 "log(1 + x), exact near 0.")
log2     = unary("log2",    np.log2,    lambda g, y, x: g / (x * LOG_2),
                 "The logarithm to base 2.")
log10    = unary("log10",   np.log10,   lambda g, y, x: g / (x * LOG_10),
                 "The logarithm to base 10.")
sqrt     = unary("sqrt",    np.sqrt,    lambda g, y, x: 0.5 * g / y,         "The square root.")
cbrt     = unary("cbrt",    np.cbrt,    lambda g, y, x: g / (3 * y * y),     "The cube root.")
square   = unary("square",  np.square,  lambda g, y, x: g * (2 * x),         "x^2.")
reciprocal = unary("reciprocal", np.reciprocal, lambda g, y, x: -g * y * y,  "1 / x.")
sin      = unary("sin",     np.sin,     lambda g, y, x: g * np.cos(x),       "The sine.")
cos      = unary("cos",     np.cos,     lambda g, y, x: -g * np.sin(x),      "The cosine.")
tan      = unary("tan",     np.tan,     lambda g, y, x: g * (1 + y * y),     "The tangent.")
sinh     = unary("sinh",    np.sinh,    lambda g, y, x: g * np.cosh(x),      "The hyperbolic sine.")
cosh     = unary("cosh",    np.cosh,    lambda g, y, x: g * np.sinh(x),
                 "The hyperbolic cosine.")
tanh     = unary("tanh",    np.tanh,    lambda g, y, x: g * (1 - y * y),
                 "The hyperbolic tangent.")
arcsin   = unary("arcsin",  np.arcsin,  lambda g, y, x: g / np.sqrt((1 - x) * (1 + x)),
                 "The angle from -pi/2 to pi/2 whose sine is x.")
arccos   = unary("arccos",  np.arccos,  lambda g, y, x: -g / np.sqrt((1 - x) * (1 + x)),
                 "The angle from 0 to pi whose cosine is x.")
arctan   = unary("arctan",  np.arctan,  lambda g, y, x: g / (1 + x * x),
                 "The angle from -pi/2 to pi/2 whose tangent is x.")
arcsinh  = unary("arcsinh", np.arcsinh, lambda g, y, x: g / np.sqrt(x * x + 1),
                 "The inverse of sinh.")
arccosh  = unary("arccosh", np.arccosh, lambda g, y, x: g / np.sqrt((x - 1) * (x + 1)),
                 "The inverse of cosh, for x from 1 on.")
arctanh  = unary("arctanh", np.arctanh, lambda g, y, x: g / ((1 - x) * (1 + x)),
                 "The inverse of tanh.")
deg2rad  = unary("deg2rad", np.deg2rad, lambda g, y, x: g * (math.pi / 180), "Degrees as radians.")
rad2deg  = unary("rad2deg", np.rad2deg, lambda g, y, x: g * (180 / math.pi), "Radians as degrees.")
abs      = unary("abs",     np.abs,     lambda g, y, x: g * np.sign(x), "|x|; its slope at 0 is 0.")
positive = unary("positive", np.positive, lambda g, y, x: g,                 "+x.")
relu     = unary("relu",  lambda x: np.maximum(x, 0), lambda g, y, x: g * (y != 0),
                 "max(x, 0); its slope at 0 is 0.")
sigmoid  = unary("sigmoid", arrays.sigmoid, lambda g, y, x: g * (y * (1 - y)),
                 "1 / (1 + e^-x), without overflow.")
softplus = unary("softplus", lambda x: np.logaddexp(x, 0), lambda g, y, x: g * sigmoid(x),
                 "log(1 + e^x), without overflow: a smooth relu.")

# Special functions
erf      = method()(lenient(elementwise("erf", special.erf,
                    lambda g, y, x: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x),
                    doc="The integral of 2 / sqrt(pi) e^-t^2 for t from 0 to x.")))
erfc     = method()(lenient(elementwise("erfc", special.erfc,
                    lambda g, y, x: g * (-2 / math.sqrt(math.pi)) * np.exp(-x * x),
                    doc="1 - erf(x), exact where it is small.")))
ndtr     = method()(lenient(elementwise("ndtr", special.ndtr,
                    lambda g, y, x: g * (1 / math.sqrt(2 * math.pi)) * np.exp(-0.5 * x * x),
                    doc="The normal distribution function: how much of it lies below x.")))
logit    = method()(lenient(elementwise("logit", special.logit,
                    lambda g, y, x: g / (x * (1 - x)),
                    doc="log(x / (1 - x)), the inverse of sigmoid.")))
gammaln  = method()(lenient(elementwise("gammaln", special.gammaln,
                    lambda g, y, x: g * digamma(x),
                    doc="log(|gamma(x)|); gamma(n + 1) = n!.")))
digamma  = method()(lenient(elementwise("digamma", lambda x: special.polygamma(0, x),
                    lambda g, y, x: g * polygamma(1, x),
                    doc="The slope of gammaln.")))

# Of equal ones each gets half the gradient; where one is nan, both get all of it, as in PyTorch
maximum  = binary("maximum", np.maximum,
                  lambda g, y, a, b: g * (~(a < b) - 0.5 * (a == b)),
                  lambda g, y, a, b: g * (~(b < a) - 0.5 * (a == b)),
                  doc="The larger of a and b; equal ones share the gradient.")
minimum  = binary("minimum", np.minimum,
                  lambda g, y, a, b: g * (~(a > b) - 0.5 * (a == b)),
                  lambda g, y, a, b: g * (~(b > a) - 0.5 * (a == b)),
                  doc="The smaller of a and b; equal ones share the gradient.")
fmax     = binary("fmax", np.fmax,
                  lambda g, y, a, b: g * ((a >= b) | np.isnan(b)),
                  lambda g, y, a, b: g * ~((a >= b) | np.isnan(b)),
                  doc="The larger of a and b, or what is not nan; of equal ones it is a.")
fmin     = binary("fmin", np.fmin,
                  lambda g, y, a, b: g * ((a <= b) | np.isnan(b)),
                  lambda g, y, a, b: g * ~((a <= b) | np.isnan(b)),
                  doc="The smaller of a and b, or what is not nan; of equal ones it is a.")
arctan2  = binary("arctan2", np.arctan2,
                  lambda g, y, a, b: g * b / (a * a + b * b),
                  lambda g, y, a, b: -g * a / (a * a + b * b),
                  doc="The angle of the point (b, a), from -pi to pi.")
hypot    = binary("hypot", np.hypot,
                  lambda g, y, a, b: over(g, y) * a,
                  lambda g, y, a, b: over(g, y) * b,
                  doc="sqrt(a^2 + b^2), without overflow; its slope at (0, 0) is 0.")
logaddexp  = binary("logaddexp", np.logaddexp,
                    lambda g, y, a, b: g * np.exp(a - y),
                    lambda g, y, a, b: g * np.exp(b - y),
                    doc="log(e^a + e^b), without overflow.")
logaddexp2 = binary("logaddexp2", np.logaddexp2,
                    lambda g, y, a, b: g * np.exp2(a - y),
                    lambda g, y, a, b: g * np.exp2(b - y),
                    doc="The logarithm to base 2 of 2^a + 2^b, without overflow.")
mod      = binary("mod", np.mod,                                     # a - b floor(a / b)
                  lambda g, y, a, b: g,
                  lambda g, y, a, b: -g * np.rint((a - y) / b),
                  doc="a - b floor(a / b), which has the sign of b.")
fmod     = binary("fmod", np.fmod,                                   # a - b trunc(a / b)
                  lambda g, y, a, b: g,
                  lambda g, y, a, b: -g * np.rint((a - y) / b),
                  doc="a - b trunc(a / b), which has the sign of a.")
copysign = binary("copysign", np.copysign,
                  lambda g, y, a, b: g * (np.sign(a) * np.sign(y)),
                  lambda g, y, a, b: g * 0,
                  doc="|a| with the sign of b; its slope at a = 0 is 0.")
heaviside = binary("heaviside", np.heaviside,
                  lambda g, y, a, b: g * 0,
                  lambda g, y, a, b: g * (a == 0),
                  doc="The step: 0 where a < 0, 1 where a > 0, and b where a is 0.")
Tensor.__abs__, Tensor.__pos__ = abs, positive


def reflected_mod(x, other) -> Tensor:
    """other % self, where other is not a Tensor."""
    return mod(other, x)


Tensor.__mod__, Tensor.__rmod__ = mod, reflected_mod
Tensor.real = property(positive, doc="The tensor itself, for its numbers are real.")

FUNCTIONS.update({np.fabs: abs, np.degrees: rad2deg, np.radians: deg2rad})
FUNCTIONS.update({np.conjugate: positive, np.real: positive})  # of real numbers


@function()
def polygamma(n: int, x) -> Tensor:
    """The n-th derivative of digamma: n = 1 is trigamma."""
    if not isinstance(n, (int, np.integer)) or n < 0:
        raise ValueError(f"polygamma: n is an integer from 0 on, got {describe(n)}")
    return lenient(operation("polygamma", lambda x: special.polygamma(n, x),
                             lambda g, y, x: g * polygamma(n + 1, x)))(x)


@function()
def float_power(a, b) -> Tensor:
    """a to the power b, in float64 at least."""
    kinds = [getattr(x, "dtype", np.float64) for x in (a, b)]
    wide = np.result_type(np.float64, *kinds)
    made = [x if isinstance(x, Tensor) else Tensor(x, requires_grad=False) for x in (a, b)]
    base, exponent = (astype(x, wide) for x in made)
    return base**exponent


@method()
def sinc(x) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0."""
    return slope_of_sinc(0, x)


def slope_of_sinc(n: int, x) -> Tensor:
    """The n-th derivative of sinc."""
    return apply("sinc", lambda x: special.sinc(n, x), (x,),
                 lambda g, y, x: g * slope_of_sinc(n + 1, x))


def no_tensor(what: str, option: object) -> None:
    """Refuse an option for which there is no gradient, where it looks as if there were one."""
    if isinstance(option, Tensor):
        raise TypeError(f"{what} is a number, for which there is no gradient: take its item()")


@method()
def nan_to_num(
    x, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """x with numbers for nan and the infinities: 0 and the largest there are, or those given.

    The gradient goes to x where it is finite. The result is always a copy.
    """
    for name, number in (("nan", nan), ("posinf", posinf), ("neginf", neginf)):
        no_tensor(f"nan_to_num: {name}", number)
    return apply("nan_to_num",
                 lambda x: np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf), (x,),
                 lambda g, y, x: np.where(np.isfinite(x), g, 0))


@function()
def divmod(a, b) -> tuple[np.ndarray, Tensor]:
    """(a // b, a % b): an array, for its slope is 0, and a Tensor."""
    return np.floor_divide(data_of(a), data_of(b)), mod(a, b)


@function()
def modf(x) -> tuple[Tensor, np.ndarray]:
    """The fractional part of x, a Tensor, and the whole one, an array, for its slope is 0."""
    whole = np.trunc(data_of(x))
    return x - whole, whole


@function()
def frexp(x) -> tuple[Tensor, np.ndarray]:
    """The mantissa m of x = m 2^n, a Tensor, and the exponent n, an array, for its slope is 0."""
    _, n = np.frexp(data_of(x))
    return ldexp(x, -n), n


@function()
def ldexp(x, n: ArrayLike) -> Tensor:
    """x 2^n, for whole numbers n."""
    n = np.asarray(data_of(n)) if isinstance(n, (list, tuple)) else n
    if not isinstance(n, int) and getattr(n, "dtype", np.dtype(float)).kind not in "iu":
        raise TypeError(f"ldexp: n is an integer or several, got {describe(n)}")
    return apply("ldexp", lambda x: np.ldexp(x, n), (x,), lambda g, y, x: np.ldexp(g, n))


@method()
def leaky_relu(x, slope: float = 0.01) -> Tensor:
    """x where positive, slope * x elsewhere; its slope at 0 is the small one."""
    if not isinstance(slope, (int, float, np.floating)):
        raise TypeError(f"leaky_relu: slope is a number, got {describe(slope)}")
    return apply("leaky_relu", lambda x: np.where(x > 0, x, slope * x), (x,),
                 lambda g, y, x: np.where(x > 0, g, slope * g))


@method()
def silu(x) -> Tensor:
    """x * sigmoid(x) (Hendrycks and Gimpel, 2016), also called swish."""
    return x * sigmoid(x)


@method()
def gelu(x, approximate: str = "none") -> Tensor:
    """x * Phi(x), where Phi is the normal distribution function (Hendrycks and Gimpel, 2016).

    `approximate="tanh"` takes their tanh formula for Phi, which is several times faster.
    """
    c = math.sqrt(2 / math.pi)
    if approximate == "none":
        share = apply("gelu_erf", special.normal_share, (x,),
                      lambda g, y, x: g * special.normal_density(x))
    elif approximate == "tanh":
        share = apply("gelu_tanh", lambda x: arrays.half_of_one_plus(
                          np.tanh(x * (c + 0.044715 * c * x * x))), (x,),
                      lambda g, y, x: g * (y * (1 - y)) * (2 * c + 6 * 0.044715 * c * x * x))
    else:
        raise ValueError(f'gelu: approximate is "none" or "tanh", got {approximate!r}')
    return apply("gelu", lambda x, share: x * share, (x, share),
                 lambda g, y, x, share: g * share,
                 lambda g, y, x, share: g * x)


@method(a_min="lo", a_max="hi", min="lo", max="hi")
def clip(x, lo: ArrayLike | Tensor | None = None, hi: ArrayLike | Tensor | None = None) -> Tensor:
    """x limited to lo <= x <= hi: numbers, arrays, Tensors, or None for no limit.

    The gradient goes to x where it is within the limits (and on them), elsewhere to the limit.
    """
    lo, hi = -np.inf if lo is None else lo, np.inf if hi is None else hi
    return apply("clip", np.clip, (x, lo, hi),
                 lambda g, y, x, lo, hi: np.where((x >= lo) & (x <= hi), g, 0),
                 lambda g, y, x, lo, hi: np.where((x < lo) & (lo < hi), g, 0),
                 lambda g, y, x, lo, hi: np.where((x > hi) | (lo > hi), g, 0))


@method()
def astype(x, dtype: DTypeLike) -> Tensor:
    """The same numbers as another floating type; the gradient comes back in this one's."""
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"astype: expected a floating dtype, got {np.dtype(dtype)}")
    return apply("astype", lambda x: x.astype(dtype), (x,), lambda g, y, x: g)


@function(x="a", y="b")
def where(condition: ArrayLike, a, b) -> Tensor:
    """a where condition holds, elsewhere b; the condition is an array of bools."""
    condition = data_of(condition)
    if not hasattr(condition, "dtype") or isinstance(condition, np.ma.MaskedArray):
        condition = array_of("where: the condition", condition)
    if condition.dtype.kind not in "biuf":
        raise TypeError(f"where: the condition is made of bools, got {describe(condition)}")
    condition = condition.astype(bool)  # a copy: it may change before backward()
    return apply("where", lambda a, b: np.where(condition, a, b), (a, b),
                 lambda g, y, a, b: np.where(condition, g, 0),
                 lambda g, y, a, b: np.where(condition, 0, g))


select = where  # where an argument has its name

# Reductions: axis is None (all), an int or a tuple of ints, negative ones count from the end


def chosen(op: str, x, dtype: DTypeLike | None, where: ArrayLike, other: float) -> Tensor:
    """x in this dtype, with another number where it is not to be counted."""
    if dtype is not None:
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"{op}: dtype is a floating one, got {np.dtype(dtype)}")
        x = astype(x, dtype)
    return x if where is True else select(mask_of(op, where, x), x, other)


def mask_of(op: str, where: ArrayLike, x) -> np.ndarray:
    """The `where` of a reduction, in the shape of x."""
    mask = data_of(where) if hasattr(where, "dtype") else np.array(where)
    if mask.dtype != bool:
        raise TypeError(f"{op}: where is made of bools, got {describe(where)}")
    return np.broadcast_to(mask, x.shape)


@method()
def sum(
    x, axis: Axis = None, keepdims: bool = False, *,
    dtype: DTypeLike | None = None, initial: float | None = None, where: ArrayLike = True,
) -> Tensor:  # fmt: skip
    """The sum over axis: of the elements where `where` holds, in `dtype`, and `initial` with it."""
    x = chosen("sum", x, dtype, where, 0)
    y = apply("sum", lambda x: x.sum(axis=axis, keepdims=keepdims), (x,),
              lambda g, y, x: spread(g, x, axis, keepdims))
    return y if initial is None else y + initial


@method()
def mean(
    x, axis: Axis = None, keepdims: bool = False, *,
    dtype: DTypeLike | None = None, where: ArrayLike = True,
) -> Tensor:  # fmt: skip
    """The mean over axis: of the elements where `where` holds, in `dtype`."""
    if where is not True:
        total = sum(x, axis, keepdims, dtype=dtype, where=where)
        return total / mask_of("mean", where, x).sum(axis=axis, keepdims=keepdims)
    x = chosen("mean", x, dtype, where, 0)
    return apply("mean", lambda x: x.mean(axis=axis, keepdims=keepdims), (x,),
                 lambda g, y, x: spread(g * (y.size / (x.size or 1)), x, axis, keepdims))


@method(np.amax)
def max(
    x, axis: Axis = None, keepdims: bool = False, *,
    initial: float | None = None, where: ArrayLike = True,
) -> Tensor:  # fmt: skip
    """The largest value over axis; equal ones share the gradient evenly.

    `initial`, which `where` requires, is the least that the result can be; where they are
    equal it takes half the gradient.
    """
    least = least_of("max", -np.inf, initial, where)
    x = chosen("max", x, None, where, -np.inf)
    y = apply("max", lambda x: x.max(axis=axis, keepdims=keepdims, **least), (x,),
              lambda g, y, x: share(g, y, x, axis, keepdims))
    return y if initial is None else maximum(y, initial)


@method(np.amin)
def min(
    x, axis: Axis = None, keepdims: bool = False, *,
    initial: float | None = None, where: ArrayLike = True,
) -> Tensor:  # fmt: skip
    """The smallest value over axis; equal ones share the gradient evenly.

    `initial`, which `where` requires, is the most that the result can be; where they are
    equal it takes half the gradient.
    """
    most = least_of("min", np.inf, initial, where)
    x = chosen("min", x, None, where, np.inf)
    y = apply("min", lambda x: x.min(axis=axis, keepdims=keepdims, **most), (x,),
              lambda g, y, x: share(g, y, x, axis, keepdims))
    return y if initial is None else minimum(y, initial)


def least_of(op: str, least: float, initial: float | None, where: ArrayLike) -> dict[str, float]:
    """What max and min of nothing is, if there is an initial value."""
    if initial is None and where is not True:
        raise ValueError(f"{op}: where= needs initial= too, the result where nothing is chosen")
    return {} if initial is None else {"initial": least}


@method()
def var(
    x, axis: Axis = None, keepdims: bool = False, ddof: float = 0, *,
    correction: float | None = None, dtype: DTypeLike | None = None, where: ArrayLike = True,
    mean: Operand | None = None,
) -> Tensor:  # fmt: skip
    """The variance over axis: the squared deviations' sum over n - ddof.

    `correction` is another name for ddof. Counted are the elements where `where` holds. `mean`
    is theirs, with axis kept at length 1, if it is known.
    """
    ddof = correction_of("var", ddof, correction)
    x = chosen("var", x, dtype, True, 0)
    if mean is None and where is True:
        return apply("var", lambda x: x.var(axis=axis, keepdims=keepdims, ddof=ddof), (x,),
                     lambda g, y, x: spread(g, x, axis, keepdims) * deviation(x, y, axis, ddof) * 2)
    x = chosen("var", x, None, where, 0)  # for what isn't counted may be nan
    if mean is None:
        mean = x.mean(axis, keepdims=True, where=where)
    squares = ((x - mean) ** 2).sum(axis, keepdims, where=where)
    n = mask_of("var", where, x).sum(axis=axis, keepdims=keepdims)
    return squares / np.maximum(n - ddof, 0).astype(x.dtype)


@method()
def std(
    x, axis: Axis = None, keepdims: bool = False, ddof: float = 0, *,
    correction: float | None = None, dtype: DTypeLike | None = None, where: ArrayLike = True,
    mean: Operand | None = None,
) -> Tensor:  # fmt: skip
    """The standard deviation over axis; where it is 0, so is its slope. Options as in `var`."""
    ddof = correction_of("std", ddof, correction)
    x = chosen("std", x, dtype, True, 0)
    if mean is None and where is True:
        return apply("std", lambda x: x.std(axis=axis, keepdims=keepdims, ddof=ddof), (x,),
                     lambda g, y, x: spread(over(g, y), x, axis, keepdims)
                     * deviation(x, y, axis, ddof))
    square = var(x, axis, keepdims, ddof, where=where, mean=mean)
    return sqrt(select(square == 0, 1, square)) * (square != 0)


def correction_of(op: str, ddof: float, correction: float | None) -> float:
    """ddof, by one of its two names."""
    if correction is not None and ddof != 0:
        raise ValueError(f"{op}: ddof and correction are one thing, got {ddof} and {correction}")
    ddof = ddof if correction is None else correction
    no_tensor(f"{op}: ddof", ddof)
    return ddof


@method()
def prod(
    x, axis: Axis = None, keepdims: bool = False, *,
    dtype: DTypeLike | None = None, initial: float | None = None, where: ArrayLike = True,
) -> Tensor:  # fmt: skip
    """The product over axis: of the elements where `where` holds, in `dtype`, times `initial`."""
    x = chosen("prod", x, dtype, where, 1)
    y = apply("prod", lambda x: x.prod(axis=axis, keepdims=keepdims), (x,),
              lambda g, y, x: spread(g, x, axis, keepdims) * arrays.product_of_others(x, axis))
    return y if initial is None else y * initial


@method()
def cumprod(x, axis: int | None = None, *, dtype: DTypeLike | None = None) -> Tensor:
    """The running product along axis, in `dtype`; of the flattened tensor if axis is None."""
    if axis is None:
        return x.ravel().cumprod(0, dtype=dtype)
    x = chosen("cumprod", x, dtype, True, 1)
    return apply("cumprod", lambda x: x.cumprod(axis), (x,),
                 lambda g, y, x: arrays.cumprod_slope(g, y, x, axis))


@method()
def cumsum(x, axis: int | None = None, *, dtype: DTypeLike | None = None) -> Tensor:
    """The running sum along axis, in `dtype`; of the flattened tensor if axis is None."""
    if axis is None:
        return x.ravel().cumsum(0, dtype=dtype)
    x = chosen("cumsum", x, dtype, True, 0)
    return apply("cumsum", lambda x: x.cumsum(axis), (x,),
                 lambda g, y, x: np.flip(np.flip(g, axis).cumsum(axis), axis))


@method()
def logsumexp(x, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axis, without overflow."""
    return apply("logsumexp", lambda x: arrays.logsumexp(x, axis, keepdims), (x,),
                 lambda g, y, x: spread(g, x, axis, keepdims)
                 * np.exp(x - spread(y, x, axis, keepdims)))


OF_UFUNCS.update({
    (np.add, "reduce"): sum, (np.multiply, "reduce"): prod, (np.logaddexp, "reduce"): logsumexp,
    (np.maximum, "reduce"): max, (np.minimum, "reduce"): min,
    (np.add, "accumulate"): cumsum, (np.multiply, "accumulate"): cumprod,
})  # fmt: skip


@method()
def softmax(x, axis: Axis = None) -> Tensor:
    """exp(x) / sum(exp(x)) along axis, without overflow.

    With no axis: the last one; a vector written as a column (n, 1) counts as one vector.
    """
    axis = arrays.vector_axis(x.shape) if axis is None else axis
    return apply("softmax", lambda x: arrays.softmax(x, axis), (x,),
                 lambda g, y, x: y * (g - (g * y).sum(axis=axis, keepdims=True)))


@method()
def log_softmax(x, axis: Axis = None) -> Tensor:
    """log(softmax(x)) along axis, without overflow; the axis as in `softmax`."""
    axis = arrays.vector_axis(x.shape) if axis is None else axis
    return apply("log_softmax", lambda x: arrays.log_softmax(x, axis), (x,),
                 lambda g, y, x: g - np.exp(y) * g.sum(axis=axis, keepdims=True))


# Shapes


@method(newshape="shape")
def reshape(x, *shape: int | Sequence[int], order: str = "C") -> Tensor:
    """The same elements in another shape: reshape(2, -1) or reshape((2, -1)).

    They are read and placed with the last axis, or with order="F" the first, changing fastest;
    with order="A" the first if it does so in memory.
    """
    shape = shape[0] if len(shape) == 1 else shape
    if order == "A":
        order = "F" if x.data.flags.fnc else "C"
    if order not in ("C", "F"):
        raise ValueError(f'reshape: order is "C", "F" or "A", got {order!r}')
    if order == "F":
        return transpose(reshape(transpose(x), np.atleast_1d(shape)[::-1].tolist()))
    return apply("reshape", lambda x: x.reshape(shape), (x,), lambda g, y, x: g.reshape(x.shape))


@method()
def transpose(x, *axes: int | Sequence[int] | None) -> Tensor:
    """The axes in the order given, transpose(1, 0) or transpose((1, 0)); else reversed."""
    axes = axes[0] if len(axes) == 1 else axes
    if axes is None or np.size(axes) == 0:
        return apply("transpose", np.transpose, (x,), lambda g, y, x: g.transpose())
    axes = np.atleast_1d(axes).tolist()
    if len(axes) != x.ndim:
        raise ValueError(f"transpose of shape {x.shape}: got {len(axes)} axes of {x.ndim}; "
                         "swapaxes(0, 1) exchanges two")
    return apply("transpose", lambda x: x.transpose(axes), (x,),
                 lambda g, y, x: g.transpose(np.argsort([i % x.ndim for i in axes]).tolist()))


Tensor.T = property(transpose, doc="The tensor with its axes reversed.")


@method()
def swapaxes(x, axis1: int, axis2: int) -> Tensor:
    """The tensor with two axes exchanged."""
    return apply("swapaxes", lambda x: x.swapaxes(axis1, axis2), (x,),
                 lambda g, y, x: g.swapaxes(axis1, axis2))


@function(np.linalg.matrix_transpose)
def matrix_transpose(x) -> Tensor:
    """The last two axes exchanged: every matrix of a stack of them transposed."""
    return np.swapaxes(x, -1, -2)


Tensor.mT = property(matrix_transpose, doc="The tensor with its last two axes exchanged.")


@method()
def broadcast_to(x, *shape: int | Sequence[int]) -> Tensor:
    """The tensor repeated to a shape, by NumPy's rules."""
    shape = shape[0] if len(shape) == 1 else shape
    return apply("broadcast_to", lambda x: np.broadcast_to(x, shape), (x,), lambda g, y, x: g)


@method()
def ravel(x, order: str = "C") -> Tensor:
    """All elements along one axis: in the order of `reshape`, or with "K" as they lie in memory."""
    if isinstance(order, int):
        raise TypeError(f"flatten makes one axis of all; from axis {order} on it is "
                        f"t.reshape(*t.shape[:{order}], -1)")
    if order == "K":
        x = transpose(x, sorted(range(x.ndim), key=lambda i: -np.abs(x.data.strides[i])))
        order = "C"
    return x.reshape(-1, order=order)


Tensor.flatten = ravel


@method()
def squeeze(x, axis: Axis = None) -> Tensor:
    """Without the axes of length 1, or without those given."""
    return apply("squeeze", lambda x: x.squeeze(axis), (x,), lambda g, y, x: g.reshape(x.shape))


@method()
def expand_dims(x, axis: int | tuple[int, ...]) -> Tensor:
    """With new axes of length 1, which stand at these places in the result."""
    return apply("expand_dims", lambda x: np.expand_dims(x, axis), (x,),
                 lambda g, y, x: g.reshape(x.shape))


@method()
def pad(
    x,
    pad_width: ArrayLike | dict[int, int | tuple[int, int]],
    mode: str = "constant",
    constant_values: ArrayLike | Tensor = 0,
    stat_length: ArrayLike | None = None,
    end_values: ArrayLike | Tensor = 0,
    reflect_type: str = "even",
) -> Tensor:
    """A border around x; pad_width and all else as in `np.pad`.

    mode is "constant", a number, or numbers for each side, Tensors too; "edge", "reflect",
    "symmetric" or "wrap", whose border is made of elements of x; "maximum", "minimum", "mean" or
    "median" of the stat_length elements next to it, or of all; or "linear_ramp" to end_values.
    """
    if isinstance(pad_width, dict):  # of some axes
        width = [(0, 0)] * x.ndim
        for axis, both in pad_width.items():
            width[axes_of("pad", axis, x.ndim)[0]] = tuple(np.broadcast_to(both, 2).tolist())
        pad_width = width
    if reflect_type != "even":
        raise ValueError(f'pad: reflect_type is "even", got {reflect_type!r}')
    if mode in ("edge", "reflect", "symmetric", "wrap"):
        places = np.arange(x.size).reshape(x.shape)
        return ravel(x)[np.pad(places, pad_width, mode)]
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    if mode in STATISTICS:
        return with_statistic(x, widths, STATISTICS[mode], stat_length)
    if mode == "linear_ramp":
        return with_ramp(x, widths, end_values)
    if mode != "constant":
        known = ["constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", *STATISTICS]
        raise ValueError(f"pad: mode is one of {', '.join(known)}; got {mode!r}")
    if np.ndim(constant_values):
        return with_sides(x, widths, constant_values)
    inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape))
    return apply("pad", lambda x, c: np.pad(x, widths, constant_values=c), (x, constant_values),
                 lambda g, y, x, c: g[inside],
                 lambda g, y, x, c: g.sum() - g[inside].sum())


STATISTICS = {"maximum": np.max, "minimum": np.min, "mean": np.mean, "median": np.median}


def with_statistic(x, widths: list, f: Callable, stat_length: ArrayLike | None) -> Tensor:
    """x padded along one axis after the other with f of the elements next to the border."""
    longest = np.array(x.shape)[:, None]
    lengths = longest if stat_length is None else np.minimum(stat_length, longest)
    for axis, (first, last) in enumerate(np.broadcast_to(lengths, (x.ndim, 2)).tolist()):
        parts = slice(first), slice(x.shape[axis] - last, None)
        edges = [f(x[at(axis, part, x.ndim)], axis=axis, keepdims=True) for part in parts]
        x = between(edges, x, widths[axis], axis)
    return x


def with_sides(x, widths: list, numbers: Operand) -> Tensor:
    """x padded along one axis after the other with a number for each side."""
    if not isinstance(numbers, Tensor):
        numbers = array_of("pad: constant_values", numbers, "fiub")
    for axis, edges in enumerate(np.broadcast_to(numbers.astype(x.dtype), (x.ndim, 2))):
        x = between(edges, x, widths[axis], axis)
    return x


def between(edges: Sequence, x, width: list[int], axis: int) -> Tensor:
    """x between the first and the second edge, repeated along axis so many times."""
    ends = [
        np.broadcast_to(edge, (*x.shape[:axis], n, *x.shape[axis + 1 :]))
        for edge, n in zip(edges, width)
    ]
    return concatenate([ends[0], x, ends[1]], axis)


def with_ramp(x, widths: list, end_values: ArrayLike | Tensor) -> Tensor:
    """x padded along one axis after the other with even steps to the end values."""
    if not hasattr(end_values, "dtype"):
        end_values = np.array(end_values, x.dtype)
    ends = np.broadcast_to(end_values, (x.ndim, 2))
    for axis, (n, m) in enumerate(widths):
        first, last = x[at(axis, slice(1), x.ndim)], x[at(axis, slice(-1, None), x.ndim)]
        up, down = (
            (np.arange(k) / (k or 1)).astype(x.dtype).reshape(-1, *[1] * (x.ndim - axis - 1))
            for k in (n, m)
        )
        down = np.flip(down, 0)
        before = ends[axis, 0] * (1 - up) + first * up
        after = ends[axis, 1] * (1 - down) + last * down
        x = concatenate([before, x, after], axis)
    return x


@method()
def flip(x, axis: Axis = None) -> Tensor:
    """The elements in reverse order along axis."""
    axes = axes_of("flip", axis, x.ndim)
    return x[tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim))]


@method()
def tril(x, k: int = 0) -> Tensor:
    """The lower triangle of the last two axes, zeros above the k-th diagonal."""
    return apply("tril", lambda x: np.tril(x, k), (x,), lambda g, y, x: np.tril(g, k))


@method()
def triu(x, k: int = 0) -> Tensor:
    """The upper triangle of the last two axes, zeros below the k-th diagonal."""
    return apply("triu", lambda x: np.triu(x, k), (x,), lambda g, y, x: np.triu(g, k))


# Indexing, and its reverse: each is the other's derivative


def index(x, key: object) -> Tensor:
    """x[key] for every index that NumPy takes; an element taken twice adds both gradients."""
    if any(isinstance(k, Tensor) for k in (key if isinstance(key, tuple) else (key,))):
        raise TypeError(
            "index: a Tensor holds real numbers, and an index integers or bools: take "
            "t[k.data.astype(int)], or a mask such as t[k > 0]"
        )
    key = arrays.copied(key)
    return apply("index", lambda x: x[key], (x,), lambda g, y, x: scatter(g, key, x.shape))


def scatter(g, key: object, shape: Sequence[int]) -> Tensor:
    """Zeros of this shape with g added at [key]."""
    return apply("scatter", lambda g: arrays.add_at(g, key, shape), (g,), lambda u, y, g: u[key])


Tensor.__getitem__ = index


@method()
def add_at(x, key: object, values) -> Tensor:
    """A new tensor: x with values added at x[key]; an element that stands there twice gets both.

    The values are broadcast to the shape of x[key]. It is what `np.add.at` does in place, and what
    `index_add` and `scatter_add` do in PyTorch.
    """
    key = arrays.copied(key)
    if type(values) in (int, float):
        values = x.dtype.type(values)
    places = np.broadcast_to(False, x.shape)[key]
    return x + scatter(np.broadcast_to(values, places.shape), key, x.shape)


@function()
def bincount(x: ArrayLike, weights: Operand | None = None, minlength: int = 0) -> Tensor:
    """The sums of the weights that stand beside 0, 1, 2 ... in x, a vector of integers."""
    x, weights = np.asarray(data_of(x)), weights if hasattr(weights, "dtype") else np.array(weights)
    if x.dtype.kind not in "iu" or x.shape != weights.shape or x.ndim != 1:
        raise TypeError(
            f"bincount: expected integers beside as many weights, got {describe(x)} and shape "
            f"{weights.shape}"
        )
    return scatter(weights, x, (np.maximum(x.max(initial=-1) + 1, minlength),))


# Several tensors


def linear(x, weights, bias) -> Tensor:
    """x @ weights + bias in one operation: x (..., n), weights (n, m), bias (m,).

    Other shapes that fit do as well, as long as the bias is no larger than the product.
    """
    return apply("linear", arrays.linear, (x, weights, bias),
                 arrays.matmul_left,
                 arrays.matmul_right,
                 lambda g, y, x, w, b: g)


@function()
def outer(a, b) -> Tensor:
    """Every element of a times every element of b, both flattened: (n,) and (m,) give (n, m)."""
    return np.ravel(a)[:, None] * np.ravel(b)


@method()
def dot(a, b) -> Tensor:
    """`np.dot`: the sum of products over the last axis of a and the last but one of b."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(a) == 1 or np.ndim(b) <= 2:
        return a @ b
    n_columns = math.prod(b.shape[:-2]) * b.shape[-1]
    columns = b.transpose(-2, *range(b.ndim - 2), -1).reshape(b.shape[-2], n_columns)
    return (arrays.rows(a) @ columns).reshape(*a.shape[:-1], *b.shape[:-2], b.shape[-1])


@function()
def concatenate(
    tensors: Sequence[Operand], axis: int | None = 0, *, dtype: DTypeLike | None = None
) -> Tensor:
    """Tensors (or arrays) joined along an axis that exists; flattened first if axis is None."""
    if dtype is not None:
        return astype(concatenate(tensors, axis), dtype)
    tensors = list(tensors)
    if axis is None:
        tensors, axis = [np.ravel(x) for x in tensors], 0
    if tensors:
        axes_of("concatenate", axis, np.ndim(tensors[0]))

    def join(some):
        lengths = [np.shape(x)[axis] if -np.ndim(x) <= axis < np.ndim(x) else 0 for x in some]
        ends = np.cumsum(lengths).tolist()  # NumPy complains of one that has no such axis
        return apply("concatenate", lambda *xs: np.concatenate(xs, axis), tuple(some),
                     *(lambda g, y, *xs, part=slice(start, end): g[at(axis, part, g.ndim)]
                       for start, end in zip([0, *ends], ends)))

    return by_the_dozen(join, tensors, join)


@function()
def stack(
    tensors: Sequence[Operand], axis: int = 0, *, dtype: DTypeLike | None = None
) -> Tensor:
    """Tensors (or arrays) of one shape joined along a new axis."""
    if dtype is not None:
        return astype(stack(tensors, axis), dtype)

    def join(some):
        return apply("stack", lambda *xs: np.stack(xs, axis), tuple(some),
                     *(lambda g, y, *xs, i=i: g[at(axis, i, g.ndim)] for i in range(len(some))))

    return by_the_dozen(join, list(tensors), lambda parts: concatenate(parts, axis))


def by_the_dozen(join: Callable, tensors: list, join_parts: Callable) -> Tensor:
    """join(tensors), in parts where they are many.

    Every derivative is given all of the operands, so n of them cost n^2: 32,000 took 10 s.
    """
    if len(tensors) <= 64:
        return join(tensors)
    parts = [join(tensors[i : i + 64]) for i in range(0, len(tensors), 64)]
    return by_the_dozen(join_parts, parts, join_parts)
