"""Reverse-mode automatic differentiation on NumPy arrays, and a small neural-network library."""

from __future__ import annotations

__version__ = "2.0.0"  # first, for arrays.py asks for it

from typing import TYPE_CHECKING

from micrograd import linalg, memory, polynomials  # noqa: F401
from micrograd.calculus import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from micrograd.effects import effect, state
from micrograd.einsum import einsum
from micrograd.engine import Tensor, apply, no_grad, operation
from micrograd.jit import jit
from micrograd.linalg import norm
from micrograd.names import MICROGRAD, of_module
from micrograd.operations import (
    arctan2,
    concatenate,
    copysign,
    digamma,
    dot,
    erf,
    erfc,
    float_power,
    fmax,
    fmin,
    fmod,
    gammaln,
    heaviside,
    hypot,
    linear,
    logaddexp,
    logaddexp2,
    logit,
    maximum,
    minimum,
    mod,
    ndtr,
    outer,
    polygamma,
    stack,
    where,
)  # fmt: skip
from micrograd.order import (
    average,
    convolve,
    corrcoef,
    correlate,
    cov,
    cumulative_prod,
    cumulative_sum,
    diff,
    ediff1d,
    geomspace,
    gradient,
    interp,
    linspace,
    logspace,
    median,
    meshgrid,
    nancumprod,
    nancumsum,
    nanmax,
    nanmean,
    nanmedian,
    nanmin,
    nanpercentile,
    nanprod,
    nanquantile,
    nanstd,
    nansum,
    nanvar,
    partition,
    percentile,
    quantile,
    sort,
    take_along_axis,
    trapezoid,
    unwrap,
)  # fmt: skip

if TYPE_CHECKING:
    from micrograd import nn, optim

__all__ = [
    "Tensor", "apply", "arctan2", "average", "concatenate", "convolve", "copysign", "corrcoef",
    "correlate", "cov", "cumulative_prod", "cumulative_sum", "diff", "digamma", "dot",
    "ediff1d", "effect", "einsum", "erf", "erfc", "float_power", "fmax", "fmin", "fmod",
    "gammaln", "geomspace", "grad", "gradient", "heaviside", "hessian", "hvp", "hypot",
    "interp", "jacobian", "jit", "jvp", "linalg", "linear", "linspace", "logaddexp",
    "logaddexp2", "logit", "logspace", "maximum", "median", "meshgrid", "minimum", "mod",
    "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile",
    "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "ndtr", "nn", "no_grad", "norm",
    "operation", "optim", "outer", "partition", "percentile", "polygamma", "quantile", "sort",
    "stack", "state", "take_along_axis", "trapezoid", "unwrap", "value_and_grad", "vjp",
    "where",
]  # fmt: skip


def __dir__():  # what completion offers
    return __all__


__getattr__ = of_module("micrograd", MICROGRAD, rooms=("nn", "optim"))
