"""The WebSocket `hub.v1`: its endpoint and its commands."""
