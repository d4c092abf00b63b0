"""Plain text, as simple servers stream it: every byte is part of the answer.

Text has no end mark, so a reply is complete only when the transport itself said where it
ends (a length, or chunked encoding). A body that just stops may have been cut off.

Option: ``input`` ("prompt"): the request field that the prompt's text goes to, or
``"messages"`` for the whole list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub.dialects import Call
from hub.events import NOTHING, Delta, Event, Finished
from hub.framing import Chunk, Framing
from hub.framing import Text as TextFraming
from hub.jsonvalue import malformed
from hub.options import Options
from hub.prompt import Prompt

__all__ = ["Text"]


class Text:
    """Reads one reply of plain text."""

    ending = False
    usage = None

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        self._input = Options("text", options, ("input",)).text("input", "prompt")

    def call(self, prompt: Prompt) -> Call:
        whole = [dict(message) for message in prompt.messages]
        body = {**prompt.options, self._input: whole if self._input == "messages" else prompt.text}
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
        return (Delta(text=text),) if text else ()

    def close(self, *, clean: bool) -> Iterable[Event]:
        return (Finished(),) if clean else ()
