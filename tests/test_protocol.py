"""Tests of how a Tensor looks to Python and NumPy: conversions, comparisons, copies, names."""

import copy
import itertools
import operator
import pickle

import numpy as np
import pytest
from table import ELEMENTWISE, ROWS, assert_same, domains_of, mistakes, positive, raising

import micrograd
from micrograd import Tensor, grad, maximum, no_grad, norm, operations, order, protocol
from micrograd.operations import OPERATIONS
from micrograd.protocol import CONSTANT, FUNCTIONS, REFUSED, data_of, name_in_numpy

# No operation may warn of an overflow or a division where its result is fine
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


# What it is and turns into


def test_what_a_tensor_tells_about_itself():
    x = Tensor(np.arange(6.0).reshape(2, 3), label="x")
    assert (x.shape, x.ndim, x.size, x.numel(), len(x)) == ((2, 3), 2, 6, 6, 2)
    assert x.dtype == np.float64
    assert x.label == "x"
    assert Tensor(1.0).label == ""
    assert x.T.shape == (3, 2)
    assert x.numpy() is x.data
    assert x.requires_grad
    assert not Tensor(1.0, requires_grad=False).requires_grad


def test_item_and_float_are_python_floats():
    for shape in ((), (1,), (1, 1)):
        x = Tensor(np.full(shape, 2.5, np.float32))
        assert type(x.item()) is float
        assert type(float(x)) is float
        assert x.item() == float(x) == 2.5
    assert bool(Tensor(2.0))
    assert not bool(Tensor(0.0))


def test_iteration_gives_rows_with_history():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    first, second = x
    (first * 10 + second).backward()
    assert x.grad.tolist() == [[10.0, 10.0], [1.0, 1.0]]
    a, b = first
    assert (a.item(), b.item()) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, np.float64),
        (1.5, np.float64),
        (True, np.float64),
        ([1, 2], np.float64),
        ([[1.0, 2], [3, 4]], np.float64),
        ((1, 2), np.float64),
        ([], np.float64),
        (range(3), np.float64),
        (np.arange(3), np.float64),
        (np.array([1, 2], np.int8), np.float64),
        (np.array([True]), np.float64),
        (np.uint8(3), np.float64),
        (np.float32(3), np.float32),
        ([np.float32(3)], np.float32),
        (np.ones(2, np.float16), np.float16),
        (np.ones(2, np.float32), np.float32),
        (np.ones(2, np.float64), np.float64),
        (Tensor(np.ones(2, np.float32), requires_grad=False), np.float32),
    ],
)
def test_floating_arrays_keep_their_dtype_and_all_else_becomes_float64(data, dtype):
    x = Tensor(data)
    assert type(x.data) is np.ndarray
    assert x.dtype == dtype
    assert x.grad.dtype == dtype
    np.testing.assert_array_equal(x.data, np.asarray(data, dtype))


def test_arrays_come_from_constants_and_share_or_copy_as_asked():
    x = Tensor([1.0, 2.0], requires_grad=False)
    assert np.shares_memory(np.asarray(x), x.data)
    assert not np.shares_memory(np.array(x), x.data)
    assert np.asarray(x, np.float32).dtype == np.float32
    assert np.asarray((x * 2).detach()).tolist() == [2.0, 4.0]
    with no_grad():
        assert np.asarray(x * 2).tolist() == [2.0, 4.0]
    target = np.zeros(2)
    target[:] = x
    assert target.tolist() == [1.0, 2.0]


def test_repr_shows_value_shape_and_gradient():
    x = Tensor([1.0, 2.5])
    (x * 2).backward()
    assert repr(x) == "Tensor(value=[1. , 2.5], shape=(2,), grad=[2., 2.])"
    assert repr(Tensor(3.0)) == "Tensor(value=3., shape=(), grad=0.)"
    assert repr(Tensor(np.zeros((0, 3)))) == "Tensor(value=[], shape=(0, 3), grad=[])"


@pytest.mark.parametrize("shape", [(100_000,), (1000, 1000), (50, 50, 50)])
def test_repr_of_a_large_tensor_is_short(shape):
    text = repr(Tensor(np.ones(shape)))
    assert text.startswith("Tensor(value=[")
    assert f"shape={shape}" in text
    assert len(text) < 1000


