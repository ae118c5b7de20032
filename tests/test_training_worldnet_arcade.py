"""Arcade: games are played and recorded; a crash loses one game; one seed gives one result."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_tasks import double

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.training.cli import main
from worldgpt_env.training.worldnet.builders import arcade, filming
from worldgpt_env.training.worldnet.builders.arcade import ArcadeConfig, build_arcade
from worldgpt_env.training.worldnet.builders.arcade_part import GamePart, record_part
from worldgpt_env.training.worldnet.builders.players import Habits, Player
from worldgpt_env.training.worldnet.builders.process_pool import Report, Task, run_apart
from worldgpt_env.training.worldnet.format.annotation import WorldNetError
from worldgpt_env.training.worldnet.format.folder import WorldNetFolder
from worldgpt_env.training.worldnet.format.load import load_worldnet

GAMES = ("pong", "doom-basic")


@dataclass
class Built:
    """A folder, the figures of its build, and what was printed."""

    out: Path
    figures: dict[str, Any]
    printed: str


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Two games of 40 windows each, by the command line."""
    pytest.importorskip("ale_py")
    pytest.importorskip("vizdoom")
    folder = tmp_path_factory.mktemp("arcade")
    out, figures = folder / "out", folder / "figures.json"
    arguments = ["--out", str(out), "--windows", "40", "--games", ",".join(GAMES)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["worldnet", "build", "arcade", *arguments, "--json", str(figures)]) == 0
    return Built(out, json.loads(figures.read_text()), printed.getvalue())


def in_this_process(
    task: Task, settings: Mapping[str, Any], workers: int, progress: Report
) -> tuple[dict[str, Any], dict[str, str]]:
    """Do what ``run_apart`` does, without processes: importing torch again takes seconds."""
    return {name: task(setting, progress) for name, setting in settings.items()}, {}


def test_every_game_is_in_every_split_and_no_episode_in_two(built: Built) -> None:
    folder = WorldNetFolder.open(built.out)
    assert set(folder.splits) == {"train", "test", "knowledge"}
    episodes = {}
    for split in folder.splits:
        rows = folder.annotations(split).transitions
        assert {row.scenario for row in rows} == set(GAMES)
        episodes[split] = {row.episode for row in rows}
    assert sum(map(len, episodes.values())) == len(set.union(*episodes.values()))
    assert built.figures["games"]["pong"]["episodes"] >= 10


def test_windows_are_as_they_should_be(built: Built) -> None:
    out, figures = built.out, built.figures
    for game in GAMES:
        assert 40 <= figures["games"][game]["windows"] <= 41
        assert 0 < figures["games"][game]["heard"] <= 1 and figures["games"][game]["captions"] > 3
    assert not (out.parent / ".out.parts").exists()
    loaded = load_worldnet(out, "train")
    assert not loaded.rejected
    specs = loaded.recording.specs
    assert specs[Modality.VIDEO].shape == (4, 64, 64, 3)
    assert specs[Modality.AUDIO].shape == (2048, 1) and specs[Modality.TEXT].shape == (12,)
    for episode in loaded.recording.episodes:
        parts = episode.observations
        numbers = episode.present.get(Modality.VECTOR, np.ones(len(episode) + 1, bool))
        assert numbers.all() if episode.scenario == "doom-basic" else not numbers.any()
        last = parts[Modality.VIDEO][:, -1].astype(int)  # a film, and a jpg of its last frame
        assert np.abs(last - parts[Modality.IMAGE]).mean() < 6
        text = specs[Modality.TEXT].decode(parts[Modality.TEXT][0])  # type: ignore[union-attr]
        assert text.startswith(episode.scenario) and "<unknown>" not in text


def test_one_action_is_held_and_told(built: Built) -> None:
    folder = WorldNetFolder.open(built.out)
    rows = [row for split in folder.splits for row in folder.annotations(split).transitions]
    told = {game: {row.action for row in rows if row.scenario == game} for game in GAMES}
    doings = ("wait", "attack", "move left", "move right")
    assert told["doom-basic"] <= {f"doom-basic {doing}" for doing in doings}
    assert {"pong move left fire", "pong fire"} & told["pong"]
    rewards = [row.reward for row in rows if row.scenario == "doom-basic"]
    assert min(rewards) <= -8  # two steps of -4
    killed = [row for row in rows if row.reward > 50]
    assert all(row.terminated for row in killed)


def test_the_same_seed_gives_the_same_bytes(built: Built, tmp_path: Path) -> None:
    record_part(GamePart("pong", 40, 0, str(tmp_path / "pong")), lambda windows: None)
    for row, other in zip(_rows(built.out, "pong"), _rows(tmp_path / "pong"), strict=True):
        assert replace(row.state1, image="", video="", audio="") == replace(
            other.state1, image="", video="", audio=""
        )
        assert (row.action, row.reward, row.episode) == (other.action, other.reward, other.episode)
        for name in ("image", "video", "audio"):
            file = built.out / getattr(row.state1, name)
            assert (
                file.read_bytes() == (tmp_path / "pong" / getattr(other.state1, name)).read_bytes()
            )


