"""What users call trackers: ``klt``, ``default:update_every=1``, a path, ``package.module:function``."""

from __future__ import annotations

import dataclasses
import re
import typing
from typing import Any, NamedTuple

KLT = "klt"

_SETTINGS = re.compile(r"\w+=[^=]*(,\w+=[^=]*)*")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class TrackerNameError(ValueError):
    """A name that means no tracker, or none that can do what it should; the text is one sentence."""


class TrackerName(NamedTuple):
    """A tracker's whole name, and its parts: what is named, and settings that follow after a colon.

    Its kind is ``klt``, ``network`` or ``function``.
    """

    text: str
    kind: str
    weights: str
    settings: dict[str, str]

    def configure(self, *configs: Any) -> list[Any]:
        """Change each configuration dataclass by the settings that it knows.

        Raises:
            TrackerNameError: None knows a setting, or a value is refused.
        """
        known = [field.name for config in configs for field in dataclasses.fields(config)]
        unknown = [key for key in self.settings if key not in known]
        if unknown:
            raise TrackerNameError(
                f"the tracker '{self.text}' has no setting {', '.join(unknown)}; it knows {', '.join(known)}"
            )
        try:
            return [self._changed(config) for config in configs]
        except ValueError as error:
            raise TrackerNameError(f"the tracker '{self.text}': {error}") from error

    def _changed(self, config: Any) -> Any:
        kinds, values = typing.get_type_hints(type(config)), {}
        for key in self.settings.keys() & kinds.keys():
            kind, text = kinds[key], self.settings[key]
            try:
                values[key] = kind(text)
            except ValueError:
                raise ValueError(f"{key} is '{text}'; give a value of type {kind.__name__}") from None
        return dataclasses.replace(config, **values)


def parse_name(text: str) -> TrackerName:
    """Take a name apart, without looking whether there is such a tracker.

    Raises:
        TrackerNameError: It is empty, or gives a setting twice.
    """
    if not text:
        raise TrackerNameError("a tracker has an empty name; give klt, default or a checkpoint")
    weights, _, tail = text.rpartition(":")
    if not (weights and _SETTINGS.fullmatch(tail)):
        weights, tail = text, ""
    pairs = [item.partition("=")[::2] for item in tail.split(",") if item]
    settings = dict(pairs)
    if len(settings) < len(pairs):
        twice = next(key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1)
        raise TrackerNameError(f"the tracker '{text}' gives {twice} twice; give it once")
    kind = KLT if weights == KLT else "function" if _FUNCTION.fullmatch(text) else "network"
    return TrackerName(text, kind, weights, settings)
