"""What the documents say of chunks holds for every recorded reply, and nothing in it is idle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from jsonschema import Draft202012Validator

from hub.docs import openapi
from hub.domain.events import TERMINALS, Delta, Event, ToolCall, encode, from_json
from hub.domain.records import Record
from hub.protocols.agui.chunks import AGUIChunks
from hub.protocols.aisdk.chunks import UIChunks
from hub.protocols.openai.responses_state import ResponseBuilder

CORPUS: Final = sorted((Path(__file__).parents[1] / "corpus").glob("*/*.events"))
DOCUMENT: Final = openapi.document()
FIRST, LAST = "gen_1", "gen_2"


def events(lines: Iterable[dict[str, Any]], generation: str = LAST) -> Iterator[Event]:
    """A generation that gives these; one that gives no end of its own is interrupted."""
    started = {"type": "started", "upstream": "u", "model": "m", "at": "2026-01-01T00:00:00Z"}
    begun = {**started, "message": FIRST}
    for held in [begun, *lines, {"type": "interrupted"}]:
        event = from_json({**held, "generation": generation})
        yield event
        if isinstance(event, TERMINALS):
            return


def told(given: Iterable[Event]) -> dict[str, list[dict[str, Any]]]:
    """The chunks of each kind that these events become."""
    ui, agui = UIChunks(LAST, FIRST), AGUIChunks("chat")
    response = ResponseBuilder(LAST, {})
    chunks: dict[str, list[dict[str, Any]]] = {name: [] for name in KINDS}
    for offset, event in enumerate(given):
        record = Record(offset, encode(event), event)
        chunks["UIChunk"] += ui.add(record)
        chunks["ConversationChunk"] += agui.add(record)
        chunks["ResponseEvent"] += response.tell(event)
    return chunks


def conversation(call: str, text: str, **more: Any) -> list[Event]:
    """A call, what became of it, and the answer that goes on with its result."""
    tool = ToolCall(0, call, "weather", '{"city":"Oslo"}')
    finished = {"type": "finished", "reason": "tool"}
    asked = encode(Delta(tool=tool))
    result = {"type": "message", "role": "tool", "text": text, "tool_call_id": call, **more}
    return [
        from_json({"type": "message", "role": "user", "text": "hello"}),
        *events([orjson.loads(asked), finished], FIRST),
        from_json(result),
        *events([{"type": "delta", "text": "well"}, {"type": "finished", "reason": "stop"}]),
    ]


def cases() -> Iterator[tuple[str, list[Event]]]:
    for file in CORPUS:
        lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
        yield f"{file.parent.name}/{file.stem}", list(events(lines))
    yield "result", conversation("call_1", "rain")
    yield "result in JSON", conversation("call_1", '{"rain":true}', json=True)
    yield "result that failed", conversation("call_1", "no weather", failed=True)
    yield "cancelled", list(events([{"type": "delta", "text": "a"}, {"type": "cancelled"}]))
    yield "interrupted", list(events([{"type": "delta", "text": "a"}]))


KINDS: Final = ("UIChunk", "ConversationChunk", "ResponseEvent")
CASES: Final = dict(cases())


def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    )


@pytest.mark.parametrize("name", KINDS)
def test_every_chunk_is_as_the_documents_say(name: str) -> None:
    validator = schema(name)
    for case, given in CASES.items():
        for chunk in told(given)[name]:
            # As it is sent; a tuple is no array before that.
            sent = orjson.loads(orjson.dumps(chunk))
            wrong = [each.message for each in validator.iter_errors(sent)]
            assert not wrong, (case, chunk)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_in_the_documents_is_sent(name: str) -> None:
    members = DOCUMENT["components"]["schemas"][name]["oneOf"]
    said = {member["properties"]["type"]["const"] for member in members}
    sent = {chunk["type"] for given in CASES.values() for chunk in told(given)[name]}
    assert sent == said


@pytest.mark.parametrize("name", KINDS)
def test_a_chunk_that_is_none_is_refused(name: str) -> None:
    """Or the tests above would hold for anything."""
    validator = schema(name)
    for given in list(CASES.values())[:20]:
        for chunk in told(given)[name]:
            assert not validator.is_valid({**chunk, "more": 1})
            assert not validator.is_valid({**chunk, "type": "other"})
