"""The inspector: what happened inside a kernel, and with which values.

`observed.py` is phase 5 with somebody watching.  `recorder.py` watches, and writes what it sees into the `Recording`
of `recording.py`, which `saving.py` puts into a file; `differences.py` compares two of them.  `debugger.py` runs one
program of a grid as plain Python.  `checks.py` makes the observers that look for faults.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import jax
import numpy as np

from pallas_np import phase5
from pallas_np.errors import KernelError
from pallas_np.frontend import Engine, KernelCall, install
from pallas_np.frontend.engines import installed_engine, watched_by
from pallas_np.inspector.checks import watched
from pallas_np.inspector.debugger import debug
from pallas_np.inspector.differences import Difference
from pallas_np.inspector.observed import Observed, Observer
from pallas_np.inspector.recorder import Recorder
from pallas_np.inspector.recording import Launch, RecordedAccess, RecordedEquation, Recording, Step
from pallas_np.options import Options

__all__ = [
    "Difference",
    "Launch",
    "Observed",
    "Observer",
    "RecordedAccess",
    "RecordedEquation",
    "Recording",
    "Step",
    "debug",
    "record",
]

MAX_BYTES = 64 * 2**20
MAX_EQUATIONS = 100_000


def record(
    fn: Callable[..., Any], *, max_bytes: int = MAX_BYTES, max_equations: int = MAX_EQUATIONS
) -> Callable[..., Recording]:
    """Records every kernel that a function runs: steps, blocks, equations, reads and writes, with values.

        >>> recording = pallas_np.record(call)(x)
        >>> recording                                    # in a notebook, a page to step through
        >>> for equation in recording.filter(ref="out_ref", access="write"):
        ...     print(equation.step.index, equation.line, equation.accesses[0].after)

    Kernels run on phase 5, whatever engine was asked for, with the options that they have; those of plain
    `pl.pallas_call` too.  It may be jitted, and may have run before.

    Args:
      fn: what `pl.pallas_call(...)` or `pallas_np.pallas_call(...)` returned, or any function that calls kernels.
      max_bytes: how much to keep of values, in bytes; from there on the recording has none, and says so.
      max_equations: how many equations to keep.

    Returns:
      A function of `fn`'s arguments that returns a `Recording`.  Its `result` is what `fn` returned.  If `fn` fails,
      the recording has everything up to that point, and the exception as its `error`; `result` raises it.
    """

    @wraps(fn)
    def recorded(*args: Any, **kwargs: Any) -> Recording:
        with recording(max_bytes, max_equations) as found:
            try:
                found._result = jax.block_until_ready(fn(*args, **kwargs))
                found.error = None  # `fn` has dealt with it
            except Exception as error:
                found.error = found.error or error
        return found

    return recorded


@contextlib.contextmanager
def recording(max_bytes: int = MAX_BYTES, max_equations: int = MAX_EQUATIONS) -> Iterator[Recording]:
    """Records every kernel that runs within it, in any thread; see `record`."""
    recorder, lock = Recorder(max_bytes, max_equations), threading.RLock()

    def run(engine: Engine, call: KernelCall, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        with lock:
            recorder.engine = _name_of(engine)
            try:
                return watched(engine.options or Options(), recorder).run(call, *arrays)
            except KernelError as error:
                recorder.recording.error = error
                raise

    with everything_watched_by(run):
        yield recorder.recording


@contextlib.contextmanager
def everything_watched_by(run: Callable[..., Sequence[np.ndarray]]) -> Iterator[None]:
    """Within it `run(engine, call, *arrays)` runs every kernel, those that no engine of ours would have run too."""
    engine = installed_engine.value or Engine("NumPy", phase5.run, Options())
    with install.installed(engine), watched_by(run):
        yield


def _name_of(engine: Engine) -> str:
    return f"{engine.name}, {engine.options.engine}" if engine.options else engine.name
