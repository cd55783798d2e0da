"""A small recording as a figure: what its pictures show, against the recording itself."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from headless_browser import axe, browser, violations  # noqa: F401  (two are fixtures)
from jax.experimental import pallas as pl
from recorded_kernels import matmul_arrays, matmul_call, sum_rows_call

from pallas_np import Recording, record

OUT = jax.ShapeDtypeStruct((4,), jnp.int32)


def pictures_of(figure: str) -> list[str]:
    return figure.split('<div class="pnr-step">')[1:]


def title_of(picture: str) -> str:
    return re.findall(r'<p class="pnr-title">(.*?)</p>', picture)[0]


def cells_of(picture: str, name: str) -> list[tuple[str, str]]:
    """For each element of a ref, as it is shown, its marks and its text."""
    rows = re.search(rf'<th scope="row" rowspan="\d+">{name}</th>(.*?)(<th|</tbody>)', picture)
    assert rows is not None
    return re.findall(r"<td ?([^>]*)>(.*?)</td>", rows[1])


def shown(values: Any) -> list[str]:
    return ["–" if np.isnan(x) else f"{x:.5g}" for x in np.asarray(values, float).ravel()]


@pytest.mark.parametrize("call, arrays", [(matmul_call, matmul_arrays), (sum_rows_call, lambda: (np.eye(3, 4),))])
def test_each_picture_has_what_refs_held(call: Any, arrays: Any) -> None:
    recording = record(call())(*map(np.float32, arrays()))
    pictures = iter(pictures_of(recording.figure()))
    for step in recording.steps:
        assert title_of(next(pictures)).endswith("before the first equation")
        for equation in step.equations:
            if equation.parent is None:
                picture = next(pictures)
                assert title_of(picture).endswith(equation.site.text)
                for name, held in step.contents_after(equation).items():
                    assert [text for _, text in cells_of(picture, name)] == shown(held), (equation, name)
    assert not [*pictures]


def test_a_picture_marks_what_its_equation_read_and_wrote() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[2:4] = x_ref[1:3]

    read, written = pictures_of(record(pl.pallas_call(kernel, OUT))(np.arange(4, dtype=np.int32)).figure())[1:]
    assert cells_of(read, "x_ref") == [("", "0"), ("data-read", "1"), ("data-read", "2"), ("", "3")]
    assert cells_of(read, "a") == [("data-write", "1"), ("data-write", "2")]
    assert cells_of(written, "out_ref") == [("", "–"), ("", "–"), ("data-write", "1"), ("data-write", "2")]
    assert cells_of(written, "x_ref") == [("", text) for text in "0123"]


def test_a_loop_is_one_equation_with_all_that_it_did() -> None:
    loop = pictures_of(record(sum_rows_call())(np.ones((3, 4), np.float32)).figure())[-1]
    assert cells_of(loop, "out_ref") == [("data-write", "4")] * 3


def test_an_equation_that_failed_says_so() -> None:
    def kernel(i_ref: Any, out_ref: Any) -> None:
        out_ref[i_ref[0]] = 1

    last = pictures_of(record(pl.pallas_call(kernel, OUT))(np.int32([7])).figure())[-1]
    assert title_of(last).endswith("(failed here)") and cells_of(last, "out_ref") == [("", "–")] * 4


def test_programs_light_their_blocks_in_the_arrays() -> None:
    recording = record(matmul_call())(*matmul_arrays())
    pictures = pictures_of(recording.figure(each="program"))
    assert [title_of(picture)[-6:] for picture in pictures] == ["(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)"]
    x, y, out = (re.findall(r"<td ?([^>]*)>(.*?)</td>", table) for table in pictures[2].split("<caption>")[1:])
    assert [text for _, text in x] == shown(recording.launches[0].inputs[0])
    lit = np.zeros((8, 8), bool)
    lit[4:8, 0:4] = True
    assert [bool(mark) for mark, _ in x] == lit.ravel().tolist()
    assert {mark for mark, _ in y} == {"", 'data-lit="input"'} and out[-1][0] == 'data-lit="output"'
    assert "–" in {text for _, text in re.findall(r"<td ?([^>]*)>(.*?)</td>", pictures[1])}
    last = re.findall(r"<td[^>]*>(.*?)</td>", pictures[3].split("<caption>")[-1])
    assert last == shown(recording.launches[0].outputs[0])


def test_an_array_that_is_input_and_output_begins_as_it_was_given() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + 10

    block = pl.BlockSpec((2,), lambda i: (i,))
    options: dict[str, Any] = {"in_specs": [block], "out_specs": block, "input_output_aliases": {0: 0}}
    recording = record(pl.pallas_call(kernel, OUT, grid=(2,), **options))(np.arange(4, dtype=np.int32))
    first, last = pictures_of(recording.figure(each="program"))
    for picture, wanted in ((first, "10 11 2 3"), (last, "10 11 12 13")):
        assert " ".join(re.findall(r"<td[^>]*>(.*?)</td>", picture.split("<caption>")[-1])) == wanted


def test_a_block_past_the_edge_and_a_squeezed_axis_find_their_place() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    x = np.arange(10, dtype=np.int32).reshape(2, 5)
    block = pl.BlockSpec((None, 3), lambda i, j: (i, j))
    call = pl.pallas_call(
        kernel, jax.ShapeDtypeStruct(x.shape, x.dtype), grid=(2, 2), in_specs=[block], out_specs=block
    )
    last = pictures_of(record(call)(x).figure(each="program"))[-1].split("<caption>")[-1]
    cells = re.findall(r"<td ?([^>]*)>(.*?)</td>", last)
    assert [text for _, text in cells] == shown(x)
    assert [bool(mark) for mark, _ in cells] == [False] * 8 + [True] * 2


def test_what_was_not_kept_is_said() -> None:
    pictures = record(sum_rows_call(), max_bytes=20)(np.ones((3, 4), np.float32)).figure()
    assert "<td>not kept</td>" in pictures


def test_a_large_recording_has_no_figure() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    zeros = np.zeros((32, 32 * 8), np.int32)
    block = pl.BlockSpec((32, 32), lambda i: (0, i))
    call = pl.pallas_call(
        kernel, jax.ShapeDtypeStruct(zeros.shape, zeros.dtype), grid=(8,), in_specs=[block], out_specs=block
    )
    large = record(call)(zeros)
    for each in ("equation", "program"):
        with pytest.raises(ValueError, match="show the recording itself"):
            large.figure(each=each)  # type: ignore[arg-type]
    assert "What refs hold at the end of step (7,)" in large._repr_html_()
    with pytest.raises(ValueError, match="neither"):
        large.figure(each="line")  # type: ignore[arg-type]


def test_the_page_of_a_small_recording_prints_each_moment() -> None:
    recording = record(sum_rows_call())(np.ones((3, 4), np.float32))
    listing = recording._repr_html_().partition('<script type="application/json">')[0]
    assert pictures_of(listing)[-1].partition("</div></div>")[0] in recording.figure()


def test_without_kernels_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        record(lambda: None)().figure()


@pytest.mark.site
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_figures(browser: Any, axe: str, tmp_path: Any, scheme: str) -> None:  # noqa: F811
    recording: Recording = record(matmul_call())(*matmul_arrays())
    page = tmp_path / "figures.html"
    page.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Two</title>'
        "<style>:root{color-scheme:light dark}body{background:Canvas;color:CanvasText}</style></head>"
        f"<body><main><h1>Two</h1>{recording.figure()}{recording.figure(each='program')}</main></body></html>"
    )
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(page.as_uri())
    assert violations(browser, axe) == []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
