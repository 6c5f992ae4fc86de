"""What verdicts are worth: alignment with people (``rlaif-fast eval``) and differences of two runs (``diff``).

::

    records      rows of verdicts, checked, as arrays
    metrics      sums of pairs, and the figures that follow from sums
    bootstrap    intervals by resampling instructions
    binomial     exact tails and bounds
    coverage     alignment against coverage; what can be decided at a stated disagreement
    calibration  temperature and position offset: fitted, kept in a file, applied
    origin       whether verdicts are those of a bundle
    report       every figure of an eval in one dataclass; JSON and tables
    compare      two files of verdicts on the same pairs
    plots, html  the report as one page

docs/eval.md defines every figure.
"""
