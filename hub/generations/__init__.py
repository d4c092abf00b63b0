"""Generations at work: begun once, read from an upstream, ended exactly once."""
