"""What a function computes, written down: each call of NumPy that is made on its arrays.

A `Tracer` stands where an array would. It computes as the array does, and enters every call in its
`Trace`. What a call would decide by an array's numbers is refused, for the next call has others.
"""

from __future__ import annotations

import copy
import linecache
import operator
import os
import pickle
import random
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from micrograd import engine
from micrograd.arrays import KINDS
from micrograd.doors import Watcher
from micrograd.engine import Tensor
from micrograd.recording import recorded_for

OURS = tuple(os.path.dirname(m.__file__) + os.sep for m in (engine, np))


class JitError(TypeError):
    """A function cannot be written out: something of it would be the same at every call."""

    def __init__(self, message: str = ""):
        super().__init__(message)


class Ref:
    """Stands in a call for the value of this number."""

    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number = number


class Operation:
    """What is called, and how it is written: "function", "method", "binary", "unary" ..."""

    __slots__ = ("function", "kind", "name")

    def __init__(self, kind: str, name: str, function: Callable):
        self.kind, self.name, self.function = kind, name, function


class Call:
    """An operation with its arguments, and the numbers of its results."""

    __slots__ = (
        "args", "back", "context", "errstate", "gives", "operation", "options", "place", "results",
        "target", "uses", "views",
    )  # fmt: skip

    def __init__(
        self, operation, args, options, results, target, place, context, errstate, back, views=()
    ):
        self.back = back  # whether it is of the way back
        self.views = views  # pairs: the number of a result, the place in `uses` of its memory's
        self.operation, self.args, self.options = operation, args, options
        self.results = results  # a number, or a tuple of numbers and None
        self.target = target  # the number of the array that it writes to, or None
        self.place, self.context, self.errstate = place, context, errstate
        # the numbers of the values that it is given, and of those that it gives
        self.uses = [*refs_in(args), *refs_in(tuple(options.values()))]
        every = results if isinstance(results, tuple) else (results,)
        self.gives = [n for n in every if n is not None]


def fresh(operation: Operation) -> bool:
    """Whether the result is new memory, whatever it is given."""
    kind, name = operation.kind, operation.name
    return kind in ("ufunc", "binary", "unary", "builtin") or (
        kind == "method" and name in ("sum", "max", "min", "prod", "mean", "copy", "std", "var")
    )


def refs_in(x: Any) -> list[int]:
    """The numbers of the values in x, however deep."""
    if isinstance(x, Ref):
        return [x.number]
    if isinstance(x, slice):
        x = (x.start, x.stop, x.step)
    if isinstance(x, dict):
        x = tuple(x.values())
    return [n for y in x for n in refs_in(y)] if isinstance(x, (tuple, list)) else []


def mapped(x: Any, new: Callable) -> Any:
    """A structure of dicts, lists and tuples like x, with new(y) in the place of each y in it."""
    if isinstance(x, (tuple, list)):
        parts = [mapped(y, new) for y in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        same = {} if type(x) is dict else copy.copy(x)
        same.update((k, mapped(v, new)) for k, v in x.items())
        return same
    return new(x)


def replaced(x: Any, kind: type | tuple, new: Callable) -> Any:
    """x with new(y) in the place of each y of this kind, however deep."""
    return mapped(x, lambda y: new(y) if isinstance(y, kind) else y)


def plain(x: Any) -> Any:
    """x with arrays in the place of Tracers."""
    return replaced(x, Tracer, lambda t: t.value)


def users_frame():
    """The innermost frame that is neither micrograd's nor NumPy's."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith((*OURS, "<__array_function__")):
        frame = frame.f_back
    return frame


def told(frame) -> str:
    """A line of code, for an error message."""
    file, line = frame.f_code.co_filename, frame.f_lineno
    where = f'File "{file}", line {line}' if os.path.exists(file) else f"line {line} of a cell"
    source = linecache.getline(file, line).strip()
    return f"at {where}, in {frame.f_code.co_name}" + (f"\n    {source}" if source else "")


# Functions of NumPy


def names(text: str) -> list[str]:
    return text.split()


STATIC = {  # what they tell follows from shapes and dtypes
    getattr(np, name)
    for name in names("""shape ndim size result_type can_cast iscomplexobj isrealobj min_scalar_type
    common_type einsum_path may_share_memory shares_memory""")
}
DATA_SHAPED = {  # the shape of the result depends on the numbers
    getattr(np, name)
    for name in names("""nonzero flatnonzero argwhere unique unique_all unique_counts unique_inverse
    unique_values compress extract trim_zeros union1d intersect1d setdiff1d setxor1d bincount
    delete histogram histogram_bin_edges""")
    if hasattr(np, name)
} | {np.linalg.lstsq}
TEXT = {
    getattr(np, name)
    for name in names("""array2string array_repr array_str save savez savez_compressed savetxt""")
}
IN_PLACE = {np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis}


def name_of(function: Callable) -> str:
    """How NumPy's function is written."""
    if isinstance(function, np.ufunc):
        return f"np.{function.__name__}"
    return f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)


