"""One exercise against its check: loads the learner's file, runs the check within its time, and says how it went."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any, Literal

from exercises.machinery import catalogue, stubs
from exercises.machinery.catalogue import Exercise

Verdict = Literal["solved", "unsolved", "wrong"]
FULL_TRACEBACK = "PALLAS_NP_FULL_TRACEBACK"
FRAMES = 6  # so many of the learner's lines are shown, the outermost and the innermost


@dataclass(frozen=True)
class Result:
    """How an exercise stands.

    Attributes:
      name: the exercise's name.
      verdict: "unsolved" if the learner has yet to write it, "wrong" if what they wrote is not right.
      message: what the learner should know about it; may be empty.
      output: what their code printed.
    """

    name: str
    verdict: Verdict
    message: str = ""
    output: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class TimeUp(BaseException):
    """Raised in the learner's code when the check has run for too long.  Not an `Exception`, which they may catch."""


def check(exercise: Exercise, *, solution: bool = False, seconds: float | None = None) -> Result:
    """Checks the learner's answer, or the workbook's own if `solution`."""
    if solution:
        return run_check(exercise, exercise.solution_file, seconds)
    if not exercise.file.exists():
        return Result(
            exercise.name, "unsolved", f"{exercise.path} is missing: `python -m exercises update` restores it."
        )
    if exercise.is_untouched():
        return Result(exercise.name, "unsolved")
    return run_check(exercise, exercise.file, seconds)


def run_check(exercise: Exercise, file: Path, seconds: float | None = None) -> Result:
    """Runs the exercise's check on the answer in `file`."""
    limit = exercise.seconds if seconds is None else seconds
    _forget_answers()
    try:
        judge = importlib.import_module(exercise.module)
        with time_limit(limit), full_tracebacks():
            learner = load(file)
            note = judge.check(learner)
    except KeyboardInterrupt:
        raise
    except TimeUp as error:
        return Result(exercise.name, "wrong", _wrong(exercise, _endless(error, file, limit)))
    except BaseException as error:  # also SystemExit, should the learner's code call exit()
        return _failed(exercise, file, error)
    return Result(exercise.name, "solved", note or "")


@contextmanager
def full_tracebacks() -> Iterator[None]:
    """Lets a `KernelError` keep the exception behind it, which may be the learner's own."""
    before = os.environ.get(FULL_TRACEBACK)
    os.environ[FULL_TRACEBACK] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FULL_TRACEBACK]
        else:
            os.environ[FULL_TRACEBACK] = before


def load(file: Path) -> ModuleType:
    """The module in `file`, run afresh."""
    spec = importlib.util.spec_from_file_location(_module_name(file), file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)  # never from a stale .pyc
    return module


def _module_name(file: Path) -> str:
    return f"_answer_{file.stem}"


def _forget_answers() -> None:
    """A capstone imports the learner's other files: they may have changed since the last check in this process."""
    for name in [name for name in sys.modules if name.startswith("exercises.") and "machinery" not in name]:
        if name != "exercises.conftest":
            del sys.modules[name]


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `TimeUp` in the block after so many seconds, and again each half second, in case it is swallowed.

    On a machine that is busy with other things it takes longer: half of the time must have been spent on computing, or
    four times the time have passed.  Works in the main thread, on systems with SIGALRM, and leaves whoever is in a
    debugger alone.  A timer that was running goes on afterwards.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    began, computed = time.monotonic(), time.process_time()

    def stop(signum: int, frame: Any) -> None:
        is_over = time.process_time() - computed > seconds / 2 or time.monotonic() - began > 4 * seconds
        if is_over and not _in_debugger(frame):
            raise TimeUp

    old_handler = signal.signal(signal.SIGALRM, stop)
    old_timer = signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *old_timer)
        signal.signal(signal.SIGALRM, old_handler)


def _in_debugger(frame: FrameType | None) -> bool:
    if sys.gettrace() is not None or "debugpy" in sys.modules:
        return True
    while frame is not None and frame.f_globals.get("__name__") not in ("pdb", "bdb"):
        frame = frame.f_back
    return frame is not None


# --- What to say of a failure ----------------------------------------------------------------------------------------


