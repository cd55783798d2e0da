"""Flushing denormals to zero, as XLA does on a CPU. Imports the standard library only.

While XLA computes, denormal operands count as zero and denormal results become zero (measured: `1e-40 + 0` is 0,
`1e-40 == 0` is True, `exp(-100.)` is 0; float16's denormals are kept, since float16 is computed in float32). It is a
mode of the processor, and NumPy obeys it just as well: it costs one call to set, and nothing for each operation.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_FLUSH_X86 = 0x8040
"""Bits FTZ (results) and DAZ (operands) of the register MXCSR."""
_FLUSH_ARM = 1 << 24
"""Bit FZ of the register FPCR."""

_LAYOUTS = {
    ("linux", "x86_64"): (ctypes.c_uint32 * 16, 7, _FLUSH_X86),
    ("darwin", "x86_64"): (ctypes.c_uint32 * 16, 1, _FLUSH_X86),
    ("linux", "aarch64"): (ctypes.c_uint32 * 16, 0, _FLUSH_ARM),
    ("darwin", "arm64"): (ctypes.c_uint64 * 8, 1, _FLUSH_ARM),
}
"""C's `fenv_t` as an array, with room to spare, and which element is the control register, by the headers `fenv.h` of
glibc and of Apple's libc."""


class flush_denormals:
    """Within it, in this thread, denormal floats are zeros; after it, the mode is what it was before.

    It decorates functions as well.  On a platform whose `fenv_t` is not known here it does nothing.
    """

    __slots__ = ("_before", "_control", "_environment", "_set")

    def __enter__(self) -> None:
        get, self._set, (registers, self._control, flush) = _floating_point_environment()
        self._environment = environment = registers()
        get(environment)
        self._before = environment[self._control]
        environment[self._control] |= flush
        self._set(environment)

    def __exit__(self, *_: object) -> None:
        self._environment[self._control] = self._before
        self._set(self._environment)

    def __call__(self, function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
        @functools.wraps(function)
        def flushing(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
            # As `with flush_denormals():` does, in two thirds of the time: each call of a program pays for it.
            get, set_, (registers, control, flush) = _floating_point_environment()
            environment = registers()
            get(environment)
            before = environment[control]
            environment[control] = before | flush
            set_(environment)
            try:
                return function(*args, **kwargs)
            finally:
                environment[control] = before
                set_(environment)

        return flushing


@functools.cache
def _floating_point_environment() -> tuple[Callable[..., Any], Callable[..., Any], tuple]:
    """C's `fegetenv` and `fesetenv`, and the layout of what they take; what does nothing where that is not known."""
    layout = _LAYOUTS.get((sys.platform, platform.machine()))
    if layout is None:
        return _do_nothing, _do_nothing, (ctypes.c_uint32 * 1, 0, 0)
    library = ctypes.PyDLL("libm.so.6" if sys.platform == "linux" else None)  # too short to let other threads run
    return library.fegetenv, library.fesetenv, layout


def _do_nothing(environment: Any) -> None:
    pass
