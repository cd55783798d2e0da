"""Every primitive has its function, knows nothing of JAX, and loads SciPy only when it is needed."""

from __future__ import annotations

import subprocess
import sys

import jax
import numpy as np
import pytest
from jax import lax
from lax_oracle import BFLOAT16, assert_close, edge_values

from pallas_np import lax_numpy
from pallas_np.frontend import params

# The lists of `semantics.md`, section 5, without control flow and what asks for the grid or the platform.
VALUE_PRIMITIVES = """
    abs acos acosh add add_any and approx_top_k argmax argmin asin asinh atan atan2 atanh bitcast_convert_type
    broadcast_in_dim cbrt ceil clamp clz concatenate conv_general_dilated convert_element_type cos cosh cumsum
    div dot_general eq erf erf_inv exp exp2 expm1 floor gather ge gt integer_pow iota is_finite le log log1p
    log2 logistic lt max min mul mulhi ne neg nextafter not one_minus_square optimization_barrier or pad
    population_count pow reduce_and reduce_or reduce_max reduce_min reduce_sum reduce_prod reduce_precision rem
    reshape rev round rsqrt scatter select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh
    slice sort split sqrt square squeeze stack stop_gradient sub tan tanh tile top_k transpose unstack xor
    dynamic_slice dynamic_update_slice scatter_add scatter_mul scatter_min scatter_max scatter_sub cummax cummin
    cumprod cumlogsumexp reduce reduce_xor reduce_window reduce_window_sum reduce_window_max reduce_window_min
    erfc lgamma digamma polynomial complex real imag conj ragged_dot_general rng_bit_generator threefry2x32
    random_bits random_seed random_wrap random_unwrap random_fold_in random_split random_clone copy
""".split()


@pytest.mark.parametrize("name", VALUE_PRIMITIVES)
def test_every_value_primitive_has_a_documented_function(name):
    function = getattr(lax_numpy, name if name in lax_numpy.__all__ else f"{name}_")
    assert callable(function)
    assert function.__doc__


def test_everything_exported_is_there():
    assert sorted(set(lax_numpy.__all__)) == sorted(lax_numpy.__all__)
    assert all(hasattr(lax_numpy, name) for name in lax_numpy.__all__)


def test_lax_numpy_loads_neither_jax_nor_scipy():
    code = """if True:
        import sys
        class NoJax:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("jax", "jaxlib"):
                    raise ImportError(name)
        sys.meta_path.insert(0, NoJax())
        import numpy as np
        from pallas_np import lax_numpy
        assert lax_numpy.div(np.int32(1), np.int32(0)) == -1
        assert not {"jax", "scipy"} & set(sys.modules)
        assert lax_numpy.erf(np.float32([0])).dtype == np.float32
        assert "scipy.special" in sys.modules
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_value_params_leaves_an_unknown_primitive_alone():
    given = {"jaxpr": object(), "inline": False}
    result = params.value_params(jax.extend.core.primitives.jit_p, given)
    assert result == given
    assert result is not given


def test_value_params_drops_what_does_not_bear_on_the_result():
    x = np.ones((2, 2), np.float32)
    for fn, expected in (
        (lax.exp, {}),
        (lax.sort, {"dimension": 1, "num_keys": 1}),
        (lambda x: lax.convert_element_type(x, np.int8), {"new_dtype": np.dtype(np.int8)}),
        (lambda x: lax.reduce_sum(x, (0,)), {"axes": (0,)}),
        (lambda x: lax.reshape(x, (4,)), {"new_sizes": (4,)}),
        (lambda x: lax.round(x), {"rounding_method": "away_from_zero"}),
        (lambda x: lax.mul(x, x), {}),
    ):
        eqn = jax.make_jaxpr(fn)(x).jaxpr.eqns[-1]
        assert params.value_params(eqn.primitive, eqn.params) == expected


def test_value_params_gives_plain_values():
    """Strings, numbers, dtypes and tuples of those: nothing of JAX's but a jaxpr."""
    numbers = lax.GatherDimensionNumbers((1,), (0,), (0,))
    gather = lambda x, i: lax.gather(x, i, numbers, (1, 2), mode="fill")  # noqa: E731
    eqn = jax.make_jaxpr(gather)(np.ones((2, 2), np.float32), np.ones((3, 1), np.int32)).jaxpr.eqns[-1]
    result = params.value_params(eqn.primitive, eqn.params)
    assert type(result["dimension_numbers"]) is lax_numpy.GatherDimensionNumbers
    assert result["mode"] == "fill_or_drop"
    hash(tuple(result.items()))


def test_lax_reference_is_right_where_we_say_so():
    """On float32 and bfloat16 by value, except where XLA flushes denormals (and makes `cbrt` of one -6e-16)."""
    from jax._src import lax_reference

    binary = {"add", "sub", "mul", "eq", "ne", "lt", "le", "gt", "ge"}
    shaped = {"broadcast_in_dim", "concatenate", "transpose", "rev", "slice", "pad", "reshape"}
    for dtype in (np.dtype(np.float32), BFLOAT16):
        x = edge_values(dtype)
        x = np.where(np.abs(x) < 1e-37, np.copysign(dtype.type(0), x), np.clip(x, -20, 20)).astype(dtype)
        for name in params.RIGHT_IN_LAX_REFERENCE:
            if name in shaped | {"real", "imag"}:
                assert hasattr(lax_reference, name)
                continue
            operands = (x[:32], x[32:]) if name in binary else (x,)
            with np.errstate(all="ignore"):
                ours = getattr(lax_reference, name)(*operands)
            theirs = np.asarray(getattr(lax, name)(*operands))
            assert ours.dtype == theirs.dtype, name
            assert_close(ours, theirs, ulps=32 if dtype == np.float32 else 2)
