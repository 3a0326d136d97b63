"""One self-contained HTML page about a run."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


@dataclass(frozen=True)
class Tile:
    """One headline number: a label, the value with its unit, and a word on what it means."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class TileRow:
    """Headline numbers that belong together."""

    title: str
    tiles: list[Tile]


@dataclass(frozen=True)
class Table:
    """A table; numbers are right-aligned, the first column is the name of the row."""

    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: Heading.
        text: What the reader should take from it, one paragraph each.
        figures: Image files that are embedded below the text.
        table: Shown below the figures.
    """

    title: str
    text: list[str] = field(default_factory=list)
    figures: list[Path] = field(default_factory=list)
    table: Table | None = None


@dataclass(frozen=True)
class Report:
    """What the page says.

    Attributes:
        title: Of the page.
        subtitle: One sentence below it.
        notices: Caveats that must be read before the numbers.
        rows: Headline numbers.
        video: Path of the overlay video relative to the page, or "".
        sections: The rest, in order.
    """

    title: str
    subtitle: str
    notices: list[str]
    rows: list[TileRow]
    video: str
    sections: list[Section]


def write_report(path: Path, report: Report) -> None:
    """Write the page; figures are embedded, so that it can be sent alone (but for the video)."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = _embed
    path.write_text(environment.get_template("report.html").render(report=report), encoding="utf-8")


def _embed(image: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(image.read_bytes()).decode()}"
