"""Measures one engine on one kernel, in the process it is run in: `python -m benchmarks.measure KERNEL ENGINE`.

The process first runs other kernels, so that what JAX and NumPy set up once is set up.  Cold is then a kernel function
that was never seen, from the call to its result; tracing is what JAX takes to turn such a function into a jaxpr.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
import operator
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

import pallas_np
from benchmarks.suite import CASES, Case, PallasCall, softmax, vector_add
from pallas_np import compiler, frontend, phase5
from pallas_np.garbage import few_collections
from pallas_np.phase5 import grid

SECONDS = 0.5  # how long warm calls are repeated
MOST_CALLS = 200
BATCH = 0.002  # seconds of calls between two looks at how fast the machine is
DISTURBED = 1.1  # something slows it down if a fixed piece of work takes so many times its shortest time
PATIENCE = 4.0  # seconds after which disturbed calls have to do
UNDISTURBED = "PALLAS_NP_UNDISTURBED"  # in the environment: seconds of the fixed piece of work, undisturbed, if known
COLD_SECONDS = 1.0  # how long cold calls are repeated, each with a fresh kernel
ROUNDS, MOST_ROUNDS = 3, 12
LONG = 3.0  # seconds of a call that is not repeated
UNITS = {"linux": 1024, "darwin": 1}  # bytes in the unit of ru_maxrss
_T = TypeVar("_T")


@dataclass(frozen=True)
class Engine:
    """What runs a kernel.

    Attributes:
      pallas_call: makes the call.
      jit: whether the call is under `jax.jit`.
      install: whether the kernels of the process go to NumPy meanwhile.
    """

    pallas_call: PallasCall
    jit: bool = False
    install: bool = False

    def make(self, case: Case) -> Callable[..., Any]:
        """The call of a fresh kernel function."""
        call = case.make(self.pallas_call)
        return jax.jit(call) if self.jit else call

    def in_force(self) -> contextlib.AbstractContextManager[Any]:
        if self.install:
            return pallas_np.installed()
        return contextlib.nullcontext()


_interpreted = functools.partial(pl.pallas_call, interpret=True)
ENGINES: dict[str, Engine] = {
    "interpret": Engine(_interpreted),
    "interpret jit": Engine(_interpreted, jit=True),
    "tpu": Engine(functools.partial(pl.pallas_call, interpret=pltpu.InterpretParams()), jit=True),
    "phase 5": Engine(phase5.pallas_call),
    "compiled": Engine(compiler.pallas_call),
    "tiered": Engine(pallas_np.pallas_call),
    "tiered jit": Engine(pl.pallas_call, jit=True, install=True),
}
TWIN = "twin"
FLOOR = "floor"
CALLBACK = "callback"


@dataclass(frozen=True)
class Measurement:
    """One engine on one kernel in one process.

    Attributes:
      cold: seconds from the call of a kernel never seen before to its result, the least of a few; 0 for a twin.
      trace: seconds that JAX takes to trace such a kernel, while Python's garbage collector waits, the least of a few;
        0 for a twin.
      own: seconds of such a call without the tracing, the least of a few; the tracing is the call's own where that
        times it, else `trace`.
      second: seconds of the second call of such a kernel, the least of a few; 0 for a twin.
      warm: seconds of a later call of the same callable, the median of the least disturbed ones.
      peak: bytes by which the process's peak memory grew.
      correct: whether the result was the twin's, within the kernel's tolerance.
    """

    cold: float
    trace: float
    own: float
    second: float
    warm: float
    peak: int
    correct: bool


def measure(case: Case, engine: Engine) -> Measurement:
    """Measures an engine; the process should have done nothing before."""
    with engine.in_force():
        for other in (vector_add(3, 8), softmax(4, 16)):
            jax.block_until_ready(engine.make(other)(*other.args))
        before = peak_memory()
        rounds, call, result = _cold(case, engine)
        warm = _warm(lambda: jax.block_until_ready(call(*case.args)))
        peak = peak_memory() - before
    cold, trace, second = (min(column) for column in list(zip(*rounds))[:3])
    own = min((cold - inside for cold, _, _, inside in rounds if inside is not None), default=cold - trace)
    return Measurement(cold, trace, own, second, warm, peak, _is_right(case, result))


def _is_right(case: Case, result: Any) -> bool:
    """Whether a result is the twin's, within the kernel's tolerance."""
    answer = case.twin(*(np.asarray(x) for x in case.args))
    return bool(np.allclose(np.asarray(result), answer, case.tolerance, case.tolerance))


_Round = tuple[float, float, float, float | None]


def _cold(case: Case, engine: Engine) -> tuple[list[_Round], Callable[..., Any], Any]:
    """(cold, tracing, second call, tracing within the cold call) of several fresh kernel functions.

    The first one pays for what this kernel sets up in JAX, and counts only if there is no time for others.

    Returns:
      The times, the last function's call, and its result.
    """
    call: Callable[..., Any]
    result: Any

    def of_a_fresh_kernel() -> _Round:
        nonlocal call, result
        traced = case.make(_interpreted)
        with few_collections():
            trace = seconds(lambda: jax.make_jaxpr(traced)(*case.args))
        call = engine.make(case)
        start = time.perf_counter()
        result = jax.block_until_ready(call(*case.args))
        cold = time.perf_counter() - start
        return cold, trace, seconds(lambda: jax.block_until_ready(call(*case.args))), _time_traced(call, case)

    first = of_a_fresh_kernel()
    if first[0] > LONG:
        return [first], call, result
    calls = max(ROUNDS, min(MOST_ROUNDS, int(COLD_SECONDS / first[0])))
    return _least_disturbed(of_a_fresh_kernel, calls, 1), call, result


def _time_traced(call: Callable[..., Any], case: Case) -> float | None:
    """Seconds that JAX traced within the first call; `None` of what does not time it."""
    traced = call.traced(*case.args) if isinstance(call, frontend.PallasCallable) else None
    return None if traced is None else traced.seconds


def measure_twin(case: Case) -> Measurement:
    """Measures the kernel's twin, which has nothing to trace and no cold call."""
    args = tuple(np.asarray(x) for x in case.args)
    before = peak_memory()
    warm = _warm(lambda: case.twin(*args))
    return Measurement(0.0, 0.0, 0.0, 0.0, warm, peak_memory() - before, True)


