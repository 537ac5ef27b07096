"""How a Tensor looks to Python and to NumPy: its array and gradient, comparisons, copies, and its
answers to NumPy's functions, which operations.py enters in the tables below.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import takewhile
from opcode import opmap
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from micrograd import names
from micrograd.arrays import KINDS, Axis, array_of, describe
from micrograd.recording import next_age, recorded_for

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from micrograd.engine import Tensor

    Operand: TypeAlias = Tensor | np.ndarray | np.floating | np.integer | np.bool_ | float

FUNCTIONS: dict[Callable, Callable] = {}  # NumPy's function, and the operation it is for Tensors
RENAMED: dict[Callable, dict[str, str]] = {}  # arguments that NumPy calls otherwise than we do
OF_UFUNCS: dict[tuple[np.ufunc, str], Callable] = {}  # (np.add, "reduce"), and its operation: sum
OPERATORS = {  # and the methods by which a foreign object on the right takes its turn
    "+": "__radd__", "-": "__rsub__", "*": "__rmul__",
    "/": "__rtruediv__", "**": "__rpow__", "@": "__rmatmul__", "mod": "__rmod__",
}  # fmt: skip
CONSTANT: set[Callable] = set()  # what has no slope anywhere, and is computed on the arrays

COMPLEX = "it is about complex numbers, and a Tensor holds real ones"
WRITES = (
    "it writes into an array, where a gradient would be lost: where(mask, a, b) makes a new one"
)
INTEGERS = "it is for integers, and a Tensor holds real numbers"
REFUSED = {  # why, for names of NumPy's that a Tensor will not answer to
    **dict.fromkeys(("roots", "sort_complex", "real_if_close"), COMPLEX),
    **dict.fromkeys(
        ("copyto", "fill_diagonal", "place", "put", "putmask", "put_along_axis"), WRITES
    ),
    **dict.fromkeys(
        (
            "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_count", "invert", "left_shift",
            "right_shift", "gcd", "lcm", "packbits", "unpackbits", "unravel_index",
            "ravel_multi_index", "ix_",
        ),
        INTEGERS,
    ),
    **dict.fromkeys(("nextafter", "spacing"), "it is about how numbers are stored"),
    "isnat": "it is about dates",
    **dict.fromkeys(
        (
            "unique", "unique_all", "unique_counts", "unique_inverse", "unique_values", "union1d",
            "intersect1d", "setdiff1d", "setxor1d",
        ),
        "it makes one of several elements; find their places with t.data, and take t[places]",
    ),
    **dict.fromkeys(
        ("histogram", "histogram2d", "histogramdd", "histogram_bin_edges"),
        "it counts; take the t.data, or with weights that have a gradient bincount",
    ),
}  # fmt: skip

ARITHMETIC = {  # what `help` says about it
    "__add__": "a + b, elementwise.",
    "__sub__": "a - b, elementwise.",
    "__mul__": "a * b, elementwise.",
    "__truediv__": "a / b, elementwise.",
    "__pow__": "a to the power b, elementwise.",
    "__matmul__": "The matrix product a @ b, of stacks of matrices too.",
    "__neg__": "-x, elementwise.",
}


def data_of(x: object) -> Any:
    """The array of a Tensor; anything else as it is."""
    return x.data if isinstance(x, Protocol) else x


def all_data_of(x: object) -> Any:
    """`data_of`, inside lists and tuples too."""
    return type(x)(map(all_data_of, x)) if type(x) in (list, tuple) else data_of(x)


class Size(int):
    """A number of elements, which says what to write where it is called as in PyTorch."""

    __slots__ = ()

    def __call__(self, *arguments, **options):
        raise TypeError("size: t.size is the number of elements here; write t.shape, or t.shape[0]")


class ForeignError(TypeError):
    """An operand of an operator that has arithmetic of its own, and is to have its turn."""


def constant(op: str, x: object, operands: tuple) -> Any:
    """Let real numbers and arrays of them pass; anything else is no operand.

    Integers and bools become floats: of the dtype of the Tensors among them, else float64.
    """
    if type(x) in (int, float, bool):
        return x
    if isinstance(x, Protocol):
        x = x._value
    array = type(x) in KINDS or isinstance(x, np.generic)
    if array and x.dtype.kind == "f":
        return x
    if array and x.dtype.kind in "iub":
        dtypes = [y.dtype for y in operands if isinstance(y, Protocol) and y.dtype.kind == "f"]
        return x.astype(np.result_type(*dtypes) if dtypes else np.float64)
    if isinstance(x, Size):
        return int(x)
    has_turn = hasattr(type(x), OPERATORS.get(op, "")) and type(x).__module__ != "builtins"
    has_turn = has_turn and not gives_way(x)
    kind = ForeignError if has_turn and not array else TypeError
    cure = ": stack makes one tensor of several" if isinstance(x, (list, tuple)) else ""
    cure = ": take its to_numpy()" if hasattr(x, "to_numpy") else cure
    raise kind(
        f"{op}: expected a Tensor, a real number or an array of them, got {describe(x)}{cure}"
    )


def has_own_ufuncs(x: object) -> bool:
    """Whether NumPy's elementwise functions ask x, a foreign object, what they are to do."""
    its_own = getattr(type(x), "__array_ufunc__", None) not in (None, np.ndarray.__array_ufunc__)
    return its_own and not isinstance(x, Protocol) and not gives_way(x)


