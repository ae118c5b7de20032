"""The Doom rooms: shoot a monster that is seen, heard or named; image, sound, words, numbers."""

from __future__ import annotations

import os
import re
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
)

from ..errors import ConfigurationError
from .doom_process import check_sound, start, stop, vzd
from .world import Observation, World, WorldError

FRAME_SKIP = 4
RATE = 11025
SCREEN = (120, 160)  # rows, columns that the game draws
TICKS_PER_SECOND = 35
# The buttons of the scenario are left, right, attack; the actions are those of VizdoomBasic-v1.
ACTIONS = ("wait", "attack", "move right", "move left")
BUTTONS = ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
# The game's own variables, with their bounds in these rooms. None tells where the monster is.
VARIABLES = {
    "ammo": (vzd.GameVariable.AMMO2, 0.0, 50.0),
    "health": (vzd.GameVariable.HEALTH, 0.0, 100.0),
    "attack_ready": (vzd.GameVariable.ATTACK_READY, 0.0, 1.0),
    "position": (vzd.GameVariable.POSITION_Y, -176.0, 240.0),  # the room is 416 units wide
    "speed": (vzd.GameVariable.VELOCITY_Y, -8.0, 8.0),  # units a tick; 6.94 at most
}
HALF_WIDTH = 31  # of a monster, in units: nearer to the middle than this, a shot hits
STATE_WORDS = ["ammo", "gun", "ready", "busy", *(str(number) for number in range(51))]
CAPTION_WORDS = ["left", "right", "ahead"]


