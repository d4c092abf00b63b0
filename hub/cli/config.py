"""``streamhub config check|show|defaults``: what the configuration says, and whether it can."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

import hub
from hub import dialects
from hub.cli.output import say_error, write, write_json
from hub.config.keys import dotted
from hub.config.schema import Config, UpstreamTable
from hub.domain.errors import ConfigError

__all__ = ["ConfigFile", "Json", "app", "load", "mistakes"]

HERE: Final = Path("config.toml")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Default: config.toml, if there is one."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]

app = typer.Typer(help="Check or show the configuration.", no_args_is_help=False)


def load(path: Path | None) -> Config:
    """The configuration of this process: the file, the environment over it, all checked.

    Raises:
        ConfigError: something in it is wrong.
    """
    return Config.load(_file(path), os.environ, check=_wrong_with)


def _file(path: Path | None) -> Path | None:
    return HERE if path is None and HERE.is_file() else path


def _wrong_with(table: UpstreamTable) -> Iterator[tuple[str, str]]:
    """What the dialect of an upstream has to say about its table."""
    try:
        make = dialects.find(table.dialect)
    except ConfigError as error:
        yield "dialect", error.message
        return
    try:
        made = make(table.options)
    except ConfigError as error:
        yield "options", error.message
        return
    if table.url is None and not isinstance(made, dialects.Local):
        yield "url", f'must be given: the dialect "{table.dialect}" asks a server'


@app.command()
def check(config: ConfigFile = None, as_json: Json = False) -> int:
    """Say whether the configuration can be used, API keys included."""
    wrong = mistakes(config)
    if as_json:
        write_json({"ok": not wrong, "errors": [error.message for error in wrong]})
    else:
        for error in wrong:
            say_error(error.message, error.code)
        if not wrong:
            write(f"{_file(config) or 'the built-in configuration'}: ok\n")
    return 1 if wrong else 0


def mistakes(path: Path | None) -> list[ConfigError]:
    """Everything that is wrong with the configuration, API keys included."""
    try:
        tables = load(path).upstreams.values()
    except ConfigError as error:
        return [ConfigError(line, code=error.code) for line in error.message.splitlines()]
    wrong = []
    for table in tables:
        try:
            table.api_key(os.environ)
        except ConfigError as error:
            wrong.append(error)
    return wrong


@app.command()
def show(config: ConfigFile = None, as_json: Json = False) -> None:
    """Show the configuration in effect, as TOML; what may be secret is masked."""
    held = load(config).shown()
    if as_json:
        write_json(held)
    else:
        write("\n".join(_toml(held)) + "\n")


@app.command()
def defaults() -> None:
    """Show every key with its default and its meaning."""
    package = Path(hub.__file__).parent
    # Inside the package where it was installed, beside it in a checkout.
    shipped = next(file for file in (package / HERE, package.parent / HERE) if file.is_file())
    write(shipped.read_text("utf-8"))


def _toml(held: Mapping[str, Any], name: str = "") -> Iterator[str]:
    """The lines of a table: its values, then the tables in it, as TOML wants them.

    What is not set is a comment.
    """
    for key, value in held.items():
        if value is None:
            yield f"# {key} is not set"
        elif not isinstance(value, dict):
            yield f"{dotted((key,))} = {_value(value)}"
    for key, value in held.items():
        if isinstance(value, dict):
            path = f"{name}.{dotted((key,))}".removeprefix(".")
            yield from ("", f"[{path}]", *_toml(value, path))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return (
            f"{{{', '.join(f'{dotted((key,))} = {_value(held)}' for key, held in value.items())}}}"
        )
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str | bool):
        # JSON writes both as TOML does, but for one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)
