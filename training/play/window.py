"""PlayWindow: the window of ``worldgpt play``, its keys and its sound."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from worldgpt_env.model.errors import WorldGPTError
from worldgpt_env.model.modalities import AudioSpec, Modality
from worldgpt_env.rendering import PygameWindow, draw_panel, draw_status, save_gif

from .keys import ActionKeys
from .session import PlayConfig, PlaySession

HELP = (
    "TAB you/policy   F2 dream/real   ENTER new   T start in words   P pause   . one step",
    "PageUp/PageDown horizon   F12 record   ESC quit",
)


def play(config: PlayConfig) -> dict[str, Any]:
    """Open a window and play until it is closed.

    Returns:
        ``model``, ``episodes``, ``steps`` in all, and ``recordings``, the GIFs that were recorded.

    Raises:
        MissingDependencyError: pygame is not installed.
        WorldGPTError: the model or the policy cannot be opened.
    """
    session = PlaySession(config)
    try:
        return PlayWindow(session, config).run()
    finally:
        session.close()


class PlayWindow:
    """Shows a session and hands keys to it.

    Args:
        session: what is played.
        config: pace, size and sound.
    """

    def __init__(self, session: PlaySession, config: PlayConfig) -> None:
        """Prepare the window; it opens with the first picture."""
        self._window = PygameWindow(f"WorldGPT: {session.world_name}", keep_events=True)
        import pygame

        self._pygame = pygame
        self.session, self.config = session, config
        self.keys = ActionKeys.of(session.action_spec)
        self.policy_acts = config.policy is not None
        self.paused = self.closed = False
        self.message = ""
        self._typed: str | None = None
        self._frames: list[np.ndarray] | None = None
        self._recordings: list[Path] = []
        self._steps = self._episodes = 0
        self._sound = None if config.muted else self._open_sound()

    def run(self) -> dict[str, Any]:
        """Play until the window is closed."""
        shown = 0
        self._show()
        while not self.closed and shown != self.config.frames:
            self._turn()
            self._show()
            shown += 1
        self._stop_recording()
        self._window.close()
        return {
            "model": self.config.model,
            "episodes": self._episodes + 1,
            "steps": self._steps,
            "recordings": [str(path) for path in self._recordings],
        }

    # a picture's time -----------------------------------------------------------------------------

    def _turn(self) -> None:
        """Read the keys, and take the step that is due."""
        pressed = None
        for event in self._pygame.event.get():
            if event.type == self._pygame.QUIT:
                self.closed = True
            elif event.type == self._pygame.KEYDOWN:
                found = self._press(self._pygame.key.name(event.key), event.unicode)
                pressed = found if found is not None else pressed
        try:
            if not self.closed and self._typed is None and not self.paused:
                self._act(pressed)
        except WorldGPTError as error:
            self.message = str(error)

    def _act(self, pressed: object | None) -> None:
        """Take the step of the policy, of a key, or the idle one of a world that does not wait."""
        if self.policy_acts:
            if self.session.status.ended:
                self._begin()
            else:
                self._step(self.session.choose())
            return
        action = pressed if pressed is not None else self._held()
        action = self.keys.idle if action is None else action
        if action is not None:
            self._step(action)

    def _held(self) -> object | None:
        """Return the action of a key that is still down; a world that waits takes it once."""
        if self.keys.idle is None or not self._pygame.display.get_init():
            return None
        down = self._pygame.key.get_pressed()
        for key, action in self.keys.keys.items():
            if down[self._pygame.key.key_code(key)]:
                return action
        return None

    def _step(self, action: object) -> None:
        if self.session.status.ended:
            self.message = "the episode is over: ENTER begins a new one"
            return
        self.message = ""
        self.session.step(action)
        self._steps += 1
        self._play_sound()

    def _begin(self, description: str = "") -> None:
        self.message = ""
        self.session.reset(description)
        self._episodes += 1

    # keys ---------------------------------------------------------------------------------------

    def _press(self, key: str, text: str) -> object | None:
        """Do what a key asks for; return the action that it stands for, if any."""
        try:
            if self._typed is not None:
                self._type(key, text)
                return None
            command = {
                "escape": self._quit,
                "tab": self._switch_player,
                "f2": self._switch_world,
                "return": self._begin,
                "t": self._start_typing,
                "p": self._pause,
                ".": self._single,
                "page up": lambda: self.session.change_horizon(8),
                "page down": lambda: self.session.change_horizon(-8),
                "f12": self._record,
            }.get(key)
            if command is not None:
                command()
                return None
        except WorldGPTError as error:
            self.message = str(error)
        return self.keys.keys.get(key)

    def _quit(self) -> None:
        self.closed = True

    def _switch_player(self) -> None:
        self.policy_acts = not self.policy_acts

    def _switch_world(self) -> None:
        self.session.switch_world()
        self._episodes += 1

    def _pause(self) -> None:
        self.paused = not self.paused

    def _single(self) -> None:
        """Take one step and pause."""
        self.paused = True
        self._act(None)

    def _start_typing(self) -> None:
        self._typed = ""

    def _type(self, key: str, text: str) -> None:
        """Add a letter; ENTER takes the words as an action, or as the state to begin with."""
        assert self._typed is not None
        if key == "escape":
            self._typed = None
        elif key == "return":
            words, self._typed = self._typed, None
            if words and self.keys.typed:
                self._step(words)
            elif words:
                self._begin(words)
        elif key == "backspace":
            self._typed = self._typed[:-1]
        elif text.isprintable():
            self._typed += text

    # pictures and sound -------------------------------------------------------------------------

    def _show(self) -> None:
        """Draw the present state and the status below it, and wait for the next picture."""
        session, status = self.session, self.session.status
        who = "policy" if self.policy_acts else "you"
        where = "dream" if session.dreams else "real world"
        limit = f"/{session.horizon}" if session.dreams else ""
        lines = [
            f"{where}   {who}   step {status.step}{limit}   {status.action}",
            f"reward {status.reward:+.2f}   return {status.total:+.2f}   {status.ended}",
            self.message if self._typed is None else f"> {self._typed}_",
            self.keys.legend(session.action_spec),
            *HELP,
        ]
        lines[0] += "   paused" * self.paused + "   recording" * (self._frames is not None)
        bars = {}
        if status.uncertainty is not None and status.consistency is not None:
            bars = {"uncertainty": status.uncertainty, "consistency": status.consistency}
        picture = draw_panel(session.observation, session.specs)
        picture = draw_status(picture, lines, bars, self.config.scale)
        if self._frames is not None:
            self._frames.append(picture)
        self._window.show(picture, self.config.fps)

    def _record(self) -> None:
        """Begin to record pictures, or write those that were recorded."""
        if self._frames is None:
            self._frames = []
        else:
            self._stop_recording()

    def _stop_recording(self) -> None:
        if self._frames:
            number = 1
            while (path := self.config.out / f"play-{number}.gif").exists():
                number += 1
            path.parent.mkdir(parents=True, exist_ok=True)
            self._recordings.append(save_gif(self._frames, path, self.config.fps))
            self.message = f"recorded {path}"
        self._frames = None

    def _open_sound(self) -> AudioSpec | None:
        """Open the sound device at the rate of the world; None without sound or device."""
        spec = self.session.specs.get(Modality.AUDIO)
        if not isinstance(spec, AudioSpec):
            return None
        try:
            self._pygame.mixer.init(spec.rate, -16, spec.channels, 512)
        except self._pygame.error as error:
            self.message = f"no sound: {error}"
            return None
        return spec

    def _play_sound(self) -> None:
        """Play the sound of the step, behind that of the step before."""
        device = self._pygame.mixer.get_init() if self._sound is not None else None
        if device is None:
            return
        sound = self.session.observation[str(Modality.AUDIO)]  # (samples, channels)
        channels = device[2]
        samples = np.repeat(sound, channels, 1)[:, :channels] if sound.shape[1] == 1 else sound
        data = (samples * 32767).astype(np.int16).tobytes()
        with suppress(self._pygame.error):  # the device may be gone
            self._pygame.mixer.find_channel(True).queue(self._pygame.mixer.Sound(buffer=data))
