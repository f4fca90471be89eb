"""From raw videos to face clips in shards, and the verdict on a video."""

from pipelines.tensorflow_settings import enable_onednn

enable_onednn()
