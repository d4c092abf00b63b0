"""The AI SDK's UI message stream: `/api/chat`."""
