"""What the tests share: a fixture that is each phase in turn."""

from __future__ import annotations

from types import ModuleType

import pytest
from five_phases import PHASES, phase_module


@pytest.fixture(params=PHASES, ids=lambda n: f"phase{n}")
def phase(request: pytest.FixtureRequest) -> ModuleType:
    return phase_module(request.param)
