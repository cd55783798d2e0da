"""`install`: every Pallas call in the process runs in NumPy, and afterwards JAX is as it was."""

from __future__ import annotations

import copy
import functools
import os
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import compiler
from jax._src.pallas.mosaic import core as tpu_core
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

import pallas_np
from pallas_np import Options, launch_count

SHAPE = jax.ShapeDtypeStruct((8, 128), jnp.float32)
X = np.arange(1024, dtype=np.float32).reshape(8, 128)


def scale(x_ref: Any, out_ref: Any) -> None:
    out_ref[...] = x_ref[...] * 2 + 1


def scaled(**options: Any) -> Callable[..., Any]:
    return pl.pallas_call(scale, out_shape=SHAPE, **options)


def never_written(out_ref: Any) -> None:
    """Shows in its answer how memory is before it is written."""


def untouched(**options: Any) -> Any:
    return pl.pallas_call(never_written, out_shape=jax.ShapeDtypeStruct((2,), jnp.float32), **options)()


@pytest.fixture(autouse=True)
def nothing_stays_installed() -> Iterator[None]:
    yield
    pallas_np.uninstall()


class launches:
    """Fails unless NumPy runs exactly so many kernels in the block."""

    def __init__(self, expected: int):
        self.expected = expected

    def __enter__(self) -> None:
        self.before = launch_count()

    def __exit__(self, kind: Any, *_: Any) -> None:
        jax.effects_barrier()
        if kind is None:
            assert launch_count() - self.before == self.expected


@pytest.fixture
def nothing_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("something was compiled")

    jax.device_put(X)
    monkeypatch.setattr(compiler, "compile_or_get_cached", refuse)


INTERPRET = {
    "none": {},
    "true": {"interpret": True},
    "tpu parameters": {"interpret": pltpu.InterpretParams()},
    "options": {"interpret": Options()},
}


@pytest.mark.parametrize("flag", INTERPRET)
@pytest.mark.parametrize("how", ["eager", "jit", "vmap", "jit of vmap", "jvp"])
def test_whatever_the_flag_and_the_transformation(flag: str, how: str) -> None:
    def call(x: Any) -> Any:
        return scaled(**INTERPRET[flag])(x)

    def row(x: Any) -> Any:
        return pl.pallas_call(scale, out_shape=jax.ShapeDtypeStruct((128,), jnp.float32), **INTERPRET[flag])(x)

    run = {
        "eager": call,
        "jit": jax.jit(call),
        "vmap": jax.vmap(row),
        "jit of vmap": jax.jit(jax.vmap(row)),
        "jvp": lambda x: jax.jvp(call, (x,), (x,))[1] + 1,
    }[how]
    with pallas_np.installed(), launches(1):
        got = run(jnp.asarray(X))
    assert isinstance(got, jax.Array)
    np.testing.assert_array_equal(got, X * 2 + 1)


def test_what_pallas_call_returns_can_be_transformed_itself() -> None:
    with pallas_np.installed():
        call = scaled()
        with launches(4):
            for run in (call, jax.jit(call), lambda x: jax.vmap(call)(x[None])[0], functools.partial(call)):
                np.testing.assert_array_equal(run(X), X * 2 + 1)
        assert "custom_call" in call.lower(X).as_text()


def test_a_call_before_install_still_fails_after_uninstall() -> None:
    """The executable of a jitted function must be stale in neither direction."""
    jitted = jax.jit(lambda x: scaled()(x))
    for _ in range(2):
        with pytest.raises(ValueError, match="Only interpret mode is supported on CPU"):
            jitted(X)
        pallas_np.install()
        with launches(1):
            np.testing.assert_array_equal(jitted(X), X * 2 + 1)
        pallas_np.uninstall()


def test_functions_jitted_before_go_to_numpy_and_come_back() -> None:
    traces = []

    @jax.jit
    def jitted(x: Any) -> Any:
        traces.append(None)
        return scaled(interpret=True)(x)

    outer = jax.jit(lambda x: jitted(x) + 0)
    with launches(0):
        outer(X), jitted(X)
    pallas_np.install()
    with launches(2):
        outer(X), jitted(X)
    pallas_np.uninstall()
    before = len(traces)
    with launches(0):
        outer(X), jitted(X)
    assert len(traces) == before, "the executables of before were thrown away"