# Comparisons


@pytest.mark.parametrize(
    "compare", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
)
def test_comparisons_give_arrays_of_bools(compare):
    a, b = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])
    expected = compare(a, b)
    for left, right in ((Tensor(a), Tensor(b)), (Tensor(a), b), (a, Tensor(b))):
        assert_same(compare(left, right), expected, compare.__name__)
    assert_same(compare(Tensor(a), 2), compare(a, 2), compare.__name__)
    assert_same(compare(2, Tensor(a)), compare(2, a), compare.__name__)
    with_history = Tensor(a) * 1
    assert_same(compare(b, with_history), compare(b, a), compare.__name__)


def test_argmax_and_argmin_are_numpys():
    a = np.array([[1.0, 5.0, 2.0], [7.0, 0.0, 7.0]])
    for name in ("argmax", "argmin"):
        ours, numpys = getattr(Tensor(a), name), getattr(a, name)
        assert ours() == numpys()
        assert isinstance(ours(), np.integer)
        for axis, keepdims in itertools.product((0, 1, -1), (False, True)):
            expected = numpys(axis, keepdims=keepdims)
            assert_same(ours(axis, keepdims), expected, name)
            assert_same(getattr(np, name)(Tensor(a) * 1, axis=axis), numpys(axis), name)


def test_hash_is_by_identity():
    a, b = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    names = {a: "a", b: "b"}
    assert (names[a], names[b]) == ("a", "b")
    assert len({a, b, a}) == 2
    assert hash(a) != hash(b)


# Copies


def duplicate(t):
    return pickle.loads(pickle.dumps(t))


@pytest.mark.parametrize("copied", [duplicate, copy.deepcopy])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_leaf_pickles_and_deepcopies_whole(copied, dtype):
    x = Tensor(np.array([[1, 2], [3, 4]], dtype), requires_grad=False, label="weights")
    for t in (x, Tensor(np.array(2, dtype), label="w"), Tensor(np.zeros((0, 3), dtype))):
        if t.requires_grad:
            (t * 3).backward()
        twin = copied(t)
        assert_same(twin.data, t.data, "data")
        assert_same(twin.grad, t.grad, "grad")
        assert (twin.label, twin.requires_grad) == (t.label, t.requires_grad)
        assert not np.shares_memory(twin.data, t.data)
        assert not np.shares_memory(twin.grad, t.grad)
        if t.requires_grad:
            before = t.grad.copy()
            (twin * 2).backward()
            assert np.array_equal(twin.grad, before + 2)
            assert np.array_equal(t.grad, before)


def test_a_shallow_copy_shares_the_data_and_not_the_gradient():
    x = Tensor([1.0])
    (x * 3).backward()
    twin = copy.copy(x)
    (twin * 2).backward()
    assert np.shares_memory(twin.data, x.data)
    assert (twin.grad.tolist(), x.grad.tolist()) == ([5.0], [3.0])


@pytest.mark.parametrize("copied", [duplicate, copy.deepcopy])
def test_one_leaf_in_two_places_is_still_one_after_a_copy(copied):
    x = Tensor([1.0])
    a, b = copied([x, x])
    assert a is b


@pytest.mark.parametrize("copied", [duplicate, copy.deepcopy, copy.copy])
def test_a_tensor_with_history_refuses_to_be_copied(copied):
    y = Tensor([1.0]) * 2
    with pytest.raises(TypeError, match=r"made by '\*' cannot be copied or pickled"):
        copied(y)
    assert copied(y.detach()).data.tolist() == [2.0]


# Numbers and arrays beside a Tensor


def test_python_numbers_are_weak_and_arrays_are_not():
    for dtype in (np.float16, np.float32, np.float64):
        x = Tensor(np.ones(3, dtype))
        for y in (x * 2, 2.5 * x, x**2, x - True, x / 3, 1 - x, maximum(x, 0.5), x.clip(0, 0.5)):
            assert y.dtype == dtype
    assert (Tensor(np.ones(3, np.float32)) * np.ones(3)).dtype == np.float64


