"""The figures of ``rlaif-fast eval`` computed again from verdict rows: plain loops over docs/eval.md's definitions.

It shares no code with the package and takes from numpy only the draws that the document names. By hand::

    python -m tests.slow_alignment verdicts.jsonl eval.json
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
NAMES = ("accuracy", "kappa", "same_position_rate", "consistency", "first_position_rate", "ece", "brier", "log_loss",
         "longer", "first", "over_longer")  # fmt: skip
SHARES = ("accuracy", "same_position_rate", "consistency", "first_position_rate", "longer", "first")


def recompute(rows: list[Row], fit: bool = False) -> dict[str, Any]:
    """What ``eval --json`` says of verdict rows with ``human_label``, without what it says of files and methods."""
    pairs = [_pair(row) for row in rows]
    tasks: dict[str, list[Row]] = {}
    for pair in pairs:
        if pair["task"] is not None:
            tasks.setdefault(pair["task"], []).append(pair)
    found = {
        **figures(pairs),
        "by_margin": _bins(pairs, "margin", [0, 0.02, 0.05, 0.1, 0.2, 0.5, 1]),
        "reliability": _reliability(pairs),
        "coverage": _coverage(pairs),
        "decided_within": {"0.05": _decided(pairs, 0.05), "0.1": _decided(pairs, 0.1)},
        "by_task": {task: figures(part) for task, part in tasks.items()},
    }
    return found | ({"fit": _fit(pairs)} if fit else {})


def figures(pairs: list[Row]) -> dict[str, Any]:
    """Every figure with its bootstrap interval."""
    import numpy as np

    groups: dict[str, list[Row]] = {}
    for pair in pairs:
        groups.setdefault(pair["instruction"], []).append(pair)
    members = list(groups.values())
    values = _values(pairs)
    spans: dict[str, list[float] | None] = dict.fromkeys(NAMES)
    if len(members) > 1:
        draws = np.random.RandomState(0).randint(0, len(members), (2000, len(members)), dtype=np.int64).tolist()
        drawn = [_values([pair for group in draw for pair in members[group]]) for draw in draws]
        for name in NAMES:
            defined = sorted(one[name] for one in drawn if one[name] is not None)
            if len(defined) >= 1000:
                spans[name] = [_percentile(defined, 0.025), _percentile(defined, 0.975)]
    of_both = len({pair["instruction"] for pair in pairs if len(pair["by_order"]) == 2})
    for name in NAMES:
        value, span = values[name], spans[name]
        count = of_both if name in ("same_position_rate", "consistency") else len(members)
        if value is None:
            spans[name] = None
        elif name in SHARES and (_few(value, count) or span is None or span[0] == span[1]):
            spans[name] = _of_instructions(value, count)
        elif name not in SHARES and (len(members) < 10 or (span and span[0] == span[1])):  # it knows nothing
            spans[name] = None
    found: dict[str, Any] = {name: {"value": values[name], "interval": spans[name]} for name in NAMES}
    found["baselines"] = {name: found.pop(name) for name in ("longer", "first")}
    return {"pairs": len(pairs), "groups": len(members), **found}


def _of_instructions(share: float, n: int) -> list[float]:
    """Clopper and Pearson's interval as quantiles of beta distributions, which take half a success too."""
    from scipy.stats import beta

    right = share * n
    low = float(beta.ppf(0.025, right, n - right + 1)) if right > 0 else 0.0
    return [low, float(beta.ppf(0.975, right + 1, n - right)) if right < n else 1.0]


def _pair(row: Row) -> Row:
    by_order, label = row["p1_by_order"], row["label"]
    response_0, response_1 = (row["chosen"], row["rejected"])[:: 1 if label == 1 else -1]
    return _with_p1({
        "instruction": row["instruction"], "task": row.get("task"), "human_0": row["human_label"] == 0,
        "length_0": len(response_0), "length_1": len(response_1), "by_order": by_order,
    }, row["p1"])  # fmt: skip


def _with_p1(pair: Row, p1: float) -> Row:
    picks_0 = p1 > 1 - p1
    confidence = p1 if p1 >= 1 - p1 else 1 - p1
    return pair | {
        "p1": p1, "picks_0": picks_0, "right": picks_0 == pair["human_0"], "margin": abs(p1 - (1 - p1)),
        "confidence": confidence, "bin": min(math.floor(20 * (confidence - 0.5)), 9),
    }  # fmt: skip


