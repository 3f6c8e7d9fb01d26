"""Texts and tasks: formats and mistakes in files written here, the published rows where they are at hand, splits."""

import csv
import http.server
import io
import json
import os
import shutil
import sys
import tarfile
import threading
import zipfile
from collections import Counter
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2sg_jax import InputError
from w2sg_jax.cli import main
from w2sg_jax.datasets import TASKS, load_text, read_text, tasks, text, text_set, text_splits
from w2sg_jax.datasets.prompts import columns_of, fill, wrong_answer
from w2sg_jax.datasets.remote import RemoteFile, Unreachable, locate
from w2sg_jax.store.content import bytes_hash

pytestmark = pytest.mark.driver  # without JAX

published = pytest.mark.skipif("W2SG_DATA" not in os.environ, reason="needs the published files")

WORDS = [("The kettle sings.", "calm"), ("The boat sinks!", "alarm"), ("A “quoted”, word\nand a line", "calm")]


def as_csv(rows, delimiter=","):
    quoted = (['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows)
    return "\n".join(map(delimiter.join, quoted)) + "\n"


@pytest.fixture
def write(tmp_path):
    """Writes a file and returns its path."""

    def written(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def own(write, labels, name="own.csv", **options):
    """A file with one text a label."""
    rows = [("text", "label"), *((f"text {row}", str(label)) for row, label in enumerate(labels))]
    return read_text(write(name, as_csv(rows)), text="text", label="label", **options)


# Prompts


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{text.__class__}", "more than the column 'text.__class__'"),
        ("{text[0]}", "more than the column"),
        ("{text!r}", "more than the column 'text'"),
        ("{text:>10}", "more than the column 'text'"),
        ("{text:{label}}", "more than the column 'text'"),
        ("{}", "empty braces"),
        ("{text", "cannot be read"),
        ("text}", "cannot be read"),
        ("text", "names no column"),
    ],
)
def test_a_template_has_plain_names_of_columns_only(template, problem):
    with pytest.raises(InputError, match=rf"^template: .*{problem}"):
        columns_of(template)
    assert "\n" not in problem


def test_values_are_text_whatever_is_in_them():
    row = {"a": "{b} {0} %s {{", "b": "{a.__class__}"}
    assert fill("{{x}} {a}/{b}/{a}", row) == "{x} {b} {0} %s {{/{a.__class__}/{b} {0} %s {{"
    assert columns_of("{{x}} {a}/{b}/{a}") == ("a", "b")
    with pytest.raises(InputError, match=r"no column 'question'; did you mean {questions}\?"):
        fill("{question}", {"questions": ""})


CHOICES = st.lists(st.text(min_size=1), min_size=2, max_size=6)


@given(question=st.text(), choices=CHOICES)
def test_the_wrong_answer_is_never_right_and_does_not_depend_on_order(question, choices):
    right = choices[0]
    if all(" ".join(one.casefold().split()) == " ".join(right.casefold().split()) for one in choices):
        with pytest.raises(InputError, match="none is a wrong answer"):
            wrong_answer(question, [right], choices)
        return
    found = wrong_answer(question, [right], choices)
    assert found in choices and found != right
    assert wrong_answer(question, [right], choices[::-1]) == found


def test_the_wrong_answer_is_drawn_from_all_and_stays():
    drawn = Counter(wrong_answer(f"question {row}", ["a"], ["a", "b", "c", "d"]) for row in range(3000))
    assert set(drawn) == {"b", "c", "d"}
    assert max(abs(count - 1000) for count in drawn.values()) < 5 * (3000 * 2 / 9) ** 0.5
    assert wrong_answer("What sings?", ["kettle"], [" Kettle", "boat", "stone", "lamp"]) == "stone"


# Files of one's own


def test_csv_tsv_and_json_lines_are_one_set(write):
    head = ("text", "mood")
    lines = "".join(json.dumps({"mood": mood, "text": one, "more": [1]}) + "\n" for one, mood in WORDS)
    paths = [
        write("a.csv", as_csv([head, *WORDS])),
        write("bom.csv", b"\xef\xbb\xbf" + as_csv([head, *WORDS]).replace("\n", "\r\n").encode()),
        write("a.tsv", as_csv([head, *WORDS], "\t")),
        write("a.jsonl", lines),
        write("a.ndjson", lines + "\n\n"),
    ]
    for path in paths:
        data = read_text(path, text="text", label="mood")
        assert [one.replace("\r\n", "\n") for one in data.texts] == [one for one, _ in WORDS]
        assert data.label.tolist() == [1, 0, 1] and not data.label.flags.writeable
        assert data.classes == ("alarm", "calm") and data.positive == "mood is calm"
        assert data.balance == pytest.approx(2 / 3) and data.majority_error == pytest.approx(1 / 3)
        assert data.group.tolist() == [0, 1, 2] and data.group.dtype == np.int64
        assert (data.name, data.rows, data.template) == (path.stem, f"all 3 rows of {path}", "{text}")


def test_parquet_arrow_and_folders_are_the_same_set(write, tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = import_module("pyarrow.parquet")
    columns = {"text": [one for one, _ in WORDS], "mood": [mood for _, mood in WORDS], "rating": [1.5, 2.0, 9.0]}
    table = pa.table({**columns, "lists": [[1], [2], [3]]})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    encoded = table.set_column(1, "mood", table["mood"].dictionary_encode())
    with pa.OSFile(str(tmp_path / "b.arrow"), "wb") as file, pa.ipc.new_file(file, encoded.schema) as writer:
        writer.write_table(encoded)
    (tmp_path / "folder").mkdir()
    for part in range(2):
        parquet.write_table(table[part * 2 : part * 2 + 2], tmp_path / f"folder/train-{part:05}-of-00002.parquet")
    for name in ("a.parquet", "a.arrow", "b.arrow", "folder"):
        data = read_text(tmp_path / name, text="text", label="mood")
        assert data.texts == tuple(columns["text"]) and data.label.tolist() == [1, 0, 1]
        regression = read_text(tmp_path / name, template="{mood}: {text}", label="rating")
        assert regression.label.tolist() == [1.5, 2, 9] and regression.classes == () and regression.positive == ""
        assert regression.balance is None and regression.majority_error is None
        assert regression.texts[1] == "alarm: The boat sinks!"
        with pytest.raises(InputError, match=r"the column 'lists' is of the type list.*expected texts"):
            read_text(tmp_path / name, text="lists", label="mood")
        with pytest.raises(InputError, match="no column 'mode'; did you mean 'mood'"):
            read_text(tmp_path / name, text="text", label="mode")
    for name, less in (("a.parquet", 9), ("a.arrow", 9), ("a.arrow", 8), ("b.arrow", 9)):
        cut = write(f"cut-{name}", (tmp_path / name).read_bytes()[:-less])
        with pytest.raises(InputError, match="truncated or damaged"):
            read_text(cut, text="text", label="mood")


def test_a_saved_dataset_names_its_classes(tmp_path):
    hub = pytest.importorskip("datasets")
    features = hub.Features({"text": hub.Value("string"), "label": hub.ClassLabel(names=["neg", "pos"])})
    rows = {"text": ["good", "bad", "fine"], "label": [1, 0, 1]}
    hub.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    data = read_text(tmp_path / "saved", text="text", label="label")
    assert data.classes == ("neg", "pos") and data.label.tolist() == [1, 0, 1]


def test_long_texts_and_odd_line_ends_stay_whole(write):
    limit = csv.field_size_limit()
    long = "word " * 60_000
    odd = "one\u2028two\x0bthree\x85four"
    data = read_text(write("a.csv", as_csv([("t", "y"), (long, "0"), (odd, "1")])), text="t", label="y")
    assert data.texts == (long, odd)
    lines = "".join(json.dumps({"t": one, "y": y}, ensure_ascii=False) + "\n" for one, y in ((long, 0), (odd, 1)))
    assert read_text(write("a.json", lines), text="t", label="y").texts == (long, odd)
    assert csv.field_size_limit() == limit, "the limit of the process is as it was"


@pytest.mark.parametrize(
    ("labels", "expected", "classes"),
    [
        (["0", "1", "1"], [0, 1, 1], ("0", "1")),
        (["2", "1", "2"], [1, 0, 1], ("1", "2")),
        (["-1", "1.0", "+1"], [0, 1, 1], ("-1", "1")),
        (["10", "9", "9"], [1, 0, 0], ("9", "10")),
        (["True", "False", "True"], [1, 0, 1], ("False", "True")),
        (["yes", "no", " yes "], [1, 0, 1], ("no", "yes")),
        (["0.5", "1e3", "-2"], [0.5, 1000, -2], ()),
    ],
)
def test_labels_are_numbers_truth_values_or_words(write, labels, expected, classes):
    data = own(write, labels)
    assert data.label.tolist() == expected and data.classes == classes and data.label.dtype == np.float64


def test_one_class_against_the_rest(write):
    data = own(write, ["sport", "news", "art"], positive="news")
    assert data.label.tolist() == [0, 1, 0] and data.classes == ("not news", "news")
    assert own(write, ["a", "b", "a"], positive="a").classes == ("b", "a")
    assert own(write, ["3", "4", "5"], positive="4").label.tolist() == [0, 1, 0]
    with pytest.raises(InputError, match="no class 'new'; did you mean 'news'"):
        own(write, ["sport", "news", "art"], positive="new")


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (["a", "b", "c"], r"3 classes \('a', 'b', 'c'\).*positive.*such as 'a'"),
        (["a", "a"], "all 2 rows are 'a'; give rows of two classes"),
        (["1", "1.0"], "all 2 rows are '1'"),
        (["1", "2", "n/a"], "row 2 is 'n/a', which is no number, as others are"),
        (["1", "nan"], "row 1 is 'nan', which is not finite"),
        (["1", "", "2"], "there is no label in row 1; label them"),
        ([""] * 9, r"no label in rows 0, 1, 2, 3, 4 and 4 more"),
    ],
)
def test_labels_that_cannot_be_used(write, labels, problem):
    with pytest.raises(InputError, match=problem) as caught:
        own(write, labels)
    assert "own.csv" in str(caught.value) and "'label'" in str(caught.value)


