"""A jaxpr for several programs at once: what differs from program to program gets a leading axis.

The rules are a table from primitive to what becomes of its equation.  A kernel with a primitive that is not in the
table, or that uses one as the table does not foresee, raises `NotBatchable`, and its programs run one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pallas_np import phase5
from pallas_np.compiler.expressions import ELEMENTWISE
from pallas_np.frontend import CALLS, Atom, Equation, Jaxpr, Literal, Var, mark_dead
from pallas_np.frontend import primitives as p
from pallas_np.frontend.refs import Index, Slice
from pallas_np.frontend.refs import Operand as IndexOperand


class NotBatchable(Exception):
    """The kernel does something that cannot be done for several programs at once."""


def require(condition: Any) -> None:
    """Gives up unless this holds."""
    if not condition:
        raise NotBatchable


class Batcher:
    """Rewrites the jaxprs of one kernel.

    Attributes:
      size: how many programs run at once.
      axis: the axis of `program_id` along which they lie; -1 if `program_id` does not count it.
      length: how many programs there are along it.
      eqn: the equation that is being rewritten, whose source line what is added to a jaxpr without equations has.
    """

    def __init__(self, size: int, axis: int, length: int):
        self.size, self.axis, self.length = size, axis, length
        self.eqn: Equation | None = None
        self._written: dict[Any, tuple[Jaxpr, list[bool]]] = {}

    def jaxpr(
        self, jaxpr: Jaxpr, is_batched: Sequence[bool], results: Sequence[bool] = (), consts: Sequence[bool] = ()
    ) -> tuple[Jaxpr, list[bool]]:
        """The jaxpr on operands of which some have the axis.

        Args:
          jaxpr: what to rewrite.
          is_batched: of each argument, whether it has the axis.
          results: of each result, whether it must have the axis; it may have it anyway.
          consts: of each captured constant, whether it has the axis; `()` if none does.

        Returns:
          The new jaxpr, and which of its results have the axis; that is one and the same for all calls alike.
        """
        key = jaxpr, tuple(is_batched), tuple(results), tuple(consts)
        if key not in self._written:
            self._written[key] = self._rewritten(jaxpr, is_batched, results, consts)
        return self._written[key]

    def _rewritten(
        self, jaxpr: Jaxpr, is_batched: Sequence[bool], results: Sequence[bool], consts: Sequence[bool]
    ) -> tuple[Jaxpr, list[bool]]:
        writer = _Writer(self, jaxpr)
        constvars = [writer.argument(v, b) for v, b in zip(jaxpr.constvars, consts or [False] * len(jaxpr.constvars))]
        invars = [writer.argument(v, b) for v, b in zip(jaxpr.invars, is_batched, strict=True)]
        for eqn in jaxpr.eqns:
            writer.equation(eqn)
        outvars = [
            writer.with_axis(atom) if wanted else writer.read(atom)
            for atom, wanted in zip(jaxpr.outvars, results or [False] * len(jaxpr.outvars))
        ]
        eqns = _used(writer.eqns, outvars) if writer.has_unused else writer.eqns
        mark_dead(eqns, tuple(outvars))
        new = Jaxpr(
            constvars=tuple(constvars),
            invars=tuple(invars),
            eqns=tuple(eqns),
            outvars=tuple(outvars),
            literals=(*jaxpr.literals, *writer.literals),
            consts=jaxpr.consts,
            name=jaxpr.name,
            argument_names=jaxpr.argument_names,
        )
        return new, [atom in writer.batched for atom in outvars]


def _used(eqns: Sequence[Equation], outvars: Sequence[Atom]) -> list[Equation]:
    """Without values that nobody reads."""
    needed, kept = set(outvars), []
    for eqn in reversed(eqns):
        if eqn.name not in _value_rules or not needed.isdisjoint(eqn.outvars):
            kept.append(eqn)
            needed.update(eqn.invars)
    return kept[::-1]


class _Writer:
    """Writes the equations of one jaxpr.

    Attributes:
      eqns: those written so far.
      batched: the variables that have the axis.
      literals: the literals that were added.
      truths: for each truth value with the axis that an elementwise equation defines, that equation.
      has_unused: whether another form of an equation may have left operands that nobody reads.
    """

    def __init__(self, batcher: Batcher, jaxpr: Jaxpr):
        self.batcher, self.size = batcher, batcher.size
        self.eqns: list[Equation] = []
        self.batched: set[Atom] = set()
        self.literals: list[Literal] = []
        self.env: dict[Atom, Atom] = {}
        self.truths: dict[Atom, Equation] = {}
        self.has_unused = False
        self.eqn = batcher.eqn

    def argument(self, var: Var, is_batched: bool) -> Var:
        """The new variable for an argument."""
        new = self.new(var) if is_batched else var
        self.env[var] = new
        return new

    def new(self, var: Var) -> Var:
        """The variable with the axis."""
        new = var.with_shape((self.size, *var.shape))
        self.batched.add(new)
        return new

    def read(self, atom: Atom) -> Atom:
        return self.env.get(atom, atom)

    def is_batched(self, atom: Atom) -> bool:
        return self.read(atom) in self.batched

    def equation(self, eqn: Equation) -> None:
        """Writes what an equation becomes."""
        self.eqn = self.batcher.eqn = eqn
        rule = _rules.get(eqn.primitive)
        if rule is not None:
            rule(self, eqn)
            return
        invars = list(map(self.read, eqn.invars))
        if self.batched.isdisjoint(invars):
            plain = phase5.numpy_rules.get(eqn.primitive)
            require(plain is not None and not getattr(plain, "is_structure", False))
            self.write(eqn, invars, eqn.outvars, eqn.params)
        else:
            by_name = _value_rules.get(eqn.name)
            require(by_name is not None)
            by_name(self, eqn)  # type: ignore[misc]

    def write(self, eqn: Equation, invars: Any, outvars: Any, params: dict[str, Any], primitive: Any = None) -> None:
        """An equation, with the source of the one that it comes from."""
        primitive = primitive or eqn.primitive
        multiple = primitive.multiple_results
        self.eqns.append(Equation(primitive, tuple(invars), tuple(outvars), params, multiple, eqn.jax))

    def answer(self, eqn: Equation, invars: Any, params: dict[str, Any] | None = None, primitive: Any = None) -> None:
        """An equation whose results have the axis."""
        outvars = [self.new(v) for v in eqn.outvars]
        self.env.update(zip(eqn.outvars, outvars))
        self.write(eqn, invars, outvars, eqn.params if params is None else params, primitive)

    def operands(self, name: str, atom: Atom) -> tuple[Atom, ...] | None:
        """The operands of the truth value's equation, if it is of this primitive."""
        eqn = self.truths.get(atom)
        return eqn.invars if eqn is not None and eqn.name == name else None

    def results(self, eqn: Equation, invars: Any, params: dict[str, Any], is_batched: Sequence[bool]) -> None:
        """An equation of whose results some have the axis."""
        outvars = [self.new(v) if b else v for v, b in zip(eqn.outvars, is_batched, strict=True)]
        self.env.update(zip(eqn.outvars, outvars))
        self.write(eqn, invars, outvars, params)

    def value(self, name: str, invars: Sequence[Atom], like: Var, shape: tuple[int, ...], /, **params: Any) -> Var:
        """A new value, of the kind of `like`."""
        assert self.eqn is not None
        new = like.with_shape(shape)
        self.write(self.eqn, invars, [new], params, p.lax_primitive(name))
        return new

    def literal(self, value: Any) -> Literal:
        self.literals.append(Literal(value))
        return self.literals[-1]

    def with_axis(self, atom: Atom) -> Var:
        """The value with the axis; one that has none is repeated."""
        new = self.read(atom)
        if new in self.batched:
            return new  # type: ignore[return-value]
        if isinstance(new, Literal):
            like, shape = self.batched_like(new), np.shape(new.value)
        else:
            like, shape = new, new.shape
        require(not like.is_ref)
        full = (self.size, *shape)
        found = self.value(
            "broadcast_in_dim", [new], like, full, shape=full, broadcast_dimensions=tuple(range(1, len(full)))
        )
        self.batched.add(found)
        return found

    def batched_like(self, literal: Literal) -> Var:
        return Var.of(np.shape(literal.value), literal.value.dtype)

    def of_rank(self, atom: Atom, rank: int) -> Atom:
        """The operand with 1s after the axis, so that NumPy's broadcasting lines it up with operands of this rank."""
        new = self.read(atom)
        if new not in self.batched:
            return new
        assert isinstance(new, Var)
        missing = rank - (len(new.shape) - 1)
        if missing <= 0:
            return new
        shape = (self.size, *(1,) * missing, *new.shape[1:])
        return self.value("reshape", [new], new, shape, new_sizes=shape)


