"""Items to judge: :class:`Pair`, :class:`Candidates` and :class:`Sample`, each from a checked row.

In come rows of ``files``, read by a schema of ``schemas``; out come items, bad rows named or set aside. Imports those
two rooms.
"""
