"""What ``judge`` and ``rank`` do with verdicts: ``--exact``, ``--calibration`` and ``--only-consistent``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlaif_fast.commands.headings import option

if TYPE_CHECKING:
    from rlaif_fast.evaluation.calibration import Calibration
    from rlaif_fast.judging.exact import ExactJudge
    from rlaif_fast.judging.judge import Judge

calibration_option = option("Judging", "--calibration", type=click.Path(dir_okay=False, path_type=Path), help="Apply"
                            " the calibration that `eval --fit` wrote for this bundle.")  # fmt: skip


def check_orders(given: Mapping[str, Any], orders: str) -> None:
    """Raise UsageError where ``--exact`` or ``--only-consistent`` does not go with the orders or the engine."""
    if given["only_consistent"] and orders != "both":
        raise click.UsageError("--only-consistent needs --orders both: one order cannot disagree")
    if given["exact"] and orders != "both":
        raise click.UsageError("--exact takes --orders both: its error bound holds for p1 averaged over both orders")
    if given["exact"] and given["engine"] not in ("auto", "onnxruntime"):
        raise click.UsageError("--exact needs an error bound, which was measured with onnxruntime: leave --engine out")


def opened_judge(
    folder: Path, template: str | None, threads: int, spin: bool, engine: str, *, exact: bool, only_consistent: bool,
    verbose: bool,
) -> tuple[Judge, ExactJudge | None]:  # fmt: skip
    """The judge over a bundle, and with ``--exact`` the one that judges in its place.

    The latter is None where the bundle is exact by itself. Raises RlaifFastError of every kind; UsageError where
    ``--only-consistent`` meets a reward model.
    """
    from rlaif_fast.bundle.float32_bundle import companion
    from rlaif_fast.bundle.folder import read_manifest
    from rlaif_fast.bundle.home import name_of
    from rlaif_fast.commands.tune import opened
    from rlaif_fast.judging.exact import ExactJudge
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.prompts.reward_template import RewardTemplate
    from rlaif_fast.reports.terminal import say

    engine = "onnxruntime" if exact else engine
    manifest = read_manifest(folder).through(template, Judge.kinds, name_of(folder))
    by_rewards = manifest.prompt.template
    if only_consistent and isinstance(by_rewards, RewardTemplate):
        raise click.UsageError(
            f"--only-consistent compares two orders, and {manifest.name} is {by_rewards.called}, which has none"
        )
    beside = companion(folder, manifest) if exact and manifest.prompt.error_bound is not None else None
    fast = opened(Judge, folder, engine, template=template, threads=threads, spin=spin, verbose=verbose)
    if beside is None:
        if exact:
            say(f"{manifest.name}: exact by itself ({manifest.precision}), --exact only keeps to onnxruntime")
        return fast, None
    float32 = opened(
        Judge, beside, fast.engine, template=fast.manifest.prompt.name, threads=threads, spin=spin, verbose=verbose
    )
    return fast, ExactJudge(fast, float32)


def calibration_in(path: Path | None) -> Calibration | None:
    """What a file of ``--calibration`` holds: read before a bundle is exported or loaded. Raises EvalError."""
    from rlaif_fast.evaluation.calibration import read_calibration

    return None if path is None else read_calibration(path)


def calibration_of(found: Calibration | None, path: Path | None, judge: Judge) -> Calibration | None:
    """``found``, which the file at ``path`` holds. Raises EvalError where it was fitted to another bundle."""
    if found is not None and path is not None:
        found.require_bundle(judge.digest, path)
    return found
