"""Codecs over pretrained encoders: frozen, unit length, prepared as published, saved by hash."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from pretrained_parts import AUDIO, IMAGE, SIZES, TEXT, VIDEO, observations, save_encoders
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldgpt_env.model import WorldGPT, WorldGPTConfig
from worldgpt_env.model.batch import Batch
from worldgpt_env.model.codecs import Codec, build_codec
from worldgpt_env.model.codecs.preparation import Picture, resample, sample_frames
from worldgpt_env.model.codecs.pretrained import PretrainedCodec
from worldgpt_env.model.errors import (
    CheckpointError,
    CodecCollapseError,
    ConfigurationError,
    MissingHeadError,
)
from worldgpt_env.model.external_weights import state_of
from worldgpt_env.model.modalities import (
    ActionSpec,
    AudioSpec,
    ImageSpec,
    Modality,
    VectorSpec,
    specs_to_json,
)
from worldgpt_env.model.paper import paper_settings

CASES = [
    (IMAGE, "clip", "pooled", (1, 12)),
    (IMAGE, "clip", "patches", (16, 16)),
    (IMAGE, "siglip", "pooled", (1, 16)),
    (IMAGE, "siglip", "patches", (16, 16)),
    (IMAGE, "dinov2", "pooled", (1, 16)),
    (IMAGE, "dinov2", "patches", (16, 16)),
    (VIDEO, "clip", "pooled", (1, 12)),
    (VIDEO, "siglip", "patches", (16, 16)),
    (VIDEO, "dinov2", "pooled", (1, 16)),
    (VIDEO, "vjepa2", "pooled", (1, 24)),
    (VIDEO, "vjepa2", "patches", (8, 24)),
    (AUDIO, "clap", "pooled", (1, 12)),
    (AUDIO, "clap", "patches", (64, 16)),
    (TEXT, "clip", "pooled", (1, 12)),
    (TEXT, "siglip", "pooled", (1, 16)),
    (TEXT, "clap", "pooled", (1, 12)),
]
IDS = [f"{type(s).__name__}-{e}-{t}" for s, e, t, _ in CASES]


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny clip, siglip, dinov2, vjepa2 and clap."""
    folder = tmp_path_factory.mktemp("encoders")
    save_encoders(folder)
    return folder


def build(encoders: Path, spec: Any, encoder: str, **settings: Any) -> PretrainedCodec:
    """Return a codec over one of the tiny encoders."""
    codec = build_codec(spec, {"encoder": encoder, "path": str(encoders / encoder), **settings})
    assert isinstance(codec, PretrainedCodec)
    return codec


@pytest.mark.parametrize(("spec", "encoder", "tokens", "shape"), CASES, ids=IDS)
def test_states_are_unit_vectors_of_their_row_alone(
    encoders: Path, spec: Any, encoder: str, tokens: str, shape: tuple[int, int]
) -> None:
    codec = build(encoders, spec, encoder, tokens=tokens)
    raw = observations(spec, 5)
    state = codec.encode(raw)
    assert codec.continuous and codec.levels == 0
    assert (codec.cells, codec.digits) == shape and codec.latent_size == shape[0] * shape[1]
    assert state.shape == (5, *shape) and state.dtype == torch.float32
    torch.testing.assert_close(state.norm(dim=-1), torch.ones(5, shape[0]))
    assert torch.equal(codec.encode(raw[2:3]), state[2:3])  # bits do not depend on neighbours
    assert len(torch.unique(state.flatten(1), dim=0)) == 5
    assert codec.latent(state).shape == (5, codec.latent_size)
    assert codec.encode(raw[:0]).shape == (0, *shape)


def test_vectors_are_those_of_transformers_without_the_temperature(encoders: Path) -> None:
    raw = observations(IMAGE, 3)
    clip = transformers.CLIPModel.from_pretrained(encoders / "clip").eval()
    pixels = Picture.of(json.loads((encoders / "clip/preprocessor_config.json").read_text()))(raw)
    with torch.no_grad():
        vectors = clip.get_image_features(pixel_values=pixels).pooler_output
    expected = torch.nn.functional.normalize(vectors, dim=-1)
    torch.testing.assert_close(build(encoders, IMAGE, "clip").encode(raw)[:, 0], expected)


def test_sentences_are_read_as_transformers_reads_them(encoders: Path) -> None:
    codec = build(encoders, TEXT, "clip")
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoders / "clip")
    clip = transformers.CLIPModel.from_pretrained(encoders / "clip").eval()
    sentences = ["open red door", "wait"]
    inputs = tokenizer(sentences, padding="max_length", max_length=16, return_tensors="pt")
    with torch.no_grad():
        vectors = clip.get_text_features(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
        ).pooler_output
    raw = torch.from_numpy(np.stack([TEXT.encode(s) for s in sentences]))
    expected = torch.nn.functional.normalize(vectors, dim=-1)
    torch.testing.assert_close(codec.encode(raw)[:, 0], expected)


