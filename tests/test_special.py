"""Special functions: how exact they are, by mpmath in 30 digits, far out and at their zeros."""

import math

import mpmath
import numpy as np
import pytest
import torch
from table import assert_same

import micrograd
from micrograd import Tensor, grad, special

RNG = np.random.default_rng(0)
NEAR = np.concatenate([RNG.normal(size=100), RNG.normal(size=40) * 1e-8, RNG.uniform(-6, 6, 100)])
EDGES = np.array([0.0, -0.0, 1 / 4096, 1 / 1024, 5.99, -6.5, 30.0, -40.0])
POSITIVE = np.concatenate([RNG.uniform(0.01, 12, 150), 10 ** RNG.uniform(-9, 9, 50), [1, 2, 0.5]])


def exactly(f, x):
    """The values of a function of mpmath's, rounded once."""
    with mpmath.workdps(30):
        return np.array([float(f(mpmath.mpf(v))) for v in x.tolist()])


def mp_logit(x):
    return mpmath.log(x / (1 - x))


FUNCTIONS = {  # where, and to how many ulp in float64
    "erf": (special.erf, mpmath.erf, np.concatenate([NEAR, EDGES]), 3),
    "erfc": (special.erfc, mpmath.erfc, np.concatenate([NEAR, EDGES[:-2]]), 4),
    "erfc far out": (special.erfc, mpmath.erfc, RNG.uniform(5, 26, 100), 4),
    "ndtr": (special.ndtr, mpmath.ncdf, np.concatenate([NEAR, EDGES[:-1]]), 4),
    "ndtr far out": (special.ndtr, mpmath.ncdf, -RNG.uniform(5, 37, 100), 6),
    "logit": (special.logit, mp_logit, RNG.uniform(0.001, 0.999, 200), 3),
    "gammaln": (special.gammaln, mpmath.loggamma, POSITIVE, 8),
    **{
        f"polygamma({n})": (
            lambda x, n=n: special.polygamma(n, x), lambda x, n=n: mpmath.psi(n, x),
            RNG.uniform(0.05, 100, 100), 16,
        )
        for n in (0, 1, 2, 3, 5)
    },
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_exact_to_a_few_ulp(name):
    f, theirs, points, ulp = FUNCTIONS[name]
    for dtype, allowed in ((np.float64, ulp), (np.float32, 2)):
        x = points.astype(dtype)
        y, expected = f(x), exactly(theirs, x)
        assert y.dtype == dtype
        tiny = np.finfo(dtype).tiny / np.finfo(dtype).eps
        np.testing.assert_allclose(y, expected, rtol=allowed * np.finfo(dtype).eps, atol=tiny)
        assert isinstance(f(x[0]), dtype)
    assert f(points[:3].astype(np.float16)).dtype == np.float16


@pytest.mark.filterwarnings("error")
def test_the_share_of_gelu_is_exact_to_an_ulp_of_1_and_in_blocks_too(monkeypatch):
    for dtype, ulp in ((np.float64, 2), (np.float32, 2), (np.float16, 2)):
        x = np.concatenate([NEAR, EDGES, [5.9, -5.9, 6.1, -1e4, 1e4]]).astype(dtype)
        y, expected = special.normal_share(x), exactly(mpmath.ncdf, x)
        np.testing.assert_allclose(y, expected, rtol=0, atol=ulp * np.finfo(dtype).eps / 2)
        assert y.dtype == dtype
        assert y[-2:].tolist() == [0, 1]
        with monkeypatch.context() as patch:
            patch.setattr(special, "BLOCK", 7 * x.itemsize)
            np.testing.assert_array_equal(special.normal_share(x), y)
            np.testing.assert_array_equal(
                special.erf(x[:6].reshape(2, 3)), special.erf(x)[:6].reshape(2, 3)
            )
    largest = np.array([-1, 1], np.float32) * np.finfo(np.float32).max
    assert special.normal_share(largest).tolist() == [0, 1]


@pytest.mark.filterwarnings("error")
def test_beyond_all_numbers():
    x = np.array([np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(special.erf(x), [np.nan, 1, -1])
    np.testing.assert_array_equal(special.erfc(x), [np.nan, 0, 2])
    np.testing.assert_array_equal(special.ndtr(x), [np.nan, 1, 0])
    np.testing.assert_array_equal(special.gammaln(x[:2]), [np.nan, np.inf])
    np.testing.assert_array_equal(special.polygamma(0, x[:2]), [np.nan, np.inf])
    assert special.gammaln(np.array([0.0, -1.0, -2.0])).tolist() == [np.inf] * 3


def test_the_gamma_functions_left_of_0():
    x = -RNG.uniform(0.02, 0.98, 100) - RNG.integers(0, 10, 100)
    expected = exactly(lambda v: mpmath.log(abs(mpmath.gamma(v))), x)
    np.testing.assert_allclose(special.gammaln(x), expected, rtol=1e-13, atol=1e-14)
    for n in range(4):
        expected = exactly(lambda v, n=n: mpmath.psi(n, v), x)
        np.testing.assert_allclose(special.polygamma(n, x), expected, rtol=1e-11, atol=1e-13)


def test_digamma_is_exact_at_its_zero():
    x = 1.4616321449683623 + np.array([0, 1e-12, -1e-9, 1e-5, 0.1, -0.29, 0.31])
    expected = exactly(mpmath.digamma, x)
    np.testing.assert_allclose(special.polygamma(0, x), expected, rtol=2e-15)


def test_the_derivatives_of_sinc_at_0_are_right_to_the_sixth():
    x = Tensor(np.array([0.0, 1e-3]))
    y = x.sinc()
    for n in range(7):
        k = n // 2
        at_0 = (-1) ** k * math.pi ** (2 * k) / (2 * k + 1) if n % 2 == 0 else 0.0
        np.testing.assert_allclose(y.data[0], at_0, rtol=1e-13, atol=1e-13)
        y = grad(y.sum(), x, create_graph=True)


def test_bernoulli_numbers():
    assert [special.bernoulli(n) for n in (2, 4, 6, 8)] == pytest.approx(
        [1 / 6, -1 / 30, 1 / 42, -1 / 30], rel=1e-13
    )


def test_gammaln_of_whole_numbers_is_the_logarithm_of_a_factorial():
    n = np.arange(1, 30)
    expected = [math.log(math.factorial(k - 1)) for k in n]
    np.testing.assert_allclose(micrograd.gammaln(n).data, expected, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_is_that_of_pytorch_far_out_too(dtype):
    points = np.concatenate([NEAR, EDGES]).astype(dtype)
    x, x_torch = Tensor(points), torch.tensor(points, requires_grad=True)
    y, y_torch = x.gelu(), torch.nn.functional.gelu(x_torch)
    y.backward()
    y_torch.backward(torch.ones_like(y_torch))
    tolerance = 4 * float(np.finfo(dtype).eps)
    assert_same(y.data, y_torch, "value", tolerance)
    assert_same(x.grad, x_torch.grad, "gradient", tolerance)
