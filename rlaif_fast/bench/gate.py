"""Thresholds, and what misses them: the bench as a gate of a build."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaif_fast.bench.report import SCHEMA, Report
from rlaif_fast.errors import BenchError


@dataclass(frozen=True)
class Baseline:
    """What an older run's JSON is compared by."""

    path: str
    cpu: str
    threads: int
    pairs_sha256: str
    median_ms: float
    speedup: float | None
    peak_mb: float | None

    def require_comparable(self, cpu: str, threads: int, pairs_sha256: str, has_reference: bool) -> None:
        """Raise BenchError unless a run of these would say something about this one."""
        if self.pairs_sha256 != pairs_sha256:
            raise BenchError(f"{self.path}: measured on other pairs; use the same PAIRS and --limit")
        if self.threads != threads:
            raise BenchError(
                f"{self.path}: measured with {self.threads} threads, this run has {threads}; set --threads"
            )
        if self.cpu != cpu and not (has_reference and self.speedup is not None):
            raise BenchError(
                f"{self.path}: measured on another CPU ({self.cpu}), so latencies do not compare;"
                " give both runs --reference, and their speedups do"
            )


@dataclass(frozen=True)
class Thresholds:
    """Limits of a run; None is no limit."""

    min_speedup: float | None = None
    max_flips: float | None = None  # share of the pairs
    max_worst_delta: float | None = None  # log-odds, the largest difference
    max_regression: float | None = None  # share by which a figure may be worse than the baseline's
    baseline: Baseline | None = None


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file of ``--json``. Raises BenchError."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        schema = raw["schema"]
    except OSError as error:
        raise BenchError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BenchError(f"{path}: no report, give a file written by `rlaif-fast bench --json`") from None
    if schema != SCHEMA:
        raise BenchError(f"{path}: schema {schema!r}, this version reads {SCHEMA}; measure the baseline again")
    try:
        return Baseline(
            str(path),
            str(raw["machine"]["cpu"]),
            int(raw["machine"]["threads"]),
            str(raw["set"]["sha256"]),
            _positive(raw["latency"]["median_ms"]),
            raw["speedup"] and _positive(raw["speedup"]["of_medians"]),
            raw["fresh"]["peak_mb"] and _positive(raw["fresh"]["peak_mb"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BenchError(f"{path}: no complete report ({type(error).__name__}: {error})") from None


def failures(report: Report, limits: Thresholds) -> list[str]:
    """One line for each limit that is missed. A figure that is no number misses every limit."""
    found = []
    if limits.min_speedup is not None and report.speedup is not None:
        reached = report.speedup.of_medians
        if not reached >= limits.min_speedup:
            found.append(f"speedup {reached:.3f} is below --min-speedup {limits.min_speedup:g}")
    agreement = report.agreement
    if limits.max_flips is not None and agreement is not None and not agreement.flip_share <= limits.max_flips:
        share = f"{agreement.flips} of {report.set['pairs']} labels flipped, a share of {agreement.flip_share:.4f}"
        found.append(f"{share}, over --max-flips {limits.max_flips:g}")
    worst = limits.max_worst_delta
    if worst is not None and agreement is not None and not agreement.max <= worst:
        found.append(f"a log-odds differs by {agreement.max:.3g}, over --max-worst-delta {worst:g}")
    if limits.baseline is not None and limits.max_regression is not None:
        found += _regressions(report, limits.baseline, limits.max_regression)
    return found


def _regressions(report: Report, old: Baseline, limit: float) -> list[str]:
    """Speed by the speedup where both runs have one, because it does not drift with the machine; and memory."""
    found = []
    if report.speedup is not None and old.speedup is not None:
        speed = ("speedup", old.speedup / report.speedup.of_medians, report.speedup.of_medians, old.speedup, "")
    else:
        median = report.latency.median_ms
        speed = ("median latency", median / old.median_ms, median, old.median_ms, " ms")
    compared = [speed]
    peak = report.fresh.peak_mb
    if peak is not None and old.peak_mb is not None:
        compared.append(("peak memory", peak / old.peak_mb, peak, old.peak_mb, " MB"))
    for what, ratio, now, before, unit in compared:
        if not ratio - 1 <= limit:
            found.append(
                f"{what} {now:.3f}{unit} is worse than the baseline's {before:.3f}{unit}"
                f" by {ratio - 1:.3f}, over --max-regression {limit:g}"
            )
    return found


def _positive(value: Any) -> float:
    number = float(value)
    if not number > 0:
        raise ValueError(f"{value!r} is no measured figure")
    return number
