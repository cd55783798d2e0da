"""Parts of pages that the build computes: a line `<!-- generated: name -->` in a page's Markdown is replaced.

What a name stands for is measured, or read from the package, when the site is built.
"""

import dataclasses
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import mistakes  # noqa: E402
import preview  # noqa: E402
import suite_report  # noqa: E402
from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.plugins import get_plugin_logger  # noqa: E402
from mkdocs.structure.files import Files  # noqa: E402
from mkdocs.structure.pages import Page  # noqa: E402

from exercises.machinery import catalogue  # noqa: E402

log = get_plugin_logger("book")
MARK = re.compile(r"^<!-- generated: ([\w-]+)((?: [\w.]+)*) -->$", re.MULTILINE)
BENCHMARK_REPEATS = 3
PHASES = (1, 2, 3, 4, 5)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return MARK.sub(lambda mark: part(mark[1], *mark[2].split()), markdown)


def on_post_build(config: MkDocsConfig) -> None:
    preview.draw(measurements()[: len(PHASES)], Path(config.site_dir) / "images" / "preview.png")


def part(name: str, *arguments: str) -> str:
    """The Markdown that a mark stands for; an unknown name is a warning, which stops a strict build."""
    function = PARTS.get(name)
    if function is None:
        log.warning(f"'<!-- generated: {name} -->' stands for nothing; known are {', '.join(sorted(PARTS))}.")
        return ""
    return function(*arguments)


# --- Measured --------------------------------------------------------------------------------------------------------


@cache
def report() -> dict[str, Any]:
    """One run of the benchmark, for all pages of this build."""
    from pallas_np import phase_benchmark

    log.info("running the benchmark")
    return phase_benchmark.run(64, 128, BENCHMARK_REPEATS, progress=False)


def measurements() -> list[Any]:
    """Those of the five phases, the compiler's and the tiered engine's."""
    from pallas_np import phase_benchmark

    return phase_benchmark.phases_of(report())


def benchmark_figure() -> str:
    from pallas_np import workbook

    caption = "A sort of 64 rows of 128 numbers that was never run before, from its call to its result: less is better."
    return str(workbook.cost_bars(measurements(), caption))


def benchmark_sentence() -> str:
    first, _, _, _, last, *_ = measurements()
    return (
        f"A sort that was never run before takes **{first.cold * 1e3:.0f} ms** from its call to its result with "
        f"`interpret=True`, and **{last.cold * 1e3:.0f} ms** in phase 5: {first.cold / last.cold:.0f} times as fast. "
        f"Of those, {last.trace * 1e3:.0f} ms are JAX tracing the kernel, which every phase has to wait for."
    )


def benchmark_warm_sentence() -> str:
    first, _, _, _, last, compiler, tiered = measurements()
    return (
        f"A second call takes {first.warm * 1e3:.2g} ms with `interpret=True` and {last.warm * 1e3:.2g} ms in phase 5, "
        f"which walks the kernel's equations again. The NumPy program that the [epilogue](phases/epilogue.ipynb) makes "
        f"of them takes {compiler.warm * 1e3:.2g} ms. `pallas_np.pallas_call` has both: it walks the first call, which "
        f"takes {tiered.cold * 1e3:.0f} ms, and makes the program at the second."
    )


def benchmark_table() -> str:
    from pallas_np import phase_benchmark

    return phase_benchmark.table(report())


def who_runs() -> str:
    from pallas_np import workbook

    return str(workbook.who_runs(*PHASES))


# --- Read from the package -------------------------------------------------------------------------------------------


def primitives() -> str:
    """A table for each phase: the primitives whose rules it adds, what each does, its rule, exercises, and its use."""
    from pallas_np import workbook

    modules = {phase: importlib.import_module(f"pallas_np.phase{phase}") for phase in PHASES}
    in_sort = workbook.equations_by(workbook.sort_kernel().jaxpr, {})[1]
    lines = []
    for phase in PHASES[1:]:
        before, after = modules[phase - 1].numpy_rules, modules[phase].numpy_rules
        added = {p.name: (p, rule) for p, rule in after.items() if p not in before and in_this_release(p)}
        lines += [f"## Phase {phase}", "", f"{len(added)} primitives join the table here.", ""]
        lines += ["| Primitive | What it does, and its rule | Exercises | In the sort |", "|---|---|---|---:|"]
        for name in sorted(added):
            primitive, rule = added[name]
            final = modules[5].numpy_rules[primitive]
            rules = code(rule_name(rule)) + (f", then {code(rule_name(final))}" if final is not rule else "")
            done = ", ".join(f"[{e.number}](../exercises/{e.name}.md)" for e in catalogue.exercises_on(name))
            does = f"{what_it_does(name, rule, final)}<br>{rules}"
            lines.append(f"| `{name}` | {does} | {done} | {in_sort[name] or ''} |")
        lines.append("")
    return "\n".join(lines)


