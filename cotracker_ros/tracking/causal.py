"""The tracker for causal networks: each image is answered at once, and nothing is computed twice.

A point starts in each image where Lucas-Kanade says it went, at up to VGA resolution; those that it loses
start where the company of their query takes them, or else where their neighbours go. The network compares
what it sees there with the query, puts the point right and says whether it is the point at all. Last, the
patch around the query is fitted; where the network doubts, also at the place whose features are most like the
query's. The fit is affine, and where that finds nothing, a shift alone. What is published of a point is the
judgement of the network's verifier, if it has one; the stream goes on from its own beliefs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cotracker_ros.model import CoTracker3, Estimates
from cotracker_ros.model.cotracker3 import add_update
from cotracker_ros.tracking.affine import ALIKE, SURE, Patches, fit_affine, identity_warps, patch_likeness
from cotracker_ros.tracking.beliefs import BELIEVED, belief, believed, put, take
from cotracker_ros.tracking.company import by_company
from cotracker_ros.tracking.config import KltConfig, TrackerConfig, refinement_passes, visible_from
from cotracker_ros.tracking.evidence import Evidence
from cotracker_ros.tracking.lucas_kanade import NOT_HOME, carry_on, follow
from cotracker_ros.tracking.network_tracker import NetworkTracker, some_rows
from cotracker_ros.tracking.polish import ANYWHERE, CLOSE, SIDE, Fit, cut_patches, polish
from cotracker_ros.tracking.scaling import grey_factor, grey_image
from cotracker_ros.tracking.searching import most_alike
from cotracker_ros.tracking.table import Estimate
from cotracker_ros.tracking.types import Tracks

STARTS = KltConfig(window=31, levels=4, max_error=1.5)
"""How Lucas-Kanade carries points to the next image; its error is in px of the network's input."""

TRUST = 0.5
"""Share of the network's correction of a position that is taken: with more, points slide off sooner."""
_FARTHEST = 6.0  # px that an affine fit may move a point
CLOSE_COMPANY = 2.0
"""Spread of a lost point's company, px of the network's input, up to which it is taken along."""
TOGETHER, LOYAL = 3.0, 5
"""A point goes with its company when it is this near to it, px of the network's input, in so many images."""
STRAY = 10.0
"""Such a point is a stray when it is further from its company than this, px of the network's input."""
LOW = 0.5
"""Visibility times confidence below which a point is looked for elsewhere."""


