"""Faults of labels: states before and after, what is told of them, what is counted and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import films
import numpy as np
import pytest
from films import number, numbers, write_film

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.training.cli import main
from worldgpt_env.training.worldnet.builders import captioners
from worldgpt_env.training.worldnet.builders.captions import RecordingWords
from worldgpt_env.training.worldnet.builders.events import StateConfig
from worldgpt_env.training.worldnet.builders.filters import FilterConfig, keeps_content
from worldgpt_env.training.worldnet.builders.scenarios import SCENARIOS, Sorter
from worldgpt_env.training.worldnet.builders.splits import SplitShares
from worldgpt_env.training.worldnet.builders.wild import WildConfig, build_wild
from worldgpt_env.training.worldnet.format.annotation import StateFiles, WorldNetTransition
from worldgpt_env.training.worldnet.format.folder import WorldNetFolder
from worldgpt_env.training.worldnet.format.load import load_worldnet
from worldgpt_env.training.worldnet.format.media import read_audio, read_image, read_video
from worldgpt_env.training.worldnet.format.writer import Moment, WorldNetWriter
from worldgpt_env.training.worldnet.inspection import InspectConfig, inspect

ALL_TRAIN = ["--test", "0", "--knowledge", "0"]
EXACT = StateConfig(quality=4, longest=96)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``one.mp4``: 12 s, ten numbered pictures a second, noise; ``still.mp4``: it never changes."""
    root = tmp_path_factory.mktemp("media")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 12 * films.SOUND_RATE)
    write_film(root / "one.mkv", [n / 10 for n in range(120)], sound=noise)
    write_film(root / "still.mp4", [n / 10 for n in range(60)], pictures=[films.picture(7)] * 60)
    return root


def crafted(
    tmp_path: Path, media: Path, actions: list[tuple[float, float]], *more: str, video: str = "one"
) -> tuple[Path, list[WorldNetTransition], list[str]]:
    """Build from hand-object actions of Ego4D; return the folder, its rows and the reasons."""
    told = [
        {"start_sec": start, "end_sec": end, "narration_text": f"#C C cuts onion {n}"}
        for n, (start, end) in enumerate(actions)
    ]
    data = {"videos": [{"video_uid": video, "annotated_intervals": [{"narrated_actions": told}]}]}
    (tmp_path / "a.json").write_text(json.dumps(data))
    out = tmp_path / "out"
    files = ["--annotations", str(tmp_path / "a.json"), "--media", str(media), "--out", str(out)]
    command = ["worldnet", "build", "crafted", "--dataset", "ego4d", *files, *ALL_TRAIN, *more]
    assert main([*command, "--longest", "96"]) == 0
    lines = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    return out, WorldNetFolder.open(out).annotations().transitions, [x["reason"] for x in lines]


def seen(out: Path, state: StateFiles) -> list[int]:
    """Return the numbers of a state's film, whose last must be its image."""
    film = numbers(read_video(out, state.video).frames)
    assert number(read_image(out, state.image)) == film[-1]
    return film


@pytest.mark.parametrize("length", [0.6, 1.0, 3.0])
@pytest.mark.parametrize("start", [4.0, 1.0])
def test_a_state_is_what_led_to_its_moment(
    tmp_path: Path, media: Path, start: float, length: float
) -> None:
    """Whatever the event lasts, nothing of it is in the state before it."""
    out, (row,), _ = crafted(tmp_path, media, [(start, start + length)], "--frames", "5")
    first = round(10 * start)
    assert seen(out, row.state0) == [first + n for n in (-9, -7, -5, -3, -1)]
    last = first + round(10 * length)
    assert seen(out, row.state1) == [last + n for n in (-9, -7, -5, -3, -1)]
    sounds = [read_audio(out, state.audio).samples for state in (row.state0, row.state1)]
    assert sounds[0].shape == sounds[1].shape == (16_000, 1) and (sounds[0] != sounds[1]).any()


def test_before_a_recording_there_is_one_picture_and_silence(tmp_path: Path, media: Path) -> None:
    out, (row,), _ = crafted(tmp_path, media, [(0.0, 0.8)], "--frames", "5")
    assert seen(out, row.state0) == [0] and seen(out, row.state1) == [1, 3, 5, 7]
    before, after = (read_audio(out, s.audio).samples for s in (row.state0, row.state1))
    assert not before[:-20].any()  # a resampled sound begins a moment early
    assert not after[:3000].any() and after[3400:].any()  # a fifth of a second of silence
    loaded = load_worldnet(out)
    assert loaded.changes["videos with repeated frames"] == 2


def test_a_short_past_is_a_short_film(tmp_path: Path, media: Path) -> None:
    out, (row,), _ = crafted(tmp_path, media, [(0.5, 3.0)], "--frames", "5")
    assert seen(out, row.state0) == [2, 4]


