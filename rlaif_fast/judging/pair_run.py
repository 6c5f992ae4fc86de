"""A run over pairs: one judge in both orders or fewer, float32 where int8 is unsure, calibrated or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from rlaif_fast import arguments
from rlaif_fast.files.keeping import Sieve
from rlaif_fast.judging.exact import ExactJudge
from rlaif_fast.judging.fewer_orders import DISAGREEMENT, FrugalJudge, default_sample, require_no_tie
from rlaif_fast.judging.judge import Judge, Orders
from rlaif_fast.judging.run import Run
from rlaif_fast.judging.run_input import RunInput
from rlaif_fast.judging.verdict import Calibration, Verdict
from rlaif_fast.reports.terminal import say
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.schemas.labels_from_1 import FROM_0, HUMAN_FROM_1, is_no_label
from rlaif_fast.wording import counted

_LABELS = ("label", *FROM_0)
AnyOrders = Literal["both", "forward", "prior", "auto"]


class PairRun(Run[Pair, Verdict]):
    """Pairs in, verdicts out.

    Attributes:
        exact: judges in place of the judge; None for the judge alone.
        frugal: the judge with fewer orders; None where every pair is judged in the same orders.
    """

    unit, verb, written = "pair", "judged", "verdict"

    def __init__(
        self, rows: RunInput[Pair], judge: Judge, *, orders: AnyOrders = "both", sample: int | None = None,
        disagreement: float | None = None, exact: ExactJudge | None = None, calibration: Calibration | None = None,
        shorten: bool = False, window: int | None = None, sieve: Sieve | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            rows: its rows are checked here against the model's context, and a sample is drawn from them.
            orders: ``prior`` and ``auto`` as :class:`FrugalJudge` has them.
            sample: pairs that ``prior`` and ``auto`` judge in both orders first; by default as few as suffice.
            disagreement: share of labels that may differ from both orders' with ``auto``.
            exact: a judge over this one's bundle and its float32 companion.
            calibration: applied to each verdict.
            shorten: leave away the end of an instruction that is too long.
            window: pairs read ahead.
            sieve: what the verdicts' rows go through when they are written.

        Raises:
            BundleError: ``prior`` or ``auto`` with a prompt that has a label for ties.
            PairError: a prompt is longer than the model's context.
            ValueError: ``exact`` with fewer orders than both, ``calibration`` with ``prior`` or ``auto``, which they do
                not hold for.
        """
        super().__init__(rows, {"both": 0, "same": 0, "sample": [], "no label": 0, "label set aside": 0}, sieve)
        self._no_label = ""  # the first of them
        arguments.one_of("orders", orders, get_args(AnyOrders))
        if exact and orders != "both":
            raise ValueError(f"exact is for both orders, not {orders}")
        if orders in ("prior", "auto") and calibration:
            raise ValueError(f"calibration is for orders both or forward, not {orders}")
        if judge.manifest.by_rewards:
            judge.require_orders(orders)
        if orders == "prior" or orders == "auto":
            require_no_tie(judge, orders)
        self.judge, self.exact, self.calibration, self.orders = judge, exact, calibration, orders
        self._shown: Orders = "forward" if orders == "forward" else "both"
        self._window, self._shorten = window or rows.window, shorten
        rows.fit(
            judge.taken_unread, lambda pair: judge.prompt_tokens(pair, self._shown),
            judge.shortened if shorten else None,
        )  # fmt: skip
        self.frugal: FrugalJudge | None = None
        if orders == "prior" or orders == "auto":
            most = DISAGREEMENT if disagreement is None else disagreement
            self.frugal = FrugalJudge(judge, rows.sample(sample or default_sample(orders, most)), orders, most)

    @property
    def has_ties(self) -> bool:
        """Whether its verdicts have a p_tie."""
        return self.judge.manifest.ties and self.calibration is None

    @property
    def bound(self) -> Mapping[str, Any]:
        frugal = self.frugal
        return {
            "template": self.judge.manifest.prompt.name, "bundle": self.judge.digest,
            "exact": self.exact.exact.digest if self.exact else None,
            "orders": self.orders, "sample": frugal.digest if frugal else None,
            "disagreement": frugal.disagreement if frugal else None,
            "calibration": self.calibration.digest if self.calibration else None,
            "on-long": "truncate" if self._shorten else "error", "limit": self.rows.limit, "window": self._window,
            "engine": self.judge.engine,
        }  # fmt: skip

    def prepare(self, keep: Callable[[], None]) -> None:
        """Read the sample; what is read of it is kept in ``counts``."""
        if self.frugal is None:
            return
        known: list[list[float]] = self.counts["sample"]
        if len(known) < len(self.frugal.sample):
            say(f"orders: reading a sample of {counted(len(self.frugal.sample), 'pair')} in both")
        self.frugal.survey(known, keep)

    def judged(self, items: Iterable[Pair], done: int) -> Iterator[Verdict]:
        if self.frugal is not None:
            return self.frugal.judge_many(items, window=self._window, done=done)
        verdicts = (self.exact or self.judge).judge_many(items, self._shown, window=self._window, done=done)
        return map(self.calibration, verdicts) if self.calibration else verdicts

    def count(self, result: Verdict) -> None:
        self.counts["judged"] += 1
        if result.consistent is not None:
            self.counts["both"] += 1
            self.counts["same"] += not result.consistent
        carried = result.pair.carried
        self.counts["label set aside"] += _is_set_aside(carried)
        for value in (carried[name] for name in _LABELS if name in carried):
            if is_no_label(value):
                self.counts["no label"] += 1
                self._no_label = self._no_label or f" (as {str(value)[:40]!r})"

    def warnings(self) -> list[str]:
        found = super().warnings()
        if count := self.counts["no label"]:
            found.append(
                f"{counted(count, 'label')} {'is' if count == 1 else 'are'} neither 0 nor 1{self._no_label}:"
                f" {HUMAN_FROM_1} is null there; where labels count from 1, --fields {HUMAN_FROM_1}=label reads them"
            )
        if count := self.counts["label set aside"]:
            found.append(
                f"{counted(count, 'label')} with the value 1 may mean either response: kept as input_label, not as"
                " human_label; name the label with --fields"
            )
        return found

    def figures(self) -> list[str]:
        if not self.counts["judged"] == self.counts["both"] > 0:  # else those read twice are no fair share
            return []
        return [f"same position {100 * self.counts['same'] / self.counts['both']:.1f} %"]

    def notes(self) -> list[str]:
        found = [self.exact.line()] if self.exact else []
        if self.frugal is not None and (judged := self.counts["judged"]):
            found.append(self.frugal.line(judged, judged - self.counts["both"]))
        return found


def _is_set_aside(carried: Mapping[str, Any]) -> bool:
    """Whether the only label is a 1 beside responses that are not numbered from 0; that of a verdict is the judge's."""
    one = str(carried.get("input_label")).strip() in ("1", "1.0")
    return one and "p1" not in carried and not any(name in carried for name in _LABELS)
