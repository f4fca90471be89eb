#!/usr/bin/env bash
# Self-blended images (Shiohara and Yamasaki, CVPR 2022): trained on the real videos of FaceForensics++ c23,
# each shown also blended with itself; tested on Celeb-DF v2, DeepFakeDetection and DFDC, whose videos and
# methods it has never seen, and on FaceForensics++ c23.
#
#     bash recipes/sbi.sh DATA OUT

. "$(dirname "$0")/steps.sh"

faceforensics
celeb_df 2
dfd
dfdc
# Without any fake: none is shown, and validation, which chooses the epoch, is on blends too.
train sbi --fakes self-blend --without-methods "$methods"
evaluate sbi celeb-df-v2 dfd dfdc faceforensics
table
