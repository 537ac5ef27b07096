"""Derivatives as Tensors, of any order: `grad` of a tensor, and all the others of a function.

What they take and give may be structures of Tensors, as people keep their parameters: dicts, lists,
tuples and named tuples, one within another. A gradient comes in the structure of what it belongs
to. The functions that differentiate a function take arrays and numbers in place of Tensors, too; a
list of plain numbers is an array. A None stays where it is.

A function is given tensors of its own, equal to those that it is differentiated at. So the
derivative is that by its argument, also where it knows one of those tensors from elsewhere.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

import numpy as np

from micrograd import arrays, engine
from micrograd.engine import Tensor, apply, wrap
from micrograd.operations import astype, concatenate, stack
from micrograd.protocol import data_of, first_gradient
from micrograd.recording import recording

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

P = ParamSpec("P")
S = TypeVar("S", bound=Mapping[Any, Any] | Sequence[Any])  # a structure of Tensors
Y = TypeVar("Y")

__all__ = ["flatten", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

COLUMN = 2.5  # a column of a Jacobian costs as much as so many rows; measured: 2.1 to 2.6


def __dir__():  # what completion offers
    return __all__


@overload
def grad(
    output: Tensor,
    inputs: Tensor,
    gradient: ArrayLike | Tensor | None = None,
    create_graph: bool = False,
) -> Tensor: ...
@overload
def grad(
    output: Tensor,
    inputs: Iterable[Tensor],
    gradient: ArrayLike | Tensor | None = None,
    create_graph: bool = False,
) -> tuple[Tensor, ...]: ...
@overload
def grad(
    output: Tensor,
    inputs: S,
    gradient: ArrayLike | Tensor | None = None,
    create_graph: bool = False,
) -> S: ...
def grad(output, inputs, gradient=None, create_graph=False):
    """The gradient of output with respect to each input; no `.grad` is touched.

    Args:
        output: a tensor of any shape.
        inputs: a Tensor, which gives one Tensor; a sequence of them, which gives a tuple; or a
            structure of them (dicts, nested lists, named tuples), which gives one like it. An
            input that the output does not depend on gets zeros.
        gradient: the gradient of output, of its shape; ones if None.
        create_graph: record the computation, so that the gradients can be differentiated again.

    Raises:
        TypeError: output or an input is not a Tensor.
        ValueError: an input requires no gradient, or gradient has another shape than output.
    """
    if not isinstance(output, Tensor):
        cure = "; value_and_grad(f)(x) is for functions" if callable(output) else ""
        raise TypeError(f"grad: expected a Tensor, got {arrays.describe(output)}{cure}")
    if isinstance(inputs, Iterable) and not isinstance(inputs, (Tensor, dict, tuple)):
        inputs = list(inputs)
        if all(isinstance(x, Tensor) for x in inputs):
            inputs = tuple(inputs)
    wanted = [*leaves_of(inputs)]
    for x in wanted:
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: expected a Tensor, got {arrays.describe(x)}")
        if not x.requires_grad:
            raise ValueError(f"grad: an input of shape {x.shape} has requires_grad=False")
    found = towards(
        output, wanted, first_gradient("grad: a gradient", output, gradient), create_graph
    )
    return rebuilt(inputs, map(zeros_for_none, found, wanted))


@overload
def value_and_grad(
    f: Callable[Concatenate[Tensor, P], Tensor], argnums: int = 0, create_graph: bool = False
) -> Callable[Concatenate[Tensor | ArrayLike, P], tuple[Tensor, Tensor]]: ...
@overload
def value_and_grad(
    f: Callable[Concatenate[S, P], Tensor], argnums: int = 0, create_graph: bool = False
) -> Callable[Concatenate[S, P], tuple[Tensor, S]]: ...
@overload
def value_and_grad(
    f: Callable[..., Tensor], argnums: int | tuple[int, ...] = 0, create_graph: bool = False
) -> Callable[..., tuple[Tensor, Any]]: ...
def value_and_grad(f, argnums=0, create_graph=False):
    """A function that gives the value of f, which is one number, and its gradient.

    `value, gradient = value_and_grad(f)(x, ...)`; the gradient is a structure like x.

    Args:
        f: a function of any arguments that gives a Tensor of one number.
        argnums: the place of the argument to differentiate by; several give a tuple of gradients.
        create_graph: record the computation, so that both can be differentiated again; else the
            value, too, is without history.

    Raises:
        TypeError: f gives no Tensor, or there is no such argument.
        ValueError: f gives more or less than one number.
    """
    places = argnums if isinstance(argnums, tuple) else (argnums,)

    def both(*args, **options):
        if not all(-len(args) <= i < len(args) for i in places):
            raise TypeError(f"value_and_grad: argnums={argnums} of {len(args)} arguments")
        chosen = {i % len(args): args[i] for i in places}
        with recording(True):
            given, xs, own = arguments([*chosen.values()], create_graph)
            replaced = dict(zip(chosen, own))
            y = f(*(replaced.get(i, x) for i, x in enumerate(args)), **options)
            slopes = iter(gradients(one_number("value_and_grad", y), given, xs, create_graph))
            by_place = {i: rebuilt(x, slopes) for i, x in chosen.items()}
        found = tuple(by_place[i % len(args)] for i in places)
        return y if create_graph else bare(y), found if isinstance(argnums, tuple) else found[0]

    return both


def vjp(
    f: Callable[..., Y], *primals: Any, create_graph: bool = False
) -> tuple[Y, Callable[..., tuple[Any, ...]]]:
    """f(*primals), and the function v -> v J, where J is the Jacobian of f there.

    `y, pullback = vjp(f, a, b)`, then `da, db = pullback(v)` for as many v as there are: what
    `backward(v)` gives. v is a structure like y; without it, ones. The gradients are a tuple, one
    for each of the primals, in its structure.

    Raises:
        TypeError: f gives something else than a structure of Tensors.
        ValueError: v is not like y.
    """
    with recording(True):
        given, xs, own = arguments(primals, create_graph, lasting=True)
        y = f(*own)
        ys = results("vjp", y)
        joint = joined(ys)

    def pullback(v=None):
        v = None if v is None else vector_like("vjp", [y], [v])
        with recording(True):
            slopes = iter(gradients(joint, given, xs, create_graph, v))
        return tuple(rebuilt(x, slopes) for x in primals)

    return y if create_graph else rebuilt(y, map(bare, ys)), pullback


def jvp(
    f: Callable[..., Y], primals: Any, tangents: Any, create_graph: bool = False
) -> tuple[Y, Y]:
    """f(*primals), and J v, where J is the Jacobian of f there: its slope in the direction v.

    Args:
        f: a function from structures of Tensors to one.
        primals: a tuple of its arguments. For one that is not itself a tuple, that will do.
        tangents: the direction: a tuple of structures like those; or one, if primals is one.
        create_graph: record the computation, so that both can be differentiated again.

    Raises:
        TypeError: f gives something else than a structure of Tensors.
        ValueError: tangents are not like primals.
    """
    if type(primals) is not tuple:
        primals, tangents = (primals,), (tangents,)
    v = vector_like("jvp", primals, tangents)
    with recording(True):
        given, xs, own = arguments(primals, create_graph)
        y = f(*own)
        ys = results("jvp", y)
        slope = pushforward(joined(ys), given, xs)(v, create_graph)
        tangent = rebuilt(y, iter(split(slope, ys)))
    return y if create_graph else rebuilt(y, map(bare, ys)), tangent


@overload
def hvp(
    f: Callable[[Tensor], Tensor],
    x: ArrayLike | Tensor,
    v: ArrayLike | Tensor,
    create_graph: bool = False,
) -> Tensor: ...
@overload
def hvp(f: Callable[[S], Tensor], x: S, v: S, create_graph: bool = False) -> S: ...
def hvp(f, x, v, create_graph=False):
    """H v, where H is the Hessian at x of f, which gives one number: two ways back, and no H.

    Args:
        f: a function from a Tensor, or a structure of them, to one number.
        x: where to differentiate.
        v: a structure like x, as is the result.
        create_graph: record the computation, so that the result can be differentiated again.

    Raises:
        TypeError: f gives no Tensor.
        ValueError: f gives more or less than one number, or v is not like x.
    """
    v = vector_like("hvp", [x], [v])
    with recording(True):
        given, xs, (own,) = arguments((x,), create_graph)
        slope = joined(gradients(one_number("hvp", f(own)), given, xs, True))
        return rebuilt(x, iter(gradients(slope, (), xs, create_graph, v)))


@overload
def jacobian(
    f: Callable[[Tensor], Tensor], x: ArrayLike | Tensor, create_graph: bool = False
) -> Tensor: ...
@overload
def jacobian(f: Callable[[S], Any], x: S, create_graph: bool = False) -> Any: ...
@overload
def jacobian(f: Callable[[Tensor], S], x: ArrayLike | Tensor, create_graph: bool = False) -> S: ...
def jacobian(f, x, create_graph=False):
    """The derivative of every element of f(x) by every element of x, of shape f(x).shape + x.shape.

    It is computed row by row, one way back each, or column by column where those are fewer. For
    structures it is a structure like f(x), in which a structure like x stands for each Tensor.

    Args:
        f: a function from a Tensor, or a structure of them, to one.
        x: where to differentiate.
        create_graph: record the computation, so that the Jacobian can be differentiated again.

    Raises:
        TypeError: f gives something else than a structure of Tensors.
    """
    with recording(True):
        given, xs, (own,) = arguments((x,), create_graph)
        y = f(own)
        ys = results("jacobian", y)
        blocks = blocks_of_jacobian(ys, given, xs, create_graph)
    return rebuilt(y, (rebuilt(x, iter(row)) for row in blocks))


@overload
def hessian(
    f: Callable[[Tensor], Tensor], x: ArrayLike | Tensor, create_graph: bool = False
) -> Tensor: ...
@overload
def hessian(f: Callable[[S], Tensor], x: S, create_graph: bool = False) -> Any: ...
def hessian(f, x, create_graph=False):
    """The second derivatives of f, a function from a Tensor to one number: x.shape + x.shape.

    For a structure x it is one like x, in which a structure like x stands for each Tensor.

    Raises:
        TypeError: f gives no Tensor.
        ValueError: f gives more or less than one number.
    """
    with recording(True):
        given, xs, (own,) = arguments((x,), create_graph)
        slopes = gradients(one_number("hessian", f(own)), given, xs, True)
        blocks = blocks_of_jacobian(slopes, (), xs, create_graph)
    return rebuilt(x, (rebuilt(x, iter(row)) for row in blocks))


@overload
def flatten(structure: S) -> tuple[Tensor, Callable[[ArrayLike | Tensor], S]]: ...
@overload
def flatten(structure: ArrayLike | Tensor) -> tuple[Tensor, Callable[..., Tensor]]: ...
def flatten(structure):
    """All numbers of a structure of Tensors as one vector, and the way back from such a vector.

    `vector, unflatten = flatten(parameters)`. It is for those who take nothing but a vector, such
    as `scipy.optimize.minimize`. `unflatten` makes a structure like the one given, with its shapes
    and dtypes: of a Tensor, with a gradient that goes back to it, and of an array, of leaves.

    Raises:
        ValueError: unflatten is given a vector of another length.
    """
    leaves = [x if isinstance(x, Tensor) else Tensor(x) for x in leaves_of(structure)]
    like = [(x.shape, x.dtype, x.requires_grad) for x in leaves]
    size = sum(x.size for x in leaves)

    def unflatten(vector):
        if np.shape(vector) != (size,):
            raise ValueError(f"unflatten: expected shape ({size},), got {np.shape(vector)}")
        new, start = [], 0
        for shape, dtype, requires_grad in like:
            end = start + math.prod(shape)
            if isinstance(vector, Tensor):
                new.append(cast(vector[start:end].reshape(shape), dtype))
            else:
                part = np.asarray(vector[start:end], dtype).reshape(shape)
                new.append(Tensor(part, requires_grad))
            start = end
        return rebuilt(structure, iter(new))

    return joined(leaves), unflatten


# Structures


def leaves_of(x: object) -> Iterator:
    """What is in a structure, in order."""
    if isinstance(x, dict):
        x = x.values()
    elif not is_sequence(x):
        if x is not None:
            yield x
        return
    for part in x:
        yield from leaves_of(part)


def rebuilt(x: Any, leaves: Iterator) -> Any:
    """A structure like x, of other leaves."""
    if isinstance(x, dict):
        new = copy.copy(x)
        new.update({key: rebuilt(part, leaves) for key, part in x.items()})
        return new
    if is_sequence(x):
        parts = [rebuilt(part, leaves) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x if x is None else next(leaves)


def is_sequence(x: object) -> bool:
    """Whether x is a list or tuple of parts; one of plain numbers is an array, as to NumPy."""
    if not isinstance(x, (list, tuple)):
        return False
    return hasattr(x, "_fields") or not x or not all(map(is_plain, x))


def is_plain(x: object) -> bool:
    """Whether x is a number, or a list of them."""
    if isinstance(x, (list, tuple)):
        return not is_sequence(x)
    return isinstance(x, (int, float, np.generic))


def vector_like(what: str, xs: Sequence, vs: Sequence) -> Tensor:
    """The leaves of vs, structures like xs, as one vector, in the order of xs."""
    if not isinstance(vs, (list, tuple)) or len(vs) != len(xs):
        raise ValueError(f"{what}: expected a sequence of {len(xs)}, got {arrays.describe(vs)}")
    leaves = [leaf for x, v in zip(xs, vs) for leaf in paired(what, x, v)]
    return joined([x if isinstance(x, Tensor) else wrap(arrays.floats(x)) for x in leaves])


def paired(what: str, x: Any, v: Any) -> Iterator:
    """The leaves of v, a structure like x, in the order of x."""
    if isinstance(x, dict):
        if not isinstance(v, dict) or v.keys() != x.keys():
            raise ValueError(f"{what}: expected a dict of {[*x]}, got {arrays.describe(v)}")
        for key in x:
            yield from paired(what, x[key], v[key])
    elif is_sequence(x):
        if not isinstance(v, (list, tuple)) or len(v) != len(x):
            raise ValueError(f"{what}: expected a sequence of {len(x)}, got {arrays.describe(v)}")
        for part, other in zip(x, v):
            yield from paired(what, part, other)
    elif x is not None:
        if np.shape(x) != np.shape(v):
            raise ValueError(f"{what}: expected shape {np.shape(x)}, got {np.shape(v)}")
        yield v


def joined(leaves: Sequence[Tensor]) -> Tensor:
    """One vector of all of them."""
    if not leaves:
        return wrap(np.zeros(0))
    parts = [x.reshape(-1) for x in leaves]
    return parts[0] if len(parts) == 1 else concatenate(parts)


def split(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The reverse of `joined`: tensors of these shapes and dtypes, each in memory of its own."""
    ends = np.cumsum([x.size for x in like]).tolist()
    parts = [vector[end - x.size : end].reshape(x.shape) for x, end in zip(like, ends)]
    return [copied(cast(part, x.dtype)) for x, part in zip(like, parts)]


