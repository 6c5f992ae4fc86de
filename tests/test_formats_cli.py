"""Files in and out of the real command: every format, and every kind of bad row."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from rlaif_fast import Judge, Pair
from tests.conftest import Run

Cli = Callable[..., Run]
GOOD = b'{"instruction": "i", "response_0": "a", "response_1": "b"}\n'
ROWS = [
    {"id": f"r{n}", "prompt": f"Text {n}, \"quoted\"\nand é", "chosen": f"A fox {n}.", "rejected": "A dog."}
    for n in range(5)
]  # fmt: skip
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def _csv() -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def _parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


KINDS: dict[str, Callable[[], bytes]] = {
    "jsonl": lambda: LINES,
    "json": lambda: json.dumps(ROWS, indent=2).encode(),
    "csv": _csv,
    "parquet": _parquet,
    "jsonl.gz": lambda: gzip.compress(LINES),
    "json.gz": lambda: gzip.compress(json.dumps(ROWS).encode()),
    "jsonl.zst": lambda: zstandard.ZstdCompressor().compress(LINES),
    "csv.zst": lambda: zstandard.ZstdCompressor().compress(_csv()),
}


@pytest.fixture(scope="module")
def wanted(llama: Path, tmp_path_factory: pytest.TempPathFactory, rlaif_fast: Cli) -> bytes:
    folder = tmp_path_factory.mktemp("wanted")
    (folder / "rows.jsonl").write_bytes(LINES)
    assert rlaif_fast("judge", folder / "rows.jsonl", "-b", llama, "-o", folder / "out.jsonl").status == 0
    return (folder / "out.jsonl").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_verdicts(
    kind: str, wanted: bytes, llama: Path, tmp_path: Path, rlaif_fast: Cli
) -> None:
    path = tmp_path / f"rows.{kind}"
    path.write_bytes(KINDS[kind]())
    done = rlaif_fast("judge", path, "-b", llama, "-o", tmp_path / "out.jsonl")
    assert done.status == 0, done.err
    assert f"{path}: reading TRL preference rows: prompt is the instruction" in done.err
    assert (tmp_path / "out.jsonl").read_bytes() == wanted
    more = ("--from", "csv") if kind.startswith("csv") else ()
    command = ("judge", "-", "-b", llama, "-o", tmp_path / "piped.jsonl", "--window", 1024, *more)
    piped = rlaif_fast(*command, stdin=path.read_bytes())
    assert piped.status == 0, piped.err
    assert (tmp_path / "piped.jsonl").read_bytes() == wanted


def _read(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        data = gzip.decompress(data)
    if path.name.endswith(".zst"):
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    if ".parquet" in path.name:
        return list(pq.read_table(io.BytesIO(data)).to_pylist())
    if ".csv" in path.name:
        return list(csv.DictReader(io.StringIO(data.decode())))
    if ".jsonl" in path.name:
        return [json.loads(line) for line in data.splitlines()]
    return list(json.loads(data))


@pytest.mark.parametrize("kind", ["json", "csv", "parquet", "jsonl.gz", "jsonl.zst", "json.gz", "csv.gz"])
def test_every_format_out(kind: str, wanted: bytes, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    (tmp_path / "rows.jsonl").write_bytes(LINES)
    for name in ("one", "two"):
        done = rlaif_fast("judge", tmp_path / "rows.jsonl", "-b", llama, "-o", tmp_path / f"{name}.{kind}")
        assert done.status == 0, done.err
    assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()
    found, rows = _read(tmp_path / f"one.{kind}"), [json.loads(line) for line in wanted.splitlines()]
    if kind.startswith("csv"):
        rows = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows]
    assert found == rows


def test_messages_in_cells_and_columns_of_the_question(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    turns = [[{"role": "assistant", "content": text}] for text in ("Iron.", "Neon.")]
    (tmp_path / "rows.jsonl").write_text(
        json.dumps({"instruction": "Name a metal.\nShort.", "response_0": "Iron.", "response_1": "Neon.", "label": 0})
    )
    row = {"prompt": "Name a metal.", "input": "Short.", "chosen": turns[0], "rejected": turns[1]}
    struct = {"role": ["assistant"], "content": ["Neon."]}
    for name, dump in (("json.csv", json.dumps), ("repr.csv", repr)):
        with (tmp_path / name).open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(row))
            writer.writeheader()
            writer.writerow(row | {"chosen": dump(turns[0]), "rejected": dump(turns[1])})
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "list.parquet")
    pq.write_table(pa.Table.from_pylist([row | {"rejected": struct}]), tmp_path / "struct.parquet")
    found = []
    for name in ("rows.jsonl", "json.csv", "repr.csv", "list.parquet", "struct.parquet"):
        done = rlaif_fast("judge", tmp_path / name, "-b", llama)
        assert done.status == 0, done.err
        found.append({key: value for key, value in json.loads(done.out).items() if key != "id"})
        shown = "reading TRL preference rows: prompt is the instruction, chosen is response_0, rejected is response_1;"
        assert name == "rows.jsonl" or f"{shown} input shown with the instruction\n" in done.err
    assert found == found[:1] * 5


def test_a_folder_with_splits(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    for number, split in enumerate(("train", "test")):
        (tmp_path / "data").mkdir(exist_ok=True)
        rows = [{**json.loads(GOOD), "instruction": f"{split} {n}"} for n in range(number + 1)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    refused = rlaif_fast("judge", tmp_path, "-b", llama)
    assert refused.status == 1 and refused.err.count("\n") == 1 and refused.out == ""
    assert (
        f"{tmp_path}: holds 2 splits, give one of them" in refused.err
        and "--split test or --split train" in refused.err
    )
    done = rlaif_fast("judge", tmp_path, "-b", llama, "--split", "test")
    assert [json.loads(line)["instruction"] for line in done.out.splitlines()] == ["test 0", "test 1"]


def test_what_is_shown_can_be_looked_at(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    path = tmp_path / "rows.jsonl"
    chosen = [{"role": "assistant", "content": "A\x1b[2J {token:x}", "weight": 1}]
    row = {"prompt": "i", "system": "Be kind.", "chosen": chosen, "rejected": [{"role": "assistant", "content": "B"}]}
    path.write_text("".join(json.dumps(row | {"n": n}) + "\n" for n in range(3)))
    done = rlaif_fast("judge", path, "-b", llama, "--show", 2)
    assert done.status == 0, done.err
    judge = Judge.load(llama)
    prompt = judge.manifest.pair_template.render("Be kind.\n\nHuman: i", "A\x1b[2J {token:x}", "B")
    tokens = len(judge.prompt_tokens(Pair("Be kind.\n\nHuman: i", "A\x1b[2J {token:x}", "B"))[0])
    first = done.out.split("== ")[1]
    assert first.startswith(
        f"{path}, line 1, id 1\nused: prompt, chosen, rejected; shown with the instruction: system; carried: n;"
        f" ignored: chosen.weight\n-- response_0 first, {tokens} tokens\n" + prompt.replace("\x1b", "\\x1b")
    )
    assert "-- response_1 first, " in first and done.out.count("== ") == 2
    forward = rlaif_fast("judge", "-", "-b", llama, "--show", 1, "--orders", "forward", stdin=path.read_bytes())
    assert forward.status == 0 and "-- response_1 first" not in forward.out and "== stdin, line 1" in forward.out
    path.write_bytes(b"oops\n" + GOOD)
    refused = rlaif_fast("judge", path, "-b", llama, "--show", 1)
    assert refused.status == 1 and refused.err.startswith(f"error: {path}, line 1: not JSON") and not refused.out
    skipped = rlaif_fast("judge", path, "-b", llama, "--show", 1, "--on-error", "skip")
    assert skipped.status == 1 and f"skipped: {path}, line 1: not JSON" in skipped.err and "line 2" in skipped.out
    usage = rlaif_fast("judge", path, "-b", llama, "--show", 1, "-o", tmp_path / "out.jsonl")
    assert usage.status == 2 and "leave --output out" in usage.err


def test_ranks_and_scores_are_shown_too(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "i", "context": "c", "responses": ["A", "B", "C"]}))
    done = rlaif_fast("rank", path, "-b", llama, "--show", 1)
    assert done.status == 0 and "shown with the instruction: context" in done.out
    assert (
        "-- 1 of 3 pairs, response_0 first, " in done.out and "Text - i\nc\nSummary 1 - A\nSummary 2 - B\n" in done.out
    )
    path.write_text(json.dumps({"prompt": "i", "input": "c", "output": "A"}))
    done = rlaif_fast("score", path, "--show", 1)
    assert done.status == 0, done.err
    assert (
        "used: prompt, output; shown with the instruction: input" in done.out
        and "Text - i\nc\nSummary - A\n" in done.out
    )


def test_a_column_to_carry_that_is_not_there(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    table, rows = tmp_path / "t.csv", tmp_path / "t.jsonl"
    table.write_text("instruction,response_0,response_1\ni,a,b\n")
    done = rlaif_fast("judge", table, "-b", llama, "--show", 1, "--carry", "documnt")
    assert done.status == 1
    assert done.err == (
        f"error: {table}: --carry documnt: there is no such column (there are instruction, response_0, response_1)\n"
    )
    rows.write_bytes(GOOD)
    done = rlaif_fast("judge", rows, "-b", llama, "--show", 1, "--carry", "documnt")
    assert done.status == 0 and f"{rows}: --carry documnt: the first row has no such column\n" in done.err


def test_a_kind_of_file_that_is_not_written(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    (tmp_path / "t.jsonl").write_bytes(GOOD)
    done = rlaif_fast("judge", tmp_path / "t.jsonl", "-b", llama, "-o", tmp_path / "v.xlsx")
    assert done.status == 1 and "v.xlsx: .xlsx files are not written; name it .jsonl" in done.err


BAD = {
    "not JSON": (b'{"instruction": oops}', "line 2: not JSON (Expecting value at column 17)"),
    "not UTF-8": (GOOD[:17] + b"\xff" + GOOD[17:-1], "line 2: not UTF-8 at byte 17"),
    "a NUL": (GOOD[:-1].replace(b'"i"', b'"i\\u0000"'), "line 2: field 'instruction' has a NUL at character 1"),
    "a lone surrogate": (GOOD[:-1].replace(b'"a"', b'"\\ud800"'), "field 'response_0' has a lone surrogate"),
    "a missing field": (b'{"id": "x", "instruction": "i"}', "line 2, id 'x': field 'response_0' is missing"),
    "no string": (GOOD[:-1].replace(b'"a"', b"5"), "field 'response_0' is a number, it must be a string"),
    "an empty response": (GOOD[:-1].replace(b'"a"', b'" "'), "line 2: field 'response_0' is empty"),
    "the same responses": (GOOD[:-1].replace(b'"a"', b'"b"'), "line 2: both responses are the same"),
    "no object": (b"[1, 2]", "line 2: a row is a JSON object, this is an array"),
    "50 MB": (GOOD[:-1].replace(b'"i"', b'"' + b"x" * 50_000_000 + b'"'), "line 2: longer than 10 MB"),
    "over the context": (GOOD[:-1].replace(b'"i"', b'"' + b"the fox " * 4000 + b'"'), "line 2, id 2: the prompt has "),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_named_or_set_aside(kind: str, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    bad, reason = BAD[kind]
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_bytes(GOOD + bad + b"\n" + GOOD)
    stopped = rlaif_fast("judge", rows, "-b", llama, "-o", out)
    assert stopped.status == 1 and stopped.err.count("\n") == 1
    assert stopped.err.startswith(f"error: {rows}, line 2") and reason in stopped.err
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"], "nothing is left behind"
    skipped = rlaif_fast("judge", rows, "-b", llama, "-o", out, "--on-error", "skip")
    assert skipped.status == 1
    assert f"3 pairs, 2 judged, 1 skipped ({out}.errors.jsonl)" in skipped.err
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [1, 3]
    (error,) = [json.loads(line) for line in (tmp_path / "out.jsonl.errors.jsonl").read_text().splitlines()]
    assert reason in error["error"]
    if kind != "50 MB":
        as_it_was = error["row"] if isinstance(error["row"], str) else json.dumps(error["row"])
        assert as_it_was == bad.decode(errors="backslashreplace")


def test_an_id_that_was_there(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_bytes(2 * (b'{"id": "x", ' + GOOD[1:]))
    refused = rlaif_fast("judge", rows, "-b", llama, "-o", out)
    assert refused.status == 1 and f"{rows}, line 2, id 'x': an earlier row has the same id" in refused.err
    assert rlaif_fast("judge", rows, "-b", llama, "-o", out, "--on-error", "skip").status == 1
    assert len(out.read_text().splitlines()) == 1


def test_long_prompts_are_truncated_alike(llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    long = json.loads(GOOD) | {"instruction": "the fox " * 4000}
    rows.write_bytes(GOOD + json.dumps(long).encode() + b"\n")
    assert rlaif_fast("judge", rows, "-b", llama, "-o", out, "--on-long", "truncate").status == 0
    short, cut = [json.loads(line) for line in out.read_text().splitlines()]
    assert (short["truncated"], cut["truncated"]) == (False, True)
    assert cut["instruction"] == long["instruction"] and {cut["chosen"], cut["rejected"]} == {"a", "b"}


def test_near_ties_are_dropped_or_marked(wanted: bytes, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    (tmp_path / "rows.jsonl").write_bytes(LINES)
    rows = [json.loads(line) for line in wanted.splitlines()]
    margins = sorted(abs(row["p1"] - row["p2"]) for row in rows)
    out = tmp_path / "out.jsonl"
    command = ("judge", tmp_path / "rows.jsonl", "-b", llama, "-o", out, "--min-margin", margins[2])
    assert rlaif_fast(*command).status == 0
    kept = [row for row in rows if abs(row["p1"] - row["p2"]) >= margins[2]]
    assert 0 < len(kept) < len(rows)
    assert [json.loads(line) for line in out.read_text().splitlines()] == kept
    assert rlaif_fast(*command, "--mark", "--restart").status == 0
    marked = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row.pop("kept") for row in marked] == [row in kept for row in rows] and marked == rows
    assert rlaif_fast(*command[:6], "--only-consistent", "--restart").status == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == [r for r in rows if r["consistent"]]
