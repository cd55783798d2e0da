"""Python's garbage collector has to wait while a kernel is seen for the first time, and is as before afterwards."""

import gc
import threading

import jax
import jax.numpy as jnp
import pytest

import pallas_np
from pallas_np import compiler
from pallas_np.garbage import MANY, few_collections


@pytest.fixture(params=[700, 0, 3 * MANY], ids=["on", "off", "hardly on"])
def threshold(request):
    """After how many new objects the user's collector looks at the youngest; 0 is never."""
    before = gc.get_threshold()
    gc.set_threshold(request.param, *before[1:])
    yield request.param
    gc.set_threshold(*before)


def waits_for() -> int:
    return gc.get_threshold()[0]


def test_the_collector_is_left_as_it_was(threshold):
    waiting = MANY if threshold == 700 else threshold
    with few_collections():
        assert waits_for() == waiting
        with few_collections():
            assert waits_for() == waiting
        assert waits_for() == waiting
    assert waits_for() == threshold
    with pytest.raises(ZeroDivisionError), few_collections():
        1 / 0  # noqa: B018
    assert waits_for() == threshold


def test_the_last_of_several_threads_leaves_it_as_the_first_found_it(threshold):
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with few_collections():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with few_collections():
        thread.start()
        assert entered.wait(60)
    assert waits_for() == (MANY if threshold == 700 else threshold)
    leave.set()
    thread.join()
    assert waits_for() == threshold


def test_of_very_many_new_objects_it_collects_all_the_same():
    def collections() -> int:
        return sum(generation["collections"] for generation in gc.get_stats())

    with few_collections():
        before = collections()
        kept = [[] for _ in range(MANY // 2)]
        assert collections() == before
        kept += [[] for _ in range(MANY)]
        assert collections() > before


def test_the_collector_waits_while_a_kernel_is_traced_and_while_it_is_walked(threshold, monkeypatch):
    seen, walked = [], compiler.walked

    def doubled(x_ref, out_ref):
        seen.append(waits_for())
        out_ref[...] = x_ref[...] * 2

    def wrong(x_ref, out_ref):
        raise ValueError("a kernel that cannot be traced")

    monkeypatch.setattr(compiler, "walked", lambda *args: seen.append(waits_for()) or walked(*args))
    x, out_shape = jnp.arange(8.0), jax.ShapeDtypeStruct((8,), jnp.float32)
    call = pallas_np.pallas_call(doubled, out_shape)
    assert (call(x) == x * 2).all() and (call(x) == x * 2).all()
    assert seen == [MANY if threshold == 700 else threshold] * 2 and waits_for() == threshold
    with pytest.raises(ValueError, match="cannot be traced"):
        pallas_np.pallas_call(wrong, out_shape)(x)
    assert waits_for() == threshold
