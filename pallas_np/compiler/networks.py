"""Sorting networks: a chain of steps in which elements are compared with others at fixed places, as one call.

A kernel writes such a step as a choice, with a known mask, between a value and its elements in another order.  Each
place takes the smaller or the larger of two elements, and its partner the other one; so half of what the kernel asks
for is enough.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pallas_np.compiler.adjacent import read_at_once, write_at_once
from pallas_np.compiler.expressions import INTERLEAVED
from pallas_np.compiler.program import Block, Constant, Expression, Statement, Symbol
from pallas_np.compiler.rearrangements import Origin

FEWEST = 3
"""So many steps, at least, are worth the two copies that lay rows next to each other and back."""


class _Step(NamedTuple):
    """A step within one value: what it does to each column, and what is computed on the way.

    Attributes:
      x: the value.
      distance: how far the columns are apart that are compared.
      wanted: for each column, whether it gets the smaller of the two elements.
      order: how they are compared.
      between: the values that are computed on the way.
    """

    x: Symbol
    distance: int
    wanted: np.ndarray
    order: str
    between: frozenset[Symbol]


class _Pair(NamedTuple):
    """A step between two values: the smaller and the larger of each two elements."""

    xs: frozenset[Symbol]
    smaller: Symbol
    larger: Symbol


@dataclass
class _Chain:
    """Steps one after the other, on values that lie next to each other.

    Attributes:
      xs: the values that it begins with.
      front: those that it ends with.
      order: how they compare.
      places: for each step how far apart and how long its runs are.
      passed: the values that are the results of its steps.
    """

    xs: Sequence[Symbol]
    front: Sequence[Symbol]
    order: str | None = None
    places: tuple[tuple[int, int], ...] = ()
    passed: list[Symbol] = field(default_factory=list)

    @property
    def is_long(self) -> bool:
        """Whether a call of its own is worth it."""
        return len(self.places) >= FEWEST


class _Layer(NamedTuple):
    """A step on values that lie next to each other, and its results."""

    distance: int
    wanted: np.ndarray
    order: str
    front: Sequence[Symbol]


def join_steps(block: Block) -> bool:
    """Makes one call of each chain of steps, in this block and those in it; whether there is one."""
    found = [join_steps(arm.block) for statement in block.statements for arm in statement.arms]
    return _Joiner(block).join() or any(found)


class _Joiner:
    """Joins the steps of one block.

    Attributes:
      users: for each value, what is computed with it; `None` stands for what is no value.
      first_use: where it is used first.
      steps: the steps within one value, by their result.
      pairs: those between two, by each of the two.
      next: by what they begin with, the steps that are alone in using that.
    """

    def __init__(self, block: Block):
        self.block = block
        self.users: dict[Symbol, set[Any]] = defaultdict(set)
        self.first_use: dict[Symbol, tuple[float, int]] = {}
        self.steps: dict[Symbol, _Step] = {}
        for number, statement in enumerate(block.statements):
            for place, symbol in enumerate(statement.symbols()):
                self.users[symbol].update(statement.targets or [None])
                self.first_use.setdefault(symbol, (number, place))
            step = _step(statement)
            if step is not None:
                self.steps[statement.targets[0]] = step
        self.next: dict[Symbol, Symbol | _Pair] = {}
        for target, step in self.steps.items():
            if self.users[step.x] <= step.between | {target}:
                self.next[step.x] = target
        self.pairs = self._pairs() if self.steps else []
        self.next.update((x, pair) for pair in self.pairs for x in pair.xs)

    def _pairs(self) -> list[_Pair]:
        found: dict[frozenset, dict[str, Symbol]] = defaultdict(dict)
        for statement in self.block.statements:
            name = _EXTREMA.get(statement.expression.template)
            if name is not None and all(isinstance(x, Symbol) for x in statement.expression.operands):
                found[frozenset(statement.expression.operands)][name] = statement.targets[0]
        pairs = [_Pair(xs, **both) for xs, both in found.items() if len(xs) == len(both) == 2]  # type: ignore[arg-type]
        return [pair for pair in pairs if all(self._is_one_of(x, pair) for x in pair.xs)]

    def _is_one_of(self, x: Symbol, pair: _Pair) -> bool:
        """Whether a value is compared for the pair alone, and all of its elements are."""
        is_alone = self.users[x] == {pair.smaller, pair.larger}
        return is_alone and _has_columns(x.shape) and x.shape == pair.smaller.shape and _is_compared(x.dtype)

    def join(self) -> bool:
        """Whether there was something to join."""
        chains = [chain for chain in map(self._chain, self._beginnings()) if chain.is_long and self._can_pack(chain)]
        passed = {x for chain in chains for x in chain.passed}
        for target, step in self.steps.items():
            if target not in passed:
                chains.append(self._chain([step.x], target))
                passed.update(chains[-1].passed)
        long = [chain for chain in chains if chain.is_long]
        for chain in long:
            self._write(chain)
        return bool(long)

    def _beginnings(self) -> Iterator[list[Symbol]]:
        """Values whose elements are compared with those of others: all that end up together, in the order of use."""
        links: dict[Symbol, set[Symbol]] = defaultdict(set)
        results: set[Symbol] = set()
        for x, following in self.next.items():
            made = {following} if isinstance(following, Symbol) else {following.smaller, following.larger}
            results |= made
            for result in made:
                links[x].add(result)
                links[result].add(x)
        seen: set[Symbol] = set()
        for pair in self.pairs:
            pending, group = list(pair.xs), []
            while pending:
                x = pending.pop()
                if x not in seen:
                    seen.add(x)
                    group.append(x)
                    pending += links[x]
            if group:
                yield sorted((x for x in group if x not in results), key=self.first_use.__getitem__)

    def _chain(self, xs: Sequence[Symbol], first: Symbol | None = None) -> _Chain:
        """The steps that follow, as long as they are alike on all the values; the first one may be given."""
        chain = _Chain(xs, xs)
        following: list[Any] = [self.next.get(x) for x in xs] if first is None else [first]
        while True:
            if all(isinstance(step, Symbol) for step in following):
                found = self._within(following)
            elif all(isinstance(step, _Pair) for step in following):
                found = self._between(chain.front, following)
            else:
                return chain
            places = None if found is None else _places(found.distance, found.wanted)
            if found is None or places is None or chain.order not in (None, found.order):
                return chain
            chain.order, chain.front = found.order, found.front
            chain.places += (places,)
            chain.passed += found.front
            following = [self.next.get(x) for x in chain.front]

    def _within(self, targets: Sequence[Symbol]) -> _Layer | None:
        steps = [self.steps[target] for target in targets]
        if len({(step.distance, step.order) for step in steps}) > 1:
            return None
        return _Layer(steps[0].distance, np.concatenate([step.wanted for step in steps]), steps[0].order, targets)

    def _between(self, front: Sequence[Symbol], pairs: Sequence[_Pair]) -> _Layer | None:
        """Of the two results the one that is used first stands where the first of the two values stood."""
        places = {x: place for place, x in enumerate(front)}
        partners = [places.get(next(iter(pair.xs - {x})), -1) for x, pair in zip(front, pairs)]
        apart = partners[0]
        if any(partner != place ^ apart for place, partner in enumerate(partners)):
            return None
        wanted, results = [], []
        for place, pair in enumerate(pairs):
            smaller, larger = (self.first_use.get(x, (math.inf, 0)) for x in (pair.smaller, pair.larger))
            rises = smaller < larger
            wanted.append(rises == (place < place ^ apart))
            results.append(pair.smaller if wanted[-1] else pair.larger)
        width = front[0].shape[-1]
        return _Layer(apart * width, np.repeat(wanted, width), "extrema", results)

    def _write(self, chain: _Chain) -> None:
        """Has the chain's results computed by one call."""
        text = f"lax.compare_exchange({{0}}, {chain.places}, {chain.order!r})"
        statements = {statement.targets[0]: statement for statement in self.block.statements if statement.targets}
        if len(chain.xs) == 1:
            (target,) = chain.front
            statements[target].expression = target.expression = Expression(text, (chain.xs[0],))
        else:
            self._pack(chain, text, [statements[target] for target in chain.front])

    def _place(self, chain: _Chain) -> int:
        """Where all of the values with which it begins are known, among the block's statements."""
        begin = set(chain.xs)
        return max((n + 1 for n, s in enumerate(self.block.statements) if not begin.isdisjoint(s.targets)), default=0)

    def _can_pack(self, chain: _Chain) -> bool:
        """Whether no result is used before that."""
        place = self._place(chain)
        return all(self.first_use.get(target, (place, 0))[0] >= place for target in chain.front)

    def _pack(self, chain: _Chain, text: str, results: Sequence[Statement]) -> None:
        """The values are laid next to each other before the call, and the results are cut out of what it returns."""
        place = self._place(chain)
        shape, width, dtype = chain.xs[0].shape, chain.xs[0].shape[-1], chain.xs[0].dtype
        together = read_at_once(self.block, chain.xs)
        if together is None:
            between = ", ".join(f"{{{n}}}" for n in range(len(chain.xs)))
            text, xs = text.format(f"np.concatenate(({between}), axis=-1)"), tuple(chain.xs)
        else:
            xs = tuple(together.targets)
        joined = Expression(text, xs)
        whole = Symbol("joined", (*shape[:-1], width * len(chain.xs)), dtype, self.block, expression=joined)
        for n, statement in enumerate(results):
            (target,) = statement.targets
            part = Expression(f"{{0}}[..., {n * width or ''}:{(n + 1) * width}]", (whole,), is_fresh=False)
            statement.expression = target.expression = part
        new = [Statement([whole], joined, eqn=results[0].eqn), *results]
        before, after = (
            [statement for statement in part if statement not in results]
            for part in (self.block.statements[:place], self.block.statements[place:])
        )
        self.block.statements = [*before, *([together] if together else []), *new, *after]
        write_at_once(self.block, chain.front, whole)


