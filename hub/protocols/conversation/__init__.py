"""What the chat protocols share: messages, views of a conversation, single requests."""
