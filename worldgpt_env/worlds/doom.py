"""What every Doom world shares: the game, its picture and film, its sound, words and numbers."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from worldgpt_env.model.modalities import (
    AudioSpec,
    ImageSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VectorSpec,
    VideoSpec,
)

from ..errors import ConfigurationError
from .doom_process import check_sound, start, stop, vzd
from .world import Observation, World, WorldError

FRAME_SKIP = 4
RATE = 11025
SCREEN = (120, 160)  # rows, columns that the game draws
TICKS_PER_SECOND = 35
SAMPLES = RATE * FRAME_SKIP // TICKS_PER_SECOND

Number = tuple[vzd.GameVariable, float, float]  # a variable of the game and its bounds


class DoomWorld(World):
    """A scenario of ViZDoom with everything that it gives.

    | modality | shape, dtype | content |
    |---|---|---|
    | ``image`` | (48, 64, 3) uint8 | the screen, area averaged |
    | ``video`` | (4, 48, 64, 3) uint8 | with ``video=True``: the screen at each tick, newest last |
    | ``audio`` | (1260, 2) float32 | stereo at 11 025 Hz since the last step |
    | ``text`` | (slots,) int64 | the state in words |
    | ``vector`` | (numbers,) float32 | variables of the game |

    A step is 4 ticks of the game, 35 of which are a second. The game draws nothing and is silent at
    the end of an episode: the last image, video and sound are shown again, while words and numbers
    are those of the end. At a time-out an episode is ``truncated``, never ``terminated``.

    Args:
        image_size: ``(height, width)`` of image and video, multiples of 8.
        variables: which of the world's numbers make the vector; default: those of its class.
        caption: add to the words where the thing is that matters. It gives the task away, so it is
            off by default.
        video: give the screen at every tick. Nothing else changes but the picture of a gun that
            moves: the game blends it with the one that it drew before.
        render_mode: ``"rgb_array"`` or None.
    """

    options = ("image_size", "variables", "caption", "video", "render_mode")
    frame_rate = float(TICKS_PER_SECOND)
    scenario: ClassVar[str]  # its configuration file
    time_limit: ClassVar[int | None] = None  # in ticks; None: that of the scenario
    moves: ClassVar[dict[str, tuple[float, ...]]]  # the buttons that each action holds down
    numbers: ClassVar[dict[str, Number]]  # all that may be asked for
    default_numbers: ClassVar[tuple[str, ...]]
    words: ClassVar[tuple[str, ...]]
    slots: ClassVar[int]
    caption_words: ClassVar[tuple[str, ...]]
    caption_slots: ClassVar[int]

    def __init__(
        self,
        image_size: tuple[int, int] = (48, 64),
        variables: tuple[str, ...] | None = None,
        caption: bool = False,
        video: bool = False,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Describe the world; the game starts at the first ``reset``."""
        names = self.default_numbers if variables is None else tuple(variables)
        unknown = set(names) - set(self.numbers)
        if unknown or not names:
            raise ConfigurationError(
                f"variables {sorted(unknown)} are unknown; choose from {', '.join(self.numbers)}."
            )
        self._variables, low, high = zip(*(self.numbers[name] for name in names), strict=True)
        self._caption, self._video = caption, video
        self._image_size = (int(image_size[0]), int(image_size[1]))
        words = [*self.words, *self.caption_words * caption]
        self._text = TextSpec.of(words, self.slots + self.caption_slots * caption)
        specs: dict[Modality, ModalitySpec] = {
            Modality.IMAGE: ImageSpec(*self._image_size),
            Modality.AUDIO: AudioSpec(SAMPLES, 2, RATE),
            Modality.TEXT: self._text,
            Modality.VECTOR: VectorSpec(names, low, high),
        }
        if video:
            specs[Modality.VIDEO] = VideoSpec(FRAME_SKIP, *self._image_size)
        self._declare(specs, tuple(self.moves), render_mode)
        self._buttons = [list(buttons) for buttons in self.moves.values()]
        self._game: vzd.DoomGame | None = None
        self._screen = np.zeros((*SCREEN, 3), np.uint8)
        self._sound = np.zeros((SAMPLES, 2), np.float32)
        self._film: list[np.ndarray] = []

    def _reset(self) -> tuple[Observation, str]:
        game = self._game or self._open()
        game.set_seed(int(self.np_random.integers(2**32, dtype=np.uint32)))
        self._call(game.new_episode)
        self._begin()
        observation, text = self._observe(game)
        if self._video:  # nothing was shown before
            self._film = [observation["image"]] * FRAME_SKIP
            observation["video"] = np.stack(self._film)
        return self._in_order(observation), text

    def _step(self, action: int) -> tuple[Observation, float, bool, bool, str]:
        game = self._game
        assert game is not None  # the base class lets no step before reset through
        if self._video:
            reward = self._play_tick_by_tick(game, self._buttons[action])
        else:
            reward = self._call(game.make_action, self._buttons[action], FRAME_SKIP)
        terminated, truncated = self._ended(game, reward)
        observation, text = self._observe(game)
        if self._video:
            observation["video"] = np.stack(self._film)  # (4, height, width, 3)
        return self._in_order(observation), reward, terminated, truncated, text

    def _ended(self, game: vzd.DoomGame, reward: float) -> tuple[bool, bool]:
        """Return whether the world has ended, and whether the time is up instead."""
        finished, timed_out = game.is_episode_finished(), game.is_episode_timeout_reached()
        return finished and not timed_out, finished and timed_out

    def _play_tick_by_tick(self, game: vzd.DoomGame, buttons: list[float]) -> float:
        """Hold ``buttons`` for a step, keep the film of it if it is whole, return the reward."""
        reward, film = 0.0, []
        for _ in range(FRAME_SKIP):
            reward += self._call(game.make_action, buttons, 1)
            state = game.get_state()
            if state is None:  # the end: the last film stays
                return reward
            film.append(self._small(state.screen_buffer))
        self._film = film
        return reward

    def _observe(self, game: vzd.DoomGame) -> tuple[Observation, str]:
        """Return the observation and its sentence; at the end the last image and sound again."""
        state = game.get_state()
        if state is not None:
            assert state.audio_buffer is not None  # enabled in _open
            self._screen = state.screen_buffer.copy()  # (120, 160, 3)
            self._sound = state.audio_buffer.astype(np.float32) / np.float32(32768)  # (samples, 2)
            self._notice_state(game, state)
        text = self._sentence(game)
        observation = {
            "image": self._small(self._screen),
            "audio": self._sound.copy(),
            "text": self._text.encode(text),
            "vector": np.array([self._number(game, v) for v in self._variables], np.float32),
        }
        return observation, text

    def _in_order(self, observation: Observation) -> Observation:
        """Return the parts of ``observation`` in the order of the space."""
        return {str(modality): observation[str(modality)] for modality in self.specs}

    def _small(self, screen: np.ndarray) -> np.ndarray:
        """Return ``screen`` (120, 160, 3) as an image of the size asked for, area averaged."""
        height, width = self._image_size
        return np.array(Image.fromarray(screen).resize((width, height), Image.Resampling.BOX))

    def _number(self, game: vzd.DoomGame, variable: vzd.GameVariable) -> float:
        """Return a variable of the game; health is 0 when dead, as the game shows it."""
        value = game.get_game_variable(variable)
        return max(value, 0.0) if variable == vzd.GameVariable.HEALTH else value

    def _begin(self) -> None:
        """Forget the episode before."""

    def _notice_state(self, game: vzd.DoomGame, state: vzd.GameState) -> None:
        """Keep of ``state`` what the words need; the end of an episode has none."""

    def _sentence(self, game: vzd.DoomGame) -> str:
        """Return the state in words."""
        raise NotImplementedError

    def _open(self) -> vzd.DoomGame:
        """Start the game with sound."""
        game = vzd.DoomGame()
        game.load_config(os.path.join(vzd.scenarios_path, self.scenario))
        game.set_window_visible(False)
        game.set_screen_resolution(vzd.ScreenResolution.RES_160X120)
        game.set_screen_format(vzd.ScreenFormat.RGB24)
        game.set_audio_buffer_enabled(True)
        game.set_audio_sampling_rate(vzd.SamplingRate.SR_11025)
        game.set_audio_buffer_size(FRAME_SKIP)
        game.set_notifications_buffer_enabled(True)
        game.set_notifications_buffer_size(FRAME_SKIP)
        game.set_objects_info_enabled(self._caption)
        if self.time_limit is not None:
            game.set_episode_timeout(self.time_limit)
        game.add_game_args("+snd_efx 0")  # OpenAL before 1.20 dies on an assertion with effects
        folder = start(game)
        self._stop = weakref.finalize(self, stop, game, folder)  # also at exit
        self._game = game
        try:
            check_sound(game)
        except BaseException:
            self._shut()
            raise
        return game

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the game; a dead one is put away, so that the next ``reset`` starts a fresh one."""
        try:
            return function(*arguments)
        except Exception as error:
            self._shut()
            raise WorldError(f"the game died ({error}); call reset() to start it again.") from error

    def _shut(self) -> None:
        """End the game's process, if there is one, and with it the episode."""
        if self._game is not None:
            self._game = None
            self._stop()
        if self._phase == "running":
            self._phase = "ended"

    def render(self) -> np.ndarray | None:
        """Return the last screen, ``(120, 160, 3)`` uint8, or None without a render mode."""
        return self._screen.copy() if self.render_mode else None

    def close(self) -> None:
        """End the game; safe to call twice."""
        self._shut()
        super().close()
