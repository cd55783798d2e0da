"""`python -m exercises`: every command."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import threading

import pytest
from workbook_copy import Workbook, environment

from exercises.machinery.catalogue import exercises, find

DIVISION = "integer_division"


def test_next_names_the_first_that_is_not_solved(workbook: Workbook) -> None:
    done = workbook.help("next")
    assert done.returncode == 0 and f"Next: 1.1 {exercises()[0].title}" in done.stdout
    workbook.solve(exercises()[0].name)
    assert "Next: 1.2" in workbook.help("next").stdout


def test_list_shows_all_with_their_state(workbook: Workbook) -> None:
    workbook.solve(DIVISION)
    workbook.spoil("read_a_ref", "np.array(ref[index])", "ref[index]")
    listed = workbook.help("list").stdout
    assert all(e.title in listed and e.path in listed for e in exercises())
    assert re.search(r"\+ 2\.\d+ +Integer division", listed)
    assert re.search(r"x 3\.\d+ +Read a ref", listed)
    assert re.search(r"\. 1\.1 ", listed)


def test_what_an_answer_prints_is_not_in_the_way(workbook: Workbook) -> None:
    first = exercises()[0].name
    workbook.path(first).write_text("print('loud')\nbreakpoint()\n" + find(first).solution, encoding="utf-8")
    done = workbook.help("next")
    assert "Next: 1.2" in done.stdout and "loud" not in done.stdout and "Pdb" not in done.stdout


def test_a_terminal_with_few_letters_gets_the_others_escaped(
    workbook: Workbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    workbook.path(DIVISION).write_text(find(DIVISION).solution + "# Wörter\n", encoding="utf-8")
    done = workbook.help("solution", DIVISION, "--give-up")
    assert done.returncode == 0 and "W\\xf6rter" in done.stdout


def test_list_in_a_narrow_terminal_leaves_out_the_paths(workbook: Workbook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    listed = workbook.help("list").stdout
    assert max(map(len, listed.splitlines())) <= 60 and all(e.title in listed for e in exercises())


def test_hint_goes_one_tier_further_each_time(workbook: Workbook) -> None:
    hints = find(DIVISION).hints
    for shown in (0, 1, 2, 2):
        lines = workbook.help("hint", DIVISION).stdout
        said = " ".join(lines.split())
        assert hints[shown] in said and max(map(len, lines.splitlines())) <= 104
        assert not any(h in said for h in hints if h != hints[shown])
    assert exercises()[0].hints[0] in " ".join(workbook.help("hint").stdout.split())


def test_solution_is_shown_after_solving_or_on_request(workbook: Workbook) -> None:
    refused = workbook.help("solution", DIVISION)
    assert refused.returncode == 1 and "not solved yet" in refused.stdout and "np.trunc" not in refused.stdout
    given = workbook.help("solution", DIVISION, "--give-up")
    assert given.returncode == 0 and "+    quotient = np.trunc" in given.stdout
    assert "Generated" not in given.stdout and "# ---" not in given.stdout
    workbook.solve(DIVISION)
    solved = workbook.help("solution", DIVISION)
    assert solved.returncode == 0 and "word for word" in solved.stdout
    assert find(DIVISION).explanation.split("\n")[0] in solved.stdout


def test_reset_keeps_a_backup_and_says_where(workbook: Workbook) -> None:
    workbook.solve(DIVISION)
    mine = workbook.path(DIVISION).read_text(encoding="utf-8")
    done = workbook.help("reset", DIVISION)
    where = re.search(r"your answer is kept in (\S+)", done.stdout)
    assert where is not None and (workbook.folder / where[1]).read_text(encoding="utf-8") == mine
    assert workbook.path(DIVISION).read_text(encoding="utf-8") == find(DIVISION).stub
    assert workbook.pytest("exercises", "-k", DIVISION).stdout.count("integer_division") >= 1


def test_reset_wants_to_know_which(workbook: Workbook) -> None:
    assert workbook.help("reset").returncode == 2
    assert workbook.help("reset", "9.9").returncode == 2


def test_update_refreshes_what_is_untouched_and_nothing_else(workbook: Workbook) -> None:
    """After a newer version of the workbook: here its solutions change, and one exercise is new."""
    workbook.solve(DIVISION)
    mine = workbook.path(DIVISION).read_text(encoding="utf-8")
    new = workbook.path(exercises()[0].name)
    new.unlink()
    for name in (DIVISION, "read_a_ref"):
        source = workbook.folder / "solutions" / find(name).part.folder / f"{find(name).name}.py"
        source.write_text(source.read_text(encoding="utf-8").replace('"""Write', '"""Now write'), encoding="utf-8")
    done = workbook.help("update")
    assert f"refreshed: {find('read_a_ref').path}" in done.stdout
    assert f"new: {exercises()[0].path}" in done.stdout and new.exists()
    assert "Now write" in workbook.path("read_a_ref").read_text(encoding="utf-8")
    assert workbook.path(DIVISION).read_text(encoding="utf-8") == mine
    assert "2 refreshed; 1 that you have worked on left as they are" in done.stdout
    assert "0 refreshed" in workbook.help("update").stdout


def test_watch_checks_at_each_save(workbook: Workbook) -> None:
    command = [sys.executable, "-u", "-m", "exercises", "watch"]
    with subprocess.Popen(
        command, cwd=workbook.folder, env=environment(), stdout=subprocess.PIPE, text=True, bufsize=1
    ) as watch:
        try:
            read_until(watch, "Watching")
            workbook.spoil(DIVISION, "np.trunc(", "np.floor(")
            assert "got" in read_until(watch, "Hint:")
            read_until(watch, "hint    python")
            workbook.solve(DIVISION)
            assert re.search(r"Phase 2: .*█░+ +1 of", read_until(watch, "Integer division: solved."))
            assert interrupted(watch) == 130
        finally:
            watch.kill()


@pytest.mark.slow
def test_watch_checks_a_capstone_again_when_what_it_lacked_is_saved(workbook: Workbook) -> None:
    for name in ("p1_04_dispatch", "p1_07_capstone"):
        workbook.solve(name)
    command = [sys.executable, "-u", "-m", "exercises", "watch"]
    with subprocess.Popen(
        command, cwd=workbook.folder, env=environment(), stdout=subprocess.PIPE, text=True, bufsize=1
    ) as watch:
        try:
            assert "which is still to be written" in read_until(watch, "Watching")
            workbook.solve("environment")
            assert re.search(r"Phase 1: .* 3 of 7", read_until(watch, "The environment: solved."))
            assert interrupted(watch) == 130
        finally:
            watch.kill()


def interrupted(process: subprocess.Popen[str]) -> int:
    """Ends a process as Control-C does, as often as it takes: one may come while a check is being started."""
    for _ in range(30):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(3)
    raise AssertionError("the process does not end")


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    """The lines up to the one with `wanted` in it; the process is ended if it does not come."""
    assert process.stdout is not None
    alarm = threading.Timer(120, process.kill)
    alarm.start()
    lines = []
    for line in iter(process.stdout.readline, ""):
        lines.append(line)
        if wanted in line:
            alarm.cancel()
            return "".join(lines)
    raise AssertionError("".join(lines))


def test_no_command_shows_them_all(workbook: Workbook) -> None:
    done = workbook.help()
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("next", "list", "hint", "solution", "reset", "update", "watch"))


def test_an_unknown_exercise_is_a_sentence(workbook: Workbook) -> None:
    done = workbook.help("hint", "no_such_exercise")
    assert done.returncode == 2 and "There is no exercise called no_such_exercise" in done.stdout
    assert not done.stderr
