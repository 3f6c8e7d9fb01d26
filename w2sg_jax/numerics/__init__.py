"""Dense linear algebra, what may enter it, and where it runs; the one place that chooses between host and device."""
