"""What ``export`` makes: the precision and quality that were asked for, or what ``auto`` takes, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rlaif_fast.errors import ExportError, FidelityError

if TYPE_CHECKING:
    from rlaif_fast.prompts.kinds import Askable
    from rlaif_fast.reports.console import Steps
    from rlaif_fast_export.estimate import Estimate, Shape
    from rlaif_fast_export.int8.options import Int8Options
    from rlaif_fast_export.sources.source import Source


@dataclass(frozen=True)
class Plan:
    """Everything an export is made of but its precision.

    Attributes:
        shape: None where it cannot be told beforehand; then nothing is estimated.
        best: options of int8 at its best.
        quality: of int8: ``auto``, ``best`` or ``fast``.
        folder: where a bundle of a precision goes. Raises ExportError where something is there.
    """

    source: Source
    shape: Shape | None
    first: Askable | None
    more: Sequence[Askable]
    along: Sequence[Askable]
    chat: bool
    best: Int8Options
    quality: str
    folder: Callable[[str], Path]
    force: bool
    steps: Steps
    _said: set[str] = field(default_factory=set)

    def make(self, precision: str, settled: bool) -> Path:
        """The bundle's folder.

        Args:
            settled: where int8 is refused, or takes long, float32 will not do.
        """
        if precision == "fp32":
            return self._export(None)
        try:
            return self._int8(settled)
        except FidelityError as error:
            if settled:
                raise
            refused = error.reason
        # Behind the except: what int8 held is let go.
        self.steps.say(f"precision: fp32 instead, since {refused}")
        return self._export(None)

    def _int8(self, settled: bool) -> Path:
        from rlaif_fast_export.estimate import PATIENCE

        fast, found = replace(self.best, fast=True), self._estimate(self.best)
        if self.quality != "auto" or found is None or found.seconds <= PATIENCE:
            return self._export(fast if self.quality == "fast" else self.best)
        if self._is_begun(self.best):
            self.steps.say(f"quality: best, which was begun; as a whole it takes {found}")
            return self._export(self.best)
        if not settled:
            self.steps.say(f"precision: fp32 instead, since int8 takes {found} (--precision int8 makes it)")
            return self._export(None)
        self.steps.say(f"quality: fast, since best takes {found} (--quality best chooses it anyway)")
        best_fits = self._fits(found)
        try:
            return self._export(fast)
        except FidelityError as error:
            if not best_fits:
                raise
            too_far = error.reason
        self.steps.say(f"quality: best after all, since {too_far}")
        return self._export(self.best)

    def _estimate(self, int8: Int8Options | None) -> Estimate | None:
        from rlaif_fast_export.estimate import estimate

        return None if self.shape is None else estimate(self.shape, int8, len(self.more), len(self.along))

    def _fits(self, found: Estimate) -> bool:
        """Whether there are memory and disk for it."""
        try:
            found.require(self.folder("int8"), self.source.name)
        except ExportError:
            return False
        return True

    def _is_begun(self, int8: Int8Options) -> bool:
        from rlaif_fast_export.exporter import is_begun

        return is_begun(
            self.source, self.folder("int8"), self.first, more=self.more, along=self.along, int8=int8, chat=self.chat
        )

    def _export(self, int8: Int8Options | None) -> Path:
        from rlaif_fast_export.exporter import export_bundle

        folder, found = self.folder("fp32" if int8 is None else "int8"), self._estimate(int8)
        if found:
            found.require(folder, self.source.name)
            self.steps.say(f"this takes {found}")
            self.steps.expect(found.steps)
        return export_bundle(
            self.source, folder, self.first, more=self.more, along=self.along, force=self.force, progress=self.steps,
            int8=int8, chat=self.chat, say=self._say_once,
        )  # fmt: skip

    def _say_once(self, note: str) -> None:
        if note not in self._said:  # a second export leaves the same out
            self._said.add(note)
            self.steps.say(note)
