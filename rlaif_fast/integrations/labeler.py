"""Columns of pairs in, columns of verdicts out: for ``datasets.Dataset.map`` and for data frames."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, get_args

from rlaif_fast import arguments
from rlaif_fast.errors import ArgumentError, PairError
from rlaif_fast.integrations.batch import OnLong, judged
from rlaif_fast.integrations.opened import Opened
from rlaif_fast.judging.judge import Judge, Orders
from rlaif_fast.judging.pair_questions import questions_of
from rlaif_fast.judging.verdict import COLUMNS, TIE
from rlaif_fast.rows.pairs import TEXTS, Pair, pair_from_row
from rlaif_fast.schemas.column_names import meant_column
from rlaif_fast.schemas.known import OWN
from rlaif_fast.schemas.question_columns import is_looked_at
from rlaif_fast.wording import counted


class Columns(Protocol):
    """Columns by name: a dict of lists, a batch of ``datasets``, a pandas ``DataFrame``."""

    def __iter__(self) -> Any: ...

    def __getitem__(self, name: str, /) -> Iterable[Any]: ...


class Labeler:
    """Labels pairs that come as columns ``instruction``, ``response_0`` and ``response_1``.

    Columns that belong to the question (``input``, ``system``, …) are shown with it, as of files (docs/formats.md).

    ::

        dataset.map(Labeler("smollm2-135m-instruct"), batched=True)
        frame.assign(**Labeler("smollm2-135m-instruct")(frame))

    It can be pickled, and the pickle of the same bundle with the same options is the same: so ``datasets`` finds what
    it has labelled before, and labels again where the bundle at that place is another. Each process opens the
    bundle for itself when the first batch comes. Not safe for use from several threads at once.
    """

    def __init__(
        self, path_or_id: str | Path, *, template: str | None = None, orders: Orders = "both",
        on_long: OnLong = "error", threads: int = 0,
    ) -> None:  # fmt: skip
        """Args: those of :meth:`Judge.load` and :meth:`Judge.judge_many`; ``on_long="truncate"`` shows the judge a part
        of an instruction that is too long for it.

        Raises:
            ArgumentError: one of them is none.
            BundleError: there is no bundle, or no such prompt in it.
        """
        arguments.one_of("on_long", on_long, get_args(OnLong))
        self._opened = Opened(Judge, path_or_id, template, threads)
        questions_of(self._opened.manifest).require_orders(orders)
        self._columns = (*COLUMNS, TIE) if self._opened.manifest.ties else COLUMNS  # of its rows
        self._orders, self._on_long = orders, on_long

    def __call__(self, batch: Columns, indices: Sequence[int] | None = None) -> dict[str, list[Any]]:
        """The columns of a verdict's row but for its id (docs/formats.md).

        A column of ``batch`` that has the name of one of them comes back as ``human_label`` and ``human_label_from_1``
        (``label``) or with ``input_`` in front; others are not repeated.

        Args:
            indices: the rows' places for messages (``with_indices=True``); in the batch where they are not given.

        Raises:
            PairError: a row that is no pair, or too long.
            BundleError, JudgeError: those of the judge.
        """
        pairs = _pairs(batch, indices, self._columns)
        rows = [verdict.row() for verdict in judged(self._opened(), pairs, self._orders, self._on_long)]
        names = [name for name in (rows[0] if rows else self._columns) if name != "id"]
        return {name: [row[name] for row in rows] for name in names}

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._opened, self._orders, self._on_long)


def _reopened(opened: Opened[Judge], orders: Orders, on_long: OnLong) -> Labeler:
    return Labeler(opened.folder, template=opened.template, orders=orders, on_long=on_long, threads=opened.threads)


def _pairs(batch: Columns, indices: Sequence[int] | None, columns: Collection[str]) -> list[Pair]:
    """Args: columns: of a verdict's row. What ``batch`` has of these names is carried."""
    arguments.columns("batch", batch)
    names = [str(name) for name in batch]
    for name in TEXTS:
        if name not in names:
            others = [other for other in names if other not in TEXTS]
            raise PairError(
                f"column {name!r} is missing (there is {', '.join(map(repr, names)) or 'none'}); rename one"
                f"{meant_column(name, others)}"
            )
    taken = {*TEXTS, *columns} - {"id"}
    kept = [name for name in names if name in taken or is_looked_at(name)]
    columns_in = {name: arguments.column(name, batch[name]) for name in kept}
    count = len(columns_in[TEXTS[0]])
    for name, values in columns_in.items():
        if len(values) != count:
            raise PairError(
                f"column {name!r} has {counted(len(values), 'row')} and {TEXTS[0]!r} {count:,}; give as many of each"
            )
    if indices is not None and len(indices) != count:
        raise ArgumentError(f"indices: {len(indices):,} of {counted(count, 'row')}; give one for each")
    rows = zip(*columns_in.values(), strict=True)
    return [
        _pair(dict(zip(kept, row, strict=True)), taken, f"row {place if indices is None else indices[place]}")
        for place, row in enumerate(rows)
    ]


def _pair(row: dict[str, Any], taken: Collection[str], where: str) -> Pair:
    try:
        read = OWN(row)
    except ValueError as error:
        raise PairError(f"{where}: {error}") from None
    return pair_from_row({name: read[name] for name in read if name in taken}, where=where)
