"""Pallas in NumPy: run Pallas kernels on a CPU without compiling them.

`pallas_np.pallas_call` is `pl.pallas_call` with the kernel run by NumPy; `pallas_np.install` sends every Pallas call in
the process there; `pallas_np.coverage` says which primitive of a kernel runs where; `pallas_np.record` records what a
kernel does, to look at, to keep and to compare; `pallas_np.profile` says where its time goes.

`pallas_np.phase1` to `pallas_np.phase5` are five working interpreters, each with `pallas_call`, `numpy_rules` and
`eval_jaxpr`, from JAX's own `interpret=True` to one that uses no JAX at run time.  `pallas_np.lax_numpy` has XLA's
semantics in NumPy, and `pallas_np.kernels` example kernels.

Everything is loaded on first use, so that `import pallas_np` is quick and `pallas_np.lax_numpy` works without JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pallas_np.errors import (
        CheckError,
        KernelError,
        NonFiniteError,
        OutOfBoundsError,
        RaceError,
        SynchronizationError,
        UninitializedError,
        UnsupportedError,
    )
    from pallas_np.inspector import Profile, Recording, debug, profile, record
    from pallas_np.primitive_coverage import coverage
    from pallas_np.running import (
        Options,
        compile,
        install,
        installed,
        last_error,
        launch_count,
        pallas_call,
        uninstall,
    )

__version__ = "0.1.0"

_modules = (
    "compiler",
    "errors",
    "frontend",
    "inspector",
    "kernels",
    "lax_numpy",
    "phase1",
    "phase2",
    "phase3",
    "phase4",
    "phase5",
)
_errors = (
    "CheckError",
    "KernelError",
    "NonFiniteError",
    "OutOfBoundsError",
    "RaceError",
    "SynchronizationError",
    "UninitializedError",
    "UnsupportedError",
)
_inspector = ("Profile", "Recording", "debug", "profile", "record")
__all__ = [
    "CheckError",
    "KernelError",
    "NonFiniteError",
    "Options",
    "OutOfBoundsError",
    "Profile",
    "RaceError",
    "Recording",
    "SynchronizationError",
    "UninitializedError",
    "UnsupportedError",
    "compile",
    "compiler",
    "coverage",
    "debug",
    "errors",
    "frontend",
    "inspector",
    "install",
    "installed",
    "kernels",
    "last_error",
    "launch_count",
    "lax_numpy",
    "pallas_call",
    "phase1",
    "phase2",
    "phase3",
    "phase4",
    "phase5",
    "profile",
    "record",
    "uninstall",
]


def __getattr__(name: str) -> Any:
    if name in _modules:
        return importlib.import_module(f"pallas_np.{name}")
    if name in _errors:
        return getattr(importlib.import_module("pallas_np.errors"), name)
    if name in _inspector:
        return getattr(importlib.import_module("pallas_np.inspector"), name)
    if name == "coverage":
        return importlib.import_module("pallas_np.primitive_coverage").coverage
    if name in __all__:
        return getattr(importlib.import_module("pallas_np.running"), name)
    raise AttributeError(f"module 'pallas_np' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
