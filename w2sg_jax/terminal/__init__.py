"""What a person at a terminal sees: streams, options, progress, and one line for what went wrong."""
