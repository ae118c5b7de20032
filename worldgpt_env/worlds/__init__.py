"""Real environments in one Dict space: the truth that a model learns and a policy is judged in."""

from .gym_world import GymWorld, wrap
from .registry import make_world, register_world, world_names
from .world import World, WorldError

__all__ = ["GymWorld", "World", "WorldError", "make_world", "register_world", "world_names", "wrap"]
