"""What a failure inside a kernel is told as: the message, the traceback, and the values that a debugger finds."""

import inspect
import io
import pdb
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

import pallas_np
from pallas_np import phase5
from pallas_np.frontend import jaxpr as reading
from pallas_np.options import Options

ENGINES = ("interpreter", "compiled")
X = np.arange(4, dtype=np.float32)


def pick(x_ref: Any, i: Any) -> Any:
    return jnp.exp(x_ref[i])


def shifted_sum(x_ref: Any, out_ref: Any) -> None:
    def body(i: Any, total: Any) -> Any:
        return total + pick(x_ref, i + 2 * pl.program_id(1))

    out_ref[...] = jnp.full((4,), jax.lax.fori_loop(0, 3, body, jnp.float32(0)))


def call_of(kernel: Any, engine: str = "interpreter", grid: tuple[int, ...] = (1, 2), **more: Any) -> Any:
    shape = jax.ShapeDtypeStruct((4,), jnp.float32)
    return pallas_np.pallas_call(kernel, shape, grid=grid, options=Options(engine=engine), **more)  # type: ignore[arg-type]


def error_of(call: Any, *args: Any) -> pallas_np.KernelError:
    with pytest.raises(pallas_np.KernelError) as raised:
        call(*args)
    return raised.value


