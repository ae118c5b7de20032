"""The Atari games: the whole picture and the whole sound of the Arcade Learning Environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from worldgpt_env.model.modalities import (
    AudioSpec,
    ImageSpec,
    Modality,
    ModalitySpec,
    TextSpec,
    VideoSpec,
)

from ..errors import ConfigurationError, MissingDependencyError
from .world import Observation, World, WorldError

try:
    import ale_py
    from ale_py import roms
except ImportError as error:
    raise MissingDependencyError(
        'the Atari worlds need ale-py; type: pip install "worldgpt-env[atari]"'
    ) from error

FRAMES = 4  # emulated frames a step
SAMPLES = 512  # of sound in a frame
RATE = 60 * SAMPLES
SILENCE = 128
SLOTS = 13  # 12 words, and one more digit from a score of 100 000
NUMBERS = tuple(str(number) for number in range(22))  # Pong ends at 21; other scores are digits
BUTTONS = re.compile("NOOP|UP|DOWN|LEFT|RIGHT|FIRE")
ACROSS, DOWN = ("left", "center", "right"), ("high", "middle", "low")
WORDS = ("ball", "gone", "player", *ACROSS, *DOWN, "lives", "minus", "score", "to", *NUMBERS)


@dataclass(frozen=True)
class ScreenPlace:
    """Where the memory of a game tells the position of a thing; the words are thirds of its range.

    Attributes:
        across: address, and its values at the left and at the right end; None: not told.
        down: address, and its values at the upper and at the lower end; None: not told.
        gone: the thing is not there while the byte at ``down`` is 0.
    """

    across: tuple[int, int, int] | None = None
    down: tuple[int, int, int] | None = None
    gone: bool = False

    def words(self, memory: np.ndarray) -> list[str]:
        """Return the position in words; ``memory`` is ``(128,)`` uint8."""
        if self.gone and self.down and memory[self.down[0]] == 0:
            return ["gone"]
        found = []
        for axis, names in ((self.across, ACROSS), (self.down, DOWN)):
            if axis:
                address, first, last = axis
                share = (int(memory[address]) - first) / (last - first)
                found.append(names[min(max(int(3 * share), 0), 2)])
        return found


class AtariWorld(World):
    """A game of the Atari 2600, as in Gymnasium's ``ALE/...-v5``, with nothing left out.

    | modality | shape, dtype | content |
    |---|---|---|
    | ``image`` | (64, 64, 3) uint8 | the last of the 4 frames of a step, area averaged |
    | ``video`` | (4, 64, 64, 3) uint8 | with ``video=True``: all 4, newest last |
    | ``audio`` | (2048, 1) float32 | the sound of all 4, mono at 30 720 Hz; silence is 0 |
    | ``text`` | (13,) int64 | "pong ball left high player low score 3 to 5" |

    A step emulates 4 frames at 60 a second with one action; the reward is what the score gained.
    ``terminated`` is the end of the game, all lives lost; a frame that was left then shows the last
    picture. At ``reset`` nothing was heard yet, and the video shows the first frame 4 times. Frames
    are shown as the machine draws them: what flickers is missing in some.

    Positions in the words are read from the machine's memory, at addresses that were compared with
    the pixels; scores from 10 are read digit by digit ("score 1 2 0"), but for Pong's.

    ``ale-py`` is GPL-2.0; it is imported here and nowhere else, and is no part of this package.

    Args:
        image_size: ``(height, width)`` of image and video, multiples of 8.
        sticky: the chance, frame by frame, that the machine keeps the action it had.
        max_steps: the time limit (``truncated``); 27 000 steps are half an hour of play.
        video: give every frame of a step.
        render_mode: ``"rgb_array"`` or None.
    """

    options = ("image_size", "sticky", "max_steps", "video", "render_mode")
    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}
    frame_rate = 60.0
    rom: ClassVar[str]  # its name in ale-py
    places: ClassVar[dict[str, ScreenPlace]] = {}

    def __init__(
        self,
        image_size: tuple[int, int] = (64, 64),
        sticky: float = 0.25,
        max_steps: int = 27_000,
        video: bool = False,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """Switch the machine on to ask what it can do; no game runs before ``reset``."""
        if not 0 <= sticky < 1:
            raise ConfigurationError(f"sticky is {sticky}; give a chance from 0 to below 1.")
        if max_steps < 1:
            raise ConfigurationError(f"max_steps is {max_steps}; give at least one step.")
        self._max_steps, self._video = max_steps, video
        self._image_size = (int(image_size[0]), int(image_size[1]))
        self._title = self.world_name.removeprefix("atari-")
        self._text = TextSpec.of([self._title, *WORDS], SLOTS)
        specs: dict[Modality, ModalitySpec] = {
            Modality.IMAGE: ImageSpec(*self._image_size),
            Modality.AUDIO: AudioSpec(FRAMES * SAMPLES, 1, RATE),
            Modality.TEXT: self._text,
        }
        if video:
            specs[Modality.VIDEO] = VideoSpec(FRAMES, *self._image_size)
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._machine = ale_py.ALEInterface()
        self._machine.setFloat("repeat_action_probability", sticky)
        self._machine.setBool("sound_obs", True)
        self._switch_on(0)
        self._has_lives = self._machine.lives() > 0
        self._buttons = self._machine.getMinimalActionSet()
        self._declare(specs, tuple(_phrase(button.name) for button in self._buttons), render_mode)

    def _switch_on(self, seed: int) -> None:
        """Start the machine anew: a reset alone keeps what its sound chip was about to play."""
        path = roms.get_rom_path(self.rom)
        if path is None:
            raise WorldError(
                f"ale-py has no game {self.rom!r}; ale_py.roms.get_all_rom_ids() lists its games."
            )
        self._machine.setInt("random_seed", seed)
        self._machine.loadROM(path)
        self._machine.reset_game()

    def _reset(self) -> tuple[Observation, str]:
        self._switch_on(int(self.np_random.integers(2**31)))
        self._steps, self._score = 0, 0
        frame = self._small(self._machine.getScreenRGB())
        silence = np.full((FRAMES, SAMPLES), SILENCE, np.uint8)
        return self._observation([frame] * FRAMES, silence)

    def _step(self, action: int) -> tuple[Observation, float, bool, bool, str]:
        machine, reward, frames = self._machine, 0, []
        sound = np.empty((FRAMES, SAMPLES), np.uint8)
        for number in range(FRAMES):
            reward += machine.act(self._buttons[action])
            sound[number] = machine.getAudio()
            if self._video or number == FRAMES - 1:
                frames.append(self._small(machine.getScreenRGB()))
        self._steps += 1
        self._score += reward
        over = machine.game_over(with_truncation=False)
        observation, text = self._observation(frames, sound)
        return observation, reward, over, self._steps >= self._max_steps and not over, text

    def _observation(self, frames: list[np.ndarray], sound: np.ndarray) -> tuple[Observation, str]:
        """Return the observation of ``frames`` and ``sound`` (4, 512) uint8, and its sentence."""
        text = self._sentence(self._machine.getRAM())
        wave = (sound.reshape(-1, 1).astype(np.float32) - SILENCE) / np.float32(128)  # (2048, 1)
        observation = {"image": frames[-1], "audio": wave, "text": self._text.encode(text)}
        if self._video:
            observation["video"] = np.stack(frames)  # (4, height, width, 3)
        return {str(m): observation[str(m)] for m in self.specs}, text

    def _sentence(self, memory: np.ndarray) -> str:
        """Return the state in words."""
        words = [self._title]
        for name, place in self.places.items():
            words += [name, *place.words(memory)]
        return " ".join([*words, *self._figures(memory)])

    def _figures(self, memory: np.ndarray) -> list[str]:
        """Return lives, if the game has them, and score in words."""
        lives = ["lives", str(self._machine.lives())] if self._has_lives else []
        minus = ["minus"] if self._score < 0 else []
        return [*lives, "score", *minus, *str(abs(self._score))]

    def _small(self, screen: np.ndarray) -> np.ndarray:
        """Return ``screen`` (210, 160, 3) as an image of the size asked for, area averaged."""
        height, width = self._image_size
        return np.array(Image.fromarray(screen).resize((width, height), Image.Resampling.BOX))

    def render(self) -> np.ndarray | None:
        """Return the screen, ``(210, 160, 3)`` uint8, or None without a render mode."""
        return self._machine.getScreenRGB() if self.render_mode else None


class PongWorld(AtariWorld):
    """Table tennis to 21 points; the words tell the player's first."""

    world_name = "atari-pong"
    rom = "pong"
    places = {
        "ball": ScreenPlace(across=(49, 48, 207), down=(54, 46, 206), gone=True),
        "player": ScreenPlace(down=(51, 38, 203)),
    }

    def _figures(self, memory: np.ndarray) -> list[str]:
        return ["score", str(memory[14]), "to", str(memory[13])]


