"""The page of benchmarks: reports of the suite that were kept, as the site shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.site

QUANTITIES = ("cold", "trace", "own", "second", "warm", "peak")


def engine(cold: float, trace: float, warm: float, *, correct: bool = True) -> dict[str, Any]:
    values = dict(zip(QUANTITIES, (cold, trace, cold - trace, warm, warm, 2**20)))
    return {"correct": correct, **{q: dict.fromkeys(("median", "least", "most"), v) for q, v in values.items()}}


def kernel(name: str, steps: int, **engines: Any) -> dict[str, Any]:
    found = {key.replace("_", " "): value for key, value in engines.items()}
    return {
        "name": name,
        "steps": steps,
        "dots": name.startswith("a library"),
        "library": name.startswith("a library"),
        "too_long": {"tpu": "takes a minute"},
        "date": "2026-01-31",
        "repeats": 3,
        "engines": found,
    }


def made_up(jax: str) -> dict[str, Any]:
    """A report in which the compiler wins on softmax and, warm, loses on a copy."""
    slow, jitted = engine(1.0, 0.01, 0.1), engine(1.0, 0.01, 0.02)
    callback = engine(0.25, 0, 0.001)
    made_with = {
        **{"python": "3.11.7", "jax": jax, "numpy": "2.4.6", "system": "Linux x86_64", "processor": "A processor"},
        "cores": "2",
    }
    kernels = {
        "softmax": kernel(
            *("softmax", 256),
            interpret=slow,
            interpret_jit=jitted,
            tiered=engine(0.02, 0.01, 0.001),
            tiered_jit=engine(0.3, 0.01, 0.001),
            callback=callback,
            twin=engine(0, 0, 0.002),
            floor=engine(0, 0, 0.0008),
        ),
        "copy10": kernel(
            *("copy, 10 steps", 10),
            interpret=slow,
            interpret_jit=jitted,
            tiered=engine(0.02, 0.01, 0.04),
            twin=engine(0, 0, 0.05),
            floor=engine(0, 0, 0.025),
        ),
        "copy100": kernel("copy, 100 steps", 100, tiered=engine(0.02, 0.01, 0.05, correct=False)),
        "library": kernel(
            *("a library's kernel", 64),
            tpu=jitted,
            tiered_jit=engine(0.3, 0.01, 0.004),
            callback=callback,
            twin=engine(0, 0, 0.002),
        ),
    }
    return {"made_with": made_with, "kernels": kernels}


@pytest.fixture
def page(tmp_path: Path) -> str:
    import generated

    for version in ("0.10.2", "0.12.0.1"):
        (tmp_path / f"jax-{version}.json").write_text(json.dumps(made_up(version)))
    return generated.suite_report.suite(tmp_path)


def test_each_report_says_with_what_and_when_and_that_the_build_did_not_measure(page: str) -> None:
    newest, oldest = page.index("### JAX 0.12.0.1"), page.index("### JAX 0.10.2")
    assert newest < oldest
    assert page.count("Measured on 2026-01-31, **not when this page was built**, with Python 3.11.7, JAX 0.1") == 2
    assert "NumPy 2.4.6 on Linux x86_64, 2 cores, A processor. Medians of 3 fresh processes" in page


def test_kernels_that_were_measured_anew_are_said_to_be_of_another_day() -> None:
    import generated

    report = made_up("0.12.0.1")
    report["kernels"]["softmax"].update(date="2026-02-01", repeats=9)
    text = "\n\n".join(generated.suite_report.section(report))
    assert "Measured on 2026-01-31 and 2026-02-01, **not when" in text
    assert "Medians of 3 or 9 fresh processes for each engine" in text


def test_it_says_where_the_compiler_loses(page: str) -> None:
    assert (
        "the tiered engine is 3.16 times as fast (geometric mean of 2 kernels); `interpret=True` is the faster" in page
    )
    assert "faster one on copy, 10 steps (2 times)." in page
    assert "Cold, without JAX's tracing, which both have to wait for, the tiered engine is 99 times as fast" in page
    assert page.count("and it is slower on none.") == 2


def test_figures_have_words(page: str) -> None:
    assert page.count('aria-label="Bars of how many times as fast. softmax: 20; copy, 10 steps: 0.5.') == 2
    assert page.count('aria-label="µs for each step against steps of the grid') == 2


def test_tables_are_folded_and_name_what_is_wrong(page: str) -> None:
    assert (
        '??? abstract "Warm: the same callable again"\n\n    | kernel | interpret | interpret jit | tpu | tiered |'
        in page
    )
    assert "    | copy, 100 steps | – | – | – | 50 ms (wrong) |" in page
    assert "    - softmax, tpu: takes a minute" in page


def test_it_says_what_numpy_can_do(page: str) -> None:
    assert (
        "the floors are 4.47 times as fast as `interpret=True` under `jax.jit` (geometric mean of 2 kernels); "
        "`interpret=True` is the faster one on copy, 10 steps (1.25 times)." in page
    )
    assert "The tiered engine takes 1.41 times as long as the floors; most on copy, 10 steps, 1.6 times." in page


def test_promises_are_counted_and_the_missed_ones_listed(page: str) -> None:
    from benchmarks.report import goals

    found = goals(made_up("0.12.0.1"))
    missed = [goal for goal in found if not goal.kept]
    far = [goal for goal in missed if goal.out_of_reach]
    assert f"Of the {len(found)} promises made of the compiler, {len(found) - len(missed)} are kept here." in page
    assert f"Of the others, {len(far)} are out of reach" in page
    listed = page.partition('"The promises that are missed"')[2].partition('"All promises"')[0]
    assert "| kept |" not in listed
    assert listed.count("| out of reach |") == len(far) > 0
    assert listed.count("| missed |") == len(missed) - len(far) > 0
    assert "| warm: no slower than jitted interpret=True | copy, 10 steps | 0.50 | 0.80 | out of reach |" in listed
    assert "| cold under jit, installed: 5 times faster | softmax | 3.33 | 3.85 | out of reach |" in listed


def test_without_reports_the_page_says_so(tmp_path: Path) -> None:
    import generated

    assert "No measurements of the suite are kept" in generated.suite_report.suite(tmp_path)
