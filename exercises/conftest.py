"""Makes `pytest exercises/` check the exercises.  The code is in `exercises/machinery/`."""

from exercises.machinery.plugin import (
    pytest_addoption,
    pytest_collect_file,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_pycollect_makemodule,
    pytest_report_teststatus,
    pytest_terminal_summary,
)

__all__ = [
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_pycollect_makemodule",
    "pytest_report_teststatus",
    "pytest_terminal_summary",
]
