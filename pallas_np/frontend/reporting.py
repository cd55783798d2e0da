"""What JAX's printing and checking equations say, once their operands are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import tree_util
from jax._src import debugging

from pallas_np.frontend.jaxpr import Equation


def printed(eqn: Equation, operands: Sequence[Any]) -> str:
    """The text of a `debug_print`: its format filled in, or, without placeholders, followed by the values."""
    params = eqn.jax.params
    args, kwargs = debugging.merge_callback_args(params["in_tree"], list(operands), params["static_args"])
    with np.printoptions(**_print_options(params["np_printoptions"])):
        if params["has_placeholders"]:
            return params["fmt"].format(*args, **kwargs)
        return " ".join([params["fmt"], *map(str, args), *(f"{name}={value}" for name, value in kwargs.items())])


def _print_options(options: Any) -> dict[str, Any]:
    return {name: value for name, value in dict(options).items() if name != "override_repr" or value is not None}


def failed_check(eqn: Equation, operands: Sequence[Any]) -> str | None:
    """The message of a `check` that does not hold; `None` if it holds."""
    error = tree_util.tree_unflatten(eqn.jax.params["err_tree"], operands)
    return error.get()


def platform_branch(eqn: Equation, platform: str = "cpu") -> int:
    """The number of the branch that a `platform_index` takes on `platform`."""
    default = None
    for number, platforms in enumerate(eqn.jax.params["platforms"]):
        if platforms is None:
            default = number
        elif platform in platforms:
            return number
    if default is None:
        raise NotImplementedError(f"there is no branch for the platform {platform} and no default")
    return default
