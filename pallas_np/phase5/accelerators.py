"""Pallas's own primitives, and those of its TPU and GPU dialects, that are not about memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from pallas_np import lax_numpy, phase2
from pallas_np.errors import CheckError
from pallas_np.frontend import Equation
from pallas_np.frontend import primitives as p
from pallas_np.frontend.refs import Operand as IndexOperand
from pallas_np.phase1 import structure
from pallas_np.phase3 import bitcast
from pallas_np.phase4 import call
from pallas_np.phase5.memory import nothing, place

if TYPE_CHECKING:
    from pallas_np.phase5 import Interpreter


def hint(x: Any, **_: Any) -> Any:
    """A hint to the compiler: the value is unchanged."""
    return x


def multiple_of(x: Any, *, values: tuple[int, ...]) -> Any:
    """x, which has to be a multiple of each of these numbers; of an array Triton takes that for its first element.

    Raises:
      CheckError: if it is not.
    """
    first = np.ravel(x)[:1]
    for value in values:
        if np.any(first % value):
            raise CheckError(f"the hint says that it is a multiple of {value}, but it is {first[0]}")
    return x


def reciprocal(x: Any, *, approx: bool, full_range: bool = True) -> Any:
    """1 / x; an approximate one is that of x in bfloat16, as with `interpret=True`."""
    given = x.astype(ml_dtypes.bfloat16).astype(x.dtype) if approx else x
    return lax_numpy.div(x.dtype.type(1), given)


def tpu_roll(x: np.ndarray, shift: Any, *, axis: int, stride: int | None, stride_axis: int | None) -> np.ndarray:
    """x rotated by `shift` along `axis`; with a stride, by `stride` more at each step along `stride_axis`."""
    if stride is None or stride_axis is None:
        return np.roll(x, int(shift), axis)
    rows = [
        np.roll(part, int(shift) + i * stride, axis)
        for i, part in enumerate(np.split(x, x.shape[stride_axis], stride_axis))
    ]
    return np.concatenate(rows, stride_axis)


def tpu_bitcast(x: np.ndarray, *, ty: np.dtype, dim: int = -2) -> np.ndarray:
    """The same bits as another dtype, packed or unpacked along `dim`."""
    return bitcast(x, ty, dim)


def stochastic_round(x: np.ndarray, random_bits: np.ndarray, *, target_dtype: np.dtype) -> np.ndarray:
    """float32 to a narrower type, away from zero with the probability of the part that is cut off.

    The random bits are added below the last bit that is kept, and what is below it is dropped.  Infinities and NaN
    are cast.
    """
    if target_dtype == ml_dtypes.int4:
        return lax_numpy.convert_element_type(
            np.floor(x + random_bits.astype(np.float64) / 2**32).astype(np.float32), target_dtype
        )
    kept = ml_dtypes.finfo(target_dtype).nmant
    below = np.uint32((1 << (23 - kept)) - 1)
    bits = x.view(np.uint32)
    rounded = ((bits + (random_bits & below)) & ~below).view(np.float32)
    return np.where(np.isfinite(x), rounded, x).astype(target_dtype)


def pack_elementwise(*xs: np.ndarray, packed_dtype: np.dtype) -> np.ndarray:
    """Elements of several arrays side by side in wider words, the first in the lowest bits."""
    width = xs[0].dtype.itemsize * 8 // len(xs)
    word = np.dtype(f"u{xs[0].dtype.itemsize}")
    packed = np.zeros(xs[0].shape, word)
    for i, x in enumerate(xs):
        narrow = x.astype(packed_dtype).view(f"u{width // 8}") if x.dtype.kind == "f" else x.view(word)
        packed |= (narrow.astype(word) & word.type((1 << width) - 1)) << word.type(i * width)
    return packed


def unpack_elementwise(x: np.ndarray, *, index: int, packed_dtype: np.dtype, unpacked_dtype: np.dtype) -> np.ndarray:
    """The elements that `pack_elementwise` put at `index`, each made wide again."""
    if packed_dtype == ml_dtypes.bfloat16:
        halves = (x.view(np.uint32) >> np.uint32(16 * index)).astype(np.uint16)
        return halves.view(ml_dtypes.bfloat16).astype(unpacked_dtype)
    width = ml_dtypes.iinfo(packed_dtype).bits
    wide = np.dtype(f"{'i' if ml_dtypes.iinfo(packed_dtype).min else 'u'}{x.dtype.itemsize}")
    bits = x.dtype.itemsize * 8
    shifted = x.view(wide) << wide.type(bits - width * (index + 1))
    return (shifted >> wide.type(bits - width)).astype(unpacked_dtype)


def einshape(x: np.ndarray, *, equation: str, sizes: tuple[tuple[str, int], ...], **_: Any) -> np.ndarray:
    """Reshapes and transposes as an equation such as `"(ab)c->bac"` says; `sizes` has the lengths it leaves open."""
    before, after = (_groups(side) for side in equation.replace(" ", "").split("->"))
    lengths = dict(sizes)
    for group, size in zip(before, x.shape, strict=True):
        known = [lengths[name] for name in group if name in lengths]
        for name in group:
            lengths.setdefault(name, size // int(np.prod(known, dtype=int)))
    names = [name for group in before for name in group]
    split = x.reshape([lengths[name] for name in names])
    moved = split.transpose([names.index(name) for group in after for name in group])
    return moved.reshape([int(np.prod([lengths[name] for name in group], dtype=int)) for group in after])


def _groups(side: str) -> list[str]:
    groups, inside = [], False
    for sign in side:
        if sign in "()":
            inside = sign == "("
            if inside:
                groups.append("")
        elif inside:
            groups[-1] += sign
        else:
            groups.append(sign)
    return groups


def tpu_conv(
    lhs: np.ndarray, rhs: np.ndarray, acc: np.ndarray | None = None, *, flipped: tuple[int, ...], **params: Any
) -> np.ndarray:
    """A convolution, added to `acc`; `flipped` are the axes along which the kernel is reversed."""
    rhs = np.flip(rhs, flipped)
    if acc is None:
        return lax_numpy.conv_general_dilated(lhs, rhs, **params)
    params["preferred_element_type"] = acc.dtype
    return lax_numpy.add(acc, lax_numpy.conv_general_dilated(lhs, rhs, **params))


@structure
def has_memory_space(interp: Interpreter, eqn: Equation, ref: np.ndarray) -> np.bool_:
    """Whether a ref in `pl.ANY` is in a memory space: what is anywhere is in HBM."""
    return np.bool_(eqn.params["memory_space"] == "hbm")


# A pipeline's body.


@structure
def pipeline_body(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    """The body at one step of its pipeline, whose indices are `program_id` there."""
    params = eqn.params
    grid_index, indices, consts = (
        [_known(value, args) for value in params[name]] for name in ("grid_index", "indices", "consts")
    )
    places = [place(interp, view, args) for view in params["refs"]]
    refs = [where.view() for where in places]
    outer, interp.pipeline_index = interp.pipeline_index, tuple(grid_index)
    interp.eval_jaxpr(params["jaxpr"], consts, *indices, *refs)
    interp.pipeline_index = outer
    return []


@structure
def program_id(interp: Interpreter, eqn: Equation) -> np.int32:
    index, axis = interp.pipeline_index, eqn.params["axis"]
    return phase2.program_id(interp, eqn) if index is None else np.int32(index[axis])


def _known(value: Any, args: Sequence[Any]) -> Any:
    return args[value.position] if isinstance(value, IndexOperand) else value


@structure
def empty(interp: Interpreter, eqn: Equation) -> np.ndarray:
    """`jnp.empty`: nobody has written to it."""
    return interp.fresh(eqn.outvars[0])


def device_put(*xs: Any, **_: Any) -> list[Any]:
    """There is one device."""
    return list(xs)


def iota_2x32_shape(*, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The numbers of a shape's elements, as the upper and the lower 32 bits."""
    numbers = np.arange(np.prod(shape, dtype=np.uint64), dtype=np.uint64).reshape(shape)
    return [(numbers >> np.uint64(32)).astype(np.uint32), numbers.astype(np.uint32)]


