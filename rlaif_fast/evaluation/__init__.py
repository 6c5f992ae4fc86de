"""Evaluation: what verdicts are worth.

In come rows of verdicts, out come agreement with human labels and its intervals (``eval``), differences of two runs
(``diff``) and a fitted calibration. Imports ``judging``, ``schemas``, ``files`` and ``reports``. docs/eval.md defines
every figure.
"""
