"""The judge on a Ray cluster: an actor is an opened bundle, fed by ``Dataset.map_batches`` (docs/integrations.md).

::

    import ray
    from rlaif_fast.integrations.ray import judge_dataset

    rows = ray.data.read_parquet("s3://bucket/pairs/")
    judge_dataset(rows, "owner/name", actors=16, cpus=4).write_parquet("s3://bucket/verdicts/")

What Ray knows of failures does the rest: an actor that dies is started again and its batch is judged again, as often as
it takes, and only a batch that came back whole counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from rlaif_fast import arguments
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import find_bundle, name_of
from rlaif_fast.bundle.hub import published_name
from rlaif_fast.errors import ArgumentError, BundleError, PairError
from rlaif_fast.integrations.batch import OnLong
from rlaif_fast.judging.judge import Judge, Orders
from rlaif_fast.judging.pair_questions import questions_of
from rlaif_fast.judging.rater import Rater
from rlaif_fast.judging.verdict import COLUMNS, TIE
from rlaif_fast.rows.fields import free_names
from rlaif_fast.rows.pairs import TEXTS, pair_from_row
from rlaif_fast.rows.samples import SAMPLES, sample_from_row
from rlaif_fast.runtime.engine_choice import known
from rlaif_fast.schemas.known import OWN, recognise
from rlaif_fast.schemas.labels_from_1 import FROM_1, counted_from_1

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset

ERROR = "error"  # the last column: what is wrong with a row that could not be judged, null of all others
_DOUBLES = ("p1", "p2", TIE, "score", "rating", "mass")
_TYPES = {"label": "int64", "consistent": "bool", "truncated": "bool", **dict.fromkeys(_DOUBLES, "double")}
_LABELS = ("label", *FROM_1, *FROM_1.values())
_LISTS = ("p1_by_order", "distribution")  # of doubles; whatever is named nowhere here is text


def judge_dataset(
    ds: Dataset, bundle: str | Path, *, template: str | None = None, orders: Orders = "both",
    on_long: OnLong = "error", engine: str = "onnxruntime", actors: int | tuple[int, int] = 1, cpus: int = 1,
    batch_size: int = 256,
) -> Dataset:  # fmt: skip
    """The verdicts of a dataset of pairs, lazily: a row a row, with the columns that ``rlaif-fast judge`` writes.

    Args:
        ds: rows as of a file (docs/formats.md); give them an ``id``. Its other columns are carried along.
        bundle: what every node can find: a folder they share, or a published bundle, which each node downloads once
            and at the commit that it has here.
        template, orders, on_long, engine: those of :meth:`Judge.load`, :meth:`Judge.judge_many` and ``Labeler``.
        actors: how many sessions, or the least and the most of them.
        cpus: of an actor: what it reserves, and its threads.
        batch_size: rows judged together; what a killed actor loses at most. At fp32, pairs on one instruction share
            a pass where they are in one batch.

    A row that is no pair, or too long, has its reason in the column ``error``, and null in the others.

    Raises:
        ArgumentError: an argument is none of those there are.
        BundleError: there is no bundle, or no such prompt in it.
    """
    plan = _plan(bundle, Judge, template, orders, on_long, engine, cpus)
    return _mapped(ds, PairWorker, plan, actors, batch_size)


def score_dataset(
    ds: Dataset, bundle: str | Path, *, template: str | None = None, on_long: OnLong = "error",
    engine: str = "onnxruntime", actors: int | tuple[int, int] = 1, cpus: int = 1, batch_size: int = 256,
) -> Dataset:  # fmt: skip
    """The scores of single responses, as ``rlaif-fast score`` writes them; the rest is :func:`judge_dataset`'s."""
    plan = _plan(bundle, Rater, template, "both", on_long, engine, cpus)
    return _mapped(ds, SampleWorker, plan, actors, batch_size)


