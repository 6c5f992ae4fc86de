"""Random damage to tokenizers: what the file says, or refused (tests/fuzz draws it for longer)."""

from __future__ import annotations

import pytest

from tests.fuzz.tokenizer import check


@pytest.mark.parametrize("part", range(6))
def test_a_damaged_tokenizer_is_read_as_it_says_or_refused(part: int) -> None:
    for seed in range(50):
        check(f"{part} {seed}".encode())
