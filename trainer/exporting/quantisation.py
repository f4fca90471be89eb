"""Post-training quantisation of an exported model to int8, and what that does to its scores.

The convolutions and what lies between them are quantised, by ranges of activations that are
measured on clips of the validation split; what follows the last of them stays in float32: it takes
next to none of the time. NNCF does it for OpenVINO, ONNX Runtime's own quantiser for ONNX.
https://docs.openvino.ai/2026/openvino-workflow/model-optimization.html
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from pipelines.inference_engines import import_openvino
from pipelines.model_contract import ENGINE_FILES
from pipelines.shards.open import ClipDataset
from trainer.errors import ExportError
from trainer.evaluation.calibrate import SPLIT
from trainer.evaluation.labelled_scores import LabelledScores
from trainer.evaluation.measured_model import Detector
from trainer.evaluation.metrics import ECE, ROC_AUC
from trainer.evaluation.predictions import predict
from trainer.input.clips import parse_clip, read_records

CLIPS = 32  # whose activations are measured: of 16 frames each, some 500 pictures
MAX_AUC_LOSS = 0.01
MAX_ECE_RISE = 0.02
# Of P(fake) of any clip: up to here the scores are the same for whoever reads them. Where clips are
# few, one pair of them that changes places is more of the AUC than may be lost.
NEGLIGIBLE_CHANGE = 0.01

Clip = Mapping[str, np.ndarray]  # clips uint8 (1, T, H, W, 3), mask bool (1, T)
N = TypeVar("N", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class QuantisationEffect:
    """What quantisation does to a model's scores of the clips of a split that hold a face.

    auc, ece: ROC AUC and expected calibration error (`trainer.evaluation.metrics`) of P(fake),
    before and after. largest_change: of P(fake) of a clip.
    """

    split: str
    clips: int
    auc: tuple[float, float]
    ece: tuple[float, float]
    largest_change: float

    def __str__(self) -> str:
        return (
            f"int8 against float32 on {self.clips} {self.split} clips: "
            f"AUC {self.auc[0]:.4f} -> {self.auc[1]:.4f}, "
            f"calibration error (ECE) {self.ece[0]:.4f} -> {self.ece[1]:.4f}; "
            f"P(fake) changes by up to {self.largest_change:.3f}"
        )

    def check(self) -> None:
        """Raises ExportError where AUC falls or ECE rises by more than is allowed, unless no
        P(fake) changes by more than is negligible."""
        loss, rise = self.auc[0] - self.auc[1], self.ece[1] - self.ece[0]
        if self.largest_change <= NEGLIGIBLE_CHANGE:
            return
        if not (loss <= MAX_AUC_LOSS and rise <= MAX_ECE_RISE):  # also where one is no number
            raise ExportError(
                f"{self}. AUC may fall by {MAX_AUC_LOSS:g} and the calibration error rise by "
                f"{MAX_ECE_RISE:g}. Nothing was written; export in float32, or give more "
                "validation videos where these are few."
            )


def measure_effect(before: Detector, after: Detector, dataset: ClipDataset) -> QuantisationEffect:
    """Scores the validation split by both. Raises ValueError as `predict` does."""
    clips, quantised = (predict(model, [dataset], [SPLIT]).clips for model in (before, after))
    seen = [number for number, clip in enumerate(clips) if len(clip.times_s)]
    labels = [clips[number].video.label for number in seen]
    tables = [
        LabelledScores.of(labels, [scored[number].probability_fake for number in seen])
        for scored in (clips, quantised)
    ]
    auc, ece = ([metric.compute(table) for table in tables] for metric in (ROC_AUC, ECE))
    return QuantisationEffect(
        split=SPLIT,
        clips=len(seen),
        auc=(auc[0], auc[1]),
        ece=(ece[0], ece[1]),
        largest_change=float(np.abs(tables[0].scores - tables[1].scores).max()),
    )


def calibration_clips(dataset: ClipDataset) -> Iterator[Clip]:
    """Up to CLIPS clips of the validation split, from all over it."""
    frames, side = dataset.config.frames_per_clip, dataset.config.crop_size
    step = max(1, dataset.clips(SPLIT) // CLIPS)
    records = read_records([str(shard.path) for shard in dataset.shards(SPLIT)])
    for record in records.shard(step, 0).take(CLIPS):
        clip = parse_clip(record, side, frames)
        yield {name: clip[name].numpy()[None] for name in ("clips", "mask")}


def quantise_openvino(source: Path, folder: Path, clips: Iterable[Clip]) -> None:
    """The model of one folder, quantised, in another."""
    ov = import_openvino()  # first: NNCF would load its telemetry
    import nncf  # of an extra, and takes seconds

    nncf.set_log_level(logging.ERROR)
    network = ov.Core().read_model(source / ENGINE_FILES["openvino"])
    nodes = {node.get_friendly_name(): node for node in network.get_ops()}
    kept = _behind(
        {name for name, node in nodes.items() if node.get_type_name().endswith("Convolution")},
        nodes,
        lambda name: [value.get_node().get_friendly_name() for value in nodes[name].input_values()],
    )
    data = list(clips)
    with contextlib.redirect_stdout(sys.stderr):  # bars of progress
        quantised = nncf.quantize(
            network,
            nncf.Dataset(data),
            subset_size=len(data),
            # Constants and outputs are among these too, which are no part of NNCF's graph.
            ignored_scope=nncf.IgnoredScope(names=sorted(kept), validate=False),
        )
    ov.save_model(quantised, folder / ENGINE_FILES["openvino"], compress_to_fp16=False)


def quantise_onnx(source: Path, folder: Path, clips: Iterable[Clip]) -> None:
    """The model of one folder, quantised, in another."""
    import onnx  # both of an extra
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._clips = iter(clips)

        def get_next(self) -> dict[str, np.ndarray] | None:
            clip = next(self._clips, None)
            return dict(clip) if clip else None

    file = ENGINE_FILES["onnx"]
    with tempfile.TemporaryDirectory() as temporary:
        prepared = Path(temporary) / file
        # Without the inference of symbolic shapes, which needs SymPy; but for the batch all are
        # numbers.
        quantization.quant_pre_process(str(source / file), str(prepared), skip_symbolic_shape=True)
        nodes = {node.name: node for node in onnx.load(prepared).graph.node}
        makers = {output: name for name, node in nodes.items() for output in node.output}
        kept = _behind(
            {name for name, node in nodes.items() if node.op_type == "Conv"},
            nodes,
            lambda name: [makers[given] for given in nodes[name].input if given in makers],
        )
        quantization.quantize_static(
            str(prepared),
            str(folder / file),
            Reader(),
            per_channel=True,
            nodes_to_exclude=sorted(kept),
        )


def _behind(targets: set[N], nodes: Iterable[N], inputs: Callable[[N], Iterable[N]]) -> set[N]:
    """Those of a graph's nodes that none of the targets needs. inputs: of a node."""
    needed: set[N] = set()
    waiting = list(targets)
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting.extend(inputs(node))
    return set(nodes) - needed
