"""Where in the user's source an equation comes from."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

from jax._src import source_info_util

from pallas_np.errors import SourceLocation

_PACKAGE = Path(__file__).parent.parent
source_info_util.register_exclusion(f"{_PACKAGE}{os.sep}")
source_info_util.register_inclusion(f"{_PACKAGE / 'kernels'}{os.sep}")


def locations_of(eqn: Any) -> tuple[SourceLocation, ...]:
    """The user's frames behind one of JAX's equations, outermost first.

    They begin with the function that the equation's jaxpr was traced from; where that is JAX's own, there may be none.
    """
    traceback = eqn.source_info.traceback
    if traceback is None:
        return ()
    frames = zip(*traceback.raw_frames())
    users = [frame for frame in frames if source_info_util.is_user_filename(frame[0].co_filename)]
    return tuple(_location(code, instruction) for code, instruction in reversed(users))


def _location(code: CodeType, instruction: int) -> SourceLocation:
    positions = next(islice(code.co_positions(), instruction // 2, None), (None,) * 4)
    line, end_line, start, end = positions
    line = line or code.co_firstlineno
    columns = None if start is None or end is None else (start, end)
    return SourceLocation(code.co_filename, line, code.co_qualname, code.co_firstlineno, end_line or line, columns)


def users_frames(entries: TracebackType | None) -> tuple[tuple[SourceLocation, ...], TracebackType | None]:
    """The user's part of a traceback, as locations and as a traceback: without our frames and JAX's.

    The example kernels count as the user's.
    """
    users: list[TracebackType] = []
    while entries is not None:
        if _is_users(entries.tb_frame):
            users.append(entries)
        entries = entries.tb_next
    chain: TracebackType | None = None
    for entry in reversed(users):
        chain = TracebackType(chain, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return tuple(_location(entry.tb_frame.f_code, entry.tb_lasti) for entry in users), chain


def _is_users(frame: FrameType) -> bool:
    is_jaxs = frame.f_globals.get("__name__", "").startswith("jax.")  # in no file: the methods of a dataclass
    return source_info_util.is_user_filename(frame.f_code.co_filename) and not is_jaxs


def location_of_function(debug_info: Any) -> SourceLocation | None:
    """Where a function that was traced begins; `None` if JAX does not know."""
    if not debug_info.func_filename or not debug_info.func_lineno:
        return None
    line = debug_info.func_lineno
    return SourceLocation(debug_info.func_filename, line, debug_info.func_name, line, line)
