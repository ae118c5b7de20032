"""Inspect: figures that were counted by hand, tables, a sheet; the command line around it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import children
import numpy as np
import pytest
import small_worldnet as small
from PIL import Image

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.training.cli import build_parser, main
from worldgpt_env.training.worldnet import inspection
from worldgpt_env.training.worldnet.format.annotation import Rejection
from worldgpt_env.training.worldnet.format.contact_sheet import CELL, GAP, draw_sheet, draw_spectrum
from worldgpt_env.training.worldnet.format.writer import WorldNetWriter
from worldgpt_env.training.worldnet.inspection import InspectConfig


def inspect(config: InspectConfig) -> dict[str, Any]:
    """Return what is written as JSON."""
    return inspection.inspect(config).to_json()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small.write_small(tmp_path / "dots")


def test_the_figures_of_a_split(root: Path) -> None:
    figures = inspect(InspectConfig(root))
    assert (figures["name"], figures["built"], figures["left_out"]) == ("dots", {"seed": 0}, {})
    train = figures["splits"]["train"]
    assert (train["transitions"], train["episodes"], train["states"]) == (8, 2, 10)
    assert train["present"] == {"image": 1, "video": 1, "audio": 1, "text": 1, "vector": 0.5}
    assert train["scenarios"] == {"day": 4, "night": 4}
    assert (train["words_per_caption"], train["words_per_action"]) == (2, 2)
    assert (train["rewarded"], train["terminated"]) == (0.75, 1)
    assert train["compositions"] == {  # 49 a transition: WorldGPT, Table 2
        "single_same": 24, "single_other": 48, "several_same": 32, "several_other": 288
    }  # fmt: skip
    assert train["rejected"] == train["changes"] == {}


def test_missing_modalities_allow_fewer_compositions(tmp_path: Path) -> None:
    with WorldNetWriter(tmp_path / "dots", small.DESCRIPTION) as writer:
        moments = [small.moment(0, video=None), small.moment(1, audio=None)]
        writer.add_sequence("train", moments, ["wait"])
        writer.reject(Rejection("film.mp4", 3, "clip 3 lasts 0.2 s, under 0.5 s."))
        writer.reject(Rejection("film.mp4", 7, "clip 7 lasts 0.1 s, under 0.5 s."))
    figures = inspect(InspectConfig(tmp_path / "dots"))
    train = figures["splits"]["train"]
    assert train["modalities"] == 2
    assert train["compositions"] == {  # image+audio to image+video: 3 x 3
        "single_same": 1, "single_other": 3, "several_same": 0, "several_other": 5
    }  # fmt: skip
    assert figures["left_out"] == {
        "clip 3 lasts 0.2 s, under 0.5 s.": {"rows": 2, "first": "film.mp4, row 3"}
    }


def test_check_reads_every_file_again(root: Path) -> None:
    assert inspect(InspectConfig(root, check=True))["splits"]["train"]["rejected"] == {}
    path = root / "audio" / "train" / "000000-0002.wav"
    path.write_bytes(path.read_bytes()[:-1])
    train = inspect(InspectConfig(root, check=True))["splits"]["train"]
    assert train["transitions"] == 6
    ((reason, told),) = train["rejected"].items()
    assert "000000-0002.wav: is not as it was written" in reason
    assert told["rows"] == 2 and told["first"].endswith("train.json, row 1")


def test_check_of_a_folder_where_nothing_is_whole(root: Path) -> None:
    for path in (root / "image" / "test").iterdir():
        path.unlink()
    test = inspect(InspectConfig(root, check=True))["splits"]["test"]
    assert test["transitions"] == 0 and test["modalities"] is None


def test_the_command_prints_tables_and_writes_figures_and_sheet(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, sheet = tmp_path / "told.json", tmp_path / "pictures" / "sheet.png"
    arguments = ["worldnet", "inspect", "--data", root, "--check", "--sheet", sheet, "--rows", 3]
    assert main([str(part) for part in [*arguments, "--json", told]]) == 0
    printed = capsys.readouterr().out
    assert "| transitions" in printed and "| several other" in printed and "| of night" in printed
    assert json.loads(told.read_text())["splits"]["test"]["transitions"] == 4
    with Image.open(sheet) as picture:
        assert picture.height == 3 * (CELL + GAP) + GAP
        pixels = np.array(picture.convert("RGB"))
    left = pixels[GAP : GAP + CELL, GAP : GAP + CELL]
    assert (left == 200).all(-1).any() or (left > 150).any()  # the dot


def test_a_sheet_shows_what_is_broken(root: Path, tmp_path: Path) -> None:
    for kind in ("image", "video"):
        for path in (root / kind / "test").iterdir():
            path.unlink()
    draw_sheet(root, tmp_path / "sheet.png", "test", 2, 0)
    with Image.open(tmp_path / "sheet.png") as picture:
        colours = {colour for _, colour in picture.getcolors(2**16) or []}
    assert any(red > 180 and green < 130 and blue < 130 for red, green, blue in colours)
    with pytest.raises(ConfigurationError, match=r"is no \.png"):
        draw_sheet(root, tmp_path / "sheet.jpg", "test", 2, 0)
    with pytest.raises(ConfigurationError, match="rows is 0"):
        InspectConfig(root, rows=0)


def test_a_spectrum_shows_a_low_tone_low_and_a_late_one_late() -> None:
    time = np.arange(8000) / 8000
    low = np.sin(2 * np.pi * 400 * time)[:, None]
    tone = draw_spectrum(low, 8000)[..., 0].mean(1)  # by row, the top one is 4000 Hz
    assert tone.argmax() == pytest.approx(CELL * 0.9, abs=3)
    late = draw_spectrum(low * (time > 0.5)[:, None], 8000)[..., 0].mean(0)  # by column
    assert late[: CELL // 3].max() < late[-CELL // 3 :].min()
    assert not draw_spectrum(np.zeros((9, 1)), 8000).std((0, 1)).any()


def test_evaluate_worldnet_is_worldnet_evaluate(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for words in (["evaluate", "worldnet"], ["worldnet", "evaluate"]):
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args([*words, "--help"])
        assert ended.value.code == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] and "--data" in told[0]


def test_a_mistake_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worldnet", "inspect", "--data", str(tmp_path)]) == 2
    assert "there is no WorldNet in" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["worldnet", "inspect"])
    with pytest.raises(SystemExit):
        main(["worldnet", "other"])


def test_the_help_of_other_commands_reads_no_media_library() -> None:
    code = (
        "import sys; from worldgpt_env.training.cli import build_parser; build_parser();"
        "print([m for m in ('av', 'soundfile', 'torch') if m in sys.modules])"
    )
    assert children.run_well([sys.executable, "-c", code]).strip() == "[]"
