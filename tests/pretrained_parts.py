"""Tiny pretrained parts with random weights, saved in folders as their authors publish theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from worldgpt_env.model.modalities import AudioSpec, ImageSpec, TextSpec, VideoSpec

WORDS = ["door", "fire", "key", "left", "open", "red", "wait"]
IMAGE = ImageSpec(32, 48)
VIDEO = VideoSpec(3, 32, 48)
AUDIO = AudioSpec(1000, 2, 11025)
TEXT = TextSpec.of(WORDS, 4)
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
VISION = {**SIZES, "image_size": 32, "patch_size": 8}
LANGUAGE = {**SIZES, "vocab_size": 32, "max_position_embeddings": 16}
PICTURE = {
    "do_resize": True,
    "do_center_crop": True,
    "do_rescale": True,
    "do_normalize": True,
    "resample": 3,
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def observations(spec: Any, count: int, seed: int = 0) -> Tensor:
    """Return random observations of ``spec``."""
    draw = torch.Generator().manual_seed(seed)
    if isinstance(spec, AudioSpec):
        return torch.rand(count, *spec.shape, generator=draw) * 2 - 1
    if isinstance(spec, TextSpec):
        return torch.randint(0, len(spec.vocabulary), (count, *spec.shape), generator=draw)
    return torch.randint(0, 256, (count, *spec.shape), generator=draw, dtype=torch.uint8)


def save_tokenizer(folder: Path, kind: Any = transformers.PreTrainedTokenizerFast) -> None:
    """Write a tokenizer of whole words, with a beginning and an end."""
    words = ["<s>", "<pad>", "</s>", "<unk>", *WORDS]
    tokenizer = Tokenizer(WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    kind(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=16,
    ).save_pretrained(folder)


def save_encoders(folder: Path) -> None:
    """Write clip, siglip, dinov2, vjepa2 and clap below ``folder``."""
    torch.manual_seed(0)
    language = {**LANGUAGE, "projection_dim": 12, "eos_token_id": 2, "pad_token_id": 1}
    clip = transformers.CLIPConfig(
        vision_config={**VISION, "projection_dim": 12}, text_config=language, projection_dim=12
    )
    dino = {**SIZES, "image_size": 28, "patch_size": 7}
    video = {**SIZES, "hidden_size": 24, "crop_size": 16, "patch_size": 8, "frames_per_clip": 4}
    predictor = {"pred_hidden_size": 24, "pred_num_hidden_layers": 1, "pred_num_attention_heads": 2}
    sound = {
        "hidden_size": 16,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
        "spec_size": 64,
        "num_mel_bins": 16,
        "window_size": 2,
        "projection_dim": 12,
    }
    clap = transformers.ClapConfig(
        audio_config=sound,
        text_config={**language, "max_position_embeddings": 20},
        projection_dim=12,
    )
    models = {
        "clip": transformers.CLIPModel(clip),
        "siglip": transformers.SiglipModel(
            transformers.SiglipConfig(vision_config=VISION, text_config=language)
        ),
        "dinov2": transformers.Dinov2Model(transformers.Dinov2Config(**dino)),
        "vjepa2": transformers.VJEPA2Model(transformers.VJEPA2Config(**video, **predictor)),
        "clap": transformers.ClapModel(clap),
    }
    for name, model in models.items():
        for parameter in model.parameters():  # far from the small weights of a fresh model
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        model.save_pretrained(folder / name)
        save_tokenizer(folder / name)
        size = 28 if name == "dinov2" else 16 if name == "vjepa2" else 32
        pictures = {
            **PICTURE,
            "size": {"shortest_edge": size},
            "crop_size": {"height": size, "width": size},
        }
        if name == "siglip":
            pictures |= {"do_center_crop": False, "size": {"height": 32, "width": 32}}
        file = "video_preprocessor_config.json" if name == "vjepa2" else "preprocessor_config.json"
        (folder / name / file).write_text(json.dumps(pictures))
    transformers.ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=8000,
        hop_length=80,
        max_length_s=1,
        fft_window_size=256,
        frequency_max=4000,
    ).save_pretrained(folder / "clap")


def languagebind_config(modality: str) -> dict[str, Any]:
    """Return a config.json in the layout of LanguageBind."""
    vision: dict[str, Any] = {
        **VISION,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "add_time_attn": modality == "video",
        "num_frames": 4 if modality == "video" else 1,
        "lora_r": 2,
        "lora_alpha": 16,
        "num_mel_bins": 0.0,
        "target_length": 0.0,
    }
    if modality == "audio":
        vision |= {
            "num_mel_bins": 16,
            "target_length": 40,
            "audio_sample_rate": 16000,
            "audio_mean": -4.2677393,
            "audio_std": 4.5689974,
        }
    kind = f"LanguageBind{modality.capitalize()}"
    return {"model_type": kind, "vision_config": vision, "projection_dim": 12}


def save_languagebind(folder: Path, modality: str, lora: bool) -> None:
    """Write random weights in LanguageBind's layout; with ``lora``, as peft keeps them."""
    from worldgpt_env.model.codecs.languagebind import LanguageBindVision

    torch.manual_seed(1)
    config = languagebind_config(modality)
    network = LanguageBindVision(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=max(parameter[0].numel(), 4) ** -0.5)
    tensors = {}
    for name, tensor in network.state_dict().items():
        if lora and ".encoder." in name:
            name = name.replace(".encoder.", ".encoder.base_model.model.")
        tensors[name] = tensor
        adapted = "temporal_attn.q_proj.weight" if modality == "video" else "attn.q_proj.weight"
        if lora and name.endswith(adapted):
            stem = name.removesuffix(".weight")
            tensors[f"{stem}.lora_A.default.weight"] = torch.randn(2, tensor.shape[1]) * 0.1
            tensors[f"{stem}.lora_B.default.weight"] = torch.randn(tensor.shape[0], 2) * 0.1
    tensors["logit_scale"] = torch.tensor(4.6)
    tensors["text_projection.weight"] = torch.zeros(12, 16)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
