"""Judging: items in, verdicts, rankings and ratings out.

Sessions over a bundle, the judge of pairs and what is built on it (ranking, one order where it suffices, float32 where
int8 is unsure), and the run over a whole file. Imports the rooms before it, from ``files`` to ``runtime``.
"""