def what_it_does(name: str, *rules: Callable[..., Any]) -> str:
    """A sentence about a primitive: its rules' docstring, or ours for NumPy's functions and the structure rules."""
    if name in ELEMENTWISE or name in STRUCTURE:
        return ELEMENTWISE.get(name) or STRUCTURE[name]
    return next(filter(None, map(first_line, rules)), "")


# What those do whose rule is NumPy's own function.
ELEMENTWISE = {
    "add": "x + y.",
    "add_any": "x + y, where a derivative adds up.",
    "eq": "x == y.",
    "ge": "x >= y.",
    "gt": "x > y.",
    "is_finite": "Whether x is neither infinite nor NaN.",
    "le": "x <= y.",
    "lt": "x < y.",
    "ne": "x != y.",
    "sub": "x - y.",
}
# What the structure rules do.  Their functions are short enough to have no docstring.
STRUCTURE = {
    "addupdate": "Adds to part of a ref.",
    "atomic_cas": "Compares part of a ref with a value, replaces it if they are equal, and answers what was there.",
    "axis_index": "The device's position along an axis of a mesh.",
    "broadcast_to": "Repeats a value to a shape.",
    "cond": "Runs one of several programs, chosen by an index.",
    "create_linear": "Memory that is used once.",
    "custom_jvp_call": "Runs a function that has its own derivative.",
    "custom_vjp_call": "Runs a function that has its own reverse derivative.",
    "debug_callback": "Calls a Python function with values of the kernel: `jax.debug.print`, say.",
    "dma_start": "Starts a copy between refs.",
    "dma_wait": "Waits for a copy that was started.",
    "empty_ref": "Makes a ref to memory that nobody has written to.",
    "eval_jaxpr": "Runs a nested program.",
    "closed_call": "Runs a nested program.",
    "freeze": "Ends a ref and answers its contents.",
    "get": "Reads part of a ref: a copy.",
    "jit": "Runs a nested program.",
    "masked_load": "Reads part of a ref where a mask is true.",
    "masked_swap": "Writes part of a ref where a mask is true, and answers what was there.",
    "matmul_acc_lhs": "Multiplies by what the TPU's matrix unit has loaded, and adds to its accumulator.",
    "matmul_lhs_fifo": "Multiplies by what the TPU's matrix unit has loaded, and puts the product into its queue.",
    "matmul_pop_fifo": "Takes the oldest product out of the TPU's matrix unit.",
    "matmul_push_rhs": "Loads a right operand into the TPU's matrix unit.",
    "new_ref": "Makes a ref that holds a value.",
    "num_programs": "The grid's length along an axis.",
    "prng_join": "Puts the words of a random key together.",
    "prng_random_bits": "Random bits from the TPU's generator.",
    "prng_seed": "Seeds the TPU's generator.",
    "program_id": "This program's index along an axis of the grid.",
    "reduce": "Reduces over axes with a small program of its own.",
    "reduce_window": "Reduces each window of an array with a small program of its own.",
    "remat2": "Runs a nested program that may be computed again for a derivative.",
    "checkpoint": "Runs a nested program that may be computed again for a derivative.",
    "run_scoped": "Runs a program with memory of its own, fresh at each entry.",
    "scan": "Runs a program a fixed number of times, with a carry, inputs and outputs.",
    "scatter": "Writes windows of updates into an array, one for each index vector.",
    "semaphore_read": "A semaphore's count.",
    "semaphore_signal": "Adds to a semaphore's count.",
    "semaphore_wait": "Waits until a semaphore's count is reached, and takes it.",
    "swap": "Writes part of a ref, and answers what was there.",
    "while": "Runs a program as long as another one answers true.",
}


PHASE_CHAPTERS = (*(f"phases/phase{phase}" for phase in PHASES), "phases/epilogue")
CHAPTERS = ("kernel", "pallas", "jaxpr", *PHASE_CHAPTERS, "your-kernels", "when-a-kernel-is-wrong")


