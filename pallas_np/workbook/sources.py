"""The package's own source, shown where a chapter talks about it: read, never pasted."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from pathlib import Path
from types import ModuleType

from pallas_np.workbook.display import Markdown


def source(module: ModuleType, name: str) -> str:
    """The source of one definition: a function, a class, a method (`"Interpreter.run"`) or an assigned name.

    Raises:
      LookupError: if the module defines no such name.
    """
    text = inspect.getsource(module)
    body: list[ast.stmt] = ast.parse(text).body
    node: ast.stmt | None = None
    for part in name.split("."):
        node = next((n for n in body if part in _names(n)), None)
        if node is None:
            raise LookupError(f"{module.__name__} defines no {name}")
        body = getattr(node, "body", [])
    assert node is not None and node.end_lineno is not None
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return textwrap.dedent("\n".join(text.splitlines()[first - 1 : node.end_lineno]))


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def show(module: ModuleType, *names: str) -> Markdown:
    """The sources of some of a module's definitions, as it has them now, under the name of the file."""
    code = "\n\n\n".join(source(module, name) for name in names)
    return Markdown(f"`{_file(module)}`\n\n```python\n{code}\n```")


def _file(module: ModuleType) -> str:
    parts = Path(inspect.getfile(module)).parts
    return "/".join(parts[len(parts) - parts[::-1].index("pallas_np") - 1 :])


def diff(before: ModuleType, after: ModuleType, name: str) -> Markdown:
    """How a definition differs between two phases, line by line."""
    old, new = source(before, name).splitlines(), source(after, name).splitlines()
    lines = [line for line in difflib.ndiff(old, new) if not line.startswith("?")]
    return Markdown(f"`{name}`, {before.__name__} to {after.__name__}\n\n```diff\n" + "\n".join(lines) + "\n```")
