"""Special functions of arrays, which NumPy lacks. Like arrays.py: no graph here.

What they need in tables is computed when one of them is first called.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from micrograd.arrays import half_of_one_plus

# The error function and its relatives

BLOCK = 2**19  # bytes, of which some stay in the cache: a million elements take half the time
HALF_ROOT = math.sqrt(0.5)
HALF_ROOT_HIGH = float(np.float32(HALF_ROOT))
HALF_ROOT_LOW = HALF_ROOT - HALF_ROOT_HIGH - 4.8336466567264567e-17  # what sqrt(1/2) is off


def like(x, *tables: np.ndarray) -> list:
    """The tables as the kind of array that x is."""
    return [np.asarray(table, like=None if isinstance(x, np.generic) else x) for table in tables]


def in_blocks(f: Callable, x):
    """f(x) for an elementwise f, some elements at a time."""
    n = BLOCK // x.dtype.itemsize
    if x.size <= n:
        return f(x)
    flat = x.reshape(-1)
    return np.concatenate([f(flat[i : i + n]) for i in range(0, x.size, n)]).reshape(x.shape)


@cache
def erf_table(dtype: np.dtype, steps: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """erf from -end to end, in so many steps of 1, and its slope, by the step."""
    x = np.arange(-end * steps, end * steps + 1) / steps
    slopes = 2 / math.sqrt(math.pi) / steps * np.exp(-x * x)
    return np.array([math.erf(v) for v in x], dtype), slopes.astype(dtype)


def nearest_in_table(x, steps: int, end: int):
    """The place of the point that is nearest to x, the point, and the distance, by the step."""
    d = np.clip(x, -end, end)
    d *= steps
    nearest = np.rint(d)
    d -= nearest
    with np.errstate(invalid="ignore"):  # a nan takes some place, and stays nan in d
        place = (nearest + end * steps).astype(np.uint16)  # to int64 it takes twice as long
    return place.astype(np.intp), nearest, d


def first_order(x, steps: int, end: int):
    """erf at the nearest point of its table, and its slope there times d."""
    values, slopes = like(x, *erf_table(np.dtype(x.dtype), steps, end))
    place, _, d = nearest_in_table(x, steps, end)
    y = np.take(slopes, place, mode="clip")
    y *= d
    y += np.take(values, place, mode="clip")
    return y


def fourth_order(x, steps: int, end: int):
    """erf around the nearest point a of its table.

    Of d = x - a, with the series of erf(a + d) - erf(a) over erf'(a) d, see Abramowitz and Stegun
    7.1.19.
    """
    values, slopes = like(x, *erf_table(np.dtype(x.dtype), steps, end))
    place, nearest, d = nearest_in_table(x, steps, end)
    y = np.take(slopes, place, mode="clip")
    y *= d
    d *= 1 / steps
    a = nearest * (1 / steps)
    square = a * a
    y *= 1 - d * (a - d * ((2 * square - 1) / 3 - d * (a * (2 * square - 3) / 6)))
    y += np.take(values, place, mode="clip")
    return y


def erf(x):
    """The error function, which NumPy lacks: a Taylor series around points where `math` knows it.

    In float32 they are so near that its first term is enough.
    """
    if x.dtype == np.float16:
        return erf(x.astype(np.float32)).astype(np.float16)
    if x.dtype == np.float32:  # where erf(4) = 1
        return in_blocks(lambda x: first_order(x, 4096, 4), x)
    return in_blocks(lambda x: fourth_order(x, 2048, 6), x)


# The normal distribution function is (1 + tanh(x P(x^2))) / 2, to 3e-8 with this P. It is fitted by
# least squares, weighted anew until the largest error is smallest. A table takes 1.5 times as long.
NORMAL_AS_TANH = (
    7.97884941e-1, 3.63330846e-2, -3.25949753e-5, -5.53061938e-5, 3.96474444e-6, -1.32263341e-7,
    1.75617079e-9,
)  # fmt: skip


def normal_as_tanh(x):
    """The normal distribution function in float32, to an ulp or two of 1."""
    first, *others = NORMAL_AS_TANH
    with np.errstate(over="ignore"):  # of infinities tanh is 1 or -1
        square = x * x
        y = square * others.pop()
        for c in reversed(others):
            y += c
            y *= square
        y += first
        y *= x
    return half_of_one_plus(np.tanh(y))


def normal_share(x):
    """The normal distribution function for gelu: exact to an ulp or two of 1, as (1 + erf) / 2 is.

    See `ndtr` for that which is exact where it is small too.
    """
    if x.dtype == np.float16:
        return normal_share(x.astype(np.float32)).astype(np.float16)
    if x.dtype == np.float32:
        return in_blocks(normal_as_tanh, x)
    return half_of_one_plus(erf(x * HALF_ROOT))


def normal_density(x):
    """The slope of the normal distribution function; in one piece of memory, as x may be large."""
    y = x * x
    y *= -0.5
    y = np.exp(y)
    y *= 1 / math.sqrt(2 * math.pi)
    return y


@cache
def erfc_table(steps: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """erfc and its negative slope from 0 to end, in so many steps of 1."""
    x = np.arange(end * steps + 1) / steps
    return np.array([math.erfc(v) for v in x]), 2 / math.sqrt(math.pi) * np.exp(-x * x)


def erfc(x):
    """1 - erf(x), exact where it is small too; computed in float64.

    With f(x) = e^(x^2) erfc(x) around the nearest a where `math` knows it, of whose derivatives
    f(n+1) = 2a f(n) + 2n f(n-1), and f' = 2a f - 2 / sqrt(pi) (Abramowitz and Stegun, 7.1.20).
    """
    steps, end = 512, 28  # erfc(end) = 0
    values, slopes = like(x, *erfc_table(steps, end))
    size = np.minimum(np.abs(x.astype(np.float64)), end)
    nearest = np.rint(size * steps)
    with np.errstate(invalid="ignore"):
        place = nearest.astype(np.intp)
    a = nearest / steps
    d = size - a
    before = np.take(values, place, mode="clip")
    f = 2 * a * before - np.take(slopes, place, mode="clip")
    y, power = before + d * f, d
    for n in range(1, 5):
        before, f = f, 2 * a * f + 2 * n * before
        power = power * d / (n + 1)
        y = y + power * f
    y = y * np.exp(-d * (2 * a + d))
    return np.where(x < 0, 2 - y, y).astype(x.dtype)[()]


def ndtr(x):
    """The normal distribution function, erfc(z) / 2 for z = -x / sqrt(2); computed in float64.

    z is rounded, by up to d = 1e-15, which far out would matter: erfc(z + d) = erfc(z) + erfc' d.
    """
    given, x = x, x.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        z = -x * HALF_ROOT
        x_high = x.astype(np.float32).astype(np.float64)  # products of two such are exact
        d = -(x_high * HALF_ROOT_HIGH + z) - x_high * HALF_ROOT_LOW - (x - x_high) * HALF_ROOT
        d = np.where(np.abs(x) < 40, d, 0)
    y = 0.5 * erfc(z) - np.exp(-z * z) / math.sqrt(math.pi) * d
    return y.astype(given.dtype)[()]


def logit(x):
    """log(x / (1 - x)), exact near 1/2, where it is 0."""
    return np.copysign(np.log1p(np.abs(2 * x - 1) / np.minimum(x, 1 - x)), x - 0.5)


# The gamma function's relatives, computed in float64

ZERO, ZERO_LOW = 1.4616321449683623, 9.549995429965697e-17  # of digamma, in two parts


@cache
def bernoulli(n: int) -> float:
    """The Bernoulli number B_n, for n = 2, 4, 6 ..."""
    numbers = [1.0]
    for m in range(1, n + 1):
        numbers.append(-sum(math.comb(m + 1, k) * b for k, b in enumerate(numbers)) / (m + 1))
    return numbers[n]


@cache
def digamma_series() -> list[float]:
    """The Taylor series of digamma at its zero, without the 0."""
    return [float(polygamma(k, np.float64(ZERO))) / math.factorial(k) for k in range(1, 25)]


def polygamma(n: int, x):
    """The n-th derivative of digamma.

    The recurrence (Abramowitz and Stegun, 6.4.6) up to where the asymptotic series (6.4.11) holds,
    and for x < 1/2 the reflection (6.4.7). Around the zero of digamma its Taylor series.
    """
    given, x = x, x.astype(np.float64)
    mirrored = x < 0.5
    x = np.where(mirrored, 1 - x, x)
    shift = 12 + n
    far = x + shift
    y = -np.log(far) if n == 0 else math.factorial(n - 1) * np.power(far, -float(n))
    y = y + 0.5 * math.factorial(n) * np.power(far, -float(n + 1))
    for k in range(2, 18, 2):
        factor = bernoulli(k) * (math.factorial(k + n - 1) / math.factorial(k))
        y = y + factor * np.power(far, -float(k + n))
    for k in reversed(range(shift)):  # the smallest first
        y = y + math.factorial(n) * np.power(x + k, -float(n + 1))
    y = (-1) ** (n + 1) * y
    if n == 0:
        d = np.clip((x - ZERO) - ZERO_LOW, -0.3, 0.3)
        near = 0.0
        for coefficient in reversed(digamma_series()):
            near = (near + coefficient) * d
        y = np.where(np.abs(d) < 0.3, near, y)
    y = np.where(mirrored, (-1) ** n * y - cotangent(n, given.astype(np.float64)), y)
    return y.astype(given.dtype)[()]


def cotangent(n: int, x):
    """The n-th derivative of pi cot(pi x): a polynomial in c = cot(pi x), as c' = -pi (1 + c^2)."""
    coefficients = np.array([0.0, math.pi])
    for _ in range(n):
        coefficients = np.polynomial.polynomial.polymul(
            np.polynomial.polynomial.polyder(coefficients), [-math.pi, 0, -math.pi]
        )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        c = 1 / np.tan(math.pi * (x - np.rint(x)))
        y = coefficients[-1]
        for coefficient in coefficients[-2::-1].tolist():
            y = y * c + coefficient
    return y


