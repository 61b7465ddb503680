"""OpenAI's own description of the API, and what the service says held against it."""
