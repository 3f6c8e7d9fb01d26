"""Samples -> representations on disk, resumable, each under a name that says what it was made from."""
