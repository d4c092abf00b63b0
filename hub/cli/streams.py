"""``streamhub streams list|show|export|import|delete|chown|compact|backup|restore``: the store.

The commands work on the file and need no running hub. Those that only read it (list, show, export,
backup) also work while a hub runs, and ``chown`` asks it. The others are refused then, because the
hub would not notice the change.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from hub.cli.config import ConfigFile, Json, load
from hub.cli.export_format import (
    Generations,
    header_line,
    read_header,
    read_records,
    record_line,
)
from hub.cli.output import Progress, say, write, write_bytes, write_json, write_others
from hub.cli.running_hub import change_owner
from hub.cli.standard_input import STANDARD_INPUT
from hub.cli.stream_details import details, format_size, lines, row, row_of, summary
from hub.config.schema import Config
from hub.domain.errors import ConfigError, HubError, RequestError, StoreError
from hub.domain.one_line import USER_LENGTH, is_user
from hub.domain.permissions import StreamPattern
from hub.domain.principal import Principal
from hub.domain.records import Record
from hub.domain.stream_names import check_name
from hub.stores.sqlite import backup as backups
from hub.stores.sqlite.inspect import Entry, Inspector
from hub.stores.sqlite.maintenance import Maintenance

__all__ = ["app", "store_path"]

REVIVED: Final = 20
"""Credentials that are named after a restore."""

SHOWN: Final = 1000
"""Records between two updates of the progress line."""

Copy = Annotated[Path, typer.Argument(metavar="FILE", help="The backup file.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the stream.")]

app = typer.Typer(
    help="List, show, export, import and delete the streams in the store; back it up.",
    no_args_is_help=False,
)


def store_path(config: Config) -> Path:
    """The file of the configured store.

    Raises:
        ConfigError: it has none.
    """
    kind, _, path = config.store.url.partition(":")
    if config.store.shared:
        raise ConfigError(
            "store.url is a server that the hubs share: ask one of them over HTTP",
            code="store_shared",
        )
    if kind != "sqlite":
        raise ConfigError(
            'store.url is "memory:": such streams exist only in the running hub, not in a file',
            code="store_memory",
        )
    return Path(path)


@app.command("list")
def list_(
    prefix: Annotated[str, typer.Argument(help="Only names that begin with this.")] = "",
    after: Annotated[str, typer.Option(metavar="NAME", help="Continue after this name.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="List at most this many.")] = 100,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List streams by name; with --json, one JSON object a line."""
    with Inspector(store_path(load(config))) as inspector:
        if not as_json:
            write(row("RECORDS", "BYTES", "STATE", "EXPIRES", "TYPE", "NAME"))
        last = ""
        for count, entry in enumerate(inspector.entries(prefix, after, limit + 1), start=1):
            if count > limit:
                say(f"there are more streams: add --after {last}")
                break
            last = entry.name
            if as_json:
                write_json(summary(entry))
            else:
                write_others(row_of(entry))


@app.command()
def show(name: Name, config: ConfigFile = None, as_json: Json = False) -> None:
    """Show a stream's type, state, positions, epochs, producers and forks."""
    with Inspector(store_path(load(config))) as inspector:
        entry = inspector.find(name)
    if as_json:
        write_json({**summary(entry), **details(entry)})
    else:
        write_others("".join(f"{key:<14}{value}\n" for key, value in lines(entry)))


@app.command()
def export(
    name: Name,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to a file instead of standard output."
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the records: one JSON value a line, or the bytes.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Write a stream as lines of JSON, from which import restores the same stream."""
    with Inspector(store_path(load(config))) as inspector, Progress() as progress:
        entry = inspector.find(name)
        with _writing(output) as write_out:
            if not raw:
                write_out(header_line(entry))
            for count, (offset, body) in enumerate(inspector.records(entry)):
                if not raw:
                    write_out(record_line(offset, body, entry.settings))
                else:
                    write_out(body + b"\n" if entry.settings.is_json else body)
                if count % SHOWN == 0 and output is not None:
                    progress.show(f"{count} of {entry.tail - entry.head} records")


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The export; - for standard input.")],
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Import under another name.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="First delete the stream of this name.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Restore a stream from an export, completely or not at all."""
    loaded = load(config)
    given = STANDARD_INPUT if file == "-" else file
    with open(given, "rb", closefd=given == file) as export_lines, Progress() as progress:
        header = read_header(export_lines)
        saved = header.saved()
        name = header.stream if name is None else name
        check_name(name, loaded.limits.name_length)
        generations = Generations(header.running, saved.head, saved.tail)

        def counted() -> Iterator[Record]:
            for count, record in enumerate(read_records(export_lines, saved.settings)):
                if count % SHOWN == 0:
                    progress.show(f"{count} of {saved.tail - saved.head} records")
                if saved.settings.is_json:
                    generations.read(record)
                yield record

        with _maintenance(loaded) as store:
            ends, ended = generations.ends(), generations.ended()
            store.restore(name, saved, counted(), ends, ended, replace=replace)
    say(f"imported {name}: {saved.tail - saved.head} records")


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    config: ConfigFile = None,
) -> int:
    """Delete a stream permanently."""
    loaded = load(config)
    with Inspector(store_path(loaded)) as inspector:
        entry = inspector.find(name)
    with _maintenance(loaded, f"curl -X DELETE {_url(loaded)}/v1/stream/{name}") as store:
        if not yes and not _confirmed(entry):
            say("nothing was deleted")
            return 1
        with Progress() as progress:
            progress.show(f"deleting {name}")
            gone = store.delete(name)
            for _ in store.sweep():
                pass
    say(f"deleted {name}" if gone else f"deleted {name}; its forks keep its records")
    return 0


