"""One way to ask for all official clients of OpenAI's formats, and one form of what they say.

Each is asked the way its documentation shows: streamed, whole, and by its own helper for
streams where it has one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

import openai
from openai import AsyncOpenAI
from pydantic import SecretStr

from tests.clients.framework_process import FRAMEWORKS, ask_framework
from tests.clients.node import told
from tests.support.patience import PATIENCE

__all__ = ["AGENTS", "CLIENTS", "OBJECTS", "Heard", "Question", "ask"]

TOOL: Final[dict[str, Any]] = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@dataclass
class Heard:
    """What a client made of an answer; ``error`` where it said that there is none."""

    text: str = ""
    reasoning: str = ""
    calls: list[dict[str, str]] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


def _shown(error: openai.APIError) -> dict[str, Any]:
    status = getattr(error, "status_code", None)
    return {"kind": type(error).__name__, "code": error.code, "status": status}


# Python


async def _python(
    url: str, api: str, mode: str, body: dict[str, Any], *, strict: bool = False
) -> Heard:
    heard = Heard()
    async with AsyncOpenAI(
        api_key="none",
        base_url=url,
        max_retries=0,
        timeout=PATIENCE,  # it gives up after 5 s without a connection
        _strict_response_validation=strict,
    ) as client:
        try:
            await _PYTHON[api, mode](client, body, heard)
        except openai.APIError as error:
            heard.error = _shown(error)
    return heard


async def _chat_stream(client: AsyncOpenAI, body: dict[str, Any], heard: Heard) -> None:
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    calls: dict[int, dict[str, str]] = {}
    async for chunk in await client.chat.completions.create(**body, **options):
        if chunk.usage is not None:
            heard.usage = chunk.usage.to_dict()
        for choice in chunk.choices:
            heard.text += choice.delta.content or ""
            heard.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            heard.finish = choice.finish_reason or heard.finish
            for piece in choice.delta.tool_calls or []:
                call = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                call["id"] += piece.id or ""
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
    heard.calls = list(calls.values())


def _take_message(message: Any, heard: Heard) -> None:
    heard.text = message.content or ""
    heard.reasoning = getattr(message, "reasoning_content", None) or ""
    heard.calls = [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        for call in message.tool_calls or []
    ]


async def _chat_whole(client: AsyncOpenAI, body: dict[str, Any], heard: Heard) -> None:
    answer = await client.chat.completions.create(**body)
    _take_message(answer.choices[0].message, heard)
    heard.finish = answer.choices[0].finish_reason
    heard.usage = answer.usage.to_dict() if answer.usage else None


async def _chat_helper(client: AsyncOpenAI, body: dict[str, Any], heard: Heard) -> None:
    options: Any = {"include_usage": True}
    async with client.chat.completions.stream(**body, stream_options=options) as stream:
        async for event in stream:
            if event.type == "content.delta":
                heard.text += event.delta
        answer = await stream.get_final_completion()
    _take_message(answer.choices[0].message, heard)
    heard.finish = answer.choices[0].finish_reason
    heard.usage = answer.usage.to_dict() if answer.usage else None


def _take_response(response: Any, heard: Heard) -> None:
    heard.text = response.output_text
    items = response.output
    thoughts = [item.summary for item in items if item.type == "reasoning"]
    heard.reasoning = "".join(part.text for summary in thoughts for part in summary)
    heard.calls = [
        {"id": item.call_id, "name": item.name, "arguments": item.arguments}
        for item in items
        if item.type == "function_call"
    ]
    heard.finish = response.status
    heard.usage = response.usage.to_dict() if response.usage else None


async def _responses_stream(client: AsyncOpenAI, body: dict[str, Any], heard: Heard) -> None:
    async for event in await client.responses.create(**body, stream=True):
        if event.type == "response.output_text.delta":
            heard.text += event.delta
        elif event.type == "response.completed":
            said = heard.text
            _take_response(event.response, heard)
            assert heard.text == said, "the whole is what the deltas said"


async def _responses_whole(client: AsyncOpenAI, body: dict[str, Any], heard: Heard) -> None:
    _take_response(await client.responses.create(**body), heard)


async def _responses_helper(client: AsyncOpenAI, body: dict[str, Any], heard: Heard) -> None:
    async with client.responses.stream(**body) as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                heard.text += event.delta
        _take_response(await stream.get_final_response(), heard)


_PYTHON: Final = {
    ("chat", "stream"): _chat_stream,
    ("chat", "whole"): _chat_whole,
    ("chat", "helper"): _chat_helper,
    ("responses", "stream"): _responses_stream,
    ("responses", "whole"): _responses_whole,
    ("responses", "helper"): _responses_helper,
}


# LangChain


async def _langchain(url: str, api: str, mode: str, question: Question) -> Heard:
    # It takes over a second, for which every process that only collects the tests would wait.
    from langchain_openai import ChatOpenAI

    heard = Heard()
    chat: Any = ChatOpenAI(
        model=question.model,
        base_url=url,
        api_key=SecretStr("none"),
        max_retries=0,
        timeout=PATIENCE,
        stream_usage=True,
        use_responses_api=api == "responses",
    )
    tools = [{"type": "function", "function": TOOL}]
    asked = chat.bind_tools(tools) if question.tools else chat
    whole: Any = None
    try:
        if mode == "whole":
            whole = await asked.ainvoke(question.prompt)
        else:
            async for chunk in asked.astream(question.prompt):
                whole = chunk if whole is None else whole + chunk
    except openai.APIError as error:
        heard.error = _shown(error)
    except ValueError as error:  # what it makes of `response.failed`
        heard.error = {"kind": "ValueError", "code": None, "message": str(error)}
    if whole is not None:
        _take_ai_message(whole, heard)
    return heard


def _take_ai_message(message: Any, heard: Heard) -> None:
    heard.text = message.text
    heard.reasoning = "".join(
        block.get("reasoning", "")
        for block in message.content_blocks
        if block["type"] == "reasoning"
    )
    heard.calls = [
        {"id": call["id"], "name": call["name"], "arguments": json.dumps(call["args"])}
        for call in message.tool_calls
    ]
    metadata = message.response_metadata
    heard.finish = metadata.get("finish_reason") or metadata.get("status")
    heard.usage = dict(message.usage_metadata) if message.usage_metadata else None


# All of them


CLIENTS: Final = (
    *(
        f"{kind} {api} {mode}"
        for kind in ("python", "strict-python", "langchain", "npm", "pydantic-ai")
        for api in ("chat", "responses")
        for mode in ("stream", "whole", "helper")
        if mode != "helper" or kind.endswith(("python", "npm"))
    ),
    *(f"{kind} chat {mode}" for kind in ("litellm", "llama-index") for mode in ("stream", "whole")),
)

OBJECTS: Final = ("instructor chat stream", "instructor chat whole")
"""Who make an object of every answer, with a `text` in it, for which they force a tool call."""


AGENTS: Final = ("pydantic-ai chat whole", "pydantic-ai responses whole", "llama-index chat stream")
"""Who can answer the calls of tools by themselves."""


@dataclass(frozen=True)
class Question:
    """What a client is to ask a model of the hub."""

    model: str
    prompt: str
    tools: bool = False
    schema: bool = False
    """Of `OBJECTS`: ask for JSON of a schema instead."""
    run: bool = False
    """Of `AGENTS`: answer the calls of the tool, and give the answer after them."""

    def body(self, api: str) -> dict[str, Any]:
        if api == "responses":
            offered = {"tools": [{"type": "function", **TOOL}]} if self.tools else {}
            return {"model": self.model, "input": self.prompt, **offered}
        offered = {"tools": [{"type": "function", "function": TOOL}]} if self.tools else {}
        messages = [{"role": "user", "content": self.prompt}]
        return {"model": self.model, "messages": messages, **offered}


async def ask(client: str, url: str, *questions: Question) -> list[Heard]:
    """What one of `CLIENTS` or `OBJECTS` makes of the answers, asking one after the other."""
    kind, api, mode = client.split(" ")
    if kind == "npm":
        asks = [{"api": api, "mode": mode, "body": question.body(api)} for question in questions]
        return [Heard(**found) for found in await told("openai.mjs", {"url": url, "asks": asks})]
    if kind in FRAMEWORKS:
        framework_asks = [
            {
                "url": url,
                "api": api,
                "model": question.model,
                "prompt": question.prompt,
                "stream": mode == "stream",
                "tool": TOOL if question.tools else None,
                "schema": question.schema,
                "run": question.run,
                "retries": False,
            }
            for question in questions
        ]
        return [Heard(**found) for found in await ask_framework(kind, framework_asks)]
    if kind == "langchain":
        return [await _langchain(url, api, mode, question) for question in questions]
    strict = kind == "strict-python"
    return [
        await _python(url, api, mode, question.body(api), strict=strict) for question in questions
    ]
