"""Write the gather of the sort: for each place of a row, fetch the element at another position of the same row.

`jnp.take_along_axis(x, positions, axis=1)` becomes a `gather`, whose general form has a dozen parameters. This is the
form that the sort needs: `result[r, c] = x[r, positions[r, c]]`.

`mode` says what a position outside the row means (there is no counting from the end: -1 is outside):

- `"clip"`: the nearest position inside;
- `"fill_or_drop"`: the answer is `fill_value` there;
- `"promise_in_bounds"`: it does not happen.
"""

import numpy as np


def take_rows(x, positions, *, mode, fill_value):
    """Elements of each row of `x`, a (rows, n) array, at the int32 `positions`, a (rows, m) array."""
    # --- solution
    last = x.shape[1] - 1
    found = np.take_along_axis(x, np.clip(positions, 0, last), axis=1)
    if mode != "fill_or_drop":
        return found
    inside = (positions >= 0) & (positions <= last)
    return np.where(inside, found, x.dtype.type(fill_value))
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp
from jax import lax

from exercises.machinery.checking import expect

title = "Partners from afar"
minutes = 15
primitives = ("gather",)
hints = (
    "Bring the positions inside first, so that every fetch is safe; then put the fill value where they had been "
    "outside.",
    "`np.clip` brings them inside, `np.take_along_axis` fetches, and `np.where` chooses. Both ends count as outside.",
    'Fetch at `np.clip(positions, 0, n - 1)`; for "fill_or_drop" use `np.where` on `0 <= position < n` with '
    "`x.dtype.type(fill_value)`.",
)
explanation = """
NumPy would raise for a position that is too large, and count a negative one from the end. XLA does neither: it has to
give some answer without stopping, and lets the mode choose which. `jnp.take_along_axis` adds the row's length to
negative positions itself, as equations of their own before the gather, and fills with NaN by default.

The general gather, in `lax_numpy`, does the same with windows instead of single elements.
"""
mistakes = (
    ("NumPy's own bounds", "np.clip(positions, 0, last)", "positions", "Your code raised IndexError"),
    ("ignores the mode", 'if mode != "fill_or_drop":', "if True:", "fill_value"),
    ("fills only above", "(positions >= 0) & (positions <= last)", "positions <= last", "-1 is outside"),
    (
        "rows of positions mixed",
        "np.take_along_axis(x, np.clip(positions, 0, last), axis=1)",
        "x[0][np.clip(positions, 0, last)]",
        "of the same row",
    ),
)


def check(learner):
    random = np.random.default_rng()
    x = random.standard_normal((3, 6)).round(2).astype(np.float32)
    positions = random.integers(0, 6, (3, 8)).astype(np.int32)
    want = np.asarray(jnp.take_along_axis(x, positions, axis=1, mode="clip"))
    say = "Each element comes from its position of the same row."
    expect(learner.take_rows, x, positions, want=want, say=say, mode="promise_in_bounds", fill_value=np.nan)

    positions[:, ::2] = random.integers(6, 20, (3, 4))
    positions[0, :2] = 6, -1
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(),
        collapsed_slice_dims=(1,),
        start_index_map=(1,),
        operand_batching_dims=(0,),
        start_indices_batching_dims=(0,),
    )
    for array, fill_value in ((x, np.nan), (x.astype(np.int32), -(2**31))):
        for mode in ("clip", "fill_or_drop"):
            want = lax.gather(
                array,
                positions[..., None],
                numbers,
                (1, 1),
                mode=lax.GatherScatterMode.from_any(_NAMES[mode]),
                fill_value=fill_value,
            )
            say = "Outside a row, clip takes the nearest, fill_or_drop fill_value; -1 is outside, too."
            expect(learner.take_rows, array, positions, want=want, say=say, mode=mode, fill_value=fill_value)


_NAMES = {"clip": "clip", "fill_or_drop": "fill"}