class Trace(Watcher):
    """The calls that a function makes, and the values in them, by number."""

    def __init__(self, names: dict[int, str]):
        self.calls: list[Call] = []
        self.values: list[Any] = []
        self.constants: dict[int, Any] = {}  # number: array
        self.ids: dict[int, int] = {}  # id of a constant: its number
        self.leaves: list[Tensor] = []  # those that the function used, in order
        self.leaf_tracers: dict[int, Tracer] = {}  # by the tensor's id
        self.uses: list[tuple[Tensor, int]] = []  # a stand-in for one use of a leaf, which leaf
        self.states: list[tuple[np.ndarray, int]] = []
        self.effects: list[Call] = []
        self.shadows: dict[int, Tensor] = {}  # id of what stands for an argument: the argument
        self.arguments: set[int] = set()  # ids of the arguments themselves
        self.both: set[int] = set()  # ids of those that the function also has from elsewhere
        self.back = False
        self.told: dict[int, str] = {}
        self.outside: list[np.ndarray] = []  # arguments, which are not written to
        self.names = names  # of modules, by id
        self.thread, self.open, self.refused = threading.get_ident(), True, None
        self.place, self.context = None, ("", "")
        self.errstate, self.random = np.geterr(), drawn_so_far()
        self.instructions, self.generators = set(), []

    # Values

    def new(self, value: Any) -> Tracer:
        """A Tracer of a value that hasn't been there."""
        self.values.append(value)
        return Tracer(self, len(self.values) - 1, value)

    def ref(self, x: Any) -> Any:
        """What stands for x in a call."""
        if isinstance(x, Tracer):
            if x.home is not self:
                raise JitError("jit: an array of an earlier trace is used, which is over")
            return Ref(x.number)
        if id(x) not in self.ids:
            self.constants[len(self.values)] = x
            self.ids[id(x)] = len(self.values)
            self.values.append(x)
        return Ref(self.ids[id(x)])

    def refs(self, x: Any) -> Any:
        return replaced(x, (Tracer, np.ndarray), self.ref)

    def leaf(self, t: Tensor) -> Tracer:
        """The Tracer of a tensor's array, which is read anew at every call."""
        if id(t) not in self.leaf_tracers:
            self.leaves.append(t)
            self.leaf_tracers[id(t)] = self.new(t._value)
        return self.leaf_tracers[id(t)]

    def stand_in(self, t: Tensor) -> Tensor:
        """A leaf of its own for one use of a tensor: what each use contributes is kept apart."""
        new = engine.wrap(self.leaf(t))
        new.requires_grad, new.label = t.requires_grad, t.label
        if t.requires_grad:
            self.uses.append((new, self.index_of(t)))
        return new

    def operand(self, x: Tensor) -> Tensor:
        """x as an operand: a stand-in for it, if it is from outside."""
        if id(x) in self.shadows:
            return self.stand_in(self.shadows[id(x)])
        if type(x._value) is Tracer:
            return x
        if id(x) in self.arguments:
            self.both.add(id(x))
        return self.stand_in(x)

    def index_of(self, t: Tensor) -> int:
        return next(i for i, x in enumerate(self.leaves) if x is t)

    # Calls

    def call(self, operation: Operation, args: tuple, options: dict, target: Any = None) -> Any:
        """Run it on the arrays, write it down, and give the result as Tracers."""
        if not self.open or threading.get_ident() != self.thread:
            raise JitError(
                "jit: an array inside a jitted function was kept, and used after it had returned "
                f"or in another thread, {told(users_frame())}"
            )
        values, values_of_options = plain(args), plain(options)
        kept_args, kept_options = self.refs(args), self.refs(options)
        result = operation.function(*values, **values_of_options)
        return self.enter(operation, kept_args, kept_options, result, target)

    def enter(self, operation, args, options, result, target=None) -> Any:
        """Write a call down that has been made."""
        if target is not None:
            numbers, out = target.number, target
        elif result is None:
            numbers, out = None, None
        elif isinstance(result, (tuple, list)):
            parts = [self.new(r) if is_array(r) else r for r in result]
            numbers = tuple(p.number if isinstance(p, Tracer) else None for p in parts)
            out = type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
        else:
            out = self.new(result)
            numbers = out.number
        now = np.geterr()
        errstate = {k: v for k, v in now.items() if v != self.errstate[k]}
        call = Call(
            operation, args, options, numbers, None if target is None else target.number,
            self.place or self.place_of_forward(), self.context, errstate, self.back,
        )  # fmt: skip
        if target is None and not fresh(operation):
            call.views = tuple((n, i) for n in call.gives for i in self.sharing(n, call.uses))
        self.calls.append(call)
        return out

    def sharing(self, n: int, uses: list[int]) -> list[int]:
        """The first place in uses of a value whose memory the value n lies in, if there is one."""
        y = self.values[n]
        for i, m in enumerate(uses):
            x = self.values[m]
            both = isinstance(x, np.ndarray) and isinstance(y, np.ndarray)
            if both and np.may_share_memory(x, y):
                return [i]
        return []

    def place_of_forward(self) -> str:
        """The module that runs, or the user's line."""
        frame = users_frame()
        if (instruction := (frame.f_code, frame.f_lasti)) not in self.instructions:
            self.instructions.add(instruction)
            self.look_at_random()  # it takes 50 us, which is much at every call
        running = recorded_for.get()
        owner = running.owner if running else None
        while owner is not None:
            module, owner, *_ = owner
            if (module := module()) is not None:
                return self.told_of(module)
        source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        return f"line {frame.f_lineno}" + (f": {source}" if source else "")

    def told_of(self, module: Any) -> str:
        """The name of a module in the model, and what it is."""
        if id(module) not in self.told:
            name = self.names.get(id(module))
            try:
                what = f"{module!r:.60}"
            except Exception:  # of a class of the user's own
                what = type(module).__name__
            self.told[id(module)] = f"{name}: {what}" if name else what
        return self.told[id(module)]

    def look_at_random(self) -> None:
        """Refuse draws that the function made itself; those in effects have been noted."""
        now = drawn_so_far()
        if now != self.random or any(state_of(g) != s for g, s in self.generators):
            self.random = now
            self.refuse("random numbers that the function draws itself: before this line, they")

    def refuse(self, what: str) -> None:
        """Raise the error that says what would be the same at every call, and where it is."""
        error = JitError(
            f"jit: {what} would be the same at every call, but depend on numbers that change: "
            f"{told(users_frame())}"
        )
        self.refused = self.refused or error
        raise error

    # What it watches

    def record(self, record, op: str, forward: Callable, operands: tuple, derivatives: tuple):
        """An operation of the function's, whose operands from outside get stand-ins."""
        if not operands:
            return record(op, forward, operands, derivatives)
        operands = tuple([self.operand(x) if isinstance(x, Tensor) else x for x in operands])
        shapes = [np.shape(x._value if isinstance(x, Tensor) else x) for x in operands]
        context = op, " and ".join(map(str, shapes))
        place, outer = self.place or self.place_of_forward(), self.context
        derivatives = tuple([placed(self, d, place) for d in derivatives])
        before, self.place, self.context = self.place, place, context
        try:
            return record(op, forward, operands, derivatives)
        finally:
            self.place, self.context = before, outer

    def data(self, t: Tensor) -> Tracer:
        """What `t.data` is: a Tracer, for a tensor from outside too."""
        if type(t._value) is Tracer:
            return t._value
        if id(t) in self.arguments:
            self.both.add(id(t))
        return self.leaf(t)

    def look_at_grad(self, t: Tensor) -> None:
        self.refuse("a gradient that is read inside of the function: it")

    def set_data(self, t: Tensor) -> None:
        self.refuse("data that is set inside of the function: it")

    def backpropagate(self, backpropagate, output, *how, **options) -> None:
        self.refuse("gradients computed inside of the function: jit its forward part alone, they")

    # What happens anew at every call

    def effect(self, function: Callable, args: tuple) -> Any:
        self.look_at_random()
        values, refs = plain(args), self.refs(args)
        result = function(*values)
        self.random = drawn_so_far()
        self.generators = [(g, state_of(g)) for g, _ in self.generators]
        out = self.enter(Operation("effect", function.__name__, function), refs, {}, result)
        self.effects.append(self.calls[-1])
        return out

    def state(self, array: np.ndarray) -> Tracer:
        for known, number in self.states:
            if known is array:
                return Tracer(self, number, array)
        tracer = self.new(array)
        self.states.append((array, tracer.number))
        return tracer


