"""Which primitives run in NumPy: those of one kernel, or all that can reach one.

What a row says comes from the phases' tables: since when a primitive is there from the first table that has it, and by
what it runs from phase 5's rule.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from pallas_np import phase1, phase2, phase3, phase4, phase5
from pallas_np.frontend import Equation, Jaxpr, KernelCall, subjaxprs
from pallas_np.frontend.jaxpr import expansions
from pallas_np.frontend.kernel_calls import kernel_calls
from pallas_np.frontend.lowering_tables import is_in_this_release, lowered_primitives, primitive_named
from pallas_np.frontend.primitives import pallas_call_p
from pallas_np.frontend.reference import LAX_REFERENCE

PHASES: tuple[ModuleType, ...] = (phase1, phase2, phase3, phase4, phase5)

INTERPRET = "interpret=True only"

# `interpret=True` takes these, whether or not one of Pallas's compilers does.
INTERPRET_ONLY = """
    add_any approx_top_k argmax argmin complex conj conv_general_dilated copy cumlogsumexp cummax cummin cumprod digamma
    dynamic_slice dynamic_update_slice erfc imag lgamma nextafter platform_index polynomial ragged_dot_general
    random_bits random_fold_in random_seed random_split random_unwrap random_wrap real reduce reduce_and reduce_or
    reduce_precision reduce_prod reduce_window reduce_xor rev rng_bit_generator scatter scatter-add scatter-max
    scatter-min scatter-mul scatter-sub select_and_gather_add sort threefry2x32 top_k
    call closed_call composite custom_jvp_call custom_vjp_call custom_vmap_call linear_call linear_solve remat run_state
    cholesky device_put eig eigh empty fft hessenberg householder_product igamma_grad_a lu lu_pivots_to_permutation name
    qr random_gamma rng_uniform schur select_and_scatter svd triangular_solve tridiagonal tridiagonal_solve
    new_ref empty_ref free_ref freeze create_linear pin unpin broadcast_to with_memory_space_constraint get_global
    masked_load masked_swap einshape check debug_callback has_memory_space tpu_conv
    matmul_push_rhs matmul_acc_lhs matmul_pop emit_pipeline pallas_call
