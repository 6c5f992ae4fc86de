"""What `eval` is given: labelled pairs, to be judged, or verdicts on such pairs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlaif_fast.evaluation.records import Record
    from rlaif_fast.files.source import Part, Row
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.rows.pairs import Pair
    from rlaif_fast.schemas.human_labels import LeftOut


@dataclass(frozen=True)
class Labelled:
    """The rows of a file whose label is 0 or 1: one of the two lists, the other is None.

    Attributes:
        name: of the file, in messages.
        title: the same in a report.
        left_out: the other rows.
        pairs: to be judged.
        verdicts: judged already, by a judge that the rows do not name.
    """

    name: str
    title: str
    left_out: LeftOut
    pairs: list[Pair] | None = None
    verdicts: list[Record] | None = None


def read_labelled(
    path: str, *, kind: str | None, part: Part, fields: str | None, carry: Collection[str], limit: int | None
) -> Labelled:
    """What a file holds; arguments are those of ``open_pairs``, and the number of rows to take.

    Raises:
        PairError, EvalError: a row that is none, a label that is none, or no row with a label.
    """
    from rlaif_fast.evaluation.labelled import labelled
    from rlaif_fast.evaluation.records import is_verdict, nothing_labelled
    from rlaif_fast.files.opening import open_rows
    from rlaif_fast.reports.terminal import say
    from rlaif_fast.rows.reader import row_reader
    from rlaif_fast.schemas.human_labels import LeftOut

    left_out = LeftOut()
    with open_rows(path, kind, part, say) as source:
        rows = source.rows()
        head = list(islice(rows, 1))
        rest = replace(source, restartable=False, read=lambda: chain(head, rows))
        if fields is None and head and is_verdict(head[0].value):
            found = Labelled(
                source.name, source.title, left_out, verdicts=list(_verdicts(islice(rest.rows(), limit), left_out))
            )  # fmt: skip
        else:
            pairs = row_reader(rest, fields, say, carry=carry).pairs()
            found = Labelled(source.name, source.title, left_out, pairs=list(labelled(islice(pairs, limit), left_out)))
    if not (found.pairs or found.verdicts):
        raise nothing_labelled(source.name, left_out)
    return found


def judged(judge: Judge, pairs: list[Pair], on_long: str, name: str = "") -> list[Record]:
    """The verdicts of a judge on labelled pairs, in both orders; says how long it took.

    Args:
        name: of what is judged, where that is to be said.
    """
    from rlaif_fast.evaluation.records import record
    from rlaif_fast.judging.pair_run import PairRun
    from rlaif_fast.judging.run_input import RunInput
    from rlaif_fast.reports.terminal import say

    rows = RunInput.of(pairs)
    rows.check()
    run = PairRun(rows, judge, shorten=on_long == "truncate", window=len(pairs))
    records = [record(verdict.row()) for verdict in run.results()]
    say(f"{name}: {run.closing()}" if name else run.closing())
    return records


def loaded(bundle: str | None, template: str | None, threads: int) -> Judge:
    """The judge over a bundle, or over the embedded default."""
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.runtime.cpu import busy

    return Judge.load(bundle_folder_of(bundle, template), template=template, threads=threads, spin=not busy())


def said_of(judge: Judge) -> dict[str, Any]:
    """What a report says of who judged."""
    of = judge.manifest
    return {"name": of.name, "model": of.model.id, "digest": of.digest}


def _verdicts(rows: Iterator[Row], left_out: LeftOut) -> Iterator[Record]:
    """Those whose label is 0 or 1; the others are counted.

    In a table a label that was set aside leaves an empty cell. Where that is so for every 1 and for no 0, only half of
    the labels would be left.
    """
    from rlaif_fast.errors import EvalError
    from rlaif_fast.evaluation.records import has_label, record_of

    aside, ones = "", 0
    for row in rows:
        found = record_of(row)
        if not has_label(row.value):
            raise EvalError(
                f"{row.where}, id {found.id!r}: the verdict has no human_label; judge pairs with a field label (0 or 1)"
            )
        ones += found.human_label == 1
        if not aside and found.human_label is None and str(row.value.get("input_label")).strip() in ("1", "1.0"):
            aside = f"{row.where}, id {found.id!r}"
        if not left_out(found.human_label):
            yield found
    if aside and not ones:
        raise EvalError(
            f"{aside}: has input_label 1 in place of a human_label, which may mean that either response is preferred;"
            " name the label with --fields when the pairs are judged"
        )
