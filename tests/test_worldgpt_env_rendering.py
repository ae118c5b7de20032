"""Pictures: what they show, what size they have, and GIFs that are written whole or not at all."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_world import SPECS, TinyWorld

from worldgpt_env.errors import ConfigurationError, MissingDependencyError, WorldMismatchError
from worldgpt_env.model.modalities import Modality, TextSpec, VideoSpec
from worldgpt_env.rendering import SIDE, PygameWindow, draw_panel, save_gif, side_by_side


def moment(seed: int = 0) -> dict[str, np.ndarray]:
    """Return an observation of the tiny world."""
    return TinyWorld().reset(seed=seed)[0]


def test_the_image_is_enlarged_pixel_by_pixel() -> None:
    panel, image = draw_panel(moment(), SPECS), moment()["image"]
    factor = SIDE // 32
    assert np.array_equal(panel[:SIDE:factor, :SIDE:factor], image)
    assert np.array_equal(panel[factor - 1 : SIDE : factor, :SIDE:factor], image)


def test_sound_words_and_numbers_change_the_picture() -> None:
    seen = moment()
    for key, other in (
        ("audio", np.zeros((400, 2), np.float32)),
        ("text", np.zeros(6, np.int64)),
        ("vector", np.float32([1, 1])),
    ):
        assert not np.array_equal(draw_panel(seen, SPECS), draw_panel(seen | {key: other}, SPECS))


def test_each_channel_has_its_strip() -> None:
    silent = np.zeros((400, 2), np.float32)
    left = silent.copy()
    left[:, 0] = 0.9 * np.sin(np.arange(400))
    wave = [
        draw_panel(moment() | {"audio": a}, SPECS)[:SIDE, SIDE:].astype(int) for a in (silent, left)
    ]
    changed = np.abs(wave[0] - wave[1]).any(-1).any(1)  # by line of the picture
    assert changed[: SIDE // 2].mean() > 0.8 and not changed[SIDE // 2 :].any()


@pytest.mark.parametrize("keys", [(m,) for m in SPECS] + [tuple(SPECS)[1:]])
def test_any_part_of_the_modalities_is_drawn_in_one_size(keys: tuple[Modality, ...]) -> None:
    specs = {modality: SPECS[modality] for modality in keys}
    panels = [draw_panel({str(m): moment(seed)[str(m)] for m in keys}, specs) for seed in range(4)]
    assert {(p.shape, p.dtype) for p in panels} == {(panels[0].shape, np.dtype(np.uint8))}
    assert any(not np.array_equal(panels[0], panel) for panel in panels[1:])


def test_the_newest_frame_of_a_video_is_shown() -> None:
    video = np.zeros((3, 32, 32, 3), np.uint8)
    video[-1] = 200
    panel = draw_panel({"video": video}, {Modality.VIDEO: VideoSpec(3, 32, 32)})
    assert (panel[:SIDE, :SIDE] == 200).all()


def test_long_words_are_cut_where_the_picture_ends() -> None:
    spec = TextSpec.of(["interminable" * 5], 6)
    panel = draw_panel({"text": np.full(6, 2)}, {Modality.TEXT: spec})
    assert panel.shape[1] == SIDE and (panel[:, -6:] == panel[0, 0]).all()


def test_a_caption_stands_above_and_panels_stand_side_by_side() -> None:
    real, dream = (draw_panel(moment(s), SPECS, c) for s, c in ((0, "real"), (1, "dream")))
    both = side_by_side(real, dream)
    assert both.shape == (real.shape[0], real.shape[1] + 8 + dream.shape[1], 3)
    assert np.array_equal(both[:, : real.shape[1]], real)
    assert np.array_equal(both[:, -dream.shape[1] :], dream)
    assert real.shape[0] > draw_panel(moment(), SPECS).shape[0]
    with pytest.raises(WorldMismatchError, match="pixels high"):
        side_by_side(real, draw_panel(moment(), SPECS))


def test_a_gif_holds_all_frames_at_their_pace(tmp_path: Path) -> None:
    frames = [np.full((16, 24, 3), 40 * n, np.uint8) for n in range(5)]
    path = save_gif(frames, tmp_path / "dream.gif", fps=10)
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (5, (24, 16), 100)
        gif.seek(3)
        assert gif.convert("RGB").getpixel((5, 5)) == (120, 120, 120)
    with pytest.raises(ConfigurationError, match="no frames"):
        save_gif([], tmp_path / "empty.gif")


def test_a_failed_gif_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_gif([np.zeros((8, 8, 3), np.uint8)], tmp_path / "dream.gif")
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_gif([np.ones((8, 8, 3), np.uint8)], path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["dream.gif"]


def test_without_pygame_the_window_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(MissingDependencyError, match="pip install pygame-ce"):
        PygameWindow("dream")
