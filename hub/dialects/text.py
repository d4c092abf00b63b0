"""Plain text, as simple servers stream it: every byte is part of the answer.

Text has no end mark, so a reply is complete only if the transport itself marks the end (with a
length, or chunked encoding). A body that just stops may have been cut off.

Options: ``input`` ("prompt"): the request field for the prompt's text, or ``"messages"`` for the
whole list. ``think`` (false): see `hub.dialects.reply.think_tags`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub.dialects import Call
from hub.dialects.reply.text_deltas import CLOSING, TextDeltas
from hub.dialects.request.dialect_options import Options
from hub.domain.events import NOTHING, Event, Finished
from hub.domain.json_values import malformed
from hub.domain.prompt import Prompt
from hub.framing import Chunk, Framing
from hub.framing import Text as TextFraming

__all__ = ["Text"]


class Text:
    """Reads one reply of plain text."""

    ending = False
    reasoned = False
    usage = None

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options("text", options, ("input", "think"))
        self._input = chosen.text("input", "prompt")
        self._text = TextDeltas(think=chosen.flag_or("think", CLOSING))

    def call(self, prompt: Prompt) -> Call:
        messages = [dict(message) for message in prompt.messages]
        asked = messages if self._input == "messages" else prompt.text
        body = {**prompt.options, self._input: asked}
        if prompt.model is not None:
            body["model"] = prompt.model
        return Call("", body, {"Accept": "text/plain"})

    def framing(self, limit: int) -> Framing:
        return TextFraming(limit)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        try:
            text = chunk.data.decode()
        except UnicodeDecodeError:
            raise malformed("bytes that are not UTF-8") from None
        return self._text.say(text)

    def close(self, *, clean: bool) -> Iterable[Event]:
        return [*self._text.rest(), *((Finished(),) if clean else ())]
