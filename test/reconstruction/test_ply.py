import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cotracker_ros.reconstruction import PlyError, read_ply, write_ply

XYZ = np.array([[0.0, 1.0, 2.0], [3.5, -4.25, 5.0]], dtype=np.float32)
RGB = np.array([[0, 128, 255], [1, 2, 3]], dtype=np.uint8)


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 20), st.just(3)), elements=st.floats(-1e6, 1e6, width=32))
)
def test_what_is_written_is_read(tmp_path_factory, xyz):
    path = tmp_path_factory.mktemp("ply") / "cloud.ply"
    rgb = (np.abs(xyz) % 256).astype(np.uint8)
    write_ply(path, xyz, rgb, {"sigma": xyz[:, 0] * 0.5})
    cloud = read_ply(path)
    np.testing.assert_array_equal(cloud.xyz, xyz)
    np.testing.assert_array_equal(cloud.rgb, rgb)
    np.testing.assert_array_equal(cloud.fields["sigma"], xyz[:, 0] * np.float32(0.5))


def test_the_bytes_are_what_viewers_expect(tmp_path):
    path = tmp_path / "new" / "cloud.ply"
    write_ply(path, XYZ, RGB)
    header = (
        b"ply\nformat binary_little_endian 1.0\nelement vertex 2\n"
        b"property float x\nproperty float y\nproperty float z\n"
        b"property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n"
    )
    body = b"".join(XYZ[i].astype("<f4").tobytes() + RGB[i].tobytes() for i in range(2))
    assert path.read_bytes() == header + body
    assert [item.name for item in path.parent.iterdir()] == ["cloud.ply"]


def test_points_with_nan_are_left_out_and_colour_may_be_missing(tmp_path):
    xyz = np.vstack([XYZ, [[np.nan, 0, 0]]])
    write_ply(tmp_path / "cloud.ply", xyz)
    cloud = read_ply(tmp_path / "cloud.ply")
    np.testing.assert_array_equal(cloud.xyz, XYZ)
    assert cloud.rgb is None
    assert cloud.fields == {}


def test_other_programs_files_are_read(tmp_path):
    path = tmp_path / "mesh.ply"
    header = (
        "ply\r\nformat binary_little_endian 1.0\r\ncomment made elsewhere\r\nelement vertex 1\r\n"
        "property double x\r\nproperty double y\r\nproperty double z\r\nproperty uint8 quality\r\n"
        "element face 1\r\nproperty list uchar int vertex_indices\r\nend_header\r\n"
    )
    vertex = np.array([1.0, 2.0, 3.0]).tobytes() + b"\x07"
    path.write_bytes(header.encode() + vertex + b"\x03" + bytes(12))
    cloud = read_ply(path)
    np.testing.assert_array_equal(cloud.xyz, [[1, 2, 3]])
    assert cloud.fields["quality"].tolist() == [7]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no PLY file"),
        (b"PK\x03\x04 something else", "no PLY file"),
        (b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n", "not binary little-endian"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\n",
            "no end of its header",
        ),
        (b"ply\nformat binary_little_endian 1.0\nend_header\n", "no vertices"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty list uchar int x\n",
            "no number",
        ),
        (b"ply\nformat binary_little_endian 1.0\nelement face 1\nend_header\n", "first element"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 0\nproperty float x\nend_header\n",
            "no x, y, z",
        ),
    ],
)
def test_what_is_no_cloud_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "bad.ply"
    path.write_bytes(content)
    with pytest.raises(PlyError, match=sentence) as caught:
        read_ply(path)
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "cloud.ply"
    write_ply(path, XYZ, RGB)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PlyError, match="cut short"):
        read_ply(path)


def test_disk_errors_are_one_sentence_and_leave_nothing(tmp_path):
    (tmp_path / "folder.ply").mkdir()
    with pytest.raises(OSError, match=r"cannot write the point cloud .*folder\.ply") as caught:
        write_ply(tmp_path / "folder.ply", XYZ)
    assert "\n" not in str(caught.value)
    assert [item.name for item in tmp_path.iterdir()] == ["folder.ply"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write"):
        write_ply(tmp_path / "file" / "cloud.ply", XYZ)
    with pytest.raises(OSError, match="cannot read the point cloud"):
        read_ply(tmp_path / "missing.ply")


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    for arguments, sentence in [
        ((XYZ[:, :2],), "give \\(N, 3\\)"),
        ((XYZ, RGB[:1]), "colours"),
        ((XYZ, RGB, {"sigma": [1.0]}), "'sigma'"),
        ((XYZ, RGB, {"two words": [1.0, 2.0]}), "cannot name a field"),
        ((XYZ, RGB, {"x": [1.0, 2.0]}), "cannot name a field"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            write_ply(tmp_path / "cloud.ply", *arguments)


def test_a_mesh_has_its_triangles_behind_its_points(tmp_path):
    path = tmp_path / "mesh.ply"
    corners = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    write_ply(path, corners, triangles=[[0, 1, 2], [0, 1, 3]])
    header, _, data = path.read_bytes().partition(b"end_header\n")
    assert b"element face 2\nproperty list uchar int vertex_indices\n" in header
    faces = np.frombuffer(data[4 * 12 :], dtype=[("count", "u1"), ("corners", "<i4", 3)])
    assert faces["count"].tolist() == [3, 3]
    assert faces["corners"].tolist() == [[0, 1, 2], [0, 1, 3]]
    np.testing.assert_array_equal(read_ply(path).xyz, corners)


@pytest.mark.parametrize("triangles", [[[0, 1, 3]], [[-1, 0, 1]], [[0, 1]]])
def test_triangles_without_corners_are_refused(tmp_path, triangles):
    with pytest.raises(ValueError, match="triangle"):
        write_ply(tmp_path / "mesh.ply", np.zeros((3, 3)), triangles=triangles)
    with pytest.raises(ValueError, match="not finite"):
        write_ply(tmp_path / "mesh.ply", np.full((3, 3), np.nan), triangles=[[0, 1, 2]])