@dataclass(frozen=True)
class Plan:
    """What every actor of a job does; it travels to them.

    Attributes:
        bundle: a path, or ``owner/name@commit``.
        digest: of the bundle on the driver; an actor that finds another one refuses.
    """

    bundle: str
    template: str
    digest: str
    orders: Orders
    on_long: OnLong
    engine: str
    threads: int


class Worker:
    """An actor: one session, opened when the actor starts. Arrow tables in, Arrow tables out."""

    kind: ClassVar[type[Judge] | type[Rater]]
    columns: tuple[str, ...]  # of a row out, without the error

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._session: Any = self.kind.load(
            plan.bundle, template=plan.template, threads=plan.threads, engine=plan.engine
        )
        if self._session.digest != plan.digest:
            raise BundleError(f"{plan.bundle}: another bundle on this node than on the driver; give both the same one")

    def __call__(self, table: pa.Table) -> pa.Table:
        """A row for every row, in their order."""
        rows = table.to_pylist()
        used = self._look_at(rows)
        items: list[Any] = []
        out: list[dict[str, Any] | None] = []
        for row in rows:
            try:
                items.append(self._fitting(self._item(row)))
                out.append(None)
            except PairError as error:
                instruction = row.get("instruction")
                out.append({"instruction": instruction if isinstance(instruction, str) else None, ERROR: str(error)})
        results = iter(self._answers(items))
        found = [next(results).row() if row is None else row for row in out]
        return _table(found, self.columns, table, used)

    def _look_at(self, rows: list[dict[str, Any]]) -> tuple[str, ...]:
        """Take in how the rows are read; the columns that are used up by it."""
        raise NotImplementedError

    def _item(self, row: Mapping[str, Any]) -> Any:
        """Raises PairError."""
        raise NotImplementedError

    def _answers(self, items: list[Any]) -> Iterable[Any]:
        raise NotImplementedError

    def _check(self, item: Any) -> None:
        """Raises PairError where a prompt is too long."""
        self._session.prompt_tokens(item)

    def _fitting(self, item: Any) -> Any:
        if self._plan.on_long == "truncate":
            return self._session.shortened(item)
        self._check(item)
        return item


class PairWorker(Worker):
    """Pairs in, verdicts out."""

    kind = Judge

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.columns = (*COLUMNS, TIE) if self._session.manifest.ties else COLUMNS
        self._shape = OWN

    def _look_at(self, rows: list[dict[str, Any]]) -> tuple[str, ...]:
        self._shape = next(filter(None, map(recognise, rows)), OWN)
        return _used(self._shape, rows, TEXTS)

    def _item(self, row: Mapping[str, Any]) -> Any:
        return pair_from_row(_read(self._shape, row, TEXTS))

    def _check(self, item: Any) -> None:
        self._session.prompt_tokens(item, self._plan.orders)

    def _answers(self, items: list[Any]) -> Iterable[Any]:
        return self._session.judge_many(items, self._plan.orders, window=max(1, len(items)))  # type: ignore[no-any-return]


class SampleWorker(Worker):
    """Single responses in, ratings out."""

    kind = Rater
    _TEXTS = ("instruction", "response")

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        of_a_prompt = () if self._session.manifest.by_rewards else ("rating", "distribution", "mass")
        self.columns = ("id", *self._TEXTS, "score", *of_a_prompt, "truncated")

    def _look_at(self, rows: list[dict[str, Any]]) -> tuple[str, ...]:
        return _used(SAMPLES, rows, self._TEXTS)

    def _item(self, row: Mapping[str, Any]) -> Any:
        return sample_from_row(_read(SAMPLES, row, self._TEXTS))

    def _answers(self, items: list[Any]) -> Iterable[Any]:
        return self._session.rate_many(items, window=max(1, len(items)))  # type: ignore[no-any-return]


