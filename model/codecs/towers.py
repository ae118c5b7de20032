"""Frozen networks of transformers, and what each is fed with: observations in, vectors out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
import transformers
from torch import Tensor, nn

from ..errors import ConfigurationError
from ..external_weights import freeze, load_network, quiet, read_json
from ..modalities import AudioSpec, ModalitySpec, TextSpec, VideoSpec
from .continuous import unit
from .preparation import Picture, resample, sample_frames

SOUND_SETTINGS = (
    "feature_size",
    "sampling_rate",
    "hop_length",
    "max_length_s",
    "fft_window_size",
    "padding_value",
    "frequency_min",
    "frequency_max",
    "padding",
    "top_db",
)
"""What of CLAP's preprocessor_config.json its feature extractor is built from."""


@dataclass(frozen=True)
class Network:
    """Which class of transformers an encoder is, and where its output holds the vectors.

    Attributes:
        name: the class.
        pooled: the field of its output that is one vector for the whole.
        leading: tokens in front of the patches (a class token).
    """

    name: str
    pooled: str
    leading: int = 0

    def load(self, path: str) -> Any:
        """Return the frozen network of a name or folder, in float32."""
        return load_network(getattr(transformers, self.name), path, dtype=torch.float32)

    def build(self, architecture: dict[str, Any]) -> Any:
        """Return the frozen network of a configuration, with weights still to be loaded."""
        kind = getattr(transformers, self.name)
        with quiet():
            network = kind(kind.config_class.from_dict(architecture))
        freeze(network)
        return network


class Tower(nn.Module, ABC):
    """A frozen network with its preparation.

    Attributes:
        network: the frozen weights.
        recipe: how observations are prepared, plain JSON.
        pooled: one vector for the whole instead of one a patch.
        texts: what the vectors depend on beyond weights and recipe, for the digest.
    """

    networks: ClassVar[dict[str, Network]]
    texts: tuple[str, ...] = ()

    def __init__(self, spec: Any, network: Any, recipe: dict[str, Any], pooled: bool) -> None:
        """Remember all of it."""
        super().__init__()
        self.spec, self.network, self.recipe, self.pooled = spec, network, recipe, pooled
        self.output: Network | None = None

    @classmethod
    def open(
        cls, encoder: str, path: str, spec: ModalitySpec, recipe: dict[str, Any], pooled: bool
    ) -> Tower:
        """Load the weights at ``path``; an empty ``recipe`` is read there too."""
        kind = cls.networks[encoder]
        network = kind.load(path)
        tower = cls(spec, network, recipe or cls.read_recipe(encoder, path, network), pooled)
        tower.output = kind
        return tower

    @classmethod
    def rebuild(
        cls,
        encoder: str,
        architecture: dict[str, Any],
        spec: ModalitySpec,
        recipe: dict[str, Any],
        pooled: bool,
    ) -> Tower:
        """Build the network of ``architecture``, whose weights come from a saved model."""
        tower = cls(spec, cls.networks[encoder].build(architecture), recipe, pooled)
        tower.output = cls.networks[encoder]
        return tower

    @classmethod
    @abstractmethod
    def read_recipe(cls, encoder: str, path: str, network: Any) -> dict[str, Any]:
        """Return how the model at ``path`` wants its observations."""

    @property
    def architecture(self) -> dict[str, Any]:
        """The configuration of the network, plain JSON."""
        return dict(json.loads(self.network.config.to_json_string(use_diff=False)))

    @abstractmethod
    def forward(self, raw: Tensor) -> Tensor:
        """Return vectors ``(B, C, E)`` of observations ``(B, *shape)``."""

    def pick(self, output: Any) -> Tensor:
        """Return the vectors ``(B, C, E)`` of a network's output."""
        assert self.output is not None
        if self.pooled:
            return getattr(output, self.output.pooled)[:, None]  # (B, 1, E)
        patches: Tensor = output.last_hidden_state  # (B, N, E), of sounds (B, E, bands, time)
        if patches.ndim == 4:
            patches = patches.flatten(2).transpose(1, 2)
        return patches[:, self.output.leading :]


class PictureTower(Tower):
    """CLIP, SigLIP or DINOv2 on an image, or on each frame of a video and averaged over time."""

    networks: ClassVar[dict[str, Network]] = {
        "clip": Network("CLIPVisionModelWithProjection", "image_embeds", leading=1),
        "siglip": Network("SiglipVisionModel", "pooler_output"),
        "dinov2": Network("Dinov2Model", "pooler_output", leading=1),
    }

    @classmethod
    def read_recipe(cls, encoder: str, path: str, network: Any) -> dict[str, Any]:
        """Return the fields of a :class:`Picture`."""
        return asdict(Picture.of(picture_settings(path)))

    def forward(self, raw: Tensor) -> Tensor:
        """Return vectors ``(B, C, E)`` of images ``(B, H, W, 3)`` or videos ``(B, T, H, W, 3)``."""
        frames = raw.flatten(0, 1) if isinstance(self.spec, VideoSpec) else raw
        vectors = self.pick(self.network(pixel_values=Picture(**self.recipe)(frames)))
        if isinstance(self.spec, VideoSpec):
            vectors = unit(vectors).unflatten(0, raw.shape[:2]).mean(1)
        return vectors


