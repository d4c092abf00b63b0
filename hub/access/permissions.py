"""Who may do what: the one place that each operation asks before it does anything.

Grants decide by the name of a stream (`hub.domain.permissions`). A stream has an owner besides, who
began it: what a principal may do anywhere it may also do to its own streams, whatever they are
called. So an answer that begins a stream of its own can be read by whoever asked for it, under
grants that only name ``chat/{user}/**``. A credential that is narrowed to some streams
(`Principal.within`) reaches no others, whoever owns them.

A refusal tells as little as it can. A stream that somebody may not read does not exist for
them (404); one that they may read but not write is forbidden (403); and who has shown no
credential is asked for one (401), whether or not there is such a stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from hub.domain.errors import Forbidden, StreamNotFound, Unauthorized
from hub.domain.generation import is_own
from hub.domain.generation_request import GenerationRequest
from hub.domain.permissions import Grant, Permission
from hub.domain.principal import OF_THE_HUB, Principal
from hub.domain.stream_names import is_name

__all__ = ["Permission", "Permissions"]

_LENGTHS: Final = (
    "max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict",
    "n_predict",
)  # fmt: skip
"""What servers call the length of an answer; some read several of these, each in an order of its
own, and pass over those that they do not know."""

_COPIES: Final = ("n", "best_of", "num_return_sequences", "candidate_count")
"""What servers call the number of answers, each of which may have that length."""

_TABLES: Final = ("extra_body", "options", "generation_config", "generationConfig", "parameters")
"""Where some servers look for options once more."""

_MODELS: Final = ("model", "models", "fallbacks")
"""Where some servers look for other models than the one asked for."""


CHAT_LENGTH: Final = 16
"""The least characters of the name of a chat that anybody may begin."""

_MISSING: Final = "this needs a credential: send a key or a token of this hub"


class Permissions:
    """What each principal may do, by its grants and by what it owns."""

    def allows(
        self,
        by: Principal,
        permission: Permission,
        stream: str | None = None,
        owner: str | None = None,
    ) -> bool:
        """Whether a principal may do this to a stream of this name and owner.

        ``stream`` is ``None`` for what concerns no single stream, and for a generation that
        begins a stream of its own; ``owner`` is ``None`` where it has none or it is not known.
        """
        if stream is None and by.subject is None and permission not in OF_THE_HUB:
            # It would own nothing, so it needs to be allowed this on any new stream.
            return by.may_new(permission)
        return by.may(permission, stream) or (_owns(by, owner) and by.may_own(permission, stream))

    def check(
        self,
        by: Principal,
        permission: Permission,
        stream: str | None = None,
        owner: str | None = None,
    ) -> None:
        """Return if a principal may do this, and refuse it otherwise.

        It never waits: an operation that asks and then acts in the same step acts on what it
        was told.

        Raises:
            Unauthorized: a credential is needed.
            StreamNotFound: the principal may not even read the stream.
            Forbidden: the principal may not do this.
        """
        if not self.allows(by, permission, stream, owner):
            raise self.refusal(by, permission, stream, owner)

    def may_begin(self, by: Principal, stream: str) -> bool:
        """Whether a principal may begin a chat under a name that it chose, as its own.

        It may if it may generate at all. The name must be one that nobody is likely to guess, so
        it is long, and not in anybody's folder.
        """
        return (
            by.subject is not None
            and len(stream) >= CHAT_LENGTH
            and "/" not in stream
            and is_name(stream)
            and not is_own(stream)
            and by.may_own("generate", stream)
        )

    def may_ask(self, by: Principal, upstream: str, model: str | None) -> bool:
        """Whether a principal may ask this model of an upstream in any stream."""
        return all(
            any("generate" in one.can and one.allows_model(upstream, model) for one in grants)
            for grants in (by.grants, by.within)
            if grants is not None
        )

    def check_credential(self, by: Principal) -> None:
        """Return if a principal has shown who it is.

        Raises:
            Unauthorized: it has not.
        """
        if by.scope is not None and by.credential is None and by.subject is None:
            raise Unauthorized(_MISSING)

    def check_any(self, by: Principal) -> None:
        """Return if a principal may do anything at all, and refuse it otherwise.

        Raises:
            Unauthorized: a credential is needed.
            Forbidden: the credential allows nothing.
        """
        if not by.grants or by.within == ():
            if by.credential is None and by.subject is None:
                raise Unauthorized(_MISSING)
            raise Forbidden("your credential allows nothing here", code="not_permitted")

    def refusal(
        self,
        by: Principal,
        permission: Permission,
        stream: str | None = None,
        owner: str | None = None,
    ) -> Unauthorized | StreamNotFound | Forbidden:
        """Why a principal may not do this."""
        if by.credential is None and by.subject is None:
            return Unauthorized(_MISSING)
        if stream is not None and not self.allows(by, "read", stream, owner):
            return StreamNotFound.named(stream)
        where = "" if stream is None else " on this stream"
        return Forbidden(
            f'your credential does not allow "{permission}"{where}', code="not_permitted"
        )

    def generation(
        self,
        by: Principal,
        asked: GenerationRequest,
        upstream: str,
        model: str | None,
        owner: str | None = None,
    ) -> GenerationRequest:
        """The request as a principal may make it: with an answer as long as its grants allow.

        Where they limit that, ``max_tokens`` stands for every other name that servers have for it.

        Raises:
            Unauthorized, StreamNotFound, Forbidden: as `check`.
            Forbidden: ``model_not_permitted``, ``max_tokens_not_permitted``.
        """
        self.check(by, "generate", asked.stream, owner)
        limits = [_granted(by, asked.stream, owner)]
        if by.within is not None:
            limits.append(_narrowed(by.within, asked.stream))
        most: int | None = None
        for grants in limits:
            fitting = [grant for grant in grants if grant.allows_model(upstream, model)]
            if not fitting:
                raise Forbidden(
                    f'your credential does not allow this model of "{upstream}"',
                    code="model_not_permitted",
                    param="model",
                )
            if all(grant.models is not None for grant in fitting):
                _refuse(asked.options, (*_MODELS, *_TABLES), "model_not_permitted")
            lengths = [grant.max_tokens for grant in fitting if grant.max_tokens is not None]
            if len(lengths) == len(fitting):
                longest = max(lengths)
                most = longest if most is None else min(most, longest)
        return asked if most is None else _bounded(asked, most)


def _owns(by: Principal, owner: str | None) -> bool:
    return owner is not None and owner == by.subject


def _granted(by: Principal, stream: str | None, owner: str | None) -> list[Grant]:
    """The grants that a generation can be made under, for its owner those on any stream."""
    where = None if _owns(by, owner) else stream
    return [grant for grant in by.grants if grant.allows("generate", where)]


def _narrowed(within: Iterable[Grant], stream: str | None) -> list[Grant]:
    return [
        grant
        for grant in within
        if (grant.allows_new("generate") if stream is None else grant.allows("generate", stream))
    ]


def _bounded(asked: GenerationRequest, most: int) -> GenerationRequest:
    """The request with ``max_tokens`` of at most ``most``, and with nothing that undoes it."""
    given = {name: asked.options[name] for name in _LENGTHS if asked.options.get(name) is not None}
    for name, length in given.items():
        # A number below 1 is "no limit" to some, and what is no number may be read as anything.
        if type(length) is not int or not 1 <= length <= most:
            raise Forbidden(
                f'your credential allows answers of at most {most} tokens: "{name}" must be '
                f"a whole number from 1 to {most}",
                code="max_tokens_not_permitted",
                param=name,
            )
    several = [
        name
        for name in _COPIES
        if (held := asked.options.get(name)) is not None and (type(held) is not int or held != 1)
    ]
    _refuse(asked.options, (*several, *_TABLES), "max_tokens_not_permitted")
    options = {name: held for name, held in asked.options.items() if name not in _LENGTHS}
    return replace(asked, options={**options, "max_tokens": min(given.values(), default=most)})


def _refuse(options: Mapping[str, Any], names: Iterable[str], code: str) -> None:
    for name in names:
        if options.get(name) is not None:
            raise Forbidden(
                f'your credential does not allow the option "{name}": leave it out',
                code=code,
                param=name,
            )
