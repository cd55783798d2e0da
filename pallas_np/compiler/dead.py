"""Dead code: values that nobody needs, and writes to scratch memory that nobody reads."""

from __future__ import annotations

from collections.abc import Collection

from pallas_np.compiler.program import EVERYTHING, Block, Program, Statement, Symbol


def drop_dead(program: Program) -> None:
    """Removes what neither has an effect nor is needed."""
    _Dropper(program.scratch).block(program.block, set(), set())


class _Dropper:
    """Goes through the program from its end to its beginning."""

    def __init__(self, scratch: Collection[str]):
        self.scratch = frozenset(scratch)

    def block(self, block: Block, live: set[Symbol], read: set[str]) -> bool:
        """Cleans a block.

        Args:
          block: the block.
          live: the symbols that are needed after it; then, those that are needed before it, too.
          read: the scratch memory that is read after it; then, what is read before it is written.

        Returns:
          Whether anything in the block has an effect.
        """
        kept, has_effect = [], False
        for statement in reversed(block.statements):
            if self._is_lost(statement, read):
                continue
            acts = statement.has_effect or self._arms_act(statement, live, read)
            if acts or not live.isdisjoint(statement.targets):
                kept.append(statement)
                live.update(atom for atom in statement.operands() if isinstance(atom, Symbol))
                self._access(statement, read)
                has_effect = has_effect or acts
        block.statements = kept[::-1]
        return has_effect

    def _arms_act(self, statement: Statement, live: set[Symbol], read: set[str]) -> bool:
        """Cleans the arms of a loop or conditional; whether one of them has an effect."""
        acts, ways = False, []
        for arm in statement.arms:
            if not statement.is_loop:
                arm.assigned = [(target, atom) for target, atom in arm.assigned if target in live]
            live.update(atom for _, atom in arm.assigned if isinstance(atom, Symbol))
            ways.append(read | self._exposed(arm.block) if statement.is_loop else set(read))
            acts = self.block(arm.block, live, ways[-1]) or acts
        if statement.is_loop:
            ways.append(set(read))  # it may not run at all
        if ways:
            read.clear()
            read.update(*ways)
        return acts

    def _exposed(self, block: Block) -> set[str]:
        """The scratch memory that a block may read before it has written all of it."""
        read: set[str] = set()
        for statement in reversed(block.statements):
            self._access(statement, read)
            for arm in statement.arms:
                read |= self._exposed(arm.block)
        return read

    def _access(self, statement: Statement, read: set[str]) -> None:
        if _overwrites(statement):
            read -= statement.writes
        read |= self.scratch & (self.scratch if statement.reads >= EVERYTHING else statement.reads)

    def _is_lost(self, statement: Statement, read: set[str]) -> bool:
        """Whether it does nothing but write what nobody reads."""
        writes = statement.writes
        return bool(writes) and not statement.targets and writes <= self.scratch and read.isdisjoint(writes)


def _overwrites(statement: Statement) -> bool:
    """Whether all of the memory to which it may write has a new value then."""
    if not statement.store.startswith(("{0}[...]", "{0}[:]")):
        return False
    ref = statement.expression.operands[0]
    return isinstance(ref, Symbol) and ref.roots == {ref.name}
