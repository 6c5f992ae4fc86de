"""Every figure of a run in one place, with its unit; and the tables that show them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rlaif_fast.bench.measure import Fresh
from rlaif_fast.bench.rate import MatrixRate
from rlaif_fast.bundle.agreement import Agreement
from rlaif_fast.reports.markdown import markdown
from rlaif_fast.reports.tables import Table, margin_text
from rlaif_fast.wording import counted

SCHEMA = 1


@dataclass(frozen=True)
class Latency:
    """Of one pair, both orders, judged alone: text in, verdict out."""

    median_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    pairs_per_s: float
    prompt_tokens_per_s: float  # of both prompts, whole: the same work for whoever judges
    computed_tokens_per_s: float  # that entered a forward pass: what is shared or baked is not in it


@dataclass(frozen=True)
class Speedup:
    """The reference's time over the bundle's."""

    of_medians: float
    pair_p10: float  # of single pairs: how much the speedup varies with the pair
    pair_median: float
    pair_p90: float


@dataclass(frozen=True)
class Grouped:
    """All pairs in one call, those on one instruction sharing a pass."""

    pairs_per_s: float
    max_delta: float  # log-odds, against the same pairs judged alone


@dataclass(frozen=True)
class Work:
    """Arithmetic, as the manifest counts it; a multiply-add is two operations."""

    gop_per_pair: float  # 10^9 operations, the mean
    gops: float  # 10^9 operations a second, over the whole run
    rate_before: MatrixRate | None  # the machine's, measured before and after the run
    rate_after: MatrixRate | None
    rate_gops: float | None  # of both
    share_of_rate: float | None
    floor_ms: float | None  # a pair's, if its operations ran at that rate


@dataclass(frozen=True)
class PairArrays:
    """One entry a pair, in the order judged; for the reference None where there is none."""

    id: list[Any]
    prompt_tokens: list[int]  # of both prompts
    computed_tokens: list[int]  # of the packed tree
    bundle_ms: list[list[float]]  # [pairs][repeats]
    reference_ms: list[list[float]] | None
    bundle_log_odds: list[list[float]]  # [pairs][forward, swapped], of response_0
    reference_log_odds: list[list[float]] | None


@dataclass(frozen=True)
class Report:
    """A run. ``asdict`` of it is the JSON; docs/benchmarking.md explains each figure."""

    date: str  # UTC, ISO 8601
    command: str
    machine: dict[str, Any]
    versions: dict[str, str]
    bundle: dict[str, Any]
    reference: str | None  # MODEL as given
    set: dict[str, Any]  # the pairs: source, pairs, repeat, sha256
    latency: Latency
    reference_latency: Latency | None
    speedup: Speedup | None
    grouped: Grouped
    work: Work
    fresh: Fresh
    reference_fresh: Fresh | None
    agreement: Agreement | None
    warnings: list[str]  # why the times may not be what they seem
    pairs: PairArrays
    schema: int = SCHEMA

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """For a pull request."""
        return markdown(self.title, self.tables(), self.warnings, self.where, self.command)

    @property
    def title(self) -> str:
        of = self.bundle
        return f"{of['model']} ({of['precision']}, {of['template']}) by {of['engine']}"

    @property
    def where(self) -> str:
        """Machine, versions and date in a sentence."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        of = self.machine
        return (
            f"{of['cpu']}, {of['threads']} threads of {of['cores']} cores, {of['system']} {of['architecture']};"
            f" {versions}; {counted(self.set['pairs'], 'pair')} of {self.set['source']}, repeat {self.set['repeat']};"
            f" {self.date}"
        )

    def tables(self) -> list[Table]:
        """What people read: the same on the terminal, in Markdown and in HTML."""
        both = self.reference_latency is not None
        speed = Table("speed", ["bundle", *["PyTorch fp32"] * both], [])
        speed.rows.extend([name, *cells[: 1 + both]] for name, *cells in self._speed_rows())
        found = [speed]
        if self.agreement is not None:
            found += [_agreement_table(self.agreement), _margin_table(self.agreement)]
        return found

    def _speed_rows(self) -> list[list[str]]:
        ours, theirs, fresh, work = self.latency, self.reference_latency, self.fresh, self.work
        beside = self.reference_fresh
        rows = [
            [name, f"{getattr(ours, key):{spec}} {unit}", f"{getattr(theirs, key):{spec}} {unit}" if theirs else ""]
            for name, key, spec, unit in (
                ("latency a pair, median", "median_ms", ",.1f", "ms"),
                ("latency a pair, p90", "p90_ms", ",.1f", "ms"),
                ("latency a pair, p99", "p99_ms", ",.1f", "ms"),
                ("throughput, one pair at a time", "pairs_per_s", ",.2f", "pairs/s"),
                ("prompt tokens processed", "prompt_tokens_per_s", ",.0f", "tokens/s"),
                ("tokens computed", "computed_tokens_per_s", ",.0f", "tokens/s"),
            )
        ]
        if self.speedup is not None:
            of = self.speedup
            spread = f"{of.pair_median:.2f} (p10 {of.pair_p10:.2f}, p90 {of.pair_p90:.2f})"
            rows.insert(0, ["speedup of single pairs", spread, "1"])
            rows.insert(0, ["speedup, ratio of the median latencies", f"{of.of_medians:.2f}", "1"])
        rows.append(["throughput, pairs on one instruction together", f"{self.grouped.pairs_per_s:,.2f} pairs/s", ""])
        rows.append(["arithmetic rate", f"{work.gops:,.1f} GOP/s", ""])
        if work.rate_gops and work.rate_before and work.share_of_rate is not None:
            rate = f"{work.rate_gops:,.1f} GOP/s"
            rows.append([f"matrix-product rate of the machine ({work.rate_before.kinds})", rate, ""])
            floor = f"{100 * work.share_of_rate:.0f} %; floor {work.floor_ms:,.1f} ms a pair"
            rows.append(["share of that rate", floor, ""])
        rows.append(["cold start, one pair", f"{fresh.start_s:.2f} s", f"{beside.start_s:.2f} s" if beside else ""])
        rows.append(["of which loading the model", f"{fresh.load_s:.2f} s", f"{beside.load_s:.2f} s" if beside else ""])
        peak = beside.peak_mb if beside else None
        rows.append(["peak memory, longest pair", _megabytes(fresh.peak_mb), _megabytes(peak)])
        return rows


