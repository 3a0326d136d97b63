import cv2
import numpy as np
import pytest
from clips import texture

from cotracker_ros.evaluation.datasets import DatasetError, static_scene_clips
from cotracker_ros.messages import camera_info_fields, depth_fields, image_fields, transform_fields
from cotracker_ros.reconstruction.camera import CameraModel
from cotracker_ros.recordings import BagWriter, RecordingError

SIZE = (128, 96)
WALL = 2.0  # m
STEP = 2  # px from frame to frame
FRAME = "camera_optical_frame"
BEGIN, PERIOD = 1_000_000_000, 100_000_000  # ns


def pictures(frames, still=False):
    """A camera that moves to the right along a wall."""
    wall = texture((SIZE[0] + STEP * frames, SIZE[1]))
    return [wall[:, 0 if still else STEP * i :][:, : SIZE[0]] for i in range(frames)]


def pose(i, focal, still=False):
    matrix = np.eye(4)
    matrix[0, 3] = 0 if still else i * STEP * WALL / focal
    return matrix


def write_png(path, image):
    cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def write_seven_scenes(folder, frames=12, focal=104.0, suffix="png", still=False):
    folder.mkdir(exist_ok=True, parents=True)
    for i, image in enumerate(pictures(frames, still)):
        stem = folder / f"frame-{i:06d}"
        write_png(f"{stem}.color.{suffix}", image)
        depth = np.full(SIZE[::-1], WALL * 1000, np.uint16)
        depth[:20] = 65535
        write_png(f"{stem}.depth.png", depth)
        np.savetxt(f"{stem}.pose.txt", pose(i, focal, still))
    return folder


def write_tum(folder, frames=12, focal=105.0):
    """Colour at 10 Hz, depth 5 ms later, poses at 20 Hz that begin 50 ms after the first image."""
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    lists = {"rgb": ["# color images"], "depth": ["# depth maps"], "groundtruth": ["# ground truth"]}
    for i, image in enumerate(pictures(frames)):
        write_png(folder / f"rgb/{i}.png", image)
        write_png(folder / f"depth/{i}.png", np.full(SIZE[::-1], WALL * 5000, np.uint16))
        lists["rgb"].append(f"{100 + 0.1 * i:.6f} rgb/{i}.png")
        lists["depth"].append(f"{100.005 + 0.1 * i:.6f} depth/{i}.png")
    for k in range(2 * frames):
        time = 0.05 + 0.05 * k - 0.025
        x = pose(time / 0.1, focal)[0, 3]
        lists["groundtruth"].append(f"{100 + time:.6f} {x:.9f} 0 0 0 0 0 1")
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_bag(path, frames=12, focal=100.0, without=(), depth_frame=FRAME, tf_delay=0, depth_lag=-1_000_000):
    camera = CameraModel.pinhole(*SIZE, focal, focal, 63.5, 47.5)
    with BagWriter(path) as bag:
        base = np.eye(4)
        base[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]  # the optical frame on a robot's base
        static = [transform_fields(0, "base", FRAME, base)]
        offset = np.eye(4)
        offset[0, 3] = 0.05
        static.append(transform_fields(0, FRAME, "depth_optical_frame", offset))
        if "tf" not in without:
            bag.write("/tf_static", "tf2_msgs/msg/TFMessage", BEGIN, {"transforms": static}, latched=True)
        for i, image in enumerate(pictures(frames)):
            stamp = BEGIN + i * PERIOD
            if "camera_info" not in without:
                info = camera_info_fields(camera, stamp, FRAME)
                bag.write("/camera/camera_info", "sensor_msgs/msg/CameraInfo", stamp, info)
            bag.write("/camera/image", "sensor_msgs/msg/Image", stamp, image_fields(image, stamp, FRAME))
            if "depth" not in without and i != 3:  # one depth image got lost
                metres = np.full((48, 64), WALL, np.float32)  # half the resolution
                fields = depth_fields(metres, stamp - depth_lag, depth_frame)
                bag.write("/camera/depth", "sensor_msgs/msg/Image", stamp + 1_000_000, fields)
            moved = np.eye(4)
            moved[1, 3] = -pose(i, focal)[0, 3]  # right of the camera is minus y of the base
            moving = {"transforms": [transform_fields(stamp, "odom", "base", moved)]}
            if "tf" not in without:
                bag.write("/tf", "tf2_msgs/msg/TFMessage", stamp + tf_delay, moving)
    return path


def check_motion(clip, steps=None):
    """Check that all points move to the left by 2 px from frame to frame."""
    steps = np.arange(len(clip)) if steps is None else steps
    moved = clip.xy - clip.xy[0]
    np.testing.assert_allclose(
        moved[..., 0], np.broadcast_to(-STEP * steps[:, None], moved.shape[:2]), atol=2e-3
    )
    np.testing.assert_allclose(moved[..., 1], 0, atol=2e-3)
    assert clip.visible[0].all() and clip.known[0].all()


