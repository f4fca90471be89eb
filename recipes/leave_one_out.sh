#!/usr/bin/env bash
# One method left out: four detectors, each trained on FaceForensics++ c23 with three of its methods and tested
# on the fourth (Haliassos et al., CVPR 2021, and others).
#
#     bash recipes/leave_one_out.sh DATA OUT

. "$(dirname "$0")/steps.sh"

faceforensics
for method in ${methods//,/ }; do
    train "without-$method" --without-methods "$method"
    evaluate "without-$method" faceforensics
done
table
