"""What all trackers with a network share: rows of tracks and support points, and images as its input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotracker_ros.model import CoTracker3, Estimates, grid
from cotracker_ros.model.cotracker3 import new_estimates
from cotracker_ros.tracking.base import PointTracker
from cotracker_ros.tracking.config import TrackerConfig
from cotracker_ros.tracking.scaling import image_per_input, input_frame, input_size
from cotracker_ros.tracking.state import StreamState
from cotracker_ros.tracking.table import TrackTable

# Side of the square that local support points are spread over, px of the network's input.
LOCAL_SUPPORT_SIZE = 50.0


class NetworkTracker(PointTracker):
    """Keeps the rows of a network's tracks and support points, and the features of the newest images.

    Attributes:
        model: The network, whose weights any number of trackers may share.
        span: How many of the newest images are remembered.
        state: Everything that is remembered of the stream; may be saved, and replaced by a saved one.
    """

    def __init__(self, model: CoTracker3, config: TrackerConfig, span: int) -> None:
        super().__init__(config)
        self.model = model
        self.span = span
        self.state = StreamState()

    @property
    def table(self) -> TrackTable:
        """The list of tracks and support points."""
        return self.state.table

    @property
    def frames(self) -> int:
        """Images received in this epoch."""
        return self.state.frames

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of this epoch's images, px; None before the first."""
        return self.state.image_size

    def reset(self) -> None:
        """See `PointTracker.reset`."""
        table = self.state.table
        table.clear()
        self.state = StreamState(table=table)
        self._forget()

    # Images

    def _input_size(self) -> tuple[int, int]:
        """Height and width of the network's input, px."""
        assert self.state.image_size is not None
        return input_size(self.state.image_size, self.config, self.model.config)

    def _image_per_input(self) -> Tensor:
        """(2,) px of the image per px of the network's input."""
        assert self.state.image_size is not None
        return image_per_input(self.state.image_size, self._input_size(), self.model)

    def _take(self, image: NDArray[np.uint8], stamp: int) -> None:
        """Take in the next image: plant support points and encode it into its slot of the ring.

        Raises:
            ValueError: The image will not do, or the stream is finished.
        """
        state = self.state
        if state.finished:
            raise ValueError("the stream is finished; reset it first")
        self._check_image(image)
        if state.image_size is None:
            state.image_size = (image.shape[1], image.shape[0])
            self._plant_grid()
            for row in np.flatnonzero(self.table.ids > 0).tolist():
                self._plant_local(row)
        elif self.config.support_refresh and state.frames % self.config.support_refresh == 0:
            self._plant_grid()
        levels = self.model.encode(input_frame(image, self._input_size(), self.model))
        if not state.pyramid:
            state.pyramid = [level.new_zeros(self.span, *level.shape[1:]) for level in levels]
        for ring, level in zip(state.pyramid, levels, strict=True):
            ring[state.frames % len(ring)] = level[0]
        self._note_image(image)
        state.stamps[state.frames] = stamp
        state.frames += 1

    # Queries

    def _append(
        self,
        xy: NDArray[np.float64],
        labels: Sequence[str],
        frame: int,
        ids: NDArray[np.uint32] | None,
    ) -> NDArray[np.uint32]:
        ids = self.table.append(xy, labels, frame, ids)
        self._append_rows(np.zeros(len(xy), np.int64))
        if self.image_size is not None:
            for row in range(len(self.table) - len(xy), len(self.table)):
                self._plant_local(row)
        return ids

    def _append_support(self, xy: NDArray[np.float64], frame: int, owner: int) -> None:
        self.table.append(xy, [""] * len(xy), frame, np.zeros(len(xy), np.uint32))
        self._append_rows(np.full(len(xy), owner))

    def _append_rows(self, owner: NDArray[np.int64]) -> None:
        """Make room for new rows; an update fills them when their query's image is there."""
        state, config, count = self.state, self.model.config, len(owner)
        weight = self.model.corr_mlp.fc1.weight
        state.owner = np.concatenate([state.owner, owner])
        state.started = np.concatenate([state.started, np.zeros(count, bool)])
        blank = weight.new_zeros(count, config.support_patch, config.feature_width)
        state.support = [torch.cat([level, blank]) for level in state.support] or [
            blank.clone() for _ in range(config.corr_levels)
        ]
        start = new_estimates(
            torch.zeros(count, 2, device=self.model.device, dtype=self.model.position_dtype), self.span
        )
        rows = zip(state.estimates, start, strict=True) if state.estimates else ((part,) for part in start)
        state.estimates = Estimates(*(torch.cat(parts) for parts in rows))  # copies, each its own

    def _plant_grid(self) -> None:
        """Plant the support grid in the image that comes next, instead of an older one."""
        if not self.config.support_grid:
            return
        self._keep((self.table.ids > 0) | (self.state.owner > 0))
        height, width = self._input_size()
        points = grid(self.config.support_grid, (height, width)).double() * self._image_per_input().cpu()
        self._append_support(points.numpy(), self.state.frames, 0)

    def _plant_local(self, row: int) -> None:
        """Plant support points around the query of a row; they live as long as it does."""
        if not self.config.local_support:
            return
        side = LOCAL_SUPPORT_SIZE
        around = grid(self.config.local_support, (side, side)).double() - side / 2
        points = self.table.query_xy[row] + (around * self._image_per_input().cpu()).numpy()
        self._append_support(points, int(self.table.query_frame[row]), int(self.table.ids[row]))

    def _keep(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Drop all rows where ``rows`` is False, and the support points they own; return what was kept."""
        state = self.state
        gone = state.table.ids[~rows]
        rows = rows & ~np.isin(state.owner, gone[gone > 0])
        state.table.keep(rows)
        state.owner, state.started = state.owner[rows], state.started[rows]
        index = torch.from_numpy(np.flatnonzero(rows)).to(self.model.device)
        state.support = [level[index] for level in state.support]
        if state.estimates is not None:
            state.estimates = Estimates(*(part[index] for part in state.estimates))
        return rows

    def _sample_support(self, rows: NDArray[np.int64], xy: Tensor) -> None:
        """Sample the query patches of rows whose query image has come, at xy (n, 2) feature px."""
        if not len(rows):
            return
        slots = torch.from_numpy(self.table.query_frame[rows] % self.span).to(self.model.device)
        index = torch.from_numpy(rows).to(self.model.device)
        for level, part in zip(
            self.state.support, self.model.support(self.state.pyramid, slots, xy), strict=True
        ):
            level[index] = part.to(level.dtype)  # autocast encodes in less than the weights have


def some_rows(whole: Tensor, index: Tensor) -> Tensor:
    """Return some rows, in order; mostly they are all asked for, and nothing is copied."""
    return whole if len(index) == len(whole) else whole[index]
