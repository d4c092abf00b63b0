"""What the dialects share to write a request: a prompt and its options, checked."""
