"""Parts that follow one another along a ref's last axis and are all of it: read and written at once."""

from __future__ import annotations

from collections.abc import Sequence

from pallas_np.compiler.program import Block, Expression, Roots, Statement, Symbol, touch


def read_at_once(block: Block, values: Sequence[Symbol]) -> Statement | None:
    """A read of the whole ref, to stand behind those of its parts, if that is what these values are."""
    by_target = {target: statement for statement in block.statements for target in statement.targets}
    reads = [by_target[value] for value in values if value in by_target]
    if len(reads) < len(values) or not all(read.is_get for read in reads):
        return None
    ref, first = _all_of(reads), reads[0]
    if ref is None or _is_touched(block, reads, Roots(), first.reads):
        return None
    expression = Expression("{0}", (ref,), is_fresh=False)
    whole = Symbol(first.targets[0].name, ref.shape, ref.dtype, block, expression=expression)
    return Statement([whole], expression, reads=first.reads, is_get=True, eqn=first.eqn)


def write_at_once(block: Block, values: Sequence[Symbol], whole: Symbol) -> None:
    """Writes `whole` where these values, its parts, are written to the parts of a ref, and used for nothing else."""
    uses = [statement for statement in block.statements if not set(values).isdisjoint(statement.symbols())]
    writes = {statement.expression.operands[-1]: statement for statement in uses if statement.store}
    if len(uses) != len(values) or not all(value in writes for value in values):
        return
    ref, last = _all_of([writes[value] for value in values]), uses[-1]
    if ref is None or _is_touched(block, uses, last.writes, last.writes):
        return
    last.expression, last.store = Expression("{0}[...] = {1}", (ref, whole)), "{0}[...]"
    block.statements = [statement for statement in block.statements if statement is last or statement not in uses]


def _all_of(accesses: Sequence[Statement]) -> Symbol | None:
    """The ref to which these parts belong, if they follow one another, and are all of it."""
    ref = accesses[0].expression.operands[0]
    if not isinstance(ref, Symbol) or ref.repeated or any(a.expression.operands[0] is not ref for a in accesses):
        return None
    place = 0
    for access in accesses:
        if not access.parts or access.parts[-1] != slice(place, place + len(range(ref.shape[-1])[access.parts[-1]]), 1):
            return None
        if access.parts[:-1] != tuple(slice(0, size, 1) for size in ref.shape[:-1]):
            return None
        place = access.parts[-1].stop
    return ref if place == ref.shape[-1] else None


def _is_touched(block: Block, accesses: Sequence[Statement], read: Roots, written: Roots) -> bool:
    """Whether anything between the first and the last of these statements reads or writes such memory."""
    places = [n for n, statement in enumerate(block.statements) if statement in accesses]
    between = block.statements[places[0] : places[-1]]
    return any(_touches(statement, read, written) for statement in between if statement not in accesses)


def _touches(statement: Statement, read: Roots, written: Roots) -> bool:
    if touch(statement.reads, read) or touch(statement.writes, written):
        return True
    return any(_touches(inner, read, written) for arm in statement.arms for inner in arm.block.statements)
