"""Tests of linear algebra, shapes and products, beside their rows in the table."""

import itertools

import numpy as np
import pytest
import torch
from table import assert_same, low_rank, mistakes, positive_definite, raising, regular, turned

from micrograd import Tensor, grad, linalg
from micrograd.debug import gradcheck

# No operation may warn of an overflow or a division where its result is fine
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

RNG = np.random.default_rng(0)
A, B, SYMMETRIC = RNG.normal(size=(3, 3)), RNG.normal(size=(4, 2)), np.diag([1.0, 2.0, 4.0])


# Results


RESULTS = {
    "eig": (lambda f, x: f(x), SYMMETRIC),
    "eigh": (lambda f, x: f(x), SYMMETRIC),
    "eigh, of the upper triangle": (
        lambda f, x: f(x, "U"),
        np.random.default_rng(1).normal(size=(4, 4)),
    ),
    "slogdet": (lambda f, x: f(x), A),
    "svd": (lambda f, x: f(x), B),
    "svd, reduced": (lambda f, x: f(x, full_matrices=False), B.T),
    "svd of a stack": (lambda f, x: f(x), np.stack([B, B + 1])),
    "qr": (lambda f, x: f(x), B),
    "qr, complete": (lambda f, x: f(x, "complete"), B),
    "lstsq": (lambda f, x: f(x, np.arange(4.0)), B),
    "lstsq of a row more": (lambda f, x: f(x, np.arange(6.0).reshape(3, 2)), A),
    "lstsq of low rank": (lambda f, x: f(x, np.ones(4)), np.ones((4, 2))),
    "lstsq, rcond": (lambda f, x: f(x, np.ones(4), 0.9), B),
}


@pytest.mark.parametrize("name", RESULTS)
def test_several_results_are_those_of_numpy_by_name_and_place(name):
    f, a = RESULTS[name]
    function = getattr(np.linalg, name.partition(",")[0].partition(" ")[0])
    ours, numpys = f(function, Tensor(a)), f(function, a)
    assert len(ours) == len(numpys)
    assert getattr(ours, "_fields", None) == getattr(numpys, "_fields", None)
    for x, expected in zip(ours, numpys):
        values = x.data if isinstance(x, Tensor) else x
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)
        assert np.shape(values) == np.shape(expected)


def test_what_fills_up_a_square_matrix_has_no_gradient():
    x = Tensor(B)
    for vectors, cure in (
        (np.linalg.svd(x).U, "full_matrices=False"),
        (np.linalg.svd(x.T).Vh, "full_matrices=False"),
        (np.linalg.qr(x, "complete").Q, 'mode="reduced"'),
    ):
        with pytest.raises(ValueError, match=f"no derivative: take {cure}"):
            vectors.sum().backward()
    np.linalg.svd(x).S.sum().backward()
    np.testing.assert_allclose(x.grad, np.linalg.svd(B, full_matrices=False)[0]
                               @ np.linalg.svd(B)[2], rtol=1e-9)  # fmt: skip


def test_the_rank_is_a_number():
    assert np.linalg.matrix_rank(Tensor(np.ones((3, 3)))) == 1
    assert np.linalg.matrix_rank(Tensor(A), tol=1e-3) == 3


def test_the_first_power_and_products_of_two():
    x = Tensor(A)
    assert_same(np.linalg.matrix_power(x, 1).data, A, "power 1")
    assert np.linalg.multi_dot([A[0], x, A[0]]).shape == ()


