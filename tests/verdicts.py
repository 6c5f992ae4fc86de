"""Verdict rows made up for tests, as ``judge`` writes them, and what the package makes of them."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

from rlaif_fast.evaluation import metrics
from rlaif_fast.evaluation.records import Record, Sample, record, sample_of
from rlaif_fast.evaluation.report import Report, evaluate

Row = dict[str, Any]


def verdict_row(key: Any, by_order: list[float], human: int | None = None, **more: Any) -> Row:
    """A row whose figures follow from ``by_order``; ``more`` may name instruction and responses."""
    p1 = math.fsum(by_order) / len(by_order)
    texts = [more.pop("response_0", f"zero {key}"), more.pop("response_1", f"one {key}")]
    label = 1 if p1 > 1 - p1 else 2
    chosen, rejected = texts if label == 1 else reversed(texts)
    row = {
        "id": key, "instruction": more.pop("instruction", f"text {key}"), "chosen": chosen, "rejected": rejected,
        "label": label, "p1": p1, "p2": 1 - p1, "p1_by_order": by_order,
        "consistent": (by_order[0] > 0.5) == (by_order[1] > 0.5) if len(by_order) == 2 else None, "truncated": False,
    }  # fmt: skip
    return row | ({} if human is None else {"human_label": human}) | more


def random_rows(
    seed: int, count: int, *, groups: int | None = None, one_order: float = 0.0, skill: float = 1.5, lean: float = 0.7
) -> list[Row]:
    """Rows of a judge that leans to the first position and is often right; several pairs on an instruction."""
    draw = random.Random(seed)
    rows = []
    for k in range(count):
        group = draw.randrange(groups or count)
        human = draw.randrange(2)
        quality = draw.gauss(skill * (0.5 - human), 1)
        odds = [quality + lean + draw.gauss(0, 0.3), quality - lean + draw.gauss(0, 0.3)]
        by_order = [1 / (1 + math.exp(-x)) for x in odds][: 1 if draw.random() < one_order else 2]
        texts = {f"response_{i}": f"{i}" + "x" * draw.choice([3, 3, 5, 9, 20]) for i in range(2)}
        task = draw.choice([None, "helpful", "harmless"])
        rows.append(verdict_row(f"r{k}", by_order, human, instruction=f"text {group}", **texts,
                                **({} if task is None else {"task": task})))  # fmt: skip
    return rows


def write_rows(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sample(rows: list[Row]) -> Sample:
    return sample_of(record(row) for row in rows)


def report(rows: list[Row]) -> Report:
    return evaluate(sample(rows), source="rows", command="rlaif-fast eval rows")


def values(of: Sample) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.figures(metrics.terms(of).sum(0)).items()}


def exchanged(one: Record) -> Record:
    """The same pair with its responses exchanged: what was shown second is now response_0 shown first."""
    assert isinstance(one.human_label, int)
    by_order = tuple(1 - p for p in reversed(one.p1_by_order))
    return Record(
        one.id, one.instruction, one.response_1, one.response_0, sum(by_order) / len(by_order), by_order,
        1 - one.human_label, one.task,
    )  # fmt: skip
