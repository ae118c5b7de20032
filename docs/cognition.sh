#!/usr/bin/env bash
# Every figure of the part "Memory, knowledge, planning" of docs/results.md, about four hours on two
# cores: `bash docs/cognition.sh`, or some of: knowledge sequences memory long. The first two need the
# models of docs/worldnet.sh. What is there already is left as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
OUT=runs/cognition
WORLDNET=runs/worldnet
DATA=$WORLDNET/arcade
SEEDS="0 1 2"
export OMP_NUM_THREADS=1

each() { local name; for seed in $SEEDS; do for name in "$@"; do echo "$OUT/$name-$seed"; done; done; }

# tuned MODEL NAME SEED [OPTION...]: the reflector learns with one base and is judged with another.
tuned() {
  local model="$1" name="$2" seed="$3"; shift 3
  [ -d "$OUT/learned-$name-$seed" ] || worldgpt knowledge --model "$model" --data "$DATA" \
    --per-scenario 200 --out "$OUT/learned-$name-$seed" "$@"
  [ -d "$OUT/tuned-$name-$seed" ] || worldgpt tune --model "$model" --data "$DATA" --seed "$seed" \
    --knowledge "$OUT/learned-$name-$seed" --out "$OUT/tuned-$name-$seed" --threads 1 "$@"
  [ -d "$OUT/known-$name-$seed" ] || worldgpt knowledge --model "$model" --data "$DATA" \
    --split knowledge --per-scenario 200 --out "$OUT/known-$name-$seed"
}

# judged NAME ARM [OPTION...]: the paper's eight combinations.
judged() {
  local name="$1" arm="$2"; shift 2
  [ -d "$OUT/judged/$name-$arm" ] || worldgpt worldnet evaluate $(each "tuned-$name") \
    --data "$DATA" --combinations paper8 --decoded 0 --threads 1 --out "$OUT/judged/$name-$arm" "$@"
}

knowledge() {
  local games="pong breakout freeway asterix" held
  for seed in $SEEDS; do
    tuned "$WORLDNET/progressive-$seed" home "$seed"
    tuned "$WORLDNET/foreign-$seed" away "$seed" --scenarios $games
    [ -d "$OUT/asked-home-$seed" ] || worldgpt knowledge --model "$OUT/tuned-home-$seed" \
      --data "$DATA" --split test --out "$OUT/asked-home-$seed"
  done
  for name in home away; do
    held=""
    [ $name = home ] || held="--scenarios spaceinvaders,mspacman --known ${games// /,}"
    judged $name none $held
    judged $name raw --knowledge $(each "known-$name") --raw $held
    judged $name reflected --knowledge $(each "known-$name") $held
    worldgpt worldnet compare "$OUT"/judged/$name-{none,raw,reflected}/figures.json \
      --names none,raw,reflected
  done
  # A base of the very transitions that are asked for: their own episodes are not given, so it helps
  # no more than the other.
  judged home asked --knowledge $(each asked-home)
  worldgpt worldnet compare "$OUT"/judged/home-{reflected,asked}/figures.json --names known,asked
}

sequences() {
  worldgpt worldnet sequences $(each tuned-home) --data "$DATA" --threads 1 \
    --json "$OUT/sequences.json"
  # The same, where the model itself has been shown histories.
  for seed in $SEEDS; do
    [ -d "$OUT/shown-home-$seed" ] || worldgpt train --data "$DATA" --schedule naive \
      --init "$WORLDNET/progressive-$seed" --out "$OUT/shown-home-$seed" --sequences 0 \
      --updates 300 --rows 64 --learning-rate 1e-3 --histories 0.7 --watch-every 300 \
      --seed "$seed" --threads 1
  done
  worldgpt worldnet sequences $(each shown-home) --readings none,raw --data "$DATA" \
    --threads 1 --json "$OUT/sequences-shown.json"
}

# agent FOLDER NAME MODEL [OPTION...]: PPO in the dream of a model, judged in the real world.
agent() {
  local at="$1/$2" model="$3"; shift 3
  [ -f "$at.json" ] && return
  worldgpt dream --model "$model" --out "$at" --seed "$seed" --threads 1 --json "$at-dream.json" "$@"
  worldgpt evaluate --policy "$at" --episodes 100 --json "$at.json" --threads 1
}

