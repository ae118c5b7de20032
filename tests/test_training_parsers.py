"""The command line says what is near a word that it does not know, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldgpt_env.training.cli import main


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("colect --world doorkey", "there is no command 'colect'; near is 'collect'"),
        ("collect --wrld doorkey --steps 5", "there is no option --wrld; near is '--world'"),
        ("collect --world doorky --steps 5", "there is no world 'doorky'; near is 'doorkey'"),
        (
            "collect --world doorkey --steps 5 --world-options size=six",
            "cannot be opened with {'size': 'six'}",
        ),
        ("collect --world doorkey --steps 5 --world-options size=5.5", "cannot be opened with"),
        ("dream --model doorkey --start-states frist", "near is 'first'"),
        ("dream --model doorkey --set learnin_rate=1", "near is 'learning_rate'"),
        ("dream --model doorkey --set n_steps=abc", "n_steps is 'abc'; it is like 2048"),
        ("dream --model doorkey --set ent_coef=true", "ent_coef is True; it is like 0.0"),
        ("evaluate --policy nope --world doorkey", "there is no policy 'nope'"),
    ],
)
def test_a_typing_error_is_one_sentence_with_what_is_near(
    line: str, told: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = line.split()
    words += [] if words[0] == "evaluate" else ["--out", "out"]
    try:
        code: object = main(words)
    except SystemExit as end:
        code = end.code
    assert code == 2 and told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.startswith("worldgpt-env 0.")
