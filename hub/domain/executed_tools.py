"""Tools that a provider runs itself: calls and results, in one format for all providers.

::

    {"name","id","arguments","output","error","item","pending", "format","index","at","upstream"}

``arguments`` is JSON text, as for other calls; ``output`` is any value, and ``error`` is true if
the output is an error. ``item`` is what else the provider requires back, in its own format
(``docs/provider-fields.md``).

A ``pending`` call is one that the client has to run and that has no form but the provider's own
(OpenAI's ``computer_call`` …). Only clients of OpenAI's Responses get such calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from hub.domain.events import Delta
from hub.domain.json_values import as_object, as_plain
from hub.domain.provider_fields import EXECUTED

__all__ = ["arguments_of", "call_id", "executed", "item_prefix", "output_text", "response_item"]

_QUERIES: Final = ("query", "q", "queries", "search_query")


def executed(
    place: Mapping[str, Any],
    name: Any,
    arguments: str,
    output: Any = None,
    *,
    key: Any = None,
    error: bool = False,
    item: Any = None,
    pending: bool = False,
) -> list[Delta]:
    """At most one delta with a call that the provider made; none if it cannot be written."""
    fields = {
        "name": str(name or "tool"),
        "id": key,
        "arguments": arguments,
        "output": output,
        "error": error or None,
        "item": item,
        "pending": pending or None,
    }
    plain = as_plain({name: value for name, value in fields.items() if value is not None})
    return [] if plain is None else [Delta(extra={EXECUTED: [{**plain, **place}]})]


def call_id(call: Mapping[str, Any], generation: str) -> str:
    """The id of a call; if the provider gives none, one that is the same every time."""
    default = f"run_{generation.removeprefix('gen_')[:24]}{call.get('index')}"
    return str(call.get("id") or default)


def arguments_of(call: Mapping[str, Any]) -> Any:
    """The arguments of a call as a value, or as text if they are not JSON."""
    text = call.get("arguments")
    try:
        return orjson.loads(text) if isinstance(text, str) and text else {}
    except orjson.JSONDecodeError:
        return text


def _search_query(arguments: Any) -> str | None:
    """The query of a search call, or ``None``."""
    values = (as_object(arguments).get(name) for name in _QUERIES)
    query = next((value for value in values if value), None)
    if isinstance(query, list):
        query = next(iter(query), None)
    return query if isinstance(query, str) else None


def response_item(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call as an item of OpenAI's Responses, without its id.

    An item of that API is returned as it came, another call as the closest item.
    """
    item, called = call.get("item"), str(call.get("name"))
    if call.get("format") == "openai-responses-v1" and isinstance(item, dict):
        return item
    status = "failed" if call.get("error") else "completed"
    arguments = arguments_of(call)
    query = _search_query(arguments)
    if "search" in called and query is not None:
        action = {"type": "search", "query": query}
        return {"status": status, "type": "web_search_call", "action": action}
    code = as_object(arguments).get("code")
    if isinstance(code, str):
        logs = [{"type": "logs", "logs": output_text(call.get("output"))}]
        run = {"code": code, "container_id": "", "outputs": logs}
        return {"status": status, "type": "code_interpreter_call", **run}
    return {
        "status": status,
        "type": "mcp_call",
        "name": called,
        "server_label": str(call.get("upstream") or ""),
        "arguments": str(call.get("arguments") or "{}"),
        "output": output_text(call.get("output")),
        "error": None,
    }


def item_prefix(call: Mapping[str, Any]) -> str:
    """The prefix of such an item's id."""
    kinds: Iterable[tuple[str, str]] = (("web_search", "ws"), ("code_", "ci"), ("file_", "fs"))
    kind = str(response_item(call).get("type"))
    return next((prefix for begins, prefix in kinds if kind.startswith(begins)), "mcp")


def output_text(output: Any) -> str:
    """The output of a call as text, which is JSON if the output is not text."""
    return output if isinstance(output, str) else orjson.dumps(output).decode()
