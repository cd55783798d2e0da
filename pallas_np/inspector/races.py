"""The race detector: memory that two may touch at the same time, and semaphores that do not come out even.

An observer of phase 5.  It follows who may run at the same time as whom (`happens_before.py`), and what has happened to
each element of memory that more than one may touch.  The run itself is in one order; what is reported is that nothing
makes this order the only one.

Who runs by itself:

- programs of a grid that differ along a parallel axis (`KernelCall.parallel_axes`); the others follow one another;
- each core of a mesh, ordered by signals and waits;
- a DMA, from its start to its wait.  Its accesses count from its start, whenever the interpreter copies.

What a program writes to an output is in the array at once on a GPU, and where the kernel has the array itself (in
`pl.ANY` or HBM).  Else it is in a block, a copy, which is written back when the grid goes on to another:

- A program that comes to elements of a block that was left before does not find there what was written.  That is no
  fault of an output that sees the same block of an input, its alias: what was written back is fetched again.
- Two writes of programs that may run at the same time are a fault even if they write the same: one of the two blocks is
  written back over the other.
- An output whose only block is the whole array, and which the kernel reads, is taken for scratch.  Such an output is
  there for want of it in older kernels, and nobody looks at it afterwards.

Scratch is memory of its own for each core: what a program finds there must not come from one that may run at the same
time.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pallas_np.errors import RaceError, SynchronizationError
from pallas_np.frontend import Equation, KernelCall, Operand, RefView, operand_facts
from pallas_np.frontend import primitives as p
from pallas_np.inspector.happens_before import Clock, Event, Histories, Memory, Sharing, Task, distinct
from pallas_np.inspector.observed import Access, Observed, ObservedPlace, Observer, Ref
from pallas_np.phase5.copies import Channel, cut, extents
from pallas_np.phase5.grid import Block, Window
from pallas_np.phase5.memory import Place, known, place
from pallas_np.phase5.semaphores import address_of

WAITED_ON = {p.dma_wait_p: "target_semaphore", p.semaphore_wait_p: "ref", p.semaphore_read_p: "ref"}
"""The primitives at which DMAs land, and the parameter that says on which semaphore."""
ATOMICS = (p.atomic_rmw_p, p.atomic_cas_p)


class RaceDetector(Observer):
    """Raises a `RaceError` where two may touch the same memory, a `SynchronizationError` for semaphores left behind."""

    def __init__(self) -> None:
        self._launches: dict[int, _Launch] = {}

    def launch_begins(self, at: Observed, arrays: Sequence[np.ndarray]) -> None:
        self._launches[at.launch] = _Launch(at.call)

    def launch_ends(self, at: Observed, outputs: Sequence[np.ndarray] | None) -> None:
        launch = self._launches.pop(at.launch)
        if outputs is not None:
            launch.refuse_leftovers(launch.semaphores)

    def step_begins(self, at: Observed, windows: Sequence[Window], refs: Sequence[Ref]) -> None:
        self._launches[at.launch].begin_step(at, windows, refs)

    def step_ends(self, at: Observed) -> None:
        self._launches[at.launch].end_step(at)

    def equation_begins(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> None:
        if eqn.primitive is p.run_scoped_p:
            self._launches[at.launch].programs[at].scopes.append([])

    def equation_ends(self, at: Observed, eqn: Equation, args: Sequence[Any], results: Sequence[Any]) -> None:
        launch = self._launches[at.launch]
        if eqn.primitive is p.run_scoped_p:
            launch.end_scope(at)
        elif eqn.primitive is p.dma_start_p:
            launch.start_copy(at, eqn, args)
        elif eqn.primitive in WAITED_ON:
            launch.end_wait(at, eqn, args)

    def accessed(self, at: Observed, access: Access) -> None:
        launch, primitive = self._launches[at.launch], at.equations[-1].primitive
        if access.kind == "new":
            scopes = launch.programs[at].scopes
            if scopes:
                scopes[-1].append(access.ref)
        elif primitive is p.semaphore_signal_p:
            if access.kind == "write":
                launch.signal(at, access)
        elif primitive not in WAITED_ON:  # there a DMA is copied, whose accesses count from its start
            launch.access(at, access)


@dataclass(eq=False)
class _Block:
    """What a ref stands for: the histories of its elements, by number, in an array of the ref's shape."""

    array: np.ndarray
    memory: Memory
    numbers: np.ndarray


@dataclass(eq=False)
class _Copy:
    """A DMA under way, as one semaphore has to do with it: the parts of it that are done when it signals."""

    start: Event
    parts: tuple[Task, ...]


