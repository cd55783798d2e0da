"""A Pallas kernel as text: what it is given, how it is run, and when two answers to it are the same.

The text defines `kernel`, `call` (the options of `pallas_call`), `inputs` and `tolerances`, and perhaps `mapped` (what
`jax.vmap` takes for `in_axes`); a failing test prints it, and it can be pasted into `test_found_kernels.py` as it is.
"""

from __future__ import annotations

import functools
import linecache
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton as plgpu

import pallas_np
from pallas_np.options import ACCEPTED, Options

ENGINES = ACCEPTED["engine"]
INPUTS_FOR_EACH_KERNEL = 3
# Without its optimisations XLA compiles a kernel in half the time, and gives the same bits where they are defined.  Its
# algebraic simplification is left out because it is not always right: of a slice of a block it makes one slice of the
# whole array, which is then not clamped to the block, and of x / x it makes one.
COMPILER_OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_disable_hlo_passes": "algsimp",
}

Draw = Callable[[np.random.Generator], np.ndarray]


def small(shape: tuple[int, ...], dtype: Any, bound: int) -> Draw:
    """Whole numbers of at most `bound`: sums and products of some of them are exact in any order."""
    low = 0 if jnp.issubdtype(dtype, jnp.unsignedinteger) else -bound
    return lambda random: random.integers(low, bound + 1, shape).astype(dtype)


def anything(shape: tuple[int, ...], dtype: Any) -> Draw:
    """Any value that the dtype has, special ones more often; no denormals, which XLA may or may not flush."""

    def draw(random: np.random.Generator) -> np.ndarray:
        if dtype == jnp.bool_:
            return random.integers(0, 2, shape).astype(bool)
        if jnp.issubdtype(dtype, jnp.integer):
            info = jnp.iinfo(dtype)
            values = random.integers(info.min, info.max, shape, endpoint=True)
            special = random.choice([0, 1, 2, info.min, info.max, info.bits], shape)
        else:
            values = random.standard_normal(shape) * random.choice([1.0, 10.0, 1000.0], shape)
            special = random.choice([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 2.5, -0.5], shape)
        return np.where(random.random(shape) < 0.3, special, values).astype(dtype)

    return draw


def indices(shape: tuple[int, ...], below: int) -> Draw:
    """int32 indices from 0 to `below - 1`."""
    return lambda random: random.integers(0, below, shape, np.int32)


_NAMES = {
    "jax": jax,
    "jnp": jnp,
    "lax": lax,
    "pl": pl,
    "pltpu": pltpu,
    "plgpu": plgpu,
    "small": small,
    "anything": anything,
    "indices": indices,
}


@dataclass(frozen=True)
class Kernel:
    """A kernel as text, run once it is compiled into Python.

    Attributes:
      source: the text.
    """

    source: str
    _names: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __repr__(self) -> str:
        return f'Kernel("""\n{self.source}""")'

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis prints it."""
        for n, line in enumerate(repr(self).splitlines()):
            if n:
                printer.break_()
            printer.text(line)

    def __post_init__(self) -> None:
        source = textwrap.dedent(self.source).lstrip("\n")
        object.__setattr__(self, "source", source)
        file = f"<kernel {hash(source):x}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        self._names.update(_NAMES)
        exec(compile(source, file, "exec"), self._names)

    @property
    def tolerances(self) -> list[float]:
        """For each output, how far from the right answer it may be; 0: not one bit."""
        return self._names["tolerances"]

    def operands(self) -> Iterator[list[np.ndarray]]:
        """Some sets of operands, the same each time."""
        for seed in range(INPUTS_FOR_EACH_KERNEL):
            random = np.random.default_rng(seed)
            yield [draw(random) for draw in self._names["inputs"]]

    def on(self, pallas_call: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel, called by this `pallas_call`, and mapped by `jax.vmap` where the text says so."""
        call = pallas_call(self._names["kernel"], **self._names["call"])
        mapped = self._names.get("mapped")
        return jax.vmap(call, in_axes=mapped) if mapped else call


def check(kernel: Kernel, engines: Sequence[str] = ENGINES) -> None:
    """Runs a kernel with `interpret=True` and on each engine; raises if the answers are not the same."""
    interpreted = jax.jit(
        kernel.on(functools.partial(pl.pallas_call, interpret=True)), compiler_options=COMPILER_OPTIONS
    )
    ours = [kernel.on(functools.partial(pallas_np.pallas_call, options=Options(engine=engine))) for engine in engines]
    for operands in kernel.operands():
        wanted = interpreted(*operands)
        for engine, call in zip(engines, ours):
            for n, (got, want, tolerance) in enumerate(zip(call(*operands), wanted, kernel.tolerances, strict=True)):
                assert_same(np.asarray(got), np.asarray(want), tolerance, f"output {n} of engine {engine!r}")


def assert_same(got: np.ndarray, wanted: np.ndarray, tolerance: float, what: str) -> None:
    """Bit for bit (one NaN is as good as another) if `tolerance` is 0, else within it, relative to the largest."""
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype), what
    if wanted.dtype.kind not in "biu":
        got, wanted = got.astype(np.float32), wanted.astype(np.float32)
        if tolerance == 0:
            got, wanted = (np.where(np.isnan(x), np.nan, x).view(np.uint32) for x in (got, wanted))
    if tolerance == 0:
        np.testing.assert_array_equal(got, wanted, err_msg=what)
    else:
        largest = np.max(np.abs(wanted), where=np.isfinite(wanted), initial=1)
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * largest, err_msg=what)
