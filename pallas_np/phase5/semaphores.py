"""Semaphores and DMAs in phase 5.

A semaphore is an int32 element.  A DMA is copied when it is waited for.  Waits are matched by semaphore and by byte
count, first in, first out, as on the hardware; not by descriptor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pallas_np.errors import SynchronizationError
from pallas_np.frontend import Equation, RefView, Var
from pallas_np.frontend import primitives as p
from pallas_np.phase1 import structure
from pallas_np.phase5.copies import Channel, Copy, nbytes
from pallas_np.phase5.cores import Core, Wait
from pallas_np.phase5.memory import Place, known, place

if TYPE_CHECKING:
    from pallas_np.phase5 import Interpreter


@structure
def dma_start(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    params = eqn.params
    _refuse_remote(eqn)
    source, target = place(interp, params["source"], args), place(interp, params["target"], args)
    copy = Copy(source, target, params["add"], interp.fresh_array((), source.dtype))
    semaphores = [params[name] for name in ("target_semaphore", "source_semaphore") if params[name] is not None]
    for view in semaphores:
        channel_of(interp, eqn, view, args).pending.append(copy)
    if not semaphores:
        copy.finish()
    return []


@structure
def dma_wait(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    params = eqn.params
    _refuse_remote(eqn)
    if params["target_semaphore"] is None:
        return []
    channel = channel_of(interp, eqn, params["target_semaphore"], args)
    target = place(interp, params["target"], args)
    wanted = nbytes(target)
    while channel.credit < wanted:
        if not channel.pending:
            name = _name(interp, place(interp, params["target_semaphore"], args))
            raise SynchronizationError(
                f"the wait asks for {wanted} bytes, but the DMAs started on {name} bring {channel.credit}", ref=name
            )
        channel.finish_oldest()
    channel.credit -= wanted
    return []


def channel_of(interp: Interpreter, eqn: Equation, semaphore: RefView, args: Sequence[Any]) -> Channel:
    """The DMAs that signal a semaphore; what those of an earlier kernel have brought is in its memory."""
    count = place(interp, semaphore, args).view()
    address = address_of(count)
    if address not in interp.channels:
        interp.channels[address] = Channel(count, _variable(eqn, semaphore).is_dma_semaphore, int(count))
    return interp.channels[address]


def _variable(eqn: Equation, view: RefView) -> Var:
    """The equation's operand that a view is of."""
    while isinstance(view.ref, tuple):
        view = view.ref[0]
    return eqn.invars[view.ref.position]  # type: ignore[return-value]


def land_copies(interp: Interpreter, semaphores: np.ndarray) -> None:
    """Finishes the DMAs on semaphores that are an output: a later kernel waits for them."""
    for count in semaphores.reshape(-1, 1):
        channel = interp.channels.get(address_of(count))
        if channel is not None:
            channel.finish_all()
            count[...] = channel.credit


def forget_copies(interp: Interpreter, semaphores: np.ndarray) -> None:
    """Drops the DMAs on semaphores that go out of scope: their memory may be a semaphore's again."""
    first = address_of(semaphores)
    for address in range(first, first + semaphores.nbytes, semaphores.itemsize):
        interp.channels.pop(address, None)


def _refuse_remote(eqn: Equation) -> None:
    if eqn.params["is_remote"]:
        raise NotImplementedError(f"{eqn.name} copies to another device, which is not supported")


def address_of(array: np.ndarray) -> int:
    """What tells one semaphore from another: where it lies in memory."""
    return array.__array_interface__["data"][0]


def _name(interp: Interpreter, semaphore: Place) -> str:
    """What the user calls a semaphore, `done[2]`."""
    array = semaphore.ref
    name = interp.semaphore_names.get(id(array)) or "its semaphore"
    number = (address_of(semaphore.view()) - address_of(array)) // array.itemsize
    index = ", ".join(map(str, np.unravel_index(number, array.shape)))
    return f"{name}[{index}]" if index else name