def drawn_so_far() -> tuple:
    """What changes whenever NumPy's or Python's own generator is drawn from."""
    _, key, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    return int(key[0]), int(key[1]), position, has_gauss, gauss, hash(random.getstate())


def state_of(generator: np.random.Generator) -> bytes:
    """What changes whenever it is drawn from."""
    return pickle.dumps(generator.bit_generator.state)  # a dict of numbers, or of arrays too


def is_array(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic, float, int)) and not isinstance(x, Tracer)


class Tracer:
    """An array inside a function that is being written out."""

    __slots__ = ("home", "number", "value")

    def __init__(self, trace: Trace, number: int, value: Any):
        self.home, self.number, self.value = trace, number, value

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented
        options = {k: v for k, v in options.items() if v is not np._NoValue}
        name = name_of(ufunc) + ("" if method == "__call__" else f".{method}")
        operation = Operation(
            "ufunc", name, ufunc if method == "__call__" else getattr(ufunc, method)
        )
        if method == "at":
            return self.home.call(operation, inputs, options, writable(self.home, inputs[0]))
        if out is None:
            infix = INFIX.get(ufunc) if method == "__call__" and not options else None
            if infix and not any(np.ndim(plain(x)) for x in inputs):
                operation = infix  # of numbers, as Python's operators do it
            return self.home.call(operation, inputs, options)
        if len(out) > 1:
            self.home.refuse(f"results of {name} that are written into arrays")
        target = writable(self.home, out[0])
        return self.home.call(operation, inputs, {**options, "out": target}, target)

    def __array_function__(self, function, types, args, options):
        if any(issubclass(kind, Tensor) for kind in types):
            return NotImplemented
        name = name_of(function)
        if function in STATIC:
            return function(*plain(args), **plain(options))
        if function in TEXT:
            self.home.refuse(f"what {name} writes")
        if function in DATA_SHAPED or (function is np.where and len(args) == 1):
            self.home.refuse(f"{name}: the shape of its result")
        if function is np.repeat and isinstance([*args, options.get("repeats")][1], Tracer):
            self.home.refuse(f"{name}: the shape of its result")
        operation = Operation("function", name, function)
        if function in IN_PLACE:
            return self.home.call(operation, args, options, writable(self.home, args[0]))
        if isinstance(options.get("out"), (Tracer, np.ndarray)):
            target = writable(self.home, options["out"])
            return self.home.call(operation, args, options, target)
        return self.home.call(operation, args, options)

    def __getitem__(self, key):
        for k in key if isinstance(key, tuple) else (key,):
            if isinstance(k, Tracer) and k.dtype.kind == "b":
                self.home.refuse("a mask as an index: the shape of its result")
        return self.home.call(GETITEM, (self, key), {})

    def __setitem__(self, key, value):
        for k in key if isinstance(key, tuple) else (key,):
            if isinstance(k, Tracer) and k.dtype.kind == "b" and (np.ndim(plain(value))):
                self.home.refuse("an array assigned where a mask holds")
        self.home.call(SETITEM, (self, key, value), {}, writable(self.home, self))

    def __len__(self):
        return len(self.value)

    def __iter__(self):
        return (self[i] for i in range(len(self.value)))

    def __repr__(self):
        if sys._getframe(1).f_code.co_name == "describe":
            return repr(self.value)
        return self._refuse("the text of an array, as printed,")

    def __format__(self, spec):
        return self._refuse("the text of an array, as printed,")

    def _refuse(self, what):
        self.home.refuse(what)

    def __deepcopy__(self, memo):
        return self.copy()

    def __copy__(self):
        return self.copy()

    def __reduce__(self):
        self.home.refuse("a copy outside of the function")

    def astype(self, dtype, *args, **options):
        """`astype` as an array has it; sum_to leaves numbers as they are, as it does eagerly."""
        if isinstance(self.value, np.generic) and sys._getframe(1).f_code is SUM_TO:
            return self
        return self.home.call(METHODS["astype"], (self, dtype, *args), options)


