"""Folders of files: which rows they hold, which splits, and what is said where it is not clear."""

from __future__ import annotations

import re
from pathlib import Path

import datasets
import pytest

from rlaif_fast.errors import PairError
from rlaif_fast.files.opening import open_rows
from rlaif_fast.files.source import Part
from tests.test_foreign import refused
from tests.test_reading import VALUES, lines, parquet, read


def test_a_saved_data_set_is_a_folder(tmp_path: Path) -> None:
    whole = datasets.Dataset.from_list(VALUES)
    whole.save_to_disk(str(tmp_path / "one"), num_shards=2)
    assert [row.value for row in read(tmp_path / "one")] == VALUES
    assert [row.place for row in read(tmp_path / "one")] == [1, 2, 3]
    datasets.DatasetDict({"train": whole}).save_to_disk(str(tmp_path / "dict"))
    assert [row.value for row in read(tmp_path / "dict")] == VALUES
    datasets.DatasetDict({"train": whole, "test": whole}).save_to_disk(str(tmp_path / "two"))
    with pytest.raises(PairError, match=r"holds 2 splits, give one of them: .*/train or .*/test"):
        read(tmp_path / "two")
    assert [row.value for row in read(tmp_path / "two" / "test")] == VALUES


def test_a_folder_of_shards_in_order(tmp_path: Path) -> None:
    for number in (1, 0, 2):
        (tmp_path / f"part-{number}.jsonl").write_bytes(lines([VALUES[number]]))
    (tmp_path / "notes.txt").write_text("no shard")
    assert [row.value for row in read(tmp_path)] == VALUES
    assert read(tmp_path)[2].where == f"{tmp_path}/part-2.jsonl, line 1" and read(tmp_path)[2].place == 3
    (tmp_path / "all.parquet").write_bytes(parquet(VALUES[:1]))
    with pytest.raises(PairError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: holds 4 files of rows, give one of them: {tmp_path}/all.parquet or --split part (3 files)"
    )


