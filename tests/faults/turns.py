"""Two turns of a conversation: an answer that calls a tool, and what is asked with its result.

Each of `ROUTES` is a client of the hub that begins one, gives the result, and gives back what it
was given. What the upstream was asked for is in `tests.support.scripted_upstream`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import aiohttp

from tests.faults.replies import named
from tests.support.loopback_hub import hub_on_loopback
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer

__all__ = [
    "QUESTION", "RESULT", "ROUTES", "USER", "Client", "Provider", "anthropic", "asking", "block",
    "candidate", "results", "said_by_assistant", "thinking", "tool_use",
]  # fmt: skip

QUESTION: Final = "What is it?"
RESULT: Final = "42"


class Provider(NamedTuple):
    """An answer that calls ``look``, and what must stand in the request that follows."""

    dialect: str
    body: bytes
    expected: Callable[[dict[str, Any]], Any]
    found: Any
    model: str = "m"


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def thinking(index: int, text: str, signature: str) -> list[dict[str, Any]]:
    return block(
        index,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": text[:3]},
        {"type": "thinking_delta", "thinking": text[3:]},
        {"type": "signature_delta", "signature": signature},
    )


def tool_use(index: int, key: str) -> list[dict[str, Any]]:
    return block(
        index,
        {"type": "tool_use", "id": key, "name": "look", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"at":1}'},
    )


def anthropic(*blocks: list[dict[str, Any]]) -> bytes:
    return named(
        {"type": "message_start", "message": {"id": "msg_1", "content": []}},
        *(event for events in blocks for event in events),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    )


def said_by_assistant(name: str) -> Callable[[dict[str, Any]], Any]:
    def find(body: dict[str, Any]) -> Any:
        (found,) = [one for one in body["messages"] if one["role"] == "assistant"]
        return found.get(name)

    return find


def candidate(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **more}]}


class Client:
    """A client of the hub that asks, and gives the results of the calls it is asked for."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        async with self.session.post(self.url + path, json=body) as answer:
            assert answer.status in (200, 201), await answer.text()
            return await answer.json()

    async def streamed(self, path: str, body: Mapping[str, Any]) -> list[Any]:
        async with self.session.post(self.url + path, json=body) as answer:
            text = await answer.text()
            assert answer.status == 200, text
        data = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
        return [json.loads(held) for held in data if held != "[DONE]"]

    async def events(self, stream: str, last: int = 1) -> list[Any]:
        """The events of a stream up to the end of so many answers."""
        found: list[Any] = []
        url = f"{self.url}/v1/live/{stream}?format=ndjson&from=start"
        async with self.session.get(url) as answer, asyncio.timeout(PATIENCE):
            async for line in answer.content:
                found.append(json.loads(line))
                if sum(1 for held in found if held["type"] == "finished") == last:
                    break
        return found


def results(calls: list[Any]) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": each["id"], "content": RESULT} for each in calls]


USER: Final = {"role": "user", "content": QUESTION}


async def by_chat(client: Client) -> None:
    asked = {"model": "asked", "messages": [USER]}
    answer = await client.post("/v1/chat/completions", asked)
    message = answer["choices"][0]["message"]
    messages = [USER, message, *results(message["tool_calls"])]
    await client.post("/v1/chat/completions", {**asked, "messages": messages})


async def by_chat_streamed(client: Client) -> None:
    """As clients join what comes: texts are added up, lists go on, calls have an index."""
    asked = {"model": "asked", "messages": [USER], "stream": True}
    message: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    for chunk in await client.streamed("/v1/chat/completions", asked):
        for name, held in chunk["choices"][0]["delta"].items():
            if name == "tool_calls":
                for piece in held:
                    made = calls.setdefault(piece["index"], {"function": {"arguments": ""}})
                    made["function"]["arguments"] += piece["function"].pop("arguments", "")
                    made["function"] |= piece.pop("function")
                    made |= piece
            elif held is not None:
                message[name] = message[name] + held if name in message else held
    message["tool_calls"] = list(calls.values())
    messages = [USER, message, *results(message["tool_calls"])]
    await client.streamed("/v1/chat/completions", {**asked, "messages": messages})


async def by_responses(client: Client) -> None:
    asked: dict[str, Any] = {"model": "asked", "input": [USER], "store": False}
    answer = await client.post("/v1/responses", asked)
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": RESULT}
        for item in answer["output"]
        if item["type"] == "function_call"
    ]
    await client.post("/v1/responses", {**asked, "input": [USER, *answer["output"], *outputs]})


async def by_previous_response(client: Client) -> None:
    answer = await client.post("/v1/responses", {"model": "asked", "input": QUESTION})
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": RESULT}
        for item in answer["output"]
        if item["type"] == "function_call"
    ]
    more = {"model": "asked", "input": outputs, "previous_response_id": answer["id"]}
    await client.post("/v1/responses", more)


