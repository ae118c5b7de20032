"""Decoders: tiny diffusion pipelines from folders, conditioned on states and on the present."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pretrained_pipelines
import pytest
import torch
from pretrained_parts import observations, save_encoders
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldgpt_env.model.codecs import build_codec
from worldgpt_env.model.decoders import (
    AudioDecoder,
    Condition,
    DecoderConfig,
    DecoderProjection,
    ImageDecoder,
    PipelineDecoder,
    VideoDecoder,
    train_projection,
)
from worldgpt_env.model.errors import CheckpointError, ConfigurationError
from worldgpt_env.model.external_weights import quiet
from worldgpt_env.model.modalities import AudioSpec, ImageSpec, VideoSpec

WIDTH = 12
IMAGE, VIDEO = ImageSpec(32, 48), VideoSpec(3, 32, 48)
MONO, STEREO = AudioSpec(1000, 1, 11025), AudioSpec(1000, 2, 11025)
KINDS: dict[str, tuple[str, type[PipelineDecoder], Any]] = {
    "image": ("stable_diffusion", ImageDecoder, IMAGE),
    "video": ("animatediff", VideoDecoder, VIDEO),
    "audioldm2": ("audioldm2", AudioDecoder, MONO),
    "stable-audio": ("stable_audio", AudioDecoder, STEREO),
}
SENTENCES = ["open red door", "wait", "left", "fire key"]


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny pipeline of each kind."""
    folder = tmp_path_factory.mktemp("pipelines")
    with quiet():
        for name, _, _ in KINDS.values():
            getattr(pretrained_pipelines, f"save_{name}")(folder / name)
    return folder


Open = Callable[..., Any]


@pytest.fixture(scope="session")
def opened(pipelines: Path) -> Open:
    """Return a decoder of a kind; the same one for the same settings."""
    found: dict[str, Any] = {}

    def open_decoder(kind: str, **changes: Any) -> Any:
        key = kind + json.dumps(changes)
        if key not in found:
            name, decoder, spec = KINDS[kind]
            settings = {"steps": 3, "strength": 0.7, "hidden": 32, "layers": 1, **changes}
            torch.manual_seed(0)
            config = DecoderConfig(str(pipelines / name / "pipeline"), WIDTH, **settings)
            found[key] = decoder(spec, config)
        return found[key]

    return open_decoder


def states(count: int, seed: int = 0) -> Tensor:
    """Return random unit vectors ``(count, 1, WIDTH)``."""
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 1, WIDTH, generator=draw), dim=-1)


def noise(seed: int) -> torch.Generator:
    """Return a generator."""
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_is_decided_by_state_generator_and_present(opened: Open, kind: str) -> None:
    decoder = opened(kind)
    tokens, spec = states(2), decoder.spec
    raw = decoder(tokens, generator=noise(1))
    assert tuple(raw.shape) == (2, *spec.shape)
    assert raw.dtype == observations(spec, 1).dtype
    assert bool(torch.isfinite(raw.float()).all())
    assert torch.equal(decoder(tokens, generator=noise(1)), raw)
    assert not torch.equal(decoder(tokens, generator=noise(2)), raw)
    assert torch.equal(decoder(tokens), decoder(tokens))  # without one, by the configured seed
    assert not torch.equal(decoder(states(2, 5), generator=noise(1)), raw)
    if kind != "audioldm2":
        one = decoder(tokens, observations(spec, 2), noise(1))
        assert tuple(one.shape) == (2, *spec.shape)
        assert torch.equal(decoder(tokens, observations(spec, 2), noise(1)), one)
        assert not torch.equal(decoder(tokens, observations(spec, 2, seed=9), noise(1)), one)
        assert not torch.equal(one, raw)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_its_neighbours(opened: Open, kind: str) -> None:
    decoder = opened(kind)
    tokens = states(3)
    all_rows = decoder(tokens).float()
    alone = decoder(tokens[1:2]).float()
    scale = 255 if kind in ("image", "video") else 1
    assert float((all_rows[1:2] - alone).abs().max()) <= 0.01 * scale


