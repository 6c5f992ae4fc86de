"""Pairs with the label of who preferred one of their responses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rlaif_fast.errors import EvalError
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.schemas.human_labels import Label, LeftOut, is_judged, read_label


def labelled(pairs: Iterable[Pair], left_out: LeftOut) -> Iterator[Pair]:
    """Those whose label is 0 or 1; the others are counted. Raises EvalError where a label is none."""
    return (pair for pair in pairs if not left_out(label_of(pair)))


def label_of(pair: Pair) -> Label:
    """What people said of a pair.

    Raises:
        EvalError: a judge chose, or the row has no label, or none that can be read.
    """
    if "label" not in pair.carried and is_judged(pair.carried):
        raise EvalError(
            f"{pair}: a judge chose, not people (judge --to trl); give the rows `judge` writes without --to"
        )
    if "label" not in pair.carried and "input_label" in pair.carried and "p1" not in pair.carried:
        raise EvalError(
            f"{pair}: has label {pair.carried['input_label']!r} beside responses that are not numbered from 0, which"
            " may mean that either is preferred; remove it, or name the responses response_0 and response_1"
        )
    if "label" not in pair.carried and "human_label" in pair.carried:
        raise EvalError(f"{pair}: its label is in human_label, as a verdict's is; give the pairs that were judged")
    if "label" not in pair.carried:
        raise EvalError(f"{pair}: there is no field label; it says which response people prefer, 0 or 1")
    try:
        return read_label(pair.carried["label"])
    except ValueError as error:
        raise EvalError(f"{pair}: {error}") from None
