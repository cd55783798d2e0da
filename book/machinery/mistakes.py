"""The mistakes on the page of errors: kernels that are wrong, each raising one kind of error."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

import pallas_np

X = np.arange(8, dtype=np.float32)
LIKE_X = jax.ShapeDtypeStruct((8,), jnp.float32)


def one_past_the_end() -> None:
    def differences(x_ref, out_ref):
        @pl.loop(0, 8)
        def _(i):
            out_ref[i] = x_ref[i + 1] - x_ref[i]

    pallas_np.pallas_call(differences, LIKE_X)(X)


def elements_for_blocks() -> None:
    def double(x_ref, out_ref):
        out_ref[...] = 2 * x_ref[...]

    spec = pl.BlockSpec((4,), lambda i: (4 * i,))
    pallas_np.pallas_call(double, LIKE_X, grid=(2,), in_specs=[spec], out_specs=spec)(X)


def no_rule() -> None:
    def invert(x_ref, out_ref):
        square = x_ref[...].reshape(2, 4)[:, :2]
        out_ref[...] = jnp.tile(jnp.linalg.svd(square)[1], 4)

    pallas_np.pallas_call(invert, LIKE_X)(X)


def a_wait_without_a_start() -> None:
    def copy(x_ref, out_ref, arrived):
        pltpu.make_async_copy(x_ref, out_ref, arrived).wait()

    pallas_np.pallas_call(copy, LIKE_X, scratch_shapes=[pltpu.SemaphoreType.DMA])(X)


def a_condition_that_does_not_hold() -> None:
    def root(x_ref, out_ref):
        pl.debug_check(jnp.all(x_ref[...] > 0), "x must be positive")
        out_ref[...] = jnp.sqrt(x_ref[...])

    with pl.enable_debug_checks():
        pallas_np.pallas_call(root, LIKE_X)(X)


def two_steps_write_one_block() -> None:
    def double(x_ref, out_ref):
        out_ref[...] = 2 * x_ref[...]

    options = pallas_np.Options(detect_races=True)
    read, written = (pl.BlockSpec((2,), lambda i, n=n: (i % n,)) for n in (4, 2))
    pallas_np.pallas_call(double, LIKE_X, grid=(4,), in_specs=[read], out_specs=written, options=options)(X)


def padding_in_a_sum() -> None:
    def sums(x_ref, out_ref):
        out_ref[0] = jnp.sum(x_ref[...])

    options = pallas_np.Options(uninitialized="raise")
    read, written = (pl.BlockSpec((n,), lambda i: (i,)) for n in (3, 1))
    three = jax.ShapeDtypeStruct((3,), jnp.float32)
    pallas_np.pallas_call(sums, three, grid=(3,), in_specs=[read], out_specs=written, options=options)(X)


def a_row_without_a_length() -> None:
    def normalise(x_ref, out_ref):
        squares = x_ref[...] * x_ref[...]
        out_ref[...] = x_ref[...] / jnp.sqrt(squares)

    options = pallas_np.Options(check_nans=True)
    pallas_np.pallas_call(normalise, LIKE_X, options=options)(X)


def a_hint_that_does_not_hold() -> None:
    def shift(x_ref, out_ref):
        start = pl.multiple_of(pl.num_programs(0), 4)
        out_ref[pl.ds(0, 4)] = x_ref[pl.ds(start, 4)]

    pallas_np.pallas_call(shift, LIKE_X, grid=(2,))(X)


MISTAKES: dict[str, list[Callable[[], None]]] = {
    "OutOfBoundsError": [one_past_the_end, elements_for_blocks],
    "UnsupportedError": [no_rule],
    "SynchronizationError": [a_wait_without_a_start],
    "RaceError": [two_steps_write_one_block],
    "UninitializedError": [padding_in_a_sum],
    "NonFiniteError": [a_row_without_a_length],
    "CheckError": [a_condition_that_does_not_hold, a_hint_that_does_not_hold],
}


def told(mistake: Callable[[], None]) -> pallas_np.KernelError:
    """What the mistake raises."""
    try:
        mistake()
    except pallas_np.KernelError as error:
        return error
    raise RuntimeError(f"{mistake.__name__} raised nothing")


def shown(mistake: Callable[[], None]) -> str:
    """The mistake and what it raises, as Markdown; files as they may stand on a page."""
    source = textwrap.dedent("".join(inspect.getsourcelines(mistake)[0][1:])).strip()
    error = told(mistake)
    message = f"{type(error).__name__}: {error}"
    for place in error.stack:
        message = message.replace(place.file, place.short_file)
    return f"```python\n{source}\n```\n\n```text\n{message}\n```\n"


def kinds() -> list[Any]:
    """The kinds of error, `KernelError` first."""
    every = [getattr(pallas_np, name) for name in pallas_np.__all__]
    errors = [kind for kind in every if inspect.isclass(kind) and issubclass(kind, pallas_np.KernelError)]
    return sorted(errors, key=lambda kind: kind is not pallas_np.KernelError)
