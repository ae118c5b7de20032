#!/usr/bin/env bash
# The promise "same seed, same bits at any batch size" under settings that stand in for other machines:
# other instructions of torch, oneDNN and MKL, one thread and two. (A library that does not know a setting on
# this processor goes on without it.) Prints a table; the exit code is 1 if a test fails. Settings that are
# given as arguments are tried instead of all.
set -uo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
FILES=(model_batch_invariant model_codecs model_codecs_video model_continuous model_imagination model_knowledge
  model_memory model_outcome model_reflector policies_planning_planner policies_vec_env worldgpt_env_cognition
  worldgpt_env_presence worldgpt_env_simulator worldgpt_env_testing worldgpt_env_vector_env)
FILES=("${FILES[@]/#/tests/test_}")
SETTINGS=("" ATEN_CPU_CAPABILITY=avx2 ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=SSE41
  MKL_ENABLE_INSTRUCTIONS=AVX2 MKL_ENABLE_INSTRUCTIONS=SSE4_2 MKL_CBWR=COMPATIBLE MKL_CBWR=AVX2 MKL_CBWR=AVX512)
[ $# = 0 ] || SETTINGS=("$@")
export OMP_WAIT_POLICY=passive  # two threads that spin are ten times slower beside other work
failed=0

printf '| settings | threads | tests of the promise |\n|---|---|---|\n'
for setting in "${SETTINGS[@]}"; do
  for threads in 1 2; do
    # shellcheck disable=SC2086
    said=$(env $setting OMP_NUM_THREADS=$threads "$PY" -m pytest -q -p no:cacheprovider "${FILES[@]/%/.py}" 2>&1)
    [ $? = 0 ] || { failed=1; echo "$said" >&2; }
    last=$(tail -n 1 <<< "$said")
    printf '| %s | %s | %s |\n' "${setting:-as it is}" "$threads" "${last% in *}"
  done
done
exit $failed
