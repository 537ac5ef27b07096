"""A list of calls as the source of a Python function: rewritten where that is exact, then written.

The passes, in their order: `means_as_sums`, `constants_once`, `without_ones`, `equal_once`,
`without_dead`. Writing puts results into buffers that are used again (`Writer.buffer_for`), takes
views of buffers once (`Writer.in_memory`), and makes 0-d arrays of Python's numbers (`zero_d`).
Nothing here changes a single bit of a result.
"""

from __future__ import annotations

import builtins
import copy
import keyword
import math
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from micrograd.tracing import Call, Operation, Ref, Trace, replaced

UFUNCS = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "//": np.floor_divide,
    "%": np.remainder, "@": np.matmul, "<": np.less, "<=": np.less_equal, "==": np.equal,
    "!=": np.not_equal, ">": np.greater, ">=": np.greater_equal, "&": np.bitwise_and,
    "|": np.bitwise_or, "^": np.bitwise_xor,
}  # fmt: skip
REDUCTIONS = {"sum": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}
LARGE = 1 << 14  # elements; a name that nobody needs would keep their memory to the end
SHAPED = r"\.reshape\((?:-1|(\([^()]*\)))\)"  # the layout of an array that is a block as it comes


class Listing:
    """Calls, the values in them, and what each value's memory is.

    Args:
        trace: has the values and the constants.
        calls: those of the way forward, then those of the way back.
        results: the numbers of what leaves the program.
        constants: more values that are the same at every call: {number: array}.
    """

    def __init__(
        self,
        trace: Trace,
        calls: Iterable[Call],
        results: list[int],
        constants: dict[int, Any] | None = None,
    ):
        self.values = list(trace.values)
        self.calls, self.results = list(calls), list(results)
        self.constants = {**trace.constants, **(constants or {})}
        self.made: list[Call] = []  # the calls that give constants
        in_effects = {n for c in self.calls if c.operation.kind == "effect" for n in c.uses}
        self.moving = {n for n in in_effects if n in self.constants}  # an effect may write to them
        self.find_memory()

    def find_memory(self) -> None:
        """For each value whose memory it lies in, and which memory is written to."""
        self.root = list(range(len(self.values)))
        for call in self.calls:
            for n, i in call.views:
                self.root[n] = self.root[call.uses[i]]
        self.written = {self.root[c.target] for c in self.calls if c.target is not None}
        self.written |= {self.root[n] for n in self.moving}

    def steady(self, call: Call) -> bool:
        """Whether a call is one of a function, on memory that nothing writes to."""
        if call.target is not None or call.operation.kind == "effect" or not call.gives:
            return False
        return not any(self.root[n] in self.written for n in [*call.uses, *call.gives])

    def let_go(self) -> None:
        """Keep of large arrays what can be seen from outside: they have no memory any more."""
        for n in {n for c in self.calls for n in (*c.uses, *c.gives)} - self.constants.keys():
            x = self.values[n]
            if isinstance(x, np.ndarray) and x.size > 64:
                one = np.empty(1, x.dtype)
                self.values[n] = np.lib.stride_tricks.as_strided(one, x.shape, x.strides)

    def rename(self, new: dict[int, int]) -> None:
        """Let other values take the places of some."""
        if not new:
            return

        def ref(r: Ref) -> Ref:
            return Ref(new[r.number]) if r.number in new else r

        for i, c in enumerate(self.calls):
            if any(n in new for n in c.uses):
                args, options = replaced(c.args, Ref, ref), replaced(c.options, Ref, ref)
                self.calls[i] = Call(
                    c.operation, args, options, c.results, c.target, c.place, c.context, c.errstate,
                    c.back, c.views,
                )  # fmt: skip
        self.results = [new.get(n, n) for n in self.results]
        self.find_memory()


# Passes


