"""Whether an application may be asked one more question: nobody keeps it from the others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from hub.domain.at_once import AtOnce
from hub.domain.errors import RateLimited

__all__ = ["ASKED_ABOUT", "Admit", "Turns", "always"]

ASKED_ABOUT: Final = 20
"""Questions about one address or subject that an application is asked at a time."""

WAIT_SECONDS: Final = 1.0
"""After how long whoever was refused may try again; an answer takes about that."""

Admit = Callable[[], Callable[[], None]]
"""Called before an application is asked a question; what it returns, when it has answered.

Raises:
    RateLimited: it is asked too much about whoever this is for.
"""


def always() -> Callable[[], None]:
    """Admit whoever asks."""
    return _nothing


class Turns:
    """Counts questions that are not answered yet, by whom they are about."""

    def __init__(self) -> None:
        self._asked = AtOnce(
            ASKED_ABOUT,
            lambda: RateLimited(
                f"your application has not answered {ASKED_ABOUT} questions about you yet: wait "
                f"{WAIT_SECONDS:.0f} s",
                wait=WAIT_SECONDS,
            ),
        )

    def take(self, name: str) -> Callable[[], None]:
        """Count a question about a name, until what this returns is called.

        Raises:
            RateLimited: there are `ASKED_ABOUT` about it.
        """
        self._asked.take(name)
        return partial(self._asked.give, name)


def _nothing() -> None:
    pass
