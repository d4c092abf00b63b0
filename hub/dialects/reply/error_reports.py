"""Finds the error that an upstream reports, in whatever shape it reports it.

These shapes occur in real replies, under every HTTP status and in the middle of streams::

    {"error": {"message": "…", "type": "…", "code": "…" | 429}}     OpenAI, Anthropic, Gemini
    {"error": "…"}                                                  Ollama, llama.cpp
    {"object": "error", "message": "…", "code": 400}                vLLM
    {"detail": "…"} · {"detail": [{"loc": […], "msg": "…"}]}        FastAPI
    {"errors": [{"message": "…"}]}                                  gateways
    {"code": "…", "message": "…"}                                   Cohere, Alibaba
    {"error_code": 336100, "error_msg": "…"}                        Baidu
    {"base_resp": {"status_code": 1004, "status_msg": "…"}}         MiniMax
    [{"error": {…}}]                                                Gemini's OpenAI endpoint

The words are the upstream's. Before anybody sees them they are shortened, cleaned and stripped of
keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from hub.domain.errors import Refusal, UpstreamError
from hub.domain.events import NOTHING, Failed, Usage
from hub.domain.json_values import as_list, as_object, as_text, parse
from hub.domain.surrogates import whole

__all__ = ["ErrorReport", "clean", "code_of_status", "error_in_body", "find_error", "short"]

LENGTH: Final = 300
PASSED_ON: Final = 2_000
"""Characters of a provider's own message that are passed on to clients."""
# Longer texts are cut before they are cleaned: nothing behind this would be shown.
READ: Final = 65_536

