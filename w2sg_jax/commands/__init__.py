"""What `w2sg` can do, one module a command; nothing here imports JAX before a command runs."""
