"""What the checks in `solutions/` are written with.

A check compares what the learner's code answers with what it should, and stops at the first difference by raising
`Wrong`, whose message shows what was tried, on what, where the answers differ, and a sentence on why.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import pallas as pl

from pallas_np import frontend, phase1, phase5
from pallas_np.frontend import Equation, KernelCall

Rules = Mapping[Any, Callable[..., Any]]


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
    with trying(tried):
        got = function(*args, **params)
    same(got, want, tried, say)
    return got


def describe_call(function: Callable[..., Any], args: Sequence[Any], params: Mapping[str, Any]) -> str:
    """The call as text, with its inputs below it."""
    names = [p.name for p in inspect.signature(function).parameters.values() if p.kind != p.KEYWORD_ONLY]
    names = [names[i] if i < len(names) else f"argument {i}" for i in range(len(args))]
    call = ", ".join([*names, *(f"{name}={value}" for name, value in params.items())])
    return described(f"{function.__name__}({call})", dict(zip(names, args)))


def described(what: str, inputs: Mapping[str, Any]) -> str:
    """`what` was tried, with its inputs below it."""
    return "\n".join([f"Tried {what}", *(f"  {name} = {show(value)}" for name, value in inputs.items())])


def show(value: Any) -> str:
    """A value on one line: an array with its dtype and shape first."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        text = np.array2string(array, threshold=24, edgeitems=4, separator=" ", max_line_width=10_000)
        return f"{array.dtype}{list(array.shape)} {' '.join(text.split())}"
    if isinstance(value, frontend.Jaxpr):
        return f"a jaxpr of {len(value.eqns)} equations: {', '.join(eqn.name for eqn in value.eqns)}"
    if isinstance(value, Equation):
        return describe_equation(value)
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + " …"


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
    return "" if got == want else f"got {show(got)}, wanted {show(want)}"


def _list_difference(got: Any, want: Sequence[Any], tolerance: float) -> str:
    if not isinstance(got, list | tuple):
        return f"got {show(got)}, wanted a {type(want).__name__}: {show(want)}"
    for i, (mine, right) in enumerate(zip(got, want)):
        difference = _difference(mine, right, tolerance)
        if difference:
            return f"result {i}: {difference}" if len(want) > 1 else difference
    return "" if len(got) == len(want) else f"got {len(got)} results, wanted {len(want)}: {show(got)}, not {show(want)}"


def _array_difference(got: Any, want: np.ndarray, tolerance: float) -> str:
    if not isinstance(got, np.ndarray | np.generic | jax.Array):
        return f"got {show(got)}, a {type(got).__name__}; wanted an array, {show(want)}"
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
    return f"{place}got {got[index]}, wanted {want[index]}{count}"


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
        names = [f"input {i}" for i in range(len(args))]
        tried = described(f"the equation {describe_equation(eqn)}", dict(zip(names, [np.array(arg) for arg in args])))
        with trying(tried):
            got = super().eval_equation(eqn, *args)
        if eqn.multiple_results and not isinstance(got, list | tuple):
            same(got, list(want), tried, f"The primitive {eqn.name} has several results: its rule returns a list.")
        if want is not None:  # `None`: the package leaves out a value that nothing uses
            right = list(want) if eqn.multiple_results else np.asarray(want)
            same(got, right, tried, self.say, tolerance=self.tolerance)
        for atom, arg, copy in zip(eqn.invars, args, copies):
            if getattr(atom, "is_ref", False):
                same(
                    arg, copy, f"{tried}\nAfter it, the ref holds the wrong values.", self.say, tolerance=self.tolerance
                )
        return got

    def reference(self) -> phase5.Interpreter:
        """The package's interpreter, at the same place of the same grid."""
        reference = phase5.Interpreter(phase5.numpy_rules)
        reference.__dict__.update(self.__dict__ | {"rules": phase5.numpy_rules})
        return reference


def describe_equation(eqn: Equation) -> str:
    """An equation on one line, as JAX prints it, or its beginning."""
    text = " ".join(str(eqn.jax).split())
    return text if len(text) <= 140 else text[:140] + " …"
