"""A bundle with float32 products."""

from __future__ import annotations

from rlaif_fast_export.builds.base import Build
from rlaif_fast_export.reference.oracle import ask
from rlaif_fast_export.reference.pytorch import AnyAsker


class Float32Build(Build):
    """See :class:`Build`."""

    def _ask_and_make(self, asker: AnyAsker) -> None:
        self.oracle = ask(self._model, asker, self._progress, longest=not self._source.listed)
        self._make()
