"""``streamhub token create|list|show|revoke``: API keys; ``login|logout``: people's sessions.

Keys are kept in the store. While a hub runs, it makes the changes (see `hub.cli.running_hub`), and
they take effect within a second; otherwise the file is changed. A hub without a file has only the
keys of its configuration, which ``create --for-config`` writes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import typer

from hub.auth import sessions
from hub.auth.api_keys import ApiKey, new_key, parse
from hub.auth.login_links import new_link
from hub.auth.stored_keys import (
    KIND,
    LATEST,
    configured_key,
    grants_json,
    key_of,
    row_of,
)
from hub.cli import running_hub
from hub.cli.config import ConfigFile, Json, load, toml_value
from hub.cli.output import say, write, write_json, write_others
from hub.cli.stored_links import say_what_works
from hub.cli.stream_details import format_time
from hub.config.keys import dotted
from hub.config.schema import Config
from hub.domain.addresses import is_local
from hub.domain.errors import ConfigError, Conflict, NotFound, RequestError
from hub.domain.grant_rules import Identity, Who
from hub.domain.one_line import USER_LENGTH, is_line, is_user
from hub.domain.permissions import PERMISSIONS, Grant, Permission, StreamPattern
from hub.domain.principal import Principal
from hub.stores.sqlite.inspect import Inspector

__all__ = ["app", "until"]

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([mhdw])")

_VARIABLES: Final = {"{user}": "user", "{tenant}": "tenant"}
"""Variables of patterns that need an option."""

Source = Literal["store", "configuration"]

Which = Annotated[str, typer.Argument(metavar="KEY", help="The key's id or its name.")]

User = Annotated[str, typer.Argument(metavar="USER", help="The user's name.")]

app = typer.Typer(
    help="Create, list, show and revoke API keys; sign people in and out.", no_args_is_help=False
)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A key, and where it is kept."""

    key: ApiKey
    source: Source

    @property
    def state(self) -> str:
        if self.key.revoked is not None:
            return "revoked"
        expires = self.key.expires
        return "expired" if expires is not None and expires <= time.time() else "valid"


