#!/usr/bin/env bash
# Measures every figure of docs/results.md again: `make results`, or `bash docs/results.sh PART...` with
# any of: doorkey doom-audio doom-basic numeric few-steps trust speed. Hours on two cores; what is done is not repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
OUT=runs/results
SEEDS="0 1 2 3 4"

# How each world is learned and dreamt of; doom-audio is the embedded model, see its card.
DOORKEY_TRAIN="--updates 1000 --rarity 0.75 --blurred 0.05"
DOOM_TRAIN="--updates 1500 --context 8 --length 8 --rows 64 --temperature 1"

# agent FOLDER MODEL STEPS SEED [OPTION...]: train PPO in the dream and judge it in the real world.
agent() {
  local at="$1" model="$2" steps="$3" seed="$4"; shift 4
  worldgpt dream --model "$model" --steps "$steps" --seed "$seed" --out "$at/agent" --json "$at/dream.json" "$@"
  worldgpt evaluate --policy "$at/agent" --episodes 100 --json "$at/real.json"
}

# learn WORLD SEED OPTION...: record and learn, everything anew with this seed.
learn() {
  local world="$1" seed="$2" at="$OUT/$1/seed-$2"; shift 2
  worldgpt collect --world "$world" --steps 30000 --seed "$seed" --out "$at/recording" --json "$at/collect.json"
  [ -e "$at/train.json" ] || worldgpt train --data "$at/recording" --seed "$seed" --out "$at/model" --json "$at/train.json" "$@"
}

# direct WORLD MODEL STEPS: the same agent on real steps, five seeds; it sees through the model's codecs.
direct() {
  for seed in $SEEDS; do
    local at="$OUT/$1/direct-$seed"
    worldgpt direct --world "$1" --model "$2" --steps "$3" --seed "$seed" --out "$at/agent" --json "$at/direct.json"
    worldgpt evaluate --policy "$at/agent" --episodes 100 --json "$at/real.json"
  done
}

# fidelity WORLD MODEL [OPTION...]: a model on a recording that it has not seen.
fidelity() {
  local world="$1" model="$2" at="$OUT/$1/fidelity"; shift 2
  worldgpt collect --world "$world" --steps 5000 --seed 1000 --out "$at/recording"
  worldgpt evaluate --model "$model" --data "$at/recording" --json "$at/figures.json" "$@"
}

doorkey() {
  for seed in $SEEDS; do
    learn doorkey "$seed" $DOORKEY_TRAIN
    agent "$OUT/doorkey/seed-$seed" "$OUT/doorkey/seed-$seed/model" 300000 "$seed"
  done
  fidelity doorkey "$OUT/doorkey/seed-0/model" --seen "$OUT/doorkey/seed-0/recording"
  direct doorkey doorkey 60000
}

doom-audio() {
  for seed in $SEEDS; do
    agent "$OUT/doom-audio/seed-$seed" doom-audio 150000 "$seed"
    agent "$OUT/doom-audio/muted-$seed" doom-audio 150000 "$seed" --modalities text vector
  done
  fidelity doom-audio doom-audio
  worldgpt collect --world doom-audio --steps 3000 --seed 2000 --policy "$OUT/doom-audio/seed-0/agent" --epsilon 0.1 --out "$OUT/doom-audio/fidelity/agent-recording"
  worldgpt evaluate --model doom-audio --data "$OUT/doom-audio/fidelity/agent-recording" --json "$OUT/doom-audio/fidelity/agent-figures.json"
  direct doom-audio doom-audio 30000
}

doom-basic() {
  learn doom-basic 0 $DOOM_TRAIN
  for seed in $SEEDS; do agent "$OUT/doom-basic/seed-$seed" "$OUT/doom-basic/seed-0/model" 200000 "$seed" --temperature 0; done
  fidelity doom-basic "$OUT/doom-basic/seed-0/model"
  direct doom-basic "$OUT/doom-basic/seed-0/model" 30000
}

numeric() {
  worldgpt benchmark --agents dyna alone alone-equal --seeds $SEEDS --out "$OUT/numeric" --json "$OUT/numeric.json" --picture docs/images/benchmark.png
}

few-steps() {
  for seed in $SEEDS; do
    local at="$OUT/few-steps"
    worldgpt dyna --world doorkey --real-steps 8000 --seed "$seed" --out "$at/dyna-$seed" --json "$at/dyna-$seed.json"
    for steps in 8000 20000 40000; do
      worldgpt direct --world doorkey --model doorkey --steps "$steps" --seed "$seed" --out "$at/alone-$steps-$seed"
      worldgpt evaluate --policy "$at/alone-$steps-$seed" --episodes 100 --json "$at/alone-$steps-$seed.json"
    done
  done
}

trust() {
  worldgpt trust --model doorkey --out "$OUT/trust/doorkey" --json "$OUT/trust/doorkey.json"
  worldgpt trust --model doom-audio --imagined-steps 60000 --real-steps 8000 --episodes 48 --horizon 80 --out "$OUT/trust/doom-audio" --json "$OUT/trust/doom-audio.json"
}

speed() { worldgpt speed --model doorkey --json "$OUT/speed.json"; }

for part in "${@:-all}"; do
  case "$part" in
    all) doorkey; doom-audio; doom-basic; numeric; few-steps; trust; speed ;;
    doorkey | doom-basic | doom-audio | numeric | few-steps | trust | speed) "$part" ;;
    *) echo "there is no part $part: doorkey, doom-audio, doom-basic, numeric, few-steps, trust, speed" >&2; exit 2 ;;
  esac
done
worldgpt info --json "$OUT/info.json"
