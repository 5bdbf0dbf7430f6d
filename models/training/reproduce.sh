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

make_once "$runs/films-a.npz" gate_films --collection "$collection" --shadows "$runs/shadows" --scenes 110 --out "$runs/films-a.npz"
make_once "$runs/films-b.npz" gate_films --collection "$collection" --shadows "$runs/shadows" --scenes 60 --seed 1 --out "$runs/films-b.npz"
make_once "$runs/gate-first/gate.onnx" train_gate --films "$runs/films-a.npz" --minutes 20 --out "$runs/gate-first"
make_once "$runs/gate-shipped/gate.onnx" train_gate --films "$runs/films-a.npz" "$runs/films-b.npz" \
    --start "$runs/gate-first/checkpoint.pt" --minutes 8 --average-with "$runs/gate-first/checkpoint.pt" --out "$runs/gate-shipped"
release gate "$runs/gate-shipped/gate.onnx"
