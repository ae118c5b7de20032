#!/usr/bin/env bash
# Every figure of the part "Memory, knowledge, planning" of docs/results.md, about six hours on two
# cores: `bash docs/cognition.sh`, or some of: knowledge sequences memory long (doorkey-6 doorkey-8
# babyai-two doom-home) cost. The first two need the models of docs/worldnet.sh, the last one those
# of doorkey-6. What is there is left.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
OUT=runs/cognition
WORLDNET=runs/worldnet
DATA=$WORLDNET/arcade
SEEDS="${SEEDS:-0 1 2}"
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
  worldgpt evaluate --policy "$at" --episodes 100 --json "$at.json" --threads 1 \
    ${limit:+--world-options "${limit[@]}"}
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

# long WORLD: cognition and planning, on and off, where the goal is far away; SEEDS="0" takes one.
long() {
  local world="$1" name="${1%-[0-9]}" steps updates at goal=() limit=() record=() given=() seen=()
  local played="--policy least-tried --epsilon 0.1" near="--start-states rewarded"
  case "$world" in
    doorkey-6) steps=60000 updates=700 record=(size=6 max_steps=2000) ;;
    doorkey-8) steps=120000 updates=600 record=(size=8 max_steps=2000) ;;
    babyai-two) steps=80000 updates=1200 record=(progress=true) ;;
    doom-home) steps=100000 updates=1000 played="" goal=(proposer=way near=0.03 every=6)
      seen=(--agent-modalities vector --start-states 100000) ;;
  esac
  [ "$name" = doorkey ] && goal=("goal=pick up the key then open the door") limit=(max_steps=250)
  [ -z "${record[*]}" ] || given=(--world-options "${record[@]}")
  worldgpt evaluate --policy random --world "$name" --episodes 100 --threads 1 \
    ${record:+--world-options "${record[0]}" "${limit[@]}"}
  for seed in $SEEDS; do
    at="$OUT/long/$world/$seed"
    worldgpt collect --world "$name" "${given[@]}" $played --steps "$steps" --seed "$seed" \
      --out "$at/recording"
    [ -d "$at/model" ] || worldgpt train --data "$at/recording" --out "$at/model" \
      --updates "$updates" --rarity 0.75 --outcome next "${seen[@]}" --seed "$seed" --threads 1 \
      --json "$at/model.json"
    agent "$at" policy "$at/model" --steps 100000 $near
    agent "$at" policy-anywhere "$at/model" --steps 100000
    [ "$world" != doorkey-8 ] || agent "$at" policy-longer "$at/model" --steps 300000 $near
    direct
    planned plan "$at/model"
    [ "$world" != doorkey-6 ] || planned plan-forgetting "$at/model" recall=false novelty=0
    [ -d "$at/known" ] || worldgpt knowledge --model "$at/model" --data "$at/recording" \
      --per-scenario 4000 --out "$at/known"
    [ -d "$at/tuned" ] || worldgpt tune --model "$at/model" --data "$at/recording" \
      --knowledge "$at/known" --out "$at/tuned" --updates 200 --longest 4 --rows 128 \
      --seed "$seed" --threads 1
    planned plan-knowing "$at/tuned" memory=reflected "knowledge=$at/known"
    agent "$at" policy-knowing "$at/tuned" --steps 100000 $near --memory reflected \
      --knowledge "$at/known"
  done
}

# planned NAME MODEL [SETTING...]: the planner with subgoals, in the real world; of `long`.
planned() {
  local json="$at/$1.json" model="$2"; shift 2
  [ -f "$json" ] && return
  worldgpt evaluate --policy planner:decomposition --model "$model" --episodes 8 --num-envs 8 \
    ${record:+--world-options "${record[0]}" "${limit[@]}"} --threads 1 --json "$json" \
    --set horizon=12 candidates=32 iterations=2 replan_every=6 "${goal[@]}" "$@"
}

# direct: the same PPO on as many real steps as were recorded; of `long`.
direct() {
  [ -f "$at/direct.json" ] && return
  worldgpt direct --model "$at/model" ${limit:+--world-options "${limit[@]}"} --steps "$steps" \
    --seed "$seed" --out "$at/direct" --threads 1
  worldgpt evaluate --policy "$at/direct" --episodes 100 --json "$at/direct.json" --threads 1 \
    ${limit:+--world-options "${limit[@]}"}
}

# cost: imagined steps per CPU-second, by what is read meanwhile.
cost() {
  local at="$OUT/long/doorkey-6/0" all="$OUT/long/doorkey-6/0/known-all"
  [ -d "$all" ] || worldgpt knowledge --model "$at/model" --data "$at/recording" --out "$all"
  local speed="worldgpt speed --model $at/tuned --dream-steps 0 --threads 1"
  $speed
  $speed --memory raw
  $speed --memory reflected
  $speed --knowledge "$at/known"
  $speed --knowledge "$all"
  $speed --memory reflected --knowledge "$at/known"
}

WORLDS="doorkey-6 doorkey-8 babyai-two doom-home"
for part in "${@:-all}"; do
  case "$part" in
    all) knowledge; sequences; memory; for world in $WORLDS; do long "$world"; done; cost ;;
    knowledge | sequences | memory | cost) "$part" ;;
    doorkey-6 | doorkey-8 | babyai-two | doom-home) long "$part" ;;
    long) for world in $WORLDS; do long "$world"; done ;;
    *) echo "there is no part $part: knowledge, sequences, memory, long, $WORLDS, cost" >&2; exit 2 ;;
  esac
done
