"""Which rows make up training step t: a function of (seed, t), so that training can go on from anywhere."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Int32

from ..encoders.tokens import TokenSet, bucket_of


@dataclass(frozen=True)
class BatchPlan:
    """Epochs over length buckets. Every row is seen once an epoch; all batches of a bucket have one shape."""

    tokens: TokenSet
    """the corpus"""
    edges: tuple[int, ...]
    """padded lengths, ascending; the last one must hold the longest row"""
    batch_size: int
    """rows a batch; the last batch of a bucket is filled up with rows of padding"""
    seed: int
    """fixes the order"""

    @cached_property
    def _buckets(self) -> list[np.ndarray]:
        index = bucket_of(self.tokens.lengths, self.edges)
        return [np.flatnonzero(index == bucket) for bucket in range(len(self.edges))]

    @cached_property
    def steps_per_epoch(self) -> int:
        """Number of batches that hold every row once."""
        return sum(-(-len(rows) // self.batch_size) for rows in self._buckets)

    def batch(self, step: int) -> Int32[np.ndarray, "batch length"]:
        """The identifiers of training step `step` (from 0), padded on the right."""
        epoch, index = divmod(step, self.steps_per_epoch)
        bucket, rows = self._epoch(epoch)[index]
        padded = np.zeros((self.batch_size, self.edges[bucket]), np.int32)
        padded[: len(rows)] = self.tokens.pad(rows, self.edges[bucket])
        return padded

    @cached_property
    def _epoch(self):
        @lru_cache(maxsize=1)
        def order(epoch: int) -> list[tuple[int, np.ndarray]]:
            generator = np.random.default_rng((self.seed, epoch))
            batches = []
            for bucket, rows in enumerate(self._buckets):
                shuffled = generator.permutation(rows)
                cuts = range(self.batch_size, len(rows), self.batch_size)
                batches += [(bucket, part) for part in np.split(shuffled, cuts) if len(part)]
            return [batches[i] for i in generator.permutation(len(batches))]

        return order
