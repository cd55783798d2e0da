"""A recording as a file.

It is a zip file of two members.  `values.bin` has the bytes of the arrays, one after the other, each once, in C order
and little-endian.  `recording.json` has all else: `format` is `"pallas_np recording 1"`; wherever a value stands it is
`[dtype, shape, offset]`, with the offset of its bytes, or `[dtype, shape, null]` if it was not kept; a ref is its name.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (lets NumPy know its dtypes by name)
import numpy as np

from pallas_np.inspector.recording import (
    Cut,
    Launch,
    Line,
    Operand,
    RecordedAccess,
    RecordedEquation,
    Recording,
    RefName,
    Site,
    Step,
    Unkept,
    Value,
)

FORMAT = "pallas_np recording 1"


def save(recording: Recording, path: Path, overwrite: bool) -> Path:
    """Writes a recording to a file; see `Recording.save`.

    Raises:
      FileExistsError: if there is such a file, and it is not to be replaced.
    """
    refuse_to_replace(path, overwrite)
    writer = _Writer()
    described = writer.describe(recording)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("recording.json", json.dumps(described, separators=(",", ":")))
        with file.open("values.bin", "w", force_zip64=True) as values:
            for array in writer.arrays:
                values.write(_little_endian(array).tobytes())
    return path


def refuse_to_replace(path: Path, overwrite: bool) -> None:
    """Raises `FileExistsError` if there is such a file, and it is not to be replaced."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; name another file, or pass overwrite=True")


def load(path: Path) -> Recording:
    """Reads a recording from a file; see `Recording.load`.

    Raises:
      ValueError: if it is no recording, or a damaged one.
    """
    try:
        with zipfile.ZipFile(path) as file:
            described = json.loads(file.read("recording.json"))
            if described.get("format") != FORMAT:
                raise ValueError(f"its format is {described.get('format')!r}, and this version reads {FORMAT!r}")
            return _Reader(file.read("values.bin")).recording(described)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a recording that Recording.save wrote: {error}") from error


def _little_endian(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("<"), copy=False) if array.dtype.byteorder == ">" else array


