"""From times and log-odds to figures, and from figures to a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rlaif_fast.judging.verdict import sigmoid

_BUSY = 0.5  # load average a core above which times say nothing


def figures(
    ms: npt.NDArray[np.float64], log_odds: npt.NDArray[np.float64], baseline_ms: npt.NDArray[np.float64],
    baseline_log_odds: npt.NDArray[np.float64],
) -> dict[str, Any]:  # fmt: skip
    """One peer against the baseline: times [pairs], log-odds of response_0 [pairs, orders], over the same pairs."""
    difference = np.abs(log_odds - baseline_log_odds)
    kept = _labels(log_odds) == _labels(baseline_log_odds)
    return {
        "median_ms": float(np.median(ms)),
        "speed": float(np.median(baseline_ms) / np.median(ms)),
        "mean_difference": float(difference.mean()),
        "max_difference": float(difference.max()),
        "labels_kept": float(kept.mean()),
        "r": _correlation(log_odds.mean(1), baseline_log_odds.mean(1)),
    }


def markdown(report: dict[str, Any]) -> str:
    """The report as a page: table, what was left out, where it holds, the command."""
    columns = ["peer", "ms a pair", "speed", "mean diff.", "max diff.", "labels kept", "r", "memory", "disk"]
    out = [f"# {report['model']}: peers on {report['set']['pairs']} pairs of {report['set']['source']}", ""]
    out += [row(columns), row(["---", *["---:"] * (len(columns) - 1)])]
    out += [row(_cells(name, peer)) for name, peer in report["peers"].items()]
    out += ["", "Median time of a pair in both orders, one pair at a time, the peers taking turns pair by pair. Speed,"]
    out += ["differences of log-odds, labels (averaged over the orders) and correlation are against the first row."]
    out += ["Memory: the largest of the peer's process, mapped weights included; on disk: the files it loads. MB.", ""]
    out += [f"- {name}: {peer['what']}" for name, peer in report["peers"].items()]
    if report["skipped"]:
        out += ["", "Left out: " + "; ".join(f"{name} ({why})" for name, why in report["skipped"].items()) + "."]
    return "\n".join([*out, *conditions(report)])


def conditions(report: dict[str, Any]) -> list[str]:
    """The end of a page: where its figures hold, and the command that made them."""
    out = []
    of = report["machine"]
    load = of["load_before"]
    if load is not None and load > _BUSY * of["cores"]:
        out += ["", f"**The machine was busy before the run (load {load:g} on {of['cores']} cores): quote no times.**"]
    where = f"{of['cpu']} (family/model {of['family_model']}; {', '.join(of['flags'])}), {of['threads']} threads of"
    tools = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    out += ["", f"{where} {of['cores']} cores, {of['system']}, load before {load}, OpenMP {of['omp_wait_policy']}."]
    out += [f"{tools}. Prompts of {report['set']['mean_tokens']:.0f} tokens on average. {report['date']}.", ""]
    return [*out, f"    {report['command']}", ""]


def write(output: Path, report: dict[str, Any], page: str) -> None:
    """``report`` and ``page`` as ``output`` with .json and .md behind it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_name(f"{output.name}.json").write_text(json.dumps(report) + "\n", encoding="utf-8")
    output.with_name(f"{output.name}.md").write_text(page, encoding="utf-8")


def _cells(name: str, peer: dict[str, Any]) -> list[str]:
    r = "-" if peer["r"] is None else f"{peer['r']:.4f}"
    memory = "-" if peer["peak_mb"] is None else f"{peer['peak_mb']:,.0f}"
    return [
        name, f"{peer['median_ms']:,.0f}", f"{peer['speed']:.2f}", f"{peer['mean_difference']:.2g}",
        f"{peer['max_difference']:.2g}", f"{100 * peer['labels_kept']:.0f} %", r, memory, f"{peer['disk_mb']:,.0f}",
    ]  # fmt: skip


def row(cells: list[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


def _labels(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """[pairs] whether response_0 is preferred, probabilities averaged over the orders as the judge does."""
    return np.array([sum(map(sigmoid, of_pair)) / len(of_pair) > 0.5 for of_pair in log_odds.tolist()])


def _correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    if len(a) < 3 or not a.std() or not b.std():
        return None
    return float(np.corrcoef(a, b)[0, 1])
