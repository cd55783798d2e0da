"""Python's garbage collector is off while a kernel is read, and as it was before afterwards."""

import gc

import jax
import jax.numpy as jnp
import pytest

import pallas_np
from pallas_np.garbage import without_collections


@pytest.fixture(params=[True, False], ids=["on", "off"])
def is_on(request):
    """The collector as the user has it."""
    was_on = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if was_on else gc.disable)()


def test_the_collector_is_left_as_it_was(is_on):
    with without_collections():
        assert not gc.isenabled()
        with without_collections():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() == is_on
    with pytest.raises(ZeroDivisionError), without_collections():
        1 / 0  # noqa: B018
    assert gc.isenabled() == is_on


def test_nothing_is_collected_while_a_kernel_is_traced(is_on):
    seen = []

    def doubled(x_ref, out_ref):
        seen.append(gc.isenabled())
        out_ref[...] = x_ref[...] * 2

    def wrong(x_ref, out_ref):
        raise ValueError("a kernel that cannot be traced")

    x, out_shape = jnp.arange(8.0), jax.ShapeDtypeStruct((8,), jnp.float32)
    call = pallas_np.pallas_call(doubled, out_shape)
    assert (call(x) == x * 2).all() and (call(x) == x * 2).all()
    assert seen == [False] and gc.isenabled() == is_on
    with pytest.raises(ValueError, match="cannot be traced"):
        pallas_np.pallas_call(wrong, out_shape)(x)
    assert gc.isenabled() == is_on
