"""The figures on the exercises' pages, each drawn from a run while the site is built.

They show what the task is about, on inputs of their own. None of them shows code.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import lax
from jax.experimental import pallas as pl

from pallas_np import frontend, lax_numpy, phase1, phase2, phase5, workbook
from pallas_np.workbook import Row


def figure(name: str) -> str:
    """The figure of an exercise, by its name without the number; nothing where there is none."""
    return str(FIGURES[name]()) if name in FIGURES else ""


def the_walk() -> Any:
    def scale_and_add(x_ref, y_ref, out_ref):
        out_ref[...] = x_ref[...] * 2 + y_ref[...]

    x, y = np.array([1, 2, 3], np.int32), np.array([10, 20, 30], np.int32)
    return workbook.equation_stepper(call_of(scale_and_add, x, x, y), x, y)


def integer_division() -> Any:
    a, b = np.array([7, -7, 7, -7], np.int32), np.array([2, 2, -2, -2], np.int32)
    rows = [Row("a", a), Row("b", b)]
    for sign, numpys, xlas in (("/", a // b, lax.div(a, b)), ("%", a % b, lax.rem(a, b))):
        differs = np.flatnonzero(numpys != xlas).tolist()
        rows += [Row(f"NumPy's a {sign * (1 + (sign == '/'))} b", numpys, differs)]
        rows += [Row("lax.div(a, b)" if sign == "/" else "lax.rem(a, b)", np.asarray(xlas), differs)]
    return workbook.rows_figure(rows, "Where the signs differ, the two round in different directions.")


def shift_in_zeros() -> Any:
    x = np.array([-20], np.int8)
    shifted = {
        "x": x,
        "arithmetic, by 2": x >> 2,
        "logical, by 2": np.asarray(lax.shift_right_logical(x, np.array([2], np.int8))),
    }
    rows = [
        Row(f"{label}: {value[0]}", list(np.binary_repr(value[0], 8)), (0, 1) if label != "x" else ())
        for label, value in shifted.items()
    ]
    return workbook.rows_figure(rows, "The bits of an int8, before and after. The marked ones are new.")


def ragged_blocks() -> Any:
    def copy(x_ref, out_ref):
        out_ref[...] = x_ref[...]

    x = np.arange(1, 11, dtype=np.float32)
    spec = pl.BlockSpec((4,), lambda i: (i,))
    operand = call_of(copy, x, x, grid=(3,), in_specs=[spec], out_specs=spec).inputs[0]
    blocks = [phase2.cut(x, operand, (4 * i,)) for i in range(3)]
    rows = [Row("the array", x)]
    for i, block in enumerate(blocks):
        rows.append(Row(f"block {i}", block, np.flatnonzero(np.isnan(block)).tolist(), at=4 * i))
    return workbook.rows_figure(rows, "Ten elements in blocks of four. The last block is padded, with NaN.")


def the_grid() -> Any:
    def place_in_order(out_ref):
        out_ref[...] = jnp.full((1, 1), pl.program_id(0) * pl.num_programs(1) + pl.program_id(1))

    spec = pl.BlockSpec((1, 1), lambda i, j: (i, j))
    out = np.zeros((2, 3), np.int32)
    return workbook.grid_stepper(call_of(place_in_order, out, grid=(2, 3), out_specs=spec))


def read_a_ref() -> Any:
    def read_then_write(x_ref, out_ref):
        before = x_ref[0:2]
        x_ref[0:2] = x_ref[2:4]
        out_ref[...] = before

    x = np.array([1, 2, 3, 4], np.int32)
    return workbook.equation_stepper(call_of(read_then_write, x[:2], x), x)


def a_chain_of_transforms() -> Any:
    array = np.arange(24, dtype=np.int32).reshape(2, 12)
    row = array[1]
    table = row.reshape(3, 4)
    column = table[:, 2]
    found = [row.tolist().index(value) for value in column]
    rows = [
        Row("x_ref", array[0]),
        Row("", array[1]),
        Row(".at[1]", row, found),
        *(Row(".reshape(3, 4)" if i == 0 else "", part, (2,)) for i, part in enumerate(table)),
        Row(".at[:, 2]", column, (0, 1, 2)),
    ]
    assert np.shares_memory(column, array)
    return workbook.rows_figure(rows, "Each transform leads further in, and all of it is the memory of x_ref.")


def scan() -> Any:
    x = np.array([2, 9, 4, 7, 1], np.int32)
    carries: list[Any] = []

    class Watching(phase5.Interpreter):
        def eval_jaxpr(self, jaxpr, consts, *args):
            answer = super().eval_jaxpr(jaxpr, consts, *args)
            if len(args) == 2:
                carries.append(answer[0])
            return answer

    jaxpr = jax.make_jaxpr(lambda x: lax.scan(lambda total, value: (total + value, total), 0, x))(x)
    total, ys = phase1.evaluate(Watching(phase5.numpy_rules), jaxpr.jaxpr, jaxpr.consts, [x])
    assert total == carries[-1] == x.sum()
    rows = [Row("the array xs, a row for each turn", x), Row("ys: the carry that came in", ys)]
    rows.append(Row("the carry after each turn", np.array(carries), (len(x) - 1,)))
    return workbook.rows_figure(rows, "A running sum, turn by turn from left to right. The last carry is the answer.")


def partners_from_afar() -> Any:
    x = np.array([[10, 20, 30, 40, 50, 60]], np.float32)
    positions = np.array([[3, 0, 5, -1, 2, 6]], np.int32)
    outside = np.flatnonzero((positions[0] < 0) | (positions[0] >= 6)).tolist()
    rows = [Row("x", x[0]), Row("positions", positions[0], outside)]
    for mode, name in (("fill", "fill_or_drop, with NaN"), ("clip", "clip")):
        taken = x_at(x, positions, mode)
        rows.append(Row(name, taken[0], outside))
    return workbook.rows_figure(rows, "A row, the positions to fetch, and what two modes answer. Marked: outside.")


def x_at(x: np.ndarray, positions: np.ndarray, mode: str) -> np.ndarray:
    """The elements of the one row of `x` at `positions`, which do not count from the end."""
    numbers = lax.GatherDimensionNumbers((), (0, 1), (0, 1))
    index = jnp.stack([jnp.zeros_like(positions), positions], axis=-1)
    return np.asarray(lax.gather(x, index, numbers, (1, 1), mode=mode, fill_value=np.nan))


def sums_of_narrow_floats() -> Any:
    counts = [2**k for k in range(4, 13)]
    ones = [np.ones(n, ml_dtypes.bfloat16) for n in counts]
    return workbook.line_chart(
        {
            "in float32": [(n, float(lax_numpy.reduce_sum(x, axes=(0,)))) for n, x in zip(counts, ones)],
            "in bfloat16": [(n, float(np.sum(x))) for n, x in zip(counts, ones)],
        },
        "how many ones are added up",
        "the sum",
        "Ones, added up in float32 and in bfloat16. The second sum gets no further than 256.",
    )


def running_maximum() -> Any:
    x = np.array([3, 1, 4, 1, 5, 9, 2, 6], np.float32)
    rows = [Row("x", x)]
    for reverse in (False, True):
        most = np.asarray(lax.cummax(x, reverse=reverse))
        rows.append(Row("from the right" if reverse else "from the left", most, np.flatnonzero(most == x).tolist()))
    return workbook.rows_figure(rows, "A running maximum in both directions. Marked: where it has just been set.")


def a_slice_that_moves() -> Any:
    x = np.arange(8, dtype=np.int32) * 10
    rows = [Row("x", x)]
    for start in (-2, 3, 7):
        taken = np.asarray(lax.dynamic_slice_p.bind(x, np.int32(start), slice_sizes=(3,)))
        rows.append(Row(f"3 from position {start}", taken, (0, 1, 2), at=int(taken[0]) // 10))
    return workbook.rows_figure(rows, "A window that would reach outside is moved until it fits.")


def scattered_additions() -> Any:
    x, positions, updates = (
        np.zeros(5, np.int32),
        np.array([1, 3, 1, 7], np.int32),
        np.array([10, 20, 30, 40], np.int32),
    )
    result = np.asarray(jnp.asarray(x).at[positions].add(updates, mode="drop"))
    rows = [Row("positions", positions), Row("updates", updates), Row("x", x)]
    rows.append(Row("the result", result, np.flatnonzero(result).tolist()))
    return workbook.rows_figure(rows, "Position 1 is named twice, and both count. Position 7 is outside.")


def call_of(kernel: Callable[..., None], out: np.ndarray, *arrays: np.ndarray, **options: Any) -> Any:
    """The kernel call, for an output like `out`."""
    shape = jax.ShapeDtypeStruct(out.shape, out.dtype)
    traced = frontend.trace(pl.pallas_call(kernel, out_shape=shape, **options), *arrays)
    assert traced is not None
    return traced.call


FIGURES: dict[str, Callable[[], Any]] = {
    function.__name__: function
    for function in (
        the_walk,
        integer_division,
        shift_in_zeros,
        ragged_blocks,
        the_grid,
        read_a_ref,
        a_chain_of_transforms,
        scan,
        partners_from_afar,
        sums_of_narrow_floats,
        running_maximum,
        a_slice_that_moves,
        scattered_additions,
    )
}
