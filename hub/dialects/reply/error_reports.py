"""What an upstream says went wrong, found in whatever shape it says it.

Seen in real answers, under every HTTP status and in the middle of streams::

    {"error": {"message": "…", "type": "…", "code": "…" | 429}}     OpenAI, Anthropic, Gemini
    {"error": "…"}                                                  Ollama, llama.cpp
    {"object": "error", "message": "…", "code": 400}                vLLM
    {"detail": "…"} · {"detail": [{"loc": […], "msg": "…"}]}        FastAPI
    {"errors": [{"message": "…"}]}                                  gateways
    {"code": "…", "message": "…"}                                   Cohere, Alibaba
    {"error_code": 336100, "error_msg": "…"}                        Baidu
    {"base_resp": {"status_code": 1004, "status_msg": "…"}}         MiniMax
    [{"error": {…}}]                                                Gemini's OpenAI endpoint

The words are the upstream's: they are cut, cleaned and stripped of keys before anybody
sees them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from hub.domain.errors import Refusal, UpstreamError
from hub.domain.events import NOTHING, Failed, Usage
from hub.domain.json_values import as_text, parse
from hub.domain.surrogates import whole

__all__ = ["ErrorReport", "announced", "clean", "code_of_status", "complaint_in", "short"]

LENGTH: Final = 300
PASSED_ON: Final = 2_000
"""Characters of a provider's own words that its clients are told."""
# Words longer than this are not looked at: nothing of them would be shown.
READ: Final = 65_536

# A key is masked as a whole when it has a known beginning or stands where keys stand.
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
# Control characters, and those that turn the direction of the text around them.
_UNSEEMLY: Final = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_GOOD: Final = re.compile(r"(?i)2\d\d|0+|ok|success|true|running|in_progress|completed")

_STATUSES: Final[Mapping[int, str]] = {
    401: "upstream_unauthorized",
    403: "upstream_unauthorized",
    404: "upstream_model_not_found",
    429: "upstream_rate_limited",
    503: "upstream_overloaded",
    529: "upstream_overloaded",
}

_LIKELY: Final[Mapping[str, int]] = {
    "upstream_rejected": 400,
    "upstream_unauthorized": 401,
    "upstream_model_not_found": 404,
    "upstream_rate_limited": 429,
    "upstream_overloaded": 503,
}

# Looked for, in this order, in the ``code``, ``type`` and ``status`` that go with a message.
_WORDS: Final[tuple[tuple[str, str], ...]] = (
    ("rate_limit", "upstream_rate_limited"),
    ("ratelimit", "upstream_rate_limited"),
    ("too_many", "upstream_rate_limited"),
    ("quota", "upstream_rate_limited"),
    ("exhausted", "upstream_rate_limited"),
    ("overload", "upstream_overloaded"),
    ("unavailable", "upstream_overloaded"),
    ("api_key", "upstream_unauthorized"),
    ("apikey", "upstream_unauthorized"),
    ("auth", "upstream_unauthorized"),
    ("permission", "upstream_unauthorized"),
    ("not_found", "upstream_model_not_found"),
    ("context_length", "upstream_rejected"),
    ("content_filter", "upstream_rejected"),
    ("content_policy", "upstream_rejected"),
    ("invalid_request", "upstream_rejected"),
    ("bad_request", "upstream_rejected"),
)


class ErrorReport(NamedTuple):
    """What went wrong: ``message`` in the upstream's words, cleaned; ``code`` in the hub's.

    ``words`` are the upstream's own codes, in lower case. ``whole`` and ``said`` are what
    `hub.domain.errors.Refusal` holds: the message at length, and the codes by their names.
    """

    message: str
    code: str = "upstream_error"
    words: tuple[str, ...] = ()
    whole: str = ""
    said: Mapping[str, str | int | None] = NOTHING

    def failure(self, usage: Usage | None) -> Failed:
        """The end of a generation whose upstream complains under HTTP 200."""
        said = f": {self.message}" if self.message else " and does not say which"
        return Failed(
            code=self.code,
            message=f"the upstream reports an error{said}",
            usage=usage,
            refusal=self.refusal(_status(self.words, self.code)),
        )

    def refusal(self, status: int | None) -> Refusal:
        """What the provider said, under this status."""
        return Refusal(status, self.whole or self.message, self.said)


def code_of_status(status: int) -> str:
    """The hub's code for an HTTP status that is not a success."""
    if status >= 500:
        return _STATUSES.get(status, "upstream_error")
    return _STATUSES.get(status, "upstream_rejected")


