"""Scalars that index: Python ints with an interval of values, and the bools that come of comparing them.

Arrays that are computed from them have an interval, too: a mask that it decides, as when all rows of a block lie inside
the array, is known.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pallas_np.compiler.program import Interval, Symbol
from pallas_np.frontend import Equation

if TYPE_CHECKING:
    from pallas_np.compiler.specialise import Specialiser


def is_scalar(value: Any) -> bool:
    """Whether a value is a Python number when the program runs, or a known integer or bool."""
    if isinstance(value, Symbol):
        return value.is_python
    return isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 and value.dtype.kind in "iub"


def interval_of(value: Any) -> Interval:
    """The values that a scalar may have."""
    if isinstance(value, Symbol):
        return value.interval or (0, 1)
    return int(value), int(value)


def index_symbol(spec: Specialiser, name: str, interval: Interval) -> Symbol:
    """A Python int that the program counts with."""
    return spec.symbol((), np.dtype(np.int32), name, interval=interval, is_python=True)


def scalar(spec: Specialiser, eqn: Equation, args: Sequence[Any]) -> Any:
    """The equation on Python numbers; `None` if it has to be NumPy's."""
    if eqn.name == "select_n" and not isinstance(args[0], Symbol):
        return args[1 + min(max(int(args[0]), 0), len(args) - 2)]
    rule = _rules.get(eqn.name)
    dtype = eqn.outvars[0].dtype
    if dtype.kind == "b" and eqn.name in _NEUTRAL:
        for known, other in (args, args[::-1]):
            if not isinstance(known, Symbol) and known == _NEUTRAL[eqn.name]:
                return other
    if rule is None or dtype.kind not in "iub":
        return None
    looks_at = {"args": args} if eqn.name in _LOOK_AT_ARGS else {}
    if eqn.name == "convert_element_type":
        looks_at["dtype"] = dtype
    answer = rule(*map(interval_of, args), **looks_at)
    if answer is None:
        return None
    template, interval = answer
    return answered(spec, template, args, interval, dtype)


_NEUTRAL = {"and": True, "or": False}
"""What a truth value is combined with to stay as it is."""

_FLOORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "floor_divide": ("//", ("div", "sign", "sign", "ne", "rem", "ne", "and", "sub", "jit")),
    "remainder": ("%", ("eq", "jit", "rem", "ne", "lt", "lt", "ne", "and", "add", "select_n")),
}
"""What JAX calls `//` and `%`, and what they are in a jaxpr."""


def floor_operator(spec: Specialiser, eqn: Equation, args: Sequence[Any]) -> Any:
    """A call of jnp's `//` or `%` on indices is Python's; `None` for any other call."""
    if eqn.params["name"] not in _FLOORS or not all(map(is_scalar, args)):
        return None
    sign, primitives = _FLOORS[eqn.params["name"]]
    names = [inner.name for inner in eqn.params["jaxpr"].eqns if inner.name != "convert_element_type"]
    if tuple(names) != primitives:
        return None
    (low, high), (least, most) = map(interval_of, args)
    if least <= 0:
        return None
    if sign == "%":
        interval = (low % least, low % least) if low == high and least == most else (0, most - 1)
    else:
        interval = _corners(operator.floordiv, (low, high), (least, most))
    return answered(spec, f"{{0}} {sign} {{1}}", args, interval, eqn.outvars[0].dtype)


_OF_ARRAYS = frozenset("add sub mul max min rem div lt le gt ge eq ne".split())


def interval_of_elements(eqn: Equation, args: Sequence[Any]) -> Interval | None:
    """The smallest and largest element of an elementwise result, if that follows from the operands'."""
    dtype = eqn.outvars[0].dtype
    if eqn.name not in _OF_ARRAYS or dtype.kind not in "ib":
        return None
    if any(isinstance(arg, Symbol) and arg.interval is None for arg in args):
        return None
    if any(arg.dtype.kind != "i" or 0 in arg.shape for arg in args):
        return None
    answer = _rules[eqn.name](*map(_bounds, args))
    if answer is None:
        return None
    low, high = answer[1]
    fits = dtype.kind == "b" or (np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max)
    return (low, high) if fits else None


def _bounds(value: Any) -> Interval | None:
    return value.interval if isinstance(value, Symbol) else (int(value.min()), int(value.max()))


def answered(
    spec: Specialiser, template: str, args: Sequence[Any], interval: Interval, dtype: Any, name: str = ""
) -> Any:
    """The statement, unless the interval says what it computes or the dtype is too small for it."""
    low, high = interval
    if low == high:
        return dtype.type(low)
    if dtype.kind in "iu" and not (np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max):
        return None
    if template == "{0}" and isinstance(args[0], Symbol) and args[0].dtype == dtype:
        return args[0]
    atoms = [spec.weak(arg) for arg in args]
    more: dict[str, Any] = {"truth": args[0]} if template.startswith("int(") else {}
    interval_or_none = None if dtype.kind == "b" else interval
    is_infix = re.fullmatch(r"\w+\(.*\)", template) is None
    return spec.emit(
        template, atoms, (), dtype, is_infix=is_infix, interval=interval_or_none, is_python=True, name=name, **more
    )


