"""Inspection of a folder of shards: statistics, verification of what was written, pictures.

Everything reads one record at a time. Only a record's contents need TensorFlow, to parse it;
files, checksums and framing are verified without.
"""

from pipelines.inspect.records import read_clips

__all__ = ["read_clips"]
