"""What one user may have of the places that it shares with others: half of what they leave.

So nobody takes them all: who comes first has at most half of the places, the next one half of the
rest, and the last place is for somebody who has none. Nobody has to give a place back later, and no
number has to be configured.

A user who is alone loses nothing. Its streams are its own, and the owner of a stream may have all
of its places: it could delete the stream as well. Without authentication users are not told from
each other, and have no shares. So the rule is for those who are let into a stream of somebody else,
or of nobody.
"""

from __future__ import annotations

__all__ = ["share"]


def share(most: int, others: int) -> int:
    """How many of ``most`` places one may have of which all others have ``others``."""
    return (most - others + 1) // 2
