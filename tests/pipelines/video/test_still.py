"""Still pictures are videos of one frame: upright, in 8 bits of sRGB, no larger than videos."""

import io
import struct
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from pipelines.clip import VideoError
from pipelines.video.decode import read_frames
from pipelines.video.picture import MAX_SIDE_PX
from pipelines.video.probe import probe

ORIENTATION = 0x0112  # of Exif


@pytest.fixture(scope="module")
def photo(astronaut) -> Image.Image:
    return Image.fromarray(astronaut[:200, :120])


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def read(path: Path) -> np.ndarray:
    (image,) = read_frames(probe(str(path), stills=True), [0])
    assert image is not None and image.flags.c_contiguous and image.dtype == np.uint8
    return image


def by_opencv(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp"])
def test_a_picture_is_a_video_of_one_frame(tmp_path, photo, suffix):
    path = tmp_path / f"photo %03d.{suffix}"  # which FFmpeg takes for the name of many
    photo.save(path)
    info = probe(str(path), stills=True)
    assert (info.frames, info.width, info.height, info.is_still) == (1, 120, 200, True)
    np.testing.assert_array_equal(read(path), by_opencv(path))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_turns_and_mirrors_a_picture(tmp_path, photo, suffix, orientation):
    path = tmp_path / f"turned.{suffix}"
    photo.save(path, exif=exif(orientation))
    np.testing.assert_array_equal(read(path), by_opencv(path))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_there_is_not_turns_nothing(tmp_path, photo, orientation):
    photo.save(tmp_path / "a.jpg", exif=exif(orientation))
    photo.save(tmp_path / "b.jpg")
    np.testing.assert_array_equal(read(tmp_path / "a.jpg"), read(tmp_path / "b.jpg"))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_turns_nothing(tmp_path, photo):
    photo.save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*" + struct.pack(">I", 1 << 31))
    photo.save(tmp_path / "b.jpg")
    np.testing.assert_array_equal(read(tmp_path / "a.jpg"), read(tmp_path / "b.jpg"))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_every_kind_of_pixel_becomes_rgb(tmp_path, photo, mode):
    if mode == "I;16":
        odd = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    else:
        odd = photo.convert(mode)
    path = tmp_path / ("odd.jpg" if mode == "CMYK" else "odd.png")
    odd.save(path)
    np.testing.assert_allclose(read(path), by_opencv(path), atol=2)


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path, photo):
    palette = photo.quantize(16)
    palette.save(tmp_path / "p.png", transparency=bytes(range(16)))
    np.testing.assert_array_equal(read(tmp_path / "p.png"), np.asarray(palette.convert("RGB")))


def test_an_embedded_profile_is_obeyed_and_a_damaged_one_ignored(tmp_path, photo):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags, data = srgb[:400], srgb[400:]
    other = tags.replace(b"rXYZ", b"bXYZ", 1)  # its red is sRGB's blue
    other = other[: (at := tags.index(b"bXYZ"))] + b"rXYZ" + other[at + 4 :] + data
    mirrored = Image.fromarray(np.asarray(photo)[..., ::-1])
    mirrored.save(tmp_path / "a.png", icc_profile=other)
    np.testing.assert_allclose(read(tmp_path / "a.png"), np.asarray(photo), atol=1)
    mirrored.save(tmp_path / "b.png", icc_profile=other[:150])
    np.testing.assert_array_equal(read(tmp_path / "b.png"), np.asarray(mirrored))


def test_of_a_phone_s_photo_the_first_picture_is_read(tmp_path, photo):
    photo.save(
        tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[photo.resize((9, 9))]
    )
    assert probe(str(tmp_path / "a.jpg"), stills=True).is_still
    assert read(tmp_path / "a.jpg").shape == (200, 120, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp"])
def test_a_verdict_is_given_on_no_picture(tmp_path, photo, suffix, extractor):
    photo.save(tmp_path / f"photo.{suffix}")
    with pytest.raises(VideoError, match="not a video of a format that is read") as refused:
        extractor.open(str(tmp_path / f"photo.{suffix}"))
    assert refused.value.reason == "unreadable"


def test_what_moves_is_a_video_and_no_picture(tmp_path, photo):
    turned = photo.rotate(90)
    photo.save(tmp_path / "a.png", save_all=True, append_images=[turned])
    assert probe(str(tmp_path / "a.png"), stills=True).frames == 2
    photo.save(tmp_path / "a.webp", save_all=True, append_images=[turned])
    with pytest.raises(VideoError, match="an animated WEBP, which is not read") as refused:
        probe(str(tmp_path / "a.webp"), stills=True)
    assert refused.value.reason == "unsupported"
    jpeg = io.BytesIO()
    photo.save(jpeg, "JPEG")
    (tmp_path / "a.mjpeg").write_bytes(5 * jpeg.getvalue())
    with pytest.raises(VideoError, match="not a video of a format that is read"):
        probe(str(tmp_path / "a.mjpeg"), stills=True)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_picture_that_is_cut_off_is_unreadable(tmp_path, photo, suffix, share):
    path = tmp_path / f"cut.{suffix}"
    photo.save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(VideoError, match=r"cut\.\w+: .*not a picture.* or cut off") as refused:
        read(path)
    assert (refused.value.reason, refused.value.stage) == ("unreadable", "decode")


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff", b"BM", b"RIFF\0\0\0\0WEBP", b"\x89PNG\r\n\x1a\n"]
)
def test_a_beginning_alone_is_unreadable(tmp_path, content):
    (tmp_path / "torn").write_bytes(content)
    with pytest.raises(VideoError, match="not a picture that can be read, or cut off"):
        probe(str(tmp_path / "torn"), stills=True)


def test_a_picture_larger_than_any_video_is_refused_by_its_header(tmp_path, photo):
    path = tmp_path / "bomb.png"
    photo.save(path)
    data = bytearray(path.read_bytes())
    for size in ((60000, 60000), (MAX_SIDE_PX + 1, 9)):
        data[16:24] = struct.pack(">II", *size)
        header = data[12:29]
        data[29:33] = struct.pack(">I", zlib.crc32(header))
        path.write_bytes(data)
        with pytest.raises(VideoError, match="up to 38 Mpx are read|exceeds limit") as refused:
            probe(str(path), stills=True)
        assert refused.value.reason == "unreadable"


def test_motion_jpeg_is_turned_as_the_exif_in_its_frames_says(tmp_path, photo):
    photo.save(tmp_path / "turned.jpg", exif=exif(6))
    with av.open(str(tmp_path / "turned.jpg")) as one, av.open(str(tmp_path / "v.mkv"), "w") as out:
        stream = out.add_stream_from_template(one.streams.video[0])
        for packet in one.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    (image,) = read_frames(probe(str(tmp_path / "v.mkv")), [0])
    np.testing.assert_allclose(
        image.mean(axis=2), read(tmp_path / "turned.jpg").mean(axis=2), atol=12
    )
