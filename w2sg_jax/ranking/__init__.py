"""Many weak models against one strong model."""