async def by_ai_sdk(client: Client) -> None:
    """As `useChat` keeps a message: the metadata of the last chunk of a part is the part's."""
    said = {"id": "q1", "role": "user", "parts": [{"type": "text", "text": QUESTION}]}
    asked = {"id": "chat", "messages": [said], "trigger": "submit-message"}
    parts: list[dict[str, Any]] = []
    open_parts: dict[str, dict[str, Any]] = {}
    for chunk in await client.streamed("/api/chat", asked):
        kind, _, stage = chunk["type"].rpartition("-")
        metadata = chunk.get("providerMetadata")
        if chunk["type"] == "start-step":
            parts.append({"type": "step-start"})
        elif kind in ("text", "reasoning"):
            if stage == "start":
                part = open_parts[chunk["id"]] = {"type": kind, "text": ""}
                parts.append(part)
            part = open_parts[chunk["id"]]
            part["text"] += chunk.get("delta", "")
            if metadata:
                part["providerMetadata"] = metadata
        elif chunk["type"] == "file":
            parts.append(chunk)
        elif chunk["type"] == "tool-input-available":
            part = {
                "type": f"tool-{chunk['toolName']}",
                "toolCallId": chunk["toolCallId"],
                "state": "output-available",
                "input": chunk["input"],
                "output": RESULT,
            }
            if chunk.get("providerExecuted"):
                part |= {"type": "dynamic-tool", "toolName": chunk["toolName"]}
                part |= {"providerExecuted": True}
            parts.append({**part, "callProviderMetadata": metadata} if metadata else part)
        elif chunk["type"] == "tool-output-available":
            parts[-1]["output"] = chunk["output"]
    answer = {"id": "a1", "role": "assistant", "parts": parts}
    await client.streamed("/api/chat", {**asked, "messages": [said, answer]})


async def by_agui(client: Client) -> None:
    """As `HttpAgent` keeps messages: encrypted values are kept with the entity of their id."""
    messages: list[dict[str, Any]] = [{"id": "q1", "role": "user", "content": QUESTION}]
    asked = {"threadId": "thread", "state": {}, "tools": [], "context": []}
    entities: dict[str, dict[str, Any]] = {}
    events = await client.streamed("/api/agent", {**asked, "runId": "r1", "messages": messages})
    made: list[dict[str, Any]] = []
    for event in events:
        kind, key = event["type"], str(event.get("messageId"))
        if kind in ("TEXT_MESSAGE_START", "REASONING_MESSAGE_START"):
            entities[key] = {"id": key, "role": event["role"], "content": ""}
            messages.append(entities[key])
        elif kind in ("TEXT_MESSAGE_CONTENT", "REASONING_MESSAGE_CONTENT"):
            entities[key]["content"] += event["delta"]
        elif kind == "TOOL_CALL_START":
            call = {"id": event["toolCallId"], "type": "function"}
            call |= {"function": {"name": event["toolCallName"], "arguments": ""}}
            entities[event["parentMessageId"]].setdefault("toolCalls", []).append(call)
            entities[event["toolCallId"]] = call
            made.append(call)
        elif kind == "TOOL_CALL_ARGS":
            entities[event["toolCallId"]]["function"]["arguments"] += event["delta"]
        elif kind == "REASONING_ENCRYPTED_VALUE":
            entities[event["entityId"]]["encryptedValue"] = event["encryptedValue"]
        elif kind == "TOOL_CALL_RESULT":
            names = ("role", "toolCallId", "content")
            messages.append({"id": key, **{name: event[name] for name in names}})
            made.remove(entities[event["toolCallId"]])
    messages += [
        {"id": f"t-{call['id']}", "role": "tool", "toolCallId": call["id"], "content": RESULT}
        for call in made
    ]
    await client.streamed("/api/agent", {**asked, "runId": "r2", "messages": messages})


async def by_stream(client: Client) -> None:
    """Nobody gives anything back: the stream holds all that was said."""
    asked = {"stream": "talk", "prompt": QUESTION}
    await client.post("/v1/generations", asked)
    events = await client.events("talk")
    generation = next(event["generation"] for event in events if event["type"] == "started")
    calls = {event["tool"]["index"]: event["tool"] for event in events[::-1] if "tool" in event}
    for index, tool in calls.items():
        made_up = f"call_{generation.removeprefix('gen_')[:24]}{index}"
        result = {"type": "message", "role": "tool", "text": RESULT}
        url = f"{client.url}/v1/stream/talk"
        event = {**result, "tool_call_id": tool.get("id") or made_up}
        async with client.session.post(url, json=event) as answer:
            assert answer.status in (200, 204), await answer.text()
    await client.post("/v1/generations", {**asked, "prompt": "And?"})
    await client.events("talk", last=2)


ROUTES: Final[Mapping[str, Callable[[Client], Awaitable[None]]]] = {
    "chat": by_chat,
    "chat streamed": by_chat_streamed,
    "responses": by_responses,
    "previous response": by_previous_response,
    "ai sdk": by_ai_sdk,
    "ag-ui": by_agui,
    "stream": by_stream,
}


@asynccontextmanager
async def asking(provider: Provider) -> AsyncIterator[tuple[Client, Scripted]]:
    async with Scripted() as upstream:
        upstream.answers(*[Answer(provider.body)] * 2)
        table = {"dialect": provider.dialect, "url": upstream.url, "model": provider.model}
        async with (
            hub_on_loopback(upstreams={"asked": table}, default_upstream="asked") as hub,
            aiohttp.ClientSession() as session,
        ):
            yield Client(session, f"http://127.0.0.1:{hub.port}"), upstream
