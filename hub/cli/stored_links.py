"""The share links in the file of a store."""

from __future__ import annotations

import time
from pathlib import Path

from hub.access.shares import KIND, Share
from hub.cli.output import say
from hub.domain.errors import StreamNotFound
from hub.stores.sqlite.inspect import Inspector

__all__ = ["WORKS", "links", "say_what_works"]

WORKS = "works"
"""The state of a link that shows something."""


def links(
    path: Path, *, stream: str | None = None, by: str | None = None
) -> list[tuple[Share, str]]:
    """The links in a store, to a stream or of a maker, each with its state; the newest last."""
    found: list[tuple[Share, str]] = []
    with Inspector(path) as inspector:
        for row in sorted(inspector.list_credentials(KIND), key=lambda row: (row.created, row.id)):
            try:
                share = Share.of(row)
            except ValueError as error:
                say(f"warning: the hub refuses the link {row.id}: {error}")
                continue
            if stream in (None, share.stream) and by in (None, share.by):
                found.append((share, _state(inspector, share)))
    return found


def say_what_works(path: Path, by: str | None) -> None:
    """Say how many links of somebody whose credential was just ended go on, if any do."""
    if by is None or not path.exists():
        return
    works = [share for share, state in links(path, by=by) if state == WORKS]
    if works:
        say(f"links of {by} that still work: {len(works)}; `streamhub share list --by {by}`")


def _state(inspector: Inspector, share: Share) -> str:
    if share.revoked is not None:
        return "revoked"
    if share.expires is not None and share.expires <= time.time():
        return "expired"
    try:
        entry = inspector.find(share.stream)
    except StreamNotFound:
        return "deleted"
    return "deleted" if entry.hidden or entry.epochs[0][0] > share.epoch else WORKS
