"""Verdicts, rankings and scores as a table for people: ``--table``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import click

from rlaif_fast.commands.headings import option
from rlaif_fast.files.keeping import Row
from rlaif_fast.reports.tables import framed

_SHORT = 64  # characters of a text that are shown

table_option = option("Output", "--table", is_flag=True, help="Print a table for people instead of rows.")


def check_table(output: object, to: str = "rows") -> None:
    """Raise UsageError where a table is asked for, which is printed, and another output too."""
    if output or to != "rows":
        raise click.UsageError("--table is printed; it takes neither --output nor --to")


def print_verdicts(rows: Iterable[Row], *, marked: bool) -> None:
    """Verdict rows on standard output, also those that were judged before an error; ``marked``: they have ``kept``."""
    title = "verdicts: p1 is the probability that response_0 is preferred"
    _print(title, ("id", "p1", "by order", "consistent", "chosen"), rows, _verdict, right="p1", marked=marked)


def print_rankings(rows: Iterable[Row]) -> None:
    """As :func:`print_verdicts`."""
    title = "rankings: places of the responses, best first"
    columns = ("id", "ranking", "strengths", "consistent", "best")
    _print(title, columns, rows, _ranking, right="consistent", marked=False)


def print_scores(rows: Iterable[Row], *, rated: bool, marked: bool) -> None:
    """As :func:`print_verdicts`; ``rated``: they have a rating and its mass, which those of a reward model have not."""
    if rated:
        title, columns = "scores: rating is from 1 to 10", ("id", "score", "rating", "mass", "response")
        _print(title, columns, rows, _rating, right="score", marked=marked)
    else:
        _print("scores", ("id", "score", "response"), rows, _score, right="score", marked=marked)


def _print(
    title: str, columns: Sequence[str], rows: Iterable[Row], cells: Callable[[Row], Sequence[str]], right: str,
    marked: bool,
) -> None:  # fmt: skip
    from rlaif_fast.reports.console import stdout

    shown: list[tuple[str, ...]] = []
    whole = False
    try:
        for row in rows:
            kept = (("no", "yes")[row["kept"]],) if marked else ()
            shown.append((str(row["id"]), *cells(row), *kept))
        whole = True
    finally:
        if shown or whole:
            stdout().print(framed(title, (*columns, "kept") if marked else columns, shown, right=right))


def _verdict(row: Row) -> tuple[str, ...]:
    agrees = {True: "yes", False: "no", None: "-"}[row["consistent"]]
    by_order = "  ".join(f"{p:.3f}" for p in row["p1_by_order"])
    which = "response_0" if row["label"] == 1 else "response_1"
    return f"{row['p1']:.4f}", by_order, agrees, f"{which}: {_short(row['chosen'])}"


def _ranking(row: Row) -> tuple[str, ...]:
    order, share = row["ranking"], row["consistent_share"]
    strengths = "  ".join(f"{row['strengths'][place]:+.3f}" for place in order)
    consistent = "-" if share is None else f"{100 * share:.0f} %"
    best = f"response_{order[0]}: {_short(row['responses'][order[0]])}"
    return "  ".join(map(str, order)), strengths, consistent, best


def _rating(row: Row) -> tuple[str, ...]:
    return f"{row['score']:+.4f}", f"{row['rating']:.2f}", f"{row['mass']:.2f}", _short(row["response"])


def _score(row: Row) -> tuple[str, ...]:
    return f"{row['score']:+.4f}", _short(row["response"])


def _short(text: str) -> str:
    words = " ".join(text.split())
    return f"{words[:_SHORT]}{'…' if len(words) > _SHORT else ''}"
