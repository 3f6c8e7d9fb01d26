"""Experiment II of the paper: layers of embedding and language models, and counted features, as ridge probes."""
