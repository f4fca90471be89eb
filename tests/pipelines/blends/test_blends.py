"""Pairs of real and fake videos: only the face tells them apart, and preprocessing takes them."""

import hashlib
import io
import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dfdetect.__main__ import main
from pipelines.beam.settings import PreprocessSettings
from pipelines.blends.canvas import face_side
from pipelines.blends.encode import CODECS, Encoder, Encoding, draw_encodings
from pipelines.blends.footage import Footage, look, real_videos
from pipelines.blends.make import make_blends, pair_frames
from pipelines.blends.methods import METHODS
from pipelines.blends.motion import hand_held, moved
from pipelines.blends.settings import BlendSettings
from pipelines.clip import FAKE, REAL, SPLITS
from pipelines.datasets import DatasetError, find_videos
from pipelines.faces.detect import MtcnnDetector
from pipelines.preprocess import preprocess
from pipelines.sample.portraits import builtin
from pipelines.video.probe import probe

EYES, MOUTH = slice(0, 2), slice(3, 5)
SECONDS = 0.4


@pytest.fixture(scope="module")
def reals(tmp_path_factory, face_video) -> Path:
    """A list of two pictures and a video of people, and of two files that show none."""
    root = tmp_path_factory.mktemp("reals")
    for name, photo in zip(("hopper", "astronaut"), builtin().values(), strict=True):
        cv2.imwrite(str(root / f"{name}.png"), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    cv2.imwrite(str(root / "wall.png"), np.full((200, 200, 3), 128, np.uint8))
    (root / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    rows = [f"{n},real,{n},{n.split('.')[0]},train" for n in ("hopper.png", "wall.png", "torn.jpg")]
    rows += ["astronaut.png,real,astronaut.png,her,train", f"{face_video},real,film,her,train"]
    path = root / "reals.csv"
    path.write_text("\n".join(["uri,label,id,identities,split", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def made(reals, tmp_path_factory) -> Path:
    """Two rounds of three reals by five methods."""
    out = tmp_path_factory.mktemp("blends") / "out"
    make_blends(reals, out, BlendSettings(pairs=6, seconds=SECONDS, workers=1))
    return out


@pytest.fixture(scope="module")
def people(reals) -> dict[str, Footage]:
    detector, rng = MtcnnDetector(), np.random.default_rng(0)
    wanted = ("hopper.png", "astronaut.png", "film")
    videos = [video for video in real_videos(reals)[0] if video.id in wanted]
    return {video.id: look(video, detector, rng, SECONDS) for video in videos}


def read(path: str | Path) -> tuple[list[float], np.ndarray, str]:
    """Times in s, frames (N, H, W, 3), and the codec."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        images = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
        return [frame.time for frame in frames], images, container.streams.video[0].codec.name


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def changed(method: str, target: Footage, donor: Footage, seed: int):
    """(frame, its landmarks, where it was changed) of each frame."""
    shot = target.shot(np.random.default_rng(0), SECONDS)
    rng = np.random.default_rng(seed)
    pairs = pair_frames(method, shot, donor, target.face_px, rng)
    return [
        (points, (real != fake).any(-1))
        for points, (real, fake) in zip(shot.landmarks, pairs, strict=True)
    ]


@pytest.mark.parametrize("target", ["hopper.png", "film"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_changes_its_region_and_nothing_else(method, target, people):
    for seed in range(3):
        for points, where in changed(method, people[target], people["astronaut.png"], seed):
            y, x = np.nonzero(where)
            far = np.hypot(*(np.stack([x, y], 1) - points.mean(0)).T).max()
            assert 20 < where.sum() and far < 1.1 * face_side(points)

            def near(landmarks: slice, where=where, points=points) -> bool:
                spots = np.zeros(where.shape, np.uint8)
                for px, py in points[landmarks].round().astype(int):
                    cv2.circle(spots, (int(px), int(py)), round(face_side(points) / 20), 1, -1)
                return bool((where & (spots > 0)).any())

            if method in ("mouth", "eyes"):
                assert near(MOUTH if method == "mouth" else EYES)
                assert not near(EYES if method == "mouth" else MOUTH)


def test_a_donor_in_a_shorter_video_comes_back_and_forth(people):
    film, donor = people["astronaut.png"], people["film"]
    assert len(changed("swap", film, donor, 0)) > 0


def test_a_camera_moves_smoothly_and_landmarks_go_with_the_picture():
    size = (320, 240)
    matrices = hand_held(np.random.default_rng(1), 50, 25.0, size)
    path = moved(np.array([[160.0, 120.0], [10.0, 10.0]]), matrices)
    steps = np.abs(np.diff(path, axis=0))
    assert 0 < steps.max() < 0.02 * max(size) and np.abs(path[:, 0] - [160, 120]).max() < 32
    assert (matrices[:, 0, 0] ** 2 + matrices[:, 1, 0] ** 2 > 1).all()  # its border is not seen


def test_videos_of_a_pair_have_the_same_times_size_and_codec(made):
    (dataset,) = find_videos(made)
    by_id = {video.id: video for video in dataset.videos}
    fakes = [video for video in dataset.videos if video.label == FAKE]
    assert len(fakes) == 6 and len(by_id) == 12
    for fake in fakes:
        real = by_id[fake.source_id]
        assert real.label == REAL and real.compression == fake.compression
        one, other = read(real.uri), read(fake.uri)
        assert one[0] == other[0] and len(one[0]) >= 8 and one[2] == other[2]
        assert one[1].shape == other[1].shape and (one[1] != other[1]).any()
        assert probe(real.uri).keyframes == probe(fake.uri).keyframes


def test_the_list_names_methods_people_and_splits(made):
    (dataset,) = find_videos(made)
    fakes = [video for video in dataset.videos if video.label == FAKE]
    assert {video.method for video in fakes} == set(METHODS)
    assert {video.split for video in dataset.videos} == {"train"}
    for fake in fakes:
        assert set(fake.identities) <= {"her", "hopper"}
        assert len(fake.identities) == (2 if METHODS[fake.method].needs_donor else 1)


@pytest.mark.slow
def test_the_same_input_and_seed_give_the_same_bytes_with_any_number_of_workers(
    made, reals, tmp_path
):
    settings = BlendSettings(pairs=6, seconds=SECONDS, workers=2)
    make_blends(reals, tmp_path / "again", settings)
    assert digests(tmp_path / "again") == digests(made)


@pytest.mark.slow
def test_another_seed_gives_other_videos(made, reals, tmp_path):
    settings = BlendSettings(pairs=1, seconds=SECONDS, workers=1, seed=1)
    make_blends(reals, tmp_path / "other", settings)
    assert not set(digests(tmp_path / "other").values()) & {
        digest for name, digest in digests(made).items() if name.startswith("videos/")
    }


def test_what_shows_no_face_or_cannot_be_read_is_a_reject(made):
    lines = [json.loads(line) for line in (made / "rejects.jsonl").read_text().splitlines()]
    assert {(Path(line["uri"]).name, line["reason"], line["stage"]) for line in lines} == {
        ("wall.png", "no_face", "faces"),
        ("torn.jpg", "unreadable", "decode"),
    }


def test_preprocessing_reads_it_wherever_it_is_moved_to(made, small_config, tmp_path):
    moved_to = made.rename(tmp_path / "elsewhere")
    try:
        out = tmp_path / "shards"
        info = preprocess(str(moved_to), str(out), small_config, PreprocessSettings(shards=1))
    finally:
        moved_to.rename(made)
    assert info["splits"]["train"]["clips"] >= 10
    rows = (out / "manifest.csv").read_text()
    assert all(f",{method}," in rows for method in METHODS)
    assert "her;hopper" in rows or "hopper;her" in rows


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_an_encoder_gives_the_same_bytes_again(codec):
    rng = np.random.default_rng(0)
    frames = np.cumsum(rng.integers(-2, 3, (12, 96, 128, 3)), axis=0).astype(np.uint8)

    def encoded() -> bytes:
        target = io.BytesIO()
        with Encoder(target, Encoding(codec, 96, 72, 30, 5), Fraction(25)) as encoder:
            for frame in frames:
                encoder.add(av.VideoFrame.from_ndarray(frame, format="rgb24"))
        return target.getvalue()

    first = encoded()
    assert first == encoded() and first
    with av.open(io.BytesIO(first)) as container:
        decoded = list(container.decode(video=0))
    assert len(decoded) == 12 and (decoded[0].width, decoded[0].height) == (96, 72)


def test_faces_end_at_60_to_500_px_and_are_hardly_enlarged():
    rng = np.random.default_rng(0)
    for face_px, most in ((40.0, 60.0), (120.0, 150.0), (900.0, 500.0)):
        size = (1000, 900)
        ends = [draw_encodings(rng, size, face_px)[-1].width / size[0] for _ in range(60)]
        assert 59 <= face_px * min(ends) and face_px * max(ends) <= most * 1.01
        assert face_px == 40.0 or max(ends) > 1.5 * min(ends)


def test_a_folder_without_a_layout_is_one_person_for_each_file(tmp_path):
    for name in ("a/one.jpg", "b/two.png", "._b.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [video.identities for video in real_videos(tmp_path)[0]] == [("one",), ("two",)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no video and no picture"):
        real_videos(tmp_path / "empty")


def test_a_data_set_keeps_its_own_splits_and_gives_its_reals_alone(sample):
    videos, rejects = real_videos(sample)
    assert {video.label for video in videos} == {REAL} and rejects == []
    pairs = {s: json.loads((sample / "splits" / f"{s}.json").read_text()) for s in SPLITS}
    wanted = {person: s for s in SPLITS for pair in pairs[s] for person in pair}
    assert {video.identities[0]: video.split for video in videos} == wanted


def test_what_is_made_of_generated_people_is_marked_as_generated(made, sample, tmp_path):
    make_blends(sample, tmp_path / "out", BlendSettings("mouth", pairs=1, seconds=0.4, workers=1))
    (of_generated,), (of_real,) = find_videos(tmp_path / "out"), find_videos(made)
    assert of_generated.generated and not of_real.generated


def test_a_person_alone_in_a_split_gets_no_swap(reals, tmp_path, capsys):
    folder, out = tmp_path / "one", tmp_path / "out"
    folder.mkdir()
    shutil.copy(reals.parent / "hopper.png", folder)
    argv = ["--input", str(folder), "--output", str(out), "--methods", "swap"]
    assert main(["make-blends", *argv]) == 1
    assert "Give more people, or other --methods" in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_with_something_in_it_is_kept_without_overwrite(reals, made, capsys):
    before = digests(made)
    assert main(["make-blends", "--input", str(reals), "--output", str(made)]) == 1
    assert "--overwrite" in capsys.readouterr().err and digests(made) == before


@pytest.mark.parametrize(
    "wrong", [["--methods", "morph"], ["--methods", ""], ["--seconds", "0"], ["--pairs", "-1"]]
)
def test_wrong_usage_exits_with_2(wrong, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["make-blends", "--input", "x", "--output", str(tmp_path / "out"), *wrong])
    assert caught.value.code == 2 and wrong[0] in capsys.readouterr().err
