"""Do the predicted modalities agree with each other?"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from ..batch_invariant import Projection
from ..modalities import Modality


class Consistency(nn.Module):
    """One small embedding per modality; real moments put all their modalities near each other.

    Trained by contrasting the modalities of real moments against those of other moments in the
    batch; it reads codes only and shapes nothing else.
    """

    def __init__(self, latent_sizes: Mapping[Modality, int], width: int = 32) -> None:
        """Build an embedding for each modality from the size of its latent."""
        super().__init__()
        self.embed = nn.ModuleDict(
            {str(m): Projection(size, width) for m, size in latent_sizes.items()}
        )

    def forward(self, latent: Mapping[Modality, Tensor]) -> Tensor:
        """Return the agreement of the modalities of ``(B, F)`` latents, ``(B,)`` in [0, 1]."""
        units = self._units(latent)
        if len(units) < 2:
            return torch.ones_like(next(iter(latent.values()))[:, 0])
        cosines = [(a * b).sum(-1) for a, b in combinations(units, 2)]
        mean = sum(cosines[1:], cosines[0]) / len(
            cosines
        )  # term by term: same bits at any batch size
        return (mean + 1).clamp(0, 2) / 2

    def loss(
        self, latent: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor] | None = None
    ) -> Tensor:
        """Return the contrastive loss (scalar) over all pairs of modalities.

        Args:
            latent: per modality ``(B, F)``.
            present: per modality ``(B,)`` bool, which rows have it; all if not named.
        """
        units = self._units(latent)
        present = present or {}
        whole = torch.ones(len(units[0]), dtype=torch.bool, device=units[0].device)
        losses = []
        for (m, a), (n, b) in combinations(zip(latent, units, strict=True), 2):
            both = present.get(m, whole) & present.get(n, whole)
            if m in present or n in present:
                a, b = a[both], b[both]
            scores = 8 * a @ b.T  # (B, B)
            here = torch.arange(len(a), device=a.device)
            losses += [nn.functional.cross_entropy(scores, here, reduction="sum") / max(len(a), 1)]
        return torch.stack(losses).mean() if losses else units[0].sum() * 0

    def _units(self, latent: Mapping[Modality, Tensor]) -> list[Tensor]:
        return [
            nn.functional.normalize(self.embed[str(m)](values), dim=-1)
            for m, values in latent.items()
        ]
