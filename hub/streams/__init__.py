"""Streams in memory: their records, their followers, and the registry of streams."""
