"""Worked examples for a template's head, from rows whose answer people gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rlaif_fast.errors import PairError
from rlaif_fast.intake import open_pairs
from rlaif_fast.pairs import Pair
from rlaif_fast.template import Exemplar, Wording

_LABELS = {0: 0, 1: 1, "0": 0, "1": 1}  # a CSV file's are text


def read_labelled(path: str | Path, count: int) -> list[Pair]:
    """The first ``count`` rows that carry a person's ``label``: 0 or 1, the index of the preferred response.

    Raises:
        PairError: a row that is no pair, a label that is none, or too few rows have one.
    """
    with open_pairs(path) as intake:
        found: list[Pair] = []
        for pair in intake.pairs():
            if pair.carried.get("label") not in (None, ""):
                right_of(pair)
                found.append(pair)
            if len(found) == count:
                return found
        raise PairError(f"{intake.name}: {len(found)} rows have a label, {count} are to be shown; label more of them")


def right_of(pair: Pair) -> int:
    """The index of the response that people prefer. Raises PairError."""
    label = pair.carried.get("label")
    if isinstance(label, bool) or not isinstance(label, int | str) or label not in _LABELS:
        raise PairError(f"{pair}: label is {label!r}, it must be 0 or 1, the index of the preferred response")
    return _LABELS[label]


def worked(pairs: Sequence[Pair]) -> tuple[Exemplar, ...]:
    """The pairs as worked examples, each in the order that makes the first and the second label right in turn.

    Small models answer the label they saw more often, or last: an unbalanced head would decide for them.
    Raises PairError for a pair without a label, or whose ``rationale`` is no text.
    """
    return tuple(_exemplar(pair, number % 2) for number, pair in enumerate(pairs))


def with_exemplars(wording: Wording, exemplars: tuple[Exemplar, ...]) -> Wording:
    """``wording`` with ``exemplars`` as its own, and how many in its name."""
    return replace(wording, name=f"{wording.name}-{len(exemplars)}-shot", exemplars=exemplars)


def balance_line(wording: Wording, source: str) -> str:
    """What was done with the examples of ``source``, for people."""
    rights = [wording.labels[exemplar.right] for exemplar in wording.exemplars]
    return (
        f"{len(rights)} worked examples from {source}: shown so that the right answers are {', '.join(rights)};"
        " do not judge these rows with this bundle"
    )


def _exemplar(pair: Pair, right: int) -> Exemplar:
    rationale = pair.carried.get("rationale") or ""
    if not isinstance(rationale, str):
        raise PairError(f"{pair}: rationale must be a string")
    shown = pair.response_0, pair.response_1
    first, second = shown if right_of(pair) == right else reversed(shown)
    return Exemplar(pair.instruction, first, second, right, rationale.strip())
