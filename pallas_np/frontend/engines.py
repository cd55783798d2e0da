"""What runs a kernel: an engine, and which one a call gets.

A call's engine is, in this order: the one in its `interpret` parameter, either itself or as `Options`; the one that is
installed, whatever `interpret` says; none, and the call is JAX's.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from pallas_np.errors import KernelError, folded
from pallas_np.frontend.kernel_call import KernelCall
from pallas_np.options import Options

Run = Callable[..., Sequence[np.ndarray]]


@dataclass(frozen=True)
class Engine:
    """What runs a kernel.

    Attributes:
      name: its name, for messages.
      run: from a `KernelCall` and the call's operands, as NumPy arrays that it does not write to, to the outputs: new
        arrays, which nobody writes to afterwards.  It takes `options=` if the engine has options.
      options: how the engine runs a kernel; `None` for an engine that takes no options.
      by_io_callback: whether a kernel under `jit` is called by `jax.experimental.io_callback`, which hands over JAX
        arrays, rather than by a callback that hands over NumPy's and has nothing of JAX in it.
      prepare: from a `KernelCall` and the options, makes what `run` would make at the kernel's first run; `None` if it
        makes nothing.
    """

    name: str
    run: Run
    options: Options | None = None
    by_io_callback: bool = False
    prepare: Callable[..., None] | None = None

    def launch(self, call: KernelCall, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        """Runs a kernel, and counts it; or lets the watcher run it, if there is one."""
        next(_launches)
        for watcher in reversed(_watchers):  # the last one, which another thread may be taking away
            return watcher(self, call, *arrays)
        if (program := call.latest_with(self.options)) is not None:  # this engine made it, when it ran the call before
            return program.run(call, *arrays)
        return self.run_unwatched(call, *arrays)

    def run_unwatched(self, call: KernelCall, *arrays: np.ndarray) -> Sequence[np.ndarray]:
        """Runs a kernel."""
        return self.run(call, *arrays) if self.options is None else self.run(call, *arrays, options=self.options)


_watchers: list[Run] = []


@contextlib.contextmanager
def watched_by(run: Run) -> Iterator[None]:
    """Within it `run(engine, call, *arrays)` runs every kernel that an engine is asked to, in all threads.

    It reaches functions that are already jitted, since it is asked for at the launch.
    """
    _watchers.append(run)
    try:
        yield
    finally:
        _watchers.remove(run)


_launches, _questions = itertools.count(), itertools.count()  # sooner than with a lock
_asking = threading.Lock()


def launch_count() -> int:
    """How many kernels NumPy has run in this process so far: one for each launch, whatever the size of its grid."""
    with _asking:  # to ask a counter counts, too
        return next(_launches) - next(_questions)


_last_error: BaseException | None = None


def last_error() -> BaseException | None:
    """The exception behind the `JaxRuntimeError` that a jitted call raised last, as the kernel raised it.

    Under `jit` a kernel runs in a callback, and JAX passes on only the text of what it raises.  A kernel called on
    arrays raises its exception itself, which is not kept here.  Its traceback ends in the kernel, with the values:
    `pdb.post_mortem(pallas_np.last_error().__traceback__)`.

    Returns:
      The latest exception that a kernel raised in a callback, in any thread; `None` if there was none.
    """
    return _last_error


@folded
def run_callback(engine: Engine, call: KernelCall, *args: Any) -> Sequence[np.ndarray]:
    """Runs a kernel inside a callback, and keeps what it raises for `last_error`.

    What it raises in its place says the same, without the traceback, which JAX would make a part of its own message.
    """
    global _last_error
    try:
        return engine.launch(call, *map(np.asarray, args))
    except KernelError as error:
        _last_error = error
        twin = copy.copy(error)
        twin.kernel_traceback = None
        raise twin from None
    except BaseException as error:
        _last_error = error
        raise


# The engine that is installed.  As a context of JAX's it is part of the keys of all its caches, so that a jitted
# function is traced again when the engine changes, and the executable of before is found when it changes back.
installed_engine = jax.make_user_context(None)

_make_engine: list[Callable[[Options], Engine]] = []


def serve_options(make_engine: Callable[[Options], Engine]) -> None:
    """Says which engine stands for `interpret=Options(...)`."""
    _make_engine[:] = [make_engine]


def engine_of(interpret: Any) -> Engine | None:
    """The engine of a call whose `interpret` parameter is this; `None` if JAX runs it."""
    if isinstance(interpret, Engine):
        return interpret
    if isinstance(interpret, Options):
        return _make_engine[0](interpret)
    return installed_engine.value
