"""Framings: bytes, as a socket gives them, to chunks, as the upstream meant them.

A socket cuts its bytes anywhere: in a line, in a character, between CR and LF. A framing
puts them together and cuts them again where the format says. It is pure: bytes go in with
`feed`, ``flush`` says that the body has ended, chunks come out, and however the same bytes
were cut, the same chunks (and the same fault, at the same place) come out of them.

=================  ==================================================  =====================
framing            a chunk is                                          cut off means
=================  ==================================================  =====================
`SSE`              the data of one event, with the event's name        no terminator came:
                                                                       the dialect knows
`NDJSON`           a line that is not blank                            the same
`JSONSeq`          a JSON text after 0x1E                              a fault
`ConcatenatedJSON` a JSON value of several with nothing between        a fault
`JSONArray`        an element of the one array that the body is        a fault
`Text`             what has come, in whole characters                  cannot be seen here
=================  ==================================================  =====================

`Sniffed` looks at the first bytes before it believes that the body has the framing that
was expected. Nothing is interpreted: what a chunk says is the dialect's.

Bounded: one chunk may have ``limit`` bytes, and a framing never holds more than about
twice that and one read. Linear: every byte is looked at a fixed number of times, also when
each read brings one byte of a line of a megabyte.
"""

from hub.framing.chunk import DEFAULT_LIMIT, Chunk, Framing
from hub.framing.content_types import for_content_type
from hub.framing.lines import NDJSON
from hub.framing.sniffed import Sniffed
from hub.framing.sse import SSE
from hub.framing.text import Text
from hub.framing.values import ConcatenatedJSON, JSONArray, JSONSeq

__all__ = [
    "DEFAULT_LIMIT",
    "NDJSON",
    "SSE",
    "Chunk",
    "ConcatenatedJSON",
    "Framing",
    "JSONArray",
    "JSONSeq",
    "Sniffed",
    "Text",
    "for_content_type",
]