def _write(folder: Path, *names: str) -> Path:
    """Files of a row each, whose number is their place among ``names``."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((parquet if name.endswith(".parquet") else lines)([{"n": number}]))
    return folder


def _numbers(folder: Path, split: str | None = None) -> list[int]:
    with open_rows(str(folder), part=Part(split)) as source:
        return [row.value["n"] for row in source.rows()]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"], {"train": [0], "test": [1]}),
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
          "data/validation-00000-of-00001.parquet"], {"train": [0, 1], "validation": [2]}),
        (["data/train_prefs-00000-of-00001.parquet", "data/train_sft-00000-of-00001.parquet"],
         {"train_prefs": [0], "train_sft": [1]}),
        (["train.jsonl", "test.jsonl"], {"train": [0], "test": [1]}),
        (["train.jsonl.gz", "dev.jsonl"], {"train": [0], "dev": [1]}),
        (["train-0.jsonl", "train-1.jsonl", "test.jsonl"], {"train": [0, 1], "test": [2]}),
        (["train/0000.parquet", "test/0000.parquet"], {"train": [0], "test": [1]}),
        (["default/train/0000.parquet", "default/test/0000.parquet"], {"train": [0], "test": [1]}),
        (["train/a.jsonl", "train/b.jsonl", "test/a.jsonl"], {"train": [0, 1], "test": [2]}),
        (["train.parquet", "test.jsonl"], {"train": [0], "test": [1]}),
        (["train.jsonl", "test.json"], {"train": [0], "test": [1]}),
        (["Train.jsonl", "Test.json"], {"train": [0], "test": [1]}),
        (["train-1-of-2.jsonl", "train-2-of-2.jsonl", "test-1-of-1.jsonl"], {"train": [0, 1], "test": [2]}),
        (["train-v1.jsonl", "train-v2.jsonl"], {"train-v1": [0], "train-v2": [1]}),
        (["test2023.jsonl", "test2024.jsonl"], {"test2023": [0], "test2024": [1]}),
        (["easy.jsonl", "hard.jsonl"], {"easy": [0], "hard": [1]}),
        (["en.parquet", "de.parquet"], {"en": [0], "de": [1]}),
        (["contest.jsonl", "latest.jsonl"], {"contest": [0], "latest": [1]}),
        (["x/y/a.jsonl", "x/y/b.jsonl"], {"a": [0], "b": [1]}),
        (["all.parquet", "part-0.jsonl", "part-1.jsonl"], {"all": [0], "part": [1, 2]}),
        (["train.jsonl", "train-1.jsonl"], {"train": [0], "train-1": [1]}),
    ],
)  # fmt: skip
def test_a_folders_splits_are_told_apart(names: list[str], splits: dict[str, list[int]], tmp_path: Path) -> None:
    names = [name.removesuffix(".gz") for name in names]
    _write(tmp_path, *names)
    with pytest.raises(PairError) as caught:
        _numbers(tmp_path)
    said, usual = str(caught.value), all(re.search("train|^test|dev|validation", split) for split in splits)
    what = f"{len(splits)} splits" if usual else f"{len(names)} files of rows"
    assert said.startswith(f"{tmp_path}: holds {what}, give one of them: ")
    assert all(
        f"--split {split}" in said.replace("--split T", "--split t")
        or (not usual and len(places) == 1 and str(tmp_path / names[places[0]]) in said)
        for split, places in splits.items()
    )
    assert {split: _numbers(tmp_path, split) for split in splits} == splits
    with pytest.raises(PairError, match="has no split other \\("):
        _numbers(tmp_path, "other")


@pytest.mark.parametrize(
    "names",
    [
        ["data/train-00000-of-00001.parquet"],
        ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
        ["a.jsonl", ".hidden/train.jsonl"], ["train.json"], ["x/data.json"],
        [f"part-{number}.jsonl" for number in range(12)], ["000.parquet", "001.parquet"],
        ["part.0.parquet", "part.1.parquet"], ["file1.jsonl", "file2.jsonl"], ["chunk_01.jsonl", "chunk_02.jsonl"],
        ["part-3.jsonl"], ["train/0000.parquet", "train/0001.parquet"],
        [f"part-0000{n}-6b1e0f0a-1111-4222-8333-123456789abc-c000.snappy.parquet" for n in (0, 1)],
        ["train-00000-of-00002-ffffffffffffffff.parquet", "train-00001-of-00002-aaaaaaaaaaaaaaaa.parquet"],
    ],
)  # fmt: skip
def test_one_split_is_read_wherever_it_lies(names: list[str], tmp_path: Path) -> None:
    shown = [number for number, name in enumerate(names) if not name.startswith(".")]
    assert _numbers(_write(tmp_path, *names)) == shown


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["data/train-00000-of-00003.parquet", "data/train-00002-of-00003.parquet"],
         "train lacks 1 of 3 parts \\(1\\)"),
        (["train-00000-of-00002.parquet"], "train lacks 1 of 2 parts \\(1\\)"),
        (["train-2-of-2.jsonl"], "train lacks 1 of 2 parts \\(1\\)"),
        (["part-0.jsonl", "part-2.jsonl"], "lacks 1 of 3 parts \\(1\\)"),
        (["train/00000.parquet", "train/00002.parquet"], "train lacks 1 of 3 parts \\(1\\)"),
        (["train-00000-of-00001.parquet", "train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
         "train has parts of different sets \\(train-00000-of-00001.parquet and train-00000-of-00002.parquet\\)"),
        (["train-0.jsonl", "train-1.csv"], "train has files of several kinds \\(.csv, .jsonl\\)"),
    ],
)  # fmt: skip
def test_a_folder_with_a_gap_isrefused(names: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(PairError, match=f"^{tmp_path}: .*{said}"):
        _numbers(_write(tmp_path, *names))


def test_what_describes_a_folder_is_no_data(tmp_path: Path) -> None:
    _write(tmp_path, "train.json")
    (tmp_path / "dataset_infos.json").write_text('{"default": {}}')
    (tmp_path / "notes.json").write_text('{\n "a": 1\n}')
    assert _numbers(tmp_path) == [0]
    (tmp_path / "train.json").write_text('[\n{"n": 5}]')
    assert _numbers(tmp_path) == [5]


def test_what_a_split_is_none_of_is_said(tmp_path: Path) -> None:
    _write(tmp_path, "en/train.jsonl", "en/test.jsonl", "de/train.jsonl")
    with pytest.raises(PairError, match=f"^{tmp_path}: holds 2 data sets, give one of them: {tmp_path}/de or"):
        _numbers(tmp_path)
    assert _numbers(tmp_path, "test") == [1]
    with pytest.raises(PairError, match="holds 2 data sets"):
        _numbers(tmp_path, "train")
    assert _numbers(tmp_path / "en", "train") == [0]
    with pytest.raises(PairError, match=r"train.jsonl: --split train is for a data set's folder"):
        _numbers(tmp_path / "en" / "train.jsonl", "train")


def test_a_split_of_a_saved_data_set(tmp_path: Path) -> None:
    one, two = (datasets.Dataset.from_list([{"n": n}]) for n in (1, 2))
    datasets.DatasetDict({"train": one, "test": two}).save_to_disk(str(tmp_path / "d"))
    assert _numbers(tmp_path / "d", "test") == [2]
    with pytest.raises(PairError, match=r"has no split dev \(test, train\)"):
        _numbers(tmp_path / "d", "dev")
    with pytest.raises(PairError, match="a single split, which has no name here"):
        _numbers(tmp_path / "d" / "train", "train")


@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json"])
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"_data_files": [5], "splits": 5}'])
def test_a_broken_folder_is_said(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PairError, match=f"^{tmp_path}/{name}: cannot be read as part of a data set"):
        read(tmp_path)


def test_a_folder_of_several_files_or_none_says_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = (
        ".: a folder without a saved data set or files of rows (.parquet, .arrow, .jsonl, .ndjson, .csv, .tsv, .json)"
    )
    assert refused(".") == f"{nothing}; it is empty, give a file of pairs"
    for name in ("d.txt", "c.xlsx", "b.md", ".hidden"):
        (tmp_path / name).write_text("x")
    assert refused(".") == f"{nothing}; it holds b.md, c.xlsx, d.txt, give a file of pairs"
    (tmp_path / "a").mkdir()
    assert refused(".") == f"{nothing}; it holds a, b.md, c.xlsx and 1 more, give a file of pairs"
    _write(tmp_path, "v.jsonl", "v.json", "p.jsonl")
    found = ".: holds 3 files of rows, give one of them: p.jsonl or v.json or v.jsonl"
    assert refused(".") == found
    _write(tmp_path, *(f"w{letter}.csv" for letter in "abcdefg"))
    assert refused(".").endswith(" or v.json or v.jsonl or wa.csv or wb.csv or wc.csv or wd.csv or we.csv, or 2 more")
