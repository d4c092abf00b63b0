"""JSON objects of any kind, each with a piece of the text somewhere in it.

For servers of one's own, such as one that sends ``{"state":0,"text":"H","message":""}`` again and
again. Without the option ``done`` such a stream has no end mark, so a reply is complete only if the
transport itself marks the end; ``[DONE]``, which many event streams copy from OpenAI, always counts
as an end mark.

A path names a place in an object, with a step for each key or index: ``choices.0.text``.

Options: ``text`` ("text"): the path to the text. ``input`` ("messages"): the request field for the
prompt's text, or ``"messages"`` for the whole list. ``done``: the path to a value that is true in
the last object, or ``"path=value"``. ``error`` ("error"): the path to a value that is not empty
when something went wrong. ``framing``: how the objects are separated; if left out, the first bytes
tell. ``think`` (false): see `hub.dialects.reply.think_tags`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from hub.dialects import Call
from hub.dialects.reply.error_reports import find_error
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.reply_reader import ReplyReader
from hub.dialects.reply.text_deltas import CLOSING
from hub.dialects.request.dialect_options import Options
from hub.domain.events import NOTHING, Event
from hub.domain.json_values import as_text, malformed, parse
from hub.domain.prompt import Prompt
from hub.framing import NDJSON, SSE, Chunk, ConcatenatedJSON, Framing, JSONArray, JSONSeq, Sniffed

__all__ = ["Json"]

_FRAMINGS: Final[Mapping[str, Callable[[int], Framing]]] = {
    "array": JSONArray,
    "concatenated": ConcatenatedJSON,
    "json-seq": JSONSeq,
    "ndjson": NDJSON,
    "sse": SSE,
}


class Json(ReplyReader):
    """Reads one reply made of JSON objects."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options("json", options, ("text", "input", "done", "error", "framing", "think"))
        super().__init__(think=chosen.flag_or("think", CLOSING))
        self._path = chosen.text("text", "text")
        self._input = chosen.text("input", "messages")
        self._done_path, self._equals, self._value = (chosen.maybe("done") or "").partition("=")
        self._error = chosen.text("error", "error")
        self._framing = chosen.choice("framing", _FRAMINGS)

    def call(self, prompt: Prompt) -> Call:
        messages = [dict(message) for message in prompt.messages]
        asked = messages if self._input == "messages" else prompt.text
        body = {**prompt.options, self._input: asked}
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
            return self._finish("stop")
        if is_padding(body):
            return ()
        held = parse(body)
        text = _value_at(held, self._path)
        report = find_error({"error": _value_at(held, self._error)})
        if report is None and text is None:
            report = find_error(held)
        if report is not None:
            return self._fail(report)
        if text is not None and not isinstance(text, str):
            raise malformed(f'something that is not text at "{self._path}"')
        if not self._is_last(held):
            return self._text.say(text or "")
        return [*self._text.add_last("text", text or ""), *self._finish("stop")]

    def close(self, *, clean: bool) -> Iterable[Event]:
        if clean and not self._done_path and not self._over:
            return self._finish("stop")
        return super().close(clean=clean)

    def _is_last(self, held: Any) -> bool:
        if not self._done_path:
            return False
        found = _value_at(held, self._done_path)
        if not self._equals:
            return bool(found)
        return self._value == (found if isinstance(found, str) else as_text(found))


def _value_at(held: Any, path: str) -> Any:
    """The value at a path, ``None`` where there is none."""
    for step in path.split("."):
        if isinstance(held, dict):
            held = held.get(step)
        elif isinstance(held, list) and step.isdecimal() and int(step) < len(held):
            held = held[int(step)]
        else:
            return None
    return held
