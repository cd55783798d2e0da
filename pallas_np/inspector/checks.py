"""The checks that watch: from the options to an interpreter whose observers look for faults."""

from __future__ import annotations

from collections.abc import Callable

from pallas_np.inspector.nonfinite import NonFiniteDetector
from pallas_np.inspector.observed import Observed, Observer, Observers
from pallas_np.inspector.races import RaceDetector
from pallas_np.inspector.uninitialized import Following
from pallas_np.options import Options

_DETECTORS: dict[str, Callable[[], Observer]] = {"detect_races": RaceDetector, "check_nans": NonFiniteDetector}
"""What does each check, by the name of the option that asks for it."""


def watched(options: Options, *observers: Observer) -> Observed:
    """An interpreter that runs one call, with the checks that the options ask for.

    Args:
      options: how it runs.
      *observers: who else watches; they are told before the checks.
    """
    checks = [make() for name, make in _DETECTORS.items() if getattr(options, name)]
    interpreter = Following if options.uninitialized == "raise" else Observed
    return interpreter(Observers([*observers, *checks]), options=options)
