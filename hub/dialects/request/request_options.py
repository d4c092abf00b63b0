"""Which options of a prompt ask for something, and which of those a dialect can ask for.

An option that the dialect does not take is refused by its name, never left out in silence:
who asked for it would believe that it holds. But many clients send with every request what no
answer is different for, so that these refuse nothing:

- one that is null, or says what is so anyway (``n`` of 1, ``parallel_tool_calls`` without a
  tool), is taken for absent; a default (``presence_penalty`` of 0) is passed on where there is
  a word for it, because a model may be set up with another;
- one that only a provider's books, cache or speed are concerned with (``user``, ``metadata``,
  ``prompt_cache_key`` …), that promises nothing (``seed``, which OpenAI calls a best effort, and
  ``truncation``, which permits what need not be), or that is about tools which the provider runs
  itself (``max_tool_calls``), is passed on where there is a word for it, and else left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from hub.domain.errors import RequestError

__all__ = ["no_option", "options_asked"]

Values = Mapping[str, tuple[Any, ...]]

# Ways of asking for what every answer of the hub is: one choice, streamed.
_OURS: Final = frozenset({"stream", "stream_options"})
_NOTHING: Final[Values] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "parallel_tool_calls": (True,),
    "store": (False,),
    "metadata": ({},),
    "stop": ([],),
    "tools": ([],),
    "functions": ([],),
    "response_format": ({"type": "text"},),
}
# Of what says how tools are used, where there are none.
_TOOLLESS: Final[Values] = {
    "parallel_tool_calls": (False,),
    "tool_choice": ("auto", "none"),
    "function_call": ("auto", "none"),
}
_DEFAULTS: Final[Values] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "min_p": (0,),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
}
_BESIDE_THE_ANSWER: Final = frozenset(
    {
        "max_tool_calls",
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "seed",
        "store",
        "truncation",
        "user",
    }
)


def no_option(option: str, dialect: str, why: str = "") -> RequestError:
    """The refusal of an option that a dialect's provider cannot take."""
    said = f": {why}" if why else ": leave it out"
    return RequestError(
        f'the dialect "{dialect}" cannot ask for "{option[:100]}"{said}',
        code="unsupported_option",
        param=option[:100],
    )


def options_asked(
    options: Mapping[str, Any], dialect: str, takes: Collection[str]
) -> dict[str, Any]:
    """The options that ask for something, all of them among those that the dialect ``takes``.

    Raises:
        RequestError: ``unsupported_option``, one that is not.
    """
    asked: dict[str, Any] = {}
    # Or there are some that must not be called.
    toolless = not (options.get("tools") or options.get("functions"))
    callless = toolless or options.get("tool_choice") == "none"
    for name, held in options.items():
        if held is None or name in _OURS or _is(held, _NOTHING, name):
            continue
        if toolless and _is(held, _TOOLLESS, name):
            continue
        if callless and name == "parallel_tool_calls":
            continue
        if name in takes:
            asked[name] = held
        elif name not in _BESIDE_THE_ANSWER and not _is(held, _DEFAULTS, name):
            raise no_option(name, dialect)
    return asked


def _is(held: Any, values: Values, name: str) -> bool:
    return held in values.get(name, ())
