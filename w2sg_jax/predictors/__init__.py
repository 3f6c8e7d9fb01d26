"""Predictors of weak-to-strong generalization, one file a published one."""
