"""Nearest: exact search for the keys that are most alike, by matrix products or by faiss."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..batch_invariant import by_rows
from ..errors import ConfigurationError

BLOCK = 65536
"""Keys that are compared at once."""
FAR = torch.iinfo(torch.int64).max

Refused = Callable[[Tensor], Tensor]
"""Which found rows ``(n,)`` or ``(B, n)`` each query may not have: ``(B, n)`` bool."""


class Nearest:
    """The mean cosine of the parts that a query and a key share, and the best of them.

    Args:
        keys: ``(N, F)``; a part that is absent is zeros.
        there: ``(N, P)`` float32, 1 where a key has a part; the last part is always there.
    """

    def __init__(self, keys: Tensor, there: Tensor) -> None:
        """Keep the keys."""
        self.keys, self.there = keys, there
        self.complete = bool((there == 1).all())

    def to(self, device: torch.device) -> Nearest:
        """Return the same search on ``device``."""
        other = copy.copy(self)
        other.keys, other.there = self.keys.to(device), self.there.to(device)
        return other

    def search(
        self, query: Tensor, has: Tensor, count: int, refused: Refused | None
    ) -> tuple[Tensor, Tensor]:
        """Return distances ``(B, k)`` float32 and rows ``(B, k)`` int64, the nearest first.

        Rows at one distance come in their order. Where there are too few, the rest is -1 and NaN.

        Args:
            query: keys ``(B, F)``.
            has: the parts that they have, ``(B, P)``.
            count: k.
            refused: rows that a query may not have.
        """
        best = torch.full((len(query), count), FAR, device=query.device)
        for start in range(0, len(self.keys), BLOCK):
            rows = slice(start, start + BLOCK)
            distance = self._distance(query, has, rows)  # (B, n)
            number = torch.arange(start, start + distance.shape[1], device=query.device)
            order = (distance.view(torch.int32).long() << 32) | number  # bits sort as numbers do
            hidden = distance.isinf()
            if refused is not None:
                hidden = hidden | refused(number)
            best = torch.cat([best, order.masked_fill(hidden, FAR)], 1)
            best = best.topk(count, largest=False).values
        return _unpack(best)

    def _distance(self, query: Tensor, has: Tensor, rows: slice) -> Tensor:
        """Return 1 less the mean cosine, ``(B, n)`` from 0; infinite where nothing is shared."""
        keys = self.keys[rows]
        alike = by_rows(lambda some: some @ keys.T, [query], ("alike", len(keys)), self)
        if self.complete:  # all that the query has
            return (1 - alike / has.sum(1, keepdim=True)).clamp(min=0)
        there = self.there[rows]
        shared = has @ there.T
        distance = (1 - alike / shared).clamp(min=0)
        stateless = (shared == 1) & (has.sum(1, keepdim=True) > 1)  # the action alone
        return distance.masked_fill(stateless, torch.inf)


class FaissNearest(Nearest):
    """The same through faiss, which is faster from about a million keys on.

    Only for keys that have all parts: what is shared then depends on the query alone.
    """

    def __init__(self, keys: Tensor, there: Tensor) -> None:
        """Copy the keys into an exact index."""
        super().__init__(keys, there)
        if not self.complete:
            raise ConfigurationError(
                "some transitions of this knowledge base lack modalities, which faiss cannot "
                "leave out of a comparison; search it without faiss."
            )
        self._index = _faiss().IndexFlatIP(keys.shape[1])
        self._index.add(keys.cpu().numpy())

    def search(
        self, query: Tensor, has: Tensor, count: int, refused: Refused | None
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`Nearest.search`."""
        total, asked = len(self.keys), min(len(self.keys), 2 * count + 16)
        while True:
            alike, number = map(torch.from_numpy, self._index.search(query.cpu().numpy(), asked))
            number, alike = number.to(query.device), alike.to(query.device)
            distance = (1 - alike / has.sum(1, keepdim=True)).clamp(min=0)
            order = (distance.view(torch.int32).long() << 32) | number
            if refused is not None:
                order = order.masked_fill(refused(number), FAR)
            if asked == total or int((order < FAR).sum(1).min()) >= count:
                nothing = torch.full((len(order), count), FAR, device=order.device)
                best = torch.cat([order, nothing], 1).topk(count, largest=False)
                return _unpack(best.values)
            asked = min(total, asked * 8)


def _unpack(best: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances and rows of packed numbers, the least first."""
    best = best.sort(1).values
    missing = best == FAR
    distance = (best >> 32).int().view(torch.float32).masked_fill(missing, torch.nan)
    return distance, (best & 0xFFFFFFFF).masked_fill(missing, -1)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ConfigurationError(
            'a search by faiss needs it; type: pip install "worldgpt-env[faiss]"'
        ) from error
    return faiss
