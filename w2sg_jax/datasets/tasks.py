"""The tasks of the paper and BoolQ: which files, which rows of them, which prompt, and which label.

A multiple-choice question becomes two rows, the right answer (1) and one wrong answer (0) chosen by hash, so that both
classes are equally large. Rows of one question, of one story (Cosmos QA) or of one passage (BoolQ) are one group.
"""

import csv
import difflib
import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from .._errors import InputError
from ..store.array_files import refusal
from ..store.tables import read_columns
from .prompts import columns_of, fill, wrong_answer
from .remote import RemoteFile, is_here, locate
from .text import TextSet, decoded, normalised, read_json_lines, separated, text_set

Row = tuple[Mapping[str, str], float, str]
"""Columns of a prompt, the label, and the name of the group."""


@dataclass(frozen=True)
class Published:
    """Another form of the same rows, which can be fetched."""

    files: tuple[RemoteFile, ...]
    """the files that are read, in this order"""
    selection: str
    """which rows of them, in words"""
    read: Callable[[Sequence[Path]], Iterable[Row]]
    """the rows of the files"""


@dataclass(frozen=True)
class TextTask:
    """A task that is known by name; ``load_text`` reads it."""

    name: str
    """what commands call it"""
    title: str
    """what papers call it"""
    files: tuple[RemoteFile, ...]
    """the files that are read, in this order"""
    selection: str
    """which rows of them, in words"""
    size: int
    """how many rows come of them"""
    template: str
    """the prompt, with names of columns between braces"""
    classes: tuple[str, str]
    """the names of the labels 0 and 1"""
    grouped_by: str
    """what the rows of a group have in common"""
    licence: str
    """terms of the texts"""
    source: str
    """who published it, and where"""
    read: Callable[[Sequence[Path]], Iterable[Row]]
    """the rows of the files"""
    published: Published | None = None
    """what is read instead where the files are not on this machine; None where they can be fetched themselves"""

    def form(self, data_dir: str | os.PathLike[str] | None = None) -> "TextTask | Published":
        """What ``load_text`` reads: the files, or what is published instead where a local folder lacks one of them."""
        if self.published is None or all(is_here(file, data_dir) for file in self.files):
            return self
        return self.published


def load_text(name: str, data_dir: str | os.PathLike[str] | None = None) -> TextSet:
    """A task that is known by name, from the files that it was registered with.

    Args:
        name: one of ``TASKS``: "sciq", "amazon", "cosmos_qa", "justice", "commonsense", "boolq".
        data_dir: folder with the files, as in ``remote.locate``. What is not there is fetched from where its publisher
            keeps it, compared with its sha256, and kept in the user's cache folder.

    Raises:
        InputError: there is no such task (the nearest names are told); a file is missing, or is another one.
    """
    if not isinstance(name, str) or name not in TASKS:
        name = str(name)
        close = difflib.get_close_matches(name.lower(), TASKS, n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}? There" if close else "there"
        raise InputError(f"name: {name!r} is no data set; {hint} are {', '.join(TASKS)}, and read_text for own files")
    task = TASKS[name]
    form = task.form(data_dir)
    rows = list(form.read([locate(file, data_dir) for file in form.files]))
    columns = columns_of(task.template)
    return text_set(
        task.title,
        [fill(task.template, {column: values[column] for column in columns}) for values, _, _ in rows],
        [label for _, label, _ in rows],
        together=[group for _, _, group in rows],
        classes=task.classes,
        positive=task.classes[1],
        rows=form.selection,
        licence=task.licence,
        template=task.template,
    )


def _questions(asked: Sequence[tuple[Mapping[str, str], str, Sequence[str], str]]) -> Iterable[Row]:
    """Two rows a question: (its columns, the right answer, all answers, the name of its group).

    A question may occur several times with other choices: an answer that is right in one of them is never given as a
    wrong one in another.
    """
    named = [normalised("\n".join(values.values())) for values, _, _, _ in asked]
    right: dict[str, set[str]] = {}
    for question, (_, answer, _, _) in zip(named, asked, strict=True):
        right.setdefault(question, set()).add(answer)
    for question, (values, answer, choices, group) in zip(named, asked, strict=True):
        wrong = wrong_answer(question, right[question], choices)
        yield {**values, "answer": answer}, 1.0, group
        yield {**values, "answer": wrong}, 0.0, group


