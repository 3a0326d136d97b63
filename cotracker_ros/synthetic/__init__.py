"""Rendered RGB-D scenes with exact ground truth: test clips and the sample recording of the demo.

`cotracker_ros.synthetic.sample` writes the sample recording; it is not imported here because it needs the
rooms that write bags.
"""

from cotracker_ros.synthetic.clip import Clip, Recorder, even_stamps, scene_clip
from cotracker_ros.synthetic.random_room import random_room
from cotracker_ros.synthetic.render import Frame, Renderer
from cotracker_ros.synthetic.scene import Body, Intrinsics, Lamp, Part, Scene, box, cylinder, facing
from cotracker_ros.synthetic.sensor import ColourSensor, measure_depth
from cotracker_ros.synthetic.truth import Anchors, Truth, pick_anchors, trace
from cotracker_ros.synthetic.workshop import workshop

__all__ = [
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
    "Scene",
    "Truth",
    "box",
    "cylinder",
    "even_stamps",
    "facing",
    "measure_depth",
    "pick_anchors",
    "random_room",
    "scene_clip",
    "trace",
    "workshop",
]
