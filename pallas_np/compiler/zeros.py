"""Extrema of floats whose zeros have a sign that nobody can see: NumPy's own, which take either zero, will do.

The larger of 0. and -0. is 0., and that takes `lax_numpy` a second look at each result.  Who takes the largest element
of a row from the row and then the exponential of the rest gets 1 whichever zero it was.  What does see it: memory, for
others may look there, a division by it, and every function that is not known here.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from pallas_np.compiler.program import Atom, Block, Expression, Program, Statement, Symbol
from pallas_np.lax_numpy.reductions import MANY_ROWS

_REDUCTION = re.compile(r"lax\.reduce_(?P<name>max|min)\(\{0\}, axes=(?P<axes>\(.+\))\)")
_OF_TWO = {f"lax.{name}({{0}}, {{1}})": f"{name}imum" for name in ("max", "min")}
_BLIND = frozenset("exp exp2 log log2 cos cosh equal not_equal less less_equal greater greater_equal".split())
"""Functions that answer the same for either zero."""
_PASSING = frozenset(
    "add subtract multiply negative maximum minimum sqrt cbrt expm1 log1p sin tan sinh tanh lax.select".split()
)
"""Functions whose answer, for the other zero, is the same or the other zero itself."""
_PASSING_TEXTS = ("{0} @ {1}", "np.where(", "np.einsum(", "np.concatenate(", "lax.reduce_sum(")
_VIEWS = ("{0}.reshape(", "{0}.T", "{0}.transpose(", "{0}[", "np.broadcast_to(")


def relax_extrema(program: Program) -> bool:
    """Has NumPy's functions take the extrema of floats where the sign of a zero makes no difference.

    Returns:
      Whether there were any.
    """
    extrema = [statement for statement in program.block.all_statements() if _is_extremum(statement)]
    seen = _seen(program.block) if extrema else set()
    relaxed = [statement for statement in extrema if seen.isdisjoint(statement.targets)]
    starts: dict[tuple[int, int], Symbol] = {}
    for statement in relaxed:
        statement.expression = _numpy_extremum(program, statement.expression, starts)
    for symbol in starts.values():
        program.block.statements.insert(0, Statement([symbol], symbol.expression))  # type: ignore[arg-type]
    return bool(relaxed)


def _is_extremum(statement: Statement) -> bool:
    """Whether it takes the extrema of floats, of which there are some."""
    template = statement.expression.template
    if len(statement.targets) != 1 or not (template in _OF_TWO or _REDUCTION.fullmatch(template)):
        return False
    x = statement.expression.operands[0]
    dtype = statement.targets[0].dtype
    return dtype.isbuiltin == 1 and dtype.kind == "f" and not (isinstance(x, Symbol) and 0 in x.shape)


def _numpy_extremum(program: Program, expression: Expression, starts: dict[tuple[int, int], Symbol]) -> Expression:
    """NumPy's function for this one; `starts` has, by rows and their length, where rows begin."""
    if (ufunc := _OF_TWO.get(expression.template)) is not None:
        return Expression(f"np.{ufunc}({{0}}, {{1}})", expression.operands, ufunc=ufunc)
    reduction = _REDUCTION.fullmatch(expression.template)
    assert reduction is not None
    (x,), ufunc, axes = expression.operands, f"np.{reduction['name']}imum", ast.literal_eval(reduction["axes"])
    if not isinstance(x, Symbol) or not _has_many_rows(x, axes):
        return Expression(f"{ufunc}.reduce({{0}}, {axes[0] if len(axes) == 1 else axes})", (x,))
    rows, length = x.shape
    if (rows, length) not in starts:
        text = Expression(f"np.arange(0, {rows * length}, {length})")
        starts[rows, length] = Symbol("row_starts", (rows,), np.dtype(np.intp), program.block, expression=text)
    is_reshaped = x.expression is not None and x.expression.template.startswith("{0}.reshape(")
    whole = x.expression.operands[0] if is_reshaped else x  # type: ignore[union-attr]
    return Expression(f"{ufunc}.reduceat({{0}}.reshape(-1), {{1}})", (whole, starts[rows, length]))


def _has_many_rows(x: Symbol, axes: Sequence[int]) -> bool:
    """Whether each row of a matrix of many is reduced."""
    return axes == (1,) and len(x.shape) == 2 and x.shape[0] >= MANY_ROWS and lies_in_rows(x)


def lies_in_rows(x: Symbol) -> bool:
    """Whether the elements of each row lie, as far as can be told, next to each other in memory."""
    while x.expression is not None and x.expression.template.startswith("{0}.reshape("):
        (x,) = x.expression.operands  # type: ignore[assignment]
    return x.expression is None or not x.expression.template.startswith(("{0}.T", "{0}.transpose("))


# Who sees a zero's sign.


def _seen(block: Block) -> set[Symbol]:
    """The values of which somebody can tell whether a zero in them is negative."""
    sources: dict[Symbol, list[Atom]] = defaultdict(list)
    pending: list[Atom] = []
    _follow(block, sources, pending)
    seen: set[Symbol] = set()
    while pending:
        atom = pending.pop()
        if isinstance(atom, Symbol) and atom not in seen:
            seen.add(atom)
            pending += sources[atom]
    return seen


def _follow(block: Block, sources: dict[Symbol, list[Atom]], pending: list[Atom]) -> None:
    """Notes what may give a value its zeros, in `sources`; what is seen for certain goes to `pending`."""
    for statement in block.statements:
        if statement.arms:
            pending += statement.expression.operands
            _pass_on(statement.before, sources)
            for arm in statement.arms:
                pending += arm.header.operands
                _pass_on(arm.assigned, sources)
                if statement.is_loop:
                    _pass_on(zip(statement.targets, (carry for carry, _ in arm.assigned)), sources)
                _follow(arm.block, sources, pending)
            continue
        passing, watching = _divided(statement)
        pending += watching
        for target in statement.targets:
            sources[target] += passing


def _pass_on(pairs: Iterable[tuple[Symbol, Atom]], sources: dict[Symbol, list[Atom]]) -> None:
    for target, atom in pairs:
        sources[target].append(atom)


def _divided(statement: Statement) -> tuple[Sequence[Atom], Sequence[Atom]]:
    """The operands whose zeros may be those of the result, and those whose zeros' signs it sees."""
    expression, nothing = statement.expression, ()
    operands, template, ufunc = expression.operands, expression.template, expression.ufunc
    if statement.has_effect or statement.writes or statement.keeps_operands or len(statement.targets) != 1:
        return nothing, operands
    if ufunc in _BLIND:
        return nothing, nothing
    if ufunc == "divide":
        return operands[:1], operands[1:]
    is_passing = ufunc in _PASSING or template.startswith((*_VIEWS, *_PASSING_TEXTS))
    if is_passing or template in _OF_TWO or _REDUCTION.fullmatch(template):
        return operands, nothing
    return nothing, operands
