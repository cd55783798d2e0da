"""What a kernel's run may be asked for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

MAX_BYTES = 64 * 2**20
"""How much a recording keeps of values, in bytes, unless another limit is given."""
MAX_EQUATIONS = 100_000
"""How many equations it keeps."""


@dataclass(frozen=True)
class Options:
    """How kernels run.

    Attributes:
      engine: what runs them.  `"compiled"`: a NumPy program that is made of phase 5's rules at a kernel's first call,
        and kept; `pallas_np.compile(call, *args).source` shows it.  `"interpreter"`: phase 5, equation by equation.
        `"tiered"`: the first call equation by equation if that is done sooner than compiling, with many programs at
        a time, and all others by the NumPy program.  The three give the same results.  A check that has to watch runs
        kernels equation by equation, whatever the engine.
      out_of_bounds: what an index outside its ref, or a block outside its array, does.  `"raise"`: an `IndexError`;
        `"clamp"`: it is moved inside, as `interpret=True` does.
      uninitialized: what memory holds before it is written, a ragged block's padding included.  `"poison"`: NaN, or the
        smallest integer; `"zero"`: 0; `"raise"`: poison, and a `ValueError` if an element that depends on it is left in
        an output, or decides on a branch or an index.
      detect_races: whether it is an error, a `RaceError`, that two may touch the same memory at the same time: programs
        along a parallel axis, cores of a mesh, a DMA between its start and its wait; or that a block of an output is
        visited again after another.  A semaphore left signalled, or a DMA that is never waited for, is a
        `SynchronizationError`.
      check_nans: whether the first NaN or infinity that an equation makes out of finite numbers is an error, a
        `FloatingPointError`.  One that is written into the kernel, comes in with an operand, or lies in memory that
        nobody has written, is none.
      tpu: the TPU that kernels are told they run on when they ask (`pltpu.get_tpu_info()`) and there is none, by JAX's
        name for it: `"TPU v4"`, `"TPU v5e"`, `"TPU v5p"`, `"TPU v6e"`, `"TPU7x"`.

    Raises:
      ValueError: for a value that is not one of those listed.
    """

    engine: Literal["tiered", "compiled", "interpreter"] = "tiered"
    out_of_bounds: Literal["raise", "clamp"] = "raise"
    uninitialized: Literal["poison", "zero", "raise"] = "poison"
    detect_races: bool = False
    check_nans: bool = False
    tpu: str = "TPU v5e"

    def __post_init__(self) -> None:
        for field in fields(self):
            value, accepted = getattr(self, field.name), ACCEPTED.get(field.name)
            if accepted is not None and value not in accepted:
                raise ValueError(f"{field.name} must be one of {', '.join(map(repr, accepted))}, not {value!r}")

    @property
    def watched(self) -> bool:
        """Whether they ask for a check that watches every equation."""
        return self.uninitialized == "raise" or self.detect_races or self.check_nans


ACCEPTED = {
    "engine": ("tiered", "compiled", "interpreter"),
    "out_of_bounds": ("raise", "clamp"),
    "uninitialized": ("poison", "zero", "raise"),
    "detect_races": (False, True),
    "check_nans": (False, True),
}
