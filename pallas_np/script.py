"""Running a script or a module as Python does, with every Pallas call sent to NumPy: `python -m pallas_np run`.

A `Run` says what else happens: `python -m pallas_np record` and `profile` have one of their own each.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType

from pallas_np.options import Options


@dataclass
class Run:
    """What happens to a script besides that it runs.

    Attributes:
      options: how its kernels run.
      verbose: whether to say on standard error, when the process ends, how many kernels ran in NumPy.
    """

    options: Options
    verbose: bool = False

    command = "run"

    def begin(self) -> None:
        """Called once, when Pallas has been imported; from now on there may be kernels."""
        from pallas_np import running

        running.install(self.options)

    def script_ended(self, error: Exception | None) -> None:
        """Called when the script has ended, or has failed with an exception; its threads may still run."""

    def report(self) -> None:
        """Called when the process ends."""
        if self.verbose:
            engines = sys.modules.get("pallas_np.frontend.engines")
            count = engines.launch_count() if engines else 0
            self.say(f"{count} kernel{'s' * (count != 1)} ran in NumPy")

    def say(self, text: str) -> None:
        """Writes to standard error."""
        print(f"pallas_np: {text}", file=sys.stderr)


def run_script(path: str, arguments: Sequence[str], run: Run) -> int:
    """Runs a script, or a folder or zip file with a `__main__.py`, as `python PATH ARGUMENTS...` does.

    Args:
      path: where it is.
      arguments: what it finds in `sys.argv[1:]`.
      run: how its kernels run, and what else happens.

    Returns:
      The process's exit code.

    Raises:
      SystemExit: if the script does.
    """
    if not os.path.exists(path):
        print(f"python -m pallas_np {run.command}: there is no file {path!r}", file=sys.stderr)
        return 2
    _look_first_in(path if os.path.isdir(path) else os.path.dirname(path))
    return _run(partial(runpy.run_path, path, run_name="__main__"), [path, *arguments], run)


def run_module(name: str, arguments: Sequence[str], run: Run) -> int:
    """Runs a module as `python -m NAME ARGUMENTS...` does.

    Args:
      name: the module's full name.
      arguments: what it finds in `sys.argv[1:]`.
      run: how its kernels run, and what else happens.

    Returns:
      The process's exit code.

    Raises:
      SystemExit: if the module does.
    """
    _look_first_in(os.getcwd())
    if not _exists(name):
        print(f"python -m pallas_np {run.command}: there is no module {name!r}", file=sys.stderr)
        return 2
    return _run(partial(runpy.run_module, name, run_name="__main__", alter_sys=True), [name, *arguments], run)


def _look_first_in(folder: str) -> None:
    if not sys.flags.safe_path:
        sys.path[0] = os.path.abspath(folder)


def _exists(module: str) -> bool:
    *packages, _ = module.split(".")
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        if error.name in [".".join(packages[: i + 1]) for i in range(len(packages))]:
            return False
        raise  # a package of that name is there, and needs a module that is not


def _run(start: Callable[[], object], argv: list[str], run: Run) -> int:
    sys.argv = argv
    atexit.register(run.report)
    if _PALLAS in sys.modules:
        run.begin()
    else:
        sys.meta_path.insert(0, _AfterPallas(run.begin))
    try:
        start()
    except SystemExit:
        run.script_ended(None)
        raise
    except Exception as error:
        run.script_ended(error)
        error.__traceback__ = _without_our_frames(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    run.script_ended(None)
    return 0


_PALLAS = "jax.experimental.pallas"


class _AfterPallas(MetaPathFinder):
    """Does something as soon as the script has imported Pallas.

    Not before: a script may set `XLA_FLAGS` or `JAX_ENABLE_X64` and import JAX then.
    """

    def __init__(self, begin: Callable[[], None]):
        self._begin = begin

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != _PALLAS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_begin(module: ModuleType) -> None:
                execute(module)
                self._begin()

            spec.loader.exec_module = execute_and_begin  # type: ignore[method-assign]
        return spec


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the script's first frame on, as Python itself would print it."""
    ours = (__file__, runpy.__file__, "<frozen runpy>")
    while trace is not None and traceback.extract_tb(trace, 1)[0].filename in ours:
        trace = trace.tb_next
    return trace
