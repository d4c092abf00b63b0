"""The model servers: which ones there are, and how they are asked over HTTP."""