BROKEN = {
    "quote.csv": ('text,label\n"a" b,1\n', "line 2, row 0: a quote is broken"),
    "open.csv": ('text,label\nx,0\n"a,1\n', "a quote is broken"),
    "cells.csv": ("text,label\na,b,1\n", r"row 0, which ends in line 2, has 3 cells for 2 columns; put quotes"),
    "few.csv": ("text,label\na,1\nb\n", "row 1, which ends in line 3, has 1 cells"),
    "twice.csv": ("text,label,text\na,1,b\n", "2 columns 'text'; rename"),
    "empty.csv": ("", "the first line is empty; name the columns"),
    "none.csv": ("text,label\n", "there are no rows"),
    "bytes.csv": (b"text,label\na,1\ncaf\xe9,0\n", r"line 3 is not UTF-8 \(byte 0xe9\); save"),
    "blank.csv": ("text,label\na,1\n  ,0\n", r"the text is empty in row 1; drop"),
    "name.csv": ("texts,label\na,1\nb,0\n", "no column 'text'; did you mean 'texts'"),
    "array.json": ('[{"text": "a"}]', "one JSON array; write one object a line"),
    "list.jsonl": ('{"text": ["a"], "label": 1}\n', "row 0 of the column 'text' is a list; write one"),
    "object.jsonl": ('{"text": {"a": 1}, "label": 1}\n', "row 0 of the column 'text' is an object"),
    "labels.jsonl": ('{"text": "a", "label": [1]}\n', "row 0 of the column 'label' is a list"),
    "null.jsonl": ('{"text": null, "label": 1}\n', "'text': there is no value in row 0"),
    "line.jsonl": ('{"text": "a", "label": 1}\n{"text"\n', "line 2 is no JSON"),
    "number.jsonl": ("1\n", "line 1 is no JSON object"),
    "key.jsonl": ('{"text": "a", "text": "b", "label": 1}\n', "line 1 has the name 'text' twice"),
    "missing.jsonl": ('{"text": "a", "label": 1}\n{"text": "a", "labels": 1}\n', r"row 1 \(line 2\).*mean 'labels'"),
    "half.jsonl": ('{"text": "a\\ud800", "label": 1}\n{"text": "b", "label": 0}\n', "half of a surrogate pair.*row 0"),
    "huge.jsonl": ('{"text": "a", "label": 1' + "0" * 400 + "}\n" + '{"text": "b", "label": 0}\n', "not finite"),
    "deep.jsonl": ("[" * 3 + "\n", "one JSON array"),
    "a.txt": ("a", r"the suffix '.txt' is none of a table; write it as one of .csv"),
    "noname": ("a", "the name has no suffix"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_is_one_clear_line(write, name):
    content, problem = BROKEN[name]
    with pytest.raises(InputError, match=problem) as caught:
        read_text(write(name, content), text="text", label="label")
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_options_of_own_files_are_checked(write, tmp_path):
    path = write("a.csv", "q,p,y,g\nwho,him,1,x\nwhat,it,0,\n")
    with pytest.raises(InputError, match=r"did you mean .*a.csv\?"):
        read_text(tmp_path / "a.cvs", text="q", label="y")
    with pytest.raises(InputError, match="text: name the column with the texts, or pass a template"):
        read_text(path, label="y")
    with pytest.raises(InputError, match="template: it names the column 'p', which text does not"):
        read_text(path, text="q", template="{q} {p}", label="y")
    with pytest.raises(InputError, match="group column 'g': there is no value in row 1"):
        read_text(path, text="q", label="y", group="g")
    assert read_text(path, text=("q", "p"), label="y").texts == ("who\nhim", "what\nit")
    assert read_text(path, template="{p}? {q}!", label="y").texts == ("him? who!", "it? what!")


# Groups


def test_equal_texts_are_one_group_and_named():
    data = text_set("a", ["One  text", "two", "one TEXT ", "ｏｎｅ text", "two"], [0, 1, 0, 1, 1], classes=("n", "p"))
    assert data.group.tolist() == [0, 1, 0, 0, 1]
    assert data.repeats == (2, 3, 4) and data.duplicates == 3 and data.contradictions == (3,)
    assert data.texts[2] == "one TEXT ", "texts are kept as they are"


def test_groups_that_share_a_text_become_one():
    data = text_set("a", ["s", "t", "t", "u", "v"], [0, 1, 1, 0, 1], together=["a", "a", "b", "b", "c"])
    assert data.group.tolist() == [0, 0, 0, 0, 1] and data.groups == 2


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=2, max_size=40))
def test_groups_are_the_connected_ones(rows):
    """Against the closure of "same name or same text" by repetition."""
    names, texts = [f"g{one}" for one, _ in rows], [f"t{other}" for _, other in rows]
    expected = list(range(len(rows)))
    for _ in rows:
        for i in range(len(rows)):
            for j in range(len(rows)):
                if names[i] == names[j] or texts[i] == texts[j]:
                    expected[i] = expected[j] = min(expected[i], expected[j])
    data = text_set("a", texts, list(range(len(rows))), together=names)
    assert [[one == other for other in data.group] for one in data.group] == [
        [one == other for other in expected] for one in expected
    ]


