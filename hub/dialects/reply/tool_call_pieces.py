"""Assembles tool calls from the pieces that servers send.

In OpenAI's format each piece carries the ``index`` of its call, and only the first one the ``id``
and the ``name``. Servers also send: no index; the name with every piece, or an empty one; a new
random id with every piece; index 0 for each of several calls, with one id or none; arguments in the
first piece, or all of them in one; arguments as an object; ``{}`` before the real arguments; the
whole arguments again at the end; calls with nothing filled in. Here calls are numbered in the order
in which they appear, whatever the server counts from.

Where nothing else tells two calls apart, the arguments do: they are a JSON value, which has an end
(`hub.dialects.reply.call_arguments`). What follows that end is one of these:

- the same value: a repetition, which adds nothing;
- any value after ``{}``: the ``{}`` was a placeholder, which this value replaces;
- another value: another call. It gets the id that came with it, unless that is taken.

Until the second value is whole, it is not known which of these it is, so it is held back. So are
``{}``, and all of later calls until the arguments of the earlier ones are known, so that calls are
given one after another. A call without arguments ends as ``{}``. A call without a name is never
given, and makes the reply fail (`ToolCalls.ended`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from hub.dialects.reply.call_arguments import Arguments
from hub.domain.events import NOTHING, Delta, Failed, Finished, ToolCall
from hub.domain.json_values import as_object, as_string, as_text, malformed
from hub.domain.surrogates import Surrogates, whole

__all__ = ["ToolCalls"]

MOST: Final = 1_000
"""Calls in one reply."""


@dataclass(slots=True, eq=False)
class _Call:
    """One call; ``number`` is ``None`` until it has a name and is known to be no repetition.

    ``twin`` is the call that this one may repeat. ``given`` is true once arguments have been given
    out; ``held`` are those that have not been, and ``extra`` further fields that have not been.
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
        """Whether it has no arguments yet, or only a placeholder."""
        return not self.given and not self.settled

    @property
    def replaceable(self) -> bool:
        """Whether its value is whole and only a placeholder."""
        return self.value.whole and self.value.placeholder and self.empty

    def is_not_called(self, name: str) -> bool:
        """Whether it has another name than this one; an empty name may be any."""
        return bool(name and self.name and name != self.name)


