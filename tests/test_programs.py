"""Programs as their users write them, each of which ends at an answer that is known otherwise."""

import numpy as np
import pytest
from scipy.linalg import expm, expm_frechet
from scipy.optimize import curve_fit, minimize
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from micrograd import Tensor, grad, jacobian, jvp, value_and_grad, vjp
from micrograd.calculus import flatten


def minimized(f, parameters, **options):
    """The parameters at which f is least, as L-BFGS finds them, and f there."""
    start, unflatten = flatten(parameters)

    def objective(v):
        value, slope = value_and_grad(lambda v: f(unflatten(v)))(v)
        return value.item(), slope.data

    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000, "maxfun": 5000, **options}
    found = minimize(objective, start.data, jac=True, method="L-BFGS-B", options=options)
    return unflatten(found.x), found.fun


# Gaussian processes

RNG = np.random.default_rng(11)
X = np.sort(RNG.uniform(-3, 3, 25))
Y = np.sin(2 * X) + 0.1 * RNG.normal(size=25)


def covariance(p, x, z):
    return np.exp(p[0] - 0.5 * ((x[:, None] - z) / np.exp(p[1])) ** 2)


def log_likelihood(p):
    chol = np.linalg.cholesky(covariance(p, X, X) + np.exp(p[2]) * np.eye(25))
    z = np.linalg.solve(chol, Y)
    diagonal = chol[np.arange(25), np.arange(25)]
    return -0.5 * (z @ z) - np.log(diagonal).sum() - 12.5 * np.log(2 * np.pi)


def test_a_gaussian_process_is_scikit_learns():
    theta = np.array([0.4, -0.3, -3.0])
    kernel = ConstantKernel(np.exp(0.4)) * RBF(np.exp(-0.3)) + WhiteKernel(np.exp(-3.0))
    process = GaussianProcessRegressor(kernel, alpha=0, optimizer=None).fit(X[:, None], Y)
    expected, slope = process.log_marginal_likelihood(theta, eval_gradient=True)
    value, gradient = value_and_grad(log_likelihood)(theta)
    assert value.item() == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(gradient.data, slope, rtol=1e-8)

    # The mean prediction, and its slope by the place, that of central differences
    def mean(x):
        k = covariance(theta, X, X) + np.exp(theta[2]) * np.eye(25)
        return covariance(theta, x, X) @ np.linalg.solve(k, Y)

    new = np.linspace(-2, 2, 7)
    y, slope = jvp(mean, new, np.ones(7))
    np.testing.assert_allclose(y.data, process.predict(new[:, None]), atol=1e-8)
    step = 1e-5
    ends = [process.predict(new[:, None] + d) for d in (step, -step)]
    np.testing.assert_allclose(slope.data, (ends[0] - ends[1]) / (2 * step), atol=1e-6)


# A Kalman filter

STEP = np.array([[1.0, 1.0], [0.0, 1.0]])  # a place and a speed, both observed with noise
OBSERVED = RNG.normal(size=(8, 2)).cumsum(0)


def filtered(p):
    """The likelihood of a walk with a speed, one observation after the other."""
    walk, noise = np.exp(p["walk"]) * np.eye(2), np.exp(p["noise"]) * np.eye(2)
    mean, cov, total = p["start"], np.eye(2), 0.0
    for y in OBSERVED:
        mean, cov = STEP @ mean, STEP @ cov @ STEP.T + walk
        error, spread = y - mean, cov + noise
        gain = cov @ np.linalg.inv(spread)
        total = total - 0.5 * (error @ np.linalg.solve(spread, error))
        total = total - 0.5 * np.linalg.slogdet(spread)[1] - np.log(2 * np.pi)
        mean, cov = mean + gain @ error, cov - gain @ cov
    return total


def all_at_once(walk, noise, start):
    """The same of all observations together, which are jointly normal."""
    n, powers = len(OBSERVED), [np.linalg.matrix_power(STEP, k) for k in range(9)]
    cov, var = np.zeros((n, 2, n, 2)), np.eye(2)
    for i in range(n):
        var = STEP @ var @ STEP.T + np.exp(walk) * np.eye(2)
        for j in range(i, n):
            cov[j, :, i] = powers[j - i] @ var
            cov[i, :, j] = cov[j, :, i].T
    cov = cov.reshape(2 * n, 2 * n) + np.exp(noise) * np.eye(2 * n)
    mean = np.concatenate([powers[k + 1] @ start for k in range(n)])
    return multivariate_normal(mean, cov).logpdf(OBSERVED.ravel())