# Values.


def _or(writer: _Writer, eqn: Equation) -> None:
    """`a < b`, or b is NaN and a is not: that is, a is a number and not `b <= a`."""
    rank = len(eqn.outvars[0].shape)
    invars = [writer.of_rank(atom, rank) for atom in eqn.invars]
    for less, rest in (invars, invars[::-1]):
        compared, both = writer.operands("lt", less), writer.operands("and", rest)
        if compared is None or both is None:
            continue
        a, b = compared
        for nan, number in (both, both[::-1]):
            if writer.operands("ne", nan) == (b, b) and writer.operands("eq", number) == (a, a):
                assert isinstance(less, Var)
                other = writer.value("le", (b, a), less, less.shape)  # type: ignore[arg-type]
                writer.batched.add(other)
                writer.answer(eqn, (number, other), primitive=p.lax_primitive("gt"))
                writer.has_unused = True
                return
    writer.answer(eqn, invars)


def _elementwise(writer: _Writer, eqn: Equation) -> None:
    (result,) = eqn.outvars
    rank = len(result.shape)
    writer.answer(eqn, [writer.of_rank(atom, rank) for atom in eqn.invars])
    if result.dtype.kind == "b":
        writer.truths[writer.env[result]] = writer.eqns[-1]


def _changing(**changes: Callable[[_Writer, Any], Any]) -> Callable[[_Writer, Equation], None]:
    """A rule that gives all operands the axis, and changes some parameters."""

    def rule(writer: _Writer, eqn: Equation) -> None:
        params = {name: changes.get(name, _same)(writer, value) for name, value in eqn.params.items()}
        writer.answer(eqn, list(map(writer.with_axis, eqn.invars)), params)

    return rule


