"""Deterministic H.264 encoding options: for generated videos and for compressed crops."""


def x264_options(crf: float) -> dict[str, str]:
    """Options of FFmpeg's libx264 at a constant rate factor, otherwise as FFmpeg sets it.

    One thread, since frames that are encoded side by side decide otherwise. No AVX-512: what
    x264's macroblock tree does with it depends on what was in memory before (of 15,000 clips of
    four frames, encoded over and over, 36 came out otherwise; none with AVX, which is as fast).
    AVX is what TensorFlow asks of a processor anyway; x264 for others leaves the word alone.
    """
    return {"crf": f"{crf:g}", "threads": "1", "x264-params": "asm=avx"}