# One step.


class _Exchange(NamedTuple):
    """A choice between two values: of each two elements the smaller one where the mask holds, else the larger.

    Attributes:
      x: the value whose element it is if neither comes first.
      partner: the other one.
      mask: where the smaller element is wanted.
      order: how they are compared.
      between: the values that are computed on the way.
    """

    x: Symbol
    partner: Symbol
    mask: np.ndarray
    order: str
    between: frozenset[Symbol]


def _step(statement: Statement) -> _Step | None:
    """The step that a statement is the end of."""
    if len(statement.targets) != 1 or not _has_columns(statement.targets[0].shape):
        return None
    (target,) = statement.targets
    if statement.expression.template.startswith(INTERLEAVED):
        return _of_neighbours(target, *statement.expression.operands)
    found = (_of_columns(exchange) for exchange in _exchanges(target))
    return next((step for step in found if step is not None), None)


def _has_columns(shape: tuple[int, ...]) -> bool:
    return bool(shape) and 0 not in shape


def _of_columns(exchange: _Exchange) -> _Step | None:
    """The partner has the elements of x in another order."""
    x, origin = exchange.x, exchange.partner.origin
    length = x.shape[-1]
    if origin is None or origin.root is not x or origin.kept != len(x.shape) - 1 or length < 2:
        return None
    distance, wanted = int(origin.positions[0]), _alike_in_rows(exchange.mask, x.shape)
    if wanted is None or not np.array_equal(origin.positions, np.arange(length) ^ distance):
        return None
    return _Step(x, distance, wanted, exchange.order, exchange.between | {exchange.partner})


