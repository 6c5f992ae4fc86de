"""Items to judge: :class:`Pair`, :class:`Candidates` and :class:`Sample`, each from a checked row.

In come rows of ``files``, read by a schema of ``schemas``; out come items, bad rows named or set aside. Imports those
two rooms.
"""

from rlaif_fast.rows.candidates import Candidates
from rlaif_fast.rows.pairs import Pair
from rlaif_fast.rows.samples import Sample

__all__ = ["Candidates", "Pair", "Sample"]
