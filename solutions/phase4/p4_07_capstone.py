"""Put your pieces together: loops and conditionals are Python's. Fill the table, and sort.

Five primitives are calls: `jit_p`, `closed_call_p`, `custom_jvp_call_p`, `custom_vjp_call_p` and `remat_p`. The
others are `cond_p`, `while_p`, `scan_p` and `run_scoped_p`.

Everything else is phase 3's: its rules, and its interpreter, which runs the grid.
"""

import numpy as np

from pallas_np import frontend, phase3
from pallas_np.frontend import primitives
from solutions.phase4.p4_01_call import call
from solutions.phase4.p4_02_cond import cond
from solutions.phase4.p4_03_while import while_loop
from solutions.phase4.p4_05_scan import scan
from solutions.phase4.p4_06_memory_for_a_while import run_scoped


def table():
    """Phase 3's rules, and yours for the nine primitives."""
    # --- solution
    calls = (
        primitives.jit_p,
        primitives.closed_call_p,
        primitives.custom_jvp_call_p,
        primitives.custom_vjp_call_p,
        primitives.remat_p,
    )
    return {
        **phase3.numpy_rules,
        **dict.fromkeys(calls, call),
        primitives.cond_p: cond,
        primitives.while_p: while_loop,
        primitives.scan_p: scan,
        primitives.run_scoped_p: run_scoped,
    }
    # --- end


class Interpreter(phase3.Interpreter):
    """Runs a kernel over its grid; your rules evaluate what is nested with it."""

    phase = 4


def run(kernel_call, *arrays):
    return Interpreter(table()).run(kernel_call, *arrays)


pallas_call = frontend.pallas_call_on(frontend.Engine("my phase 4", run))


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from exercises.machinery import capstones
from exercises.machinery.checking import described, require, same, show, trying

title = "Capstone: loops in Python"
minutes = 10
seconds = 120
hints = (
    "One dictionary: what phase 3 has, and nine entries more.",
    "Two asterisks unpack a dictionary into another, phase 3's first. `dict.fromkeys(primitives, rule)` gives "
    "several the same rule.",
    "The five kinds of call all get `call`; then one line each for `primitives.cond_p`, `while_p`, `scan_p` and "
    "`run_scoped_p`.",
)
explanation = """
Nine entries, and XLA no longer compiles a loop. What it still does is single operations, the gather of the sort's
distant partners among them, each compiled once for its shapes.

There is nothing else to it: no state is carried, because the refs are the same arrays inside and outside.
"""
mistakes = (
    (
        "writes to phase 3's table",
        "    return {\n        **phase3.numpy_rules,",
        "    phase3.numpy_rules[primitives.cond_p] = cond\n    return {\n        **phase3.numpy_rules,",
        "phase 3's own table",
    ),
    ("forgets to return", "    return {\n", "    rules = {\n", "is a `return` missing?"),
    ("no cond", "        primitives.cond_p: cond,\n", "", "cond"),
    ("no calls", "        **dict.fromkeys(calls, call),\n", "", "no rule"),
    ("phase 3 forgotten", "        **phase3.numpy_rules,\n", "", "no rule"),
)


def check(learner):
    before = dict(phase3.numpy_rules)
    rules = learner.table()
    changed = phase3.numpy_rules != before
    phase3.numpy_rules.update(before)
    for primitive in set(phase3.numpy_rules) - set(before):
        del phase3.numpy_rules[primitive]
    require(not changed, "Tried table(): it changed phase 3's own table. Make a new dictionary.")
    require(isinstance(rules, dict), f"Tried table()\ngot {show(rules)}, wanted a dictionary: is a `return` missing?")
    for name in (
        "jit_p",
        "closed_call_p",
        "custom_jvp_call_p",
        "remat_p",
        "cond_p",
        "while_p",
        "scan_p",
        "run_scoped_p",
    ):
        primitive = getattr(primitives, name)
        require(primitive in rules, f"Tried table(): there is no rule for {primitive.name} ({name})")
    lost = [primitive.name for primitive in phase3.numpy_rules if primitive not in rules]
    require(not lost, f"Tried table(): there is no rule for {', '.join(lost[:5])} ..., which phase 3 has")

    def program_id_in_a_loop(out_ref):
        out_ref[0] = jax.lax.fori_loop(0, 3, lambda _, x: x + pl.program_id(0), jnp.int32(0))

    tried = described("a kernel that asks for program_id in a loop, over a grid of 4", {})
    with trying(tried):
        out = jax.ShapeDtypeStruct((4,), jnp.int32)
        got = learner.pallas_call(program_id_in_a_loop, out, grid=(4,), out_specs=pl.BlockSpec((1,), lambda i: (i,)))()
    same(got, np.array([0, 3, 6, 9], np.int32), tried)
    capstones.keeps_scratch(learner.pallas_call)
    capstones.sorts(learner.pallas_call)
    return capstones.verdict(4, capstones.speed_up(learner.pallas_call))
