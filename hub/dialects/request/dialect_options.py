"""A dialect's options, as they stand in its ``[upstreams.NAME.options]`` table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from hub.domain.errors import ConfigError

__all__ = ["Options"]

MOST: Final = 1e9


class Options:
    """Typed access to options; a wrong name or value is a `ConfigError`."""

    def __init__(self, dialect: str, held: Mapping[str, Any], known: Iterable[str] = ()) -> None:
        """Take the options of a dialect that knows these names.

        Raises:
            ConfigError: it does not know one of them.
        """
        self._dialect = dialect
        self._held = held
        names = tuple(known)
        takes = f"it takes {', '.join(sorted(names))}" if names else "it takes none"
        for name in held:
            if name not in names:
                said = f'has no option "{name}"{_nearest(name, names)}; {takes}'
                raise ConfigError(f'dialect "{dialect}" {said}')

    def flag(self, name: str, default: bool) -> bool:
        value = self._held.get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def flag_or(self, name: str, word: str) -> bool | str:
        """True, false (the default) or this one word."""
        value = self._held.get(name, False)
        if value != word and not isinstance(value, bool):
            raise self._wrong(name, f'true or false, or "{word}"')
        return word if value == word else bool(value)

    def text(self, name: str, default: str) -> str:
        """A string that is not empty."""
        value = self._held.get(name, default)
        if not isinstance(value, str) or not value:
            raise self._wrong(name, "a string that is not empty")
        return value

    def maybe(self, name: str) -> str | None:
        """A string that is not empty, or ``None`` where none was given."""
        return self.text(name, "") if name in self._held else None

    def choice(self, name: str, allowed: Iterable[str]) -> str | None:
        """One of a few words, or ``None`` where none was given."""
        if name not in self._held:
            return None
        value, words = self._held[name], tuple(allowed)
        if value not in words:
            raise self._wrong(name, f"one of {', '.join(words)}{_nearest(value, words)}")
        return str(value)

    def number(self, name: str, default: float) -> float:
        """A number above 0 and up to `MOST`."""
        value = self._held.get(name, default)
        # ``bool`` is an ``int`` in Python; TOML has ``nan``, which fails every comparison.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST:
            raise self._wrong(name, f"a number above 0, and {MOST:,.0f} at most")
        return float(value)

    def _wrong(self, name: str, wanted: str) -> ConfigError:
        return ConfigError(f'option "{name}" of dialect "{self._dialect}" must be {wanted}')


def _nearest(value: object, words: tuple[str, ...]) -> str:
    near = get_close_matches(str(value), words, n=1, cutoff=0.5)
    return f' (did you mean "{near[0]}"?)' if near else ""
