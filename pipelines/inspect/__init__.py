"""What is in a folder of shards, and whether it is what was written: numbers, checksums, pictures.

Everything reads one record at a time. Only what a record says needs TensorFlow, to parse it;
files, checksums and framing are verified without.
"""

from pipelines.inspect.records import read_clips

__all__ = ["read_clips"]
