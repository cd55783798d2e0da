"""Blocks that may reach past the ends of their array, or whose size varies: phase 5 cuts them out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pallas_np.frontend import Operand
from pallas_np.phase5 import Interpreter, grid


class Windows:
    """The blocks of some operands during one run."""

    def __init__(
        self,
        operands: Sequence[Operand],
        machine: Interpreter,
        prefetch: Sequence[np.ndarray],
        arrays: Sequence[np.ndarray],
    ):
        self._operands, self._machine, self._prefetch, self._arrays = operands, machine, prefetch, arrays
        self._blocks: grid.Blocks = {}

    def enter(self) -> list[np.ndarray]:
        """The arrays behind the refs at the machine's grid index."""
        blocks: grid.Blocks = {}
        refs = []
        for array, operand in zip(self._arrays, self._operands):
            window = grid.block_window(self._machine, operand, self._prefetch)
            key = id(array), window, operand.squeezed_axes
            if key not in blocks:  # an input and its alias see the same block
                kept = self._blocks.get(key)
                blocks[key] = grid.Block(self._machine, array, operand, window) if kept is None else kept.again()
            refs.append(blocks[key].ref)
        self._blocks = blocks
        return refs

    def leave(self) -> None:
        """Copies what was written to padded blocks into the arrays."""
        for block in self._blocks.values():
            block.write_back()
