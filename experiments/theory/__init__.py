"""The theory, measured: each figure of the theory laboratory, its numbers, and the command that makes it."""