def test_text_set_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="2 texts, 1 labels"):
        text_set("a", ["a", "b"], [1])
    with pytest.raises(InputError, match="all 2 rows have the label 'p'"):
        text_set("a", ["a", "b"], [1, 1], classes=("n", "p"))


# Splits


def many(groups=2000, size=2, start=0):
    rows = [(f"text {g}.{i}", i % 2, f"group {g}") for g in range(start, start + groups) for i in range(size)]
    texts, label, together = zip(*rows, strict=True)
    return text_set("many", texts, label, together=together, classes=("n", "p"))


def parts(data, **options):
    splits = text_splits(data, **options)
    return [splits.train, splits.w2s, splits.test]


def test_splits_are_disjoint_whole_and_balanced():
    data = many()
    found = parts(data)
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(len(data)))
    groups = [set(data.group[rows]) for rows in found]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    for rows, share in zip(found, (0.4, 0.4, 0.2), strict=True):
        assert abs(len(rows) / len(data) - share) < 5 * (share * (1 - share) / 2000) ** 0.5
        assert data.label[rows].mean() == 0.5, "pairs of both classes are never parted"
        assert np.all(np.diff(rows) > 0) and not rows.flags.writeable


def place(data, **options):
    """Text -> the part it is in."""
    return {data.texts[row]: part for part, rows in enumerate(parts(data, **options)) for row in rows}


