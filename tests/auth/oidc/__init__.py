"""Logging in with an OpenID provider."""
