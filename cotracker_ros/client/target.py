"""Which tracks a question is about: those with a label, or some ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cotracker_ros.client.errors import ClientError

What: TypeAlias = str | int | Iterable[int]
Box: TypeAlias = Sequence[float]  # left, top, width, height, px

_LARGEST_ID = 2**32 - 1
_NAMED = 5  # ids or labels that a sentence lists at most


@dataclass(frozen=True)
class Target:
    """Tracks with a label, or with one of some ids.

    Attributes:
        label: The label; "" where ids are given.
        ids: The ids; empty where a label is given.
    """

    label: str = ""
    ids: tuple[int, ...] = ()

    @classmethod
    def of(cls, what: What) -> Target:
        """Read what a user names tracks by: a label, an id, or ids.

        Raises:
            ClientError: It is an empty label, no id at all, or something else.
        """
        try:
            made = cls(label=what) if isinstance(what, str) else cls(ids=_ids(what))
        except (TypeError, ValueError):
            raise ClientError(f"{what!r} names no tracks: give a label, an id or a list of ids") from None
        if not (made.label or made.ids) or not all(0 <= i <= _LARGEST_ID for i in made.ids):
            raise ClientError(f"{what!r} names no tracks: give a label, an id or a list of ids")
        return made

    def __str__(self) -> str:
        if self.label:
            return f"'{self.label}'"
        return f"track{'s' if len(self.ids) > 1 else ''} {_listed(map(str, self.ids))}"

    def among(self, ids: NDArray[np.uint32], labels: Sequence[str]) -> NDArray[np.bool_]:
        """(N,) bool: which of N tracks are meant.

        Args:
            ids: (N,) ids of the tracks.
            labels: Their labels.

        Raises:
            ClientError: None of them.
        """
        if self.label:
            mask = np.array([label == self.label for label in labels], np.bool_)
        else:
            mask = np.isin(ids, self.ids)
        if mask.any():
            return mask
        if not self.label:
            raise ClientError(f"there is no {self}: it was removed, has been retired, or never was")
        known = sorted(set(labels) - {""})
        raise ClientError(f"no track is labelled {self} (there are: {_listed(known) or 'no labels'})")


def _ids(what: int | Iterable[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in what) if isinstance(what, Iterable) else (int(what),)


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:_NAMED]) + (", ..." if len(every) > _NAMED else "")
