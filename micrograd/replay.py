"""A function's programs: traced, written, and run, forward and backward; see `jit`."""

from __future__ import annotations

import functools
import operator
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Any

import numpy as np

from micrograd import arrays, doors, engine
from micrograd.arrays import describe
from micrograd.calculus import grad
from micrograd.doors import Watcher, watching
from micrograd.engine import Tensor
from micrograd.guards import Given, Guards
from micrograd.module import noted
from micrograd.program import (
    Listing,
    Writer,
    constants_once,
    equal_once,
    folded,
    function_source,
    kind_of,
    means_as_sums,
    tuple_text,
    without_dead,
    without_ones,
    words_in,
)
from micrograd.recording import next_age, recording
from micrograd.tracing import JitError, Trace, Tracer, mapped, state_of

is_ = operator.is_


class Output:
    """In the place of a result: its place among the Tensors, or the arrays, of the program."""

    def __init__(self, is_tensor: bool, place: int):
        self.is_tensor, self.place = is_tensor, place


class Leaf:
    """In the place of a result that is a tensor from outside: an argument, or another."""

    def __init__(self, place: int | None, tensor: Tensor | None):
        self.place, self.tensor = place, tensor


class Back:
    """A way back from some outputs: its calls, what they start from, and what they give."""

    def __init__(self, calls, parts, starts, constants):
        self.calls, self.parts, self.starts, self.constants = calls, parts, starts, constants
        self.listing: Any = None
        self.memory = self.function = self.apart = None
        self.source = self.in_parts = ""


