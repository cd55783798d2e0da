"""What checks the exercises.  A learner need not look in here.

- `catalogue`: the exercises in course order, read from `solutions/` without running it; the book's pages use it too.
- `stubs`: from a solution to the file that a learner edits.
- `checking`: what the checks in `solutions/` are written with.
- `running`: one exercise against its check.
- `account`: what is printed.
- `plugin`: pytest.
- `commands`: `python -m exercises`.
"""
