"""Streams in memory: their records, their followers, and how they are found."""
