"""A JAX newer than those tested: one warning, and what is missing is named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import jax
import pytest

from pallas_np.frontend import versions

ROOT = Path(__file__).resolve().parent.parent


def run(program: str) -> None:
    lines = "import jax, warnings\nimport jax.experimental.pallas as pl\n" + textwrap.dedent(program) + "print('ran')\n"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, env=os.environ | {})
    assert done.stdout.strip() == "ran", done.stdout + done.stderr


def test_this_jax_is_tested() -> None:
    def series(version: str) -> list[str]:
        return version.split(".")[:2]

    assert series(jax.__version__) in map(series, versions.TESTED)


def test_the_project_asks_for_the_releases_that_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = [r for r in project["dependencies"] if re.match(r"jax\b", r)]
    assert requirement == f"jax>={versions.TESTED[0]},<{'.'.join(map(str, versions.FIRST_UNTESTED))}"


def test_a_newer_jax_works_after_one_warning() -> None:
    run("""
        jax.__version__, jax.__version_info__ = "0.14.1", (0, 14, 1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import pallas_np
            assert not caught
            from pallas_np import phase5
            pallas_np.install()
            out = pl.pallas_call(lambda out_ref: out_ref.__setitem__(0, 7), jax.ShapeDtypeStruct((1,), "int32"))()
            assert out[0] == 7
        (warning,) = [w for w in caught if "pallas_np" in str(w.message)]
        assert "this is JAX 0.14.1" in str(warning.message), warning
    """)


@pytest.mark.parametrize(
    "module, name",
    [
        ("jax._src.pallas.pallas_call", "_pallas_call"),  # replaced by `install`
        ("jax._src.pallas.mpmd", "mpmd_map_p"),
        ("jax._src.state.primitives", "addupdate_p"),  # read as an attribute when the frontend loads
        ("jax._src.state.types", "AccumEffect"),  # imported by name
    ],
)
def test_what_a_newer_jax_lacks_is_named(module: str, name: str) -> None:
    run(f"""
        jax.__version__, jax.__version_info__ = "0.14.1", (0, 14, 1)
        warnings.simplefilter("ignore")
        import {module} as module
        from jax.experimental.pallas import tpu
        del module.{name}
        import pallas_np
        assert pallas_np.lax_numpy.div
        try:
            pallas_np.install()
        except ImportError as error:
            assert type(error).__name__ == "JaxInternalMissing"
            message = str(error)
        assert "needs {module}.{name}, which JAX 0.14.1 does not have" in message, message
        assert 'install "jax>=0.10.2,<' in message
    """)


def test_a_parameter_object_that_changed_is_named() -> None:
    class GridMapping:
        pass

    GridMapping.__module__ = "jax._src.pallas.core"
    expected = r"needs jax\._src\.pallas\.core\..*GridMapping\.grid, which"
    with pytest.raises(versions.JaxInternalMissing, match=expected), versions.naming_what_is_missing():
        GridMapping().grid  # type: ignore[attr-defined]  # noqa: B018


def test_other_errors_pass_through() -> None:
    with pytest.raises(AttributeError, match="nothing"), versions.naming_what_is_missing():
        versions.nothing  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), versions.naming_what_is_missing():
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401
