"""What the tests of the exercises share."""

from __future__ import annotations

from pathlib import Path

import pytest
from workbook_copy import Workbook, fresh_workbook


@pytest.fixture
def workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbook:
    monkeypatch.delenv("COLUMNS", raising=False)  # xdist sets it; what is captured is as wide as it needs to be
    return fresh_workbook(tmp_path)