def _same(writer: _Writer, value: Any) -> Any:
    return value


def _shifted(writer: _Writer, axes: Any) -> Any:
    return tuple(axis + 1 for axis in axes) if isinstance(axes, tuple) else axes + 1


def _behind_axis(writer: _Writer, axes: Any) -> Any:
    """Axes that begin with the new one: of a permutation, or of what a broadcast keeps."""
    return (0, *(axis + 1 for axis in axes))


def _shape(writer: _Writer, shape: Any) -> Any:
    return (writer.size, *shape)


def _broadcast_in_dim(writer: _Writer, eqn: Equation) -> None:
    require(len(eqn.invars) == 1)
    _changing(shape=_shape, broadcast_dimensions=_behind_axis)(writer, eqn)


def _reshape(writer: _Writer, eqn: Equation) -> None:
    require(eqn.params.get("dimensions") is None and len(eqn.invars) == 1)
    _changing(new_sizes=_shape)(writer, eqn)


def _slice(writer: _Writer, eqn: Equation) -> None:
    params = eqn.params
    strides = params.get("strides")
    new = {
        "start_indices": (0, *params["start_indices"]),
        "limit_indices": (writer.size, *params["limit_indices"]),
        "strides": None if strides is None else (1, *strides),
    }
    writer.answer(eqn, [writer.read(eqn.invars[0])], new)


def _pad(writer: _Writer, eqn: Equation) -> None:
    require(not writer.is_batched(eqn.invars[1]))
    config = ((0, 0, 0), *eqn.params["padding_config"])
    writer.answer(eqn, list(map(writer.read, eqn.invars)), {**eqn.params, "padding_config": config})


def _dot_general(writer: _Writer, eqn: Equation) -> None:
    """As many products; or one with as many times the rows, if all programs multiply by the same."""
    (left, right), (left_batch, right_batch) = eqn.params["dimension_numbers"]
    if not left_batch and not writer.is_batched(eqn.invars[1]):
        numbers = (_shifted(writer, left), right), ((), ())
        writer.answer(eqn, list(map(writer.read, eqn.invars)), {**eqn.params, "dimension_numbers": numbers})
        return
    contracting = _shifted(writer, left), _shifted(writer, right)
    batch = _behind_axis(writer, left_batch), _behind_axis(writer, right_batch)
    params = {**eqn.params, "dimension_numbers": (contracting, batch)}
    writer.answer(eqn, list(map(writer.with_axis, eqn.invars)), params)


