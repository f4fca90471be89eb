"""Verdicts on a folder of videos, by an exported model that is loaded in this process.

    python examples/score_folder.py MODEL VIDEOS

MODEL is what `dfdetect export` wrote, or one version of it; VIDEOS a folder, searched to any depth.
"""

import argparse
from pathlib import Path

from pipelines.clip import VideoError
from pipelines.datasets.scan import uri, video_files
from pipelines.faces.extract import FaceExtractor
from serving.analysis.video_result import verdict_words
from serving.client import load_model
from serving.predict.predict import predict_video


def score_folder(model_folder: Path, folder: Path) -> None:
    """Prints a line for each video; one that cannot be read does not stop the rest."""
    model = load_model(model_folder)
    # The model says how its crops are made, so they cannot differ from those of its training.
    extractor = FaceExtractor(model.config().preprocess)
    videos = [uri(folder, file) for file in video_files(folder)]
    for video in videos:
        try:
            result = predict_video(video, extractor, model)
        except VideoError as error:
            print(f"{'not judged':12}  {error.detail}")
            continue
        score = "none" if result.probability_fake is None else f"{result.probability_fake:.2f}"
        print(f"{verdict_words(result.verdict):12}  score {score}  {video}")
    print(f"{len(videos)} videos in {folder}, by {model.version()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("videos", type=Path)
    args = parser.parse_args()
    score_folder(args.model, args.videos)