def cast(x: Tensor, dtype: np.dtype) -> Tensor:
    return x if x.dtype == dtype else astype(x, dtype)


# A function and its arguments


def arguments(
    given: Sequence, create_graph: bool, lasting: bool = False
) -> tuple[list, list[Tensor], list]:
    """The leaves of some arguments, tensors of f's own in their place, and the same as structures.

    Args:
        given: the arguments.
        create_graph: whether there is a way back from f's own to the given ones.
        lasting: whether the graph outlives the call, in which the given ones may change.
    """

    def own(x):
        if not isinstance(x, Tensor) or (lasting and not create_graph):
            return Tensor(data_of(x))
        if create_graph and x.requires_grad:
            return copied(x)
        x = x.detach()
        x.requires_grad = True
        return x

    leaves = [x for part in given for x in leaves_of(part)]
    xs = [*map(own, leaves)]
    each = iter(xs)
    return leaves, xs, [rebuilt(part, each) for part in given]


def results(what: str, y: object) -> list[Tensor]:
    """The leaves of what f gave, all of which are to be Tensors."""
    ys = [*leaves_of(y)]
    for t in ys:
        if not isinstance(t, Tensor):
            raise TypeError(f"{what}: f is to give Tensors, it gave {arrays.describe(t)}")
    return ys


