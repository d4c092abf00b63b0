"""``streamhub doctor``: look for problems of a hub with this configuration, before they occur.

Each line is ``ok``, ``warn`` or ``fail``, and says what to do. Nothing is changed, and a hub may
run meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from hub.cli.config import ConfigFile, Json, load, mistakes
from hub.cli.open_access import openings
from hub.cli.output import Progress, write_json, write_others
from hub.cli.stream_details import format_size
from hub.cli.streams import store_path
from hub.config.schema import Config
from hub.domain.errors import ConfigError, StoreError
from hub.stores.sqlite.health import damage, sqlite_version, wal_is_safe
from hub.stores.sqlite.inspect import Inspector
from hub.stores.sqlite.lock import holder

__all__ = ["doctor"]

MIB: Final = 1024 * 1024
SCARCE: Final = 1024 * MIB
"""Less free space than this is a warning."""

FULL: Final = 64 * MIB
"""Less free space than this is an error: the hub may need as much for what waits to be written."""

LARGE_WAL: Final = 256 * MIB

OTHER_FILES: Final = 100
"""Open files besides connections: the store, the log, listening sockets."""

SENTINELS: Final = 3
"""With fewer the loss of one machine may leave no majority of them."""

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; ``advice`` is empty if there is nothing to do."""

    check: str
    state: State
    said: str
    advice: str = ""


def doctor(config: ConfigFile = None, as_json: Json = False) -> int:
    """Look for problems: SQLite, the store's file, the disk, limits, configuration."""
    found: list[Finding] = []
    with Progress() as progress:
        for finding in _findings(config, progress):
            found.append(finding)
            if not as_json:
                progress.clear()
                write_others(_line(finding))
    ok = all(finding.state != "fail" for finding in found)
    if as_json:
        write_json({"ok": ok, "findings": [asdict(finding) for finding in found]})
    return 0 if ok else 1


def _line(finding: Finding) -> str:
    advice = f": {finding.advice}" if finding.advice else ""
    return f"{finding.state:<5}{finding.check:<13}{finding.said}{advice}\n"


def _findings(path: Path | None, progress: Progress) -> Iterator[Finding]:
    yield _sqlite()
    wrong = mistakes(path)
    for error in wrong:
        yield Finding("config", "fail", error.message, "streamhub config defaults shows every key")
    if not wrong:
        yield Finding("config", "ok", "it is valid")
    try:
        config = load(path)
    except ConfigError:
        return  # the other checks need a configuration
    yield from _key_files(config)
    yield from _access(config)
    yield _open_files(config)
    if config.store.shared:
        yield from _server(config)
        return
    try:
        store = store_path(config)
    except ConfigError as error:
        yield Finding("store", "ok", error.message)
    else:
        yield from _store(store, progress)


def _server(config: Config) -> Iterator[Finding]:
    """Whether the server that hubs share can be used, as a hub would, and what there is."""
    try:
        # Only here: it needs a package that other hubs do without.
        from hub.store_from_config import lacking_rules, topology

        with suppress(StoreError):  # why it cannot be asked is said below
            yield _permissions(config, asyncio.run(lacking_rules(config, os.environ)))
        found = asyncio.run(topology(config, os.environ))
    except (ConfigError, StoreError) as error:
        yield Finding("store", "fail", error.message)
        return
    said = "the server answers and keeps what it is given (several hubs: experimental)"
    yield Finding("store", "ok", said)
    if found.cluster is not None:
        said = f"{found.cluster}: {found.version}"
        yield _cluster(said, found.cluster.silent, found.cluster.alone)
        return
    replicas = {0: "no replica", 1: "1 replica"}.get(found.replicas, f"{found.replicas} replicas")
    said = f"{found.version} at {found.address}, with {replicas}"
    if found.sentinels is None:
        yield Finding("topology", "ok", f"one server: {said}")
        return
    answering, named = found.sentinels
    said = f'{answering} of {named} sentinels name "{config.store.server.primary}": {said}'
    if found.replicas == 0:
        yield Finding("topology", "warn", said, "nobody could be promoted: start a replica")
    elif answering < named:
        yield Finding("topology", "warn", said, "look why the others do not answer")
    elif named < SENTINELS:
        advice = "name three, on three machines: a majority must be left to promote a replica"
        yield Finding("topology", "warn", said, advice)
    else:
        yield Finding("topology", "ok", said)


def _cluster(said: str, silent: Sequence[str], alone: Sequence[str]) -> Finding:
    """What there is of servers in a cluster, and which are silent, or primaries without replica."""
    if silent:
        return Finding("topology", "warn", said, "look why they do not answer")
    if alone:
        advice = f"nobody could be promoted for {', '.join(alone)}: start a replica"
        return Finding("topology", "warn", said, advice)
    return Finding("topology", "ok", said)


def _permissions(config: Config, lacking: Sequence[str]) -> Finding:
    """Whether the user of the server may do all that a hub does."""
    user = config.store.credentials(os.environ)[0] or "default"
    if not lacking:
        said = f'the user "{user}" may do all that a hub does'
        return Finding("permissions", "ok", said)
    said = f'the user "{user}" lacks {", ".join(lacking)}'
    where = " on every server" if config.store.server.cluster else ""
    advice = f"ACL SETUSER {user} {' '.join(lacking)}{where}, and look again"
    return Finding("permissions", "fail", said, advice)


