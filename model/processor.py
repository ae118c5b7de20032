"""Processor: raw observations of a world to states and back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .checkpoint import load_checkpoint, write_checkpoint, write_folder
from .codecs import Codec, build_codec
from .configuration import WorldGPTConfig
from .errors import MissingModalityError
from .modalities import ActionSpec, Modality, ModalitySpec, specs_to_json
from .states import Presence, State, storage_dtype


class Processor(nn.Module):
    """One codec a modality, and the specs of observations and actions that they fit.

    It changes only when codecs are trained. Whatever is made of its codes (start states, knowledge,
    policies on latents) therefore outlives every change of the dynamics; :attr:`sha256` tells
    whether two processors give the same codes.

    Args:
        specs: shape of each modality, in token order.
        action_spec: what an agent may do.
        settings: of the codecs, per modality; see :func:`~.codecs.build_codec`.
    """

    def __init__(
        self,
        specs: Mapping[Modality, ModalitySpec],
        action_spec: ActionSpec,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Build the untrained codecs."""
        super().__init__()
        self.specs, self.action_spec = dict(specs), action_spec
        chosen = settings or {}
        self.codecs = nn.ModuleDict(
            {str(m): build_codec(spec, chosen.get(str(m))) for m, spec in specs.items()}
        )

    @classmethod
    def from_config(cls, config: WorldGPTConfig) -> Processor:
        """Return the untrained processor of a model's configuration."""
        return cls(config.specs, config.action_spec, config.codecs)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **_: Any) -> Processor:
        """Load the processor of an embedded world, of a model's folder, or of its own folder.

        Raises:
            CheckpointError: if nothing is there, or a file is truncated or not as it was written.
        """
        return load_checkpoint(name_or_path, cls.from_config, {}, part="processor")

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Write the processor alone, to be opened by :meth:`from_pretrained`, in one step."""
        config = WorldGPTConfig(
            modalities=specs_to_json(self.specs),
            action=dataclasses.asdict(self.action_spec),
            codecs={str(m): self.codec(m).to_json() for m in self.specs},
        )
        fields = json.loads(config.to_json_string(use_diff=False))
        tensors = {f"processor.{name}": tensor for name, tensor in self.state_dict().items()}
        write_folder(Path(folder), lambda draft: write_checkpoint(draft, fields, tensors))

    def codec(self, modality: Modality) -> Codec:
        """Return the codec of ``modality``."""
        return self.codecs[str(modality)]  # type: ignore[return-value]

    @property
    def device(self) -> torch.device:
        """Where the codecs compute."""
        tensors = [*self.parameters(), *self.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    @property
    def latent_sizes(self) -> dict[Modality, int]:
        """Width of the latent of each modality."""
        return {m: self.codec(m).latent_size for m in self.specs}

    @property
    def sha256(self) -> str:
        """The hash, hexadecimal, of all that decides which codes and latents observations get."""
        settings = {
            "specs": specs_to_json(self.specs),
            "action": dataclasses.asdict(self.action_spec),
            "codecs": {str(m): self.codec(m).to_json() for m in self.specs},
        }
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        for name, tensor in sorted(self.codecs.state_dict().items()):
            digest.update(name.encode())
            raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(raw.numpy())
        return digest.hexdigest()

    @torch.no_grad()
    def encode(self, observation: Mapping[Any, Tensor | np.ndarray]) -> State:
        """Return the state of a batch of raw observations.

        Args:
            observation: per modality (or its key) ``(B, *spec.shape)``, array or tensor.

        Raises:
            MissingModalityError: if a key is not a modality of this world.
        """
        state = {}
        for key, raw in observation.items():
            if key not in {str(m) for m in self.specs}:
                raise MissingModalityError(
                    f"this world has no {str(key)!r}; it has {[str(m) for m in self.specs]}."
                )
            raw = torch.from_numpy(raw) if isinstance(raw, np.ndarray) else raw
            state[Modality(key)] = self.codec(Modality(key)).encode(raw.to(self.device))
        return {m: state[m] for m in self.specs if m in state}

    @torch.no_grad()
    def decode(
        self, state: State, previous: Mapping[Modality, Tensor] | None = None
    ) -> dict[Modality, Tensor]:
        """Return the raw observations ``(B, *spec.shape)`` of a state.

        Args:
            state: per modality ``(B, C, G)``.
            previous: the observations one step earlier, which a decoder of embeddings may start
                from.
        """
        decoded = {}
        for modality, codes in state.items():
            codec = self.codec(modality)
            start = {"previous": (previous or {}).get(modality)} if codec.continuous else {}
            decoded[modality] = codec.decode(codes, **start)
        return decoded

    @torch.no_grad()
    def latent(self, state: State, present: Presence | None = None) -> dict[Modality, Tensor]:
        """Return what a policy sees of a state, per modality ``(B, F)`` float32 in [-1, 1].

        Args:
            state: per modality ``(B, C, G)``.
            present: which rows have a modality, ``(B,)`` bool; latents of the others are zeros.
        """
        latent = {m: self.codec(m).latent(codes) for m, codes in state.items()}
        known = present or {}
        return {m: x * known[m][:, None] if m in known else x for m, x in latent.items()}

    def expected_latent(self, logits: State, vectors: State) -> dict[Modality, Tensor]:
        """Return the expected latent of a predicted state, per modality ``(B, F)``.

        Args:
            logits: per modality with codes ``(B, C, G, V)``.
            vectors: per modality with embeddings ``(B, C, G)``.
        """
        latent = {m: x.flatten(1).float() for m, x in vectors.items()}
        for modality, scores in logits.items():
            latent[modality] = self.codec(modality).expected_latent(scores.float().softmax(-1))
        return {m: latent[m] for m in (*logits, *vectors)}

    def storage_dtype(self, modality: Modality) -> torch.dtype:
        """Return the smallest dtype that holds the states of ``modality``."""
        codec = self.codec(modality)
        return storage_dtype(0 if codec.continuous else codec.levels)

    def neutral_codes(self, modality: Modality) -> Tensor:
        """Return the codes ``(C, G)`` that fill the place of a modality which is absent.

        The model never reads them; ``info["absent"]`` of the environment names the modality.
        """
        return self.codec(modality).neutral_codes()
