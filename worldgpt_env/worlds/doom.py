"""The Doom rooms: shoot one monster that is seen or heard; image, sound, words and numbers."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from worldgpt_env.errors import ConfigurationError
from worldgpt_env.model.modalities import AudioSpec, ImageSpec, Modality, TextSpec, VectorSpec

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
MAX_AMMO = 50
MONSTER = "Cacodemon"
HALF_WIDTH = 31  # of the monster, in units: nearer to the middle than this, a shot hits
STATE_WORDS = ["ammo", "gun", "ready", "busy", "monster", "alive", "dead"]
STATE_WORDS += [str(number) for number in range(MAX_AMMO + 1)]
CAPTION_WORDS = ["left", "right", "ahead"]


class DoomRoom(World):
    """A wide room with one monster at a random place on the far wall.

    | modality | shape, dtype | content |
    |---|---|---|
    | ``image`` | (48, 64, 3) uint8 | the screen, area averaged; the monster is 5 pixels wide |
    | ``audio`` | (1260, 2) float32 | stereo at 11 025 Hz since the last step |
    | ``text``  | (6,) int64 | "ammo 50 gun ready monster alive" |
    | ``vector`` | (4,) float32 | ammo, attack ready, own lateral position and speed |

    A step is 4 ticks of the game and costs 4 points, a shot 5 more, a kill brings about 101 and
    ends the episode (``terminated``); after 300 ticks it is ``truncated``. The game draws nothing
    and is silent at a kill or time-out: the last image and sound are shown again, while words and
    numbers are those of the end.

    Args:
        image_size: ``(height, width)`` of the image, multiples of 8.
        variables: which of the game's variables make the vector: ammo, health, attack_ready,
            position, speed.
        caption: add where the monster is ("left", "ahead", "right") to the words. It gives the
            task away, so it is off by default.
        render_mode: ``"rgb_array"`` or None.
    """

    options = ("image_size", "variables", "caption", "render_mode")
    scenario: str

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
        self._text = TextSpec.of(STATE_WORDS + CAPTION_WORDS * caption, slots=6 + caption)
        _, low, high = zip(*self._variables, strict=True)
        samples = RATE * FRAME_SKIP // TICKS_PER_SECOND
        specs = {
            Modality.IMAGE: ImageSpec(*self._image_size),
            Modality.AUDIO: AudioSpec(samples, 2, RATE),
            Modality.TEXT: self._text,
            Modality.VECTOR: VectorSpec(tuple(variables), low, high),
        }
        self._declare(specs, ACTIONS, render_mode)
        self._game: vzd.DoomGame | None = None
        self._side = "ahead"
        self._screen = np.zeros((*SCREEN, 3), np.uint8)
        self._sound = np.zeros((samples, 2), np.float32)

    def _reset(self) -> tuple[Observation, str]:
        game = self._game or self._open()
        game.set_seed(int(self.np_random.integers(2**32, dtype=np.uint32)))
        self._call(game.new_episode)
        return self._observe(game)

    def _step(self, action: int) -> tuple[Observation, float, bool, bool, str]:
        game = self._game
        assert game is not None  # the base class lets no step before reset through
        reward = self._call(game.make_action, list(BUTTONS[action]), FRAME_SKIP)
        finished, killed = game.is_episode_finished(), self._killed(game)
        observation, text = self._observe(game)
        return observation, reward, finished and killed, finished and not killed, text

    def _observe(self, game: vzd.DoomGame) -> tuple[Observation, str]:
        """Return the observation and its sentence; at the end the last image and sound again."""
        state = game.get_state()
        if state is not None:
            self._screen = state.screen_buffer.copy()  # (120, 160, 3)
            self._sound = state.audio_buffer.astype(np.float32) / 32768  # (samples, 2)
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
        alive = "dead" if self._killed(game) else "alive"
        text = f"ammo {ammo} gun {ready} monster {alive}"
        return f"{text} {self._where(game)}" if self._caption else text

    def _where(self, game: vzd.DoomGame) -> str:
        """Return where the monster is: the option ``caption``."""
        state = game.get_state()
        if state is not None:
            me = game.get_game_variable(vzd.GameVariable.POSITION_Y)
            offset = next(o.position_y for o in state.objects if o.name == MONSTER) - me
            self._side = "ahead" if abs(offset) < HALF_WIDTH else "left" if offset > 0 else "right"
        return self._side

    @staticmethod
    def _killed(game: vzd.DoomGame) -> bool:
        return game.get_game_variable(vzd.GameVariable.KILLCOUNT) > 0

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
        except vzd.SignalException as error:  # Ctrl-C that ViZDoom caught before Python could
            self._shut()
            raise KeyboardInterrupt from error
        except Exception as error:
            self._shut()
            raise WorldError(f"the game died ({error}); call reset() to start it again.") from error

    def _shut(self) -> None:
        """End the game's process, if there is one."""
        if self._game is not None:
            self._game = None
            self._stop()

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
