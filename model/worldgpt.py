"""WorldGPT: the multimodal world model (arXiv 2404.18202) with reward, end and uncertainty."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .arguments import check_path
from .backbone import Backbone
from .batch import Batch, LossOutput, Prediction, Presence, State, flatten_time
from .codecs import Codec, build_codec
from .cognition.reflector import ContextReflector, ReflectorConfig
from .configuration import WorldGPTConfig
from .consistency import Consistency
from .curriculum import Combination
from .devices import check_device
from .embeddings import ActionEmbedding, CellEmbedding, TokenProjection, VectorEmbedding
from .errors import MissingModalityError, UntrainedCombinationWarning
from .heads import Ensemble, SignalReader, StateHead, VectorHead
from .layout import Block, Reading, TokenCounts, additive
from .losses import LossWeights, objective
from .modalities import Modality
from .outcome import ConsequenceReader, Outcome, RewardHead, TerminationHead, read_outcome
from .step import ReadOut, embed_step, read_step

if TYPE_CHECKING:
    from .cognition.contexts import Contexts
    from .imagination import Imagination


class WorldGPT(PreTrainedModel):
    """A learned world: reads any modalities of a state and an action, predicts any of the next.

    One step is one forward pass of the language model (WorldGPT §3.1): the hidden states at the
    signal tokens give all codes of the next state in parallel; reward, termination and uncertainty
    are read at the action slot of the same pass, reward and termination from the next state too if
    the configuration says so.

    Args:
        config: sizes, modalities and actions; see :class:`WorldGPTConfig`.
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
        self.specs = config.specs
        self.action_spec = config.action_spec
        codecs = {str(m): build_codec(s, config.codecs.get(str(m))) for m, s in self.specs.items()}
        self.codecs = nn.ModuleDict(codecs)
        self.tokens = self._token_counts()
        self.backbone = Backbone(config.backbone)
        width, hidden = config.cell_width, self.backbone.hidden
        self.cell_embeddings = nn.ModuleDict(
            {m: (VectorEmbedding if c.continuous else CellEmbedding)(c, width)
             for m, c in codecs.items()}
        )  # fmt: skip
        self.token_projections = nn.ModuleDict(
            {m: TokenProjection(c.cells, width, self.tokens[Modality(m)], hidden)
             for m, c in codecs.items()}
        )  # fmt: skip
        self.action_slot = nn.Parameter(torch.randn(hidden) * 0.5)
        self.action_embedding = ActionEmbedding(self.action_spec, hidden)
        self.signal_tokens = nn.ParameterDict(
            {str(m): nn.Parameter(torch.randn(self.tokens.signals(m), hidden) * 0.5)
             for m in self.specs}
        )  # fmt: skip
        self.state_heads = nn.ModuleDict(
            {m: VectorHead(c, hidden) if c.continuous
             else StateHead(c, self.tokens[Modality(m)], width, hidden)
             for m, c in codecs.items()}
        )  # fmt: skip
        self.reward_head = RewardHead(hidden, config.reward_bins)
        self.termination_head = TerminationHead(hidden)
        self.consequence: ConsequenceReader | None = None
        if config.outcome == "next":
            self.consequence = ConsequenceReader(codecs, width, hidden)
        self.ensemble = Ensemble(hidden, sum(self.latent_sizes.values()), config.ensemble)
        self.consistency = Consistency(self.latent_sizes)
        self.reflector: ContextReflector | None = None
        if config.reflector is not None:
            self.reflector = ContextReflector(ReflectorConfig(**config.reflector), hidden)
        if any(codec.continuous for codec in codecs.values()):
            self.signal_reader = SignalReader(hidden, sum(map(self.tokens.signals, self.specs)))

    def _init_weights(self, module: nn.Module) -> None:
        """Leave every module as its own constructor made it."""

    def _token_counts(self) -> TokenCounts:
        counts, signals = {}, {}
        for modality in self.specs:
            codec = self.codec(modality)
            rows = codec.grid[0] if self.config.image_tokens == "rows" else codec.cells
            seen = modality in (Modality.IMAGE, Modality.VIDEO)
            counts[modality] = codec.cells if codec.continuous else rows if seen else 1
            signals[modality] = self.config.signal_tokens if codec.continuous else counts[modality]
        words = self.action_spec.sizes[0] if self.action_spec.kind == "text" else 0
        return TokenCounts(tuple(counts.items()), tuple(signals.items()), words)

    def signal_numbers(self, modalities: Iterable[Modality]) -> list[range]:
        """Return the numbers of the signal tokens of ``modalities``, among those of all."""
        ends = list(accumulate((self.tokens.signals(m) for m in self.specs), initial=0))
        spans = {m: range(*ends[n : n + 2]) for n, m in enumerate(self.specs)}
        return [spans[m] for m in modalities]

    def dynamics_parameters(self) -> list[nn.Parameter]:
        """Return what training the dynamics changes: all that is not frozen, less the codecs."""
        codecs = {id(p) for p in self.codecs.parameters()}
        return [p for p in self.parameters() if p.requires_grad and id(p) not in codecs]

    def codec(self, modality: Modality) -> Codec:
        """Return the codec of ``modality``."""
        return self.codecs[str(modality)]  # type: ignore[return-value]

    @property
    def agent_modalities(self) -> tuple[Modality, ...]:
        """What agents observe of latent states when nothing else is asked for."""
        chosen = self.config.agent_modalities
        return tuple(m for m in self.specs if chosen is None or str(m) in chosen)

    @property
    def latent_sizes(self) -> dict[Modality, int]:
        """Width of the latent of each modality."""
        return {m: self.codec(m).latent_size for m in self.specs}

    # raw <-> state ------------------------------------------------------------------------------

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
            previous: the observations before, which a decoder of embeddings may start from.
        """
        decoded = {}
        for modality, codes in state.items():
            codec = self.codec(modality)
            before = {"previous": (previous or {}).get(modality)} if codec.continuous else {}
            decoded[modality] = codec.decode(codes, **before)
        return decoded

    @torch.no_grad()
    def latent(self, state: State) -> dict[Modality, Tensor]:
        """Return what a policy sees of a state, per modality ``(B, F)`` float32 in [-1, 1]."""
        return {m: self.codec(m).latent(codes) for m, codes in state.items()}

    def expected_latent(self, out: ReadOut) -> dict[Modality, Tensor]:
        """Return the expected latent of the next state, per modality ``(B, F)``."""
        latent = {m: x.flatten(1).float() for m, x in out.vectors.items()}
        for modality, logits in out.logits.items():
            latent[modality] = self.codec(modality).expected_latent(logits.float().softmax(-1))
        return {m: latent[m] for m in out.predicted}

    # one step -----------------------------------------------------------------------------------

    def read_window(self, batch: Batch, block: Block) -> tuple[ReadOut, Outcome]:
        """Run windows ``(B, T)`` through the backbone in one pass; the results have rows ``B T``.

        The outcome may be read from the true next state, as it is known here.
        """
        rows, steps = batch.reward.shape
        present = flatten_time(batch.present_now)
        step = embed_step(
            self,
            flatten_time(batch.now),
            batch.action.flatten(0, 1),
            block,
            present,
            batch.contexts,
        )
        tokens = step.tokens.view(rows, steps * block.size, -1)  # (B, T size, D)
        visible = block.window_visibility(steps, self.config.context).to(tokens.device)[None, None]
        there = step.presence(block, present)  # (B T, size)
        if there is not None:
            visible = visible & there.view(rows, 1, 1, -1)
        positions = block.window_positions(steps).to(tokens.device)
        hidden = self.backbone(tokens, additive(visible), positions)
        hidden = hidden.view(rows * steps, block.size, -1)[:, block.kept - 1 :]
        out = read_step(self, hidden, step, block)
        following, shown = flatten_time(batch.next), flatten_time(batch.present_next)
        following = {modality: following[modality] for modality in out.predicted}
        return out, read_outcome(self, out.hidden, step.now, following, shown)

    def forward(
        self,
        batch: Batch,
        inputs: Sequence[Modality] | None = None,
        outputs: Sequence[Modality] | None = None,
        weights: LossWeights | None = None,
        reading: Reading | None = None,
    ) -> LossOutput:
        """Return the training loss of a batch of windows, and figures to log.

        Args:
            batch: windows of transitions.
            inputs: modalities that are read, all by default.
            outputs: modalities that are predicted, all by default.
            weights: of the parts of the loss.
            reading: how the batch's contexts are read.
        """
        block = self.tokens.block(inputs, outputs, reading)
        out, outcome = self.read_window(batch, block)
        return objective(self, out, outcome, batch, weights or LossWeights())

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
            contexts: transitions to read beside the present one, remembered or known.
            reflected: read them through the reflector, or raw.

        Returns:
            The prediction; the most likely codes.
        """
        engine = self.imagination(
            len(action),
            temperature=0.0,
            inputs=tuple(state),
            outputs=outputs,
            reading=None if contexts is None else self.reading(contexts.count, reflected),
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
        """Return an engine that imagines ``rows`` episodes side by side, one pass a step."""
        from .imagination import Imagination

        temperature = self.config.temperature if temperature is None else temperature
        block = self.tokens.block(inputs, outputs, reading)
        asked = Combination(block.inputs, block.outputs)
        if not self.was_trained_on(asked):
            warnings.warn(
                f"this model was never trained on {asked.name}: what it says is a guess. Train one "
                "with `worldgpt train --schedule progressive`.",
                UntrainedCombinationWarning,
                stacklevel=2,
            )
        return Imagination(self, rows, temperature, block)

    def reading(self, contexts: int, reflected: bool) -> Reading:
        """Return how this model reads ``contexts`` transitions in front of a step."""
        queries = self.reflector.config.queries if self.reflector else 4
        return Reading(contexts, reflected, queries)

    def was_trained_on(self, combination: Combination) -> bool:
        """Return whether training has met ``combination``."""
        known = self.config.combinations
        everything = Combination(tuple(self.specs), tuple(self.specs))
        return combination.name in known if known is not None else combination == everything

    # disk ---------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path, **extra: Any) -> None:  # type: ignore[override]
        """Write the model to ``folder``: config.json, model.safetensors, manifest.json (atomic)."""
        from .checkpoint import save_model

        save_model(self, Path(folder))

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
        from .checkpoint import load_model

        check_path("the name or path of a model", name_or_path)
        place = check_device(device)
        return load_model(name_or_path, settings).to(place)
