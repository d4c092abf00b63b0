"""One item of an answer in OpenAI's Responses: what has come of it, so that nothing comes twice.

An item has lists of parts (``content``, ``summary``). Each text comes in pieces and then whole, up
to four times. `left` gives what a whole text adds to the pieces. Most servers number the parts, so
each is compared with itself. Some do not, and vLLM numbered a part differently in every event:
where the numbers contradict each other (`loose`), all texts of a list are compared as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hub.domain.surrogates import after, units, whole

__all__ = ["UNNUMBERED", "Item"]

UNNUMBERED: Final = -1
"""The number of a part that has none."""


@dataclass(slots=True)
class Item:
    """One item; its ``kind`` is ``message``, ``reasoning`` or ``call``. ``done`` once it was whole.

    A call has its ``number`` among calls (``None`` if the provider makes it itself), its id and
    name, and whether it is ``custom``. ``sealed`` is true once encrypted reasoning has been given,
    and ``cited`` holds the annotations that have been, as JSON text.
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
    _lengths: dict[tuple[str, int], int] = field(default_factory=dict)
    _pieces: dict[str, list[str]] = field(default_factory=dict)
    _open: int | None = None

    @property
    def heard(self) -> bool:
        """Whether anything of it has come."""
        return bool(self._pieces or self.name)

    def called(self, keys: list[str]) -> bool:
        """Whether one of these ids is its own."""
        return bool(keys) and (self.key in keys or (self.call or None) in keys)

    @property
    def lists(self) -> set[str]:
        """The lists of parts of which something has come."""
        return set(self._pieces)

    def piece(self, number: int) -> None:
        """Note that a piece of the part with this number comes."""
        self.loose = self.loose or self._open not in (None, number) or number == UNNUMBERED
        self._open = number

    def whole(self, number: int) -> None:
        """Note that the part with this number comes whole."""
        self.loose = self.loose or self._open not in (None, number)
        self._open = None

    def counted(self, parts: str, count: int) -> None:
        """Note how many parts a list has that comes whole; an empty list was left out."""
        numbers = (number for name, number in self._lengths if name == parts)
        self.loose = self.loose or (count > 0 and any(number >= count for number in numbers))

    def add(self, parts: str, number: int, piece: str) -> None:
        """Add a piece to a part of that list."""
        self._lengths[parts, number] = self._lengths.get((parts, number), 0) + units(piece)
        self._pieces.setdefault(parts, []).append(piece)

    def left(self, parts: str, number: int, text: str) -> str:
        """What a part's whole text adds to its pieces."""
        if not self.loose:
            return after(text, self._lengths.get((parts, number), 0))
        said, text = whole("".join(self._pieces.get(parts, ()))), whole(text)
        return text[len(said) :] if text.startswith(said) else ""
