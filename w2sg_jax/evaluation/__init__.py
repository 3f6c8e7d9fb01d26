"""Did the predictors foretell it? Measured errors beside predictions, and their correlation."""