def _read_sciq(paths: Sequence[Path]) -> Iterable[Row]:
    found = json.loads(decoded(paths[0], paths[0].read_bytes()))
    return _questions(
        [
            (
                {"question": one["question"]},
                one[f"option{one['answer_index']}"],
                [one[f"option{place}"] for place in range(1, 5)],
                normalised(one["question"]),
            )
            for one in found.values()
        ]
    )


def _read_sciq_parts(paths: Sequence[Path]) -> Iterable[Row]:
    """Of the parts as they were published, with support texts, which are left out."""
    found = [one for path in paths for one in json.loads(decoded(path, path.read_bytes()))]
    names = ("correct_answer", "distractor1", "distractor2", "distractor3")
    return _questions(
        [
            (
                {"question": one["question"]},
                one["correct_answer"],
                [one[name] for name in names],
                normalised(one["question"]),
            )
            for one in found
        ]
    )


def _read_cosmos(paths: Sequence[Path]) -> Iterable[Row]:
    return _questions(
        [
            (
                {"context": row["context"], "question": row["question"]},
                row[f"answer{row['label']}"],
                [row[f"answer{place}"] for place in range(4)],
                normalised(row["context"]),
            )
            for row in _dictionaries(paths)
        ]
    )


def _read_boolq(paths: Sequence[Path]) -> Iterable[Row]:
    names = ["question", "passage", "answer"]
    found = read_json_lines(paths[0], names) if paths[0].suffix == ".jsonl" else read_columns(paths[0], names).values
    for question, passage, answer in zip(found["question"], found["passage"], found["answer"], strict=True):
        yield {"question": question, "passage": passage}, float(answer), normalised(passage)


def _read_ethics(column: str) -> Callable[[Sequence[Path]], Iterable[Row]]:
    def read(paths: Sequence[Path]) -> Iterable[Row]:
        for row in _dictionaries(paths):
            yield {column: row[column]}, float(row["label"]), normalised(row[column])

    return read


def _dictionaries(paths: Sequence[Path]) -> Iterable[dict[str, str]]:
    """The rows of CSV files, one file after the other."""
    for path in paths:
        head, rows = separated(path, decoded(path, path.read_bytes()))
        yield from (dict(zip(head, row, strict=True)) for row in rows)


AMAZON_HEAD = "review,sentiment"
AMAZON_LABELS = {",1": 0.0, ",2": 1.0}
"""What begins the line after a review: negative and positive."""


def _read_amazon(paths: Sequence[Path]) -> Iterable[Row]:
    text = decoded(paths[0], paths[0].read_bytes())
    for review, label in parse_amazon(paths[0], text, TASKS["amazon"].size):
        yield {"review": review}, label, normalised(review)


def parse_amazon(path: Path, text: str, size: int) -> list[tuple[str, float]]:
    """Reviews and labels (0 negative, 1 positive) of the file, which is no well-formed CSV.

    Its first line is the names of the columns, followed at once by the first review. Every later line that begins with
    ``,1`` or ``,2`` gives the label of the review before it, followed at once by the next review; the file ends after
    the last label. Any other line is the next one of the same review. No quotes, no escapes: a line inside a review
    that begins with a label cannot be told from the end of that review, so the number of reviews has to be known.

    Args:
        path: the file, for messages.
        text: its content.
        size: how many reviews there are.

    Raises:
        InputError: the names are missing, the file does not end with a label, or the number is another one.
    """
    if not text.startswith(AMAZON_HEAD):
        raise refusal(path, f"the file does not begin with {AMAZON_HEAD!r}", "copy it again")
    found: list[tuple[str, float]] = []
    review: list[str] = []
    # Only "\n" ends a line: a review may hold other characters that splitlines would break it at.
    for line in text[len(AMAZON_HEAD) :].removesuffix("\n").split("\n"):
        if review and line[:2] in AMAZON_LABELS:
            found.append(("\n".join(review), AMAZON_LABELS[line[:2]]))
            review = [line[2:]]
        else:
            review.append(line)
    if review != [""]:
        raise refusal(path, f"the last review, {review[0][:40]!r}, has no label after it", "copy the file again")
    if len(found) != size:
        came = (
            f"there are {len(found)} reviews and not {size}: lines inside a review begin like a label, or are missing"
        )
        raise refusal(path, came, "copy the file again")
    return found