def test_rows_added_elsewhere_or_reordered_change_no_row():
    before, more = place(many(200)), place(many(600))
    assert before == {one: more[one] for one in before}
    data = many(200)
    order = np.random.default_rng(0).permutation(len(data))
    again = text_set(
        "b",
        [data.texts[row] for row in order],
        [data.label[row] for row in order],
        together=[f"group {data.texts[row][5:-2]}" for row in order],
        classes=("n", "p"),
    )
    assert place(again) == before


def test_another_seed_is_another_split_and_the_same_seed_the_same():
    data = many(200)
    assert place(data) == place(data) != place(data, seed=1)


def test_n_keeps_groups_whole_and_rows_in_their_parts():
    data = many(500, size=4)
    everything, some = place(data), place(data, n=303)
    assert len(some) == 300 and all(everything[one] == part for one, part in some.items())
    fewer = place(data, n=200)
    assert fewer.items() <= some.items()
    assert place(data, n=10_000) == everything


def test_shares_can_be_chosen():
    train, w2s, test = map(len, parts(many(), shares=(0.1, 0.2, 0.7)))
    assert train < w2s < test


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.5, 0.0), (0.5, 0.4, 0.2), (1.2, -0.1, -0.1)])
def test_bad_shares_are_refused(shares):
    with pytest.raises(InputError, match=r"shares: got .*three positive numbers that sum to 1"):
        text_splits(many(10), shares=shares)


def test_too_few_groups_and_single_classes_are_refused():
    with pytest.raises(InputError, match="n: got 2"):
        text_splits(many(10), n=2)
    with pytest.raises(InputError, match=r"2 rows of many are 1 group, since equal texts are one; .* the right column"):
        text_splits(many(1))
    with pytest.raises(InputError, match=r"1 group with n=3 of many leave the part \w+ empty"):
        text_splits(many(10), n=3)
    lonely = text_set("lonely", [f"text {i}" for i in range(60)], [1.0] + [0.0] * 59, classes=("n", "p"))
    with pytest.raises(InputError, match=r"leave one label alone \(0\) in the part"):
        text_splits(lonely)


# The tasks


