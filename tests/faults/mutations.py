"""Mutations of what lies on disk, and what comes of using it: the same, a refusal, or a fault.

`python tests/faults/mutations.py --json FILE` tries all of them and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from artifacts import ARTIFACTS, Artifact
from safetensors.torch import load_file, save_file

from worldgpt_env.model.errors import WorldGPTError

SECONDS = 10.0  # of a processor
LATE = 120  # on the clock, for what waits for ever
MEMORY = 2**31
GOOD = ("same", "refused", "other")


@dataclass(frozen=True)
class Mutation:
    """One change of a folder.

    Attributes:
        kind: what group it is counted in.
        name: what it does, to find it again.
        apply: changes the folder.
        sealed: it was made to look as written: another valid one is no fault.
    """

    kind: str
    name: str
    apply: Callable[[Path], None]
    sealed: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one mutation: ``"same"``, ``"refused"``, ``"other"`` or a fault, and why."""

    artifact: str
    kind: str
    name: str
    outcome: str
    said: str
    seconds: float


# bytes ------------------------------------------------------------------------------------------


def of_bytes(folder: Path, other: Path, flips: int, seed: int = 0) -> Iterator[Mutation]:
    """Yield damages of every file: flipped bits, cut, zeroed, replaced, gone, something else."""
    random = np.random.default_rng(seed)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    for file in files:
        size = (folder / file).stat().st_size
        head = min(size, 2048)  # where sizes and names stand
        counts = (flips, flips // 2, 3) if size else (0, 0, 0)
        places = [*random.integers(0, size or 1, counts[0])]
        places += [*random.integers(0, head or 1, counts[1])]
        for place in places:
            bit = int(random.integers(8))
            yield Mutation("bits", f"{file} bit {place}.{bit}", _flip(file, int(place), bit))
        for keep in sorted({0, 1, 7, 8, size // 10, size // 2, max(size - 1, 0)}):
            yield Mutation("cut", f"{file} cut to {keep}", _write(file, lambda d, k=keep: d[:k]))
        for start in random.integers(0, size or 1, counts[2]):
            zeros = _write(
                file, lambda d, s=int(start): d[:s] + bytes(len(d[s : s + 512])) + d[s + 512 :]
            )
            yield Mutation("zeros", f"{file} zeros at {start}", zeros)
        noise = random.integers(0, 256, size, dtype=np.uint8).tobytes()
        yield Mutation("zeros", f"{file} all zeros", _write(file, lambda d: bytes(len(d))))
        yield Mutation("zeros", f"{file} noise", _write(file, lambda d, n=noise: n))
        yield Mutation("cut", f"{file} twice", _write(file, lambda d: d + d))
        yield Mutation("cut", f"{file} longer", _write(file, lambda d: d + b"\0\n"))
        yield Mutation("files", f"{file} gone", lambda f, n=file: (f / n).unlink())
        yield Mutation("files", f"{file} a folder", _instead(file, lambda p: p.mkdir()))
        yield Mutation("files", f"{file} a pipe", _instead(file, os.mkfifo))
        yield Mutation("files", f"{file} a circle", _instead(file, lambda p: p.symlink_to(p)))
        for second in files:
            if second != file:
                yield Mutation("files", f"{second} as {file}", _copy(folder / second, file))
        if (other / file).is_file():  # alone, it is another one, and whole
            alone = len(files) == 1
            yield Mutation("files", f"{file} of another", _copy(other / file, file), alone)
        number = file.with_name(f"999999{file.suffix}")
        yield Mutation("files", f"{file} as {number.name}", _copy(folder / file, number))


def _flip(file: Path, place: int, bit: int) -> Callable[[Path], None]:
    def change(data: bytes) -> bytes:
        damaged = bytearray(data)
        damaged[place] ^= 1 << bit
        return bytes(damaged)

    return _write(file, change)


def _zeros(start: int, count: int = 512) -> Callable[[bytes], bytes]:
    return lambda d: d[:start] + bytes(len(d[start : start + count])) + d[start + count :]


def _write(file: Path, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes(change((folder / file).read_bytes()))


def _instead(file: Path, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / file).unlink()
        make(folder / file)

    return apply


def _copy(source: Path, file: Path) -> Callable[[Path], None]:
    return lambda folder: shutil.copy(source, folder / file)


# JSON -------------------------------------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    None, "", "x", "NaN", "\ud800", "a" * 10**5, 0, 1, -1, 2, 0.5, 1e9, 10**6, 10**9, 10**12,
    10**30, 64_000, -(10**9), 1e300, float("nan"), float("inf"), True, False, [], {}, [[]], [0],
    {"x": 1}, ["x"] * 1000,
)  # fmt: skip
TEXTS: dict[str, Callable[[str], bytes]] = {
    "empty": lambda t: b"",
    "a list": lambda t: b"[]",
    "null": lambda t: b"null",
    "a number": lambda t: b"3",
    "a text": lambda t: b'"x"',
    "no JSON": lambda t: b"{oops",
    "not UTF-8": lambda t: t.encode() + b"\xff\xfe",
    "UTF-16": lambda t: t.encode("utf-16"),
    "a BOM": lambda t: b"\xef\xbb\xbf" + t.encode(),
    "a comma": lambda t: t.rstrip().removesuffix("}").encode() + b",}",
    "deep lists": lambda t: b"[" * 200_000,
    "deep objects": lambda t: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep within": lambda t: _first_field(t, "[" * 50_000 + "]" * 50_000),
    "long number": lambda t: _first_field(t, "9" * 10_000),
    "1e999": lambda t: _first_field(t, "1e999"),
    "Infinity": lambda t: _first_field(t, "-Infinity"),
    "a key twice": lambda t: _twice(t),
    "20 MiB of blanks": lambda t: t.encode() + b" " * 20 * 2**20,
    "wrapped": lambda t: b"[" + t.encode() + b"]",
}


def of_json(artifact: Artifact, folder: Path, sealed: bool) -> Iterator[Mutation]:
    """Yield changes of every field of every JSON file, and of the files as a whole."""
    reseal = artifact.reseal if sealed else None
    if sealed and reseal is None:
        return
    kind = "JSON, sealed" if sealed else "JSON"
    for path in sorted(folder.rglob("*.json")):
        if sealed and path.name == "manifest.json":  # sealing writes it anew
            continue
        file, data = path.relative_to(folder), json.loads(path.read_text())
        for name, change in TEXTS.items():
            if not sealed:
                yield Mutation(
                    kind, f"{file} {name}", _write(file, lambda d, c=change: c(d.decode()))
                )
        for place in _places(data):
            yield _edit(kind, file, place, "missing", reseal)
            for value in VALUES:
                yield _edit(kind, file, place, value, reseal)


def _edit(
    kind: str, file: Path, place: list[Any], value: Any, reseal: Callable[[Path], None] | None
) -> Mutation:
    def apply(folder: Path) -> None:
        data = json.loads((folder / file).read_text())
        part = data
        for step in place[:-1]:
            part = part[step]
        if isinstance(value, str) and value == "missing":
            del part[place[-1]]
        else:
            part[place[-1]] = value
        (folder / file).write_text(json.dumps(data, indent=1))
        if reseal is not None:
            reseal(folder)

    where = ".".join(map(str, place))
    return Mutation(kind, f"{file} {where} = {value!r:.30}", apply, reseal is not None)


def _places(data: Any, most: int = 4) -> list[list[Any]]:
    """Return the way to every field, and to the first and last items of lists."""
    found: list[list[Any]] = []
    items: list[tuple[Any, Any]] = []
    if isinstance(data, dict):
        items = list(data.items())
    elif isinstance(data, list):
        items = [(n, data[n]) for n in sorted({0, len(data) - 1}) if 0 <= n < len(data)]
    for name, part in items:
        found.append([name])
        found += [[name, *rest] for rest in _places(part)] if most else []
    return found


def _first_field(text: str, value: str) -> bytes:
    data = json.loads(text)
    changed = {**data, next(iter(data)): "HERE"} if isinstance(data, dict) else ["HERE", *data]
    return json.dumps(changed).replace('"HERE"', value, 1).encode()


def _twice(text: str) -> bytes:
    data = json.loads(text)
    if isinstance(data, list):
        return b'[{"x":0,"x":1}]'
    name = next(iter(data))
    return b"{" + json.dumps(name).encode() + b":0," + text.lstrip()[1:].encode()


# tensors ----------------------------------------------------------------------------------------


def of_tensors(artifact: Artifact, folder: Path) -> Iterator[Mutation]:
    """Yield NaN and infinity in every tensor, and other shapes, types and names, sealed again."""
    if artifact.reseal is None:
        return
    for path in sorted(folder.rglob("*.safetensors")):
        file = path.relative_to(folder)
        for name, tensor in load_file(path).items():
            changes: dict[str, Callable[[dict[str, torch.Tensor]], None]] = {
                "gone": lambda t, n=name: t.pop(n),
                "more": lambda t, n=name: t.update({f"{n}.more": t[n].clone()}),
                "flat": lambda t, n=name: t.update({n: t[n].flatten()[None]}),
                "longer": lambda t, n=name: t.update({n: torch.cat([t[n].flatten()] * 2)}),
                "none": lambda t, n=name: t.update({n: t[n].flatten()[:0]}),
                "whole": lambda t, n=name: t.update({n: t[n].to(torch.int64) * 1000 - 7}),
                "float": lambda t, n=name: t.update({n: t[n].double() + 0.5}),
            }
            if tensor.is_floating_point() and tensor.numel():
                for value in ("nan", "inf", "-inf"):
                    changes[value] = lambda t, n=name, v=value: _put(t[n], float(v))
            for what, change in changes.items():
                yield Mutation(
                    "tensors, sealed",
                    f"{file} {name} {what}",
                    _retensor(file, change, artifact),
                    True,
                )


def _put(tensor: torch.Tensor, value: float) -> None:
    tensor.view(-1)[tensor.numel() // 2] = value


def _retensor(
    file: Path, change: Callable[[dict[str, torch.Tensor]], Any], artifact: Artifact
) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors = {name: part.clone() for name, part in load_file(folder / file).items()}
        change(tensors)
        save_file(tensors, folder / file)
        assert artifact.reseal is not None
        artifact.reseal(folder)

    return apply


# trying -----------------------------------------------------------------------------------------


def all_of(artifact: Artifact, folder: Path, other: Path, flips: int = 40) -> Iterator[Mutation]:
    """Yield every mutation of the artifact in ``folder``; ``other`` is another one of its kind."""
    yield from of_bytes(folder, other, flips)
    yield from of_json(artifact, folder, sealed=False)
    yield from of_json(artifact, folder, sealed=True)
    yield from of_tensors(artifact, folder)


class Trial:
    """An artifact that is mutated and used again and again, each time from its whole state."""

    def __init__(self, artifact: Artifact, root: Path) -> None:
        """Build it twice, and use it once."""
        self.artifact, self.root = artifact, root
        self.whole, self.other, self.place = root / "whole", root / "other", root / "place"
        artifact.build(self.whole, 0)
        artifact.build(self.other, 1)
        self.expected = self._use()

    def mutations(self, flips: int = 40) -> list[Mutation]:
        """Return every mutation."""
        return list(all_of(self.artifact, self.whole, self.other, flips))

    def run(self, mutation: Mutation) -> Outcome:
        """Return what comes of ``mutation``."""
        said, began = "", time.process_time()  # others may use the machine as well
        before = _largest()
        try:
            signal.setitimer(signal.ITIMER_REAL, LATE)
            outcome = "same" if self._use(mutation) == self.expected else "silent"
            outcome = "other" if outcome == "silent" and mutation.sealed else outcome
        except WorldGPTError as error:
            said = str(error)
            outcome = "refused" if _is_sentence(said) else "no sentence"
        except Exception as error:
            said, outcome = f"{type(error).__name__}: {error}", "traceback"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        seconds = time.process_time() - began
        late = seconds > SECONDS or f"over {LATE} seconds" in said
        outcome = "slow" if late else outcome
        outcome = "memory" if _largest() - before > MEMORY else outcome
        return Outcome(
            self.artifact.name, mutation.kind, mutation.name, outcome, said[:500], round(seconds, 2)
        )

    def _use(self, mutation: Mutation | None = None) -> str:
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.whole, self.place)
        if mutation is not None:
            mutation.apply(self.place)
        return self.artifact.use(self.place)


def _is_sentence(said: str) -> bool:
    """Return whether an error says something, on one line that can be read."""
    return 10 < len(said) < 2000 and "\n" not in said


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def guard() -> None:
    """End what takes too long by an error, and the process if it takes too much memory."""

    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"over {LATE} seconds")

    def watch() -> None:
        while True:
            time.sleep(0.05)
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            if pages * os.sysconf("SC_PAGE_SIZE") > 2 * MEMORY:
                print(f"over {2 * MEMORY} bytes of memory", file=sys.stderr, flush=True)
                os._exit(1)

    signal.signal(signal.SIGALRM, late)
    threading.Thread(target=watch, daemon=True).start()


def table(outcomes: list[Outcome]) -> str:
    """Return the outcomes as a Markdown table."""
    columns = ("same", "refused", "other", "silent", "traceback")
    lines = ["| artifact | mutations | " + " | ".join((*columns, "else")) + " | longest |"]
    lines.append("|---" * (len(columns) + 4) + "|")
    for name in [*dict.fromkeys(o.artifact for o in outcomes), "all"]:
        own = [o for o in outcomes if name in (o.artifact, "all")]
        counts = Counter(o.outcome for o in own)
        rest = len(own) - sum(counts[column] for column in columns)
        cells = [name, len(own), *(counts[column] for column in columns), rest]
        lines.append("| " + " | ".join(map(str, cells)) + f" | {max(o.seconds for o in own)} s |")
    return "\n".join(lines)


def main() -> None:
    """Try all mutations of all artifacts."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", help="artifacts; all by default")
    parser.add_argument("--json", type=Path, help="where the faults are written")
    parser.add_argument("--every", type=int, default=1, help="try one of so many")
    parser.add_argument("--flips", type=int, default=40, help="bits flipped in each file")
    options = parser.parse_args()
    guard()
    torch.set_num_threads(1)
    outcomes: list[Outcome] = []
    for name in options.names or ARTIFACTS:
        with tempfile.TemporaryDirectory() as root:
            trial = Trial(ARTIFACTS[name], Path(root))
            for mutation in trial.mutations(options.flips)[:: options.every]:
                outcomes.append(trial.run(mutation))
                if outcomes[-1].outcome not in GOOD:
                    print(json.dumps(asdict(outcomes[-1])), file=sys.stderr, flush=True)
    print(table(outcomes))
    if options.json:
        options.json.write_text(json.dumps([asdict(o) for o in outcomes], indent=1))


if __name__ == "__main__":
    main()
