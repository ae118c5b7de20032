"""The codecs: exact where they promise it, learning where they must, refusing the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from codec_samples import (
    AUDIO,
    IMAGE,
    SMALL,
    SPECS,
    TEXT,
    VECTOR,
    bursts,
    moving_squares,
    numbers,
    samples,
    train,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldgpt_env.model.codecs import FSQ, Codec, build_codec
from worldgpt_env.model.codecs.cells import CELL, cell_neighbours
from worldgpt_env.model.codecs.codec import check_collapse
from worldgpt_env.model.codecs.image import ImageCodec
from worldgpt_env.model.codecs.spectrum import Spectrum, mel_filters
from worldgpt_env.model.errors import CodecCollapseError, ConfigurationError
from worldgpt_env.model.modalities import AudioSpec, ImageSpec, Modality, ModalitySpec, TextSpec

every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)


@pytest.fixture(scope="module")
def image_codec() -> Codec:
    torch.manual_seed(0)
    codec = build_codec(IMAGE, SMALL)
    train(codec, moving_squares(600))
    return codec


@pytest.fixture(scope="module")
def audio_codec() -> Codec:
    torch.manual_seed(0)
    codec = build_codec(AUDIO, {"updates": 250})
    train(codec, bursts(600))
    return codec


# every codec ------------------------------------------------------------------------------------


@every_spec
def test_codes_observations_and_latents_have_the_promised_shapes(spec: ModalitySpec) -> None:
    codec, raw = build_codec(spec), samples(spec)
    codec.fit_statistics(raw)
    codes = codec.encode(raw)
    assert codes.shape == (40, codec.cells, codec.digits) and codes.dtype == torch.int64
    assert codec.cells == codec.grid[0] * codec.grid[1]
    assert int(codes.min()) >= 0 and int(codes.max()) < codec.levels
    decoded = codec.decode(codes)
    assert decoded.shape == raw.shape and decoded.dtype == raw.dtype
    latent = codec.latent(codes)
    assert latent.shape == (40, codec.latent_size) and latent.dtype == torch.float32
    assert -1 <= float(latent.min()) and float(latent.max()) <= 1
    assert isinstance(codec.modality, Modality)


@every_spec
def test_a_row_has_the_same_bits_in_any_batch(spec: ModalitySpec) -> None:
    codec, raw = build_codec(spec), samples(spec)
    codec.fit_statistics(raw)
    codec.eval()
    codes = codec.encode(raw)
    decoded = codec.decode(codes)
    for rows in (slice(0, 1), slice(3, 4), slice(39, 40), slice(5, 22)):
        assert torch.equal(codec.encode(raw[rows]), codes[rows])
        assert torch.equal(codec.decode(codes[rows]), decoded[rows])
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(codec.encode(raw[shuffled]), codes[shuffled])
    assert torch.equal(codec.decode(codes[shuffled]), decoded[shuffled])


@every_spec
def test_what_is_certain_has_the_latent_of_its_codes(spec: ModalitySpec) -> None:
    codec, raw = build_codec(spec), samples(spec)
    codec.fit_statistics(raw)
    draw = torch.Generator().manual_seed(0)
    shape = (40, codec.cells, codec.digits)
    for codes in (codec.encode(raw), torch.randint(0, codec.levels, shape, generator=draw)):
        certain = torch.nn.functional.one_hot(codes, codec.levels).float()  # (B, C, G, V)
        assert torch.equal(codec.expected_latent(certain), codec.latent(codes))


@every_spec
def test_what_is_uncertain_has_the_mean_latent(spec: ModalitySpec) -> None:
    codec, raw = build_codec(spec), samples(spec)
    codec.fit_statistics(raw)
    draw = torch.Generator().manual_seed(0)
    shape = (6, codec.cells, codec.digits, codec.levels)
    likely = torch.rand(shape, generator=draw).pow(4)
    likely = likely / likely.sum(-1, keepdim=True)
    together = codec.expected_latent(likely)
    assert together.shape == (6, codec.latent_size) and together.dtype == torch.float32
    for row in range(6):
        assert torch.equal(codec.expected_latent(likely[row : row + 1])[0], together[row])
    flat = likely.flatten(0, 2)  # (B C G, V)
    drawn = torch.multinomial(flat, 4000, replacement=True, generator=draw)  # (B C G, 4000)
    latents = torch.stack([codec.latent(codes) for codes in drawn.T.view(4000, *shape[:3])])
    if spec is TEXT:  # the sum over the slots is never less than the share of sentences
        assert bool((together >= latents.mean(0) - 0.05).all())
        assert float(together[:, 0].max()) == 0.0
    else:
        assert torch.allclose(together, latents.mean(0), atol=0.06)


@every_spec
def test_settings_and_weights_rebuild_a_codec(spec: ModalitySpec, tmp_path) -> None:
    torch.manual_seed(1)
    codec, raw = build_codec(spec), samples(spec)
    codec.fit_statistics(raw)
    save_file(codec.state_dict(), tmp_path / "codec.safetensors")
    torch.manual_seed(2)
    again = build_codec(spec, codec.to_json())
    again.load_state_dict(load_file(tmp_path / "codec.safetensors"))
    assert torch.equal(again.encode(raw), codec.encode(raw))
    assert torch.equal(again.decode(codec.encode(raw)), codec.decode(codec.encode(raw)))


@every_spec
def test_wrong_shapes_kinds_and_codes_are_refused(spec: ModalitySpec) -> None:
    codec, raw = build_codec(spec), samples(spec, 2)
    with pytest.raises(ConfigurationError, match="this codec reads"):
        codec.encode(raw[:, :1])
    with pytest.raises(ConfigurationError, match="this codec reads"):
        codec.encode(raw.double())
    codes = torch.zeros(2, codec.cells, codec.digits, dtype=torch.int64)
    with pytest.raises(ConfigurationError, match="this codec reads"):
        codec.decode(codes[:, :, 0])
    for wrong in (-1, codec.levels):
        with pytest.raises(ConfigurationError, match=f"levels 0 to {codec.levels - 1}"):
            codec.decode(codes + wrong)


def test_unknown_settings_and_specs_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        build_codec(IMAGE, {"colour": True})
    with pytest.raises(ConfigurationError, match="digits is 0"):
        build_codec(IMAGE, {"digits": 0})
    with pytest.raises(ConfigurationError, match="multiples of 16"):
        build_codec(ImageSpec(24, 32))
    with pytest.raises(ConfigurationError, match="no codec for str"):
        build_codec("image")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="nothing to train"):
        build_codec(TEXT)(samples(TEXT))


# quantisation -----------------------------------------------------------------------------------


def test_quantisation_passes_gradients_and_uses_every_level() -> None:
    quantise = FSQ(cells=3, digits=2, levels=5)
    features = torch.randn(400, 3, 2, requires_grad=True)
    values = quantise(features)
    assert set(values.detach().unique().tolist()) == {-1.0, -0.5, 0.0, 0.5, 1.0}
    (values * torch.randn(400, 3, 2)).sum().backward()
    assert features.grad is not None and float(features.grad.abs().mean()) > 0.01


def test_codes_in_use_are_the_values_of_training() -> None:
    quantise = FSQ(cells=3, digits=2, levels=4)
    features = torch.randn(500, 3, 2) * 7 + 3
    for _ in range(60):
        quantise(features)
    trained = quantise.eval()(features)
    assert torch.allclose(quantise.values(quantise.codes(features)), trained, atol=1e-6)
    shares = torch.bincount(quantise.codes(features).flatten()) / features.numel()
    assert float(shares.min()) > 0.1


def test_a_collapsed_codec_is_refused_and_a_static_world_is_not() -> None:
    raw = moving_squares(64)
    same = torch.zeros(64, 6, 8, dtype=torch.int64)
    with pytest.raises(CodecCollapseError, match="only 1 different codes"):
        check_collapse(Modality.IMAGE, raw, same)
    assert check_collapse(Modality.IMAGE, raw[:1].expand_as(raw), same)["distinct_codes"] == 1
    codec = build_codec(IMAGE, SMALL)
    codec.fit_statistics(raw)
    for parameter in codec.encoder.parameters():  # type: ignore[union-attr]
        torch.nn.init.zeros_(parameter)
    with pytest.raises(CodecCollapseError, match="more updates"):
        codec.health(raw)
    codec.health(raw[:1].expand_as(raw))


# images -----------------------------------------------------------------------------------------


def test_an_image_codec_learns_to_draw_what_moves(image_codec: Codec) -> None:
    health = image_codec.health(moving_squares(200, seed=1))
    assert health["foreground_error"] < 0.35 * health["foreground_error_of_median"]
    assert health["distinct_codes"] > 0.8 * health["distinct_observations"]


def test_the_square_is_drawn_where_it_is(image_codec: Codec) -> None:
    raw = moving_squares(100, seed=2)
    drawn = image_codec.decode(image_codec.encode(raw))

    def place(images: Tensor) -> Tensor:
        blue = (images[..., 2].float() - images[..., 0].float()).clamp(min=0)  # (B, 32, 48)
        return (blue.sum(1) * torch.arange(48)).sum(1) / blue.sum((1, 2)).clamp(min=1)  # (B,)

    assert float((place(drawn) - place(raw)).abs().median()) < 2.0


def test_the_digits_of_a_cell_depend_on_its_own_pixels_only(image_codec: Codec) -> None:
    raw = moving_squares(8)
    other = raw.clone()
    other[:, :CELL, :CELL] = 255 - other[:, :CELL, :CELL]
    changed = (image_codec.encode(raw) != image_codec.encode(other)).any(-1)  # (B, C)
    assert changed[:, 0].any() and not changed[:, 1:].any()


def test_an_image_is_cut_and_joined_without_loss() -> None:
    codec = build_codec(IMAGE)
    assert isinstance(codec, ImageCodec)
    raw = torch.randint(0, 256, (3, 32, 48, 3), dtype=torch.uint8)
    codec.median.copy_(codec._cut(raw[:1])[0])
    for parameter in codec.decoder.painter[-1].parameters():
        torch.nn.init.zeros_(parameter)  # draws nothing, so the median frame remains
    codes = torch.zeros(1, codec.cells, codec.digits, dtype=torch.int64)
    assert torch.equal(codec.decode(codes), raw[:1])


def test_rare_colours_weigh_most() -> None:
    codec, raw = build_codec(IMAGE), moving_squares(50)
    assert isinstance(codec, ImageCodec)
    codec.fit_statistics(raw)

    def weight(red: int, green: int, blue: int) -> float:
        return float(codec.colour_weight[(red >> 4 << 8) + (green >> 4 << 4) + (blue >> 4)])

    assert weight(20, 30, 250) > 1.5 * weight(120, 100, 80)
    assert weight(255, 255, 255) == codec.config.rarity_limit  # never seen


def test_neighbours_of_a_cell() -> None:
    neighbours = cell_neighbours(2, 3)
    assert neighbours[0].tolist() == [6, 6, 6, 6, 0, 1, 6, 3, 4]
    assert neighbours[4].tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 6]


# sound ------------------------------------------------------------------------------------------


def direction(sound: Tensor) -> Tensor:
    """The logarithm of left over right energy, ``(B,)``."""
    left, right = (sound.square().sum(1) + 1e-4).unbind(1)
    return (left / right).log()


def test_a_waveform_is_rebuilt_from_its_features_alone() -> None:
    spectrum, raw = Spectrum(AUDIO, 12, 24), bursts(30)
    features = spectrum.features(raw)
    rebuilt = spectrum.cut(spectrum.synthesise(features))
    assert rebuilt.shape == raw.shape and float(rebuilt.abs().max()) <= 1
    audible = features[:, 0] > -9
    assert float((spectrum.features(rebuilt) - features)[:, 0][audible].abs().mean()) < 0.5
    assert float((direction(rebuilt) - direction(raw)).abs().mean()) < 0.15
    loudness = (rebuilt.square().sum((1, 2)) / raw.square().sum((1, 2))).log()
    assert float(loudness.abs().mean()) < 0.3
    assert torch.equal(rebuilt, spectrum.cut(spectrum.synthesise(features)))


def test_silence_stays_silent() -> None:
    spectrum = Spectrum(AUDIO, 12, 24)
    silence = torch.zeros(2, 1260, 2)
    heard = spectrum.synthesise(spectrum.features(silence))
    assert float(heard.abs().max()) < 1 / 32768  # less than a step of 16-bit sound


def test_the_side_says_left_or_right_and_the_middle_how_loud() -> None:
    spectrum, sound = Spectrum(AUDIO, 12, 24), bursts(1)[:, :, :1]
    left = spectrum.features(torch.cat([sound, 0.1 * sound], 2))
    right = spectrum.features(torch.cat([0.1 * sound, sound], 2))
    assert torch.allclose(left[:, 0], right[:, 0], atol=1e-4)
    assert torch.allclose(left[:, 1], -right[:, 1], atol=1e-4)
    assert float(left[:, 1].max()) == pytest.approx(2 * math.log(10), rel=0.02)


@pytest.mark.parametrize("channels", [1, 3])
def test_other_numbers_of_channels(channels: int) -> None:
    codec = build_codec(AudioSpec(1000, channels, 8000))
    raw = torch.rand(20, 1000, channels) - 0.5
    codec.fit_statistics(raw)
    assert torch.isfinite(codec(raw).loss)
    assert codec.decode(codec.encode(raw)).shape == raw.shape
    codec.health(raw)


def test_an_audio_codec_keeps_the_burst_and_its_direction(audio_codec: Codec) -> None:
    raw = bursts(200, seed=1)
    health = audio_codec.health(raw)
    assert health["middle_error"] < 0.6 * health["middle_error_of_mean"]
    assert health["side_error"] < 0.6 * health["side_error_of_mean"]
    heard = audio_codec.decode(audio_codec.encode(raw))
    error = (direction(heard) - direction(raw)).abs().mean()
    assert float(error) < 0.4 * float(direction(raw).abs().mean())
    thirds = [sound.unflatten(1, (3, 420)).square().sum((2, 3)) for sound in (raw, heard)]
    assert float((thirds[0].argmax(1) == thirds[1].argmax(1)).float().mean()) > 0.8


def test_sound_that_is_no_sound_is_refused() -> None:
    codec, raw = build_codec(AUDIO), bursts(2)
    for wrong in (math.nan, math.inf, 3.0):
        raw[1, 7, 0] = wrong
        with pytest.raises(ConfigurationError, match=r"outside \[-1, 1\]"):
            codec.encode(raw)


def test_mel_filters_cover_the_frequencies() -> None:
    filters = mel_filters(129, 24, 11025)
    assert filters.shape == (24, 129) and float(filters.min()) >= 0
    assert float(filters.max(1).values.min()) > 0.4
    assert torch.allclose(filters.sum(0)[4:110], torch.ones(106), atol=0.35)


# words and numbers ------------------------------------------------------------------------------


def test_words_pass_unchanged_and_unknown_ids_are_refused() -> None:
    codec = build_codec(TEXT)
    ids = torch.tensor([[2, 3, 4, 0], [4, 4, 1, 0]])
    assert torch.equal(codec.decode(codec.encode(ids)), ids)
    assert codec.latent(codec.encode(ids)).tolist() == [[0, 0, 1, 1, 1], [0, 1, 0, 0, 1]]
    assert codec.health(ids)["unknown_words"] == pytest.approx(1 / 6)
    for wrong in (-1, len(TEXT.vocabulary)):
        with pytest.raises(ConfigurationError, match="TextSpec.encode"):
            codec.encode(torch.full((1, 4), wrong))


def test_counters_and_switches_are_exact() -> None:
    codec, raw = build_codec(VECTOR), numbers(102)
    codec.fit_statistics(raw)
    decoded = codec.decode(codec.encode(raw))
    assert torch.equal(decoded[:, :2], raw[:, :2])
    assert float((decoded[:, 2] - raw[:, 2]).abs().max()) <= 1.5 / 63 + 1e-6


def test_the_scale_of_a_number_follows_the_recording() -> None:
    codec, raw = build_codec(VECTOR), numbers(102)
    codec.fit_statistics(raw)
    assert codec.curved.tolist() == [False, False, False, True]
    decoded = codec.decode(codec.encode(raw))
    assert float((decoded[:, 3] / raw[:, 3]).log().abs().max()) < 0.1
    assert len(codec.encode(raw)[:, 3].unique()) == 6


def test_spare_bins_decode_to_the_upper_bound() -> None:
    codec = build_codec(VECTOR)
    top = torch.full((1, 4, 1), codec.levels - 1)
    assert torch.equal(codec.decode(top), codec.high[None])
    assert torch.equal(codec.latent(top), torch.ones(1, 4))


def test_numbers_outside_their_range_are_refused_but_not_their_rounding() -> None:
    codec = build_codec(VECTOR)
    bound = torch.tensor([VECTOR.high])
    assert torch.equal(codec.encode(bound + bound * 1e-6), codec.encode(bound))
    for wrong in (50.1, -1.0, math.nan, math.inf):
        raw = bound.clone()
        raw[0, 0] = wrong
        with pytest.raises(ConfigurationError, match="'ammo' is"):
            codec.encode(raw)


def test_a_policy_sees_the_order_of_words_where_it_matters() -> None:
    words = ["key", "ball", "left", "right"]
    sentences = ["key left ball right", "ball left key right", "key"]
    for ordered, distinct in ((False, 2), (True, 3)):
        spec = TextSpec.of(words, 5, ordered)
        codec = build_codec(spec)
        codes = codec.encode(torch.from_numpy(np.stack([spec.encode(s) for s in sentences])))
        latent = codec.latent(codes)
        assert latent.shape == (3, codec.latent_size) and len(latent.unique(dim=0)) == distinct
        assert latent.sum(1).tolist() == [4, 4, 1]  # empty slots are nothing
        certain = torch.nn.functional.one_hot(codes, codec.levels).float()  # (B, L, 1, V)
        assert torch.equal(codec.expected_latent(certain), latent)
