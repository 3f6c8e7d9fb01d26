"""Which predictor foretells the error of the strong model best? All of them, on the same heads and splits."""
