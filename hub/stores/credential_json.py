"""Credentials as JSON values, for engines and sockets that carry text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hub.stores import Credential

__all__ = ["as_json", "from_json"]


def as_json(one: Credential) -> dict[str, Any]:
    """A credential as JSON values."""
    return {**asdict(one), "hash": one.hash.hex()}


def from_json(held: Mapping[str, Any]) -> Credential:
    """The credential that `as_json` was given.

    Raises:
        TypeError, ValueError, KeyError: it was given none.
    """
    return Credential(**{**held, "hash": bytes.fromhex(held["hash"])})
