"""Keys and values of the tokens that a pass stands behind, numpy arrays only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rlaif_fast.bundle.prompt import Arrays
from rlaif_fast.runtime.packing import PackedTree, pack
from rlaif_fast.runtime.pieces import Behind, Ids

Compute = Callable[[PackedTree, Arrays], Arrays]  # Engine.keys_and_values


class KeyValueCache:
    """A prompt's prefix and pieces of prompts behind it: one way through a tree, from which it goes back to another.

    A piece is computed by itself, behind the same pieces whoever needs it. So it has the same bits whether it was there
    or not.
    """

    def __init__(self, prefix: Ids, arrays: Arrays, ending: int) -> None:
        """
        Args:
            prefix: the baked one, P tokens.
            arrays: what the graph is fed for the prompt; of that, keys and values are [1, G, P, D].
            ending: see :class:`TreeBuilder`.
        """
        self._prefix, self._arrays, self._ending = prefix, arrays, ending
        self._baked = {name: array for name, array in arrays.items() if array.ndim == 4}
        self._held = dict(self._baked)
        self.behind: Behind = (prefix,)

    @property
    def prefix(self) -> Behind:
        """The baked one alone."""
        return (self._prefix,)

    @property
    def arrays(self) -> Arrays:
        """What the graph is fed for a pass behind :attr:`behind`."""
        return {**self._arrays, **self._held}

    @property
    def tokens(self) -> int:
        """How many are held, P."""
        return sum(map(len, self.behind))

    @property
    def bytes_per_token(self) -> int:
        """Of keys and values."""
        return sum(array.nbytes for array in self._baked.values()) // len(self._prefix)

    def known(self, behind: Behind) -> int:
        """How many of these pieces are held."""
        apart = (place for place, (one, other) in enumerate(zip(self.behind, behind, strict=False)) if one != other)
        return next(apart, min(len(self.behind), len(behind)))

    def stand_behind(self, behind: Behind, compute: Compute) -> None:
        """Hold these pieces and no others: go back to where the ways part, and compute the rest.

        Array by array, so that none but one is there twice.
        """
        known = self.known(behind)
        if known < len(self.behind):
            self._go_back(behind[: max(1, known)])
        for number in range(max(1, known), len(behind)):
            so_far = [token for piece in behind[: number + 1] for token in piece]
            tree = pack([so_far], so_far[: -len(behind[number])], self._ending)
            new = compute(tree, self.arrays)
            for name in self._held:
                self._held[name] = np.concatenate((self._held[name], new.pop(name)), axis=2)
            self.behind = behind[: number + 1]

    def _go_back(self, behind: Behind) -> None:
        """Hold no more than these; a first piece that is not the prefix is its head."""
        self.behind, length = behind, sum(map(len, behind))
        for name, baked in self._baked.items():
            whole = baked if len(behind) == 1 else self._held[name]
            self._held[name] = whole if behind == self.prefix else np.ascontiguousarray(whole[:, :, :length])
