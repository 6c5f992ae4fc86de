"""Successive halving: many prompts read few pairs, and the better half of them reads on (Jamieson and Talwalkar 2016).

Arithmetic alone: what reads is a function (:mod:`rlaif_fast.selection.readings`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_ROUNDS = 4
_LEAST = 32  # pairs of the first round: fewer tell too little to drop a prompt by


def sizes(pairs: int) -> list[int]:
    """Pairs that are read by the end of each round: an eighth, a quarter, a half, all of them."""
    found = [-(-pairs >> shift) for shift in reversed(range(_ROUNDS))]
    return [size for size in found if size >= _LEAST or size == found[-1]]


def race(
    prompts: Sequence[str], pairs: int, read: Callable[[str, int], float], enter: Callable[[str], Sequence[str]]
) -> list[str]:
    """The prompts that read all pairs, the best first.

    Args:
        prompts: in the order that decides between equals.
        read: reads the first so many pairs through a prompt, those before it once only; the share that is right.
        enter: prompts made after the best one of a round, its name given, when half of the pairs are to be read;
            they take part from there on.
    """
    rounds = sizes(pairs)
    left = list(prompts)
    for number, size in enumerate(rounds):
        if number == max(0, len(rounds) - 2):
            best = _ordered(left, rounds[max(0, number - 1)], read)[0] if left else None
            left += enter(best) if best is not None else []
        left = _ordered(left, size, read)
        if number < len(rounds) - 1:
            left = left[: -(-len(left) // 2)]
    return left


def readings(prompts: int, entering: int, pairs: int) -> int:
    """Pairs that a race reads, over all its prompts."""
    rounds, total, left, before = sizes(pairs), 0, prompts, 0
    for number, size in enumerate(rounds):
        if number == max(0, len(rounds) - 2):
            if number == 0:
                total, before = total + left * size, size
            left, total = left + entering, total + entering * before
        total += left * (size - before)
        left, before = -(-left // 2), size
    return total


def _ordered(prompts: Sequence[str], size: int, read: Callable[[str, int], float]) -> list[str]:
    shares = {prompt: read(prompt, size) for prompt in prompts}
    return sorted(prompts, key=lambda prompt: -shares[prompt])
