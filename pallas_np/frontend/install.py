"""Sending every Pallas call in the process to an engine, and taking that back.

`installed_engine` decides where a call goes, wherever JAX runs or lowers it (see `routing`).  What is replaced in JAX
meanwhile is listed in `_replacements`, and what kernels are told of a TPU in `devices`; it is put back when the last
installation ends.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from jax._src.pallas import core as pallas_core
from jax._src.pallas import pallas_call

from pallas_np.frontend import meshes  # noqa: F401  (routes pl.kernel and core_map)
from pallas_np.frontend.devices import some_tpu
from pallas_np.frontend.engines import Engine, engine_of, installed_engine
from pallas_np.frontend.replacements import Replacement, Replacements
from pallas_np.frontend.routing import call_on


class _Installations:
    """Who has installed an engine: the process by `install`, and each `installed` block that is open."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.process: Engine | None = None
        self.blocks: list[list[Engine]] = []
        self.replaced = contextlib.ExitStack()
        self.is_replaced = False

    def update(self) -> None:
        """Brings JAX in line: the engine for threads without a block of their own, and the replacements."""
        engine = self.blocks[-1][0] if self.blocks else self.process
        if engine is not None and not self.is_replaced:
            with contextlib.ExitStack() as replaced:
                replaced.enter_context(some_tpu)
                replaced.enter_context(_routed)
                self.replaced = replaced.pop_all()
            self.is_replaced = True
        installed_engine.set_global(engine)
        if engine is None:
            self.replaced.close()
            self.is_replaced = False


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


def _replacements() -> list[Replacement]:
    return [
        (pallas_call, "_pallas_call", _run_at_once),
        (pallas_core, "get_interpret_effects", _without_effects),
    ]


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


_routed = Replacements(_replacements)
