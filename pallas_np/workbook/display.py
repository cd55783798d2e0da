"""Text that a notebook shows as Markdown or as HTML."""

from __future__ import annotations


class Markdown(str):
    """Markdown, rendered where it is the value of a notebook's cell."""

    def _repr_markdown_(self) -> str:
        return str(self)


class Html(str):
    """HTML, rendered where it is the value of a notebook's cell."""

    def _repr_html_(self) -> str:
        return str(self)


def table(header: list[str], rows: list[list[str]], numbers: int = 0) -> str:
    """A Markdown table; its last `numbers` columns are aligned to the right."""
    words = len(header) - numbers
    rule = ["---"] * words + ["---:"] * numbers
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])