def _plan(
    bundle: str | Path, kind: type[Judge] | type[Rater], template: str | None, orders: Orders, on_long: OnLong,
    engine: str, cpus: int,
) -> Plan:  # fmt: skip
    arguments.one_of("on_long", on_long, get_args(OnLong))
    arguments.optional_text("template", template)
    known(engine)
    cpus = arguments.whole("cpus", cpus, 1)
    folder = find_bundle(arguments.path_or_name("bundle", bundle))
    manifest = read_manifest(folder).through(template, kind.kinds, name_of(folder))
    if kind is Judge:
        questions_of(manifest).require_orders(orders)
    name = published_name(folder) or str(folder.resolve())
    return Plan(name, manifest.prompt.name, manifest.digest, orders, on_long, engine, cpus)


def _mapped(ds: Dataset, worker: type[Worker], plan: Plan, actors: int | tuple[int, int], batch_size: int) -> Dataset:
    least, most = _pool(actors)
    batch_size = arguments.whole("batch_size", batch_size, 1)
    if not hasattr(ds, "map_batches"):
        raise ArgumentError(
            f"ds: a {type(ds).__name__} is not a dataset of Ray Data; make one: import ray; ray.data.from_items(rows)"
        )
    from ray.data import ActorPoolStrategy

    pool = ActorPoolStrategy(size=least) if least == most else ActorPoolStrategy(min_size=least, max_size=most)
    return ds.map_batches(
        worker, fn_constructor_args=(plan,), compute=pool, num_cpus=plan.threads, batch_size=batch_size,
        batch_format="pyarrow", udf_modifying_row_count=False,
    )  # fmt: skip


def _pool(actors: Any) -> tuple[int, int]:
    """The least and the most actors. Raises ArgumentError."""
    if not isinstance(actors, tuple | list):
        return (arguments.whole("actors", actors, 1),) * 2
    if len(actors) != 2:
        raise ArgumentError(f"actors: {actors!r} is neither a number nor the least and the most, as (4, 16)")
    least = arguments.whole("actors", actors[0], 1)
    return least, arguments.whole("actors", actors[1], least)


def _used(shape: Any, rows: list[dict[str, Any]], texts: tuple[str, ...]) -> tuple[str, ...]:
    """Columns that the texts come from, by the first row that has them."""
    for row in rows:
        try:
            return tuple(shape.take(row).used)
        except ValueError:
            continue
    return texts


def _read(shape: Any, row: Mapping[str, Any], texts: tuple[str, ...]) -> dict[str, Any]:
    """The texts of a row and its id. Raises PairError."""
    try:
        read = shape.take(row).row
    except ValueError as error:
        raise PairError(f"the row: {error}") from None
    return {name: read[name] for name in (*texts, "id") if name in read}


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...], table: pa.Table, used: tuple[str, ...]) -> pa.Table:
    """The rows out beside what the table in carries: id and carried columns are its own, with their types."""
    import pyarrow as pa

    def column(name: str) -> pa.Array:
        kind = pa.list_(pa.float64()) if name in _LISTS else pa.type_for_alias(_TYPES.get(name, "string"))
        return pa.array([row.get(name) for row in rows], kind)

    ids = table["id"] if "id" in table.column_names else pa.nulls(len(rows), pa.int64())
    out = {name: ids if name == "id" else column(name) for name in columns}
    carried = [name for name in table.column_names if name not in (*used, "id")]
    first = table.slice(0, 1).to_pylist()
    names = free_names({name: first[0][name] if first else None for name in carried}, (*columns, TIE, ERROR))
    out.update((names[name], table[name]) for name in carried)
    if "label" in columns:
        for name, counted in FROM_1.items():
            if name in out and counted not in out:
                out[counted] = pa.array([counted_from_1(value) for value in out[name].to_pylist()], pa.int64())
    for name in filter(used.__contains__, _LABELS):  # what it means depends on the shape: handed on as it is
        kept = f"input_{name}"
        while kept in out:
            kept = f"input_{kept}"
        out[kept] = table[name]
    return pa.table({**out, ERROR: column(ERROR)})
