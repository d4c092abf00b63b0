"""Every output of the hub, asked for one answer; what a client sees of it, in one form.

An output is a function from a client session and the hub's address to the `Seen`. To add one is
to write one and to name it in `OUTPUTS`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

__all__ = ["OUTPUTS", "Seen", "events_of", "follow", "joined", "websocket"]

ENDS: Final = ("finished", "failed", "cancelled", "interrupted")
QUESTION: Final = [{"role": "user", "content": "Hi"}]


@dataclass
class Seen:
    """What a client has in its hands when the answer is over.

    ``tools`` are the names and arguments of the calls; ``end`` is a reason, or ``failed``.
    """

    text: str = ""
    reasoning: str = ""
    tools: list[tuple[str, str]] = field(default_factory=list)
    end: str = ""


async def _started(session: aiohttp.ClientSession, url: str) -> str:
    """The stream of a new generation."""
    async with session.post(f"{url}/v1/generations", json={"messages": QUESTION}) as answer:
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["stream"])


async def follow(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    """The events of an answer, over `/v1/live`."""
    stream = await _started(session, url)
    where = f"{url}/v1/live/{stream}?format=ndjson&from=start"
    async with session.get(where) as answer:
        lines = (await answer.read()).split(b"\n")
    return [held for held in map(json.loads, filter(bytes.strip, lines)) if _is_event(held)]


async def websocket(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    """The events of an answer, over `hub.v1`."""
    found: list[dict[str, Any]] = []
    async with session.ws_connect(f"{url}/v1/ws", protocols=["hub.v1"]) as socket:
        await socket.send_json(
            {"type": "generate", "stream": "case", "messages": QUESTION, "id": 1}
        )
        await socket.send_json({"type": "subscribe", "stream": "case", "from": "start", "id": 2})
        async for message in socket:
            told = json.loads(message.data)
            assert told["type"] != "error", told
            found += told.get("events", ())
            if any(event.get("type") in ENDS for event in found):
                break
    return [event for event in found if _is_event(event)]


def _is_event(held: Mapping[str, Any]) -> bool:
    return held.get("type") in ("delta", *ENDS)


def joined(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The events with adjacent deltas of one kind, and of one call, as one."""
    found: list[dict[str, Any]] = []
    for event in events:
        last = found[-1] if found else {}
        if event["type"] != "delta" or last.get("type") != "delta":
            found.append(dict(event))
            continue
        tool, before = event.get("tool"), last.get("tool")
        kind = next(kind for kind in ("tool", "reasoning", "text") if kind in event)
        if kind not in last or (tool and before and tool["index"] != before["index"]):
            found.append(dict(event))
        elif tool and before:
            whole = before["arguments"] + tool["arguments"]
            last["tool"] = {**tool, **before, "arguments": whole}
        else:
            last[kind] += event[kind]
    return found


def events_of(events: Iterable[Mapping[str, Any]]) -> Seen:
    """What a client of the events themselves makes of them."""
    seen = Seen()
    calls: dict[int, list[str]] = {}
    for event in events:
        if event["type"] != "delta":
            seen.end = event.get("reason") or event["type"]
        seen.text += event.get("text", "")
        seen.reasoning += event.get("reasoning", "") if event["type"] == "delta" else ""
        if tool := event.get("tool"):
            call = calls.setdefault(tool["index"], ["", ""])
            call[0] += tool.get("name") or ""
            call[1] += tool.get("arguments") or ""
    seen.tools = [(name, arguments) for name, arguments in calls.values()]
    return seen


async def _live(session: aiohttp.ClientSession, url: str) -> Seen:
    return events_of(await follow(session, url))


async def _websocket(session: aiohttp.ClientSession, url: str) -> Seen:
    return events_of(await websocket(session, url))


async def _sse(session: aiohttp.ClientSession, url: str, body: Mapping[str, Any]) -> list[Any]:
    async with session.post(url, json=body) as answer:
        text = await answer.text()
        if answer.status != 200:
            return [{"error": text, "type": "error"}]
    data = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(held) for held in data if held != "[DONE]"]


REASONS: Final = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool",
    "tool-calls": "tool",
    "content_filter": "filter",
    "content-filter": "filter",
}


async def _chat(session: aiohttp.ClientSession, url: str) -> Seen:
    seen = Seen()
    calls: dict[int, list[str]] = {}
    ids: list[str] = []
    for chunk in await _sse(
        session, f"{url}/v1/chat/completions", {"model": "m", "messages": QUESTION, "stream": True}
    ):
        if "error" in chunk:
            seen.end = "failed"
        for choice in chunk.get("choices", ()):
            delta = choice["delta"]
            seen.text += delta.get("content") or ""
            seen.reasoning += delta.get("reasoning_content") or ""
            for piece in delta.get("tool_calls", ()):
                call = calls.setdefault(piece["index"], ["", ""])
                call[0] += piece["function"].get("name") or ""
                call[1] += piece["function"].get("arguments") or ""
                ids += [piece["id"]] if piece.get("id") else []
            if choice.get("finish_reason"):
                seen.end = REASONS[choice["finish_reason"]]
    assert len(ids) == len({*ids}) == len(calls), "each call has an id of its own"
    seen.tools = [(name, arguments) for name, arguments in calls.values()]
    return seen


async def _responses(session: aiohttp.ClientSession, url: str) -> Seen:
    seen = Seen()
    for event in await _sse(
        session, f"{url}/v1/responses", {"model": "m", "input": "Hi", "stream": True}
    ):
        kind = event["type"]
        if kind == "response.output_text.delta":
            seen.text += event["delta"]
        elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
            seen.reasoning += event["delta"]
        elif kind == "response.output_item.done" and event["item"]["type"] == "function_call":
            seen.tools.append((event["item"]["name"], event["item"]["arguments"]))
        elif kind == "response.completed":
            seen.end = "tool" if seen.tools else "stop"
        elif kind == "response.incomplete":
            why = event["response"]["incomplete_details"]["reason"]
            seen.end = "length" if why == "max_output_tokens" else "filter"
        elif kind in ("response.failed", "error"):
            seen.end = "failed"
    return seen


async def _aisdk(session: aiohttp.ClientSession, url: str) -> Seen:
    seen = Seen()
    said = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
    body = {"id": "case", "messages": [said], "trigger": "submit-message"}
    for chunk in await _sse(session, f"{url}/api/chat", body):
        kind = chunk["type"]
        if kind == "text-delta":
            seen.text += chunk["delta"]
        elif kind == "reasoning-delta":
            seen.reasoning += chunk["delta"]
        elif kind == "tool-input-available":
            arguments = json.dumps(chunk["input"], separators=(",", ":"), ensure_ascii=False)
            seen.tools.append((chunk["toolName"], arguments))
        elif kind == "finish":
            seen.end = REASONS.get(chunk.get("finishReason", ""), seen.end)
        elif kind == "error":
            seen.end = "failed"
    return seen


OUTPUTS: Final[Mapping[str, Callable[[aiohttp.ClientSession, str], Awaitable[Seen]]]] = {
    "live": _live,
    "websocket": _websocket,
    "chat": _chat,
    "responses": _responses,
    "aisdk": _aisdk,
}
