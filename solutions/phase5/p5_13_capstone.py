"""Put your pieces together: no JAX at run time. Fill the table, close the fall-back, and sort.

The table begins with phase 4's. Yours are the primitives `gather`, `reduce_sum`, `sort`, `top_k`, `cummax`,
`dot_general` and `dynamic_slice`; `lax_primitive("sort")` is the primitive of that name. Where your rule takes fewer
parameters than the primitive has, an adaptor is here already; the others go into the table as they are.
"""

import numpy as np

from pallas_np import frontend, lax_numpy, phase4
from pallas_np.frontend.primitives import lax_primitive
from solutions.phase5 import p5_01_nothing_to_fall_back_on
from solutions.phase5.p5_02_partners_from_afar import take_rows
from solutions.phase5.p5_03_sums_of_narrow_floats import reduce_sum
from solutions.phase5.p5_04_sort import sort
from solutions.phase5.p5_05_the_k_largest import top_k
from solutions.phase5.p5_06_running_maximum import cummax
from solutions.phase5.p5_07_dot_general import dot_general
from solutions.phase5.p5_08_a_slice_that_moves import dynamic_slice

# Alike, and not yours.
OTHERS = "dynamic_update_slice reduce_max reduce_min reduce_and reduce_or argmax argmin cumsum".split()


def gather(x, positions, *, dimension_numbers, slice_sizes, mode, fill_value):
    """Your gather where it is the one along rows; the package's general one otherwise."""
    if x.ndim == 2 and dimension_numbers.operand_batching_dims == (0,):
        return take_rows(x, positions[..., 0], mode=mode, fill_value=fill_value)
    return lax_numpy.gather(
        x, positions, dimension_numbers=dimension_numbers, slice_sizes=slice_sizes, mode=mode, fill_value=fill_value
    )


def sort_by_first(*operands, dimension, num_keys):
    """Your sort where there is one key; the package's otherwise."""
    if num_keys == 1:
        return sort(*operands, dimension=dimension)
    return lax_numpy.sort(*operands, dimension=dimension, num_keys=num_keys)


def top_k_of_rows(x, *, k, **_):
    """Your top_k, which takes rows, on an array of any rank."""
    return [found.reshape(*x.shape[:-1], k) for found in top_k(x.reshape(-1, x.shape[-1]), k=k)]


def dot(x, y, *, dimension_numbers, preferred_element_type):
    return dot_general(x, y, dimension_numbers=dimension_numbers).astype(preferred_element_type or x.dtype)


def table():
    """Phase 4's rules, the package's for the primitives in `OTHERS`, and your seven."""
    # --- solution
    return {
        **phase4.numpy_rules,
        **{lax_primitive(name): getattr(lax_numpy, name) for name in OTHERS},
        lax_primitive("gather"): gather,
        lax_primitive("reduce_sum"): reduce_sum,
        lax_primitive("sort"): sort_by_first,
        lax_primitive("top_k"): top_k_of_rows,
        lax_primitive("cummax"): cummax,
        lax_primitive("dot_general"): dot,
        lax_primitive("dynamic_slice"): dynamic_slice,
    }
    # --- end


class Interpreter(phase4.Interpreter):
    """Runs a kernel over its grid with no JAX."""

    def fall_back(self, eqn, *args):
        # --- solution
        return p5_01_nothing_to_fall_back_on.fall_back(self, eqn, *args)
        # --- end


def run(call, *arrays):
    return Interpreter(table()).run(call, *arrays)


pallas_call = frontend.pallas_call_on(frontend.Engine("my phase 5", run))


# === The workbook's part: not in the exercise file ===================================================================

import jax
import jax.numpy as jnp

from exercises.machinery import capstones
from exercises.machinery.checking import described, require, same, show, trying
from exercises.machinery.stubs import UNSOLVED
from pallas_np import kernels

title = "Capstone: nothing is JAX's"
minutes = 15
seconds = 120
hints = (
    "One dictionary again, and one call.",
    "Begin with phase 4's rules; a dictionary comprehension over `OTHERS` gets functions of `lax_numpy` by name with "
    "`getattr`. The four adaptors are in this file.",
    "Seven entries `lax_primitive(...)`: the four adaptors, and `reduce_sum`, `cummax`, `dynamic_slice` as they are. "
    "The fall-back calls yours, with `self`.",
)
explanation = """
From here on nothing of a kernel is compiled, and whatever your table cannot do it names. Most of the time of a call
now goes into tracing, which every phase shares.

The package's phase 5 has the same shape and a longer table. What is left to gain is the walking itself: a look-up
and a call for each equation. A compiler does that once.
"""
mistakes = (
    (
        "fall-back still JAX's",
        "return p5_01_nothing_to_fall_back_on.fall_back(self, eqn, *args)",
        "return super().fall_back(eqn, *args)",
        "should be refused",
    ),
    ("no gather", '        lax_primitive("gather"): gather,\n', "", "gather"),
    ("sort without its adaptor", '"sort"): sort_by_first', '"sort"): sort', "num_keys"),
)


def check(learner):
    rules = learner.table()
    require(isinstance(rules, dict), f"Tried table()\ngot {show(rules)}, wanted a dictionary: is a `return` missing?")
    wanted = (
        *learner.OTHERS,
        "gather",
        "reduce_sum",
        "sort",
        "top_k",
        "cummax",
        "dot_general",
        "dynamic_slice",
        "add",
    )
    for name in wanted:
        require(lax_primitive(name) in rules, f"Tried table(): there is no rule for {name}")
    _refuses(learner)
    _sorts_with_the_primitive(learner)
    random = np.random.default_rng()
    x, y = random.standard_normal((2, 16, 16)).round(2).astype(np.float32)
    tried = described("kernels.matmul(x, y), in blocks of 8", {"x": x, "y": y})
    with trying(tried):
        got = kernels.matmul(jnp.asarray(x), jnp.asarray(y), pallas_call=learner.pallas_call, block=(8, 8, 8))
    same(got, x @ y, tried, tolerance=1e-5)
    capstones.keeps_scratch(learner.pallas_call)
    capstones.sorts(learner.pallas_call)
    return capstones.verdict(5, capstones.speed_up(learner.pallas_call))


def _refuses(learner):
    def kernel(x_ref, out_ref):
        out_ref[...] = x_ref[...] * x_ref[...]

    tried = "Tried a kernel with `mul`, without a rule for it in the table"
    call = learner.pallas_call(kernel, jax.ShapeDtypeStruct((2,), jnp.float32))
    rules = learner.table
    learner.table = lambda: {p: rule for p, rule in rules().items() if p.name != "mul"}
    try:
        with trying(tried):
            call(jnp.ones(2))
    except NotImplementedError as error:
        if UNSOLVED in str(error):
            raise
        require("mul" in str(error), f"{tried}: the message should name it: {error}")
    else:
        require(False, f"{tried}: it ran; without a rule it should be refused.")
    finally:
        learner.table = rules


def _sorts_with_the_primitive(learner):
    keys = np.random.default_rng().standard_normal((3, 10)).round(2).astype(np.float32)

    def kernel(x_ref, out_ref):
        out_ref[...] = jnp.sort(x_ref[...], axis=1)

    tried = described("a kernel that calls jnp.sort(x_ref[...], axis=1)", {"x_ref": keys})
    with trying(tried):
        got = learner.pallas_call(kernel, jax.ShapeDtypeStruct(keys.shape, keys.dtype))(jnp.asarray(keys))
    same(got, np.sort(keys, axis=1), tried)