def _values(pairs: list[Row]) -> dict[str, float | None]:
    n = len(pairs)
    right = picks = human = both = same = prompts = first = 0
    longer = squared = log_loss = 0.0
    sure, good = [0.0] * 10, [0] * 10
    for pair in pairs:
        right += pair["right"]
        picks += pair["picks_0"]
        human += pair["human_0"]
        sure[pair["bin"]] += pair["confidence"]
        good[pair["bin"]] += pair["right"]
        forward = pair["by_order"][0]
        prompts += 1
        first += forward > 0.5
        if len(pair["by_order"]) == 2:
            swapped = pair["by_order"][1]
            both += 1
            same += (forward > 0.5) != (swapped > 0.5)
            prompts += 1
            first += not swapped > 0.5
        if pair["length_0"] == pair["length_1"]:
            longer += 0.5
        elif (pair["length_0"] > pair["length_1"]) == pair["human_0"]:
            longer += 1
        p = pair["p1"] if pair["human_0"] else 1 - pair["p1"]
        log_loss -= math.log(min(max(p, 2.0**-53), 1 - 2.0**-53))
        squared += (1 - p) ** 2
    agreed, by_chance = right / n, picks / n * (human / n) + (1 - picks / n) * (1 - human / n)
    return {
        "accuracy": agreed,
        "kappa": None if (picks, human) in ((0, 0), (n, n)) else (agreed - by_chance) / (1 - by_chance),
        "same_position_rate": same / both if both else None,
        "consistency": 1 - same / both if both else None,
        "first_position_rate": first / prompts,
        "ece": sum(abs(s - g) for s, g in zip(sure, good, strict=True)) / n,
        "brier": squared / n,
        "log_loss": log_loss / n,
        "longer": longer / n,
        "first": human / n,
        "over_longer": agreed - longer / n,
    }