class DoomRoom(World):
    """A wide room with a monster to shoot at a random place on the far wall.

    | modality | shape, dtype | content |
    |---|---|---|
    | ``image`` | (48, 64, 3) uint8 | the screen, area averaged; the monster is 5 pixels wide |
    | ``audio`` | (1260, 2) float32 | stereo at 11 025 Hz since the last step |
    | ``text`` | (6,) int64 | "ammo 50 gun ready monster alive" |
    | ``vector`` | (4,) float32 | ammo, attack ready, own lateral position and speed |

    A step is 4 ticks of the game and costs 4 points, a shot 5 more, a kill brings about 101 and
    ends the episode (``terminated``); after 300 ticks it is ``truncated``. The game draws nothing
    and is silent at a kill or time-out: the last image and sound are shown again, while words and
    numbers are those of the end. What the game says (a notification) lasts one step there, and here
    until it says something else.

    Args:
        image_size: ``(height, width)`` of the image, multiples of 8.
        variables: which of the game's variables make the vector: ammo, health, attack_ready,
            position, speed.
        caption: add where the monster is ("left", "ahead", "right") to the words. It gives the
            task away, so it is off by default.
        render_mode: ``"rgb_array"`` or None.
    """

    options = ("image_size", "variables", "caption", "render_mode")
    scenario: ClassVar[str]
    outcome_words: ClassVar[tuple[str, ...]] = ("monster", "alive", "dead")
    notice_words: ClassVar[tuple[str, ...]] = ()  # all that the game may say
    notice_slots: ClassVar[int] = 0

    def __init__(
        self,
        image_size: tuple[int, int] = (48, 64),
        variables: tuple[str, ...] = ("ammo", "attack_ready", "position", "speed"),
        caption: bool = False,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Describe the room; the game starts at the first ``reset``."""
        unknown = set(variables) - set(VARIABLES)
        if unknown or not variables:
            raise ConfigurationError(
                f"variables {sorted(unknown)} are unknown; choose from {', '.join(VARIABLES)}."
            )
        self._variables = [VARIABLES[name] for name in variables]
        self._caption = caption
        self._image_size = (int(image_size[0]), int(image_size[1]))
        words = [*STATE_WORDS, *self.outcome_words, *self.notice_words, *CAPTION_WORDS * caption]
        self._text = TextSpec.of(words, slots=6 + self.notice_slots + caption)
        _, low, high = zip(*self._variables, strict=True)
        samples = RATE * FRAME_SKIP // TICKS_PER_SECOND
        specs: dict[Modality, ModalitySpec] = {
            Modality.IMAGE: ImageSpec(*self._image_size),
            Modality.AUDIO: AudioSpec(samples, 2, RATE),
            Modality.TEXT: self._text,
            Modality.VECTOR: VectorSpec(tuple(variables), low, high),
        }
        self._declare(specs, ACTIONS, render_mode)
        self._game: vzd.DoomGame | None = None
        self._notice, self._side = "", ""
        self._screen = np.zeros((*SCREEN, 3), np.uint8)
        self._sound = np.zeros((samples, 2), np.float32)

    def _reset(self) -> tuple[Observation, str]:
        game = self._game or self._open()
        game.set_seed(int(self.np_random.integers(2**32, dtype=np.uint32)))
        self._call(game.new_episode)
        self._notice, self._side = "", ""
        return self._observe(game)

    def _step(self, action: int) -> tuple[Observation, float, bool, bool, str]:
        game = self._game
        assert game is not None  # the base class lets no step before reset through
        reward = self._call(game.make_action, list(BUTTONS[action]), FRAME_SKIP)
        finished, timed_out = game.is_episode_finished(), game.is_episode_timeout_reached()
        observation, text = self._observe(game)
        return observation, reward, finished and not timed_out, finished and timed_out, text

    def _observe(self, game: vzd.DoomGame) -> tuple[Observation, str]:
        """Return the observation and its sentence; at the end the last image and sound again."""
        state = game.get_state()
        if state is not None:
            assert state.audio_buffer is not None  # enabled in _open
            self._screen = state.screen_buffer.copy()  # (120, 160, 3)
            self._sound = state.audio_buffer.astype(np.float32) / np.float32(32768)  # (samples, 2)
            self._notice = " ".join(_words(state.notifications_buffer)) or self._notice
            if self._caption:
                self._side = self._where(game, state)
        text = self._sentence(game)
        height, width = self._image_size
        image = Image.fromarray(self._screen).resize((width, height), Image.Resampling.BOX)
        numbers = [game.get_game_variable(variable) for variable, _, _ in self._variables]
        observation = {
            "image": np.array(image),  # (height, width, 3)
            "audio": self._sound.copy(),
            "text": self._text.encode(text),
            "vector": np.array(numbers, np.float32),
        }
        return observation, text

    def _sentence(self, game: vzd.DoomGame) -> str:
        """Return the state in words."""
        ammo = int(game.get_game_variable(vzd.GameVariable.AMMO2))
        ready = "ready" if game.get_game_variable(vzd.GameVariable.ATTACK_READY) else "busy"
        kills = int(game.get_game_variable(vzd.GameVariable.KILLCOUNT))
        parts = [f"ammo {ammo} gun {ready}", self._outcome(kills), self._notice]
        return " ".join(part for part in (*parts, self._side * self._caption) if part)

    def _outcome(self, kills: int) -> str:
        """Return two words about what was shot."""
        return "monster dead" if kills else "monster alive"

    def _target(self) -> str:
        """Return the name of the monster to shoot, for the caption."""
        return "cacodemon"

    def _where(self, game: vzd.DoomGame, state: vzd.GameState) -> str:
        """Return where the monster to shoot is; once it is gone, where it was; "" if unknown."""
        me = game.get_game_variable(vzd.GameVariable.POSITION_Y)
        for thing in state.objects or ():
            if thing.name.lower() == self._target():
                offset = thing.position_y - me
                return "ahead" if abs(offset) < HALF_WIDTH else "left" if offset > 0 else "right"
        return self._side

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


class DoomBasicWorld(DoomRoom):
    """The monster is seen (ViZDoom's Basic scenario)."""

    world_name = "doom-basic"
    scenario = "basic.cfg"


class DoomAudioWorld(DoomRoom):
    """The monster is invisible and heard in stereo (ViZDoom's BasicAudio scenario)."""

    world_name = "doom-audio"
    scenario = "basic_audio.cfg"


class DoomWordsWorld(DoomRoom):
    """Three monsters are seen, and words say which to shoot (BasicNotifications): 8 slots of text.

    "ammo 50 gun ready kills 0 shoot demon". The game says it with the first step, not at ``reset``;
    a wrong kill costs 50 points and ends nothing.
    """

    world_name = "doom-words"
    scenario = "basic_notifications.cfg"
    outcome_words = ("kills",)
    notice_words = ("shoot", "demon", "cacodemon", "doomimp")
    notice_slots = 2

    def _outcome(self, kills: int) -> str:
        return f"kills {kills}"

    def _target(self) -> str:
        return self._notice.removeprefix("shoot ")


def _words(notification: str | None) -> list[str]:
    """Return the words that the game says, in lower case and without punctuation."""
    return re.findall(r"[a-z0-9]+", (notification or "").lower())