def _gather(writer: _Writer, eqn: Equation) -> None:
    """The axis is whole in every slice, or, where the indices have it too, an axis that both share."""
    operand, indices = eqn.invars
    numbers, params = eqn.params["dimension_numbers"], eqn.params
    shifted = {name: tuple(axis + 1 for axis in axes) for name, axes in numbers._asdict().items()}
    if writer.is_batched(indices):
        new = {
            **shifted,
            "operand_batching_dims": (0, *shifted["operand_batching_dims"]),
            "start_indices_batching_dims": (0, *shifted["start_indices_batching_dims"]),
        }
        sizes, atoms = (1, *params["slice_sizes"]), [writer.with_axis(operand), writer.read(indices)]
    else:
        new = {
            **shifted,
            "offset_dims": (0, *shifted["offset_dims"]),
            "start_indices_batching_dims": numbers.start_indices_batching_dims,
        }
        sizes, atoms = (writer.size, *params["slice_sizes"]), [writer.read(operand), writer.read(indices)]
    writer.answer(eqn, atoms, {**params, "dimension_numbers": type(numbers)(**new), "slice_sizes": sizes})


_axes = _changing(axes=_shifted)
_axis = _changing(axis=_shifted)
_dimension = _changing(dimension=_shifted)
_value_rules: dict[str, Callable[[_Writer, Equation], None]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    "or": _or,
    **dict.fromkeys(
        "acos acosh asin asinh atan atan2 atanh cbrt copy erf_inv erfc lgamma digamma nextafter one_minus_square"
        " reduce_precision add_any stop_gradient pow logistic mulhi".split(),
        _elementwise,
    ),
    **dict.fromkeys("reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or reduce_xor".split(), _axes),
    **dict.fromkeys("argmax argmin".split(), _axes),
    **dict.fromkeys("cumsum cumprod cummax cummin cumlogsumexp".split(), _axis),
    "broadcast_in_dim": _broadcast_in_dim,
    "broadcast_to": _changing(shape=_shape),
    "concatenate": _dimension,
    "dot_general": _dot_general,
    "gather": _gather,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _changing(dimensions=_shifted),
    "slice": _slice,
    "sort": _dimension,
    "split": _axis,
    "squeeze": _changing(dimensions=_shifted),
    "tile": _changing(reps=lambda writer, reps: (1, *reps)),
    "transpose": _changing(permutation=_behind_axis),
}
"""For each primitive of values what becomes of an equation some of whose operands have the axis."""


# Where the program is.


def _program_id(writer: _Writer, eqn: Equation) -> None:
    if eqn.params["axis"] != writer.batcher.axis:
        writer.write(eqn, [], eqn.outvars, eqn.params)
        return
    (out,) = eqn.outvars
    size, last = writer.size, writer.batcher.length - writer.size
    chunk = out.with_shape(())
    writer.write(eqn, [], [chunk], eqn.params)
    start = writer.value("mul", [chunk, writer.literal(np.int32(size))], out, ())
    if writer.batcher.length % size:
        start = writer.value("min", [start, writer.literal(np.int32(last))], out, ())
    counted = writer.value("iota", [], out, (size,), dtype=out.dtype, shape=(size,), dimension=0)
    spread = writer.value("broadcast_in_dim", [start], out, (size,), shape=(size,), broadcast_dimensions=())
    found = writer.value("add", [spread, counted], out, (size,))
    writer.batched.add(found)
    writer.env[out] = found


def _num_programs(writer: _Writer, eqn: Equation) -> None:
    if eqn.params["axis"] == writer.batcher.axis:
        writer.env[eqn.outvars[0]] = writer.literal(np.int32(writer.batcher.length))
    else:
        writer.write(eqn, [], eqn.outvars, eqn.params)


# Memory.


def _access(writer: _Writer, eqn: Equation) -> None:
    """`get`, `swap` and `addupdate`: all of the axis is read and written."""
    ref, *others = eqn.invars
    is_get = eqn.primitive is p.get_p
    values, indices = ([], others) if is_get else (others[:1], others[1:])
    require(not any(map(writer.is_batched, indices)))
    if not writer.is_batched(ref):
        require(is_get)
        writer.write(eqn, map(writer.read, eqn.invars), eqn.outvars, eqn.params)
        return
    transforms = tuple(_prefixed(writer, transform, indices) for transform in eqn.params["transforms"])
    params = {**eqn.params, "transforms": transforms}
    atoms = [writer.read(ref), *map(writer.with_axis, values), *map(writer.read, indices)]
    writer.results(eqn, atoms, params, [True] * len(eqn.outvars))


def _prefixed(writer: _Writer, transform: Any, indices: Sequence[Atom]) -> Index:
    require(isinstance(transform, Index))
    for part in transform.indices:
        places = (part.start, part.size) if isinstance(part, Slice) else (part,)
        for place in places:
            atom = indices[place.position] if isinstance(place, IndexOperand) else None
            require(atom is None or (isinstance(atom, Var) and atom.shape == ()) or isinstance(atom, Literal))
            require(isinstance(place, (int, IndexOperand)))
    return Index((Slice(0, writer.size, 1), *transform.indices))


