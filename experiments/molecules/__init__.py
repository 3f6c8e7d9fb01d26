"""Experiment I of the paper: small transformers supervise a larger one on molecules."""
