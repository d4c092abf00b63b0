"""What the dialects share to read a reply: text, tool calls, usage, errors."""
