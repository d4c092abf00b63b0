"""OpenAI's chat completions, Responses and models: `/v1/…`."""
