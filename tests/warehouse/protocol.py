"""The commit protocol as a small machine, and a search through everything that can happen to it.

Writers go on one access to the store at a time, in every order. Nobody is ever sure that another
one is dead: the lock may be taken from whoever is suspended, so it does not occur here at all. A
writer that crashes is one that never goes on. Ages are not counted either: vacuum leaves states
that somebody reads, and nothing else.

Outputs are pairs (batch, run); what lies in a run's folder goes all at once. A state is what it
names, and what vacuum gave up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["KINDS", "NEW", "OLD", "Protocol", "search"]

Names = frozenset[tuple[str, int]]
KINDS = ("run", "reprocess", "rollback", "vacuum")
_BATCHES = {"run": ("b2", "b3"), "reprocess": ("b1", "b2")}


class Protocol(NamedTuple):
    """Which rules hold.

    Attributes
    ----------
    marks : bool
        Vacuum creates a state before it removes anything, and no rollback goes below its floor.
    forgets : bool
        What runs left unpublished that vacuum gave up is never taken over.
    keeps_numbers : bool
        An empty file stays of a state that was removed.
    """

    marks: bool = True
    forgets: bool = True
    keeps_numbers: bool = True


NEW = Protocol()
OLD = Protocol(marks=False, forgets=False, keeps_numbers=False)


class State(NamedTuple):
    """A state: None for its names once vacuum removed it."""

    names: Names | None
    floor: int = 0
    forgotten: int = 0


class World(NamedTuple):
    """All that there is: the store, and where everybody is."""

    states: tuple[tuple[int, State], ...]
    outputs: Names
    noted: Names  # in the ledger, of runs that did not publish
    next_run: int
    writers: tuple[tuple[Any, ...], ...]
    readers: tuple[int, ...]  # the state that each holds; 0: none

    @property
    def newest(self) -> int:
        return max(number for number, _ in self.states)

    def state(self, number: int) -> State | None:
        return dict(self.states).get(number)

    def kept(self) -> list[int]:
        return [number for number, state in self.states if state.names is not None]


def _start(kinds: tuple[str, ...], readers: int) -> World:
    """Two states, of which the first is outdated; and a run that broke off before it published."""
    first, second = frozenset({("b1", 1)}), frozenset({("b1", 2)})
    left = frozenset({("b2", 3)})
    states = ((1, State(first)), (2, State(second)))
    writers = tuple((kind, "begin") for kind in kinds)
    return World(states, first | second | left, left, 4, writers, (0,) * readers)


class Fault(Exception):
    """Something that must not happen."""


def search(kinds: tuple[str, ...], protocol: Protocol, *, readers: int = 1) -> tuple[int, str]:
    """Go through all that can happen; return the number of situations, and a fault or ""."""
    start = _start(kinds, readers)
    before: dict[World, tuple[World, str] | None] = {start: None}
    queue = deque([start])
    while queue:
        world = queue.popleft()
        try:
            for told, following in _steps(world, protocol):
                if following not in before:
                    before[following] = (world, told)
                    _check(following)
                    queue.append(following)
        except Fault as fault:
            at = following if following in before and str(fault).startswith("state") else world
            return len(before), f"{_way_to(at, before)}: {fault}"
    return len(before), ""


def _way_to(world: World, before: dict[World, tuple[World, str] | None]) -> str:
    steps: list[str] = []
    while (found := before[world]) is not None:
        world, told = found
        steps.append(told)
    return ", ".join(reversed(steps))


def _check(world: World) -> None:
    """Whoever looks now finds all files of the newest state, and of the one that he holds."""
    for number in {world.newest, *world.readers} - {0}:
        state = world.state(number)
        if state is None or state.names is None:
            raise Fault(f"state {number} is gone while it is read")
        if missing := state.names - world.outputs:
            raise Fault(f"state {number} names {sorted(missing)}, which is gone")


def _steps(world: World, protocol: Protocol) -> Iterator[tuple[str, World]]:
    for place, writer in enumerate(world.writers):
        move = _MOVES.get(writer[0], _run)
        for told, following, own in move(world, writer, protocol):
            writers = (*world.writers[:place], own, *world.writers[place + 1 :])
            yield f"{writer[0]} {place} {told}", following._replace(writers=writers)
    for place, held in enumerate(world.readers):
        readers = list(world.readers)
        readers[place] = 0 if held else world.newest
        told = f"reader {place} {'ends' if held else 'begins'}"
        yield told, world._replace(readers=tuple(readers))


Moves = Iterator[tuple[str, World, tuple[Any, ...]]]
_END = "end"


def _create(world: World, base: int, state: State) -> World | None:
    """Create the state after a base; None: its number is taken."""
    number = base + 1
    if world.state(number) is not None:
        return None
    if number < world.newest:
        raise Fault(f"number {number} is given twice: its writer believes that it published")
    return world._replace(states=tuple(sorted([*world.states, (number, state)])))


def _run(world: World, writer: tuple[Any, ...], protocol: Protocol) -> Moves:
    kind, at, *own = writer
    if at == "begin":  # the state that it builds on; the run's page in the ledger
        base = world.newest
        state = world.state(base)
        assert state is not None
        usable = [
            (batch, run)
            for batch, run in sorted(world.noted & world.outputs)
            if batch in _BATCHES[kind] and (run > state.forgotten or not protocol.forgets)
        ]
        taken = dict(usable)  # the newest of each batch
        due = tuple(b for b in _BATCHES[kind] if b not in taken)
        following = world._replace(next_run=world.next_run + 1)
        made = frozenset(taken.items())
        yield "begins", following, (kind, "write", base, state, world.next_run, due, made)
    elif at == "write":
        base, state, run, due, made = own
        if not due:
            yield "goes on", world, (kind, "check", base, state, run, due, made)
            return
        output = (due[0], run)
        following = world._replace(outputs=world.outputs | {output})
        yield "writes", following, (kind, "note", base, state, run, due, made | {output})
    elif at == "note":
        base, state, run, due, made = own
        following = world._replace(noted=world.noted | {(due[0], run)})
        yield "notes", following, (kind, "write", base, state, run, due[1:], made)
    elif at == "check":
        base, state, _, _, made = own
        batches = {batch for batch, _ in made}
        names = frozenset(n for n in state.names if n[0] not in batches) | made
        whole = names <= world.outputs and world.newest == base
        yield "checks", world, (kind, "commit", base, state, names) if whole else (kind, _END)
    elif at == "commit":
        base, state, names = own
        made = _create(world, base, state._replace(names=names))
        yield "commits", made or world, (kind, _END)


def _rollback(world: World, writer: tuple[Any, ...], protocol: Protocol) -> Moves:
    kind, at, *own = writer
    if at == "begin":
        base = world.newest
        state = world.state(base)
        assert state is not None
        for target in world.kept():
            if target < base and (target >= state.floor or not protocol.marks):
                yield f"to {target} begins", world, (kind, "check", base, state, target)
    elif at == "check":
        base, state, target = own
        found = world.state(target)
        names = found.names if found is not None else None
        whole = names is not None and names <= world.outputs and world.newest == base
        yield "checks", world, (kind, "commit", base, state, names) if whole else (kind, _END)
    elif at == "commit":
        base, state, names = own
        made = _create(world, base, state._replace(names=names))
        yield "commits", made or world, (kind, _END)


def _vacuum(world: World, writer: tuple[Any, ...], protocol: Protocol) -> Moves:
    kind, at, *own = writer
    if at == "begin":  # what is kept: the newest state, and what somebody reads
        base = world.newest
        yield "begins", world, (kind, "list", base, min({base, *world.readers} - {0}))
    elif at == "list":
        base, floor = own
        state = world.state(base)
        kept = [world.state(number) for number in world.kept() if number >= floor]
        if state is None or state.names is None:
            yield "finds its state gone", world, (kind, _END)
            return
        needed = {run for one in kept if one and one.names for _, run in one.names}
        runs = {run for _, run in world.outputs} - needed
        numbers = tuple(number for number in world.kept() if number < floor)
        forgotten = max(runs, default=0)
        following = (kind, "mark", base, state, floor, forgotten, numbers, tuple(sorted(runs)))
        yield "lists", world, following
    elif at == "mark":
        base, state, floor, forgotten, numbers, runs = own
        if not protocol.marks:
            yield "goes on", world, (kind, "states", base, numbers, runs)
            return
        marked = state._replace(
            floor=max(floor, state.floor), forgotten=max(forgotten, state.forgotten)
        )
        made = _create(world, base, marked)
        yield (
            "marks",
            made or world,
            (kind, "states", base, numbers, runs) if made else (kind, _END),
        )
    elif at == "states":
        base, numbers, runs = own
        if not numbers:
            yield "goes on", world, (kind, "look", base, runs)
            return
        emptied = [(n, State(None)) for n, _ in world.states if n == numbers[0]]
        others = [(n, state) for n, state in world.states if n != numbers[0]]
        left = sorted([*others, *(emptied if protocol.keeps_numbers else [])])
        yield "removes a state", world._replace(states=tuple(left)), (
            kind, "states", base, numbers[1:], runs,
        )  # fmt: skip
    elif at == "look":  # the old protocol looked once more whether a state names it by now
        base, runs = own
        if not runs:
            yield "ends", world, (kind, _END)
            return
        named = {run for n in world.kept() if n > base for _, run in world.state(n).names}
        gone = runs[0] in named and not protocol.marks
        yield "looks", world, (kind, "look", base, runs[1:]) if gone else (kind, "go", base, runs)
    elif at == "go":
        base, runs = own
        left = frozenset(output for output in world.outputs if output[1] != runs[0])
        yield "removes a folder", world._replace(outputs=left), (kind, "look", base, runs[1:])


_MOVES = {"rollback": _rollback, "vacuum": _vacuum}