def _percentile(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _bins(pairs: list[Row], by: str, edges: list[float]) -> list[Row]:
    found = []
    for low, high in itertools.pairwise(edges):
        last = high == edges[-1]
        found.append(_bin(low, high, [one for one in pairs if low <= one[by] and (one[by] < high or last)]))
    return found


def _reliability(pairs: list[Row]) -> list[Row]:
    return [_bin((10 + k) / 20, (11 + k) / 20, [one for one in pairs if one["bin"] == k]) for k in range(10)]


def _bin(low: float, high: float, inside: list[Row]) -> Row:
    n, right = len(inside), sum(one["right"] for one in inside)
    return {
        "low": low, "high": high, "pairs": n, "confidence": sum(one["confidence"] for one in inside) / n if n else None,
        "accuracy": right / n if n else None, "interval": _of_share(inside),
    }  # fmt: skip


def _coverage(pairs: list[Row]) -> list[Row]:
    found = []
    for threshold in _thresholds(pairs):
        kept = [one for one in pairs if one["margin"] >= threshold]
        right = sum(one["right"] for one in kept)
        found.append({
            "threshold": threshold, "pairs": len(kept), "coverage": len(kept) / len(pairs),
            "accuracy": right / len(kept), "interval": _of_share(kept),
        })  # fmt: skip
    return found


def _thresholds(pairs: list[Row]) -> list[float]:
    margins = sorted((one["margin"] for one in pairs), reverse=True)
    return [margins[math.ceil(k * len(pairs) / 20) - 1] for k in range(1, 21)]


def _decided(pairs: list[Row], disagreement: float) -> Row:
    firsts: dict[str, Row] = {}
    for one in pairs:
        firsts.setdefault(one["instruction"], one)
    independent = list(firsts.values())
    levels = []
    for threshold in _thresholds(independent):
        kept = [one for one in independent if one["margin"] >= threshold]
        levels.append((threshold, len(kept), sum(not one["right"] for one in kept)))
    best = -1
    for start in (1, 4, 9, 14):
        for level in range(start, 20):
            _, tested, errors = levels[level]
            if binomial_tail(errors, tested, disagreement) > 0.05 / 4:
                break
            best = max(best, level)
    if best < 0:
        return {"disagreement": disagreement, "value": 0.0, "threshold": None, "tested": 0, "errors": 0,
                "upper_bound": None}  # fmt: skip
    threshold, tested, errors = levels[best]
    return {
        "disagreement": disagreement, "value": sum(one["margin"] >= threshold for one in pairs) / len(pairs),
        "threshold": threshold, "tested": tested, "errors": errors,
        "upper_bound": _falls_to(lambda share: binomial_tail(errors, tested, share), 0.05 / 4),
    }  # fmt: skip


def binomial_tail(most: int, trials: int, share: float) -> float:
    """P(X <= most)."""
    if most >= trials or share == 0:
        return 1.0
    if share == 1:
        return 0.0
    total = 0.0
    for k in range(most + 1):
        ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        total += math.exp(ways + k * math.log(share) + (trials - k) * math.log(1 - share))
    return total


def _of_share(pairs: list[Row]) -> list[float] | None:
    """The interval of the accuracy of some of the pairs, by themselves."""
    import numpy as np

    if not pairs:
        return None
    groups: dict[str, list[bool]] = {}
    for pair in pairs:
        groups.setdefault(pair["instruction"], []).append(pair["right"])
    n, share = len(groups), sum(pair["right"] for pair in pairs) / len(pairs)
    if _few(share, n):
        return _of_instructions(share, n)
    sums = [(sum(rights), len(rights)) for rights in groups.values()]
    drawn = []
    for draw in np.random.RandomState(0).randint(0, n, (2000, n), dtype=np.int64).tolist():
        drawn.append(sum(sums[at][0] for at in draw) / sum(sums[at][1] for at in draw))
    drawn.sort()
    return [_percentile(drawn, 0.025), _percentile(drawn, 0.975)]


def _few(share: float, n: int) -> bool:
    return n < 50 or n * min(share, 1 - share) < 10


def _falls_to(tail: Callable[[float], float], level: float) -> float:
    """The share at which a falling tail is at ``level``; 1 where it never falls."""
    if tail(1.0) > level:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(70):
        middle = (low + high) / 2
        if tail(middle) > level:
            low = middle
        else:
            high = middle
    return high


def _fit(pairs: list[Row]) -> Row:
    halves: tuple[list[Row], list[Row]] = ([], [])
    for one in pairs:
        halves[hashlib.sha256(one["instruction"].encode("utf-8")).digest()[31] % 2].append(one)
    fitted_on, rest = halves
    odds = [[_log_odds(p) for p in one["by_order"]] for one in fitted_on]
    leaning = sum((forward - swapped) / 2 for forward, swapped in odds) / len(odds)
    signed = []
    for one, (forward, swapped) in zip(fitted_on, odds, strict=True):
        sign = 1 if one["human_0"] else -1
        signed.append((sign * (forward - leaning), sign * (swapped + leaning)))
    a = _least_loss(signed)
    b = -a * leaning
    after = []
    for one in rest:
        forward, swapped = (_log_odds(p) for p in one["by_order"])
        by_order = [_sigmoid(a * forward + b), _sigmoid(a * swapped - b)]
        after.append(_with_p1(one | {"by_order": by_order}, sum(by_order) / 2))
    return {
        "calibration": {"a": a, "b": b}, "pairs": len(fitted_on), "groups": len({p["instruction"] for p in fitted_on}),
        "before": figures(rest), "after": figures(after),
    }  # fmt: skip


def _least_loss(signed: list[tuple[float, float]]) -> float:
    def loss(a: float) -> float:
        return -sum(math.log(max((_sigmoid(a * u) + _sigmoid(a * v)) / 2, 1e-300)) for u, v in signed)

    def slope(a: float) -> float:
        total = 0.0
        for u, v in signed:
            p, q = _sigmoid(a * u), _sigmoid(a * v)
            total -= (u * p * (1 - p) + v * q * (1 - q)) / (p + q)
        return total

    grid = [10 ** (-3 + 6 * k / 300) for k in range(301)]
    best = min(range(301), key=lambda k: loss(grid[k]))
    if best in (0, 300):
        return grid[best]
    low, high = grid[best - 1], grid[best + 1]
    for _ in range(100):
        middle = (low + high) / 2
        if slope(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _log_odds(p: float) -> float:
    if p in (0, 1):
        return 36.0 if p else -36.0
    return min(max(math.log(p / (1 - p)), -36.0), 36.0)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def differences(wanted: Any, found: Any, at: str = "eval") -> Iterator[tuple[str, float]]:
    """(place, |difference|) of every number of ``wanted``; infinite where ``found`` has no such number."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            yield from differences(value, found.get(name) if isinstance(found, dict) else None, f"{at}.{name}")
    elif isinstance(wanted, list):
        same = isinstance(found, list) and len(found) == len(wanted)
        for k, value in enumerate(wanted):
            yield from differences(value, found[k] if same else None, f"{at}[{k}]")
    elif isinstance(wanted, int | float):
        yield at, abs(wanted - found) if isinstance(found, int | float) else math.inf
    else:
        yield at, 0.0 if wanted == found else math.inf


def worst(rows: list[Row], report: dict[str, Any]) -> tuple[str, float, int]:
    """(where, by how much, of how many) a report differs most from what is computed here."""
    found = list(differences(recompute(rows, fit=report["fit"] is not None), report))
    return (*max(found, key=lambda one: one[1]), len(found))


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    place, difference, count = worst([json.loads(line) for line in lines if line.strip()],
                                     json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))  # fmt: skip
    print(f"{count} figures, largest difference {difference:.3g} ({place})")
    sys.exit(difference > 1e-6)