def _corners(op: Callable[[int, int], int], a: Interval, b: Interval) -> Interval:
    values = [op(x, y) for x in a for y in b]
    return min(values), max(values)


def _arithmetic(op: Callable[[int, int], int], sign: str) -> Callable[..., Any]:
    return lambda a, b: (f"{{0}} {sign} {{1}}", _corners(op, a, b))


def _extremum(op: Callable[[int, int], int], name: str) -> Callable[..., Any]:
    return lambda a, b: (f"{name}({{0}}, {{1}})", (op(a[0], b[0]), op(a[1], b[1])))


def _div(a: Interval, b: Interval) -> Any:
    return ("{0} // {1}", (a[0] // b[1], a[1] // b[0])) if a[0] >= 0 and b[0] > 0 else None


def _rem(a: Interval, b: Interval) -> Any:
    if a[0] < 0 or b[0] <= 0:
        return None
    if a[1] < b[0]:
        return "{0}", a
    return "{0} % {1}", (0, min(a[1], b[1] - 1))


def _sign(a: Interval) -> Any:
    return "({0} > 0) - ({0} < 0)", ((a[0] > 0) - (a[0] < 0), (a[1] > 0) - (a[1] < 0))


def _less(a: Interval, b: Interval, sign: str, or_equal: bool) -> Any:
    compare = operator.le if or_equal else operator.lt
    return f"{{0}} {sign} {{1}}", (int(compare(a[1], b[0])), int(compare(a[0], b[1])))


def _equal(a: Interval, b: Interval, sign: str) -> Any:
    same, apart = a[0] == a[1] == b[0] == b[1], a[1] < b[0] or b[1] < a[0]
    low, high = int(same), int(not apart)
    return f"{{0}} {sign} {{1}}", (low, high) if sign == "==" else (1 - high, 1 - low)


def _bitwise(a: Interval, b: Interval, args: Sequence[Any], sign: str) -> Any:
    if all(arg.dtype.kind == "b" for arg in args):
        word = {"&": "and", "|": "or", "^": "!="}[sign]
        bounds = {"&": (a[0] & b[0], a[1] & b[1]), "|": (a[0] | b[0], a[1] | b[1]), "^": (0, 1)}[sign]
        return f"{{0}} {word} {{1}}", bounds
    if a[0] < 0 or b[0] < 0:
        return None
    top = (1 << max(a[1], b[1]).bit_length()) - 1
    return f"{{0}} {sign} {{1}}", (0, min(a[1], b[1]) if sign == "&" else top)


def _not(a: Interval, args: Sequence[Any]) -> Any:
    return ("not {0}", (1 - a[1], 1 - a[0])) if args[0].dtype.kind == "b" else None


def _shift(a: Interval, b: Interval, sign: str, op: Callable[[int, int], int]) -> Any:
    return (f"{{0}} {sign} {{1}}", _corners(op, a, b)) if a[0] >= 0 and b[0] >= 0 and b[1] < 31 else None


def _convert(a: Interval, args: Sequence[Any], dtype: np.dtype) -> Any:
    if dtype.kind == "b" and args[0].dtype.kind != "b":
        return "{0} != 0", _equal(a, (0, 0), "!=")[1]
    return ("int({0})" if args[0].dtype.kind == "b" else "{0}"), a


def _select(which: Interval, *cases: Interval, args: Sequence[Any]) -> Any:
    if len(cases) != 2 or args[0].dtype.kind != "b":
        return None
    return "{2} if {0} else {1}", (min(c[0] for c in cases), max(c[1] for c in cases))


_LOOK_AT_ARGS = ("and", "or", "xor", "not", "convert_element_type", "select_n")
_rules: dict[str, Callable[..., Any]] = {
    "add": _arithmetic(operator.add, "+"),
    "sub": _arithmetic(operator.sub, "-"),
    "mul": lambda a, b, **_: ("{0} * {1}", _corners(operator.mul, a, b)),
    "max": _extremum(max, "max"),
    "min": _extremum(min, "min"),
    "neg": lambda a: ("-{0}", (-a[1], -a[0])),
    "sign": _sign,
    "div": _div,
    "rem": _rem,
    "lt": lambda a, b: _less(a, b, "<", False),
    "le": lambda a, b: _less(a, b, "<=", True),
    "gt": lambda a, b: ("{0} > {1}", _less(b, a, "<", False)[1]),
    "ge": lambda a, b: ("{0} >= {1}", _less(b, a, "<=", True)[1]),
    "eq": lambda a, b: _equal(a, b, "=="),
    "ne": lambda a, b: _equal(a, b, "!="),
    "and": lambda a, b, args: _bitwise(a, b, args, "&"),
    "or": lambda a, b, args: _bitwise(a, b, args, "|"),
    "xor": lambda a, b, args: _bitwise(a, b, args, "^"),
    "not": _not,
    "shift_left": lambda a, b: _shift(a, b, "<<", operator.lshift),
    "shift_right_arithmetic": lambda a, b: _shift(a, b, ">>", operator.rshift),
    "shift_right_logical": lambda a, b: _shift(a, b, ">>", operator.rshift),
    "convert_element_type": _convert,
    "select_n": _select,
}