def test_states_between_events_that_touch_are_shared(tmp_path: Path, media: Path) -> None:
    out, rows, _ = crafted(tmp_path, media, [(1, 1.7), (1.7, 2.4), (4, 5)], "--frames", "2")
    assert rows[0].state1 == rows[1].state0 and rows[1].state1 != rows[2].state0
    assert [seen(out, row.state0)[-1] for row in rows] == [9, 16, 39]
    assert [seen(out, row.state1)[-1] for row in rows] == [16, 23, 49]


def test_an_event_that_changes_nothing_is_refused_and_counted(
    tmp_path: Path, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError):  # exit 2: nothing is left
        crafted(tmp_path, media, [(0, 2), (2, 4)], video="still")
    told = capsys.readouterr().err
    assert "looks and sounds the same before and after it" in told and "Traceback" not in told
    assert not (tmp_path / "out").exists()


# shots ------------------------------------------------------------------------------------------


def words(path: Path, rewards: list[tuple[float, float]], action: str = "walks on") -> None:
    told = RecordingWords("house", [(0.0, "a room", ())], [(0.0, 20.0, action)], rewards)
    path.with_suffix(".words.json").write_text(json.dumps(told.to_json()))


@pytest.mark.parametrize("cut", [2.0, 2.03, 2.04, 2.06, 2.09])
def test_no_state_shows_another_shot(tmp_path: Path, cut: float) -> None:
    """A recording is looked at ten times a second; shots begin whenever they like."""
    seconds = [n / 100 for n in range(0, 500, 3)]
    pictures = [
        np.full((64, 96, 3), 200 if second >= cut else 20, np.uint8) + np.uint8(n % 2)
        for n, second in enumerate(seconds)
    ]
    path = write_film(tmp_path / "films" / "a.mp4", seconds, pictures=pictures)
    words(path, [(cut, 1.0)])
    out, filters = tmp_path / "out", FilterConfig()
    build_wild(WildConfig(str(path.parent), str(out), filters=filters, shares=SplitShares(0, 0)))
    first, second = WorldNetFolder.open(out).annotations().transitions
    assert first.state1 != second.state0
    for row, bright in ((first, False), (second, True)):
        for state in (row.state0, row.state1):
            assert ((read_video(out, state.video).frames > 110) == bright).all()
    assert first.reward + second.reward == 1.0  # at the cut, and once
    assert len(read_video(out, second.state0.video).frames) == 1


# words ------------------------------------------------------------------------------------------


class Told:
    """Stands for a captioner of pictures."""

    def __init__(self, name: str) -> None:
        pass

    def describe(self, footage: Any, start: float, end: float) -> Any:
        return captioners.Caption("A man moves the red box.", f"box {start:.1f}", f"box {end:.1f}")


