"""Clients that stay connected: what each is sent, how fast, and when it is cut off."""