def test_integers_beside_a_float32_tensor_leave_it_float32():
    t = Tensor(np.array([1.0, 2.0], np.float32))
    for integers in (np.array([1, 2]), np.array([1, 2], np.uint8), np.int64(2)):
        for f in (operator.add, operator.mul, operator.truediv, operator.pow, maximum):
            for y in (f(t, integers), f(integers, t)):
                assert y.dtype == np.float32, f"{f.__name__} with {integers!r}"
                assert grad(y.sum(), t, create_graph=True).dtype == np.float32


def test_arrays_and_scalars_of_numpy_left_of_a_tensor_make_tensors():
    a = np.array([[1.0, 2.0], [3.0, 4.0]])
    for left in (a, np.float64(2), np.float32(2), np.int64(2), np.bool_(True), np.array(2.0)):
        for f in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow):
            if isinstance(left, np.bool_) and f is operator.sub:
                continue  # NumPy has no subtraction of bools, and so dtype rules none
            t = Tensor(a)
            y = f(left, t)
            assert type(y) is Tensor
            assert_same(y.data, np.asarray(f(left, a)), f.__name__)
            y.backward()
            assert t.grad.shape == a.shape
    t = Tensor(a)
    (a @ t).backward()
    assert_same(t.grad, a.T @ np.ones((2, 2)), "array @ tensor")
    t += a
    assert type(t) is Tensor
    assert t.op == "+"
    assert (a < t).dtype == bool


def test_numpy_ints_and_scalars_stand_left_of_a_tensor():
    yi = np.array([-1, 1])[0]
    si = Tensor([0.5])
    y = (1 + -yi * si)[0].relu()
    y.backward()
    assert type(y) is Tensor
    assert y.item() == 1.5
    assert si.grad.tolist() == [1.0]
    losses = [(1 + -k * si)[0].relu() for k in np.array([-1, 1])]
    assert sum(losses).item() == 2.0


# NumPy's functions


