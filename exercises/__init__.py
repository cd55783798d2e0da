"""The exercises: what you edit.  `pytest exercises/` checks them, `python -m exercises` helps."""
