#!/usr/bin/env bash
# Measures every figure of docs/results.md again: `make results`, or `bash docs/results.sh PART...` with
# any of: doorkey doom-basic doom-audio fidelity speed. Hours on two cores; what is done is not repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
OUT=runs/results
SEEDS="0 1 2 3 4"

# from_nothing WORLD SEED STEPS: record, learn, dream and judge, everything anew with this seed.
from_nothing() {
  local at="$OUT/$1/seed-$2"
  worldgpt collect --world "$1" --steps "$3" --seed "$2" --out "$at/recording" --json "$at/collect.json"
  [ -e "$at/train.json" ] || worldgpt train --data "$at/recording" --seed "$2" --out "$at/model" --json "$at/train.json"
  worldgpt dream --model "$at/model" --seed "$2" --out "$at/agent" --json "$at/dream.json"
  worldgpt evaluate --policy "$at/agent" --episodes 100 --json "$at/real.json"
}

# direct WORLD STEPS: the same agent on real steps, five seeds; it sees through the first model's codecs.
direct() {
  for seed in $SEEDS; do
    local at="$OUT/$1/direct-$seed"
    worldgpt direct --world "$1" --model "$OUT/$1/seed-0/model" --steps "$2" --seed "$seed" --out "$at/agent" --json "$at/direct.json"
    worldgpt evaluate --policy "$at/agent" --episodes 100 --json "$at/real.json"
  done
}

# muted WORLD: agents that cannot hear, in the same dreams.
muted() {
  for seed in $SEEDS; do
    local at="$OUT/$1/muted-$seed"
    worldgpt dream --model "$OUT/$1/seed-$seed/model" --modalities image text vector --seed "$seed" --out "$at/agent" --json "$at/dream.json"
    worldgpt evaluate --policy "$at/agent" --episodes 100 --json "$at/real.json"
  done
}

# fidelity WORLD: the first model on a recording that it has not seen.
fidelity() {
  local at="$OUT/$1/fidelity"
  worldgpt collect --world "$1" --steps 5000 --seed 1000 --out "$at/recording"
  worldgpt evaluate --model "$OUT/$1/seed-0/model" --data "$at/recording" --seen "$OUT/$1/seed-0/recording" --json "$at/figures.json"
}

doorkey() { for seed in $SEEDS; do from_nothing doorkey "$seed" 30000; done; direct doorkey 60000; }
doom-basic() { for seed in $SEEDS; do from_nothing doom-basic "$seed" 30000; done; direct doom-basic 30000; }
doom-audio() { for seed in $SEEDS; do from_nothing doom-audio "$seed" 30000; done; direct doom-audio 30000; muted doom-audio; }
speed() { worldgpt speed --model doorkey --json "$OUT/speed.json"; }

for part in "${@:-all}"; do
  case "$part" in
    all) doorkey; doom-basic; doom-audio; for world in doorkey doom-basic doom-audio; do fidelity "$world"; done; speed ;;
    fidelity) for world in doorkey doom-basic doom-audio; do fidelity "$world"; done ;;
    doorkey | doom-basic | doom-audio | speed) "$part" ;;
    *) echo "there is no part $part: doorkey, doom-basic, doom-audio, fidelity, speed" >&2; exit 2 ;;
  esac
done
worldgpt info --json "$OUT/info.json"
