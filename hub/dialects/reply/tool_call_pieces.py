"""Tool calls, put together from what servers send of them.

By the OpenAI format each piece carries the ``index`` of its call, and only the first one
the ``id`` and the ``name``. Seen besides: no index at all; the name repeated with every
piece, or empty; a new random id with every piece; index 0, one id or none for every one of
several calls; arguments in the first piece, or everything in one; arguments as an object; ``{}``
before the real arguments; the whole arguments once more at the end; a call of which nothing is
filled in. Calls are numbered here by their first appearance, whatever the server counts from.

What tells two calls apart where nothing else does is that the arguments of one are a JSON value,
which has an end (`hub.dialects.reply.call_arguments`). Behind it:

- the same value is a repetition, and adds nothing;
- ``{}`` was a placeholder: the next value replaces it;
- another value is another call. It has the id that came with it, unless that is taken.

Until the value behind the end is whole, nobody knows which of these it is, so it is held back.
So is ``{}``, and what comes of later calls until the arguments before them are known, so that
the calls come one after another. Nothing is invented: a call without a name is never given out,
and makes the reply fail (`ToolCalls.ended`). One without arguments ends as ``{}``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hub.dialects.reply.call_arguments import Arguments
from hub.domain.events import NOTHING, Delta, Failed, Finished, ToolCall
from hub.domain.json_values import as_object, as_text, malformed
from hub.domain.surrogates import Surrogates, whole

__all__ = ["ToolCalls"]

# A reply that asks for more calls than this is not one.
MOST: Final = 1_000


@dataclass(slots=True, eq=False)
class _Call:
    """One call; ``number`` is ``None`` until it is known to be one, and by which name.

    ``twin`` is the call that this one may be the repetition of. ``given`` says whether any
    arguments have been given out, ``held`` are those that have not, and ``extra`` is what else
    has not. ``ids`` are all that named it; it goes by the first.
    """

    slot: int | None
    place: int | None = None
    key: str = ""
    name: str = ""
    custom: bool = False
    extra: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    number: int | None = None
    twin: _Call | None = None
    given: bool = False
    settled: bool = False
    held: str = ""
    value: Arguments = field(default_factory=Arguments)
    halves: Surrogates = field(default_factory=Surrogates)

    @property
    def empty(self) -> bool:
        """Whether it has no arguments yet, or only what stands for none."""
        return not self.given and not self.settled

    @property
    def replaceable(self) -> bool:
        """Whether its value is whole, and only a placeholder."""
        return self.value.whole and self.value.placeholder and not (self.given or self.settled)


class ToolCalls:
    """The tool calls of one reply."""

    __slots__ = ("_calls", "_front", "_numbered", "_waiting")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._numbered: list[_Call] = []
        # The first numbered call without arguments; what comes of later ones waits.
        self._front = 0
        self._waiting: list[ToolCall] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def ended(self, end: Finished) -> Finished | Failed:
        """The end of the reply, or what is wrong with it; to be asked after `end`."""
        if all(call.name for call in self._calls):
            return end
        fault = malformed("a tool call without a name")
        return Failed(code=fault.code, message=fault.message, usage=end.usage)

    def pieces(self, held: Any) -> list[Delta]:
        """What a ``tool_calls`` list adds. The id and the name of a call are given once.

        Raises:
            UpstreamError: it is not a list of pieces of tool calls.
        """
        found: list[ToolCall] = []
        entries = _entries(held)
        for place, entry in enumerate(entries):
            piece = _Piece.of(entry)
            call = self._find(piece, place if len(entries) > 1 else None)
            if call is None:
                if not piece.filled:
                    continue  # a form that was not filled in
                call = self._begin(piece, place if len(entries) > 1 else None)
            self._take(call, piece, found)
        return _deltas(found)

    def add(
        self,
        slot: int,
        *,
        key: str = "",
        name: str = "",
        said: str = "",
        custom: bool = False,
        extra: Mapping[str, Any] = NOTHING,
    ) -> list[Delta]:
        """What is said of the call in a slot, which the dialect knows it by.

        Raises:
            UpstreamError: there are too many calls.
        """
        found: list[ToolCall] = []
        piece = _Piece(slot, key, name, said, custom, extra)
        call = self._newest(slot=slot) or self._begin(piece)
        self._take(call, piece, found)
        return _deltas(found)

    def settle(self, slot: int) -> list[Delta]:
        """No more comes of the call in a slot: without arguments, it has none."""
        found: list[ToolCall] = []
        call = self._newest(slot=slot)
        if call is not None and not call.value.begun:
            self._take(call, _Piece(slot, said="" if call.custom else "{}"), found)
        if call is not None and call.twin is None and call.number is not None:
            self._close(call, found, complete=True)
            self._release(found)
        return _deltas(found)

    def whole(self, slot: int, said: str) -> list[Delta]:
        """The arguments of the call in a slot, told as a whole: what they add to the pieces."""
        found: list[ToolCall] = []
        if (call := self._newest(slot=slot)) is not None:
            self._complete(call, said, found)
        return _deltas(found)

    def wholes(self, held: Any) -> list[Delta]:
        """What a list of whole calls adds to those that came in pieces.

        Raises:
            UpstreamError: as `pieces`.
        """
        found: list[ToolCall] = []
        known = [call for call in self._calls if call.twin is None]
        for place, entry in enumerate(_entries(held)):
            piece = _Piece.of(entry)
            call = _same(known, piece, place)
            if call is None:
                if piece.filled:
                    piece.slot = None
                    self._take(self._begin(piece), piece, found)
                continue
            known.remove(call)
            self._name(call, piece, found)
            self._complete(call, piece.said, found)
        return _deltas(found)

    def end(self, *, complete: bool) -> list[Delta]:
        """What was held back, at the end of the reply; ``complete`` if nothing was cut off."""
        found: list[ToolCall] = []
        for call in [*self._calls]:
            if call.twin is None:
                continue
            if complete or call.name or call.value.whole:
                self._decide(call, call.twin, found)
            else:
                self._calls.remove(call)  # cut off before it said what it is
        for call in self._numbered:
            self._put(call, call.halves.rest(), found)
            self._close(call, found, complete=complete)
        self._front = len(self._numbered)
        self._release(found)
        return _deltas(found)

    def _find(self, piece: _Piece, place: int | None) -> _Call | None:
        """The call that a piece is about, ``None`` if it begins one.

        ``place`` is where it stands among several; ``None`` if it is alone.
        """
        slot, key, name = piece.slot, piece.key, piece.name
        keyed = self._newest(key=key) if key else None
        if slot is None:
            return keyed if keyed is not None else self._unnumbered(piece, place)
        call = self._newest(slot=slot)
        if call is None:
            if keyed is not None and keyed.slot is None:
                keyed.slot = slot
                return keyed
            return None
        if key and call.key not in ("", key):
            # Another id alone may come from a server that makes one up for every piece.
            return keyed if keyed is not None else None if name else call
        return None if self._renamed(call, name) else call

    def _unnumbered(self, piece: _Piece, place: int | None) -> _Call | None:
        """The call of a piece that has neither an index nor an id that is known."""
        last = self._calls[-1] if self._calls else None
        if last is None or (piece.key and piece.name):
            return None
        if place is not None and not piece.key:
            call = next((call for call in reversed(self._calls) if call.place == place), None)
            if call is not None:
                return None if self._renamed(call, piece.name) else call
            return None if piece.name or place else last
        return None if piece.name and piece.name != last.name else last

    def _renamed(self, call: _Call, name: str) -> bool:
        """Whether a piece with this name cannot be of that call."""
        return bool(name and call.name and name != call.name)

    def _newest(self, *, slot: int | None = None, key: str = "") -> _Call | None:
        for call in reversed(self._calls):
            if call.key == key if key else call.slot == slot:
                return call
        return None

    def _begin(self, piece: _Piece, place: int | None = None) -> _Call:
        if len(self._calls) >= MOST:
            raise malformed(f"more than {MOST} tool calls in one reply")
        twin = self._newest(key=piece.key) if piece.key else None
        call = _Call(piece.slot, place, custom=piece.custom, value=Arguments(free=piece.custom))
        if twin is not None and twin.value.whole and twin.name == (piece.name or twin.name):
            call.twin = twin
        elif twin is not None:
            piece.key = ""  # the id of another call
        self._calls.append(call)
        return call

    def _take(self, call: _Call, piece: _Piece, found: list[ToolCall]) -> None:
        text = call.halves.join(piece.said)
        while True:
            if call.value.whole and text.strip():
                if call.replaceable and not self._renamed(call, piece.name):
                    call.value, call.held = Arguments(), ""
                elif not Arguments.begins(text):
                    return  # what some servers leave behind the end
                else:
                    again = self._begin(_Piece(call.slot), call.place)
                    again.twin = call
                    call = again
            self._name(call, piece, found)
            rest = self._argue(call, text, found)
            if call.twin is not None and call.value.whole:
                call = self._decide(call, call.twin, found)
            if not rest:
                break
            text = rest
        self._release(found)

    def _name(self, call: _Call, piece: _Piece, found: list[ToolCall]) -> None:
        """Take the id and the name, of which only what is new is given on."""
        key = "" if call.key else piece.key
        name = "" if call.name else piece.name
        call.key, call.name = call.key or key, call.name or name
        if piece.extra:
            call.extra = {**call.extra, **piece.extra}
        if call.twin is not None or not call.name:
            return
        if call.number is None:
            call.number = len(self._numbered)
            self._numbered.append(call)
            found.append(ToolCall(call.number, call.key or None, call.name, custom=call.custom))
            text, call.held = call.held, ""
            self._put(call, text, found)
        elif key:
            found.append(ToolCall(call.number, key))
        if call.extra:
            found.append(ToolCall(call.number, extra_content=call.extra))
            call.extra = NOTHING

    def _argue(self, call: _Call, text: str, found: list[ToolCall]) -> str:
        """Take arguments up to the end of their value; what follows that."""
        rest = call.value.add(text)
        self._put(call, text[: len(text) - len(rest)], found)
        return rest if rest.strip() else ""

    def _put(self, call: _Call, text: str, found: list[ToolCall]) -> None:
        """Give out arguments, unless they may still have to be taken back."""
        call.held += text
        if not call.held or call.number is None or call.twin is not None:
            return
        if not call.given and not call.custom and Arguments.may_be_nothing(call.held):
            return
        call.given = True
        text, call.held = call.held, ""
        found.append(ToolCall(call.number, arguments=text))

    def _decide(self, call: _Call, twin: _Call, found: list[ToolCall]) -> _Call:
        """Say what the value behind the end of another is; the call that goes on from there."""
        renamed = bool(call.name) and call.name != twin.name
        if not renamed and (
            call.value.same(twin.value)
            or (not call.value.whole and call.value.begins_as(twin.value))
        ):
            self._calls.remove(call)
            return twin
        call.twin = None
        if call.key == twin.key:
            call.key = ""
        self._name(call, _Piece(call.slot), found)
        return call

    def _complete(self, call: _Call, said: str, found: list[ToolCall]) -> None:
        """Add what the pieces of a call lacked of all of it."""
        text = whole(said)
        if call.replaceable or not call.value.begun:
            if not text.strip():
                return
            call.value, call.held = Arguments(free=call.custom), ""
            call.halves = Surrogates()
            self._argue(call, text, found)
            if call.twin is not None and call.value.whole:
                self._decide(call, call.twin, found)
        elif not call.value.whole:
            before = call.value.text
            if text.startswith(before) and len(text) > len(before):
                call.halves = Surrogates()
                self._argue(call, text[len(before) :], found)
        self._release(found)

    def _close(self, call: _Call, found: list[ToolCall], *, complete: bool) -> None:
        """Nothing more comes of a call: give what was held back of it."""
        if call.given or call.settled or call.number is None:
            return
        call.settled = True
        if call.custom:
            return
        text = call.held
        if complete and (call.value.placeholder or not call.value.begun):
            text = "{}"
        call.held = ""
        if text:
            found.append(ToolCall(call.number, arguments=text))

    def _release(self, found: list[ToolCall]) -> None:
        """Leave in ``found`` what may be given out now, in the order of the calls."""
        calls = self._numbered
        while self._front < len(calls) and not calls[self._front].empty:
            self._front += 1
        if not self._waiting and all(piece.index <= self._front for piece in found):
            return
        waiting = self._waiting + found
        # Of one call after another, as each waits for those before it.
        ready = [piece for piece in waiting if piece.index <= self._front]
        found[:] = sorted(ready, key=lambda piece: piece.index)
        self._waiting = [piece for piece in waiting if piece.index > self._front]


@dataclass(slots=True)
class _Piece:
    """What one entry of a ``tool_calls`` list says."""

    slot: int | None
    key: str = ""
    name: str = ""
    said: str = ""
    custom: bool = False
    extra: Mapping[str, Any] = field(default_factory=lambda: NOTHING)

    @classmethod
    def of(cls, held: Any) -> _Piece:
        if not isinstance(held, dict):
            raise malformed("a tool call that is not an object")
        # A custom tool has an ``input``, which is any text.
        function, custom = as_object(held.get("function")), as_object(held.get("custom"))
        told = function or custom
        index = held.get("index")
        return cls(
            index if type(index) is int else None,
            _text(held.get("id")),
            _text(told.get("name")),
            _arguments(told.get("arguments", told.get("input"))),
            bool(custom) and not function,
            as_object(held.get("extra_content")),
        )

    @property
    def filled(self) -> bool:
        return bool(self.key or self.name or self.said)


def _entries(held: Any) -> list[Any]:
    if held and not isinstance(held, list):
        raise malformed("tool calls that are not a list")
    return held or []


def _same(calls: list[_Call], piece: _Piece, place: int) -> _Call | None:
    """The call that a whole one is, by its id, by what it says, or by its place."""
    told = Arguments()
    told.add(piece.said)
    named = [call for call in calls if not piece.name or call.name in ("", piece.name)]
    tests = (
        lambda call: piece.key and call.key == piece.key,
        lambda call: told.begun and call.value.same(told),
        lambda call: call.slot is not None and call.slot == piece.slot,
        lambda call: call.number == place,
    )
    free = [call for call in named if not (piece.key and call.key not in ("", piece.key))]
    for test in tests:
        if found := next((call for call in free if test(call)), None):
            return found
    return None


def _deltas(found: list[ToolCall]) -> list[Delta]:
    return [Delta(tool=piece) for piece in _joined(found)]


def _joined(found: list[ToolCall]) -> Iterator[ToolCall]:
    """The pieces, those of one call that stand side by side as one."""
    last: ToolCall | None = None
    for piece in found:
        if last is not None and last.index == piece.index:
            last = ToolCall(
                last.index,
                last.id or piece.id,
                last.name or piece.name,
                last.arguments + piece.arguments,
                last.custom or piece.custom,
                piece.extra_content or last.extra_content,
            )
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last


def _text(value: Any) -> str:
    return whole(value) if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    if value is None or value == [] or isinstance(value, str):
        return value or ""
    if isinstance(value, dict):
        return as_text(value)
    raise malformed("tool-call arguments that are neither text nor an object")
