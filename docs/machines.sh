#!/usr/bin/env bash
# The promise "same seed, same bits at any batch size" under settings that stand in for other machines:
# other vector instructions of torch, other routes of MKL, one thread and two. Prints a table.
set -uo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
TESTS="tests/test_model_batch_invariant.py tests/test_model_imagination.py tests/test_worldgpt_env_simulator.py
tests/test_policies_vec_env.py"

printf '| settings | threads | tests of the promise |\n|---|---|---|\n'
for setting in "" ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=COMPATIBLE MKL_CBWR=AVX2 \
    MKL_ENABLE_INSTRUCTIONS=SSE4_2; do
  for threads in 1 2; do
    # shellcheck disable=SC2086
    last=$(env $setting OMP_NUM_THREADS=$threads "$PY" -m pytest -q -p no:cacheprovider $TESTS 2>&1 | tail -n 1)
    printf '| %s | %s | %s |\n' "${setting:-as it is}" "$threads" "${last% in *}"
  done
done
