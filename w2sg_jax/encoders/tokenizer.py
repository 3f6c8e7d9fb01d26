"""SMILES to integers and back.

The splitting rule is the regular expression of Schwaller et al., "Found in Translation" (Chem. Sci. 9, 6091,
2018): one token is a bracket atom, an organic-subset atom, a bond, a branch or a ring closure.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from .._errors import InputError
from ..store.atomic import write_text
from .tokens import TokenSet

SMILES_TOKEN = re.compile(
    r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>|\*|\$|\%[0-9]{2}|[0-9]|.)",
    re.DOTALL,
)
"""The published expression, and a catch-all: a character that no rule matches is a token of its own."""

PAD, UNK, CLS, MASK = 0, 1, 2, 3
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[MASK]")
"""Names of the identifiers 0 to 3: padding, unknown token, start of a molecule, masked token."""

_FORMAT = "w2sg_jax SMILES tokenizer 1"


@dataclass(frozen=True)
class SmilesTokenizer:
    """A fixed vocabulary of SMILES tokens: identifiers 0 to 3 are `SPECIAL_TOKENS`, token i has 4 + i.

    A token outside the vocabulary becomes [UNK] in its place and is counted, it is never dropped.
    """

    tokens: tuple[str, ...]
    """the vocabulary without the special tokens, in the order of their identifiers"""

    def __post_init__(self) -> None:
        if len(set(self.tokens)) != len(self.tokens) or set(self.tokens) & set(SPECIAL_TOKENS):
            raise InputError(f"tokens: expected distinct tokens other than {SPECIAL_TOKENS}, got {self.tokens}")

    @classmethod
    def from_corpus(cls, smiles: Iterable[str], *, min_count: int = 1) -> "SmilesTokenizer":
        """The tokens that occur at least `min_count` times, most frequent first (ties by name).

        Raises:
            InputError: no token is left, or an entry is not a string or is empty.
        """
        counts: Counter[str] = Counter()
        for one in smiles:
            counts.update(split_smiles(one))
        kept = [token for token, count in counts.items() if count >= min_count and token not in SPECIAL_TOKENS]
        if not kept:
            raise InputError(
                f"smiles: no token occurs {min_count} times or more; give more molecules or lower min_count"
            )
        return cls(tuple(sorted(kept, key=lambda token: (-counts[token], token))))

    @property
    def size(self) -> int:
        """Number of identifiers, special tokens included: the `vocabulary` of an encoder."""
        return len(SPECIAL_TOKENS) + len(self.tokens)

    @cached_property
    def _identifiers(self) -> dict[str, int]:
        return {token: len(SPECIAL_TOKENS) + i for i, token in enumerate(self.tokens)}

    def encode_one(self, smiles: str) -> Int32[np.ndarray, " length"]:
        """[CLS] and the identifiers of one molecule's tokens, [UNK] for unknown ones.

        Raises:
            InputError: `smiles` is not a string or is empty.
        """
        identifiers = self._identifiers
        return np.array([CLS, *(identifiers.get(token, UNK) for token in split_smiles(smiles))], dtype=np.int32)

    def encode(self, smiles: Sequence[str]) -> TokenSet:
        """Many molecules at once, without padding.

        Returns:
            The identifiers in the order of `smiles`, with the number of unknown tokens.

        Raises:
            InputError: an entry is not a string or is empty (the first one is named), or there is none.
        """
        if isinstance(smiles, str) or len(smiles) == 0:
            raise InputError(f"smiles: expected a sequence of at least one SMILES string, got {smiles!r}")
        rows = [_located(self.encode_one, one, row) for row, one in enumerate(smiles)]
        ids = np.concatenate(rows)
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        return TokenSet(ids, offsets, unknown=int(np.count_nonzero(ids == UNK)))

    def decode(self, ids: Sequence[int] | Int32[np.ndarray, " length"]) -> str:
        """The SMILES of one row of identifiers; padding and [CLS] vanish, [UNK] and [MASK] show by name.

        Raises:
            InputError: an identifier is outside the vocabulary.
        """
        names = SPECIAL_TOKENS + self.tokens
        wrong = [int(i) for i in ids if not 0 <= i < len(names)]
        if wrong:
            raise InputError(
                f"ids: {wrong[0]} is outside the vocabulary 0 .. {len(names) - 1}; use this tokenizer's identifiers"
            )
        return "".join(names[i] for i in ids if i not in (PAD, CLS))

    def save(self, path: Path | str) -> None:
        """Write the vocabulary as JSON; the file appears whole or not at all."""
        write_text(path, json.dumps({"format": _FORMAT, "tokens": self.tokens}, indent=0))

    @classmethod
    def load(cls, path: Path | str) -> "SmilesTokenizer":
        """Read a vocabulary written by `save`.

        Raises:
            InputError: the file is not one.
        """
        try:
            content = json.loads(Path(path).read_text())
        except ValueError as error:
            raise InputError(
                f"path: {path} is not JSON ({error}); expected a file written by SmilesTokenizer.save"
            ) from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise InputError(
                f"path: {path} is not a tokenizer ({_FORMAT!r}); expected a file written by SmilesTokenizer.save"
            )
        return cls(tuple(content["tokens"]))


def split_smiles(smiles: str) -> list[str]:
    """The tokens of one SMILES, in order; joined together they are the SMILES again, without white space around it.

    Raises:
        InputError: `smiles` is not a string or is empty.
    """
    if not isinstance(smiles, str) or not smiles.strip():
        raise InputError(f"smiles: expected a non-empty SMILES string, got {smiles!r}")
    return SMILES_TOKEN.findall(smiles.strip())


def _located(function, argument, row: int):
    try:
        return function(argument)
    except InputError as error:
        raise InputError(f"{error} (row {row}); remove that row") from None
