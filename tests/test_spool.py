"""Rows that come once and are read more than once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from rlaif_fast.errors import PairError
from rlaif_fast.files.spool import Spool


def test_a_spool_asks_once_and_a_failure_stays_one(tmp_path: Path) -> None:
    asked: list[int] = []

    def values() -> Iterator[int]:
        for n in range(4):
            asked.append(n)
            yield n
        raise PairError("the network is gone")

    with open(tmp_path / "spool", "w+b") as file:
        spool = Spool(values(), file)
        assert list(islice(spool.values(), 2)) == [0, 1] and asked == [0, 1]
        first, second = spool.values(), spool.values()
        assert [next(first), next(first), next(first), next(second), next(first)] == [0, 1, 2, 0, 3]
        assert list(islice(second, 3)) == [1, 2, 3] and asked == [0, 1, 2, 3]
        for _ in range(2):  # never a shorter data set
            with pytest.raises(PairError, match="the network is gone"):
                list(spool.values())
