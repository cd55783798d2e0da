"""What the tests of `lax_numpy` share: JAX on a CPU as the oracle, edge values, and a comparison in ULPs."""

from __future__ import annotations

import warnings

import jax
import ml_dtypes
import numpy as np

from pallas_np import lax_numpy
from pallas_np.frontend.params import value_params

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(np.float32), BFLOAT16, np.dtype(np.float16)]
INTEGERS = [np.dtype(name) for name in ("int32", "uint32", "int8", "uint8", "int16", "uint16")]
NARROW = [np.dtype(ml_dtypes.int4), np.dtype(ml_dtypes.uint4)]
SIZE = 64

_FLOAT_EDGES = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 2.0, -3.0, 0.49999997, np.nan, np.inf, -np.inf,
    1e-40, -1e-40, 3.4e38, -3.4e38, 1e-3, 127.5, -128.5, 255.9, 65504.0, 2.0**31, -(2.0**31), 1e10, 8.0, 1e-7,
    0.9999999, 100.0,
]  # fmt: skip


def edge_values(dtype: np.dtype) -> np.ndarray:
    """64 values: every edge case of the dtype, then ordinary ones."""
    if dtype == np.bool_:
        return np.arange(SIZE) % 3 == 0
    random = np.random.default_rng(0)
    if lax_numpy_kind(dtype) in "iu":
        info = ml_dtypes.iinfo(dtype)
        edges = [0, 1, 2, 3, 5, 7, info.max, info.max - 1, info.min, info.min + 1, info.max // 2]
        if info.min < 0:
            edges += [-1, -2, -3, -7]
        rest = random.integers(int(info.min), int(info.max), SIZE - len(edges), endpoint=True, dtype=wide(dtype))
        return np.concatenate([np.array(edges, wide(dtype)), rest]).astype(dtype)
    rest = random.standard_normal(SIZE - len(_FLOAT_EDGES)) * 4
    values = np.concatenate([_FLOAT_EDGES, rest])
    if dtype.kind == "c":
        values = values.astype(complex)
        values.imag = np.roll(values.real, 5)
    if dtype == BFLOAT16:  # whether XLA flushes bfloat16's denormals changes from one operation to the next
        values = np.where(np.abs(values) < 1e-37, np.copysign(0, values), values)
    with np.errstate(all="ignore"):
        return values.astype(np.float32 if dtype.kind == "V" else dtype).astype(dtype)


def lax_numpy_kind(dtype: np.dtype) -> str:
    return "iu"[dtype.name.startswith("u")] if "int" in dtype.name else dtype.kind.replace("V", "f")


def wide(dtype: np.dtype) -> np.dtype:
    return np.dtype("u8" if dtype == np.uint64 else "i8")


def pairs(dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of the first 32 edge values, then every ordinary value with itself."""
    values = edge_values(dtype)
    return tuple(side.reshape(32, 64) for side in np.broadcast_arrays(values[:32, None], values))


def both(fn, *args, position: int = -1):
    """What JAX and what `lax_numpy` give for one equation of `fn(*args)`, by default the last: two lists of arrays."""
    jaxpr = jax.make_jaxpr(fn)(*args)
    eqn = jaxpr.jaxpr.eqns[position]
    known = dict(zip(jaxpr.jaxpr.invars, args)) | dict(zip(jaxpr.jaxpr.constvars, jaxpr.consts))
    operands = [atom.val if hasattr(atom, "val") else known[atom] for atom in eqn.invars]
    operands = [np.asarray(x, atom.aval.dtype) for x, atom in zip(operands, eqn.invars)]
    expected = eqn.primitive.bind(*operands, **eqn.params)
    return aslist(expected), run(eqn, operands)


def run(eqn, operands: list[np.ndarray], **replaced) -> list[np.ndarray]:
    """One equation by `lax_numpy`, without warnings, and without a change to the operands."""
    name = eqn.primitive.name.replace("-", "_")
    function = getattr(lax_numpy, name if hasattr(lax_numpy, name) else name + "_")
    before = [operand.copy() for operand in operands]
    with np.errstate(all="ignore"), warnings.catch_warnings(), lax_numpy.flush_denormals():
        warnings.simplefilter("error")
        results = function(*operands, **{**value_params(eqn.primitive, eqn.params), **replaced})
    for operand, copy in zip(operands, before):
        assert operand.tobytes() == copy.tobytes(), f"{name} changed an operand"
    assert isinstance(results, list | tuple) == eqn.primitive.multiple_results
    return aslist(results)


def check_each(functions, *args, ulps: int = 0) -> None:
    """Like `check` for each of these functions, whose one equation each XLA compiles together, to save time."""
    jaxprs = [jax.make_jaxpr(function)(*args).jaxpr for function in functions]
    expected = jax.jit(lambda *args: [function(*args) for function in functions])(*args)
    for jaxpr, theirs in zip(jaxprs, expected, strict=True):
        (eqn,) = jaxpr.eqns
        known = dict(zip(jaxpr.invars, args))
        operands = [np.asarray(v.val if hasattr(v, "val") else known[v], v.aval.dtype) for v in eqn.invars]
        (ours,) = run(eqn, operands)
        assert isinstance(ours, np.ndarray | np.generic), type(ours)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), eqn
        try:
            assert_close(ours, np.asarray(theirs), ulps, args)
        except AssertionError as error:
            raise AssertionError(f"{eqn.primitive} {eqn.params}: {error}") from None


def aslist(results) -> list:
    return list(results) if isinstance(results, list | tuple) else [results]


def check(fn, *args, ulps: int = 0, position: int = -1) -> None:
    """`lax_numpy` gives JAX's dtype, shape and bits, or floats within so many units in the last place."""
    expected, actual = both(fn, *args, position=position)
    assert len(expected) == len(actual)
    for theirs, ours in zip(expected, actual):
        assert isinstance(ours, np.ndarray | np.generic), type(ours)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert_close(ours, np.asarray(theirs), ulps, args)


def assert_close(ours: np.ndarray, theirs: np.ndarray, ulps: int, args: tuple = ()) -> None:
    distance = ulp_distance(np.asarray(ours), theirs, exact=not ulps)
    wrong = np.flatnonzero(distance > ulps)
    assert not len(wrong), (
        f"{len(wrong)} of {theirs.size} differ, by up to {distance.max()} ULP; first at {wrong[:5]}: "
        f"ours {np.ravel(ours)[wrong[:5]]}, XLA {np.ravel(theirs)[wrong[:5]]}"
        + "".join(f", operand {np.ravel(x)[wrong[:5]]}" for x in args if np.size(x) == theirs.size)
    )


def ulp_distance(a: np.ndarray, b: np.ndarray, exact: bool) -> np.ndarray:
    """Units in the last place between values; any two NaNs are equal, and so are 0 and -0 unless `exact`."""
    if a.dtype.kind == "c":
        return np.maximum(ulp_distance(a.real, b.real, exact), ulp_distance(a.imag, b.imag, exact))
    if lax_numpy_kind(a.dtype) != "f":
        return np.where(a != b, np.inf, 0.0)
    with np.errstate(invalid="ignore"):
        a_is_nan, b_is_nan = np.isnan(a.astype(np.float64)), np.isnan(b.astype(np.float64))
    distance = np.abs(ordered(a) - ordered(b))
    if not exact:
        distance = np.where((a == 0) & (b == 0), 0, distance)
    return np.where(a_is_nan & b_is_nan, 0, np.where(a_is_nan ^ b_is_nan, np.inf, distance))


def ordered(x: np.ndarray) -> np.ndarray:
    """Consecutive floats as consecutive numbers, -0 just below +0."""
    bits = np.ascontiguousarray(x).view(f"i{x.dtype.itemsize}").astype(np.float64)
    top = 2.0 ** (8 * x.dtype.itemsize - 1)
    return np.where(bits < 0, -(bits + top) - 1, bits)
