"""Every kind of page that the project writes, of made-up figures: few and many, with and without what is optional."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rlaif_fast.bench import html as bench_html
from rlaif_fast.bench import report as bench_report
from rlaif_fast.bench.measure import Fresh
from rlaif_fast.bench.rate import MatrixRate, ShapeRate
from rlaif_fast.bundle.agreement import agreement
from rlaif_fast.evaluation import diff_html, suite_html
from rlaif_fast.evaluation import html as eval_html
from rlaif_fast.evaluation.calibration import Calibration
from rlaif_fast.evaluation.compare import compare
from rlaif_fast.evaluation.figures import figures_of
from rlaif_fast.evaluation.records import half, record
from rlaif_fast.evaluation.report import Fit, Labels, evaluate
from rlaif_fast.evaluation.suite import Verdicts, evaluate_suite
from rlaif_fast.schemas.human_labels import LeftOut
from rlaif_fast.selection import html as select_html
from rlaif_fast.selection.choosing import choose
from rlaif_fast.selection.parts import split
from rlaif_fast.selection.report import Selection
from tests.test_selection import made_up
from tests.verdicts import Row, random_rows, sample

LONG = "organisation/a-model-with-a-long-name-of-1.5b-parameters-instruct-2026-preview"
PATH = "/home/someone/measurements/of-the-second-half-of-the-year/helpfulness-and-harmlessness.jsonl.zst"


def eval_page(count: int, *, model: str = "smollm2-135m-instruct", fitted: bool = False) -> str:
    rows = random_rows(1, count, groups=max(1, count // 2))
    of = sample(rows)
    fit = None
    if fitted:
        first = np.array([half(row["instruction"]) == 0 for row in rows])
        train, test = of.where(first), of.where(~first)
        fit = Fit(Calibration("0" * 64, 0.7, -0.4, {}), len(train), train.groups, figures_of(test), figures_of(test))
    report = evaluate(
        of, source="helpful.jsonl", command=f"rlaif-fast eval {PATH} -b {model} --html report.html",
        judge={"name": f"{model} (int8, summary)", "model": model, "digest": "0" * 64}, fit=fit,
        left_out=LeftOut(3, 1) if fitted else None,
    )  # fmt: skip
    return eval_html.to_html(report, of)


def diff_page(count: int) -> str:
    """B is less sure and leans to the first position, and lacks two of the pairs."""
    a = [record(row) for row in random_rows(1, count + 2)]
    b = []
    for one in a[2:]:
        by_order = (0.6 * one.p1_by_order[0] + 0.2, 0.6 * one.p1_by_order[1] + 0.1)
        b.append(replace(one, p1=sum(by_order) / 2, p1_by_order=by_order))
    names = ("verdicts-of-the-first-model-and-the-first-prompt.jsonl", PATH)
    return diff_html.to_html(compare(a, b, names, command=f"rlaif-fast diff a.jsonl {PATH} --html diff.html"))


def suite_of(files: dict[str, list[Row]], *judges: str) -> str:
    verdicts = [
        Verdicts(name, judge, [record(row) for row in rows], LeftOut())
        for judge in judges or (None,)
        for name, rows in files.items()
    ]
    return suite_html.suite_page(evaluate_suite("demo", verdicts, command=f"rlaif-fast eval --suite demo {PATH}"))


def bench_page(count: int, *, reference: bool = True) -> str:
    draw = np.random.default_rng(1)
    ours = draw.lognormal(-3, 0.3, (count, 2))
    theirs = ours * draw.lognormal(1.1, 0.1, (count, 2))
    odds = draw.normal(0, 0.4, (count, 2))
    ours_odds = odds + draw.normal(0, 0.02, (count, 2))
    tokens = draw.integers(100, 900, count).tolist()
    rate = MatrixRate(300, 812.3, (ShapeRate(576, 576, 30, "int8", 812.3),))
    report = bench_report.Report(
        date="2026-01-31T12:00:00+00:00", command=f"rlaif-fast bench {PATH} --html report.html",
        machine={
            "cpu": "AMD Ryzen Threadripper PRO 7995WX 96-Cores", "threads": 4, "cores": 4, "system": "Linux",
            "architecture": "x86_64",
        },
        versions={"rlaif-fast": "0.9.0", "python": "3.12.3", "onnxruntime": "1.23.2", "numpy": "2.3.4"},
        bundle={"model": LONG, "precision": "int8", "template": "helpful-chat", "engine": "openvino-int8"},
        reference=LONG, set={"source": "helpful.jsonl", "pairs": count, "repeat": 2, "sha256": "0" * 64},
        latency=bench_report.latency(ours, tokens, tokens),
        reference_latency=bench_report.latency(theirs, tokens, tokens), speedup=bench_report.speedup(ours, theirs),
        grouped=bench_report.Grouped(31.4, 2e-6),
        work=bench_report.work([10**10] * count, ours, rate, rate), fresh=Fresh(0.81, 0.31, 412.0),
        reference_fresh=Fresh(9.8, 3.3, 1890.0), agreement=agreement(ours_odds, odds),
        warnings=["the machine is busy (load 5.1 on 4 cores): times are of a busy machine"],
        pairs=bench_report.PairArrays(
            [f"pair {k}" for k in range(count)], tokens, tokens, (ours * 1e3).tolist(), (theirs * 1e3).tolist(),
            ours_odds.tolist(), odds.tolist(),
        ),
    )  # fmt: skip
    if not reference:
        arrays = replace(report.pairs, reference_ms=None, reference_log_odds=None)
        report = replace(
            report, reference=None, reference_latency=None, speedup=None, reference_fresh=None, agreement=None,
            pairs=arrays,
        )  # fmt: skip
    return bench_html.to_html(report)


def select_page(*, others: bool = True) -> str:
    skills = {"current": 0.2}
    if others:
        skills |= {"helpful": 1.2, "helpful-chat": 0.6, "a-prompt-of-mine-with-a-long-name-chat-8-examples": 0.1}
    pairs, answers = made_up(3, 240, skills)
    parts = split([pair.instruction for pair in pairs], 0)
    names = [name for name in skills if name != "current"]
    found = choose(pairs, parts, answers, "current", names, lambda best: [], lambda line: None, "x")  # type: ignore[arg-type]
    lacking = "left out: prompts that the bundle lacks; they need the exporter: pip install 'rlaif-fast[export]'"
    selection = Selection(
        "helpful.jsonl", f"rlaif-fast select {PATH} --html report.html",
        {"model": LONG, "precision": "int8", "engine": "onnxruntime"}, "current", found.tried, found.best,
        found.tested, [], parts.chosen_on.tolist(), 120, [lacking], Labels("people", 2, 1),
    )  # fmt: skip
    return select_html.to_html(selection)


# Each kind as small as it gets and as full as it gets.
PAGES: dict[str, Callable[[], str]] = {
    "eval of 3 pairs": lambda: eval_page(3),
    "eval of 200 pairs": lambda: eval_page(200, model=LONG, fitted=True),
    "diff of 3 pairs": lambda: diff_page(3),
    "diff of 200 pairs": lambda: diff_page(200),
    "suite of a file": lambda: suite_of({"helpful.jsonl": random_rows(1, 8)}),
    "suite of files and judges": lambda: suite_of(
        {"helpful.jsonl": random_rows(1, 60), "harmless-of-the-second-half-of-the-year.jsonl": random_rows(2, 90)},
        "smollm2-135m-instruct (int8, summary)",
        LONG,
    ),
    "bench of 3 pairs": lambda: bench_page(3),
    "bench of 200 pairs": lambda: bench_page(200),
    "bench without a reference": lambda: bench_page(3, reference=False),
    "select": select_page,
    "select of nothing": lambda: select_page(others=False),
}
