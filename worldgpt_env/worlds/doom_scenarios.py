"""The Doom scenarios: live on medikits, dodge, defend, find the way, fight along a corridor."""

from __future__ import annotations

import math
from typing import ClassVar

from .doom import DoomWorld
from .doom_process import vzd

AHEAD, BEHIND = 15, 135  # degrees off the middle of the view
COUNTS = tuple(str(number) for number in range(101))
FIGHT_WORDS = ("health", "hurt", "ammo", "gun", "ready", "busy", "kills", *COUNTS)
POINTS = ("east", "north", "west", "south")  # as angles count: from the east, to the left


class DoomScenario(DoomWorld):
    """A scenario in which the player turns or walks, and may die.

    Shapes, ends and options are those of :class:`DoomWorld`. The words tell "hurt" in a step that
    cost health; the caption says where the nearest thing that matters is: "left" or "right" of the
    view, "ahead" (within 15 degrees) or "behind", as "medikit left"; "no medikit" if there is none.
    """

    target: ClassVar[str]  # the thing that matters, in a word
    targets: ClassVar[frozenset[str]]  # what the game calls it
    caption_slots = 2

    def __init_subclass__(cls) -> None:
        """Give the caption its words."""
        super().__init_subclass__()
        cls.caption_words = (cls.target, "no", "left", "right", "ahead", "behind")

    def _begin(self) -> None:
        self._health: float | None = None
        self._said, self._where = "", ""

    def _notice_state(self, game: vzd.DoomGame, state: vzd.GameState) -> None:
        self._said = (state.notifications_buffer or "").lower()
        if self._caption:
            self._where = self._nearest(game, state)

    def _sentence(self, game: vzd.DoomGame) -> str:
        before, self._health = self._health, self._number(game, vzd.GameVariable.HEALTH)
        hurt = before is not None and self._health < before
        parts = [*self._facts(game), "hurt" * hurt, self._where]
        return " ".join(part for part in parts if part)

    def _facts(self, game: vzd.DoomGame) -> list[str]:
        """Return what the words tell of the game, but for "hurt" and the caption."""
        return [f"health {int(self._number(game, vzd.GameVariable.HEALTH))}"]

    def _nearest(self, game: vzd.DoomGame, state: vzd.GameState) -> str:
        """Return where the nearest of ``targets`` is, seen from the player."""
        x, y, angle = (
            game.get_game_variable(variable)
            for variable in (
                vzd.GameVariable.POSITION_X,
                vzd.GameVariable.POSITION_Y,
                vzd.GameVariable.ANGLE,
            )
        )
        offsets = [
            (thing.position_x - x, thing.position_y - y)
            for thing in state.objects or ()
            if thing.name in self.targets
        ]
        if not offsets:
            return f"no {self.target}"
        east, north = min(offsets, key=lambda offset: math.hypot(*offset))
        turn = (math.degrees(math.atan2(north, east)) - angle + 180) % 360 - 180
        side = "left" if turn > 0 else "right"
        side = "ahead" if abs(turn) < AHEAD else "behind" if abs(turn) > BEHIND else side
        return f"{self.target} {side}"


class DoomFight(DoomScenario):
    """A scenario with a gun: "health 90 ammo 20 gun ready kills 3 hurt"."""

    words = FIGHT_WORDS
    slots = 9
    target = "monster"

    def _facts(self, game: vzd.DoomGame) -> list[str]:
        ammo = int(game.get_game_variable(vzd.GameVariable.AMMO2))
        ready = "ready" if game.get_game_variable(vzd.GameVariable.ATTACK_READY) else "busy"
        kills = int(game.get_game_variable(vzd.GameVariable.KILLCOUNT))
        return [*super()._facts(game), f"ammo {ammo} gun {ready} kills {kills}"]


class DoomHealthWorld(DoomScenario):
    """HealthGathering: the floor burns, and medikits that lie around keep the player alive.

    Each tick alive is 1 point, death costs 100; 525 steps at most. "health 68 hurt", "health 80
    refill" in the step of a medikit; health, position in the square room and angle in degrees.
    """

    world_name = "doom-health"
    scenario = "health_gathering.cfg"
    moves = {
        "wait": (0.0, 0.0, 0.0),
        "turn left": (1.0, 0.0, 0.0),
        "turn right": (0.0, 1.0, 0.0),
        "move forward": (0.0, 0.0, 1.0),
    }
    numbers = {
        "health": (vzd.GameVariable.HEALTH, 0.0, 100.0),
        "east": (vzd.GameVariable.POSITION_X, 0.0, 1216.0),
        "north": (vzd.GameVariable.POSITION_Y, 0.0, 1216.0),
        "angle": (vzd.GameVariable.ANGLE, 0.0, 360.0),
    }
    default_numbers = tuple(numbers)
    words = ("health", "hurt", "refill", *COUNTS)
    slots = 4
    target = "medikit"
    targets = frozenset({"Medikit"})

    def _facts(self, game: vzd.DoomGame) -> list[str]:
        return [*super()._facts(game), "refill" * ("health refill" in self._said)]


