"""WorldGPT: the multimodal world model (arXiv 2404.18202), a processor and a dynamics."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoProcessor, PreTrainedModel

from .arguments import check_path
from .batch import Batch, LossOutput, Prediction
from .checkpoint import load_checkpoint, save_checkpoint, write_checkpoint
from .codecs import Codec
from .configuration import WorldGPTConfig
from .contexts import Contexts
from .curriculum import Combination
from .devices import check_device
from .dynamics.dynamics import Dynamics
from .dynamics.layout import Reading
from .dynamics.losses import LossWeights
from .errors import UntrainedCombinationWarning
from .modalities import Modality
from .processor import Processor
from .rollout.imagination import Imagination
from .states import Presence, State, flatten_time


class WorldGPT(PreTrainedModel):
    """A learned world: reads any modalities of a state and an action, predicts any of the next.

    Args:
        config: sizes, modalities and actions; see :class:`WorldGPTConfig`.

    Attributes:
        processor: raw observations to states and back.
        dynamics: a state and an action to the next state, reward and end, in one pass.
    """

    config_class = WorldGPTConfig
    config: WorldGPTConfig
    main_input_name = "batch"

    if TYPE_CHECKING:  # transformers decorates it in a way that type checkers cannot follow

        def to(self, *args: Any, **kwargs: Any) -> Self:  # type: ignore[override]
            """Move to a device or dtype, as any module."""

    def __init__(self, config: WorldGPTConfig) -> None:
        """Build the model, randomly initialised."""
        super().__init__(config)
        self.specs, self.action_spec = config.specs, config.action_spec
        self.processor = Processor.from_config(config)
        self.dynamics = Dynamics(config, self.processor)

    def _init_weights(self, module: nn.Module) -> None:
        """Leave every module as its own constructor made it."""

    def dynamics_parameters(self) -> list[nn.Parameter]:
        """Return what training the dynamics changes: all of it that is not frozen."""
        return [p for p in self.dynamics.parameters() if p.requires_grad]

    def codec(self, modality: Modality) -> Codec:
        """Return the codec of ``modality``."""
        return self.processor.codec(modality)

    @property
    def agent_modalities(self) -> tuple[Modality, ...]:
        """What agents observe of latent states when nothing else is asked for."""
        chosen = self.config.agent_modalities
        return tuple(m for m in self.specs if chosen is None or str(m) in chosen)

    @property
    def latent_sizes(self) -> dict[Modality, int]:
        """Width of the latent of each modality."""
        return self.processor.latent_sizes

    def encode(self, observation: Mapping[Any, Tensor | np.ndarray]) -> State:
        """Return the state of a batch of raw observations; see :meth:`.Processor.encode`."""
        return self.processor.encode(observation)

    def decode(
        self, state: State, previous: Mapping[Modality, Tensor] | None = None
    ) -> dict[Modality, Tensor]:
        """Return the raw observations of a state; see :meth:`.Processor.decode`."""
        return self.processor.decode(state, previous)

    def latent(self, state: State) -> dict[Modality, Tensor]:
        """Return what a policy sees of a state; see :meth:`.Processor.latent`."""
        return self.processor.latent(state)

    def forward(
        self,
        batch: Batch,
        inputs: Sequence[Modality] | None = None,
        outputs: Sequence[Modality] | None = None,
        weights: LossWeights | None = None,
        reading: Reading | None = None,
    ) -> LossOutput:
        """Return the training loss of a batch of windows; see :meth:`.Dynamics.forward`."""
        latent = self.processor.latent(flatten_time(batch.next), flatten_time(batch.present_next))
        output: LossOutput = self.dynamics(batch, latent, inputs, outputs, weights, reading)
        return output

    @torch.no_grad()
    def predict(
        self,
        state: State,
        action: Tensor,
        outputs: Sequence[Modality] | None = None,
        present: Presence | None = None,
        expected: bool = False,
        contexts: Contexts | None = None,
        reflected: bool = True,
    ) -> Prediction:
        """Predict one step without history: any modalities from any others.

        Args:
            state: any subset of the modalities, ``(B, C, G)`` each.
            action: ``(B,)`` int64, or ``(B, parts)``; see the action spec.
            outputs: the modalities to predict, all by default.
            present: which rows have a modality of ``state``, ``(B,)`` bool; all if not named.
            expected: give the expected latent of the next state too.
            contexts: transitions to read in front of the present one, remembered or retrieved.
            reflected: read them through the reflector, or raw.

        Returns:
            The prediction; the most likely codes.
        """
        engine = self.imagination(
            len(action),
            temperature=0.0,
            inputs=tuple(state),
            outputs=outputs,
            reading=None if contexts is None else self.dynamics.reading(contexts.count, reflected),
        )
        return engine.step(state, action, None, present, expected, contexts)

    def imagination(
        self,
        rows: int,
        *,
        temperature: float | None = None,
        inputs: Sequence[Modality] | None = None,
        outputs: Sequence[Modality] | None = None,
        reading: Reading | None = None,
    ) -> Imagination:
        """Return an engine that imagines ``rows`` episodes in one batch, one pass a step."""
        temperature = self.config.temperature if temperature is None else temperature
        block = self.dynamics.tokens.block(inputs, outputs, reading)
        asked = Combination(block.inputs, block.outputs)
        if not self.was_trained_on(asked):
            warnings.warn(
                f"this model was never trained on {asked.name}: what it says is a guess. Train one "
                "with `worldgpt train --schedule progressive`.",
                UntrainedCombinationWarning,
                stacklevel=2,
            )
        return Imagination(self.processor, self.dynamics, self.config, rows, temperature, block)

    def was_trained_on(self, combination: Combination) -> bool:
        """Return whether training has met ``combination``."""
        known = self.config.combinations
        everything = Combination(tuple(self.specs), tuple(self.specs))
        return combination.name in known if known is not None else combination == everything

    # disk ---------------------------------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Write config.json and model.safetensors into an existing ``folder``."""
        fields = json.loads(self.config.to_json_string(use_diff=False)) | self._found_settings()
        write_checkpoint(folder, fields, self.state_dict())

    def _found_settings(self) -> dict[str, Any]:
        """Return the settings of pretrained parts with the hashes of their weights."""
        codecs = {str(m): self.codec(m) for m in self.specs}
        hashed = {m: codec.to_json() for m, codec in codecs.items() if codec.continuous}
        return {"backbone": self.dynamics.backbone.settings, "codecs": self.config.codecs | hashed}

    def save_pretrained(self, folder: str | Path, **extra: Any) -> None:  # type: ignore[override]
        """Write a folder that ``gym.make(model=folder)`` opens, replacing it at once.

        The start states and the card of the folder that the model was loaded from go with it.
        """
        save_checkpoint(Path(folder), self.write, self.config._name_or_path)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, name_or_path: str | Path, device: str | torch.device = "cpu", **settings: Any
    ) -> WorldGPT:
        """Load an embedded world by name or any saved one by its folder.

        Args:
            name_or_path: ``"doorkey"``, … or a folder written by :meth:`save_pretrained`.
            device: where the weights go.
            **settings: fields of the configuration to change, such as ``horizon=32``.

        Raises:
            CheckpointError: if nothing is there, or a file is truncated or not as it was written.
            ConfigurationError: if the name is no text or path, or there is no such device.
        """
        check_path("the name or path of a model", name_or_path)
        place = check_device(device)
        return load_checkpoint(name_or_path, cls, settings).to(place)


AutoConfig.register(WorldGPTConfig.model_type, WorldGPTConfig)
AutoModel.register(WorldGPTConfig, WorldGPT)
AutoProcessor.register(WorldGPTConfig, Processor)