def test_forced_tpu_interpretation_does_not_hide_the_engine() -> None:
    jitted = jax.jit(lambda x: scaled()(x))
    with pltpu.force_tpu_interpret_mode():
        with launches(0):
            jitted(X)
        with pallas_np.installed(), launches(2):
            np.testing.assert_array_equal(jitted(X), X * 2 + 1)
            np.testing.assert_array_equal(scaled()(X), X * 2 + 1)
        with launches(0):
            jitted(X)


def test_calls_bound_before_by_other_modules() -> None:
    """A library that took `pl.pallas_call` by name, fixed its arguments and kept what it returned."""
    source = """
        import functools
        import jax, jax.numpy as jnp
        from jax.experimental.pallas import pallas_call

        shape = jax.ShapeDtypeStruct((8, 128), jnp.float32)
        def kernel(x_ref, out_ref):
            out_ref[...] = x_ref[...] * 2 + 1
        partial = functools.partial(pallas_call, kernel, out_shape=shape, interpret=False)
        kept = pallas_call(kernel, out_shape=shape, interpret=True)
        kept_jit = jax.jit(kept)
    """
    library = types.ModuleType("library")
    exec(textwrap.dedent(source), library.__dict__)
    with pallas_np.installed(), launches(3):
        for call in (library.partial(), library.kept, library.kept_jit):
            np.testing.assert_array_equal(call(X), X * 2 + 1)


def test_jaxprs_traced_before() -> None:
    jaxpr = jax.make_jaxpr(scaled())(X)
    traced = jax.jit(scaled(interpret=pltpu.InterpretParams())).trace(X)
    with pallas_np.installed(), launches(2):
        (got,) = jax.core.eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, X)
        np.testing.assert_array_equal(got, X * 2 + 1)
        np.testing.assert_array_equal(traced.lower().compile()(X), X * 2 + 1)


def test_tpu_parameters_bring_no_effects() -> None:
    """Which would be ordered, and JAX runs ordered effects on one device only."""
    kept = scaled(interpret=pltpu.InterpretParams())
    assert jax.make_jaxpr(kept)(X).effects
    with pallas_np.installed():
        assert not jax.make_jaxpr(kept)(X).effects
    assert jax.make_jaxpr(kept)(X).effects


def test_gradient_through_custom_vjp() -> None:
    @jax.custom_vjp
    def double(x: Any) -> Any:
        return scaled()(x)

    double.defvjp(lambda x: (double(x), None), lambda _, g: (scaled()(g),))

    def loss(x: Any) -> Any:
        return double(x).sum()

    def assert_loss_and_gradient(answer: Any) -> None:
        np.testing.assert_allclose(answer[0], (X * 2 + 1).sum(), rtol=1e-6)
        np.testing.assert_array_equal(answer[1], np.full_like(X, 3))

    with pallas_np.installed():
        with launches(2):
            assert_loss_and_gradient(jax.value_and_grad(loss)(X))
        with launches(2):
            assert_loss_and_gradient(jax.jit(jax.value_and_grad(loss))(X))


def test_inside_scan_and_remat() -> None:
    def step(x: Any, _: Any) -> tuple[Any, None]:
        return jax.checkpoint(scaled())(x), None

    want = (X * 2 + 1) * 2 + 1
    with pallas_np.installed(), launches(2):
        np.testing.assert_array_equal(jax.lax.scan(step, jnp.asarray(X), None, length=2)[0], want)


