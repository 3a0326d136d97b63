"""Rendered RGB-D scenes with exact ground truth: test clips and the sample recording of the demo.

`cotracker_ros.synthetic.sample` writes the sample recording; it is not imported here because it needs the
rooms that write bags.
"""

from cotracker_ros.synthetic.clip import Clip, Recorder, even_stamps, scene_clip
from cotracker_ros.synthetic.random_room import random_room
from cotracker_ros.synthetic.render import Frame, Renderer
from cotracker_ros.synthetic.scene import Body, Intrinsics, Lamp, Part, Scene, box, cylinder, facing
from cotracker_ros.synthetic.sensor import ColourSensor, measure_depth
from cotracker_ros.synthetic.sequences import SEQUENCES, RgbdSequence, rendered_sequence
from cotracker_ros.synthetic.truth import Anchors, Truth, anchors_at, pick_anchors, trace
from cotracker_ros.synthetic.workshop import workshop

__all__ = [
    "SEQUENCES",
    "Anchors",
    "Body",
    "Clip",
    "ColourSensor",
    "Frame",
    "Intrinsics",
    "Lamp",
    "Part",
    "Recorder",
    "Renderer",
    "RgbdSequence",
    "Scene",
    "Truth",
    "anchors_at",
    "box",
    "cylinder",
    "even_stamps",
    "facing",
    "measure_depth",
    "pick_anchors",
    "random_room",
    "rendered_sequence",
    "scene_clip",
    "trace",
    "workshop",
]
