"""Trust: how far returns, ends, rewards and doubts of any world model agree with the real world."""

from .card import TrustCard
from .protocol import TrustedWorld, WorldStep
from .ranked_policy import RankedPolicy
from .trust import TrustConfig, measure_trust, trust

__all__ = [
    "RankedPolicy",
    "TrustCard",
    "TrustConfig",
    "TrustedWorld",
    "WorldStep",
    "measure_trust",
    "trust",
]
