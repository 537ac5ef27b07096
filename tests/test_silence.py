"""No gradient is lost in silence: what people write, and what it says or keeps."""

import array
import cmath
import fractions
import functools
import itertools
import math
import operator
import random
import re
import statistics
import struct
import warnings

import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.optimize
import scipy.signal
import scipy.sparse
import scipy.special
import scipy.stats
import torch

import micrograd
from micrograd import Tensor, einsum, grad, linear, maximum, nn, norm, optim, stack, where


class Frame:
    """As pandas does it: what stands beside it becomes an array, in operators and functions."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __matmul__(self, other):
        return Frame(self.values @ np.asarray(other))

    def __mul__(self, other):
        return Frame(self.values * np.asarray(other))

    __rmul__ = __mul__

    def to_numpy(self):
        return self.values

    def __setitem__(self, key, value):
        self.values[key] = value

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        return Frame(getattr(ufunc, method)(*(np.asarray(x) for x in inputs), **options))


class Leaving(Frame):
    """As pandas does it beside what has a higher priority: it gives way."""

    __pandas_priority__ = 4000

    def __mul__(self, other):
        if getattr(other, "__pandas_priority__", 0) > self.__pandas_priority__:
            return NotImplemented
        return Leaving(self.values * np.asarray(other))

    __rmul__ = __mul__

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        return NotImplemented


class Labelled:
    """As xarray does it: what it holds may be any kind of array, and stays so."""

    def __init__(self, values):
        self.values = values

    def __mul__(self, other):
        return Labelled(self.values * getattr(other, "values", other))

    __rmul__ = __mul__

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        return Labelled(getattr(ufunc, method)(*(getattr(x, "values", x) for x in inputs)))


class Quantity(Labelled):
    """As libraries of units do it."""


def names():
    """What the lines below speak of, fresh for each."""
    return {
        "w": Tensor(2.0), "b": Tensor(1.0), "W": Tensor([1.0, 2.0]),
        "M": Tensor([[2.0, 0.5], [0.5, 1.0]]), "A": np.eye(2), "c": np.zeros(2),
        "o": objects(Tensor(2.0), Tensor(1.0)), "f": math.exp,
        "Frame": Frame, "Leaving": Leaving, "Labelled": Labelled, "Quantity": Quantity,
        "np": np, "scipy": scipy, "math": math, "cmath": cmath, "random": random,
        "statistics": statistics, "fractions": fractions, "struct": struct, "array": array,
        "torch": torch, "operator": operator, "functools": functools, "itertools": itertools,
        "Tensor": Tensor, "einsum": einsum, "linear": linear, "maximum": maximum, "norm": norm,
        "stack": stack, "where": where, "nn": nn, "optim": optim, "micrograd": micrograd,
    }  # fmt: skip


def objects(*items):
    found = np.empty(len(items), object)
    found[:] = [None] * len(items)
    for i, x in enumerate(items):
        found[i] = x
    return found


def lines(text):
    return [line for line in text.strip().splitlines() if not line.startswith("#")]


def run(line):
    """The value of the last statement, or None, and the warnings."""
    *before, last = line.split("; ")
    room = names()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for statement in before:
            exec(statement, room)
        try:
            code = compile(last, line, "eval")
        except SyntaxError:
            return exec(last, room), caught
        return eval(code, room), caught


def said(error):
    """The messages of an error and of those that it came from."""
    text = ""
    while error is not None:
        text += f"{error}\n"
        error = error.__cause__ or error.__context__
    return text


def tensors_in(x):
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, Labelled):
        yield from tensors_in(x.values)
    elif isinstance(x, (list, tuple)) or (isinstance(x, np.ndarray) and x.dtype == object):
        for part in x:
            yield from tensors_in(part)


CURE = r"stack|where\(mask|t\.data|take its item\(\)|array = array \+ tensor|to_numpy"

# An array of numbers where tensors were
ERRORS = """
np.array([w, w]) * w
Tensor([w, b])
Tensor([[w, 0.0], [0.0, w]])
np.array((w, w))
np.array([[w, 0.0], [0.0, w]])
np.array([W, W])
np.array([w, w], dtype=object)
np.array([x for x in W])
np.array([np.exp(x) for x in W])
np.asarray(W)
np.asarray(W, np.float32)
np.asanyarray(W)
np.asarray_chkfinite(W)
np.array(W, dtype=np.int64)
np.ma.array(W)
np.ma.array([1.0, 2.0], mask=[0, 1]) * W
np.ma.exp(W)
# into an array
np.full(3, w)
np.full((2, 2), W)
np.r_[w, 1.0]
np.c_[W, W]
np.fromfunction(lambda i: np.asarray(w), (3,))
np.vectorize(f)(W)
np.vectorize(lambda x: x * x)(W)
np.frompyfunc(lambda x: x * x, 1, 1)(W)
np.eye(2).dot(W)
c[0] = W[0] * W[1]
c[0] = w
c[:] = W
c[:] = [w, w]
c[[0]] = w
c[0:1] = [w]
c[...] = W
c.T[0] = w
c[0] += w
A[0] += W
A[0, :] = [w, w]
c.astype(np.float32)[0] = w
c.view(np.recarray)[0] = w
c.put(0, w)
np.copyto(c, W)
np.put(c, [0], W[:1])
np.place(c, c == 0, W)
np.putmask(c, c == 0, W)
np.add(c, W, out=c)
np.add.at(c, [0], w)
np.add(1.0, W, out=c)
c += W
c -= w
A @= W
np.fill_diagonal(A, w)
np.put_along_axis(c, np.array([0]), W[:1], 0)
z = Tensor([1.0, 2.0]); z.data = W * 2
z = Tensor([1.0, 2.0]); z.data[:] = W * 2
z = Tensor([1.0, 2.0]); z.data[0] = w
z = Tensor([1.0, 2.0]); z.data += W
z = Tensor([1.0, 2.0]); z.grad += W
array.array("d", [0.0])[0] = w
# lists of tensors, to functions of NumPy
np.mean([w, w])
np.mean([W, W], axis=0)
np.mean((w, b))
np.sum([w, w])
np.exp([w, w])
np.sqrt([w, b])
np.log([w, b])
np.maximum([w, w], 0)
np.add([w, b], 1)
np.dot([1, 2], [w, w])
np.matmul([[w, b]], A)
np.max([w, b])
np.min([w, b])
np.std([w, b])
np.var([w, b])
np.prod([w, b])
np.cumsum([w, b])
np.median([w, b])
np.average([w, b])
np.argmax([w, b])
np.outer([w, b], [w, b])
np.clip([w, b], 0, 1)
np.linalg.norm([w, w])
np.linalg.norm([W, W])
np.linalg.inv([[w, 0.0], [0.0, b]])
np.linalg.cholesky([[w, 0.0], [0.0, b]])
np.linalg.solve(A, [w, w])
np.polyfit([1.0, 2.0, 3.0], [w, w, w], 1)
np.gradient([w, b, w])
np.convolve([w, b], [1, 1])
np.trapezoid([w, w])
np.meshgrid([w, b], [1, 2])
np.fft.fft([w, b])
np.logaddexp.reduce([w, b])
np.ones(3) * [w, w, w]
# and to ours
W * [w, b]
[w, b] * W
W + (w, b)
W @ [w, b]
W ** [w, b]
maximum(W, [w, b])
where([True, False], [w, b], 0.0)
where([True, False], W, [w, b])
W.clip([1.0, b], 3.0)
einsum("i,i", W, [w, b])
linear(W, M, [w, b])
norm([w, b])
stack([[w, b], W])
nn.mse(W, [w, b])
nn.mse([w, b], W)
nn.cross_entropy([[w, b]], [0])
nn.binary_cross_entropy_with_logits(W, [w, b])
nn.Layer(2, 1)([[w, b]])
micrograd.grad(W * 2, W, [w, b])
(W * 2).backward([w, b])
# options without a gradient
W.var(ddof=w)
W.std(ddof=w)
W.nan_to_num(nan=w)
W.nan_to_num(posinf=w)
nn.cross_entropy(M, [0, 1], label_smoothing=Tensor(0.0))
nn.LayerNorm(2, eps=w)(W)
nn.BatchNorm1d(2, eps=w)(M)
# other libraries
scipy.stats.norm.logpdf(W)
scipy.stats.norm.logpdf(0.5, W)
scipy.stats.norm.logpdf([w, w])
scipy.stats.norm(W, 1.0).logpdf(0.5)
scipy.stats.multivariate_normal.logpdf([0.0, 0.0], W)
scipy.stats.poisson.logpmf(1, W)
scipy.stats.linregress(W, W)
scipy.linalg.expm(W)
scipy.linalg.expm(M)
scipy.linalg.solve(A, W)
scipy.linalg.cho_solve((A, True), W)
scipy.linalg.cholesky(M)
scipy.linalg.block_diag(M, M)
scipy.special.erf([w, w])
scipy.special.logsumexp([w, b])
scipy.sparse.csr_array(A) @ W
scipy.sparse.csr_array(A) * W
scipy.sparse.csr_matrix(A) @ W
scipy.interpolate.CubicSpline([0, 1], W)
scipy.signal.convolve(W, [1, 1])
scipy.integrate.solve_ivp(lambda t, y: -w * y, (0, 1), [1.0])
scipy.optimize.least_squares(lambda x: x - W, [0.0, 0.0])
scipy.optimize.minimize(lambda x: x.sum(), W)
np.random.default_rng(0).multivariate_normal(W, A)
np.random.normal(W, 1.0)
Frame(A) @ W
Frame(A) * w
Frame(A)[0] = W
Leaving(A) * w
w * Leaving(A)
Leaving(A) * W
W * Leaving(A)
Leaving(A) * Tensor(2.0, requires_grad=False)
np.multiply(Leaving(A), w)
np.maximum(Leaving(A), W)
np.maximum(W, Leaving(A))
np.maximum(W, Frame([1.0, 2.0]))
maximum(W, Frame([1.0, 2.0]))
"""


@pytest.mark.parametrize("line", lines(ERRORS))
def test_it_is_an_error_that_names_the_cure(line):
    with pytest.raises((TypeError, ValueError)) as caught:
        run(line)
    assert re.search(CURE, said(caught.value)), said(caught.value)


# A number where a tensor was
WARNINGS = """
float(w)
int(w)
complex(w)
math.exp(w)
math.exp(W[0])
math.sqrt(w)
math.floor(w)
math.fsum([w, w])
math.fsum(W)
math.hypot(w, w)
math.dist(W, W)
math.log(w)
math.pow(w, 2)
cmath.exp(w)
list(map(math.exp, W))
np.float64(w)
np.array([float(x) for x in W])
np.fromiter((x * x for x in W), float)
np.fromiter([w, b], float)
np.sum(np.ones(2), initial=w)
c.fill(w)
c.__setitem__(0, w)
operator.setitem(c, 0, w)
o.astype(float)
"%f" % w
statistics.fmean([w, w])
statistics.NormalDist(w, 1.0).pdf(0.0)
array.array("d", [w])
struct.pack("d", w)
scipy.integrate.quad(lambda x: x * w, 0, 1)
scipy.optimize.brentq(lambda x: x - w, 0.0, 3.0)
"""


@pytest.mark.parametrize("line", lines(WARNINGS))
def test_it_warns(line):
    _, caught = run(line)
    assert [w for w in caught if "t.item() says that this is meant" in str(w.message)]


# What could lose it, and doesn't
KEPT = """
A @ W
A * W
c + W
np.float64(2) * w
np.float64(2) ** w
np.ones(2) / W
np.stack([w, b])
np.stack(o)
o.sum()
sum([w, w])
sum(W)
math.prod([w, w])
functools.reduce(operator.add, [w, w, w])
list(itertools.accumulate([w, w]))
max([w, b])
sorted([w, b])
abs(w)
pow(w, 2)
random.gauss(w, 1)
random.uniform(0, w)
np.random.rand(3) * w
np.fromfunction(lambda i: w * i, (3,))
statistics.median([w, b])
W.pad(1, constant_values=w)
W.clip(w, 3.0)
nn.mse(W, [1.0, 2.0])
nn.mse([1.0, 2.0], W)
scipy.integrate.fixed_quad(lambda x: x * w, 0, 1)
Quantity(2.0) * w
w * Quantity(2.0)
Labelled(A) * W
W * Labelled(c)
np.multiply(W, Labelled(c))
np.maximum(W, Labelled(c))
np.exp(Labelled(W))
"""


@pytest.mark.parametrize("line", lines(KEPT))
def test_it_keeps_the_gradient(line):
    found, caught = run(line)
    assert any(t.requires_grad for t in tensors_in(found)), found
    assert not caught


# Functions of NumPy that may have become operations: with a gradient, or not at all
KEPT_OR_REFUSED = """
np.append([[1.0, 2.0]], w)
np.append([[1.0, 2.0]], W)
np.full_like(np.ones(2), w)
np.linspace(0.0, w, 3)
np.tile(W, 2)
np.block([[M, M]])
np.kron(A, M)
np.interp(0.5, [0, 1], W)
np.polyval(W, 2.0)
np.convolve(W, [1, 1])
np.average([1.0, 2.0], weights=W)
np.apply_along_axis(lambda x: x * 2, 0, W)
np.piecewise(W, [W.data > 1], [lambda x: x])
np.select([A > 0], [M])
np.choose([0, 1], [W, W])
np.broadcast_arrays(W, A)
np.meshgrid(W, [1, 2])
np.trapezoid(W)
np.gradient(W)
np.bincount([0, 1], weights=W)
np.linalg.solve(A, W)
np.linalg.det(M)
np.fft.fft(W)
np.add.reduce(W)
np.multiply.outer(W, W)
np.ma.sum(W)
np.real(W)
np.nan_to_num(W)
np.unwrap(W)
np.vander(W)
o * W
Tensor(o)
scipy.special.gammaln(w)
scipy.special.gammaln(W)
np.eye(2).clip(w, 2)
w // 2
w % 2
divmod(w, 2)
round(w)
W.round()
W.dot(W)
W.copy()
"""


@pytest.mark.parametrize("line", lines(KEPT_OR_REFUSED))
def test_it_keeps_the_gradient_or_is_refused(line):
    try:
        found, _ = run(line)
    except (AttributeError, TypeError, ValueError):
        return
    assert any(t.requires_grad for t in tensors_in(found)) or constant_everywhere(line), found


def constant_everywhere(line):
    """Whether the slope is 0 wherever there is one, so that an array of numbers may come out."""
    return line in ("w // 2", "round(w)", "W.round()")


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "std", "max", "nansum", "nanvar"])
@pytest.mark.parametrize("where", [Tensor([1.0, 0.5]), np.array([1.0, 0.0]), [1, 0]], ids=str)
def test_the_where_of_a_reduction_is_made_of_bools(name, where):
    for x in (Tensor([1.0, 2.0]), np.ones(2)):
        if isinstance(x, Tensor) or (isinstance(where, Tensor) and not name.startswith("nan")):
            with pytest.raises(TypeError, match="where"):
                getattr(np, name)(x, where=where, **({"initial": 0} if name == "max" else {}))


def test_another_librarys_operand_is_named_with_its_cure():
    with pytest.raises(TypeError, match=r"maximum: expected .* of type Frame: take its to_numpy"):
        maximum(Tensor([1.0, 2.0]), Frame([1.0, 2.0]))


def test_under_no_grad_and_of_constants_numbers_and_arrays_come_out_quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for w in (Tensor([1.0, 2.0], requires_grad=False), Tensor([1.0, 2.0]).detach()):
            assert np.array([w, w]).tolist() == [[1, 2], [1, 2]]
            assert math.exp(w[0]) == math.e
            assert scipy.special.gammaln(w.data).tolist() == [0, 0]
            assert (Frame(np.eye(2)) @ w).values.tolist() == [1, 2]
            assert (Leaving(np.eye(2)) * w).values.tolist() == [[1, 0], [0, 2]]
        with micrograd.no_grad():
            w = Tensor([1.0, 2.0])
            assert np.full(2, w).tolist() == [1, 2]
            assert np.mean([w, w]) == 1.5
            assert float(w[1]) == 2


def add_to_data(w):
    w.data += 1


def step(w):
    w.grad = np.ones(2)
    optim.SGD([w], lr=0.1).step()


def load_state(w):
    holder = nn.Module()
    holder.w = w
    holder.load_state_dict({"w": np.zeros(2)})


@pytest.mark.parametrize("write", [add_to_data, step, load_state])
@pytest.mark.parametrize("of", [lambda w: w * w, lambda w: np.exp(w), lambda w: (w @ w) * 2])
def test_a_leaf_written_to_between_forward_and_backward_is_refused(of, write):
    w = Tensor([1.0, 2.0])
    loss = of(w).sum()
    write(w)
    with pytest.raises(RuntimeError, match="a leaf was written to in place after"):
        loss.backward()
    with pytest.raises(RuntimeError, match="a leaf was written to in place after"):
        grad(loss, w, create_graph=True)
    of(w).sum().backward()


def test_a_leaf_written_to_before_forward_or_given_another_array_keeps_its_gradient():
    w = Tensor([1.0, 2.0])
    w.data += 1
    loss = (w * w).sum()
    w.data = np.array([7.0, 8.0])
    loss.backward()
    assert w.grad.tolist() == [4.0, 6.0]


def test_a_result_cannot_be_frozen_but_a_leaf_can():
    w = Tensor([1.0, 2.0])
    for y in (w * 2, np.exp(w)):
        with pytest.raises(ValueError, match=r"made by '(\*|exp)'; t.detach\(\)"):
            y.requires_grad = False
        y.requires_grad = True
        assert np.array_equal(grad(y.sum(), w).data, [2.0, 2.0] if y.op == "*" else y.data)
    w.requires_grad = False
    assert not (w * 2).requires_grad