def _rows(root: Path, scenario: str = "") -> list:
    folder = WorldNetFolder.open(root)
    rows = [row for split in sorted(folder.splits) for row in folder.annotations(split).transitions]
    return [row for row in rows if not scenario or row.scenario == scenario]


def test_parts_that_are_there_are_kept(tmp_path: Path) -> None:
    """A build that was stopped after one game goes on with the other; other settings do not."""
    pytest.importorskip("ale_py")
    part = GamePart("pong", 20, 0, str(tmp_path / ".out.parts" / "pong"))
    assert part.opened() is None
    record_part(part, lambda windows: None)
    assert part.opened() is not None and replace(part, seed=1).opened() is None
    config = ArcadeConfig(str(tmp_path / "out"), windows=20, games=("pong",))
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arcade, "run_apart", lambda _, missing, *__: (seen.extend(missing), {}))
        assert build_arcade(config)["splits"]["train"] == 8
    assert seen == []
    with pytest.raises(WorldNetError, match="is there already"):
        build_arcade(config)


def test_a_game_that_cannot_be_recorded_is_named_and_the_others_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = lambda *_: ({}, {"pong": "its process died with exit code -9"})  # noqa: E731
    monkeypatch.setattr(arcade, "run_apart", failed)
    with pytest.raises(WorldNetError, match="1 of 1 games could not be recorded .*pong.*-9"):
        build_arcade(ArcadeConfig(str(tmp_path / "out"), windows=20, games=("pong",)))
    assert not (tmp_path / "out").exists()


def test_the_command_line_prints_a_table(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "| pong       | 40" in built.printed and "CPU-s" in built.printed
    for foreign, why in (
        (["--seconds", "3"], "without --wild"),
        (["--wild", "--windows", "9"], ""),
    ):
        command = ["worldnet", "build", "arcade", "--out", str(tmp_path / "b"), *foreign]
        assert main(command) == 2
        assert f"cannot be used {why}" in capsys.readouterr().err


def test_filmed_games_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ale_py")
    monkeypatch.setattr(filming, "run_apart", in_this_process)
    arguments = ["--wild", "--games", "mspacman", "--recordings", "3", "--seconds", "6"]
    out = tmp_path / "out"
    assert main(["worldnet", "build", "arcade", "--out", str(out), *arguments]) == 0
    rows = _rows(out)
    assert rows and {row.scenario for row in rows} == {"mspacman"}
    assert all(row.state0.text.startswith("mspacman") and row.state0.audio for row in rows)
    films = tmp_path / "out-recordings" / "mspacman"
    assert {path.name for path in films.glob("*.mp4")} == {"000.mp4", "001.mp4", "002.mp4"}
    before = {path: path.stat().st_mtime_ns for path in films.iterdir()}
    shutil.rmtree(out)
    (films / "001.words.json").unlink()  # that recording was not finished
    assert main(["worldnet", "build", "arcade", "--out", str(out), *arguments]) == 0
    after = {path: path.stat().st_mtime_ns for path in films.iterdir()}
    assert {path.name[:3] for path in before if before[path] != after[path]} == {"001"}
    assert [row.action for row in _rows(out)] == [row.action for row in rows]


@pytest.mark.parametrize(
    "wrong", [{"windows": 5}, {"seed": -1}, {"workers": 0}, {"games": ("tetris",)}]
)
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigurationError):
        ArcadeConfig("out", **wrong)


# processes --------------------------------------------------------------------------------------


def test_a_task_that_fails_or_dies_takes_no_other_along() -> None:
    counted: list[int] = []
    settings = {"one": 1, "three": 3, "four": 4, "five": 5}
    results, failures = run_apart(double, settings, 2, counted.append)
    assert results == {"one": 2, "five": 10} and len(counted) == 4
    assert "three is refused" in failures["three"] and "exit code -9" in failures["four"]


# players ----------------------------------------------------------------------------------------


def test_players_follow_hints_as_often_as_they_are_skilled() -> None:
    habits = Habits(
        skill=0.8,
        chase=("ball", "player"),
        hints={"left": "go left", "there": "wait", "gone": "fire"},
    )
    player = Player(("wait", "fire", "go left"), habits)
    player.begin(np.random.default_rng(0))
    done = [player("pong ball left high player right low") for _ in range(500)]
    assert 0.8 < np.mean(np.array(done) == 2) < 0.95
    assert np.mean([player("ball center high player center low") == 0 for _ in range(500)]) > 0.8
    assert np.mean([player("ball gone player center") == 1 for _ in range(500)]) > 0.8


def test_players_repeat_and_weigh() -> None:
    player = Player(("a", "b", "c"), Habits(repeat=0.9, weights={"c": 0.0}))
    player.begin(np.random.default_rng(1))
    done = np.array([player("nothing") for _ in range(2000)])
    assert set(done) == {0, 1} and np.mean(done[1:] == done[:-1]) > 0.9
    with pytest.raises(ConfigurationError, match="habits name the actions"):
        Player(("a",), Habits(hints={"left": "b"}))