def test_a_video_of_one_picture_is_that_picture(encoders: Path) -> None:
    image = observations(IMAGE, 2)
    still = image[:, None].expand(-1, VIDEO.frames, -1, -1, -1)
    of_video = build(encoders, VIDEO, "clip").encode(still)
    torch.testing.assert_close(of_video, build(encoders, IMAGE, "clip").encode(image))


@pytest.mark.parametrize("size", [(40, 64), (200, 120)])
def test_pictures_are_prepared_as_transformers_does(size: tuple[int, int]) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    settings = {"size": {"shortest_edge": 56}, "crop_size": {"height": 48, "width": 48}}
    theirs = CLIPImageProcessorPil(**settings)
    raw = observations(ImageSpec(*size), 2)
    expected = theirs(images=list(raw.numpy()), return_tensors="pt")["pixel_values"]
    ours = Picture.of(theirs.to_dict())(raw)
    assert ours.shape == expected.shape == (2, 3, 48, 48)
    assert float((ours - expected).abs().max()) < 1.01 / 255 / 0.26  # one level of 255
    assert float((ours - expected).abs().mean()) < 0.1 / 255 / 0.26


def test_a_tone_keeps_its_pitch_when_resampled() -> None:
    time = torch.arange(4000) / 11025
    for target in (8000, 16000, 48000):
        tone = resample(torch.sin(2 * torch.pi * 440 * time)[None], 11025, target)
        assert tone.shape[1] == -(-4000 * target // 11025)
        clean = torch.sin(2 * torch.pi * 440 * torch.arange(tone.shape[1]) / target)
        middle = slice(200, -200)
        assert float((tone[0] - clean)[middle].abs().max()) < 0.01
    high = torch.sin(2 * torch.pi * 5000 * time)[None]
    assert float(resample(high, 11025, 8000)[0, 200:-200].abs().max()) < 0.02  # above half the rate


def test_frames_are_spread_over_the_clip() -> None:
    clip = torch.arange(7)[None]
    assert sample_frames(clip, 4).tolist() == [[0, 2, 4, 6]]
    assert sample_frames(clip[:, :2], 4).tolist() == [[0, 0, 0, 1]]


def test_training_leaves_the_encoder_as_it_was(encoders: Path) -> None:
    codec = build(encoders, IMAGE, "clip")
    model = torch.nn.ModuleDict({"codec": codec, "head": torch.nn.Linear(12, 12)})
    before = state_of(codec)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    raw = observations(IMAGE, 4)
    model.train()
    for _ in range(3):
        loss = model["head"](codec.encode(raw)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert not [name for name, p in codec.named_parameters() if p.requires_grad]
    assert not any(module.training for module in codec.encoder.modules())
    after = state_of(codec)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("spec", "encoder"), [(IMAGE, "clip"), (AUDIO, "clap"), (TEXT, "siglip"), (VIDEO, "vjepa2")]
)
def test_saved_by_reference_or_embedded(
    encoders: Path, tmp_path: Path, spec: Any, encoder: str
) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(encoders / encoder, folder)
    raw = observations(spec, 2)
    for embedded in (False, True):
        settings = {"encoder": encoder, "path": str(folder), "embed_weights": embedded}
        codec = build_codec(spec, settings)
        saved = json.loads(json.dumps(codec.to_json()))
        tensors = codec.state_dict()
        assert bool(tensors) is embedded
        save_file({n: t.contiguous() for n, t in tensors.items()}, tmp_path / "codec.safetensors")
        if embedded:
            folder.rename(tmp_path / "gone")
        again = build_codec(spec, saved)
        again.load_state_dict(load_file(tmp_path / "codec.safetensors"), strict=True)
        assert torch.equal(again.encode(raw), codec.encode(raw))


def test_other_weights_than_in_training_are_refused(encoders: Path, tmp_path: Path) -> None:
    shutil.copytree(encoders / "clip", tmp_path / "clip")
    saved = build_codec(IMAGE, {"encoder": "clip", "path": str(tmp_path / "clip")}).to_json()
    weights = load_file(tmp_path / "clip/model.safetensors")
    weights["visual_projection.weight"][0, 0] += 1
    save_file(weights, tmp_path / "clip/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="not those that this model was trained with"):
        build_codec(IMAGE, saved)


def test_decoding_needs_a_decoder(encoders: Path) -> None:
    codec = build(encoders, IMAGE, "clip")
    state = codec.encode(observations(IMAGE, 2))
    with pytest.raises(MissingHeadError, match="attach a decoder"):
        codec.decode(state)

    def grey(tokens: Tensor, previous: Tensor | None = None) -> Tensor:
        return torch.full((len(tokens), *IMAGE.shape), 7, dtype=torch.uint8)

    codec.attach(grey)
    assert codec.decode(state).shape == (2, *IMAGE.shape)
    with pytest.raises(ConfigurationError, match="NaN"):
        codec.decode(state * torch.nan)
    with pytest.raises(ConfigurationError, match=r"reads \(B, 1, 12\)"):
        codec.decode(state[..., :3])


def test_health_counts_and_refuses_a_collapse(encoders: Path) -> None:
    codec: Codec = build(encoders, IMAGE, "clip")
    figures = codec.health(observations(IMAGE, 12))
    assert figures["distinct_codes"] == figures["distinct_observations"] == 12
    assert -1 <= figures["mean_cosine"] < 1
    for parameter in codec.parameters():
        parameter.data.zero_()
    with pytest.raises(CodecCollapseError):
        codec.health(observations(IMAGE, 12))


@pytest.mark.parametrize(
    ("spec", "settings", "message"),
    [
        (IMAGE, {"encoder": "clap"}, "no encoder 'clap' for ImageSpec"),
        (VectorSpec(("a",), (0,), (1,)), {"encoder": "clip"}, "no encoder 'clip' for VectorSpec"),
        (IMAGE, {"encoder": "clip", "tokens": "all"}, "use 'pooled' or 'patches'"),
        (TEXT, {"encoder": "clip", "tokens": "patches"}, "a sentence is one vector"),
        (IMAGE, {"encoder": "dinov2", "path": "clip"}, "lacks .* weights of Dinov2Model"),
        (IMAGE, {"encoder": "clip", "path": "nowhere"}, "no CLIPVisionModelWithProjection"),
        (AudioSpec(30000, 1, 8000), {"encoder": "clap"}, "would cut it at random"),
        (IMAGE, {"encoder": "clip", "size": 3}, "do not fit"),
    ],
)
def test_what_cannot_be_is_refused(
    encoders: Path, spec: Any, settings: dict[str, Any], message: str
) -> None:
    path = str(encoders / settings.get("path", settings["encoder"]))
    with pytest.raises(ConfigurationError, match=message):
        build_codec(spec, settings | {"path": path})


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny Llama."""
    folder = tmp_path_factory.mktemp("language") / "llama"
    torch.manual_seed(0)
    sizes = {**SIZES, "hidden_size": 32, "vocab_size": 32, "max_position_embeddings": 512}
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("embedded", [False, True])
def test_the_model_of_the_paper(
    encoders: Path, language_model: str, tmp_path: Path, embedded: bool
) -> None:
    """Built from names, trained, saved and loaded: only LoRA and the parts around it changed."""
    specs = {Modality.IMAGE: IMAGE, Modality.VIDEO: VIDEO, Modality.AUDIO: AUDIO}
    sources = {
        Modality.IMAGE: ("clip", str(encoders / "clip")),
        Modality.VIDEO: ("clip", str(encoders / "clip")),
        Modality.AUDIO: ("clap", str(encoders / "clap")),
    }
    action = ActionSpec("discrete", (3,))
    fields = paper_settings(language_model, sources, embed_weights=embedded)
    config = WorldGPTConfig(
        modalities=specs_to_json(specs), action=dataclasses.asdict(action), **fields
    )
    torch.manual_seed(0)
    model = WorldGPT(config)
    assert model.dynamics.tokens.counts == tuple((m, 1) for m in specs)
    assert {model.dynamics.tokens.signals(m) for m in specs} == {16}
    lora = model.dynamics.backbone.trainable
    assert len(lora) == 2 * 4 * 2 and model.dynamics.backbone.hidden == 32
    raw = {m: observations(spec, 5) for m, spec in specs.items()}
    state = {m: codes.view(1, 5, 1, -1) for m, codes in model.encode(raw).items()}
    batch = Batch(
        state,
        torch.zeros(1, 4, dtype=torch.int64),
        torch.zeros(1, 4),
        torch.zeros(1, 4),
        torch.ones(1, 4),
    )
    before = state_of(model)
    optimizer = torch.optim.AdamW(model.dynamics_parameters(), lr=0.01)
    model.train()
    for _ in range(2):
        optimizer.zero_grad()
        model(batch).loss.backward()
        optimizer.step()
    model.eval()
    changed = {n for n, t in state_of(model).items() if not torch.equal(t, before[n])}
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen and not changed & frozen
    own = "dynamics.backbone."
    assert {n for n in changed if n.startswith(own)} == {own + n for n in lora}
    model.save_pretrained(tmp_path / "world")
    saved = load_file(tmp_path / "world/model.safetensors")
    assert bool(set(saved) & frozen) is embedded
    again = WorldGPT.from_pretrained(tmp_path / "world")
    present = {m: codes[0, :2] for m, codes in state.items()}
    one, two = (w.predict(present, torch.tensor([0, 2])) for w in (model, again))
    for modality in specs:
        torch.testing.assert_close(
            one.state[modality].norm(dim=-1), torch.ones(2, 1), atol=1e-4, rtol=0
        )
        assert torch.equal(one.state[modality], two.state[modality])


def test_the_paper_needs_an_encoder(language_model: str) -> None:
    with pytest.raises(ConfigurationError, match="name one for a modality"):
        paper_settings(language_model, {})
