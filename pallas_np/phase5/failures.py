"""From an exception that comes out of a kernel to a `KernelError` that says where.

The interpreter keeps no record of where it is, which would cost something at every equation.  The traceback has one:
each evaluator under way is a frame, whose local variables are the equation, and the values.
"""

from __future__ import annotations

import traceback
from types import FrameType
from typing import Any

from pallas_np.errors import KernelError, as_kernel_error, full_tracebacks, kernel_traceback
from pallas_np.frontend import Equation, Jaxpr, KernelCall, Var, operand_facts
from pallas_np.frontend import primitives as p
from pallas_np.phase1 import Interpreter
from pallas_np.phase5.memory import Place

CALLBACKS = (p.debug_callback_p, p.pure_callback_p, p.io_callback_p)


class Step:
    """An equation under way.

    Attributes:
      jaxpr: the jaxpr that it stands in.
      eqn: the equation.
      named: the jaxpr's arguments that have a name in the user's source, by name.
      operands: the equation's operands.
      interp: the interpreter.
    """

    def __init__(self, frame: FrameType):
        found = frame.f_locals
        self.interp: Any = found["self"]
        self.jaxpr: Jaxpr = found["jaxpr"]
        self.eqn: Equation = found["eqn"]
        self.operands = tuple(found["env"][atom] for atom in self.eqn.invars)
        self.named = [(var, arg) for var, arg in zip(self.jaxpr.invars, found["args"]) if var.name]


def told(error: Exception, call: KernelCall | None, interp: Any = None) -> KernelError:
    """The `KernelError` for an exception that came out of the evaluation of a kernel, or of a bare jaxpr.

    Args:
      error: the exception, with its traceback.
      call: the kernel call; `None` for a bare jaxpr.
      interp: the interpreter that ran the call.
    """
    if isinstance(error, KernelError) and error.kernel_traceback is not None:  # by a kernel called from this one
        return error
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    steps = [Step(frame) for frame in frames if _is_evaluator(frame)]
    known = as_kernel_error(error)
    known.kernel = call.jaxpr.name if call else None
    known.values = _named_values(steps)
    if steps:
        _add_equation(known, steps, frames)
        interp = steps[-1].interp
    if not known.stack and call and call.jaxpr.location:
        known.stack = (call.jaxpr.location,)
    if call and hasattr(interp, "grid_index"):
        known.grid_index = known.values["grid_index"] = tuple(map(int, interp.grid_index))
    known.kernel_traceback = kernel_traceback(known.stack, known.values)
    if known is not error:
        known.__cause__ = _cause(error, steps)
        known.__suppress_context__ = True
    return known.with_traceback(known.kernel_traceback)


def _is_evaluator(frame: FrameType) -> bool:
    """Whether it is a loop over a jaxpr's equations, such as phase 1's, at one of them."""
    return frame.f_code.co_name == Interpreter.eval_jaxpr.__name__ and {"env", "eqn"} <= set(frame.f_locals)


def _add_equation(known: KernelError, steps: list[Step], frames: list[FrameType]) -> None:
    """The lines, the equation and its operands; what whoever raised the error has said stays."""
    last = steps[-1]
    names = {id(arg): var.name for step in reversed(steps) for var, arg in step.named if var.is_ref}
    known.stack = known.stack or tuple(place for step in steps for place in step.eqn.locations)
    known.primitive = known.primitive or last.eqn.name
    known.operands = known.operands or tuple(
        operand_facts(atom, names.get(id(value), ""), value) for atom, value in zip(last.eqn.invars, last.operands)
    )
    known.ref = known.ref or names.get(id(_ref_in_use(last, frames)))
    known.values["operands"] = last.operands


def _ref_in_use(step: Step, frames: list[FrameType]) -> Any:
    """The ref that was accessed when the equation failed: that of the innermost `Place`, or the only one it has."""
    for frame in reversed(frames):
        where = frame.f_locals.get("self")
        if isinstance(where, Place):
            return where.ref
    refs = [value for atom, value in zip(step.eqn.invars, step.operands) if isinstance(atom, Var) and atom.is_ref]
    return refs[0] if len(refs) == 1 else None


def _named_values(steps: list[Step]) -> dict[str, Any]:
    """The arguments that have names in the user's source; those of `*refs` in a list called `refs`."""
    values: dict[str, Any] = {}
    for step in steps:
        for var, arg in step.named:
            name, bracket, _ = var.name.partition("[")
            if bracket:
                values.setdefault(name, []).append(arg)
            else:
                values[name] = arg
    return values


def _cause(error: Exception, steps: list[Step]) -> Exception | None:
    """What to show as the cause: what a callback of the user's raised, from where our part ends."""
    if full_tracebacks():
        return error
    if not steps or steps[-1].eqn.primitive not in CALLBACKS:
        return None
    entry = error.__traceback__
    last = entry
    while entry is not None:
        if entry.tb_frame.f_globals.get("__name__", "").startswith("pallas_np."):
            last = entry.tb_next
        entry = entry.tb_next
    return error.with_traceback(last)