def test_inside_shard_map() -> None:
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.P("i")
    sharded = jax.shard_map(scaled(), mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    with pallas_np.installed(), launches(2):
        np.testing.assert_array_equal(jax.jit(sharded)(X), X * 2 + 1)
        np.testing.assert_array_equal(sharded(X), X * 2 + 1)


def test_without_jit() -> None:
    with pallas_np.installed(), jax.disable_jit(), launches(1):
        np.testing.assert_array_equal(scaled()(X), X * 2 + 1)


def test_several_outputs_and_an_alias_under_jit() -> None:
    def kernel(x_ref: Any, sum_ref: Any, out_ref: Any) -> None:
        out_ref[...] += x_ref[...]
        sum_ref[0] = out_ref[...].sum()

    x = jnp.arange(4.0)
    call = pl.pallas_call(
        kernel, out_shape=(jax.ShapeDtypeStruct((1,), x.dtype), x), input_output_aliases={0: 1}, interpret=True
    )
    want = call(x)
    with pallas_np.installed(), launches(1):
        got = jax.jit(call)(x)
    np.testing.assert_array_equal(x, np.arange(4))
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)


def test_a_kernel_with_no_outputs_runs(capfd: pytest.CaptureFixture[str]) -> None:
    call = functools.partial(pl.pallas_call, lambda x_ref: pl.debug_print("saw {}", x_ref[0]), out_shape=())
    with pallas_np.installed(), launches(1):
        call()(jnp.arange(3))
    assert "saw 0" in capfd.readouterr().out


def mesh_of(cores: int | None = None) -> Any:
    return tpu_core.create_tensorcore_mesh("core", num_cores=cores)


def scale_half(x_ref: Any, out_ref: Any) -> None:
    half = pl.ds(jax.lax.axis_index("core") * 4, 4)
    out_ref[half, :] = x_ref[half, :] * 2 + 1


@pytest.mark.parametrize("jit", [False, True])
def test_a_kernel_on_a_mesh_of_cores(jit: bool) -> None:
    kernel = pl.kernel(scale_half, out_type=SHAPE, mesh=mesh_of(2))
    with pallas_np.installed(), launches(1):
        np.testing.assert_array_equal((jax.jit(kernel) if jit else kernel)(X), X * 2 + 1)
    with pytest.raises(ValueError, match="Only interpret mode"):
        jax.jit(kernel)(X)


@pytest.mark.filterwarnings("ignore:.*core_map is deprecated")
def test_core_map() -> None:
    @jax.jit
    def run(x: Any) -> Any:
        x_ref, out_ref = jax.new_ref(x), jax.new_ref(jnp.zeros_like(x))

        @pl.core_map(mesh_of(2))
        def _() -> None:
            scale_half(x_ref, out_ref)

        return out_ref[...]

    with pallas_np.installed(), launches(1):
        np.testing.assert_array_equal(run(X), X * 2 + 1)


def test_a_call_on_a_mutable_array() -> None:
    def kernel(x_ref: Any) -> None:
        x_ref[...] += 1

    @jax.jit
    def run(x: Any) -> Any:
        ref = jax.new_ref(x)
        pl.pallas_call(lambda: kernel(ref), out_shape=())()
        return ref[...]

    with pallas_np.installed(), launches(1):
        np.testing.assert_array_equal(run(X), X + 1)


def test_nothing_is_compiled_on_arrays(nothing_compiles: None) -> None:
    row = jax.ShapeDtypeStruct((128,), jnp.float32)
    x = jax.device_put(X)
    with pytest.raises(AssertionError, match="compiled"):
        jax.jit(lambda x: x + 2)(x)
    with pallas_np.installed(), launches(4):
        np.testing.assert_array_equal(np.asarray(scaled()(x)), X * 2 + 1)
        np.testing.assert_array_equal(np.asarray(jax.vmap(pl.pallas_call(scale, out_shape=row))(x)), X * 2 + 1)
        np.testing.assert_array_equal(np.asarray(jax.jvp(scaled(), (x,), (x,))[1]), X * 2)
        kernel = pl.kernel(scale_half, out_type=SHAPE, mesh=mesh_of(2))
        np.testing.assert_array_equal(np.asarray(kernel(x)), X * 2 + 1)


def test_pallas_call_with_options() -> None:
    def kernel(out_ref: Any) -> None:
        """Writes nothing."""

    shape = jax.ShapeDtypeStruct((2,), jnp.float32)
    with launches(2):
        assert np.isnan(pallas_np.pallas_call(kernel, shape)()).all()
        assert (pallas_np.pallas_call(kernel, out_shape=shape, options=Options(uninitialized="zero"))() == 0).all()