def chapters() -> str:
    """The chapters in order, with the minutes to read each and the exercises on it."""
    rows = ["| Chapter | Minutes to read | Exercises | Minutes to do them |", "|---|---:|---:|---:|"]
    for name in CHAPTERS:
        text = (ROOT / "book" / f"{name}.ipynb").read_text(encoding="utf-8")
        opening = "".join(json.loads(text)["cells"][0]["source"])
        title, minutes = re.search(r"# (.*)", opening), re.search(r"\*\*Time:\*\* (\d+) minutes", opening)
        assert title and minutes, f"{name} does not begin with its title and the time it takes"
        done = [e.minutes for e in catalogue.exercises() if name == f"phases/{e.part.folder}"]
        rows.append(f"| [{title[1]}]({name}.ipynb) | {minutes[1]} | {len(done) or ''} | {sum(done) or ''} |")
    return "\n".join(rows)


def in_this_release(primitive: Any) -> bool:
    from pallas_np.frontend.primitives import Missing

    return not isinstance(primitive, Missing)


def rule_name(rule: Callable[..., Any]) -> str:
    """Where a rule is to be found: `lax_numpy.div`, `phase3.get`, `numpy.add`."""
    module = (getattr(rule, "__module__", "") or "").removeprefix("pallas_np.")
    name = getattr(rule, "__qualname__", getattr(rule, "__name__", type(rule).__name__))
    if module.startswith("lax_numpy."):
        module = "lax_numpy"
    return f"{module}.{name.partition('.<locals>')[0]}"


def code(text: str) -> str:
    return f"`{text}`"


def first_line(thing: Any) -> str:
    """The first sentence or line of a docstring of ours; other people's ufuncs have their signature there."""
    docstring = inspect.getdoc(thing) or ""
    if isinstance(thing, type(abs)) or type(thing).__name__ == "ufunc":
        docstring = docstring.partition("\n\n")[2]
    return docstring.partition("\n\n")[0].replace("\n", " ").replace("|", r"\|")


def api(module_name: str, *names: str) -> str:
    """Functions and classes of a module, with their signatures and docstrings."""
    module = importlib.import_module(module_name)
    lines = []
    for name in names or module.__all__:
        thing = getattr(module, name)
        lines += [f"### `{name}` {{ #{module_name}.{name} }}", ""]
        if isinstance(thing, Mapping):
            lines += [f"A table of {len(thing)} rules: see [the primitives](primitives.md).", ""]
        elif callable(thing):
            lines += ["```python", signature(name, thing), "```", ""]
            lines += [docstring_as_markdown(inspect.getdoc(thing) or ""), ""]
    return "\n".join(lines)


def errors() -> str:
    """The kinds of error: what each is, and mistakes that raise it."""
    lines = []
    for kind in mistakes.kinds():
        bases = " and ".join(f"`{base.__name__}`" for base in kind.__bases__)
        lines += [f"### `{kind.__name__}` {{ #{kind.__name__} }}", "", f"Also: {bases}.", ""]
        lines += [docstring_as_markdown(inspect.getdoc(kind) or ""), ""]
        lines += map(mistakes.shown, mistakes.MISTAKES.get(kind.__name__, []))
    return "\n".join(lines)


def options() -> str:
    """Every option: its values, its flag on the command line, and what it does."""
    from pallas_np.options import ACCEPTED, Options

    lines = []
    meanings = attributes(Options)
    for field in dataclasses.fields(Options):
        accepted = ACCEPTED.get(field.name)
        flag = f"--{field.name.replace('_', '-')}" + (" ..." if accepted != (False, True) else "")
        values = "" if accepted is None else f" Values: {', '.join(map(code, map(repr, accepted)))}."
        lines += [f"### `{field.name}` {{ #{field.name} }}", ""]
        lines += [f"Default: `{field.default!r}`.{values} On the command line: `{flag}`.", "", meanings[field.name], ""]
    return "\n".join(lines)


def attributes(thing: Any) -> dict[str, str]:
    """What a class's docstring says of each attribute, which begins with a capital letter here."""
    section = re.split(r"^(?:Attributes|Raises):$", inspect.getdoc(thing) or "", flags=re.MULTILINE)[1]
    found = re.findall(r"^  (\w+): (.*(?:\n    .*)*)", section, re.MULTILINE)
    return {name: text[0].upper() + re.sub(r"\s+", " ", text[1:]) for name, text in found}


