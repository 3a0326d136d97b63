import cv2
import numpy as np
import pytest

from cotracker_ros.recordings import DropEvent, ImageEvent, RecordingError, open_recording


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for i in range(5):
        writer.write(np.full((48, 64, 3), (20, 60, 100 + 20 * i), np.uint8))
    writer.release()
    return path


def test_video(video):
    recording = open_recording(video)
    assert (recording.summary.kind, recording.summary.images) == ("video", 5)
    assert not recording.summary.has_depth
    for _ in range(2):
        events = list(recording.events())
        assert [event.stamp for event in events] == [
            50_000_000,
            100_000_000,
            150_000_000,
            200_000_000,
            250_000_000,
        ]
        means = np.array([event.image.mean(axis=(0, 1)) for event in events])
        np.testing.assert_allclose(means[:, 0], 100 + 20 * np.arange(5), atol=4)  # red first
        np.testing.assert_allclose(means[:, 2], 20, atol=4)


def test_a_video_that_ends_early(video):
    """Its header promises five images; what is there is read, and all of it."""
    content = video.read_bytes()
    video.write_bytes(content[: (content.index(b"movi") + content.rindex(b"idx1")) // 2])
    recording = open_recording(video)
    *images, last = recording.events()
    assert 1 <= len(images) < 4
    assert all(isinstance(event, ImageEvent) for event in images)
    assert isinstance(last, DropEvent)
    assert last.reason == f"the video ends after {len(images)} images, but its header counts 5"
    video.write_bytes(content[:100])
    with pytest.raises(RecordingError, match=r"cannot be read|no image that can be read"):
        open_recording(video)


def test_image_folder_in_natural_order(tmp_path):
    for i in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"frame{i}.png"), np.full((4, 6, 3), i, np.uint8))
    cv2.imwrite(str(tmp_path / "frame1.depth.png"), np.zeros((4, 6), np.uint16))
    (tmp_path / "notes.txt").write_text("no image")
    recording = open_recording(tmp_path)
    assert (recording.summary.kind, recording.summary.images) == ("images", 3)
    assert [event.image[0, 0, 0] for event in recording.events()] == [1, 2, 10]


def test_a_file_that_is_no_image_is_dropped(tmp_path):
    (tmp_path / "1.png").write_bytes(b"nothing")
    cv2.imwrite(str(tmp_path / "2.png"), np.zeros((4, 6, 3), np.uint8))
    events = list(open_recording(tmp_path).events())
    assert [type(event) for event in events] == [DropEvent, ImageEvent]
    assert events[1].stamp == pytest.approx(2e9 / 30, abs=1)


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(RecordingError, match="neither a bag nor a folder of images"):
        open_recording(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(RecordingError, match="OpenCV does not know it as a video"):
        open_recording(tmp_path / "a.mp4")


def test_topics_make_no_sense_without_a_bag(video):
    with pytest.raises(RecordingError, match="is no bag"):
        open_recording(video, image_topic="/c")
    open_recording(video, depth_topic="none")
