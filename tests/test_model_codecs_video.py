"""The video codec: it keeps what moves, cell by cell, and refuses what is no video."""

from __future__ import annotations

import pytest
import torch
from codec_samples import SMALL, VIDEO, moving_clips, train
from torch import Tensor

from worldgpt_env.model.codecs import Codec, VideoCodec, build_codec
from worldgpt_env.model.codecs.cells import CELL
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality, VideoSpec, specs_from_json, specs_to_json


@pytest.fixture(scope="module")
def codec() -> Codec:
    torch.manual_seed(0)
    codec = build_codec(VIDEO, SMALL | {"updates": 250})
    train(codec, moving_clips(600))
    return codec


def places(clips: Tensor) -> Tensor:
    """Where the blue square is, column by frame, ``(B, frames)``."""
    blue = (clips[..., 2].float() - clips[..., 0].float()).clamp(min=0)  # (B, F, 32, 48)
    return (blue.sum(2) * torch.arange(48)).sum(2) / blue.sum((2, 3)).clamp(min=1)


def test_the_square_is_drawn_where_it_is_in_every_frame(codec: Codec) -> None:
    raw = moving_clips(100, seed=2)
    seen, drawn = places(raw), places(codec.decode(codec.encode(raw)))
    assert float((drawn - seen).abs().median()) < 2.0
    moved, drawn_moved = (place[:, 2] - place[:, 0] for place in (seen, drawn))
    assert float((moved.sign() == drawn_moved.sign()).float().mean()) > 0.95


def test_health_tells_motion_from_a_still(codec: Codec) -> None:
    raw = moving_clips(200, seed=1)
    health = codec.health(raw)
    assert health["motion_error"] < 0.4 * health["motion_error_of_still"]
    assert health["foreground_error"] < 0.4 * health["foreground_error_of_median"]
    assert isinstance(codec, VideoCodec)
    still = raw[:, -1:].expand_as(raw).contiguous()
    errors = codec.errors(raw, still)
    assert errors["motion_error"] == errors["motion_error_of_still"] > 0
    assert codec.errors(raw, raw)["motion_error"] == 0
    assert codec.errors(still, raw)["motion_error_of_still"] == 0  # nothing moves


def test_the_digits_of_a_cell_depend_on_its_own_pixels_in_every_frame(codec: Codec) -> None:
    raw = moving_clips(8)
    for frame in range(VIDEO.frames):
        other = raw.clone()
        other[:, frame, :CELL, :CELL] = 255 - other[:, frame, :CELL, :CELL]
        changed = (codec.encode(raw) != codec.encode(other)).any(-1)  # (B, C)
        assert changed[:, 0].any() and not changed[:, 1:].any()


def test_a_clip_is_cut_and_joined_without_loss() -> None:
    codec = build_codec(VIDEO)
    assert isinstance(codec, VideoCodec)
    raw = torch.randint(0, 256, (3, *VIDEO.shape), dtype=torch.uint8)
    assert torch.equal(codec._join(codec._cut(raw)), raw)
    first = codec._cut(raw)[:, 0].view(3, VIDEO.frames, 3, CELL, CELL)  # frame, channel, pixel
    assert torch.equal(first, raw[:, :, :CELL, :CELL].permute(0, 1, 4, 2, 3))


def test_a_video_has_frames_and_cells() -> None:
    assert VIDEO.shape == (3, 32, 48, 3)
    specs = {Modality.VIDEO: VIDEO}
    assert specs_from_json(specs_to_json(specs)) == specs
    with pytest.raises(ConfigurationError, match="1 frames; it needs at least 2"):
        VideoSpec(1, 32, 32)
    for sides in ((20, 32), (32, 8)):
        with pytest.raises(ConfigurationError, match="video is .*multiples of 8"):
            VideoSpec(4, *sides)
    with pytest.raises(ConfigurationError, match="video is 24x32; .* multiples of 16"):
        build_codec(VideoSpec(4, 24, 32))