def test_seven_scenes(tmp_path):
    # Known is a focal length of 520 px at a width of 640, so of 104 px at 128.
    folder = write_seven_scenes(tmp_path / "seq-01")
    clips = list(static_scene_clips(folder, starts=[4, 0], length=6, count=30))
    assert [clip.name for clip in clips] == ["seq-01, frames 0 to 5", "seq-01, frames 4 to 9"]
    for clip, start in zip(clips, (0, 4), strict=True):
        check_motion(clip)
        np.testing.assert_array_equal(clip.frames, pictures(12)[start : start + 6])
        assert 8 <= clip.xy.shape[1] <= 30
        assert (clip.xy[0, :, 1] > 24).all()  # above, the depth says 65535: nothing measured


def test_seven_scenes_with_jpegs_and_other_intrinsics(tmp_path):
    folder = write_seven_scenes(tmp_path / "seq", focal=90.0, suffix="jpg")
    check_motion(next(static_scene_clips(folder, length=5, intrinsics=(90, 90, 60, 50))))


def test_without_starts_one_clip_follows_the_other(tmp_path):
    folder = write_seven_scenes(tmp_path / "seq", frames=13)
    names = [clip.name for clip in static_scene_clips(folder, length=4)]
    assert names == [f"seq, frames {start} to {start + 3}" for start in (0, 4, 8)]


def test_only_frames_of_wanted_clips_are_read(tmp_path):
    folder = write_seven_scenes(tmp_path / "seq")
    for number in (0, 1, 9):
        (folder / f"frame-{number:06d}.color.png").write_bytes(b"")
    assert len(next(static_scene_clips(folder, starts=[2], length=6))) == 6


def test_tum_rgbd(tmp_path):
    # The first image has no pose before it; from the second on there are poses 25 ms on either side.
    folder = write_tum(tmp_path / "tum")
    clip = next(static_scene_clips(folder, length=6))
    check_motion(clip)
    np.testing.assert_array_equal(clip.frames[0], pictures(12)[1])
    with pytest.raises(DatasetError, match="has 11 frames that can be used: 6 from frame 7 on"):
        list(static_scene_clips(folder, starts=[0, 7], length=6))


def test_tum_rgbd_leaves_out_what_does_not_belong_together(tmp_path):
    folder = write_tum(tmp_path / "tum")
    depths = (folder / "depth.txt").read_text().splitlines()
    (folder / "depth.txt").write_text("\n".join(depths[:4] + depths[5:]))  # frame 3 has no depth
    clip = next(static_scene_clips(folder, length=6))
    check_motion(clip, np.array([0, 1, 3, 4, 5, 6]))
    poses = (folder / "groundtruth.txt").read_text().splitlines()
    (folder / "groundtruth.txt").write_text("\n".join(poses[:8] + poses[13:]))  # lost for 0.3 s
    clip = next(static_scene_clips(folder, length=4))
    check_motion(clip, np.array([0, 1, 6, 7]))


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("rgb.txt", "# nothing\n", "is empty"),
        ("depth.txt", "100.0\n", "line 1 is not a time and 1 more"),
        ("depth.txt", "#\nnoon depth/0.png\n", "line 2 is not a time"),
        ("groundtruth.txt", "100 0 0 0 0 0 0 0\n", "no pose"),
        ("groundtruth.txt", "100 0 0 0 0 0 0 x\n", "no pose"),
        ("groundtruth.txt", "900 0 0 0 0 0 0 1\n901 0 0 0 0 0 0 1\n", "different recordings"),
    ],
)
def test_damaged_lists_of_tum_rgbd_are_one_sentence(tmp_path, name, text, sentence):
    folder = write_tum(tmp_path / "tum", frames=3)
    (folder / name).write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        next(static_scene_clips(folder, length=2))


def test_bag(tmp_path):
    path = write_bag(tmp_path / "scene.mcap")
    clip = next(static_scene_clips(path, length=8))
    check_motion(clip, np.array([0, 1, 2, 4, 5, 6, 7, 8]))  # without the image whose depth got lost
    np.testing.assert_array_equal(clip.frames[2], pictures(12)[2])
    assert clip.visible[:, clip.xy[-1, :, 0] > 0].all()


def test_bag_whose_transforms_come_late(tmp_path):
    path = write_bag(tmp_path / "scene.mcap", tf_delay=2 * PERIOD)
    check_motion(next(static_scene_clips(path, starts=[3], length=8)))


