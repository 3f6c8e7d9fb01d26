"""The `w2sg` command, one module a subcommand; nothing here imports JAX before a command runs."""

from .main import main as main
