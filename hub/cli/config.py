"""``streamhub config check|show|defaults``: check or show the configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

import hub
from hub import dialects
from hub.cli.open_access import openings
from hub.cli.output import say, say_error, write, write_json
from hub.config.auth import IssuerTable
from hub.config.keys import dotted
from hub.config.schema import Config, UpstreamTable
from hub.domain.errors import ConfigError

__all__ = ["ConfigFile", "Json", "app", "load", "mistakes", "toml_value"]

HERE: Final = Path("config.toml")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Default: config.toml if it exists."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]

app = typer.Typer(help="Check or show the configuration.", no_args_is_help=False)


def load(path: Path | None) -> Config:
    """The checked configuration of this process, from the file and the environment.

    Raises:
        ConfigError: something in it is wrong.
    """
    return Config.load(_file(path), os.environ, check=_dialect_errors)


def _file(path: Path | None) -> Path | None:
    return HERE if path is None and HERE.is_file() else path


def _dialect_errors(table: UpstreamTable) -> Iterator[tuple[str, str]]:
    """What the dialect of an upstream finds wrong in its table, as keys and messages."""
    try:
        make = dialects.find(table.dialect)
    except ConfigError as error:
        yield "dialect", error.message
        return
    try:
        dialect = make(table.options)
    except ConfigError as error:
        yield "options", error.message
        return
    if table.url is None and not isinstance(dialect, dialects.Local):
        yield "url", f'must be given: the dialect "{table.dialect}" asks a server'


@app.command()
def check(config: ConfigFile = None, as_json: Json = False) -> int:
    """Check the configuration, API keys and secrets included, and name what it leaves open."""
    wrong = mistakes(config)
    opened = [] if wrong else [str(opening) for opening in openings(load(config))]
    if as_json:
        errors = [error.message for error in wrong]
        write_json({"ok": not wrong, "errors": errors, "warnings": opened})
    else:
        for line in opened:
            say(f"warning: {line}")
        for error in wrong:
            say_error(error.message, error.code)
        if not wrong:
            write(f"{_file(config) or 'the built-in configuration'}: ok\n")
    return 1 if wrong else 0


def mistakes(path: Path | None) -> list[ConfigError]:
    """All errors in the configuration, API keys and secrets included."""
    try:
        config = load(path)
    except ConfigError as error:
        return [ConfigError(line, code=error.code) for line in error.message.splitlines()]
    reads: list[Callable[[], object]] = [
        partial(table.api_key, os.environ) for table in config.upstreams.values()
    ]
    for issuer in config.auth.issuers.values():
        reads += [
            partial(issuer.secret, os.environ),
            partial(issuer.previous_secret, os.environ),
            partial(_check_public_key, issuer),
        ]
    reads += [partial(config.auth.oidc.secret, os.environ), partial(_check_webhook, config)]
    wrong = []
    for read in reads:
        try:
            read()
        except ConfigError as error:
            wrong.append(error)
    return wrong


def _check_public_key(issuer: IssuerTable) -> None:
    if (pem := issuer.public_key()) is not None:
        # Only here: cryptography takes its time, and few configurations have such a key.
        from hub.auth.issuers import public_key

        public_key(pem, issuer.accepted, f"the file {issuer.public_key_file}")


def _check_webhook(config: Config) -> None:
    if (table := config.auth.webhook) is not None:
        # Only here: it loads the client that asks it.
        from hub.auth.webhook import secret_of

        secret_of(os.environ.get(table.secret_env, "").strip(), table.secret_env)


@app.command()
def show(config: ConfigFile = None, as_json: Json = False) -> None:
    """Show the effective configuration as TOML, with secrets masked."""
    shown = load(config).shown()
    if as_json:
        write_json(shown)
    else:
        write("\n".join(_toml(shown)) + "\n")


@app.command()
def defaults() -> None:
    """Show every key with its default and its meaning."""
    package = Path(hub.__file__).parent
    # Inside an installed package, beside it in a checkout.
    shipped = next(file for file in (package / HERE, package.parent / HERE) if file.is_file())
    write(shipped.read_text("utf-8"))


def _toml(table: Mapping[str, Any], name: str = "") -> Iterator[str]:
    """The lines of a table: its values, then its tables. Unset keys are comments."""
    for key, value in table.items():
        if value is None:
            yield f"# {key} is not set"
        elif not isinstance(value, dict):
            yield f"{dotted((key,))} = {toml_value(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            path = f"{name}.{dotted((key,))}".removeprefix(".")
            yield from ("", f"[{path}]", *_toml(value, path))


def toml_value(value: Any) -> str:
    """A value as TOML; unset keys of an inline table are left out."""
    if isinstance(value, dict):
        pairs = (
            f"{dotted((key,))} = {toml_value(item)}"
            for key, item in value.items()
            if item is not None
        )
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, str | bool):
        # JSON and TOML write both alike, except for one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)