def complaint_in(held: object) -> ErrorReport | None:
    """The complaint in a parsed JSON value, ``None`` if it holds none.

    An ``error`` that is null, false or empty is none: some servers send one with every
    chunk.
    """
    if isinstance(held, list):
        held = held[0] if held else None
    if not isinstance(held, dict):
        return None
    message = held.get("message") or held.get("msg") or held.get("error_msg")
    for said in (held.get("error"), held.get("detail"), held.get("errors")):
        if said:
            # ``"error": true`` and ``"error": 1`` only point at the message.
            return _complaint(message if isinstance(said, int) and message else said, held)
    if held.get("object") == "error" or (isinstance(message, str) and message and _coded(held)):
        return _complaint(message, held)
    base = held.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return _complaint(base.get("status_msg"), base)
    return None


def announced(body: bytes) -> ErrorReport:
    """The complaint in a body that is known to be one, whatever it holds."""
    try:
        held = parse(body)
    except UpstreamError:
        held = None
    found = complaint_in(held) or complaint_in({"error": held})
    return found or ErrorReport(clean(body.decode("utf-8", "replace")))


def clean(text: str, most: int = LENGTH) -> str:
    """A stranger's words, fit to be shown and logged: one line, no keys, 300 characters."""
    text = _UNSEEMLY.sub("", " ".join(whole(text[:READ]).split()))
    for key, mask in _KEYS:
        text = key.sub(mask, text)
    return short(text, most)


def short(text: str, most: int = LENGTH) -> str:
    """At most 300 characters of a text."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _complaint(said: object, around: Mapping[str, Any]) -> ErrorReport:
    words = tuple(_codes(said)) + tuple(_codes(around))
    message = clean(_message(said), PASSED_ON)
    return ErrorReport(short(message), _code(words), words, message, _named(said, around))


def _named(said: object, around: Mapping[str, Any]) -> dict[str, str | int | None]:
    """What is said of the code, the type and the param, by those names."""
    if isinstance(said, list):
        said = said[0] if said else None
    held = said if isinstance(said, dict) else around
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
    """The HTTP status that a complaint under 200 would have had, if its words tell."""
    for word in words:
        if word.isdecimal() and word.isascii() and 400 <= int(word[:9]) <= 599:
            return int(word)
    return _LIKELY.get(code)


def _message(said: object) -> str:
    """The sentence for people in whatever holds it."""
    if isinstance(said, list):
        said = said[0] if said else ""
    if isinstance(said, str):
        return said
    if isinstance(said, dict):
        for name in ("message", "msg", "detail", "error", "type", "code"):
            if isinstance(inner := said.get(name), str) and inner:
                return _place(said) + inner + _raw(said)
        if isinstance(inner := said.get("error"), dict) and isinstance(inner.get("message"), str):
            return str(inner["message"])
    return "" if said is None or said is True else as_text(said)


def _place(said: Mapping[str, Any]) -> str:
    """The field that is wrong, which FastAPI says beside the words: ``["body", "stop", 0]``."""
    place = said.get("loc")
    inside = place[1:] if isinstance(place, list) else []
    parts = [str(part) for part in inside if isinstance(part, str | int)]
    return f"{'.'.join(parts)}: " if parts else ""


def _raw(said: Mapping[str, Any]) -> str:
    """What OpenRouter adds: the words of the provider behind it, which are the reason."""
    around = said.get("metadata")
    raw = around.get("raw") if isinstance(around, dict) else None
    return f": {raw}" if isinstance(raw, str) and raw else ""


def _codes(said: object) -> Iterator[str]:
    if isinstance(said, list):
        said = said[0] if said else None
    if not isinstance(said, dict):
        return
    for name in (
        "code", "type", "status", "status_code", "error_code", "error_type",
        "http_status_code", "statusCode",
    ):  # fmt: skip
        value = said.get(name)
        if isinstance(value, str) and value:
            yield whole(value[:100]).lower()
        elif type(value) is int and value:
            yield str(value)


def _coded(held: Mapping[str, Any]) -> bool:
    """Whether there is a code, and not one that says that all is well."""
    codes = [
        held.get(name) for name in ("code", "status", "status_code", "error_code", "statusCode")
    ]
    return any(code and not _GOOD.fullmatch(str(code)) for code in codes)


def _code(words: tuple[str, ...]) -> str:
    for word in words:
        if word.isdecimal() and word.isascii() and len(word) == 3 and word >= "400":
            return code_of_status(int(word))
        for part, code in _WORDS:
            if part in word.replace("-", "_").replace(" ", "_"):
                return code
    return "upstream_error"
