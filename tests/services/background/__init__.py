"""Background responses, verb by verb, with an engine that does what a test tells it to."""
