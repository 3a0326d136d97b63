import sys
from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cotracker_ros.messages import bridge
from cotracker_ros.messages.errors import MessageError
from cotracker_ros.messages.images import (
    decode_compressed_depth,
    decode_compressed_image,
    decode_depth,
    decode_image,
    decode_mask,
    depth_fields,
    image_fields,
)

HEIGHT, WIDTH = 6, 8


def gradient():
    """A smooth RGB picture, so that chroma subsampling and demosaicing lose little."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([40 + 10 * x, 60 + 15 * y, 200 - 5 * x - 5 * y], axis=-1).astype(np.uint8)


def message(pixels, encoding, *, padding=0, big=False, container=bytes):
    """Pack pixels (H, W[, C]) into something like sensor_msgs/Image."""
    pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    data = {
        bytes: rows.tobytes(),
        array: array("B", rows.tobytes()),
        np.ndarray: rows.reshape(-1).copy(),
        list: rows.reshape(-1).tolist(),
    }[container]
    return SimpleNamespace(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big),
        step=rows.shape[1],
        data=data,
    )


def mosaic(rgb, pattern):
    """Keep one channel a pixel, as a Bayer sensor does: the pattern reads left to right, top to bottom."""
    raw = np.empty(rgb.shape[:2], rgb.dtype)
    for i, letter in enumerate(pattern):
        raw[i // 2 :: 2, i % 2 :: 2] = rgb[i // 2 :: 2, i % 2 :: 2, "rgb".index(letter)]
    return raw


def packed_yuv(colour, encoding):
    """A picture of one colour as 4:2:2 video range YUV (BT.601), made by hand."""
    r, g, b = colour
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    order = (u, y, v, y) if encoding in ("yuv422", "uyvy") else (y, u, y, v)
    row = np.rint(np.tile(order, WIDTH // 2)).astype(np.uint8)
    return np.tile(row, (HEIGHT, 1)).reshape(HEIGHT, WIDTH, 2)


def grey():
    return gradient()[:, :, 0]


def exact_cases():
    rgb = gradient()
    alpha = np.full((HEIGHT, WIDTH, 1), 7, np.uint8)
    grey3 = np.repeat(grey()[:, :, None], 3, axis=2)
    cases = {
        "rgb8": (rgb, rgb),
        "bgr8": (rgb[:, :, ::-1], rgb),
        "rgba8": (np.concatenate([rgb, alpha], 2), rgb),
        "bgra8": (np.concatenate([rgb[:, :, ::-1], alpha], 2), rgb),
        "8UC3": (rgb[:, :, ::-1], rgb),
        "8UC4": (np.concatenate([rgb[:, :, ::-1], alpha], 2), rgb),
        "mono8": (grey(), grey3),
        "8UC1": (grey(), grey3),
    }
    for name, source in [("mono16", "mono8"), ("16UC1", "mono8"), ("rgb16", "rgb8"), ("bgra16", "bgra8")]:
        pixels, expected = cases[source]
        cases[name] = (pixels.astype(np.uint16) * 256 + 255, expected)  # the low byte must not round up
    return cases


@pytest.fixture(params=["rosbags-image", "cv_bridge"])
def converter(request, monkeypatch):
    """Run with rosbags-image alone, then with a cv_bridge that works."""
    bridge.rgb_converter.cache_clear()
    monkeypatch.setitem(sys.modules, "cv_bridge", FAKE_CV_BRIDGE if request.param == "cv_bridge" else None)
    assert bridge.rgb_converter()[0] == request.param
    yield request.param
    bridge.rgb_converter.cache_clear()


class WorkingBridge:
    """Converts as cv_bridge does, with OpenCV."""

    codes = {  # noqa: RUF012
        "bgr8": cv2.COLOR_BGR2RGB,
        "rgba8": cv2.COLOR_RGBA2RGB,
        "bgra8": cv2.COLOR_BGRA2RGB,
        "mono8": cv2.COLOR_GRAY2RGB,
        "yuv422": cv2.COLOR_YUV2RGB_UYVY,
        "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUYV,
        "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
        "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
        "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
        "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
    }

    def imgmsg_to_cv2(self, image, desired_encoding):
        assert desired_encoding == "rgb8"
        assert not image.is_bigendian
        channels = image.step // image.width
        shape = (image.height, image.width) + ((channels,) if channels > 1 else ())
        return cv2.cvtColor(np.ndarray(shape, np.uint8, image.data), self.codes[image.encoding])


FAKE_CV_BRIDGE = SimpleNamespace(CvBridge=WorkingBridge)


@pytest.mark.parametrize("encoding", exact_cases())
def test_every_plain_encoding_gives_the_same_rgb(converter, encoding):
    pixels, expected = exact_cases()[encoding]
    np.testing.assert_array_equal(decode_image(message(pixels, encoding)), expected)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8", "mono16"])
@pytest.mark.parametrize("container", [bytes, array, np.ndarray, list])
def test_row_padding_byte_order_and_container_do_not_matter(encoding, container):
    pixels, expected = exact_cases()[encoding]
    padded = message(pixels, encoding, padding=6, big=True, container=container)
    np.testing.assert_array_equal(decode_image(padded), expected)


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
def test_yuv_422(converter, encoding):
    colour = (180, 60, 30)
    image = decode_image(message(packed_yuv(colour, encoding), encoding))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image.astype(int) - colour).max() <= 3


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer(converter, pattern, bits):
    raw = mosaic(gradient(), pattern)
    if bits == 16:
        raw = raw.astype(np.uint16) << 8
    image = decode_image(message(raw, f"bayer_{pattern}{bits}"))
    inner = (slice(2, -2), slice(2, -2))
    assert np.abs(image[inner].astype(int) - gradient()[inner]).max() <= 8


def test_the_result_does_not_follow_the_message():
    for encoding in ("rgb8", "bgr8", "mono8"):
        pixels, expected = exact_cases()[encoding]
        source = message(pixels, encoding, container=np.ndarray)
        image = decode_image(source)
        source.data[:] = 0
        np.testing.assert_array_equal(image, expected)
    depth = message(np.ones((HEIGHT, WIDTH), np.float32), "32FC1", container=np.ndarray)
    metres = decode_depth(depth)
    depth.data[:] = 0
    assert (metres == 1).all()


def test_padding_behind_the_last_row_may_be_missing():
    source = message(gradient(), "rgb8", padding=5)
    source.data = source.data[:-5]
    np.testing.assert_array_equal(decode_image(source), gradient())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"encoding": "nv12"}, r"encoding 'nv12' is not supported for a colour image: use one of rgb8, bgr8"),
        ({"encoding": "32FC1"}, "encoding '32FC1' is not supported"),
        ({"encoding": ""}, "encoding '' is not supported"),
        ({"width": 0}, r"size of zero \(0x6\)"),
        ({"height": 0}, r"size of zero \(8x0\)"),
        ({"step": 23}, "step of 23 bytes is too small: 8 px of rgb8 take 24 bytes a row"),
        ({"step": 0}, "step of 0 bytes is too small"),
        ({"data": bytes(143)}, "truncated: 8x6 px of rgb8 need 144 bytes, but it holds 143"),
        ({"data": b""}, "truncated"),
    ],
)
def test_bad_images_are_refused_in_one_sentence(change, sentence):
    source = message(gradient(), "rgb8")
    vars(source).update(change)
    with pytest.raises(MessageError, match=sentence) as caught:
        decode_image(source)
    assert "\n" not in str(caught.value)


def test_yuv_of_odd_width_is_refused():
    with pytest.raises(MessageError, match="even width"):
        decode_image(message(np.zeros((2, 3, 2), np.uint8), "yuv422"))


def test_bayer_images_too_small_to_convert_do_not_crash():
    source = message(np.full((1, 1), 9, np.uint8), "bayer_rggb8")
    try:
        assert decode_image(source).shape == (1, 1, 3)
    except MessageError as error:
        assert "bayer_rggb8" in str(error)


class TestBridge:
    @pytest.fixture(autouse=True)
    def fresh(self):
        bridge.rgb_converter.cache_clear()
        yield
        bridge.rgb_converter.cache_clear()

    @pytest.mark.parametrize("failure", ["import", "construct", "convert", "wrong"])
    def test_a_broken_cv_bridge_counts_as_absent(self, monkeypatch, failure):
        class Broken(WorkingBridge):
            def __init__(self):
                if failure == "construct":
                    raise SystemError("initialization of cv_bridge_boost raised unreported exception")

            def imgmsg_to_cv2(self, image, desired_encoding):
                if failure == "convert":
                    raise AttributeError("_ARRAY_API not found")
                return np.zeros((image.height, image.width, 3), np.uint8)

        fake = None if failure == "import" else SimpleNamespace(CvBridge=Broken)
        monkeypatch.setitem(sys.modules, "cv_bridge", fake)
        assert bridge.rgb_converter()[0] == "rosbags-image"

    def test_without_any_converter_the_user_is_told_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cv_bridge", None)
        monkeypatch.setitem(sys.modules, "rosbags.image", None)
        with pytest.raises(MessageError, match="install cv_bridge"):
            decode_image(message(grey(), "mono8"))


def compressed(data, name):
    return SimpleNamespace(format=name, data=np.frombuffer(bytes(data), np.uint8))


def encoded(image, extension):
    return cv2.imencode(extension, image)[1].tobytes()


class TestCompressed:
    def test_png_is_exact_and_rgb(self):
        data = encoded(gradient()[:, :, ::-1], ".png")
        image = decode_compressed_image(compressed(data, "rgb8; png compressed bgr8"))
        np.testing.assert_array_equal(image, gradient())

    def test_jpeg_is_near_and_rgb(self):
        data = encoded(np.full((16, 16, 3), (30, 60, 180), np.uint8), ".jpg")
        image = decode_compressed_image(compressed(data, "jpeg"))
        assert np.abs(image.astype(int) - (180, 60, 30)).max() <= 4

    def test_grey_png_of_16_bits(self):
        data = encoded(grey().astype(np.uint16) * 256, ".png")
        image = decode_compressed_image(compressed(data, "mono16; png compressed "))
        np.testing.assert_array_equal(image[:, :, 1], grey())

    @pytest.mark.parametrize("extension", [".jpg", ".png"])
    def test_a_truncated_file_is_refused_although_opencv_would_fill_it(self, extension):
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        data = encoded(noise, extension)
        with pytest.raises(MessageError, match="truncated after"):
            decode_compressed_image(compressed(data[: len(data) // 2], "jpeg"))

    @pytest.mark.parametrize(
        ("data", "name", "sentence"),
        [
            (b"", "jpeg", "is empty"),
            (b"no image at all", "jpeg", "cannot be decoded"),
            (b"xxxx", "16UC1; compressedDepth png", "choose a colour topic"),
        ],
    )
    def test_what_is_no_image_is_refused(self, data, name, sentence):
        with pytest.raises(MessageError, match=sentence):
            decode_compressed_image(compressed(data, name))


class TestDepth:
    def test_millimetres_with_zero_invalid(self):
        stored = np.array([[0, 1, 1500], [65535, 2000, 0]], np.uint16)
        for big in (False, True):
            depth = decode_depth(message(stored, "16UC1", padding=4, big=big))
            assert depth.dtype == np.float32
            np.testing.assert_allclose(depth, [[np.nan, 0.001, 1.5], [65.535, 2.0, np.nan]], rtol=1e-6)

    def test_metres_with_nan_infinite_and_negative_invalid(self):
        stored = np.array([[1.25, np.nan], [np.inf, -1.0], [0.0, 3.5]], np.float32)
        depth = decode_depth(message(stored, "32FC1"))
        np.testing.assert_array_equal(depth, [[1.25, np.nan], [np.nan, np.nan], [np.nan, 3.5]])

    def test_a_colour_image_is_no_depth(self):
        with pytest.raises(MessageError, match="'rgb8' is not supported for a depth image: use one of 16UC1"):
            decode_depth(message(gradient(), "rgb8"))

    @pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
    def test_fields_and_back(self, encoding):
        depth = np.array([[0.5, np.nan], [2.25, 70.0]], np.float32)
        fields = SimpleNamespace(**depth_fields(depth, 5_000_000_007, "camera", encoding))
        beyond = np.nan if encoding == "16UC1" else 70.0
        np.testing.assert_allclose(decode_depth(fields), [[0.5, np.nan], [2.25, beyond]])
        assert fields.header == {"stamp": {"sec": 5, "nanosec": 7}, "frame_id": "camera"}

    def test_other_encodings_cannot_be_written(self):
        with pytest.raises(ValueError, match="use 16UC1 or 32FC1"):
            depth_fields(np.ones((2, 2), np.float32), 0, "camera", "64FC1")

    def test_compressed_millimetres(self):
        stored = np.array([[0, 1500], [65535, 3]], np.uint16)
        data = bytes(12) + encoded(stored, ".png")
        depth = decode_compressed_depth(compressed(data, "16UC1; compressedDepth png"))
        np.testing.assert_allclose(depth, [[np.nan, 1.5], [65.535, 0.003]], rtol=1e-6)

    def test_compressed_inverse_depth(self):
        a, b = 5000.0, 20.0
        true = np.array([[0.7, 1.0], [3.3, 0.0]])
        with np.errstate(divide="ignore"):
            stored = np.where(true > 0, np.rint(a / true + b), 0).astype(np.uint16)
        header = np.array([(0, a, b)], dtype=[("format", "<i4"), ("a", "<f4"), ("b", "<f4")]).tobytes()
        data = header + encoded(stored, ".png")
        depth = decode_compressed_depth(compressed(data, "32FC1; compressedDepth png"))
        np.testing.assert_allclose(depth, [[0.7, 1.0], [3.3, np.nan]], rtol=2e-4)

    @pytest.mark.parametrize(
        ("data", "name", "sentence"),
        [
            (bytes(12), "16UC1; compressedDepth", "only 12 bytes"),
            (bytes(40), "16UC1; compressedDepth rvl", "not supported: use '16UC1; compressedDepth png'"),
            (bytes(40), "8UC1; compressedDepth png", "not supported"),
            (bytes(40), "jpeg", "not supported"),
            (bytes(40), "16UC1; compressedDepth png", "cannot be decoded"),
            (bytes(12) + encoded(grey(), ".png"), "16UC1; compressedDepth png", "one 16-bit channel"),
        ],
    )
    def test_bad_compressed_depth_is_refused(self, data, name, sentence):
        with pytest.raises(MessageError, match=sentence):
            decode_compressed_depth(compressed(data, name))


def test_mask():
    stored = np.array([[0, 1, 255], [0, 0, 7]], np.uint8)
    np.testing.assert_array_equal(decode_mask(message(stored, "mono8", padding=3)), stored > 0)
    with pytest.raises(MessageError, match="not supported for a mask"):
        decode_mask(message(gradient(), "rgb8"))


def test_image_fields_of_a_cropped_view():
    crop = gradient()[1:4, 2:6]
    fields = SimpleNamespace(**image_fields(crop, -1, "camera"))
    assert (fields.height, fields.width, fields.step) == (3, 4, 12)
    assert fields.header["stamp"] == {"sec": -1, "nanosec": 999_999_999}
    np.testing.assert_array_equal(decode_image(fields), crop)
