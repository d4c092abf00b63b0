"""Frameworks on top of openai-python, run by the Python of the environment that has them.

::

    python frameworks.py litellm

Each line of the input is JSON, ``{"asks": [...], "together": false}``, and each line of the output
has the answers: all are asked one after the other, or ``together``. It ends with its input.

An ask has the ``url``, the ``api`` (``chat`` or ``responses``), the ``model``, the ``prompt``, and
whether to ``stream``. ``tool`` is the function to offer, or null. ``schema`` has instructor ask for
JSON that has a schema instead of a tool call. ``run`` has an agent answer the calls of
`get_weather` until the model is done. ``retries`` leaves the client those that it has by
itself. An answer has the fields of ``asking.Heard``, its ``error`` those of ``attempts.Caught``.

It imports nothing of the tests, which are not installed there, and no framework but the one asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

Ask = dict[str, Any]
Heard = dict[str, Any]


def connection(ask: Ask, url: str = "base_url") -> dict[str, Any]:
    """The options that all of them have in common, but for the name of the address."""
    once = {} if ask["retries"] else {"max_retries": 0}
    return {url: ask["url"], "api_key": "none", **once}


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"It is clear in {city}."


async def pydantic_ai(ask: Ask, heard: Heard) -> None:
    """An agent; who only offers it a tool calls that by itself."""
    from openai import AsyncOpenAI
    from pydantic_ai import Agent, DeferredToolRequests, ExternalToolset, ToolDefinition
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(openai_client=AsyncOpenAI(**connection(ask)))
    made = OpenAIResponsesModel if ask["api"] == "responses" else OpenAIChatModel
    model = made(ask["model"], provider=provider)
    agent: Any = Agent(model, tools=[get_weather] if ask["run"] else [])
    if tool := ask["tool"]:
        offered = ToolDefinition(
            name=tool["name"],
            description=tool["description"],
            parameters_json_schema=tool["parameters"],
        )
        toolset = ExternalToolset([offered])
        agent = Agent(model, output_type=[str, DeferredToolRequests], toolsets=[toolset])
    if ask["stream"]:
        async with agent.run_stream(ask["prompt"]) as result:
            async for _ in result.stream_response(debounce_by=None):
                pass
    else:
        result = await agent.run(ask["prompt"])
    for part in result.response.parts:
        if part.part_kind == "text":
            heard["text"] += part.content
        elif part.part_kind == "thinking":
            heard["reasoning"] += part.content
        elif part.part_kind == "tool-call":
            arguments = part.args_as_json_str()
            call = {"id": part.tool_call_id, "name": part.tool_name, "arguments": arguments}
            heard["calls"].append(call)
    usage = result.response.usage
    heard["finish"] = result.response.finish_reason
    heard["usage"] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
    }


async def litellm(ask: Ask, heard: Heard) -> None:
    # Otherwise it asks the Internet what models cost, for seconds.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    more: dict[str, Any] = connection(ask, "api_base")
    if ask["tool"]:
        more["tools"] = [{"type": "function", "function": ask["tool"]}]
    if ask["stream"]:
        more |= {"stream": True, "stream_options": {"include_usage": True}}
    messages = [{"role": "user", "content": ask["prompt"]}]
    answer = await litellm.acompletion(model=f"openai/{ask['model']}", messages=messages, **more)
    if ask["stream"]:
        chunks = [chunk async for chunk in answer]
        answer = litellm.stream_chunk_builder(chunks, messages=messages)
    (choice,) = answer.choices
    heard["text"] = choice.message.content or ""
    heard["reasoning"] = getattr(choice.message, "reasoning_content", None) or ""
    heard["calls"] = [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        for call in choice.message.tool_calls or []
    ]
    heard["finish"] = choice.finish_reason
    heard["usage"] = answer.usage.model_dump()


async def llama_index(ask: Ask, heard: Heard) -> None:
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike

    options = {"stream_options": {"include_usage": True}} if ask["stream"] else {}
    model = OpenAILike(
        model=ask["model"],
        is_chat_model=True,
        is_function_calling_model=True,
        additional_kwargs=options,
        **connection(ask, "api_base"),
    )
    if ask["run"]:
        agent = FunctionAgent(tools=[get_weather], llm=model, streaming=ask["stream"])
        heard["text"] = str(await agent.run(ask["prompt"]))
        return

    def keep(answer: Any) -> None:
        """What it holds only as it came: the reason of the end, and the tokens."""
        for choice in answer.raw.choices:
            heard["finish"] = choice.finish_reason or heard["finish"]
        if answer.raw.usage:
            heard["usage"] = answer.raw.usage.model_dump()

    offered = [FunctionTool.from_defaults(get_weather)] if ask["tool"] else []
    given: dict[str, Any] = {"user_msg": ask["prompt"], "allow_parallel_tool_calls": True}
    if ask["stream"]:
        async for answer in await model.astream_chat_with_tools(offered, **given):
            keep(answer)
    else:
        answer = await model.achat_with_tools(offered, **given)
        keep(answer)
    for block in answer.message.blocks:
        if block.block_type == "text":
            heard["text"] += block.text
        elif block.block_type == "thinking":
            heard["reasoning"] += block.content
    heard["calls"] = [
        {"id": call.tool_id, "name": call.tool_name, "arguments": json.dumps(call.tool_kwargs)}
        for call in model.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
    ]


async def instructor(ask: Ask, heard: Heard) -> None:
    """Each of its answers is an object, of a forced tool call or of JSON that has a schema."""
    import instructor
    from openai import AsyncOpenAI
    from pydantic import BaseModel

    class Answer(BaseModel):
        text: str

    mode = instructor.Mode.JSON_SCHEMA if ask["schema"] else instructor.Mode.TOOLS
    create = instructor.from_openai(AsyncOpenAI(**connection(ask)), mode=mode).chat.completions
    messages = [{"role": "user", "content": ask["prompt"]}]
    given = {"model": ask["model"], "messages": messages, "response_model": Answer}
    if ask["stream"]:
        async for partial in create.create_partial(**given):
            heard["text"] = partial.text or ""
        return
    answer, whole = await create.create_with_completion(**given)
    heard["text"] = answer.text
    heard["finish"] = whole.choices[0].finish_reason
    heard["usage"] = whole.usage.model_dump()


CLIENTS = {
    "pydantic-ai": pydantic_ai,
    "litellm": litellm,
    "llama-index": llama_index,
    "instructor": instructor,
}


def raised(error: BaseException) -> dict[str, Any]:
    """What says the status; instructor wraps it into an error of its own that does not."""
    while not hasattr(error, "status_code") and error.__cause__ is not None:
        error = error.__cause__
    body = getattr(error, "body", None)
    held = body if isinstance(body, dict) else {}
    return {
        "kind": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "message": held.get("message", str(error)),
        **{name: held.get(name, getattr(error, name, None)) for name in ("code", "param", "type")},
    }


async def ask_one(client: str, ask: Ask) -> Heard:
    heard: Heard = {"text": "", "reasoning": "", "calls": []}
    heard |= {"finish": None, "usage": None, "error": None}
    try:
        await CLIENTS[client](ask, heard)
    except Exception as error:  # of any class: the tests judge it
        heard["error"] = raised(error)
    return heard


async def main(client: str) -> None:
    # What a framework prints is no answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    while line := await asyncio.to_thread(sys.stdin.readline):
        given = json.loads(line)
        if given["together"]:
            found = await asyncio.gather(*(ask_one(client, ask) for ask in given["asks"]))
        else:
            found = [await ask_one(client, ask) for ask in given["asks"]]
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
