"""Few-shot examples for a template's head, from rows whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rlaif_fast.errors import PairError
from rlaif_fast.prompts.template import Exemplar, Wording
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.reader import open_pairs
from rlaif_fast.schemas.human_labels import Label, LeftOut, read_label
from rlaif_fast.wording import counted


def read_labelled(path: str | Path, count: int, left_out: LeftOut | None = None) -> list[Pair]:
    """The first ``count`` rows whose ``label`` is 0 or 1, the index of the preferred response.

    Args:
        left_out: counts the rows passed over, ties and those without a label.

    Raises:
        PairError: a row that is no pair, a label that is none, or too few rows have one.
    """
    left_out = LeftOut() if left_out is None else left_out
    with open_pairs(path) as intake:
        found: list[Pair] = []
        for pair in intake.pairs():
            if not left_out(_label(pair)):
                found.append(pair)
            if len(found) == count:
                return found
        more = f" ({left_out})" if str(left_out) else ""
        have = f"{counted(len(found), 'row')} {'has' if len(found) == 1 else 'have'}"
        raise PairError(f"{intake.name}: {have} a label{more}, {count} are to be shown; label more of them")


def right_of(pair: Pair) -> int:
    """The index of the preferred response. Raises PairError where there is none."""
    label = _label(pair)
    if label is None or label == "tie":
        raise PairError(f"{pair}: no response is preferred, label is {pair.carried.get('label')!r}; give 0 or 1")
    return label


def _label(pair: Pair) -> Label:
    try:
        return read_label(pair.carried.get("label"))
    except ValueError as error:
        raise PairError(f"{pair}: {error}") from None


def worked(pairs: Sequence[Pair]) -> tuple[Exemplar, ...]:
    """The pairs as few-shot examples, each in the order that makes the first and the second label right in turn.

    Small models answer the label they saw more often, or last: an unbalanced head would decide for them.
    Raises PairError for a pair without a label, or whose ``rationale`` is no text.
    """
    return tuple(_exemplar(pair, number % 2) for number, pair in enumerate(pairs))


def with_exemplars(wording: Wording, exemplars: tuple[Exemplar, ...]) -> Wording:
    """``wording`` with ``exemplars`` as its own, and how many in its name."""
    return replace(wording, name=f"{wording.name}-{len(exemplars)}-shot", exemplars=exemplars)


def balance_line(wording: Wording, source: str, left_out: LeftOut | None = None) -> str:
    """What was done with the examples of ``source``, for people."""
    rights = [wording.labels[exemplar.right] for exemplar in wording.exemplars]
    more = f" ({left_out})" if left_out and str(left_out) else ""
    return (
        f"{counted(len(rights), 'few-shot example')} from {source}{more}: shown so that the right answers are"
        f" {', '.join(rights)}; do not judge these rows with this bundle"
    )


def _exemplar(pair: Pair, right: int) -> Exemplar:
    rationale = pair.carried.get("rationale") or ""
    if not isinstance(rationale, str):
        raise PairError(f"{pair}: rationale must be a string")
    shown = pair.response_0, pair.response_1
    first, second = shown if right_of(pair) == right else reversed(shown)
    return Exemplar(pair.instruction, first, second, right, rationale.strip())
