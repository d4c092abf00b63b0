"""Tools that a provider runs itself: what was called and what came of it, in one form.

::

    {"name","id","arguments","output","error","item", "format","index","at","upstream"}

``arguments`` are JSON text, as those of other calls; ``output`` is any value, and ``error`` is true
if that says what went wrong. ``item`` is what else the provider must see again, in its own form
(``docs/provider-fields.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from hub.domain.events import Delta
from hub.domain.json_values import as_object, as_plain
from hub.domain.provider_fields import EXECUTED

__all__ = ["arguments_of", "executed", "item_prefix", "response_item"]

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
) -> list[Delta]:
    """A call that the provider has made; none if it cannot be written."""
    told = {
        "name": str(name or "tool"),
        "id": key,
        "arguments": arguments,
        "output": output,
        "error": error or None,
        "item": item,
    }
    plain = as_plain({name: held for name, held in told.items() if held is not None})
    return [] if plain is None else [Delta(extra={EXECUTED: [{**plain, **place}]})]


def arguments_of(held: Mapping[str, Any]) -> Any:
    """The arguments of a call as a value; text that is not JSON as it is."""
    text = held.get("arguments")
    try:
        return orjson.loads(text) if isinstance(text, str) and text else {}
    except orjson.JSONDecodeError:
        return text


def _search_query(arguments: Any) -> str | None:
    """What was searched for, if anything was."""
    found = (as_object(arguments).get(name) for name in _QUERIES)
    asked = next((held for held in found if held), None)
    if isinstance(asked, list):
        asked = next(iter(asked), None)
    return asked if isinstance(asked, str) else None


def response_item(held: Mapping[str, Any]) -> dict[str, Any]:
    """A call as an item of OpenAI's Responses, of which only the id is to be given.

    One of that API is shown as it came, another as what comes nearest.
    """
    item, called = held.get("item"), str(held.get("name"))
    if held.get("format") == "openai-responses-v1" and isinstance(item, dict):
        return item
    status = "failed" if held.get("error") else "completed"
    told = {"status": status}
    arguments = arguments_of(held)
    query = _search_query(arguments)
    if "search" in called and query is not None:
        action = {"type": "search", "query": query}
        return {**told, "type": "web_search_call", "action": action}
    code = as_object(arguments).get("code")
    if isinstance(code, str):
        logs = [{"type": "logs", "logs": _text(held.get("output"))}]
        run = {"code": code, "container_id": "", "outputs": logs}
        return {**told, "type": "code_interpreter_call", **run}
    return {
        **told,
        "type": "mcp_call",
        "name": called,
        "server_label": str(held.get("upstream") or ""),
        "arguments": str(held.get("arguments") or "{}"),
        "output": _text(held.get("output")),
        "error": None,
    }


def item_prefix(held: Mapping[str, Any]) -> str:
    """How the ids of such items begin."""
    kinds: Iterable[tuple[str, str]] = (("web_search", "ws"), ("code_", "ci"), ("file_", "fs"))
    kind = str(response_item(held).get("type"))
    return next((prefix for begins, prefix in kinds if kind.startswith(begins)), "mcp")


def _text(output: Any) -> str:
    return output if isinstance(output, str) else orjson.dumps(output).decode()