def means_as_sums(trace: Trace, calls: list[Call]) -> list[Call]:
    """A mean is the sum over the number of elements, as `ndarray.mean` itself computes it."""
    new = []
    for c in calls:
        x = trace.values[c.args[0].number] if c.args and isinstance(c.args[0], Ref) else None
        if not (
            c.operation.kind == "method" and c.operation.name == "mean" and len(c.args) <= 2
            and c.options.keys() <= {"axis", "keepdims"} and isinstance(x, np.ndarray)
            and x.dtype in (np.float32, np.float64) and x.size
        ):  # fmt: skip
            new.append(c)
            continue
        y = trace.values[c.results]
        count = x.size // np.size(y)
        names = dict(zip(("axis",), c.args[1:]), **c.options)
        total = trace.new(y.copy()).number
        rest = c.target, c.place, c.context, c.errstate, c.back
        new.append(Call(Operation("method", "sum", np.sum), c.args[:1], names, total, *rest))
        args = Ref(total), count if np.ndim(y) else y.dtype.type(count)
        new.append(Call(Operation("binary", "/", np.true_divide), args, {}, c.results, *rest))
    return new


def constants_once(listing: Listing) -> None:
    """A call on constants alone is made once, before the program."""
    calls = []
    for c in listing.calls:
        known = all(n in listing.constants and n not in listing.moving for n in c.uses)
        single = isinstance(c.results, int)
        if single and known and listing.steady(c) and not c.errstate:
            listing.constants[c.results] = listing.values[c.results]
            listing.made.append(c)
        else:
            calls.append(c)
    listing.calls = calls


def is_one(x: Any) -> bool:
    """Whether x is a number or an array of ones."""
    if isinstance(x, (np.ndarray, np.generic)):
        return x.dtype.kind in "fiub" and x.size > 0 and bool((x == 1).all())
    return type(x) in (int, float) and x == 1


def without_ones(listing: Listing) -> None:
    """A product with ones, or a quotient by them, is what it is made of."""
    new: dict[int, int] = {}
    calls = []
    for c in listing.calls:
        name = {np.multiply: "*", np.true_divide: "/"}.get(c.operation.function, c.operation.name)
        kept = True
        if name in ("*", "/") and len(c.args) == 2 and not c.options and listing.steady(c):
            for i, other in ((0, 1), (1, 0)) if name == "*" else ((0, 1),):
                x, one = c.args[i], c.args[other]
                if not isinstance(x, Ref):
                    continue
                fixed = listing.constants.get(one.number) if isinstance(one, Ref) else one
                value, y = listing.values[new.get(x.number, x.number)], listing.values[c.results]
                if fixed is not None and is_one(fixed) and same_layout(value, y):
                    new[c.results] = new.get(x.number, x.number)
                    kept = False
                    break
        if kept:
            calls.append(c)
    listing.calls = calls
    listing.rename(new)


def same_layout(a: Any, b: Any) -> bool:
    """Whether two values are alike but for their numbers, in memory too."""
    return type(a) is type(b) and kind_of(a) == kind_of(b)


def kind_of(x: Any) -> tuple:
    """Type, dtype, shape and layout of an array or a number."""
    if isinstance(x, np.ndarray):
        return np.ndarray, x.dtype, x.shape, x.strides
    return type(x), getattr(x, "dtype", None), (), ()


def equal_once(listing: Listing, ready: set[int] | None = None) -> None:
    """Of equal calls on equal values the first is made, and stands for the others.

    Args:
        listing: the calls.
        ready: of the values of the way forward those that the way back may have; None: any.
    """
    seen: dict[Any, tuple[int, bool]] = {}
    new: dict[int, int] = {}
    calls = []
    for c in listing.calls:
        if isinstance(c.results, int) and listing.steady(c) and c.operation.name != "copy":
            key = c.operation.kind, c.operation.name, key_of((c.args, c.options, c.errstate), new)
            first = seen.get(key)
            if first is not None and (ready is None or not c.back or first[1] or first[0] in ready):
                new[c.results] = first[0]
                continue
            seen[key] = c.results, c.back
        calls.append(c)
    listing.calls = calls
    listing.rename(new)


def key_of(x: Any, new: dict[int, int]) -> Any:
    """What is the same for equal arguments, and can be looked up; new: of values, which are one."""
    if isinstance(x, Ref):
        return Ref, new.get(x.number, x.number)
    if isinstance(x, (tuple, list)):
        return (type(x), *[key_of(y, new) for y in x])
    if isinstance(x, dict):
        return (dict, *[(k, key_of(v, new)) for k, v in x.items()])
    simple = x is None or isinstance(x, (bool, int, float, str, slice, np.generic, np.dtype, type))
    return type(x), repr(x) if simple or x is ... else id(x)