GETITEM = Operation("getitem", "getitem", operator.getitem)
SETITEM = Operation("setitem", "setitem", operator.setitem)
SUM_TO = engine.sum_to.__code__
METHODS = {
    name: Operation("method", name, operator.methodcaller)
    for name in names(
        """
        all any argmax argmin argpartition argsort astype choose clip conj conjugate copy
        cumprod cumsum diagonal dot flatten max mean min prod ravel repeat reshape round
        searchsorted squeeze std sum swapaxes take trace transpose var view fill sort
        partition put
        """
    )
}
for _name, _operation in METHODS.items():
    _operation.function = lambda x, *args, _name=_name, **options: getattr(x, _name)(
        *args, **options
    )


def _method(name: str) -> Callable:
    def call(self, *args, **options):
        writes = name in ("fill", "sort", "partition", "put")
        target = writable(self.home, self) if writes else None
        if isinstance(options.get("out"), (Tracer, np.ndarray)):
            target = writable(self.home, options["out"])
        result = self.home.call(METHODS[name], (self, *args), options, target)
        return None if writes else result

    return call


def _attribute(name: str) -> property:
    operation = Operation("attribute", name, operator.attrgetter(name))
    return property(lambda self: self.home.call(operation, (self,), {}))


def _binary(symbol: str, function: Callable, flipped: bool) -> Callable:
    operation = Operation("binary", symbol, function)

    def call(self, other):
        if isinstance(other, Tensor) or not (
            isinstance(other, (Tracer, np.ndarray, np.generic, int, float, complex))
        ):
            return NotImplemented
        return self.home.call(operation, (other, self) if flipped else (self, other), {})

    return call


