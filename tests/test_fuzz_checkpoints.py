"""Random damage to models: the right one, or refused (tests/fuzz draws it for longer)."""

from __future__ import annotations

import pytest

from tests.fuzz.checkpoint import check


@pytest.mark.parametrize("part", range(6))
def test_a_damaged_model_is_the_right_one_or_refused(part: int) -> None:
    for seed in range(40):
        check(f"{part} {seed}".encode())
