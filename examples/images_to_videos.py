"""Makes a lossless video of each folder of images, as face data sets are passed on.

    python examples/images_to_videos.py FOLDER

FOLDER is searched to any depth; of each folder of images in it, `a/b/`, a video `a/b.mkv` is made,
with the images in the order of the numbers in their names. The first image gives the size.
"""

import argparse
from pathlib import Path

import av
from PIL import Image

from pipelines.datasets.scan import is_picture, walk
from serving.predict.inputs import natural

FPS = 25


def write_video(images: list[Path], video: Path) -> None:
    """A video that is there is kept; one that is half written has another name."""
    part = video.with_name(f"{video.name}.part")
    with av.open(str(part), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.pix_fmt = "bgr0"  # RGB, without loss
        with Image.open(images[0]) as first:
            stream.width, stream.height = first.size
        for path in images:
            with Image.open(path) as image:
                picture = image.convert("RGB").resize((stream.width, stream.height))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    part.rename(video)


def convert(folder: Path) -> int:
    """How many videos were made."""
    made = 0
    for below, names in walk(folder):
        images = [name for name in names if is_picture(name)]
        video = (folder / below).with_name(f"{Path(below).name}.mkv")
        if below and images and not video.exists():
            write_video([folder / below / name for name in sorted(images, key=natural)], video)
            made += 1
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    print(f"{convert(args.folder)} videos made in {args.folder}")
