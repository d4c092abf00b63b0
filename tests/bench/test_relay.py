"""The benchmark of the relay counts what really came, on every way it compares."""

from __future__ import annotations

from bench.relay import Client, forward, streamhub, upstream


async def test_every_chunk_comes_directly_and_through_the_hub() -> None:
    with (
        upstream() as direct,
        forward(direct.port) as floor,
        streamhub(direct.port) as hub,
    ):
        for way in (direct, floor, hub):
            async with Client(way) as client:
                for model in ("1-0-1", "50-0-5", "7-100-2"):
                    seconds, chunks = await client.ask(model)
                    assert chunks == int(model.partition("-")[0])
                    assert seconds > 0
