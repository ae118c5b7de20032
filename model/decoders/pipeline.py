"""What every decoder is: a diffusion pipeline that reads predicted embeddings for a prompt."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..bounds import check_fields, from_fields
from ..checkpoint import check_fit, refused, verify, write_folder
from ..errors import ConfigurationError
from ..external_weights import check_digest, freeze, quiet, weights_digest
from ..modalities import ModalitySpec
from ..safe_io import write_json, write_tensors
from ..safe_json import one_line, read_json
from ..safe_tensors import read_tensors
from .projection import Condition, DecoderProjection


@dataclass(frozen=True)
class DecoderConfig:
    """Which pipeline, and how it is run.

    Attributes:
        path: name on the hub, or folder written by a pipeline's ``save_pretrained``.
        width: ``E``, of a cell of the states that are decoded.
        steps: of denoising.
        guidance: weight of the condition over none; 1 for no guidance.
        strength: how far from the present observation the next may go, in (0, 1]; 1 ignores it.
        seed: of the noise of every row, where no generator is passed.
        size: the shorter edge of the pictures that the pipeline makes; 0 for its own.
        words: tokens of a description, where the pipeline does not fix their number.
        motion_adapter: name or folder of AnimateDiff's adapter, where the pipeline has none.
        hidden: width of the projection.
        layers: of the projection.
        sha256: of the pipeline's weights; filled in, and checked when they are loaded again.
    """

    path: str
    width: int
    steps: int = 30
    guidance: float = 7.5
    strength: float = 0.6
    seed: int = 0
    size: int = 0
    words: int = 32
    motion_adapter: str = ""
    hidden: int = 256
    layers: int = 2
    sha256: str = ""

    def __post_init__(self) -> None:
        """Refuse what denoises nothing."""
        check_fields(
            self,
            width=(1, 65536),
            steps=(1, 10**5),
            guidance=(1, 1000),
            strength=(0, 1),
            size=(0, 8192),
            words=(1, 4096),
            hidden=(1, 65536),
            layers=(1, 64),
        )
        if not 0 < self.strength <= 1 or int(self.steps * self.strength) < 1:
            raise ConfigurationError(
                f"{self.steps} steps at strength {self.strength} denoise nothing; the strength is "
                "in (0, 1], and steps times strength at least 1."
            )


class PipelineDecoder(ABC):
    """Decodes states through a frozen pipeline and a trained projection to its conditions.

    The same states, present observations and generator give the same bits; the noise of a row does
    not depend on the rows beside it.

    Attributes:
        spec: shape of the observations.
        config: see :class:`DecoderConfig`.
        pipeline: the frozen diffusers pipeline.
        projection: the part that trains, see :func:`train_projection`.
    """

    pipelines: ClassVar[tuple[str, ...]]
    spec: Any

    def __init__(self, spec: ModalitySpec, config: DecoderConfig) -> None:
        """Load the pipeline.

        Raises:
            ConfigurationError: if there is no such pipeline, or it is of another kind.
            CheckpointError: if its weights are not those that ``config.sha256`` names.
        """
        self.spec = spec
        with quiet():
            self.pipeline = self._load(config)
        parts = {n: m for n, m in self.pipeline.components.items() if isinstance(m, nn.Module)}
        modules = nn.ModuleDict(parts)
        freeze(modules)
        digest = weights_digest(modules)
        check_digest(config.path, config.sha256, digest)
        self.config = dataclasses.replace(config, sha256=digest)
        self.pipeline.set_progress_bar_config(disable=True)
        self.projection = DecoderProjection(
            config.width, self.conditions(), config.hidden, config.layers
        ).eval()

    def _load(self, config: DecoderConfig) -> Any:
        """Return the pipeline at ``config.path``."""
        return load_pipeline(config.path, self.pipelines)

    @abstractmethod
    def conditions(self) -> list[Condition]:
        """Return what the pipeline reads in place of a description."""

    @abstractmethod
    def describe(self, sentences: Sequence[str]) -> dict[str, Tensor]:
        """Return what the pipeline's own text encoder gives for ``sentences``, as conditions."""

    @abstractmethod
    def render(
        self, conditions: dict[str, Tensor], previous: Tensor | None, noise: list[torch.Generator]
    ) -> Tensor:
        """Run the pipeline and return observations ``(B, *shape)``."""

    @torch.no_grad()
    def __call__(
        self,
        tokens: Tensor,
        previous: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the observations ``(B, *shape)`` of states.

        Args:
            tokens: ``(B, C, E)``.
            previous: the present observations ``(B, *shape)``, where denoising starts.
            generator: of the noise; the configured seed for every row if None.
        """
        if previous is not None and tuple(previous.shape) != (len(tokens), *self.spec.shape):
            raise ConfigurationError(
                f"the present observations are {tuple(previous.shape)}; to decode {len(tokens)} "
                f"states of {type(self.spec).__name__} they are {(len(tokens), *self.spec.shape)}."
            )
        seeds = [self.config.seed] * len(tokens)
        if generator is not None:
            device = generator.device
            drawn = torch.randint(2**62, (len(tokens),), generator=generator, device=device)
            seeds = [int(seed) for seed in drawn]
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        device = self.projection.queries.device
        previous = None if previous is None else previous.to(device)
        conditions = self.projection.conditions_of(tokens.to(device))
        if self.config.guidance > 1:
            conditions |= self.unconditional(len(tokens))
        return self.render(conditions, previous, noise)

    def unconditional(self, rows: int) -> dict[str, Tensor]:
        """Return the conditions of an empty description, as the pipelines call them."""
        empty = self.describe([""])
        return {
            f"negative_{name}": tensor.expand(rows, *tensor.shape[1:])
            for name, tensor in empty.items()
        }

    def loss(self, tokens: Tensor, sentences: Sequence[str]) -> Tensor:
        """Return the loss of the projection on states ``(B, C, E)`` and their descriptions."""
        return self.projection.loss(tokens, self.describe(sentences))

    def to(self, device: torch.device | str) -> Self:
        """Move the pipeline and the projection."""
        self.pipeline.to(device)
        self.projection.to(device)
        return self

    def save(self, folder: str | Path) -> None:
        """Write the projection and the name and hash of the pipeline to ``folder`` (atomic)."""

        def write(draft: Path) -> None:
            state = self.projection.state_dict()
            write_tensors(draft / "projection.safetensors", state, sealed=True)
            write_json(draft / "decoder.json", dataclasses.asdict(self.config))

        write_folder(Path(folder), write)

    @classmethod
    def load(cls, folder: str | Path, spec: Any) -> Self:
        """Return the decoder in ``folder``, for observations of ``spec``.

        Raises:
            CheckpointError: if a file is missing or changed, or the pipeline is another one.
        """
        folder = Path(folder)
        told, weights = folder / "decoder.json", folder / "projection.safetensors"
        verify(folder, told.name, weights.name)
        fields, state = read_json(told), read_tensors(weights)
        with refused(told):
            decoder = cls(spec, from_fields(DecoderConfig, fields, "the decoder"))
            check_fit(decoder.projection, state, weights)
            decoder.projection.load_state_dict(state)
        return decoder


def load_pipeline(path: str, kinds: Sequence[str], **components: Any) -> Any:
    """Return a diffusers pipeline by name or folder; safetensors only, no code of its own.

    Args:
        path: name on the hub, or folder.
        kinds: names of the classes that will do.
        **components: parts that replace the pipeline's.

    Raises:
        ConfigurationError: if diffusers is missing, nothing can be loaded, or the kind is another.
    """
    try:
        import diffusers
    except ImportError as error:
        raise ConfigurationError("decoders need diffusers; type: pip install diffusers") from error
    shown = diffusers.utils.logging.is_progress_bar_enabled()
    diffusers.utils.logging.disable_progress_bar()
    kind = getattr(diffusers, kinds[0]) if components else diffusers.DiffusionPipeline
    try:
        pipeline = kind.from_pretrained(
            path, use_safetensors=True, trust_remote_code=False, **components
        )
    except Exception as error:  # what foreign files lead to can be anything
        raise ConfigurationError(
            f"no pipeline can be loaded from {path!r}: {one_line(error)}."
        ) from error
    finally:
        if shown:
            diffusers.utils.logging.enable_progress_bar()
    if type(pipeline).__name__ not in kinds:
        raise ConfigurationError(
            f"{path!r} is a {type(pipeline).__name__}; this decoder runs {' or '.join(kinds)}."
        )
    return pipeline
