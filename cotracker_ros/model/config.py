"""The shape of a CoTracker3 network."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from cotracker_ros.model.encodings import MOTION_WIDTH, POSITION_WIDTH

_MAY_BE_0 = ("corr_radius", "support_radius", "verifier")


@dataclass(frozen=True)
class CoTracker3Config:
    """Sizes of every part; the defaults are those of the published network.

    Attributes:
        window: Frames the transformer looks at. Online: the length of its windows; offline: the clip length
            its time embedding is made for (any clip length works).
        offline: One window over the whole clip instead of windows that advance by half their length.
        causal: A frame never sees later ones: attention looks back in time only, motion is measured against
            the frame before, time is relative, and tokens know where in the image they are. What was computed
            of a stream's past stays.
        stride: Image pixels per feature pixel.
        stem_width: Channels of the encoder's first convolution.
        stage_widths: Channels of its four residual stages.
        head_width: Channels between its two last convolutions.
        feature_width: Channels of a feature.
        corr_levels: Levels of the feature pyramid, each half the size of the one before.
        corr_radius: The patch that is compared with the query's has side 2 * radius + 1.
        support_radius: The same of the query's patch.
        corr_hidden: Width inside the correlation MLP.
        corr_width: Width of a correlation embedding, per level.
        hidden: Width of the transformer.
        heads: Attention heads.
        depth: Blocks in time, each followed by a group of blocks in space.
        mlp_ratio: Width inside the transformer's MLPs, over `hidden`.
        virtual_tracks: Learned tokens through which the tracks see each other.
        motion_height: Height that the motion encoding is scaled by, px.
        motion_width: Width that the motion encoding is scaled by, px.
        verifier: Causal networks: width of the verifier's hidden layer; 0 has none.
    """

    window: int = 16
    offline: bool = False
    causal: bool = False
    stride: int = 4
    stem_width: int = 64
    stage_widths: tuple[int, int, int, int] = (64, 96, 128, 128)
    head_width: int = 256
    feature_width: int = 128
    corr_levels: int = 4
    corr_radius: int = 3
    support_radius: int = 3
    corr_hidden: int = 384
    corr_width: int = 256
    hidden: int = 384
    heads: int = 8
    depth: int = 3
    mlp_ratio: float = 4.0
    virtual_tracks: int = 64
    motion_height: int = 384
    motion_width: int = 512
    verifier: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("offline", "causal", "stage_widths", *_MAY_BE_0):
                continue
            if not value > 0:
                raise ValueError(f"{field.name} is {value}; give a number above 0")
        if len(self.stage_widths) != 4 or min(self.stage_widths) <= 0:
            raise ValueError(f"stage_widths is {self.stage_widths}; give four numbers of channels")
        if self.stride not in (2, 4, 8, 16):
            raise ValueError(f"stride is {self.stride}; give 2, 4, 8 or 16")
        if self.offline and self.causal:
            raise ValueError("offline and causal are both set; an offline network looks both ways in time")
        if self.verifier and not self.causal:
            raise ValueError("verifier is set, but the network is not causal; give verifier: 0")
        for name in _MAY_BE_0:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more")
        if self.hidden % self.heads:
            raise ValueError(
                f"hidden is {self.hidden} and heads {self.heads}; hidden must be a multiple of heads"
            )
        if not self.offline and (self.window < 2 or self.window % 2):
            raise ValueError(f"window is {self.window}; give an even number of frames to an online network")
        if self.token_width % 2:
            raise ValueError(f"corr_width is {self.corr_width}; levels times width must be even")

    @property
    def support_patch(self) -> int:
        """Points in a query's patch."""
        return (2 * self.support_radius + 1) ** 2

    @property
    def volume(self) -> int:
        """Numbers in a correlation volume: each point of a patch with each of the query's."""
        return (2 * self.corr_radius + 1) ** 2 * self.support_patch

    @property
    def token_width(self) -> int:
        """Numbers in a token: two logits, correlation embeddings, motion, for causal networks position."""
        where = MOTION_WIDTH + POSITION_WIDTH if self.causal else 2 * MOTION_WIDTH
        return 2 + self.corr_levels * self.corr_width + where

    @property
    def smallest_side(self) -> int:
        """Least height and width of an image, px: the coarsest features must keep two pixels for a norm."""
        return max(32, self.stride * 2 ** (self.corr_levels - 1))

    def to_json(self) -> str:
        """Return the configuration as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CoTracker3Config:
        """Read what `to_json` wrote.

        Raises:
            ValueError: The text is not such a configuration.
        """
        try:
            values = json.loads(text)
            values["stage_widths"] = tuple(values["stage_widths"])
            return cls(**values)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"the network's configuration cannot be read: {error}") from error