def _in_place(symbol: str, ufunc: np.ufunc, function: Callable) -> Callable:
    operation = Operation("binary", symbol, function)

    def call(self, other):
        if isinstance(other, Tensor):
            return NotImplemented
        if not isinstance(self.value, np.ndarray):
            return self.home.call(operation, (self, other), {})
        return ufunc(self, other, out=writable(self.home, self))

    return call


INFIX: dict[np.ufunc, Operation] = {}
for _symbol, _name, _ufunc in (
    ("+", "add", np.add), ("-", "sub", np.subtract), ("*", "mul", np.multiply),
    ("/", "truediv", np.true_divide), ("//", "floordiv", np.floor_divide),
    ("%", "mod", np.remainder), ("**", "pow", np.power), ("@", "matmul", np.matmul),
    ("&", "and_", np.bitwise_and), ("|", "or_", np.bitwise_or), ("^", "xor", np.bitwise_xor),
    ("<<", "lshift", np.left_shift), (">>", "rshift", np.right_shift),
):  # fmt: skip
    _function, _dunder = getattr(operator, _name), _name.rstrip("_")
    setattr(Tracer, f"__{_dunder}__", _binary(_symbol, _function, False))
    setattr(Tracer, f"__r{_dunder}__", _binary(_symbol, _function, True))
    setattr(Tracer, f"__i{_dunder}__", _in_place(_symbol, _ufunc, _function))
    INFIX[_ufunc] = Operation("binary", _symbol, _function)
