"""Read configuration values from a TOML file and the environment, and report mistakes in them.

The environment overrides the file. ``STREAMHUB_SERVER__PORT`` is ``port`` in ``[server]``: two
underscores separate tables and keys, and ``-`` in the name of an upstream is written ``_``. The
value of a variable is parsed as TOML, otherwise as JSON, otherwise it is text. A variable with the
prefix that matches no key is a mistake, unless a key such as ``api_key_env`` names it.
``STREAMHUB_TOKEN`` is the credential of the commands that connect to a hub.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hub.config.keys import dotted, hint, known_keys, takes_text, under
from hub.config.toml_lines import Key, key_lines
from hub.domain.errors import ConfigError

__all__ = ["PREFIX", "Source"]

PREFIX: Final = "STREAMHUB_"
STEP: Final = "__"
NO_KEYS: Final = frozenset({"STREAMHUB_TOKEN"})

# Messages by pydantic's type of error, for the person who edits the file. None contains the value,
# which may be an API key in the wrong place.
_SENTENCES: Final[Mapping[str, str]] = {
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt:.15g}",
    "greater_than_equal": "must be at least {ge:.15g}",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le:.15g}",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "missing": "must be given",
    "model_type": "must be a table",
    "string_type": "must be text in quotes",
}


@dataclass(slots=True)
class Source:
    """The values before validation, and where each was written."""

    model: type[BaseModel]
    file: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    lines: Mapping[Key, int] = field(default_factory=dict)
    variables: dict[Key, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)  # variables

    @classmethod
    def read(cls, model: type[BaseModel], path: Path | None, environ: Mapping[str, str]) -> Self:
        """Read the file, if there is one, and override it with the environment.

        Raises:
            ConfigError: the file cannot be read or is not TOML.
        """
        source = cls(model) if path is None else cls(model, str(path), *_parse(path))
        source._override({name: text for name, text in environ.items() if _is_key(name)})
        return source

    def check(self, error: ValidationError | None = None) -> None:
        """Report all mistakes at once: those in ``error`` and unknown variables.

        Raises:
            ConfigError: one line for each mistake, in the order of the file.
        """
        found = [] if error is None else error.errors(include_url=False, include_input=False)
        messages = [(self._line(each["loc"]), self._message(each)) for each in found]
        lines = [message for _, message in sorted(messages)] + self.unknown
        if lines:
            raise ConfigError("\n".join(dict.fromkeys(lines)))

    def _override(self, environ: Mapping[str, str]) -> None:
        unknown = []
        for name in sorted(environ):  # a table comes before what is in it
            key = self._key(name)
            if key is None:
                unknown.append(name)
            else:
                self._set(key, name, environ[name])
        defaults = {name: _default(self.model, (name,)) for name in self.model.model_fields}
        keys = known_keys(self.model, {**defaults, **self.values})
        known = [PREFIX + STEP.join(map(_spelled, key)) for key in keys]
        for name in unknown:
            if name not in _key_variables(self.values):
                (nearest,) = get_close_matches(name, known, n=1, cutoff=0)
                self.unknown.append(f"{name}: unknown variable; did you mean {nearest}?")

    def _key(self, name: str) -> tuple[str, ...] | None:
        """The key that a variable overrides, or ``None``."""
        kind: Any = self.model
        place: Any = self.values
        key: tuple[str, ...] = ()
        for part in name.removeprefix(PREFIX).split(STEP):
            names = place if isinstance(place, dict) else {}
            step = next((known for known in names if _spelled(known) == part), part.lower())
            kind = under(kind, step)
            if kind is None or not step or part != part.upper():
                return None
            key = (*key, step)
            place = names.get(step) if step in names else _default(self.model, key)
        return key

    def _set(self, key: tuple[str, ...], name: str, text: str) -> None:
        table = self.values
        for at, step in enumerate(key[:-1], start=1):
            table = table.setdefault(step, _default(self.model, key[:at]))
            if not isinstance(table, dict):
                return  # the file has no table here, which validation will report
        table[key[-1]] = _value(text, as_text=takes_text(self.model, key))
        self.variables[key] = name

    def _line(self, loc: Key) -> float:
        near = self._written(loc)
        return float("inf") if near in self.variables else self.lines.get(near, 0)

    def _written(self, loc: Key) -> Key:
        """``loc`` itself, or the innermost table around it, that is in the file or a variable."""
        steps = (loc[:length] for length in range(len(loc), 0, -1))
        return next((step for step in steps if step in self.variables or step in self.lines), ())

    def _message(self, detail: ErrorDetails) -> str:
        loc = detail["loc"]
        near = self._written(loc)
        if near in self.variables:
            where, key = self.variables[near], loc[len(near) :]
        else:
            line = f":{self.lines[near]}" if near in self.lines else ""
            where, key = (self.file or "environment") + line, loc
        return ": ".join(part for part in (where, dotted(key), self._sentence(detail)) if part)

    def _sentence(self, detail: ErrorDetails) -> str:
        kind = detail["type"]
        if kind == "extra_forbidden":
            return f"unknown key; {hint(self.model, detail['loc'])}"
        sentence = _SENTENCES.get(kind)
        return sentence.format(**detail.get("ctx", {})) if sentence else detail["msg"]


def _is_key(variable: str) -> bool:
    return variable.startswith(PREFIX) and variable not in NO_KEYS


def _parse(path: Path) -> tuple[dict[str, Any], Mapping[Key, int]]:
    """The values of a TOML file and the lines of their keys."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        return tomllib.loads(text), key_lines(text)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: must be UTF-8 text") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        number = place.partition(",")[0].removeprefix("line ")
        at = number if number.isdecimal() else text.rstrip().count("\n") + 1
        raise ConfigError(f"{path}:{at}: is not TOML: {message}") from None


def _default(model: type[BaseModel], key: tuple[str, ...]) -> dict[str, Any]:
    """The default tables under a key that the file does not mention."""
    default = getattr(model(), key[0]) if len(key) == 1 else None
    tables = default if isinstance(default, dict) else {}
    return {name: table.model_dump(exclude_unset=True) for name, table in tables.items()}


def _value(text: str, *, as_text: bool) -> Any:
    for read in (_toml, json.loads):
        try:
            value = read(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, str) or not as_text:
            return value
    return text


def _toml(text: str) -> Any:
    table = tomllib.loads(f"is = {text}")
    value = table.pop("is")
    if table or isinstance(value, date | datetime | time):
        raise ValueError("not a single value of a type that a key can have")
    return value


def _spelled(step: str) -> str:
    return step.upper().replace("-", "_")


def _key_variables(values: Mapping[str, Any]) -> set[str]:
    """The variables with API keys and secrets, whose names may start with the prefix, too."""
    auth = values.get("auth")
    issuers = auth.get("issuers") if isinstance(auth, dict) else None
    return {
        str(table.get(key))
        for tables in (values.get("upstreams"), issuers)
        for table in (tables.values() if isinstance(tables, dict) else ())
        if isinstance(table, dict)
        for key in ("api_key_env", "secret_env", "previous_secret_env")
    }