""".split()


@dataclass(frozen=True)
class Row:
    """One primitive.

    Attributes:
      primitive: its name.
      phase: the phase that first has a rule for it; `None` if none has.
      by: what runs it: `"NumPy"` (a NumPy function is the rule), `"lax_reference"` (JAX's own NumPy reference is),
        `"pallas_np"` (a function of this package is), `"JAX's definition"` (it is read as a call of what JAX traces
        for it), or `"unsupported"`.
      function: that function's full name; `""` if unsupported.
      compilers: which of Pallas's compilers take it; none of them if only `interpret=True` does.
      equations: how many equations of the kernel have it, each counted once however often it runs.
      lines: the user's lines that made those equations, as `file:line:column (function)`.
    """

    primitive: str
    phase: int | None
    by: str
    function: str
    compilers: tuple[str, ...] = ()
    equations: int = 0
    lines: tuple[str, ...] = ()

    @property
    def supported(self) -> bool:
        """Whether phase 5 runs it."""
        return self.phase is not None


class Coverage:
    """A table of primitives; printed, it is text in columns.

    Attributes:
      rows: the primitives, by name.
    """

    def __init__(self, rows: Sequence[Row]):
        self.rows = tuple(sorted(rows, key=lambda row: row.primitive))

    @property
    def unsupported(self) -> tuple[Row, ...]:
        """The rows of the primitives that do not run."""
        return tuple(row for row in self.rows if not row.supported)

    @property
    def supported(self) -> tuple[Row, ...]:
        """The rows of the primitives that run."""
        return tuple(row for row in self.rows if row.supported)

    @property
    def summary(self) -> str:
        """How many are supported, in a sentence."""
        return f"{len(self.supported)} of {len(self.rows)} primitives run in NumPy."

    def by_compiler(self) -> dict[str, tuple[int, int]]:
        """For each of Pallas's compilers, how many of the primitives that it takes run, and how many it takes.

        `"interpret=True only"` stands for the primitives that no compiler takes.
        """
        found: dict[str, list[bool]] = defaultdict(list)
        for row in self.rows:
            for compiler in row.compilers or (INTERPRET,):
                found[compiler].append(row.supported)
        return {compiler: (sum(runs), len(runs)) for compiler, runs in sorted(found.items())}

    def as_json(self) -> str:
        """The table, its totals, and the JAX release it is of."""
        report = {
            "jax": jax.__version__,
            "total": len(self.rows),
            "supported": len(self.supported),
            "compilers": {name: {"supported": n, "total": total} for name, (n, total) in self.by_compiler().items()},
            "primitives": [asdict(row) | {"supported": row.supported} for row in self.rows],
        }
        return json.dumps(report, indent=2) + "\n"

    def __str__(self) -> str:
        columns = [f.name for f in fields(Row) if any(getattr(row, f.name) for row in self.rows)]
        table = [columns, *([_cell(name, getattr(row, name)) for name in columns] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in table]
        return "\n".join([*lines, "", self.summary])

    __repr__ = __str__


def _cell(column: str, value: Any) -> str:
    if column == "phase":
        return "-" if value is None else str(value)
    if column == "lines":
        return ", ".join(_short(line) for line in value[:3]) + (", ..." if len(value) > 3 else "")
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _short(line: str) -> str:
    """`/home/me/sort.py:12:4 (kernel)` as `sort.py:12`."""
    path, *rest = line.rsplit(" ", 1)[0].split(":")
    return ":".join([Path(path).name, *rest[:1]])


def coverage(call: Callable[..., Any], *args: Any) -> Coverage:
    """Which primitive of a kernel runs where.

        >>> print(pallas_np.coverage(pl.pallas_call(kernel, out_shape=x), x))

    Args:
      call: what `pl.pallas_call(...)` or `pallas_np.pallas_call(...)` returned, or any function that calls kernels.
      *args: its arguments: arrays, or `jax.ShapeDtypeStruct`s that stand for them.  Nothing is run.

    Returns:
      A row for each primitive of the kernels and of their index maps.

    Raises:
      ValueError: if `call` calls no kernel.
    """
    calls = kernel_calls(call, *args)
    if not calls:
        raise ValueError("this function calls no Pallas kernel on these arguments")
    equations: defaultdict[Any, list[Equation]] = defaultdict(list)
    for kernel in calls:
        for eqn in _equations(kernel):
            equations[eqn.jax.primitive].append(eqn)
    return Coverage([_row_of_equations(primitive, found) for primitive, found in equations.items()])


def _row_of_equations(primitive: Any, equations: Sequence[Equation]) -> Row:
    lines = tuple(dict.fromkeys(eqn.source for eqn in equations))
    row = replace(_row(primitive), equations=len(equations), lines=lines)
    if equations[0].primitive is primitive:
        return row
    return replace(row, phase=4, by="JAX's definition", function=_full_name(expansions[primitive]))


def _equations(kernel: KernelCall) -> Iterator[Equation]:
    """The equations of a kernel and of its index maps, those of nested programs included."""
    for operand in kernel.inputs + kernel.outputs:
        yield from _equations_in(operand.index_map)
    yield from _equations_in(kernel.jaxpr)


def _equations_in(jaxpr: Jaxpr) -> Iterator[Equation]:
    for eqn in jaxpr.eqns:
        yield eqn
        if eqn.primitive is pallas_call_p:
            yield from _equations(eqn.params["call"])
        elif eqn.primitive is eqn.jax.primitive:  # not one that is read as a call of what JAX traces for it
            for inner in subjaxprs(eqn):
                yield from _equations_in(inner)


@cache
def all_primitives() -> Coverage:
    """Every primitive that can reach a kernel on the installed JAX.

    Those are the primitives that one of Pallas's compilers takes, those that only `interpret=True` takes, and whatever
    else has a rule.
    """
    known = [*lowered_primitives(), *map(primitive_named, INTERPRET_ONLY), *phase5.numpy_rules]
    rows: dict[Any, Row] = {p: _row(p) for p in known if is_in_this_release(p)}
    return Coverage(list(rows.values()))


def _row(primitive: Any) -> Row:
    compilers = tuple(sorted(lowered_primitives().get(primitive, ())))
    rule = phase5.numpy_rules.get(primitive)
    if rule is not None:
        return Row(primitive.name, _phase_of(primitive), _what_runs(rule), _full_name(rule), compilers)
    if primitive in expansions:
        return Row(primitive.name, 4, "JAX's definition", _full_name(expansions[primitive]), compilers)
    return Row(primitive.name, None, "unsupported", "", compilers)


def _phase_of(primitive: Any) -> int:
    return next(number for number, phase in enumerate(PHASES, 1) if primitive in phase.numpy_rules)


def _what_runs(rule: Callable[..., Any]) -> str:
    if isinstance(rule, np.ufunc):
        return "NumPy"
    return "lax_reference" if rule.__module__ == LAX_REFERENCE else "pallas_np"


def _full_name(function: Callable[..., Any]) -> str:
    if isinstance(function, np.ufunc):
        return f"numpy.{function.__name__}"
    return f"{function.__module__}.{function.__qualname__.split('.')[0]}"