for _symbol, _name in (
    ("<", "lt"), ("<=", "le"), ("==", "eq"), ("!=", "ne"), (">", "gt"), (">=", "ge")
):  # fmt: skip
    setattr(Tracer, f"__{_name}__", _binary(_symbol, getattr(operator, _name), False))
for _symbol, _name in (("-", "neg"), ("+", "pos"), ("~", "invert")):
    _operation = Operation("unary", _symbol, getattr(operator, _name))
    setattr(
        Tracer, f"__{_name}__",
        lambda self, _operation=_operation: self.home.call(_operation, (self,), {}),
    )  # fmt: skip
_ABS = Operation("builtin", "abs", abs)
Tracer.__abs__ = lambda self: self.home.call(_ABS, (self,), {})
Tracer.__hash__ = object.__hash__
for _name in METHODS.keys() - {"astype"}:
    setattr(Tracer, _name, _method(_name))
for _name in ("T", "mT", "real", "imag"):
    setattr(Tracer, _name, _attribute(_name))
for _name in ("shape", "ndim", "dtype", "size", "itemsize", "nbytes", "strides", "base", "flags"):
    setattr(
        Tracer, _name,
        property(lambda self, _name=_name: getattr(
            self.value if isinstance(self.value, (np.ndarray, np.generic))
            else np.asarray(self.value), _name)),
    )  # fmt: skip
for _name, _what in {
    "__array__": "a plain array made of it", "__bool__": "the branch that a condition decides",
    "__float__": "a number made of it", "__int__": "a number made of it",
    "__index__": "an index or a length made of it", "__complex__": "a number made of it",
    "item": "its item()", "tolist": "its tolist()", "tobytes": "its bytes", "tofile": "its bytes",
    "__contains__": "the branch that a condition decides",
}.items():  # fmt: skip
    setattr(Tracer, _name, lambda self, *args, _what=_what, **options: self._refuse(_what))
KINDS.add(Tracer)


def writable(trace: Trace, target: Any) -> Tracer:
    """The target, if the function made it itself."""
    if not isinstance(target, Tracer):
        trace.refuse("numbers written into an array from outside of the function: they")
    owner = target.value
    while isinstance(getattr(owner, "base", None), np.ndarray):
        owner = owner.base
    outside = [*(x._value for x in trace.leaves), *(a for a, _ in trace.states), *trace.outside]
    for array in outside:
        if isinstance(array, np.ndarray) and np.may_share_memory(array, target.value):
            trace.refuse("numbers written into an argument or a parameter: they")
    return target


def placed(trace: Trace, derivative: Callable, place: Any) -> Callable:
    """A derivative whose calls are entered under the place of the operation itself."""

    def call(*args):
        trace.place, outer = place, trace.place
        try:
            return derivative(*args)
        finally:
            if not trace.back:  # else what sums its gradient to the operand's shape belongs to it
                trace.place = outer

    return call