def _read_amazon_table(paths: Sequence[Path]) -> Iterable[Row]:
    """The first reviews of the published table: label (1 negative, 2 positive), title and text, no line of names."""
    size, path = TASKS["amazon"].size, paths[0]
    # The file is the beginning of a larger one: its last row, and the bytes of its last letter, may be cut.
    content = path.read_bytes()
    head = content[: content.rfind(b"\n") + 1]
    reader = csv.reader(io.StringIO(decoded(path, head), newline=""))
    for number, row in enumerate(itertools.islice(reader, size)):
        if len(row) != 3 or row[0] not in ("1", "2"):
            raise refusal(path, f"row {number} is no label, title and text", "fetch it again")
        review = f"{row[1]}: {row[2]}"
        yield {"review": review}, float(row[0]) - 1, normalised(review)


def _local(path: str, digest: str, what: str, page: str) -> RemoteFile:
    return RemoteFile(path, page, f"sha256:{digest}", local_only=what)


_ETHICS = "https://github.com/hendrycks/ethics"
_ETHICS_WORK = f"Hendrycks et al., Aligning AI with shared human values, ICLR 2021; {_ETHICS}"

_ETHICS_FILES = "https://people.eecs.berkeley.edu/~hendrycks/ethics.tar"
_SCIQ_FILES = "https://ai2-public-datasets.s3.amazonaws.com/sciq/SciQ.zip"
_SCIQ_HASH = "sha256:7f3312f6ac6b09970b32942d106a8c44ec0dad46a0369f17d635aff8e348a87c"


def _ethics(path: str, digest: str) -> RemoteFile:
    """A file of the archive of ETHICS, which has no published hash: that of the file decides."""
    return RemoteFile(f"ethics/{Path(path).name}", _ETHICS_FILES, f"sha256:{digest}", member=f"ethics/{path}")


