"""JAX's own NumPy reference for lax, `jax._src.lax_reference`, as rules.

It is imported on first use, since it brings SciPy along.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

LAX_REFERENCE = "jax._src.lax_reference"


def reference_rule(name: str) -> Callable[..., Any]:
    """The function of `lax_reference` called `name`, as a rule: arrays in, an array of the first one's dtype out."""

    def rule(x: Any, *rest: Any) -> Any:
        return getattr(importlib.import_module(LAX_REFERENCE), name)(x, *rest).astype(x.dtype, copy=False)

    rule.__name__ = rule.__qualname__ = name
    rule.__module__ = LAX_REFERENCE
    rule.__doc__ = f"`lax_reference.{name}`, in the dtype of its operand."
    return rule