# Singular matrices


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_derivatives_of_det_are_right_whatever_the_rank(n, rank):
    k = min(rank, n)
    a = RNG.integers(-2, 3, (n, k)).astype(float) @ RNG.integers(-2, 3, (k, n)).astype(float)

    def minor(a, rows, columns):
        return np.linalg.det(np.delete(np.delete(a, rows, 0), columns, 1))

    x, v = Tensor(a), RNG.normal(size=(n, n))
    first = grad(np.linalg.det(x), x, create_graph=True)
    expected = [[(-1) ** (i + j) * minor(a, i, j) for j in range(n)] for i in range(n)]
    np.testing.assert_allclose(first.data, expected, atol=1e-9)
    second = grad((first * v).sum(), x)
    expected = np.zeros((n, n))  # of sum_ij v_ij (-1)^(i+j) minor_ij
    for i, j, k, m in itertools.product(range(n), repeat=4):
        if i != k and j != m:
            sign = (-1) ** (i + j + k - (k > i) + m - (m > j))
            expected[k, m] += v[i, j] * sign * minor(a, [i, k], [j, m])
    np.testing.assert_allclose(second.data, expected, atol=1e-9)


def test_third_derivatives():
    x = Tensor(positive_definite(RNG, (3, 3)).astype(np.float64))
    for f in (
        np.linalg.det,
        lambda x: np.linalg.slogdet(x).logabsdet,
        np.linalg.inv,
        np.linalg.cholesky,
        np.linalg.svdvals,
        np.linalg.eigvalsh,
        lambda x: turned(np.linalg.eigh(x).eigenvectors)[0],
        lambda x: turned(np.linalg.svd(x).U)[0],
        lambda x: turned(np.linalg.qr(x).Q)[0],
        np.linalg.pinv,
    ):

        def second(x, f=f):
            first = grad((f(x + x.T) ** 2).sum(), x, create_graph=True)
            return grad((first**2).sum(), x, create_graph=True)

        assert gradcheck(second, x)


# Where values coincide


def test_equal_eigenvalues_and_singular_values_have_a_gradient_and_their_vectors_none():
    x = Tensor(2 * np.eye(3))
    for values in (np.linalg.eigvalsh, np.linalg.svdvals, lambda x: np.linalg.eigh(x)[0]):
        slope = grad((values(x) ** 3).sum(), x)
        np.testing.assert_allclose(slope.data, 12 * np.eye(3), atol=1e-12)
    with np.errstate(all="ignore"):
        for vectors in (np.linalg.eigh(x)[1], np.linalg.svd(x).U):
            assert not np.isfinite(grad((vectors * A).sum(), x).data).all()


def test_nothing_is_lost_where_the_upstream_gradient_is_zero():
    """As it is where a product with the Jacobian is taken by two ways back."""
    x, u = Tensor(SYMMETRIC + 0.1), Tensor(np.zeros((3, 3)))
    t = torch.tensor(x.data, requires_grad=True)
    slope = grad((np.linalg.eigh(x)[1] * u).sum(), x, create_graph=True)
    ours = grad((slope * A).sum(), u)
    _, theirs = torch.autograd.functional.jvp(
        lambda t: torch.linalg.eigh(t)[1], t, torch.tensor(A + A.T) / 2
    )
    np.testing.assert_allclose(np.abs(ours.data), np.abs(theirs.numpy()), rtol=1e-9)


@pytest.mark.parametrize("ord", [1, 2, 3, 1.5, np.inf, 0])
def test_the_slope_of_a_norm_at_0_is_0(ord):
    x = Tensor([0.0, 0.0])
    assert grad(np.linalg.norm(x, ord), x, create_graph=True).data.tolist() == [0, 0]


def test_the_pseudo_inverse_of_low_rank_is_differentiated_among_its_like():
    a, b = low_rank(RNG, (4, 3)).astype(float), regular(RNG, (4, 4))

    def f(x):  # b x has the rank of x
        return np.linalg.pinv(b @ (x * a), 1e-6)

    assert gradcheck(f, Tensor(1.5))


# Errors of NumPy's own kind, and mistakes


def test_errors_are_of_numpys_kind():
    for f in (np.linalg.inv, np.linalg.cholesky):
        with pytest.raises(np.linalg.LinAlgError, match=f"{f.__name__} of shape"):
            f(Tensor(-np.ones((2, 2))))
    with pytest.raises(np.linalg.LinAlgError, match="solve of shape"):
        np.linalg.solve(Tensor(np.ones((2, 2))), [1.0, 2.0])


