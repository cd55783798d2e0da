"""Random valid Pallas kernels, as a Hypothesis strategy that writes their text.

A kernel is a few statements over a pool of typed values.  Each value has a kind, which says what may be done with it so
that two right answers are still the same:

- "whole": floats that are whole numbers no larger than a bound, so that sums and products are exact in any order;
- "exact": any bits, the same bits on both sides.  A float sum of two of these is exact as well, rounded once, but not a
  product: XLA may round it together with a following sum;
- "close": the right value within a tolerance: transcendental functions, products, sums in an order of XLA's choice, and
  whatever is rounded to bfloat16 or float16, since XLA may leave that out.  Nothing compares these, or turns them into
  integers, and they stay small.

Left out, because `interpret=True` gets them wrong: an alias whose block is visited twice or is read after a write (it
sees the old value in JAX 0.10), conditions of `while` loops that read refs, `program_id` inside loops and conditionals,
what is written past an array's end and read when the block comes back later, and divisions of integers by zero (XLA
makes x / x one, and its constant folding ends the process).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import jax.numpy as jnp
from hypothesis import strategies as st
from random_kernel import Kernel

Shape = tuple[int, ...]
FLOATS = ("float32", "bfloat16", "float16")
SIGNED = ("int32", "int8", "int16")
UNSIGNED = ("uint8", "uint32", "uint16")
INTEGERS = SIGNED + UNSIGNED
DTYPES = ("float32", "int32", "bfloat16", "bool", "int8", "uint8", "float16", "uint32", "int16", "uint16")
IN_MEMORY = tuple(
    d for d in DTYPES if d != "int16"
)  # `interpret=True` takes int16 for semaphores, and begins them at 0
EXACT_UP_TO = {"float32": 2**24, "bfloat16": 2**8, "float16": 2**11}
MAX_SIZE = 192
MAX_DEPTH = 2


@dataclass(frozen=True)
class Value:
    """A value of the kernel: how it is written, and what is known of it."""

    text: str
    shape: Shape
    dtype: str
    kind: str = "exact"
    bound: int = 0

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOATS

    @property
    def is_integer(self) -> bool:
        return self.dtype in INTEGERS

    @property
    def is_number(self) -> bool:
        return self.dtype != "bool"

    @property
    def is_sharp(self) -> bool:
        """Whether its bits are known, so that it may be compared and cast."""
        return self.kind != "close"


@dataclass(frozen=True)
class Ref:
    """A ref of the kernel: what is read from it, and whether it may be written."""

    name: str
    shape: Shape
    dtype: str
    kind: str = "exact"
    bound: int = 0
    readable: bool = True
    writable: bool = True


@dataclass
class Scope:
    """The statements of one block, and what they may use."""

    lines: list[str]
    values: list[Value]
    refs: list[Ref]
    depth: int = 0
    effects: bool = True
    copies: bool = True  # `interpret=True` has no DMAs inside a `jax.jit`

    def uses(self, value: Value) -> bool:
        """Whether a statement of this block reads the value."""
        read = re.compile(rf"(?<!^)\b{value.text}\b")
        return any(read.search(line) for line in self.lines)


class Writer:
    """Writes a kernel's body."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]):
        self.draw = draw
        self.count = 0
        self.narrow = False  # whether a value was rounded to a narrow float

    def fresh(self, letter: str = "v") -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def choose(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def flip(self) -> bool:
        return self.draw(st.booleans())

    def pick(self, scope: Scope, accepts: Callable[[Value], bool] = lambda v: True) -> Value | None:
        """A value from the pool, a recent one more often."""
        found = [v for v in scope.values if accepts(v)]
        return self.choose([*found, *found[-2:] * 3][::-1]) if found else None

    def define(self, scope: Scope, text: str, shape: Shape, dtype: str, kind: str = "exact", bound: int = 0) -> Value:
        if dtype not in FLOATS:
            kind, bound = "exact", 0
        elif kind == "whole" and bound > EXACT_UP_TO[dtype]:
            kind, bound = ("exact", 0) if dtype == "float32" else ("close", 0)
        self.narrow |= kind == "close" and dtype != "float32"
        value = Value(self.fresh(), tuple(shape), dtype, kind, bound)
        scope.lines.append(f"{value.text} = {text}")
        scope.values.append(value)
        return value

    def like(self, scope: Scope, text: str, value: Value, **changes: Any) -> Value:
        changed = replace(value, **changes)
        return self.define(scope, text, changed.shape, changed.dtype, changed.kind, changed.bound)

    # An integer scalar from `low` to `high`, known only when the kernel runs if there is one.

    def index(self, scope: Scope, high: int) -> str:
        scalar = self.pick(scope, lambda v: v.shape == () and v.dtype == "int32")
        if scalar is None or high == 0 or self.integer(0, 3) == 0:
            return str(self.integer(0, high))
        return f"jnp.clip({scalar.text}, 0, {high})" if self.flip() else f"jnp.abs({scalar.text} % {high + 1})"


def joined(*values: Value) -> str:
    """The kind of something that is moved from these values."""
    kinds = {v.kind for v in values if v.is_float}
    return "close" if "close" in kinds else "exact" if "exact" in kinds or not kinds else "whole"


def bound_of(*values: Value) -> int:
    return max((v.bound for v in values), default=0)


# Operations: each adds a value to the scope, or nothing where the pool has no operands for it.


def unary(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.is_number)
    if x is not None:
        w.like(s, w.choose(["-{0}", "jnp.abs({0})"]).format(x.text), x)


def stepwise(w: Writer, s: Scope) -> None:
    """Functions with jumps."""
    x = w.pick(s, lambda v: v.is_number and v.is_sharp)
    if x is None:
        return
    functions = ["jnp.sign({0})"]
    if x.is_float:
        functions += ["jnp.floor({0})", "jnp.ceil({0})", "jnp.round({0})", "lax.round({0})"]
    function = w.choose(functions)
    w.like(s, function.format(x.text), x, bound=max(x.bound, 1))


def invert(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: not v.is_float)
    if x is not None:
        w.like(s, f"~{x.text}", x)


def bit_counts(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.is_integer)
    if x is not None:
        w.like(s, w.choose(["lax.population_count({0})", "lax.clz({0})"]).format(x.text), x)


def pair(w: Writer, s: Scope, accepts: Callable[[Value], bool]) -> tuple[Value, Value, Shape] | None:
    """Two values of one dtype, and the shape that they broadcast to; one may be a number in the text."""
    x = w.pick(s, accepts)
    if x is None:
        return None
    others = [v for v in s.values if v.dtype == x.dtype and accepts(v) and broadcast(v.shape, x.shape) is not None]
    number = w.integer(0 if x.dtype in UNSIGNED else -3, 3)
    constant = Value(str(number) if x.is_integer else f"{number}.0", (), x.dtype, "whole", abs(number))
    if x.dtype == "bool":
        constant = Value(w.choose(["True", "False"]), (), "bool")
    y = w.choose([*others, constant])
    shape = broadcast(x.shape, y.shape)
    if shape is None:
        return None
    return (y, x, shape) if y is not constant and w.flip() else (x, y, shape)


def broadcast(a: Shape, b: Shape) -> Shape | None:
    """The shape that both broadcast to; `None` if there is none, or it is too large."""
    try:
        shape = jnp.broadcast_shapes(a, b)
    except ValueError:
        return None
    return shape if prod(shape) <= MAX_SIZE else None


def add(w: Writer, s: Scope) -> None:
    operands = pair(w, s, lambda v: v.is_number)
    if operands is None:
        return
    x, y, shape = operands
    kind, bound = joined(x, y), x.bound + y.bound
    if kind == "exact" and x.dtype in ("bfloat16", "float16"):
        kind = "close"
    w.define(s, f"{x.text} {w.choose('+-')} {y.text}", shape, x.dtype, kind, bound)


def multiply(w: Writer, s: Scope) -> None:
    operands = pair(w, s, lambda v: v.is_integer or (v.kind == "whole" and v.bound <= 64))
    if operands is None:
        return
    x, y, shape = operands
    kind, bound = joined(x, y), x.bound * y.bound
    if x.is_float and bound > EXACT_UP_TO[x.dtype]:
        return
    w.define(s, f"{x.text} * {y.text}", shape, x.dtype, kind, bound)


def scale(w: Writer, s: Scope) -> None:
    """A product that is not exact, of values that are not large."""
    x = w.pick(s, lambda v: v.kind == "close" or (v.kind == "whole" and v.bound <= 64))
    if x is not None and x.is_float:
        w.like(s, f"{x.text} * {w.choose(['0.3', '-0.7'])}", x, kind="close", bound=0)


def divide(w: Writer, s: Scope) -> None:
    operands = pair(w, s, lambda v: v.is_integer)
    if operands is None:
        return
    x, y, shape = operands
    a, b = (f"jnp.broadcast_to({v.text}, {shape}).astype({dtype_text(x.dtype)})" for v in (x, y))
    w.define(s, f"lax.{w.choose(['div', 'rem'])}({a}, {b} | 1)", shape, x.dtype)


def python_divide(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.dtype in ("int32", "uint8", "int16"))
    if x is not None:
        w.like(s, f"{x.text} {w.choose(['//', '%'])} {w.integer(1, 5)}", x)


def bitwise(w: Writer, s: Scope) -> None:
    operands = pair(w, s, lambda v: not v.is_float)
    if operands is not None:
        x, y, shape = operands
        w.define(s, f"{x.text} {w.choose('&|^')} {y.text}", shape, x.dtype)


def shift(w: Writer, s: Scope) -> None:
    operands = pair(w, s, lambda v: v.is_integer)
    if operands is None:
        return
    x, y, shape = operands
    a, b = (f"jnp.broadcast_to({v.text}, {shape}).astype({dtype_text(x.dtype)})" for v in (x, y))
    function = w.choose(["shift_left", "shift_right_logical", "shift_right_arithmetic"])
    w.define(s, f"lax.{function}({a}, {b})", shape, x.dtype)


def compare(w: Writer, s: Scope) -> None:
    operands = pair(w, s, lambda v: v.is_sharp)
    if operands is not None:
        x, y, shape = operands
        sign = w.choose(["==", "!=", "<", "<=", ">", ">="])
        w.define(s, f"jnp.asarray({x.text} {sign} {y.text})", shape, "bool")


def extremes(w: Writer, s: Scope) -> None:
    operands = pair(w, s, lambda v: v.is_number)
    if operands is not None:
        x, y, shape = operands
        text = f"jnp.{w.choose(['maximum', 'minimum'])}({x.text}, {y.text})"
        w.define(s, text, shape, x.dtype, joined(x, y), bound_of(x, y))


def select(w: Writer, s: Scope) -> None:
    operands, condition = pair(w, s, lambda v: True), w.pick(s, lambda v: v.dtype == "bool")
    if operands is None or condition is None:
        return
    x, y, both = operands
    shape = broadcast(condition.shape, both)
    if shape is not None:
        text = f"jnp.where({condition.text}, {x.text}, {y.text})"
        w.define(s, text, shape, x.dtype, joined(x, y), bound_of(x, y))


def dtype_text(dtype: str) -> str:
    return f"jnp.{dtype}" if dtype != "bool" else "jnp.bool_"


def cast(w: Writer, s: Scope) -> None:
    x = w.pick(s)
    if x is None:
        return
    dtype = w.choose([d for d in DTYPES if x.is_sharp or d in FLOATS])
    w.define(s, f"{x.text}.astype({dtype_text(dtype)})", x.shape, dtype, *cast_kind(x, dtype))


def cast_kind(x: Value, dtype: str) -> tuple[str, int]:
    """The kind and the bound of a value that is cast."""
    if dtype not in FLOATS or x.kind == "close":
        return x.kind, 0
    if x.dtype == "bool":
        return "whole", 1
    if x.kind == "whole":
        return "whole", x.bound
    if x.is_integer and 2 ** jnp.iinfo(x.dtype).bits <= EXACT_UP_TO[dtype]:
        return "whole", 2 ** jnp.iinfo(x.dtype).bits
    same = x.dtype == dtype or dtype == "float32"
    return ("exact" if same else "close"), 0


def smooth(w: Writer, s: Scope) -> None:
    """Transcendental functions with small values."""
    x = w.pick(s, lambda v: v.is_float)
    if x is None:
        return
    functions = ["jnp.tanh({0})", "jnp.exp(-jnp.abs({0}))", "lax.logistic({0})", "lax.erf({0})", "jnp.arctan({0})"]
    if x.kind == "whole" and x.bound <= 64:
        functions += ["jnp.sin({0})", "jnp.cos({0})", "jnp.sqrt(jnp.abs({0}))", "jnp.log1p(jnp.abs({0}))"]
        functions += ["lax.rsqrt(jnp.abs({0}) + 1)", "{0} / 3", "jnp.exp2({0} / 64)", "jnp.cbrt({0})"]
    w.like(s, w.choose(functions).format(x.text), x, kind="close", bound=0)


def without(shape: Shape, axis: int, keep: bool) -> Shape:
    return tuple(1 if i == axis else n for i, n in enumerate(shape) if keep or i != axis)


def reduce(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.shape != ())
    if x is None:
        return
    axis, keep = w.integer(0, len(x.shape) - 1), w.flip()
    shape, n = without(x.shape, axis, keep), x.shape[axis]
    arguments = f"{x.text}, axis={axis}, keepdims={keep}"
    if x.dtype == "bool":
        w.define(s, f"jnp.{w.choose(['any', 'all'])}({arguments})", shape, "bool")
        return
    name = w.choose(["max", "min", "sum", "prod"] + ["argmax", "argmin"] * x.is_sharp)
    if name.startswith("arg"):
        w.define(s, f"jnp.{name}({arguments})", shape, "int32")
    elif name in ("max", "min"):
        w.like(s, f"jnp.{name}({arguments})", x, shape=shape)
    elif name == "sum" or x.is_integer:
        kind = "close" if x.kind == "exact" else x.kind
        if x.is_float and (x.kind == "exact" or x.bound * n > EXACT_UP_TO[x.dtype]):
            return  # it may overflow, or nearly cancel
        w.like(s, f"jnp.{name}({arguments}, dtype={dtype_text(x.dtype)})", x, shape=shape, kind=kind, bound=x.bound * n)


def cumulate(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.shape != () and (v.is_integer or v.kind == "whole"))
    if x is None:
        return
    axis = w.integer(0, len(x.shape) - 1)
    name, bound = w.choose([("cumsum", x.bound * x.shape[axis]), ("cummax", x.bound), ("cummin", x.bound)])
    if not x.is_float or bound <= EXACT_UP_TO[x.dtype]:
        w.like(s, f"lax.{name}({x.text}, axis={axis}, reverse={w.flip()})", x, bound=bound)


def sort(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.shape != () and v.is_sharp and v.is_number)
    if x is None:
        return
    axis = w.integer(0, len(x.shape) - 1)
    if w.flip():
        w.like(s, f"jnp.sort({x.text}, axis={axis}, descending={w.flip()})", x)
    elif w.flip():
        w.define(s, f"jnp.argsort({x.text}, axis={axis})", x.shape, "int32")
    else:
        k = w.integer(1, x.shape[-1])
        part = w.integer(0, 1)
        shape = (*x.shape[:-1], k)
        result = x if part == 0 else Value("", (), "int32")
        w.define(s, f"lax.top_k({x.text}, {k})[{part}]", shape, result.dtype, result.kind, result.bound)


def reshape(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.shape != ())
    if x is None:
        return
    size = prod(x.shape)
    divisors = [n for n in range(1, size + 1) if size % n == 0]
    first = w.choose(divisors)
    shape = w.choose([(size,), (first, size // first), (*x.shape, 1), (1, *x.shape)])
    w.like(s, f"{x.text}.reshape{shape}", x, shape=shape)


def rearrange(w: Writer, s: Scope) -> None:
    """Transposes, flips, rolls."""
    x = w.pick(s, lambda v: v.shape != ())
    if x is None:
        return
    axis = w.integer(0, len(x.shape) - 1)
    what = w.integer(0, 3)
    if what == 0:
        axes = tuple(w.draw(st.permutations(range(len(x.shape)))))
        w.like(s, f"{x.text}.transpose{axes}", x, shape=tuple(x.shape[a] for a in axes))
    elif what == 1:
        w.like(s, f"jnp.flip({x.text}, {axis})", x)
    elif what == 2:
        w.like(s, f"jnp.roll({x.text}, {w.index(s, x.shape[axis])}, {axis})", x)
    else:
        w.like(s, f"pltpu.roll({x.text}, {w.integer(0, x.shape[axis])}, {axis})", x)


def enlarge(w: Writer, s: Scope) -> None:
    """Broadcasts, repeats, pads, concatenates."""
    x = w.pick(s, lambda v: prod(v.shape) <= MAX_SIZE // 3)
    if x is None:
        return
    if x.shape == () or w.flip():
        n = w.integer(1, 3)
        w.like(s, f"jnp.broadcast_to({x.text}, {(n, *x.shape)})", x, shape=(n, *x.shape))
        return
    axis = w.integer(0, len(x.shape) - 1)
    what = w.integer(0, 2)
    others = [v for v in s.values if v.dtype == x.dtype and v.shape == x.shape]
    y = w.choose(others)

    def with_axis(n: int) -> Shape:
        return tuple(n if i == axis else size for i, size in enumerate(x.shape))

    if what == 0:
        shape = with_axis(2 * x.shape[axis])
        text = f"jnp.concatenate([{x.text}, {y.text}], {axis})"
    elif what == 1:
        text, shape = f"jnp.repeat({x.text}, 2, {axis})", with_axis(2 * x.shape[axis])
        y = x
    else:
        low, high, inside = w.integer(-1, 2), w.integer(-1, 2), w.integer(0, 1)
        n = x.shape[axis] + inside * (x.shape[axis] - 1) + low + high
        if n < 1:
            return
        padding = [(low, high, inside) if i == axis else (0, 0, 0) for i in range(len(x.shape))]
        text = f"lax.pad({x.text}, jnp.array({w.integer(0, 1)}, {x.text}.dtype), {padding})"
        shape, y = with_axis(n), x
    w.like(s, text, x, shape=shape, kind=joined(x, y), bound=max(bound_of(x, y), 1))


def part(w: Writer, s: Scope) -> None:
    """Slices, static and dynamic; what lies outside is clamped, as lax defines."""
    x = w.pick(s, lambda v: v.shape != ())
    if x is None:
        return
    if w.flip():
        slices = [slice_of(w, n) for n in x.shape]
        text = ", ".join(f"{a}:{b}:{step}" for a, b, step in slices)
        w.like(s, f"{x.text}[{text}]", x, shape=tuple(len(range(*bounds)) for bounds in slices))
        return
    sizes = tuple(w.integer(1, n) for n in x.shape)
    starts = ", ".join(w.index(s, n) for n in x.shape)
    w.like(s, f"lax.dynamic_slice({x.text}, ({starts},), {sizes})", x, shape=sizes)


def slice_of(w: Writer, size: int, max_step: int = 2) -> tuple[int, int, int]:
    start = w.integer(0, size - 1)
    return start, w.integer(start + 1, size), w.integer(1, max_step)


def update(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.shape != ())
    if x is None:
        return
    y = w.pick(s, lambda v: v.dtype == x.dtype and v.shape == x.shape)
    if y is None:
        return
    sizes = tuple(w.integer(1, n) for n in x.shape)
    window = ", ".join(f":{n}" for n in sizes)
    starts = ", ".join(w.index(s, n) for n in x.shape)
    text = f"lax.dynamic_update_slice({x.text}, {y.text}[{window}], ({starts},))"
    w.like(s, text, x, kind=joined(x, y), bound=bound_of(x, y))


def gather(w: Writer, s: Scope) -> None:
    x, positions = w.pick(s, lambda v: v.shape != ()), w.pick(s, lambda v: v.dtype == "int32" and len(v.shape) <= 2)
    if x is None or positions is None:
        return
    axis = w.integer(0, len(x.shape) - 1)
    shape = (*x.shape[:axis], *positions.shape, *x.shape[axis + 1 :])
    if prod(shape) <= MAX_SIZE:
        mode = w.choose(["clip", "wrap", "fill"])
        w.like(s, f"jnp.take({x.text}, {positions.text}, {axis}, mode={mode!r})", x, shape=shape)


def scatter(w: Writer, s: Scope) -> None:
    """Adds and extremes, which take several values for one place in any order."""
    x = w.pick(s, lambda v: v.shape != () and (v.is_integer or v.kind == "whole"))
    positions = w.pick(s, lambda v: v.dtype == "int32" and len(v.shape) <= 1)
    if x is None or positions is None:
        return
    y = w.pick(s, lambda v: v.dtype == x.dtype and v.shape == () and (v.is_integer or v.kind == "whole"))
    number = y or Value(str(w.integer(0, 3)), (), x.dtype, "whole", 3)
    name, mode = w.choose(["add", "max", "min"]), w.choose(["drop", "clip"])
    text = f"{x.text}.at[{positions.text}].{name}({number.text}, mode={mode!r})"
    w.like(s, text, x, bound=x.bound + number.bound * prod(positions.shape))


def dot(w: Writer, s: Scope) -> None:
    """A product of matrices, the second of which may be a constant, contracted over either axis of each."""
    x = w.pick(s, lambda v: len(v.shape) == 2 and (v.dtype in ("int32", "int8", "uint8") or v.kind == "whole"))
    if x is None:
        return
    left, right = w.integer(0, 1), w.integer(0, 1)
    terms = x.shape[left]
    y = w.pick(s, lambda v: (v.dtype, v.kind, len(v.shape)) == (x.dtype, x.kind, 2) and v.shape[right] == terms)
    if y is None or w.flip():
        shape = (terms, w.integer(1, 4)) if right == 0 else (w.integer(1, 4), terms)
        text = f"lax.broadcasted_iota({dtype_text(x.dtype)}, {shape}, {w.integer(0, 1)})"
        y = Value(text, shape, x.dtype, "whole", max(shape))
    shape, bound = (x.shape[1 - left], y.shape[1 - right]), x.bound * y.bound * terms
    if prod(shape) > MAX_SIZE or bound > EXACT_UP_TO["float32"]:
        return
    out = "float32" if x.is_float else "int32"
    dimensions = (((left,), (right,)), ((), ()))
    text = f"lax.dot_general({x.text}, {y.text}, {dimensions}, preferred_element_type=jnp.{out})"
    w.define(s, text, shape, out, "whole" if x.is_float else "exact", bound)


def make(w: Writer, s: Scope) -> None:
    """Values from nothing."""
    shape = w.choose([v.shape for v in s.values] + [ref.shape for ref in s.refs] + [(3,)])
    dtype = w.choose([d for d in DTYPES if d != "bool"])
    number = w.integer(0, 5)
    if shape and w.flip():
        axis = w.integer(0, len(shape) - 1)
        text = f"lax.broadcasted_iota({dtype_text(dtype)}, {shape}, {axis})"
        w.define(s, text, shape, dtype, "whole", shape[axis])
    else:
        w.define(s, f"jnp.full({shape}, {number}, {dtype_text(dtype)})", shape, dtype, "whole", number)


def clamp(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.is_number)
    if x is not None:
        low, high = (f"{x.text}.dtype.type({w.integer(0, 3)})" for _ in range(2))
        w.like(s, f"lax.clamp({low}, {x.text}, {high})", x, bound=max(x.bound, 3))


def power(w: Writer, s: Scope) -> None:
    x, n = w.pick(s, lambda v: v.is_integer or (v.kind == "whole" and v.bound <= 8)), w.integer(0, 3)
    if x is not None and (not x.is_float or x.bound**n <= EXACT_UP_TO[x.dtype]):
        w.like(s, f"lax.integer_pow({x.text}, {n})", x, bound=max(x.bound, 1) ** n)


def remainder(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.is_float and v.is_sharp)
    if x is not None:
        w.like(s, f"lax.rem({x.text}, jnp.full_like({x.text}, {w.choose([1, 2, 3, -2.5])}))", x, kind="exact", bound=0)


def classify(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.is_float and v.is_sharp)
    if x is not None:
        names = ["isfinite", "isnan", "isinf"] + ["signbit"] * (x.kind == "whole")  # the sign of a NaN may be any
        w.define(s, f"jnp.{w.choose(names)}({x.text})", x.shape, "bool")


def rounded(w: Writer, s: Scope) -> None:
    """Through a narrower dtype and back."""
    x = w.pick(s, lambda v: v.dtype == "float32" and v.is_sharp)
    if x is not None and w.flip():
        text = f"lax.reduce_precision({x.text}, {w.integer(4, 8)}, {w.integer(2, 20)})"
        w.like(s, text, x, kind="exact", bound=0)
    elif x is not None:
        narrow = w.choose(["float8_e4m3fn", "float8_e5m2"])
        w.like(s, f"{x.text}.astype(jnp.{narrow}).astype(jnp.float32)", x, kind="exact", bound=0)
    elif (x := w.pick(s, lambda v: v.is_integer)) is not None:
        w.like(s, f"{x.text}.astype(jnp.{w.choose(['int4', 'uint4'])}).astype({x.text}.dtype)", x)


def bits(w: Writer, s: Scope) -> None:
    """The bits of integers, and of floats that are numbers."""
    x = w.pick(s, lambda v: v.is_integer or v.kind == "whole")
    if x is None or not x.is_number:
        return
    widths = [("int8", "uint8"), ("int16", "uint16"), ("int32", "uint32")]
    same = next(names for names in widths if jnp.dtype(names[0]).itemsize == jnp.dtype(x.dtype).itemsize)
    dtype = w.choose(same)
    w.define(s, f"lax.bitcast_convert_type({x.text}, {dtype_text(dtype)})", x.shape, dtype)


def fold(w: Writer, s: Scope) -> None:
    """`lax.reduce`, over one axis or more."""
    x = w.pick(s, lambda v: v.shape != () and (not v.is_float or v.kind == "whole"))
    if x is None:
        return
    count = w.integer(1, len(x.shape))
    axes = tuple(sorted(w.draw(st.permutations(range(len(x.shape))))[:count]))
    shape = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
    name = w.choose(["add", "max"] if x.is_float else ["bitwise_and", "bitwise_or", "bitwise_xor"])
    bound = 3 + x.bound * prod(x.shape[axis] for axis in axes)
    if not x.is_float or bound <= EXACT_UP_TO[x.dtype]:
        text = f"lax.reduce({x.text}, {x.text}.dtype.type({w.integer(0, 3)}), lax.{name}, {axes})"
        w.like(s, text, x, shape=shape, bound=bound)


def windows(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.shape != () and (v.is_integer or v.kind == "whole"))
    if x is None:
        return
    sizes = tuple(w.integer(1, min(n, 3)) for n in x.shape)
    strides = tuple(w.integer(1, 2) for _ in x.shape)
    shape = tuple((n - size) // stride + 1 for n, size, stride in zip(x.shape, sizes, strides))
    name, bound = w.choose([("add", x.bound * prod(sizes)), ("max", x.bound), ("min", x.bound)])
    if not x.is_float or bound <= EXACT_UP_TO[x.dtype]:
        text = f"lax.reduce_window({x.text}, {x.text}.dtype.type(0), lax.{name}, {sizes}, {strides}, 'VALID')"
        w.like(s, text, x, shape=shape, bound=bound)


def sort_together(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.shape != () and v.is_sharp and v.is_number)
    if x is None:
        return
    y = w.pick(s, lambda v: v.shape == x.shape and v.is_sharp)
    assert y is not None  # x itself, if nothing else
    axis, which = w.integer(0, len(x.shape) - 1), w.integer(0, 1)
    keys = w.integer(1, 2 if y.is_number else 1)
    text = f"lax.sort(({x.text}, {y.text}), dimension={axis}, num_keys={keys})[{which}]"
    w.like(s, text, (x, y)[which])


def gather_elements(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.shape != ())
    positions = w.pick(s, lambda v: v.dtype == "int32" and len(v.shape) <= 2)
    if x is None or positions is None:
        return
    mode = w.choose(["clip", "fill"])
    along = w.pick(s, lambda v: v.dtype == "int32" and v.shape == x.shape)
    if along is not None and w.flip():
        axis = w.integer(0, len(x.shape) - 1)
        w.like(s, f"jnp.take_along_axis({x.text}, {along.text}, {axis}, mode={mode!r})", x)
    elif len(x.shape) > 1:
        others = [v for v in s.values if v.dtype == "int32" and broadcast(v.shape, positions.shape) is not None]
        other = w.choose(others)
        shape = broadcast(other.shape, positions.shape)
        assert shape is not None
        if prod((*shape, *x.shape[2:])) <= MAX_SIZE:
            text = f"{x.text}.at[{positions.text}, {other.text}].get(mode={mode!r})"
            w.like(s, text, x, shape=(*shape, *x.shape[2:]))


def scatter_same(w: Writer, s: Scope) -> None:
    """The same row for each place, so that the order does not matter; or products of integers."""
    x = w.pick(s, lambda v: v.shape != ())
    positions = w.pick(s, lambda v: v.dtype == "int32" and len(v.shape) <= 1)
    if x is None or positions is None:
        return
    mode = w.choose(["drop", "clip"])
    y = w.pick(s, lambda v: v.dtype == x.dtype and v.shape == x.shape[1:])
    if y is not None:
        name = w.choose(["set", "multiply"]) if x.is_integer else "set"
        text = f"{x.text}.at[{positions.text}].{name}({y.text}, mode={mode!r})"
        w.like(s, text, x, kind=joined(x, y), bound=bound_of(x, y))


def batched_dot(w: Writer, s: Scope) -> None:
    """A product of matrices for each index of the first axis, or contracted over it."""
    x = w.pick(s, lambda v: len(v.shape) >= 2 and (v.dtype in ("int32", "int8", "uint8") or v.kind == "whole"))
    if x is None:
        return
    y = w.pick(s, lambda v: (v.dtype, v.kind, v.shape) == (x.dtype, x.kind, x.shape))
    assert y is not None
    out = "float32" if x.is_float else "int32"
    if len(x.shape) == 3:
        dimensions, shape, n = (((2,), (2,)), ((0,), (0,))), (x.shape[0], x.shape[1], x.shape[1]), x.shape[2]
    elif len(x.shape) == 2:
        dimensions, shape, n = (((0,), (0,)), ((), ())), (x.shape[1], x.shape[1]), x.shape[0]
    else:
        return
    bound = x.bound * y.bound * n
    if prod(shape) <= MAX_SIZE and bound <= EXACT_UP_TO["float32"]:
        text = f"lax.dot_general({x.text}, {y.text}, {dimensions}, preferred_element_type=jnp.{out})"
        w.define(s, text, shape, out, "whole" if x.is_float else "exact", bound)


def joined_up(w: Writer, s: Scope) -> None:
    """Stacks, tiles, and one part of a split."""
    x = w.pick(s, lambda v: v.shape != () and prod(v.shape) <= MAX_SIZE // 2)
    if x is None:
        return
    axis, what = w.integer(0, len(x.shape) - 1), w.integer(0, 2)
    n = x.shape[axis]
    if what == 0:
        y = w.pick(s, lambda v: v.shape == x.shape and v.dtype == x.dtype)
        assert y is not None
        shape = (*x.shape[:axis], 2, *x.shape[axis:])
        text = f"jnp.stack([{x.text}, {y.text}], {axis})"
        w.like(s, text, x, shape=shape, kind=joined(x, y), bound=bound_of(x, y))
        return
    shape = tuple((2 * n if what == 1 else n // 2) if i == axis else m for i, m in enumerate(x.shape))
    if what == 1:
        w.like(s, f"jnp.tile({x.text}, {tuple(2 if i == axis else 1 for i in range(len(x.shape)))})", x, shape=shape)
    elif n % 2 == 0:
        w.like(s, f"jnp.split({x.text}, 2, {axis})[{w.integer(0, 1)}]", x, shape=shape)


def rectify(w: Writer, s: Scope) -> None:
    """Functions that jax.nn makes of calls with rules of their own."""
    x = w.pick(s, lambda v: v.is_float)
    if x is not None:
        w.like(s, f"jax.nn.relu({x.text})", x)


def products(w: Writer, s: Scope) -> None:
    x = w.pick(s, lambda v: v.shape != () and v.is_integer)
    if x is not None:
        axis = w.integer(0, len(x.shape) - 1)
        w.like(s, f"lax.cumprod({x.text}, axis={axis}, reverse={w.flip()})", x)


OPERATIONS = [
    add, add, multiply, unary, stepwise, invert, bit_counts, divide, python_divide, bitwise, shift, compare, compare,
    extremes, select, select, cast, cast, smooth, scale, reduce, reduce, cumulate, sort, reshape, rearrange, enlarge,
    part, part, update, gather, gather, scatter, dot, make, clamp, power, remainder, classify, rounded, bits, fold,
    windows, sort_together, gather_elements, gather_elements, scatter_same, batched_dot, joined_up, rectify, products,
]  # fmt: skip


# Memory.


def place(w: Writer, s: Scope, ref: Ref, only_slices: bool = False) -> tuple[str, Shape]:
    """An index of a ref, in bounds, and the shape of what is there."""
    if ref.shape == () or w.integer(0, 2) == 0:
        return "...", ref.shape
    texts, shape = [], []
    # With integers beside it, `interpret=True` has no strided dynamic slice.
    strided = not only_slices and w.integer(0, 3) == 0
    for n in ref.shape:
        what = w.integer(1, 5) if strided else w.choose([1, 2, 4, 5] if only_slices else [0, 1, 2, 4, 5])
        if what == 0:
            texts.append(w.index(s, n - 1))
        elif what == 1:
            start, stop, step = slice_of(w, n, 2 if strided else 1)
            texts.append(f"{start}:{stop}:{step}")
            shape.append(len(range(start, stop, step)))
        elif what == 2:
            size = w.integer(1, n)
            texts.append(f"pl.ds({w.index(s, n - size)}, {size})")
            shape.append(size)
        elif what == 3 and n > 2:
            size = w.integer(1, (n + 1) // 2)
            start = w.index(s, n - (2 * (size - 1) + 1))
            texts.append(f"pl.ds({start}, {size}, 2)")
            shape.append(size)
        else:
            texts.append(":")
            shape.append(n)
    return ", ".join(texts), tuple(shape)


def place_by_array(w: Writer, s: Scope, ref: Ref) -> tuple[str, Shape]:
    """An index with an array of integers for one axis, in bounds."""
    positions = w.pick(s, lambda v: v.dtype == "int32" and 1 <= len(v.shape) <= 2)
    if ref.shape == () or positions is None or prod(ref.shape) * prod(positions.shape) > MAX_SIZE:
        return place(w, s, ref)
    axis = w.integer(0, len(ref.shape) - 1)
    texts, shape = [], []
    for n, size in enumerate(ref.shape):
        if n == axis:
            texts.append(f"jnp.clip({positions.text}, 0, {size - 1})")
            shape += positions.shape
        else:
            start, stop, step = slice_of(w, size, 1) if w.flip() else (0, size, 1)
            texts.append(f"{start}:{stop}:{step}")
            shape.append(stop - start)
    return ", ".join(texts), tuple(shape)


def part_of(w: Writer, s: Scope, ref: Ref) -> Ref:
    """Perhaps a part of the ref, `ref.at[...]`, as a ref."""
    if ref.shape == () or w.integer(0, 4):
        return ref
    slices = [slice_of(w, n, 1) for n in ref.shape]
    shape = tuple(stop - start for start, stop, _ in slices)
    return replace(ref, name=f"{ref.name}.at[{', '.join(f'{a}:{b}' for a, b, _ in slices)}]", shape=shape)


def somewhere(w: Writer, s: Scope, ref: Ref) -> tuple[str, Shape]:
    return place_by_array(w, s, ref) if w.integer(0, 5) == 0 else place(w, s, ref)


def read(w: Writer, s: Scope) -> None:
    refs = [ref for ref in s.refs if ref.readable]
    if refs:
        ref = part_of(w, s, w.choose(refs))
        where, shape = somewhere(w, s, ref)
        w.define(s, f"{ref.name}[{where}]", shape, ref.dtype, ref.kind, ref.bound)


def write(w: Writer, s: Scope) -> None:
    refs = [ref for ref in s.refs if ref.writable]
    if not refs or not s.effects:
        return
    ref = w.choose(refs)
    exact = ref.readable and ref.kind == "exact" and ref.dtype not in ("bfloat16", "float16")
    how = w.choose(
        ["=", "=", "+=", "swap", "add"] if exact and ref.dtype != "bool" else ["=", "swap"] if exact else "="
    )
    if how == "add":
        # Of several values for one place the sum is the same in any order for integers only.
        where, shape = (somewhere if ref.dtype in INTEGERS else place)(w, s, ref)
        s.lines.append(f"jax.ref.addupdate({ref.name}, jnp.s_[{where}], {fitted(w, s, shape, ref)})")
        return
    ref = part_of(w, s, ref)
    where, shape = somewhere(w, s, ref) if how == "=" else place(w, s, ref)
    value = fitted(w, s, shape, ref)
    if how == "swap":
        w.define(s, f"jax.ref.swap({ref.name}, jnp.s_[{where}], {value})", shape, ref.dtype, ref.kind, ref.bound)
    else:
        s.lines.append(f"{ref.name}[{where}] {how} {value}")


def masked(w: Writer, s: Scope) -> None:
    """A load or a store with a mask; what the mask turns off is `other`, or stays as it was."""
    refs = [ref for ref in s.refs if ref.readable and ref.shape != ()]
    mask = w.pick(s, lambda v: v.dtype == "bool")
    if not refs or mask is None:
        return
    ref = w.choose(refs)
    where, shape = place(w, s, ref, only_slices=True)  # `interpret=True` has no integers and strides with masks
    part = f"{ref.name}.at[{where}]"
    turned_on = f"jnp.resize({mask.text}, {shape})"
    if ref.writable and ref.kind == "exact" and s.effects and w.flip():
        s.lines.append(f"plgpu.store({part}, {fitted(w, s, shape, ref)}, mask={turned_on})")
    elif shape != ():
        other = w.integer(0, 3)
        text = f"plgpu.load({part}, mask={turned_on}, other=jnp.full({shape}, {other}, {dtype_text(ref.dtype)}))"
        w.define(s, text, shape, ref.dtype, ref.kind, max(ref.bound, other))


def copy(w: Writer, s: Scope) -> None:
    """A DMA from one ref to another."""
    targets = [ref for ref in s.refs if ref.writable and ref.readable and ref.kind == "exact"]
    if not targets or not s.effects or not s.copies:
        return
    to = w.choose(targets)
    sources = [
        r for r in s.refs if r.readable and r is not to and r.dtype == to.dtype and len(r.shape) == len(to.shape)
    ]
    if not sources:
        return
    source = w.choose(sources)
    shape = tuple(min(n, m) for n, m in zip(source.shape, to.shape))
    if shape == ():
        s.lines.append(f"pltpu.sync_copy({source.name}, {to.name})")
        return
    starts = [[w.integer(0, n - size) for n, size in zip(ref.shape, shape)] for ref in (source, to)]
    slices = [", ".join(f"{a}:{a + size}" for a, size in zip(start, shape)) for start in starts]
    s.lines.append(f"pltpu.sync_copy({source.name}.at[{slices[0]}], {to.name}.at[{slices[1]}])")


def fitted(w: Writer, s: Scope, shape: Shape, ref: Ref) -> str:
    """A value from the pool, made to fit this shape and the ref's dtype."""

    def fits(v: Value) -> bool:
        return v.is_sharp or (ref.dtype in FLOATS and ref.kind == "close")

    def fits_cast(v: Value) -> bool:
        return fits(v) and (ref.kind == "close" or ref.dtype not in FLOATS or cast_kind(v, ref.dtype)[0] != "close")

    value = w.pick(s, lambda v: fits_cast(v) and not s.uses(v)) or w.pick(s, fits_cast)
    if value is None:
        return f"jnp.zeros({shape}, {dtype_text(ref.dtype)})"
    if ref.kind == "close" and ref.dtype != "float32":
        w.narrow = True
    text = value.text if value.dtype == ref.dtype else f"{value.text}.astype({dtype_text(ref.dtype)})"
    return text if value.shape == shape else f"jnp.resize({text}, {shape})"


# Control flow.


def indented(lines: Sequence[str]) -> list[str]:
    return ["    " + line for line in lines]


def inner(s: Scope, *values: Value, effects: bool = True) -> Scope:
    return Scope([], [*s.values, *values], s.refs, s.depth + 1, s.effects and effects, s.copies)


def when(w: Writer, s: Scope) -> None:
    condition = w.pick(s, lambda v: v.dtype == "bool" and v.shape == ())
    if condition is None or not s.effects:
        return
    body = inner(s)
    statements(w, body, 1, 2)
    write(w, body)
    if not body.lines or body.lines[-1].split()[0].startswith("v"):
        body.lines.append("pass")
    s.lines += [f"@pl.when({condition.text})", f"def {w.fresh('when')}():", *indented(body.lines)]


def carried(v: Value) -> bool:
    """Whether a loop may carry it: what it becomes has to be of the same kind."""
    return not v.is_float or v.dtype == "float32"


def carry_of(value: Value, name: str) -> Value:
    return Value(name, value.shape, value.dtype, value.kind if value.kind == "close" else "exact")


def result_like(w: Writer, body: Scope, wanted: Value) -> str:
    """What a body returns where this value is wanted: the same, changed by something that the body made."""
    candidates = [
        v
        for v in body.values
        if v.shape == wanted.shape and v.dtype == wanted.dtype and (v.is_sharp or wanted.kind == "close")
    ]
    base = w.choose(candidates[::-1]).text
    if not carried(wanted) or w.integer(0, 3) == 0:
        return base
    return mixed(w, body, base, Ref("", wanted.shape, wanted.dtype, wanted.kind))


def mixed(w: Writer, s: Scope, base: str, ref: Ref) -> str:
    """`base` and what fits it best of what nobody has used yet."""
    sign = "^" if ref.dtype == "bool" else "+"
    return f"{base} {sign} {fitted(w, s, ref.shape, ref)}"


def loop(w: Writer, s: Scope) -> None:
    """`fori_loop`, which is a `scan` or a `while`, and `while_loop`."""
    value = w.pick(s, carried)
    if value is None:
        return
    carry, step = carry_of(value, w.fresh("carry")), Value(w.fresh("step"), (), "int32")
    body = inner(s, step, carry)
    statements(w, body, 1, 3)
    result, name = result_like(w, body, carry), w.fresh("body")
    trips = str(w.integer(0, 3)) if w.flip() else w.index(s, 3)
    if w.integer(0, 2):
        s.lines += [f"def {name}({step.text}, {carry.text}):", *indented(body.lines), f"    return {result}"]
        w.like(s, f"lax.fori_loop(0, {trips}, {name}, {value.text})", carry)
        return
    s.lines += [f"def {name}(state):", f"    {step.text}, {carry.text} = state", *indented(body.lines)]
    s.lines += [f"    return {step.text} + 1, {result}"]
    start = f"(jnp.int32(0), {value.text})"
    w.like(s, f"lax.while_loop(lambda state: state[0] < {trips}, {name}, {start})[1]", carry)


def scan(w: Writer, s: Scope) -> None:
    value, xs = w.pick(s, carried), w.pick(s, lambda v: v.shape != ())
    if value is None or xs is None:
        return
    carry = carry_of(value, w.fresh("carry"))
    x = replace(xs, text=w.fresh("a"), shape=xs.shape[1:])
    body = inner(s, carry, x)
    statements(w, body, 1, 2)
    result, name = result_like(w, body, carry), w.fresh("body")
    y = w.choose(body.values[::-1])
    s.lines += [f"def {name}({carry.text}, {x.text}):", *indented(body.lines), f"    return {result}, {y.text}"]
    scanned = f"lax.scan({name}, {value.text}, {xs.text}, reverse={w.flip()})"
    if w.flip() or prod((xs.shape[0], *y.shape)) > MAX_SIZE:
        w.like(s, f"{scanned}[0]", carry)
    else:
        w.like(s, f"{scanned}[1]", y, shape=(xs.shape[0], *y.shape))


def conditional(w: Writer, s: Scope) -> None:
    """`cond` and `switch`."""
    value = w.pick(s, carried)
    if value is None:
        return
    names: list[str] = []
    value = carry_of(value, value.text)
    for _ in range(w.integer(2, 3)):
        body = inner(s)
        statements(w, body, 1, 2)
        names.append(w.fresh("branch"))
        result = result_like(w, body, value)
        s.lines += [f"def {names[-1]}():", *indented(body.lines), f"    return {result}"]
    predicate = w.pick(s, lambda v: v.dtype == "bool" and v.shape == ())
    if len(names) == 2 and predicate is not None:
        text = f"lax.cond({predicate.text}, {names[0]}, {names[1]})"
    else:
        text = f"lax.switch({w.index(s, len(names) - 1)}, [{', '.join(names)}])"
    w.like(s, text, value)


def scoped(w: Writer, s: Scope) -> None:
    """`run_scoped`: memory for a few statements."""
    if not s.effects:  # `jax.vmap` has no rule for it
        return
    value = w.pick(s, lambda v: v.is_sharp and v.dtype != "float16" and (not v.is_float or v.dtype == "float32"))
    if value is None:
        return
    ref = Ref(w.fresh("scoped"), value.shape, value.dtype)
    name = w.fresh("within")
    body = inner(s)
    body.refs = [*s.refs, ref]
    body.lines.append(f"{ref.name}[...] = {value.text}")
    statements(w, body, 1, 3)
    s.lines += [f"def {name}({ref.name}):", *indented(body.lines), f"    return {ref.name}[...]"]
    memory = f"pltpu.VMEM({ref.shape}, {dtype_text(ref.dtype)})"
    w.like(s, f"pl.run_scoped({name}, {memory})", value, kind="exact", bound=0)


def each(w: Writer, s: Scope) -> None:
    """`pl.loop`, which has no carry."""
    if not s.effects:
        return
    step = Value(w.fresh("step"), (), "int32")
    body = inner(s, step)
    statements(w, body, 1, 2)
    write(w, body)
    if not body.lines:
        return
    low, high = w.integer(0, 2), str(w.integer(0, 4)) if w.flip() else w.index(s, 3)
    s.lines += [f"@pl.loop({low}, {high})", f"def {w.fresh('each')}({step.text}):", *indented(body.lines)]


def loop_over_two(w: Writer, s: Scope) -> None:
    """A loop with two carries, which may change places."""
    values = [w.pick(s, carried) for _ in range(2)]
    if None in values:
        return
    carries = [carry_of(v, w.fresh("carry")) for v in values if v is not None]
    step = Value(w.fresh("step"), (), "int32")
    body = inner(s, step, *carries)
    statements(w, body, 1, 3)
    results = [result_like(w, body, carry) for carry in carries]
    a, b = carries
    if (a.shape, a.dtype, a.kind) == (b.shape, b.dtype, b.kind) and w.flip():
        results.reverse()
    name, trips = w.fresh("body"), str(w.integer(0, 3)) if w.flip() else w.index(s, 3)
    s.lines += [f"def {name}({step.text}, carries):", f"    {a.text}, {b.text} = carries", *indented(body.lines)]
    s.lines += [f"    return {results[0]}, {results[1]}"]
    start = ", ".join(v.text for v in values if v is not None)
    pair_name = w.fresh("carried")
    s.lines += [f"{pair_name} = lax.fori_loop({w.integer(0, 1)}, {trips}, {name}, ({start}))"]
    for n, carry in enumerate(carries):
        w.like(s, f"{pair_name}[{n}]", carry)


def halve(w: Writer, s: Scope) -> None:
    """A `while_loop` whose number of trips depends on what it computes."""
    x = w.pick(s, lambda v: v.dtype in ("int32", "uint8", "int16") and v.shape == ())
    value = w.pick(s, carried)
    if x is None or value is None:
        return
    left, carry = Value(w.fresh("left"), (), x.dtype), carry_of(value, w.fresh("carry"))
    body = inner(s, left, carry)
    statements(w, body, 1, 2)
    result, name = result_like(w, body, carry), w.fresh("body")
    s.lines += [f"def {name}(state):", f"    {left.text}, {carry.text} = state", *indented(body.lines)]
    s.lines += [f"    return {left.text} >> 2, {result}"]
    w.like(s, f"lax.while_loop(lambda state: state[0] > 0, {name}, ({x.text}, {value.text}))[1]", carry)


def function(w: Writer, s: Scope) -> None:
    """A call of a function: jitted, differentiable, or mapped over its argument's first axis."""
    x = w.pick(s, lambda v: True)
    if x is None:
        return
    how = w.choose(["jax.jit", "jax.checkpoint"] + ["jax.vmap"] * (x.shape != ()))
    mapped = how == "jax.vmap"
    given = replace(x, text=w.fresh("a"), shape=x.shape[1:] if mapped else x.shape)
    body = inner(s, given, effects=how == "jax.jit")
    body.copies = False
    if how != "jax.jit":
        body.refs = []
    statements(w, body, 1, 3)
    y, name = w.choose(body.values[::-1]), w.fresh("function")
    shape = (x.shape[0], *y.shape) if mapped else y.shape
    if prod(shape) <= MAX_SIZE:
        s.lines += [f"def {name}({given.text}):", *indented(body.lines), f"    return {y.text}"]
        w.like(s, f"{how}({name})({x.text})", y, shape=shape)


STRUCTURES = [when, loop, scan, conditional, scoped, each, loop_over_two, halve, function, function]


def statements(w: Writer, s: Scope, least: int, most: int) -> None:
    """Some statements more."""
    for _ in range(w.integer(least, most)):
        before = len(s.lines)
        what = w.integer(0, 16)
        if what <= 1:
            read(w, s)
        elif what == 2:
            write(w, s)
        elif what == 6:
            w.choose([masked, copy])(w, s)
        elif what <= 5 and s.depth < MAX_DEPTH:
            w.choose(STRUCTURES)(w, s)
        for _ in range(3):
            if len(s.lines) == before:
                w.choose(OPERATIONS)(w, s)


# The call: grid, blocks, index maps.


@dataclass
class Axis:
    """One axis of an operand: its length, its block (`None`: squeezed), and its index on the grid."""

    size: int
    block: int | None
    index: str
    element: bool = False
    padding: tuple[int, int] = (0, 0)

    @property
    def count(self) -> int:
        return -(-self.size // (self.block or 1))

    @property
    def is_ragged(self) -> bool:
        return self.block is not None and self.size % self.block != 0


@dataclass
class Operand:
    """An operand of the call."""

    name: str
    dtype: str
    axes: list[Axis]
    whole: bool = False
    values: str = ""
    kind: str = "exact"
    bound: int = 0
    alias: int | None = None
    visited_once: bool = False

    @property
    def shape(self) -> Shape:
        return tuple(axis.size for axis in self.axes)

    @property
    def block(self) -> Shape:
        if self.whole:
            return self.shape
        return tuple(axis.block for axis in self.axes if axis.block is not None)

    @property
    def is_ragged(self) -> bool:
        return not self.whole and any(axis.is_ragged for axis in self.axes)

    def spec(self, grid: Sequence[str], prefetch: Sequence[str]) -> str:
        if self.whole:
            return "pl.BlockSpec(memory_space=pl.ANY)"
        dims = [f"pl.Element({a.block}, {a.padding})" if a.element else repr(a.block) for a in self.axes]
        indices = [a.index for a in self.axes]
        return f"pl.BlockSpec({tupled(dims)}, lambda {', '.join([*grid, *prefetch])}: {tupled(indices)})"


def tupled(texts: Sequence[str]) -> str:
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"


@dataclass
class Call:
    """A kernel's call."""

    grid: Shape
    prefetch: list[tuple[str, int, int]] = field(default_factory=list)  # name, length, values below
    inputs: list[Operand] = field(default_factory=list)
    outputs: list[Operand] = field(default_factory=list)
    scratch: list[Ref] = field(default_factory=list)

    @property
    def axes(self) -> list[str]:
        return list("ijk"[: len(self.grid)])


def index_of(w: Writer, call: Call, count: int, element: bool) -> str:
    """An index from 0 to `count - 1`."""
    if not call.grid or count == 1:
        return str(w.integer(0, count - 1))
    choices = []
    for name, size in zip(call.axes, call.grid):
        choices += [name] * 4 if size <= count else [f"{name} % {count}", f"{name} // {-(-size // count)}"]
        if size <= count:
            choices.append(f"{count - 1} - {name}")
        for table, length, below in call.prefetch:
            if size <= length and below <= count:
                choices += [f"{table}[{name}]"] * 3
    if len(call.grid) > 1:
        choices.append(f"(i + j) % {count}")
    choices.append(str(w.integer(0, count - 1)))
    return w.choose(choices)


def operand(w: Writer, call: Call, name: str) -> Operand:
    dtype = w.choose(IN_MEMORY)
    axes = []
    element = w.integer(0, 9) == 0
    for _ in range(w.integer(1, 3)):
        block = w.choose([1, 2, 3, 4]) if element else w.choose([None, 1, 2, 3, 4])
        count = w.integer(1, 3)
        size = (block or 1) * count
        if not element and block is not None and block > 1 and w.integer(0, 3) == 0:
            size -= w.integer(1, block - 1)  # a ragged last block
        padding = (w.integer(0, 2), w.integer(0, 2)) if element and name.startswith("x") and w.flip() else (0, 0)
        count = size + sum(padding) - block + 1 if element else count
        axes.append(Axis(size, block, index_of(w, call, count, element), element, padding))
    found = Operand(name, dtype, axes)
    found.whole = not call.grid or (not element and w.integer(0, 7) == 0)
    while found.whole and prod(found.shape) > MAX_SIZE:
        axes.pop()
    return found


def contents(w: Writer, operand: Operand) -> None:
    """What an input holds."""
    shape, dtype = operand.shape, dtype_text(operand.dtype)
    if operand.dtype in FLOATS and w.integer(0, 2):
        operand.kind, operand.bound = "whole", 4
        operand.values = f"small({shape}, {dtype}, 4)"
    else:
        operand.values = f"anything({shape}, {dtype})"


def alias(w: Writer, call: Call) -> None:
    """Perhaps an output in an input's place: each block is visited once, and read only before it is written."""
    if len(call.grid) == 0 or len(call.grid) > 2 or w.integer(0, 3):
        return
    if any(axis.padding != (0, 0) for x in call.inputs for axis in x.axes):
        return  # `interpret=True` does not have both
    dtype = w.choose(IN_MEMORY)
    blocks = [w.integer(1, 3) for _ in call.grid]
    indices = [w.choose([n, f"{size - 1} - {n}"]) for n, size in zip(call.axes, call.grid)]
    axes = [Axis(b * size, b, index) for b, size, index in zip(blocks, call.grid, indices)]
    if w.flip():
        axes.append(Axis(2, 2, "0"))
    given, out = (Operand(f"{letter}_alias", dtype, list(axes), visited_once=True) for letter in "xo")
    contents(w, given)
    out.alias = len(call.inputs)
    call.inputs.append(given)
    call.outputs.append(out)


def new_call(w: Writer) -> Call:
    call = Call(tuple(w.integer(1, 3) for _ in range(w.choose([0, 1, 1, 2, 2, 3]))))
    if call.grid and w.integer(0, 2) == 0:
        call.prefetch = [(f"s{n}", 4, w.integer(1, 3)) for n in range(w.integer(1, 2))]
    for n in range(w.integer(1, 3)):
        call.inputs.append(operand(w, call, f"x{n}"))
        contents(w, call.inputs[-1])
    for n in range(w.integer(1, 2)):
        call.outputs.append(operand(w, call, f"o{n}"))
    alias(w, call)
    for n in range(w.integer(0, 2)):
        shape = tuple(w.integer(1, 4) for _ in range(w.integer(1, 2)))
        call.scratch.append(Ref(f"c{n}", shape, w.choose(IN_MEMORY)))
    return call


def kernel_text(w: Writer) -> str:
    call = new_call(w)
    scope = Scope([], [], [])
    for n, name in enumerate(call.axes):
        scope.lines.append(f"{name} = pl.program_id({n})")
        scope.values.append(Value(name, (), "int32"))
    for table, length, _ in call.prefetch:
        scope.refs.append(Ref(table, (length,), "int32", writable=False))
    for x in call.inputs:
        ref = Ref(x.name, x.block, x.dtype, x.kind, x.bound, writable=False)
        if x.visited_once or w.flip():
            w.define(scope, f"{x.name}[...]", x.block, x.dtype, x.kind, x.bound)
        if not x.visited_once:  # an alias is read only here, before the output is written
            scope.refs.append(ref)
    initialise(w, call, scope)
    for out in call.outputs:
        out.kind = "close" if out.dtype in FLOATS and (out.dtype != "float32" or w.flip()) else "exact"
        # What lies past the end is not kept until a block comes back, so it must not be read.
        readable = not out.is_ragged and not out.visited_once and out.kind == "exact"
        scope.refs.append(Ref(out.name, out.block, out.dtype, out.kind, readable=readable))
    statements(w, scope, 8, 16)
    for out in call.outputs:
        ref = next(ref for ref in scope.refs if ref.name == out.name)
        if w.integer(0, 4) or not ref.readable:
            text = fitted(w, scope, out.block, ref)
            for _ in range(w.integer(0, 3)):
                scope.lines.append(f"{out.name}_new = {text}")
                text = mixed(w, scope, f"{out.name}_new", ref)
            scope.lines.append(f"{out.name}[...] = {text}")
    return rendered(w, call, scope)


def initialise(w: Writer, call: Call, scope: Scope) -> None:
    """Scratch memory is written before it is read: at the first program, or at each."""
    for n, ref in enumerate(call.scratch):
        close = ref.dtype in ("bfloat16", "float16")
        call.scratch[n] = ref = replace(ref, kind="close" if close else "exact", readable=not close)
        first = " & ".join(f"({name} == 0)" for name in call.axes)
        line = f"{ref.name}[...] = jnp.full({ref.shape}, {w.integer(0, 2)}, {dtype_text(ref.dtype)})"
        if first and w.flip():
            scope.lines += [f"@pl.when({first})", f"def {w.fresh('first')}():", f"    {line}"]
        else:
            scope.lines.append(line)
        scope.refs.append(ref)


def rendered(w: Writer, call: Call, scope: Scope) -> str:
    tables = [name for name, _, _ in call.prefetch]
    operands = [o.name for o in call.inputs + call.outputs]
    parameters = [*tables, *operands, *(ref.name for ref in call.scratch)]
    specs = [[o.spec(call.axes, tables) for o in operands] for operands in (call.inputs, call.outputs)]
    shapes = [f"jax.ShapeDtypeStruct({o.shape}, {dtype_text(o.dtype)})" for o in call.outputs]
    scratch = [f"pltpu.{w.choose(['VMEM', 'SMEM'])}({ref.shape}, {dtype_text(ref.dtype)})" for ref in call.scratch]
    aliases = {len(tables) + o.alias: n for n, o in enumerate(call.outputs) if o.alias is not None}
    inputs = [f"indices(({length},), {below})" for _, length, below in call.prefetch]
    inputs += [o.values for o in call.inputs]
    mapped: tuple[int | None, ...] | None = None
    if w.integer(0, 9) == 0:
        mapped = tuple(w.choose([0, 0, None]) for _ in inputs)
        inputs = [text.replace("((", "((2, ", 1) if axis == 0 else text for axis, text in zip(mapped, inputs)]
        mapped = mapped if 0 in mapped else None
    close = 0.05 if w.narrow else 1e-4
    tolerances = [close if o.kind == "close" and o.dtype in FLOATS else 0 for o in call.outputs]
    return "\n".join(
        [
            f"def kernel({', '.join(parameters)}):",
            *indented(scope.lines),
            "",
            "call = dict(",
            f"    out_shape=[{', '.join(shapes)}],",
            "    grid_spec=pltpu.PrefetchScalarGridSpec(",
            f"        num_scalar_prefetch={len(tables)},",
            f"        grid={call.grid},",
            f"        in_specs=[{', '.join(specs[0])}],",
            f"        out_specs=[{', '.join(specs[1])}],",
            f"        scratch_shapes=[{', '.join(scratch)}],",
            "    ),",
            f"    input_output_aliases={aliases},",
            ")",
            f"inputs = [{', '.join(inputs)}]",
            f"tolerances = {tolerances}",
            *([f"mapped = {mapped}"] if mapped else []),
            "",
        ]
    )


@st.composite
def kernels(draw: Any) -> Kernel:
    """Random kernels."""
    return Kernel(kernel_text(Writer(draw)))
