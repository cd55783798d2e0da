"""Running a script or a module as Python does, with every Pallas call sent to NumPy: `python -m pallas_np run`."""

from __future__ import annotations

import atexit
import importlib.util
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType

from pallas_np.options import Options


def run_script(path: str, arguments: Sequence[str], options: Options, verbose: bool = False) -> int:
    """Runs a script, or a folder or zip file with a `__main__.py`, as `python PATH ARGUMENTS...` does.

    Args:
      path: where it is.
      arguments: what it finds in `sys.argv[1:]`.
      options: how kernels run.
      verbose: whether to say on standard error, when the process ends, how many kernels ran in NumPy.

    Returns:
      The process's exit code.

    Raises:
      SystemExit: if the script does.
    """
    if not os.path.exists(path):
        print(f"python -m pallas_np run: there is no file {path!r}", file=sys.stderr)
        return 2
    _look_first_in(path if os.path.isdir(path) else os.path.dirname(path))
    return _run(partial(runpy.run_path, path, run_name="__main__"), [path, *arguments], options, verbose)


def run_module(name: str, arguments: Sequence[str], options: Options, verbose: bool = False) -> int:
    """Runs a module as `python -m NAME ARGUMENTS...` does.

    Args:
      name: the module's full name.
      arguments: what it finds in `sys.argv[1:]`.
      options: how kernels run.
      verbose: whether to say on standard error, when the process ends, how many kernels ran in NumPy.

    Returns:
      The process's exit code.

    Raises:
      SystemExit: if the module does.
    """
    _look_first_in(os.getcwd())
    if not _exists(name):
        print(f"python -m pallas_np run: there is no module {name!r}", file=sys.stderr)
        return 2
    return _run(
        partial(runpy.run_module, name, run_name="__main__", alter_sys=True), [name, *arguments], options, verbose
    )


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


def _run(start: Callable[[], object], argv: list[str], options: Options, verbose: bool) -> int:
    sys.argv = argv
    if verbose:
        atexit.register(_report)
    if _PALLAS in sys.modules:
        _install(options)
    else:
        sys.meta_path.insert(0, _InstallAfterPallas(options))
    try:
        start()
    except Exception as error:
        error.__traceback__ = _without_our_frames(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


_PALLAS = "jax.experimental.pallas"


def _install(options: Options) -> None:
    from pallas_np import running

    running.install(options)


class _InstallAfterPallas(MetaPathFinder):
    """Installs as soon as the script has imported Pallas, for as long as the process lives.

    Not before: a script may set `XLA_FLAGS` or `JAX_ENABLE_X64` and import JAX then.
    """

    def __init__(self, options: Options):
        self._options = options

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != _PALLAS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_install(module: ModuleType) -> None:
                execute(module)
                _install(self._options)

            spec.loader.exec_module = execute_and_install  # type: ignore[method-assign]
        return spec


def _report() -> None:
    engines = sys.modules.get("pallas_np.frontend.engines")
    count = engines.launch_count() if engines else 0
    print(f"pallas_np: {count} kernel{'s' * (count != 1)} ran in NumPy", file=sys.stderr)


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the script's first frame on, as Python itself would print it."""
    ours = (__file__, runpy.__file__, "<frozen runpy>")
    while trace is not None and traceback.extract_tb(trace, 1)[0].filename in ours:
        trace = trace.tb_next
    return trace
