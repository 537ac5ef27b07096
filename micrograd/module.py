"""Modules: their parameters and buffers, their state and modes, and what runs inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from threading import get_ident
from types import FunctionType
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from micrograd import names
from micrograd.arrays import array_of
from micrograd.engine import Tensor, no_grad
from micrograd.protocol import made_of_data
from micrograd.recording import Running, recorded_for

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from micrograd.interop import Door

__all__ = [
    "Module", "fitting", "name_of", "noted", "owner_of", "summary", "trace", "where_made",
    "where_used",
]  # fmt: skip


class Module:
    """The base of everything with parameters.

    A subclass assigns Tensors and Modules to its attributes (or puts them in lists, tuples and
    dicts there), and defines `__call__`, or `forward` as in PyTorch.

    A Tensor made of data is a parameter, wherever it stands. With `requires_grad=False` it is a
    frozen one, which belongs to the state and which `backward` leaves alone; it may be set at any
    time. A module or Tensor that stands in two places is shared, and has the gradients of both. A
    constant is an array: one that belongs to the state, such as a running mean, is an attribute
    named in the class's `buffers`; any other is not saved. Results of operations are no parameters.

    While a module runs, it owns what is computed: see `where_made`.
    """

    buffers: tuple[str, ...] = ()
    training = True

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "forward" in vars(cls) and "__call__" not in vars(cls):
            cls.__call__ = Module.__call__  # not that of a class in between
        if not hasattr(cls.__call__, "is_noted"):  # its own, or one of a class that is no Module
            cls.__call__ = _noted(cls.__call__)
        init, inherited = cls.__init__, "__init__" not in vars(cls)
        if inherited and isinstance(init, FunctionType) and init.__qualname__.startswith("_"):
            init = cls.__init__ = _named_after(cls, init)
        # a class of the user's own has arguments of its own, whose errors are left alone
        ours = cls.__module__.startswith(f"{__package__}.") and not cls.__name__.startswith("_")
        if ours and "__init__" in vars(cls):
            cls.__init__ = names.explaining(init)

    def __call__(self, *args: Any, **options: Any) -> Any:
        if not hasattr(self, "forward"):
            raise NotImplementedError(f"{type(self).__name__} defines no __call__")
        return self.forward(*args, **options)

    if not TYPE_CHECKING:  # else every name would be right to a type checker

        def __getattr__(self, name: str):
            raise names.missing(type(self).__name__, name, names.MODULE, self)

    def named_modules(self) -> dict[str, Module]:
        """This module and those inside it by their dotted names, in the order of definition."""
        return {_dotted(path): m for path, m in _walk(self) if isinstance(m, Module)}

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """Pairs of a dotted name and a parameter: leaf Tensors, each once, as defined.

        Raises:
            ValueError: two have one name, such as {"a.b": t} and {"a": {"b": u}}.
        """
        named = [(_dotted(path), t) for path, t in _walk(self) if _is_parameter(t)]
        if len(dict(named)) < len(named):
            raise ValueError(f"two parameters of {type(self).__name__} have one dotted name")
        return named

    def parameters(self) -> list[Tensor]:
        """The parameters, each once, in the order of definition."""
        return [t for _, t in _walk(self) if _is_parameter(t)]

    @names.explaining
    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> Module:
        """Put this module and those inside it into training mode (dropout, batch statistics)."""
        for module in self.named_modules().values():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Put this module and those inside it into evaluation mode."""
        return self.train(False)

    def astype(self, dtype: DTypeLike) -> Module:
        """Turn parameters and buffers into this floating dtype; gradients are dropped.

        Make the optimizer afterwards: it keeps its state in the dtype of its parameters.
        """
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"astype: expected a floating dtype, got {np.dtype(dtype)}")
        for p in self.parameters():
            p.data, p.grad = p.data.astype(dtype), None
        for module in self.named_modules().values():
            for name in module.buffers:
                setattr(module, name, getattr(module, name).astype(dtype))
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers by their dotted names."""
        return {name: array.copy() for name, array in self._state().items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> None:
        """Take over parameters and buffers from a state of the same names, shapes and dtypes.

        Args:
            state: arrays by dotted name, as from `state_dict`.
            strict: also refuse a state that lacks names or has more of them.

        Raises:
            ValueError: something doesn't fit. Every misfit is listed, and nothing was changed.
        """
        mine = self._state()
        state = fitting(state, mine, strict)
        for name, array in mine.items():
            array[...] = state[name]
        for p in self.parameters():
            p.data = p.data  # which says that it was written to

    def torch_modules(self, door: Door) -> list:
        """PyTorch's modules that, one after the other, compute the same: `to_torch` asks for them.

        A module of your own may have this in addition to `__call__`:

            def torch_modules(self, door):
                scale = door.nn.Linear(1, 1, bias=False)
                return [door.filled(scale, weight=self.scale), *door.convert(self.inner)]

        Args:
            door: has `nn`, which is `torch.nn`; `filled` to put weights in; `convert` for modules
                and activations inside this one.

        Raises:
            TypeError: there is no counterpart in PyTorch.
        """
        raise TypeError(
            f"to_torch: {type(self).__name__} has no counterpart in PyTorch, and no torch_modules"
        )

    def heading(self) -> str:
        """How `summary` shows a module that has no others inside."""
        return repr(self)

    def _state(self) -> dict[str, np.ndarray]:
        """The arrays of parameters and buffers themselves."""
        state = {name: p.data for name, p in self.named_parameters()}
        for path, module in self.named_modules().items():
            for name in module.buffers:
                state[f"{path}.{name}".lstrip(".")] = getattr(module, name)
        return state


def _is_parameter(x: Module | Tensor) -> bool:
    """A leaf; of the results computed without history, those made to require a gradient."""
    return isinstance(x, Tensor) and made_of_data(x)


def owner_of(name: str, modules: Mapping[str, Module]) -> str:
    """The name of the module that a parameter of this dotted name belongs to."""
    owner = name.rpartition(".")[0]
    while owner not in modules:  # a list inside a module is none
        owner = owner.rpartition(".")[0]
    return owner


def fitting(
    state: Mapping[str, ArrayLike], mine: Mapping[str, np.ndarray], strict: bool
) -> dict[str, np.ndarray]:
    """The arrays of state by name, those of mine where it has none; an error if any doesn't fit."""
    state = {name: array_of(f"load_state_dict: {name}", x) for name, x in state.items()}
    misfits = []
    if strict:
        misfits += [f"{name}: missing" for name in mine if name not in state]
        misfits += [f"{name}: unknown" for name in state if name not in mine]
    state = {name: state.get(name, array) for name, array in mine.items()}
    for name, array in mine.items():
        given = state[name]
        if given.shape != array.shape or native(given.dtype) != native(array.dtype):
            expected = f"expected {array.dtype} {array.shape}"
            misfits.append(f"{name}: {given.dtype} {given.shape}, {expected}")
    if misfits:
        raise ValueError("load_state_dict: " + "; ".join(misfits))
    return {name: array.copy() for name, array in state.items()}  # some may be mine, exchanged