# Programs inside.


def _call(writer: _Writer, eqn: Equation) -> None:
    body, results = writer.batcher.jaxpr(eqn.params["jaxpr"], list(map(writer.is_batched, eqn.invars)))
    writer.results(eqn, map(writer.read, eqn.invars), {**eqn.params, "jaxpr": body}, results)


def _run_scoped(writer: _Writer, eqn: Equation) -> None:
    jaxpr = eqn.params["jaxpr"]
    consts = list(map(writer.is_batched, eqn.invars))
    require(not any(v.is_semaphore or str(v.memory_space).startswith("ACC") for v in jaxpr.invars))
    body, results = writer.batcher.jaxpr(jaxpr, [True] * len(jaxpr.invars), consts=consts)
    writer.results(eqn, map(writer.read, eqn.invars), {**eqn.params, "jaxpr": body}, results)


def _cond(writer: _Writer, eqn: Equation) -> None:
    index, *args = eqn.invars
    require(not writer.is_batched(index))
    flags = list(map(writer.is_batched, args))
    wanted = [False] * len(eqn.outvars)
    for branch in eqn.params["branches"]:
        wanted = [a or b for a, b in zip(wanted, writer.batcher.jaxpr(branch, flags)[1])]
    branches = tuple(writer.batcher.jaxpr(branch, flags, wanted)[0] for branch in eqn.params["branches"])
    writer.results(eqn, map(writer.read, eqn.invars), {**eqn.params, "branches": branches}, wanted)


def _carried(writer: _Writer, body: Jaxpr, before: list[bool], carry: list[bool], after: list[bool]) -> list[bool]:
    """Which carries have the axis: those that get a result that has it, at the first turn or later."""
    while True:
        found = writer.batcher.jaxpr(body, [*before, *carry, *after], carry)[1]
        if found == carry:
            return carry
        carry = found


def _scan(writer: _Writer, eqn: Equation) -> None:
    body, num_consts, num_carry = (eqn.params[name] for name in ("jaxpr", "num_consts", "num_carry"))
    flags = list(map(writer.is_batched, eqn.invars))
    consts, carry, xs = flags[:num_consts], flags[num_consts:][:num_carry], flags[num_consts + num_carry :]
    require(not any(xs) and len(eqn.outvars) == num_carry)
    carry = _carried(writer, body, consts, carry, xs)
    new, _ = writer.batcher.jaxpr(body, [*consts, *carry, *xs], carry)
    initial = [
        writer.with_axis(atom) if b else writer.read(atom)
        for atom, b in zip(eqn.invars[num_consts:][:num_carry], carry)
    ]
    rest = map(writer.read, eqn.invars[num_consts + num_carry :])
    atoms = [*map(writer.read, eqn.invars[:num_consts]), *initial, *rest]
    writer.results(eqn, atoms, {**eqn.params, "jaxpr": new}, carry)


def _while(writer: _Writer, eqn: Equation) -> None:
    condition, num_condition = eqn.params["cond_jaxpr"], eqn.params["cond_nconsts"]
    body, num_body = eqn.params["body_jaxpr"], eqn.params["body_nconsts"]
    flags = list(map(writer.is_batched, eqn.invars))
    first = num_condition + num_body
    carry = _carried(writer, body, flags[num_condition:first], flags[first:], [])
    tested, results = writer.batcher.jaxpr(condition, [*flags[:num_condition], *carry])
    require(results == [False])
    new, _ = writer.batcher.jaxpr(body, [*flags[num_condition:first], *carry], carry)
    initial = [writer.with_axis(atom) if b else writer.read(atom) for atom, b in zip(eqn.invars[first:], carry)]
    atoms = [*map(writer.read, eqn.invars[:first]), *initial]
    writer.results(eqn, atoms, {**eqn.params, "cond_jaxpr": tested, "body_jaxpr": new}, carry)


_rules: dict[Any, Callable[[_Writer, Equation], None]] = {
    p.program_id_p: _program_id,
    p.num_programs_p: _num_programs,
    p.get_p: _access,
    p.swap_p: _access,
    p.addupdate_p: _access,
    **dict.fromkeys(CALLS, _call),
    p.run_scoped_p: _run_scoped,
    p.cond_p: _cond,
    p.scan_p: _scan,
    p.while_p: _while,
}
"""For each primitive of structure what becomes of its equation."""
