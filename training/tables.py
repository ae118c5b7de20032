"""Markdown tables of figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose columns are padded to one width, so that it also reads as plain text."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with at most ``digits`` significant decimals; an en dash for None."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.{digits}f}"


def demo_text(report: Mapping[str, Any]) -> str:
    """Return the table of :func:`~worldgpt_env.training.demo.demo`, and where the rest lies."""
    return (
        f"\n{report['table']}\n\nreal beside dream:  {report['gif']}\n"
        f"curves:             tensorboard --logdir {report['tensorboard']}"
    )


def dyna_table(report: Mapping[str, Any]) -> str:
    """Return the table of :func:`~worldgpt_env.training.dyna.dyna`."""
    rows = []
    for figures in report["rounds"]:
        judged = figures.get("judgement", {})
        returns = (judged.get(key) for key in ("return", "return_low", "return_high", "success"))
        rows.append(
            [
                str(figures["round"]),
                f"{figures['real_steps']:,}",
                number(figures["recording"]["mean_return"]),
                number(figures["dream"]["imagined_return"]),
                *(number(value) for value in returns),
            ]
        )
    header = ["round", "real steps", "recorded return", "imagined return", "real return", "low"]
    return markdown_table([*header, "high", "success"], rows)


def numeric_dyna_table(report: Mapping[str, Any]) -> str:
    """Return the table of :func:`~worldgpt_env.training.numeric.dyna.numeric_dyna`."""
    rows = [
        [
            str(figures["round"]),
            f"{figures['real_steps']:,}",
            number(figures["recording"]["mean_return"]),
            number(figures["dynamics"]["change_error"]),
            number(figures["dream"]["return"]),
            *(number(figures["judgement"][key]) for key in ("return", "return_low", "return_high")),
            f"{figures['cpu_seconds']:.0f}",
        ]
        for figures in report["rounds"]
    ]
    header = ["round", "real steps", "recorded return", "change error", "imagined return"]
    table = markdown_table([*header, "real return", "low", "high", "CPU-s"], rows)
    return f"{table}\n\nmodel:  {report['model']}\npolicy: {report['policy']}"
