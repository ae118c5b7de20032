"""The Doom rooms: shoot a monster that is seen, heard or named; image, sound, words, numbers."""

from __future__ import annotations

import re
from typing import ClassVar

from .doom import DoomWorld
from .doom_process import vzd

HALF_WIDTH = 31  # of a monster, in units: nearer to the middle than this, a shot hits
STATE_WORDS = ("ammo", "gun", "ready", "busy", *(str(number) for number in range(51)))


class DoomRoom(DoomWorld):
    """A wide room with a monster to shoot at a random place on the far wall.

    Shapes, ends and options are those of :class:`DoomWorld`; the monster is 5 pixels wide. The text
    has 6 slots, "ammo 50 gun ready monster alive", and the numbers are ammo, attack ready, own
    lateral position and speed (health may be asked for). None tells where the monster is.

    A step costs 4 points, a shot 5 more, a kill brings about 101 and ends the episode
    (``terminated``); after 300 ticks it is ``truncated``. What the game says (a notification) lasts
    one step there, and here until it says something else. The caption says where the monster is:
    "left", "ahead", "right".
    """

    # The buttons of the scenario are left, right, attack; the actions are those of VizdoomBasic-v1.
    moves = {
        "wait": (0.0, 0.0, 0.0),
        "attack": (0.0, 0.0, 1.0),
        "move right": (0.0, 1.0, 0.0),
        "move left": (1.0, 0.0, 0.0),
    }
    numbers = {
        "ammo": (vzd.GameVariable.AMMO2, 0.0, 50.0),
        "health": (vzd.GameVariable.HEALTH, 0.0, 100.0),
        "attack_ready": (vzd.GameVariable.ATTACK_READY, 0.0, 1.0),
        "position": (vzd.GameVariable.POSITION_Y, -176.0, 240.0),  # the room is 416 units wide
        "speed": (vzd.GameVariable.VELOCITY_Y, -8.0, 8.0),  # units a tick; 6.94 at most
    }
    default_numbers = ("ammo", "attack_ready", "position", "speed")
    words: ClassVar[tuple[str, ...]] = (*STATE_WORDS, "monster", "alive", "dead")
    slots = 6
    caption_words = ("left", "right", "ahead")
    caption_slots = 1

    def _begin(self) -> None:
        self._notice, self._side = "", ""

    def _notice_state(self, game: vzd.DoomGame, state: vzd.GameState) -> None:
        self._notice = " ".join(_words(state.notifications_buffer)) or self._notice
        if self._caption:
            self._side = self._where(game, state)

    def _sentence(self, game: vzd.DoomGame) -> str:
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
    words = (*STATE_WORDS, "kills", "shoot", "demon", "cacodemon", "doomimp")
    slots = 8

    def _outcome(self, kills: int) -> str:
        return f"kills {kills}"

    def _target(self) -> str:
        return self._notice.removeprefix("shoot ")


def _words(notification: str | None) -> list[str]:
    """Return the words that the game says, in lower case and without punctuation."""
    return re.findall(r"[a-z0-9]+", (notification or "").lower())