def without_dead(listing: Listing) -> None:
    """A call that no result needs is dropped; one that has an effect stays."""
    live = {listing.root[n] for n in listing.results}
    calls = []
    for c in reversed(listing.calls):
        gives = {listing.root[n] for n in c.gives} | (
            {listing.root[c.target]} if c.target is not None else set()
        )
        if c.operation.kind == "effect" or gives & live:
            calls.append(c)
            live |= {listing.root[n] for n in c.uses}
    listing.calls = calls[::-1]


# Writing


class Memory:
    """Blocks of buffers, and which are free."""

    def __init__(self):
        self.free: dict[tuple, list[int]] = {}
        self.blocks: list[tuple] = []

    def take(self, kind: tuple) -> tuple[int, bool]:
        """The number of a free block of this dtype and size, and whether it is a new one."""
        if self.free.get(kind):
            return self.free[kind].pop(), False
        self.blocks.append(kind)
        return len(self.blocks) - 1, True

    def give(self, block: int) -> None:
        self.free.setdefault(self.blocks[block], []).append(block)


class Writer:
    """Calls as lines of Python.

    Args:
        listing: the calls, once the passes have been over them.
        inputs: numbers of what the program is given.
        leaving: numbers of what leaves the program, for which no buffers are used.
        wishes: names for arrays of the function's own, by their ids.
    """

    def __init__(
        self,
        listing: Listing,
        inputs: Iterable[int],
        leaving: Iterable[int],
        wishes: dict[int, str],
    ):
        self.listing, self.inputs, self.wishes = listing, set(inputs), wishes
        self.names: dict[int, str] = {}
        self.leaving = {listing.root[n] for n in leaving}
        self.taken = {"np", "memory", "kept", "forward", "backward", *dir(builtins)}
        self.count: Counter[str] = Counter()  # of names that differ in a number alone
        self.known: dict[str, str] = {}  # what the header makes: its name
        self.namespace: dict[str, Any] = {}
        self.header: list[str] = []  # what is made once, for all
        self.outside: dict[str, tuple[str, Any]] = {}  # lines of it: the name, what it stands for
        self.memory = Memory()
        self.fixed: set[int] = set()  # what is the same memory at every call
        self.buffer_of: dict[int, int] = {}  # root: block
        self.over: dict[int, int] = {}  # what leaves: the operand in whose memory it is made
        self.objects: dict[int, str] = {}
        self.kept_alive: list[Any] = []

    def for_back(self, listing: Listing, leaving: Iterable[int]) -> Writer:
        """A writer that goes on where this one has ended, with a way back of its own."""
        new = copy.copy(self)
        new.listing, new.leaving = listing, {listing.root[n] for n in leaving}
        new.names, new.fixed, new.over = dict(self.names), set(self.fixed), {}
        new.buffer_of, new.memory = dict(self.buffer_of), copy.deepcopy(self.memory)
        return new

    # Names

    def fresh_name(self, wish: str) -> str:
        wish = re.sub(r"\W+", "_", wish).strip("_") or "v"
        if keyword.iskeyword(wish) or wish[0].isdigit():
            wish = f"v_{wish}"
        name = wish
        while name in self.taken:
            self.count[wish] += 1
            name = f"{wish}_{self.count[wish] + 1}"
        self.taken.add(name)
        return name

    def name(self, n: int, wish: str = "") -> str:
        """The name of a value; a constant is written into the header first."""
        if n not in self.names:
            if n in self.listing.constants:
                return self.constant(n)
            self.names[n] = self.fresh_name(wish or "v")
        return self.names[n]

    def constant(self, n: int) -> str:
        value = self.listing.constants[n]
        made = next((c for c in self.listing.made if c.results == n), None)
        if made is not None:
            name = self.once(self.expression(made), wish_of(made))
        else:
            name = self.fresh_name(self.wishes.get(id(value), "array"))
            if value.size > 64 or value.dtype.kind not in "fiub" or n in self.listing.moving:
                self.add_outside(
                    f"# {name}: {value.dtype} {value.shape}, of your function", name, value
                )
            else:
                self.header.append(f"{name} = {self.text(value)}")
                self.namespace[name] = value
        self.fixed.add(n)
        self.names[n] = name
        return name

    def once(self, expression: str, wish: str) -> str:
        """The name of what the header computes, once."""
        if expression not in self.known:
            name = self.known[expression] = self.fresh_name(wish)
            self.header.append(f"{name} = {expression}")
        return self.known[expression]

    def zero_d(self, x: Any, dtype: np.dtype) -> str:
        """The name of a 0-d array of a Python number, which NumPy takes faster."""
        name = re.sub(r"[^\w]", "_", f"n{x!r}".replace("-", "minus_")) + f"_{dtype.name[-2:]}"
        if name not in self.namespace:
            self.namespace[name] = np.array(x, dtype)
            self.taken.add(name)
            self.header.append(f"{name} = np.array({self.text(x)}, np.{dtype.name})")
        return name

    def object_name(self, x: Any, wish: str) -> str:
        if id(x) not in self.objects:
            self.kept_alive.append(x)
            name = self.objects[id(x)] = self.fresh_name(wish)
            module = sys.modules.get(getattr(x, "__module__", None) or "")
            mine = getattr(x, "__name__", "")
            owner = getattr(x, "__self__", None)
            if module is not None and getattr(module, mine, None) is x:
                line = f"from {x.__module__} import {mine} as {name}"
            elif isinstance(owner, np.random.RandomState):
                line = f"{name} = np.random.{x.__name__}"
            elif isinstance(owner, np.random.Generator):
                line = f"{name} = np.random.default_rng().{x.__name__}  # of your generator"
            else:
                line = f"# {name}: {x!r:.60}, of your function"
            self.add_outside(line, name, x)
        return self.objects[id(x)]

    def add_outside(self, line: str, name: str, x: Any) -> None:
        """Add a line about an object of the user's or of micrograd's to the header."""
        self.header.append(line)
        self.outside[line] = name, x
        self.namespace[name] = x

    # Expressions

    def text(self, x: Any) -> str:
        """An argument as it is written."""
        if isinstance(x, Ref):
            return self.name(x.number)
        if isinstance(x, tuple):
            return f"({', '.join(map(self.text, x))}{',' if len(x) == 1 else ''})"
        if isinstance(x, list):
            return f"[{', '.join(map(self.text, x))}]"
        if isinstance(x, slice):
            return f"slice({self.text(x.start)}, {self.text(x.stop)}, {self.text(x.step)})"
        if x is np._NoValue:
            return "np._NoValue"
        if isinstance(x, np.ndarray):
            numbers = np.array2string(x, separator=", ", threshold=sys.maxsize, floatmode="unique")
            numbers = re.sub(r"\b(nan|inf)\b", r"np.\1", " ".join(numbers.split()))
            return f"np.array({numbers}, np.{x.dtype.name}).reshape({x.shape})"
        if isinstance(x, np.generic):
            return self.once(re.sub(r"\b(nan|inf)\b", r"np.\1", repr(x)), f"{x.dtype}_{x}")
        if type(x) is float:
            return re.sub(r"\b(nan|inf)\b", r"np.\1", repr(x))
        if x is None or x is ... or type(x) in (bool, int, str):
            return "..." if x is ... else repr(x)
        if isinstance(x, np.dtype) and x.isbuiltin:
            return self.once(f'np.dtype("{x.name}")', x.name)
        if isinstance(x, type) and (issubclass(x, np.generic) or x in (bool, int, float)):
            return f"np.{x.__name__}" if issubclass(x, np.generic) else x.__name__
        return self.object_name(x, getattr(x, "__name__", type(x).__name__))

    def key(self, x: Any) -> str:
        """An index as it is written between brackets."""
        if isinstance(x, slice):
            parts = ["" if p is None else self.text(p) for p in (x.start, x.stop)]
            return ":".join([*parts, *([] if x.step is None else [self.text(x.step)])])
        if type(x) is tuple and x:
            return ", ".join(map(self.key, x)) + ("," if len(x) == 1 else "")
        return self.text(x)

    def expression(self, call: Call) -> str:
        """A call as it stands, without a buffer."""
        o, args = call.operation, call.args
        options = [f"{k}={self.text(v)}" for k, v in call.options.items()]
        if o.kind == "binary":
            return f"{self.operand(args[0])} {o.name} {self.operand(args[1])}"
        if o.kind == "unary":
            return f"{o.name}{self.text(args[0])}"
        if o.kind == "getitem":
            return f"{self.text(args[0])}[{self.key(args[1])}]"
        if o.kind == "setitem":
            return f"{self.text(args[0])}[{self.key(args[1])}] = {self.text(args[2])}"
        if o.kind == "attribute":
            return f"{self.text(args[0])}.{o.name}"
        if o.kind == "method":
            words = ", ".join([*map(self.text, args[1:]), *options])
            return f"{self.text(args[0])}.{o.name}({words})"
        words = ", ".join([*map(self.text, args), *options])
        if o.kind == "effect":
            return f"{self.object_name(o.function, o.name)}({words})"
        return f"{o.name}({words})"

    def operand(self, x: Any) -> str:
        """A negative number in parentheses, for the sake of `**`."""
        return f"({self.text(x)})" if type(x) in (int, float) and x < 0 else self.text(x)

    def into(self, call: Call) -> tuple[str, list[str], np.ufunc] | None:
        """A call that can be given memory for its result, as its function and its arguments."""
        o, args, options = call.operation, call.args, call.options
        values = self.listing.values
        y = values[call.results]
        ufunc = None
        if o.kind == "binary" and o.name in UFUNCS:
            ufunc = UFUNCS[o.name]
        elif o.kind == "binary" and o.name == "**" and type(args[1]) in (int, float):
            if args[1] != 2 or y.dtype.kind != "f":
                return None
            ufunc, args = np.square, args[:1]
        elif o.kind == "unary" and o.name in "-~":
            ufunc = np.negative if o.name == "-" else np.invert
        elif o.kind == "builtin":
            ufunc = np.absolute
        elif o.kind == "ufunc" and isinstance(o.function, np.ufunc) and o.function.nout == 1:
            ufunc = o.function
        elif o.kind == "ufunc" and o.name.endswith(".reduce") and "out" not in options:
            words = [*map(self.text, args), *(f"{k}={self.text(v)}" for k, v in options.items())]
            return o.name, words, None
        elif o.kind == "method" and o.name in REDUCTIONS and options.keys() <= {"axis", "keepdims"}:
            given = dict(zip(("axis", "keepdims"), args[1:])) if len(args) <= 2 else None
            if given is None:
                return None
            given |= options
            words = [self.text(args[0]), f"axis={self.text(given.get('axis'))}"]
            if given.get("keepdims"):
                words.append("keepdims=True")
            return f"np.{REDUCTIONS[o.name].__name__}.reduce", words, None
        if ufunc is None or (options and o.kind != "binary"):
            return None
        operands = [values[x.number] if isinstance(x, Ref) else x for x in args]
        if any(isinstance(x, (list, tuple)) for x in operands):
            return None
        arrays = [x for x in operands if isinstance(x, np.ndarray)]
        if not arrays:
            return None
        words = []
        for x in args:
            number = type(x) in (int, float) and arrays[0].dtype.kind == "f"
            alike = all(a.dtype == arrays[0].dtype for a in arrays)
            in_range = number and (not math.isfinite(x) or abs(x) < 1e4)
            if alike and in_range and arrays[0].dtype in (np.float32, np.float64):
                words.append(self.zero_d(x, arrays[0].dtype))
            else:
                words.append(self.text(x))
        return f"np.{ufunc.__name__}", words, ufunc

    # Lines

    def write(self, calls: list[Call], last: dict[int, int], start: int, pinned: set[int]):
        """The lines of some calls, and those of the memory that they need.

        Args:
            calls: in their order.
            last: {root: the number of the last call that needs it}.
            start: the number of the first call.
            pinned: roots whose memory isn't used again.
        """
        listing, lines, new_names = self.listing, [], []
        memory: dict[int, dict[str, Any]] = {}  # of each block what is made of it, by layout
        views = []  # of what is always in the same memory
        values, root = listing.values, listing.root
        place, errors = None, {}
        large: dict[int, list[str]] = {}  # names of large arrays in memory of their own, by root
        self.leave_in_place(calls, last, start)
        for i, c in enumerate(calls, start):
            dying = {root[n] for n in [*c.uses, *c.gives] if last.get(root[n], -1) <= i}
            dying -= pinned | {n for n in dying if n not in self.buffer_of}
            y = values[c.results] if isinstance(c.results, int) else None
            line, where = None, lines
            wish = wish_of(c)
            is_view = (
                c.target is None and isinstance(c.results, int) and root[c.results] != c.results
            )
            if c.target is not None:
                line = self.expression(c)
            elif (
                is_view
                and all(n in self.fixed for n in c.uses)
                and (c.operation.kind in ("method", "attribute", "getitem", "function"))
            ):
                line = f"{self.name(c.results, wish)} = {self.expression(c)}"  # once
                self.fixed.add(c.results)
                new_names.append(self.names[c.results])
                where = views
            elif (
                isinstance(y, np.ndarray)
                and y.ndim
                and y.size
                and root[c.results] == c.results
                and c.results not in self.leaving
                and not c.errstate.get("out")
                and (layout := layout_of(y))
                and (into := self.into(c))
            ):
                function, words, ufunc = into
                if ufunc is not None and ufunc.signature is None:
                    self.reuse(c, y, dying)
                name = self.buffer_for(c.results, y, layout, wish, memory, new_names)
                by_place = ufunc is not None and ufunc not in (np.maximum, np.minimum)
                out = name if by_place else f"out={name}"
                line = f"{function}({', '.join([*words, out])})"
            else:
                names = c.results
                if isinstance(names, tuple):
                    given = ", ".join("_" if n is None else self.name(n, wish) for n in names)
                    line = f"{given}{',' if len(names) == 1 else ''} = {self.expression(c)}"
                elif names is None:
                    line = self.expression(c)
                elif root[names] in self.leaving and (into := self.into(c)) and np.ndim(y):
                    over = [f"out={self.name(self.over[names])}"] if names in self.over else []
                    line = f"{self.name(names, wish)} = {into[0]}({', '.join([*into[1], *over])})"
                elif c.operation.name in REDUCTIONS and np.size(y) and (into := self.into(c)):
                    line = f"{self.name(names, wish)} = {into[0]}({', '.join(into[1])})"
                else:
                    line = f"{self.name(names, wish)} = {self.expression(c)}"
            if where is lines:
                if c.place != place:
                    place = c.place
                    lines.append(f"# {place}")
                if c.errstate:
                    told = ", ".join(f"{k}={v!r}" for k, v in c.errstate.items())
                    lines.append(f"with np.errstate({told}):")
                    line = "    " + line
                shape = np.shape(y) if isinstance(y, np.ndarray) else ()
                errors[len(lines)] = c.context
                lines.append(line + (f"  # {shape}" if shape else ""))
            else:
                views.append(line)
            for r in dying:
                if r in self.buffer_of:
                    self.memory.give(self.buffer_of.pop(r))
            if where is lines and c.target is None:
                for n in c.gives:
                    own = n not in self.fixed and root[n] not in self.inputs
                    if own and np.size(values[root[n]]) >= LARGE:
                        large.setdefault(root[n], []).append(self.names[n])
            gone = {root[n] for n in (*c.uses, *c.gives) if last.get(root[n], -1) <= i}
            names = [x for r in sorted(gone & large.keys()) for x in large.pop(r)]
            if names and c is not calls[-1]:
                lines.append(f"del {', '.join(names)}")
        return lines, [*self.memory_lines(memory), *views], new_names, errors

    def leave_in_place(self, calls: list[Call], last: dict[int, int], start: int) -> None:
        """Let what leaves be computed in the memory of an operand that dies there.

        The operand is then made in new memory too, for it is that which leaves.
        """
        values, root = self.listing.values, self.listing.root
        made = {
            c.results: c for c in calls if isinstance(c.results, int) and elementwise(c, values)
        }
        users = Counter(n for c in calls for n in c.uses)
        viewed = {root[m] for c in calls for m in c.gives if root[m] != m}
        for i in range(len(calls) - 1, -1, -1):
            c = calls[i]
            if (
                c.results not in made
                or c.results not in self.leaving
                or root[c.results] != c.results
            ):
                continue
            for n in c.uses:
                if (
                    n in made and root[n] == n and n not in self.leaving and users[n] == 1
                    and last[n] == start + i and kind_of(values[n]) == kind_of(values[c.results])
                    and n not in viewed
                ):  # fmt: skip
                    self.leaving.add(n)
                    self.over[c.results] = n
                    break

    def reuse(self, call: Call, y: np.ndarray, dying: set[int]) -> None:
        """Free an operand of an elementwise call first, if it dies there and has its layout."""
        values, root = self.listing.values, self.listing.root
        for r in list(dying):
            operands = [n for n in call.uses if root[n] == r]
            if operands and all(kind_of(values[n]) == kind_of(y) for n in operands):
                self.memory.give(self.buffer_of.pop(r))
                dying.discard(r)
                return

    def buffer_for(self, n, y, layout, wish, memory, new_names) -> str:
        """The name of memory for a result: a block that is free, or a new one."""
        kind = (y.dtype.name, y.size)
        block, is_new = self.memory.take(kind)
        if is_new:
            new_names.append(f"block_{block}")
        self.buffer_of[n] = block
        self.fixed.add(n)
        name = self.name(n, wish)
        parts = memory.setdefault(block, {"": is_new})
        parts.setdefault(layout, []).append(name)
        new_names.append(name)
        return name

    def memory_lines(self, memory: dict[int, dict[str, Any]]) -> list[str]:
        """The lines that make new blocks of memory, and arrays of these and of older ones."""
        lines = []
        for block, parts in memory.items():
            is_new = parts.pop("")
            dtype, size = self.memory.blocks[block]
            if is_new and len(parts) == 1 and (shape := re.fullmatch(SHAPED, *parts)):
                (names,) = parts.values()
                shape = shape[1] or size
                lines.append(f"block_{block} = {' = '.join(names)} = np.empty({shape}, np.{dtype})")
                continue
            if is_new:
                lines.append(f"block_{block} = np.empty({size}, np.{dtype})")
            for layout, names in parts.items():
                lines.append(f"{' = '.join(names)} = block_{block}{layout}")
        return lines