class ToolCalls:
    """The tool calls of one reply."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._numbered: list[_Call] = []
        # The first numbered call without arguments; pieces of later ones wait.
        self._front = 0
        self._waiting: list[ToolCall] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def ended(self, end: Finished) -> Finished | Failed:
        """The end of the reply, or a failure if a call has no name. Call `end` before this."""
        if all(call.name for call in self._calls):
            return end
        fault = malformed("a tool call without a name")
        return Failed(code=fault.code, message=fault.message, usage=end.usage)

    def pieces(self, held: Any) -> list[Delta]:
        """What a ``tool_calls`` list adds. The id and the name of a call are given once.

        Raises:
            UpstreamError: it is not a list of pieces of tool calls.
        """
        entries = _entries(held)
        for number, entry in enumerate(entries):
            piece, place = _Piece.of(entry), number if len(entries) > 1 else None
            call = self._find(piece, place)
            if call is None and piece.filled:
                call = self._begin(piece, place)
            if call is not None:
                self._take(call, piece)
        return self._released()

    def add(
        self,
        slot: int,
        *,
        key: str = "",
        name: str = "",
        arguments: str = "",
        custom: bool = False,
        extra: Mapping[str, Any] = NOTHING,
    ) -> list[Delta]:
        """Add to the call in a slot, a number of the dialect's own.

        Raises:
            UpstreamError: there are too many calls.
        """
        piece = _Piece(slot, key, name, arguments, custom, extra)
        self._take(self._newest(slot=slot) or self._begin(piece), piece)
        return self._released()

    def settle(self, slot: int) -> list[Delta]:
        """Nothing more comes of the call in a slot; without arguments so far, it has none."""
        call = self._newest(slot=slot)
        if call is not None and not call.value.begun:
            self._take(call, _Piece(slot, arguments="" if call.custom else "{}"))
        if call is not None and call.twin is None and call.number is not None:
            self._close(call, complete=True)
        return self._released()

    def whole(self, slot: int, arguments: str) -> list[Delta]:
        """The whole arguments of the call in a slot: what its pieces lacked."""
        if (call := self._newest(slot=slot)) is not None:
            self._complete(call, arguments)
        return self._released()

    def wholes(self, held: Any) -> list[Delta]:
        """A list of whole calls: what the pieces lacked.

        Raises:
            UpstreamError: as `pieces`.
        """
        known = [call for call in self._calls if call.twin is None]
        for place, entry in enumerate(_entries(held)):
            piece = _Piece.of(entry)
            call = _same(known, piece, place)
            if call is not None:
                known.remove(call)
                self._name(call, piece)
                self._complete(call, piece.arguments)
            elif piece.filled:
                piece.slot = None
                self._take(self._begin(piece), piece)
        return self._released()

    def end(self, *, complete: bool) -> list[Delta]:
        """What was held back, at the end of the reply; ``complete`` if nothing was cut off."""
        for call in [*self._calls]:
            if call.twin is None:
                continue
            if complete or call.name or call.value.whole:
                self._decide(call, call.twin)
            else:
                self._calls.remove(call)  # cut off before it is known what it is
        for call in self._numbered:
            self._put(call, call.halves.rest())
            self._close(call, complete=complete)
        self._front = len(self._numbered)
        return self._released()

    def _find(self, piece: _Piece, place: int | None) -> _Call | None:
        """The call that a piece belongs to, ``None`` if it begins a new one.

        ``place`` is its place in a list of several, ``None`` if it is alone.
        """
        slot, key, name = piece.slot, piece.key, piece.name
        keyed = self._newest(key=key) if key else None
        if slot is None:
            return keyed or self._find_unnumbered(piece, place)
        call = self._newest(slot=slot)
        if call is None:
            if keyed is not None and keyed.slot is None:
                keyed.slot = slot
                return keyed
            return None
        if key and call.key not in ("", key):
            # A new id alone may come from a server that invents one for every piece.
            return keyed or (None if name else call)
        return None if call.is_not_called(name) else call

    def _find_unnumbered(self, piece: _Piece, place: int | None) -> _Call | None:
        """The call of a piece that has neither an index nor a known id."""
        last = self._calls[-1] if self._calls else None
        if last is None or (piece.key and piece.name):
            return None
        if place is not None and not piece.key:
            call = next((call for call in reversed(self._calls) if call.place == place), None)
            if call is not None:
                return None if call.is_not_called(piece.name) else call
            return None if piece.name or place else last
        return None if piece.name and piece.name != last.name else last

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

    def _take(self, call: _Call, piece: _Piece) -> None:
        text = call.halves.join(piece.arguments)
        while True:
            if call.value.whole and text.strip():
                if call.replaceable and not call.is_not_called(piece.name):
                    call.value, call.held = Arguments(), ""
                elif not Arguments.begins(text):
                    return  # garbage that some servers append
                else:
                    again = self._begin(_Piece(call.slot), call.place)
                    again.twin = call
                    call = again
            self._name(call, piece)
            text = self._argue(call, text)
            if call.twin is not None and call.value.whole:
                call = self._decide(call, call.twin)
            if not text:
                return

    def _name(self, call: _Call, piece: _Piece) -> None:
        """Take the id and the name, and give out what is new of them."""
        key = "" if call.key else piece.key
        call.key, call.name = call.key or key, call.name or piece.name
        if piece.extra:
            call.extra = {**call.extra, **piece.extra}
        if call.twin is not None or not call.name:
            return
        if call.number is None:
            call.number = len(self._numbered)
            self._numbered.append(call)
            begun = ToolCall(call.number, call.key or None, call.name, custom=call.custom)
            self._waiting.append(begun)
            self._put(call, "")
        elif key:
            self._waiting.append(ToolCall(call.number, key))
        if call.extra:
            self._waiting.append(ToolCall(call.number, extra_content=call.extra))
            call.extra = NOTHING

    def _argue(self, call: _Call, text: str) -> str:
        """Take arguments up to the end of their value; gives what follows it."""
        rest = call.value.add(text)
        self._put(call, text[: len(text) - len(rest)])
        return rest if rest.strip() else ""

    def _put(self, call: _Call, text: str) -> None:
        """Give out arguments, unless they may have to be taken back."""
        call.held += text
        if not call.held or call.number is None or call.twin is not None:
            return
        if not call.given and not call.custom and Arguments.may_be_nothing(call.held):
            return
        call.given = True
        text, call.held = call.held, ""
        self._waiting.append(ToolCall(call.number, arguments=text))

    def _decide(self, call: _Call, twin: _Call) -> _Call:
        """Decide whether a call repeats its twin; gives the call that goes on from here."""
        if call.name in ("", twin.name) and (
            call.value.same(twin.value)
            or (not call.value.whole and call.value.begins_as(twin.value))
        ):
            self._calls.remove(call)
            return twin
        call.twin = None
        if call.key == twin.key:
            call.key = ""
        self._name(call, _Piece(call.slot))
        return call

    def _complete(self, call: _Call, arguments: str) -> None:
        """Add what the pieces of a call lacked of its whole arguments."""
        text = whole(arguments)
        if call.replaceable or not call.value.begun:
            if not text.strip():
                return
            call.value, call.held = Arguments(free=call.custom), ""
            call.halves = Surrogates()
            self._argue(call, text)
            if call.twin is not None and call.value.whole:
                self._decide(call, call.twin)
        elif not call.value.whole:
            before = call.value.text
            if text.startswith(before) and len(text) > len(before):
                call.halves = Surrogates()
                self._argue(call, text[len(before) :])

    def _close(self, call: _Call, *, complete: bool) -> None:
        """Nothing more comes of a call: give out what was held back of it."""
        if not call.empty or call.number is None:
            return
        call.settled = True
        if call.custom:
            return
        text, call.held = call.held, ""
        if complete and (call.value.placeholder or not call.value.begun):
            text = "{}"
        if text:
            self._waiting.append(ToolCall(call.number, arguments=text))

    def _released(self) -> list[Delta]:
        """The pieces that may be given out now, in the order of their calls."""
        calls = self._numbered
        while self._front < len(calls) and not calls[self._front].empty:
            self._front += 1
        # A call waits for those before it, so each comes after them.
        ready = [piece for piece in self._waiting if piece.index <= self._front]
        self._waiting = [piece for piece in self._waiting if piece.index > self._front]
        ready.sort(key=lambda piece: piece.index)
        return [Delta(tool=piece) for piece in _joined(ready)]


@dataclass(slots=True)
class _Piece:
    """One entry of a ``tool_calls`` list."""

    slot: int | None
    key: str = ""
    name: str = ""
    arguments: str = ""
    custom: bool = False
    extra: Mapping[str, Any] = field(default_factory=lambda: NOTHING)

    @classmethod
    def of(cls, held: Any) -> _Piece:
        if not isinstance(held, dict):
            raise malformed("a tool call that is not an object")
        # A custom tool has an ``input``, which is any text.
        function, custom = as_object(held.get("function")), as_object(held.get("custom"))
        called = function or custom
        index = held.get("index")
        return cls(
            index if type(index) is int else None,
            as_string(held.get("id")),
            as_string(called.get("name")),
            _arguments(called.get("arguments", called.get("input"))),
            bool(custom) and not function,
            as_object(held.get("extra_content")),
        )

    @property
    def filled(self) -> bool:
        return bool(self.key or self.name or self.arguments)


def _entries(held: Any) -> list[Any]:
    if held and not isinstance(held, list):
        raise malformed("tool calls that are not a list")
    return held or []


def _same(calls: list[_Call], piece: _Piece, place: int) -> _Call | None:
    """The call that a whole one is: by its id, its arguments, its index or its place."""
    value = Arguments()
    value.add(piece.arguments)
    tests = (
        lambda call: piece.key and call.key == piece.key,
        lambda call: value.begun and call.value.same(value),
        lambda call: call.slot is not None and call.slot == piece.slot,
        lambda call: call.number == place,
    )
    candidates = [
        call
        for call in calls
        if not call.is_not_called(piece.name) and (not piece.key or call.key in ("", piece.key))
    ]
    return next((call for test in tests for call in candidates if test(call)), None)


def _joined(pieces: list[ToolCall]) -> Iterator[ToolCall]:
    """The pieces, neighbours of one call as one."""
    for index, group in groupby(pieces, key=lambda piece: piece.index):
        joined, *more = group
        for piece in more:
            joined = ToolCall(
                index,
                joined.id or piece.id,
                joined.name or piece.name,
                joined.arguments + piece.arguments,
                joined.custom or piece.custom,
                piece.extra_content or joined.extra_content,
            )
        yield joined


def _arguments(value: Any) -> str:
    if value is None or value == [] or isinstance(value, str):
        return value or ""
    if isinstance(value, dict):
        return as_text(value)
    raise malformed("tool-call arguments that are neither text nor an object")
