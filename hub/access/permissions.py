"""Who may do what: the one place that each operation asks before it does anything.

Grants decide by the name of a stream (`hub.domain.permissions`). A stream has an owner besides, who
began it: what a principal may do anywhere it may also do to its own streams, whatever they are
called. So an answer that begins a stream of its own can be read by whoever asked for it, under
grants that only name ``chat/{user}/**``.

What is refused tells as little as it can. A stream that somebody may not read does not exist for
them (404); one that they may read but not write is forbidden (403); and who has shown no
credential is asked for one (401), whether or not there is such a stream.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hub.domain.errors import Forbidden, StreamNotFound, Unauthorized
from hub.domain.generation_request import GenerationRequest
from hub.domain.permissions import Grant, Permission
from hub.domain.principal import Principal

__all__ = ["Permission", "Permissions"]

FROM_READING: Final[frozenset[Permission]] = frozenset({"generate", "list", "admin"})
"""What may be refused by name: it says nothing about any stream."""


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
        if by.may(permission, stream):
            return True
        return owner is not None and owner == by.subject and by.may_own(permission)

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

    def refusal(
        self,
        by: Principal,
        permission: Permission,
        stream: str | None = None,
        owner: str | None = None,
    ) -> Unauthorized | StreamNotFound | Forbidden:
        """Why a principal may not do this."""
        if by.credential is None and by.subject is None:
            return Unauthorized("this needs a credential: send a key or a token of this hub")
        if stream is not None and not self.allows(by, "read", stream, owner):
            return StreamNotFound("no stream has this name")
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
        """The request as a principal may make it: an answer as long as its grants allow.

        Raises:
            Unauthorized, StreamNotFound, Forbidden: as `check`.
            Forbidden: ``model_not_permitted``, ``max_tokens_not_permitted``.
        """
        self.check(by, "generate", asked.stream, owner)
        stream = None if asked.stream is None or owner == by.subject else asked.stream
        allowed = _for_model(by.grants, stream, upstream, model)
        narrowed = () if by.within is None else _for_model(by.within, stream, upstream, model)
        if not allowed or (by.within is not None and not narrowed):
            raise Forbidden(
                f'your credential does not allow this model of "{upstream}"',
                code="model_not_permitted",
                param="model",
            )
        most = min(
            (most for grants in (allowed, narrowed) if (most := _longest(grants)) is not None),
            default=None,
        )
        return asked if most is None else _bounded(asked, most)


def _for_model(
    grants: tuple[Grant, ...], stream: str | None, upstream: str, model: str | None
) -> list[Grant]:
    return [
        grant
        for grant in grants
        if grant.allows("generate", stream) and grant.allows_model(upstream, model)
    ]


def _longest(grants: list[Grant] | tuple[()]) -> int | None:
    """The longest answer that any of these grants allows, in tokens; ``None`` for no limit."""
    lengths = [grant.max_tokens for grant in grants]
    return None if None in lengths or not lengths else max(filter(None, lengths))


def _bounded(asked: GenerationRequest, most: int) -> GenerationRequest:
    given = asked.options.get("max_tokens", asked.options.get("max_completion_tokens"))
    if given is None:
        return replace(asked, options={**asked.options, "max_tokens": most})
    if not isinstance(given, int) or given > most:
        raise Forbidden(
            f"your credential allows answers of at most {most} tokens",
            code="max_tokens_not_permitted",
            param="max_tokens",
        )
    return asked
