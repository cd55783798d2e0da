"""Loops: unrolled where that pays and is cheap, else `for`, or `while True` with a break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pallas_np.compiler.program import Arm, Atom, Block, Expression, Interval, Statement, Symbol
from pallas_np.compiler.scalars import answered, index_symbol, interval_of, is_scalar
from pallas_np.compiler.values import dtype_atom, is_known
from pallas_np.frontend import Equation, Jaxpr, Literal, Var, subjaxprs

if TYPE_CHECKING:
    from pallas_np.compiler.specialise import Specialiser

_INT32 = np.iinfo(np.int32)


def size_of(jaxpr: Jaxpr) -> int:
    """How many equations it comes to, nested ones included, each loop unrolled."""
    return sum(
        1 + eqn.params.get("length", 1) * sum(map(size_of, subjaxprs(eqn))) if _has_programs(eqn) else 1
        for eqn in jaxpr.eqns
    )


def _unrolls(spec: Specialiser, equations: int) -> bool:
    """Whether so many equations are within the budget, which they then use up."""
    if equations > spec.budget:
        return False
    spec.budget -= equations
    return True


FEW = 32
"""So many equations are unrolled whether or not there is something to gain."""


def _pays(body: Jaxpr, turns: int, fixed: Sequence[Any], carried: Sequence[Any], xs: Sequence[Any] = ()) -> bool:
    """Whether unrolled turns could compute more beforehand than numbers, which cost a loop next to nothing.

    Args:
      body: the loop's body.
      turns: how often it runs.
      fixed: the arguments that are the same in each turn.
      carried: those that a turn has from the one before.
      xs: those of which each turn has an element.
    """
    if turns * size_of(body) <= FEW:
        return True
    own = {var for var, value in zip(body.invars, fixed) if is_known(value)} | set(body.constvars)
    rest = body.invars[len(fixed) :]
    elements = {var for var, x in zip(rest[len(carried) :], xs) if is_known(x)}
    carries = {var: result for var, value, result in zip(rest, carried, body.outvars) if is_known(value)}
    own.update(var for var, result in carries.items() if result is var)
    while True:  # a carry that is known at first need not stay so
        changing = elements | carries.keys() - own
        known, gains = _known_in(body, own, changing)
        stay = {var: result for var, result in carries.items() if isinstance(result, Literal) or result in known}
        if stay == carries:
            return gains
        carries = stay


def _known_in(body: Jaxpr, fixed: set[Var], changing: set[Var]) -> tuple[set[Any], bool]:
    """What a turn can compute from these; and whether there is an array in it that differs from turn to turn."""
    known: set[Any] = fixed | changing
    differs, gains = set(changing), any(var.shape for var in changing)
    for eqn in body.eqns:
        is_known_then = all(isinstance(atom, Literal) or atom in known for atom in eqn.invars)
        if is_known_then and (eqn.invars or eqn.name == "iota"):
            known.update(eqn.outvars)
        if not differs.isdisjoint(eqn.invars):
            if is_known_then:
                differs.update(eqn.outvars)
            gains = gains or any(var.shape for var in eqn.outvars if is_known_then) or _has_programs(eqn)
    return known, gains


def _has_programs(eqn: Equation) -> bool:
    return any(True for _ in subjaxprs(eqn))


class Carry(NamedTuple):
    """What a loop carries: before it, in its body, and after it; `final` is `None` of a variable that it assigns."""

    initial: Any
    inner: Any
    final: Any = None


def _variable(spec: Specialiser, block: Block, initial: Any, var: Any) -> Carry:
    with spec.inside(block):
        return Carry(initial, spec.symbol(var.shape, var.dtype, "carry"))


def _finish(
    spec: Specialiser, header: Expression, block: Block, carries: Sequence[Carry], results: Sequence[Any]
) -> list[Any]:
    """Writes the loop: what it carries is assigned before it and at the end of its body."""
    before, assigned, targets, finals = [], [], [], []
    for carry, result in zip(carries, results):
        if carry.final is not None:
            finals.append(carry.final)
            continue
        before.append((carry.inner, spec.strong(carry.initial)))
        with spec.inside(block):
            assigned.append((carry.inner, spec.strong(result)))
        final = Symbol(carry.inner.name, carry.inner.shape, carry.inner.dtype, spec.block)
        targets.append(final)
        finals.append(final)
    arm = Arm(header, block, assigned)
    spec.do(Statement(targets, Expression(""), arms=[arm], before=before, is_loop=True))
    return finals


# scan


def scan(spec: Specialiser, eqn: Equation, *args: Any) -> list[Any]:
    body, length = eqn.params["jaxpr"], eqn.params["length"]
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    consts, xs = args[:num_consts], args[num_consts + num_carry :]
    carry = list(args[num_consts:][:num_carry])
    stacked = [_stack(spec, var) for var in eqn.outvars[num_carry:]]
    pays = _pays(body, length, consts, carry, xs)
    if pays and _unrolls(spec, (size_of(body) + len(xs) + len(stacked)) * length):
        order = reversed(range(length)) if eqn.params["reverse"] else range(length)
        for i in order:
            carry = _scan_step(spec, eqn, consts, carry, xs, stacked, np.int32(i))
        return [*carry, *stacked]
    return [*_scan_loop(spec, eqn, consts, carry, xs, stacked), *stacked]


def _stack(spec: Specialiser, var: Any) -> Symbol:
    """An array that a scan fills."""
    target = spec.symbol(var.shape, var.dtype, "stacked")
    target.roots = frozenset({target.name})
    text = Expression(f"np.empty({var.shape}, {{0}})", (dtype_atom(spec.program, var.dtype),))
    spec.do(Statement([target], text))
    return target


def _scan_step(
    spec: Specialiser, eqn: Equation, consts: Any, carry: Any, xs: Any, stacked: Sequence[Symbol], i: Any
) -> list[Any]:
    body = eqn.params["jaxpr"]
    results = spec.eval_jaxpr(body, body.consts, *consts, *carry, *(_element(spec, x, i) for x in xs))
    for y, result in zip(stacked, results[eqn.params["num_carry"] :]):
        template = "{0}[{1}] = {2}"
        expression = Expression(template, (y, spec.weak(i), spec.strong(result)))
        spec.do(Statement([], expression, writes=y.roots, has_effect=True))
    return results[: eqn.params["num_carry"]]


def _element(spec: Specialiser, x: Any, i: Any) -> Any:
    x = spec.materialised(x)
    if is_known(x) and is_known(i):
        return x[int(i)]
    return spec.emit("{0}[{1}]", [spec.strong(x), spec.weak(i)], x.shape[1:], x.dtype, name="x", is_fresh=False)


def _scan_loop(
    spec: Specialiser, eqn: Equation, consts: Any, initial: Any, xs: Any, stacked: Sequence[Symbol]
) -> list[Any]:
    body, length, num_consts = eqn.params["jaxpr"], eqn.params["length"], eqn.params["num_consts"]
    block = Block(spec.block)
    with spec.inside(block):
        k = index_symbol(spec, "k", (0, length - 1))
    carries = []
    for n, value in enumerate(initial):
        step = _step(body, num_consts + n, n)
        if body.outvars[n] is body.invars[num_consts + n]:
            carries.append(Carry(value, value, value))
        elif step is not None and not eqn.params["reverse"] and is_known(value) and value.dtype == np.int32:
            carries.append(_counter(spec, block, k, int(value), step, length))
        else:
            carries.append(_variable(spec, block, value, body.invars[num_consts + n]))
    with spec.looping(block):
        results = _scan_step(spec, eqn, consts, [carry.inner for carry in carries], xs, stacked, k)
    header = f"for {k.name} in {'reversed(range(%d))' if eqn.params['reverse'] else 'range(%d)'}" % length
    return _finish(spec, Expression(header), block, carries, results)


def _counter(spec: Specialiser, block: Block, k: Symbol, start: int, step: int, length: int) -> Carry:
    """A carried integer that grows by a fixed step: inside the loop computed from its index."""
    if (start, step) == (0, 1):
        return Carry(k, k, np.int32(length))
    ends = sorted((start, start + step * (length - 1)))
    final = np.array(start + step * length).astype(np.int32)[()]
    with spec.inside(block):
        value = answered(spec, f"{start} + {step} * {{0}}", [k], (ends[0], ends[1]), np.dtype(np.int32))
    return Carry(value, value, final)


def _step(body: Jaxpr, position: int, result: int) -> int | None:
    """By how much a body adds to its operand at `position`, if that is all it does with that result."""
    for eqn in body.eqns:
        if body.outvars[result] in eqn.outvars and eqn.name == "add":
            x, y = eqn.invars
            if x is body.invars[position] and isinstance(y, Literal) and np.ndim(y.value) == 0:
                return int(y.value) if y.value.dtype.kind == "i" else None
    return None


# while


def while_loop(spec: Specialiser, eqn: Equation, *args: Any) -> list[Any]:
    condition, num_condition = eqn.params["cond_jaxpr"], eqn.params["cond_nconsts"]
    body, num_body = eqn.params["body_jaxpr"], eqn.params["body_nconsts"]
    condition_args = args[:num_condition]
    body_args = args[num_condition : num_condition + num_body]
    carry: list[Any] = list(args[num_condition + num_body :])
    loop = _While(spec, eqn, condition, condition_args, body, body_args)
    counted = loop.counted()
    if counted is not None and all(is_known(carry[n]) for n in counted):
        trips = max(int(carry[counted[1]]) - int(carry[counted[0]]), 0)
        if not (_pays(body, trips, body_args, carry) and _unrolls(spec, trips * size_of(body))):
            return loop.emit_for(carry, counted)
        for _ in range(trips):
            carry = spec.eval_jaxpr(body, body.consts, *body_args, *carry)
        return carry
    if counted is not None and is_scalar_or_symbol(carry[counted[0]]) and is_scalar_or_symbol(carry[counted[1]]):
        return loop.emit_for(carry, counted)
    while loop.is_decided(carry) and _unrolls(spec, size_of(body)):
        (holds,) = spec.eval_jaxpr(condition, condition.consts, *condition_args, *carry)
        if not is_known(holds):
            break
        if not holds:
            return carry
        carry = spec.eval_jaxpr(body, body.consts, *body_args, *carry)
    return loop.emit_while(carry)


def is_scalar_or_symbol(value: Any) -> bool:
    """Whether a value can bound a `range`."""
    return is_scalar(value) or isinstance(value, Symbol)


class _While(NamedTuple):
    """A while loop on its way into the program."""

    spec: Specialiser
    eqn: Equation
    condition: Jaxpr
    condition_args: Sequence[Any]
    body: Jaxpr
    body_args: Sequence[Any]

    def counted(self) -> tuple[int, int] | None:
        """The carries that are counter and bound, if the loop runs while one is less than the other, in steps of 1."""
        if len(self.condition.eqns) != 1 or self.condition.eqns[0].name != "lt" or self.condition_args:
            return None
        test = self.condition.eqns[0]
        if self.condition.outvars[0] is not test.outvars[0] or any(isinstance(a, Literal) for a in test.invars):
            return None
        counter, bound = (self.condition.invars.index(a) for a in test.invars)  # type: ignore[arg-type]
        first = len(self.body_args)
        unchanged = self.body.outvars[bound] is self.body.invars[first + bound]
        steps_by_one = _step(self.body, first + counter, counter) == 1
        is_int32 = self.condition.invars[counter].dtype == np.int32
        return (counter, bound) if unchanged and steps_by_one and is_int32 else None

    def carries(self, block: Block, initial: Sequence[Any]) -> list[Carry]:
        first, found = len(self.body_args), []
        for n, value in enumerate(initial):
            if self.body.outvars[n] is self.body.invars[first + n]:
                found.append(Carry(value, value, value))
            else:
                found.append(_variable(self.spec, block, value, self.body.invars[first + n]))
        return found

    def emit_for(self, initial: list[Any], counted: tuple[int, int]) -> list[Any]:
        """`for k in range(lower, upper)`."""
        spec, block = self.spec, Block(self.spec.block)
        lower, upper = (initial[n] for n in counted)
        low, high = _bounds(lower)[0], _bounds(upper)[1] - 1
        with spec.inside(block):
            k = index_symbol(spec, "k", (low, max(low, high)))
        carries = self.carries(block, initial)
        final = _last(spec, lower, upper)
        carries[counted[0]] = Carry(lower, k, final)
        with spec.looping(block):
            inner = [carry.inner for carry in carries]
            results = spec.eval_jaxpr(self.body, self.body.consts, *self.body_args, *inner)
        header = Expression(f"for {k.name} in range({{0}}, {{1}})", (spec.weak(lower), spec.weak(upper)))
        return _finish(spec, header, block, carries, results)

    def is_decided(self, carry: Sequence[Any]) -> bool:
        """Whether the condition is known now."""
        reads = {v for eqn in self.condition.eqns for v in eqn.invars} | set(self.condition.outvars)
        values = dict(zip(self.condition.invars, [*self.condition_args, *carry]))
        return all(is_known(values[v]) for v in reads if v in values)

    def emit_while(self, initial: list[Any]) -> list[Any]:
        """`while True:`, and a break where the condition does not hold."""
        spec, block = self.spec, Block(self.spec.block)
        carries = self.carries(block, initial)
        with spec.looping(block):
            inner = [carry.inner for carry in carries]
            (holds,) = spec.eval_jaxpr(self.condition, self.condition.consts, *self.condition_args, *inner)
            stop = Expression("if not {0}: break", (spec.weak(holds),))
            spec.do(Statement([], stop, has_effect=True))
            results = spec.eval_jaxpr(self.body, self.body.consts, *self.body_args, *inner)
        return _finish(spec, Expression("while True"), block, carries, results)


def _bounds(value: Any) -> Interval:
    return interval_of(value) if is_scalar(value) else (_INT32.min, _INT32.max)


def _last(spec: Specialiser, lower: Any, upper: Any) -> Any:
    """What the counter is after the loop."""
    bounds = max(_bounds(lower)[0], _bounds(upper)[0]), max(_bounds(lower)[1], _bounds(upper)[1])
    operands: list[Atom] = [spec.weak(lower), spec.weak(upper)]
    text = "int(max({0}, {1}))"
    return spec.emit(text, operands, (), np.dtype(np.int32), interval=bounds, is_python=True)
