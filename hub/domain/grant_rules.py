"""The configuration's grants: which of them a user, a key or a claim brings.

``who`` is ``anyone`` (also without a credential), ``user`` (everybody with a name), ``key NAME``
(an API key, by its id or its name) or ``claim NAME=VALUE`` (a token whose claim is that text, or a
list that holds it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hub.domain.events import NOTHING
from hub.domain.permissions import Grant

__all__ = ["Identity", "Rule", "Rules", "Who", "filled"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a credential names: what grants are chosen by, and their variables filled from."""

    user: str | None = None
    tenant: str | None = None
    key: str | None = None
    key_name: str | None = None
    claims: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a grant is for."""

    kind: Literal["anyone", "user", "key", "claim"]
    name: str = ""
    value: str = ""

    @classmethod
    def parse(cls, text: str) -> Who:
        """Read ``who`` as the configuration has it.

        Raises:
            ValueError: it has none of the forms.
        """
        kind, _, rest = text.strip().partition(" ")
        rest = rest.strip()
        match kind:
            case "anyone" | "user" if not rest:
                return cls(kind)
            case "key" if rest:
                return cls(kind, rest)
            case "claim":
                name, _, value = rest.partition("=")
                if name and value:
                    return cls(kind, name, value)
        raise ValueError('should be "anyone", "user", "key NAME" or "claim NAME=VALUE"')

    def means(self, one: Identity) -> bool:
        """Whether the grant is for somebody."""
        match self.kind:
            case "anyone":
                return True
            case "user":
                return one.user is not None
            case "key":
                return one.key is not None and self.name in (one.key, one.key_name)
            case "claim":
                held = one.claims.get(self.name)
                return held == self.value or (isinstance(held, list) and self.value in held)


@dataclass(frozen=True, slots=True)
class Rule:
    """A grant, and whom it is for; its pattern may have variables."""

    who: Who
    grant: Grant


class Rules:
    """All grants of a configuration."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = tuple(rules)

    def grants(self, one: Identity) -> tuple[Grant, ...]:
        """What the configuration grants to somebody."""
        return filled((rule.grant for rule in self._rules if rule.who.means(one)), one)

    def asked(self, claims: Mapping[str, Any]) -> dict[str, list[str]]:
        """Of claims, what these grants ask for; with it, somebody gets the same grants."""
        found: dict[str, list[str]] = {}
        for rule in self._rules:
            who = rule.who
            if who.kind == "claim" and who.means(Identity(claims=claims)):
                held = found.setdefault(who.name, [])
                if who.value not in held:
                    held.append(who.value)
        return found


def filled(grants: Iterable[Grant], one: Identity) -> tuple[Grant, ...]:
    """Grants with the variables of their patterns filled in; without those that lack a value."""
    values = {"user": one.user, "tenant": one.tenant, "key": one.key}
    return tuple(
        replace(grant, match=match, personal=grant.personal or grant.match.personal)
        for grant in grants
        if (match := grant.match.fill(values)) is not None
    )