NUMPY = {
    np.matmul: lambda f, x, y: f(x, y.T),
    np.dot: lambda f, x, y: f(x, y.T),
    np.cumprod: lambda f, x, y: f(x, axis=1),
    np.astype: lambda f, x, y: f(x, np.dtype(np.float32)),
    np.outer: lambda f, x, y: f(x[0], y[1]),
    np.where: lambda f, x, y: f(np.eye(2, 3) > 0, x, y),
    np.concatenate: lambda f, x, y: f([x, y], axis=1),
    np.stack: lambda f, x, y: f([x, y], axis=-1),
    np.einsum: lambda f, x, y: f("ij,kj->ik", x, y),
    np.linalg.norm: lambda f, x, y: f(x, axis=1, keepdims=True),
    np.clip: lambda f, x, y: f(x, 0.7, 1.2),
    np.reshape: lambda f, x, y: f(x, (3, 2)),
    np.transpose: lambda f, x, y: f(x, (1, 0)),
    np.swapaxes: lambda f, x, y: f(x, 0, 1),
    np.broadcast_to: lambda f, x, y: f(x, (4, 2, 3)),
    np.squeeze: lambda f, x, y: f(x[:1], axis=0),
    np.expand_dims: lambda f, x, y: f(x, 1),
    np.pad: lambda f, x, y: f(x, ((1, 0), (0, 2))),
    np.flip: lambda f, x, y: f(x, 1),
    np.tril: lambda f, x, y: f(x, 1),
    np.triu: lambda f, x, y: f(x, 1),
    np.cumsum: lambda f, x, y: f(x, axis=1),
    np.ravel: lambda f, x, y: f(x),
    **{
        getattr(np, name): lambda f, x, y, example=example: example(f, x, y)
        for name, example in {
            "cumulative_prod": lambda f, x, y: f(x, axis=1, include_initial=True),
            "cumulative_sum": lambda f, x, y: f(x, axis=1, include_initial=True),
            "vecdot": lambda f, x, y: f(x, y, axis=0),
            "matvec": lambda f, x, y: f(x, y[0]),
            "vecmat": lambda f, x, y: f(x[:, 0], y),
        }.items()
        if hasattr(np, name)
    },
    np.divmod: lambda f, x, y: f(x, y)[1],
    np.modf: lambda f, x, y: f(x)[0],
    np.average: lambda f, x, y: f(x, axis=1, weights=y),
    np.convolve: lambda f, x, y: f(x[0], y[1], "same"),
    np.correlate: lambda f, x, y: f(x[0], y[1], "same"),
    np.copy: lambda f, x, y: f(x),
    np.corrcoef: lambda f, x, y: f(x, y),
    np.cov: lambda f, x, y: f(x, y, ddof=0),
    np.diff: lambda f, x, y: f(x, axis=0, prepend=y),
    np.ediff1d: lambda f, x, y: f(x, to_end=y),
    np.full_like: lambda f, x, y: f(x, y[0, 0] * x[0, 0]),
    np.gradient: lambda f, x, y: f(x, 0.5, axis=1, edge_order=2),
    np.interp: lambda f, x, y: f(x, [0.5, 1.0, 2.0], y[0]),
    np.linspace: lambda f, x, y: f(x, y, num=4, axis=-1),
    np.meshgrid: lambda f, x, y: f(x, y, indexing="ij")[0],
    np.nan_to_num: lambda f, x, y: f(x, nan=1.0),
    np.nancumprod: lambda f, x, y: f(x, axis=1),
    np.nancumsum: lambda f, x, y: f(x, axis=1),
    np.partition: lambda f, x, y: f(x, 1, axis=1),
    np.percentile: lambda f, x, y: f(x, [20, 30], axis=1, method="hazen"),
    np.heaviside: lambda f, x, y: f(x - x, y) * x,
    np.ldexp: lambda f, x, y: f(x, [1, 2, 3]),
    np.frexp: lambda f, x, y: f(x)[0],
    np.float_power: lambda f, x, y: f(x, y),
    np.real: lambda f, x, y: f(x),
    np.quantile: lambda f, x, y: f(x, 0.3, axis=0, keepdims=True),
    np.sinc: lambda f, x, y: f(x),
    np.sort: lambda f, x, y: f(x, axis=0, kind="stable"),
    np.take: lambda f, x, y: f(x, [0, 0, 5], axis=1, mode="clip"),
    np.take_along_axis: lambda f, x, y: f(x, np.array([[0, 2], [1, 1]]), axis=1),
    np.trapezoid: lambda f, x, y: f(x, axis=1),
    **{ufunc: lambda f, x, y, n=ufunc.nin: f(*(x, y)[:n]) for ufunc in ELEMENTWISE},
    **{
        getattr(np, name): lambda f, x, y: f(x, axis=1, keepdims=True)
        for name in (
            "sum",
            "mean",
            "max",
            "amax",
            "min",
            "amin",
            "var",
            "std",
            "prod",
            "ptp",
            "median",
            "nansum",
            "nanprod",
            "nanmean",
            "nanvar",
            "nanstd",
            "nanmax",
            "nanmin",
        )
    },
}
OPERATORS = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: operator.truediv,
    np.power: operator.pow,
    np.matmul: operator.matmul,
    np.negative: operator.neg,
    np.linalg.norm: norm,
    np.abs: Tensor.abs,
    np.fabs: Tensor.abs,
    np.remainder: operations.mod,
    np.degrees: Tensor.rad2deg,
    np.radians: Tensor.deg2rad,
    np.conjugate: Tensor.positive,
    np.real: Tensor.positive,
    np.amax: Tensor.max,
    np.amin: Tensor.min,
}


def own_name(f):
    """The method or function of ours that has the name of this function of NumPy's."""
    for room in (micrograd, Tensor, operations, order):
        if f not in OPERATORS and hasattr(room, f.__name__):
            return getattr(room, f.__name__)
    return OPERATORS.get(f) or OPERATIONS[f.__name__]