ROTATION = Tensor([[0.0, -1.0], [1.0, 0.0]])
ERRORS = [
    (lambda: np.linalg.eig(ROTATION), ValueError, "eigenvalue is complex"),
    (lambda: np.linalg.eigvals(ROTATION), ValueError, "eigenvalue is complex"),
    (raising(lambda x, y, s: np.linalg.det(x)), ValueError, r"det of shape \(2, 3\)"),
    (raising(lambda x, y, s: np.linalg.eigh(ROTATION, "X")), ValueError, "UPLO is .* got 'X'"),
    (raising(lambda x, y, s: np.linalg.qr(x, "raw")), ValueError, "mode is .* got 'raw'"),
    (raising(lambda x, y, s: np.linalg.matrix_power(x, 1.5)), TypeError, "n is an integer"),
    (raising(lambda x, y, s: np.linalg.matrix_power(x, 1)), ValueError, "expected square matrices"),
    (raising(lambda x, y, s: np.rot90(x, 1, (0, -2))), ValueError, "two different axes"),
    (raising(lambda x, y, s: np.linalg.multi_dot([x])), ValueError, "two arrays or more"),
    (raising(lambda x, y, s: np.linalg.multi_dot([x, y, y])), ValueError, "expected matrices"),
    (raising(lambda x, y, s: np.linalg.pinv(x, 1e-3, rtol=1e-3)), ValueError, "rtol"),
    (raising(lambda x, y, s: np.linalg.tensorinv(x, 0)), ValueError, "ind is a positive number"),
    (raising(lambda x, y, s: np.linalg.norm(x, 3)), ValueError, "ord of matrices is .* got 3"),
    (raising(lambda x, y, s: np.linalg.norm(y, "fro")), ValueError, "is for matrices"),
    (raising(lambda x, y, s: np.linalg.norm(x[None], 1)), ValueError, "name their axes"),
    (raising(lambda x, y, s: np.linalg.norm(x, axis=2)), ValueError, "norm"),
    (raising(lambda x, y, s: np.linalg.trace(x, dtype=float)), TypeError, "trace with dtype"),
    (raising(lambda x, y, s: np.vecdot(y, y, out=np.ones(()))), TypeError, "np.vecdot: .* written"),
    (raising(lambda x, y, s: np.vecdot(y, y, keepdims=True)), TypeError, "vecdot with keepdims"),
    (raising(lambda x, y, s: np.vecdot(x, y)), ValueError, "vecdot: lengths differ"),
    (raising(lambda x, y, s: np.tensordot(x, y, 1)), ValueError, "tensordot: axes .* do not fit"),
    (raising(lambda x, y, s: np.cross(x, y)), ValueError, "vectors of length 3"),
    (raising(lambda x, y, s: np.split(y, 3)), ValueError, "array_split takes unequal ones"),
    (raising(lambda x, y, s: np.array_split(y, 0)), ValueError, "sections is positive, got 0"),
    (raising(lambda x, y, s: np.vsplit(y, 2)), ValueError, "vsplit: expected 2 axes"),
    (raising(lambda x, y, s: np.fliplr(y)), ValueError, "fliplr: expected 2 axes"),
    (raising(lambda x, y, s: np.moveaxis(x, (0, 1), 0)), ValueError, "name as many axes"),
    (raising(lambda x, y, s: np.rollaxis(x, 0, 5)), ValueError, "start 5 is out of bounds"),
    (raising(lambda x, y, s: np.repeat(x, 1.5)), TypeError, "repeats is an integer"),
    (raising(lambda x, y, s: np.diag(x[None])), ValueError, "diag: expected a vector or a matrix"),
    (raising(lambda x, y, s: np.select([x > 0], [x, x])), ValueError, "1 conditions for 2 choices"),
    (raising(lambda x, y, s: np.select([x], [x])), TypeError, "condition is made of bools"),
    (raising(lambda x, y, s: np.pad(x, {5: 1})), ValueError, "pad: axis 5 is out of bounds"),
    (raising(lambda x, y, s: np.pad(x, 1, "empty")), ValueError, "pad: mode is .* got 'empty'"),
    (raising(lambda x, y, s: np.pad(x, 1, "reflect", reflect_type="odd")), ValueError,
     "reflect_type"),
    (raising(lambda x, y, s: x.reshape(6, order="K")), ValueError, "order is .* got 'K'"),
    (raising(lambda x, y, s: np.ravel(x, order="B")), ValueError, "order is .* got 'B'"),
    (raising(lambda x, y, s: np.r_[y, 1.0]), TypeError, "take stack or concatenate"),
    (raising(lambda x, y, s: np.c_[y, y]), TypeError, "take stack or concatenate"),
    (raising(lambda x, y, s: np.append([[1.0]], [[s, s]])), TypeError, "take stack or concatenate"),
]  # fmt: skip


