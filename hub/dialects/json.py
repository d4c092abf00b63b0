"""JSON objects of any kind, each holding a piece of the text somewhere.

For servers of one's own, like ``{"state":0,"data":[],"text":"H","message":""}`` again and
again, back to back. Without ``done`` such a stream has no end mark, and a reply is
complete only when the transport itself said where it ends; ``[DONE]``, which many event
streams copy from OpenAI's, always counts as one.

A path names a place in an object, a step for each key or list place: ``choices.0.text``.

Options: ``text`` ("text"): the path to the text. ``input`` ("messages"): the request field
that the prompt's text goes to, or ``"messages"`` for the whole list. ``done``: the path to
what is true in the last object, or ``"path=value"``. ``error`` ("error"): the path to what
is not empty when something went wrong. ``framing``: how the objects are cut; if left out,
the first bytes tell. ``think`` (false): split ``<think>`` off the text, or
with ``"closing"`` what comes before a ``</think>`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from hub.dialects import Call
from hub.dialects.reply.error_reports import complaint_in
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.text_deltas import CLOSING, TextDeltas
from hub.dialects.request.dialect_options import Options
from hub.domain.events import NOTHING, Delta, Event, Finished
from hub.domain.json_values import as_text, malformed, parse
from hub.domain.prompt import Prompt
from hub.framing import (
    NDJSON,
    SSE,
    Chunk,
    ConcatenatedJSON,
    Framing,
    JSONArray,
    JSONSeq,
    Sniffed,
)

__all__ = ["Json"]

_FRAMINGS: Final[Mapping[str, Callable[[int], Framing]]] = {
    "array": JSONArray,
    "concatenated": ConcatenatedJSON,
    "json-seq": JSONSeq,
    "ndjson": NDJSON,
    "sse": SSE,
}


class Json:
    """Reads one reply made of JSON objects."""

    ending = False
    usage = None

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options("json", options, ("text", "input", "done", "error", "framing", "think"))
        self._path = chosen.text("text", "text")
        self._input = chosen.text("input", "messages")
        self._done, self._equals, self._value = (chosen.maybe("done") or "").partition("=")
        self._error = chosen.text("error", "error")
        self._framing = chosen.choice("framing", _FRAMINGS)
        self._speech = TextDeltas(think=chosen.flag_or("think", CLOSING))
        self._over = False

    def call(self, prompt: Prompt) -> Call:
        whole = [dict(message) for message in prompt.messages]
        body = {**prompt.options, self._input: whole if self._input == "messages" else prompt.text}
        if prompt.model is not None:
            body["model"] = prompt.model
        return Call("", body)

    def framing(self, limit: int) -> Framing:
        if self._framing is not None:
            return _FRAMINGS[self._framing](limit)
        return Sniffed(ConcatenatedJSON(limit), limit)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        body = chunk.data.strip()
        if self._over or not body:
            return ()
        if body == b"[DONE]":
            return self._finish()
        if is_padding(body):
            return ()
        held = parse(body)
        text = _at(held, self._path)
        wrong = _at(held, self._error)
        complaint = complaint_in({"error": wrong}) or (complaint_in(held) if text is None else None)
        if complaint is not None:
            self._over = True
            return [*self._rest(), complaint.failure(None)]
        last = self._is_last(held)
        found = self._say(text, last=last)
        return [*found, *self._finish()] if last else found

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        if clean and not self._done:
            return self._finish()
        self._over = True
        return self._rest()

    def _say(self, text: Any, *, last: bool) -> list[Delta]:
        """The text of an object; the ``last`` one may say everything once more."""
        if text is not None and not isinstance(text, str):
            raise malformed(f'something that is not text at "{self._path}"')
        return self._speech.say_last(text or "") if last else self._speech.say(text or "")

    def _is_last(self, held: Any) -> bool:
        if not self._done:
            return False
        found = _at(held, self._done)
        if not self._equals:
            return bool(found)
        return self._value == (found if isinstance(found, str) else as_text(found))

    def _finish(self) -> list[Event]:
        self._over = True
        return [*self._rest(), Finished()]

    def _rest(self) -> list[Delta]:
        return self._speech.rest()


def _at(held: Any, path: str) -> Any:
    """What stands at a path, ``None`` where it leads nowhere."""
    for step in path.split("."):
        if isinstance(held, dict):
            held = held.get(step)
        elif isinstance(held, list) and step.isdecimal() and int(step) < len(held):
            held = held[int(step)]
        else:
            return None
    return held