def line_of(function: Any, text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(n for n, line in enumerate(lines) if text in line)


def entries(error: BaseException) -> list[tuple[str, str]]:
    return [(Path(entry.filename).name, entry.name) for entry in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_message_is_complete_on_its_own(engine: str) -> None:
    error = error_of(call_of(shifted_sum, engine), X)
    line = line_of(pick, "jnp.exp")
    assert str(error).splitlines() == [
        "index 4 of axis 0 lies outside a ref of shape (4,)",
        "  kernel: shifted_sum, at grid index (0, 1)",
        f'  File "{__file__}", line {line}, in pick',
        "    return jnp.exp(x_ref[i])",
        "  equation: get(x_ref: float32[4], int32 4)",
        "  ref: x_ref",
        f"  what to do: {pallas_np.OutOfBoundsError.usual_advice}",
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_facts_are_attributes(engine: str) -> None:
    error = error_of(call_of(shifted_sum, engine), X)
    assert isinstance(error, pallas_np.OutOfBoundsError) and isinstance(error, IndexError)
    assert (error.kernel, error.grid_index, error.primitive, error.ref) == ("shifted_sum", (0, 1), "get", "x_ref")
    assert (error.file, error.line, error.source) == (
        __file__,
        line_of(pick, "jnp.exp"),
        "return jnp.exp(x_ref[i])",
    )
    ref, index = error.operands
    assert (ref.shape, ref.dtype, ref.is_ref, ref.name) == ((4,), np.float32, True, "x_ref")
    assert (index.shape, index.dtype, index.is_ref, index.value) == ((), np.int32, False, 4)
    assert [place.function.rpartition(".")[2] for place in error.stack] == ["shifted_sum", "body", "pick"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_traceback_leads_from_the_call_to_the_kernels_line(engine: str) -> None:
    error = error_of(call_of(shifted_sum, engine), X)
    here = Path(__file__).name
    assert entries(error) == [(here, "error_of"), (here, "shifted_sum"), (here, "body"), (here, "pick")]
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert (last.lineno, last.line) == (line_of(pick, "jnp.exp"), "return jnp.exp(x_ref[i])")
    start = "    return jnp.exp(x_ref[i])".index("x_ref")
    assert (last.colno, last.end_colno) == (start, start + len("x_ref[i]"))
    assert error.__cause__ is None and error.__context__ is None


def test_the_full_traceback_is_there_for_the_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALLAS_NP_FULL_TRACEBACK", "1")
    error = error_of(call_of(shifted_sum), X)
    assert ("routing.py", "__call__") in entries(error) and entries(error)[-1] == (Path(__file__).name, "pick")
    assert error.__cause__ is not None and entries(error.__cause__)[-1][1] == "numpy_index"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_post_mortem_lands_in_the_kernel_with_the_values(engine: str) -> None:
    error = error_of(call_of(shifted_sum, engine), X)
    out = io.StringIO()
    debugger = pdb.Pdb(
        stdin=io.StringIO("p x_ref\np grid_index\np operands[1]\np i\nup\np total\nwhere\nquit\n"), stdout=out
    )
    debugger.reset()
    debugger.interaction(None, error.__traceback__)  # type: ignore[arg-type]
    said = out.getvalue()
    assert "array([0., 1., 2., 3.], dtype=float32)" in said
    assert "(0, 1)" in said and "np.int32(4)" in said and "-> return jnp.exp(x_ref[i])" in said
    assert "-> return total + pick(" in said and "NameError" not in said


def test_refs_without_names_of_their_own_are_found_too() -> None:
    def kernel(*refs: Any) -> None:
        refs[1][...] = refs[0][...]
        refs[1][pl.program_id(1) * 4] = 1.0

    error = error_of(call_of(kernel), X)
    assert error.ref == "refs[1]"
    np.testing.assert_array_equal(error.values["refs"][0], X)


def test_under_jit_the_message_is_whole_and_the_original_is_kept() -> None:
    with pytest.raises(jax.errors.JaxRuntimeError) as raised:
        jax.block_until_ready(jax.jit(call_of(shifted_sum))(X))
    error = pallas_np.last_error()
    assert isinstance(error, pallas_np.OutOfBoundsError)
    assert str(error) in str(raised.value)
    assert "pallas_np/" not in str(raised.value).replace("\\", "/").replace(str(error), "")
    assert [name for _, name in entries(error)][-3:] == ["shifted_sum", "body", "pick"]


def test_under_vmap_the_grid_index_has_the_new_axis() -> None:
    error = error_of(jax.vmap(call_of(shifted_sum)), np.stack([X, X]))
    assert error.grid_index == (0, 0, 1) and entries(error)[-1][1] == "pick"


def swapped_block(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...]


def outside(i: Any) -> Any:
    return (i + 1,)


def test_a_block_outside_its_array_names_the_index_map() -> None:
    spec = pl.BlockSpec((2,), outside)
    call = call_of(swapped_block, grid=(2,), in_specs=[spec], out_specs=pl.BlockSpec((2,), lambda i: (i,)))
    error = error_of(call, X)
    assert isinstance(error, IndexError) and error.grid_index == (1,) and error.ref == "x_ref"
    assert (error.line, entries(error)[-1][1]) == (line_of(outside, "def"), "outside")
    assert "blocks, not elements" in error.advice


def wait_for_nothing(x_ref: Any, out_ref: Any, arrived: Any) -> None:
    pltpu.make_async_copy(x_ref, out_ref, arrived.at[1]).wait()


def test_a_wait_names_the_semaphore() -> None:
    error = error_of(call_of(wait_for_nothing, scratch_shapes=[pltpu.SemaphoreType.DMA((2,))]), X)
    assert isinstance(error, pallas_np.SynchronizationError) and isinstance(error, RuntimeError)
    assert (error.ref, error.primitive, error.source) == (
        "arrived[1]",
        "dma_wait",
        "pltpu.make_async_copy(x_ref, out_ref, arrived.at[1]).wait()",
    )
    assert [operand.name for operand in error.operands if operand.is_ref] == ["x_ref", "out_ref", "arrived"]


@pytest.mark.filterwarnings("ignore:.*create_tensorcore_mesh is deprecated")
def test_a_core_of_a_mesh_says_which_it_is() -> None:
    mesh = pltpu.create_tensorcore_mesh("core", num_cores=2)

    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[x_ref[jax.lax.axis_index("core")]] = 1

    with pallas_np.installed(), pytest.raises(pallas_np.OutOfBoundsError) as raised:
        pl.kernel(kernel, out_type=jax.ShapeDtypeStruct((2,), jnp.int32), mesh=mesh)(np.int32([0, 7]))
    assert raised.value.grid_index == (1,) and raised.value.source.startswith("out_ref[x_ref[")


class Refused(Exception):
    """One of the user's own, with something to tell."""

    def __init__(self, code: int, reason: str):
        super().__init__(f"{reason} ({code})")
        self.code = code


def refuse(x: Any) -> None:
    raise Refused(3, "no such value")


def asks(x_ref: Any, out_ref: Any) -> None:
    jax.debug.callback(refuse, x_ref[0])
    out_ref[...] = x_ref[...]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_callback_raises_keeps_its_kind_and_is_the_cause(engine: str) -> None:
    error = error_of(call_of(asks, engine), X)
    assert isinstance(error, Refused) and error.code == 3 and error.problem == "no such value (3)"
    assert entries(error)[-1][1] == "asks"
    assert error.__cause__ is not None and entries(error.__cause__)[-1][1] == "refuse"
    cause = traceback.extract_tb(error.__cause__.__traceback__)
    assert not any("pallas_np" in Path(entry.filename).parts for entry in cause)


def test_what_cannot_be_read_names_the_primitive_and_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(params: Any, known: Any) -> Any:
        raise NotImplementedError("that is new")

    def kernel(x_ref: Any, out_ref: Any) -> None:
        @pl.when(pl.program_id(0) == 0)
        def first() -> None:
            out_ref[...] = jnp.sin(x_ref[...])

    monkeypatch.setitem(reading.param_readers, jax.lax.sin_p, refuse)
    for call in (call_of(kernel), jax.jit(call_of(kernel))):
        error = error_of(call, X)
        assert isinstance(error, pallas_np.UnsupportedError) and isinstance(error, NotImplementedError)
        assert (error.kernel, error.primitive, error.problem) == ("kernel", "sin", "that is new")
        assert error.source == "out_ref[...] = jnp.sin(x_ref[...])"
        assert [str(operand) for operand in error.operands] == ["float32[4]"]


def test_a_bare_jaxpr_has_no_kernel_but_a_line() -> None:
    traced = jax.make_jaxpr(lambda x: x + 1)(X)
    with pytest.raises(pallas_np.UnsupportedError) as raised:
        phase5.eval_jaxpr(traced.jaxpr, traced.consts, X, rules={})
    assert raised.value.kernel is None and raised.value.primitive == "add" and "lambda x: x + 1" in raised.value.source


def test_a_kernel_called_from_a_kernel_is_the_one_that_is_named() -> None:
    def inner(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]
        out_ref[x_ref[3].astype(jnp.int32) + 4] = 0.0

    def outer(x_ref: Any, out_ref: Any) -> None:
        shape = jax.ShapeDtypeStruct((4,), jnp.float32)
        out_ref[...] = pl.pallas_call(inner, shape)(x_ref[...])

    assert error_of(call_of(outer), X).kernel == "inner"


def test_a_print_is_not_repeated_when_a_compiled_kernel_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        pl.debug_print("here")
        shifted_sum(x_ref, out_ref)

    error_of(call_of(kernel, "compiled"), X)
    assert capsys.readouterr().out.count("here") == 2


def test_a_fault_of_our_own_in_the_compiler_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    from pallas_np import compiler

    def broken(*args: Any) -> Any:
        raise KeyError("a fault of the compiler's")

    monkeypatch.setattr(compiler, "_program", broken)
    with pytest.raises(KeyError, match="a fault of the compiler's"):
        call_of(swapped_block, "compiled")(X)


def test_every_kind_is_also_one_of_pythons() -> None:
    kinds = [kind for kind in vars(pallas_np.errors).values() if inspect.isclass(kind)]
    kinds = [kind for kind in kinds if issubclass(kind, pallas_np.KernelError)]
    assert len(kinds) == 8
    for kind in kinds:
        assert kind is pallas_np.KernelError or any(base.__module__ == "builtins" for base in kind.__bases__)
        assert getattr(pallas_np, kind.__name__) is kind and kind.__doc__ and kind("why").advice


NOTEBOOK = """import jax, jax.numpy as jnp, pallas_np
def reads_too_far(x_ref, out_ref):
    index = jnp.int32(3)
    out_ref[0] = x_ref[index + 1]
call = pallas_np.pallas_call(reads_too_far, jax.ShapeDtypeStruct((4,), jnp.float32))
"""


def test_a_notebook_shows_the_cell_and_the_line() -> None:
    pytest.importorskip("IPython")
    script = f"""
from IPython.terminal.interactiveshell import TerminalInteractiveShell as Shell
shell = Shell.instance(colors="NoColor")
shell.run_cell({NOTEBOOK!r}, store_history=True)
shell.run_cell("call(jnp.ones(4))", store_history=True)
"""
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120).stdout
    assert re.search(r"-+> 4 +out_ref\[0\] = x_ref\[index \+ 1\]", shown), shown
    assert shown.count("Cell In[1], line 4, in reads_too_far") == 2  # in the traceback, and in the message
    assert "routing.py" not in shown and "phase5" not in shown
    assert "OutOfBoundsError: index 4 of axis 0 lies outside a ref of shape (4,)" in shown