def bare(t: Tensor) -> Tensor:
    """t without history, and in memory of its own: it might be an argument, or a view of one."""
    return wrap(t.data.copy())


def one_number(what: str, y: object) -> Tensor:
    if not isinstance(y, Tensor):
        raise TypeError(f"{what}: f is to give a Tensor, it gave {arrays.describe(y)}")
    if y.size != 1:
        raise ValueError(f"{what}: f is to give one number, it gave shape {y.shape}")
    return y


# Gradients


def towards(
    output: Tensor, wanted: Sequence[Tensor], start: Any, create_graph: bool
) -> list[Tensor | None]:
    """The gradient of output for each tensor wanted, None for one that it does not depend on."""
    if not create_graph:
        found = engine.backpropagate(output, data_of(start))
        return [wrap(np.array(found[x], x.dtype), "grad") if x in found else None for x in wanted]
    with recording(True):
        start = start if isinstance(start, Tensor) else wrap(start, "grad")
        found = engine.backpropagate(output, start, on_tensors=True)
        return [copied(found[x]) if x in found else None for x in wanted]


def zeros_for_none(g: Tensor | None, x: Tensor) -> Tensor:
    return wrap(np.zeros(x.shape, x.dtype), "grad") if g is None else g


def copied(g: Tensor) -> Tensor:
    """g in memory of its own: a gradient may be the one given, another's, or a view of either."""
    return apply("copy", lambda x: x.copy(), (g,), lambda u, y, x: u)