def gives_way(x: object) -> bool:
    """Whether x is a frame of pandas, whose operators leave it to a Tensor."""
    return hasattr(type(x), "__pandas_priority__")


def reflected(function: Callable) -> Callable:
    """The method for other + self, given that for self + other."""

    def method(self, other) -> Tensor:
        return function(other, self)

    method.__doc__ = f"other {function.__name__} self, where other is not a Tensor."
    return method


def rows_of(t: Protocol) -> Iterator:
    """t[0], t[1] ..., out of halves of halves: the gradient of t[i] is as large as t, so that those
    of all its rows would cost the square of it.
    """
    if len(t) <= 32:
        yield from (t[i] for i in range(len(t)))
    else:
        middle = len(t) // 2
        yield from rows_of(t[:middle])
        yield from rows_of(t[middle:])


def made_of_data(t: Protocol) -> bool:
    """Whether it can be a parameter, also a frozen one: it is no result of operations."""
    return t.is_leaf and (t.requires_grad or not t.op)


def changed(t: Protocol, new: Any) -> Any:
    """What `t += other` gives, where `new` is t + other: t itself, written to, if it is made of
    data and nothing is recorded.
    """
    if recorded_for.get() or not made_of_data(t) or not isinstance(new, Protocol):
        return new
    if new.shape != t.shape:
        raise ValueError(f"{new.op}= in place: {t.shape} would become {new.shape}")
    t.data[...] = new.data
    t.data = t.data  # which says that it was written to
    return t


def first_gradient(what: str, output: Protocol, gradient: object) -> Any:
    """The gradient that the way back from output starts from: a copy of the one given, or ones."""
    if gradient is None:
        return np.ones_like(output._value) if output.ndim else output.dtype.type(1)
    given = gradient if isinstance(gradient, Protocol) else np.array(array_of(what, gradient))
    if given.shape != output.shape:
        raise ValueError(f"{what} of shape {given.shape} for a tensor of shape {output.shape}")
    if given.dtype.kind not in "fiub":
        raise TypeError(f"{what} is made of real numbers, got {describe(gradient)}")
    return given if given is gradient else given.astype(output.dtype, copy=False)


class Recorded(NamedTuple):
    """What an operation leaves for the way back."""

    age: int  # the younger, the smaller: the way back takes the smallest first
    forward: Callable  # the function of the operands' arrays
    saved: tuple[Any, ...]  # these arrays, and what else the operation kept
    derivatives: tuple[Callable, ...]  # for each operand a function (g, y, *saved)


