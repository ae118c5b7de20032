"""LanguageBind's image, video and audio encoders, from its published weights by folder.

Each is a CLIP vision transformer; in the video one every block first attends over time, between the
tokens at one place of all frames. Sound is a log-mel picture. The weights are CLIP's names with
``temporal_*`` beside them, and, where they were trained with LoRA, as peft keeps them: those are
added up here. What was checked: against CLIP of transformers where there is no temporal attention,
against the arithmetic written out where there is, and against transformers' Kaldi features. The
published weights themselves were never loaded here. Two things differ from the authors' code on
purpose: clips are cut from the middle (theirs crops and mirrors at random), and vectors are not
multiplied by the temperature.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from ..errors import ConfigurationError
from ..external_weights import find_file, freeze, read_json
from ..modalities import AudioSpec, ModalitySpec, VideoSpec
from ..safe_json import one_line
from ..safe_tensors import read_tensors
from .preparation import Picture, filter_bank, log_mel, resample, sample_frames
from .towers import Tower

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class Attention(nn.Module):
    """Multi-head attention with biases, under CLIP's names."""

    def __init__(self, width: int, heads: int) -> None:
        """Build the four maps."""
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend between the tokens of ``(B, N, D)``."""
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, head)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
    """One layer: attention over time where there is time, over space, and a perceptron."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Build a layer of ``config``."""
        super().__init__()
        width, heads = config["hidden_size"], config["num_attention_heads"]
        eps = config.get("layer_norm_eps", 1e-5)
        self.self_attn = Attention(width, heads)
        self.layer_norm1 = nn.LayerNorm(width, eps=eps)
        self.layer_norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.ModuleDict(
            {
                "fc1": nn.Linear(width, config["intermediate_size"]),
                "fc2": nn.Linear(config["intermediate_size"], width),
            }
        )
        self.activation = ACT2FN[config.get("hidden_act", "quick_gelu")]
        self.frames = config["num_frames"] if config.get("add_time_attn") else 0
        if self.frames:
            self.temporal_embedding = nn.Parameter(torch.zeros(1, self.frames, width))
            self.temporal_attn = Attention(width, heads)
            self.temporal_layer_norm1 = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(B T, N, D)``."""
        if self.frames:
            x = self._over_time(x)
        x = x + self.self_attn(self.layer_norm1(x))
        inner = self.activation(self.mlp["fc1"](self.layer_norm2(x)))
        return x + self.mlp["fc2"](inner)

    def _over_time(self, x: Tensor) -> Tensor:
        tokens = x.shape[1]
        x = x.unflatten(0, (-1, self.frames)).transpose(1, 2).flatten(0, 1)  # (B N, T, D)
        x = x + self.temporal_embedding if self.frames > 1 else x
        x = x + self.temporal_attn(self.temporal_layer_norm1(x))
        return x.unflatten(0, (-1, tokens)).transpose(1, 2).flatten(0, 1)  # (B T, N, D)


class Embeddings(nn.Module):
    """Patches as tokens behind a class token, each with its place."""

    def __init__(self, vision: dict[str, Any]) -> None:
        """Build the embeddings of a ``vision_config``."""
        super().__init__()
        width, patch = vision["hidden_size"], vision["patch_size"]
        height, across = picture_size(vision)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding((height // patch) * (across // patch) + 1, width)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return ``(B, 1 + places, D)`` of pictures ``(B, 3, H, W)``."""
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        front = self.class_embedding.expand(len(patches), 1, -1)
        return torch.cat([front, patches], 1) + self.position_embedding.weight