@pytest.mark.parametrize("f", NUMPY, ids=lambda f: f.__name__)
def test_a_function_of_numpy_on_tensors_is_our_operation(f):
    rng = np.random.default_rng(0)
    domains = domains_of(f) if f in ELEMENTWISE else (positive, positive)
    a, b = (domain(rng, (2, 3)) for domain in (domains * 2)[:2])
    results = []
    for function in (f, own_name(f)):
        x, y = Tensor(a), Tensor(b)
        z = NUMPY[f](function, x, y)
        assert type(z) is Tensor
        assert_same(z.data, NUMPY[f](f, a, b), f.__name__)
        z.backward(np.cos(np.arange(z.size)).reshape(z.shape))
        results.append((x.grad, y.grad))
    for ours, theirs in zip(*results):
        assert_same(ours, theirs, f.__name__)
    assert x.grad.any()


def test_the_functions_of_numpy_above_and_in_the_table_are_all_that_there_are(monkeypatch):
    real, called = protocol.for_numpys_arguments, set()
    monkeypatch.setattr(protocol, "for_numpys_arguments", lambda f: called.add(f) or real(f))
    for row in ROWS:
        row.ours(*map(Tensor, row.operands(row.cases[0])))
    assert len(called) > 60
    assert {*NUMPY, *called} == set(FUNCTIONS)


AS_NUMPY_CALLS_THEM = {
    "clip(a_min=, a_max=)": lambda t: np.clip(t, a_min=1, a_max=4),
    "clip(lo, None)": lambda t: np.clip(t, 1, None),
    "transpose(axes=)": lambda t: np.transpose(t, axes=(1, 0)),
    "reshape(shape)": lambda t: np.reshape(t, (3, 2)),
    "reshape(-1)": lambda t: np.reshape(t, -1),
    "broadcast_to(shape=)": lambda t: np.broadcast_to(t, shape=(2, 2, 3)),
    "ravel(order=)": lambda t: np.ravel(t, order="C"),
    "sum(a=)": lambda t: np.sum(a=t),
    "sum(axis, dtype, out)": lambda t: np.sum(t, 0, None, None),
    "max(axis, out, keepdims)": lambda t: np.max(t, 0, None, True),
    "pad(constant_values=)": lambda t: np.pad(t, 1, constant_values=2),
    "stack(axis=)": lambda t: np.stack([t, t], axis=1),
    "argmax(a=)": lambda t: np.argmax(a=t),
    "size(a=)": lambda t: np.size(a=t),
}


@pytest.mark.parametrize("name", AS_NUMPY_CALLS_THEM)
def test_arguments_go_by_numpys_names_and_places(name):
    f, a = AS_NUMPY_CALLS_THEM[name], np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(data_of(f(Tensor(a))), f(a), strict=True)


NO_SUCH_OPTION = {
    "dtype": lambda t: np.exp(t, dtype=np.float32),
    "weights": lambda t: np.quantile(t, 0.5, weights=np.ones((2, 3)), method="inverted_cdf"),
    "overwrite_input": lambda t: np.median(t, overwrite_input=True),
    "initial": lambda t: np.logaddexp.reduce(t, initial=1.0),
    "where": lambda t: np.equal(t, t, where=t > 2),
}


@pytest.mark.parametrize("option", NO_SUCH_OPTION)
def test_an_option_that_operations_lack_is_named(option):
    with pytest.raises(TypeError, match=f"with {option} is not defined for a Tensor"):
        NO_SUCH_OPTION[option](Tensor(np.arange(6.0).reshape(2, 3)))


# Refused without a sentence of their own
REFUSED_ALIKE = """
    i0 busday_count busday_offset datetime_as_string is_busday in1d trapz
    """


def test_every_function_of_numpy_is_an_operation_or_a_constant_or_refused():
    public = {name: getattr(np, name) for name in dir(np) if not name.startswith("_")}
    unknown = {
        name_in_numpy(f)
        for f in public.values()
        if (isinstance(f, np.ufunc) or hasattr(f, "_implementation"))
        and f not in FUNCTIONS
        and f not in CONSTANT
    }
    assert sorted(unknown - {*REFUSED} - {*REFUSED_ALIKE.split()}) == []


UFUNCS = {f for f in vars(np).values() if isinstance(f, np.ufunc) and f.signature is None}


