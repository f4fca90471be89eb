#!/usr/bin/env bash
# DeepfakeBench (Yan et al., NeurIPS 2023 Datasets and Benchmarks): trained on FaceForensics++ c23 with its four
# methods; tested on FaceForensics++ c23 and, across data sets, on Celeb-DF v1 and v2, DeepFakeDetection and
# DFDC. Figures are of frames.
#
#     bash recipes/deepfakebench.sh DATA OUT

. "$(dirname "$0")/steps.sh"

faceforensics
celeb_df 1
celeb_df 2
dfd
dfdc
train all-methods
evaluate all-methods faceforensics celeb-df-v1 celeb-df-v2 dfd dfdc
table
