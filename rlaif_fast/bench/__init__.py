"""The instrument behind ``rlaif-fast bench``: how fast a bundle judges, and how faithfully.

::

    measure    times, interleaved with the reference; fresh processes for cold start and memory
    rate       the machine's own matrix rate at the bundle's shapes: the floor beside the speed
    report     every figure in one dataclass; JSON, Markdown, terminal
    html       the report as one self-contained page
    gate       thresholds, and what misses them
"""
