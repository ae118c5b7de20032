"""Rollout: many imagined episodes side by side, one forward pass a step."""
