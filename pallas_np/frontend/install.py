"""Sending every Pallas call in the process to an engine, and taking that back.

`installed_engine` decides where a call goes, wherever JAX runs or lowers it (see `routing`).  What is replaced in JAX
meanwhile is listed in `_replacements`; it is put back when the last installation ends.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from jax._src.pallas import core as pallas_core
from jax._src.pallas import pallas_call
from jax._src.pallas.mosaic import core as tpu_core
from jax._src.pallas.mosaic import tpu_info
from jax.experimental.pallas import tpu as pltpu

from pallas_np.frontend import meshes  # noqa: F401  (routes pl.kernel and core_map)
from pallas_np.frontend.engines import Engine, engine_of, installed_engine
from pallas_np.frontend.routing import call_on
from pallas_np.frontend.versions import naming_what_is_missing
from pallas_np.options import Options


class _Installations:
    """Who has installed an engine: the process by `install`, and each `installed` block that is open."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.process: Engine | None = None
        self.blocks: list[list[Engine]] = []
        self.replaced: list[tuple[Any, str, Any]] = []

    def update(self) -> None:
        """Brings JAX in line: the engine for threads without a block of their own, and the replacements."""
        engine = self.blocks[-1][0] if self.blocks else self.process
        if engine is not None and not self.replaced:
            self.replaced = _replace()
        installed_engine.set_global(engine)
        if engine is None:
            while self.replaced:
                setattr(*self.replaced.pop())


_installations = _Installations()


def install(engine: Engine) -> None:
    """Sends every Pallas call in the process to `engine`, until `uninstall`; a second call changes the engine."""
    with _installations.lock:
        _installations.process = engine
        _installations.update()


def uninstall() -> None:
    """Ends what `install` began; without effect if nothing is installed, and on `installed` blocks that are open."""
    with _installations.lock:
        _installations.process = None
        _installations.update()


@contextlib.contextmanager
def installed(engine: Engine) -> Iterator[None]:
    """Sends every Pallas call to `engine` inside a `with` block.

    The thread that opened the block has this engine; threads with no block of their own have that of the block opened
    last.
    """
    block = [engine]
    with _installations.lock:
        _installations.blocks.append(block)
        _installations.update()
    try:
        with installed_engine(engine):
            yield
    finally:
        with _installations.lock:
            _installations.blocks = [b for b in _installations.blocks if b is not block]
            _installations.update()


Replacement = tuple[Any, str, Callable[[Any], Any]]


def _replace() -> list[tuple[Any, str, Any]]:
    """Replaces what has to be replaced in JAX; returns what was there, as `(owner, name, value)`."""
    found = [(owner, name, getattr(owner, name), wrap) for owner, name, wrap in _replacements()]
    for owner, name, value, wrap in found:
        setattr(owner, name, functools.wraps(value)(wrap(value)))
    return [(owner, name, value) for owner, name, value, _ in found]


@naming_what_is_missing()
def _replacements() -> list[Replacement]:
    """What is replaced while an engine is installed: whose attribute it is, its name, what makes the new from the old.

    Raises:
      JaxInternalMissing: if this JAX does not have it.
    """
    replacements: list[Replacement] = [
        (pallas_call, "_pallas_call", _run_at_once),
        (pallas_core, "get_interpret_effects", _without_effects),
        (sys.modules[tpu_info.is_tpu_device.__module__], "get_device_kind", _of_some_tpu),
        (sys.modules[tpu_info.is_tpu_device.__module__], "get_num_device_cores", _one_core),
    ]
    if "create_tensorcore_mesh" in vars(pltpu):  # until JAX 0.10
        replacements += [(owner, "create_tensorcore_mesh", _of_one_core) for owner in (tpu_core, pltpu)]
    else:
        replacements += [(tpu_core, "_get_default_num_cores", _one_core)]
        replacements += [(tpu_core.TensorCoreMesh, "__init__", _of_one_core)]
    for owner, name, _ in replacements:
        getattr(owner, name)
    return replacements


def _run_at_once(in_jax: Callable[..., Any]) -> Callable[..., Any]:
    """On arrays a call runs at once: as it is, it is a jit, and its callback would have to be compiled."""

    def routed(kernel: Any, out_shape: Any, *, interpret: Any = False, **params: Any) -> Any:
        engine = engine_of(interpret)
        if engine is None or isinstance(interpret, Engine):
            return in_jax(kernel, out_shape, interpret=interpret, **params)
        return call_on(engine, kernel, lambda kernel: in_jax(kernel, out_shape, interpret=engine, **params))

    return routed


def _without_effects(get_interpret_effects: Callable[..., Any]) -> Callable[..., Any]:
    """A call with parameters of the TPU interpreter has no effects either, since that interpreter does not run."""

    def no_effects(interpret: Any) -> Any:
        return get_interpret_effects(False if engine_of(interpret) else interpret)

    return no_effects


# Kernels written for a TPU ask which one it is, and how many cores it has.


def _of_some_tpu(get_device_kind: Callable[[], str]) -> Callable[[], str]:
    def device_kind() -> str:
        kind, engine = get_device_kind(), engine_of(False)
        return kind if engine is None or kind.startswith("TPU") else (engine.options or Options()).tpu

    return device_kind


def _one_core(get_num_cores: Callable[[], int]) -> Callable[[], int]:
    def num_cores() -> int:
        try:
            return get_num_cores()
        except AttributeError:  # not a TPU
            if engine_of(False) is None:
                raise
            return 1

    return num_cores


def _of_one_core(make_mesh: Callable[..., Any]) -> Callable[..., Any]:
    def mesh(*args: Any, **options: Any) -> Any:
        try:
            return make_mesh(*args, **options)
        except AttributeError:  # it asked a device that is not a TPU for its cores
            if engine_of(False) is None:
                raise
            return make_mesh(*args, **{**options, "num_cores": 1})

    return mesh
