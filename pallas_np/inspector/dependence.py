"""Which elements of an equation's results depend on marked elements of its operands.

`check_nans` marks what is not finite, `uninitialized="raise"` what nobody has written.  Where a primitive only moves
elements, its own rule moves the marks.  A primitive that is not known here makes all of its results depend on every
operand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from pallas_np import lax_numpy, phase2, phase5
from pallas_np.frontend import Equation
from pallas_np.frontend import primitives as p
from pallas_np.frontend.primitives import lax_primitive
from pallas_np.lax_numpy.dtypes import kind_of

Marks = np.ndarray | None
"""Of an array: bools of its shape, or of one that broadcasts to it; `None` if no element is marked."""


def dependent(eqn: Equation, args: Sequence[Any], marks: Sequence[Marks], results: Sequence[Any]) -> list[Marks]:
    """The marks of an equation's results.

    Args:
      eqn: the equation; of a primitive of values, whose operands are no refs.
      args: its operands.
      marks: their marks.
      results: what it answered.
    """
    if all(mark is None for mark in marks):
        return [None] * len(results)
    rule = _RULES.get(eqn.primitive, _everything)
    found = rule(
        eqn, [np.asarray(arg) for arg in args], [_of_shape(np.shape(arg), mark) for arg, mark in zip(args, marks)]
    )
    found = found if isinstance(found, list) else [found] * len(results)
    return [_of_shape(np.shape(result), mark) if mark.any() else None for result, mark in zip(results, found)]


def _of_shape(shape: tuple[int, ...], mark: Marks) -> np.ndarray:
    return np.broadcast_to(False if mark is None else mark, shape)


Rule = Callable[[Equation, Sequence[Any], list[np.ndarray]], np.ndarray | list[np.ndarray]]
"""From the operands and their marks to the marks of each result, or to those of every result."""


def _everything(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
    return np.asarray(any(mark.any() for mark in marks))


def _elementwise(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
    return reduce(np.logical_or, marks)


def _each_its_own(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> list[np.ndarray]:
    return marks


def _moves(*moved: int) -> Rule:
    """The rule itself moves the marks of these operands, or of all; the others say where to."""

    def rule(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> Any:
        given = [mark if not moved or n in moved else arg for n, (arg, mark) in enumerate(zip(args, marks))]
        return phase5.numpy_rules[eqn.primitive](*given, **eqn.params)

    return rule


def _select_n(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
    return np.logical_or(marks[0], lax_numpy.select_n(args[0], *marks[1:]))


def _decided_by(decisive: Callable[[np.ndarray], np.ndarray], kinds: str) -> Rule:
    """The result is the same, whatever the marked operand is, if the other one is decisive.

    `and` with 0 is 0, `or` with 1 is 1 in every bit, and so is an integer's product with 0: a float's may be NaN.
    """

    def rule(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
        if kind_of(args[0].dtype) not in kinds:
            return _elementwise(eqn, args, marks)
        decided = reduce(np.logical_or, [decisive(arg) & ~mark for arg, mark in zip(args, marks)])
        return np.asarray(reduce(np.logical_or, marks) & ~decided)

    return rule


def _is_zero(arg: np.ndarray) -> np.ndarray:
    return arg == 0


def _is_all_ones(arg: np.ndarray) -> np.ndarray:
    return np.invert(arg) == 0


def _along(*names: str) -> Rule:
    """What has been reduced depends on all of it."""

    def rule(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
        (axes,) = (eqn.params[name] for name in names if name in eqn.params)
        return np.asarray(reduce(np.logical_or, marks).any(axes))

    return rule


def _reordered(name: str) -> Rule:
    """Where an element of a sorted row lands depends on the whole row."""

    def rule(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
        return np.asarray(reduce(np.logical_or, marks).any(eqn.params.get(name, -1), keepdims=True))

    return rule


def _running(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
    axis, step = eqn.params["axis"], -1 if eqn.params["reverse"] else 1
    order = (slice(None),) * axis + (slice(None, None, step),)
    return np.logical_or.accumulate(marks[0][order], axis)[order]


def _products(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
    """A dot or a convolution counts the marked factors of each sum, save those times an integer that is 0."""
    rule, params = phase5.numpy_rules[eqn.primitive], eqn.params | {"preferred_element_type": np.dtype(np.float32)}
    matters = [mark | (arg != 0) | (kind_of(arg.dtype) not in "iu") for arg, mark in zip(args, marks)]
    (left, right), (left_mark, right_mark) = ([x.astype(np.float32) for x in pair] for pair in (matters, marks))
    return (rule(left_mark, right, **params) + rule(left, right_mark, **params)) > 0


def _window(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
    return lax_numpy.reduce_window_max(marks[0].astype(np.int32), **eqn.params) > 0


def _gather(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
    moved = lax_numpy.gather(marks[0], args[1], **eqn.params | {"fill_value": False})
    offset_dims = eqn.params["dimension_numbers"][0]
    sizes = iter(args[1].shape[:-1])
    windows = [1 if axis in offset_dims else next(sizes) for axis in range(moved.ndim)]
    return np.logical_or(moved, marks[1].any(-1).reshape(windows))


def _scatter(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
    operand, indices, updates = marks
    if indices.any():
        return _everything(eqn, args, marks)
    params = {name: eqn.params[name] for name in ("dimension_numbers", "mode")}
    replaces = eqn.name == "scatter" and eqn.params.get("update_jaxpr") is None
    scattered = (lax_numpy.scatter if replaces else lax_numpy.scatter_max)(operand, args[1], updates, **params)
    return np.asarray(scattered)


def _bitcast(eqn: Equation, args: Sequence[Any], marks: list[np.ndarray]) -> np.ndarray:
    (mark,), new = marks, eqn.outvars[0].shape
    if len(new) > mark.ndim:
        return np.broadcast_to(mark[..., None], new)
    return mark if len(new) == mark.ndim else np.asarray(mark.any(-1))


def _table(names: str, rule: Rule) -> dict[Any, Rule]:
    return {lax_primitive(name): rule for name in names.split()}


_RULES: dict[Any, Rule] = {
    **_table(" ".join([*phase2.ELEMENTWISE, *phase2.COMPARISONS, *phase2.BITWISE, *phase5.REFERENCE]), _elementwise),
    **_table(" ".join([*phase5.NUMBERS, *phase5.COMPLEX]), _elementwise),
    **_table("convert_element_type copy stop_gradient", _elementwise),
    **_table("broadcast_in_dim concatenate reshape rev slice split squeeze transpose stack tile unstack pad", _moves()),
    **_table("dynamic_slice", _moves(0)),
    **_table("dynamic_update_slice", _moves(0, 1)),
    **_table("optimization_barrier", _each_its_own),
    **_table("select_n", _select_n),
    **_table("and", _decided_by(_is_zero, "biu")),
    **_table("or", _decided_by(_is_all_ones, "biu")),
    **_table("mul", _decided_by(_is_zero, "iu")),
    **_table("reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum reduce_xor", _along("axes")),
    **_table("argmax argmin reduce", _along("axes", "dimensions")),
    **_table(" ".join(phase5.CUMULATIVE), _running),
    **_table("sort", _reordered("dimension")),
    **_table("top_k", _reordered("axis")),
    **_table("approx_top_k", _reordered("reduction_dimension")),
    **_table("dot_general conv_general_dilated", _products),
    **_table("reduce_window_max reduce_window_min reduce_window_sum", _window),
    **_table("gather", _gather),
    **_table("scatter scatter-add scatter-max scatter-min scatter-mul scatter-sub", _scatter),
    **_table("bitcast_convert_type", _bitcast),
    **dict.fromkeys([p.reciprocal_p, p.stochastic_round_p, p.pack_elementwise_p, p.unpack_elementwise_p], _elementwise),
    **dict.fromkeys(
        [p.multiple_of_p, p.max_contiguous_p, p.name_p, p.reshard_p, p.relayout_p, p.stage_p], _elementwise
    ),
    **dict.fromkeys([p.broadcast_to_p, p.einshape_p], _moves()),
    p.device_put_p: _each_its_own,
    p.tpu_roll_p: _moves(0),
}