@pytest.mark.parametrize("ufunc", sorted(UFUNCS, key=str), ids=lambda f: f.__name__)
@np.errstate(invalid="ignore")
def test_every_ufunc_gives_a_gradient_or_what_has_none_or_an_error_that_names_it(ufunc):
    x = [Tensor([0.4, 0.6]) for _ in range(ufunc.nin)]
    if ufunc is np.ldexp:
        x[1] = np.array([1, 2])
    if ufunc in FUNCTIONS:
        results = ufunc(*x)
        results = results if isinstance(results, tuple) else (results,)
        assert any(isinstance(y, Tensor) and y.requires_grad for y in results)
    elif ufunc in CONSTANT:
        h = [t.data + 1e-9 for t in x]  # nothing moves
        np.testing.assert_array_equal(ufunc(*x), ufunc(*h))
        assert type(ufunc(*x)) is np.ndarray
    else:
        with pytest.raises(TypeError, match=rf"np\.{ufunc.__name__} is not defined for a Tensor"):
            ufunc(*x)


METHODS = {  # ndarray's, whose results have no slope or are Python's
    "round": lambda t: t.round(1),
    "all": lambda t: t.all(1),
    "any": lambda t: t.any(axis=0, keepdims=True),
    "argsort": lambda t: t.argsort(0),
    "imag": lambda t: t.imag,
    "floor division": lambda t: t // 0.3,
    "floor division of a number": lambda t: 7 // t,
    "floor division by itself": lambda t: t // t,
    "whole part": lambda t: divmod(t, 0.3)[0],
    "whole part of a number": lambda t: divmod(7, t)[0],
    "np.nonzero": lambda t: np.nonzero(t)[0],
    "np.lexsort": lambda t: np.lexsort((t[0], t[1])),
    "np.allclose": lambda t: np.asarray(np.allclose(t, t)),
    "np.full_like": lambda t: np.full_like(t, 3),
}


@pytest.mark.parametrize("name", METHODS)
def test_what_ndarray_has_without_a_slope_is_an_array(name):
    f, a = METHODS[name], np.array([[1.26, -0.5, 0.0], [2.0, 3.5, -4.0]]) + 0.25
    assert_same(f(Tensor(a)), np.asarray(f(a)), name)


def test_numbers_round_and_lists_are_pythons():
    assert round(Tensor(2.567), 2) == 2.57
    assert type(round(Tensor(2.567))) is int
    assert round(Tensor([2.567, 1.0]), 1).tolist() == [2.6, 1.0]
    assert Tensor([[1.0, 2.0]]).tolist() == [[1.0, 2.0]]
    assert divmod(Tensor(7.0), 2)[1].item() == 1
    assert divmod(7, Tensor(2.0))[1].item() == 1


@pytest.mark.parametrize("name", ["hypot", "erf", "sort", "convolve", "digamma", "median"])
def test_functions_of_arrays_lists_and_integers_alone_are_constant_float64_tensors(name):
    f = getattr(micrograd, name)
    n = 2 if name in ("hypot", "convolve") else 1
    for x in ([3, 1, 2], np.array([3, 1, 2]), np.array([3.0, 1.0, 2.0])):
        y = f(*[x] * n)
        assert type(y) is Tensor
        assert (y.dtype, y.requires_grad) == (np.float64, False)
    assert f(*[np.float32([3, 1, 2])] * n).dtype == np.float32


def test_a_list_beside_a_tensor_is_an_array():
    x = Tensor(np.float32([3.0, 4.0]))
    for y in (np.hypot(x, [4, 3]), micrograd.hypot(x, [4, 3]), micrograd.hypot([4, 3], x)):
        assert_same(y.data, np.float32([5, 5]), "hypot")
        slope = grad(y, x, create_graph=True)
        assert_same(grad(slope, x).data, np.float32([16 / 125, 9 / 125]), "curvature", 1e-6)


def test_what_has_no_slope_is_computed_on_the_arrays():
    x = Tensor([1.0, -np.inf, np.nan, -2.0]) * 1
    for f in (np.isfinite, np.isinf, np.isnan, np.sign):
        result = f(x)
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, f(x.data))
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((4,), 1, 4)


# Errors: what was wrong, and where