@structure
def custom_fusion(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    """A function with a rule for fusing it, called where there is nothing to fuse it with."""
    jaxpr, num_consts = eqn.params["jaxpr"], eqn.params["num_consts"]
    return interp.eval_jaxpr(jaxpr, args[:num_consts], *args[num_consts + eqn.params["pallas_num_consts"] :])


# The TPU's random numbers come from hardware; ours from a generator that is seeded in the same places.


@structure
def prng_seed(interp: Interpreter, eqn: Equation, *seeds: Any) -> list[Any]:
    words = [int(word) & 0xFFFFFFFF for seed in seeds for word in np.ravel(seed)]
    interp.random = np.random.default_rng(words)
    return []


@structure
def prng_random_bits(interp: Interpreter, eqn: Equation) -> np.ndarray:
    if interp.random is None:
        raise RuntimeError(f"{eqn.name} needs pltpu.prng_seed first")
    return interp.random.integers(0, 2**32, eqn.outvars[0].shape, np.uint32).view(np.int32)


def prng_split(key: np.ndarray) -> list[np.uint32]:
    """The words of a PRNG key."""
    return list(np.ravel(key))


@structure
def prng_join(interp: Interpreter, eqn: Equation, *words: Any) -> np.ndarray:
    return np.array(words, np.uint32).reshape(eqn.outvars[0].shape)


@structure
def axis_index(interp: Interpreter, eqn: Equation) -> np.int32:
    names = interp.call.axis_names
    name = eqn.params["axis_name"]
    if name not in names:
        raise NotImplementedError(f"the kernel's grid has no axis named {name!r}")
    return np.int32(interp.grid_index[names.index(name)])


accelerator_rules: dict[Any, Callable[..., Any]] = {
    p.multiple_of_p: multiple_of,
    p.max_contiguous_p: hint,
    p.name_p: hint,
    p.reshard_p: hint,
    p.relayout_p: hint,
    p.stage_p: hint,
    p.device_put_p: device_put,
    p.empty_p: empty,
    p.iota_2x32_shape_p: iota_2x32_shape,
    p.custom_fusion_p: custom_fusion,
    p.composite_p: call,
    p.call_p: call,
    p.custom_vmap_call_p: call,
    p.reciprocal_p: reciprocal,
    p.delay_p: nothing,
    p.einshape_p: einshape,
    p.tpu_roll_p: tpu_roll,
    p.tpu_bitcast_p: tpu_bitcast,
    p.stochastic_round_p: stochastic_round,
    p.pack_elementwise_p: pack_elementwise,
    p.unpack_elementwise_p: unpack_elementwise,
    p.prng_seed_p: prng_seed,
    p.prng_random_bits_p: prng_random_bits,
    p.prng_split_p: prng_split,
    p.prng_join_p: prng_join,
    p.add_dependency_p: nothing,
    p.trace_value_p: nothing,
    p.debug_barrier_p: nothing,
    p.axis_index_p: axis_index,
    p.tpu_conv_p: tpu_conv,
    p.has_memory_space_p: has_memory_space,
    p.pipeline_body_p: pipeline_body,
    p.program_id_p: program_id,
}
