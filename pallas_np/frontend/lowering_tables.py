"""Which primitives Pallas's compilers take: the keys of their lowering tables."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from jax._src import custom_derivatives
from jax._src.lax import linalg

from pallas_np.frontend import primitives as p

TABLES = (
    ("jax._src.pallas.mosaic.lowering", "lowering_rules"),
    ("jax._src.pallas.mosaic.sc_lowering", "lowering_rules"),
    ("jax._src.pallas.triton.lowering", "triton_lowering_rules"),
    ("jax._src.pallas.mosaic_gpu.lowering", "mosaic_lowering_rules"),
)
"""A module of JAX's, and its table: from primitives to rules, or from kinds of core to such tables."""

FILLED_BY = (
    "jax._src.pallas.mosaic.sc_primitives",
    "jax._src.pallas.triton.primitives",
    "jax._src.pallas.mosaic_gpu.primitives",
    "jax._src.pallas.fuser.custom_fusion_lib",
)
"""Modules that put primitives of their own into the tables."""


@cache
def lowered_primitives() -> Mapping[Any, frozenset[str]]:
    """Each primitive that one of Pallas's compilers takes, and which do: TPU, SparseCore, Triton, Mosaic GPU.

    A compiler that this installation of JAX cannot import (Mosaic GPU needs `absl` before JAX 0.11) is left out.
    """
    for name in FILLED_BY:
        _import(name)
    found: dict[Any, frozenset[str]] = {}
    for module, table in TABLES:
        for compiler, primitive in _entries(module, getattr(_import(module), table, {})):
            found[primitive] = found.get(primitive, frozenset()) | {compiler}
    return found


def _import(name: str) -> ModuleType | None:
    """The module, or `None` where this release does not have it or what it needs is not installed."""
    try:
        return importlib.import_module(name)
    except (ImportError, AttributeError):
        return None


def _entries(module: str, table: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from ((_compiler(module, key), primitive) for primitive in value)
        else:
            yield _compiler(module, None), key


def _compiler(module: str, core: Any) -> str:
    if "mosaic_gpu" in module:
        return "Mosaic GPU"
    if "triton" in module:
        return "Triton"
    return "SparseCore" if core is not None and "SC_" in getattr(core, "name", "") else "TPU"


def primitive_named(name: str) -> Any:
    """The primitive of this name, of values (`"add"`) or of Pallas (`"masked_load"`); a `Missing` if there is none."""
    for module in (p, custom_derivatives, linalg):
        if hasattr(module, f"{name}_p"):
            return getattr(module, f"{name}_p")
    return p.lax_primitive(name)


def is_in_this_release(primitive: Any) -> bool:
    """Whether the installed JAX has the primitive: no equation carries one that it does not have."""
    return not isinstance(primitive, p.Missing)
