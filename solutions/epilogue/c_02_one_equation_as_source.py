"""Write what the compiler does with an equation that it cannot compute yet: emit it as one line of Python.

The line calls the function of `lax_numpy` that does the primitive, and assigns what it returns:

    b = lax.integer_pow(a, y=3)
    largest, where = lax.top_k(x, k=2, axis=1)

- **The function** has the primitive's name; where that is one of Python's own words, such as `and`, with an underscore
  after it.
- **The operands** come first. Each is a `Name`, or a NumPy scalar of dtype float32 or int32, whose value is known.
- **The parameters**, `eqn.params`, follow by name. Their values are Python's numbers, strings and tuples, `None`, and
  dtypes.
- **The results**: if `eqn.multiple_results` is true the function returns a list, of one element perhaps.

The line will run where `np` is NumPy and `lax` is `pallas_np.lax_numpy`, and nothing else but the names is known.
"""

from keyword import iskeyword

import numpy as np


class Name(str):
    """A value that is not known yet: the variable that will hold it."""


def emit(eqn, operands, results):
    """The line for an equation: `operands` are names and known scalars, `results` the names to be assigned."""
    # --- solution
    function = eqn.name + "_" * iskeyword(eqn.name)
    arguments = [text(operand) for operand in operands]
    arguments += [f"{name}={text(value)}" for name, value in eqn.params.items()]
    targets = ", ".join(results) + "," * eqn.multiple_results
    return f"{targets} = lax.{function}({', '.join(arguments)})"
    # --- end


def text(value):
    """A name, a known scalar or a parameter's value, as it stands in the line."""
    # --- solution
    if isinstance(value, Name):
        return value
    if isinstance(value, np.dtype):
        return f"np.dtype('{value}')"
    if isinstance(value, np.generic):
        return f"np.{value.dtype}('{value}')"
    return repr(value)
    # --- end


# === The workbook's part: not in the exercise file ===================================================================

import jax.numpy as jnp
from jax import lax

from exercises.machinery.checking import describe_equation, jaxpr_of, require, same, trying
from pallas_np import lax_numpy, phase5
from pallas_np.frontend import Literal

title = "One equation as source"
minutes = 20
hints = (
    "Write the four pieces one by one: targets, function, operands, parameters; then think of what each kind of value "
    "looks like as text that Python can read back.",
    "`repr` is right for Python's own values, a string among them. Of NumPy's values it is not always: what does it "
    "say of NaN, and of a dtype? `np.float32` and `np.int32` accept text.",
    "A scalar becomes `np.` and its dtype, called on its quoted digits; a dtype becomes a call of `np.dtype`; a `Name` "
    "stands as it is. After the targets of a list there is a comma, even after a single one.",
)
explanation = """
Text loses what a value carries along. A float32 that becomes the text `0.5` comes back as Python's float, which has no
dtype of its own. Beside an array that does no harm: the array's dtype wins. But `select_n` between two such numbers
answers one of them, and what is computed with it next is a float64. NaN and infinity have no literal in Python at all.

The package writes `lax.name(...)` like this where it has nothing better. For many primitives it has: an operator where
NumPy's is the rule, a method, a slice. And arrays that are known go into the program's namespace under a name, since
nobody wants to read them.
"""
mistakes = (
    ("a word of Python's", ' + "_" * iskeyword(eqn.name)', "", "cannot be read by Python"),
    ("no parameters", "eqn.params.items()", "()", "Your line raised"),
    ("one result of a list", ' + "," * eqn.multiple_results', "", "a list"),
    (
        "a scalar without its dtype",
        "f\"np.{value.dtype}('{value}')\"",
        "repr(value.item())",
        "a float; wanted an array",
    ),
    ("NaN as a word", "f\"np.{value.dtype}('{value}')\"", 'f"np.{value.dtype}({value})"', "Your line raised NameError"),
    ("a dtype's repr", "f\"np.dtype('{value}')\"", "repr(value)", "Your line raised NameError"),
    ("strings as names", "isinstance(value, Name)", "isinstance(value, str)", "Your line raised NameError"),
)


def check(learner):
    random = np.random.default_rng()
    x = random.standard_normal((3, 4)).astype(np.float32)
    n = random.integers(-9, 9, (3, 4)).astype(np.int32)

    def plain(x, n):
        return lax.integer_pow(x, 3), lax.cumsum(x, axis=1, reverse=True), lax.add(x, x), lax.mul(n, np.int32(7))

    def words(x, n):
        return (x > 0) & (n > 0), ~n, n | n

    def parameters(x, n):
        return lax.convert_element_type(x, jnp.int32), lax.round(x), lax.argmax(x, 1, jnp.int32), lax.rev(n, (0,))

    def lists(x, n):
        return lax.top_k(x, 2), lax.sort((n, x), num_keys=1), lax.sort(x)

    for program in (plain, words, parameters, lists):
        for eqn in jaxpr_of(program, x, n).eqns:
            _check_equation(learner, eqn, random)
    _check_scalars(learner)


def _check_equation(learner, eqn, random):
    """The line of one equation, on random operands; literals are known."""
    values = [atom.value if isinstance(atom, Literal) else _random_value(atom, random) for atom in eqn.invars]
    known = [isinstance(atom, Literal) for atom in eqn.invars]
    _check_line(learner, eqn, values, known)


def _random_value(var, random):
    return (
        random.integers(0, 2, var.shape).astype(var.dtype)
        if var.dtype == np.bool_
        else (random.standard_normal(var.shape) * 9).astype(var.dtype)
    )


def _check_scalars(learner):
    """A select between two known numbers, ordinary ones and others."""

    def select(which, no, yes):
        return lax.select_n(which, no, yes)

    which = np.array(True)
    numbers = np.float32([0.1, np.nan, np.inf, -np.inf])
    (eqn,) = jaxpr_of(select, which, numbers[0], numbers[0]).eqns
    for number in numbers:
        _check_line(learner, eqn, [which, np.float32(1), number], [False, True, True])


def _check_line(learner, eqn, values, known):
    rule = phase5.numpy_rules[eqn.primitive]
    want = rule(*values, **eqn.params)
    want = list(want) if eqn.multiple_results else [want]
    names = [learner.Name(letter) for letter in "abcdef"]
    results = [learner.Name(letter) for letter in "rstuvw"[: len(want)]]
    operands = [value if is_known else name for value, is_known, name in zip(values, known, names)]
    tried = f"Tried emit(eqn, operands, results) on {describe_equation(eqn)}\n    operands = {operands}"
    with trying(tried):
        line = learner.emit(eqn, operands, results)
    require(isinstance(line, str), f"{tried}\nThe line is a string; got {line!r}. Is a `return` missing?")
    tried = f"{tried}\n    your line: {line}"
    namespace = {"np": np, "lax": lax_numpy, **{n: v for n, v, is_known in zip(names, values, known) if not is_known}}
    got = _run(line, tried, namespace, results)
    say = "What a known scalar's text gives must be a NumPy scalar of the same dtype; and a list is taken apart."
    for one, right in zip(got, want):
        same(one, np.asarray(right), tried, say)


def _run(line, tried, namespace, results):
    try:
        code = compile(line, "<your line>", "exec")
    except SyntaxError as error:
        require(False, f"{tried}\nThis cannot be read by Python: {error.msg}.")
    try:
        exec(code, namespace)
    except Exception as error:
        require(False, f"{tried}\nYour line raised {type(error).__name__}: {error}")
    missing = [name for name in results if name not in namespace]
    require(not missing, f"{tried}\nIt does not assign {', '.join(missing)}.")
    return [namespace[name] for name in results]
