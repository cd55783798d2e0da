"""What the tests of the exercises share."""

from __future__ import annotations

from pathlib import Path

import pytest
from workbook_copy import Workbook, fresh_workbook


@pytest.fixture
def workbook(tmp_path: Path) -> Workbook:
    return fresh_workbook(tmp_path)
