"""Bodies of upstreams, recorded or written by hand, and what is to come out of them.

``tests/corpus/DIALECT/NAME.body`` holds the bytes as an upstream sent them, and
``NAME.events`` beside it the events as NDJSON. Where reading a body ends in an error, the
last line is ``{"raised": CODE}``. Bodies called ``aimock_…`` are
recordings of ``@copilotkit/aimock`` 1.43.0; the others are written after what real servers
were seen to send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from hub.dialects import Dialect
from hub.dialects.anthropic.reader import Anthropic
from hub.dialects.cohere import Cohere
from hub.dialects.gemini.reader import Gemini
from hub.dialects.json import Json
from hub.dialects.ollama import Ollama
from hub.dialects.openai_chat import OpenAIChat
from hub.dialects.openai_responses.reader import OpenAIResponses
from hub.domain.errors import UpstreamError
from hub.domain.events import TERMINALS, Event, encode, to_json
from hub.framing import Chunk

CORPUS = Path(__file__).parents[1] / "corpus"
LIMIT = 4 * 1024 * 1024

READERS: Mapping[str, Callable[[], Dialect]] = {
    "anthropic": Anthropic,
    "cohere": Cohere,
    "gemini": Gemini,
    "json": Json,
    "ollama": Ollama,
    "openai-chat": OpenAIChat,
    "openai-responses": OpenAIResponses,
    "openai-chat-think": lambda: OpenAIChat({"think": True}),
}


class Transcript(NamedTuple):
    reader: str
    name: str

    def __str__(self) -> str:
        return f"{self.reader}/{self.name}"

    @property
    def body(self) -> bytes:
        return (CORPUS / self.reader / f"{self.name}.body").read_bytes()

    @property
    def expected(self) -> list[Any]:
        lines = (CORPUS / self.reader / f"{self.name}.events").read_bytes().split(b"\n")
        return [orjson.loads(line) for line in lines if line]

    def replay(self, pieces: Iterable[bytes]) -> list[Any]:
        return replay(READERS[self.reader](), pieces)


TRANSCRIPTS = [Transcript(body.parent.name, body.stem) for body in sorted(CORPUS.glob("*/*.body"))]


def replay(dialect: Dialect, pieces: Iterable[bytes], *, clean: bool = True) -> list[Any]:
    """The events of a body as JSON objects, as `hub.pipeline` would have them.

    Checks on the way that each can be written in a record.
    """
    framing = dialect.framing(LIMIT)
    events: list[Event] = []
    raised: list[Any] = []
    try:
        for piece in pieces:
            for chunk in framing.feed(piece):
                events += dialect.events(chunk)
        for chunk in framing.flush():
            events += dialect.events(chunk)
    except UpstreamError as error:
        clean = False
        raised = [{"raised": error.code}]
    events += dialect.close(clean=clean)
    return [*map(shown, events), *([] if ended(events) else raised)]


def ended(events: Iterable[Event]) -> bool:
    return any(isinstance(event, TERMINALS) for event in events)


def shown(event: Event) -> Any:
    assert isinstance(orjson.loads(encode(event)), dict)
    return to_json(event)


def read(dialect: Dialect, *chunks: bytes | Chunk) -> list[Any]:
    """The events of chunks, without any framing."""
    found: list[Any] = []
    for chunk in chunks:
        found += dialect.events(Chunk(chunk) if isinstance(chunk, bytes) else chunk)
    return [shown(event) for event in found]


def text_of(events: Iterable[Any], kind: str = "text") -> str:
    return "".join(event.get(kind, "") for event in events if event.get("type") == "delta")
