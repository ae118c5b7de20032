"""Walk one `env.step` with a profiler: the files of ours that it visits, and what it does twice.

    python docs/walk.py              # the table of docs/architecture.md
    python docs/walk.py --calls      # every call of one step, in order
    python docs/walk.py doom-audio   # of another embedded world, or the folder of a model

A *call* is a call of one of our own functions, comprehensions left out. A *move* is a call whose
file is not that of the call before it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import gymnasium as gym

import worldgpt_env

ROOT = Path(worldgpt_env.__file__).resolve().parent.parent
OURS = tuple(str(ROOT / name) for name in ("model", "worldgpt_env", "policies", "training"))
COUNTED = {
    "action checked": ("ActionValidator._check", "ActionValidator.one"),
    "finiteness checked": ("Imagination._check",),
}


@dataclass
class Walk:
    """What was called in one step.

    Attributes:
        calls: file, function and modality (of a codec's function, else "") of each, in order.
    """

    calls: list[tuple[str, str, str]] = field(default_factory=list)

    def notice(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call of one of our functions; this is what `sys.setprofile` calls."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(OURS):
            return
        if "<" in code.co_qualname.rpartition(".")[2]:  # a comprehension or a lambda
            return
        modality = getattr(frame.f_locals.get("self"), "modality", "")
        file = str(Path(code.co_filename).relative_to(ROOT))
        self.calls.append((file, code.co_qualname, str(modality)))

    @property
    def files(self) -> list[str]:
        """The files, in the order of their first call."""
        return list(dict.fromkeys(file for file, _, _ in self.calls))

    def figures(self) -> dict[str, int]:
        """Return the row of the table."""
        files = [file for file, _, _ in self.calls]
        done = Counter((name.rpartition(".")[2], modality) for _, name, modality in self.calls)
        names = Counter(name for _, name, _ in self.calls)
        return {
            "files": len(set(files)),
            "functions": len({call[:2] for call in self.calls}),
            "calls": len(files),
            "moves": sum(one != other for one, other in zip(files, files[1:], strict=False)),
            "image decoded": done["decode", "image"],
            "text decoded": done["decode", "text"],
            "latents computed": done["latent", "image"],
            **{what: max(names[name] for name in known) for what, known in COUNTED.items()},
        }


def walk(model: str, obs_mode: str, render: bool) -> Walk:
    """Return the walk of the third step of an episode, and of its picture if `render`."""
    env: Any = gym.make(
        "WorldGPT-v0", model=model, obs_mode=obs_mode, render_mode="rgb_array" if render else None
    ).unwrapped
    env.reset(seed=0)
    for _ in range(2):  # what is computed once is computed by now
        env.step(1)
        env.render() if render else None
    found = Walk()
    sys.setprofile(found.notice)
    try:
        env.step(1)
        env.render() if render else None
    finally:
        sys.setprofile(None)
    env.close()
    return found


def main() -> None:
    """Print the table, or the calls."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="doorkey")
    parser.add_argument("--calls", action="store_true", help="print every call instead")
    options = parser.parse_args()
    if options.calls:
        for file, name, modality in walk(options.model, "decoded", True).calls:
            print(f"{file:40s} {name} {modality}".rstrip())
        return
    rows = {
        f"{mode}{', with render' if render else ''}": walk(options.model, mode, render)
        for mode in ("decoded", "latent")
        for render in (False, True)
    }
    names = list(next(iter(rows.values())).figures())
    print("| one `env.step` of", options.model, "|", " | ".join(names), "|")
    print("|---|" + "---|" * len(names))
    for title, found in rows.items():
        print(f"| {title} |", " | ".join(str(n) for n in found.figures().values()), "|")
    print("\nfiles:", ", ".join(rows["decoded, with render"].files))


if __name__ == "__main__":
    main()