def _of_neighbours(target: Symbol, even: Any, odd: Any) -> _Step | None:
    """What is chosen for even and odd columns, from the even and the odd columns of one value."""
    for left, right in itertools.product(_exchanges(even), _exchanges(odd)):
        if left.x is not right.partner or right.x is not left.partner or left.order != right.order:
            continue
        origins = left.x.origin, right.x.origin
        x, position = None if origins[0] is None else origins[0].root, np.arange(target.shape[-1])
        if x is None or x.shape != target.shape:
            continue
        if not all(_are_columns(origin, x, position[n::2]) for n, origin in enumerate(origins)):
            continue
        masks = [_alike_in_rows(exchange.mask, left.x.shape) for exchange in (left, right)]
        if masks[0] is not None and masks[1] is not None:
            between = left.between | right.between | {even, odd, left.x, right.x}
            return _Step(x, 1, np.stack(masks, axis=-1).reshape(-1), left.order, between)  # type: ignore[arg-type]
    return None


def _are_columns(origin: Origin | None, x: Symbol, columns: np.ndarray) -> bool:
    if origin is None or origin.root is not x or origin.kept != len(x.shape) - 1:
        return False
    return np.array_equal(origin.positions, columns)


def _alike_in_rows(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """The mask of one row, if all are the same."""
    rows = np.broadcast_to(mask, shape).reshape(-1, shape[-1])
    return rows[0] if (rows == rows[0]).all() else None


def _exchanges(value: Any) -> Iterator[_Exchange]:
    """What a value may be: a choice between smaller and larger elements, with a known mask."""
    which, yes, no = _made_by(value, "lax.select({0}, {1}, {2})") or (None, None, None)
    if not isinstance(yes, Symbol) or not isinstance(no, Symbol) or not _is_compared(no.dtype):
        return
    if not yes.shape == no.shape == value.shape:
        return
    if isinstance(which, Constant):
        yield from _of_extrema(which.value, yes, no)
    elif isinstance(which, Symbol):
        yield from _of_choices(which, yes, no)


def _is_compared(dtype: np.dtype) -> bool:
    return dtype.isbuiltin == 1 and (dtype.kind in "iu" or dtype in (np.float32, np.float64))


_EXTREMA = {
    **{"lax.min({0}, {1})": "smaller", "np.minimum({0}, {1})": "smaller"},
    **{"lax.max({0}, {1})": "larger", "np.maximum({0}, {1})": "larger"},
}


def _of_extrema(mask: np.ndarray, yes: Symbol, no: Symbol) -> Iterator[_Exchange]:
    """Minima where the mask holds, and maxima elsewhere, or the other way round."""
    for smaller, larger, wanted in ((yes, no, mask), (no, yes, ~mask)):
        names = [_EXTREMA.get(value.expression.template) for value in (smaller, larger) if value.expression is not None]
        if names != ["smaller", "larger"]:
            continue
        pair, others = _operands(smaller), _operands(larger)
        if set(pair) == set(others) and all(isinstance(x, Symbol) and x.shape == yes.shape for x in pair):
            for x, partner in (pair, pair[::-1]):
                yield _Exchange(x, partner, wanted, "extrema", frozenset((smaller, larger)))


def _of_choices(which: Symbol, partner: Symbol, x: Symbol) -> Iterator[_Exchange]:
    """The partner where the mask holds and it comes before x, or the mask does not hold and x comes before it."""
    arms = _made_by(which, "{0} | {1}") or ()
    masked = [_masked(arm) for arm in arms]
    if not masked or None in masked:
        return
    for (mask, first), (other, second) in (masked, masked[::-1]):  # type: ignore[misc]
        order = _order(first, partner, x)
        if order is not None and order == _order(second, x, partner) and np.array_equal(mask, ~other):
            comparisons = {first, second, *_operands(first), *_operands(second)}
            yield _Exchange(x, partner, mask, order, frozenset({which, *arms, *comparisons} - {x, partner}))


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


def _made_by(value: Any, template: str) -> Any:
    """The operands of what computes a value, if it has this form."""
    expression = value.expression if isinstance(value, Symbol) else None
    return expression.operands if expression is not None and expression.template == template else None


def _places(distance: int, wanted: np.ndarray) -> tuple[int, int] | None:
    """How far columns are apart, and the length of runs that want the smaller one first, if there are such runs.

    Args:
      distance: how far the columns are apart that are compared.
      wanted: for each column, whether it gets the smaller of two elements.
    """
    length = len(wanted)
    if distance < 1 or distance & (distance - 1) or length % (2 * distance):
        return None
    position = np.arange(length)
    rises = wanted[position & ~distance]
    changes = np.flatnonzero(rises != rises[0])
    run = int(changes[0]) if len(changes) else length
    in_turn = (position // run % 2 == 0) == rises[0]
    if (wanted == wanted[position ^ distance]).any() or not np.array_equal(rises, in_turn):
        return None
    if run < length and (run % (2 * distance) or length % (2 * run)):
        return None
    return distance, run if rises[0] else -run
