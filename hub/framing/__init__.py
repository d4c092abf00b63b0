"""Framings: cut the bytes of an upstream's body into chunks.

A socket may split its bytes anywhere: in a line, in a character, between CR and LF. A framing
joins them and splits them where the format says. It does no I/O: bytes go in with `feed`,
``flush`` marks the end of the body, and chunks come out. However the same bytes were split,
the result is the same chunks, and the same error at the same place.

=================  ===========================================  ================================
framing            a chunk is                                   a body that is cut off
=================  ===========================================  ================================
`SSE`              the data of one event, and the event's name  has no terminator: the dialect
                                                                notices
`NDJSON`           a line that is not blank                     the same
`JSONSeq`          a JSON text after 0x1E                       is an error
`ConcatenatedJSON` one of several adjacent JSON values          is an error
`JSONArray`        an element of the array that the body is     is an error
`Text`             what one read brought, in whole characters   is not noticed here
=================  ===========================================  ================================

`Sniffed` checks the first bytes before it trusts the expected framing. A framing does not
interpret its chunks; that is the dialect's task.

Memory is bounded: a chunk has at most ``limit`` bytes, and a framing holds at most about twice
that and one read. Time is linear: every byte is examined a fixed number of times, even if a
line of a megabyte arrives byte by byte.
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
