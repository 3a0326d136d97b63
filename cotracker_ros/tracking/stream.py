"""The online network tracker: one mechanism, a feature window and warm-started estimates.

Each image is encoded once, into a ring of the window's length. Every ``update_every`` images the window moves
on: tracks that were in the last update go on from their estimates, new ones start from their query, and the
network refines all of them together. With ``update_every`` at half the window this is the published online
protocol, number for number; at 1 every image is answered, from the first one on.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotracker_ros.model import CoTracker3, Estimates
from cotracker_ros.model.cotracker3 import add_update, advance, new_estimates, select
from cotracker_ros.tracking.config import TrackerConfig, refinement_passes
from cotracker_ros.tracking.network_tracker import NetworkTracker, some_rows
from cotracker_ros.tracking.table import Estimate
from cotracker_ros.tracking.types import Tracks


class StreamTracker(NetworkTracker):
    """Tracks points with an online `CoTracker3`, whose weights any number of trackers may share.

    Attributes:
        state: Everything that is remembered of the stream; may be saved, and replaced by a saved one.
    """

    def __init__(self, model: CoTracker3, config: TrackerConfig | None = None) -> None:
        """Make a tracker.

        Args:
            model: An online network, in evaluation mode.
            config: Settings.

        Raises:
            ValueError: The network is an offline one, or the settings do not fit its window.
        """
        super().__init__(model, config or TrackerConfig(), model.config.window)
        if model.config.offline:
            raise ValueError("an offline network cannot follow a stream; use track_video or online weights")
        half = model.config.window // 2
        if self.config.update_every > half:
            raise ValueError(
                f"update_every is {self.config.update_every}; this network's window allows 1 to {half}"
            )

    @torch.no_grad()
    def track(self, image: NDArray[np.uint8], stamp: int = 0) -> list[Tracks]:
        """See `PointTracker.track`."""
        self._take(image, stamp)
        state = self.state
        if state.frames < self._next_update():
            return []
        return self._advance(max(state.start, state.frames - self.model.config.window))

    @torch.no_grad()
    def finish(self) -> list[Tracks]:
        """See `PointTracker.finish`."""
        state = self.state
        waiting = state.frames > state.answered and not state.finished
        state.finished = True
        if not waiting:
            return []
        # The published protocol moves on by a whole step even for a few images, and repeats the last one.
        full = state.frames > state.start + self.model.config.window
        return self._advance(state.start + self.config.update_every if full else state.start)

    def fork(self) -> StreamTracker:
        """See `PointTracker.fork`; the network is shared."""
        return StreamTracker(self.model, self.config)

    def window_estimates(self) -> tuple[int, NDArray, NDArray, NDArray]:
        """Return what the last update said about the images of its window, for all tracks.

        Returns:
            The number of the window's first image; positions (N, F, 2), px of the original image; visibility
            and confidence (N, F), probabilities. F counts the images answered so far in the window. Images
            before a track's query are included, though they mean little.
        """
        tracks = self.table.ids > 0
        numbers = self._numbers(slice(0, self.state.answered - self.state.start))
        xy, visibility, confidence = (part[tracks] for part in numbers)
        return self.state.start, xy, visibility, confidence

    def _next_update(self) -> int:
        """Number of received images that the next update waits for."""
        half = self.model.config.window // 2
        if self.config.update_every == half and not self.state.answered:
            return self.model.config.window  # the published protocol fills its first window
        return self.state.answered + self.config.update_every

    def _oldest_frame(self) -> int:
        return max(self._next_update() - self.model.config.window, 0)

    # Rows

    def _append_rows(self, owner: NDArray[np.int64]) -> None:
        super()._append_rows(owner)
        if self._reuses_correlations():
            state, config = self.state, self.model.config
            width = config.corr_levels * config.corr_width
            blank = self.model.corr_mlp.fc1.weight.new_zeros(len(owner), config.window, width)
            state.embedding = blank if state.embedding is None else torch.cat([state.embedding, blank])

    def _keep(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        rows = super()._keep(rows)
        if self.state.embedding is not None:
            self.state.embedding = self.state.embedding[torch.from_numpy(rows).to(self.model.device)]
        return rows

    # Updates

    def _reuses_correlations(self) -> bool:
        return 0 <= self.config.revise < self.model.config.window - self.config.update_every

    def _advance(self, start: int) -> list[Tracks]:
        """Move the window to begin with image ``start`` and refine all rows in it."""
        state = self.state
        first_new, shift = state.answered, start - state.start
        rows = self._rows_in_update()
        if state.estimates is not None and len(rows):
            self._refine(rows, shift, first_new - start)
        state.start, state.answered = start, state.frames
        state.stamps = {frame: stamp for frame, stamp in state.stamps.items() if frame >= start}
        revise = first_new - start if self.config.revise < 0 else min(self.config.revise, first_new - start)
        return self._answer(self._estimates(first_new - revise, first_new))

    def _rows_in_update(self) -> NDArray[np.int64]:
        """Rows that take part: the published protocol also has the queries of images still to come."""
        if self.config.update_every == self.model.config.window // 2:
            return np.arange(len(self.state))
        return np.flatnonzero(self.table.query_frame < self.state.frames)

    def _refine(self, rows: NDArray[np.int64], shift: int, first_new: int) -> None:
        """Refine rows in the window moved by ``shift``, whose images from index ``first_new`` on are new."""
        state, config, device = self.state, self.model.config, self.model.device
        window = config.window
        index = torch.from_numpy(rows).to(device)
        query_xy = torch.from_numpy(self.table.query_xy[rows]).to(device, self.model.position_dtype)
        query_xy = query_xy / (self._image_per_input() * config.stride)
        frames = torch.arange(window, device=device) + state.start + shift
        slots = frames.clamp(max=state.frames - 1) % window
        begun = self.table.query_frame[rows] < state.frames
        fresh = begun & ~state.started[rows]
        self._sample_support(rows[fresh], query_xy[torch.from_numpy(fresh).to(device)])

        assert state.estimates is not None
        before = Estimates(*(some_rows(part, index) for part in state.estimates))
        carried = torch.from_numpy(state.started[rows]).to(device)
        moved = self._start_new_frames(advance(before, shift, first_new - 1), first_new)
        estimates = select(carried, moved, new_estimates(query_xy, window))
        support = [some_rows(level, index) for level in state.support]

        embedding, past = None, 0
        if state.embedding is not None:
            embedding = state.embedding[index].roll(-shift, 1)
            past = max(first_new - self.config.revise, 0)
        for _ in range(refinement_passes(self.config, every_image=self.config.update_every == 1)):
            embedding = self._correlate(slots, support, estimates.xy, carried, embedding, past)
            delta = self.model.update(estimates, embedding)
            if past:
                delta[carried, :past] = 0
            estimates = add_update(estimates, delta)
        if embedding is not None and state.embedding is not None:
            # What is kept must be what the network sees at the positions that are kept.
            state.embedding[index] = self._correlate(slots, support, estimates.xy, carried, embedding, past)

        everything = len(rows) == len(state)
        state.estimates = estimates if everything else _put(state.estimates, index, estimates)
        state.started[rows[begun]] = True

    def _start_new_frames(self, estimates: Estimates, first_new: int) -> Estimates:
        """Move the start of new frames on by a share of the last velocity."""
        if not self.config.extrapolate or first_new < 2:
            return estimates
        velocity = estimates.xy[:, first_new - 1] - estimates.xy[:, first_new - 2]
        steps = torch.arange(1, estimates.xy.shape[1] - first_new + 1, device=self.model.device)
        ahead = self.config.extrapolate * velocity[:, None] * steps[:, None]
        xy = torch.cat([estimates.xy[:, :first_new], estimates.xy[:, first_new:] + ahead], 1)
        return estimates._replace(xy=xy)

    def _correlate(
        self,
        slots: Tensor,
        support: list[Tensor],
        xy: Tensor,
        carried: Tensor,
        embedding: Tensor | None,
        past: int,
    ) -> Tensor:
        """Embed what the rows see; carried rows keep their cached embeddings of the first ``past`` frames."""
        if embedding is None or not past:
            return self.model.correlate(self.state.pyramid, slots, support, xy)
        for rows, first in ((carried, past), (~carried, 0)):
            if rows.any():
                part = [level[rows] for level in support]
                seen = self.model.correlate(self.state.pyramid, slots[first:], part, xy[rows, first:])
                embedding[rows, first:] = seen
        return embedding

    def _estimates(self, first: int, first_new: int) -> list[Estimate]:
        """What there is to say about the images from ``first`` on; those before ``first_new`` are revised."""
        state = self.state
        newest = state.stamps[state.frames - 1]
        numbers = self._numbers(slice(first - state.start, state.frames - state.start))
        by_frame = (part.swapaxes(0, 1) for part in numbers)
        return [
            Estimate(frame, state.stamps[frame], newest, frame < first_new, *parts)
            for frame, *parts in zip(range(first, state.frames), *by_frame, strict=True)
        ]

    def _numbers(self, columns: slice) -> tuple[NDArray, NDArray, NDArray]:
        """Positions (R, F, 2), px of the image, and both probabilities (R, F) in frames of the window."""
        estimates = self.state.estimates or new_estimates(
            self._image_per_input().new_zeros(0, 2), self.model.config.window
        )
        xy, visibility, confidence = (part[:, columns] for part in estimates)
        xy = xy * (self._image_per_input() * self.model.config.stride)
        return xy.cpu().numpy(), visibility.sigmoid().cpu().numpy(), confidence.sigmoid().cpu().numpy()


def _put(whole: Estimates, index: Tensor, part: Estimates) -> Estimates:
    """Replace some rows."""
    return Estimates(*(a.index_copy(0, index, b) for a, b in zip(whole, part, strict=True)))
