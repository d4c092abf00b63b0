"""``streamhub streams list|show|export|import|delete|compact|backup|restore``: the store's file.

They work on the file itself, no hub need run. What only reads it (list, show, export, backup)
may be used while a hub runs on it; the others change it and are refused while one does,
because that hub would not know.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

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
from hub.cli.standard_input import STANDARD_INPUT
from hub.cli.stream_details import details, in_words, line, row, summary, told
from hub.config.schema import Config
from hub.domain.errors import ConfigError, HubError, RequestError, StoreError
from hub.domain.records import Record
from hub.domain.stream_names import check_name
from hub.stores.sqlite import backup as backups
from hub.stores.sqlite.inspect import Entry, Inspector
from hub.stores.sqlite.maintenance import Maintenance

__all__ = ["app", "store_path"]

TOLD: Final = 1000
"""Records between two changes of the progress line."""

Copy = Annotated[Path, typer.Argument(metavar="FILE", help="The file of the copy.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the stream.")]

app = typer.Typer(
    help="Look at the streams in the store, take them out, put them back, delete them.",
    no_args_is_help=False,
)


def store_path(config: Config) -> Path:
    """The file in which the configured store keeps streams.

    Raises:
        ConfigError: it keeps none.
    """
    kind, _, path = config.store.url.partition(":")
    if kind != "sqlite":
        said = 'store.url is "memory:": such streams are in the running hub alone, and in no file'
        raise ConfigError(said, code="store_memory")
    return Path(path)


@app.command("list")
def list_(
    prefix: Annotated[str, typer.Argument(help="Only names that begin so.")] = "",
    after: Annotated[str, typer.Option(metavar="NAME", help="Go on after this name.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The most to list.")] = 100,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List streams by name; with --json each as a line of JSON."""
    with Inspector(store_path(load(config))) as catalogue:
        if not as_json:
            write(row("RECORDS", "BYTES", "STATE", "EXPIRES", "TYPE", "NAME"))
        last = ""
        for count, entry in enumerate(catalogue.entries(prefix, after, limit + 1), start=1):
            if count > limit:
                say(f"there are more: add --after {last}")
                break
            last = entry.name
            if as_json:
                write_json(summary(entry))
            else:
                write_others(line(entry))


@app.command()
def show(name: Name, config: ConfigFile = None, as_json: Json = False) -> None:
    """Show what a stream is: its type, state, positions, epochs, producers and forks."""
    with Inspector(store_path(load(config))) as catalogue:
        entry = catalogue.find(name)
    if as_json:
        write_json({**summary(entry), **details(entry)})
    else:
        write_others("".join(f"{key:<14}{value}\n" for key, value in told(entry)))


