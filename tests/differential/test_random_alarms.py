"""On random kernels no check gives a false alarm, and memory that nobody has written does not show without one.

Random kernels have faults: they add to an output that nobody has written, and come back to blocks that they have left.
`mended` takes these away, so that an alarm is a false one.  They make NaN and infinities, too: there an alarm has to be
right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from jax.experimental.pallas import tpu as pltpu
from kernel_language import kernels
from random_kernel import Kernel, assert_same

from pallas_np import NonFiniteError, Options, UninitializedError, phase5
from pallas_np.frontend import Engine, Equation, KernelCall, pallas_call_on
from pallas_np.inspector import checks
from pallas_np.inspector.observed import Observed, Observer
from pallas_np.lax_numpy.dtypes import kind_of

EXAMPLES = 200


def each_of(examples: int, test: Callable[[Kernel], None]) -> None:
    """Tries random kernels, the same each time."""

    @seed(7)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(kernels())
    def try_one(kernel: Kernel) -> None:
        test(kernel)

    try_one()


def mended(pallas_call: Callable[..., Any]) -> Callable[..., Any]:
    """`pallas_call`, with each output in the place of an input of zeros: it is written, and may be revisited."""

    def call(
        kernel: Callable[..., None], *, out_shape: Any, grid_spec: Any, input_output_aliases: Any
    ) -> Callable[..., Any]:
        new = [n for n in range(len(out_shape)) if n not in input_output_aliases.values()]
        first = grid_spec.num_scalar_prefetch + len(grid_spec.in_specs)
        aliases = {**input_output_aliases, **{first + i: n for i, n in enumerate(new)}}
        spec = pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=grid_spec.num_scalar_prefetch,
            grid=grid_spec.grid,
            in_specs=[*grid_spec.in_specs, *(grid_spec.out_specs[n] for n in new)],
            out_specs=grid_spec.out_specs,
            scratch_shapes=grid_spec.scratch_shapes,
        )

        def without_the_zeros(*refs: Any) -> None:
            kernel(*refs[:first], *refs[first + len(new) :])

        function = pallas_call(without_the_zeros, out_shape, grid_spec=spec, input_output_aliases=aliases)
        return lambda *args: function(*args, *(jnp.zeros(out_shape[n].shape, out_shape[n].dtype) for n in new))

    return call


class Last(Observer):
    """Keeps the equation that has run last, and its operands."""

    wants_accesses = False

    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        self.eqn, self.args = eqn, args


def assert_made(error: NonFiniteError, last: Last) -> None:
    """It is not finite either if what might explain it in the operands is replaced by a number."""
    told = re.match(r"\S+ makes (\S+)(?: at \(([^)]*)\))?", error.problem)
    assert told is not None and last.eqn.name == error.primitive
    explains = np.isnan if told[1] == "nan" else lambda x: ~np.isfinite(x)
    numbers = []
    for x in map(np.asarray, last.args):
        numbers.append(np.where(explains(x), 1, x).astype(x.dtype) if kind_of(x.dtype) == "f" else x)
    with np.errstate(all="ignore"):
        result = phase5.numpy_rules[last.eqn.primitive](*numbers, **last.eqn.params)
    index = tuple(int(n) for n in (told[2] or "").split(",") if n)
    assert not np.isfinite(result[index])


def is_padded(call: KernelCall) -> bool:
    """Whether a block may reach past its array's end."""
    return any(
        size % dim.size if dim.kind == "blocked" else dim.padding != (0, 0)
        for operand in (*call.inputs, *call.outputs)
        for size, dim in zip(operand.shape, operand.block)
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_random_kernel_gives_a_false_alarm() -> None:
    whole = made = 0

    def run(call: KernelCall, *arrays: np.ndarray, options: Options) -> Sequence[np.ndarray]:
        nonlocal whole, made
        last = Last()
        try:
            checks.watched(Options(check_nans=True), last).run(call, *arrays)
        except NonFiniteError as error:
            assert_made(error, last)
            made += 1
        if is_padded(call):
            return phase5.run(call, *arrays, options=options)
        whole += 1
        return checks.watched(Options(uninitialized="raise", detect_races=True)).run(call, *arrays)

    def test(kernel: Kernel) -> None:
        call = kernel.on(mended(pallas_call_on(Engine("NumPy, checked", run, Options()))))
        call(*next(kernel.operands()))

    each_of(EXAMPLES, test)
    assert whole > EXAMPLES / 3 and made > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_that_nobody_wrote_does_not_show_without_an_alarm() -> None:
    silent = 0

    def run(call: KernelCall, *arrays: np.ndarray, options: Options) -> Sequence[np.ndarray]:
        nonlocal silent
        poisoned = phase5.run(call, *arrays, options=options)
        try:
            checks.watched(Options(uninitialized="raise")).run(call, *arrays)
        except UninitializedError:
            return poisoned
        silent += 1
        zeroed = phase5.run(call, *arrays, options=Options(uninitialized="zero"))
        for n, (got, wanted) in enumerate(zip(poisoned, zeroed, strict=True)):
            assert_same(got, wanted, 0, f"output {n}")
        return poisoned

    def test(kernel: Kernel) -> None:
        kernel.on(pallas_call_on(Engine("NumPy, checked", run, Options())))(*next(kernel.operands()))

    each_of(EXAMPLES, test)
    assert EXAMPLES / 10 < silent < EXAMPLES