def _failed(exercise: Exercise, file: Path, error: BaseException) -> Result:
    from exercises.machinery.checking import Wrong

    error = _as_raised(error)
    if isinstance(error, Wrong):
        return Result(exercise.name, "wrong", _wrong(exercise, str(error)))
    if isinstance(error, SyntaxError) and Path(error.filename or "") in _answers(file):
        return Result(exercise.name, "wrong", _syntax_error(error))
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) in _answers(file)]
    if isinstance(error, AttributeError) and getattr(error.obj, "__name__", "") == _module_name(file) and not frames:
        return Result(exercise.name, "wrong", _wrong(exercise, f"{_shown(file)} has no `{error.name}`."))
    if isinstance(error, NotImplementedError) and str(error) == stubs.UNSOLVED and frames:
        missing = Path(frames[-1].filename)
        if missing == file:
            return Result(exercise.name, "unsolved", f"Line {frames[-1].lineno} is still to be written.")
        text = (
            f"This one uses your answer in {_shown(missing)}, which is still to be written (line {frames[-1].lineno})."
        )
        return Result(exercise.name, "unsolved", text)
    return Result(exercise.name, "wrong", _wrong(exercise, _raised(error, frames)))


def _as_raised(error: BaseException) -> BaseException:
    """The exception as it was raised in a rule: what runs a kernel has made a `KernelError` of it on the way."""
    from pallas_np.errors import KernelError

    while isinstance(error, KernelError) and error.__cause__ is not None:
        behind = error.__cause__
        if not hasattr(behind, "tried"):
            behind.tried = getattr(error, "tried", "")  # type: ignore[attr-defined]
        error = behind
    return error


def _answers(file: Path) -> set[Path]:
    """The files whose lines are the learner's: the answer itself, and for a capstone those it imports."""
    root = catalogue.SOLUTIONS if catalogue.SOLUTIONS in file.parents else catalogue.EXERCISES
    return {file} | {root / e.part.folder / f"{e.name}.py" for e in catalogue.exercises()}


def _wrong(exercise: Exercise, text: str) -> str:
    return f"{text}\n\nHint: {exercise.hints[0]}"


def _syntax_error(error: SyntaxError) -> str:
    where = f"line {error.lineno} of {_shown(Path(error.filename or ''))}"
    return f"Python cannot read {where}: {error.msg}.\n    {(error.text or '').strip()}"


def _raised(error: BaseException, frames: list[traceback.FrameSummary]) -> str:
    import pallas_np

    tried = getattr(error, "tried", "")
    lines = [*([tried] if tried else []), f"Your code raised {_described(error)}"]
    if not frames:  # it was called the wrong way, and did not begin
        package = Path(pallas_np.__file__).parent
        frames = [f for f in traceback.extract_tb(error.__traceback__) if package in Path(f.filename).parents][-1:]
        lines += ["It was called here:"] if frames else []
    places = [f"  {_shown(Path(f.filename))}, line {f.lineno}, in {f.name}\n      {f.line}" for f in frames]
    if len(places) > FRAMES:
        left_out = f"  ... {len(places) - FRAMES} lines more ..."
        places = [*places[: FRAMES // 2], left_out, *places[-FRAMES // 2 :]]
    return "\n".join([*lines, *places])


def _described(error: BaseException) -> str:
    """An exception on a line or two, in words that a learner knows."""
    from pallas_np.frontend import Var

    text = str(error)
    if type(error).__module__.startswith("jax"):
        text = text.split("\n")[0]  # what follows is about tracing, with our lines in it
    if isinstance(error, KeyError) and isinstance(error.args[0], Var):
        text = f"a variable of type {text}, which nothing has given a value in the environment"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _endless(error: TimeUp, file: Path, seconds: float) -> str:
    tried = getattr(error, "tried", "")
    where = _last_own_line(error.__traceback__, file)
    text = f"It was stopped after {seconds:g} seconds: is there a loop that never ends?{where}"
    return f"{tried}\n{text}" if tried else text


def _last_own_line(tb: TracebackType | None, file: Path) -> str:
    frames = [f for f in traceback.extract_tb(tb) if Path(f.filename) == file]
    return f"  It was at line {frames[-1].lineno}: {frames[-1].line}" if frames else ""


def _shown(path: Path) -> str:
    try:
        return path.relative_to(catalogue.ROOT).as_posix()
    except ValueError:
        return path.name
