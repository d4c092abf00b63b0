"""Who may do what: the one place that each operation asks before it does anything.

Grants decide by the name of a stream (`hub.domain.permissions`). A stream has an owner besides, who
began it: what a principal may do anywhere it may also do to its own streams, whatever they are
called. So an answer that begins a stream of its own can be read by whoever asked for it, under
grants that only name ``chat/{user}/**``. A credential that is narrowed to some streams
(`Principal.within`) reaches no others, whoever owns them.

Each subject has one stream for its list of conversations (`hub.domain.stream_names.list_of`),
which it may read and append to if it may do so anywhere. No grant reaches the list of somebody
else, whatever it matches: the names of conversations may be all that protects them.

A refusal tells as little as it can. A stream that somebody may not read does not exist for
them (404); one that they may read but not write is forbidden (403); and who has shown no
credential is asked for one (401), whether or not there is such a stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hub.access.permitted_options import bounded, check_options, refuse_models
from hub.domain.errors import MISSING, Forbidden, StreamNotFound, Unauthorized
from hub.domain.generation import is_own
from hub.domain.generation_request import GenerationRequest
from hub.domain.permissions import Grant, Permission
from hub.domain.principal import ANYBODY, OF_THE_HUB, Principal
from hub.domain.stream_names import is_list, is_name, list_of

__all__ = ["Permission", "Permissions"]

ON_ITS_LIST: Final[frozenset[Permission]] = frozenset({"read", "append"})
"""What somebody may do to their list of conversations."""

CHAT_LENGTH: Final = 16
"""The least characters of the name of a chat that anybody may begin."""


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
        if stream is not None and is_list(stream) and by.scope is not None:
            return permission in ON_ITS_LIST and stream == _list_of(by, permission)
        if stream is None and by.subject is None and permission not in OF_THE_HUB:
            # It would own nothing, so it needs to be allowed this on any new stream.
            return by.may_new(permission)
        return by.may(permission, stream, owner) or (
            _owns(by, owner) and by.may_own(permission, stream)
        )

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

    def owns(self, by: Principal, owner: str | None) -> bool:
        """Whether a stream of an ``owner`` is the principal's own."""
        return _owns(by, owner)

    def are_for_all(self, by: Principal, needs: Iterable[Permission], stream: str) -> bool:
        """Whether a principal may do all this to a stream whoever owns it.

        It may not where its grants are `personal` (`hub.domain.permissions.Grant`).
        """
        return all(by.may(permission, stream, ANYBODY) for permission in needs)

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

    def folder(self, by: Principal) -> str | None:
        """What to begin the name of a conversation with, so that a principal may take part in it.

        It is ``""`` or ends with a slash; ``None`` if its grants allow that nowhere.
        """
        folders = ("/".join((*grant.match.segments[:-1], "")) for grant in by.grants)
        return next((one for one in ("", *folders) if _may_converse(by, one)), None)

    def conversations(self, by: Principal) -> str | None:
        """The stream in which a principal keeps its list of conversations, if it may have one."""
        if by.subject is None or not all(
            self.allows(by, one, list_of(by.subject)) for one in ON_ITS_LIST
        ):
            return None
        return list_of(by.subject)

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
            raise Unauthorized(MISSING)

    def check_any(self, by: Principal) -> None:
        """Return if a principal may do anything at all, and refuse it otherwise.

        Raises:
            Unauthorized: a credential is needed.
            Forbidden: the credential allows nothing.
        """
        if not by.grants or by.within == ():
            if by.credential is None and by.subject is None:
                raise Unauthorized(MISSING)
            raise Forbidden("your credential allows nothing here", code="not_permitted")

    def check_beyond_a_stream(self, by: Principal) -> None:
        """Return if a principal may do anything but read the one stream that it was given.

        Raises:
            Unauthorized, Forbidden: as `check_any`.
            Forbidden: ``not_permitted``: it has a ticket or a share link.
        """
        self.check_any(by)
        if by.ticket or by.shared is not None:
            raise Forbidden(
                "a ticket or a share link is for one stream and nothing else", code="not_permitted"
            )

    def refusal(
        self,
        by: Principal,
        permission: Permission,
        stream: str | None = None,
        owner: str | None = None,
    ) -> Unauthorized | StreamNotFound | Forbidden:
        """Why a principal may not do this."""
        if by.credential is None and by.subject is None:
            return Unauthorized(MISSING)
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
            Forbidden: ``model_not_permitted``, ``max_tokens_not_permitted``,
                ``option_not_permitted``.
        """
        self.check(by, "generate", asked.stream, owner)
        limits = [_granted(by, asked.stream, owner)]
        if by.within is not None:
            limits.append(_narrowed(by.within, asked.stream))
        most: int | None = None
        of_models = False
        for grants in limits:
            fitting = [grant for grant in grants if grant.allows_model(upstream, model)]
            if not fitting:
                raise Forbidden(
                    f'your credential does not allow this model of "{upstream}"',
                    code="model_not_permitted",
                    param="model",
                )
            of_models = of_models or all(grant.models is not None for grant in fitting)
            lengths = [grant.max_tokens for grant in fitting if grant.max_tokens is not None]
            if len(lengths) == len(fitting):
                longest = max(lengths)
                most = longest if most is None else min(most, longest)
        if of_models:
            refuse_models(asked.options)
        permitted = asked if most is None else bounded(asked, most)
        if of_models or most is not None:
            check_options(asked.options, most)
        return permitted


def _list_of(by: Principal, permission: Permission) -> str | None:
    """A principal's own list of conversations, if it may do this to anything of its own."""
    if by.subject is None or by.shared is not None:
        return None
    name = list_of(by.subject)
    return name if by.may_own(permission, name) else None


def _may_converse(by: Principal, folder: str) -> bool:
    name = f"{folder}{'x' * CHAT_LENGTH}"
    return is_name(name) and all(by.may(one, name) for one in ("read", "append", "generate"))


def _owns(by: Principal, owner: str | None) -> bool:
    return owner is not None and owner == by.subject


def _granted(by: Principal, stream: str | None, owner: str | None) -> list[Grant]:
    """The grants that a generation can be made under, for its owner those on any stream."""
    where = None if _owns(by, owner) else stream
    return [grant for grant in by.grants_for(owner) if grant.allows("generate", where)]


def _narrowed(within: Iterable[Grant], stream: str | None) -> list[Grant]:
    return [
        grant
        for grant in within
        if (grant.allows_new("generate") if stream is None else grant.allows("generate", stream))
    ]