class DoomCoverWorld(DoomScenario):
    """TakeCover: step aside of the fireballs of more and more monsters.

    Each tick alive is 1 point. The scenario has no time limit; here it is 2100 ticks (525 steps).
    "health 76 hurt"; health and the position along the wall, which is 768 units long.
    """

    world_name = "doom-cover"
    scenario = "take_cover.cfg"
    time_limit = 2100
    moves = {"wait": (0.0, 0.0), "move left": (1.0, 0.0), "move right": (0.0, 1.0)}
    numbers = {
        "health": (vzd.GameVariable.HEALTH, 0.0, 100.0),
        "position": (vzd.GameVariable.POSITION_Y, 0.0, 768.0),
    }
    default_numbers = tuple(numbers)
    words = ("health", "hurt", *COUNTS)
    slots = 3
    target = "fireball"
    targets = frozenset({"DoomImpBall"})


class DoomCenterWorld(DoomFight):
    """DefendTheCenter: turn on the spot and shoot what comes from all sides, with 26 bullets.

    A kill is 1 point, death costs 1; 525 steps at most. The numbers are health, ammo, whether the
    gun is ready, kills and the angle in degrees.
    """

    world_name = "doom-center"
    scenario = "defend_the_center.cfg"
    moves = {
        "wait": (0.0, 0.0, 0.0),
        "turn left": (1.0, 0.0, 0.0),
        "turn right": (0.0, 1.0, 0.0),
        "attack": (0.0, 0.0, 1.0),
    }
    numbers = {
        "health": (vzd.GameVariable.HEALTH, 0.0, 100.0),
        "ammo": (vzd.GameVariable.AMMO2, 0.0, 26.0),
        "attack_ready": (vzd.GameVariable.ATTACK_READY, 0.0, 1.0),
        "kills": (vzd.GameVariable.KILLCOUNT, 0.0, 26.0),
        "angle": (vzd.GameVariable.ANGLE, 0.0, 360.0),
    }
    default_numbers = tuple(numbers)
    targets = frozenset({"Demon", "MarineChainsawVzd"})


class DoomHomeWorld(DoomScenario):
    """MyWayHome: find the armor in one of nine rooms, from a start at random.

    The armor is 1 point and the end, a tick costs 0.0001; 525 steps at most, and almost no sound.
    "facing north walking"; position in the map and angle in degrees. The game itself may take one
    step more to end than to pay.
    """

    world_name = "doom-home"
    scenario = "my_way_home.cfg"
    moves = {
        "wait": (0.0, 0.0, 0.0, 0.0, 0.0),
        "turn left": (1.0, 0.0, 0.0, 0.0, 0.0),
        "turn right": (0.0, 1.0, 0.0, 0.0, 0.0),
        "move forward": (0.0, 0.0, 1.0, 0.0, 0.0),
        "move left": (0.0, 0.0, 0.0, 1.0, 0.0),
        "move right": (0.0, 0.0, 0.0, 0.0, 1.0),
    }
    numbers = {
        "east": (vzd.GameVariable.POSITION_X, 160.0, 1120.0),
        "north": (vzd.GameVariable.POSITION_Y, -704.0, 128.0),
        "angle": (vzd.GameVariable.ANGLE, 0.0, 360.0),
    }
    default_numbers = tuple(numbers)
    words = ("facing", *POINTS, "standing", "walking", "hurt")
    slots = 3
    target = "armor"
    targets = frozenset({"GreenArmor"})

    def _ended(self, game: vzd.DoomGame, reward: float) -> tuple[bool, bool]:
        return (True, False) if reward > 0 else super()._ended(game, reward)

    def _facts(self, game: vzd.DoomGame) -> list[str]:
        point = POINTS[round(game.get_game_variable(vzd.GameVariable.ANGLE) / 90) % 4]
        speed = math.hypot(
            game.get_game_variable(vzd.GameVariable.VELOCITY_X),
            game.get_game_variable(vzd.GameVariable.VELOCITY_Y),
        )
        return [f"facing {point} {'walking' if speed > 1 else 'standing'}"]


class DoomCorridorWorld(DoomFight):
    """DeadlyCorridor: past six monsters to the armor at the far end, on the hardest level.

    The reward is the way made towards the armor, in units; death costs 100; 525 steps at most. The
    numbers are health, ammo, whether the gun is ready, kills, position and the angle in degrees.
    """

    world_name = "doom-corridor"
    scenario = "deadly_corridor.cfg"
    moves = {
        "wait": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        "move left": (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        "move right": (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        "attack": (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0),
        "move forward": (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0),
        "move backward": (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0),
        "turn left": (0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        "turn right": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    }
    numbers = {
        "health": (vzd.GameVariable.HEALTH, 0.0, 100.0),
        "ammo": (vzd.GameVariable.AMMO2, 0.0, 200.0),
        "attack_ready": (vzd.GameVariable.ATTACK_READY, 0.0, 1.0),
        "kills": (vzd.GameVariable.KILLCOUNT, 0.0, 6.0),
        "east": (vzd.GameVariable.POSITION_X, -32.0, 1344.0),
        "north": (vzd.GameVariable.POSITION_Y, -96.0, 96.0),
        "angle": (vzd.GameVariable.ANGLE, 0.0, 360.0),
    }
    default_numbers = tuple(numbers)
    words = (*FIGHT_WORDS, *(str(number) for number in range(101, 201)))  # bullets to pick up
    targets = frozenset({"ChaingunGuy", "ShotgunGuy", "Zombieman"})
