"""A program as Python source."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator, Sequence

from pallas_np.compiler.program import Arm, Atom, Block, Expression, Literal, Program, Statement, Symbol

INDENT = "    "
DECORATORS = ['@np.errstate(all="ignore")', "@lax.flush_denormals()"]
"""Within them NumPy computes as XLA does."""


def function_source(program: Program, *, needs_machine: bool, comments: bool = False) -> str:
    """The function, with or without the kernel's own lines above what they became."""
    names = [symbol.name for symbol in program.parameters] + ["machine"] * needs_machine
    writer = _Writer(comments)
    body = list(writer.block(program.block, 1))
    head = [*DECORATORS, f"def {program.name}({', '.join(names)}):"]
    return "\n".join([*head, *(body or [f"{INDENT}pass"])]) + "\n"


class _Writer:
    def __init__(self, comments: bool):
        self._inlined: dict[Symbol, Expression] = {}
        self._copied: set[Symbol] = set()
        self._comments = comments
        self._last = ""

    def block(self, block: Block, depth: int) -> Iterator[str]:
        """The lines of a block."""
        indent = INDENT * depth
        for statement in block.statements:
            if statement.is_inlined:
                self._inlined[statement.targets[0]] = statement.expression
                if statement.is_get:
                    self._copied.add(statement.targets[0])
                continue
            if self._comments and (line := self._source_line(statement)):
                yield f"{indent}# {line}"
            if not statement.arms:
                yield indent + self._simple(statement)
                continue
            yield from self._assignments(statement.before, indent)
            for arm in statement.arms:
                yield from self._arm(arm, depth)

    def _arm(self, arm: Arm, depth: int) -> Iterator[str]:
        lines = [
            *self.block(arm.block, depth + 1),
            *self._assignments(arm.assigned, INDENT * (depth + 1)),
        ]
        if lines or not arm.header.template.startswith("else"):
            yield f"{INDENT * depth}{self._expression(arm.header)}:"
            yield from lines or [f"{INDENT * (depth + 1)}pass"]

    def _assignments(self, pairs: Sequence[tuple[Symbol, Atom]], indent: str) -> Iterator[str]:
        texts = [(target.name, self._atom(atom)) for target, atom in pairs]
        texts = [(name, text) for name, text in texts if name != text]
        if texts:
            yield f"{indent}{', '.join(name for name, _ in texts)} = {', '.join(text for _, text in texts)}"

    def _simple(self, statement: Statement) -> str:
        if statement.store and (text := self._through_out(statement)):
            return text
        text = self._expression(statement.expression) + ".copy()" * statement.is_get
        if not statement.targets or statement.into:
            return text
        return f"{', '.join(target.name for target in statement.targets)} = {text}"

    def _through_out(self, statement: Statement) -> str:
        """A store of what a NumPy function computes: the function writes there itself."""
        *place, value = statement.expression.operands
        inlined = self._inlined.get(value) if isinstance(value, Symbol) else None
        if inlined is None or not inlined.ufunc or not value.shape:  # type: ignore[union-attr]
            return ""
        target = self._expression(Expression(statement.store.removesuffix("[...]"), tuple(place)))
        operands = ", ".join(map(self._atom, inlined.operands))
        function = inlined.ufunc if "." in inlined.ufunc else f"np.{inlined.ufunc}"
        return f"{function}({operands}, out={target})"

    def _expression(self, expression: Expression) -> str:
        template = expression.template
        texts = []
        for n, atom in enumerate(expression.operands):
            text = self._atom(atom)
            inlined = isinstance(atom, Symbol) and atom in self._inlined and self._inlined[atom].is_infix
            if inlined and self._is_tight(expression, n, text):
                text = f"({text})"
            texts.append(text)
        return template.format(*texts) if texts else template

    @staticmethod
    def _is_tight(expression: Expression, n: int, text: str) -> bool:
        """Whether an operand with an operator of its own needs parentheses there."""
        place = f"{{{n}}}"
        if expression.is_infix or f"{place}." in expression.template or f"{place}[" in expression.template:
            return True
        return f"{place} " in expression.template and not re.fullmatch(r"[\w\s+*]+", text)

    def _atom(self, atom: Atom) -> str:
        if isinstance(atom, Literal):
            return atom.text
        if isinstance(atom, Symbol) and atom in self._inlined:
            text = self._expression(self._inlined[atom])
            return f"{text}.copy()" if atom in self._copied else text
        return atom.name

    def _source_line(self, statement: Statement) -> str:
        """The kernel's own line behind a statement, where it is not the one before."""
        if statement.eqn is None:
            return ""
        found = re.match(r"(.+?):(\d+)[: ]", statement.eqn.source)
        line = linecache.getline(found[1], int(found[2])).strip() if found else ""
        new = line if line != self._last else ""
        self._last = line or self._last
        return new or ""
