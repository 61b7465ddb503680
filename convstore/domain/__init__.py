"""What a conversation is: items, usage, responses, streams. Pure functions and values, no I/O."""
