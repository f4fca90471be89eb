// The visitor's own copy of the video, which is stepped through by frames, or stills of it.

const PLAYABLE_MS = 5000; // by then a browser knows what is in a file on its own disk
const FIRST_FRAME_MS = 1000;
const ROUNDED_S = 0.001; // times are rounded to milliseconds: a frame begins up to so much later

// A video element of the file, or null where this browser cannot play it.
export function playable(file) {
  const video = document.createElement("video");
  video.controls = true;
  video.playsInline = true;
  video.preload = "auto";
  video.setAttribute("aria-label", "Your copy of the video");
  video.src = URL.createObjectURL(file);
  return new Promise((resolve) => {
    const give = (found) => {
      if (!found) URL.revokeObjectURL(video.src);
      resolve(found);
    };
    const sized = () => give(video.videoWidth ? video : null);
    video.addEventListener("loadedmetadata", sized, { once: true });
    video.addEventListener("error", () => give(null), { once: true });
    setTimeout(() => video.readyState || give(null), PLAYABLE_MS);
  });
}

// When the first frame is shown, s on the browser's clock, which may begin with the sound: the
// server counts from that frame. 0 where the browser does not tell.
export function firstFrame(video) {
  return new Promise((resolve) => {
    setTimeout(() => resolve(0), FIRST_FRAME_MS);
    video.requestVideoFrameCallback?.((_, { mediaTime }) => resolve(mediaTime));
  });
}

// start: of the first frame on the browser's clock. fps: frames a second. onFrame gets the seconds
// from the first frame of each that is shown, as all else here.
export function videoPlayer(video, start, fps, onFrame) {
  let shown = 0; // when the frame on the screen begins
  let aim = null; // the same of the one that is sought
  const frame = (clock) => {
    shown = clock - start;
    if (!video.seeking) aim = null;
    onFrame(shown);
  };
  if (video.requestVideoFrameCallback) {
    const next = (_, { mediaTime }) => {
      frame(mediaTime);
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  } else {
    const now = () => frame(video.currentTime);
    const next = () => {
      now();
      if (!video.paused) requestAnimationFrame(next);
    };
    video.addEventListener("play", next);
    video.addEventListener("seeked", now);
  }
  const length = () => (video.duration || Infinity) - start;
  return {
    seek(seconds) {
      aim = Math.min(Math.max(0, seconds), length());
      video.currentTime = start + aim + ROUNDED_S;
    },
    // To the middle of the frame before or after, where rounding leads to no other one.
    step(by) {
      video.pause();
      aim = Math.min(Math.max(0, (aim ?? shown) + by / fps), length());
      video.currentTime = start + aim + 0.5 / fps;
    },
    now: () => Math.max(0, video.currentTime - start),
    aim: () => aim ?? Math.max(0, video.currentTime - start),
  };
}

// The picture that was taken nearest to a moment, instead of a player; of two, that of a face.
// Null where there is none.
export function stillsOf(part) {
  const stills = [".picture", ".frame"].flatMap((kind) => [
    ...part.querySelectorAll(`${kind} > [data-still]`),
  ]);
  if (!stills.length) return null;
  const figure = document.createElement("figure");
  figure.className = "still";
  function seek(seconds) {
    const away = (image) => Math.abs(image.dataset.still - seconds);
    const nearest = stills.reduce((best, image) => (away(image) < away(best) ? image : best));
    const caption = document.createElement("figcaption");
    caption.textContent = `Nearest still: ${nearest.alt}`;
    figure.replaceChildren(nearest.parentElement.cloneNode(true), caption);
  }
  seek(Number(stills[0].dataset.still));
  return { figure, seek };
}
