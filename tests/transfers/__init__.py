"""Files of conversations: written, read, brought in, on both engines."""
