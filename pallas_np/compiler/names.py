"""Names that are used again: a new value takes the name of one of its kind that is needed no more."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator

from pallas_np.compiler.program import Block, Statement, Symbol


def share_names(block: Block, kept: Collection[Symbol] = ()) -> None:
    """Renames the values of a block, and of the blocks in it; those in `kept` are needed at its end."""
    ends = _last_uses(block, kept)
    free: dict[str, list[str]] = defaultdict(list)
    for number, statement in enumerate(block.statements):
        for symbol in ends.get(number, ()):
            free[_kind(symbol)].append(symbol.name)
        for arm in statement.arms:
            share_names(arm.block, {atom for _, atom in arm.assigned if isinstance(atom, Symbol)})
        if not statement.arms and not statement.is_inlined:
            for target in statement.targets:
                if free[_kind(target)] and not target.roots:
                    target.name = free[_kind(target)].pop()


def _kind(symbol: Symbol) -> str:
    return re.sub(r"_\d+$", "", symbol.name)


def _last_uses(block: Block, kept: Collection[Symbol]) -> dict[int, list[Symbol]]:
    """The block's own values, by the number of the statement that uses them last; those of a loop end after it."""
    last: dict[Symbol, int] = {}
    inlined: dict[Symbol, list[Symbol]] = {}
    for number, statement in enumerate(block.statements):
        used = [operand for symbol in _used(statement) for operand in (symbol, *inlined.get(symbol, ()))]
        if statement.is_inlined:
            inlined[statement.targets[0]] = used
        last.update((symbol, number + bool(statement.arms)) for symbol in used)
    own = {t for s in block.statements if not s.arms and not s.is_inlined for t in s.targets if not t.roots}
    ends = defaultdict(list)
    for symbol, number in last.items():
        if symbol in own and symbol not in kept:
            ends[number].append(symbol)
    return ends


def _used(statement: Statement) -> Iterator[Symbol]:
    """The symbols that a statement uses, and those in its blocks."""
    for atom in statement.operands():
        if isinstance(atom, Symbol):
            yield atom
    for arm in statement.arms:
        for inner in arm.block.statements:
            yield from _used(inner)
