"""What the checks in `solutions/` are written with.

A check compares what the learner's code answers with what it should, and stops at the first difference by raising
`Wrong`, whose message shows what was tried, on what, where the answers differ, and a sentence on why.
"""

from __future__ import annotations

import copy
import inspect
import string
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import pallas as pl
from jax.extend.core import Primitive

from pallas_np import frontend, phase1, phase5
from pallas_np.frontend import Equation, KernelCall

Rules = Mapping[Any, Callable[..., Any]]
PROGRAM_LINES = 32  # as long as a program is shown whole


class Wrong(Exception):
    """The answer is wrong; the message says how."""


@contextmanager
def trying(tried: str) -> Iterator[None]:
    """Lets an error that is raised in the block tell what was being tried."""
    try:
        with np.errstate(all="ignore"):
            yield
    except BaseException as error:
        if not isinstance(error, Wrong) and not hasattr(error, "tried"):
            error.tried = tried  # type: ignore[attr-defined]
        raise


def require(condition: Any, message: str) -> None:
    """Raises `Wrong(message)` unless the condition holds."""
    if not condition:
        raise Wrong(message)


def expect(function: Callable[..., Any], *args: Any, want: Any, say: str = "", **params: Any) -> Any:
    """Calls the learner's function and compares its answer with `want`; `say` explains the usual cause of a mistake."""
    tried = describe_call(function, args, params)
    before = copy.deepcopy([arg if isinstance(arg, np.ndarray) else None for arg in args])
    with trying(tried):
        got = function(*args, **params)
    require_numpy(got, tried)
    same(got, want, tried, say)
    for name, arg, was in zip(_argument_names(function, len(args)), args, before):
        if was is not None:
            same(arg, was, f"{tried}\nThe argument {name} has changed: a rule leaves its arguments alone.")
    return got


def require_numpy(got: Any, tried: str) -> None:
    """Raises `Wrong` if the answer is JAX's work."""
    for value in got if isinstance(got, list | tuple) else [got]:
        require(not isinstance(value, jax.Array), f"{tried}\ngot an array of JAX's: a rule is to compute with NumPy.")


def describe_call(function: Callable[..., Any], args: Sequence[Any], params: Mapping[str, Any]) -> str:
    """The call as text, with its inputs below it."""
    names = _argument_names(function, len(args))
    passed = dict.fromkeys(f"*{name[: name.index('[')]}" if "[" in name else name for name in names)
    call = ", ".join([*passed, *(f"{name}={value}" for name, value in params.items())])
    return described(f"{function.__name__}({call})", dict(zip(names, args)))


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    """What the function calls so many positional arguments; of `*rest` each by its place, `rest[0]`."""
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    rest = next((p.name for p in parameters if p.kind == p.VAR_POSITIONAL), "arguments")
    return [*names, *(f"{rest}[{i}]" for i in range(count - len(names)))]


def described(what: str, inputs: Mapping[str, Any]) -> str:
    """`what` was tried, with its inputs below it."""
    shown = [f"{name} = {show(value)}" for name, value in inputs.items()]
    return "\n".join([f"Tried {what}", *(textwrap.indent(text, "  ") for text in shown)])