QUESTIONS = {
    "0": {"question": "What sings?", "option1": "stone", "option2": "kettle", "option3": "sand", "option4": "ice"},
    "1": {"question": "what SINGS?", "option1": "kettle", "option2": "lamp", "option3": "bird", "option4": "fog"},
    "2": {"question": "What sinks?", "option1": "cork", "option2": "foam", "option3": "oil", "option4": "lead"},
}
ANSWERS = {"0": 2, "1": 3, "2": 4}
REVIEWS = "review,sentimentGood: it held\n,7 of them\nand, more,2\n,2Bad: \u2028 broke,1\n,1Nice, really\n,2\n"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A folder with files of the published formats, a few rows each, registered in place of the published ones."""
    pa = pytest.importorskip("pyarrow")
    sciq = {key: one | {"answer_index": ANSWERS[key]} for key, one in QUESTIONS.items()}
    cosmos = "id,context,question,answer0,answer1,answer2,answer3,label\n" + as_csv(
        [
            ("1", "A, story.", "Why?", "So.", "Thus.", "No.", "None.", "3"),
            ("2", "A, story.", "How?", "a", "b", "c", "d", "0"),
        ]
    )
    contents = {
        "sciq/sciq.json": json.dumps(sciq),
        "amazon/amazon_reviews.csv": REVIEWS,
        "cosmos_qa/valid.csv": cosmos,
        "ethics/justice_train.csv": 'label,scenario\n1,"I rest, since I am ill."\n',
        "ethics/justice_test.csv": "label,scenario\n0,I rest since it is blue.\n",
        "ethics/cm_test.csv": "label,input,is_short,edited\n0,I fed the cat.,True,False\n",
        "ethics/cm_test_hard.csv": "label,input,is_short,edited\n1,I hid the cat.,True,False\n",
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    boolq = pa.table({"question": ["is it", "was it"], "passage": ["It is.", "It is."], "answer": [True, False]})
    name = "boolq/validation/data-00000-of-00001.arrow"
    (tmp_path / name).parent.mkdir(parents=True)
    with pa.OSFile(str(tmp_path / name), "wb") as file, pa.ipc.new_stream(file, boolq.schema) as writer:
        writer.write_table(boolq)
    changed = {
        task.name: replace(
            task,
            size=3 if task.name == "amazon" else task.size,
            files=tuple(
                replace(file, hash=f"sha256:{bytes_hash((tmp_path / file.path).read_bytes())}") for file in task.files
            ),
        )
        for task in TASKS.values()
    }
    monkeypatch.setattr(tasks, "TASKS", changed)
    monkeypatch.delenv("W2SG_DATA", raising=False)
    return tmp_path


def test_questions_become_a_right_and_a_wrong_row(made):
    data = load_text("sciq", made)
    assert len(data) == 6 and data.label.tolist() == [1, 0, 1, 0, 1, 0] and data.majority_error == 0.5
    assert data.group.tolist() == [0, 0, 0, 0, 1, 1], "a question that occurs twice is one group"
    assert data.texts[0] == "Question: What sings?\nAnswer: kettle"
    assert data.texts[4] == "Question: What sinks?\nAnswer: lead"
    for row, (key, one) in enumerate(QUESTIONS.items()):
        wrong = data.texts[2 * row + 1].rpartition("Answer: ")[2]
        assert wrong in one.values() and wrong != one[f"option{ANSWERS[key]}"]
    assert not {"kettle", "bird"} & {data.texts[row].rpartition("Answer: ")[2] for row in (1, 3)}


def test_prompts_of_all_tasks_are_the_templates_that_are_shown(made):
    found = {name: load_text(name, made) for name in TASKS}
    assert found["amazon"].texts == ("Good: it held\n,7 of them\nand, more,2", "Bad: \u2028 broke,1", "Nice, really")
    assert found["amazon"].label.tolist() == [1, 0, 1]
    assert found["cosmos_qa"].texts[0] == "Context: A, story.\nQuestion: Why?\nAnswer: None."
    assert found["cosmos_qa"].group.tolist() == [0, 0, 0, 0], "one story is one group"
    assert found["boolq"].texts == ("Passage: It is.\nQuestion: is it?", "Passage: It is.\nQuestion: was it?")
    assert found["boolq"].label.tolist() == [1, 0] and found["boolq"].group.tolist() == [0, 0]
    assert found["justice"].texts == ("I rest, since I am ill.", "I rest since it is blue.")
    assert found["commonsense"].label.tolist() == [0, 1]
    for name, data in found.items():
        literal = data.template.partition("{")[0]
        assert data.template == TASKS[name].template and all(one.startswith(literal) for one in data.texts)
        assert data.licence and data.positive == data.classes[1] and data.rows


def test_reviews_are_parsed_exactly_or_refused():
    path = Path("reviews")
    for content, size, problem in (
        (REVIEWS, 2, "3 reviews and not 2"),
        (REVIEWS.replace(",7 of", ",1 of"), 3, "4 reviews and not 3: lines inside a review begin like a label"),
        (REVIEWS.removesuffix(",2\n"), 3, "the last review, 'Nice, really', has no label"),
        (REVIEWS.removeprefix("review"), 3, "does not begin with 'review,sentiment'"),
    ):
        with pytest.raises(InputError, match=problem):
            tasks.parse_amazon(path, content, size)


@given(
    st.lists(st.tuples(st.text().filter(lambda one: "\n,1" not in one and "\n,2" not in one), st.sampled_from([0, 1])))
)
def test_any_review_that_can_be_told_comes_back(reviews):
    content = "review,sentiment" + "".join(f"{review}\n,{label + 1}" for review, label in reviews) + "\n"
    assert tasks.parse_amazon(Path("a"), content, len(reviews)) == reviews


def test_another_file_than_the_published_one_is_refused(made):
    (made / "ethics/justice_test.csv").write_text("label,scenario\n1,Another.\n")
    with pytest.raises(InputError, match=r"its sha256 is \w+, expected \w+; it is not the published justice_test.csv"):
        load_text("justice", made)


def test_a_file_that_is_not_published_as_it_is_has_to_be_given(monkeypatch):
    monkeypatch.delenv("W2SG_DATA", raising=False)
    file = RemoteFile("a/b.csv", "https://example.org", "sha256:0", local_only="a file")
    with pytest.raises(Unreachable, match=r"is not in a local folder, and is not fetched; .* --data-dir or W2SG_DATA"):
        locate(file)


SCIQ_PARTS = {
    "train": [("What sings?", "kettle", "stone", "sand", "ice"), ("what SINGS?", "bird", "kettle", "lamp", "fog")],
    "valid": [("What sinks?", "lead", "cork", "foam", "oil")],
    "test": [],
}
AMAZON_PARTS = (
    '"2","Good","it held\\nwell, ""really"""\n"1","Bad \u2028","broke"\n"2","Nice","yes"\n"1","Later \u00e9","no"\n'
)


