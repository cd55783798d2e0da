"""`python -m pallas_np record` and `profile`: what they write, and that they replace nothing unasked."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
from test_command_line import folder, pallas_np  # noqa: F401  (`folder` is a fixture)

from pallas_np import Recording


def test_a_recording_as_a_page_and_to_load_threads_included(folder: Path) -> None:  # noqa: F811
    arguments = ["-o", "run.html", "-o", "run.pnrec", "script.py", "a", "--thread"]
    done = pallas_np("record", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (0, "['a', '--thread'] [0, 2, 4]\n[0, 2, 4]\n"), done.stderr
    assert done.stderr.splitlines()[-1] == "pallas_np: 2 launches and 6 equations in run.pnrec"
    assert "<title>Recording of kernel</title>" in (folder / "run.html").read_text()
    recording = Recording.load(folder / "run.pnrec")
    assert [launch.kernel for launch in recording.launches] == ["kernel", "kernel"]
    np.testing.assert_array_equal(recording.launches[1].outputs[0], [0, 2, 4])
    line = recording.equations[0].line
    assert line is not None and line.text == "out_ref[...] = x_ref[...] * 2"
    assert recording.error is None


@pytest.mark.parametrize(
    "target, name", [(["script.py"], "script.html"), (["-m", "package.module"], "package.module.html")]
)
def test_the_page_is_named_after_the_script(folder: Path, target: list[str], name: str) -> None:  # noqa: F811
    done = pallas_np("record", *target, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / name).exists()


def test_no_file_is_replaced_unasked(folder: Path) -> None:  # noqa: F811
    page = folder / "script.html"
    page.write_text("mine")
    done = pallas_np("record", "script.py", cwd=folder)
    assert (done.returncode, done.stdout, page.read_text()) == (2, "", "mine")  # nothing has run
    assert "'script.html' exists: name another file, or add --overwrite" in done.stderr
    done = pallas_np("record", "--overwrite", "script.py", cwd=folder)
    assert done.returncode == 0 and page.read_text().startswith("<!doctype html>")


def test_a_file_that_the_script_makes_is_not_replaced_either(folder: Path) -> None:  # noqa: F811
    with (folder / "script.py").open("a") as script:
        script.write("    open('script.html', 'w').write('mine')\n")
    done = pallas_np("record", "script.py", cwd=folder)
    assert "3 equations in script-2.html" in done.stderr
    assert (folder / "script.html").read_text() == "mine"
    assert (folder / "script-2.html").exists()


def test_a_script_that_fails_leaves_its_recording(folder: Path) -> None:  # noqa: F811
    done = pallas_np("record", "-o", "run.pnrec", "--max-equations", "2", "script.py", "--fail", cwd=folder)
    assert done.returncode == 1 and "ValueError: the script failed" in done.stderr
    recording = Recording.load(folder / "run.pnrec")
    assert (recording.error, len(recording)) == ("the script failed", 2)
    assert "limit of 2 equations was reached" in done.stderr and "--max-equations" in done.stderr.splitlines()[-1]
    assert pallas_np("record", "script.py", "--exit", cwd=folder).returncode == 7
    assert (folder / "script.html").exists()


def test_a_script_without_kernels_leaves_nothing(folder: Path) -> None:  # noqa: F811
    (folder / "none.py").write_text("print('done')\n")
    done = pallas_np("record", "none.py", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "no kernel ran, so nothing was recorded" in done.stderr
    assert not (folder / "none.html").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["record", "-o", "run.txt", "script.py"], "'run.txt' ends in neither .html nor .pnrec"),
        (["record", "-o", "nowhere/run.html", "script.py"], "there is no folder 'nowhere'"),
        (["record", "nowhere.py"], "python -m pallas_np record: there is no file 'nowhere.py'"),
        (["record", "--max-bytes", "0", "script.py"], "must be 1 or more"),
        (["record"], "name a script, or a module after -m"),
        (["profile", "--plot", "beside.py", "script.py"], "'beside.py' exists"),
        (["profile", "-m", "nowhere"], "python -m pallas_np profile: there is no module 'nowhere'"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_script_runs(
    folder: Path,  # noqa: F811
    arguments: list[str],
    message: str,
) -> None:
    done = pallas_np(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and "Traceback" not in done.stderr


def test_a_profile_goes_to_standard_error(folder: Path) -> None:  # noqa: F811
    program = """
        import jax, jax.numpy as jnp
        from script import run
        run(), run()
    """
    (folder / "twice.py").write_text(textwrap.dedent(program))
    done = pallas_np("profile", "--rows", "1", "--plot", "profile.svg", "twice.py", cwd=folder)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    for text in ("Profile of 2 launches", "Launches: 1 of 2", "NumPy, tiered", "By line", "drawn in profile.svg"):
        assert text in done.stderr, text
    assert (folder / "profile.svg").exists()
