"""The TPU's matrix units, as far as a kernel drives them itself.

A right-hand side is pushed into a staging register, loaded from there into the unit, and multiplied by left-hand sides.
Products are added to an accumulator, a ref in memory of the unit's own, or, on the generations that have one, wait in a
queue.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pallas_np import lax_numpy
from pallas_np.frontend import Equation
from pallas_np.frontend import primitives as p
from pallas_np.phase1 import structure

if TYPE_CHECKING:
    from pallas_np.phase5 import Interpreter


@dataclass
class MatrixUnit:
    """One matrix unit.

    Attributes:
      staged: what has been pushed and not loaded yet, by register.
      rhs: what is loaded.
      products: the operands of products that have not been popped, oldest first.
    """

    staged: dict[int, np.ndarray] = field(default_factory=dict)
    rhs: np.ndarray | None = None
    products: deque[tuple[np.ndarray, np.ndarray]] = field(default_factory=deque)

    def loaded(self, register: int | None, eqn: Equation) -> np.ndarray:
        """The right-hand side, loaded from a register first if one is given.

        Raises:
          RuntimeError: if nothing was pushed there, or nothing is loaded.
        """
        if register is not None:
            if register not in self.staged:
                raise RuntimeError(f"{eqn.name} loads staging register {register}, which is empty")
            self.rhs = self.staged.pop(register)
        if self.rhs is None:
            raise RuntimeError(f"{eqn.name} multiplies by a right-hand side that was never loaded")
        return self.rhs


def _product(lhs: np.ndarray, rhs: np.ndarray, dtype: Any) -> np.ndarray:
    return lax_numpy.dot_general(
        lhs, rhs.astype(lhs.dtype), dimension_numbers=(((1,), (0,)), ((), ())), preferred_element_type=dtype
    )


def _unit_of(eqn: Equation) -> int:
    """Which unit an accumulator belongs to: its memory space says so, `"ACC(mxu_id=1)"`."""
    (number,) = re.findall(r"\d+", str(eqn.invars[0].memory_space))  # type: ignore[union-attr]
    return int(number)


@structure
def matmul_push_rhs(interp: Interpreter, eqn: Equation, rhs: np.ndarray) -> list[Any]:
    unit, register = interp.matrix_units[eqn.params["mxu_index"]], eqn.params["staging_register"]
    if register in unit.staged:
        raise RuntimeError(f"{eqn.name} pushes to staging register {register}, which is in use")
    unit.staged[register] = rhs.T if eqn.params["transpose"] else rhs
    return []


@structure
def matmul_acc_lhs(interp: Interpreter, eqn: Equation, ref: np.ndarray, lhs: np.ndarray, *indices: Any) -> list[Any]:
    rhs = interp.matrix_units[_unit_of(eqn)].loaded(eqn.params["load_staged_rhs"], eqn)
    accumulator = interp.place_type(interp, ref, eqn.params["transforms"], indices)
    accumulator.write(lax_numpy.add(accumulator.read(), _product(lhs, rhs, ref.dtype)))
    return []


@structure
def matmul_pop(interp: Interpreter, eqn: Equation, ref: np.ndarray, *indices: Any) -> np.ndarray:
    """What the accumulator holds, which is zero afterwards."""
    accumulator = interp.place_type(interp, ref, eqn.params["transforms"], indices)
    result = accumulator.read()
    accumulator.write(0)
    return result


@structure
def matmul_lhs_fifo(interp: Interpreter, eqn: Equation, lhs: np.ndarray) -> list[Any]:
    unit = interp.matrix_units[eqn.params["mxu_index"]]
    unit.products.append((lhs, unit.loaded(eqn.params["load_staged_rhs"], eqn)))
    return []


@structure
def matmul_pop_fifo(interp: Interpreter, eqn: Equation) -> np.ndarray:
    products = interp.matrix_units[eqn.params["mxu_index"]].products
    if not products:
        raise RuntimeError(f"{eqn.name} finds no product: start one for each")
    return _product(*products.popleft(), eqn.params["dtype"])


matrix_unit_rules: dict[Any, Callable[..., Any]] = {
    p.matmul_push_rhs_p: matmul_push_rhs,
    p.matmul_acc_lhs_p: matmul_acc_lhs,
    p.matmul_pop_p: matmul_pop,
    p.matmul_lhs_fifo_p: matmul_lhs_fifo,
    p.matmul_pop_fifo_p: matmul_pop_fifo,
}