def latency(seconds: npt.NDArray[np.float64], prompt_tokens: Sequence[int], computed_tokens: Sequence[int]) -> Latency:
    """Of times [pairs, repeats] and the tokens of each pair."""
    total, repeats = float(seconds.sum()), seconds.shape[1]
    p50, p90, p99 = (float(q) for q in np.quantile(seconds * 1e3, [0.5, 0.9, 0.99]))
    return Latency(
        p50, p90, p99, float(seconds.mean() * 1e3), seconds.size / total,
        sum(prompt_tokens) * repeats / total, sum(computed_tokens) * repeats / total,
    )  # fmt: skip


def speedup(bundle: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> Speedup:
    """Of times [pairs, repeats] each; a pair's own is the ratio of its medians."""
    p10, p50, p90 = np.quantile(np.median(reference, 1) / np.median(bundle, 1), [0.1, 0.5, 0.9])
    return Speedup(float(np.median(reference) / np.median(bundle)), float(p10), float(p50), float(p90))


def work(
    operations: Sequence[int], seconds: npt.NDArray[np.float64], before: MatrixRate | None, after: MatrixRate | None
) -> Work:
    """Of each pair's operations and times [pairs, repeats]; the rates differ as far as the machine drifted."""
    per_pair = sum(operations) / len(operations) / 1e9
    gops = sum(operations) * seconds.shape[1] / float(seconds.sum()) / 1e9
    if before is None or after is None:
        return Work(per_pair, gops, before, after, None, None, None)
    rate = 2 / (1 / before.gops + 1 / after.gops)  # the same work twice, over the time of both
    return Work(per_pair, gops, before, after, rate, gops / rate, per_pair / rate * 1e3)


def _agreement_table(of: Agreement) -> Table:
    rows = [
        ["difference in log-odds, mean", f"{of.mean:.2g}"],
        ["difference in log-odds, p99", f"{of.p99:.2g}"],
        ["difference in log-odds, max", f"{of.max:.2g}"],
        ["mean shift towards the first position", f"{of.position_shift:+.2g}"],
        ["labels flipped, orders averaged", f"{of.flips} ({100 * of.flip_share:.1f} %)"],
        ["labels flipped, single prompts", f"{100 * of.single_flip_share:.1f} %"],
        ["correlation", "-" if of.r is None else f"{of.r:.6f}"],
    ]
    return Table("agreement with PyTorch fp32", ["bundle"], rows)


def _margin_table(of: Agreement) -> Table:
    rows = []
    for bin_ in of.by_margin:
        share = f"{100 * bin_.flips / bin_.pairs:.1f} %" if bin_.pairs else "-"
        rows.append([margin_text(bin_.low, bin_.high), str(bin_.pairs), str(bin_.flips), share])
    return Table("flips by margin of the reference, |log-odds|", ["pairs", "flips", "share"], rows)


def _megabytes(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f} MB"
