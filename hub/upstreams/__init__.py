"""The model servers: which there are, and how they are asked over HTTP."""
