"""A workbook of one's own: the exercises copied elsewhere, as in a fresh clone, to be solved and spoilt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from exercises.machinery.catalogue import find  # noqa: E402


class Workbook:
    """A copy of the exercises in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / find(name).file.relative_to(ROOT)

    def solve(self, name: str) -> None:
        self.path(name).write_text(find(name).solution, encoding="utf-8")

    def spoil(self, name: str, right: str, wrong: str) -> None:
        solution = find(name).solution
        assert solution.count(right) == 1
        self.path(name).write_text(solution.replace(right, wrong), encoding="utf-8")

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("pytest", "-p", "no:cacheprovider", *(arguments or ("exercises",)))

    def help(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("exercises", *arguments)

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
        )


def environment() -> dict[str, str]:
    """Of a process that finds the package in the repository, and is no part of the tests' own run."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    return {**env, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def fresh_workbook(folder: Path) -> Workbook:
    """A workbook in `folder` in which nothing has been touched, whatever whoever runs the tests has solved."""
    for name in ("exercises", "solutions"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".backups", ".hints*"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for exercise in (folder / "exercises").glob("*/*_[0-9][0-9]_*.py"):
        exercise.write_text(find(exercise.stem).stub, encoding="utf-8")
    return Workbook(folder)