def test_interpret_takes_options_for_one_call() -> None:
    zero = Options(uninitialized="zero")
    with pallas_np.installed(), launches(4):
        assert np.isnan(untouched()).all()
        assert (untouched(interpret=zero) == 0).all()
        assert (jax.jit(lambda: untouched(interpret=zero))() == 0).all()
        assert np.isnan(jax.jit(lambda: untouched())()).all()
    with launches(1):  # nothing is installed, and the call asks for NumPy itself
        assert (untouched(interpret=zero) == 0).all()


def test_blocks_nest_and_the_innermost_counts() -> None:
    jitted = jax.jit(lambda: untouched())
    with pallas_np.installed():
        assert np.isnan(jitted()).all()
        with pallas_np.installed(Options(uninitialized="zero")):
            assert (jitted() == 0).all() and (untouched() == 0).all()
            with pallas_np.installed():
                assert np.isnan(jitted()).all() and np.isnan(untouched()).all()
            pallas_np.uninstall()
            assert (jitted() == 0).all()
        assert np.isnan(jitted()).all()
    with pytest.raises(ValueError, match="Only interpret mode"):
        jitted()


def test_a_block_ends_when_an_exception_leaves_it() -> None:
    with pytest.raises(RuntimeError, match="out"), pallas_np.installed():
        raise RuntimeError("out")
    with pytest.raises(ValueError, match="Only interpret mode"):
        untouched()


def test_installing_again_changes_the_options_and_one_uninstall_ends_it() -> None:
    pallas_np.uninstall()
    pallas_np.install()
    pallas_np.install(Options(uninitialized="zero"))
    assert (untouched() == 0).all()
    with pallas_np.installed():
        assert np.isnan(untouched()).all()
    assert (untouched() == 0).all()
    pallas_np.uninstall()
    with pytest.raises(ValueError, match="Only interpret mode"):
        untouched()


def test_threads_have_the_options_of_their_own_blocks() -> None:
    both_inside = threading.Barrier(2)
    problems = []

    def work(options: Options, right: Callable[[Any], Any]) -> None:
        try:
            for _ in range(5):
                with pallas_np.installed(options):
                    both_inside.wait(20)
                    jitted = jax.jit(lambda: untouched())
                    assert right(np.asarray(untouched())).all() and right(np.asarray(jitted())).all()
                    both_inside.wait(20)
        except BaseException as error:
            problems.append(error)
            both_inside.abort()

    threads = [
        threading.Thread(target=work, args=(Options(), np.isnan)),
        threading.Thread(target=work, args=(Options(uninitialized="zero"), np.logical_not)),
    ]
    with launches(20):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not problems
    with pytest.raises(ValueError, match="Only interpret mode"):
        untouched()


def test_a_thread_started_in_a_block_is_served() -> None:
    answers = []
    with pallas_np.installed(Options(uninitialized="zero")):
        thread = threading.Thread(target=lambda: answers.append(np.asarray(untouched())))
        thread.start()
        thread.join()
    np.testing.assert_array_equal(answers, np.zeros((1, 2)))


