"""Blends: pairs of a real video and a fake that was made of it before the camera's encoder.

Self-blends in `trainer/input` are made of crops, after decoding. In the world a face is pasted into
the picture first; then it is encoded, with half the resolution of colour, and encoded again where
it is uploaded. So here; the videos then go through preprocessing as any others do.
"""