class Program:
    """What was written for one kind of call.

    A way back that starts from gradients of another layout in memory, or from some of several
    outputs, is written when it is asked for; a program of a single number has all it can need, and
    lets the traced arrays go.
    """

    def __init__(self, function: Callable, given: Given):
        self.function = function
        self.pool: list[Workspace] = []
        self.lock = threading.Lock()
        guards = self.guards = Guards(function)
        for x in (*given.args, *given.options.values()):
            guards.look_into(x)
        self.trace = trace = Trace({})
        self.tensor_names: dict[int, str] = {}
        trace.generators = [(g, state_of(g)) for g in guards.generators.values()]
        trace.outside = [a for a in given.arrays if isinstance(a, np.ndarray)]
        inputs = [trace.new(a) for a in given.arrays]
        shadows = []
        for t in given.tensors:
            shadow = engine.wrap(trace.leaf(t))
            shadow.requires_grad, shadow.label = t.requires_grad, t.label
            trace.shadows[id(shadow)] = t
            shadows.append(shadow)
        trace.arguments = {id(t) for t in given.tensors}
        trace.names = self.names_of_modules()
        args, options = given.replaced(inputs.__getitem__, shadows.__getitem__)
        try:
            with watching(trace), noted(guards.look_into):
                result = function(*args, **options)
                trace.look_at_random()
                if trace.refused is not None:
                    raise trace.refused
                self.structure = self.outputs_of(result)
                self.write(given, [x.number for x in inputs])
        finally:
            trace.open = False
        guards.close({id(a) for a, _ in trace.states} | self.moving)
        n = len(given.tensors)
        self.closed_over = tuple(trace.leaves[n:])
        self.closed_ids = {id(t) for t in self.closed_over}
        self.pinned = [(i, trace.leaves[i]) for i in range(n) if id(trace.leaves[i]) in trace.both]
        self.flags = [t.requires_grad for t in self.closed_over]
        self.kinds = [kind_of(t._value) for t in self.closed_over]
        self.seen = [t._value for t in self.closed_over]

    def names_of_modules(self) -> dict[int, str]:
        """The modules' names in the largest that holds them; beside, parameters' and buffers'."""
        names: dict[int, str] = {}
        for m in sorted(self.guards.modules.values(), key=lambda m: len(m.named_modules())):
            for name, x in m.named_modules().items():
                names[id(x)] = name
                for k, v in vars(x).items():
                    if isinstance(v, np.ndarray):
                        self.tensor_names[id(v)] = f"{name}.{k}" if name else k
            with suppress(ValueError):
                self.tensor_names.update({id(p): n for n, p in m.named_parameters()})
        return names

    def effects_of(self, drawn: tuple) -> list[Any]:
        """What the effects of a call gave, each as it gave it."""
        values, results = iter(drawn), []
        for shape in self.effect_shapes:
            if isinstance(shape, tuple):
                results.append(tuple([None if n is None else next(values) for n in shape]))
            else:
                results.append(None if shape is None else next(values))
        return results

    # Whether it fits

    def matching(self, given: Given) -> list[Any] | None:
        """The arrays of the tensors that it needs, if it fits a call, else None."""
        if not self.guards.hold():
            return None
        values = [t._value for t in self.closed_over]
        if not all(map(is_, values, self.seen)):
            if [kind_of(v) for v in values] != self.kinds:
                return None
            self.seen = values
        if [t.requires_grad for t in self.closed_over] != self.flags:
            return None
        if given.tensors:
            if any(id(t) in self.closed_ids for t in given.tensors):
                return None
            if any(given.tensors[i] is not t for i, t in self.pinned):
                return None
            return [t._value for t in given.tensors] + values
        return values

    # The outputs

    def outputs_of(self, result: Any) -> Any:
        """The structure of the result, with an `Output` or `Leaf` for each Tensor and array."""
        trace = self.trace
        self.outputs: list[Tensor] = []
        self.arrays: list[int] = []

        def part(x):
            if isinstance(x, Tensor):
                if id(x) in trace.shadows:
                    return Leaf(trace.index_of(trace.shadows[id(x)]), None)
                if type(x._value) is not Tracer:
                    return Leaf(None, x)
                places = [i for i, y in enumerate(self.outputs) if y is x]
                if not places:
                    self.outputs.append(x)
                return Output(True, places[0] if places else len(self.outputs) - 1)
            if isinstance(x, Tracer):
                self.arrays.append(x.number)
                return Output(False, len(self.arrays) - 1)
            if x is None or isinstance(x, (bool, int, float, str, np.ndarray, np.generic)):
                return x
            raise JitError(
                "jit: the function is to return Tensors, arrays and plain values, and tuples, "
                f"lists and dicts of them, got {describe(x)}"
            )

        return mapped(result, part)

    # Writing

    def way_back(self, wanted: list[int], starts: list[Any]) -> Back:
        """The way back from these outputs, for gradients of the layout of those given."""
        trace = self.trace
        before, trace.back = len(trace.calls), True
        gradients = [trace.new(s) for s in starts]
        outs = [self.outputs[i] for i in wanted]
        try:
            if len(outs) == 1:
                found = doors.backpropagate(outs[0], gradients[0])
            else:
                joint = doors.record(
                    "joint", lambda *xs: trace.new(np.float64(0)), tuple(outs),
                    tuple([lambda *_, g=g: g for g in gradients]),
                )  # fmt: skip
                found = doors.backpropagate(joint, trace.new(np.float64(1)))
        finally:
            trace.back, trace.place = False, None
        places = {id(t): i for i, (t, _) in enumerate(trace.uses)}
        parts = [(places[id(t)], g.number) for t, g in found.items() if id(t) in places]
        calls = means_as_sums(trace, trace.calls[before:])
        del trace.calls[before:]
        source = {c.results: c for c in calls}
        met: set[int] = set()
        for i, (use, n) in enumerate(parts):  # only a leaf's first part need be its own array
            leaf = trace.uses[use][1]
            if leaf in met and n in source and source[n].operation.name == "copy":
                parts[i] = use, source[n].uses[0]
            met.add(leaf)
        numbers = [g.number for g in gradients]
        return Back(calls, parts, numbers, {})

    def optimized(self, back: Back | None, more: list[int], ready: set[int] | None) -> Listing:
        """The calls, forward and back, once all passes have been over them."""
        trace = self.trace
        results = [n for _, n in back.parts] if back else []
        calls = [*self.calls, *(back.calls if back else ())]
        listing = Listing(trace, calls, [*more, *results], back.constants if back else None)
        constants_once(listing)
        without_ones(listing)
        constants_once(listing)
        equal_once(listing, ready)
        without_dead(listing)
        return listing

    def write(self, given: Given, inputs: list[int]) -> None:
        """Write the way forward, and the ways back that are likely to be asked for."""
        trace = self.trace
        self.calls = means_as_sums(trace, trace.calls)
        trace.calls = list(self.calls)
        self.back = [i for i, t in enumerate(self.outputs) if t.requires_grad]
        self.out_kinds = [kind_of(t._value.value) for t in self.outputs]
        self.numbers = [*(t._value.number for t in self.outputs), *self.arrays]
        self.n_outputs = len(self.outputs)
        usual, backs = None, {}
        if self.back:
            ones = [np.ones_like(self.outputs[i]._value.value)[()] for i in self.back]
            usual = self.way_back(self.back, ones)
            backs[tuple([(i, g.strides) for i, g in zip(self.back, ones)])] = usual
            if len(self.outputs) == 1 and not self.outputs[0].ndim:
                constants = {usual.starts[0]: ones[0]}
                backs["one"] = Back(usual.calls, usual.parts, usual.starts, constants)
        self.operands: list[int] = []  # the leaf of each operand of the result
        self.place_of: dict[int, int] = {}  # of a use: which operand it is
        for use, _ in usual.parts if usual else ():
            leaf = trace.uses[use][1]
            if not (trace.leaves[leaf].is_leaf and leaf in self.operands):
                self.operands.append(leaf)
            self.place_of[use] = len(self.operands) - 1 - self.operands[::-1].index(leaf)
        self.derivatives = tuple(map(derivative, range(len(self.operands))))
        drawn = [n for c in trace.effects for n in c.gives] if self.back else []
        self.effect_shapes = [c.results for c in trace.effects]
        needed = set(drawn)
        for back in backs.values():
            back.listing = self.optimized(back, [*self.numbers, *drawn], None)
            needed |= self.needed(back)
        ordered = sorted(needed)
        listing = self.optimized(None, [*self.numbers, *drawn, *ordered], None)
        n = len(self.numbers)
        self.results, self.drawn = listing.results[:n], listing.results[n : n + len(drawn)]
        made = {n for c in listing.calls for n in c.gives}
        self.needed_numbers = needed & (made | self.input_numbers(inputs))
        self.write_forward(listing, given, inputs)
        for key, back in backs.items():
            if key == "one" or "one" not in backs:
                self.write_back(back)
            else:  # later, if a gradient comes that isn't 1
                back.listing.let_go()
        self.backs = backs
        # whether no other way back can be asked for, and the traced arrays aren't needed any more
        self.complete = usual is None or "one" in backs

    def input_numbers(self, inputs: list[int]) -> set[int]:
        trace = self.trace
        leaves = [trace.leaf_tracers[id(t)].number for t in trace.leaves]
        return {*inputs, *leaves, *(n for _, n in trace.states)}

    def needed(self, back: Back) -> set[int]:
        """The numbers of what a way back needs that it doesn't compute itself."""
        calls = [c for c in back.listing.calls if c.back]
        own = {n for c in calls for n in c.gives} | set(back.starts)
        parts = back.listing.results[-len(back.parts) :] if back.parts else []
        used = {n for c in calls for n in c.uses} | set(parts)
        return {n for n in used - own if n not in back.listing.constants}

    def write_forward(self, listing: Listing, given: Given, inputs: list[int]) -> None:
        trace = self.trace
        named = given.names(self.function)
        wishes = {n: named[("array", i)] for i, n in enumerate(inputs)}
        for i, t in enumerate(trace.leaves):
            mine = self.tensor_names.get(id(t)) or t.label or self.guards.names.get(id(t), "tensor")
            wish = named.get(("tensor", i)) or mine
            wishes[trace.leaf_tracers[id(t)].number] = wish
        attributes = {**self.guards.names, **self.tensor_names}
        self.states = [a for a, _ in trace.states]
        wishes.update({n: attributes.get(id(a), "state") for a, n in trace.states})
        writer = self.writer = Writer(listing, wishes, self.results, attributes)
        self.moving = {id(trace.constants[n]) for n in listing.moving}
        for n, wish in wishes.items():
            writer.name(n, wish)
        arguments = self.arguments = [writer.names[n] for n in wishes]
        n = self.n_arrays = len(given.arrays)
        self.given_kinds = {}  # dtype and shape of what a call gives, in the call's order
        for what, i in named:
            x = given.arrays[i] if what == "array" else given.tensors[i]._value
            argument = arguments[i if what == "array" else n + i]
            self.given_kinds[argument] = x.dtype, x.shape
        root, calls = listing.root, listing.calls
        last = {root[n]: i for i, c in enumerate(calls) for n in [*c.uses, *c.gives]}
        last.update(
            {root[n]: len(calls) for n in [*self.needed_numbers, *self.results, *self.drawn]}
        )
        lines, memory, names, places = writer.write(calls, last, 0, set())
        kept = [n for n in sorted(self.needed_numbers) if n not in writer.fixed]
        self.kept_numbers = kept
        out = tuple_text(
            [
                f"{writer.name(n)}.copy()" if n in listing.constants else writer.name(n)
                for n in self.results
            ]
        )
        handed = tuple_text([writer.name(n) for n in kept])
        drawn = tuple_text([writer.name(n) for n in self.drawn])
        words = words_in(lines)
        used = [name for name in names if name in words]
        unpack = [folded(f"{tuple_text(used)} = memory", 8)] if used else []
        first = function_source(
            "forward_memory", [], memory, f"({tuple_text(used)}, {tuple_text(names)})"
        )
        body = [*unpack, *lines]
        source = function_source(
            "forward", ["memory", *arguments], body, f"({out}, {handed}, {drawn})"
        )
        self.memory_names = names
        file = self.file = f"<jit of {getattr(self.function, '__qualname__', self.function)}>"
        text = f"{first}\n\n{source}"
        self.forward_source = text
        self.namespace = {"np": np, **writer.namespace}
        exec("\n".join(writer.header), self.namespace)
        self.namespace.update(writer.namespace)
        self.n_header = len(writer.header)
        exec(compile(text, file, "exec"), self.namespace)
        start = text[: text.index(":\n", len(first))].count("\n") + 1
        start += sum(x.count("\n") + 1 for x in unpack)
        self.places = {start + i + 1: context for i, context in places.items()}
        self.forward, self.forward_memory = (
            self.namespace["forward"],
            self.namespace["forward_memory"],
        )

    def write_back(self, back: Back) -> None:
        """Write a way back, whose listing is there."""
        listing = back.listing
        calls = [c for c in listing.calls if c.back]
        parts = listing.results[-len(back.parts) :] if back.parts else []
        root = listing.root
        groups: list[list[int]] = [[] for _ in self.operands]  # what each operand gets, in order
        for (use, _), n in zip(back.parts, parts):
            groups[self.place_of[use]].append(n)
        firsts = [group[0] for group in groups if group]
        writer = self.writer.for_back(listing, firsts)
        starts = [writer.name(n, "g") for n in back.starts if n not in back.constants]
        last = {root[n]: i for i, c in enumerate(calls) for n in [*c.uses, *c.gives]}
        last.update({root[n]: len(calls) for n in parts})
        lines, memory, names, _ = writer.write(calls, last, 0, set(self.writer.buffer_of))
        made = {n for c in calls for n in c.gives}
        times = Counter(root[n] for n in parts)
        sums, totals, apart = [], [], []
        for first, *others in [group or [None] for group in groups]:
            if first is None:
                totals.append("None")
                apart.append("()")
                continue
            value, name = listing.values[first], writer.name(first)
            alone = 2 if others[:1] == [first] else 1  # x += x doesn't disturb anybody
            own = root[first] in made and times[root[first]] == alone
            if isinstance(value, np.ndarray) and (root[first] in writer.buffer_of or not own):
                name += ".copy()"
            apart.append(tuple_text([name, *map(writer.name, others)]))
            if others and name.endswith(".copy()"):
                total = writer.fresh_name("total")
                sums.append(f"{total} = {name}")
                name = total
            for n in others:
                if isinstance(value, np.ndarray):
                    sums.append(f"np.add({name}, {writer.name(n)}, out={name})")
                else:
                    total = writer.fresh_name("total")
                    sums.append(f"{total} = {name} + {writer.name(n)}")
                    name = total
            totals.append(name)
        if sums:
            sums.insert(0, "# what its uses give each of them, added")
        kept = tuple_text([writer.name(n) for n in self.kept_numbers])
        words = words_in([*lines, *sums, *totals])
        used = [name for name in (*self.memory_names, *names) if name in words]
        unpack = [folded(f"{tuple_text(used)} = memory", 8)] if used else []
        if self.kept_numbers:
            unpack.append(folded(f"{kept} = kept", 8))
        names_before = folded(f"{tuple_text(self.memory_names)} = memory", 8)
        before = [names_before] if self.memory_names else []
        given = ["memory", "kept", *starts]
        text = function_source("backward_memory", ["memory"], [*before, *memory], tuple_text(used))
        text += "\n\n" + function_source(
            "backward", given, [*unpack, *lines, *sums], tuple_text(totals)
        )
        back.source = text
        back.in_parts = function_source("backward", given, [*unpack, *lines], tuple_text(apart))
        self.namespace.update(writer.namespace)
        exec("\n".join(writer.header[self.n_header :]), self.namespace)
        self.n_header = len(writer.header)
        self.namespace.update(writer.namespace)
        exec(compile(text, self.file, "exec"), self.namespace)
        back.memory, back.function = self.namespace["backward_memory"], self.namespace["backward"]
        back.complete = all(groups)
        back.several = any(len(group) > 1 for group in groups)
        back.calls = back.listing = None

    def parted(self, back: Back) -> Callable:
        """The way back, which gives what each use of a leaf contributes by itself."""
        if back.apart is None:
            exec(compile(back.in_parts, self.file, "exec"), self.namespace)
            back.apart = self.namespace["backward"]
        return back.apart

    @property
    def source(self) -> str:
        backs = [b.source for b in self.backs.values() if b.source]
        parts = ["\n".join(["import numpy as np", "", *self.writer.header]), self.forward_source]
        return "\n\n".join([*parts, *backs[-1:]])

    def way_back_for(self, key: Any) -> Back:
        """The way back that starts from gradients of these outputs, of these layouts."""
        with self.lock:
            back = self.backs.get(key)
            if back is None:
                back = self.traced_back(key)
            if back.function is None:
                self.write_back(back)
            self.backs[key] = back
        return back

    def traced_back(self, key: Any) -> Back:
        """A way back that nobody has asked for yet."""
        if self.complete:
            raise RuntimeError(f"jit: no way back for gradients {key}")
        starts = []
        for i, strides in key:
            _, dtype, shape, _ = self.out_kinds[i]
            starts.append(like(dtype, shape, strides))
        trace = self.trace
        trace.open, trace.thread = True, threading.get_ident()
        try:
            with watching(trace):
                back = self.way_back([i for i, _ in key], starts)
        finally:
            trace.open = False
        have = self.needed_numbers | set(self.writer.fixed)
        back.listing = self.optimized(back, [*self.numbers], have)
        if self.needed(back) - have - set(self.writer.inputs):
            raise RuntimeError("jit: a way back needs what the way forward did not keep")
        return back

    # Running

    def first(self, given: Given) -> Any:
        """The result of the call that was traced."""
        trace, work = self.trace, self.workspace()
        named = dict(zip(self.memory_names, work.all))
        root, names = self.writer.listing.root, self.writer.names
        for n in {root[n] for n in self.needed_numbers if n in self.writer.fixed}:
            if names.get(n) in named:
                np.copyto(named[names[n]], trace.values[n])
        outs = [copied(trace.values[n]) for n in self.results]
        kept = tuple([trace.values[n] for n in self.kept_numbers])
        drawn = tuple([trace.values[n] for n in self.drawn])
        leaves = [*given.tensors, *self.closed_over]
        try:
            return self.wrapped(given, leaves, work, outs, kept, drawn)
        finally:
            if self.complete:
                self.trace = self.outputs = self.calls = None
                self.writer.listing = None
                for kept in (trace.values, trace.calls, trace.uses, trace.leaf_tracers):
                    kept.clear()  # a Tracer that somebody keeps would keep them all
            trace.leaves = []

    def run(self, given: Given, values: list[Any]) -> Any:
        """The result of a call that it fits."""
        work = self.pool.pop() if self.pool else self.workspace()
        try:
            outs, kept, drawn = self.forward(work.forward, *given.arrays, *values, *self.states)
        except arrays.ERRORS as error:
            self.pool.append(work)
            raise self.as_eager(error) from error
        except BaseException:
            self.pool.append(work)
            raise
        return self.wrapped(given, [*given.tensors, *self.closed_over], work, outs, kept, drawn)

    def workspace(self) -> Workspace:
        return Workspace(*self.forward_memory())

    def as_eager(self, error: Exception) -> Exception:
        """The error that the operation itself would have raised."""
        trace = error.__traceback__
        while trace.tb_next is not None and trace.tb_frame.f_code is not self.forward.__code__:
            trace = trace.tb_next
        op, shapes = self.places.get(trace.tb_lineno, ("", ""))
        if trace.tb_frame.f_code is not self.forward.__code__ or not op:
            return error
        kind = next(k for k in arrays.ERRORS if isinstance(error, k))
        return kind(f"{op} of shape {shapes}: {error}")

    def wrapped(self, given, leaves, work, outs, kept, drawn) -> Any:
        """What the function returns, of Tensors that know the way back."""
        structure = self.structure
        if not self.back:
            self.pool.append(work)
            tensors = [engine.wrap(y, "jit") for y in outs[: self.n_outputs]]
        else:
            run = Run(self, given, leaves, work, kept, drawn)
            operands = tuple([leaves[i] for i in self.operands])
            if self.n_outputs == 1:
                y = outs[0]
                tensors = [engine.record("jit", lambda *_: (y, run), operands, self.derivatives)]
            else:
                tensors = several(run, outs[: self.n_outputs], self.back, operands)
            run.age = next_age()
        if type(structure) is Output and structure.is_tensor:
            return tensors[structure.place]

        def part(x):
            if type(x) is Output:
                return tensors[x.place] if x.is_tensor else outs[self.n_outputs + x.place]
            if type(x) is Leaf:
                return leaves[x.place] if x.tensor is None else x.tensor
            return x

        return mapped(structure, part)


