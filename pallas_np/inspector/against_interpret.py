"""Where `interpret=True` first differs from a recording, equation by equation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pallas_np.frontend import Told, run_interpret_true
from pallas_np.inspector.differences import Difference, Tolerance

if TYPE_CHECKING:
    from pallas_np.inspector.recording import Launch, RecordedEquation, Recording


def first_difference_from_interpret(
    recording: Recording, rtol: float, atol: float, max_bytes: int
) -> Difference | None:
    """See `Recording.first_difference_from_interpret`.

    Raises:
      ValueError: if there is none up to where one of them was cut, or there is no kernel to run.
    """
    if recording.launches and not recording.calls:
        raise ValueError("a recording that was loaded has no kernel to run: record the function anew")
    for launch in recording.launches:
        if not all(isinstance(value, np.ndarray) for value in launch.inputs):
            break
        told = run_interpret_true(recording.calls[launch], _operands(recording, launch), max_bytes)
        found = next(filter(None, _differences(recording, launch, told, Tolerance(rtol, atol))), None)
        if found is not None:
            return found
        if told.is_cut:
            raise ValueError(
                f"no difference was found up to where the results of interpret=True were cut, at {max_bytes:,} bytes; "
                "max_bytes=... sets another limit"
            )
    if recording.cuts:
        cut = min(recording.cuts, key=lambda cut: cut.equation)
        raise ValueError(f"no difference was found in what the recording has, but {cut}")
    return None


def _operands(recording: Recording, launch: Launch) -> list[np.ndarray]:
    """The operands of a launch: its grid's dynamic bounds, and its inputs."""
    static = recording.calls[launch].grid
    bounds = [np.asarray(size, np.int32) for size, known in zip(launch.grid, static) if known is None]
    return [*bounds, *(value for value in launch.inputs if isinstance(value, np.ndarray))]


def _differences(recording: Recording, launch: Launch, told: Told, within: Tolerance) -> Iterator[Difference | None]:
    """The k-th run of an equation in one is the k-th run of the same equation in the other."""
    counts: Counter[Any] = Counter()
    for equation in sorted((e for step in launch.steps for e in step.equations), key=lambda e: e.number):
        path = _path_of(equation, recording)
        theirs, count = told.results.get(path), counts[path]
        if theirs is not None:  # else it is one that we have made, or the results were cut before
            counts[path] += 1
            if count < len(theirs):
                yield from _differences_of(equation, theirs[count], within)
            elif not told.is_cut:
                yield Difference(f"with interpret=True it runs no more than {count} times", equation)
    if recording.error is None and not recording.cuts:
        for path, theirs in told.results.items():
            if counts[path] < len(theirs):
                what = f"the {path[-1].primitive.name} runs {len(theirs)} times, not {counts[path]}"
                yield Difference(f"with interpret=True {what}, in {launch.kernel}")
    names = [operand.name for operand in launch.operands if operand.role == "output"]
    for name, x, y in zip(names, launch.outputs, told.outputs):
        yield within.difference(f"with interpret=True the output {name} of {launch.kernel}", None, None, x, y)


def _differences_of(
    equation: RecordedEquation, theirs: tuple[np.ndarray | None, ...], within: Tolerance
) -> Iterator[Difference | None]:
    if not equation.ended:
        yield Difference("it fails here, and not with interpret=True", equation)
    for name, x, y in zip(equation.site.results, equation.outputs, theirs):
        if hasattr(x, "dtype") and y is not None:
            yield within.difference(f"with interpret=True the result {name}", equation, None, x, y)


def _path_of(equation: RecordedEquation, recording: Recording) -> tuple[Any, ...]:
    """JAX's equation, after those that it is nested in."""
    outer = () if equation.parent is None else _path_of(equation.parent, recording)
    return (*outer, recording.origins[equation.site].jax)