def native(dtype: np.dtype) -> np.dtype:
    """The dtype in the machine's order of bytes."""
    return dtype.newbyteorder("=")


_HOLDERS = (Tensor, Module, list, tuple, dict)  # what is, or may hold, a part of a module


def _walk(module: Module) -> Iterator[tuple[tuple, Module | Tensor]]:
    """The Modules and Tensors in a module and itself, each once: its path and the object.

    A path is () or a pair of the path of what holds the object and its name or number in there.
    Depth first, in the order of definition. No recursion, for modules may be nested deeply, and
    lists may hold themselves.
    """
    seen, todo = set(), [((), module)]
    while todo:
        path, x = todo.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, Tensor):
            yield path, x
            continue
        if isinstance(x, Module):
            yield path, x
            x = vars(x)
        items = x.items() if isinstance(x, dict) else enumerate(x)
        todo += [((path, key), y) for key, y in items if isinstance(y, _HOLDERS)][::-1]


def _dotted(path: tuple) -> str:
    """The path as a name: "layers.0.weights"."""
    keys = []
    while path:
        path, key = path
        keys.append(str(key))
    return ".".join(reversed(keys))


def name_of(f: object) -> str:
    """How a layer or an activation is shown."""
    return f if isinstance(f, str) else getattr(f, "__name__", repr(f))


def _named_after(kind: type, init: Callable) -> Callable:
    """A copy of the `__init__` of a private base, whose errors name the class that people know."""
    copy = FunctionType(init.__code__, init.__globals__, closure=init.__closure__)
    copy.__defaults__, copy.__kwdefaults__ = init.__defaults__, init.__kwdefaults__
    copy.__annotations__, copy.__doc__ = init.__annotations__, init.__doc__
    copy.__name__, copy.__qualname__ = "__init__", f"{kind.__qualname__}.__init__"
    return copy


# What runs inside a model