@cache
def gammaln_series() -> list[float]:
    """The Taylor series of log(gamma) at 2: 0, digamma(2), digamma'(2) / 2 ..."""
    two = np.float64(2)
    return [0.0, *(float(polygamma(k - 1, two)) / math.factorial(k) for k in range(1, 30))]


def gammaln(x):
    """log(|gamma(x)|).

    Up to 8 the Taylor series at 2, to whose neighbourhood the recurrence leads, beyond it
    Stirling's series (Abramowitz and Stegun, 6.1.15, 6.1.40), below 0 the reflection (6.1.17).
    """
    given, x = x, x.astype(np.float64)
    mirrored = x < 0
    x = np.where(mirrored, 1 - x, x)
    small = np.minimum(x, 8)
    whole = np.rint(small)
    z = small - whole
    near = gammaln_series()[-1]
    for coefficient in gammaln_series()[-2::-1]:
        near = near * z + coefficient
    above = np.ones_like(z)
    for k in range(2, 8):
        above = above * np.where(whole > k, z + k, 1)
    with np.errstate(divide="ignore"):
        near = near + np.log(above) - np.log(np.where(whole < 1, z, 1))
        near = near - np.log1p(np.where(whole < 2, z, 0))
    far = np.maximum(x, 8)
    stirling = (far - 0.5) * (np.log(far) - 1) + 0.5 * (math.log(2 * math.pi) - 1)
    for k in range(2, 18, 2):
        stirling = stirling + bernoulli(k) / (k * (k - 1)) * np.power(far, -float(k - 1))
    y = np.where(x <= 8, near, stirling)
    with np.errstate(divide="ignore", invalid="ignore"):
        sine = np.abs(np.sin(math.pi * (given - np.rint(given)).astype(np.float64)))
        y = np.where(mirrored, math.log(math.pi) - np.log(sine) - y, y)
    return y.astype(given.dtype)[()]


# Others


def sinc(n: int, x):
    """The n-th derivative of sin(pi x) / (pi x).

    By x f(n) + n f(n-1) = pi^(n-1) sin(pi x + n pi / 2), the n-th derivative of x f = sin(pi x) /
    pi; and around 0 by the Taylor series.
    """
    if n == 0:
        return np.sinc(x)
    given, x = x, x.astype(np.float64)
    near = np.abs(x) < 1
    z, series = np.where(near, x, 0), 0.0
    for k in reversed(range((n + 1) // 2, n // 2 + 16)):
        term = (-1) ** k * math.pi ** (2 * k) * math.perm(2 * k, n) / math.factorial(2 * k + 1)
        series = series * z * z + term
    series = series * z ** (n % 2)
    z = np.where(near, 1, x)
    y = np.sinc(z)
    for k in range(1, n + 1):
        y = (math.pi ** (k - 1) * np.sin(math.pi * z + k * math.pi / 2) - k * y) / z
    return np.where(near, series, y).astype(given.dtype)[()]
