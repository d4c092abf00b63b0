"""Replies of upstreams as short as they can be written, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.cases.outputs import Seen, events_of
from tests.support.transcripts import READERS, replay

__all__ = ["call", "chat", "finish", "named", "read", "sse", "usage_of"]


def sse(*data: Any) -> bytes:
    """Server-sent events; text and bytes stand in ``data:`` as they are."""
    pieces = [held if isinstance(held, str) else json.dumps(held) for held in data]
    return b"".join(f"data: {piece}\n\n".encode("utf-8", "surrogatepass") for piece in pieces)


def named(*events: Mapping[str, Any]) -> bytes:
    """Server-sent events that are called by their type."""
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (str(held["type"]).encode(), json.dumps(held).encode())
        for held in events
    )


def chat(delta: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    """A chunk of a chat completion; ``more`` stands in its choice."""
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "choices": [{**choice, **more}]}


def finish(reason: str = "stop") -> dict[str, Any]:
    return chat(finish=reason)


def call(name: Any = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """A chunk with one piece of a tool call."""
    function = {"name": name, "arguments": arguments}
    held = {key: value for key, value in function.items() if value is not None}
    return chat({"tool_calls": [{"type": "function", "function": held, **more}]})


def read(dialect: str, body: bytes) -> Seen:
    """What a client sees of a body; the same however it is cut."""
    whole = replay(READERS[dialect](), [body])
    assert whole == replay(READERS[dialect](), (body[at : at + 1] for at in range(len(body))))
    if whole and "raised" in whole[-1]:
        return Seen(end=whole[-1]["raised"])
    seen = events_of(whole)
    seen.end = whole[-1].get("code", seen.end) if whole else ""
    return seen


def usage_of(dialect: str, body: bytes) -> Mapping[str, Any]:
    """The usage at the end of a reply."""
    found: Iterable[Any] = replay(READERS[dialect](), [body])
    return next(event["usage"] for event in found if event["type"] == "finished")
