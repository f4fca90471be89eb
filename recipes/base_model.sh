#!/usr/bin/env bash
# A base model from real footage alone, and the gate that it must pass: docs/base_model.md.
# DATA: a CSV list, or a folder, of real videos and pictures of people.
#
#     bash recipes/base_model.sh DATA OUT
#
# BLEND_FLAGS, SCORE_FLAGS: as TRAIN_FLAGS and PREPROCESS_FLAGS, of make-blends and score.
# INDEX: CSV list of videos that nobody here made, for the gate; REALS: a folder of more real ones.

. "$(dirname "$0")/steps.sh"

is_done "$out/blends/dfdetect.csv" ||
    dfdetect make-blends --input "$data" --output "$out/blends" --seconds 1 ${BLEND_FLAGS:-}
# With the hair, neck and background around the face, which it is told from.
crops="--crop-size 192 --margin 0.6 --frames-per-clip 4 --jpeg-quality 97"
shards train "$out/blends" $crops --clips-per-video 1
shards val "$out/blends" $crops --sampling all --splits val # looked at as serving does
is_done "$out/run/model.keras" ||
    dfdetect train --data "$out/data/train" --out "$out/run" --backbone efficientnet_lite0 \
        --pretrained imagenet-lite --temporal mean --ema 0.99 --epochs 40 ${TRAIN_FLAGS:-}
is_done "$out/run/calibration.json" ||
    dfdetect calibrate --run "$out/run" --data "$out/data/val" --max-fpr 0.05
[ -d "$out/model" ] || dfdetect export --run "$out/run" --out "$out/model"
[ -n "${INDEX:-}" ] || exit 0
is_done "$out/scores/scores_info.json" ||
    dfdetect score --input "$(dirname "$INDEX")/**" ${REALS:+"$REALS/**"} --model "$out/model/dfdetect" \
        --output "$out/scores" ${SCORE_FLAGS:-}
"${PYTHON:-python}" "$here/../benchmarks/base_model_gate.py" "$INDEX" "$out/scores"
