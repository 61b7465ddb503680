"""Jobs, run by real workers that are really killed."""
