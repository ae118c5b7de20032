"""What every test runs under: one thread per process, no network, no window."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # faster than two for tensors this small
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