def gradients(
    output: Tensor,
    given: Sequence,
    xs: Sequence[Tensor],
    create_graph: bool,
    start: Tensor | None = None,
) -> list[Tensor]:
    """The gradient of output for each of f's own tensors xs, which stand for those given.

    Raises:
        ValueError: f took a tensor that it was given from elsewhere, and its argument not at all.
    """
    start = first_gradient("", output, None) if start is None else cast(start, output.dtype)
    found = towards(output, xs, start, create_graph)
    unused = {x for g, x in zip(found, given) if g is None and isinstance(x, Tensor)}
    if unused and not unused.isdisjoint(behind(output, {*xs})):
        raise ValueError(
            "f depends on a tensor that it is differentiated by, and not on the argument that "
            "stands for it: write f in terms of its argument, or take grad(f(x), x)"
        )
    return [*map(zeros_for_none, found, xs)]


def behind(output: Tensor, end: set[Tensor]) -> set[Tensor]:
    """The tensors that output was made from, as far as those where the walk ends."""
    found, todo = set(), [output]
    while todo:
        t = todo.pop()
        if t not in found and t not in end:
            found.add(t)
            todo += (x for x in t.operands if isinstance(x, Tensor))
    return found


def pushforward(output: Tensor, given: Sequence, xs: Sequence[Tensor]) -> Callable:
    """The function v -> J v of vectors: u J is linear in u, and the transpose of J is its slope."""
    u = Tensor(np.zeros(output.shape, output.dtype))
    slope = joined(gradients(output, given, xs, True, u))
    return lambda v, create_graph: grad(slope, u, cast(v, slope.dtype), create_graph)


