"""A small kernel's run, recorded: what each ref and each value held after each of its equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pallas_np import phase4, phase5
from pallas_np.frontend import Equation, KernelCall
from pallas_np.inspector.observed import Observed, Ref
from pallas_np.inspector.recorder import Recorder
from pallas_np.inspector.recording import RecordedAccess, Recording
from pallas_np.inspector.stepping import Figure
from pallas_np.options import MAX_BYTES, MAX_EQUATIONS
from pallas_np.phase5.grid import Window

# Memory as phase 3 has it, one NumPy array for each ref; everything else as phase 5 has it.
RULES: Mapping[Any, Callable[..., Any]] = {**phase5.numpy_rules, **phase4.numpy_rules}


class LookingAgain(Recorder):
    """Records a run by rules that tell of no accesses: it looks at each ref and value again after each equation.

    A value should not change.  With a faulty table of rules it may, and the recording has that as a write to it.
    """

    wants_accesses = False

    def step_begins(self, at: Observed, windows: Sequence[Window], refs: Sequence[Ref]) -> None:
        super().step_begins(at, windows, refs)
        self.seen = {ref.name: (ref.array, np.array(ref.array)) for ref in refs}

    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        recorded = self.under_way[at][-1]
        super().equation_ends(at, eqn, args, results)
        if recorded is None or recorded.parent is not None:
            return
        for name, (array, before) in self.seen.items():
            changed = np.flatnonzero(array != before)
            if changed.size:
                old, new = before.reshape(-1)[changed], array.reshape(-1)[changed]
                recorded.accesses.append(RecordedAccess("write", name, None, changed, old, new))
        now = [(name, array) for name, (array, _) in self.seen.items()]
        now += [(name, value) for name, value in zip(recorded.site.results, results) if value is not None]
        self.seen = {name: (array, np.array(array)) for name, array in now if name != "_"}


def record(call: KernelCall, *arrays: Any, rules: Mapping[Any, Callable[..., Any]] | None = None) -> Recording:
    """Records a small kernel.

    Args:
      call: the call.
      *arrays: its operands.
      rules: a table to run it with, whose rules for memory tell of no accesses; phase 5's own if `None`.
    """
    recorder = (Recorder if rules is None else LookingAgain)(MAX_BYTES, MAX_EQUATIONS)
    table = phase5.numpy_rules if rules is None else {**RULES, **rules}
    Observed(recorder, table).run(call, *map(np.asarray, arrays))
    return recorder.recording


def equation_stepper(call: KernelCall, *arrays: Any, rules: Mapping[Any, Callable[..., Any]] | None = None) -> Figure:
    """A kernel's equations to step through, with the contents of its refs and values after each.

    Args:
      call: a call with few equations and small blocks.
      *arrays: its operands.
      rules: a table to run it with; see `record`.
    """
    return record(call, *arrays, rules=rules).figure()