def functions_of_jax() -> dict[tuple[str, str], int]:
    """Which function each name in JAX's modules and in the meshes' classes stands for."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in ("jax", "jaxlib")]
    owners = [*modules, tpu_core.TensorCoreMesh]
    return {
        (owner.__name__, name): id(value)
        for owner in owners
        for name, value in dict(vars(owner)).items()
        if callable(value)
    }


def test_uninstall_puts_back_what_was_there() -> None:
    before, values = functions_of_jax(), jax.config.values.copy()
    pallas_np.install()
    assert functions_of_jax() != before
    with pallas_np.installed(Options(uninitialized="zero")):
        pallas_np.install()
    pallas_np.uninstall()
    assert functions_of_jax() == before
    assert jax.config.values == values
    with launches(0):
        np.testing.assert_array_equal(scaled(interpret=True)(X), X * 2 + 1)
    with pytest.raises(ValueError, match="Unsupported TPU device kind"):
        pltpu.get_tpu_info()


def test_kernels_are_told_of_a_tpu() -> None:
    with pallas_np.installed():
        assert pltpu.get_tpu_info().generation == 5
        assert list(mesh_of().shape.items()) == [("core", 1)]
        with pallas_np.installed(Options(tpu="TPU v6e")):
            assert pltpu.get_tpu_info().generation == 6
        assert pltpu.get_tpu_info().generation == 5


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, jax.vmap])
@pytest.mark.parametrize("tpu, generation", [("TPU v5e", 5), ("TPU v6e", 6)])
def test_a_kernel_is_told_of_a_tpu_where_nothing_is_installed(transform: Any, tpu: str, generation: int) -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...] + pltpu.get_tpu_info().generation

    row = jax.ShapeDtypeStruct((2,), jnp.int32)
    call = pallas_np.pallas_call(kernel, row, options=Options(tpu=tpu))
    x = jnp.zeros((3, 2) if transform is jax.vmap else 2, jnp.int32)
    np.testing.assert_array_equal(transform(call)(x), x + generation)
    with pytest.raises(ValueError, match="Unsupported TPU device kind"):
        pltpu.get_tpu_info()


def test_a_debugged_kernel_is_told_of_a_tpu() -> None:
    def kernel(out_ref: Any) -> None:
        out_ref[...] = jnp.full((2,), pltpu.get_tpu_info().generation)

    call = pallas_np.pallas_call(kernel, jax.ShapeDtypeStruct((2,), jnp.int32), options=Options(tpu="TPU v6e"))
    assert pallas_np.debug(call, at=())().tolist() == [6, 6]


def test_last_error_is_the_exception_behind_a_jitted_call() -> None:
    def kernel(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    call = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((4,), jnp.int32),
        grid=(2,),
        in_specs=[pl.BlockSpec((2,), lambda i: (i + 1,))],
        out_specs=pl.BlockSpec((2,), lambda i: (i,)),
    )
    with pallas_np.installed(), pytest.raises(jax.errors.JaxRuntimeError) as raised:
        jax.block_until_ready(jax.jit(call)(np.arange(4, dtype=np.int32)))
    error = pallas_np.last_error()
    assert isinstance(error, IndexError)
    assert "outside the array of shape (4,)" in str(error)
    assert str(error) in str(raised.value)
    assert error.__traceback__ is not None


def test_the_callers_mistakes_are_jaxs_to_report() -> None:
    with pallas_np.installed(), pytest.raises(ValueError, match="should return None"):
        pl.pallas_call(lambda x_ref, out_ref: 1, out_shape=SHAPE)(X)


def test_jaxs_search_for_nans_reaches_results() -> None:
    def root(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = jnp.sqrt(x_ref[...])

    call = pallas_np.pallas_call(root, jax.ShapeDtypeStruct((2,), jnp.float32))
    below = np.array([4, -1], np.float32)
    assert np.isnan(call(below)[1])
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match=r"\(nan\) encountered in pallas_call"):
        call(below)
    with jax.debug_infs(True), pytest.raises(FloatingPointError, match=r"\(inf\) encountered in pallas_call"):
        call(np.array([4, np.inf], np.float32))


def test_a_copy_of_a_call_is_the_call() -> None:
    with pallas_np.installed():
        call = scaled()
        for _ in range(2):  # before it is called, and after
            np.testing.assert_array_equal(copy.deepcopy(call)(X), call(X))


def test_answers_live_where_the_arguments_live() -> None:
    device = jax.devices("cpu")[0]
    with pallas_np.installed():
        committed, free = jax.device_put(X, device), jax.device_put(X)
        assert scaled()(committed).committed and scaled()(committed).device == device
        assert not scaled()(free).committed
        assert not scaled()(X).committed


def test_the_same_call_twice_gives_two_arrays() -> None:
    """An answer's buffer is the caller's: it may not be used again for the next."""
    with pallas_np.installed():
        call = scaled()
        first = call(X)
        second = call(-X)
    np.testing.assert_array_equal(first, X * 2 + 1)
    np.testing.assert_array_equal(second, -X * 2 + 1)


def run(program: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
    )
    assert done.stdout.strip() == "ran", done.stdout + done.stderr


@pytest.mark.parametrize(
    "dtype", ["bool", "int4", "uint8", "int32", "float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "complex64"]
)
def test_every_dtype_crosses_the_boundary(dtype: str) -> None:
    def copies(x_ref: Any, out_ref: Any) -> None:
        out_ref[...] = x_ref[...]

    x = jnp.arange(7).astype(dtype)
    call = pl.pallas_call(copies, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype))
    with pallas_np.installed(), launches(2):
        for got in (jax.jit(call)(x), pl.pallas_call(copies, out_shape=x)(x)):
            assert got.dtype == x.dtype
            np.testing.assert_array_equal(got, x)


def test_keys_cross_the_boundary() -> None:
    def copies(key_ref: Any, out_ref: Any, uniform_ref: Any) -> None:
        out_ref[...] = key_ref[...]
        uniform_ref[...] = jax.random.uniform(key_ref[...], (4,))

    key = jax.random.key(3)
    shapes = jax.ShapeDtypeStruct((), key.dtype), jax.ShapeDtypeStruct((4,), jnp.float32)
    with pallas_np.installed(), launches(2):
        call = pl.pallas_call(copies, out_shape=shapes)
        for run in (call, jax.jit(call)):
            out, uniform = run(key)
            assert out == key
            np.testing.assert_array_equal(uniform, jax.random.uniform(key, (4,)))


def test_two_devices_in_a_shard_map() -> None:
    run(
        """
        import jax, jax.numpy as jnp, numpy as np, pallas_np
        from jax.experimental import pallas as pl

        def kernel(x_ref, out_ref):
            out_ref[...] = x_ref[...] * 2
        def half(x):
            return pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype))(x)

        mesh = jax.make_mesh((2,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
        spec = jax.P("i")
        x = np.arange(4096, dtype=np.float32).reshape(8, 512)
        f = jax.shard_map(half, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
        pallas_np.install()
        np.testing.assert_array_equal(jax.jit(f)(x), x * 2)
        np.testing.assert_array_equal(f(x), x * 2)
        assert pallas_np.launch_count() == 4, pallas_np.launch_count()

        # Large enough for JAX to copy on the CPU's threads, which wait for the kernels: this once hung.
        large = np.arange(2**21, dtype=np.float32)
        np.testing.assert_array_equal(jax.jit(f)(large), large * 2)

        # On an array that is spread over both devices the kernel sees the whole array.
        spread = jax.device_put(x, jax.NamedSharding(mesh, spec))
        np.testing.assert_array_equal(half(spread) + spread, x * 3)
        # Where the argument is committed, there the answer is.
        second = jax.devices()[1]
        assert half(jax.device_put(x, second)).device == second
        with jax.default_device(second):
            free = jax.device_put(x)
        assert half(free).device == second and not half(free).committed
        with jax.default_device(second):
            assert half(x).device == half(jax.device_put(x)).device == second and not half(x).committed
        both = pl.pallas_call(lambda x, y, out: None, jax.ShapeDtypeStruct((1,), np.float32))
        count = pallas_np.launch_count()
        try:
            both(*(jax.device_put(x, device) for device in jax.devices()))
        except ValueError as error:
            assert pallas_np.launch_count() == count
            assert "is committed to cpu:0, another to cpu:1" in str(error), error
        else:
            raise AssertionError("arguments on two devices are accepted")
        print("ran")
        """,
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )


def test_x64() -> None:
    run(
        """
        import jax, jax.numpy as jnp, numpy as np, pallas_np
        from jax.experimental import pallas as pl

        def kernel(x_ref, n_ref, out_ref):
            out_ref[...] = x_ref[...] / 3 + n_ref[...]

        def call(x, n, **options):
            return pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype), **options)(x, n)
        x = jnp.arange(4.0) + 1e-12
        n = jnp.arange(4) + 2**40
        assert x.dtype == jnp.float64 and n.dtype == jnp.int64
        want = call(x, n, interpret=True)
        with pallas_np.installed():
            for f in (call, jax.jit(call)):
                got = f(x, n)
                assert got.dtype == jnp.float64
                np.testing.assert_array_equal(got, want)
        assert pallas_np.launch_count() == 2
        print("ran")
        """,
        JAX_ENABLE_X64="1",
    )
