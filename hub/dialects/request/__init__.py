"""What the dialects share to write a request: the prompt and the options, checked."""