@mistakes(ERRORS)
def test_a_mistake_raises_an_error_that_names_it(f, error, message):
    with pytest.raises(error, match=message):
        f()


# Lists and numbers beside Tensors


def test_lists_of_numbers_stand_where_numpy_takes_them():
    x = Tensor([1.0, 2.0])
    for f in (
        lambda x: np.vstack([x, [3, 4]]),
        lambda x: np.hstack([x, 3.0]),
        lambda x: np.append(x, [3, 4]),
        lambda x: np.insert(x, 1, [3, 4]),
        lambda x: np.column_stack([x, [3, 4]]),
        lambda x: np.block([[x], [np.array([3.0, 4.0])]]),
        lambda x: np.linalg.solve([[2.0, 0.0], [0.0, 4.0]], x),
        lambda x: np.kron(x, [1, 2]),
        lambda x: np.tensordot([[1, 2], [3, 4]], x, 1),
        lambda x: np.inner([1, 2], x),
        lambda x: np.cross(np.append(x, 3), [1, 2, 3]),
    ):
        y = f(x)
        assert type(y) is Tensor
        np.testing.assert_array_equal(y.data, f(x.data))
        assert grad(y.sum(), x).data.any()


def test_a_split_into_many_takes_its_parts_out_of_halves():
    x = Tensor(np.arange(400.0))
    parts = np.split(x, 200)
    assert [p.data.tolist() for p in parts] == x.data.reshape(200, 2).tolist()
    assert max(p.operands[0].size for p in parts) <= 64


def test_linalg_has_numpys_names():
    missing = {*np.linalg.__all__} - {*dir(linalg)}
    assert missing == {
        "LinAlgError", "matrix_rank",  # no function of a Tensor
        "cross", "diagonal", "matmul", "outer", "tensordot", "trace", "vecdot",  # NumPy's too
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_eigenvalues_that_come_as_complex_numbers_are_real_where_all_are(monkeypatch, dtype):
    """As NumPy gives them since 2.5."""
    a = np.array([[[2.0, 1.0], [0.5, 3.0]], [[1.0, 0.0], [0.25, 4.0]]], dtype)
    expected, plain = np.real(np.linalg.eigvals(a)), np.linalg.eig

    def as_complex(a):
        w, v = plain(a)
        kind = np.result_type(w, np.complex64)
        return w.astype(kind), v.astype(kind)

    monkeypatch.setattr(np.linalg, "eig", as_complex)
    found = linalg.eigvals(Tensor(a))
    assert found.dtype == dtype and np.array_equal(found.data, expected)
    with pytest.raises(ValueError, match="an eigenvalue is complex"):
        linalg.eigvals(Tensor(np.stack([a[0], ROTATION.data.astype(dtype)])))
