"""Ollama's ``/api/chat``: one JSON object a line.

``{"message":{"role":"assistant","content":"Hi","thinking":"…"},"done":false}`` and so on;
the last has ``"done":true``, ``done_reason`` and the counts. Programs that imitate it are
looser: two lines that are done, with a tool call in between; ``response`` instead of
``message``, or null; no ``done_reason``; reasoning as ``reasoning_content``. So the reply
ends with the body, and what counts is that a line was done. ``{"error": "…"}``, which
comes under a 200 too, always ends it.

No options.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from hub.complaint import complaint_in
from hub.dialects import Call
from hub.errors import RequestError
from hub.events import NOTHING, Delta, Event, Finished, Reason, ToolCall, Usage
from hub.framing import NDJSON, Chunk, Framing, Sniffed
from hub.jsonvalue import as_count, as_object, as_text, malformed, parse
from hub.options import Options
from hub.prompt import Prompt
from hub.surrogates import Surrogates, whole

__all__ = ["Ollama"]

_REASONS: Final[Mapping[str, Reason]] = {"length": "length", "tool_calls": "tool"}

# Request fields: OpenAI's name and the one under ``options``. What is not here is not sent.
_OPTIONS: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "stop": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}


class Ollama:
    """Reads one reply of Ollama."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        Options("ollama", options)
        self._text = Surrogates()
        self._reasoning = Surrogates()
        self._calls = 0
        self.usage: Usage | None = None
        self._reason: Reason | None = None
        self._over = False

    @property
    def ending(self) -> bool:
        return self._reason is not None

    def call(self, prompt: Prompt) -> Call:
        asked = prompt.options
        body: dict[str, Any] = {
            "messages": [_message(message) for message in prompt.messages],
            "stream": True,
        }
        if prompt.model is not None:
            body["model"] = prompt.model
        chosen = {_OPTIONS[name]: held for name, held in asked.items() if name in _OPTIONS}
        if isinstance(chosen.get("stop"), str):
            chosen["stop"] = [chosen["stop"]]
        if chosen := {name: held for name, held in chosen.items() if held is not None}:
            body["options"] = chosen
        if asked.get("tools") and asked.get("tool_choice") != "none":
            body["tools"] = asked["tools"]
        if (wanted := _format(asked.get("response_format"))) is not None:
            body["format"] = wanted
        if (effort := asked.get("reasoning_effort")) is not None:
            body["think"] = False if effort == "none" else effort
        return Call("/api/chat", body, {"Accept": "application/x-ndjson"})

    def framing(self, limit: int) -> Framing:
        return Sniffed(NDJSON(limit), limit)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        if self._over or not chunk.data.strip():
            return ()
        held = parse(chunk.data)
        complaint = complaint_in(held)
        if complaint is not None:
            self._over = True
            return [*self._rest(), complaint.failure(self.usage)]
        if not isinstance(held, dict):
            raise malformed("a line that is not an object")
        found: list[Event] = []
        self._message(held, found)
        if held.get("done") is True:
            self._reason = _REASONS.get(str(held.get("done_reason")), "stop")
        before = self.usage or Usage()
        prompted = as_count(held.get("prompt_eval_count"), before.prompt_tokens)
        answered = as_count(held.get("eval_count"), before.completion_tokens)
        if prompted or answered:  # only noughts are a server that does not count
            self.usage = Usage(prompted, answered)
        return found

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        self._over = True
        found = self._rest()
        if self._reason is None:
            return found
        # Ollama itself says "stop" after a tool call, too.
        reason = "tool" if self._calls and self._reason == "stop" else self._reason
        return [*found, Finished(reason=reason, usage=self.usage)]

    def _message(self, held: Mapping[str, Any], found: list[Event]) -> None:
        message = held.get("message")
        if message is not None and not isinstance(message, dict):
            raise malformed("a message that is not an object")
        message = message or held
        thought = message.get("thinking") or message.get("reasoning_content")
        if isinstance(thought, str) and (text := self._reasoning.join(thought)):
            found.append(Delta(reasoning=text))
        content = message.get("content") or held.get("response")
        if content:
            if not isinstance(content, str):
                raise malformed("content that is not text")
            if text := self._text.join(content):
                found.append(Delta(text=text))
        calls = message.get("tool_calls")
        if calls:
            if not isinstance(calls, list):
                raise malformed("tool calls that are not a list")
            found += [Delta(tool=self._call(call)) for call in calls]

    def _call(self, held: Any) -> ToolCall:
        """A tool call, which always comes whole."""
        function = as_object(as_object(held).get("function"))
        name, key = function.get("name"), as_object(held).get("id")
        if not isinstance(name, str):
            raise malformed("a tool call without the name of a function")
        arguments = function.get("arguments")
        number, self._calls = self._calls, self._calls + 1
        return ToolCall(
            number,
            whole(key) if isinstance(key, str) and key else None,
            whole(name),
            whole(arguments) if isinstance(arguments, str) else as_text(arguments or {}),
        )

    def _rest(self) -> list[Event]:
        found: list[Event] = []
        if text := self._reasoning.rest():
            found.append(Delta(reasoning=text))
        if text := self._text.rest():
            found.append(Delta(text=text))
        return found


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of the OpenAI shape in Ollama's: text apart from pictures, whole arguments."""
    made: dict[str, Any] = {"role": message.get("role", "user")}
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    made["content"] = "".join(str(part.get("text", "")) for part in map(as_object, parts))
    if images := [_picture(part) for part in parts if as_object(part).get("image_url")]:
        made["images"] = images
    if calls := message.get("tool_calls"):
        if not isinstance(calls, list):
            raise RequestError("the tool calls of a message must be a list")
        made["tool_calls"] = [_asked(call) for call in calls]
    if name := message.get("name"):
        made["tool_name"] = name
    return made


def _picture(part: Mapping[str, Any]) -> str:
    """The base64 text of a picture that stands in the message itself."""
    held = part["image_url"]
    url = held.get("url") if isinstance(held, dict) else held
    if not isinstance(url, str) or not url.startswith("data:") or ";base64," not in url:
        raise RequestError("Ollama takes pictures as data: URLs in base64 only")
    return url.partition(";base64,")[2]


def _asked(call: Any) -> dict[str, Any]:
    function = as_object(as_object(call).get("function"))
    arguments = function.get("arguments") or "{}"
    try:
        held = orjson.loads(arguments) if isinstance(arguments, str) else arguments
    except orjson.JSONDecodeError:
        held = None
    if not isinstance(held, dict):
        raise RequestError("the arguments of a tool call must be a JSON object")
    return {"function": {"name": function.get("name"), "arguments": held}}


def _format(wanted: Any) -> Any:
    """Ollama's ``format`` for OpenAI's ``response_format``: a schema, ``"json"`` or nothing."""
    kind = as_object(wanted).get("type")
    if kind == "json_schema":
        return as_object(wanted.get("json_schema")).get("schema", "json")
    return "json" if kind == "json_object" else None