ERRORS = [
    # the face
    (raising(lambda x, y, s: x.item()), ValueError, r"one element, got shape \(2, 3\)"),
    (raising(lambda x, y, s: float(x)), ValueError, "one element"),
    (lambda: Tensor([]).item(), ValueError, r"got shape \(0,\)"),
    (raising(lambda x, y, s: len(s)), TypeError, "0-d Tensor"),
    (raising(lambda x, y, s: iter(s)), TypeError, "0-d Tensor"),
    (raising(lambda x, y, s: bool(x)), ValueError, "ambiguous"),
    (raising(lambda x, y, s: operator.setitem(x, 0, 1.0)), TypeError, "cannot be assigned"),
    # NumPy's doors
    (raising(lambda x, y, s: np.asarray(x * 2)), TypeError, r"made by '\*' does not turn into"),
    (raising(lambda x, y, s: np.array([s * 2, s * 2])), TypeError, r"made by '\*'"),
    (raising(lambda x, y, s: np.array([y * 2, y * 2])), TypeError, r"made by '\*'"),
    (raising(lambda x, y, s: np.i0(x)), TypeError, r"np\.i0 is not defined .* absolute"),
    (raising(lambda x, y, s: np.spacing(x)), TypeError, r"np\.spacing is not .*: .* are stored"),
    (raising(lambda x, y, s: np.roots(y)), TypeError, r"np\.roots is not .*: .* complex numbers"),
    (raising(lambda x, y, s: np.fill_diagonal(x, s)), TypeError, r"it writes into an array"),
    (raising(lambda x, y, s: np.gcd(x, 2)), TypeError, r"np\.gcd is not .*: it is for integers"),
    (raising(lambda x, y, s: np.max(x, where=[True, False, True])), ValueError, "needs initial="),
    (raising(lambda x, y, s: np.var(x, ddof=1, correction=1)), ValueError, "are one thing"),
    (raising(lambda x, y, s: np.mean(x, dtype=int)), TypeError, "mean: dtype is a floating one"),
    (raising(lambda x, y, s: np.sum(x, where=np.ones(4, bool))), ValueError, "broadcast"),
    (raising(lambda x, y, s: x[Tensor([0, 1])]), TypeError, "an index integers or bools"),
    (raising(lambda x, y, s: x[0, Tensor([0, 1])]), TypeError, "an index integers or bools"),
    (raising(lambda x, y, s: np.fft.fft(x)), TypeError, r"np\.fft\.fft is not .* complex"),
    (raising(lambda x, y, s: np.add.reduceat(x, [0])), TypeError, r"np\.add\.reduceat is not def"),
    (raising(lambda x, y, s: np.divide.reduce(x)), TypeError, r"np\.divide\.reduce is not defined"),
    (raising(lambda x, y, s: np.add.at(x, 0, 1)), TypeError, r"np\.add\.at"),
    (raising(lambda x, y, s: np.exp(x, dtype=float)), TypeError, r"np\.exp with dtype"),
    (raising(lambda x, y, s: np.exp(x, where=np.ones(3, bool))), TypeError, r"np\.exp with where"),
    (raising(lambda x, y, s: np.exp(x, out=np.ones((2, 3)))), TypeError, r"np\.exp: .* written"),
    (raising(lambda x, y, s: np.add(np.ones((2, 3)), 1, out=x)), TypeError, r"np\.add"),
    (raising(lambda x, y, s: operator.iadd(np.ones((2, 3)), x)), TypeError, "array = array"),
    (raising(lambda x, y, s: operator.imatmul(np.ones((2, 2)), x)), TypeError, "np.matmul"),
    (raising(lambda x, y, s: operator.setitem(np.ones((2, 3)), 0, x[0])), TypeError, "'index'"),
    (raising(lambda x, y, s: np.sum(x, dtype=int)), TypeError, "dtype"),
    (raising(lambda x, y, s: np.sum(x, out=np.ones(()))), TypeError, "out"),
]  # fmt: skip


@mistakes(ERRORS)
def test_a_mistake_raises_an_error_that_names_it(f, error, message):
    with pytest.raises(error, match=message):
        f()