ANSWERS = {
    "The man is moving a red box.": "the man is moving a red box",
    captioners.PROMPT.splitlines()[0]: "a man moves the red box",
    captioners.PROMPT.format(text="A man moves the red box.").replace("\n", " "): (
        "a man moves the red box"
    ),
    "Sure! Here is the sentence: A man moves the red box.": "a man moves the red box",
    "A man moves the box.": "a man moves the red box",
    "A dog barks.": "a man moves the red box",
    "": "a man moves the red box",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_rewriter_must_keep_what_happens(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(captioners, "TransformersCaptioner", Told)
    monkeypatch.setattr(captioners, "TransformersRewriter", lambda name: lambda text: answer)
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "one.mkv").symlink_to(media / "one.mkv")
    config = WildConfig(str(media), str(tmp_path / "out"), "eyes", "pen", shares=SplitShares(0, 0))
    figures = build_wild(config)
    rows = WorldNetFolder.open(tmp_path / "out").annotations().transitions
    assert {row.action for row in rows} == {ANSWERS[answer]}
    kept = answer.startswith("The man is")
    key = "rewritten" if kept else "left as they were told"
    assert list(figures["actions"]) == [key] and figures["actions"][key] >= len(rows) > 0


@pytest.mark.parametrize(
    ("told", "written", "kept"),
    [
        ("man cut onion", "a man cuts an onion", True),
        ("the square moves", "the square is moving", True),
        ("she carries glasses", "she is carrying a glass", True),
        ("wait then fire", "he waits and then fires", True),
        ("it is on", "it is on", True),
        ("a man cuts the onion", "a man cuts", False),
        ("the sentence is read", "he reads the sentence", True),
        ("the book is read", "he reads the sentence", False),
        ("move left", "move right", False),
    ],
)
def test_content_words(told: str, written: str, kept: bool) -> None:
    assert keeps_content(told, written) == kept


def test_a_sorter_that_repeats_the_question_names_no_scenario(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Parrot:
        def __init__(self, name: str) -> None:
            pass

        def answer(self, question: str) -> str:
            return question.splitlines()[0]

    monkeypatch.setattr(captioners, "TransformersRewriter", Parrot)
    assert all(name in SCENARIOS for name in ("cooking", "labor"))
    assert Sorter("some/model")(["he chops wood"]) == ""


# errors -----------------------------------------------------------------------------------------


def wild(tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    arguments = ["--recordings", str(tmp_path / "films"), "--out", str(tmp_path / "out"), *more]
    assert main(["worldnet", "build", "wild", *arguments]) == 2
    return capsys.readouterr().err


def test_recordings_without_words_say_what_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        write_film(tmp_path / "films" / f"{name}.mp4", [n / 10 for n in range(20)])
    told = wild(tmp_path, capsys)
    assert "2 recordings; the last, b.mp4: has no words beside it (b.words.json)" in told
    assert "--captioner" in told and "event" not in told
    assert "row" not in told and ".." not in told


def test_refused_events_are_counted_as_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_film(tmp_path / "films" / "a.mp4", [n / 10 for n in range(60)])
    words(path, [])
    (tmp_path / "films" / "b.mp4").write_bytes(b"no film at all")
    told = wild(tmp_path, capsys, "--min-words", "5")
    assert re.search(r"Refused: 1 recording and \d+ events?; the last, b.mp4: is no whole", told)


@pytest.mark.parametrize("value", ["1e300", "NaN", "1e999", "1" + "0" * 400])
def test_words_with_numbers_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    path = write_film(tmp_path / "films" / "a.mp4", [n / 10 for n in range(60)])
    words(path, [(1.0, 17.25)])
    beside = path.with_suffix(".words.json")
    beside.write_text(beside.read_text().replace("17.25", value))
    assert "a.words.json: holds no words of a recording" in wild(tmp_path, capsys)


def test_rewards_that_are_too_large_together_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_film(tmp_path / "films" / "a.mp4", [n / 10 for n in range(60)])
    words(path, [(1.0, 3e38), (2.0, 3e38)])
    assert "a reward is 6e+38, not finite in 32 bits" in wild(tmp_path, capsys)


# rows -------------------------------------------------------------------------------------------

GO = {"state0": {"text": "a b"}, "state1": {"text": "b"}, "action": {"text": "go"}}


@pytest.mark.parametrize(
    "change",
    [
        {"reward": 1e300},
        {"reward": -3.5e38},
        {"state0": {"text": "a", "vector": [1e39]}},
        {"state1": {"text": "a", "vector": [-1e39]}},
    ],
)
def test_numbers_beyond_32_bits_reject_the_row(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "train.json").write_text(json.dumps([GO | change, GO | {"reward": 3.4e38}]))
    loaded = load_worldnet(tmp_path / "train.json")
    assert [item.row for item in loaded.rejected] == [0]
    assert "32 bits hold up to 3.403e+38" in loaded.rejected[0].reason
    (episode,) = loaded.recording.episodes
    assert episode.rewards.tolist() == [np.float32(3.4e38)]


@pytest.mark.parametrize("reward", [1e39, float("nan"), float("inf")])
def test_such_numbers_are_not_written(tmp_path: Path, reward: float) -> None:
    import small_worldnet as small

    moments = [small.moment(0), small.moment(1)]
    for given, states in (([reward], moments), ([0.0], [moments[0], Moment(vector=[reward])])):
        with pytest.raises(ConfigurationError, match="not finite in 32 bits"):
            with WorldNetWriter(tmp_path / "dots", small.DESCRIPTION) as writer:
                writer.add_sequence("train", states, ["wait"], rewards=given)
        assert not (tmp_path / "dots").exists()


def test_inspect_and_the_loader_count_the_same_episodes(tmp_path: Path) -> None:
    a, b, c = ({"text": name} for name in ("a", "b", "c"))
    go = {"action": {"text": "go"}}
    rows = [
        {"state0": a, "state1": b, **go},
        {"state0": b, "state1": c, **go},  # goes on
        {"state0": a, "state1": c, **go},  # begins anew
        {"state0": c, "state1": a, **go, "terminated": True},  # goes on, and ends
        {"state0": a, "state1": b, **go},
        {"state0": {}, "state1": b, **go},  # is rejected
        {"state0": b, "state1": b, **go},
        {"state0": b, "state1": b, **go, "episode": "named"},
        {"state0": b, "state1": c, **go, "episode": "named"},
    ]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    loaded = load_worldnet(tmp_path / "train.json")
    assert [len(episode) for episode in loaded.recording.episodes] == [2, 2, 1, 1, 2]
    for check in (False, True):
        found = inspect(InspectConfig(tmp_path / "train.json", check=check)).to_json()
        split = found["splits"]["train"]
        assert (split["episodes"], split["transitions"]) == (5, 8)
        assert list(split["rejected"].values()) == [
            {"rows": 1, "first": f"{tmp_path / 'train.json'}, row 5"}
        ]


def test_a_bare_file_of_which_no_row_can_be_read_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [GO | {"action": {"text": " "}}, {"state0": {}}]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    for command in (["worldnet", "inspect"], ["train", "--out", str(tmp_path / "model")]):
        assert main([*command, "--data", str(tmp_path / "mine.json")]) == 2
        assert "mine.json, row 0 has an action without text." in capsys.readouterr().err
    (tmp_path / "mine.json").write_text("[]")
    assert main(["worldnet", "inspect", "--data", str(tmp_path / "mine.json")]) == 2
    assert "can be read, the list is empty." in capsys.readouterr().err
