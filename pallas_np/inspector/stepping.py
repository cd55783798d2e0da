"""Pictures to go through one at a time, by buttons, slider or arrow keys: what figures and recordings share.

`stepping.js` has the controls, for the viewer too, and `stepping.css` the looks of what is read, written and lit.
Without scripts, and on paper, the pictures of a figure stand in a column.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from html import escape
from importlib import resources


class Figure(str):
    """HTML that a notebook shows where it is the value of a cell."""

    def _repr_html_(self) -> str:
        return str(self)


def stepper(pictures: Sequence[tuple[str, str]], label: str) -> Figure:
    """Pictures to step through.

    Args:
      pictures: for each its title, in words, and what it shows, as HTML.
      label: what all of them show, for whoever does not see them.
    """
    shown = column(pictures)
    identity = "pallas-np-" + hashlib.sha256((label + shown).encode()).hexdigest()[:12]
    return Figure(
        f'{style()}\n<div class="pnr pnr-figure" id="{identity}" role="group" aria-label="{escape(label)}">\n'
        f'<div class="pnr-steps">\n{shown}\n</div>\n</div>\n{script("figure.js", identity)}'
    )


def column(pictures: Sequence[tuple[str, str]]) -> str:
    """Pictures below each other, each with its number."""
    return "\n".join(
        f'<div class="pnr-step"><p class="pnr-title">Step {number} of {len(pictures)}: {escape(title)}</p>{shown}</div>'
        for number, (title, shown) in enumerate(pictures, 1)
    )


def style(*names: str) -> str:
    """The style sheet of this module, followed by others of this folder."""
    return f"<style>{''.join(map(_file, ('stepping.css', *names)))}</style>"


def script(name: str, identity: str) -> str:
    """A script of this folder, for the element of this identity, with `stepping` to call."""
    return f"<script>{{\n{_file('stepping.js')}{_file(name).replace('IDENTITY', identity)}}}</script>"


@functools.cache
def _file(name: str) -> str:
    return (resources.files("pallas_np.inspector") / name).read_text(encoding="utf-8")
