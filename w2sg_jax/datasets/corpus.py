"""Unlabelled molecules to pretrain on: GuacaMol, MOSES, its bundled sample, or a file of one's own, by one loader."""

import csv
import gzip
import io
import zipfile
from pathlib import Path

from .._errors import InputError
from .molecules import load_moses_sample
from .remote import RemoteFile, locate
from .smiles import refuse_invalid

GUACAMOL = RemoteFile(
    "guacamol/guacamol_v1_train.smiles",
    "https://ndownloader.figshare.com/files/13612760",
    "md5:05ad85d871958a05c02ab51a4fde8530",
)
"""1.27 million molecules of ChEMBL (Brown et al., J. Chem. Inf. Model. 59, 1096, 2019); the md5 is the publishers'."""
MOSES = RemoteFile(
    "moses/molsets-0.3.1-py3-none-any.whl",
    "molsets==0.3.1",
    "sha256:7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34",
)
"""1.58 million lead-like molecules of ZINC (Polykovskiy et al., 2020), inside the wheel of their package."""
MOSES_MEMBER = "moses/dataset/data/train.csv.gz"
NAMES = ("guacamol", "moses", "moses-sample")
"""Corpora that are known by name."""


def load_corpus(name: str, data_dir: Path | None = None) -> tuple[str, ...]:
    """The molecules of a corpus, as SMILES, in the order of the file.

    Args:
        name: "guacamol", "moses", "moses-sample" (bundled), or a file: one SMILES a line, or a CSV with a column
            named smiles (in any case); also compressed with gzip.
        data_dir: where published files are looked for before they are fetched, as in ``remote.locate``.

    Raises:
        InputError: the file cannot be had or is empty; or a file of one's own holds what is no SMILES: all such rows
            are counted and the first are named. (Published files are compared with their hash instead.)
    """
    if name == "moses-sample":
        return load_moses_sample()
    if name == "guacamol":
        return tuple(_lines(locate(GUACAMOL, data_dir).read_bytes()))
    if name == "moses":
        with zipfile.ZipFile(locate(MOSES, data_dir)) as wheel:
            return tuple(_lines(wheel.read(MOSES_MEMBER)))
    path = Path(name)
    if not path.is_file():
        raise InputError(f"corpus: {name!r} is neither a file nor one of {', '.join(NAMES)}")
    smiles = _lines(path.read_bytes())
    if not smiles:
        raise InputError(f"corpus: {name} holds no molecule")
    refuse_invalid(smiles, f"corpus {name}")
    return tuple(smiles)


def _lines(content: bytes) -> list[str]:
    """SMILES of a text or a CSV file."""
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"corpus: the file is not whole, or not text ({error})") from None
    try:
        rows = csv.reader(io.StringIO(text))
        head = [column.strip().lower() for column in next(rows, [])]
        if "smiles" not in head:
            return [line.strip() for line in text.splitlines()]
        column = head.index("smiles")
        return [row[column].strip() if column < len(row) else "" for row in rows if row]
    except csv.Error as error:
        raise InputError(f"corpus: the file is no CSV that can be read ({error})") from None
