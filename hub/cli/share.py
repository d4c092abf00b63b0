"""``streamhub share create|list|revoke``: links by which anybody may read one stream.

Links are kept in the store, like API keys. While a hub runs, it makes the changes (see
`hub.cli.running_hub`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.access.shares import KIND, Share, new_share
from hub.cli import running_hub
from hub.cli.config import ConfigFile, Json, load
from hub.cli.output import say, write, write_json, write_others
from hub.cli.stored_links import WORKS, links
from hub.cli.stream_details import format_time
from hub.cli.token import until
from hub.config.schema import Config
from hub.domain.errors import ConfigError, NotFound, StreamNotFound
from hub.domain.records import Position
from hub.stores.sqlite.inspect import Inspector

__all__ = ["app"]

StreamName = Annotated[str, typer.Argument(metavar="STREAM", help="The stream's name.")]

app = typer.Typer(help="Share streams by links, list and revoke these.", no_args_is_help=False)


@app.command()
def create(
    stream: StreamName,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Show what there is now, and nothing that comes.")
    ] = False,
    title: Annotated[str | None, typer.Option(help="What its page is called.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="30d, 12h, or as 2027-01-31T00:00:00Z.")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Create a link and write its path, this once, to standard output."""
    now = time.time()
    loaded = load(config)
    path = _store(loaded)
    with Inspector(path) as inspector:
        entry = inspector.find(stream)
    if entry.hidden:
        raise StreamNotFound(f'"{stream}" was deleted; only its forks remain')
    share, secret = new_share(
        stream,
        entry.epochs[-1][0],
        until=entry.position(entry.tail) if frozen else None,
        title=title,
        expires=None if expires is None else until(expires, now),
        now=now,
    )
    running_hub.add(path, share.row)
    if as_json:
        write_json({"url": f"/s/{secret}", **_details(share, WORKS)})
    else:
        say(f"created the link {share.id} to {stream}; add its path to the hub's address:")
        write(f"/s/{secret}\n")
    if not loaded.auth.enabled:
        say(
            "warning: the configuration has no [auth]: its hub has no share links, and lets "
            "everybody read everything"
        )


@app.command("list")
def list_(
    stream: Annotated[
        str | None, typer.Argument(metavar="STREAM", help="Only the links to this stream.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="MAKER", help="Only those that somebody made.")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List all links, the newest last; with --json, one JSON object a line."""
    found = links(_store(load(config)), stream=stream, by=by)
    if as_json:
        for share, state in found:
            write_json(_details(share, state))
        return
    rows = [("ID", "STATE", "EXPIRES", "SHOWS", "BY", "STREAM"), *(_row(*one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        write_others("  ".join([*cells, row[5]]) + "\n")


@app.command()
def revoke(
    link: Annotated[str | None, typer.Argument(metavar="ID", help="The link's id.")] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="MAKER", help="All that somebody made, as BY in the list."),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Revoke a link for good, or all of somebody; their readers end within two seconds."""
    if (link is None) == (by is None):
        raise typer.BadParameter("name a link, or whoever made some with --by")
    path = _store(load(config))
    if link is None:
        works = [share for share, state in links(path, by=by) if state == WORKS]
        for share in works:
            running_hub.revoke(path, KIND, share.id)
        say(f"revoked {len(works)} link{'' if len(works) == 1 else 's'} of {by}")
        return
    revoked = running_hub.revoke(path, KIND, link)
    if revoked is None:
        raise NotFound(
            f'there is no link "{link}": `streamhub share list` shows all', code="share_not_found"
        )
    say(f"the link {link} was revoked")


def _store(config: Config) -> Path:
    """The file of the store.

    Raises:
        ConfigError: it has none.
    """
    kind, _, path = config.store.url.partition(":")
    if kind != "sqlite":
        raise ConfigError(
            "store.url is no file, and only a hub itself can read it: use POST /v1/shares",
            code="store_memory",
        )
    return Path(path)


def _details(share: Share, state: str) -> dict[str, Any]:
    return {
        "id": share.id,
        "stream": share.stream,
        "title": share.title,
        "until": _shows(share.until),
        "created_by": share.by,
        "state": state,
        "created": format_time(share.created),
        "expires": None if share.expires is None else format_time(share.expires),
        "revoked": None if share.revoked is None else format_time(share.revoked),
    }


def _row(share: Share, state: str) -> tuple[str, ...]:
    expires = "-" if share.expires is None else format_time(share.expires)
    shows = "live" if share.until is None else "frozen"
    return (share.id, state, expires, shows, share.by or "-", share.stream)


def _shows(until: Position | None) -> str:
    return "live" if until is None else str(until)