def elementwise(call: Call, values: list[Any]) -> bool:
    """Whether a call gives an array whose elements depend on those in the same places alone."""
    o = call.operation
    known = (
        (o.kind == "binary" and o.name in UFUNCS and o.name != "@")
        or (o.kind == "unary" and o.name in "-~")
        or (o.kind == "ufunc" and isinstance(o.function, np.ufunc) and o.function.nout == 1
            and o.function.signature is None and not call.options)
    )  # fmt: skip
    return known and call.target is None and np.ndim(values[call.results]) > 0


def wish_of(call: Call) -> str:
    """A name for the result of a call."""
    words = {
        "+": "sum", "-": "difference", "*": "product", "/": "quotient", "@": "matmul",
        "**": "power", "getitem": "part",
    }  # fmt: skip
    name = words.get(call.operation.name, call.operation.name.rpartition(".")[2].strip("_"))
    if name in ("reduce", "accumulate"):
        name = call.operation.name.split(".")[-2]
    if not re.match(r"[A-Za-z]", name):
        name = {"-": "negative"}.get(name, "mask")
    return "negative" if call.operation.kind == "unary" and call.operation.name == "-" else name


def layout_of(y: np.ndarray) -> str:
    """How a flat block becomes an array of these strides, "" if it doesn't."""
    if y.flags.c_contiguous:
        return f".reshape({y.shape})" if y.ndim > 1 else ".reshape(-1)"
    order = sorted(range(y.ndim), key=lambda i: -y.strides[i])
    if not y.transpose(order).flags.c_contiguous:
        return ""
    shape = tuple(y.shape[i] for i in order)
    return f".reshape({shape}).transpose({tuple(int(i) for i in np.argsort(order))})"


def function_source(name: str, arguments: list[str], lines: list[str], result: str) -> str:
    """A function as source."""
    body = "".join(f"    {line}\n" for line in lines)
    end = folded(f"return {result}", 8)
    return folded(f"def {name}({', '.join(arguments)}):", 8) + f"\n{body}    {end}\n"


def folded(line: str, indent: int) -> str:
    """A line with names in parentheses, over several lines if it is a long one."""
    kept = line.replace(" = ", "~=~")  # it may break between names alone
    kept = textwrap.fill(
        kept, 96, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    return kept.replace("~=~", " = ")


def words_in(lines: Iterable[str]) -> set[str]:
    """The names in some lines of code."""
    return set(re.findall(r"\w+", "\n".join(lines)))


def tuple_text(names: list[str]) -> str:
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"