# A key is masked where it has a known beginning, or follows the name of a key.
_KEYS: Final = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/*=-]{4,}"), r"\1 …"),
    (re.compile(r"\b(sk|pk|rk|gsk|xai|hf|pplx|nvapi|r8|csk|fw)([-_])[\w*.…-]{6,}"), r"\1\2…"),
    (re.compile(r"\b(AIza|AKIA|ASIA|eyJ)[\w.*-]{8,}"), r"\1…"),
    (
        re.compile(
            r"(?i)\b((?:x-)?api[-_ ]?key|token|secret|password)(\"?\s*[:=]\s*\"?)[^\s\",;]{4,}"
        ),
        r"\1\2…",
    ),
)
# Control characters, and those that change the direction of the text around them.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_GOOD: Final = re.compile(r"(?i)2\d\d|0+|ok|success|true|running|in_progress|completed")

_STATUSES: Final = {
    401: "upstream_unauthorized",
    403: "upstream_unauthorized",
    404: "upstream_model_not_found",
    429: "upstream_rate_limited",
    503: "upstream_overloaded",
    529: "upstream_overloaded",
}

# The status that an error reported under HTTP 200 would have had.
_LIKELY: Final = {"upstream_rejected": 400} | {
    code: status for status, code in reversed(_STATUSES.items())
}
# Searched for, in this order, in the ``code``, ``type`` and ``status`` beside a message.
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "upstream_rate_limited": ("rate_limit", "ratelimit", "too_many", "quota", "exhausted"),
    "upstream_overloaded": ("overload", "unavailable"),
    "upstream_unauthorized": ("api_key", "apikey", "auth", "permission"),
    "upstream_model_not_found": ("not_found",),
    "upstream_rejected": (
        "context_length", "content_filter", "content_policy", "invalid_request", "bad_request",
    ),
}  # fmt: skip


class ErrorReport(NamedTuple):
    """An error: ``message`` in the upstream's words, cleaned; ``code`` in the hub's.

    ``words`` are the upstream's own codes, in lower case. ``full_message`` and ``fields`` are what
    `hub.domain.errors.Refusal` holds: the longer message, and the codes under their names.
    """

    message: str
    code: str = "upstream_error"
    words: tuple[str, ...] = ()
    full_message: str = ""
    fields: Mapping[str, str | int | None] = NOTHING

    def failure(self, usage: Usage | None) -> Failed:
        """The end of a generation whose upstream reports an error under HTTP 200."""
        said = f": {self.message}" if self.message else " and does not say which"
        return Failed(
            code=self.code,
            message=f"the upstream reports an error{said}",
            usage=usage,
            refusal=self.refusal(_status(self.words, self.code)),
        )

    def refusal(self, status: int | None) -> Refusal:
        """What the provider said, under this status."""
        return Refusal(status, self.full_message or self.message, self.fields)


def code_of_status(status: int) -> str:
    """The hub's code for an HTTP status that is not a success."""
    return _STATUSES.get(status, "upstream_error" if status >= 500 else "upstream_rejected")


def find_error(held: object) -> ErrorReport | None:
    """The error in a parsed JSON value, ``None`` if it holds none.

    An ``error`` that is null, false or empty is none: some servers send one with every chunk.
    """
    if isinstance(held, list):
        held = _first(held)
    if not isinstance(held, dict):
        return None
    message = held.get("message") or held.get("msg") or held.get("error_msg")
    for said in (held.get("error"), held.get("detail"), held.get("errors")):
        if said:
            # ``"error": true`` and ``"error": 1`` only point at the message.
            return _report(message if isinstance(said, int) and message else said, held)
    if held.get("object") == "error" or (isinstance(message, str) and message and _failed(held)):
        return _report(message, held)
    base = held.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return _report(base.get("status_msg"), base)
    return None


def error_in_body(body: bytes) -> ErrorReport:
    """The error in a body that is known to report one, whatever its form."""
    try:
        held = parse(body)
    except UpstreamError:
        held = None
    found = find_error(held) or find_error({"error": held})
    return found or ErrorReport(clean(body.decode("utf-8", "replace")))


def clean(text: str, most: int = LENGTH) -> str:
    """A foreign text, fit to be shown and logged: one line, no keys, 300 characters."""
    text = _CONTROL.sub("", " ".join(whole(text[:READ]).split()))
    for key, mask in _KEYS:
        text = key.sub(mask, text)
    return short(text, most)


def short(text: str, most: int = LENGTH) -> str:
    """At most 300 characters of a text."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _first(held: object) -> object:
    """The first item of a list; anything else as it is."""
    return next(iter(held), None) if isinstance(held, list) else held


def _report(said: object, around: Mapping[str, Any]) -> ErrorReport:
    said = _first(said)
    words = (*_codes(said), *_codes(around))
    message = clean(_message(said), PASSED_ON)
    fields = _fields(said if isinstance(said, dict) else around)
    return ErrorReport(short(message), _code(words), words, message, fields)


def _fields(held: Mapping[str, Any]) -> dict[str, str | int | None]:
    """The ``code``, ``type`` and ``param`` that are given, null ones too."""
    found: dict[str, str | int | None] = {}
    for name in ("code", "type", "param"):
        value = held.get(name)
        if isinstance(value, str):
            found[name] = clean(value)
        elif type(value) is int or (value is None and name in held):
            found[name] = value
    if "type" not in found and isinstance(status := held.get("status"), str):
        found["type"] = clean(status)  # Gemini
    return found


def _status(words: tuple[str, ...], code: str) -> int | None:
    """The HTTP status that an error reported under 200 stands for, if its codes tell."""
    for word in words:
        if word.isdecimal() and word.isascii() and 400 <= int(word[:9]) <= 599:
            return int(word)
    return _LIKELY.get(code)


def _message(said: object) -> str:
    """The sentence for people."""
    if isinstance(said, str):
        return said
    if isinstance(said, dict):
        for name in ("message", "msg", "detail", "error", "type", "code"):
            if isinstance(inner := said.get(name), str) and inner:
                raw = as_object(said.get("metadata")).get("raw")
                # The message of the provider behind OpenRouter, which gives the reason.
                behind = f": {raw}" if isinstance(raw, str) and raw else ""
                return f"{_location(said)}{inner}{behind}"
        if isinstance(inner := as_object(said.get("error")).get("message"), str):
            return inner
    return "" if said is None or said is True else as_text(said)


def _location(said: Mapping[str, Any]) -> str:
    """The field that is wrong, which FastAPI gives as ``["body", "stop", 0]``."""
    parts = [str(part) for part in as_list(said.get("loc"))[1:] if isinstance(part, str | int)]
    return f"{'.'.join(parts)}: " if parts else ""


def _codes(said: object) -> Iterator[str]:
    held = as_object(said)
    for name in (
        "code", "type", "status", "status_code", "error_code", "error_type",
        "http_status_code", "statusCode",
    ):  # fmt: skip
        value = held.get(name)
        if isinstance(value, str) and value:
            yield whole(value[:100]).lower()
        elif type(value) is int and value:
            yield str(value)


def _failed(held: Mapping[str, Any]) -> bool:
    """Whether there is a code that does not mean success."""
    names = ("code", "status", "status_code", "error_code", "statusCode")
    return any(held.get(name) and not _GOOD.fullmatch(str(held[name])) for name in names)


def _code(words: tuple[str, ...]) -> str:
    for word in words:
        if word.isdecimal() and word.isascii() and len(word) == 3 and word >= "400":
            return code_of_status(int(word))
        plain = word.replace("-", "_").replace(" ", "_")
        for code, parts in _WORDS.items():
            if any(part in plain for part in parts):
                return code
    return "upstream_error"