def blocks_of_jacobian(
    ys: Sequence[Tensor], given: Sequence, xs: Sequence[Tensor], create_graph: bool
) -> list[list[Tensor]]:
    """For each of ys its derivatives by each of xs."""
    joint, n_columns = joined(ys), sum(x.size for x in xs)
    matrix = None
    if COLUMN * n_columns < joint.size:
        matrix = by_columns(joint, given, xs, n_columns, create_graph)
    if matrix is None:
        matrix = by_rows(joint, given, xs, n_columns, create_graph)
    blocks, row = [], 0
    for y in ys:
        blocks.append([])
        column = 0
        for x in xs:
            part = matrix[row : row + y.size, column : column + x.size]
            part = cast(part.reshape(y.shape + x.shape), x.dtype)
            blocks[-1].append(part if part.size == matrix.size else copied(part))
            column += x.size
        row += y.size
    return blocks


def by_rows(
    y: Tensor, given: Sequence, xs: Sequence[Tensor], n_columns: int, create_graph: bool
) -> Tensor:
    """The Jacobian, a way back for each element of y."""
    rows = [joined(gradients(y, given, xs, create_graph, unit)) for unit in units(y.size, y.dtype)]
    return stack(rows) if rows else wrap(np.zeros((0, n_columns)))


def by_columns(
    y: Tensor, given: Sequence, xs: Sequence[Tensor], n_columns: int, create_graph: bool
) -> Tensor | None:
    """The Jacobian, a way there for each element of x; None if that takes what y hasn't got.

    There is none through an operation whose derivative is not made of operations of Tensors.
    """
    try:
        push = pushforward(y, given, xs)
    except (AttributeError, TypeError):
        return None
    dtype = np.result_type(*(x.dtype for x in xs)) if xs else y.dtype
    columns = [push(unit, create_graph) for unit in units(n_columns, dtype)]
    return stack(columns, axis=1) if columns else None


def units(n: int, dtype: np.dtype) -> Iterator[Tensor]:
    """The rows of the identity matrix, one at a time."""
    for i in range(n):
        unit = np.zeros(n, dtype)
        unit[i] = 1
        yield wrap(unit)