class BreakoutWorld(AtariWorld):
    """A wall of bricks to break with a ball, five lives."""

    world_name = "atari-breakout"
    rom = "breakout"
    places = {
        "ball": ScreenPlace(across=(99, 56, 200), down=(101, 21, 190), gone=True),
        "player": ScreenPlace(across=(72, 55, 191)),
    }


class FreewayWorld(AtariWorld):
    """A chicken crosses a road of ten lanes as often as it can in two minutes."""

    world_name = "atari-freeway"
    rom = "freeway"
    places = {"player": ScreenPlace(down=(14, 177, 6))}


class AsterixWorld(AtariWorld):
    """Helmets to catch and lyres to avoid in eight lanes, three lives."""

    world_name = "atari-asterix"
    rom = "asterix"
    places = {"player": ScreenPlace(across=(41, 20, 128), down=(39, 0, 7))}


class SpaceInvadersWorld(AtariWorld):
    """Rows of invaders that come down shooting, three lives."""

    world_name = "atari-spaceinvaders"
    rom = "space_invaders"
    places = {"player": ScreenPlace(across=(28, 35, 117))}


class MsPacmanWorld(AtariWorld):
    """Pills to eat in a maze with four ghosts, three lives."""

    world_name = "atari-mspacman"
    rom = "ms_pacman"
    places = {"player": ScreenPlace(across=(10, 8, 168), down=(16, 0, 165))}


def _phrase(button: str) -> str:
    """Return the name of a joystick position, "UPRIGHTFIRE", in words: "move up right fire"."""
    names = [name.lower() for name in BUTTONS.findall(button)]
    if names == ["noop"]:
        return "wait"
    return " ".join(names if names == ["fire"] else ["move", *names])