@app.command()
def chown(
    name: Annotated[str | None, typer.Argument(metavar="[STREAM]", help="The stream.")] = None,
    match: Annotated[
        str | None,
        typer.Option("--match", metavar="PATTERN", help="All streams that a pattern matches."),
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="To whom they are to belong.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="The user's tenant.")] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="They are to have no owner.")] = False,
    config: ConfigFile = None,
) -> None:
    """Give streams to another user; a hub may run meanwhile."""
    if (name is None) == (match is None):
        raise typer.BadParameter("name a stream, or a pattern with --match")
    if (user is None) != nobody or (nobody and tenant is not None):
        raise typer.BadParameter("give --user, perhaps with --tenant, or --nobody")
    for text in (user, tenant):
        if text is not None and not is_user(text):
            raise typer.BadParameter(
                f"a user is one line of 1 to {USER_LENGTH} printable characters"
            )
    path = store_path(load(config))
    if not path.exists():
        Inspector(path)  # raises the error for a missing file
    changed = 0
    with Progress() as progress:
        for count in change_owner(path, name or _pattern(match), Principal(user, tenant).subject):
            changed += count
            progress.show(f"{changed} streams")
    streams = "1 stream" if changed == 1 else f"{changed} streams"
    say(f"changed the owner of {streams}")


def _pattern(text: str | None) -> StreamPattern:
    try:
        return StreamPattern.parse(text or "")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--match") from None


@app.command()
def compact(config: ConfigFile = None) -> None:
    """Return the space of deleted streams to the disk."""
    loaded = load(config)
    if not store_path(loaded).exists():
        Inspector(store_path(loaded))  # raises the error for a missing file
    with _maintenance(loaded) as store, Progress() as progress:
        before = store.size
        progress.show("deleting unused records")
        for _ in store.sweep():
            pass
        progress.show(f"compacting {format_size(before)}")
        store.compact()
        after = store.size
    freed, sizes = max(0, before - after), (format_size(before), format_size(after))
    say(f"{format_size(freed)} freed: {sizes[0]} before, {sizes[1]} now")


@app.command()
def backup(
    file: Copy,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace an existing file.")] = False,
    config: ConfigFile = None,
) -> None:
    """Copy the whole store to a file; a hub may run meanwhile."""
    with Progress() as progress:
        path = store_path(load(config))
        copied = backups.back_up(path, file, _watching(progress), replace=force)
    say(f"copied {_summary(copied)} to {file}")


@app.command()
def restore(file: Copy, config: ConfigFile = None) -> None:
    """Replace the store with a backup; the replaced store is kept under another name."""
    path = store_path(load(config))
    with Progress() as progress:
        copied = backups.restore(path, file, _watching(progress))
    if copied.kept is not None:
        say(f"the replaced store is now {copied.kept}")
    say(f"restored {_summary(copied)} from {file}")
    if copied.revoked:
        say(f"{_counted(copied.revoked)} revoked since the backup: that holds")
    for one in copied.revived[:REVIVED]:
        name = f" ({one.name})" if one.name is not None else ""
        say(f"the {one.kind} {one.id}{name} is valid again, and was not in the replaced store")
    if (more := len(copied.revived) - REVIVED) > 0:
        say(f"and {more} more: see streamhub token list")


def _counted(credentials: int) -> str:
    return "1 credential was" if credentials == 1 else f"{credentials} credentials were"


def _watching(progress: Progress) -> Callable[[int, int], None]:
    return lambda done, total: progress.show(f"{format_size(done)} of {format_size(total)}")


def _summary(copied: backups.Copied) -> str:
    streams = "1 stream" if copied.streams == 1 else f"{copied.streams} streams"
    return f"{streams}, {format_size(copied.size)},"


@contextmanager
def _maintenance(config: Config, instead: str | None = None) -> Iterator[Maintenance]:
    """The store, open for changes; ``instead`` is a command that does the same on a running hub."""
    try:
        store = Maintenance(store_path(config))
    except StoreError as error:
        if error.code != "store_locked" or instead is None:
            raise
        raise StoreError(f"{error.message}; or use it: {instead}", code=error.code) from None
    with store:
        yield store


def _confirmed(entry: Entry) -> bool:
    if not sys.stdin.isatty():
        raise RequestError("nobody can confirm it here: add --yes", code="not_confirmed")
    records = entry.tail - entry.head
    sys.stderr.write(f"Delete {entry.name}, {records} records, permanently? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _url(config: Config) -> str:
    """The URL of a hub with this configuration, as arguments for curl."""
    server = config.server
    if server.unix_socket is not None:
        return f"--unix-socket {server.unix_socket} http://hub"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 - no bind
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}"


@contextmanager
def _writing(output: Path | None) -> Iterator[Callable[[bytes], object]]:
    """A function that writes an export; a file appears once it is complete."""
    if output is None:
        yield write_bytes
        return
    part = output.with_name(f"{output.name}.part")
    try:
        # Conversations are private: nobody else may read the file.
        opened = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "wb") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
        part.replace(output)
    except OSError as error:
        raise HubError(f"cannot write {output}: {error.strerror}", code="os_error") from None
    finally:
        part.unlink(missing_ok=True)