def like(dtype: np.dtype, shape: tuple, strides: tuple) -> Any:
    """Ones of this layout."""
    if not shape:
        return dtype.type(1)
    reach = sum((n - 1) * abs(s) for n, s in zip(shape, strides)) // dtype.itemsize + 1
    offset = -sum((n - 1) * s for n, s in zip(shape, strides) if s < 0)
    return np.ndarray(shape, dtype, np.ones(reach, dtype), offset, strides)


def copied(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else x


class Workspace:
    """The buffers of one call at a time."""

    __slots__ = ("all", "back", "forward")

    def __init__(self, forward: tuple, everything: tuple):
        self.forward, self.all, self.back = forward, everything, {}


def derivative(i: int) -> Callable:
    """The derivative by the i-th operand; the call's `Run` comes last among what was kept."""
    return lambda g, y, *kept: kept[-1].part(i, g)


class Run:
    """One call: what its way back needs. Its buffers are free again when nobody can ask for it."""

    __slots__ = ("age", "drawn", "given", "kept", "leaves", "lock", "made", "program", "work")

    def __init__(self, program, given, leaves, work, kept, drawn):
        self.program, self.given, self.leaves, self.work = program, given, leaves, work
        self.kept, self.drawn, self.lock = kept, drawn, threading.Lock()
        self.made: tuple[int, Any, list] | None = None  # a thread, a gradient, and what it gave

    def __del__(self):
        self.program.pool.append(self.work)

    def part(self, i: int, g: Any) -> Any:
        """The i-th contribution to the gradients of leaves, given the gradient of the result."""
        made, me = self.made, get_ident()
        if made is None or made[0] != me or made[1] is not g or made[2][i] is None:
            made = self.made = me, g, self.contributions(g)
        d, made[2][i] = made[2][i], None
        if i == len(made[2]) - 1:
            self.made = None
        return d

    def contributions(self, g: Any) -> list:
        """All contributions, in the order in which they come."""
        program = self.program
        gs = g.gradients if isinstance(g, Parts) else {0: g}
        if any(isinstance(x, Tensor) for x in gs.values()):
            return self.on_tensors(gs)
        if (
            "one" in program.backs
            and type(gs[0]) is not np.ndarray
            and gs[0] == 1
            and (gs[0].dtype == program.out_kinds[0][1])
        ):
            key, gs = "one", {}
        else:
            gs = {
                i: x[()] if isinstance(x, np.ndarray) and not x.ndim else x for i, x in gs.items()
            }
            key = tuple([(i, gs[i].strides) for i in sorted(gs)])
        back = program.backs.get(key)
        if back is None or back.function is None:
            back = program.way_back_for(key)
        together = not back.several or next_age() == self.age - 1
        function = back.function if together else program.parted(back)
        with self.lock:
            memory = self.work.back.get(key)
            if memory is None:
                memory = self.work.back[key] = back.memory(self.work.all)
            found = function(memory, self.kept, *(gs[i] for i in sorted(gs)))
        if not together:
            found = [Sum.of(parts) if len(parts) > 1 else (*parts, None)[0] for parts in found]
        if back.complete:
            return list(found)
        return [
            np.zeros_like(self.leaves[i]._value)[()] if d is None else d
            for i, d in zip(program.operands, found)
        ]

    def on_tensors(self, gs: dict[int, Any]) -> list:
        """The contributions as Tensors that can be differentiated: of the function run eagerly."""
        script = Script(self)
        args, options = self.given.replaced(self.given.arrays.__getitem__, script.argument)
        with watching(script), recording(True):
            result = self.program.function(*args, **options)
        found = tensors_in(result, [*script.stand_ins.values()])
        here_leaves = [script.stand_ins.get(id(t)) for t in self.leaves]
        wanted = [t for t in here_leaves if t is not None and t.requires_grad]
        total: dict[int, Tensor] = {}
        for i, g in gs.items():
            for x, d in zip(wanted, grad(found[i], wanted, g, create_graph=True)):
                total[id(x)] = total[id(x)] + d if id(x) in total else d
        given: set[int] = set()
        contributions = []
        for leaf in self.program.operands:
            x = here_leaves[leaf]
            if x is None or leaf in given:
                contributions.append(engine.wrap(np.zeros_like(self.leaves[leaf]._value)[()]))
            else:
                contributions.append(total[id(x)])
            given.add(leaf)
        return contributions


class Sum(np.ndarray):
    """Several contributions to the gradient of a leaf, to be added in their order.

    To a gradient that is there already each is added by itself, as without `jit`: the last bit
    depends on it. The engine copies what is a view where it is the first, and gets their sum.
    """

    parts: list[Any]

    @classmethod
    def of(cls, parts: list[Any]) -> Sum:
        new = np.asarray(parts[0]).view(cls)
        new.parts = parts
        return new

    def copy(self, order: Any = "C") -> Any:
        total, *others = self.parts
        for d in others:
            total += d
        return total

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        total = inputs[0]
        if ufunc is not np.add or isinstance(total, Sum):
            plain = [x.copy() if isinstance(x, Sum) else x for x in inputs]
            return getattr(ufunc, method)(*plain, **options, **({"out": out} if out else {}))
        for d in self.parts:
            total = np.add(total, d, out=out[0]) if out else total + d
        return total


class Script(Watcher):
    """Lets a function run eagerly once more, on tensors of its own, with the same draws."""

    def __init__(self, run: Run):
        self.run = run
        self.stand_ins: dict[int, Tensor] = {}
        self.known = {id(t) for t in run.leaves}
        self.drawn = iter(run.program.effects_of(run.drawn))

    def argument(self, i: int) -> Tensor:
        return self.of(self.run.leaves[i])

    def of(self, t: Tensor) -> Tensor:
        if id(t) not in self.stand_ins:
            self.stand_ins[id(t)] = doors.record("same", lambda x: x, (t,), (lambda g, y, x: g,))
        return self.stand_ins[id(t)]

    def record(self, record, op, forward, operands, derivatives):
        mine = {id(t) for t in self.stand_ins.values()}
        operands = tuple(
            self.of(x) if isinstance(x, Tensor) and id(x) in self.known - mine else x
            for x in operands
        )
        return record(op, forward, operands, derivatives)

    def effect(self, function: Callable, args: tuple) -> Any:
        return next(self.drawn)


def tensors_in(x: Any, arguments: list[Tensor]) -> list[Tensor]:
    """The Tensors in a result, each once, without those that were given."""
    if isinstance(x, Tensor):
        return [] if any(x is t for t in arguments) else [x]
    inside = x.values() if isinstance(x, dict) else x if isinstance(x, (tuple, list)) else ()
    found: list[Tensor] = []
    for y in inside:
        found += [t for t in tensors_in(y, arguments) if not any(t is f for f in found)]
    return found


class Parts:
    """The gradients of several outputs, on their way to the call that gave them."""

    shape, ndim, dtype, base = (), 0, np.dtype(np.float64), None

    def __init__(self, gradients: dict[int, Any]):
        self.gradients = gradients

    def __add__(self, other: Parts) -> Parts:
        both = dict(self.gradients)
        for i, g in other.gradients.items():
            both[i] = both[i] + g if i in both else g
        return Parts(both)


def several(run: Run, outs, back: list[int], operands: tuple) -> list[Tensor]:
    """Several outputs of one call, which stands behind all of them."""
    zero = np.float64(0)
    call = engine.record("jit", lambda *_: (zero, run), operands, run.program.derivatives)
    tensors = []
    for i, y in enumerate(outs):
        if i in back:
            one = functools.partial(lambda i, g, y, h: Parts({i: g}), i)
            tensors.append(engine.record("jit", lambda h, y=y: y, (call,), (one,)))
        else:
            tensors.append(engine.wrap(y, "jit"))
    return tensors
