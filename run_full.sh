#!/usr/bin/env bash
# The whole stack at scale, on the real data: bash run_full.sh on a machine with one or more NVIDIA GPUs.
#
#   DEPTH=20            layers; everything else follows from it (12: one GPU and some hours; 20: eight and four; 26, 32)
#   NPROC=8             GPUs to use; by default all of this machine
#   TAG=d20             the run: its folder is runs/TAG
#   PARTS=reference     or mine: with your green katas in place of the reference's parts
#   DTYPE=bfloat16      what it computes in, or float32; by default as the processor or GPU is
#   DEVICE_BATCH=32     rows that a GPU takes at a time; by default as many as fit
#   DATA=DIR            where the data go, or lie already; by default $NANOKATA_DATA, or else ~/.cache/nanokata
#   SMOKE=1             all of it in minutes on two CPU processes, with a tiny model, on $NANOKATA_DATA or generated data
#   PYTHON=...          a Python that has everything already; by default ./noxw makes .venv
#   SETTINGS="..."      changes of the preset, as --set base_steps=100
#   NODES=2 LAUNCH="srun ..." TORCHRUN="--nnodes 2 ..."    several machines, see deploy/two_nodes.sbatch
#
# It ends at the first failure, with the name of the step; the same command again goes on where it stopped.
set -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2

SMOKE=${SMOKE:-0}
if [ "$SMOKE" = 1 ]; then
    DEPTH=${DEPTH:-2} NPROC=${NPROC:-2} TAG=${TAG:-smoke} DEVICE=${DEVICE:-cpu}
    # one thread a process; and a data set that is not there is left out at once, not asked for again and again
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}
    SETTINGS="--set vocab_size=2048 --set sequence_len=128 --set batch_rows=8 --set tokenizer_characters=400000
        --set base_steps=20 --set base_evaluations=2 --set validation_updates=1 --set mid.steps=8 --set sft.steps=8
        --set rl.steps=3 --set rl.prompts=4 --set rl.samples=4 --set rl.max_tokens=16 --set answer_tokens=16
        --set rl.evaluate_every=2 --set rl.held_out_problems=8 --set rl.held_out_samples=4
        ${SETTINGS:-}"
    LOSS=(--tokens 4096 --rows 8) CORE=(--max-per-task 2) EXAMS=(--max-per-task 4 --max-tokens 16 --allow-missing)
else
    DEPTH=${DEPTH:-20} NPROC=${NPROC:-$(nvidia-smi -L 2>/dev/null | grep -c .)} TAG=${TAG:-d$DEPTH} DEVICE=${DEVICE:-auto}
    SETTINGS=${SETTINGS:-}
    LOSS=() CORE=() EXAMS=()
fi
[ "$NPROC" -gt 0 ] 2>/dev/null || NPROC=1
PARTS=${PARTS:-reference}
NODES=${NODES:-1}
RUN=runs/$TAG
BATCH=(--device "$DEVICE" --device-batch "${DEVICE_BATCH:-0}")
STEP=environment

fail() { printf '\nrun_full: the step "%s" has failed, see above; the same command again goes on from there.\n' "$STEP" >&2; exit "$1"; }
trap 'printf "\nrun_full: stopped in the step \"%s\"; the same command again goes on from there.\n" "$STEP" >&2; exit 130' INT

step() { # step NAME COMMAND...: run it, or end with its name
    STEP=$1; shift
    printf '\n== %s\n' "$STEP"
    "$@"
    local status=$?
    [ $status -eq 0 ] || fail $status
}
once() { # once STAGE NAME COMMAND...: as step, unless it was done since the stage was
    local stage=$1 name=$2; shift 2
    local mark=$RUN/.${name// /-}.done
    if [ -e "$mark" ] && [ ! "$RUN/$stage" -nt "$mark" ]; then printf '\n== %s: done already\n' "$name"; return; fi
    step "$name" "$@"
    touch "$mark"
}

# environment
if [ -n "${PYTHON:-}" ]; then
    PY=$PYTHON
else
    step environment sh noxw --setup-only
    PY=$PWD/.venv/bin/python
    "$PY" -c 'import datasets' 2>/dev/null || step environment "$PY" -m pip install --quiet --editable '.[full]'
fi
case $PARTS in
    reference) MODULE=(-m reference) ;;
    mine) MODULE=(-m dojo train) ;;
    *) echo "run_full: PARTS is reference or mine, not $PARTS." >&2; exit 2 ;;
esac
one() { "$PY" "${MODULE[@]}" "$@"; }
all() { # in as many processes as there are GPUs
    if [ "$NPROC" -eq 1 ] && [ "$NODES" -eq 1 ]; then one "$@"; return; fi
    ${LAUNCH:-} "$PY" -m reference.torchrun ${TORCHRUN:---standalone} --nproc_per_node "$NPROC" "${MODULE[@]}" "$@"
}

DATA=${DATA:-${NANOKATA_DATA:-}}
[ -z "$DATA" ] || export NANOKATA_DATA=$DATA

# what it will take, before it takes it
step plan one plan --depth "$DEPTH" --nproc $((NPROC * NODES)) "${BATCH[@]}" $SETTINGS

# data: the tokenizer needs the first shards, the others come in the meantime
MISSING=()
if [ "$SMOKE" = 1 ]; then
    if [ -z "$DATA" ]; then
        DATA=$RUN/.data
        [ -d "$DATA" ] || step data "$PY" -m reference generate-data --root "$DATA"
    fi
    MISSING=(--allow-missing)
else
    DATA=${DATA:-$HOME/.cache/nanokata}
    SHARDS=$(one plan --shards --depth "$DEPTH" --nproc $((NPROC * NODES)) "${BATCH[@]}" $SETTINGS) || fail 2
    step data "$PY" -m reference data -n "$SHARDS" --first 10 --words --bundle --root "$DATA"
fi
export NANOKATA_DATA=$DATA

step tokenizer one tok-train --depth "$DEPTH" --tag "$TAG" --data "$DATA" --device "$DEVICE" --dtype "${DTYPE:-auto}" "${MISSING[@]}" $SETTINGS
once tokenizer "tokenizer evaluation" one tok-eval --tag "$TAG"
[ "$SMOKE" = 1 ] || step "rest of the data" "$PY" -m reference data -n "$SHARDS" --root "$DATA"

step base all base-train --tag "$TAG" "${BATCH[@]}"
once base "base loss" all base-loss --tag "$TAG" --device "$DEVICE" "${LOSS[@]}"
if [ -d "$DATA/eval_bundle" ]; then
    once base "base evaluation" all base-eval --tag "$TAG" --device "$DEVICE" "${CORE[@]}"
else
    printf '\n== base evaluation: left out, for there is no %s\n' "$DATA/eval_bundle"
fi
for stage in mid sft rl; do
    step $stage all $stage --tag "$TAG" "${BATCH[@]}"
    once $stage "$stage evaluation" all chat-eval --stage $stage --tag "$TAG" --device "$DEVICE" "${EXAMS[@]}"
done

step report one report --tag "$TAG"
printf '\nTalk to it: %s\n' "$PY -m reference chat --tag $TAG"
