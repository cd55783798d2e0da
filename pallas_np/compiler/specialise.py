"""The evaluator: it runs the kernel once, on values that are either known or symbols.

What can be computed now is computed now; of the rest a statement is left.  A pure statement goes to the outermost block
in which its operands are defined, unless an enclosing block has computed the same before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pallas_np import lax_numpy, phase4, phase5
from pallas_np.compiler.emitters import emitters, run_by_machine
from pallas_np.compiler.expressions import ELEMENTWISE, REPEATING, elementwise, expressions, lax_call
from pallas_np.compiler.holdings import Held
from pallas_np.compiler.program import EVERYTHING, Atom, Block, Expression, Literal, Program, Statement, Symbol, literal
from pallas_np.compiler.repetition import has_semaphores
from pallas_np.compiler.scalars import floor_operator, is_scalar, scalar
from pallas_np.compiler.values import Spread, dtype_atom, is_known
from pallas_np.frontend import Equation, Var
from pallas_np.frontend.primitives import run_scoped_p
from pallas_np.options import Options

BUDGET = 2000
"""How many equations loops may be unrolled to, in all."""


class Specialiser(phase5.Interpreter):
    """Evaluates jaxprs to statements.

    Attributes:
      program: what has been written.
      block: where the next statement goes.
      grid_symbols: the grid's indices.
      bounds: for each axis of the grid its size, if that is known only when the program runs.
      budget: how many equations loops may still be unrolled to.
      gathers: the positions that gathers with known indices take, by all that decides them; see `rearrangements`.
      held: what refs hold, where that is known: a value that was written to all of one; see `holdings`.
      needs_machine: whether the program runs rules of phase 5.
      is_placing: whether it evaluates an index map, not the kernel.
    """

    def __init__(self, program: Program, options: Options):
        super().__init__(phase5.numpy_rules, options)
        self.program, self.block = program, program.block
        self.grid_symbols: list[Any] = []
        self.bounds: list[Symbol | None] = []
        self.budget = BUDGET
        self.gathers: dict[Any, tuple[int, np.ndarray]] = {}
        self.held = Held()
        self.needs_machine = False
        self.is_placing = False
        self.eqn: Equation | None = None

    def eval_equation(self, eqn: Equation, *args: Any) -> Any:
        self.eqn = eqn
        emitter = emitters.get(eqn.primitive)
        if emitter is not None:
            return emitter(self, eqn, *args)
        rule = self.rules.get(eqn.primitive)
        if rule is phase4.call:
            floor = floor_operator(self, eqn, args)
            return rule(self, eqn, *args) if floor is None else [floor]
        if eqn.primitive is run_scoped_p and not has_semaphores(eqn):
            return phase4.run_scoped(self, eqn, *args)
        if rule is None or getattr(rule, "is_structure", False):
            return run_by_machine(self, eqn, *args)
        return self.value(eqn, rule, args)

    def value(self, eqn: Equation, rule: Any, args: Sequence[Any]) -> Any:
        """The result of a value rule: computed now, or by a statement."""
        if all(map(is_known, args)) and eqn.name not in REPEATING:
            return rule(*args, **eqn.params)
        if all(map(is_scalar, args)) and (found := scalar(self, eqn, args)) is not None:
            return found
        if eqn.name in ELEMENTWISE:
            return elementwise(self, eqn, rule, args)
        emit = expressions.get(eqn.name)
        if eqn.name not in REPEATING and all(is_known(arg.inner if isinstance(arg, Spread) else arg) for arg in args):
            emit = None
        found = None if emit is None else emit(self, eqn, *args)
        if found is not None:
            return found
        whole = [self.materialised(arg) for arg in args]
        if all(map(is_known, whole)):
            return rule(*whole, **eqn.params)
        return lax_call(self, eqn, rule, whole)

    # Values as they stand in a statement.

    def weak(self, value: Any) -> Atom:
        """A value whose dtype its neighbours give it: a scalar stands as a number."""
        if isinstance(value, Symbol):
            return value
        return literal(value) or self.program.constant(value)

    def strong(self, value: Any) -> Atom:
        """A value with a dtype of its own."""
        if isinstance(value, Spread):
            value = self.materialised(value)
        if not isinstance(value, Symbol):
            return self.program.constant(value)
        if value.is_python:
            name = "bool_" if value.dtype == np.bool_ else value.dtype.name
            return self.emit(f"np.{name}({{0}})", [value], (), value.dtype)
        return value

    def materialised(self, value: Any) -> Any:
        """The value in its full shape."""
        if not isinstance(value, Spread):
            return value
        if is_known(value.inner):
            axes = range(len(value.shape) - value.inner.ndim, len(value.shape))
            return lax_numpy.broadcast_in_dim(value.inner, value.shape, tuple(axes))
        inner = self.strong(value.inner)
        return self.emit(f"np.broadcast_to({{0}}, {value.shape})", [inner], value.shape, value.dtype, is_fresh=False)

    # Statements.

    def emit(
        self,
        template: str,
        operands: Sequence[Atom],
        shape: Sequence[int],
        dtype: Any,
        *,
        name: str = "",
        is_infix: bool = False,
        ufunc: str = "",
        is_fresh: bool = True,
        **symbol: Any,
    ) -> Symbol:
        """A pure value: one that was computed before, or a new statement's."""
        key = (template, dtype, *[atom.text if type(atom) is Literal else atom for atom in operands])
        if (found := self.known(key)) is not None:
            return found
        home = self.home(operands)
        target = Symbol(name or self.base_name(), tuple(shape), dtype, home, **symbol)
        home.known[key] = target
        expression = target.expression = Expression(template, tuple(operands), is_infix, ufunc, is_fresh)
        home.statements.append(Statement([target], expression, eqn=None if self.is_placing else self.eqn))
        return target

    def known(self, key: Any) -> Symbol | None:
        """What this block or one around it has computed, by what computes it."""
        block: Block | None = self.block
        while block is not None:
            if key in block.known:
                return block.known[key]
            block = block.parent
        return None

    def home(self, operands: Sequence[Atom]) -> Block:
        """The outermost block that a pure statement may go to."""
        depth, block = 0, self.block
        for atom in operands:
            if type(atom) is Symbol and atom.block.depth > depth:
                depth = atom.block.depth
        while block.depth > depth and not block.is_arm and block.parent is not None:
            block = block.parent
        return block

    def do(self, statement: Statement) -> Statement:
        """A statement that stays where it is."""
        statement.eqn = statement.eqn or self.eqn
        self.held.forget(statement.writes)
        self.block.statements.append(statement)
        return statement

    def symbol(self, shape: Sequence[int], dtype: Any, name: str = "", **more: Any) -> Symbol:
        """A new symbol in the block of now."""
        return Symbol(self.program.unique(name or self.base_name()), tuple(shape), dtype, self.block, **more)

    def base_name(self) -> str:
        """What the name of a value begins with: with that of the primitive that makes it."""
        if self.is_placing or self.eqn is None:
            return "start"
        return self.eqn.name.replace("-", "_").rstrip("_")

    @contextlib.contextmanager
    def inside(self, block: Block) -> Iterator[None]:
        """Within it, statements go to `block`."""
        outside, self.block = self.block, block
        try:
            yield
        finally:
            self.block = outside

    @contextlib.contextmanager
    def looping(self, block: Block) -> Iterator[None]:
        """Within it, statements go to a loop's block: what a turn finds in memory, another one may have left there."""
        self.held.forget(EVERYTHING)
        with self.inside(block):
            yield
        self.held.forget(EVERYTHING)

    # What phase 4's rules ask of an interpreter.

    def fresh(self, ref: Var, repeated: frozenset[int] = frozenset(), *, is_seen: bool = True) -> Any:
        """New memory: one element along the axes in `repeated`, and filled if what was there before may be seen."""
        target = self.symbol(ref.shape, ref.dtype, "scratch", repeated=repeated)
        target.roots = frozenset({target.name})
        shape = tuple(1 if axis in repeated else size for axis, size in enumerate(ref.shape))
        dtype = dtype_atom(self.program, ref.dtype)
        if ref.is_semaphore or str(ref.memory_space).startswith("ACC"):
            self.needs_machine = True
            self.do(Statement([target], Expression("machine.fresh({0})", (self.program.constant(ref, "ref"),))))
            return target
        if is_seen:
            fill = literal(value := self.fresh_array((), ref.dtype)[()]) or self.program.constant(value)
            fill = Literal("np.nan") if value.dtype.kind == "f" and np.isnan(value) else fill
            expression = Expression(f"np.full({shape}, {{0}}, {{1}})", (fill, dtype))
        else:
            expression = Expression(f"np.empty({shape}, {{0}})", (dtype,))
        self.do(Statement([target], expression))
        self.program.scratch.add(target.name)
        return target
