"""Write `and_` and `not_`: bitwise on integers, logical on booleans.

The sort decides with `column & distance` which of two partners an element is. JAX's `and`, `or`, `xor` and `not` are
one primitive each for integers and booleans; the dtype says which is meant.
"""

import numpy as np


def and_(x, y):
    """`x & y` of two arrays of the same integer or boolean dtype."""
    # --- solution
    return np.bitwise_and(x, y)
    # --- end


def not_(x):
    """`~x` of an array of integers or booleans."""
    # --- solution
    return np.bitwise_not(x)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

from jax import lax

from exercises.machinery.checking import expect

title = "Bits or logic"
minutes = 5
primitives = ("and", "not")
hints = (
    "`6 & 3` is 2, not True. Look for what works bit by bit, and see what it does with booleans.",
    "NumPy has two families: `np.logical_...` and `np.bitwise_...`. One of them is right for both dtypes.",
    "`np.bitwise_and` and `np.bitwise_not`: for a boolean they work on its one bit.",
)
explanation = """
`np.logical_and` asks whether both are nonzero and answers with a boolean. On the sort's masks that is wrong
*sometimes*, which is worse than always: `5 & 4` and `5 and 4` are both true.

For booleans NumPy's bitwise functions are the logical ones, so no test of the dtype is needed.
"""
mistakes = (
    ("logical and", "np.bitwise_and(x, y)", "np.logical_and(x, y)", "dtype: got bool, wanted int32"),
    ("logical not", "np.bitwise_not(x)", "np.logical_not(x)", "dtype: got bool, wanted int32"),
    ("minus one", "np.bitwise_not(x)", "-x", "bit is turned"),
    ("a product", "np.bitwise_and(x, y)", "x * y", "bit by bit"),
)


def check(learner):
    random = np.random.default_rng()
    for dtype in (np.int32, np.uint8, np.bool_):
        x, y = random.integers(0, 2 if dtype is np.bool_ else 100, (2, 3, 5)).astype(dtype)
        expect(learner.and_, x, y, want=np.asarray(lax.bitwise_and(x, y)), say="The and of integers goes bit by bit.")
        expect(learner.not_, x, want=np.asarray(lax.bitwise_not(x)), say="Every bit is turned: ~x is -x - 1.")
