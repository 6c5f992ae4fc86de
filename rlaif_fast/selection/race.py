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
        enter: makes prompts after the best one, its name given, before half of the pairs are read. They cost more than
            others (examples are long), so they run the rounds before among themselves.
    """
    rounds = sizes(pairs)
    at = _entry(rounds)
    left = _halved(prompts, rounds[:at], read)
    if left:
        best = _ordered(left, rounds[max(0, at - 1)], read)[0]
        left += _halved(enter(best), rounds[:at], read)
    for size in rounds[at:-1]:
        left = _better_half(left, size, read)
    return _ordered(left, rounds[-1], read)


def readings(prompts: int, entering: int, pairs: int) -> int:
    """Pairs that a race of so many prompts reads, over all of them."""
    read: dict[str, int] = {}

    def count(prompt: str, size: int) -> float:
        read[prompt] = size
        return 0.0

    later = [f"later {k}" for k in range(entering)]
    race([f"first {k}" for k in range(prompts)], pairs, count, lambda _: later)
    return sum(read.values())


def _entry(rounds: Sequence[int]) -> int:
    """Number of the round in which prompts with examples take part."""
    return max(0, len(rounds) - 2)


def _halved(prompts: Sequence[str], rounds: Sequence[int], read: Callable[[str, int], float]) -> list[str]:
    left = list(prompts)
    for size in rounds:
        left = _better_half(left, size, read)
    return left


def _better_half(prompts: Sequence[str], size: int, read: Callable[[str, int], float]) -> list[str]:
    return _ordered(prompts, size, read)[: -(-len(prompts) // 2)]


def _ordered(prompts: Sequence[str], size: int, read: Callable[[str, int], float]) -> list[str]:
    shares = {prompt: read(prompt, size) for prompt in prompts}
    return sorted(prompts, key=lambda prompt: -shares[prompt])