def functions(module_name: str) -> str:
    """A module's functions as a table: signature and first sentence."""
    module = importlib.import_module(module_name)
    rows = ["| Function | What it does |", "|---|---|"]
    for name in sorted(vars(module)):
        function = getattr(module, name)
        if callable(function) and not name.startswith("_") and not inspect.isclass(function):
            rows.append(f"| `{name}` | {first_line(function)} |")
    return "\n".join(rows)


def signature(name: str, thing: Any) -> str:
    """The definition's head, without annotations; one argument on a line if it is long."""
    try:
        found = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return name
    arguments: list[str] = []
    for parameter in found:
        default = parameter.default
        bare = parameter.replace(annotation=inspect.Parameter.empty, default=inspect.Parameter.empty)
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in "".join(a[:1] for a in arguments):
            arguments.append("*")
        arguments.append(str(bare) if default is inspect.Parameter.empty else f"{bare}={shown_default(default)}")
    text = f"{name}({', '.join(arguments)})"
    return text if len(text) <= 88 else f"{name}(\n" + "".join(f"    {a},\n" for a in arguments) + ")"


def shown_default(default: Any) -> str:
    """An argument's default, as one would write it: the table of rules, and a class's own defaults, by name."""
    if isinstance(default, Mapping):
        return "numpy_rules"
    return f"{type(default).__name__}()" if dataclasses.is_dataclass(default) else repr(default)


SECTIONS = ("Args", "Arguments", "Attributes", "Returns", "Raises", "Yields")


def docstring_as_markdown(docstring: str) -> str:
    """A docstring with its sections as definition lists."""
    lines: list[str] = []
    section = ""
    for line in docstring.splitlines():
        if line.removesuffix(":") in SECTIONS and line.endswith(":"):
            section = line.removesuffix(":")
            lines += ["", f"**{'Arguments' if section == 'Args' else section}**", ""]
        elif section and (item := re.match(r"  (\*{0,2}[\w.]+): (.*)", line)):
            lines += ["", f"`{item[1]}`", f":   {item[2]}"]
        elif section:
            lines.append(f"    {line.strip()}" if line.startswith("    ") else line.strip())
        else:
            lines.append(line)
    return "\n".join(lines).strip()


def version_list() -> str:
    """The versions that this site was built with."""
    return ", ".join(f"{name} {version}" for name, version in report()["versions"].items())


def coverage() -> str:
    """Which primitives run, since which phase, and by what."""
    import jax

    from pallas_np.primitive_coverage import all_primitives

    table = all_primitives()
    runs = {by: sum(row.by == by for row in table.supported) for by in ("NumPy", "lax_reference", "pallas_np")}
    defined = len(table.supported) - sum(runs.values())
    lines = [
        f"On JAX {jax.__version__}, **{table.summary}** {runs['NumPy']} of them are run by a function of NumPy's own, "
        f"{runs['lax_reference']} by one of `lax_reference`, JAX's NumPy reference, and {runs['pallas_np']} by one of "
        f"ours. {f'For {defined} we run the jaxpr that JAX itself defines them by.' if defined else ''}",
        "",
        "| Taken by | Run here | In all |",
        "|---|---:|---:|",
        *(f"| {compiler} | {run} | {total} |" for compiler, (run, total) in table.by_compiler().items()),
        "",
        "| Primitive | Since phase | Run by | Function | Compilers |",
        "|---|:---:|---|---|---|",
    ]
    for row in table.rows:
        function = code(re.sub(r"^(pallas_np|jax\._src)\.", "", row.function)) if row.supported else ""
        phase = row.phase if row.supported else "-"
        lines.append(f"| `{row.primitive}` | {phase} | {row.by} | {function} | {', '.join(row.compilers)} |")
    return "\n".join(lines)


PARTS: dict[str, Callable[..., str]] = {
    "api": api,
    "benchmark-figure": benchmark_figure,
    "benchmark-sentence": benchmark_sentence,
    "benchmark-table": benchmark_table,
    "benchmark-warm-sentence": benchmark_warm_sentence,
    "chapters": chapters,
    "coverage": coverage,
    "errors": errors,
    "functions": functions,
    "options": options,
    "primitives": primitives,
    "suite": suite_report.suite,
    "versions": version_list,
    "who-runs": who_runs,
}
