"""Sigma_w, Sigma_s and Sigma_sw of any number of samples, in one pass."""