def _sqlite() -> Finding:
    version = sqlite_version()
    if wal_is_safe(version):
        return Finding("sqlite", "ok", f"{version}, which has the fix of the WAL-reset bug")
    return Finding(
        "sqlite",
        "fail",
        f"{version} can, very rarely, damage a file in WAL mode (the WAL-reset bug)",
        "install an apsw with SQLite 3.51.3 or newer: pip install --upgrade apsw",
    )


def _key_files(config: Config) -> Iterator[Finding]:
    for table in config.upstreams.values():
        if table.api_key_file is None:
            continue
        file = Path(table.api_key_file).expanduser()
        if file.exists():  # otherwise the configuration is invalid
            yield from _private("key file", file)


def _access(config: Config) -> Iterator[Finding]:
    """Whom the configuration lets in."""
    found = list(openings(config))
    for opening in found:
        yield Finding("access", "warn", f"{opening.key}: {opening.said}", opening.advice)
    if found:
        return
    if config.auth.enabled:
        yield Finding("access", "ok", "[auth] grants nothing to everybody")
    else:
        yield Finding("access", "ok", "without [auth] all programs on this machine may use the hub")


def _open_files(config: Config) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = config.limits.sockets + config.limits.generations + OTHER_FILES
    most = "any number" if soft == resource.RLIM_INFINITY else str(soft)
    said = f"a process started here may open {most}"
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return Finding("open files", "ok", f"{said}, and needs {needed} at most")
    enough = hard == resource.RLIM_INFINITY or hard >= needed
    return Finding(
        "open files",
        "warn",
        f"{said}, and limits.sockets = {config.limits.sockets} needs {needed}",
        f"ulimit -n {needed}, or LimitNOFILE={needed} in its systemd unit"
        if enough
        else f"lower limits.sockets: the administrator's limit is {hard}",
    )


def _store(path: Path, progress: Progress) -> Iterator[Finding]:
    yield from _folder(path.parent)
    yield _space(path)
    running = holder(path)
    yield Finding(
        "hub", "ok", f"process {running} uses the store" if running else "no hub uses the store"
    )
    if not path.exists():
        yield Finding("store", "ok", f"{path} does not exist yet: the first hub creates it")
        return
    for suffix in ("", "-wal", "-shm", ".lock", ".admin"):
        if (file := Path(f"{path}{suffix}")).exists():
            yield from _private("store", file, written=True)
    try:
        with Inspector(path):
            yield _size(path)
        progress.show(f"checking {path}, {format_size(path.stat().st_size)}")
        yield _integrity(path)
    except StoreError as error:
        yield Finding("store", "fail", error.message)


def _folder(folder: Path) -> Iterator[Finding]:
    """Whether only the right users can write in the folder, and so replace the store."""
    nearest = next(held for held in (folder, *folder.absolute().parents) if held.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        said = f"this user ({os.getuid()}) cannot write in {nearest}"
        yield Finding("folder", "fail", said, "run the hub as its owner, or change store.url")
        return
    mode = nearest.stat().st_mode
    if nearest == folder and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        said = f"everybody on this machine can replace files in {folder}"
        yield Finding("folder", "fail", said, f"chmod o-w {folder}")
    elif nearest == folder and mode & stat.S_IWGRP:
        said = f"the group can replace files in {folder}"
        yield Finding("folder", "warn", said, f"chmod g-w {folder}, unless this is intended")
    else:
        yield Finding("folder", "ok", f"{folder} is writable")


def _private(check: str, file: Path, *, written: bool = False) -> Iterator[Finding]:
    """Whether only its owner can read the file."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if not os.access(file, os.R_OK | (os.W_OK if written else 0)):
        said = f"this user ({os.getuid()}) cannot use {file}"
        yield Finding(
            check, "fail", said, f"run the hub as its owner, or chown it; its mode is {mode:03o}"
        )
    elif mode & stat.S_IWOTH:
        said = f"everybody on this machine can write {file} (mode {mode:03o})"
        yield Finding(check, "fail", said, f"chmod 600 {file}")
    elif mode & 0o077:
        who = "everybody on this machine" if mode & 0o007 else "the group"
        said = f"{who} can read {file} (mode {mode:03o})"
        yield Finding(check, "warn", said, f"chmod 600 {file}")
    else:
        yield Finding(check, "ok", f"{file} is private to its owner (mode {mode:03o})")


def _space(path: Path) -> Finding:
    nearest = next(held for held in path.absolute().parents if held.exists())
    free = shutil.disk_usage(nearest).free
    size = path.stat().st_size if path.exists() else 0
    said = f"{format_size(free)} are free on the disk of the store"
    if free < FULL:
        return Finding("disk", "fail", said, "free some space now: the hub may refuse to write")
    if free < max(SCARCE, size):
        advice = f"free some space; streams compact needs {format_size(size)} for a while"
        return Finding("disk", "warn", said, advice)
    return Finding("disk", "ok", said)


def _size(path: Path) -> Finding:
    wal = Path(f"{path}-wal")
    waiting = wal.stat().st_size if wal.exists() else 0
    said = f"{format_size(path.stat().st_size)}, and {format_size(waiting)} in the WAL"
    if waiting > LARGE_WAL:
        advice = "a long read holds the WAL back: end that process, or restart the hub"
        return Finding("size", "warn", said, advice)
    return Finding("size", "ok", said)


def _integrity(path: Path) -> Finding:
    wrong = damage(path)
    if wrong is None:
        return Finding("integrity", "ok", "SQLite finds no error in the file")
    return Finding(
        "integrity",
        "fail",
        f"the file is damaged: {wrong}",
        "stop the hub; save what streams export can still read; then restore a backup with streams "
        "restore, or move the file away",
    )
