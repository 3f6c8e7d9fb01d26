"""Unlabelled molecules to pretrain on: GuacaMol, MOSES, its bundled sample, or a file of one's own, by one loader."""

import csv
import gzip
import io
import zipfile
from pathlib import Path

from .._errors import InputError
from .molecules import load_moses_sample
from .remote import RemoteFile, locate
from .smiles import problem_of

GUACAMOL = RemoteFile(
    "guacamol/guacamol_v1_train.smiles",
    "https://ndownloader.figshare.com/files/13612760",
    "md5:05ad85d871958a05c02ab51a4fde8530",
)
"""1.27 million molecules of ChEMBL (Brown et al., J. Chem. Inf. Model. 59, 1096, 2019); the md5 is the publishers'."""
MOSES = RemoteFile(
    "moses/molsets-0.3.1-py3-none-any.whl",
    "https://unpublished.invalid/"
    "molsets-0.3.1-py3-none-any.whl",
    "sha256:7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34",
)
"""1.58 million lead-like molecules of ZINC (Polykovskiy et al., 2020), inside the wheel of their package."""
MOSES_MEMBER = "moses/dataset/data/train.csv.gz"
NAMES = ("guacamol", "moses", "moses-sample")
"""Corpora that are known by name."""
SHOWN = 3
"""Invalid molecules that an error shows."""


def load_corpus(name: str, data_dir: Path | None = None) -> tuple[str, ...]:
    """The molecules of a corpus, as SMILES, in the order of the file.

    Args:
        name: "guacamol", "moses", "moses-sample" (bundled), or a file: one SMILES a line, or a CSV with a column
            named smiles (in any case); also compressed with gzip.
        data_dir: where published files are looked for before they are fetched, as in ``remote.locate``.

    Raises:
        InputError: the file cannot be had, is empty, or holds what is no SMILES: all such rows are counted and the
            first are named.
    """
    if name == "moses-sample":
        return load_moses_sample()
    if name == "guacamol":
        return _checked(_lines(locate(GUACAMOL, data_dir).read_bytes()), name)
    if name == "moses":
        with zipfile.ZipFile(locate(MOSES, data_dir)) as wheel:
            return _checked(_lines(wheel.read(MOSES_MEMBER)), name)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"corpus: {name!r} is neither a file nor one of {', '.join(NAMES)}")
    return _checked(_lines(path.read_bytes()), name)


def _lines(content: bytes) -> list[str]:
    """SMILES of a text or a CSV file."""
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"corpus: the file is not whole, or not text ({error})") from None
    head = [column.strip().lower() for column in text.partition("\n")[0].split(",")]
    if "smiles" not in head:
        return [line.strip() for line in text.splitlines()]
    return [row[head.index("smiles")].strip() for row in csv.reader(io.StringIO(text)) if row][1:]


def _checked(smiles: list[str], name: str) -> tuple[str, ...]:
    if not smiles:
        raise InputError(f"corpus: {name} holds no molecule")
    wrong = [(row, problem) for row, one in enumerate(smiles) if (problem := problem_of(one)) is not None]
    if wrong:
        shown = "; ".join(f"row {row}, {smiles[row]!r}: {problem}" for row, problem in wrong[:SHOWN])
        raise InputError(f"corpus: {len(wrong)} of {len(smiles)} rows of {name} are no SMILES ({shown}); remove them")
    return tuple(smiles)
