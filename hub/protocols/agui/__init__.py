"""AG-UI events for TanStack AI: `/api/chat/{id}`."""
