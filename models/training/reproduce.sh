#!/usr/bin/env bash
# Makes every model that ships, from the bone collection to the manifest: reproduce.sh COLLECTION [VERSION]. `make models`
# calls it. Some five hours on two cores. Trainings follow the clock: the result is a network of the same kind, not the
# same bytes. Everything in between lies in models/training/runs, and what is there already is not made again.
set -euo pipefail
collection=$1 version=${2:-local}
cd "$(dirname "$0")/../.."
runs=models/training/runs
python=.venv/bin/python

make_once() { # RESULT MODULE ARGUMENTS...
    local result=$1 module=$2
    shift 2
    [ -e "$result" ] || "$python" -W ignore -m "models.training.$module" "$@"
}
release() { # NAME FILE
    "$python" -m models.training.release --name "$1" --version "$version" "$2"
}

for bone in femur hip_bone sacrum tibia fibula patella; do
    "$python" -m models.training.build_shape_model --bone "$bone" --data "$collection" --out "models/${bone}_shape.npz"
    release "${bone}_shape" "models/${bone}_shape.npz"
done

[ -e "$runs/shadows.done" ] || "$python" -m models.training.dataset --collection "$collection" --out "$runs/shadows" --count 1600
touch "$runs/shadows.done"
make_once "$runs/shipped/perception.onnx" train_perception --shadows "$runs/shadows" --minutes 100 --out "$runs/shipped"
release perception "$runs/shipped/perception.onnx"

shadows() { # FOLDER MODULE ARGUMENTS...
    local folder=$1 module=$2
    shift 2
    [ -e "$folder.done" ] || "$python" -W ignore -m "models.training.$module" --data "$collection" --out "$folder" "$@"
    touch "$folder.done"
}
films() { # WHAT ARGUMENTS...
    make_once "$runs/gate/$1.npz" gate_films "$@" --out "$runs/gate/$1.npz"
}

shadows "$runs/bones/shadows" bone_dataset --count 1560
make_once "$runs/bones/shipped/bones.onnx" train_bones --shadows "$runs/bones/shadows" --minutes 90 \
    --start "$runs/shipped/checkpoint.pt" --out "$runs/bones/shipped"
release bones "$runs/bones/shipped/bones.onnx"
shadows "$runs/gate/shadows" fractures --count 320
films legs --shadows "$runs/bones/shadows" --each 3
films fractures --shadows "$runs/gate/shadows" --each 6
films femora --shadows "$runs/shadows"
films others --data "$collection" --scenes 130
make_once "$runs/gate/contents/checkpoint.pt" train_gate --films "$runs"/gate/*.npz --minutes 30 --out "$runs/gate/contents"
make_once "$runs/gate/hindrances/checkpoint.pt" train_hindrances --films "$runs"/gate/{legs,fractures,femora}.npz \
    --minutes 30 --out "$runs/gate/hindrances"
make_once "$runs/gate/shipped/gate.onnx" join_gate --contents "$runs/gate/contents/checkpoint.pt" \
    --hindrances "$runs/gate/hindrances/checkpoint.pt" --out "$runs/gate/shipped/gate.onnx"
release gate "$runs/gate/shipped/gate.onnx"