def show(value: Any) -> str:
    """A value on one line: an array with its dtype and shape first.  Only a program takes several."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        edge = 2 if array.ndim <= 2 else 1
        text = np.array2string(array, threshold=32, edgeitems=edge, separator=" ", max_line_width=10_000)
        return f"{array.dtype}{list(array.shape)} {' '.join(text.split())}"
    if isinstance(value, frontend.Jaxpr):
        return show_program(value)
    if isinstance(value, Equation):
        return f"<the equation {describe_equation(value)}>"
    if type(value) in (list, tuple):
        items = ", ".join(map(show, value)) + ("," if type(value) is tuple and len(value) == 1 else "")
        return f"[{items}]" if type(value) is list else f"({items})"
    if isinstance(value, Mapping) and value and all(isinstance(key, Primitive) for key in value):
        return f"a table with rules for {', '.join(key.name for key in value)}"
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + " …"


def show_program(jaxpr: frontend.Jaxpr) -> str:
    """A jaxpr as text, an equation on each line, and below it the programs inside it; of a long one the names alone."""
    names: dict[Any, str] = {}
    lines = _program_lines(jaxpr, names)
    if len(lines) > PROGRAM_LINES:
        return f"a program of {len(jaxpr.eqns)} equations: {', '.join(eqn.name for eqn in jaxpr.eqns)}"
    return "\n".join(lines)


def _program_lines(jaxpr: frontend.Jaxpr, names: dict[Any, str]) -> list[str]:
    def name(atom: Any) -> str:
        if isinstance(atom, frontend.Literal):
            return str(atom.value)
        return names.setdefault(atom, string.ascii_lowercase[len(names) % 26] * (1 + len(names) // 26))

    arguments = ", ".join(map(name, (*jaxpr.constvars, *jaxpr.invars)))
    lines = [f"a program of {arguments}" if arguments else "a program"]
    for eqn in jaxpr.eqns:
        results = ", ".join(map(name, eqn.outvars))
        words = [*([results, "="] if results else []), eqn.name, *map(name, eqn.invars)]
        lines.append("  " + " ".join(words))
        for inner in frontend.subjaxprs(eqn):
            lines += ["    " + line for line in _program_lines(inner, names)]
    return [*lines, f"  answers {', '.join(map(name, jaxpr.outvars))}"] if jaxpr.outvars else lines


def same(got: Any, want: Any, tried: str, say: str = "", *, tolerance: float = 0.0) -> None:
    """Raises `Wrong` at the first difference between an answer and the right one.

    Arrays must have the same dtype and shape; NaN equals NaN, and +0 equals -0.  Lists and tuples are compared item by
    item, everything else with `==`.

    Args:
      got: the learner's answer.
      want: the right one.
      tried: what was tried, with its inputs.
      say: a sentence on the usual cause.
      tolerance: how far floats may differ, relative to the larger of 1 and the right value.
    """
    difference = _difference(got, want, tolerance)
    if difference:
        raise Wrong("\n".join(part for part in (tried, difference, say) if part))


def _difference(got: Any, want: Any, tolerance: float) -> str:
    if got is None and want is not None:
        return f"got None, wanted {show(want)}: is a `return` missing?"
    if isinstance(want, np.ndarray | np.generic | jax.Array):
        return _array_difference(got, np.asarray(want), tolerance)
    if isinstance(want, list | tuple):
        return _list_difference(got, want, tolerance)
    if got == want:
        return ""
    if type(got) is not type(want):
        return f"got {show(got)}, {_kind(got)}; wanted {show(want)}, {_kind(want)}"
    return f"got {show(got)}, wanted {show(want)}"


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _list_difference(got: Any, want: Sequence[Any], tolerance: float) -> str:
    if not isinstance(got, list | tuple):
        return f"got {show(got)}, wanted {_kind(want)}: {show(want)}"
    for i, (mine, right) in enumerate(zip(got, want)):
        difference = _difference(mine, right, tolerance)
        if difference:
            return f"result {i}: {difference}" if len(want) > 1 else difference
    return "" if len(got) == len(want) else f"got {len(got)} results, wanted {len(want)}: {show(got)}, not {show(want)}"


def _array_difference(got: Any, want: np.ndarray, tolerance: float) -> str:
    if not isinstance(got, np.ndarray | np.generic | jax.Array):
        return f"got {show(got)}, {_kind(got)}; wanted an array, {show(want)}"
    got = np.asarray(got)
    if got.shape != want.shape:
        return f"shape: got {list(got.shape)}, wanted {list(want.shape)}"
    if got.dtype != want.dtype:
        return f"dtype: got {got.dtype}, wanted {want.dtype}"
    differs = ~_equal(got, want, tolerance)
    if not differs.any():
        return ""
    index = tuple(int(i) for i in np.argwhere(differs)[0])
    place = f"first difference at index {list(index)}: " if index else ""
    count = f"  ({differs.sum()} of {differs.size} elements differ)" if differs.size > 1 else ""
    return f"{place}got {got[index]!s}, wanted {want[index]!s}{count}"


def _equal(got: np.ndarray, want: np.ndarray, tolerance: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        equal = (got == want) | ((got != got) & (want != want))
        if tolerance:
            mine, right = got.astype(np.float64), want.astype(np.float64)
            equal |= np.abs(mine - right) <= tolerance * np.maximum(1, np.abs(right))
    return np.asarray(equal)


# --- Programs --------------------------------------------------------------------------------------------------------


def jaxpr_of(function: Callable[..., Any], *args: Any) -> frontend.Jaxpr:
    """The jaxpr of a function, as the interpreters see it."""
    return frontend.as_jaxpr(jax.make_jaxpr(function)(*args))


def call_of(kernel: Callable[..., None], out: Any, *arrays: Any, **options: Any) -> KernelCall:
    """The kernel call that `pl.pallas_call(kernel, out, **options)(*arrays)` makes."""
    traced = frontend.trace(pl.pallas_call(kernel, out, interpret=True, **options), *arrays)
    assert traced is not None
    return traced.call


def array_like(array: Any) -> jax.ShapeDtypeStruct:
    """The `out_shape` of an output like `array`."""
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def expect_program(rules: Rules, function: Callable[..., Any], *args: Any, say: str = "", tolerance: float = 0) -> None:
    """Evaluates the function's jaxpr with the learner's rules, each beside the package's; JAX judges the result."""
    jaxpr = jaxpr_of(function, *args)
    leaves = jax.tree_util.tree_leaves(args)
    names = jaxpr.argument_names if all(jaxpr.argument_names) else [f"argument {i}" for i in range(len(leaves))]
    tried = described(f"the program of {function.__name__}", dict(zip(names, leaves)))
    got = _run(tried, lambda: phase1.evaluate(SideBySide(rules, say, tolerance), jaxpr, jaxpr.consts, leaves))
    want = jax.tree_util.tree_leaves(function(*args))
    same(got, want, tried, say, tolerance=tolerance)


