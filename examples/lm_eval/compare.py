"""The answers of lm-evaluation-harness beside verdicts of one order: label by label, status 1 where one differs.

    python examples/lm_eval/compare.py VERDICTS.jsonl SAMPLES.jsonl

SAMPLES is what `lm_eval run --log_samples` wrote for the task rlaif_fast_summary.
"""

import json
import math
import sys


def rows(path: str) -> list[dict]:
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main(verdicts: str, samples: str) -> int:
    """The exit status."""
    ours = {row["id"]: row for row in rows(verdicts)}
    theirs = {row["doc"]["id"]: [float(answer[0]) for answer in row["filtered_resps"]] for row in rows(samples)}
    if ours.keys() != theirs.keys():
        sys.exit(f"error: {verdicts} and {samples} are not of the same pairs")
    labels = {key: 1 if first > second else 2 for key, (first, second) in theirs.items()}  # log-likelihoods
    p1 = {key: 1 / (1 + math.exp(second - first)) for key, (first, second) in theirs.items()}
    other = [key for key, row in ours.items() if row["label"] != labels[key]]
    furthest = max(abs(row["p1"] - p1[key]) for key, row in ours.items())
    print(f"{len(ours)} pairs, {len(ours) - len(other)} labels the same, p1 differs by {furthest:.1e} at most")
    for key in other:
        print(f"{key}: p1 is {ours[key]['p1']:.6f} here, {p1[key]:.6f} there")
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
