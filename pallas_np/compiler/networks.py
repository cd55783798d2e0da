"""Sorting networks: a chain of steps in which elements are compared with others at fixed places, as one call.

A kernel writes such a step as a choice, with a known mask, between a value and its elements in another order.  Each
place takes the smaller or the larger of two elements, and its partner the other one; so half of what the kernel asks
for is enough.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from pallas_np.compiler.program import Block, Constant, Expression, Statement, Symbol

FEWEST = 3
"""So many steps, at least, are worth the two copies that lay rows next to each other and back."""


class _Step(NamedTuple):
    """A step: of what value, between which places, how it compares, and the values that it computes on the way."""

    x: Symbol
    places: tuple[int, int]
    order: str
    between: frozenset[Symbol]


class _Chain(NamedTuple):
    """Steps one after the other, beginning with the value x."""

    x: Symbol
    places: tuple[tuple[int, int], ...]
    order: str


def join_steps(block: Block) -> bool:
    """Makes one call of each chain of steps, in this block and those in it; whether there is one."""
    users: dict[Symbol, set[Any]] = defaultdict(set)
    for statement in block.statements:
        for symbol in statement.symbols():
            users[symbol].update(statement.targets or [None])
    chains: dict[Symbol, _Chain] = {}
    made: dict[Symbol, Statement] = {}
    found = False
    for statement in block.statements:
        for arm in statement.arms:
            found = join_steps(arm.block) or found
        step = _step(statement)
        if step is None:
            continue
        (target,) = statement.targets
        before = chains.get(step.x)
        if before is None or before.order != step.order or not users[step.x] <= step.between | {target}:
            before = _Chain(step.x, (), step.order)
        else:
            made.pop(step.x, None)
        chain = chains[target] = before._replace(places=(*before.places, step.places))
        if len(chain.places) >= FEWEST:
            made[target] = statement
    for target, statement in made.items():
        x, places, order = chains[target]
        text = f"lax.compare_exchange({{0}}, {places}, {order!r})"
        statement.expression = target.expression = Expression(text, (x,))
    return found or bool(made)


def _step(statement: Statement) -> _Step | None:
    """The step that a statement is the end of."""
    expression = statement.expression
    if expression.template != "lax.select({0}, {1}, {2})":
        return None
    which, yes, no = expression.operands
    if not isinstance(yes, Symbol) or not isinstance(no, Symbol) or not _is_compared(no.dtype):
        return None
    if isinstance(which, Constant):
        return _of_extrema(which.value, yes, no)
    return _of_choices(which, yes, no) if isinstance(which, Symbol) else None


def _is_compared(dtype: np.dtype) -> bool:
    return dtype.isbuiltin == 1 and (dtype.kind in "iu" or dtype in (np.float32, np.float64))


def _of_extrema(mask: np.ndarray, yes: Symbol, no: Symbol) -> _Step | None:
    """Minima where the mask holds, and maxima elsewhere, or the other way round."""
    for smaller, larger, wanted in ((yes, no, mask), (no, yes, ~mask)):
        pair = _made_by(smaller, "lax.min({0}, {1})", "np.minimum({0}, {1})")
        others = _made_by(larger, "lax.max({0}, {1})", "np.maximum({0}, {1})")
        if pair is None or others is None or set(pair) != set(others):
            continue
        for x, partner in (pair, pair[::-1]):
            if (places := _places(x, partner, wanted)) is not None:
                return _Step(x, places, "extrema", frozenset((partner, smaller, larger)))
    return None


def _of_choices(which: Symbol, partner: Symbol, x: Symbol) -> _Step | None:
    """The partner where the mask holds and it comes before x, or the mask does not hold and x comes before it."""
    arms = _made_by(which, "{0} | {1}")
    if arms is None:
        return None
    masked = [_masked(arm) for arm in arms]
    if None in masked:
        return None
    for (mask, first), (other, second) in (masked, masked[::-1]):  # type: ignore[misc]
        order = _order(first, partner, x)
        if order is None or order != _order(second, x, partner) or not np.array_equal(mask, ~other):
            continue
        if (places := _places(x, partner, mask)) is not None:
            comparisons = {first, second, *_operands(first), *_operands(second)}
            return _Step(x, places, order, frozenset({partner, which, *arms, *comparisons} - {x}))
    return None


def _operands(value: Symbol) -> tuple[Any, ...]:
    return () if value.expression is None else value.expression.operands


def _masked(value: Any) -> tuple[np.ndarray, Symbol] | None:
    """A known mask and a comparison that are both to hold."""
    pair = _made_by(value, "{0} & {1}") or ()
    for mask, other in (pair, pair[::-1]) if pair else ():
        if isinstance(mask, Constant) and isinstance(other, Symbol):
            return mask.value, other
    return None


def _order(comparison: Symbol, a: Symbol, b: Symbol) -> str | None:
    """How a is compared with b, if the comparison is whether a comes first."""
    if _made_by(comparison, "{0} < {1}") == (a, b):
        return "less"
    number, reverse = _made_by(comparison, "{0} > {1}") or (None, None)
    is_before = _made_by(number, "{0} == {1}") == (a, a) and _made_by(reverse, "{0} <= {1}") == (b, a)
    return "before" if is_before else None


def _made_by(value: Any, *templates: str) -> Any:
    """The operands of what computes a value, if it has one of these forms."""
    expression = value.expression if isinstance(value, Symbol) else None
    return expression.operands if expression is not None and expression.template in templates else None


def _places(x: Any, partner: Any, wanted: np.ndarray) -> tuple[int, int] | None:
    """How far the partner's elements are from those of x, and the length of runs that want the smaller one first."""
    if not isinstance(x, Symbol) or not isinstance(partner, Symbol) or x.shape != partner.shape:
        return None
    origin, length = partner.origin, x.shape[-1] if x.shape else 0
    if origin is None or origin.root is not x or origin.kept != len(x.shape) - 1 or length < 2 or 0 in x.shape:
        return None
    position, distance = np.arange(length), int(origin.positions[0])
    columns = np.broadcast_to(wanted, x.shape).reshape(-1, length)
    if distance < 1 or distance & (distance - 1) or length % (2 * distance) or (columns != columns[0]).any():
        return None
    if not np.array_equal(origin.positions, position ^ distance):
        return None
    wanted = columns[0]
    rises = wanted[position & ~distance]
    changes = np.flatnonzero(rises != rises[0])
    run = int(changes[0]) if len(changes) else length
    in_turn = (position // run % 2 == 0) == rises[0]
    if (wanted == wanted[position ^ distance]).any() or not np.array_equal(rises, in_turn):
        return None
    if run < length and (run % (2 * distance) or length % (2 * run)):
        return None
    return distance, run if rises[0] else -run
