"""Write the queue of a kernel's DMAs: copies that are started now and done when somebody waits for them.

On a TPU a copy runs beside the program, and only its wait says that it is done. Every moment between the two would be
right, and the *last* is the most useful one: a kernel that forgets to wait then reads what was there before.

A wait does not name a copy. It names a semaphore and a number of bytes. The copies on one semaphore are done first in,
first out, until that many bytes have arrived. A copy is done whole: bytes that arrive beyond what was asked for count
for the next wait on the same semaphore. A wait for bytes that nobody has started would never end; raise a
`RuntimeError`.
"""

from collections import Counter, defaultdict, deque


class Copies:
    """The copies of a kernel, by semaphore.

    Attributes:
      pending: for each semaphore the copies that are started and not done, oldest first.
      arrived: for each semaphore the bytes that have arrived and that no wait has asked for yet.
    """

    def __init__(self):
        self.pending = defaultdict(deque)
        self.arrived = Counter()

    def start(self, semaphore, source, target):
        """Starts a copy between two arrays of one shape and dtype. Nothing is copied yet."""
        # --- solution
        self.pending[semaphore].append((source, target))
        # --- end

    def wait(self, semaphore, nbytes):
        """Waits until `nbytes` have arrived, and takes them off what has arrived.

        Raises:
          RuntimeError: if the copies that were started do not bring as many.
        """
        # --- solution
        while self.arrived[semaphore] < nbytes:
            if not self.pending[semaphore]:
                raise RuntimeError(f"a wait for {nbytes} bytes, of which {self.arrived[semaphore]} arrive")
            source, target = self.pending[semaphore].popleft()
            target[...] = source
            self.arrived[semaphore] += source.nbytes
        self.arrived[semaphore] -= nbytes
        # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from exercises.machinery.checking import array_like, call_of, described, require, same, trying
from pallas_np import phase5
from pallas_np.frontend import primitives as p
from pallas_np.phase1 import structure
from pallas_np.phase5.memory import place

title = "Copies that wait"
minutes = 20
primitives = ("dma_start", "dma_wait")
hints = (
    "Starting only notes what is to be copied. All the work is in the wait, and it is a loop: while too little has "
    "arrived, do the oldest copy.",
    "`popleft` takes the oldest of a `deque`. Assigning to `target[...]` writes into the array, assigning to "
    "`target` does not. An array's size in bytes is its `nbytes`.",
    "While `arrived` is less than `nbytes`: if nothing is pending, raise; else take the oldest, copy it, and add its "
    "bytes to `arrived`. After the loop take `nbytes` off.",
)
explanation = """
Copying at the start would be simpler, and it is what `interpret=True` does. Then a kernel without its wait works on
the CPU and reads garbage on the TPU. With the copy at the wait, the garbage is here.

The descriptor that a kernel waits on, `copy.wait()`, looks as if it named its copy. The hardware only counts: a
semaphore goes up with each byte that arrives, and a wait takes its bytes off. Two copies of one size on one semaphore
can be waited for in either order, and kernels with two buffers do so.
"""
mistakes = (
    (
        "copies at once",
        "self.pending[semaphore].append((source, target))",
        "target[...] = source; self.arrived[semaphore] += source.nbytes",
        "Nothing is copied before the wait",
    ),
    (
        "remembers the values of the start",
        "self.pending[semaphore].append((source, target))",
        "self.pending[semaphore].append((source.copy(), target))",
        "at the wait",
    ),
    ("last in, first out", ".popleft()", ".pop()", "first in, first out"),
    ("renames the target", "target[...] = source", "target = source", "After the wait"),
    (
        "does one copy for each wait",
        "while self.arrived[semaphore] < nbytes:",
        "if self.arrived[semaphore] < nbytes:",
        "two copies",
    ),
    ("forgets what is left over", "self.arrived[semaphore] -= nbytes", "self.arrived[semaphore] = 0", "left over"),
    (
        "waits for nothing",
        'raise RuntimeError(f"a wait for {nbytes} bytes, of which {self.arrived[semaphore]} arrive")',
        "break",
        "RuntimeError",
    ),
)


def check(learner):
    random = np.random.default_rng()
    _copies_at_the_wait(learner.Copies(), random)
    _counts_bytes(learner.Copies(), random)
    _refuses_to_wait_for_ever(learner.Copies())
    _runs_a_kernel(learner.Copies, random)