def test_bag_with_a_named_world_and_intrinsics(tmp_path):
    path = write_bag(tmp_path / "scene.mcap", focal=80.0, without=["camera_info"])
    clips = static_scene_clips(path, starts=[4], length=5, intrinsics=(80, 80, 63.5, 47.5), world="odom")
    check_motion(next(clips))
    clips = static_scene_clips(path, starts=[4], length=5, intrinsics=(80, 80, 63.5, 47.5), world="base")
    with pytest.raises(DatasetError, match="camera stands still"):
        next(clips)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"without": ["tf"]}, "no transform says where its frame"),
        ({"without": ["camera_info"]}, "no camera_info came"),
        ({"depth_frame": "depth_optical_frame"}, "register the depth"),
        ({"depth_lag": 30_000_000}, "no depth image was taken within 20 ms"),
    ],
)
def test_bag_that_lacks_something(tmp_path, change, sentence):
    path = write_bag(tmp_path / "scene.mcap", **change)
    with pytest.raises(DatasetError, match=f"no image of .* can be used: .*{sentence}"):
        next(static_scene_clips(path, length=4))


def test_bag_without_depth_or_damaged(tmp_path):
    path = write_bag(tmp_path / "scene.mcap", without=["depth"])
    with pytest.raises(DatasetError, match="has no depth images"):
        static_scene_clips(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RecordingError, match="cannot be read as a bag"):
        static_scene_clips(path)


def test_a_camera_that_stands_still_is_named(tmp_path):
    folder = write_seven_scenes(tmp_path / "seq", frames=8, still=True)
    with pytest.raises(DatasetError, match="frames 2 to 5: the camera stands still"):
        next(static_scene_clips(folder, starts=[2], length=4))
    with pytest.raises(DatasetError, match="stands still in all clips"):
        next(static_scene_clips(folder, length=4))


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("color.png", None, "is no static|no image"),
        ("color.png", b"\x89PNG", "no image"),
        ("depth.png", None, "no 16-bit depth image"),
        ("depth.png", b"", "no 16-bit depth image"),
        ("pose.txt", None, "is missing"),
        ("pose.txt", b"1 0 0 0\n0 1 0 0\n", "no 4x4 pose"),
        ("pose.txt", b"-1.#IND 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "no 4x4 pose"),
        ("pose.txt", b"nan 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "no 4x4 pose"),
    ],
)
def test_damaged_files_of_seven_scenes_are_one_sentence(tmp_path, file, content, sentence):
    folder = write_seven_scenes(tmp_path / "seq", frames=4)
    path = folder / f"frame-000001.{file}"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    if file == "color.png" and content is None:
        assert len(next(static_scene_clips(folder, length=3))) == 3  # a frame that is not there is left out
        return
    with pytest.raises(DatasetError, match=sentence) as caught:
        next(static_scene_clips(folder, length=4))
    assert path.name in str(caught.value)


def test_depth_in_colour_or_of_another_view_is_refused(tmp_path):
    folder = write_seven_scenes(tmp_path / "seq", frames=4)
    write_png(folder / "frame-000001.depth.png", texture(SIZE))
    with pytest.raises(DatasetError, match="no 16-bit depth image"):
        next(static_scene_clips(folder, length=4))
    write_png(folder / "frame-000001.depth.png", np.full((90, 160), 2000, np.uint16))
    with pytest.raises(DatasetError, match="160x90 px, the colour image 128x96: register"):
        next(static_scene_clips(folder, length=4))


def test_images_of_another_shape_need_intrinsics(tmp_path):
    folder = tmp_path / "seq"
    write_seven_scenes(folder, frames=4)
    for i in range(4):
        write_png(folder / f"frame-{i:06d}.color.png", texture((160, 90)))
        write_png(folder / f"frame-{i:06d}.depth.png", np.full((90, 160), 2000, np.uint16))
    with pytest.raises(DatasetError, match="calibration is for images of 640x480 px, these have 160x90"):
        next(static_scene_clips(folder, length=4))
    assert len(next(static_scene_clips(folder, length=4, intrinsics=(100, 100, 80, 45)))) == 4


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"starts": [-1]}, "from 0 on"),
        ({"length": 1}, "at least 2 frames"),
        ({"count": 0}, "1 point"),
        ({"max_depth": 0.0}, "distance above 0"),
        ({"intrinsics": (0, 500, 320, 240)}, "fx and fy above 0"),
    ],
)
def test_senseless_options_are_refused_at_once(tmp_path, options, sentence):
    folder = write_seven_scenes(tmp_path / "seq", frames=2)
    with pytest.raises(DatasetError, match=sentence):
        static_scene_clips(folder, **options)


def test_other_folders_are_named_at_once(tmp_path):
    with pytest.raises(DatasetError, match="is no static scene"):
        static_scene_clips(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        static_scene_clips(tmp_path / "no")
