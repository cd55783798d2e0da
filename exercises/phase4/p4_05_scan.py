"""Exercise 4.5: Scan, whole (20 minutes)

Write the rule for `scan`, with what it stacks up and with `reverse`.

A `scan` runs its body `length` times. The body takes the constants, the carry, and from each of the arrays `xs` one
row; it answers with the new carry, and one row for each of the arrays `ys`.

The operands come as one list: the constants, then the initial carry, then the arrays `xs`. `eqn.params` has

- `jaxpr`: the body, with its own constants in `jaxpr.consts`;
- `length`: how often it runs;
- `reverse`: whether it goes through the rows from the last to the first (the rows of `ys` have the same places as those
  of `xs`);
- `num_consts` and `num_carry`: how many of the operands are constants and carry.

`eqn.outvars` are the variables of the final carry and of `ys`; each has a `shape` and a `dtype`.
`interp.eval_jaxpr(jaxpr, consts, *args)` evaluates the body and answers with a list.

    pytest exercises/phase4/p4_05_scan.py
    python -m exercises hint 4.5
"""

import numpy as np

from pallas_np.phase1 import structure


@structure
def scan(interp, eqn, *args):
    """The final carry and the arrays `ys`, in one list."""
    body, length, reverse = eqn.params["jaxpr"], eqn.params["length"], eqn.params["reverse"]
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    consts, carry, xs = args[:num_consts], args[num_consts : num_consts + num_carry], args[num_consts + num_carry :]
    # Your turn: about 7 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: cad7f31f