@app.command()
def create(
    name: Annotated[str | None, typer.Option(help="What it is for, such as ci.")] = None,
    user: Annotated[str | None, typer.Option(help="The user who presents it.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The user's tenant.")] = None,
    can: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Exactly these permissions, such as read,append. Without it: what the "
            "configuration grants.",
        ),
    ] = None,
    match: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only these streams, such as chat/**; repeatable."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="30d, 12h, or as 2027-01-31T00:00:00Z.")
    ] = None,
    for_config: Annotated[
        bool,
        typer.Option(
            "--for-config", help="Store nothing: write a table to put into the configuration."
        ),
    ] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Create a key and write it, this once, to standard output."""
    now = time.time()
    secret, id_, digest = new_key()
    key = ApiKey(
        id=id_,
        hash=digest,
        name=_name(name),
        user=_user("user", user),
        tenant=_user("tenant", tenant),
        grants=_grants(can, match or [], {"user": user, "tenant": tenant}),
        created=now,
        expires=None if expires is None else until(expires, now),
    )
    loaded = load(config)
    if for_config:
        _write_table(loaded, key, secret, as_json=as_json)
    else:
        running_hub.add(_store(loaded), row_of(key))
        if as_json:
            write_json({"key": secret, **_details(_Listed(key, "store"))})
        else:
            say(f"created the key {id_}{_whose(key)}; it is shown only this once:")
            write(f"{secret}\n")
    for line in _warnings(loaded, key, stored=not for_config):
        say(f"warning: {line}")


@app.command("list")
def list_(config: ConfigFile = None, as_json: Json = False) -> None:
    """List all keys, the newest last; with --json, one JSON object a line."""
    loaded = load(config)
    found = _listed(loaded)
    if as_json:
        for one in found:
            write_json(_details(one))
    else:
        rows = [("ID", "STATE", "EXPIRES", "USER", "NAME", "CAN"), *map(_row, found)]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            write_others("  ".join([*cells, row[5]]) + "\n")
    if _file(loaded) is None:
        say("store.url is no file: the hub has only the keys of its configuration")


@app.command()
def show(key: Which, config: ConfigFile = None, as_json: Json = False) -> None:
    """Show whose a key is and what it may do; the key itself is not kept."""
    found = _find(_listed(load(config)), key)
    if as_json:
        write_json(_details(found))
    else:
        write_others("".join(f"{name:<10}{value}\n" for name, value in _lines(found)))


@app.command()
def revoke(key: Which, config: ConfigFile = None) -> None:
    """Revoke a key for good; a running hub refuses it within a second."""
    loaded = load(config)
    found = _find(_listed(loaded), key).key
    if any(table.id == found.id for table in loaded.auth.keys.values()):
        raise RequestError(
            f"the key {found.id} is in the configuration: remove "
            f"[{dotted(('auth', 'keys', found.name or ''))}] there and restart the hub",
            code="key_configured",
        )
    revoked = running_hub.revoke(_store(loaded), KIND, found.id)
    if revoked is None:
        raise _unknown(key)
    before = " before" if found.revoked is not None else ""
    say(f"the key {found.id}{_whose(found)} was revoked{before}")
    say_what_works(_store(loaded), Principal(found.user, found.tenant, found.id).subject)


@app.command()
def login(
    user: User,
    tenant: Annotated[str | None, typer.Option(help="The user's tenant.")] = None,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="How long the link works, such as 10m or 1h.")
    ] = "10m",
    url: Annotated[
        str | None,
        typer.Option(help="Where people open the page, such as https://chat.example.org."),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Write a link with which a user signs in to the page, once."""
    now = time.time()
    loaded = load(config)
    root = _root(loaded, url)
    secret, row = new_link(
        _user("user", user) or "", _user("tenant", tenant), now=now, expires=until(expires, now)
    )
    if not loaded.auth.enabled:
        raise ConfigError(
            "the configuration has no [auth], so nobody signs in: set auth.required = true",
            code="auth_missing",
        )
    running_hub.add(_store(loaded), row)
    say(f"this link signs {user} in, once, until {format_time(row.expires or 0)}:")
    write(f"{root}login/{secret}\n")
    who = Identity(user, tenant)
    if not any(Who.parse(grant.who).means(who) for grant in loaded.auth.grants):
        say("warning: the configuration grants nothing to this user: add [[auth.grants]]")


@app.command()
def logout(
    user: User,
    tenant: Annotated[str | None, typer.Option(help="The user's tenant.")] = None,
    config: ConfigFile = None,
) -> None:
    """End all sessions of a user; a running hub refuses them within a second."""
    path = _store(load(config))
    rows = []
    if path.exists():
        with Inspector(path) as inspector:
            rows = inspector.list_credentials(sessions.KIND)
    now = time.time()
    held = [row for row in rows if (row.user, row.tenant) == (user, tenant) and row.ended > now]
    for row in held:
        running_hub.revoke(path, sessions.KIND, row.id)
    say(f"ended {len(held)} session{'' if len(held) == 1 else 's'} of {user}")
    say_what_works(path, Principal(user, tenant).subject)


def _root(config: Config, url: str | None) -> str:
    """Where people open the page, with a slash at the end.

    Raises:
        BadParameter: it is not an address that a browser can open, or is not given and not known.
    """
    server = config.server
    if url is None:
        if server.unix_socket is not None or not is_local(server.host):
            raise typer.BadParameter(
                "say where people open the page, such as --url https://chat.example.org",
                param_hint="--url",
            )
        host = f"[{server.host}]" if ":" in server.host else server.host
        return f"http://{host}:{server.port}/"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise typer.BadParameter(
            "should be an address such as https://chat.example.org", param_hint="--url"
        )
    return f"{url.rstrip('/')}/"


def until(text: str, now: float) -> float:
    """When something expires, in seconds since 1970, from a span or a time.

    Raises:
        BadParameter: it is neither, is over, or is after the year 9999.
    """
    if (span := _SPAN.fullmatch(text)) is not None:
        at = now + int(span[1]) * _UNITS[span[2]]
    else:
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            parsed = None
        if parsed is None or parsed.tzinfo is None:
            raise typer.BadParameter(
                f'"{text}" should be a span such as 30d or 12h (m, h, d, w), or a time such as '
                "2027-01-31T00:00:00Z",
                param_hint="--expires",
            )
        at = parsed.timestamp()
    if not now < at <= LATEST:
        said = "is over" if at <= now else "is too far away: leave it out for a key without an end"
        raise typer.BadParameter(f"{text} {said}", param_hint="--expires")
    return at


def _name(text: str | None) -> str | None:
    if text is not None and not is_line(text, USER_LENGTH):
        raise typer.BadParameter(
            f"should be one line of 1 to {USER_LENGTH} characters", param_hint="--name"
        )
    return text


def _user(option: str, text: str | None) -> str | None:
    if text is not None and not is_user(text):
        raise typer.BadParameter(
            f"should be one line of 1 to {USER_LENGTH} printable characters",
            param_hint=f"--{option}",
        )
    return text


def _grants(
    can: str | None, patterns: list[str], values: dict[str, str | None]
) -> tuple[Grant, ...] | None:
    """Exactly what a key may do; ``None`` for what the configuration grants."""
    if can is None:
        if patterns:
            raise typer.BadParameter(
                "needs --can: what the key may do with these streams", param_hint="--match"
            )
        return None
    permissions = _permissions(can)
    for pattern in patterns:
        for variable, option in _VARIABLES.items():
            if variable in pattern.split("/") and values[option] is None:
                raise typer.BadParameter(
                    f'"{pattern}" matches nothing without --{option}', param_hint="--match"
                )
    return tuple(Grant(permissions, _pattern(one)) for one in patterns or ["**"])


def _permissions(can: str) -> frozenset[Permission]:
    names = {name.strip() for name in can.split(",")}
    if wrong := sorted(names - PERMISSIONS):
        raise typer.BadParameter(
            f'"{wrong[0]}" is not a permission: use some of {",".join(sorted(PERMISSIONS))}',
            param_hint="--can",
        )
    return frozenset(one for one in PERMISSIONS if one in names)


def _pattern(text: str) -> StreamPattern:
    try:
        return StreamPattern.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--match") from None


def _file(config: Config) -> Path | None:
    """The file of the store; ``None`` if it has none."""
    kind, _, path = config.store.url.partition(":")
    return Path(path) if kind == "sqlite" else None


def _store(config: Config) -> Path:
    """The file of the store.

    Raises:
        ConfigError: it has none.
    """
    path = _file(config)
    if path is None:
        raise ConfigError(
            "store.url is no file, which would keep keys: put them into the configuration; "
            "`streamhub token create --for-config` writes a table for it",
            code="store_memory",
        )
    return path


def _listed(config: Config) -> list[_Listed]:
    """The keys in the configuration and in the store, the newest last."""
    configured = [configured_key(name, table) for name, table in config.auth.keys.items()]
    rows = []
    if (path := _file(config)) is not None and path.exists():
        with Inspector(path) as inspector:
            rows = inspector.list_credentials(KIND)
    found = [_Listed(key, "configuration") for key in configured]
    for row in sorted(rows, key=lambda row: (row.created, row.id)):
        try:
            key = key_of(row)
        except ValueError as error:
            say(f"warning: the hub refuses the key {row.id}: {error}")
            key = key_of(replace(row, grants="[]"))
        found.append(_Listed(key, "store"))
    return found


def _find(held: Iterable[_Listed], which: str) -> _Listed:
    """The key with an id or a name; of several with the name, the one that is valid.

    Raises:
        NotFound: there is none.
        Conflict: there are several.
        RequestError: it is a whole key.
    """
    if (whole := parse(which)) is not None:
        raise RequestError(
            f"give only its id, {whole}: other users of this machine can see a command line",
            code="key_given",
        )
    which = which.removeprefix("sh_")
    named = []
    for one in held:
        if one.key.id == which:
            return one
        if one.key.name == which:
            named.append(one)
    named = [one for one in named if one.state == "valid"] or named
    if not named:
        raise _unknown(which)
    if len(named) > 1:
        ids = ", ".join(one.key.id for one in named)
        raise Conflict(f'several keys are named "{which}": give an id: {ids}', code="key_ambiguous")
    return named[0]


def _unknown(which: str) -> NotFound:
    return NotFound(
        f'there is no key "{which}": `streamhub token list` shows all', code="key_not_found"
    )


def _whose(key: ApiKey) -> str:
    named = "" if key.name is None else f" ({key.name})"
    who = "" if key.user is None else f" of {key.user}"
    return named + who


def _warnings(config: Config, key: ApiKey, *, stored: bool) -> Iterable[str]:
    if stored and not config.auth.enabled:
        yield (
            "the configuration has no [auth]: its hub lets everybody in without a key until "
            "auth.required = true is set"
        )
        return
    if key.grants is None:
        who = Identity(key.user, key.tenant, key.id, key.name)
        if not any(Who.parse(grant.who).means(who) for grant in config.auth.grants):
            yield "the configuration grants nothing to this key: add [[auth.grants]], or use --can"


def _write_table(config: Config, key: ApiKey, secret: str, *, as_json: bool) -> None:
    """Write a table of the configuration, and the key to standard error."""
    name = key.name or key.id
    if name in config.auth.keys:
        raise Conflict(
            f"the configuration already has [{dotted(('auth', 'keys', name))}]",
            code="key_exists",
        )
    values: dict[str, Any] = {"id": key.id, "sha256": key.hash.hex()}
    values |= {"user": key.user, "tenant": key.tenant}
    if key.grants is not None:
        if len(key.grants) > 1:
            raise typer.BadParameter(
                "the configuration takes one pattern for a key", param_hint="--match"
            )
        (grant,) = grants_json(key.grants)
        values |= {"can": grant["can"], "match": grant["match"]}
    if key.expires is not None:
        values["expires"] = format_time(key.expires)
    lines = [f"[{dotted(('auth', 'keys', name))}]"]
    lines += [f"{at} = {toml_value(value)}" for at, value in values.items() if value is not None]
    table = "\n".join(lines) + "\n"
    if as_json:
        write_json({"key": secret, "id": key.id, "table": table})
        return
    write(table)
    # Standard output can be appended to the configuration, where the key must not be.
    say(f"the key, which is shown only this once: {secret}")


def _details(one: _Listed) -> dict[str, Any]:
    key = one.key
    return {
        "id": key.id,
        "name": key.name,
        "user": key.user,
        "tenant": key.tenant,
        "grants": None if key.grants is None else grants_json(key.grants),
        "state": one.state,
        "created": format_time(key.created) if key.created else None,
        "expires": None if key.expires is None else format_time(key.expires),
        "revoked": None if key.revoked is None else format_time(key.revoked),
        "source": one.source,
    }


def _row(one: _Listed) -> tuple[str, ...]:
    key = one.key
    expires = "-" if key.expires is None else format_time(key.expires)
    user = "/".join(part for part in (key.tenant, key.user) if part is not None) or "-"
    can = "as configured" if key.grants is None else "; ".join(map(_said, key.grants)) or "nothing"
    return (key.id, one.state, expires, user, key.name or "-", can)


def _lines(one: _Listed) -> Iterable[tuple[str, str]]:
    held = _details(one)
    for name in ("id", "name", "user", "tenant", "state", "created", "expires", "revoked"):
        if held[name] is not None:
            yield name, held[name]
    yield "kept in", f"the {one.source}"
    if one.key.grants is None:
        yield "can", "what the configuration grants"
    for grant in one.key.grants or ():
        yield "can", _said(grant)


def _said(grant: Grant) -> str:
    (held,) = grants_json([grant])
    return f"{','.join(held['can'])} on {grant.match}"
