"""LanguageBind's encoders: CLIP where there is no time, the arithmetic written out elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from pretrained_parts import (
    AUDIO,
    IMAGE,
    TEXT,
    VIDEO,
    languagebind_config,
    observations,
    save_languagebind,
)
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from worldgpt_env.model.codecs import build_codec
from worldgpt_env.model.codecs.languagebind import EncoderBlock, LanguageBindTower
from worldgpt_env.model.codecs.preparation import filter_bank, log_mel
from worldgpt_env.model.codecs.pretrained import PretrainedCodec
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import AudioSpec

SPECS = {"image": IMAGE, "video": VIDEO, "audio": AUDIO}


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with image, video, audio and the same with LoRA beside the weights."""
    folder = tmp_path_factory.mktemp("languagebind")
    for modality in SPECS:
        save_languagebind(folder / modality, modality, lora=False)
        save_languagebind(folder / f"{modality}-lora", modality, lora=True)
    return folder


def build(weights: Path, name: str, **settings: Any) -> PretrainedCodec:
    """Return the codec over the weights ``name``."""
    path = str(weights / name)
    spec = SPECS[name.removesuffix("-lora")]
    codec = build_codec(spec, {"encoder": "languagebind", "path": path, **settings})
    assert isinstance(codec, PretrainedCodec)
    return codec


@pytest.mark.parametrize("name", ["image", "video", "audio", "image-lora", "video-lora"])
@pytest.mark.parametrize("tokens", ["pooled", "patches"])
def test_states_are_unit_vectors_of_their_row_alone(weights: Path, name: str, tokens: str) -> None:
    codec = build(weights, name, tokens=tokens)
    raw = observations(codec.spec, 5)
    state = codec.encode(raw)
    places = 10 if name == "audio" else 16  # 16 x 40 mel picture, 32 x 32 frames, patches of 8
    assert state.shape == ((5, 1, 12) if tokens == "pooled" else (5, places, 16))
    torch.testing.assert_close(state.norm(dim=-1), torch.ones(state.shape[:2]))
    assert torch.equal(codec.encode(raw[2:3]), state[2:3])
    assert len(torch.unique(state.flatten(1), dim=0)) == 5
    assert not [n for n, p in codec.named_parameters() if p.requires_grad]


def test_without_time_it_is_clip(weights: Path) -> None:
    codec = build(weights, "image")
    config = languagebind_config("image")
    vision = {k: v for k, v in config["vision_config"].items() if not k.startswith("num_mel")}
    clip = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**vision, projection_dim=12)
    ).eval()
    names = ("vision_model.", "visual_projection.")
    tensors = load_file(weights / "image/model.safetensors")
    clip.load_state_dict({n: t for n, t in tensors.items() if n.startswith(names)})
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network = codec.encoder.tower.network
        torch.testing.assert_close(
            network(pixels[:, None])[0], clip(pixels).image_embeds, atol=1e-5, rtol=1e-5
        )


def attend(layer: torch.nn.Module, x: Tensor, heads: int) -> Tensor:
    """Return attention between the rows of ``x`` ``(N, D)``, head by head."""
    q, k, v = layer.q_proj(x), layer.k_proj(x), layer.v_proj(x)
    size = x.shape[1] // heads
    parts = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        weight = (q[:, part] @ k[:, part].T / size**0.5).softmax(-1)
        parts.append(weight @ v[:, part])
    return layer.out_proj(torch.cat(parts, 1))


@torch.no_grad()
def test_time_is_attended_place_by_place() -> None:
    torch.manual_seed(3)
    block = EncoderBlock(languagebind_config("video")["vision_config"])
    torch.nn.init.normal_(block.temporal_embedding)
    rows, frames, places = 2, 4, 5
    x = torch.randn(rows * frames, places, 16)
    expected = x.clone().view(rows, frames, places, 16)
    for row in range(rows):
        for place in range(places):
            line = expected[row, :, place] + block.temporal_embedding[0]
            expected[row, :, place] = line + attend(
                block.temporal_attn, block.temporal_layer_norm1(line), 2
            )
        for frame in range(frames):
            own = expected[row, frame].clone()
            own = own + attend(block.self_attn, block.layer_norm1(own), 2)
            inner = torch.nn.functional.gelu(block.mlp["fc1"](block.layer_norm2(own)))
            expected[row, frame] = own + block.mlp["fc2"](inner)
    torch.testing.assert_close(block(x).view_as(expected), expected, atol=1e-5, rtol=1e-5)


def test_the_order_of_frames_counts(weights: Path) -> None:
    codec = build(weights, "video")
    raw = observations(VIDEO, 2)
    assert float((codec.encode(raw) - codec.encode(raw.flip(1))).abs().max()) > 1e-3