def _copies_at_the_wait(copies, random):
    source, target = random.integers(1, 9, 4).astype(np.int32), np.zeros(4, np.int32)
    tried = described('start("s", source, target), then wait("s", 16)', {"source": source.copy(), "target": target})
    with trying(tried):
        copies.start("s", source, target)
    same(target, np.zeros(4, np.int32), f"{tried}\nThe target after the start:", "Nothing is copied before the wait.")
    source[0] = 99
    with trying(tried):
        copies.wait("s", source.nbytes)
    tried = f"{tried}\nBetween the two, source[0] became 99. The target after the wait:"
    same(target, source, tried, "After the wait the target holds what the source holds at the wait.")


def _counts_bytes(copies, random):
    sources = [random.integers(1, 9, 4).astype(np.int32) for _ in range(4)]
    targets = [np.zeros(4, np.int32) for _ in range(4)]
    tried = 'Tried four copies of 16 bytes, the third on the semaphore "t", the others on "s"'
    with trying(tried):
        for name, source, target in zip("ssts", sources, targets):
            copies.start(name, source, target)
    for name, nbytes, done, say in (
        ("s", 8, {0}, "One copy is enough for 8 bytes, the oldest on its semaphore: first in, first out."),
        ("s", 8, {0}, "8 bytes were left over from the wait before: nothing more need be copied."),
        ("t", 16, {0, 2}, "Each semaphore has copies of its own."),
        ("s", 32 - 16, {0, 1, 2}, "One copy more, the oldest: first in, first out."),
    ):
        tried = f'{tried}\nthen wait("{name}", {nbytes})'
        with trying(tried):
            copies.wait(name, nbytes)
        for i, (source, target) in enumerate(zip(sources, targets)):
            want = source if i in done else np.zeros(4, np.int32)
            same(target, want, f"{tried}\nThe target of copy {i}:", say)
    with trying(tried):
        copies.start("s", sources[0], targets[2])
        copies.wait("s", 32)
    tried = f'{tried}\nthen a copy from source 0 to target 2 on "s", and wait("s", 32)\nThe targets 2 and 3:'
    same([targets[2], targets[3]], [sources[0], sources[3]], tried, "32 bytes are two copies of 16.")


def _refuses_to_wait_for_ever(copies):
    copies.start("s", np.ones(2, np.int32), np.zeros(2, np.int32))
    tried = 'Tried a copy of 8 bytes on "s", then wait("s", 12)'
    try:
        with trying(tried):
            copies.wait("s", 12)
    except RuntimeError:
        return
    require(False, f"{tried}: it returned. Nobody brings the other 4 bytes, so it should raise a RuntimeError.")


def _runs_a_kernel(make_copies, random):
    """A kernel with two buffers: while one block is added up, the next is on its way."""

    def sum_of_blocks(x_ref, out_ref, buffers_ref, semaphores):
        def copy(i):
            return pltpu.make_async_copy(x_ref.at[pl.ds(i * 2, 2)], buffers_ref.at[i % 2], semaphores.at[i % 2])

        copy(0).start()
        out_ref[...] = jnp.zeros_like(out_ref)
        for i in range(4):
            if i < 3:
                copy(i + 1).start()
            copy(i).wait()
            out_ref[...] += buffers_ref[i % 2]

    x = random.integers(0, 99, (8, 3)).astype(np.int32)
    out = array_like(x[:2])
    options = {
        "in_specs": [pl.BlockSpec(memory_space=pl.ANY)],
        "scratch_shapes": [pltpu.VMEM((2, 2, 3), jnp.int32), pltpu.SemaphoreType.DMA((2,))],
    }
    tried = described("the kernel sum_of_blocks, with two buffers and a semaphore for each", {"x": x})
    interp = phase5.Interpreter({**phase5.numpy_rules, **_rules(make_copies())})
    with trying(tried):
        (got,) = interp.run(call_of(sum_of_blocks, out, x, **options), x)
    want = np.asarray(pl.pallas_call(sum_of_blocks, out, interpret=True, **options)(x))
    same(got, want, tried, "Each wait brings the block that was started on its semaphore.")


def _rules(copies):
    def views(interp, eqn, args):
        parts = [place(interp, eqn.params[name], args) for name in ("target_semaphore", "source", "target")]
        semaphore, source, target = (part.view() for part in parts)
        return semaphore.__array_interface__["data"][0], source, target

    @structure
    def dma_start(interp, eqn, *args):
        copies.start(*views(interp, eqn, args))
        return []

    @structure
    def dma_wait(interp, eqn, *args):
        semaphore, _, target = views(interp, eqn, args)
        copies.wait(semaphore, target.nbytes)
        return []

    return {p.dma_start_p: dma_start, p.dma_wait_p: dma_wait}
