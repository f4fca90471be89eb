# The steps of which all recipes are made. What is done is not done again. Sourced, with the recipe's
# arguments; README.md here says what DATA holds, and what OUT does in the end.
#
# PREPROCESS_FLAGS, TRAIN_FLAGS: added to the recipe's flags, and stronger than they are.
# DFD_COMPRESSION: of DeepFakeDetection, c23 unless given; empty: all that are there.
# PYTHON: the interpreter, python unless given.

set -euo pipefail

recipe=$(basename "$0" .sh)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -ne 2 ]; then
    echo "usage: bash recipes/$recipe.sh DATA OUT; recipes/README.md says what DATA holds." >&2
    exit 2
fi
data=$1
out=$2
methods=Deepfakes,Face2Face,FaceSwap,NeuralTextures # of FaceForensics++ as of 2019

dfdetect() {
    "${PYTHON:-python}" -m dfdetect "$@"
}

fail() {
    echo "$recipe: $*" >&2
    exit 1
}

# is_done FILE: whether a step's last file is there.
is_done() {
    [ -f "$1" ] && echo "$recipe: $1 is there already, and kept."
}

# shards NAME INPUT FLAG...: preprocesses a data set into OUT/data/NAME.
shards() {
    local folder=$out/data/$1 input=$2
    shift 2
    is_done "$folder/dataset_info.json" ||
        dfdetect preprocess --input "$input" --output "$folder" "$@" ${PREPROCESS_FLAGS:-}
}

# Training is on FaceForensics++, so that it must be there, with its own lists of who is in which split.
faceforensics() {
    local root=$data/FaceForensics++ lists
    [ -d "$root" ] || fail "$root is not there; recipes/README.md says what DATA holds."
    lists=$(find "$root" "$root/splits" "$data/splits" -maxdepth 1 -name test.json 2>/dev/null || true)
    [ -n "$lists" ] || fail "$root has no splits/{train,val,test}.json: take them from the data set."
    shards faceforensics "$root" --dataset faceforensics --compression c23 --methods "$methods"
}

# is_there FOLDER: whether a data set to test on is; without it, its row of the table stays empty.
is_there() {
    [ -d "$1" ] || { echo "$recipe: $1 is not there; nothing is tested on it." && false; }
}

# celeb_df VERSION: 1 or 2, the videos of its list of test videos.
celeb_df() {
    local root=$data/Celeb-DF-v$1 list=List_of_testing_videos.txt
    is_there "$root" || return 0
    [ -f "$root/$list" ] || fail "$root has no $list, which says what is tested: take it from the data set."
    shards "celeb-df-v$1" "$root" --dataset celeb_df --splits test
}

# DeepFakeDetection: all its videos, from FaceForensics++'s folder or from one of its own.
dfd() {
    local root=$data/DeepFakeDetection
    [ -d "$root" ] || root=$data/FaceForensics++
    is_there "$root/original_sequences/actors" || return 0
    shards dfd "$root" --dataset dfd --compression "${DFD_COMPRESSION-c23}" \
        --split-fractions 0,0,1 --splits test
}

# DFDC: its test set.
dfdc() {
    is_there "$data/DFDC/test" || return 0
    shards dfdc "$data/DFDC" --dataset dfdc --splits test
}

# train RUN FLAG...: trains on FaceForensics++ into OUT/RUN. The network is that of the published
# figures, EfficientNet-B4 from ImageNet's weights, the mean over frames its score.
train() {
    local run=$out/$1
    shift
    is_done "$run/model.keras" ||
        dfdetect train --data "$out/data/faceforensics" --out "$run" --backbone efficientnet_b4 \
            --pretrained imagenet --temporal mean "$@" ${TRAIN_FLAGS:-}
}

# evaluate RUN SET...: measures a run on the test split of each data set that is there.
evaluate() {
    local run=$1 set
    shift
    for set in "$@"; do
        [ -d "$out/data/$set" ] || continue
        is_done "$out/evaluation/$run/$set/metrics.json" ||
            dfdetect evaluate --run "$out/$run" --data "$out/data/$set" \
                --out "$out/evaluation/$run/$set"
    done
}

# Prints the published figures beside those of this run, and writes them to OUT/table.md.
table() {
    "${PYTHON:-python}" "$here/table.py" "$recipe" "$out" | tee "$out/table.md"
}