_ALL = (
    TextTask(
        name="sciq",
        title="SciQ",
        files=(
            _local(
                "sciq/sciq.json",
                "bbb5fd76075d9c9e59ebc56d11f87baf2bddec0237d91cea40c93e1dfb7bf0e5",
                "all 13679 questions without their support texts, as one JSON object",
                "https://huggingface.co/datasets/allenai/sciq",
            ),
        ),
        selection="all 13679 questions (train, validation, test), without support texts, two rows each: sciq/sciq.json",
        size=27358,
        template="Question: {question}\nAnswer: {answer}",
        classes=("wrong answer", "right answer"),
        grouped_by="question",
        licence="CC BY-NC 3.0",
        source="Welbl, Liu and Gardner, Crowdsourcing multiple choice science questions, W-NUT 2017; "
        "https://huggingface.co/datasets/allenai/sciq",
        read=_read_sciq,
        published=Published(
            tuple(
                RemoteFile(
                    f"sciq/{part}.json",
                    _SCIQ_FILES,
                    "",
                    member=f"SciQ dataset-2 3/{part}.json",
                    archive_hash=_SCIQ_HASH,
                )
                for part in ("train", "valid", "test")
            ),
            "all 13679 questions (train, validation, test), without support texts, two rows each: SciQ.zip",
            _read_sciq_parts,
        ),
    ),
    TextTask(
        name="amazon",
        title="Amazon polarity",
        files=(
            _local(
                "amazon/amazon_reviews.csv",
                "9935dcd1c8a8508fec1b78d6afa42eae8756731af79193d2dd503b533eba7cd1",
                "the first 5000 reviews, each its title, a colon and its text, with 1 or 2 after it",
                "https://huggingface.co/datasets/fancyzhx/amazon_polarity",
            ),
        ),
        selection="the first 5000 reviews, title and text: amazon/amazon_reviews.csv",
        size=5000,
        template="{review}",
        classes=("negative", "positive"),
        grouped_by="text",
        licence="not stated by the publishers",
        source="Zhang, Zhao and LeCun, Character-level convolutional networks for text classification, NIPS 2015; "
        "https://huggingface.co/datasets/fancyzhx/amazon_polarity",
        read=_read_amazon,
        published=Published(
            (
                RemoteFile(
                    "amazon/train.csv",
                    "https://s3.amazonaws.com/fast-ai-nlp/amazon_review_polarity_csv.tgz",
                    "",
                    member="amazon_review_polarity_csv/train.csv",
                    archive_hash="sha256:d2a3ee7a214497a5d1b8eaed7c8d7ba2737de00ada3b0ec46243983efa100361",
                    first=1 << 23,
                ),
            ),
            "the first 5000 reviews of the training part, title and text: train.csv of amazon_review_polarity_csv.tgz",
            _read_amazon_table,
        ),
    ),
    TextTask(
        name="cosmos_qa",
        title="Cosmos QA",
        files=(
            RemoteFile(
                "cosmos_qa/valid.csv",
                "https://raw.githubusercontent.com/wilburOne/cosmosqa/81e4213108ea1e12da5cd40488691fb3e4a4a2ee"
                "/data/valid.csv",
                "sha256:a6a94fc1463ca82bb10f98ef68ed535405e6f5c36e044ff8e136b5c19dea63f3",
            ),
        ),
        selection="the validation part, 2985 questions, two rows each: cosmos_qa/valid.csv",
        size=5970,
        template="Context: {context}\nQuestion: {question}\nAnswer: {answer}",
        classes=("wrong answer", "right answer"),
        grouped_by="context",
        licence="CC BY 4.0",
        source="Huang et al., Cosmos QA, EMNLP 2019; https://github.com/wilburOne/cosmosqa",
        read=_read_cosmos,
    ),
    TextTask(
        name="justice",
        title="ETHICS justice",
        files=(
            _ethics("justice/justice_train.csv", "d945f01ce0779cc9f41f854878d692bf88e172d8323f617900c125abbd383d47"),
            _ethics("justice/justice_test.csv", "d7cc506a1055915d455a9244b26de573c75a760d416a8508a9420d41cbf40250"),
        ),
        selection="train and test, 21791 and 2704 rows, not the hard test: ethics/justice_train.csv, justice_test.csv",
        size=24495,
        template="{scenario}",
        classes=("unreasonable", "reasonable"),
        grouped_by="text",
        licence="MIT",
        source=_ETHICS_WORK,
        read=_read_ethics("scenario"),
    ),
    TextTask(
        name="commonsense",
        title="ETHICS commonsense",
        files=(
            _ethics("commonsense/cm_test.csv", "aa521e2a45f0aa34c9b055d8022012044f705b35767627cf48919a1102b89115"),
            _ethics("commonsense/cm_test_hard.csv", "9689b2d7b72f3f21796c31cdc21522d8e11296fba21aa8bc3d9e8f0b9071b522"),
        ),
        selection="test and hard test, 3885 and 3964 rows, short and long: ethics/cm_test.csv, cm_test_hard.csv",
        size=7849,
        template="{input}",
        classes=("not wrong", "wrong"),
        grouped_by="text",
        licence="MIT",
        source=_ETHICS_WORK,
        read=_read_ethics("input"),
    ),
    TextTask(
        name="boolq",
        title="BoolQ",
        files=(
            _local(
                "boolq/validation/data-00000-of-00001.arrow",
                "f858020576452e706b602bf9ad28e09d509e6dab4c97cb01a2202a2472c9afc9",
                "the validation part as the Arrow file of datasets' save_to_disk",
                "https://huggingface.co/datasets/google/boolq",
            ),
        ),
        selection="the validation part, 3270 questions: boolq/validation",
        size=3270,
        template="Passage: {passage}\nQuestion: {question}?",
        classes=("no", "yes"),
        grouped_by="passage",
        licence="CC BY-SA 3.0",
        source="Clark et al., BoolQ, NAACL 2019; https://huggingface.co/datasets/google/boolq",
        read=_read_boolq,
        published=Published(
            (
                RemoteFile(
                    "boolq/dev.jsonl",
                    "https://storage.googleapis.com/boolq/dev.jsonl",
                    "sha256:ebc29ea3808c5c611672384b3de56e83349fe38fc1fe876fd29b674d81d0a80a",
                ),
            ),
            "the validation part, 3270 questions: dev.jsonl",
            _read_boolq,
        ),
    ),
)
TASKS: Mapping[str, TextTask] = MappingProxyType({task.name: task for task in _ALL})
"""The tasks that are known by name: the paper's five, and BoolQ."""
