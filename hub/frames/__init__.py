"""Records to bytes for a client: one file for each encoding."""
