"""One item of an answer in OpenAI's Responses: what was said of it, so that nothing is twice.

An item has lists of parts (``content``, ``summary``), and each text comes in pieces, then
whole, up to four times. `left` is what a whole adds to the pieces. Most servers number the
parts, so that each is compared with itself. Some do not, and vLLM gave a part another number
in every event: where the numbers contradict each other (`loose`), what counts is all that
was said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hub.domain.surrogates import after, units, whole

__all__ = ["UNNUMBERED", "Item"]

UNNUMBERED: Final = -1
"""The number of a part that was given none."""


@dataclass(slots=True)
class Item:
    """One item: ``kind`` is ``message``, ``reasoning`` or ``call``; ``done`` once told whole.

    Of a call: its ``number`` among calls, ``None`` for one that the provider makes itself; its
    id and name; and whether it is of a custom tool. Of reasoning: whether its ``sealed`` form,
    which nobody can read, has been told. Of a message: what it ``cited``, as JSON text.
    """

    kind: str
    index: int | None
    key: str
    done: bool = False
    loose: bool = False
    number: int | None = None
    call: str = ""
    name: str = ""
    custom: bool = False
    sealed: bool = False
    cited: set[str] = field(default_factory=set)
    _said: dict[tuple[str, int], int] = field(default_factory=dict)
    _pieces: dict[str, list[str]] = field(default_factory=dict)
    _open: int | None = None

    @property
    def heard(self) -> bool:
        """Whether anything was said of it."""
        return bool(self._pieces or self.name)

    def called(self, keys: list[str]) -> bool:
        """Whether it was called by one of these ids."""
        return bool(keys) and (self.key in keys or (self.call or None) in keys)

    @property
    def lists(self) -> set[str]:
        """The lists of parts that something was said of."""
        return set(self._pieces)

    def piece(self, number: int) -> None:
        """A piece comes of the part with this number."""
        self.loose = self.loose or self._open not in (None, number) or number == UNNUMBERED
        self._open = number

    def whole(self, number: int) -> None:
        """The part with this number comes whole."""
        self.loose = self.loose or self._open not in (None, number)
        self._open = None

    def counted(self, parts: str, count: int) -> None:
        """The list has so many parts, now that it comes whole; one that is empty is left out."""
        numbers = (number for name, number in self._said if name == parts)
        self.loose = self.loose or (count > 0 and any(number >= count for number in numbers))

    def add(self, parts: str, number: int, piece: str) -> None:
        """This is said of a part of that list."""
        self._said[parts, number] = self._said.get((parts, number), 0) + units(piece)
        self._pieces.setdefault(parts, []).append(piece)

    def left(self, parts: str, number: int, text: str) -> str:
        """What a part that is the text adds to what was said."""
        if not self.loose:
            return after(text, self._said.get((parts, number), 0))
        said, text = whole("".join(self._pieces.get(parts, ()))), whole(text)
        return text[len(said) :] if text.startswith(said) else ""