class _Writer:
    """Describes a recording, and gathers its arrays."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self._offsets: dict[int, int] = {}
        self._end = 0
        self._sites: dict[Site, int] = {}

    def describe(self, recording: Recording) -> dict[str, Any]:
        launches = [self._launch(launch) for launch in recording.launches]
        return {
            "format": FORMAT,
            "error": None if recording.error is None else str(recording.error),
            "cuts": [vars(cut) for cut in recording.cuts],
            "sources": recording.sources,
            "launches": launches,
            "sites": [dataclasses.asdict(site) for site in self._sites],
        }

    def _launch(self, launch: Launch) -> dict[str, Any]:
        return {
            "kernel": launch.kernel,
            "line": None if launch.line is None else vars(launch.line),
            "grid": launch.grid,
            "engine": launch.engine,
            "operands": [{**vars(operand), "dtype": operand.dtype.name} for operand in launch.operands],
            "inputs": [self._value(value) for value in launch.inputs],
            "outputs": [self._value(value) for value in launch.outputs],
            "steps": [self._step(step) for step in launch.steps],
        }

    def _step(self, step: Step) -> dict[str, Any]:
        return {
            "index": step.index,
            "blocks": step.blocks,
            "contents": {name: self._value(value) for name, value in step.contents.items()},
            "equations": [self._equation(equation) for equation in step.equations],
        }

    def _equation(self, equation: RecordedEquation) -> dict[str, Any]:
        return {
            "number": equation.number,
            "site": self._sites.setdefault(equation.site, len(self._sites)),
            "parent": None if equation.parent is None else equation.parent.number,
            "inputs": [self._value(value) for value in equation.inputs],
            "outputs": [self._value(value) for value in equation.outputs],
            "accesses": [self._access(access) for access in equation.accesses],
            "ended": equation.ended,
        }

    def _access(self, access: RecordedAccess) -> dict[str, Any]:
        part = None if access.part is None else [(axis.start, axis.stop, axis.step) for axis in access.part]
        values = {name: self._value(getattr(access, name)) for name in ("positions", "before", "after")}
        return {"kind": access.kind, "ref": access.ref, "part": part, **values}

    def _value(self, value: Value | RefName | None) -> Any:
        if value is None:
            return None
        if isinstance(value, RefName):
            return value.name
        if isinstance(value, Unkept):
            return value.dtype.name, value.shape, None
        if id(value) not in self._offsets:
            self._offsets[id(value)] = self._end
            self._end += value.nbytes
            self.arrays.append(value)
        return value.dtype.name, value.shape, self._offsets[id(value)]


class _Reader:
    """Makes a recording of its description."""

    def __init__(self, values: bytes):
        self._bytes = values
        self._values: dict[Any, np.ndarray] = {}
        self._sites: list[Site] = []

    def recording(self, described: dict[str, Any]) -> Recording:
        recording = Recording()
        recording.error = described["error"]
        recording.cuts = [Cut(**{**cut, "index": tuple(cut["index"])}) for cut in described["cuts"]]
        recording.sources = {
            file: {int(number): text for number, text in lines.items()} for file, lines in described["sources"].items()
        }
        self._sites = [_site(site) for site in described["sites"]]
        recording.launches = [self._launch(launch) for launch in described["launches"]]
        return recording

    def _launch(self, described: dict[str, Any]) -> Launch:
        line = described["line"]
        operands = (
            Operand(o["name"], o["role"], tuple(o["shape"]), np.dtype(o["dtype"])) for o in described["operands"]
        )
        launch = Launch(
            described["kernel"],
            None if line is None else Line(**line),
            tuple(described["grid"]),
            described["engine"],
            tuple(operands),
            self._values_of(described["inputs"]),
            self._values_of(described["outputs"]),
        )
        launch.steps = [self._step(launch, step) for step in described["steps"]]
        return launch

    def _step(self, launch: Launch, described: dict[str, Any]) -> Step:
        blocks = {name: tuple((start, length) for start, length in w) for name, w in described["blocks"].items()}
        contents = {name: self._value(value) for name, value in described["contents"].items()}
        step = Step(launch, tuple(described["index"]), blocks, contents)
        by_number: dict[int, RecordedEquation] = {}
        for facts in described["equations"]:
            by_number[facts["number"]] = self._equation(step, facts, by_number.get(facts["parent"]))
        step.equations = list(by_number.values())
        return step

    def _equation(self, step: Step, facts: dict[str, Any], parent: RecordedEquation | None) -> RecordedEquation:
        return RecordedEquation(
            facts["number"],
            self._sites[facts["site"]],
            step,
            parent,
            self._values_of(facts["inputs"]),
            self._values_of(facts["outputs"]),
            [self._access(access) for access in facts["accesses"]],
            facts["ended"],
        )

    def _access(self, described: dict[str, Any]) -> RecordedAccess:
        part, positions = described["part"], described["positions"]
        return RecordedAccess(
            described["kind"],
            described["ref"],
            None if part is None else tuple(slice(*axis) for axis in part),
            None if positions is None else self._value(positions),
            self._value(described["before"]),
            self._value(described["after"]),
        )

    def _values_of(self, described: list[Any]) -> tuple[Any, ...]:
        return tuple(self._value(value) for value in described)

    def _value(self, described: Any) -> Any:
        if isinstance(described, str):
            return RefName(described)
        name, shape, offset = described
        dtype = np.dtype(name)
        if offset is None:
            return Unkept(tuple(shape), dtype)
        key = name, tuple(shape), offset
        if key not in self._values:
            count = int(np.prod(shape, dtype=np.int64))
            flat = np.frombuffer(self._bytes, dtype, count, offset)
            self._values[key] = flat.reshape(shape)
        return self._values[key]


def _site(described: dict[str, Any]) -> Site:
    return Site(
        described["primitive"],
        described["text"],
        tuple(Line(**line) for line in described["lines"]),
        tuple(described["operands"]),
        tuple(described["results"]),
    )