memory() {
  local recipe="--length 4 --rarity 0.75 --blurred 0.05 --threads 1 --seed 0" at="$OUT/memory/0"
  local world="--world minigrid-memory --world-options near_start=true" seed=0 arm
  worldgpt collect $world --steps 15000 --seed 0 --out "$at/random"
  [ -d "$at/first" ] || worldgpt train --data "$at/random" --out "$at/first" --updates 400 \
    --context 2 --rows 96 $recipe
  # In a dream, with a model that reads its own memory: one attempt.
  worldgpt dream --model "$at/first" --steps 40000 --start-states first --remember 1 \
    --out "$at/scout" --threads 1
  worldgpt collect $world --steps 10000 --seed 100 --policy "$at/scout" --epsilon 0.1 \
    --out "$at/scouted"
  [ -d "$at/model" ] || worldgpt train --data "$at/random" "$at/scouted" --init "$at/first" \
    --out "$at/model" --updates 500 --rows 48 --histories 0.5 --histories-over 12 $recipe
  agent "$at" both "$at/model" --steps 100000 --start-states first --memory raw \
    --memory-count 4 --memory-over 12 --remember 1
  # In the real world, an agent that reads the words and remembers, or not.
  for seed in 0 1 2 3 4; do
    for arm in remembers forgets; do
      at="$OUT/memory/direct-$arm-$seed"
      [ -f "$at.json" ] && continue
      worldgpt direct --model "$OUT/memory/0/first" --modalities text --steps 80000 \
        --seed "$seed" --out "$at" --threads 1 $([ $arm = forgets ] || echo --remember 1)
      worldgpt evaluate --policy "$at" --episodes 100 --json "$at.json" --threads 1
    done
  done
}

# long WORLD STEPS: cognition and planning, on and off, where the goal is far away. WORLD may be
# doorkey-8 or babyai-two, too; a plan that reads memory and knowledge costs eight times as much.
long() {
  local world="$1" steps="$2" name="${1%-[0-9]}" at goal=() options=() plan
  [ "$name" = doorkey ] && options=(--world-options "size=${world#doorkey-}")
  [ "$name" = doorkey ] && goal=("goal=pick up the key then open the door")
  for seed in $SEEDS; do
    at="$OUT/long/$world/$seed"
    worldgpt collect --world "$name" "${options[@]}" --steps "$steps" --seed "$seed" \
      --out "$at/recording"
    [ -d "$at/model" ] || worldgpt train --data "$at/recording" --out "$at/model" --updates 800 \
      --rarity 0.75 --blurred 0.05 --seed "$seed" --threads 1
    [ -d "$at/known" ] || worldgpt knowledge --model "$at/model" --data "$at/recording" \
      --per-scenario 4000 --out "$at/known"
    [ -d "$at/tuned" ] || worldgpt tune --model "$at/model" --data "$at/recording" \
      --knowledge "$at/known" --out "$at/tuned" --updates 200 --longest 4 --rows 128 \
      --seed "$seed" --threads 1
    agent "$at" policy "$at/model" --steps 150000
    agent "$at" policy-knowing "$at/tuned" --steps 150000 --memory reflected --knowledge "$at/known"
    plan=(worldgpt evaluate --policy planner:decomposition --threads 1)
    for arm in plan plan-knowing; do
      [ -f "$at/$arm.json" ] && continue
      settings=(horizon=12 candidates=48 iterations=2 replan_every=6 "${goal[@]}")
      case $arm in
        plan) "${plan[@]}" --episodes 8 --model "$at/model" --json "$at/$arm.json" --set "${settings[@]}" ;;
        *) "${plan[@]}" --episodes 4 --model "$at/tuned" --json "$at/$arm.json" \
          --set "${settings[@]}" memory=reflected "knowledge=$at/known" ;;
      esac
    done
  done
}

for part in "${@:-all}"; do
  case "$part" in
    all) knowledge; sequences; memory; long doorkey-6 60000 ;;
    knowledge | sequences | memory) "$part" ;;
    long) long doorkey-6 60000 ;;
    *) echo "there is no part $part: knowledge, sequences, memory, long" >&2; exit 2 ;;
  esac
done
