"""The Durable Streams Protocol: `/v1/stream/{name}`."""
