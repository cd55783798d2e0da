"""Value rules as text: operators where they are exactly the rule, NumPy's functions, `lax_numpy`'s for the rest.

Each function takes the evaluator, the equation and the operands, and answers with the result's symbol, or with `None`
where the general form, a call of the rule, has to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pallas_np import lax_numpy
from pallas_np.compiler.program import Atom, Constant, Statement, Symbol
from pallas_np.compiler.program import Expression as Text
from pallas_np.compiler.rearrangements import chosen, gathered, leading, note, taken
from pallas_np.compiler.scalars import interval_of_elements
from pallas_np.compiler.values import Spread, dtype_atom, is_known
from pallas_np.compiler.zeros import lies_in_rows
from pallas_np.frontend import Equation, Var
from pallas_np.lax_numpy.reductions import LONGEST_SUM, MANY_ROWS
from pallas_np.phase2 import BITWISE, COMPARISONS
from pallas_np.phase2 import ELEMENTWISE as PHASE_2

if TYPE_CHECKING:
    from pallas_np.compiler.specialise import Specialiser

ELEMENTWISE = frozenset([*PHASE_2, *COMPARISONS, *BITWISE, "convert_element_type", "square", "erf", "rem"]) - {"pow"}
"""Primitives that work on each element for itself, so that NumPy's broadcasting may repeat their operands."""

REPEATING = frozenset(["broadcast_in_dim", "broadcast_to", "reshape", "slice", "squeeze", "tile"])
"""Primitives whose result may stay a value that is yet to be repeated."""