def _noted(method: Callable) -> Callable:
    """A `__call__` that says what runs: to results, as their `owner`, and to every `trace`.

    An owner is a tuple: a weak reference to the module, the owner around this call or None, and
    the ids of the arguments. It keeps nothing alive: the module may hold a result that knows it.
    """

    @wraps(method)
    def call(self, *args, **options):
        running = recorded_for.get()
        if running:  # else nothing is recorded
            if running.thread != get_ident():
                running = Running(get_ident())
                recorded_for.set(running)
            outer = running.owner
            if len(args) == 1 and not options:  # as most; it takes half the time of the general way
                running.owner = (ref(self), outer, id(args[0]))
            else:
                running.owner = (ref(self), outer, *map(id, (*args, *options.values())))
        try:
            y = method(self, *args, **options)
        finally:
            if running:
                running.owner = outer
        for note in _traces:
            if type(self).__call__ is call:  # super().__call__(x) is a part of it
                note(self, y)
        return y

    call.is_noted = True
    return call


def where_made(x: Tensor, names: Mapping[int, str]) -> str:
    """The name of the innermost module that ran when a result was made, "" for none.

    Args:
        x: a result with history.
        names: the names of the modules to find it among, by their ids.
    """
    return _innermost(x.owner, names)


def where_used(x: object, y: Tensor, names: Mapping[int, str]) -> str:
    """The name of the innermost module that x, an operand of y, did not come into as an argument.

    Args:
        x: an array or a Tensor, of which nobody recorded where it was made.
        y: a result that x was used for.
        names: as for `where_made`.
    """
    owner = y.owner
    while owner is not None and id(x) in owner[2:]:
        owner = owner[1]
    return _innermost(owner, names)


def _innermost(owner: tuple | None, names: Mapping[int, str]) -> str:
    """The name of the first module of these calls, from the inside out, that has one."""
    while owner is not None:
        module, owner, *_ = owner
        if id(module()) in names:
            return names[id(module())]
    return ""


_traces: list[Callable] = []  # functions of a module and what it gave, one for each open `trace`


@contextmanager
def noted(note: Callable[[Module], object]) -> Iterator[None]:
    """Call note with every module that runs in this thread, until the end of the block."""
    thread = get_ident()

    def of_this_thread(module: Module, _: object) -> None:
        if get_ident() == thread:
            note(module)

    _traces.append(of_this_thread)
    try:
        yield
    finally:
        _traces.remove(of_this_thread)


@contextmanager
def trace(model: Module) -> Iterator[list[tuple[str, Any]]]:
    """Watch what the modules in a model give, in this thread and until the end of the block.

        with trace(model) as given:
            model(x)
        for name, y in given:
            print(name, y.shape, y.data.std())

    The list has the dotted name and the output of every module that runs, in the order in which
    they end; the model itself has the name "".
    """
    names = {id(m): name for name, m in model.named_modules().items()}
    thread, given = get_ident(), []

    def note(module: Module, y: object) -> None:
        if id(module) in names and get_ident() == thread:
            given.append((names[id(module)], y))

    _traces.append(note)
    try:
        yield given
    finally:
        _traces.remove(note)


def summary(model: Module, input_shape: int | Sequence[int], dtype: DTypeLike = np.float64) -> str:
    """A table of the modules in a model: what each is, the shape it gives, its own parameters.

    The shapes are those of a run on zeros, in evaluation mode and without gradients; afterwards
    training flags and buffers are what they were. A module that is used twice stands there once,
    with the shape it gave last.

    Args:
        model: the model.
        input_shape: the shape of an input, with its batch: (1, 784), or (1, 3, 32, 32).
        dtype: of the input; an integer one for a model that starts with an `Embedding`.
    """
    modules = model.named_modules()
    modes = [(m, m.training) for m in modules.values()]
    buffers = [(m, name, getattr(m, name)) for m in modules.values() for name in m.buffers]
    copies = [array.copy() for _, _, array in buffers]
    x = np.zeros(input_shape, dtype)
    if x.dtype.kind == "f":
        x = Tensor(x, requires_grad=False)
    try:
        with no_grad(), trace(model) as given:
            model.eval()(x)
    finally:
        for m, mode in modes:
            m.training = mode
        for (m, name, array), copy in zip(buffers, copies):
            array[...] = copy
            setattr(m, name, array)
    shapes = {name: getattr(y, "shape", type(y).__name__) for name, y in given}
    owned = dict.fromkeys(modules, 0)
    for name, p in model.named_parameters():
        owned[owner_of(name, modules)] += p.size
    rows = [("layer", "output shape", "parameters")]
    for name, m in modules.items():
        plain = len(m.named_modules()) > 1 or type(m).__repr__ is object.__repr__
        what = type(m).__name__ if plain else m.heading()
        rows.append(
            (f"{name}  {what}".strip(), str(shapes.get(name, "not run")), f"{owned[name]:,}")
        )
    rows.append(("total", "", f"{sum(owned.values()):,}"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        f"{what:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}"
        for what, shape, count in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