def test_the_likelihood_of_a_kalman_filter_is_that_of_all_observations_together():
    p = {"walk": -0.5, "noise": -1.0, "start": np.array([0.3, -0.1])}
    value, slopes = value_and_grad(filtered)(p)
    assert value.item() == pytest.approx(all_at_once(**p), abs=1e-9)
    step = 1e-5
    for name, d in (("walk", 1.0), ("noise", 1.0), ("start", np.array([1.0, 0.0]))):
        ends = [all_at_once(**{**p, name: p[name] + sign * step * d}) for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        assert (slopes[name] * d).sum().item() == pytest.approx(expected, rel=1e-6)


# Curve fitting


def test_levenberg_and_marquardt_fit_a_curve_as_scipy_does():
    x = np.linspace(0, 4, 50)
    y = 2.5 * np.exp(-1.3 * x) + 0.5 + 0.05 * np.random.default_rng(2).normal(size=50)

    def model(p):
        return p[0] * np.exp(-p[1] * x) + p[2]

    p, damping = np.array([1.0, 0.5, 0.0]), 1e-2
    for _ in range(30):
        j, r = jacobian(model, p).data, y - model(p)
        h = j.T @ j
        new = p + np.linalg.solve(h + damping * np.diag(np.diag(h)), j.T @ r)
        better = ((y - model(new)) ** 2).sum() < (r**2).sum()
        p, damping = (new, damping / 10) if better else (p, damping * 10)
    j, r = jacobian(model, p).data, y - model(p)
    spread = np.linalg.inv(j.T @ j) * (r @ r) / (50 - 3)
    expected = curve_fit(lambda x, a, b, c: a * np.exp(-b * x) + c, x, y, [1.0, 0.5, 0.0])
    np.testing.assert_allclose(p, expected[0], rtol=1e-6)
    np.testing.assert_allclose(spread, expected[1], rtol=1e-4)


# A neural ODE


def integrated(f, z, steps=40, time=1.0):
    """z after some time of dz/dt = f(z), by the rule of Runge and Kutta."""
    h = time / steps
    for _ in range(steps):
        a = f(z)
        b = f(z + h / 2 * a)
        c = f(z + h / 2 * b)
        z = z + h / 6 * (a + 2 * b + 2 * c + f(z + h * c))
    return z


def test_a_linear_ode_ends_at_the_exponential_of_its_matrix():
    a, z = RNG.normal(size=(3, 3)), RNG.normal(size=3)
    weights = np.array([1.0, -2.0, 0.5])
    value, slope = value_and_grad(lambda a: weights @ integrated(lambda z: a @ z, z))(a)
    assert value.item() == pytest.approx(weights @ expm(a) @ z, abs=1e-5)
    basis = np.eye(9).reshape(9, 3, 3)
    expected = [weights @ expm_frechet(a, e, compute_expm=False) @ z for e in basis]
    np.testing.assert_allclose(slope.data.ravel(), expected, atol=1e-5)


def test_the_gradient_of_a_neural_ode_is_that_of_the_adjoint_equation():
    # Chen et al. (2018): run back in time, da/dt = -a df/dz, and a df/dw adds up to the gradient
    w, z = {"in": RNG.normal(size=(2, 8)), "out": RNG.normal(size=(8, 2)) / 4}, np.ones(2)

    def f(w, z):
        return np.tanh(z @ w["in"]) @ w["out"]

    value, slopes = value_and_grad(lambda w: (integrated(lambda z: f(w, z), z) ** 2).sum())(w)
    end = integrated(lambda z: f(w, z), z)
    _, unflatten = flatten((end, end, w))

    def backwards(state):
        z, a, _ = unflatten(state)
        y, pullback = vjp(f, w, z)
        by_w, by_z = pullback(a)
        return flatten((-y, by_z, by_w))[0].data

    nothing = {name: 0 * x for name, x in w.items()}
    start, _ = flatten((end, 2 * end, nothing))
    again, _, by_w = unflatten(integrated(backwards, start.data))
    np.testing.assert_allclose(again.data, z, atol=1e-6)
    for name in w:
        np.testing.assert_allclose(slopes[name].data, by_w[name].data, atol=1e-6)
    assert value.item() == pytest.approx((end**2).sum())


# Sampling


def test_hamiltonian_monte_carlo_samples_the_normal_distribution():
    mean, cov = np.array([1.0, -2.0]), np.array([[1.0, 0.6], [0.6, 0.8]])
    precision, rng = np.linalg.inv(cov), np.random.default_rng(0)
    energy = value_and_grad(lambda x: 0.5 * ((x - mean) @ precision @ (x - mean)))
    x, samples, accepted = np.zeros(2), [], 0
    for _ in range(1500):
        p = rng.normal(size=2)
        (value, slope), new, step = energy(x), x, 0.35
        before = value.item() + 0.5 * p @ p
        for _ in range(6):
            p = p - step / 2 * slope.data
            new = new + step * p
            value, slope = energy(new)
            p = p - step / 2 * slope.data
        if rng.random() < np.exp(before - value.item() - 0.5 * p @ p):
            x, accepted = new, accepted + 1
        samples.append(x)
    assert accepted > 1350
    np.testing.assert_allclose(np.mean(samples, axis=0), mean, atol=0.1)
    np.testing.assert_allclose(np.cov(samples, rowvar=False), cov, atol=0.12)


# Densities and subspaces


def test_an_affine_flow_finds_the_mean_and_covariance():
    x = RNG.normal(size=(60, 2)) @ np.array([[1.0, 0.5], [0.0, 0.4]]) + np.array([2.0, -1.0])

    def loss(p):
        z = (x - p["mean"]) @ p["w"]
        density = -0.5 * (z * z).sum(axis=1) - np.log(2 * np.pi) + np.linalg.slogdet(p["w"])[1]
        return -density.mean()

    p, least = minimized(loss, {"mean": np.zeros(2), "w": np.eye(2)})
    cov = np.cov(x, rowvar=False, ddof=0)
    np.testing.assert_allclose(p["mean"].data, x.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(np.linalg.inv(p["w"].data @ p["w"].data.T), cov, rtol=1e-4)
    expected = -multivariate_normal(x.mean(axis=0), cov).logpdf(x).mean()
    assert least == pytest.approx(expected, abs=1e-8)


def test_a_subspace_found_through_svd_is_that_of_the_principal_components():
    x = RNG.normal(size=(30, 5)) * np.array([3.0, 2.0, 1.0, 0.5, 0.2])
    x = x - x.mean(axis=0)
    _, s, vt = np.linalg.svd(x)

    def residue(a):  # of the projection onto the span of a's columns
        basis = np.linalg.svd(a, full_matrices=False)[0]
        rest = x - x @ basis @ basis.T
        return (rest * rest).sum()

    found, least = minimized(residue, RNG.normal(size=(5, 2)))
    assert least == pytest.approx((s[2:] ** 2).sum(), rel=1e-9)
    basis = np.linalg.svd(found.data, full_matrices=False)[0]
    np.testing.assert_allclose(basis @ basis.T, vt[:2].T @ vt[:2], atol=1e-4)

    t = Tensor(x)
    explained = (np.linalg.svd(t, full_matrices=False)[1][:2] ** 2).sum()
    np.testing.assert_allclose(grad(explained, t).data, 2 * x @ vt[:2].T @ vt[:2], atol=1e-9)


# A physics-informed network


def test_a_physics_informed_network_solves_the_equation_it_is_informed_of():
    # u'' = -pi^2 sin(pi x) between u(0) = u(1) = 0, which is u = sin(pi x)
    x, rng = np.linspace(0, 1, 20), np.random.default_rng(1)

    def u(p, x):
        hidden = np.tanh(x.reshape(-1, 1) * p["w"] + p["b"])
        return x * (1 - x) * (hidden @ p["out"])

    def loss(p):
        t = Tensor(x)
        slope = grad(u(p, t), t, create_graph=True)
        bend = grad(slope, t, create_graph=True)
        return ((bend + np.pi**2 * np.sin(np.pi * x)) ** 2).mean()

    start = {"w": rng.normal(size=10) * 2, "b": rng.normal(size=10), "out": rng.normal(size=10)}
    p, _ = minimized(loss, start, maxiter=150, ftol=1e-9)
    new = np.linspace(0, 1, 101)
    np.testing.assert_allclose(u(p, new).data, np.sin(np.pi * new), atol=1e-3)
