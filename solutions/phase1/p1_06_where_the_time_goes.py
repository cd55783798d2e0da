"""Measure the four stages of a first call: trace, lower, compile, run.

A jitted function can be taken through them by hand. `function.trace(*args)` has a method `lower()`, its answer a
method `compile()`, and what that gives can be called with the same arguments.

Use `time.perf_counter()`. JAX returns from a call before the result is there: `jax.block_until_ready(result)` waits.
"""

import time

import jax


def stages(function, *args):
    """The seconds of each stage, as a dictionary with the keys trace, lower, compile and run, in this order."""
    # --- solution
    times = [time.perf_counter()]
    traced = function.trace(*args)
    times.append(time.perf_counter())
    lowered = traced.lower()
    times.append(time.perf_counter())
    compiled = lowered.compile()
    times.append(time.perf_counter())
    jax.block_until_ready(compiled(*args))
    times.append(time.perf_counter())
    names = ("trace", "lower", "compile", "run")
    return {name: end - start for name, start, end in zip(names, times, times[1:])}
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp

from exercises.machinery.checking import Wrong, described, require, same, trying
from pallas_np import kernels, phase1

title = "Where the time goes"
minutes = 15
hints = (
    "Read the clock before the first stage and after each one: five readings, four differences.",
    "`function.trace(*args)`, then `.lower()`, then `.compile()`, then a call; only the call needs "
    "`jax.block_until_ready`.",
    "Keep the readings in a list, and pair each with the next: `zip(names, times, times[1:])`.",
)
explanation = """
Tracing is Python running the kernel once; lowering writes the program down for XLA; compiling is XLA's, and for a
kernel under `interpret=True` it takes most of the time, because the whole grid loop, with every unrolled step of
the sort, is one program. Running takes almost none.

So the way to a quick answer is not to run faster. It is not to compile.
"""
mistakes = (
    ("does not wait", "jax.block_until_ready(compiled(*args))", "compiled(*args)", "block_until_ready"),
    (
        "adds up",
        "end - start for name, start, end in zip(names, times, times[1:])",
        "end - times[0] for name, end in zip(names, times[1:])",
        "its own time",
    ),
    ("calls the function itself", "compiled(*args)", "function(*args)", "called function itself"),
)


class _Clock:
    """Stands for the module `time`, and for a jitted function whose stages take known times."""

    def __init__(self, seconds):
        self.now, self.seconds = 100.0, list(seconds)

    def perf_counter(self):
        return self.now

    def _pass(self, *args):
        self.now += self.seconds.pop(0)
        return self

    trace = lower = compile = _pass

    def run(self, *args):
        return self

    def block_until_ready(self):
        return self._pass()


class _Function(_Clock):
    def __call__(self, *args):
        raise Wrong("Tried stages(function, x): it called function itself, which goes through all four stages again.")

    def compile(self):
        self._pass()
        return self.run


def check(learner):
    for seconds in ((4.0, 1.0, 32.0, 2.0), (1.0, 2.0, 4.0, 8.0)):
        function = _Function(seconds)
        learner.time = function
        tried = described("stages(function, x)", {"trace, lower, compile, run take": seconds})
        try:
            with trying(tried):
                got = learner.stages(function, 0)
        finally:
            learner.time = time
        want = dict(zip(("trace", "lower", "compile", "run"), seconds))
        same(got, want, tried, "Each stage has its own time, and the run ends with jax.block_until_ready.")
        require(list(got) == list(want), f"{tried}\nThe keys come in the order of the stages, not as {list(got)}.")
    return _measured(learner)


def _measured(learner):
    sort = kernels.bitonic_sorter((8, 64), jnp.float32, pallas_call=phase1.pallas_call)
    measured = learner.stages(sort, jnp.zeros(1, jnp.int32), jnp.ones((8, 64)))
    share = max(measured, key=measured.get)
    times = ", ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in measured.items())
    return f"A sort of 8 rows of 64, on this machine: {times}.\nMost of it is the stage {share!r}."