def measure_floor(case: Case) -> Measurement:
    """Measures the kernel's floor, warm, called as the package calls a program: a library's in place of its kernel."""
    like = jax.eval_shape(case.make(_interpreted), *case.args)

    def floor(*arrays: np.ndarray) -> np.ndarray:
        out = grid.aligned_empty(like.shape, like.dtype)
        case.floor(*arrays, out=out)
        return out

    if case.library:
        arrays = tuple(map(np.asarray, case.args))  # the kernel's own operands are others
        call = _with_callback(case, lambda: floor(*arrays))
    else:
        engine = frontend.Engine("the floor", lambda call, *arrays: [floor(*arrays)])
        call = case.make(frontend.pallas_call_on(engine))
    before = peak_memory()
    warm = _warm(lambda: jax.block_until_ready(call(*case.args)))
    peak = peak_memory() - before
    return Measurement(0.0, 0.0, 0.0, 0.0, warm, peak, _is_right(case, call(*case.args)))


def measure_callback(case: Case) -> Measurement:
    """Measures what `jax.jit` itself takes for a kernel in a callback: one that hands over an array made before."""
    args, done = case.args, case.twin(*(np.asarray(x) for x in case.args))
    before = peak_memory()

    def fresh() -> Callable[[], Any]:
        call = _with_callback(case, lambda: done)
        return lambda: jax.block_until_ready(call(*args))

    first = fresh()
    first()
    cold = min(_least_disturbed(lambda: seconds(fresh()), ROUNDS, 1))
    warm = _warm(first)
    return Measurement(cold, 0.0, 0.0, 0.0, warm, peak_memory() - before, True)


def _with_callback(case: Case, answer: Callable[[], np.ndarray]) -> Callable[..., Any]:
    """The call under `jax.jit`, with a callback to `answer` in the place of its kernel.

    The operations of a library's function around its kernel stay, so that `jit` compiles them.
    """

    def calling_back(kernel: Any, out_shape: Any, **_: Any) -> Callable[..., Any]:
        return lambda *args: jax.pure_callback(lambda *_: answer(), out_shape, *args)

    return jax.jit(case.make(calling_back))


def seconds(function: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _warm(function: Callable[[], Any]) -> float:
    """The median of as many calls as fit into `SECONDS`, three at least, after one that does not count."""
    once = seconds(function)
    if once > LONG:  # nothing that is set up once weighs in it
        return once
    calls = max(3, min(MOST_CALLS, int(SECONDS / once)))
    batch = min(calls, math.ceil(BATCH / once))
    return statistics.median(_least_disturbed(lambda: seconds(function), calls, batch))


def _least_disturbed(function: Callable[[], _T], calls: int, batch: int) -> list[_T]:
    """What so many calls return, those that the rest of the machine has slowed down least.

    On a shared machine another's work on the same core can make everything take 1.7 times as long, for a fraction of a
    second or for minutes.  How long a fixed piece of work takes, before and after each batch of calls, shows it, next
    to its shortest time here, or to a shorter one that the environment tells.  So calls are made until enough of them
    were undisturbed, or for `PATIENCE`.
    """
    end = time.perf_counter() + PATIENCE
    known = float(os.environ.get(UNDISTURBED, "inf"))
    batches: list[tuple[float, list[_T]]] = []
    quiet = 0
    while quiet < calls and (time.perf_counter() < end or batch * len(batches) < calls):
        before = _fixed_work()
        found = [function() for _ in range(batch)]
        batches.append((max(before, _fixed_work()), found))
        limit = DISTURBED * min(known, *(work for work, _ in batches))
        quiet = batch * sum(work <= limit for work, _ in batches)
    batches.sort(key=operator.itemgetter(0))
    return list(itertools.chain(*(found for _, found in batches)))[:calls]


def undisturbed() -> float:
    """The seconds that `UNDISTURBED` stands for: the least time of the fixed piece of work within `PATIENCE`."""
    end = time.perf_counter() + PATIENCE
    least = _fixed_work()
    while time.perf_counter() < end:
        least = min(least, _fixed_work())
    return least


_NUMBERS, _EXPONENTIALS = (grid.aligned_empty((4096,), np.dtype(np.float32)) for _ in range(2))
_NUMBERS[:] = np.linspace(-1, 1, 4096)


def _fixed_work() -> float:
    """The seconds that a few thousand exponentials take, the least of a few times: later ones find them cached."""
    return min(seconds(lambda: np.exp(_NUMBERS, out=_EXPONENTIALS)) for _ in range(4))


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNITS.get(sys.platform, 1024)


if __name__ == "__main__":
    _, kernel, name = sys.argv
    chosen = CASES[kernel]()
    alone = {TWIN: measure_twin, FLOOR: measure_floor, CALLBACK: measure_callback}
    print(json.dumps(asdict(alone[name](chosen) if name in alone else measure(chosen, ENGINES[name]))))
