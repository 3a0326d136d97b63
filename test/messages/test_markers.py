import numpy as np
import pytest
from scenes import body, odometry, scene, tracks_3d

from cotracker_ros.messages import ros2_typestore, scene_marker_fields, to_bag, to_ros
from cotracker_ros.reconstruction import SceneUpdate
from cotracker_ros.visualization.scene_history import SceneHistory
from cotracker_ros.visualization.scene_style import MOTION_COLOURS

TYPESTORE = ros2_typestore()
NAME = "visualization_msgs/msg/MarkerArray"


def drawn(*scenes):
    history = SceneHistory(10)
    for item in scenes:
        history.add(item)
    return scene_marker_fields(history.view())


def in_bag(fields):
    data = TYPESTORE.serialize_cdr(to_bag(TYPESTORE, NAME, fields), NAME)
    return TYPESTORE.deserialize_cdr(data, NAME)


def in_ros(fields):
    return to_ros(pytest.importorskip("visualization_msgs.msg").MarkerArray, fields)


def by_namespace(message):
    kinds = {}
    for marker in message.markers[1:]:
        kinds.setdefault(marker.ns, []).append(marker)
    return kinds


def points(marker):
    return [(round(p.x, 4), round(p.y, 4), round(p.z, 4)) for p in marker.points]


@pytest.mark.parametrize("library", [in_bag, in_ros])
def test_all_of_a_scene_is_in_one_message(library):
    message = library(drawn(*(scene(i, body(), body(5, label="")) for i in range(3))))
    assert message.markers[0].action == 3, "what was drawn before is deleted first"
    assert len({(m.ns, m.id) for m in message.markers}) == len(message.markers)
    kinds = by_namespace(message)
    assert {name: len(markers) for name, markers in kinds.items()} == {
        "trails_static": 1,
        "trails_moving": 1,
        "points": 1,
        "bodies": 1,
        "body_axes": 1,
        "body_names": 2,
        "camera_path": 1,
    }
    (moving,) = kinds["trails_moving"]
    assert points(moving) == [(1, 0, 2), (1.1, 0, 2), (1.1, 0, 2), (1.2, 0, 2)]
    colour = np.array([moving.color.r, moving.color.g, moving.color.b]) * 255
    np.testing.assert_allclose(colour, MOTION_COLOURS[2], atol=1e-4)
    (spheres,) = kinds["points"]
    assert points(spheres) == [(1.2, 0, 2), (2, 0, 2), (3, 0, 2)]
    assert (spheres.colors[0].r, spheres.colors[0].g, spheres.colors[0].a) == (1, 0, 1)
    assert points(kinds["camera_path"][0])[-1] == (0.2, 0, 0)
    for marker in message.markers[1:]:
        assert marker.header.frame_id == "odom"
        assert len(marker.colors) in (0, len(marker.points))


def test_bodies_have_boxes_axes_and_names():
    kinds = by_namespace(in_bag(drawn(scene(0, body(3), body(4, label="", predicted=True)))))
    (boxes,) = kinds["bodies"]
    assert len(boxes.points) == 2 * 12 * 2
    opacity = [c.a for c in boxes.colors]
    assert opacity[:24] == [1.0] * 24
    assert max(opacity[24:]) < 0.5, "what is predicted is faint"
    (axes,) = kinds["body_axes"]
    assert points(axes)[:2] == [(1, 2, 3), (1, 2.15, 3)]
    assert [(m.id, m.text) for m in kinds["body_names"]] == [(3, "3 cup"), (4, "4 (predicted)")]


def test_only_labelled_tracks_are_named():
    labels = ("", "cup", "cup")
    tracks = tracks_3d(0, labels=labels)
    tracks.xyz[2] = np.nan
    kinds = by_namespace(in_bag(drawn(SceneUpdate(tracks, None, None))))
    assert [m.text for m in kinds["ids"]] == ["2 cup"]
    assert [m.ns for m in in_bag(drawn(SceneUpdate(tracks_3d(0, []), odometry(0), None))).markers] == [""]


def test_without_anything_to_draw_there_is_only_the_deletion():
    empty = SceneUpdate(tracks_3d(0, []), None, None)
    assert [m.action for m in in_bag(drawn(empty)).markers] == [3]
    hidden = tracks_3d(0)
    hidden.xyz[:] = np.nan
    assert len(in_bag(drawn(SceneUpdate(hidden, None, scene(0).bodies))).markers) == 1
