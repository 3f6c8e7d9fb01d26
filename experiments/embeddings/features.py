"""Text features that no network computes: weighted words with singular vectors, and hashed n-grams of characters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

WORDS = (16, 32, 64, 128, 256, 512, 1024)
"""Widths of words: the leading singular vectors."""
NGRAMS = (64, 128, 256, 512, 1024, 2048)
"""Widths of n-grams."""
VERSION = 1
"""Changes when features would be others."""


def text_features(texts: Sequence[str]) -> Mapping[str, Float32[np.ndarray, "n _"]]:
    """Features by name, "words#64" for 64 of them; fitted on these texts, without a label.

    Words are TF-IDF of those that occur in two texts or more, also of one letter (logarithmic counts), by the leading
    left singular vectors times singular values. N-grams are counts of 3 to 5 characters within words, hashed into so
    many columns, each text of unit length.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

    counts = TfidfVectorizer(min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b").fit_transform(texts)
    most = min(WORDS[-1], min(counts.shape) - 1)
    words = TruncatedSVD(most, algorithm="arpack", random_state=0).fit_transform(counts)
    found = {f"words#{width}": words[:, :width] for width in WORDS if width <= most}
    for width in NGRAMS:
        hashed: Any = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=width).transform(texts)
        found[f"n-grams#{width}"] = hashed.toarray()
    return {name: np.ascontiguousarray(h, np.float32) for name, h in found.items()}