def test_lora_is_added_up(weights: Path) -> None:
    tensors = load_file(weights / "video-lora/model.safetensors")
    stem = "vision_model.encoder.{}layers.1.temporal_attn.q_proj"
    theirs = stem.format("base_model.model.")
    low, high = (
        tensors[f"{theirs}.lora_A.default.weight"],
        tensors[f"{theirs}.lora_B.default.weight"],
    )
    expected = tensors[f"{theirs}.weight"] + 16 / 2 * high @ low
    found = build(weights, "video-lora").encoder.tower.network.state_dict()
    assert torch.equal(found[stem.format("") + ".weight"], expected)
    plain = build(weights, "video").encode(observations(VIDEO, 2))
    assert not torch.allclose(build(weights, "video-lora").encode(observations(VIDEO, 2)), plain)


def test_newer_peft_names_its_weights_otherwise(weights: Path, tmp_path: Path) -> None:
    tensors = load_file(weights / "image-lora/model.safetensors")
    adapted = {n.removesuffix(".lora_A.default.weight") for n in tensors if "lora_A" in n}
    renamed = {
        n.replace(".weight", ".base_layer.weight") if n.removesuffix(".weight") in adapted else n: t
        for n, t in tensors.items()
    }
    assert renamed.keys() != tensors.keys()
    (tmp_path / "config.json").write_text(json.dumps(languagebind_config("image")))
    save_file(renamed, tmp_path / "model.safetensors")
    raw = observations(IMAGE, 2)
    state = build_codec(IMAGE, {"encoder": "languagebind", "path": str(tmp_path)}).encode(raw)
    assert torch.equal(state, build(weights, "image-lora").encode(raw))


def test_log_mel_is_kaldis() -> None:
    sound = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0)) * 0.1
    filters = mel_filter_bank(
        257, 16, 20, 8000, 16000, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    ours = log_mel(sound, filter_bank(16000, 16), 16000)
    for row in range(2):
        theirs = spectrogram(
            sound[row].numpy(),
            window_function(400, "hann", periodic=False),
            frame_length=400,
            hop_length=160,
            fft_length=512,
            power=2.0,
            center=False,
            preemphasis=0.97,
            mel_filters=filters,
            log_mel="log",
            mel_floor=1.192092955078125e-07,
            remove_dc_offset=True,
        ).T
        np.testing.assert_allclose(ours[row].numpy(), theirs, atol=2e-4)


def test_sounds_become_three_pictures(weights: Path) -> None:
    path, settings = str(weights / "audio"), {"bands": 16, "frames": 40}

    def tower(spec: AudioSpec) -> LanguageBindTower:
        found = LanguageBindTower.open("languagebind", path, spec, {}, True)
        assert isinstance(found, LanguageBindTower)
        assert settings.items() <= found.recipe.items()
        return found

    short = AudioSpec(1000, 1, 16000)
    views = tower(short).melody(observations(short, 2))
    assert views.shape == (2, 3, 16, 40)
    assert torch.equal(views[:, 0], views[:, 1]) and torch.equal(views[:, 0], views[:, 2])
    long = AudioSpec(16000, 1, 16000)
    views = tower(long).melody(observations(long, 2))
    assert views.shape == (2, 3, 16, 40)
    assert not torch.allclose(views[:, 0], views[:, 1])
    assert not torch.allclose(views[:, 1], views[:, 2])


def test_saved_by_reference_or_embedded(weights: Path) -> None:
    for name in ("video", "audio"):
        codec = build(weights, name, embed_weights=True)
        saved = json.loads(json.dumps(codec.to_json())) | {"path": "gone"}
        again = build_codec(codec.spec, saved)
        again.load_state_dict(codec.state_dict(), strict=True)
        raw = observations(codec.spec, 2)
        assert torch.equal(again.encode(raw), codec.encode(raw))
        assert not build(weights, name).state_dict()


def test_what_cannot_be_is_refused(weights: Path, tmp_path: Path) -> None:
    def refused(spec: Any, path: Path, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            build_codec(spec, {"encoder": "languagebind", "path": str(path)})

    refused(IMAGE, weights / "audio", "are for sound, not for ImageSpec")
    refused(AUDIO, weights / "image", "are for pictures, not for AudioSpec")
    refused(TEXT, weights / "image", "no encoder 'languagebind' for TextSpec")
    (tmp_path / "config.json").write_text(json.dumps(languagebind_config("image")))
    refused(IMAGE, tmp_path, "no model.safetensors")
    refused(IMAGE, tmp_path / "nowhere", "config.json|no folder")
    save_file({"visual_projection.weight": torch.zeros(12, 16)}, tmp_path / "model.safetensors")
    refused(IMAGE, tmp_path, "lacks")
