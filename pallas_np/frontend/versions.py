"""Which JAX releases are tested, and what is said about one that is not.

The frontend reads JAX's internals, which move between releases.  On a release newer than those tested it still loads,
with one warning, and an internal that is gone is named in the error.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator

import jax

TESTED = ("0.10.2", "0.11.2", "0.12.0.1")
"""The releases of JAX that the tests run on, oldest first."""

FIRST_UNTESTED = (0, 13)


class JaxInternalMissing(ImportError):
    """The installed JAX lacks an internal that `pallas_np` reads; the message names it and says what to install."""


def missing(name: str) -> JaxInternalMissing:
    """The error for the internal `name`, `"jax._src.core.Jaxpr"`."""
    bound = ".".join(map(str, FIRST_UNTESTED))
    return JaxInternalMissing(
        f"pallas_np needs {name}, which JAX {jax.__version__} does not have; it is tested with JAX {', '.join(TESTED)}:"
        f' install "jax>={TESTED[0]},<{bound}"'
    )


def warn_if_untested() -> None:
    """Warns if JAX is newer than the releases tested."""
    if jax.__version_info__[:2] >= FIRST_UNTESTED:
        warnings.warn(
            f"pallas_np is tested with JAX {', '.join(TESTED)}, and this is JAX {jax.__version__}: what it reads of "
            "JAX's internals may have moved",
            stacklevel=2,
        )


@contextlib.contextmanager
def naming_what_is_missing() -> Iterator[None]:
    """Turns a failure to find one of JAX's internals into a `JaxInternalMissing` that names it."""
    try:
        yield
    except (ImportError, AttributeError) as error:
        name = None if isinstance(error, JaxInternalMissing) else _internal_sought(error)
        if name is None:
            raise
        raise missing(name) from error


def _internal_sought(error: ImportError | AttributeError) -> str | None:
    """The full name of what was not found, if it is one of JAX's."""
    if isinstance(error, AttributeError):
        owner = getattr(error.obj, "__name__", None)
        if owner is None:  # an instance: name its class
            owner = f"{type(error.obj).__module__}.{type(error.obj).__qualname__}"
        name = f"{owner}.{error.name}"
    else:
        imported = re.match(r"cannot import name '(\w+)'", str(error))
        name = f"{error.name}.{imported[1]}" if imported else str(error.name)
    return name if name.split(".")[0] in ("jax", "jaxlib") else None
