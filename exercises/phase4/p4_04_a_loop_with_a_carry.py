"""Exercise 4.4: A loop with a carry (10 minutes)

Write the rule for the simpler kind of `scan`: a number of steps, and a carry.

`fori_loop` and `pl.loop` with known bounds become a `scan` whose body takes some constants and a carry, and answers
with the next carry. `eqn.params` has `jaxpr`, the body; `length`, the number of steps; and `num_consts`, how many
of the arguments are constants. The rest of them are the initial carry.

A ref among the constants is a NumPy array that the body writes in place: nothing is to be done about it.

    pytest exercises/phase4/p4_04_a_loop_with_a_carry.py
    python -m exercises hint 4.4
"""

from pallas_np.phase1 import structure


@structure
def loop(interp, eqn, *args):
    """The final carry, in a list."""
    body, length, num_consts = eqn.params["jaxpr"], eqn.params["length"], eqn.params["num_consts"]
    # Your turn: about 4 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 18758d31
