"""All default values, in one place.

`hub.config` uses them when there is no ``config.toml``, and the parts of a hub when an application
builds one by hand, so that both have the same defaults. Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

from typing import Final, Literal

KIB: Final = 1024
MIB: Final = 1024 * KIB

# server
BEAT: Final = 15.0
GRACE: Final = 1.0
WS_BEAT: Final = 20.0

# streams
MAX_RECORDS: Final = 100_000
MAX_BYTES: Final = 64 * MIB
WARM_BYTES: Final = MIB
MAX_PRODUCERS: Final = 1_000
FOREIGN_GENERATIONS: Final = False
KEEP_FOREVER: Final = 0.0
LONG_POLL: Final = 20.0
SSE_ROTATE: Final = 60.0

# fanout
SLICE: Final = 250
SLOW_CLIENT: Final = 30.0
DELIVER: Final[Literal["at_once", "committed"]] = "at_once"
CATCH_UP_BYTES: Final = 64 * KIB
WRITE_BUFFER_BYTES: Final = 64 * KIB

# limits
CONNECTIONS: Final = 10_000
SUBSCRIPTIONS: Final = 100
PRESENCE: Final = 200
PRESENCE_BYTES: Final = KIB
STREAMS: Final = 10_000
STREAM_BYTES_TOTAL: Final = 512 * MIB
EVENT_BYTES: Final = 20 * MIB
BODIES_BYTES: Final = 256 * MIB
NAME_LENGTH: Final = 200
BODY_BYTES: Final = 20 * MIB
PROMPT_BYTES: Final = 20 * MIB
PROMPT_MESSAGES: Final = 10_000
CONNECTIONS_OF_ONE: Final = 100
SHARES: Final = 500
GENERATIONS: Final = 100
GENERATION: Final = 3600.0
IDEMPOTENCY_KEYS: Final = 10_000
QUEUED_PROMPTS: Final = 20
QUEUED_BYTES: Final = 256 * KIB

# node
LEASE: Final = 1.2
SETTLE: Final = 0.5

# upstreams
CONNECT: Final = 10.0
STALL: Final = 60.0
CONTENT: Final = 600.0
RETRIES: Final = 2
MAX_RETRY_WAIT: Final = 30.0
CHUNK_BYTES: Final = 20 * MIB