@pytest.fixture
def archives(made, monkeypatch):
    """A folder with the archives that are published, a few rows each, and none of the other files; their members."""
    for name in ("sciq", "amazon", "boolq", "ethics"):
        shutil.rmtree(made / name)
    names = ("question", "correct_answer", "distractor1", "distractor2", "distractor3")
    with zipfile.ZipFile(made / "SciQ.zip", "w") as file:
        for part, rows in SCIQ_PARTS.items():
            found = [dict(zip(names, row, strict=True)) | {"support": "It is so."} for row in rows]
            file.writestr(f"SciQ dataset-2 3/{part}.json", json.dumps(found))
    members = {
        "amazon_review_polarity_csv.tgz": {
            "amazon_review_polarity_csv/readme.txt": "Reviews.",
            "amazon_review_polarity_csv/train.csv": AMAZON_PARTS,
        },
        "ethics.tar": {
            "ethics/justice/justice_train.csv": "label,scenario\n1,I rest.\n",
            "ethics/justice/justice_test.csv": "label,scenario\n0,I do not.\n",
        },
    }
    for archive, files in members.items():
        with tarfile.open(made / archive, "w:gz" if archive.endswith("gz") else "w") as opened:
            for name, text in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                opened.addfile(info, io.BytesIO(text.encode()))
    asked = [
        {"question": f"{word} it", "title": "t", "answer": word == "is", "passage": "It."} for word in ("is", "was")
    ]
    (made / "dev.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))

    def renamed(file):
        if not file.member:
            return replace(file, hash=f"sha256:{bytes_hash((made / file.name).read_bytes())}")
        if file.archive_hash:
            content = (made / file.fetched_as).read_bytes()
            return replace(file, archive_hash=f"sha256:{bytes_hash(content)}", first=file.first and 80)
        text = members[file.fetched_as].get(file.member, "")
        return replace(file, hash=f"sha256:{bytes_hash(text.encode())}")

    changed = {}
    for name, task in tasks.TASKS.items():
        form = task.published and replace(task.published, files=tuple(map(renamed, task.published.files)))
        own = tuple(map(renamed, task.files)) if name in ("justice", "commonsense") else task.files
        changed[name] = replace(task, published=form, files=own, size=2 if name == "amazon" else task.size)
    monkeypatch.setattr(tasks, "TASKS", changed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(made / "cache"))
    return made


def test_what_is_published_is_read_where_the_files_are_not(archives):
    sciq = load_text("sciq", archives)
    assert sciq.group.tolist() == [0, 0, 0, 0, 1, 1] and sciq.label.tolist() == [1, 0] * 3 and "SciQ.zip" in sciq.rows
    assert sciq.texts[::2] == tuple(
        f"Question: {question}\nAnswer: {answer}"
        for question, answer in (("What sings?", "kettle"), ("what SINGS?", "bird"), ("What sinks?", "lead"))
    )
    assert not {"kettle", "bird"} & {sciq.texts[row].rpartition("Answer: ")[2] for row in (1, 3)}
    amazon = load_text("amazon", archives)
    assert amazon.texts == ('Good: it held\\nwell, "really"', "Bad \u2028: broke") and amazon.label.tolist() == [1, 0]
    boolq = load_text("boolq", archives)
    assert boolq.texts == ("Passage: It.\nQuestion: is it?", "Passage: It.\nQuestion: was it?")
    assert boolq.label.tolist() == [1, 0]
    assert load_text("justice", archives).texts == ("I rest.", "I do not.")


def test_the_record_names_what_was_read(archives, capsys):
    main(["datasets", "sciq", "--data-dir", str(archives), "--json"])
    record = json.loads(capsys.readouterr().out)
    digest = f"sha256:{bytes_hash((archives / 'SciQ.zip').read_bytes())}"
    assert {name: one["hash"] for name, one in record["inputs"].items()} == {
        f"sciq/{part}.json": digest for part in SCIQ_PARTS
    }


def test_other_archives_than_the_published_ones_are_refused(archives):
    with pytest.raises(InputError, match=r"ethics.tar: ethics/commonsense/cm_test.csv cannot be read .*no file .* in"):
        load_text("commonsense", archives)
    for name in ("SciQ.zip", "amazon_review_polarity_csv.tgz"):
        content = (archives / name).read_bytes()
        (archives / name).write_bytes(content + b" ")
        with pytest.raises(
            InputError, match=rf"{name}: its sha256 is \w+, expected \w+; it is not the published {name}"
        ):
            load_text("sciq" if name == "SciQ.zip" else "amazon", archives)
    content = (archives / "ethics.tar").read_bytes()
    (archives / "ethics.tar").write_bytes(content.replace(b"I rest.", b"I rust."))
    with pytest.raises(InputError, match=r"its sha256 is \w+, expected \w+; it is not the published justice_train.csv"):
        load_text("justice", archives)
    (archives / "ethics.tar").write_bytes(content[:700])
    with pytest.raises(InputError, match=r"cannot be read .*fetch https://\S+ as ethics.tar into a folder"):
        load_text("justice", archives)


def test_archives_are_fetched_once_and_kept(archives, monkeypatch):
    """From a host of this machine, by the library that fetches."""
    pytest.importorskip("pooch")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(archives)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def moved(file):
        return replace(file, source=f"http://127.0.0.1:{server.server_port}/{file.fetched_as}")

    task = tasks.TASKS["sciq"]
    there = replace(task.published, files=tuple(map(moved, task.published.files)))
    own = tuple(map(moved, tasks.TASKS["justice"].files))
    changed = {"sciq": replace(task, published=there), "justice": replace(tasks.TASKS["justice"], files=own)}
    monkeypatch.setattr(tasks, "TASKS", changed)
    try:
        for _ in range(2):
            assert len(load_text("sciq")) == 6 and len(load_text("justice")) == 2
    finally:
        server.shutdown()
        server.server_close()
    assert sorted(asked) == ["/SciQ.zip", "/ethics.tar"]


def test_what_cannot_be_fetched_can_be_given(archives, monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(
        Unreachable, match=r"SciQ.zip: cannot be fetched .*; fetch https://\S+ as SciQ.zip into a folder"
    ):
        load_text("sciq")


@pytest.mark.parametrize(
    ("texts", "label", "problem"),
    [
        ("abc", [0, 1, 1], "expected a sequence of strings as texts, got one string"),
        (["a", "b", "c"], [0, 1, float("nan")], "NaN among them"),
        (["a", "b", "c"], np.array(["x", "y", "z"]), "labels are no numbers; give 0 and 1"),
        (["a", "b", "c"], np.array([[0], [1], [1]]), r"expected one finite label a row, got shape \(3, 1\)"),
        (["a", "\u200b", "c"], [0, 1, 1], "nothing of it can be seen, in row 1; drop them"),
        (["a", "b", " \x00\ufeff"], [0, 1, 1], "nothing of it can be seen, in row 2"),
    ],
)
def test_what_is_no_set_of_texts(texts, label, problem):
    with pytest.raises(InputError, match=problem):
        text_set("own", texts, label)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (" q , a \nx,1\ny,0\n", "no column 'q'; it holds ' a ', ' q '"),
        ("q;a\nx;1\ny;0\n", r"it holds 'q;a': columns of a .csv are parted by commas"),
        ("q\ta\nx\t1\ny\t0\n", r"it holds 'q\\ta': columns of a .csv are parted by commas, of a .tsv by tabs"),
    ],
)
def test_names_of_columns_are_told_as_they_are(write, content, message):
    with pytest.raises(InputError, match=message):
        read_text(write("own.csv", content), text="q", label="a")


