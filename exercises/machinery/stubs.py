"""From a solution's file to the file that a learner edits.

In a solution,

    # --- solution
    return np.array(ref)
    # --- end

becomes a stub that says how much to write, and

    # --- solution
    return np.array(ref)
    # --- planted
    # return ref
    # --- end

becomes `return ref`, for an exercise whose task is to find a fault.  Everything from `WORKBOOK_PART` on is left out.
The last line of a generated file is its fingerprint, which tells whether it has been edited since.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exercises.machinery.catalogue import Exercise

WORKBOOK_PART = "# === The workbook's part"
UNSOLVED = "your turn"  # the message of the error that a stub raises

_REGION = re.compile(
    r"^(?P<indent> *)# --- solution\n(?P<solution>.*?)(?:^ *# --- planted\n(?P<planted>.*?))?^ *# --- end\n",
    re.MULTILINE | re.DOTALL,
)
_FINGERPRINT = "# Generated; unedited as long as this fits: "


def stub(source: str) -> str:
    """The learner's file, without its heading and fingerprint."""
    return _REGION.sub(_placeholder, learners_part(source))


def solution(source: str) -> str:
    """The same file, solved."""
    return _REGION.sub(lambda region: region["solution"], learners_part(source))


def regions(source: str) -> list[str]:
    """What the learner is to write, region by region."""
    return [region["solution"] for region in _REGION.finditer(source)]


def learners_part(source: str) -> str:
    """The solution's file without what only the workbook needs."""
    part = source.split(WORKBOOK_PART)[0]
    return part.replace("from solutions.", "from exercises.").rstrip() + "\n"


def _placeholder(region: re.Match[str]) -> str:
    if region["planted"] is not None:
        return re.sub(r"^( *)# ", r"\1", region["planted"], flags=re.MULTILINE)
    count = sum(1 for line in region["solution"].splitlines() if line.strip() and not line.strip().startswith("#"))
    amount = "one line" if count == 1 else f"about {count} lines"
    return f'{region["indent"]}# Your turn: {amount}.\n{region["indent"]}raise NotImplementedError("{UNSOLVED}")\n'


def with_heading(text: str, exercise: Exercise) -> str:
    """The file with a docstring that begins with the exercise's title and ends with what to type."""
    docstring = re.compile(r'\A"""(.*?)\n?"""\n', re.DOTALL)
    heading = f"Exercise {exercise.number}: {exercise.title} ({exercise.minutes} minutes)"
    commands = f"    pytest {exercise.path}\n    python -m exercises hint {exercise.number}"

    def headed(found: re.Match[str]) -> str:
        return f'"""{heading}\n\n{found[1].strip()}\n\n{commands}\n"""\n'

    return docstring.sub(headed, text, count=1)


def signed(text: str) -> str:
    """The text with its fingerprint as the last line."""
    return f"{text}\n\n{_FINGERPRINT}{_fingerprint(text)}\n"


def unsigned(text: str) -> str:
    """The text without its fingerprint."""
    return text.rpartition(f"\n\n{_FINGERPRINT}")[0] or text


def is_untouched(text: str) -> bool:
    """Whether a generated file is as it was when it was generated."""
    body, marker, fingerprint = text.rpartition(f"\n\n{_FINGERPRINT}")
    return bool(marker) and fingerprint.strip() == _fingerprint(body)


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
