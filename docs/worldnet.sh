#!/usr/bin/env bash
# Every figure of the WorldNet part of docs/results.md; about two hours on two cores.
# What is there already is left as it is, so the script can be stopped and started again.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-runs/worldnet}
data=$out/arcade
updates=${UPDATES:-1500}
mkdir -p "$out"

learn() { # NAME, then options of worldgpt train
    local name=$1
    shift
    [ -f "$out/$name/manifest.json" ] ||
        worldgpt train --data "$data" --out "$out/$name" --json "$out/$name.json" \
            --watch-every 50 --threads 1 "$@"
}
judge() { # NAME, then models and options of worldgpt worldnet evaluate
    local name=$1
    shift
    [ -f "$out/judged/$name/figures.json" ] ||
        worldgpt worldnet evaluate --data "$data" --out "$out/judged/$name" --threads 1 "$@"
}
progressive() { learn "progressive-$1" --schedule progressive --updates "$updates" --seed "$1" \
    --codecs-from "$out/codecs"; }
naive() { learn "naive-$1" --schedule naive --updates "$updates" --seed "$1" \
    --codecs-from "$out/codecs"; }
# Two combinations of every class but the first, never trained.
unseen() { learn "unseen-$1" --schedule progressive --updates "$updates" --seed "$1" \
    --codecs-from "$out/codecs" --without "image>audio" "audio>video" \
    "image+audio>image+audio" "video+audio>video+audio" "image+video>audio" "image>image+audio"; }
# Four Atari games are known; two others and four Doom scenarios, which have numbers too, are not.
known="pong breakout freeway asterix"
atari="spaceinvaders mspacman"
doom="doom-basic doom-health doom-cover doom-center"
foreign() { learn "foreign-$1" --schedule progressive --updates "$updates" --seed "$1" \
    --codecs-from "$out/foreign-codecs" --scenarios $known; }
tuned() { # WHERE SEED: a hundredth of the unknown games, 150 updates more
    learn "tuned-$1-$2" --schedule progressive --updates 150 --learning-rate 5e-4 --seed "$2" \
        --init "$out/foreign-$2" --share 0.01 --scenarios ${!1}; }

[ -f "$data/manifest.json" ] || worldgpt worldnet build arcade --out "$data" --seed 0
export -f learn progressive naive unseen foreign tuned
export out data updates known atari doom
# Codecs, learned once for all runs, and the static generator.
printf "%s\n" "codecs" "foreign-codecs --scenarios $known" |
    xargs -P 2 -I {} bash -euc "learn {} --schedule static --updates 500 --seed 0"
for seed in 0 1 2; do
    for run in progressive naive unseen foreign; do echo "$run $seed"; done
done | xargs -P 2 -I {} bash -euc "{}"
for seed in 0 1 2; do for where in atari doom; do echo "tuned $where $seed"; done; done |
    xargs -P 2 -I {} bash -euc "{}"

models() { for seed in 0 1 2; do echo "$out/$1-$seed"; done; }
static="--static $out/codecs"
judge progressive $(models progressive) $static --speed
judge all $(models progressive) --samples 300 --modalities all --combinations "text>text,\
vector>vector,text>image,image>text,audio>text,video>vector,image+text>image+text,\
image+video+audio+text+vector>image+video+audio+text+vector"
judge naive $(models naive) $static --decoded 0
judge unseen $(models unseen) --decoded 0
for where in atari doom; do
    games=$(tr " " "," <<<"${!where}")
    judge "foreign-$where" $(models foreign) --scenarios "$games" --known "${known// /,}" --decoded 0
    judge "tuned-$where" $(models "tuned-$where") --scenarios "$games" --known "${known// /,}" --decoded 0
    judge "home-$where" $(models progressive) --scenarios "$games" --decoded 0
    worldgpt worldnet compare "$out/judged/foreign-$where/figures.json" \
        "$out/judged/tuned-$where/figures.json" --names zero-shot,tuned
done
worldgpt worldnet compare "$out/judged/unseen/figures.json" "$out/judged/progressive/figures.json" \
    --names unseen,seen
worldgpt worldnet curves --runs "progressive=$(models progressive | paste -sd,)" \
    "naive=$(models naive | paste -sd,)" --out docs/images/curves.png
cp "$out/judged/progressive/skill.png" docs/images/skill.png
cut -d, -f1-5,10,25,30,35,40,45,50-59 "$out/judged/progressive/combinations.csv" > docs/combinations.csv