class Protocol:
    """What a Tensor is besides a node of the graph."""

    __slots__ = ()

    def __init_subclass__(cls):
        for name, method in vars(cls).items():  # operations, so that `help` and pickle find them
            if inspect.isfunction(method):
                method.__name__, method.__qualname__ = name, f"{cls.__qualname__}.{name}"
                method.__module__ = cls.__module__
                method.__doc__ = method.__doc__ or ARITHMETIC.get(name)

    @property
    def data(self) -> NDArray[Any]:
        """The array; it may be written to, and replaced.

        `backward` refuses a leaf that was written in place, as by `t.data += 1` or by an optimizer,
        after an operation had used it. It can't see `t.data[0] = 1`, nor a write through
        `t.detach()`: `detect_anomaly` does.
        """
        if isinstance(self._value, np.generic):
            self._value = np.asarray(self._value)
        return self._value

    @data.setter
    def data(self, array: ArrayLike) -> None:
        if array is self._value:  # after t.data += 1
            self._written = next_age()
        else:
            self._value = array_of("data", array, "f", "an array of floats")

    @property
    def grad(self) -> NDArray[Any]:
        """The gradient: of the tensor's shape and dtype, zeros until `backward` has been here."""
        # What `backward` left here may be shared with other tensors until somebody looks at it.
        if self._grad is None and self._received is None:
            self._grad = np.zeros(self.shape, self.dtype)
        elif self._grad is None:
            self._grad = np.array(self._received, self.dtype)
        return self._grad

    @grad.setter
    def grad(self, value: ArrayLike | None) -> None:
        if value is None:
            self._grad = None
        elif value is not self._grad:  # it is after t.grad += ...
            self._grad = first_gradient("grad", self, data_of(value))
        self._received = self._grad

    @property
    def has_grad(self) -> bool:
        """Whether a gradient has come since the last reset; zeros made for looking don't count."""
        return self._received is not None or (self._grad is not None and bool(self._grad.any()))

    # The graph

    @property
    def op(self) -> str:
        """The name of the operation that made this tensor, "" if none did."""
        return self._op

    @property
    def operands(self) -> tuple[Any, ...]:
        """What it was made of, Tensors and constants, in order; () for a leaf."""
        return self._operands

    @property
    def requires_grad(self) -> bool:
        """Whether `backward` computes a gradient for this tensor; it may be set, of a leaf.

        Raises:
            ValueError: it is set to False for a result, through which gradients go on.
        """
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not value and not self.is_leaf:
            raise ValueError(
                f"requires_grad: only a leaf can be frozen, this tensor was made by {self.op!r}; "
                "t.detach() is the same without its history"
            )
        self._requires_grad = bool(value)

    @property
    def is_leaf(self) -> bool:
        """Whether no operation stands behind it through which a gradient could go on."""
        return not self._operands

    @property
    def recorded(self) -> Recorded:
        """What its operation left for the way back, for instruments that follow it; see `Recorded`.

        Raises:
            AttributeError: no operation was recorded.
        """
        if not self._operands:
            raise AttributeError("recorded: no operation was recorded for this tensor")
        return Recorded(self._age, self._forward, self._values, self._derivatives)

    @property
    def owner(self) -> object:
        """What ran when this tensor was recorded as a result, a call of a module, or None."""
        return getattr(self, "_owner", None)

    @property
    def _prev(self) -> tuple[Tensor, ...]:
        """The operands that are Tensors, in order."""
        return tuple(x for x in self._operands if isinstance(x, Protocol))

    # The array

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of every axis."""
        return self._value.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._value.ndim

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self._value.dtype

    @property
    def size(self) -> int:
        """The number of elements."""
        return Size(self._value.size)

    def numel(self) -> int:
        """The number of elements."""
        return self._value.size

    def item(self) -> float:
        """The only element as a Python float.

        Raises:
            ValueError: there isn't exactly one.
        """
        if self.size != 1:
            raise ValueError(f"item: expected a tensor of one element, got shape {self.shape}")
        return float(self.data.item())

    def numpy(self) -> np.ndarray:
        """The array itself, sharing memory; what is computed with it has no gradient."""
        return self.data

    def __float__(self) -> float:
        self._warn_of("float")
        return self.item()

    def __int__(self) -> int:
        self._warn_of("int")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def _loses_gradient(self) -> bool:
        """Whether a number or an array in its place would be without its gradient."""
        return self.requires_grad and bool(recorded_for.get())

    def _warn_of(self, conversion: str) -> None:
        """Say so where a conversion, mostly by somebody who wants a number, loses the gradient."""
        if not self._loses_gradient():
            return
        frame = sys._getframe(2)
        if frame.f_code.co_code[frame.f_lasti] == opmap["STORE_SUBSCR"]:  # array[0] = t
            raise TypeError(
                "a Tensor cannot be written into an array, its gradient would be lost: collect "
                "tensors in a list and use stack or concatenate, or assign t.data"
            )
        warnings.warn(
            f"{conversion}(t) of a Tensor that requires a gradient gives a number without it: "
            "t.item() says that this is meant",
            stacklevel=3,
        )

    def __bool__(self) -> bool:
        return bool(self.data)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d Tensor")
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d Tensor")
        return rows_of(self)

    def __setitem__(self, key: object, value: object):
        raise TypeError(
            "a Tensor's elements cannot be assigned, for its history would be wrong: use "
            "where(mask, value, t) for a new tensor, or t.data[key] = value to change a leaf"
        )

    # Under no_grad these write into a leaf, as in PyTorch; else they name a new tensor

    def __iadd__(self, other: object) -> Tensor:
        return changed(self, self + other)

    def __isub__(self, other: object) -> Tensor:
        return changed(self, self - other)

    def __imul__(self, other: object) -> Tensor:
        return changed(self, self * other)

    def __itruediv__(self, other: object) -> Tensor:
        return changed(self, self / other)

    def __ipow__(self, other: object) -> Tensor:
        return changed(self, self**other)

    # Comparisons and positions are plain NumPy: their derivative is zero everywhere

    def __eq__(self, other: object) -> NDArray[np.bool_]:
        """self == other, elementwise: an array of bools."""
        return self.data == data_of(other)

    def __ne__(self, other: object) -> NDArray[np.bool_]:
        """self != other, elementwise: an array of bools."""
        return self.data != data_of(other)

    def __lt__(self, other: object) -> NDArray[np.bool_]:
        """self < other, elementwise: an array of bools."""
        return self.data < data_of(other)

    def __le__(self, other: object) -> NDArray[np.bool_]:
        """self <= other, elementwise: an array of bools."""
        return self.data <= data_of(other)

    def __gt__(self, other: object) -> NDArray[np.bool_]:
        """self > other, elementwise: an array of bools."""
        return self.data > data_of(other)

    def __ge__(self, other: object) -> NDArray[np.bool_]:
        """self >= other, elementwise: an array of bools."""
        return self.data >= data_of(other)

    __hash__ = object.__hash__  # by identity, though == compares elements

    @names.explaining
    def argmax(self, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
        """Where the largest value is, as NumPy counts."""
        return self.data.argmax(axis, keepdims=keepdims)

    @names.explaining
    def argmin(self, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
        """Where the smallest value is, as NumPy counts."""
        return self.data.argmin(axis, keepdims=keepdims)

    @names.explaining
    def argsort(self, axis: int | None = -1, kind: str | None = None) -> np.ndarray:
        """The places of the elements in ascending order, as NumPy sorts."""
        return self.data.argsort(axis, kind)

    @names.explaining
    def all(self, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
        """Whether no element is 0."""
        return self.data.all(axis, keepdims=keepdims)

    @names.explaining
    def any(self, axis: Axis = None, keepdims: bool = False) -> np.ndarray:
        """Whether some element isn't 0."""
        return self.data.any(axis, keepdims=keepdims)

    # Rounding is constant between its steps

    def round(self, decimals: int = 0) -> np.ndarray:
        """The elements rounded to so many decimals: an array, for the slope is 0."""
        return self.data.round(decimals)

    def __round__(self, decimals: int | None = None) -> Any:
        return self.round(decimals or 0) if self.ndim else round(self.item(), decimals)

    def __floordiv__(self, other: object) -> np.ndarray:
        """floor(self / other), elementwise: an array, for the slope is 0."""
        return np.floor_divide(self.data, data_of(other))

    def __rfloordiv__(self, other: object) -> np.ndarray:
        """floor(other / self), where other is not a Tensor."""
        return np.floor_divide(other, self.data)

    def __divmod__(self, other: object) -> tuple[np.ndarray, Tensor]:
        """(self // other, self % other)."""
        return self // other, self % other

    def __rdivmod__(self, other: object) -> tuple[np.ndarray, Tensor]:
        """(other // self, other % self), where other is not a Tensor."""
        return other // self, other % self

    @property
    def imag(self) -> np.ndarray:
        """Zeros: the numbers are real."""
        return np.zeros(self.shape, self.dtype)

    def tolist(self) -> Any:
        """The elements as Python floats, in nested lists."""
        return self.data.tolist()

    # Text and copies

    def __repr__(self) -> str:
        def text(x):
            edge = 2 if x.ndim < 3 else 1
            return np.array2string(x, threshold=20, edgeitems=edge, separator=", ")

        dtype = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        gradient = f", grad={text(self.grad)}" if self.requires_grad else ""
        return f"Tensor(value={text(self.data)}, shape={self.shape}{dtype}{gradient})"

    def __getstate__(self) -> tuple:
        if self._operands:
            raise TypeError(
                f"a Tensor made by {self._op!r} cannot be copied or pickled, its history would be "
                "lost: take t.detach()"
            )
        return self.data, self.requires_grad, self.label, self._grad if self.has_grad else None

    def __setstate__(self, state: tuple) -> None:
        data, requires_grad, label, grad = state
        self.__init__((), requires_grad, label)
        self._value, self.grad = data, grad

    @property
    def __pandas_priority__(self) -> int:
        """Above that of a frame, so that an error says `to_numpy()`.

        Else the frame would take the Tensor for an array, or fail within where it has no axes.
        """
        return 5000 if self._loses_gradient() or self.ndim == 0 else 0

    # NumPy's functions

    if not TYPE_CHECKING:  # else every name would be right to a type checker

        def __getattr__(self, name: str):
            raise names.missing("Tensor", name, names.TENSOR, self)

        # whoever has it is an array to NumPy's stubs, and np.exp(t) as well
        def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
            if self._loses_gradient():
                what = f"made by {self._op!r}" if self._op else "that requires a gradient"
                raise TypeError(
                    f"a Tensor {what} does not turn into an array by itself, its gradient would be "
                    "lost: take stack or concatenate to make one tensor of several; t.data, "
                    "t.detach() or no_grad() where no gradient is wanted"
                )
            array = np.asarray(self.data, dtype)
            return array.copy() if copy and array is self.data else array

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if out is not None:
            raise TypeError(
                f"np.{ufunc.__name__}: a Tensor cannot be written into an array, its gradient "
                "would be lost: write array = array + tensor instead of array += tensor"
            )
        inputs = [np.asarray(x) if isinstance(x, (list, tuple)) else x for x in inputs]
        if method == "__call__" and ufunc in FUNCTIONS:
            operation = FUNCTIONS[ufunc]
            if options.keys() <= (operation.__kwdefaults__ or {}).keys():  # as vecdot has axis
                try:
                    return operation(*inputs, **options)
                except TypeError:
                    if any(map(has_own_ufuncs, inputs)):
                        return NotImplemented
                    raise
        if method == "__call__" and ufunc in CONSTANT and not options:
            return ufunc(*map(data_of, inputs))
        if method == "outer" and not options and len(inputs) == 2:
            a, b = inputs
            return ufunc(np.reshape(a, (*np.shape(a), *np.ones(np.ndim(b), int))), b)
        if (ufunc, method) in OF_UFUNCS:
            operation, known = OF_UFUNCS[ufunc, method], options_of(OF_UFUNCS[ufunc, method])
            if options.keys() <= known:
                return operation(inputs[0], **{"axis": 0, **options})
            options = [name for name in options if name not in known]
        call = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        raise undefined(call, options)

    def __array_function__(self, function, types, args, options):
        if function in FUNCTIONS:
            return for_numpys_arguments(function)(*args, **options)
        if function in CONSTANT:
            return function(*all_data_of(args), **{k: all_data_of(x) for k, x in options.items()})
        raise undefined(name_in_numpy(function))


