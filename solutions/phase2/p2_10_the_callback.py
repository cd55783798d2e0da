"""Write the boundary itself: under `jit`, one callback takes the arrays to NumPy and the results back.

While `jax.jit` traces, there are no values, only tracers, and NumPy can do nothing with them. `io_callback` puts a
node into the program that calls Python when the program runs:

    io_callback(function, result_shapes, *arrays)

`result_shapes` is a list of `jax.ShapeDtypeStruct`. What the callback gets are JAX's arrays; `function` wants
NumPy's. The kernel must run each time the program does, whether its result is used or not: it may print.
"""

import jax
import numpy as np
from jax.experimental import io_callback


def behind_a_callback(function, result_shapes):
    """A function that can be called under `jit`, and has `function` run on NumPy arrays, once for each call.

    Args:
      function: from NumPy arrays to a list of NumPy arrays.
      result_shapes: the shapes and dtypes of these.
    """
    # --- solution

    def on_numpy(*arrays):
        return function(*map(np.asarray, arrays))

    return lambda *arrays: io_callback(on_numpy, result_shapes, *arrays)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp

from exercises.machinery.checking import described, require, same, show, trying

title = "The callback"
minutes = 15
hints = (
    "Two functions inside one another: an outer one that JAX can trace, and an inner one that gets real arrays.",
    "The outer one calls `io_callback`; the inner one makes NumPy arrays with `np.asarray` and calls `function`.",
    "Define `on_numpy(*arrays)`, which calls `function` on `map(np.asarray, arrays)`, and return a function that "
    "hands `on_numpy`, `result_shapes` and its own arguments to `io_callback`.",
)
explanation = """
`jax.pure_callback` looks alike, but promises that the function has no effects: XLA may then run it twice, or not at
all when nobody needs the result. A kernel that prints would print now and then.

One callback for the whole kernel, not one for each operation: every crossing of the boundary has its price, and a
kernel has thousands of operations.
"""
mistakes = (
    ("calls at once", "lambda *arrays: io_callback(on_numpy, result_shapes, *arrays)", "on_numpy", "Your code raised"),
    (
        "pure_callback",
        "io_callback(on_numpy, result_shapes, *arrays)",
        "jax.pure_callback(on_numpy, result_shapes, *arrays)",
        "whether its result is used or not",
    ),
    (
        "forgets to return",
        "return lambda *arrays: io_callback(on_numpy, result_shapes, *arrays)",
        "lambda *arrays: io_callback(on_numpy, result_shapes, *arrays)",
        "wanted a function",
    ),
    ("takes one argument", "def on_numpy(*arrays):", "def on_numpy(arrays):", "takes 1 positional argument"),
    ("hands on JAX's arrays", "function(*map(np.asarray, arrays))", "function(*arrays)", "NumPy arrays"),
)


def check(learner):
    x = np.random.default_rng().standard_normal((2, 3)).round(2).astype(np.float32)
    calls = []

    def both(a, b):
        calls.append([type(a), type(b)])
        return [np.asarray(a) + np.asarray(b), np.asarray(a).sum(axis=1)]

    shapes = [jax.ShapeDtypeStruct((2, 3), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.float32)]
    tried = described("jax.jit(behind_a_callback(function, result_shapes))(a, a * 2)", {"a": x})
    raised = []
    learner.io_callback = _noting(raised)
    with trying(tried):
        function = learner.behind_a_callback(both, shapes)
        require(callable(function), f"{tried}\nbehind_a_callback answered with {show(function)}, wanted a function.")
        got = jax.block_until_ready(jax.jit(lambda a: function(a, a * 2))(x))
        if raised:
            raise raised[0]
    require(got is not None, f"{tried}\ngot None, wanted two arrays: is a `return` missing?")
    same(list(got), [x + x * 2, np.asarray(x.sum(axis=1))], tried, tolerance=1e-6)
    require(calls, f"{tried}\nfunction was not called.")
    say = f"{tried}\nfunction was called on {[t.__name__ for t in calls[0]]}; it wants NumPy arrays."
    require(all(issubclass(t, np.ndarray) for t in calls[0]), say)

    calls.clear()
    with trying(tried):
        unused = jax.jit(lambda a: (learner.behind_a_callback(both, shapes)(a, a), a)[1])
        for _ in range(2):
            jax.block_until_ready(unused(x))
        jax.effects_barrier()
    say = "The function runs once for each call of the program, whether its result is used or not"
    require(
        len(calls) == 2,
        f"Tried a jitted program that does not use the result, twice. {say}; it ran {len(calls)} times.",
    )


def _noting(raised):
    """`io_callback`, but what the callback raises is noted: out of XLA it would come wrapped in JAX's own lines."""

    def io_callback(callback, result_shapes, *arrays, **options):
        def noting(*arrays):
            try:
                return callback(*arrays)
            except Exception as error:
                raised.append(error)
                return [np.zeros(s.shape, s.dtype) for s in result_shapes]

        return jax.experimental.io_callback(noting, result_shapes, *arrays, **options)

    return io_callback
