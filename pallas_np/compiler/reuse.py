"""Memory that is used again: a large value is computed into that of an operand which nobody needs any more."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from pallas_np.compiler.program import Block, Constant, Expression, Literal, Statement, Symbol

LARGE = 1 << 15
"""Values of so many bytes are computed into the memory of others."""

_COMMUTATIVE = ("+", "*", "&", "|", "^")
_AUGMENTED = {f"{{0}} {sign} {{1}}": sign for sign in ("-", "/", *_COMMUTATIVE)}


@dataclass(eq=False)
class _Memory:
    """Memory of values that have it for themselves; `end` is the position of the last statement that uses one."""

    end: float


def reuse(block: Block, kept: Collection[Symbol] = ()) -> None:
    """Marks statements that compute into an operand, in this block and those in it; `kept` is needed at its end."""
    for statement in block.statements:
        for arm in statement.arms:
            reuse(arm.block, {atom for _, atom in arm.assigned if isinstance(atom, Symbol)})
    if any(_is_large(target) for statement in block.statements for target in statement.targets):
        _Reuse(block.statements, kept)


class _Reuse:
    """Goes through the statements of one block.

    Attributes:
      last: the position of the last statement that uses a value.
      stored: values that a statement writes to a ref.
      memory: of values that are known to have it for themselves.
    """

    def __init__(self, statements: Sequence[Statement], kept: Collection[Symbol]):
        self.last: dict[Symbol, float] = {}
        self.stored: set[Symbol] = set()
        self.memory: dict[Symbol, _Memory] = {}
        for position, statement in enumerate(statements):
            self.last.update(dict.fromkeys(statement.symbols(), position))
            if statement.store:
                self.stored.update(atom for atom in statement.operands()[-1:] if isinstance(atom, Symbol))
        self.last.update(dict.fromkeys(kept, math.inf))
        for position, statement in enumerate(statements):
            given = [self.memory[symbol] for symbol in statement.symbols() if symbol in self.memory]
            free = [memory for memory in given if memory.end == position and given.count(memory) == 1]
            if not self._computes_into(statement, free):
                self._follow(statement, given)

    def _computes_into(self, statement: Statement, free: Sequence[_Memory]) -> bool:
        """Has the statement compute into an operand in free memory, if it can."""
        if len(statement.targets) != 1 or not free:
            return False
        (target,), expression = statement.targets, statement.expression
        if target in self.stored or not _is_large(target):
            return False
        for place, x in enumerate(expression.operands):
            if not isinstance(x, Symbol) or self.memory.get(x) not in free:
                continue
            into = _into(expression, place) if (x.shape, x.dtype) == (target.shape, target.dtype) else None
            if into is not None:
                statement.expression, statement.into = into, x
                memory = self.memory[target] = self.memory[x]
                memory.end = self.last.get(target, 0)
                return True
        return False

    def _follow(self, statement: Statement, given: Sequence[_Memory]) -> None:
        """Notes what memory the result has; memory that may be known under further names is lost sight of."""
        if len(statement.targets) == 1 and not statement.keeps_operands:
            (target,) = statement.targets
            end = self.last.get(target, 0)
            if target.roots:
                return
            if statement.expression.is_fresh or statement.is_get:
                self.memory[target] = _Memory(end)
                return
            viewed = self._viewed(statement)
            if viewed is not None:
                self.memory[target] = viewed
                viewed.end = max(viewed.end, end)
                return
        if statement.targets or statement.keeps_operands:
            for memory in given:
                memory.end = math.inf

    def _viewed(self, statement: Statement) -> _Memory | None:
        """The memory of the one array that the result may be a view of."""
        arrays = [atom for atom in statement.operands() if not isinstance(atom, Literal) and _is_array(atom)]
        if len(arrays) != 1 or not isinstance(arrays[0], Symbol) or "broadcast_to" in statement.expression.template:
            return None
        return self.memory.get(arrays[0])


def _is_array(atom: Symbol | Constant) -> bool:
    if isinstance(atom, Symbol):
        return bool(atom.shape)
    return isinstance(atom.value, np.ndarray) and atom.value.ndim > 0


def _is_large(x: Symbol) -> bool:
    return bool(x.shape) and math.prod(x.shape) * x.dtype.itemsize >= LARGE


def _into(expression: Expression, place: int) -> Expression | None:
    """The same, computed into the operand at this place; `None` if there is no way to write that."""
    operands = expression.operands
    sign = _AUGMENTED.get(expression.template)
    if sign is not None and (place == 0 or sign in _COMMUTATIVE):
        return Expression(f"{{0}} {sign}= {{1}}", (operands[place], operands[1 - place]))
    if expression.ufunc and expression.template.startswith(f"np.{expression.ufunc}("):
        return Expression(f"{expression.template[:-1]}, out={{{place}}})", operands)
    return None
