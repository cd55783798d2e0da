"""Rules of the house that no single module can keep: who imports whom, and what is never committed."""

import ast
import json
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pallas_np"

# Each room of the house and what it stands on. A phase also stands on every phase before it.
GROUND_FLOOR = {"frontend", "lax_numpy"}
PHASES = ["phase1", "phase2", "phase3", "phase4", "phase5"]
ROOMS_BELOW = {
    "lax_numpy": set(),
    "frontend": {"lax_numpy"},
    "kernels": set(),
    **{phase: GROUND_FLOOR | set(PHASES[:number]) for number, phase in enumerate(PHASES)},
    "inspector": GROUND_FLOOR | set(PHASES),
    "compiler": GROUND_FLOOR | set(PHASES) | {"inspector"},
}


@cache
def tracked_files() -> list[Path]:
    """What is committed or about to be: tracked files, and new ones that are not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(path for path in (ROOT / line for line in listed.splitlines()) if path.is_file())


def tracked(*suffixes: str) -> list[Path]:
    return [path for path in tracked_files() if path.suffix in suffixes]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> list[str]:
    """`pallas_np/phase2/rules.py` as ["pallas_np", "phase2", "rules"]; a package is its folder."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(source: str, path: Path) -> set[str]:
    """The full names of all modules and names that `source` imports, inside functions too."""
    names = set()
    package = module_of(path) if path.name == "__init__.py" else module_of(path)[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{prefix}.{alias.name}" for alias in node.names}
    return names


def imports_of(path: Path) -> set[str]:
    return imports(path.read_text(encoding="utf-8"), path)


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def notebook_cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_imports_are_resolved_to_full_names():
    path = PACKAGE / "phase2" / "rules.py"
    source = "from ..phase1 import pallas_call\nfrom . import grid\nimport jax._src.core as core\n"
    assert imports(source, path) == {"pallas_np.phase1.pallas_call", "pallas_np.phase2.grid", "jax._src.core"}


def test_only_the_frontend_imports_jax_internals():
    frontend = PACKAGE / "frontend"
    outside = [path for path in tracked(".py") if frontend not in path.parents and ROOT / "tests" not in path.parents]
    culprits = {name_of(path) for path in outside for name in imports_of(path) if is_within(name, "jax._src")}
    assert not culprits


def test_notebooks_import_no_jax_internals():
    culprits = {
        name_of(path)
        for path in tracked(".ipynb")
        for cell in notebook_cells(path)
        if cell["cell_type"] == "code" and "jax._src" in "".join(cell["source"])
    }
    assert not culprits


def test_lax_numpy_knows_nothing_of_jax():
    paths = [path for path in tracked(".py") if PACKAGE / "lax_numpy" in path.parents]
    culprits = {
        name_of(path)
        for path in paths
        for name in imports_of(path)
        if is_within(name, "jax") or is_within(name, "jaxlib")
    }
    assert not culprits


@pytest.mark.parametrize("room", ROOMS_BELOW)
def test_a_room_imports_only_rooms_below_it(room):
    allowed = ROOMS_BELOW[room] | {room}
    culprits = set()
    for path in tracked(".py"):
        if PACKAGE / room not in path.parents:
            continue
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "pallas_np" and len(parts) > 1 and parts[1] in ROOMS_BELOW and parts[1] not in allowed:
                culprits.add(f"{name_of(path)} imports {name}")
    assert not culprits


def test_notebooks_are_committed_without_outputs():
    dirty = {
        name_of(path)
        for path in tracked(".ipynb")
        for cell in notebook_cells(path)
        if cell["cell_type"] == "code" and (cell["outputs"] or cell["execution_count"] is not None)
    }
    assert not dirty


def test_notebooks_run_in_the_environment_that_builds_the_site():
    for path in tracked(".ipynb"):
        kernel = json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]
        assert kernel["name"] == "python3", name_of(path)


# Joined here, so that this file passes its own test.
FOLDERS = ("root", "work", "home/[a-z]", "Users/[A-Za-z]", "opt/[a-z]")
HOSTS = (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs"), ("debian", "org"))
FORBIDDEN = [*("/" + folder + "/" for folder in FOLDERS), *(r"\.".join(parts) for parts in HOSTS)]


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_no_file_names_a_machine_or_a_package_host(pattern):
    text = tracked(".py", ".md", ".ipynb", ".toml", ".yml", ".txt", ".css", ".js", ".json", "")
    # A path starts where no other name ends: `book/work/` is no path of a machine.
    found = re.compile(r"(?<![\w.~-])" + pattern if pattern.startswith("/") else pattern)
    culprits = {name_of(path) for path in text if found.search(path.read_text(encoding="utf-8"))}
    assert not culprits


def test_constraints_fix_every_requirement():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    locked = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    fixed = {normalised(line.split("==")[0]) for line in locked.splitlines() if "==" in line}
    assert {normalised(re.split(r"[<>=~!\[; ]", name)[0]) for name in wanted} - {"pallas-np"} <= fixed
    assert "://" not in locked


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).strip().lower()


def test_readme_has_a_place_for_the_benchmark():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("<!-- benchmark:begin -->") == readme.count("<!-- benchmark:end -->") == 1


def test_site_navigation_names_every_chapter():
    """A chapter outside the navigation would be built and never found."""
    configuration = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [path for path in tracked(".ipynb", ".md") if ROOT / "book" in path.parents]
    missing = {name_of(path) for path in pages if path.relative_to(ROOT / "book").as_posix() not in configuration}
    assert not missing