_SIGNS = {
    **{"add": "+", "add_any": "+", "sub": "-", "mul": "*", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">"},
    **{"ge": ">=", "and": "&", "or": "|", "xor": "^"},
}
_INFIX = {name: f"{{0}} {sign} {{1}}" for name, sign in _SIGNS.items()}
_UFUNC = {
    **{"add": "add", "add_any": "add", "sub": "subtract", "mul": "multiply", "eq": "equal", "ne": "not_equal"},
    **{"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "and": "bitwise_and"},
    **{"or": "bitwise_or", "xor": "bitwise_xor", "neg": "negative", "not": "invert", "div": "divide"},
}
_MAY_RETURN_AN_OPERAND = frozenset(["integer_pow", "copy", "stop_gradient", "reduce_precision", "select_n"])


def _is_ordinary(dtype: Any) -> bool:
    return dtype.isbuiltin == 1


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape that a value has in the program."""
    return tuple((value.inner if isinstance(value, Spread) else value).shape)


def elementwise(spec: Specialiser, eqn: Equation, rule: Any, args: Sequence[Any]) -> Any:
    """An elementwise equation, on operands that are not repeated before NumPy has to."""
    if eqn.name == "select_n" and shape_of(args[0]) == ():
        which = args[0].inner if isinstance(args[0], Spread) else args[0]
        if is_known(which):
            return args[1 + min(max(int(which), 0), len(args) - 2)]
        args = [which, *map(spec.materialised, args[1:])]
    full, dtype = eqn.outvars[0].shape, eqn.outvars[0].dtype
    inner = [arg.inner if isinstance(arg, Spread) else arg for arg in args]
    shapes = {arg.shape for arg in inner}
    shape = shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)
    if all(map(is_known, inner)):
        result = rule(*inner, **eqn.params)
    else:
        result = _elementwise(spec, eqn, rule, inner, shape)
    return result if shape == full else Spread(result, full, dtype)


def _elementwise(spec: Specialiser, eqn: Equation, rule: Any, args: list[Any], shape: tuple[int, ...]) -> Any:
    """A symbol, or a mask that is known because of what its operands can be."""
    interval, is_mask = interval_of_elements(eqn, args), eqn.outvars[0].dtype == np.bool_
    if interval is not None and is_mask and interval[0] == interval[1]:
        return np.broadcast_to(np.bool_(interval[0]), shape)
    special = _elementwise_forms.get(eqn.name)
    found = special(spec, eqn, args, shape) if special else None
    if found is None and eqn.name in _INFIX:
        found = _infix(spec, eqn, args, shape)
    if found is None:
        found = lax_call(spec, eqn, rule, args, shape)
    if interval is not None and not is_mask:
        found.interval = interval
    return found


def _has_array(args: Sequence[Any]) -> bool:
    return any(isinstance(arg, Symbol) and not arg.is_python for arg in args)


def _operands(spec: Specialiser, args: Sequence[Any]) -> list[Atom]:
    """Scalars as numbers where another operand says the dtype."""
    stands = spec.weak if _has_array(args) else spec.strong
    return [stands(arg) for arg in args]


def _infix(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Symbol | None:
    if not all(_is_ordinary(arg.dtype) for arg in args) or eqn.params.get("out_dtype") is not None:
        return None
    atoms = _operands(spec, args)
    return spec.emit(_INFIX[eqn.name], atoms, shape, eqn.outvars[0].dtype, is_infix=True, ufunc=_UFUNC[eqn.name])


def _prefix(sign: str) -> Callable[..., Symbol | None]:
    def form(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Symbol | None:
        if not _is_ordinary(args[0].dtype):
            return None
        atoms = [spec.strong(args[0])]
        return spec.emit(f"{sign}{{0}}", atoms, shape, args[0].dtype, is_infix=True, ufunc=_UFUNC[eqn.name])

    return form


def _not(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Symbol | None:
    """Not equal is one comparison, and so is not unequal."""
    (x,) = args
    for name, opposite in (("eq", "ne"), ("ne", "eq")):
        if shape and _is_made_by(x, _INFIX[name]):
            atoms, ufunc = list(x.expression.operands), _UFUNC[opposite]
            return spec.emit(_INFIX[opposite], atoms, shape, x.dtype, is_infix=True, ufunc=ufunc)
    return _prefix("~")(spec, eqn, args, shape)


def _div(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Symbol | None:
    if not _is_ordinary(args[0].dtype) or args[0].dtype.kind != "f":
        return None
    return spec.emit("{0} / {1}", _operands(spec, args), shape, args[0].dtype, is_infix=True, ufunc="divide")


def _integer_extremum(name: str) -> Callable[..., Symbol | None]:
    def form(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Symbol | None:
        if not _is_ordinary(args[0].dtype) or args[0].dtype.kind not in "iub":
            return None
        return spec.emit(f"np.{name}({{0}}, {{1}})", _operands(spec, args), shape, args[0].dtype, ufunc=name)

    return form


def _select(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Symbol | None:
    which, *cases = args
    if len(cases) != 2:
        return None
    dtype = eqn.outvars[0].dtype
    if is_known(which) and which.dtype == np.bool_ and (which.all() or not which.any()):
        case = cases[bool(which.any())]
        if case.shape == shape:
            return case
    if which.dtype == np.bool_ and which.shape:
        found = _select_alike(spec, which, cases, shape)
        if found is not None:
            return found
    condition = spec.weak(which) if which.dtype == np.bool_ else _at_least_one(spec, which)
    if which.shape == ():
        no, yes = (spec.strong(case) for case in cases)
        return spec.emit("{1} if {0} else {2}", [condition, yes, no], shape, dtype, is_infix=True, is_fresh=False)
    if not _has_array(cases):
        atoms = [spec.strong(case) for case in cases]
    else:
        atoms = [spec.weak(case) if _is_ordinary(dtype) else spec.strong(case) for case in cases]
    return spec.emit("np.where({0}, {1}, {2})", [condition, atoms[1], atoms[0]], shape, dtype)


def _select_alike(spec: Specialiser, which: Any, cases: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Among two arrays of the result's shape; `None` if they are not."""
    cases = [np.broadcast_to(case, shape) if is_known(case) and case.shape else case for case in cases]
    no, yes = cases
    if not no.shape == yes.shape == shape:
        return None
    if is_known(which):
        found = chosen(spec, which, yes, no)
        if found is not None:
            return found
    elif which.shape != shape[-len(which.shape) :]:
        return None
    if no.dtype == np.bool_:
        return _select_bools(spec, which, yes, no, shape)
    if is_known(which):
        which = np.array(np.broadcast_to(which, shape))
    atoms = [spec.strong(x) for x in (which, yes, no)]
    return spec.emit("lax.select({0}, {1}, {2})", atoms, shape, no.dtype, ufunc="lax.select")


def _select_bools(spec: Specialiser, which: Any, yes: Any, no: Any, shape: tuple[int, ...]) -> Symbol:
    def combined(sign: str, x: Atom, y: Atom) -> Symbol:
        return spec.emit(f"{{0}} {sign} {{1}}", [x, y], shape, no.dtype, is_infix=True, ufunc=_UFUNC[_NAMES[sign]])

    mask, first, second = (spec.strong(x) for x in (which, yes, no))
    if is_known(which):
        return combined("|", combined("&", mask, first), combined("&", spec.strong(~which), second))
    return combined("^", second, combined("&", mask, combined("^", first, second)))


_NAMES = {"&": "and", "|": "or", "^": "xor"}


def _or(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Symbol | None:
    """`a < b`, or b is NaN and a is not: that is, a is a number and not `b <= a`."""
    for less, rest in (args, args[::-1]):
        if not _is_made_by(less, "{0} < {1}") or not _is_made_by(rest, "{0} & {1}"):
            continue
        a, b = less.expression.operands
        if not (isinstance(a, Symbol) and isinstance(b, Symbol) and a.dtype.kind == b.dtype.kind == "f"):
            continue
        for nan, number in (rest.expression.operands, rest.expression.operands[::-1]):
            if _is_made_by(nan, "{0} != {1}", b, b) and _is_made_by(number, "{0} == {1}", a, a):
                other = spec.emit("{0} <= {1}", [b, a], shape, np.dtype(np.bool_), is_infix=True, ufunc="less_equal")
                return spec.emit("{0} > {1}", [number, other], shape, other.dtype, is_infix=True, ufunc="greater")
    return None


def _and(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Any:
    """With a mask that holds everywhere it is the other operand, and with one that holds nowhere it is that mask."""
    for mask, other in (args, args[::-1]):
        if is_known(mask) and mask.dtype == np.bool_ and other.shape == shape:
            if mask.all():
                return other
            if not mask.any():
                return np.broadcast_to(np.False_, shape)
    return None


def _rem(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Any:
    """Of what is less than the divisor it is that itself."""
    x, divisor = args
    if isinstance(x, Symbol) and x.interval and x.shape == shape and is_known(divisor) and divisor.dtype.kind == "i":
        low, high = x.interval
        if low >= 0 and divisor.size and high < divisor.min():
            return x
    return None


def _is_made_by(value: Any, template: str, *operands: Any) -> bool:
    expression = value.expression if isinstance(value, Symbol) else None
    if expression is None or expression.template != template:
        return False
    return all(x is y for x, y in zip(expression.operands, operands))


def _at_least_one(spec: Specialiser, which: Any) -> Atom:
    if is_known(which):
        return spec.weak(which >= 1)
    return spec.emit("{0} >= 1", [which], which.shape, np.dtype(np.bool_), is_infix=True)


def _convert(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Symbol | None:
    (x,), new = args, eqn.params["new_dtype"]
    if x.dtype == new and not x.is_python:
        return x
    truncates = x.dtype.kind in "fc" and new.kind != "f"
    if truncates or new.kind == "b" or not (_is_ordinary(x.dtype) and _is_ordinary(new)):
        return None
    truth = x if x.dtype == np.bool_ and shape == () else None
    return spec.emit("{0}.astype({1})", [spec.strong(x), dtype_atom(spec.program, new)], shape, new, truth=truth)


_NUMPY = "exp exp2 expm1 log log2 log1p sin cos tan sinh cosh tanh sqrt cbrt".split()
"""Functions that NumPy has under the same name, and that `lax_numpy` leaves to it for NumPy's own dtypes."""


def _numpy(name: str) -> Callable[..., Symbol | None]:
    def form(spec: Specialiser, eqn: Equation, args: list[Any], shape: tuple[int, ...]) -> Symbol | None:
        if not _is_ordinary(args[0].dtype):
            return None
        return spec.emit(f"np.{name}({{0}})", [spec.strong(args[0])], shape, args[0].dtype, ufunc=name)

    return form


def tile(spec: Specialiser, eqn: Equation, x: Any) -> Any:
    """Once each way it is x; what is repeated is repeated more often."""
    reps, shape = eqn.params["reps"], eqn.outvars[0].shape
    inner = x.inner if isinstance(x, Spread) else x
    repeats = [times for times, size in zip(reps[len(reps) - len(inner.shape) :], inner.shape) if size != 1]
    if len(reps) != len(shape) or len(x.shape) != len(shape) or set(repeats) - {1}:
        return None
    return x if x.shape == shape else Spread(inner, shape, x.dtype)


_elementwise_forms: dict[str, Callable[..., Symbol | None]] = {
    **{name: _numpy(name) for name in _NUMPY},
    "and": _and,
    "or": _or,
    "rem": _rem,
    "neg": _prefix("-"),
    "not": _not,
    "div": _div,
    "max": _integer_extremum("maximum"),
    "min": _integer_extremum("minimum"),
    "select_n": _select,
    "convert_element_type": _convert,
}


# Any value rule.


def lax_call(spec: Specialiser, eqn: Equation, rule: Any, args: Sequence[Any], shape: Any = None) -> Any:
    """The call of the rule itself."""
    atoms = [spec.strong(arg) for arg in args]
    function = _function(spec, rule)
    places = [f"{{{i}}}" for i in range(len(atoms))]
    for name, value in eqn.params.items():
        text = _param(value)
        if text is None:
            text = f"{{{len(atoms)}}}"
            atoms.append(spec.program.constant(value, value.name if isinstance(value, np.dtype) else name))
        places.append(f"{name}={text}")
    template = f"{function}({', '.join(places)})"
    is_fresh = eqn.name in ELEMENTWISE - _MAY_RETURN_AN_OPERAND or eqn.name in _FRESH or _reduces(eqn)
    if eqn.multiple_results:
        return _several(spec, eqn, template, atoms)
    out = eqn.outvars[0]
    ufunc = rule.__name__ if isinstance(rule, np.ufunc) else ""
    return spec.emit(template, atoms, out.shape if shape is None else shape, out.dtype, is_fresh=is_fresh, ufunc=ufunc)


def _reduces(eqn: Equation) -> bool:
    """Whether it is a reduction, over an axis at least."""
    return eqn.name.startswith(("reduce_", "arg")) and bool(eqn.params.get("axes"))


_FRESH = frozenset(["dot_general", "concatenate", "gather", "iota", "pad", "sort"])


def _several(spec: Specialiser, eqn: Equation, template: str, atoms: list[Atom]) -> list[Symbol]:
    targets = [spec.symbol(var.shape, var.dtype) for var in eqn.outvars]
    spec.do(Statement(targets, Text(template + "[0]" * (len(targets) == 1), tuple(atoms), is_fresh=False)))
    return targets


def _function(spec: Specialiser, rule: Any) -> str:
    """The rule's name in the program."""
    if isinstance(rule, np.ufunc):
        return f"np.{rule.__name__}"
    name = getattr(rule, "__name__", "rule")
    if getattr(lax_numpy, name, None) is rule:
        return f"lax.{name}"
    return spec.program.constant(rule, name.strip("<>")).name


def _param(value: Any) -> str | None:
    """A static parameter as text; `None` where it has to be a constant."""
    if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return repr(value)
    if type(value) is tuple:
        parts = list(map(_param, value))
        return None if None in parts else f"({', '.join(map(str, parts))}{',' * (len(parts) == 1)})"
    return None


# Shapes, and gathers.


def broadcast_in_dim(spec: Specialiser, eqn: Equation, x: Any, *_: Any) -> Any:
    shape, dims = eqn.params["shape"], eqn.params["broadcast_dimensions"]
    dtype = eqn.outvars[0].dtype
    inner = x.inner if isinstance(x, Spread) else x
    if inner.shape == shape:
        return x
    if inner.shape == () or not shape:
        return Spread(inner, shape, dtype)
    sizes = [1] * len(shape)
    for dim, size in zip(dims, inner.shape):
        sizes[dim] = size
    if tuple(sizes) != inner.shape:
        inner = reshaped(spec, inner, tuple(sizes))
    return inner if tuple(sizes) == shape else Spread(inner, shape, dtype)


def broadcast_to(spec: Specialiser, eqn: Equation, x: Any) -> Any:
    """Pallas's own: NumPy's broadcasting."""
    inner, shape = (x.inner if isinstance(x, Spread) else x), eqn.outvars[0].shape
    if inner.shape and len(inner.shape) != len(shape):
        inner = reshaped(spec, inner, (1,) * (len(shape) - len(inner.shape)) + tuple(inner.shape))
    return inner if tuple(inner.shape) == shape else Spread(inner, shape, x.dtype)


def reshaped(spec: Specialiser, x: Any, shape: Sequence[int]) -> Any:
    """x in another shape."""
    shape = tuple(shape)
    if is_known(x):
        return x.reshape(shape)
    while isinstance(x, Symbol) and x.expression is not None and x.expression.template.startswith("{0}.reshape("):
        (x,) = x.expression.operands  # type: ignore[assignment]
    if x.shape == shape:
        return x
    found = spec.emit(f"{{0}}.reshape({shape})", [spec.strong(x)], shape, x.dtype, is_fresh=False, interval=x.interval)
    kept = leading(old == new for old, new in zip(x.shape, shape))
    return note(found, [x], kept, lambda positions: positions)


def reshape(spec: Specialiser, eqn: Equation, x: Any) -> Any:
    shape = eqn.outvars[0].shape
    if isinstance(x, Spread) and x.inner.shape == ():
        return Spread(x.inner, shape, x.dtype) if shape else x.inner
    if eqn.params.get("dimensions") is not None:
        return None
    return reshaped(spec, spec.materialised(x), shape)


def squeeze(spec: Specialiser, eqn: Equation, x: Any) -> Any:
    shape = eqn.outvars[0].shape
    if isinstance(x, Spread):
        if x.inner.shape == ():
            return Spread(x.inner, shape, x.dtype) if shape else x.inner
        return None
    return reshaped(spec, x, shape)


def transpose(spec: Specialiser, eqn: Equation, x: Any) -> Any:
    return transposed(spec, spec.materialised(x), eqn.params["permutation"])


def transposed(spec: Specialiser, x: Any, permutation: Sequence[int]) -> Any:
    """x with its axes in another order."""
    permutation = tuple(permutation)
    if permutation == tuple(range(len(permutation))):
        return x
    if is_known(x):
        return x.transpose(permutation)
    text = "{0}.T" if permutation == (1, 0) else f"{{0}}.transpose({permutation})"
    shape = [x.shape[axis] for axis in permutation]
    found = spec.emit(text, [spec.strong(x)], shape, x.dtype, is_fresh=False)
    kept = leading(n == axis for n, axis in enumerate(permutation))
    return note(found, [x], kept, lambda positions: positions.transpose(permutation))


def slice_(spec: Specialiser, eqn: Equation, x: Any) -> Any:
    params = eqn.params
    strides = params.get("strides") or (1,) * len(x.shape)
    return sliced(spec, x, list(map(slice, params["start_indices"], params["limit_indices"], strides)))


def sliced(spec: Specialiser, x: Any, parts: Sequence[slice]) -> Any:
    """These parts of a value; what is repeated along an axis is repeated less often."""
    inner = x.inner if isinstance(x, Spread) else x
    shape = tuple(len(range(size)[part]) for part, size in zip(parts, x.shape, strict=True))
    given = list(zip(parts, x.shape))
    bounds = [
        (part.start, part.stop, part.step) if size == whole else (0, 1, 1)
        for (part, whole), size in zip(given[len(given) - len(inner.shape) :], inner.shape)
    ]
    texts = [slice_text(start, limit, stride, size) for (start, limit, stride), size in zip(bounds, inner.shape)]
    if is_known(inner):
        found = inner[tuple(slice(*bound) for bound in bounds)]
    elif all(text == ":" for text in texts):
        found = inner
    else:
        sizes = [len(range(*bound)) for bound in bounds]
        found = spec.emit(f"{{0}}[{', '.join(texts)}]", [spec.strong(inner)], sizes, x.dtype, is_fresh=False)
        kept = leading(text == ":" for text in texts)
        note(found, [inner], kept, lambda positions: positions[tuple(slice(*bound) for bound in bounds)])
    return found if found.shape == shape else Spread(found, shape, x.dtype)


def slice_text(start: int, limit: int, stride: int, size: int) -> str:
    """A slice with these bounds of an axis of this size."""
    text = f"{start or ''}:{'' if limit == size else limit}"
    return text if stride == 1 else f"{text}:{stride}"


def rev(spec: Specialiser, eqn: Equation, x: Any) -> Any:
    x = spec.materialised(x)
    if is_known(x):
        return None
    parts = ["::-1" if axis in eqn.params["dimensions"] else ":" for axis in range(len(x.shape))]
    found = spec.emit(f"{{0}}[{', '.join(parts)}]", [spec.strong(x)], x.shape, x.dtype, is_fresh=False)
    kept = leading(part == ":" for part in parts)
    return note(found, [x], kept, lambda positions: np.flip(positions, eqn.params["dimensions"]))


def concatenate(spec: Specialiser, eqn: Equation, *xs: Any) -> Any:
    atoms = [spec.strong(x) for x in xs]
    places = ", ".join(f"{{{i}}}" for i in range(len(atoms)))
    out = eqn.outvars[0]
    axis = eqn.params["dimension"]
    found = spec.emit(f"np.concatenate(({places},), {axis})", atoms, out.shape, out.dtype)
    return note(found, xs, axis, lambda *positions: np.concatenate(positions, axis))


INTERLEAVED = "np.stack(({0}, {1}), axis=-1).reshape("


def interleaved(spec: Specialiser, values: Sequence[Any]) -> Any:
    """Two values that lie in turn along the last axis."""
    if len(values) == 1:
        return values[0]
    shape = (*values[0].shape[:-1], 2 * values[0].shape[-1])
    whole = [spec.materialised(value) for value in values]
    if all(map(is_known, whole)):
        return np.stack(whole, axis=-1).reshape(shape)
    return spec.emit(f"{INTERLEAVED}{shape})", list(map(spec.strong, whole)), shape, values[0].dtype)


def dot_general(spec: Specialiser, eqn: Equation, lhs: Any, rhs: Any) -> Any:
    """A product of float32 matrices, or of many on the left, or on both sides, is `@`."""
    wanted = eqn.outvars[0]
    (left, right), (left_batch, right_batch) = eqn.params["dimension_numbers"]
    batch, rank = tuple(range(len(left_batch))), len(wanted.shape)
    if not (lhs.dtype == rhs.dtype == wanted.dtype == np.float32 and len(left) == 1):
        return None
    if left_batch != batch or right_batch != batch or any(type(axis) is not int for axis in (*left, *right)):
        return None
    if len(lhs.shape) != rank or len(rhs.shape) != len(batch) + 2 or left[0] < rank - 2:
        return None
    lhs, rhs = _matrices(spec, lhs, left[0] == rank - 1), _matrices(spec, rhs, right[0] == len(batch))
    if rank > 2:
        alone = rank - 2 - len(batch)  # so many axes only the left one has
        *sizes, k, n = (1,) * (len(batch) + 2 - len(rhs.shape)) + tuple(rhs.shape)
        rhs = reshaped(spec, rhs, (*sizes, *(1,) * alone, k, n))
        found = _one_product(spec, wanted, lhs, rhs)
        if found is not None:
            return found
    return spec.emit("{0} @ {1}", [spec.strong(lhs), spec.strong(rhs)], wanted.shape, wanted.dtype, is_infix=True)


def _one_product(spec: Specialiser, wanted: Var, lhs: Any, rhs: Any) -> Any:
    """Many matrices times one, one times many, or each of some times each of others: the rows of all times the columns.

    `None` where two matrices stand at the same place, and are multiplied with one another only.
    """
    rank, rights = len(wanted.shape), tuple(rhs.shape)
    lefts = (1,) * (rank - len(lhs.shape)) + tuple(lhs.shape)
    of_rows = [axis for axis in range(rank - 2) if rights[axis] == 1]
    of_columns = [axis for axis in range(rank - 2) if rights[axis] > 1]
    if any(lefts[axis] > 1 for axis in of_columns) or 0 in (*lefts, *rights):
        return None
    order = (*of_rows, rank - 2, *of_columns, rank - 1)
    rows = reshaped(spec, lhs, (math.prod(lefts[:-1]), lefts[-1]))
    columns = transposed(spec, rhs, order)
    columns = reshaped(spec, columns, (rights[-2], math.prod(rights) // rights[-2]))
    shape = rows.shape[0], columns.shape[1]
    found = spec.emit("{0} @ {1}", [spec.strong(rows), spec.strong(columns)], shape, wanted.dtype, is_infix=True)
    return transposed(spec, reshaped(spec, found, [wanted.shape[axis] for axis in order]), np.argsort(order).tolist())


def _matrices(spec: Specialiser, x: Any, is_right_way: bool) -> Any:
    """An operand of `@`, which repeats what is to be repeated."""
    atom = spec.strong(x.inner if isinstance(x, Spread) and x.inner.shape[-2:] == x.shape[-2:] else x)
    value: Any = atom.value if isinstance(atom, Constant) else atom
    rank = len(value.shape)
    return value if is_right_way else transposed(spec, value, (*range(rank - 2), rank - 1, rank - 2))


def gather(spec: Specialiser, eqn: Equation, operand: Any, indices: Any) -> Any:
    """With known indices: elements of the flattened operand."""
    operand, indices = spec.materialised(operand), spec.materialised(indices)
    if is_known(operand) or not is_known(indices):
        return None
    whole = spec.strong(operand)
    assert isinstance(whole, Symbol)
    found = gathered(spec, whole, indices, eqn.params)
    if found.positions.size and found.positions.min() < 0:
        return None
    return taken(spec, eqn.outvars[0].shape, found)


def reduction(spec: Specialiser, eqn: Equation, x: Any) -> Any:
    """Of each row of many: on a matrix of the rows; sums of float32 by `einsum`, which `lax_numpy` takes there, too."""
    *sizes, length = x.shape
    is_sum, rows = eqn.name == "reduce_sum", math.prod(sizes)
    if eqn.params["axes"] != (len(sizes),) or rows < MANY_ROWS or not length or not _is_ordinary(x.dtype):
        return None
    x = spec.materialised(x)
    if not lies_in_rows(x) or x.dtype.kind != "f" or (is_sum and (x.dtype != np.float32 or length > LONGEST_SUM)):
        return None
    text = 'np.einsum("ij->i", {0})' if is_sum else f"lax.{eqn.name}({{0}}, axes=(1,))"
    found = spec.emit(text, [spec.strong(reshaped(spec, x, (rows, length)))], (rows,), x.dtype)
    return reshaped(spec, found, sizes)


def identity(spec: Specialiser, eqn: Equation, x: Any) -> Any:
    return x


expressions: dict[str, Callable[..., Any]] = {
    "broadcast_in_dim": broadcast_in_dim,
    "broadcast_to": broadcast_to,
    "reshape": reshape,
    "squeeze": squeeze,
    "transpose": transpose,
    "slice": slice_,
    "rev": rev,
    "concatenate": concatenate,
    "dot_general": dot_general,
    "gather": gather,
    **dict.fromkeys(["reduce_sum", "reduce_max", "reduce_min"], reduction),
    "tile": tile,
    "copy": identity,
    "stop_gradient": identity,
}
