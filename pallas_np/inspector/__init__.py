"""The inspector: what happened inside a kernel, and with which values.

`observed.py` is phase 5 with somebody watching.  `recorder.py` watches, and writes what it sees into the `Recording`
of `recording.py`, which `saving.py` puts into a file; `differences.py` compares two of them.  `page.py` shows one as a
page, and `figure.py` a small one as a figure; both are gone through by what `stepping.py` has.  `profiler.py` times a
kernel, for the `Profile` of `profiling.py`.  `debugger.py` runs one program of a grid as plain Python.  `checks.py`
makes the observers that look for faults; `races.py` is the one for races, and `happens_before.py` the order that it
goes by.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import jax
import numpy as np

from pallas_np.errors import KernelError
from pallas_np.frontend import Engine, KernelCall, install
from pallas_np.frontend.engines import installed_engine, watched_by
from pallas_np.inspector.checks import watched
from pallas_np.inspector.debugger import debug
from pallas_np.inspector.differences import Difference
from pallas_np.inspector.observed import Observed, Observer
from pallas_np.inspector.profiler import Profiler, calibrated
from pallas_np.inspector.profiling import Cost, Profile, ProfiledLaunch, ProfiledStep
from pallas_np.inspector.recorder import Recorder
from pallas_np.inspector.recording import Launch, RecordedAccess, RecordedEquation, Recording, Step
from pallas_np.options import MAX_BYTES, MAX_EQUATIONS, Options

__all__ = [
    "Cost",
    "Difference",
    "Launch",
    "Observed",
    "Observer",
    "Profile",
    "ProfiledLaunch",
    "ProfiledStep",
    "RecordedAccess",
    "RecordedEquation",
    "Recording",
    "Step",
    "debug",
    "profile",
    "record",
]


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


def profile(fn: Callable[..., Any]) -> Callable[..., Profile]:
    """Says where the time of every kernel goes that a function runs: by source line, primitive and grid step.

        >>> profile = pallas_np.profile(call)(x)
        >>> print(profile)                            # tables; in a notebook, `profile` by itself
        >>> profile.lines[0].line.text                # the most expensive line
        >>> profile.plot("profile.png")

    Each kernel runs twice.  The first run is the one that it would have had, on its engine; it gives the result, and
    the launch's time.  A compiled program has no lines any more: programs of the grid run together in it, and equations
    are merged.  So the second run is phase 5's, which times each equation.  It prints nothing again; a
    `jax.pure_callback` or an `io_callback` is called again.

    `fn` may be jitted, and may have run before.  A kernel that `pl.pallas_call` would not have given to NumPy runs
    there now, on the engine that `pallas_np.install()` would install.

    Args:
      fn: what `pl.pallas_call(...)` or `pallas_np.pallas_call(...)` returned, or any function that calls kernels.

    Returns:
      A function of `fn`'s arguments that returns a `Profile`.  Its `result` is what `fn` returned.  If `fn` fails, the
      profile has everything up to that point, and the exception as its `error`; `result` raises it.
    """

    @wraps(fn)
    def profiled(*args: Any, **kwargs: Any) -> Profile:
        with profiling() as found:
            try:
                found._result = jax.block_until_ready(fn(*args, **kwargs))
            except Exception as error:
                found.error = error
        return found

    return profiled


@contextlib.contextmanager
def profiling() -> Iterator[Profile]:
    """Profiles every kernel that runs within it, in any thread, one after the other; see `profile`."""
    profiler, lock = Profiler(calibrated()), threading.RLock()

    def run(engine: Engine, call: KernelCall, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        with lock:
            return profiler.run(engine, _name_of(engine), call, *arrays)

    with everything_watched_by(run):
        yield profiler.profile


@contextlib.contextmanager
def everything_watched_by(run: Callable[..., Sequence[np.ndarray]]) -> Iterator[None]:
    """Within it `run(engine, call, *arrays)` runs every kernel, those that no engine of ours would have run too."""
    from pallas_np import running  # the public face, which stands above, says what runs where nothing is asked for

    engine = installed_engine.value or running.engine(Options())
    with install.installed(engine), watched_by(run):
        yield


def _name_of(engine: Engine) -> str:
    if engine.options is None:
        return engine.name
    return f"{engine.name}, {'checked' if engine.options.watched else engine.options.engine}"
