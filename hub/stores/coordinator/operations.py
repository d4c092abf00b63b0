"""What a hub can ask of a coordinator: the words of each operation, and those of its answer.

An operation on streams is given them, ``None`` for one that there is not. If it is no coroutine, it
is done in one step with finding them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from hub.stores import Label, credential_json
from hub.stores.coordinator.changes import Limits
from hub.stores.coordinator.codec import (
    bodies_of,
    entries_from,
    entries_words,
    settings_from,
    settings_words,
    stamp_from,
    state_from,
    state_words,
)
from hub.stores.coordinator.held import Held
from hub.stores.coordinator.sequencer import Sequencer
from hub.stores.packed import unpack
from hub.stores.shared import Bodies, Claim, DroppedPrompt, SourceHold, State, Tick

__all__ = ["ALONE", "AT_ONCE", "LATER", "Answer", "Asked", "names_in"]


class Asked(NamedTuple):
    """The words behind the operation, and the bodies."""

    limits: Limits
    words: Sequence[Any]
    blob: bytes = b""

    @property
    def bodies(self) -> list[bytes]:
        return unpack(self.blob)


class Answer(NamedTuple):
    words: Sequence[Any] = ()
    bodies: Bodies = ()


def names_in(operation: str, asked: Asked) -> list[str]:
    """The streams that an operation is on."""
    words = asked.words
    if operation == "tick":
        return [stream for stream, *_ in words[0]]
    if operation in ("hold", "release"):
        return [words[0], words[1]]
    if operation == "create":
        source = words[1][3]
    elif operation == "restore":
        source = words[1]["settings"][3]
    else:
        source = None
    return [words[0]] if source is None else [words[0], source]


# In one step


def _create(sequencer: Sequencer, asked: Asked, held: Held | None, *source: Held | None) -> Answer:
    name, settings, close, expires, head, epochs = asked.words
    written, before = sequencer.create(
        held,
        source[0] if source else None,
        name,
        asked.limits,
        settings_from(settings),
        asked.bodies,
        close=close,
        expires=expires,
        head=head,
        epochs=[(epoch, first) for epoch, first in epochs],
    )
    return Answer((written, None if before is None else settings_words(before)))


def _write(sequencer: Sequencer, asked: Asked, held: Held | None) -> Answer:
    name, stamp, sequence, close, born = asked.words
    written = sequencer.write(
        held,
        name,
        asked.limits,
        asked.bodies,
        stamp=stamp_from(stamp),
        sequence=sequence,
        close=close,
        born=born,
    )
    return Answer((written,))


def _delete(sequencer: Sequencer, asked: Asked, held: Held | None) -> Answer:
    name, born = asked.words
    return Answer((sequencer.delete(held, name, asked.limits, born=born),))


def _touch(sequencer: Sequencer, asked: Asked, held: Held | None) -> Answer:
    (name,) = asked.words
    return Answer((sequencer.touch(held, name, asked.limits),))


def _set_owner(sequencer: Sequencer, asked: Asked, held: Held | None) -> Answer:
    name, owner = asked.words
    return Answer((sequencer.set_owner(held, name, asked.limits, owner),))


def _hold(sequencer: Sequencer, asked: Asked, held: Held | None, fork: Held | None) -> Answer:
    *hold, offset = asked.words
    return Answer((sequencer.hold(held, fork, asked.limits, SourceHold(*hold), offset),))


def _release(sequencer: Sequencer, asked: Asked, held: Held | None, fork: Held | None) -> Answer:
    return Answer((sequencer.release(held, fork, asked.limits, SourceHold(*asked.words)),))


def _restore(sequencer: Sequencer, asked: Asked, held: Held | None, *source: Held | None) -> Answer:
    name, state, lost = asked.words
    done = sequencer.restore(
        held,
        source[0] if source else None,
        name,
        asked.limits,
        state_from(state, asked.bodies),
        None if lost is None else (lost[0], lost[1]),
    )
    return Answer((done,))


def _tick(sequencer: Sequencer, asked: Asked, *held: Held | None) -> Answer:
    bodies = asked.bodies
    ticks: list[Tick] = []
    at = 0
    for stream, generation, number, count in asked.words[0]:
        ticks.append(Tick(stream, generation, number, bodies[at : at + count]))
        at += count
    return Answer((sequencer.ticks(held, ticks, asked.limits),))


def _end(sequencer: Sequencer, asked: Asked, held: Held | None) -> Answer:
    name, generation, number, close, queue, hold = asked.words
    ended = sequencer.end(
        held,
        name,
        asked.limits,
        generation,
        asked.bodies,
        number=number,
        close=close,
        queue=queue,
        hold=hold,
    )
    return Answer((ended,))


def _cancel(sequencer: Sequencer, asked: Asked, held: Held | None) -> Answer:
    name, generation = asked.words
    return Answer((sequencer.cancel(held, name, asked.limits, generation),))


AT_ONCE: Final[Mapping[str, Callable[..., Answer]]] = {
    "create": _create,
    "write": _write,
    "delete": _delete,
    "touch": _touch,
    "set_owner": _set_owner,
    "hold": _hold,
    "release": _release,
    "restore": _restore,
    "tick": _tick,
    "end": _end,
    "cancel": _cancel,
}
"""Operations on streams that are done in one step."""


# With the store


def _state(state: State) -> Answer:
    return Answer((state_words(state),), bodies_of(state.entries))


async def _find(sequencer: Sequencer, asked: Asked) -> Answer:
    name, limit = asked.words
    held = await sequencer.open(name)
    return Answer((None,)) if held is None else _state(await sequencer.load(held, limit))


async def _load(sequencer: Sequencer, asked: Asked) -> Answer:
    name, limit = asked.words
    held = sequencer.found(await sequencer.open(name), name, asked.limits)
    return _state(await sequencer.load(held, limit))


async def _read(sequencer: Sequencer, asked: Asked) -> Answer:
    name, offset, limit = asked.words
    held = sequencer.found(await sequencer.open(name), name, asked.limits)
    found = await sequencer.read(held, offset, limit)
    return Answer((entries_words(found),), bodies_of(found))


async def _begin(sequencer: Sequencer, asked: Asked) -> Answer:
    name, generation, node, tail, queue = asked.words
    begun = await sequencer.begun(name, generation)
    held = await sequencer.open(name)
    written = sequencer.begin(
        held,
        name,
        asked.limits,
        generation,
        node,
        tail,
        asked.bodies,
        queue=None if queue is None else (queue[0], queue[1]),
        begun=begun,
    )
    return Answer((written,))


async def _queue(sequencer: Sequencer, asked: Asked) -> Answer:
    name, version, prompts, hold, added, dropped = asked.words
    begun = added is not None and await sequencer.begun(name, added)
    written = sequencer.queue(
        await sequencer.open(name),
        name,
        asked.limits,
        version,
        asked.bodies,
        (prompts[0], prompts[1]),
        hold=hold,
        added=added,
        begun=begun,
        dropped=None if dropped is None else DroppedPrompt(*dropped),
    )
    return Answer((written,))


async def _heal(sequencer: Sequencer, asked: Asked) -> Answer:
    name, version, entries = asked.words
    found = entries_from(entries, asked.bodies)
    held = await sequencer.open(name)
    return Answer((await sequencer.heal(held, (version[0], version[1]), found),))


LATER: Final[Mapping[str, Callable[[Sequencer, Asked], Awaitable[Answer]]]] = {
    "find": _find,
    "load": _load,
    "read": _read,
    "begin": _begin,
    "queue": _queue,
    "heal": _heal,
}
"""Operations on a stream that wait for the store."""


# On no stream


async def _listed(sequencer: Sequencer, asked: Asked) -> Answer:
    prefix, after, limit, owner = asked.words
    found = await sequencer.listed(prefix, after, limit, owner, asked.limits)
    return Answer(
        (
            [
                (one.name, one.content_type, *one.tail, one.closed, one.owner, one.running)
                for one in found
            ],
        )
    )


async def _locate(sequencer: Sequencer, asked: Asked) -> Answer:
    return Answer((await sequencer.store.locate(*asked.words),))


async def _waiting_in(sequencer: Sequencer, asked: Asked) -> Answer:
    return Answer((await sequencer.store.waiting_in(*asked.words),))


async def _renew(sequencer: Sequencer, asked: Asked) -> Answer:
    return Answer((sequencer.nodes.renew(*asked.words),))


async def _nodes(sequencer: Sequencer, asked: Asked) -> Answer:
    return Answer((sequencer.nodes.known(),))


async def _forget(sequencer: Sequencer, asked: Asked) -> Answer:
    return Answer((sequencer.nodes.forget(*asked.words),))


async def _enlist(sequencer: Sequencer, asked: Asked) -> Answer:
    sequencer.nodes.enlist(*asked.words)
    return Answer()


async def _strike(sequencer: Sequencer, asked: Asked) -> Answer:
    sequencer.nodes.strike(*asked.words)
    return Answer()


async def _runs(sequencer: Sequencer, asked: Asked) -> Answer:
    return Answer((sequencer.nodes.runs(*asked.words),))


async def _claim(sequencer: Sequencer, asked: Asked) -> Answer:
    key, fingerprint, stream, born, seconds = asked.words
    claim = Claim(bytes.fromhex(fingerprint), stream, born)
    return _claims(await sequencer.store.claim(key, claim, seconds))


async def _claimed(sequencer: Sequencer, asked: Asked) -> Answer:
    return _claims(await sequencer.store.claimed(*asked.words))


def _claims(claim: Claim | None) -> Answer:
    if claim is None:
        return Answer((None,))
    return Answer(((claim.fingerprint.hex(), claim.stream, claim.born),))


async def _add_credential(sequencer: Sequencer, asked: Asked) -> Answer:
    await sequencer.store.credentials.add(credential_json.from_json(asked.words[0]))
    return Answer()


async def _find_credential(sequencer: Sequencer, asked: Asked) -> Answer:
    found = await sequencer.store.credentials.find(*asked.words)
    return Answer((None if found is None else credential_json.as_json(found),))


async def _list_credentials(sequencer: Sequencer, asked: Asked) -> Answer:
    found = await sequencer.store.credentials.listed(*asked.words)
    return Answer(([credential_json.as_json(one) for one in found],))


async def _held_credentials(sequencer: Sequencer, asked: Asked) -> Answer:
    kind, label, after, limit, now = asked.words
    found = await sequencer.store.credentials.held(kind, Label(*label), after, limit, now)
    return Answer(([credential_json.as_json(one) for one in found],))


async def _count_credentials(sequencer: Sequencer, asked: Asked) -> Answer:
    kind, label, now = asked.words
    return Answer((await sequencer.store.credentials.count(kind, Label(*label), now),))


async def _revoke_credential(sequencer: Sequencer, asked: Asked) -> Answer:
    found = await sequencer.store.credentials.revoke(*asked.words)
    return Answer((None if found is None else credential_json.as_json(found),))


ALONE: Final[Mapping[str, Callable[[Sequencer, Asked], Awaitable[Answer]]]] = {
    "listed": _listed,
    "locate": _locate,
    "waiting_in": _waiting_in,
    "renew": _renew,
    "nodes": _nodes,
    "forget": _forget,
    "enlist": _enlist,
    "strike": _strike,
    "runs": _runs,
    "claim": _claim,
    "claimed": _claimed,
    "add_credential": _add_credential,
    "find_credential": _find_credential,
    "list_credentials": _list_credentials,
    "held_credentials": _held_credentials,
    "count_credentials": _count_credentials,
    "revoke_credential": _revoke_credential,
}
"""Operations that are on no stream."""
