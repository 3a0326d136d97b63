import cv2
import numpy as np
import pytest

pytest.importorskip("av")
from cotracker_ros.visualization.video import VideoWriter


def test_what_is_written_can_be_read(tmp_path):
    path = tmp_path / "video.mp4"
    with VideoWriter(path, fps=15) as video:
        for k in range(12):
            image = np.zeros((61, 81, 3), np.uint8)  # odd sides, which 4:2:0 cannot hold
            image[:, :, 0] = 20 * k
            video.write(image)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(15)
    frames = []
    while (answer := capture.read())[0]:
        frames.append(answer[1][..., ::-1])
    assert len(frames) == 12 and frames[0].shape == (62, 82, 3)
    for k, frame in enumerate(frames):
        assert frame[30, 40] == pytest.approx((20 * k, 0, 0), abs=12)


def test_browsers_can_play_it(tmp_path):
    import av

    path = tmp_path / "video.mp4"
    with VideoWriter(path, fps=29.97) as video:
        for _ in range(3):
            video.write(np.zeros((48, 64, 3), np.uint8))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "playing must not wait for the end"


def test_wrong_input_is_said(tmp_path):
    with pytest.raises(ValueError, match="the frame rate is 0"):
        VideoWriter(tmp_path / "video.mp4", fps=0)
    with VideoWriter(tmp_path / "video.mp4", fps=10) as video:
        with pytest.raises(ValueError, match=r"give \(H, W, 3\) uint8"):
            video.write(np.zeros((48, 64), np.uint8))
        video.write(np.zeros((48, 64, 3), np.uint8))
        with pytest.raises(ValueError, match="the video has"):
            video.write(np.zeros((48, 66, 3), np.uint8))


def test_no_image_makes_no_file(tmp_path):
    with VideoWriter(tmp_path / "video.mp4", fps=10):
        pass
    assert not (tmp_path / "video.mp4").exists()
