"""`python -m pallas_np run`: a script runs as Python runs it, and its kernels run in NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SCRIPT = """
    import sys, threading
    import jax, jax.numpy as jnp
    from jax.experimental import pallas as pl
    import beside

    def kernel(x_ref, out_ref):
        out_ref[...] = x_ref[...] * 2

    def run():
        return pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((3,), jnp.int32))(jnp.arange(3))

    if __name__ == "__main__":
        print(sys.argv[1:], run().tolist())
        if "--exit" in sys.argv:
            sys.exit(7)
        if "--fail" in sys.argv:
            beside.fail()
        if "--thread" in sys.argv:
            threading.Timer(0.2, lambda: print(run().tolist())).start()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("script.py", "package/__main__.py", "package/module.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "beside.py").write_text("def fail():\n    raise ValueError('the script failed')\n")
    return tmp_path


def pallas_np(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pallas_np", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ | {"PYTHONPATH": path})


def test_a_script_has_its_own_arguments(folder: Path) -> None:
    done = pallas_np("run", f"{folder.name}/script.py", "a", "--verbose", "-m", cwd=folder.parent)
    assert (done.returncode, done.stdout) == (0, "['a', '--verbose', '-m'] [0, 2, 4]\n"), done.stderr
    assert "pallas_np" not in done.stderr


@pytest.mark.parametrize("module", ["package", "package.module"])
def test_a_module(folder: Path, module: str) -> None:
    done = pallas_np("run", "-m", module, "a", "--exit", cwd=folder)
    assert (done.returncode, done.stdout) == (7, "['a', '--exit'] [0, 2, 4]\n"), done.stderr


def test_verbose_says_how_many_kernels_ran_threads_included(folder: Path) -> None:
    done = pallas_np("run", "--verbose", "--uninitialized", "zero", "script.py", "--thread", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "['--thread'] [0, 2, 4]\n[0, 2, 4]\n"), done.stderr
    assert done.stderr.splitlines()[-1] == "pallas_np: 2 kernels ran in NumPy"


def test_a_check_that_watches(folder: Path) -> None:
    program = """
        import jax, jax.numpy as jnp
        from jax.experimental import pallas as pl
        def kernel(x_ref, out_ref):
            out_ref[...] = jnp.log(x_ref[...])
        print(jnp.isneginf(pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((2,), jnp.float32))(jnp.zeros(2))))
    """
    (folder / "logarithm.py").write_text(textwrap.dedent(program))
    assert pallas_np("run", "logarithm.py", cwd=folder).stdout == "[ True  True]\n"
    done = pallas_np("run", "--check-nans", "logarithm.py", cwd=folder)
    assert done.returncode == 1
    assert "NonFiniteError: log makes -inf" in done.stderr


def test_a_failing_script_shows_only_its_own_frames(folder: Path) -> None:
    done = pallas_np("run", "script.py", "--fail", cwd=folder)
    assert done.returncode == 1
    trace = done.stderr[done.stderr.index("Traceback") :].splitlines()
    assert trace[1].startswith('  File "script.py", line ')
    assert trace[-1] == "ValueError: the script failed"


def test_the_script_may_configure_jax_before_it_imports_it(folder: Path) -> None:
    program = """
        import os, sys
        assert "jax" not in sys.modules
        os.environ["JAX_ENABLE_X64"] = "1"
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=3"
        import jax, jax.numpy as jnp
        from jax.experimental.pallas import pallas_call
        x = jnp.arange(2.0)
        out = pallas_call(lambda x_ref, out_ref: out_ref.__setitem__(..., x_ref[...] / 3), out_shape=x)(x)
        print(out.dtype, jax.device_count())
    """
    (folder / "configures.py").write_text(textwrap.dedent(program))
    done = pallas_np("run", "--verbose", "configures.py", cwd=folder)
    assert done.stdout == "float64 3\n", done.stderr
    assert "1 kernel ran in NumPy" in done.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere.py"], "there is no file 'nowhere.py'"),
        (["-m", "nowhere.module"], "there is no module 'nowhere.module'"),
        (["-m", "package.nothing"], "there is no module 'package.nothing'"),
        ([], "name a script, or a module after -m"),
        (["-m"], "name a script, or a module after -m"),
        (["--unknown", "script.py"], "unrecognized arguments: --unknown"),
        (["--uninitialized", "some", "script.py"], "invalid choice: 'some'"),
    ],
)
def test_what_cannot_be_run_is_named(folder: Path, arguments: list[str], message: str) -> None:
    done = pallas_np("run", *arguments, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