@structure
def semaphore_signal(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    semaphore = place(interp, eqn.params["ref"], args)
    core = _core_signalled(interp, eqn, args)
    if core is not None and interp.core is not None:
        semaphore.ref = interp.core.counterpart(semaphore.ref, core)
    semaphore.write(semaphore.read() + np.int32(_value(eqn, "increment", args)))
    return []


def _core_signalled(interp: Interpreter, eqn: Equation, args: Sequence[Any]) -> Core | None:
    """The core of this mesh that a signal goes to; `None` if it is the one that runs.

    Raises:
      NotImplementedError: if it goes to another device.
    """
    device, core = eqn.params["device"], _value(eqn, "core", args)
    if device is None and core is None:
        return None
    names = interp.call.axis_names
    where = dict.fromkeys(names, core) if device is None else device
    if interp.core is None or not isinstance(where, dict) or not {*where} <= {*names}:
        raise NotImplementedError(f"{eqn.name} signals another device, which is not supported")
    index = list(interp.core.index)
    for name, position in where.items():
        index[names.index(name)] = int(known(position, args))
    return interp.cores[tuple(index)]


@structure
def semaphore_wait(interp: Interpreter, eqn: Equation, *args: Any) -> list[Any]:
    semaphore = place(interp, eqn.params["ref"], args)
    wanted = int(_value(eqn, "value", args))

    def text() -> str:
        name, count = _name(interp, semaphore), int(semaphore.read())
        return f"{eqn.source} waits for {name} to reach {wanted}, but it is at {count}"

    channel = interp.channels.get(address_of(semaphore.view()))
    while channel is not None and channel.pending and int(semaphore.read()) < wanted:
        channel.finish_oldest()
    interp.wait_until(Wait(lambda: int(semaphore.read()) >= wanted, text))
    if _value(eqn, "decrement", args):
        semaphore.write(semaphore.read() - np.int32(wanted))
    return []


@structure
def semaphore_read(interp: Interpreter, eqn: Equation, *args: Any) -> np.int32:
    """The count: of a DMA semaphore, as with `interpret=True`, in elements.

    Who asks for it may be waiting for a DMA, or for another core, so that they come first.
    """
    if interp.core is not None:
        interp.core.hand_over(None)
    channel = channel_of(interp, eqn, eqn.params["ref"], args)
    channel.finish_all()
    return np.int32(channel.credit // channel.itemsize if channel.counts_bytes else channel.count)


def _value(eqn: Equation, name: str, args: Sequence[Any]) -> Any:
    return known(eqn.params[name], args)


@structure
def get_barrier_semaphore(interp: Interpreter, eqn: Equation) -> np.ndarray:
    """The kernel's barrier semaphore: each core has one."""
    return interp.barrier


@structure
def run_scoped(interp: Interpreter, eqn: Equation, *consts: Any) -> list[Any]:
    """A body with memory of its own, fresh at each entry.

    Raises:
      NotImplementedError: if the cores of a mesh are to share it.
    """
    if eqn.params["collective_axes"] and interp.core is not None:
        raise NotImplementedError(f"{eqn.name} shares memory between cores, which is not supported")
    jaxpr = eqn.params["jaxpr"]
    buffers = [interp.fresh(ref) for ref in jaxpr.invars]
    results = interp.eval_jaxpr(jaxpr, consts, *buffers)
    for ref, buffer in zip(jaxpr.invars, buffers):
        if ref.is_semaphore:
            forget_copies(interp, buffer)
    return results


semaphore_rules: dict[Any, Callable[..., Any]] = {
    p.dma_start_p: dma_start,
    p.dma_wait_p: dma_wait,
    p.semaphore_signal_p: semaphore_signal,
    p.semaphore_wait_p: semaphore_wait,
    p.semaphore_read_p: semaphore_read,
    p.get_barrier_semaphore_p: get_barrier_semaphore,
    p.run_scoped_p: run_scoped,
}
