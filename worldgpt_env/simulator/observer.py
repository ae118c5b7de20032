"""StateObserver: the states of N episodes as they are seen; each is decoded once, however often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import State
from worldgpt_env.model.modalities import Modality, TextSpec

from ..errors import NonFiniteError

Observation = dict[str, np.ndarray]


class StateObserver:
    """Decodes the states of N episodes when somebody looks, and remembers what was seen.

    A step is looked at several times: for the observation, for the sentence in ``info`` and for the
    picture. All of them share one decoded array per modality.

    Args:
        model: decodes.
    """

    def __init__(self, model: WorldGPT) -> None:
        """See nothing yet."""
        self.model = model
        self._codes: State = {}
        self._seen: dict[tuple[str, Modality], np.ndarray] = {}
        self._stale: dict[tuple[str, Modality], np.ndarray] = {}

    def turn_to(self, codes: State, rows: np.ndarray | None = None) -> None:
        """Look at ``codes`` ``(N, C, G)`` from now on; they changed in ``rows``, or in all."""
        self._codes = codes
        if rows is None:
            self._seen, self._stale = {}, {}
        for stale in self._stale.values():
            stale[rows] = True

    def know_latent(self, latent: Mapping[Modality, Tensor], known: np.ndarray) -> None:
        """Take over latents ``(N, F)`` of the codes, which hold in the rows ``known``."""
        for modality, values in latent.items():
            self._seen["latent", modality] = _finite(str(modality), values)
            self._stale["latent", modality] = ~known

    def look(self, form: str, modalities: Iterable[Modality]) -> Observation:
        """Return ``modalities`` in the ``form`` "decoded" or "latent", new arrays ``(N, ...)``."""
        modalities = tuple(modalities)
        self._bring_up_to_date(form, modalities)
        return {str(m): self._seen[form, m].copy() for m in modalities}

    def texts(self, spec: TextSpec) -> list[str]:
        """Return the sentence of each row, as ``spec.decode`` gives it."""
        self._bring_up_to_date("decoded", (Modality.TEXT,))
        words = spec.vocabulary
        ids = self._seen["decoded", Modality.TEXT].tolist()  # (N, slots)
        return [" ".join(words[word] for word in row if word) for row in ids]

    def _bring_up_to_date(self, form: str, modalities: Iterable[Modality]) -> None:
        """Decode what was not seen since it changed, and nothing else."""
        unseen = [m for m in modalities if (form, m) not in self._seen]
        stale = [m for m in modalities if m not in unseen and self._stale[form, m].any()]
        if unseen:
            fresh = see(self.model, form, {m: self._codes[m] for m in unseen})
            self._seen |= {(form, m): fresh[m] for m in unseen}
            self._stale |= {(form, m): np.zeros(len(fresh[m]), bool) for m in unseen}
        for modality in stale:
            rows = np.flatnonzero(self._stale[form, modality])
            part = self._codes[modality][torch.from_numpy(rows).to(self.model.device)]
            seen = self._seen[form, modality].copy()  # latents may share memory with the codes
            seen[rows] = see(self.model, form, {modality: part})[modality]
            self._seen[form, modality] = seen
            self._stale[form, modality] = np.zeros(len(seen), bool)


def see(model: WorldGPT, form: str, codes: State) -> dict[Modality, np.ndarray]:
    """Return ``codes`` ``(B, C, G)`` per modality, decoded or as latents, ``(B, ...)``."""
    seen = model.latent(codes) if form == "latent" else model.decode(codes)
    return {modality: _finite(str(modality), values) for modality, values in seen.items()}


def _finite(name: str, values: Tensor) -> np.ndarray:
    """Return ``values`` as an array; NaN and infinity are an error."""
    array = values.cpu().numpy()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NonFiniteError(
            f"the world model gave a {name} that is NaN or infinite; its weights are damaged or "
            "did not converge. Load another checkpoint."
        )
    return array
