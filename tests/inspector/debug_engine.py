"""A pytest plugin under which phase 5 calls each kernel as Python: `pytest -p debug_engine tests/phase5`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from pallas_np import frontend, phase5
from pallas_np.inspector.debugger import DebugInterpreter
from pallas_np.options import Options

made_by_phase5 = phase5.pallas_call
called = 0


class InPython(DebugInterpreter):
    """Calls the kernel function at every index of the grid."""

    def run(self, call: Any, *arrays: np.ndarray) -> list[np.ndarray]:
        return phase5.Interpreter.run(self, call, *arrays)

    def eval_jaxpr(self, jaxpr: Any, consts: Sequence[Any], *args: Any) -> list[Any]:
        if not hasattr(self, "call") or jaxpr is not self.call.jaxpr:
            return phase5.Interpreter.eval_jaxpr(self, jaxpr, consts, *args)
        global called
        called += 1
        self.call_kernel(args)
        return []


def pallas_call(kernel: Any, out_shape: Any, **call: Any) -> Any:
    """`phase5.pallas_call`, with the kernel called as Python where the arguments are arrays."""
    function = made_by_phase5(kernel, out_shape, **call)

    def run(*args: Any) -> Any:
        leaves = jax.tree.leaves(args)
        if not leaves or any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return function(*args)
        traced, found = frontend.traced_with_kernel(function, *args)
        assert found.is_traced
        return traced.run(frontend.Engine("Python", InPython(Options(), (), found).run), leaves)

    return run


phase5.pallas_call = pallas_call


def pytest_sessionfinish() -> None:
    print(f"\n{called} programs ran in Python")