@cache
def options_of(operation: Callable) -> set[str]:
    """The names of its arguments."""
    return {*inspect.signature(operation).parameters}


@cache
def for_numpys_arguments(function: Callable) -> Callable:
    """The operation that stands for a function of NumPy, to be called as that function is."""
    operation = FUNCTIONS[function]
    try:
        theirs = [*inspect.signature(function).parameters.values()]
    except ValueError:  # some of NumPy's functions, written in C, tell none
        return operation
    if any(p.kind is p.VAR_POSITIONAL for p in theirs):
        return operation
    first, *names = (p.name for p in theirs)
    ours = inspect.signature(operation).parameters
    several = next((p.name for p in ours.values() if p.kind is p.VAR_POSITIONAL), None)
    ours_for = {name: name for name in ours} | RENAMED.get(function, {})
    alike = {name for name in names if name in ours and name != several}
    positional = [p.name for p in ours.values() if p.kind is not p.KEYWORD_ONLY]
    numpys_default = {p.name: p.default for p in theirs}
    pairs = zip(names, positional[1:])
    in_place = takewhile(lambda pair: ours_for.get(pair[0]) == pair[1] != several, pairs)
    n_alike = 1 + sum(1 for _ in in_place)  # so many arguments stand where NumPy has them

    def call(*args, **options):
        if 1 <= len(args) <= n_alike and options.keys() <= alike:
            return operation(*args, **options)
        given = dict(zip((first, *names), args), **options)
        x, shape, others = given.pop(first), (), {}
        for name, value in given.items():
            if value is np._NoValue:
                continue
            if name not in ours_for:
                default = numpys_default.get(name)
                if value is None or value is default or (name, value) == ("order", "C"):
                    continue  # what NumPy does anyway
                raise undefined(name_in_numpy(function), [name])
            if ours_for[name] == several:  # reshape(2, 3), where NumPy has reshape((2, 3))
                shape = (value,)
            else:
                others[ours_for[name]] = value
        return operation(x, *shape, **others)

    return call


def name_in_numpy(function: Callable) -> str:
    """Such as "linalg.norm"."""
    module = getattr(function, "__module__", "")  # in NumPy 2.0 a ufunc has none
    return f"{module}.{function.__name__}".replace("numpy", "", 1).lstrip(".")


def undefined(name: str, options: Iterable[str] = ()) -> TypeError:
    """The error for a NumPy function, or for options of one, that Tensors don't have."""
    given = f" with {', '.join(options)}" if options else ""
    why = COMPLEX if name.startswith("fft.") else REFUSED.get(name)
    if why and not given:
        return TypeError(f"np.{name} is not defined for a Tensor: {why}")
    names = sorted({name_in_numpy(f) for f in FUNCTIONS})
    return TypeError(
        f"np.{name}{given} is not defined for a Tensor (use t.data where no gradient is wanted). "
        f"Defined are: {', '.join(names)}"
    )
