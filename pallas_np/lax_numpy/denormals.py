"""Flushing denormals to zero, as XLA does on a CPU. Imports the standard library only.

While XLA computes, denormal operands count as zero and denormal results become zero (measured: `1e-40 + 0` is 0,
`1e-40 == 0` is True, `exp(-100.)` is 0; float16's denormals are kept, since float16 is computed in float32). It is a
mode of the processor, and NumPy obeys it just as well: it costs one call to set, and nothing for each operation.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
import sys
from collections.abc import Iterator

_FLUSH_X86 = 0x8040
"""Bits FTZ (results) and DAZ (operands) of the register MXCSR."""
_FLUSH_ARM = 1 << 24
"""Bit FZ of the register FPCR."""

_LAYOUTS = {
    ("linux", "x86_64"): (28, ctypes.c_uint32, _FLUSH_X86),
    ("darwin", "x86_64"): (4, ctypes.c_uint32, _FLUSH_X86),
    ("linux", "aarch64"): (0, ctypes.c_uint32, _FLUSH_ARM),
    ("darwin", "arm64"): (8, ctypes.c_uint64, _FLUSH_ARM),
}
"""Where C's `fenv_t` has the control register, by the headers `fenv.h` of glibc and of Apple's libc."""


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """Within it, in this thread, denormal floats are zeros; after it, the mode is what it was before.

    On a platform whose `fenv_t` is not known here it does nothing.
    """
    door = _floating_point_environment()
    if door is None:
        yield
        return
    get, set_, (offset, register, flush) = door
    before = ctypes.create_string_buffer(64)
    get(before)
    flushing = ctypes.create_string_buffer(before.raw, 64)
    register.from_buffer(flushing, offset).value |= flush
    set_(flushing)
    try:
        yield
    finally:
        set_(before)


@functools.cache
def _floating_point_environment() -> tuple | None:
    """C's `fegetenv` and `fesetenv`, and where in an environment which bits flush; None where that is not known."""
    layout = _LAYOUTS.get((sys.platform, platform.machine()))
    if layout is None:
        return None
    library = ctypes.CDLL("libm.so.6" if sys.platform == "linux" else None)
    return library.fegetenv, library.fesetenv, layout
