"""What a kernel says: prints, callbacks and checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pallas_np import frontend
from pallas_np.errors import CheckError
from pallas_np.frontend import Equation
from pallas_np.frontend import primitives as p
from pallas_np.phase1 import structure

if TYPE_CHECKING:
    from pallas_np.phase5 import Interpreter


@structure
def debug_print(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    """Prints at once, in program order, with the grid index before it where there is a grid."""
    index = tuple(map(int, getattr(interp, "grid_index", ())))
    print(f"{index}: " * bool(index) + frontend.printed(eqn, args))
    return []


@structure
def debug_callback(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    eqn.params["callback"](*args)
    return []


@structure
def callback(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    """`jax.pure_callback` and `io_callback`."""
    return list(map(np.asarray, eqn.params["callback"](*args)))


@structure
def check(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    """`pl.debug_check` and `checkify.check`: raise if the condition does not hold.

    Raises:
      CheckError: with the check's message.
    """
    message = frontend.failed_check(eqn, args)
    if message is not None:
        raise CheckError(message)
    return []


@structure
def platform_index(interp: Interpreter, eqn: Equation) -> np.int32:
    """Which branch a kernel takes where its code depends on the platform: the CPU's, else the default."""
    return np.int32(frontend.platform_branch(eqn))


reporting_rules: dict[Any, Callable[..., Any]] = {
    p.debug_print_p: debug_print,
    p.debug_callback_p: debug_callback,
    p.pure_callback_p: callback,
    p.io_callback_p: callback,
    p.check_p: check,
    p.platform_index_p: platform_index,
}
