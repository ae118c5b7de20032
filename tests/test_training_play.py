"""Play: keys, both worlds, words, a policy and a recording, in a window that nobody sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldgpt_env.model.modalities import ActionSpec
from worldgpt_env.training.cli import main
from worldgpt_env.training.play import PlayConfig, PlaySession
from worldgpt_env.training.play.keys import ActionKeys
from worldgpt_env.training.play.window import PlayWindow

pygame = pytest.importorskip("pygame")
pytest.importorskip("minigrid")


@pytest.fixture(autouse=True)
def _no_screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    yield
    pygame.quit()


def played(config: PlayConfig, keys: list[int | str]) -> tuple[PlayWindow, list[tuple]]:
    """Return the window after one picture a key, and status, world and player after each."""
    window = PlayWindow(PlaySession(config), config)
    seen, waiting, turn = [], list(keys), window._turn

    def press_and_turn() -> None:
        key = waiting.pop(0)
        code, text = (ord(key), key) if isinstance(key, str) else (key, "")
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=code, unicode=text))
        turn()
        session = window.session
        seen.append((session.status, session.dreams, window.policy_acts, window.message))
        window.closed |= not waiting

    window._turn = press_and_turn  # type: ignore[method-assign]
    window.run()
    return window, seen


def test_keys_act_in_the_dream_and_in_the_real_world(tmp_path: Path) -> None:
    config = PlayConfig("doorkey", fps=240, out=tmp_path)
    keys = [pygame.K_LEFT, pygame.K_UP, pygame.K_a, pygame.K_F2, pygame.K_RIGHT, pygame.K_F2]
    window, seen = played(config, [*keys, pygame.K_SPACE])
    steps = [(status.step, status.action, dreams) for status, dreams, *_ in seen]
    assert steps == [
        *((1, "turn left", True), (2, "forward", True), (2, "forward", True), (0, "", False)),
        *((1, "turn right", False), (0, "", True), (1, "pick up", True)),
    ]
    assert seen[1][0].uncertainty is not None and seen[4][0].uncertainty is None
    real = window.session.real
    assert real is not None and window.session.dreams


def test_a_dream_goes_on_from_the_real_moment() -> None:
    session = PlaySession(PlayConfig("doorkey", seed=3))
    session.switch_world()
    for name in ("turn left", "turn left", "forward"):
        session.step(name)
    real = session.observation
    session.switch_world()
    assert np.abs(session.observation["image"].astype(int) - real["image"]).max() < 16
    assert np.array_equal(session.observation["text"], real["text"])
    session.close()


def test_a_policy_plays_until_it_is_taken_over(tmp_path: Path) -> None:
    keys = [pygame.K_TAB, pygame.K_a, pygame.K_a, pygame.K_p, pygame.K_a, "."]
    _, seen = played(PlayConfig("doorkey", fps=240, out=tmp_path), keys)
    assert [status.step for status, *_ in seen] == [1, 2, 3, 3, 3, 4]  # P stops it, . takes one


def test_words_begin_an_episode_and_what_is_wrong_is_said(tmp_path: Path) -> None:
    config = PlayConfig("doorkey", fps=240, out=tmp_path)
    _, seen = played(config, ["t", *"door open", pygame.K_RETURN, pygame.K_LEFT])
    assert seen[-1][0].step == 1
    window, _ = played(config, ["t", *"door open", pygame.K_RETURN])
    assert "open" in window.session.dream.simulator.texts()[0]
    keys = [pygame.K_F2, "t", *"door open", pygame.K_RETURN]
    _, seen = played(config, keys)
    assert "the real world begins where it likes" in seen[-1][3]


def test_the_horizon_ends_a_dream_and_a_recording_is_kept(tmp_path: Path) -> None:
    config = PlayConfig("doorkey", horizon=9, fps=240, out=tmp_path)
    keys = [pygame.K_F12, pygame.K_PAGEDOWN, pygame.K_LEFT, pygame.K_LEFT]
    window, seen = played(config, keys)
    assert window.session.horizon == 1
    assert [status.ended for status, *_ in seen] == ["", "", "horizon", "horizon"]
    assert "ENTER begins a new one" in seen[-1][3]
    with Image.open(tmp_path / "play-1.gif") as film:
        assert film.n_frames == 4 and film.size[0] >= 512


def test_keys_follow_the_names_of_actions() -> None:
    doom = ActionKeys.of(
        ActionSpec("discrete", (4,), ("wait", "attack", "move right", "move left"))
    )
    assert doom.idle == 0
    assert {key: doom.keys[key] for key in ("left", "right", "space")} == {
        "left": 3,
        "right": 2,
        "space": 1,
    }
    nameless = ActionKeys.of(ActionSpec("discrete", (12,)))
    assert nameless.idle is None and nameless.keys["9"] == 8
    box = ActionKeys.of(ActionSpec("box", (2,), low=(-2.0, 0.0), high=(2.0, 1.0)))
    assert np.array_equal(box.keys["right"], [2.0, 0.5]) and np.array_equal(box.idle, [0.0, 0.5])
    assert ActionKeys.of(ActionSpec.text(["go", "left"], 3)).typed


def test_the_command(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "doorkey", "--frames", "3", "--fps", "240", "--muted"]) == 0
    assert "episodes" in capsys.readouterr().out
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    assert main(["play", "doorkey", "--frames", "3", "--muted"]) == 2
    assert "no window can be opened here" in capsys.readouterr().err
    assert main(["play", "doorkey", "--policy", str(tmp_path)]) == 2
