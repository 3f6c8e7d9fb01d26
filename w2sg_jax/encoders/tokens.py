"""Rows of token identifiers of different lengths, and how they become rectangular batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int, Int32

from .._errors import InputError


@dataclass(frozen=True)
class TokenSet:
    """n rows of identifiers, end to end: row i is `ids[offsets[i] : offsets[i + 1]]`; 0 means padding."""

    ids: Int32[np.ndarray, " total"]
    """all identifiers, row after row"""
    offsets: Int[np.ndarray, " n_plus_1"]
    """where rows start, and the total at the end"""
    unknown: int
    """how many of them stand for a token outside the vocabulary"""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """Number of identifiers of each row."""
        return np.diff(self.offsets)

    def pad(
        self, rows: Int[np.ndarray, " batch"], length: int, *, side: Literal["left", "right"] = "right"
    ) -> Int32[np.ndarray, "batch length"]:
        """A rectangle with the given rows, zeros on one side.

        Raises:
            InputError: a row is longer than `length`; nothing is cut off silently.
        """
        too_long = [int(row) for row in rows if self.offsets[row + 1] - self.offsets[row] > length]
        if too_long:
            found = int(self.lengths[too_long[0]])
            raise InputError(f"length: row {too_long[0]} has {found} tokens, more than {length}; give a larger length")
        padded = np.zeros((len(rows), length), np.int32)
        for target, row in zip(padded, rows, strict=True):
            content = self.ids[self.offsets[row] : self.offsets[row + 1]]
            target[slice(len(content)) if side == "right" else slice(length - len(content), length)] = content
        return padded


def bucket_of(lengths: Int[np.ndarray, " n"], edges: Sequence[int]) -> Int[np.ndarray, " n"]:
    """For each row the index of the smallest edge that holds it, so that few rectangles need compiling.

    Raises:
        InputError: the edges do not ascend, or a row is longer than the last one.
    """
    if list(edges) != sorted(set(edges)) or not edges:
        raise InputError(f"edges: expected ascending lengths, got {tuple(edges)}")
    if len(lengths) and int(np.max(lengths)) > edges[-1]:
        row = int(np.argmax(lengths))
        raise InputError(
            f"lengths: row {row} has {int(lengths[row])} tokens, more than the longest allowed, {edges[-1]}; "
            "remove the row or allow longer ones (max_length of the encoder's config)"
        )
    return np.searchsorted(np.asarray(edges), lengths)