@pytest.mark.parametrize("kind", ["image", "video"])
def test_a_weak_start_stays_with_the_present(opened: Open, kind: str) -> None:
    """The autoencoder is random, so its own picture of the present is what must be come back to."""
    tokens = states(2)
    near, far = opened(kind, strength=0.34), opened(kind, strength=1.0)
    present, other = (observations(near.spec, 2, seed=n).float() for n in (1, 2))

    def moved(decoder: Any) -> float:
        ones = decoder(tokens, present.to(torch.uint8)).float()
        others = decoder(tokens, other.to(torch.uint8)).float()
        return float((ones - others).abs().mean())

    assert moved(near) > 1.5 * moved(far)


def test_less_strength_starts_stable_audio_nearer_to_the_sound(opened: Open) -> None:
    tokens = states(2)
    ones, others = observations(STEREO, 2, seed=1), observations(STEREO, 2, seed=2)

    def moved(strength: float) -> float:
        decoder = opened("stable-audio", strength=strength)
        return float((decoder(tokens, ones) - decoder(tokens, others)).abs().mean())

    assert moved(0.34) > 1.5 * moved(1.0)


def test_audioldm2_says_that_it_cannot_start_from_a_sound(opened: Open) -> None:
    with pytest.raises(ConfigurationError, match="cannot start from a sound"):
        opened("audioldm2")(states(1), observations(MONO, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_described_is_what_the_pipeline_hears(opened: Open, kind: str) -> None:
    """The pipeline run on a prompt, and run on what ``describe`` gives, are one and the same."""
    decoder = opened(kind, guidance=1.0)
    described = decoder.describe(SENTENCES)
    conditions = decoder.conditions()
    assert {c.name for c in conditions} <= set(described)
    for condition in conditions:
        shape = (len(SENTENCES), condition.length, condition.width)
        assert tuple(described[condition.name].shape) == shape
    settings = {"num_inference_steps": 2, "guidance_scale": 1.0, "output_type": "pt"}
    if kind == "video":
        settings["num_frames"] = 2
    if kind == "audioldm2":
        settings["audio_length_in_s"] = 0.05
    for row in (0, 1):
        one = {n: t[row : row + 1] for n, t in described.items()}
        prompted = decoder.pipeline([SENTENCES[row]], **settings, generator=noise(0))
        conditioned = decoder.pipeline(**one, **settings, generator=noise(0))
        found, wanted = (next(iter(output.values())) for output in (conditioned, prompted))
        torch.testing.assert_close(
            torch.as_tensor(found), torch.as_tensor(wanted), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize("kind", KINDS)
def test_the_projection_learns_what_descriptions_say(opened: Open, kind: str) -> None:
    decoder = opened(kind, seed=1)
    tokens, targets = states(4), decoder.describe(SENTENCES)
    assert torch.equal(decoder.loss(tokens, SENTENCES), decoder.projection.loss(tokens, targets))
    before = {n: p.clone() for n, p in decoder.pipeline.components["vae"].named_parameters()}
    losses = train_projection(decoder.projection, tokens, targets, updates=150, learning_rate=3e-3)
    assert len(losses) == 150
    found = decoder.projection.conditions_of(tokens)
    for condition in decoder.conditions():
        mask = (
            targets[condition.mask]
            if condition.mask
            else torch.ones(targets[condition.name].shape[:2])
        )
        if condition.mask:
            assert torch.equal(found[condition.mask], targets[condition.mask])
        target, kept = targets[condition.name], mask.bool()
        error = (found[condition.name] - target)[kept].square().mean()
        spread = (target - target.mean(0))[kept].square().mean()
        assert float(error) < 0.2 * float(spread)  # 1.0 is what the best constant reaches
    after = decoder.pipeline.components["vae"].named_parameters()
    assert all(torch.equal(before[n], p) and not p.requires_grad for n, p in after)


def test_the_loss_counts_tokens_that_are_there() -> None:
    torch.manual_seed(0)
    projection = DecoderProjection(3, [Condition("words", 2, 4, "seen")], hidden=32, layers=1)
    tokens = torch.randn(2, 1, 3)
    found = {name: t.detach() for name, t in projection(tokens).items()}
    seen = torch.tensor([[1, 0], [1, 1]])
    target = found["words"].clone()
    target[0, 1] += 100  # where nothing is seen
    target[1, 1] += 3
    expected = torch.nn.functional.binary_cross_entropy_with_logits(found["seen"], seen.float())
    loss = projection.loss(tokens, {"words": target, "seen": seen})
    torch.testing.assert_close(loss.detach(), expected + 9 / 3)


@pytest.mark.parametrize("kind", ["image", "audioldm2"])
def test_saved_and_loaded_again(opened: Open, pipelines: Path, tmp_path: Path, kind: str) -> None:
    decoder = opened(kind)
    tokens = states(2)
    decoder.save(tmp_path / "decoder")
    again = type(decoder).load(tmp_path / "decoder", decoder.spec)
    assert again.config == decoder.config and len(again.config.sha256) == 64
    assert torch.equal(again(tokens), decoder(tokens))
    weights = sum(f.stat().st_size for f in (tmp_path / "decoder").iterdir())
    assert weights < 400_000  # the projection alone, not the pipeline


def test_another_pipeline_than_in_training_is_refused(opened: Open, tmp_path: Path) -> None:
    decoder = opened("image")
    copy = tmp_path / "pipeline"
    shutil.copytree(decoder.config.path, copy)
    file = copy / "unet/diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_in.bias"][0] += 1
    save_file(weights, file, metadata={"format": "pt"})
    fields = {"path": str(copy), "sha256": decoder.config.sha256}
    with pytest.raises(CheckpointError, match="not those that this model was trained with"):
        ImageDecoder(IMAGE, DecoderConfig(width=WIDTH, **fields))


def test_stable_diffusion_with_a_motion_adapter_by_itself(pipelines: Path, opened: Open) -> None:
    settings = {"steps": 3, "strength": 0.7, "hidden": 32, "layers": 1}
    torch.manual_seed(0)
    path = str(pipelines / "stable_diffusion/pipeline")
    adapter = str(pipelines / "animatediff/adapter")
    config = DecoderConfig(path, WIDTH, motion_adapter=adapter, **settings)
    decoder = VideoDecoder(VIDEO, config)
    assert decoder(states(1)).shape == (1, *VIDEO.shape)


def test_a_codec_decodes_through_it(opened: Open, tmp_path: Path) -> None:
    save_encoders(tmp_path)
    codec: Any = build_codec(IMAGE, {"encoder": "clip", "path": str(tmp_path / "clip")})
    codec.attach(opened("image"))
    raw = observations(IMAGE, 2)
    state = codec.encode(raw)
    assert codec.decode(state).shape == raw.shape
    assert not torch.equal(codec.decode(state, raw), codec.decode(state))
    assert not [name for name in codec.state_dict() if "projection" in name]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("image", {"path": "nowhere"}, "no pipeline can be loaded"),
        ("image", {"path": "stable_audio/pipeline"}, "this decoder runs StableDiffusion"),
        ("video", {"path": "stable_diffusion/pipeline"}, "this decoder runs AnimateDiff"),
        ("video", {"motion_adapter": "nowhere"}, "no motion adapter"),
        ("image", {"strength": 0.0}, "denoise nothing"),
        ("image", {"steps": 2, "strength": 0.3}, "denoise nothing"),
        ("image", {"guidance": 0.5}, "a number from 1 to"),
        ("image", {"hidden": 33}, "multiple of 32"),
    ],
)
def test_what_cannot_be_is_refused(
    pipelines: Path, kind: str, changes: dict[str, Any], message: str
) -> None:
    name, decoder, spec = KINDS[kind]
    fields = {"width": WIDTH, **changes}
    fields["path"] = str(pipelines / changes.get("path", f"{name}/pipeline"))
    with pytest.raises(ConfigurationError, match=message):
        decoder(spec, DecoderConfig(**fields))


def test_the_present_has_the_shape_of_the_world(opened: Open) -> None:
    with pytest.raises(ConfigurationError, match="the present observations are"):
        opened("image")(states(2), observations(IMAGE, 1))
    with pytest.raises(ConfigurationError, match="decoders make 1 or 2"):
        AudioDecoder(AudioSpec(1000, 3, 8000), DecoderConfig("nowhere", WIDTH))
