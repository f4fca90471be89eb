"""Pictures of the web application's pages, taken from the pages: web-upload.png, web-result.png and
web-list.png.

python docs/screenshots.py --model runs/demo/model --video VIDEO --out docs
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH = 960  # px
LIMIT_MS = 300_000  # for the decoder to start and the video to be analysed
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextlib.contextmanager
def web(model: Path) -> Iterator[str]:
    """`dfdetect web` on a free port; gives its address."""
    command = [sys.executable, "-m", "dfdetect", "web", "--port", "0", "--model", str(model)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            if not address:
                sys.exit(f"screenshots: `{' '.join(command)}` does not start.")
            # It listens once the model is loaded, after it has said where.
            with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
                client.get(f"{address}healthz", timeout=60).raise_for_status()
            yield address
        finally:
            server.terminate()


def save(page: Page, path: Path) -> None:
    """The whole page as a PNG of 256 colours, a third of the size."""
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    picture.convert("RGB").quantize(256).save(path, optimize=True)
    print(f"wrote {path}, {picture.width} x {picture.height} px, {path.stat().st_size} bytes")


def beside(video: Path) -> list[Path]:
    """A few of the same kind in its folder, with what is no video."""
    videos = sorted(video.parent.glob(f"*{video.suffix}"))
    return [*videos[:4], Path(__file__)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="what `dfdetect export` wrote")
    parser.add_argument("--video", type=Path, required=True, help="the video that is analysed")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="(default: docs)")
    args = parser.parse_args()
    if not args.video.is_file():
        sys.exit(f"screenshots: {args.video}: there is no such file.")
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("screenshots: no Chromium on the PATH (Debian, Ubuntu: apt-get install chromium).")
    with web(args.model) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": 620})
        page.set_default_timeout(LIMIT_MS)
        page.goto(address)
        save(page, args.out / "web-upload.png")
        page.set_input_files("#video", args.video)
        page.click("#check")
        page.wait_for_selector("#result .banner")
        page.wait_for_load_state("networkidle")
        save(page, args.out / "web-result.png")
        page.goto(address)
        page.set_input_files("#video", beside(args.video))
        page.click("#check")
        page.wait_for_selector("#several tbody tr:nth-child(2) .chip")  # others are on their way
        save(page, args.out / "web-list.png")
        browser.close()


if __name__ == "__main__":
    main()