@pytest.mark.parametrize(("label", "classes"), [([0, 2, 2], ("no", "yes")), ([0, 1, 1], ("no",))])
def test_labels_of_classes_are_their_places(label, classes):
    with pytest.raises(InputError, match="own: with classes labels are 0 and 1, and there are two of them"):
        text_set("own", ["a", "b", "c"], label, classes=classes)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(InputError, match="'cosmos' is no data set; did you mean cosmos_qa or commonsense"):
        load_text("cosmos")
    with pytest.raises(InputError, match="'amazon_polarity' is no data set; did you mean amazon"):
        load_text("amazon_polarity")
    with pytest.raises(InputError, match="there are sciq, amazon"):
        load_text("zzz")


MEASURED = {
    "sciq": (27358, 13590, 13679, 75),
    "amazon": (5000, 5000, 2308, 0),
    "cosmos_qa": (5970, 2445, 2985, 375),
    "justice": (24495, 24484, 13184, 11),
    "commonsense": (7849, 7849, 3907, 0),
    "boolq": (3270, 2938, 2033, 0),
}
"""Rows, groups, rows with the label 1, and duplicates of the published files."""


@published
@pytest.mark.parametrize("name", TASKS)
def test_the_published_rows(name):
    data = load_text(name)
    assert (len(data), data.groups, int(data.label.sum()), data.duplicates) == MEASURED[name]
    assert len(data) == TASKS[name].size and data.contradictions == ()
    splits = text_splits(data)
    assert len(splits.train) + len(splits.w2s) + len(splits.test) == len(data)
    plain = [{text.normalised(data.texts[row]) for row in part} for part in (splits.train, splits.w2s, splits.test)]
    assert not (plain[0] & plain[1] or plain[0] & plain[2] or plain[1] & plain[2])


