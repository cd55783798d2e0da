"""Exercise 5.12: Copies that wait (20 minutes)

Write the queue of a kernel's DMAs: copies that are started now and done when somebody waits for them.

On a TPU a copy runs beside the program, and only its wait says that it is done. Every moment between the two would be
right, and the *last* is the most useful one: a kernel that forgets to wait then reads what was there before.

A wait does not name a copy. It names a semaphore and a number of bytes. The copies on one semaphore are done first in,
first out, until that many bytes have arrived. A copy is done whole: bytes that arrive beyond what was asked for count
for the next wait on the same semaphore. A wait for bytes that nobody has started would never end; raise a
`RuntimeError`.

    pytest exercises/phase5/p5_12_copies_that_wait.py
    python -m exercises hint 5.12
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
        # Your turn: one line.
        raise NotImplementedError("your turn")

    def wait(self, semaphore, nbytes):
        """Waits until `nbytes` have arrived, and takes them off what has arrived.

        Raises:
          RuntimeError: if the copies that were started do not bring as many.
        """
        # Your turn: about 7 lines.
        raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 63dbf636