@dataclass(eq=False)
class _Signal:
    """What no wait has taken of a signal."""

    amount: int
    known: Clock
    event: Event


@dataclass(eq=False)
class _Program:
    """A program that runs.

    Attributes:
      task: who runs it.
      blocks: by the identity of an operand's ref; `None` for an input that nobody writes.
      padded: what keeps the histories of blocks that reach past their array's end.
      left: by the identity of a ref whose block the grid has left before, the ref and a write of that time.
      scopes: the refs of the scopes that it is in, the innermost last.
      events: its events, by what makes two the same.
    """

    task: Task
    blocks: dict[int, _Block | None] = field(default_factory=dict)
    padded: list[Block] = field(default_factory=list)
    left: dict[int, tuple[Ref, Event]] = field(default_factory=dict)
    scopes: list[list[Ref]] = field(default_factory=list)
    events: dict[Any, Event] = field(default_factory=dict)


class _Launch:
    """What is known of a launch.

    Attributes:
      call: what is launched.
      programs: the programs that run, by their interpreter.
      semaphores: the scratch refs that are semaphores.
    """

    def __init__(self, call: KernelCall):
        self.call = call
        self.programs: dict[Observed, _Program] = {}
        self.semaphores: list[Ref] = []
        self._tasks: defaultdict[tuple[int, ...], Task] = defaultdict(Task)
        self._histories = Histories()
        self._operands = _memories(call)
        self._windows: dict[int, Window] = {}
        self._others: dict[int, _Block] = {}  # scratch, and memory of scopes, by the identity of the ref
        # By a semaphore's address: the DMAs under way, and what counts those that are done; the signals that no wait
        # has taken; who signalled it, or started a DMA, last.
        self._copies: defaultdict[int, deque[_Copy]] = defaultdict(deque)
        self._channels: dict[int, Channel] = {}
        self._signals: defaultdict[int, deque[_Signal]] = defaultdict(deque)
        self._signalled: dict[int, Event] = {}
        self._atomics: defaultdict[int, Clock] = defaultdict(dict)  # by where the element's history lies

    # Programs, and the memory behind their refs.

    def begin_step(self, at: Observed, windows: Sequence[Window], refs: Sequence[Ref]) -> None:
        call = self.call
        index = tuple(at.grid_index) if call.is_mesh else tuple(at.grid_index[axis] for axis in call.parallel_axes)
        program = self.programs[at] = _Program(self._tasks[tuple(map(int, index))])
        num_prefetch = len(call.prefetch)
        num_blocks = num_prefetch + len(self._operands)
        for number, (ref, window) in enumerate(zip(refs[num_prefetch:num_blocks], windows, strict=True)):
            if id(ref.array) not in program.blocks:  # it may be that of an input whose alias this is
                program.blocks[id(ref.array)] = self._operand_block(at, number, ref, window)
                self._visit(program, number, ref, window)
        for ref in (*refs[:num_prefetch], *refs[num_blocks:]):
            if ref.is_semaphore:
                if all(ref.array is not other.array for other in self.semaphores):
                    self.semaphores.append(ref)
            elif call.parallel_axes and id(ref.array) not in self._others:
                self._others[id(ref.array)] = _block_of(ref.array, "by core")

    def _operand_block(self, at: Observed, number: int, ref: Ref, window: Window) -> _Block | None:
        memory = self._operands[number]
        if memory is None:
            return None
        block = Block(at, memory.numbers, (self.call.inputs + self.call.outputs)[number], window)
        self.programs[at].padded.append(block)
        return _Block(ref.array, memory, block.ref)

    def _visit(self, program: _Program, number: int, ref: Ref, window: Window) -> None:
        """Notes whether an output's block has elements that were written before the grid went on to another block."""
        before, self._windows[number] = self._windows.get(number), window
        block = program.blocks[id(ref.array)]
        if block is None or not _is_written_back(self.call, number) or before in (None, window):
            return
        for found in distinct(block.numbers) if block.numbers.size else ():
            for event in self._histories[int(found)]:
                if event.kind != "read" and event.task.runner is program.task:
                    program.left[id(ref.array)] = ref, event

    def end_step(self, at: Observed) -> None:
        program = self.programs.pop(at)
        for block in program.padded:
            block.write_back()
        for ref, event in program.left.values():
            raise self._revisited(f"the block of {ref.name} is visited again", ref, event)

    def _block(self, at: Observed, array: np.ndarray) -> _Block | None:
        """What a ref stands for, if that is known to matter."""
        program = self.programs[at]
        if id(array) in program.blocks:
            return program.blocks[id(array)]
        if id(array) not in self._others and any(array is shared for shared in at.globals.values()):
            self._others[id(array)] = _block_of(array, "shared")
        return self._others.get(id(array))

    # Accesses.

    def access(self, at: Observed, access: Access) -> None:
        """An access of the program's own."""
        block, program = self._block(at, access.ref.array), self.programs[at]
        if block is None:
            return
        if access.kind in ("read", "add"):
            block.memory.is_read()
        if id(access.ref.array) in program.left:
            ref, event = program.left[id(access.ref.array)]
            raise self._revisited(f"{ref.name} is {_DONE[access.kind]} here", ref, event)
        if at.equations[-1].primitive in ATOMICS:
            self._access_atomically(at, program.task, block, access)
        else:
            part = access.part if access.part is not None else _indices(access.positions, access.ref.array.shape)
            self._touch(block, part, self._event(at, program.task, access.kind, access.ref.name))

    def _access_atomically(self, at: Observed, task: Task, block: _Block, access: Access) -> None:
        """An atomic whose outcome is used comes after the earlier ones of its elements: so locks and counters work."""
        part, strides = _indices(access.positions, access.ref.array.shape), block.numbers.strides
        places = block.numbers.ctypes.data + sum(index * stride for index, stride in zip(part, strides, strict=True))
        order = [self._atomics[place] for place in np.ravel(places).tolist()]
        eqn = at.equations[-1]
        if eqn.outvars[0] not in eqn.dead:
            for earlier in order:
                task.acquire(earlier)
        self._touch(block, part, self._event(at, task, "atomic", access.ref.name))
        known = task.release()
        for earlier in order:
            earlier.update(known)

    def _event(self, at: Observed, task: Task, kind: Any, ref: str) -> Event:
        """An event of the equation under way; the same as before if nothing sets the two apart."""
        events, key = self.programs[at].events, (tuple(at.equations), kind, ref)
        event = events.get(key)
        if event is None or event.task is not task or event.time != task.known[task]:
            event = events[key] = Event(task, task.known[task], kind, ref, key[0], tuple(map(int, at.grid_index)))
        return event

    def _touch(self, block: _Block, part: Any, event: Event) -> None:
        """Adds an event to the histories of some elements of a ref.

        Raises:
          RaceError: if it collides with an earlier one.
        """
        selected = (*part, ...)  # the dots make it an array, also of a single element
        numbers = block.numbers[selected]
        if not numbers.size:
            return
        found = distinct(numbers)
        for number in found:
            for earlier in self._histories[int(number)]:
                if not earlier.is_before(event.task) and block.memory.collide(earlier, event):
                    raise self._race(earlier, event, block, _first_index(part, numbers == number))
        if block.memory.sharing == "own" and not event.task.is_dma:
            return  # the task itself is never too early for what it does later
        after = [self._histories.after(int(number), event) for number in found]
        block.numbers[selected] = np.array(after, np.int32)[np.searchsorted(found, numbers)]

    # DMAs and semaphores.

    def start_copy(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> None:
        """A DMA has been started: it reads and writes from now on, and only who waits for it knows that it has."""
        semaphores = [eqn.params[name] for name in ("target_semaphore", "source_semaphore")]
        if semaphores == [None, None]:
            return  # it has been copied at once
        channels = [None if view is None else at.channels[_address(at, view, args)] for view in semaphores]
        copy = next(channel for channel in channels if channel is not None).pending[-1]
        task = self.programs[at].task
        reading, writing = Task(task, task.known), Task(task, task.release())
        self._copy_touches(at, copy.source, "read", reading)
        self._copy_touches(at, copy.target, "atomic" if copy.add else "write", writing)
        start = self._event(at, task, "signal", "")
        for channel, parts in zip(channels, ((reading, writing), (reading,))):
            if channel is not None:
                address = address_of(channel.count)
                self._copies[address].append(_Copy(start, parts))
                self._channels[address], self._signalled[address] = channel, start

    def _copy_touches(self, at: Observed, side: Place, kind: str, task: Task) -> None:
        """A side of a DMA: what it reads or writes."""
        reach = extents(side)
        if any(extent.length != extent.inside for extent in reach):  # the rest is a tile's padding
            side = cut(side, [extent.inside for extent in reach])
        assert isinstance(side, ObservedPlace)
        ref, positions = at.root_of(side.ref, side.positions)
        if id(ref.array) not in self.programs[at].blocks and self._block(at, ref.array) is None:
            self._others[id(ref.array)] = _block_of(ref.array, "own")
        block = self._block(at, ref.array)
        if block is not None:
            self._touch(block, _indices(positions(), ref.array.shape), self._event(at, task, kind, ref.name))

    def end_wait(self, at: Observed, eqn: Equation, args: Sequence[Any]) -> None:
        """A wait is over, or a semaphore has been read: what it was for is known to have happened."""
        view = eqn.params[WAITED_ON[eqn.primitive]]
        if view is None:
            return
        address, task = _address(at, view, args), self.programs[at].task
        copies, channel = self._copies[address], at.channels.get(address)
        while copies and (channel is None or len(copies) > len(channel.pending)):
            copy = copies.popleft()
            self._refuse_other_core(task, copy.start, "DMA")
            for part in copy.parts:
                part.end()
        if eqn.primitive is not p.dma_wait_p:
            self._take_signals(task, self._signals[address], eqn, args)

    def _take_signals(self, task: Task, signals: deque[_Signal], eqn: Equation, args: Sequence[Any]) -> None:
        """Those that the wait was for come first; who reads a semaphore knows of all."""
        is_wait = eqn.primitive is p.semaphore_wait_p
        wanted = int(known(eqn.params["value"], args)) if is_wait else math.inf
        takes = is_wait and known(eqn.params["decrement"], args)
        for signal in list(signals):
            if wanted <= 0:
                return
            self._refuse_other_core(task, signal.event, "signal")
            task.acquire(signal.known)
            taken = min(wanted, signal.amount)
            wanted -= taken
            if takes:
                signal.amount -= int(taken)
                if not signal.amount:
                    signals.popleft()

    def _refuse_other_core(self, task: Task, event: Event, what: str) -> None:
        if event.task is not task and not self.call.is_mesh:
            raise SynchronizationError(
                f"the wait is for a {what} of {self._who(event)}, at {_line(event)}: that program may run on "
                "another core, whose semaphores are its own",
                advice="wait in the program that starts it, or declare the axis 'arbitrary'",
            )

    def signal(self, at: Observed, access: Access) -> None:
        """A semaphore has been signalled."""
        task = self.programs[at].task
        amount = int(np.sum(access.after) - np.sum(access.before))
        event = self._event(at, task, "signal", access.ref.name)
        address = address_of(access.ref.array) + int(access.positions.reshape(-1)[0]) * access.ref.array.itemsize
        self._signals[address].append(_Signal(amount, task.release(), event))
        self._signalled[address] = event

    def end_scope(self, at: Observed) -> None:
        """The memory of the innermost scope is gone."""
        refs = self.programs[at].scopes.pop()
        for ref in refs:
            self._others.pop(id(ref.array), None)
        self.refuse_leftovers(ref for ref in refs if ref.is_semaphore)

    def refuse_leftovers(self, semaphores: Iterable[Ref]) -> None:
        """Forgets semaphores whose time is over.

        Raises:
          SynchronizationError: if one has been signalled more often than it was waited for.
        """
        for ref in semaphores:
            for index in np.ndindex(ref.array.shape):
                count = ref.array[(*index, ...)]
                address, name = address_of(count), _element(ref.name, index)
                copies, channel = self._copies.pop(address, None), self._channels.pop(address, None)
                self._signals.pop(address, None)
                signalled = self._signalled.pop(address, None)
                if copies:
                    start = copies[0].start
                    raise _left(start, name, f"the DMA that {self._who(start)} starts on {name} is never waited for")
                is_dma = channel is not None and channel.counts_bytes
                left = channel.credit if channel is not None and is_dma else int(count)
                if left:
                    problem = f"{name} is left at {left}{' bytes' if is_dma else ''}, where it has to end at 0"
                    raise _left(signalled, name, f"{problem}; {self._did(signalled, 'signalled it last')}")

    # Errors.

    def _race(self, earlier: Event, later: Event, block: _Block, index: tuple[int, ...]) -> RaceError:
        what = f"{_element(later.ref, index)} is {_DONE[later.kind]}"
        what += " by the DMA that starts here" if later.task.is_dma else " here"
        starter, where = self._who(earlier), _line(earlier)
        if earlier.task.is_dma and earlier.task.ended is None:
            does = "read" if earlier.kind == "read" else "write"
            problem = f"{what}, but the DMA that {starter} started at {where} may still {does} it"
            return RaceError(problem, ref=later.ref, advice="wait for the DMA first, or give it memory of its own")
        did = f"{starter} {_DID[earlier.kind]} it at {where}"
        if earlier.task.is_dma:
            did = f"a DMA that {starter} started at {where} {_DID[earlier.kind]} it"
        if block.memory.sharing == "by core" and earlier.task.runner is not later.task.runner:
            return RaceError(
                f"{what}, but {did}, and may run on another core, which has memory of its own for {later.ref}",
                ref=later.ref,
                advice="write it in the program that reads it, or declare the axis 'arbitrary'",
            )
        return RaceError(
            f"{what}, and {did}: the two may run at the same time",
            ref=later.ref,
            advice="let the one wait for the other with a semaphore, or give each memory of its own"
            if self.call.is_mesh
            else "let each program write elements of its own, use atomics, or declare the axis 'arbitrary'",
        )

    def _revisited(self, what: str, ref: Ref, event: Event) -> RaceError:
        return RaceError(
            f"{what}, but {self._who(event)} {_DID[event.kind]} elements of its block at {_line(event)}, and the grid "
            "has left that block since: what is left in a block is not there when the grid comes back",
            ref=ref.name,
            advice="order the grid, or the index map, so that the programs of one block follow one another",
        )

    def _who(self, event: Event) -> str:
        if not event.grid_index:
            return "the kernel"
        return f"{'core' if self.call.is_mesh else 'step'} {event.grid_index}"

    def _did(self, event: Event | None, what: str) -> str:
        return "nobody in the kernel signalled it" if event is None else f"{self._who(event)} {what}, at {_line(event)}"


_DONE = {"read": "read", "write": "written", "add": "added to", "atomic": "changed by an atomic"}
_DID = {"read": "read", "write": "wrote", "add": "added to", "atomic": "changed"}


def _left(event: Event | None, name: str, problem: str) -> SynchronizationError:
    """The error for a semaphore, at the line that signalled it."""
    error = SynchronizationError(problem, ref=name)
    if event is not None:
        error.stack, error.grid_index = event.stack, event.grid_index
        error.primitive, error.operands = event.eqns[-1].name, tuple(map(operand_facts, event.eqns[-1].invars))
    return error


def _line(event: Event) -> str:
    """The user's line, `kernel.py:12 (out_ref[...] = x)`."""
    if not event.stack:
        return "an unknown line"
    place = event.stack[-1]
    return f"{place.short_file}:{place.line}" + (f" ({place.text})" if place.text else "")


def _element(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _indices(positions: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Positions in a flattened array, as indices along its axes."""
    return np.unravel_index(positions.reshape(-1), shape) if shape else ()


def _first_index(part: Sequence[Any], chosen: np.ndarray) -> tuple[int, ...]:
    """The index of the first element of a part that is chosen."""
    first = np.argwhere(chosen)[0]
    if any(isinstance(along, np.ndarray) for along in part):
        return tuple(int(along[first[0]]) for along in part)
    return tuple(int(along.start + i * along.step) for along, i in zip(part, first))


def _address(at: Observed, view: RefView, args: Sequence[Any]) -> int:
    """Where a semaphore lies."""
    return address_of(place(at, view, args).view())


def _block_of(array: np.ndarray, sharing: Sharing) -> _Block:
    """What a ref stands for that is an array of its own."""
    memory = Memory(array.shape, sharing)
    return _Block(array, memory, memory.numbers)


def _is_in_place(call: KernelCall, operand: Operand) -> bool:
    """Whether the kernel has the array itself, not a copy of a block."""
    return call.is_mesh or call.is_gpu or operand.ref.memory_space in ("any", "hbm")


def _is_written_back(call: KernelCall, number: int) -> bool:
    """Whether an operand, by number, is an output whose blocks are copied back to the array."""
    outputs = call.outputs[number - len(call.inputs) :] if number >= len(call.inputs) else ()
    return bool(outputs) and not _is_in_place(call, outputs[0])


def _memories(call: KernelCall) -> list[Memory | None]:
    """For each input and output, its memory; `None` if nobody writes to it, or it is a semaphore."""
    aliases = call.aliased_inputs
    found: list[Memory | None] = []
    for number, operand in enumerate(call.inputs):
        is_shared = number in aliases.values() or _is_in_place(call, operand)
        memory = Memory(operand.shape, "shared" if is_shared else "by core") if call.changed_inputs[number] else None
        found.append(None if operand.ref.is_semaphore else memory)
    for number, operand in enumerate(call.outputs):
        is_whole = operand.block_shape == operand.shape and not _is_in_place(call, operand)
        fresh = Memory(operand.shape, "by core if read" if is_whole else "shared")
        memory = found[aliases[number]] if number in aliases else fresh
        found.append(None if operand.ref.is_semaphore else memory)
    return found