class Encoder(nn.Module):
    """The blocks one after another."""

    def __init__(self, vision: dict[str, Any]) -> None:
        """Build the blocks of a ``vision_config``."""
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderBlock(vision) for _ in range(vision["num_hidden_layers"])
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(B T, N, D)``."""
        for block in self.layers:
            x = block(x)
        return x


class Transformer(nn.Module):
    """CLIP's vision transformer; the layer norm's name is CLIP's own."""

    def __init__(self, vision: dict[str, Any]) -> None:
        """Build the transformer of a ``vision_config``."""
        super().__init__()
        width, eps = vision["hidden_size"], vision.get("layer_norm_eps", 1e-5)
        self.embeddings = Embeddings(vision)
        self.pre_layrnorm = nn.LayerNorm(width, eps=eps)
        self.encoder = Encoder(vision)
        self.post_layernorm = nn.LayerNorm(width, eps=eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return tokens ``(B T, 1 + places, D)`` of pictures ``(B T, 3, H, W)``."""
        return self.encoder(self.pre_layrnorm(self.embeddings(pixels)))


class LanguageBindVision(nn.Module):
    """The vision transformer with its projection; names as in the published weights."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Build the network of a LanguageBind ``config.json``."""
        super().__init__()
        self.config = config
        width = config["vision_config"]["hidden_size"]
        self.vision_model = Transformer(config["vision_config"])
        self.visual_projection = nn.Linear(width, config["projection_dim"], bias=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vector ``(B, E)`` and the tokens ``(B, T, N, D)`` of ``(B, T, 3, H, W)``."""
        rows, frames = pixels.shape[:2]
        tokens = self.vision_model(pixels.flatten(0, 1))
        pooled = self.vision_model.post_layernorm(tokens[:, 0]).unflatten(0, (rows, frames))
        return self.visual_projection(pooled.mean(1)), tokens.unflatten(0, (rows, frames))


class LanguageBindTower(Tower):
    """One of the three encoders, with its preparation."""

    filters: Tensor

    @classmethod
    def open(
        cls, encoder: str, path: str, spec: ModalitySpec, recipe: dict[str, Any], pooled: bool
    ) -> Tower:
        """Load the weights in the folder ``path``."""
        config = read_json(path, "config.json")
        network = LanguageBindVision(config)
        try:
            network.load_state_dict(read_weights(path, config["vision_config"]))
        except RuntimeError as error:
            raise ConfigurationError(
                f"{path!r} lacks weights of LanguageBind's vision model, or has others: "
                f"{one_line(error)}."
            ) from error
        freeze(network)
        return cls(spec, network, recipe or cls.read_recipe(encoder, path, network), pooled)

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
        network = LanguageBindVision(architecture)
        freeze(network)
        return cls(spec, network, recipe, pooled)

    @classmethod
    def read_recipe(cls, encoder: str, path: str, network: Any) -> dict[str, Any]:
        """Return how pictures are prepared (LanguageBind keeps it in its code), or sounds."""
        vision = network.config["vision_config"]
        size = picture_size(vision)
        if vision.get("num_mel_bins"):
            return {
                "rate": int(vision["audio_sample_rate"]),
                "bands": int(vision["num_mel_bins"]),
                "frames": int(vision["target_length"]),
                "mean": float(vision["audio_mean"]),
                "std": float(vision["audio_std"]),
            }
        clips = bool(vision.get("add_time_attn"))  # clips are scaled without Pillow's low-pass
        edge, scaling = (size[0],), "bilinear" if clips else "bicubic"
        return asdict(Picture(edge, size, MEAN, STD, scaling, antialias=not clips))

    @property
    def architecture(self) -> dict[str, Any]:
        """The configuration of the network, plain JSON."""
        return dict(json.loads(json.dumps(self.network.config)))

    def __init__(self, spec: ModalitySpec, network: Any, recipe: dict[str, Any], pooled: bool):
        """Refuse weights of another modality."""
        super().__init__(spec, network, recipe, pooled)
        heard = "bands" in recipe
        if heard != isinstance(spec, AudioSpec):
            raise ConfigurationError(
                f"these LanguageBind weights are for {'sound' if heard else 'pictures'}, not for "
                f"{type(spec).__name__}; each modality has weights of its own."
            )
        if heard:
            bank = filter_bank(recipe["rate"], recipe["bands"])
            self.register_buffer("filters", bank, persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        """Return vectors ``(B, C, E)`` of images, videos or sounds."""
        vision = self.network.config["vision_config"]
        if isinstance(self.spec, AudioSpec):
            pixels = self.melody(raw)[:, None]  # (B, 1, 3, bands, T)
        else:
            videos = raw if isinstance(self.spec, VideoSpec) else raw[:, None]
            timed = vision.get("add_time_attn")
            videos = sample_frames(videos, vision["num_frames"]) if timed else videos
            pixels = Picture(**self.recipe)(videos.flatten(0, 1)).unflatten(0, videos.shape[:2])
        vector, tokens = self.network(pixels)
        return vector[:, None] if self.pooled else tokens[:, :, 1:].mean(1)  # over the frames

    def melody(self, raw: Tensor) -> Tensor:
        """Return the log-mel picture ``(B, 3, bands, T)`` of sounds ``(B, S, channels)``.

        The first channel, as in the authors' code; a short sound is repeated whole and then padded
        with silence, a long one gives three pictures from its beginning, middle and end.
        """
        recipe, spec = self.recipe, self.spec
        sound = resample(raw[..., 0], spec.rate, recipe["rate"])
        longest = recipe["frames"] * recipe["rate"] // 100
        length = sound.shape[1]
        if length < longest:
            sound = sound.repeat(1, longest // length)
            sound = nn.functional.pad(sound, (0, longest - sound.shape[1]))
        sound = sound - sound.mean(1, keepdim=True)
        mel = log_mel(sound, self.filters, recipe["rate"])  # (B, T, bands)
        mel = nn.functional.pad(mel, (0, 0, 0, max(0, recipe["frames"] - mel.shape[1])))
        starts = torch.arange(mel.shape[1] - recipe["frames"] + 1).tensor_split(3)
        first = [int(part[0]) if len(part) else 0 for part in starts]
        views = [mel[:, start : start + recipe["frames"]] for start in first]
        return (torch.stack(views, 1).transpose(2, 3) - recipe["mean"]) / recipe["std"]


def picture_size(vision: dict[str, Any]) -> tuple[int, int]:
    """Return height and width of what the network sees."""
    if vision.get("num_mel_bins") and vision.get("target_length"):
        return int(vision["num_mel_bins"]), int(vision["target_length"])
    size = vision["image_size"]
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def read_weights(path: str, vision: dict[str, Any]) -> dict[str, Tensor]:
    """Return the vision weights in the folder ``path``, LoRA added up, under CLIP's names.

    Raises:
        ConfigurationError: if there is no model.safetensors.
    """
    file = find_file(path, "model.safetensors")
    if file is None:
        raise ConfigurationError(
            f"{path!r} has no model.safetensors. Weights published as pytorch_model.bin are a "
            "pickle, which this package does not open: convert them once, see docs/pretrained.md."
        )
    plain: dict[str, Tensor] = {}
    adapters: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_tensors(file, "Download it again.", ConfigurationError).items():
        if not name.startswith(("vision_model.", "visual_projection.")):
            continue
        name = name.replace("encoder.base_model.model.", "encoder.").replace(".base_layer.", ".")
        lora = re.fullmatch(r"(.+)\.lora_([AB])\.default\.weight", name)
        if lora:
            adapters.setdefault(lora[1], {})[lora[2]] = tensor.float()
        elif not name.endswith("position_ids"):
            plain[name] = tensor.float()
    for name, pair in adapters.items():
        scale = vision["lora_alpha"] / vision["lora_r"]
        plain[f"{name}.weight"] = plain[f"{name}.weight"] + scale * pair["B"] @ pair["A"]
    return plain
