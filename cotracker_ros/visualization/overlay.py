"""Tracks drawn over the image they belong to."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cotracker_ros.tracking.types import TrackFlag, Tracks

_SHIFT = 4  # OpenCV takes sub-pixel positions as integers with this many binary places
_FAR = 1 << 14  # positions are kept within this, px: OpenCV's fixed point overflows beyond
_OCCLUDED_TRAIL = 0.35  # opacity of the trail of a point that cannot be seen
_OUTLINE = (25, 25, 25)  # dark, so that points stand out from bright images
_LOST = 0.4  # how much of a lost point's colour is left


class OverlayDrawer:
    """Draws tracks with fading trails onto images, one image after the other.

    A point that can be seen is a filled disc, an occluded one a ring, a lost one a faint small ring. The
    colour of a track depends on where in the image it was first seen, so that the points of one object
    stay recognisable as a group.

    The trails live in one layer of the image's size that fades a little with each image: neither memory
    nor time grows with the length of the stream. A new epoch or image size starts with an empty layer.
    """

    def __init__(self, trail_length: int = 24) -> None:
        """Begin without trails.

        Args:
            trail_length: Images after which a trail has faded away; 0 for no trails.

        Raises:
            ValueError: `trail_length` is negative.
        """
        if trail_length < 0:
            raise ValueError(f"trail_length is {trail_length}; it must be 0 (no trails) or more images")
        self._trail_length = trail_length
        self._fade = 0.05 ** (1 / trail_length) if trail_length else 0.0
        self._epoch: int | None = None
        self._layer = np.zeros((0, 0, 4), np.uint8)  # (H, W, 4) RGBA, colour multiplied by opacity
        self._ids = np.zeros(0, np.uint32)  # ascending
        self._xy = np.zeros((0, 2), np.float32)  # where they were in the image before
        self._visible = np.zeros(0, bool)
        self._colours = np.zeros((0, 3), np.uint8)

    def draw(self, image: NDArray[np.uint8], tracks: Tracks, caption: str | None = None) -> NDArray[np.uint8]:
        """Draw the tracks of one image onto a copy of it.

        Args:
            image: (H, W, 3) uint8, RGB.
            tracks: What the tracker says about this image.
            caption: Text for the strip at the lower edge, which also counts visible, occluded and lost
                points; None for no strip. Plain ASCII.

        Returns:
            (H, W, 3) uint8, RGB.

        Raises:
            ValueError: The image has another size than the one the tracks belong to.
        """
        size = (image.shape[1], image.shape[0])
        if size != tuple(tracks.image_size):
            raise ValueError(f"the image is {size} px, the tracks belong to one of {tracks.image_size} px")
        if tracks.epoch != self._epoch or self._layer.shape[:2] != image.shape[:2]:
            self._forget(tracks.epoch, size)
        tracks_xy = np.nan_to_num(tracks.xy, nan=-_FAR).clip(-_FAR, _FAR)
        colours = self._update_trails(tracks, tracks_xy)
        canvas = self._compose(image)
        self._draw_points(canvas, tracks, tracks_xy, colours)
        if caption is not None:
            draw_caption(canvas, f"{caption}   {_count_states(tracks)}" if caption else _count_states(tracks))
        return canvas

    def _forget(self, epoch: int, size: tuple[int, int]) -> None:
        self._epoch = epoch
        self._layer = np.zeros((size[1], size[0], 4), np.uint8)
        self._ids = self._ids[:0]
        self._xy, self._visible, self._colours = self._xy[:0], self._visible[:0], self._colours[:0]

    def _update_trails(self, tracks: Tracks, xy: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Fade the trails, draw the newest pieces, and return the (N, 3) colours of the tracks."""
        colours = position_colours(xy, tracks.image_size)
        at = np.searchsorted(self._ids, tracks.ids)
        at[at == len(self._ids)] = 0
        known = self._ids[at] == tracks.ids if len(self._ids) else np.zeros(len(tracks), bool)
        colours[known] = self._colours[at[known]]
        visible = tracks.visible
        if self._trail_length:
            # Half a step less, so that rounding never keeps a value as it is: no ghost stays.
            cv2.convertScaleAbs(self._layer, dst=self._layer, alpha=self._fade, beta=-0.5)
            pieces = _fixed_point(np.stack([self._xy[at[known]], xy[known]], axis=1))
            both = self._visible[at[known]] & visible[known]
            draw = ~((tracks.flags[known] & TrackFlag.LOST) != 0)
            thickness = 2 if min(tracks.image_size) >= 400 else 1
            for piece, colour, seen in zip(pieces[draw], colours[known][draw], both[draw], strict=True):
                opacity = 1.0 if seen else _OCCLUDED_TRAIL
                rgba = (*(opacity * colour).tolist(), 255 * opacity)
                cv2.polylines(self._layer, [piece], False, rgba, thickness, cv2.LINE_AA, _SHIFT)
        order = np.argsort(tracks.ids)
        self._ids, self._xy, self._visible = tracks.ids[order], xy[order], visible[order]
        self._colours = colours[order]
        return colours

    def _compose(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Lay the trails over a copy of the image."""
        if not self._trail_length:
            return image.copy()
        clear = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(self._layer, 3)), cv2.COLOR_GRAY2RGB)
        behind = cv2.multiply(image, clear, scale=1 / 255)
        return np.asarray(cv2.add(behind, cv2.cvtColor(self._layer, cv2.COLOR_RGBA2RGB)), np.uint8)

    def _draw_points(
        self, canvas: NDArray[np.uint8], tracks: Tracks, xy: NDArray[np.float32], colours: NDArray[np.uint8]
    ) -> None:
        radius = max(2.0, min(tracks.image_size) / 130)
        disc, edge, ring, rim, small = (
            round(r * (1 << _SHIFT))
            for r in (radius, radius + 0.9, 1.15 * radius, 1.15 * radius + 1, 0.7 * radius)
        )
        lost = (tracks.flags & TrackFlag.LOST) != 0
        margin = 2 * radius
        inside = np.all((xy > -margin) & (xy < np.array(tracks.image_size) + margin), axis=1)
        centres = _fixed_point(xy).tolist()
        palette = colours.tolist()
        # Visible points come last: they lie on top.
        for i in np.flatnonzero(inside & lost):
            colour = [_LOST * c + (1 - _LOST) * 110 for c in palette[i]]
            cv2.circle(canvas, centres[i], small, colour, 1, cv2.LINE_AA, _SHIFT)
        for i in np.flatnonzero(inside & ~lost & ~tracks.visible):
            cv2.circle(canvas, centres[i], rim, _OUTLINE, 1, cv2.LINE_AA, _SHIFT)
            cv2.circle(canvas, centres[i], ring, palette[i], 1, cv2.LINE_AA, _SHIFT)
        for i in np.flatnonzero(inside & ~lost & tracks.visible):
            cv2.circle(canvas, centres[i], edge, _OUTLINE, cv2.FILLED, cv2.LINE_AA, _SHIFT)
            cv2.circle(canvas, centres[i], disc, palette[i], cv2.FILLED, cv2.LINE_AA, _SHIFT)


def position_colours(xy: NDArray[np.float32], image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Colour points by their place in the image, so that neighbours have similar, vivid colours.

    Args:
        xy: (N, 2) positions, px.
        image_size: Width and height of the image, px.

    Returns:
        (N, 3) uint8, RGB.
    """
    if not len(xy):
        return np.zeros((0, 3), np.uint8)
    u, v = (xy / np.maximum(image_size, 1)).clip(0, 1).T
    # Hue runs along a slanted direction, so that rows as well as columns differ; 0.85 keeps the two ends
    # of the colour circle apart. OpenCV's hue goes from 0 to 179.
    hue = 0.85 * 180 * (0.35 * u + 0.65 * v)
    hsv = np.stack([hue, 200 + 30 * np.sin(7 * u), np.full_like(hue, 255)], axis=1).astype(np.uint8)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]


def draw_caption(canvas: NDArray[np.uint8], text: str) -> None:
    """Write a line of ASCII text on a dark strip along the lower edge of an RGB image, in place."""
    scale = max(0.3, min(canvas.shape[1] / 1400, 0.8))
    (_, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    strip = canvas[-(height + below + 8) :]
    strip[:] = strip // 3
    place = (8, canvas.shape[0] - below - 4)
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (240, 240, 240), 1, cv2.LINE_AA)


def _count_states(tracks: Tracks) -> str:
    lost = int(np.sum((tracks.flags & TrackFlag.LOST) != 0))
    visible = int(np.sum(tracks.visible))
    return f"{visible} visible, {len(tracks) - visible - lost} occluded, {lost} lost"


def _fixed_point(xy: NDArray[np.float32]) -> NDArray[np.int32]:
    return np.rint(xy * (1 << _SHIFT)).astype(np.int32)
