"""Which options of a prompt ask for something, and which of those a dialect can pass on.

An option that the dialect does not take is refused by its name, never dropped silently: the client
would believe that it had an effect. But many clients send options with every request that make no
difference to the answer. These are not refused:

- an option that is null or says what holds anyway (``n`` of 1, ``parallel_tool_calls`` without
  tools) counts as absent. A default (``presence_penalty`` of 0) is passed on where the provider has
  a field for it, because a model may be configured otherwise;
- an option that concerns only a provider's accounting, cache or speed (``user``, ``metadata``,
  ``prompt_cache_key`` …), that promises nothing (``seed``, which OpenAI calls a best effort, and
  ``truncation``, which only permits something), or that concerns tools which the provider runs
  itself (``max_tool_calls``), is passed on where the provider has a field for it, and else left
  out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from hub.domain.errors import RequestError

__all__ = ["no_option", "requested_options"]

Values = Mapping[str, tuple[Any, ...]]

# They ask for what every answer of the hub is: streamed.
_OURS: Final = frozenset({"stream", "stream_options"})
_NOTHING: Final[Values] = {
    "n": (1,), "logprobs": (False,), "top_logprobs": (0,), "logit_bias": ({},), "stop": ([],),
    "parallel_tool_calls": (True,), "tools": ([],), "functions": ([],), "store": (False,),
    "metadata": ({},), "response_format": ({"type": "text"},),
}  # fmt: skip
# Without any tools, these have no effect either.
_TOOLLESS: Final[Values] = {
    "parallel_tool_calls": (False,),
    "tool_choice": ("auto", "none"),
    "function_call": ("auto", "none"),
}
_DEFAULTS: Final[Values] = {
    "presence_penalty": (0,), "frequency_penalty": (0,), "repetition_penalty": (1,), "min_p": (0,),
    "modalities": (["text"],), "service_tier": ("auto", "default"), "verbosity": ("medium",),
}  # fmt: skip
_WITHOUT_EFFECT: Final = frozenset(
    {
        "max_tool_calls", "metadata", "prediction", "prompt_cache_key", "prompt_cache_retention",
        "safety_identifier", "seed", "store", "truncation", "user",
    }
)  # fmt: skip

# What to do instead, where leaving an option out changes more than the client wants.
_INSTEAD: Final[Mapping[str, str]] = {
    "parallel_tool_calls": "its provider has no such switch, so leave it out and answer every call"
    " of a reply, or offer no tools",
    "stop": "its provider has no stop sequences, so leave it out and cut the text yourself",
    "top_logprobs": "its provider gives at most the logprob of each token, so leave it out",
}


def no_option(option: str, dialect: str, why: str = "") -> RequestError:
    """The refusal of an option that a dialect's provider cannot take."""
    return RequestError(
        f'the dialect "{dialect}" cannot ask for "{option[:100]}": {why or "leave it out"}',
        code="unsupported_option",
        param=option[:100],
    )


def requested_options(
    options: Mapping[str, Any], dialect: str, takes: Collection[str]
) -> dict[str, Any]:
    """The options that ask for something, all of them among those that the dialect ``takes``.

    Raises:
        RequestError: ``unsupported_option``, one that is not.
    """
    asked: dict[str, Any] = {}
    toolless = not (options.get("tools") or options.get("functions"))
    callless = toolless or options.get("tool_choice") == "none"
    for name, held in options.items():
        if held is None or name in _OURS or held in _NOTHING.get(name, ()):
            continue
        if toolless and held in _TOOLLESS.get(name, ()):
            continue
        if callless and name == "parallel_tool_calls":
            continue
        if name in takes:
            asked[name] = held
        elif name not in _WITHOUT_EFFECT and held not in _DEFAULTS.get(name, ()):
            raise no_option(name, dialect, _INSTEAD.get(name, ""))
    return asked
