"""--orders prior and auto, with --sample and --disagreement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from rlaif_fast.judging.fewer_orders import FrugalJudge
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.judging.run import Tally, Work
    from rlaif_fast.rows.pairs import Pair

CHOICES = ("both", "forward", "prior", "auto")
_SAMPLED = ("prior", "auto")


def check(orders: str, sample: int | None, disagreement: float | None, exact: bool, calibration: bool) -> None:
    """Raise UsageError where options do not go together."""
    if orders in _SAMPLED and exact:
        raise click.UsageError(f"--exact takes --orders both or forward: its bound on p1 is not one of {orders}'s")
    if orders in _SAMPLED and calibration:
        raise click.UsageError(f"--calibration takes --orders both or forward: it was not fitted to {orders}'s p1")
    if sample is not None and orders not in _SAMPLED:
        raise click.UsageError("--sample needs --orders prior or auto")
    if disagreement is not None and orders != "auto":
        raise click.UsageError("--disagreement needs --orders auto")


def frugal_judge(
    judge: Judge, work: Work[Pair], orders: str, sample: int | None, disagreement: float | None
) -> FrugalJudge | None:
    """The judge over a sample of the work's pairs; None where ``orders`` needs none."""
    from rlaif_fast.judging.fewer_orders import DISAGREEMENT, FrugalJudge, Mode, default_sample

    if orders not in _SAMPLED:
        return None
    mode, disagreement = cast(Mode, orders), DISAGREEMENT if disagreement is None else disagreement
    return FrugalJudge(judge, work.sample(sample or default_sample(mode, disagreement)), mode, disagreement)


def prepare(frugal: FrugalJudge, work: Work[Pair]) -> Callable[[Tally, Callable[[], None]], None]:
    """Read the sample; what was read of it lies in the tally."""

    def survey(tally: Tally, keep: Callable[[], None]) -> None:
        known: list[Any] = tally.counts["sample"]
        if len(known) < len(frugal.sample):
            work.say(f"orders: reading a sample of {len(frugal.sample):,} pairs in both")
        frugal.survey(known, keep)

    return survey