def expect_kernel(
    rules: Rules,
    kernel: Callable[..., None],
    out: Any,
    *arrays: Any,
    say: str = "",
    tolerance: float = 0,
    **options: Any,
) -> None:
    """Runs a kernel with the learner's rules, each beside the package's; `interpret=True` judges the outputs.

    Args:
      rules: the learner's rules; what they do not have, phase 5 does.
      kernel: the kernel.
      out: its `out_shape`.
      *arrays: its inputs.
      say: a sentence on the usual cause of a mistake.
      tolerance: how far floats may differ.
      **options: the grid, specs and scratch of the call.
    """
    call = call_of(kernel, out, *arrays, **options)
    tried = described(f"the kernel {kernel.__name__}", dict(zip(call.jaxpr.argument_names, arrays)))
    got = _run(tried, lambda: SideBySide(rules, say, tolerance).run(call, *map(np.asarray, arrays)))
    want = jax.tree_util.tree_leaves(pl.pallas_call(kernel, out, interpret=True, **options)(*arrays))
    same(got, want, tried, say, tolerance=tolerance)


def _run(tried: str, run: Callable[[], Any]) -> Any:
    with trying(tried):
        return run()


class SideBySide(phase5.Interpreter):
    """Runs the learner's rules, and beside each the package's, on copies; stops at the first equation that differs."""

    def __init__(self, rules: Rules, say: str = "", tolerance: float = 0):
        super().__init__({**phase5.numpy_rules, **rules})
        self.learners = rules
        self.say, self.tolerance = say, tolerance

    def eval_equation(self, eqn: Equation, *args: Any) -> Any:
        if eqn.primitive not in self.learners:
            return super().eval_equation(eqn, *args)
        memory = {id(arg): np.array(arg) for arg in args}  # a ref that stands there twice stays one ref
        copies = [memory[id(arg)] for arg in args]
        want = self.reference().eval_equation(eqn, *copies)
        inputs = {f"input {i}": np.array(arg) for i, arg in enumerate(args)}
        tried = described(f"the equation {describe_equation(eqn)}", inputs | _programs_in(eqn))
        with trying(tried):
            got = super().eval_equation(eqn, *args)
        require_numpy(got, tried)
        if eqn.multiple_results and not isinstance(got, list | tuple):
            same(got, list(want), tried, f"The primitive {eqn.name} has several results: its rule returns a list.")
        if want is not None:  # `None`: the package leaves out a value that nothing uses
            right = list(want) if eqn.multiple_results else np.asarray(want)
            same(got, right, tried, self.say, tolerance=self.tolerance)
        for i, (atom, arg, right) in enumerate(zip(eqn.invars, args, copies)):
            if getattr(atom, "is_ref", False):
                what = f"{tried}\nAfter it, the ref holds the wrong values."
                same(arg, right, what, self.say, tolerance=self.tolerance)
            else:
                same(arg, right, f"{tried}\nInput {i} has changed: a rule leaves the values that it is given alone.")
        return got

    def reference(self) -> phase5.Interpreter:
        """The package's interpreter, at the same place of the same grid."""
        reference = phase5.Interpreter(phase5.numpy_rules)
        reference.__dict__.update(self.__dict__ | {"rules": phase5.numpy_rules})
        return reference


def describe_equation(eqn: Equation) -> str:
    """An equation on one line: the types of its results, its primitive, and the parameters that are no programs."""
    results = ", ".join(map(str, eqn.outvars))
    params = ", ".join(f"{name}={value}" for name, value in eqn.params.items() if not _has_program(value))
    text = f"{results} = {eqn.name}" if results else eqn.name
    text += f"[{params}]" if params else ""
    return text if len(text) <= 140 else text[:140] + " …"


def _has_program(param: Any) -> bool:
    return any(isinstance(value, frontend.Jaxpr) for value in (param if isinstance(param, tuple) else (param,)))


def _programs_in(eqn: Equation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, param in eqn.params.items():
        if _has_program(param):
            several = isinstance(param, tuple)
            found |= {f"{name}[{i}]": program for i, program in enumerate(param)} if several else {name: param}
    return found
