"""Recording and profiling a script without edits: `python -m pallas_np record` and `python -m pallas_np profile`.

The inspector is imported when the script has imported Pallas, not before; see `script.py`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pallas_np.script import Run

if TYPE_CHECKING:
    from pallas_np.inspector import Profile, Recording

PAGE, RECORDING = ".html", ".pnrec"
"""The endings of a recording's files: a page to step through, and what `Recording.load` reads."""


@dataclass
class RecordedRun(Run):
    """Records all of a script's kernels, and writes the recording when the process ends, whether or not it failed.

    Attributes:
      files: where to: each a page (`.html`) or a recording to load (`.pnrec`).
      overwrite: whether they may replace files.
      max_bytes: how much to keep of values, in bytes.
      max_equations: how many equations to keep.
    """

    files: Sequence[Path] = ()
    overwrite: bool = False
    max_bytes: int = 0
    max_equations: int = 0
    _recording: Recording | None = field(default=None, init=False)
    _watching: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, init=False)

    command = "record"

    def begin(self) -> None:
        from pallas_np import inspector

        super().begin()
        self._recording = self._watching.enter_context(inspector.recording(self.max_bytes, self.max_equations))

    def script_ended(self, error: Exception | None) -> None:
        if self._recording is not None:
            self._recording.error = None if error is None else self._recording.error or error

    def report(self) -> None:
        super().report()
        recording = self._recording
        if recording is None or not recording.launches:
            self.say("no kernel ran, so nothing was recorded")
            return
        for file in self.files:
            path = file if self.overwrite else _unused(file)
            write = recording.save_html if path.suffix == PAGE else recording.save
            try:
                write(path, overwrite=self.overwrite)
            except OSError as error:
                self.say(f"the recording was not written: {error}")
            else:
                self.say(f"{_counted(recording)} in {path}")
        for cut in recording.cuts:
            self.say(f"{cut}, here --max-{cut.unit}")


def _counted(recording: Recording) -> str:
    launches = len(recording.launches)
    return f"{launches} launch{'es' * (launches != 1)} and {len(recording):,} equations"


@dataclass
class ProfiledRun(Run):
    """Profiles all of a script's kernels, and prints the profile on standard error when the process ends.

    Attributes:
      rows: how many rows each of its tables has at most.
      plot: where to draw it; `None` for nowhere.
      overwrite: whether that may replace a file.
    """

    rows: int = 20
    plot: Path | None = None
    overwrite: bool = False
    _profile: Profile | None = field(default=None, init=False)
    _watching: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, init=False)

    command = "profile"

    def begin(self) -> None:
        from pallas_np import inspector

        super().begin()
        self._profile = self._watching.enter_context(inspector.profiling())

    def script_ended(self, error: Exception | None) -> None:
        if self._profile is not None:
            self._profile.error = error

    def report(self) -> None:
        super().report()
        if self._profile is None or not self._profile.launches:
            self.say("no kernel ran, so there is nothing to profile")
            return
        self.say(self._profile.table(self.rows))
        if self.plot is not None:
            path = self.plot if self.overwrite else _unused(self.plot)
            try:
                self._profile.plot(path)
            except (OSError, ValueError, ImportError) as error:
                self.say(f"the profile was not drawn: {error}")
            else:
                self.say(f"drawn in {path}")


def cannot_write(files: Iterable[Path], overwrite: bool) -> str | None:
    """What is wrong with these as files to write, in words; `None` if nothing is."""
    for file in files:
        if not file.parent.is_dir():
            return f"there is no folder {str(file.parent)!r}"
        if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
            return f"{str(file)!r} cannot be written"
        if file.exists() and not overwrite:
            return f"{str(file)!r} exists: name another file, or add --overwrite"
    return None


def _unused(file: Path) -> Path:
    """The file's path, or, where the script itself has made a file of that name, the path with a number."""
    numbered = (file.with_stem(f"{file.stem}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([file], numbered) if not path.exists())
