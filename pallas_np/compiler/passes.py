"""What is done to a finished program: dead statements go, copies that nobody needs go, lines are joined."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter, defaultdict
from typing import NamedTuple

from pallas_np.compiler.dead import drop_dead
from pallas_np.compiler.names import name_values
from pallas_np.compiler.networks import join_steps
from pallas_np.compiler.program import EVERYTHING, Atom, Block, Expression, Program, Roots, Statement, Symbol
from pallas_np.compiler.reuse import reuse
from pallas_np.compiler.zeros import relax_extrema


def optimise(program: Program, *, elide_copies: bool = True, reuse_memory: bool = True) -> None:
    """All passes, in order."""
    block = program.block
    drop_dead(program)
    if join_steps(block):
        drop_dead(program)
    if relax_extrema(program):
        drop_dead(program)
    if elide_copies:
        leave_out_copies(block)
    if reuse_memory:
        reuse(block)
    join_lines(block)
    name_values(program)


# Copies.


class _Use(NamedTuple):
    statement: Statement
    loops: tuple[Statement, ...]


class _Order:
    """Where statements stand in the program's text, and who uses what.

    Attributes:
      start: each statement's position.
      end: the position after all that is inside it.
      uses: the statements that use a symbol.
      writes: positions of writes, by the memory they write to.
      gets: the reads that may need a copy.
      stores: the writes of all of a value to a ref.
    """

    def __init__(self, block: Block):
        self.start: dict[Statement, int] = {}
        self.end: dict[Statement, int] = {}
        self.uses: dict[Symbol, list[_Use]] = defaultdict(list)
        self.writes: dict[str, list[int]] = defaultdict(list)
        self.gets: list[_Use] = []
        self.stores: list[tuple[_Use, Block]] = []
        self._position = 0
        self._walk(block, ())

    def _walk(self, block: Block, loops: tuple[Statement, ...]) -> None:
        for statement in block.statements:
            self._position += 1
            self.start[statement] = self._position
            use = _Use(statement, loops)
            for atom in {atom for atom in statement.operands() if isinstance(atom, Symbol)}:
                self.uses[atom].append(use)
            for root in statement.writes:
                self.writes[root].append(self._position)
            if statement.is_get:
                self.gets.append(use)
            if statement.store:
                self.stores.append((use, block))
            for arm in statement.arms:
                self._walk(arm.block, (*loops, statement) if statement.is_loop else loops)
            self._position += 1
            self.end[statement] = self._position

    def is_written(self, roots: Roots, after: int, until: int) -> bool:
        """Whether this memory may be written between two positions."""
        names = self.writes.keys() if roots >= EVERYTHING else roots | EVERYTHING
        return any(_has_between(self.writes[name], after, until) for name in names if name in self.writes)


def _has_between(positions: list[int], after: int, until: int) -> bool:
    found = bisect.bisect_right(positions, after)
    return found < len(positions) and positions[found] <= until


def leave_out_copies(block: Block) -> None:
    """Nothing is copied where memory that holds the same will do, since nothing writes to it until the last use.

    A read of a ref stays a view.  A value that is written to a ref and used afterwards is read from there, so that it
    may be computed there.
    """
    order = _Order(block)
    for store, inside in order.stores:
        (value,) = store.statement.expression.operands[-1:]
        if not isinstance(value, Symbol) or value.block is not inside:
            continue
        if _is_first_used_by(order, value, store.statement) and _stays(order, value, store, store.statement.writes):
            _read_back(order, value, store.statement, inside)
    for get in order.gets:
        if _stays(order, get.statement.targets[0], get, get.statement.reads):
            get.statement.is_get = False


def _is_first_used_by(order: _Order, value: Symbol, store: Statement) -> bool:
    """Whether an array that can be computed in any memory is stored before it is used otherwise."""
    if value.expression is None or not value.expression.ufunc or not value.shape:
        return False
    first, *others = order.uses[value]
    return first.statement is store and bool(others)


def _stays(order: _Order, value: Symbol, since: _Use, roots: Roots) -> bool:
    """Whether what is in memory at a statement stays there as long as the value is used."""
    last = _last_use(order, value, since.loops)
    return last is not None and not order.is_written(roots, order.start[since.statement], last)


def _read_back(order: _Order, value: Symbol, store: Statement, block: Block) -> None:
    place = "{0}" if store.store == "{0}[...]" else store.store
    expression = Expression(place, store.expression.operands[:-1], is_fresh=False)
    there = Symbol(value.name, value.shape, value.dtype, block, expression=expression)
    for use in order.uses[value][1:]:
        used = use.statement.expression
        used.operands = tuple(there if atom is value else atom for atom in used.operands)
    statement = Statement([there], expression, reads=store.writes, eqn=store.eqn)
    block.statements.insert(block.statements.index(store) + 1, statement)


def _last_use(order: _Order, value: Symbol, loops: tuple[Statement, ...]) -> int | None:
    """Up to which position a write would be seen through a view in these loops; `None` if nobody can tell."""
    last, pending, seen = 0, [value], {value}
    while pending:
        for use in order.uses[pending.pop()]:
            if use.statement.keeps_operands:
                return None
            last = max(last, _until(order, use, loops))
            if not use.statement.expression.is_fresh:
                derived = [target for target in use.statement.targets if target not in seen]
                pending += derived
                seen.update(derived)
    return last


def _until(order: _Order, use: _Use, loops_outside: tuple[Statement, ...]) -> int:
    inner = [loop for loop in use.loops if loop not in loops_outside]
    if inner:
        return order.end[inner[0]]
    # A write evaluates all of its value first; NumPy copies where the two overlap.
    return order.start[use.statement] - 1 if use.statement.writes else order.start[use.statement]


# Lines.

_OPERATIONS = 4
"""So many operations go on one line."""


def join_lines(block: Block) -> None:
    """Puts a value that is used once where it is used, if nothing in between writes to memory."""
    counts = Counter(itertools.chain.from_iterable(statement.operands() for statement in block.all_statements()))
    _join(block, counts)


def _join(block: Block, counts: Counter) -> None:
    pending: dict[Atom, Statement] = {}
    weights: dict[Statement, int] = {}
    for statement in block.statements:
        weight = 1
        if not statement.is_loop:
            for atom in statement.operands():
                given = pending.get(atom)
                if given is None or counts[atom] != 1 or not _fits(statement, given.targets[0]):
                    continue
                if weight + weights[given] <= _OPERATIONS or _writes_itself(statement, given):
                    given.is_inlined = True
                    weight += weights[given]
        for arm in statement.arms:
            _join(arm.block, counts)
        weights[statement] = weight
        if statement.arms or statement.has_effect or statement.into:
            pending.clear()
        elif len(statement.targets) == 1:
            _offer(statement, pending, weights)


def _writes_itself(store: Statement, given: Statement) -> bool:
    """Whether what is stored is computed by a function that can write there."""
    return bool(store.store) and bool(given.expression.ufunc) and store.expression.operands[-1] is given.targets[0]


def _offer(statement: Statement, pending: dict[Atom, Statement], weights: dict[Statement, int]) -> None:
    """A read of a whole ref that needs no copy is the ref itself; anything else may move to its one use."""
    if statement.reads and not statement.is_get and statement.expression.template == "{0}":
        statement.is_inlined = True
        return
    if statement.reads:
        weights[statement] = 0
    pending[statement.targets[0]] = statement


def _fits(statement: Statement, atom: Symbol) -> bool:
    """Whether the operand may stand there as an expression: it is computed once, or is a short index."""
    if statement.arms or atom is statement.into:
        return False
    template, operands = statement.expression.template, statement.expression.operands
    return atom.is_python or template.count(f"{{{operands.index(atom)}}}") == 1