@app.command()
def export(
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Not standard output.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="The records alone, a JSON value a line, or the bytes.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Write a stream as lines of JSON, which import makes the same stream of again."""
    with Inspector(store_path(load(config))) as catalogue, Progress() as progress:
        entry = catalogue.find(name)
        with _written(output) as write_out:
            if not raw:
                write_out(header_line(entry, catalogue.producers(entry)))
            for count, (offset, body) in enumerate(catalogue.records(entry)):
                if not raw:
                    write_out(record_line(offset, body, entry.settings))
                else:
                    write_out(body + b"\n" if entry.settings.is_json else body)
                if count % TOLD == 0 and output is not None:
                    progress.show(f"{count} of {entry.tail - entry.head} records")


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="- reads standard input.")],
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Another name than it had.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete the stream of this name first.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Make a stream from what export wrote: all of it, or nothing."""
    held = load(config)
    with ExitStack() as opened, Progress() as progress:
        given = STANDARD_INPUT if file == "-" else file
        lines = opened.enter_context(open(given, "rb", closefd=given == file))
        header = read_header(lines)
        kept = header.saved()
        name = header.stream if name is None else name
        check_name(name, held.limits.name_length)
        generations = Generations(header.running, kept.head, kept.tail)

        def counted() -> Iterator[Record]:
            for count, record in enumerate(read_records(lines, kept.settings)):
                if count % TOLD == 0:
                    progress.show(f"{count} of {kept.tail - kept.head} records")
                if kept.settings.is_json:
                    generations.look(record)
                yield record

        with _changing(held) as upkeep:
            ends, told = generations.ends(), generations.told()
            upkeep.restore(name, kept, counted(), ends, told, replace=replace)
    say(f"imported {name}: {kept.tail - kept.head} records")


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
) -> int:
    """Delete a stream for good."""
    held = load(config)
    with Inspector(store_path(held)) as catalogue:
        entry = catalogue.find(name)
    with _changing(held, f"curl -X DELETE {_url(held)}/v1/stream/{name}") as upkeep:
        if not yes and not _confirmed(entry):
            say("nothing was deleted")
            return 1
        with Progress() as progress:
            progress.show(f"deleting {name}")
            gone = upkeep.delete(name)
            for _ in upkeep.sweep():
                pass
    say(f"deleted {name}" if gone else f"deleted {name}; its records stay for its forks")
    return 0


@app.command()
def compact(config: ConfigFile = None) -> None:
    """Give the space of what was deleted back to the disk."""
    held = load(config)
    if not store_path(held).exists():
        Inspector(store_path(held))  # which says so
    with _changing(held) as upkeep, Progress() as progress:
        before = upkeep.size
        progress.show("deleting records that nobody can read")
        for _ in upkeep.sweep():
            pass
        progress.show(f"compacting {in_words(before)}")
        upkeep.compact()
        after = upkeep.size
    say(f"{in_words(max(0, before - after))} won: {in_words(before)} before, {in_words(after)} now")


@app.command()
def backup(
    file: Copy,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace the file if it is there.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Copy the whole store to a file, while a hub runs or not."""
    with Progress() as progress:
        copied = backups.back_up(store_path(load(config)), file, _copying(progress), replace=force)
    say(f"copied {_told(copied)} to {file}")


@app.command()
def restore(file: Copy, config: ConfigFile = None) -> None:
    """Put what backup copied in the place of the store; the store that was there is kept."""
    path = store_path(load(config))
    with Progress() as progress:
        copied = backups.restore(path, file, _copying(progress))
    if copied.kept is not None:
        say(f"what was there is now {copied.kept}")
    say(f"restored {_told(copied)} from {file}")


def _copying(progress: Progress) -> Callable[[int, int], None]:
    def watch(done: int, total: int) -> None:
        progress.show(f"{in_words(done)} of {in_words(total)}")

    return watch


def _told(copied: backups.Copied) -> str:
    streams = "1 stream" if copied.streams == 1 else f"{copied.streams} streams"
    return f"{streams}, {in_words(copied.size)},"


@contextmanager
def _changing(config: Config, instead: str | None = None) -> Iterator[Maintenance]:
    """The store, to be changed; ``instead`` is what a running hub may be asked to do."""
    path = store_path(config)
    try:
        upkeep = Maintenance(path)
    except StoreError as error:
        if error.code != "store_locked" or instead is None:
            raise
        raise StoreError(f"{error.message}; or ask it: {instead}", code=error.code) from None
    with upkeep:
        yield upkeep


def _confirmed(entry: Entry) -> bool:
    if not sys.stdin.isatty():
        raise RequestError("nobody is there to confirm it: add --yes", code="not_confirmed")
    asked = f"Delete {entry.name}, {entry.tail - entry.head} records, for good? [y/N] "
    sys.stderr.write(asked)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _url(config: Config) -> str:
    """Where a hub of this configuration answers, as curl takes it."""
    server = config.server
    if server.unix_socket is not None:
        return f"--unix-socket {server.unix_socket} http://hub"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 - no bind
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}"


@contextmanager
def _written(output: Path | None) -> Iterator[Any]:
    """Where an export goes: a file appears when it is whole."""
    if output is None:
        yield write_bytes
        return
    part = output.with_name(f"{output.name}.part")
    try:
        # A conversation is nobody else's to read.
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
