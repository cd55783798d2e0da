"""Names, as few as will do: a new value takes the name of one of its kind that is needed no more."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection

from pallas_np.compiler.program import Block, Program, Symbol


def name_values(program: Program) -> None:
    """Names what the program computes: what was read, carried or stacked has a name that it may give up already."""
    _name(program.block, (), program.unique)


def _name(block: Block, kept: Collection[Symbol], unique: Callable[[str], str]) -> None:
    """Names the values of a block, and of the blocks in it; those in `kept` are needed at its end."""
    ends = _last_uses(block, kept)
    kinds: dict[Symbol, str] = {}
    free: dict[str, list[str]] = defaultdict(list)
    for number, statement in enumerate(block.statements):
        for symbol in ends.get(number, ()):
            if symbol is not statement.into:
                free[kinds[symbol]].append(symbol.name)
        for arm in statement.arms:
            _name(arm.block, {atom for _, atom in arm.assigned if isinstance(atom, Symbol)}, unique)
        if not statement.arms and not statement.is_inlined:
            for target in statement.targets:
                kind = kinds[target] = _kind(target) if statement.into is None else kinds[statement.into]
                if statement.into is not None:
                    target.name = statement.into.name
                elif free[kind] and not target.roots:
                    target.name = free[kind].pop()
                elif target.expression is not None:
                    target.name = unique(kind)


def _kind(symbol: Symbol) -> str:
    return symbol.name if symbol.expression is not None else re.sub(r"_\d+$", "", symbol.name)


def _last_uses(block: Block, kept: Collection[Symbol]) -> dict[int, list[Symbol]]:
    """The block's own values, by the number of the statement that uses them last; those of a loop end after it."""
    last: dict[Symbol, int] = {}
    inlined: dict[Symbol, list[Symbol]] = {}
    for number, statement in enumerate(block.statements):
        used = statement.symbols()
        used += [operand for symbol in used if symbol in inlined for operand in inlined[symbol]]
        if statement.is_inlined:
            inlined[statement.targets[0]] = used
        last.update(dict.fromkeys(used, number + bool(statement.arms)))
    own = {t for s in block.statements if not s.arms and not s.is_inlined for t in s.targets if not t.roots}
    ends = defaultdict(list)
    for symbol, number in last.items():
        if symbol in own and symbol not in kept:
            ends[number].append(symbol)
    return ends
