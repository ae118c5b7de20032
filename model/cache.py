"""A key-value ring shared by all imagined episodes, with an age for every row.

All rows write to the same slot at the same step, so shapes never change and a row is reset by
setting its age to 0: what lies in the ring from its last episode is simply no longer visible.
Positions are rotary and therefore relative; when the ring starts over, the keys it holds are turned
back by its length, so that episodes may run on without end and positions stay small.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from .layout import Block, additive


class Ring:
    """Ages of the rows, the slot of the present step, and masks and positions that follow from them."""

    def __init__(self, rows: int, context: int, block: Block, device: torch.device) -> None:
        """Describe a ring of ``context`` blocks for ``rows`` episodes."""
        self.rows, self.context, self.block = rows, context, block
        self.slot = 0
        self.age = torch.zeros(rows, dtype=torch.int64, device=device)
        self.masks = self._masks().to(device)  # (slots, ages, size, S)
        starts = torch.arange(context)[:, None] * block.tokens.stride
        self.positions = (starts + torch.tensor(block.offsets)).to(device)  # (slots, size)

    @property
    def length(self) -> int:
        """Keys that are attended to: the ring and the signal tokens of the present step."""
        return self.context * self.block.kept + self.block.signals

    @property
    def span(self) -> slice:
        """Where the present block's kept tokens stand in the ring."""
        return slice(self.slot * self.block.kept, (self.slot + 1) * self.block.kept)

    def mask(self) -> Tensor:
        """Return the additive mask of the present step, ``(B, 1, size, S)``."""
        return self.masks[self.slot][self.age][:, None]

    def advance(self) -> bool:
        """Go to the next slot and age all rows; return whether the ring starts over."""
        self.age = (self.age + 1).clamp(max=self.context - 1)
        self.slot = (self.slot + 1) % self.context
        return self.slot == 0

    def _masks(self) -> Tensor:
        block, context = self.block, self.context
        own = block.own_visibility()  # (size, size)
        table = torch.zeros(context, context, block.size, self.length, dtype=torch.bool)
        for slot in range(context):
            for age in range(context):
                view = table[slot, age]
                for other in range(context):
                    back = (slot - other) % context
                    if 0 < back <= age:
                        view[:, other * block.kept : (other + 1) * block.kept] = True
                view[:, slot * block.kept : (slot + 1) * block.kept] = own[:, : block.kept]
                view[:, context * block.kept :] = own[:, block.kept :]
        return additive(table)


def turn(keys: Tensor, frequencies: Tensor, positions: int) -> Tensor:
    """Rotate keys ``(..., head)`` by a number of ``positions`` (rotary embedding, split halves)."""
    angles = frequencies * positions  # (head/2,)
    cos, sin = angles.cos(), angles.sin()
    first, second = keys.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class RingCache(Cache):
    """The ring as a transformers cache: any backbone with rotary positions can imagine with it."""

    def __init__(self, ring: Ring, frequencies: Tensor) -> None:
        """Start empty; buffers are made when the first keys come."""
        self.ring, self.frequencies = ring, frequencies
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        super().__init__(layers=[])

    def update(  # type: ignore[override]
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Keep the block's observation and action keys, and return all that may be attended to."""
        if layer_idx == len(self.keys):
            shape = (*key_states.shape[:2], self.ring.length, key_states.shape[-1])
            self.keys.append(key_states.new_zeros(shape))
            self.values.append(value_states.new_zeros(shape))
        kept, end = self.ring.block.kept, self.ring.context * self.ring.block.kept
        for buffer, new in ((self.keys, key_states), (self.values, value_states)):
            buffer[layer_idx][:, :, self.ring.span] = new[:, :, :kept]
            buffer[layer_idx][:, :, end:] = new[:, :, kept:]
        return self.keys[layer_idx], self.values[layer_idx]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: positions and masks are given explicitly."""
        return 0

    def turn_back(self) -> None:
        """Turn all keys back by the length of the ring, as it starts over."""
        for keys in self.keys:
            keys.copy_(turn(keys, self.frequencies, -self.ring.context * self.ring.block.tokens.stride))
