"""Exercise 4.3: While (15 minutes)

Write the rule for `while`: two jaxprs, one that asks whether to go on, one that does a step.

The arguments come as one list: the condition's constants, then the body's, then the initial carry. `eqn.params` has

- `cond_jaxpr` and `cond_nconsts`: the condition, and how many of the arguments are its constants; it takes these and
  the carry, and answers with a list of one boolean;
- `body_jaxpr` and `body_nconsts`: the body, likewise; it answers with the next carry, a list.

A constant may be a ref. Then the condition reads what the body has written: another reason to ask again every time.

    pytest exercises/phase4/p4_03_while.py
    python -m exercises hint 4.3
"""

from pallas_np.phase1 import structure


@structure
def while_loop(interp, eqn, *args):
    """The final carry, in a list."""
    condition, num_condition = eqn.params["cond_jaxpr"], eqn.params["cond_nconsts"]
    body, num_body = eqn.params["body_jaxpr"], eqn.params["body_nconsts"]
    # Your turn: about 6 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: e404637b