class ClipTower(Tower):
    """V-JEPA 2 on the frames of a video; pooled is the mean over its tokens."""

    networks: ClassVar[dict[str, Network]] = {"vjepa2": Network("VJEPA2Model", "")}

    @classmethod
    def read_recipe(cls, encoder: str, path: str, network: Any) -> dict[str, Any]:
        """Return the fields of a :class:`Picture`."""
        return asdict(Picture.of(picture_settings(path)))

    def forward(self, raw: Tensor) -> Tensor:
        """Return vectors ``(B, C, E)`` of videos ``(B, T, H, W, 3)``."""
        tube = self.network.config.tubelet_size
        raw = sample_frames(raw, -(-raw.shape[1] // tube) * tube)
        frames = Picture(**self.recipe)(raw.flatten(0, 1)).unflatten(0, raw.shape[:2])
        tokens: Tensor = self.network(frames, skip_predictor=True).last_hidden_state
        return tokens.mean(1, keepdim=True) if self.pooled else tokens


class SoundTower(Tower):
    """CLAP on a sound, mixed to mono, resampled, and repeated to the length it was trained on."""

    networks: ClassVar[dict[str, Network]] = {
        "clap": Network("ClapAudioModelWithProjection", "audio_embeds")
    }
    spec: AudioSpec

    def __init__(self, spec: AudioSpec, network: Any, recipe: dict[str, Any], pooled: bool) -> None:
        """Refuse sounds that CLAP would cut at random."""
        super().__init__(spec, network, recipe, pooled)
        longest = recipe["max_length_s"]
        if spec.samples > longest * spec.rate:
            raise ConfigurationError(
                f"the sound of a step lasts {spec.samples / spec.rate:.1f} s, and CLAP would cut "
                f"it at random to {longest} s; record shorter steps."
            )

    @classmethod
    def read_recipe(cls, encoder: str, path: str, network: Any) -> dict[str, Any]:
        """Return the settings of CLAP's feature extractor."""
        settings = read_json(path, "preprocessor_config.json", "processor_config.json")
        settings = settings.get("feature_extractor", settings)
        recipe = {name: settings[name] for name in SOUND_SETTINGS if name in settings}
        fused = network.config.enable_fusion
        return {"max_length_s": 10, **recipe, "truncation": "fusion" if fused else "rand_trunc"}

    @cached_property
    def extractor(self) -> Any:
        """CLAP's own feature extractor (numpy)."""
        return transformers.ClapFeatureExtractor(**self.recipe)

    def forward(self, raw: Tensor) -> Tensor:
        """Return vectors ``(B, C, E)`` of sounds ``(B, S, channels)``."""
        rate = self.extractor.sampling_rate
        mono = resample(raw.mean(2), self.spec.rate, rate)
        sounds = list(mono[:, : self.extractor.nb_max_samples].cpu().numpy())
        prepared = self.extractor(sounds, sampling_rate=rate, return_tensors="pt")
        features = prepared["input_features"].to(raw.device)  # (B, 1 or 4, T, bands)
        longer = torch.zeros(len(raw), 1, dtype=torch.bool, device=raw.device)
        return self.pick(self.network(input_features=features, is_longer=longer))


class SentenceTower(Tower):
    """The text side of CLIP, SigLIP or CLAP on the sentence of a text observation."""

    networks: ClassVar[dict[str, Network]] = {
        "clip": Network("CLIPTextModelWithProjection", "text_embeds"),
        "siglip": Network("SiglipTextModel", "pooler_output"),
        "clap": Network("ClapTextModelWithProjection", "text_embeds"),
    }
    spec: TextSpec

    def __init__(self, spec: TextSpec, network: Any, recipe: dict[str, Any], pooled: bool) -> None:
        """Set up the tokenizer that the recipe carries."""
        super().__init__(spec, network, recipe, pooled)
        if not pooled:
            raise ConfigurationError("a sentence is one vector; use tokens='pooled' for text.")

    @classmethod
    def read_recipe(cls, encoder: str, path: str, network: Any) -> dict[str, Any]:
        """Return the tokenizer as JSON, the length that sentences are padded to, and with what."""
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            text = tokenizer.backend_tokenizer.to_str()
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise ConfigurationError(f"{path!r} has no tokenizer that reads: {error}") from error
        positions = network.config.max_position_embeddings
        return {
            "tokenizer": text,
            "length": min(positions - 2, 77) if encoder == "clap" else positions,
            "pad": tokenizer.pad_token_id,
            "masked": encoder != "siglip",  # SigLIP looks at the padding too
        }

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, without padding or truncation of its own."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.recipe["tokenizer"])
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def forward(self, raw: Tensor) -> Tensor:
        """Return vectors ``(B, 1, E)`` of word ids ``(B, slots)``."""
        sentences = [self.spec.decode(ids) for ids in raw.cpu().numpy()]
        length = self.recipe["length"]
        ids = torch.full((len(raw), length), self.recipe["pad"])
        mask = torch.zeros(len(raw), length, dtype=torch.int64)
        for row, sentence in enumerate(sentences):
            pieces = self.tokenizer.encode(sentence).ids
            if len(pieces) > length:
                raise ConfigurationError(
                    f"{sentence!r} is {len(pieces)} tokens long; this encoder reads {length}."
                )
            ids[row, : len(pieces)] = torch.tensor(pieces)
            mask[row, : len(pieces)] = 1
        ids, mask = ids.to(raw.device), mask.to(raw.device)
        seen = {"attention_mask": mask} if self.recipe["masked"] else {}
        return self.pick(self.network(input_ids=ids, **seen))


def picture_settings(path: str) -> dict[str, Any]:
    """Return how the vision model at ``path`` wants its pictures."""
    files = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
    settings = read_json(path, *files)
    for part in ("image_processor", "video_processor"):
        settings = settings.get(part, settings)
    return settings