class CausalTracker(NetworkTracker):
    """Tracks points with a causal `CoTracker3`, whose weights any number of trackers may share."""

    def __init__(self, model: CoTracker3, config: TrackerConfig | None = None) -> None:
        """Make a tracker.

        Args:
            model: A causal network, in evaluation mode.
            config: Settings; ``update_every``, ``revise`` and ``extrapolate`` are for other networks.

        Raises:
            ValueError: The network is not causal.
        """
        super().__init__(model, config or TrackerConfig(), span=1)
        if not model.config.causal:
            raise ValueError("the network is not causal; use StreamTracker")

    @torch.no_grad()
    def track(self, image: NDArray[np.uint8], stamp: int = 0) -> list[Tracks]:
        """See `PointTracker.track`."""
        before = self.state.grey
        self._take(image, stamp)
        state = self.state
        grey = grey_image(image)
        state.grey = torch.from_numpy(grey)
        state.answered, state.stamps = state.frames, {state.frames - 1: stamp}
        rows = np.flatnonzero(self.table.query_frame < state.frames)
        evidence = self._refine(rows, None if before is None else before.numpy(), grey) if len(rows) else None
        return self._answer([self._estimate(stamp, rows, evidence)])

    def finish(self) -> list[Tracks]:
        """See `PointTracker.finish`; nothing ever waits here."""
        self.state.finished = True
        return []

    def fork(self) -> CausalTracker:
        """See `PointTracker.fork`; the network is shared."""
        return CausalTracker(self.model, self.config)

    def _visible_from(self) -> float:
        return visible_from(self.config, causal=True, verified=self.model.verifier is not None)

    # Rows

    def _append_rows(self, owner: NDArray[np.int64]) -> None:
        super()._append_rows(owner)
        state, count = self.state, len(owner)
        state.memory = [torch.cat([part, part.new_zeros(count, *part.shape[1:])]) for part in state.memory]
        if state.known is not None:
            state.known = torch.cat([state.known, state.known.new_zeros(count, state.known.shape[1])])
        blank = torch.zeros(count, SIDE, SIDE, dtype=torch.uint8)
        state.templates = blank if state.templates is None else torch.cat([state.templates, blank])
        state.patches = None if state.patches is None else state.patches.grown(count)
        as_seen = torch.from_numpy(identity_warps(count))
        state.warps = as_seen if state.warps is None else torch.cat([state.warps, as_seen])
        never = torch.zeros(count, dtype=torch.long)
        state.accompanied = never if state.accompanied is None else torch.cat([state.accompanied, never])
        rows = np.arange(len(state) - count, len(state))
        self._begin(rows[self.table.query_frame[rows] < state.frames], BELIEVED)

    def _keep(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        rows = super()._keep(rows)
        index = torch.from_numpy(np.flatnonzero(rows)).to(self.model.device)
        state = self.state
        state.memory = [part[index] for part in state.memory]
        state.known = None if state.known is None else state.known[index]
        if state.templates is not None:
            state.templates = state.templates[torch.from_numpy(rows)]
        state.patches = None if state.patches is None else state.patches.take(rows)
        if state.warps is not None:
            state.warps = state.warps[torch.from_numpy(rows)]
        if state.accompanied is not None:
            state.accompanied = state.accompanied[torch.from_numpy(rows)]
        return rows

    def _begin(self, rows: NDArray[np.int64], logit: float) -> None:
        """Start rows at their queries in the newest image."""
        state, device = self.state, self.model.device
        if not len(rows):
            return
        xy = torch.from_numpy(self.table.query_xy[rows]).to(device, self.model.position_dtype) / self._scale()
        self._sample_support(rows, xy)
        assert state.estimates is not None and state.templates is not None and state.warps is not None
        assert state.grey is not None
        templates, _ = cut_patches(state.grey.numpy(), self._in_grey(self.table.query_xy[rows]))
        state.templates[torch.from_numpy(rows)] = torch.from_numpy(templates)
        if state.patches is not None:
            state.patches.put(rows, Patches.around(*self._templates(rows)))
        state.warps[torch.from_numpy(rows)] = torch.from_numpy(identity_warps(len(rows)))
        index = torch.from_numpy(rows).to(device)
        state.estimates.xy[index, 0] = xy
        state.estimates.visibility[index] = logit
        state.estimates.confidence[index] = logit
        state.started[rows] = True

    # Updates

    def _scale(self) -> Tensor:
        """(2,) px of the image per feature pixel."""
        return self._image_per_input() * self.model.config.stride

    def _refine(
        self, rows: NDArray[np.int64], before: NDArray[np.uint8] | None, grey: NDArray[np.uint8]
    ) -> Evidence | None:
        """Estimate some rows in the newest image, and say what was noticed of them if anyone asks."""
        state, model = self.state, self.model
        fresh = ~state.started[rows]
        self._begin(rows[fresh], 0.0)
        assert state.estimates is not None
        index, new = (torch.from_numpy(part).to(model.device) for part in (rows, fresh))
        last = Estimates(*(part[index] for part in state.estimates))
        estimates, spread = last, np.full(len(rows), np.inf)
        if before is not None:
            estimates, spread = self._start(last, new, rows, before, grey)
        refined = self._refine_from(last, estimates, index)
        # A query is where it was asked for.
        taken = torch.where(new, 0.0, TRUST).to(last.xy)[:, None, None]
        estimates = refined._replace(xy=estimates.xy + taken * (refined.xy - estimates.xy))
        estimates = self._polish(estimates, rows, grey)
        for whole, part in zip(state.estimates, estimates, strict=True):
            whole[index] = part
        return self._noticed(rows, grey, refined, estimates, spread) if self._takes_notice() else None

    def _takes_notice(self) -> bool:
        """Say whether anyone judges points by the evidence."""
        return self.model.verifier is not None

    def _noticed(
        self,
        rows: NDArray[np.int64],
        grey: NDArray[np.uint8],
        refined: Estimates,
        estimates: Estimates,
        spread: NDArray[np.floating],
    ) -> Evidence:
        """Look at points (N, 1) where they are now; `refined` is what the network said of them."""
        state = self.state
        assert state.warps is not None and state.accompanied is not None
        index = torch.from_numpy(rows)
        warp = state.warps[index].numpy()
        slots = torch.zeros(len(rows), dtype=torch.long, device=self.model.device)
        (around,) = self.model.support(state.pyramid[:1], slots, estimates.xy[:, 0])
        support = state.support[0][index.to(self.model.device)]
        return Evidence(
            visibility=refined.visibility[:, 0],
            confidence=refined.confidence[:, 0],
            belief=belief(estimates)[:, 0],
            spread=spread,
            together=state.accompanied[index],
            alike=patch_likeness(self._patches(rows), grey, self._places(estimates.xy), warp),
            warp=warp,
            features=F.cosine_similarity(around.float(), support.float(), dim=-1).mean(dim=1),
        )

    def _in_grey(self, xy: NDArray) -> NDArray[np.float64]:
        """Positions (N, 2) of the image, px, in the image for Lucas-Kanade."""
        return (xy + 0.5) / grey_factor(self.state.image_size) - 0.5

    def _in_image(self, xy: NDArray) -> NDArray[np.float64]:
        """The inverse of `_in_grey`."""
        return (xy + 0.5) * grey_factor(self.state.image_size) - 0.5

    def _refine_from(self, last: Estimates, start: Estimates, index: Tensor) -> Estimates:
        """Refine estimates (N, 1) of the newest frame, and remember what the network made of it."""
        state, model = self.state, self.model
        support = [some_rows(level, index) for level in state.support]
        slot = torch.zeros(1, dtype=torch.long, device=model.device)
        past, known = self._past(index)
        for _ in range(refinement_passes(self.config, every_image=True)):
            embedding = model.correlate(state.pyramid, slot, support, start.xy)
            both = Estimates(*(torch.cat(pair, 1) for pair in zip(last, start, strict=True)))
            delta, present = model.step(both, embedding, past, known)
            start = add_update(start, delta[:, None])
        self._remember(index, present)
        return start

    def _start(
        self,
        last: Estimates,
        new: Tensor,
        rows: NDArray[np.int64],
        before: NDArray[np.uint8],
        grey: NDArray[np.uint8],
    ) -> tuple[Estimates, NDArray[np.floating]]:
        """Carry the last estimates on to the newest image; new rows are in it already.

        Returns:
            The estimates, and (N,) how far the company of each point is apart, px of the network's input.
        """
        scale = self._scale()
        xy = self._places(last.xy)
        grey_px = float(self._image_per_input().mean()) / grey_factor(self.state.image_size)
        followed = follow(before, grey, xy, replace(STARTS, max_error=STARTS.max_error * grey_px))
        certainty = belief(last)[:, 0].cpu().numpy()
        carried = carry_on(xy, followed, certainty)
        sure = followed.home & (certainty > LOW) & ~new.cpu().numpy()
        carried, strays, spread = self._keep_company(rows, carried, sure, grey_px)
        moved = torch.from_numpy(self._in_image(carried)).to(last.xy) / scale
        doubt = NOT_HOME * torch.from_numpy(~followed.home | strays).to(last.confidence)
        estimates = last._replace(
            xy=torch.where(new[:, None, None], last.xy, moved[:, None]),
            confidence=torch.where(new[:, None], last.confidence, last.confidence - doubt[:, None]),
        )
        return estimates, spread / grey_px

    def _keep_company(
        self, rows: NDArray[np.int64], xy: NDArray[np.float32], sure: NDArray[np.bool_], px: float
    ) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.float64]]:
        """Take lost points along with the company of their query, and strays back to it.

        Args:
            rows: The rows of the N points.
            xy: (N, 2) where they are carried, px of the grey image.
            sure: (N,) bool, those that know where they are.
            px: Of the grey image for one of the network's input.

        Returns:
            Where they should be (N, 2); (N,) bool, which of them are strays: they went with their company
            for long and are suddenly far from it, as when they slid onto what hides them; and (N,) how far
            the company is apart, px of the grey image.
        """
        assert self.state.accompanied is not None
        query, frame = self.table.query_xy[rows], self.table.query_frame[rows]
        company = by_company(self._in_grey(query), frame, xy, sure)
        close = company.spread < CLOSE_COMPANY * px
        apart = np.linalg.norm(xy - company.xy, axis=1)
        index = torch.from_numpy(rows)
        self.state.accompanied[index] += torch.from_numpy(close & sure & (apart < TOGETHER * px))
        strays = close & (apart > STRAY * px) & (self.state.accompanied[index] >= LOYAL).numpy()
        return np.where((close & (~sure | strays))[:, None], company.xy, xy), strays, company.spread

    def _polish(self, estimates: Estimates, rows: NDArray[np.int64], grey: NDArray[np.uint8]) -> Estimates:
        """Fit the query's patch, and believe in points where it is found."""
        estimates, fits = self._fit_affine(estimates, rows, grey, estimates.xy, ALIKE)
        rest = np.flatnonzero(~fits)
        part = take(estimates, rest)
        estimates = put(estimates, rest, self._fit(part, rows[rest], grey, part.xy, CLOSE))
        low = np.flatnonzero((belief(estimates) < LOW).cpu().numpy())
        return (
            put(estimates, low, self._search(take(estimates, low), rows[low], grey))
            if len(low)
            else estimates
        )

    def _search(self, estimates: Estimates, rows: NDArray[np.int64], grey: NDArray[np.uint8]) -> Estimates:
        """Look for lost points where features are most like their query's."""
        support = self.state.support[0][torch.from_numpy(rows).to(self.model.device)]
        places = most_alike(self.state.pyramid[0][0], support, estimates.xy[:, 0])[:, None]
        found = self._fit(estimates, rows, grey, places, ANYWHERE)
        rest = np.flatnonzero((belief(found) < LOW).cpu().numpy())
        part, _ = self._fit_affine(take(found, rest), rows[rest], grey, places[rest], SURE)
        found = put(found, rest, part)
        # Only where it looks like the query: belief has risen there.
        return found._replace(xy=torch.where((belief(found) >= LOW)[..., None], found.xy, estimates.xy))

    def _fit_affine(
        self,
        estimates: Estimates,
        rows: NDArray[np.int64],
        grey: NDArray[np.uint8],
        places: Tensor,
        least: float,
    ) -> tuple[Estimates, NDArray[np.bool_]]:
        """Fit the query's patch and its warp at some places (N, 1, 2).

        Returns:
            The estimates, and (N,) bool, which of them were fitted.
        """
        assert self.state.warps is not None
        xy = self._places(places)
        found = fit_affine(self._patches(rows), grey, xy, self.state.warps[torch.from_numpy(rows)].numpy())
        fits = (found.alike > least) & (np.linalg.norm(found.xy - xy, axis=1) < _FARTHEST)
        self.state.warps[torch.from_numpy(rows[fits])] = torch.from_numpy(found.warp[fits])
        fitted = torch.from_numpy(self._in_image(found.xy)).to(estimates.xy) / self._scale()
        here = torch.from_numpy(fits).to(self.model.device)
        seen = torch.from_numpy(fits & (found.alike > SURE)).to(self.model.device)
        estimates = estimates._replace(xy=torch.where(here[:, None, None], fitted[:, None], places))
        return believed(estimates, seen), fits

    def _patches(self, rows: NDArray[np.int64]) -> Patches:
        """Return the patches of some rows, prepared anew if the state was loaded."""
        if self.state.patches is None:
            self.state.patches = Patches.around(*self._templates(np.arange(len(self.state))))
        patches = self.state.patches
        return patches if len(rows) == len(patches) else patches.take(rows)  # as in `some_rows`

    def _templates(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Return images (N, SIDE, SIDE) around the queries of some rows, and (N, 2) the queries in them."""
        assert self.state.templates is not None
        query = self._in_grey(self.table.query_xy[rows])
        return self.state.templates[torch.from_numpy(rows)].numpy(), query - np.floor(query) + SIDE // 2

    def _places(self, xy: Tensor) -> NDArray[np.float32]:
        """Positions (N, 1, 2) of the features as (N, 2) px of the grey image."""
        return self._in_grey((xy[:, 0] * self._scale()).cpu().numpy()).astype(np.float32)

    def _fit(
        self,
        estimates: Estimates,
        rows: NDArray[np.int64],
        grey: NDArray[np.uint8],
        places: Tensor,
        fit: Fit,
    ) -> Estimates:
        """Shift the query's patch onto some places (N, 1, 2), and believe in points where it is found."""
        xy = self._places(places)
        found, alike = polish(*self._templates(rows), grey, xy, fit)
        # What was not moved keeps all its digits.
        moved = torch.from_numpy((found != xy).any(1)).to(self.model.device)[:, None, None]
        fitted = torch.from_numpy(self._in_image(found)).to(estimates.xy) / self._scale()
        estimates = estimates._replace(xy=torch.where(moved, fitted[:, None], places))
        return believed(estimates, torch.from_numpy(alike).to(self.model.device))

    def _past(self, index: Tensor) -> tuple[list[Tensor], Tensor]:
        """Keys and values of some rows and the virtual tracks, and which of them there are."""
        state, config = self.state, self.model.config
        if state.known is None:
            weight = self.model.corr_mlp.fc1.weight
            shape = (0, 2 * config.hidden)
            state.memory = [weight.new_zeros(len(state), *shape) for _ in range(config.depth)]
            state.virtual_memory = [weight.new_zeros(config.virtual_tracks, *shape)] * config.depth
            state.known = torch.zeros(len(state), 0, dtype=torch.bool, device=weight.device)
        pairs = zip(state.memory, state.virtual_memory, strict=True)
        virtual = state.known.new_ones(config.virtual_tracks, state.known.shape[1])
        past = [torch.cat([some_rows(part, index), newest]) for part, newest in pairs]
        return past, torch.cat([state.known[index], virtual])

    def _remember(self, index: Tensor, present: list[Tensor]) -> None:
        """Append keys and values of the newest frame, and forget the oldest."""
        state, keep = self.state, self.model.config.window - 1
        assert state.known is not None
        for block, part in enumerate(present):
            new = part.new_zeros(len(state), 1, part.shape[-1])
            new[index] = part[: len(index)]
            state.memory[block] = torch.cat([state.memory[block], new], 1)[:, -keep:]
            virtual = torch.cat([state.virtual_memory[block], part[len(index) :]], 1)
            state.virtual_memory[block] = virtual[:, -keep:]
        there = state.known.new_zeros(len(state), 1)
        there[index] = True
        state.known = torch.cat([state.known, there], 1)[:, -keep:]

    def _estimate(self, stamp: int, rows: NDArray[np.int64], evidence: Evidence | None) -> Estimate:
        """What there is to say about the newest image; the evidence is of some rows, all that have begun."""
        state = self.state
        if state.estimates is None:
            nothing = np.zeros(0, np.float32)
            return Estimate(
                state.frames - 1, stamp, stamp, False, np.zeros((0, 2), np.float32), nothing, nothing
            )
        estimates = Estimates(*(part[:, 0] for part in state.estimates))
        xy = (estimates.xy * self._scale()).cpu().numpy()
        told = torch.stack([estimates.visibility, estimates.confidence], -1)
        if evidence is not None and self.model.verifier is not None:
            judged = self.model.verifier(evidence.table().to(self.model.device))
            told[torch.from_numpy(rows).to(self.model.device)] = judged.to(told)
        visibility, confidence = told.sigmoid().cpu().numpy().T
        return Estimate(state.frames - 1, stamp, stamp, False, xy, visibility, confidence)
