"""Unlabelled molecules to pretrain on: GuacaMol, MOSES, its bundled sample, or a file of one's own, by one loader."""

import csv
import gzip
import io
import zipfile
from pathlib import Path

from .._errors import InputError
from .molecules import load_moses_sample
from .remote import RemoteFile, locate
from .smiles import LONGEST, problem_of, refuse_invalid

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


DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
"""What separates the columns of a table; none of them stands in a SMILES."""


def load_corpus(name: str, data_dir: Path | None = None) -> tuple[str, ...]:
    """The molecules of a corpus, as SMILES, in the order of the file.

    Args:
        name: "guacamol", "moses", "moses-sample" (bundled), or a file: one SMILES a line, which white space and a name
            may follow, as in .smi files; or a table with a column named smiles (in any case), its columns separated by
            commas, semicolons, tabs or spaces; also compressed with gzip. Blank lines at the end count for nothing.
        data_dir: where published files are looked for before they are fetched, as in ``remote.locate``.

    Raises:
        InputError: the file cannot be had or is empty; it is a table without a column named smiles; or a file of one's
            own holds what is no SMILES: all such rows are counted and the first are named. (Published files are
            compared with their hash instead.)
    """
    if name == "moses-sample":
        return load_moses_sample()
    if name == "guacamol":
        return tuple(_molecules(locate(GUACAMOL, data_dir).read_bytes(), name))
    if name == "moses":
        with zipfile.ZipFile(locate(MOSES, data_dir)) as wheel:
            return tuple(_molecules(wheel.read(MOSES_MEMBER), name))
    path = Path(name)
    if not path.is_file():
        raise InputError(f"corpus: {name!r} is neither a file nor one of {', '.join(NAMES)}")
    smiles = _molecules(path.read_bytes(), name)
    if not smiles:
        raise InputError(f"corpus: {name} holds no molecule")
    refuse_invalid(smiles, f"corpus {name}")
    return tuple(smiles)


def _molecules(content: bytes, name: str) -> list[str]:
    """SMILES of a text or of a table."""
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"corpus: the file is not whole, or not text ({error})") from None
    text = text.rstrip()
    head = text.split("\n", 1)[0]
    for delimiter in DELIMITERS:
        if "smiles" in (names := _names(text, delimiter)):
            return _column(text, delimiter, names.index("smiles"))
    lines = text.splitlines()
    if "smiles" in (names := head.lower().split()):
        place = names.index("smiles")
        longer = next((row for row, line in enumerate(lines[1:]) if len(line.split()) > len(names)), None)
        if longer is not None and place > 0:
            raise InputError(
                f"corpus {name}: row {longer} has more words than the first line names, so that its smiles cannot be"
                " told; separate the columns by tabs or commas"
            )
        return [(line.split()[place : place + 1] or [""])[0] for line in lines[1:]]
    if delimiter := next((one for one in DELIMITERS if one in head and not _is_named(head, one)), None):
        raise InputError(
            f"corpus {name}: the columns are separated by {DELIMITERS[delimiter]}, and none of them is named smiles"
            f" (the first line is {head.strip()[:LONGEST]!r}); name that of the molecules so, in the first line"
        )
    smiles = [(line.split(maxsplit=1) or [""])[0] for line in lines]
    if len(smiles) > 1 and (problem := problem_of(smiles[0])) and not any(map(problem_of, smiles[1:])):
        raise InputError(
            f"corpus {name}: every line but the first is a SMILES ({smiles[0][:LONGEST]!r}: {problem}); if that names"
            " the column, call it smiles, else correct or remove it"
        )
    return smiles


def _is_named(line: str, delimiter: str) -> bool:
    """Whether a line is a SMILES and its name, as in .smi files, with a tab between, or with commas in the name."""
    first = (line.split(maxsplit=1) or [""])[0]
    return delimiter not in first and problem_of(first) is None


def _names(text: str, delimiter: str) -> list[str]:
    """Names of the columns, in small letters, if the text is a table of this kind."""
    try:
        return [cell.strip().lower() for cell in next(csv.reader(io.StringIO(text), delimiter=delimiter), [])]
    except csv.Error:
        return []


def _column(text: str, delimiter: str, place: int) -> list[str]:
    """One column of a table, without its name."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error as error:
        raise InputError(f"corpus: the file is no CSV that can be read ({error})") from None
    return [row[place].strip() if place < len(row) else "" for row in rows[1:]]