def test_the_page_has_the_measured_numbers_and_the_prompts():
    page = (Path(__file__).parents[1] / "docs/guides/texts.md").read_text(encoding="utf-8")
    for name, (rows, groups, ones, repeated) in MEASURED.items():
        error = min(ones, rows - ones) / rows
        end = f"| {rows} | {groups} | {TASKS[name].classes[1]} |"
        end += f" {round(error, 4):g} | {repeated} |"
        assert f"| `{name}` | " in page and end in page, end
        assert f"| `{name}` | `{TASKS[name].template}` |".replace("\n", "\\n") in page


# The command


def run(capsys, *arguments):
    code = main(["datasets", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_lists_all(capsys):
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    for task in TASKS.values():
        assert task.title in out and str(task.size) in out and task.licence in out


def test_the_command_shows_one(made, capsys):
    code, out, err = run(capsys, "sciq", "--data-dir", made, "--show", 2)
    assert (code, err) == (0, "")
    assert r"Question: {question}\nAnswer: {answer}" in out
    assert r"1 (right answer)" in out and r"Question: What sings?\nAnswer: kettle" in out
    assert "0.5000 of the rows" in out and "CC BY-NC 3.0" in out and "What sinks" not in out
    code, out, err = run(capsys, "sciq", "--data-dir", made, "--show", 1, "--json")
    record = json.loads(out)
    assert record["result"]["size"] == 6 and record["result"]["groups"] == 2
    assert record["result"]["examples"] == [{"label": 1.0, "text": "Question: What sings?\nAnswer: kettle"}]
    assert record["inputs"]["sciq/sciq.json"]["hash"].startswith("sha256:")


def test_the_command_shows_own_files_and_never_interprets_them(write, capsys):
    hostile = "[bold red]hi[/] [link=x]\x1b[31m \u202e abc \x07"
    rows = [("t", "y"), (hostile, "1"), *((f"text {row}", str(row % 2)) for row in range(60))]
    code, out, err = run(capsys, write("own.csv", as_csv(rows)), "--text", "t", "--label", "y")
    assert (code, err) == (0, "")
    assert r"[bold red]hi[/] [link=x]\x1b[31m \u202e abc \x07" in out
    assert not set(out) & {"\x1b", "\u202e", "\x07"}
    assert "61" in out and "not known" in out and "split: test" in out


def test_a_long_text_is_cut_in_its_middle(write, capsys):
    rows = [("t", "y"), ("begin" + "x" * 1000 + "end", "1"), ("b", "0")]
    _, out, _ = run(capsys, write("own.csv", as_csv(rows)), "--text", "t", "--label", "y")
    assert "608 characters" in out and "begin" in out and "end" in out.replace("\n", "")
    assert "none: data: the 2 rows of own are 2 groups" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["cosmos"], "did you mean cosmos_qa"),
        (["nowhere.csv", "--text", "t", "--label", "y"], "there is no such file"),
        (["OWN", "--text", "t"], "--label: name the column of"),
        (["OWN", "--label", "y"], "text: name the column"),
        (["OWN", "--text", "t", "--label", "y", "--n", "2"], "n: got 2"),
        (["sciq", "--label", "y"], "--label: is for files of your own"),
        (["--text", "t"], "--text: which file?"),
        (["sciq", "--show", "-1"], "--show: got -1"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(write, capsys, arguments, problem):
    path = str(write("own.csv", "t,y\na,1\nb,0\n"))
    code, out, err = run(capsys, *(path if one == "OWN" else one for one in arguments))
    assert (code, out) == (2, "") and problem in err and err.count("\n") == 1


def test_the_module_needs_no_pyarrow_for_csv(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert len(own(write, ["1", "0"])) == 2
    with pytest.raises(InputError, match=r"w2sg_jax\[arrow\]"):
        read_text(write("a.parquet", b"PAR1"), text="t", label="y")
