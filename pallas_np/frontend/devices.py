"""What kernels written for a TPU are told where there is none, when they ask which it is and how many cores it has.

They ask while they are traced.  Each thread is answered for the engine that is in force there; one without an engine
gets JAX's own answer.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from jax._src.pallas.mosaic import core as tpu_core
from jax._src.pallas.mosaic import tpu_info
from jax.experimental.pallas import tpu as pltpu

from pallas_np.frontend.engines import Engine, engine_of, installed_engine
from pallas_np.frontend.replacements import Replacement, Replacements
from pallas_np.options import Options


@contextlib.contextmanager
def tracing_for(engine: Engine) -> Iterator[None]:
    """Within it a kernel that this thread traces is told of the engine's TPU.

    An engine without options has no TPU of its own: what is installed, if anything is, says which.
    """
    told = installed_engine.value if engine.options is None else None
    with some_tpu, installed_engine(told or engine):
        yield


def _replacements() -> list[Replacement]:
    asked = sys.modules[tpu_info.is_tpu_device.__module__]
    replacements: list[Replacement] = [
        (asked, "get_device_kind", _of_some_tpu),
        (asked, "get_num_device_cores", _one_core),
    ]
    if "create_tensorcore_mesh" in vars(pltpu):  # until JAX 0.10
        return replacements + [(owner, "create_tensorcore_mesh", _of_one_core) for owner in (tpu_core, pltpu)]
    replacements += [(tpu_core, "_get_default_num_cores", _one_core)]
    return replacements + [(tpu_core.TensorCoreMesh, "__init__", _of_one_core)]


def _of_some_tpu(get_device_kind: Callable[[], str]) -> Callable[[], str]:
    def device_kind() -> str:
        kind, engine = get_device_kind(), engine_of(False)
        return kind if engine is None or kind.startswith("TPU") else (engine.options or Options()).tpu

    return device_kind


def _one_core(get_num_cores: Callable[[], int]) -> Callable[[], int]:
    def num_cores() -> int:
        try:
            return get_num_cores()
        except AttributeError:  # not a TPU
            if engine_of(False) is None:
                raise
            return 1

    return num_cores


def _of_one_core(make_mesh: Callable[..., Any]) -> Callable[..., Any]:
    def mesh(*args: Any, **options: Any) -> Any:
        try:
            return make_mesh(*args, **options)
        except AttributeError:  # it asked a device that is not a TPU for its cores
            if engine_of(False) is None:
                raise
            return make_mesh(*args, **{**options, "num_cores": 1})

    return mesh


some_tpu = Replacements(_replacements)
