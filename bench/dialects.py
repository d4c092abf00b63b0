"""``python -m bench.dialects``: how many chunks a second one core reads.

A reply of many deltas, each a block of 280 bytes as OpenAI sends them, in reads of 1,448
bytes (what one TCP segment holds on most networks, so that nearly every read ends in the
middle of a block), goes through framing and dialect. Counted are the events that come out;
nothing is sent. CPU time of the best of some runs, because whatever else the machine does
only adds to it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from time import process_time
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from bench.machine import describe
from hub.dialects import Dialect, find
from hub.domain.events import Delta, Finished
from hub.framing import DEFAULT_LIMIT

BLOCK: Final = 280
READ: Final = 1448
CHUNKS: Final = 20_000
BAR: Final = 150_000
"""Chunks a second that `openai-chat` must reach."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.dialects", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="runs of each")
    runs = max(1, parser.parse_args().runs)
    table = Table("dialect", "chunks/s", "µs a chunk", "against the bar")
    met = True
    for name, make in REPLIES.items():
        reads = list(_reads(make()))
        best = min(_seconds(find(name)({}), reads) for _ in range(runs))
        rate = CHUNKS / best
        ratio = f"{rate / BAR:.2f} × {BAR:,}" if name == "openai-chat" else ""
        table.add_row(name, f"{rate:,.0f}", f"{best / CHUNKS * 1e6:.2f}", ratio)
        met = met and (name != "openai-chat" or rate >= BAR)
    console = Console()
    console.print(table)
    console.print(describe(), markup=False, highlight=False)
    return 0 if met else 1


def _seconds(dialect: Dialect, reads: list[bytes]) -> float:
    """The CPU seconds of one reply, all of it read."""
    framing = dialect.framing(DEFAULT_LIMIT)
    deltas = 0
    ended = False
    begun = process_time()
    for data in reads:
        for chunk in framing.feed(data):
            for event in dialect.events(chunk):
                deltas += isinstance(event, Delta)
                ended = ended or isinstance(event, Finished)
    for event in dialect.close(clean=True):
        ended = ended or isinstance(event, Finished)
    spent = process_time() - begun
    if deltas != CHUNKS or not ended:
        raise AssertionError(f"{deltas} of {CHUNKS} deltas came out, finished: {ended}")
    return spent


def _reads(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), READ):
        yield body[start : start + READ]


def _block(before: bytes, delta: dict[str, Any], after: bytes = b"\n\n") -> bytes:
    """One block of the wanted size, filled up where providers have an id or padding."""
    room = BLOCK - len(before) - len(after) - len(orjson.dumps({**delta, "id": ""}))
    return before + orjson.dumps({"id": "x" * room, **delta}) + after


def _openai_chat() -> bytes:
    said = {
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    choice = {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}
    end = {"choices": [{**choice, "delta": {}, "finish_reason": "stop"}]}
    block = _block(b"data: ", {**said, "choices": [choice]})
    return block * CHUNKS + b"data: " + orjson.dumps(end) + b"\n\ndata: [DONE]\n\n"


def _openai_responses() -> bytes:
    kind = "response.output_text.delta"
    said = {"type": kind, "sequence_number": 7, "item_id": "msg_0123456789", "output_index": 0}
    delta = {**said, "content_index": 0, "delta": " word", "logprobs": []}
    end = b'data: {"type":"response.completed","response":{"status":"completed"}}\n\n'
    return _block(f"event: {kind}\ndata: ".encode(), delta) * CHUNKS + end


def _anthropic() -> bytes:
    kind = "content_block_delta"
    delta = {"type": kind, "index": 0, "delta": {"type": "text_delta", "text": " word"}}
    begin = (
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'
    )
    end = b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}'
    block = _block(f"event: {kind}\ndata: ".encode(), delta)
    return begin + b"\n\n" + block * CHUNKS + end + b'\n\ndata: {"type":"message_stop"}\n\n'


def _gemini() -> bytes:
    said = {"content": {"parts": [{"text": " word"}], "role": "model"}, "index": 0}
    delta = {"candidates": [said], "modelVersion": "gemini-2.5-flash"}
    end = b'data: {"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}]}\r\n\r\n'
    return _block(b"data: ", delta, b"\r\n\r\n") * CHUNKS + end


def _cohere() -> bytes:
    delta = {"message": {"content": {"text": " word"}}}
    block = _block(
        b"event: content-delta\ndata: ", {"type": "content-delta", "index": 0, "delta": delta}
    )
    end = b'data: {"type":"message-end","delta":{"finish_reason":"COMPLETE"}}\n\n'
    return block * CHUNKS + end


def _ollama() -> bytes:
    said = {"model": "llama3.2", "created_at": "2026-01-01T00:00:00.000000Z", "done": False}
    delta = {**said, "message": {"role": "assistant", "content": " word"}}
    return _block(b"", delta, b"\n") * CHUNKS + b'{"done":true,"done_reason":"stop"}\n'


REPLIES: Final[dict[str, Callable[[], bytes]]] = {
    "openai-chat": _openai_chat,
    "openai-responses": _openai_responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "cohere": _cohere,
    "ollama": _ollama,
}


if __name__ == "__main__":
    raise SystemExit(main())
