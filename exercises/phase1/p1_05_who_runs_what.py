"""Exercise 1.5: Who runs what (15 minutes)

Count how many of a program's equations a table runs, and how many are left to JAX.

An equation whose primitive is in `rules` is ours. What is inside it is looked at one by one. An equation that is not
in `rules` is JAX's, *with everything inside it*: JAX runs the whole loop, whatever our table has for its body.

    pytest exercises/phase1/p1_05_who_runs_what.py
    python -m exercises hint 1.5
"""

from pallas_np import frontend


def count_equations(jaxpr, rules):
    """A pair: how many equations, inner ones included, the table `rules` runs, and how many JAX runs."""
    # Your turn: about 10 lines.
    raise NotImplementedError("your turn")


# Generated; unedited as long as this fits: 4a050fee
