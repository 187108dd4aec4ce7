#!/usr/bin/env bash
# A run on the nodes of a SLURM job: a Ray cluster stands for as long as the job, and the command runs on its first node.
#
#   sbatch --nodes=4 --gpus-per-node=1 configs/cluster/slurm.sh benchmark configs/benchmark.yaml cluster.gpus=0.5
#
# Nodes share the folder from which it is submitted, with its .venv (or set RECON_BIN). Submitted again it goes on.
#SBATCH --job-name=recon
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:INT@120
#SBATCH --requeue
set -euo pipefail

if [[ $# -lt 2 ]]; then
    echo "usage: sbatch [OPTIONS] $0 benchmark|reconstruct|ablate CONFIG [section.key=value ...]" >&2
    exit 2
fi
: "${SLURM_JOB_ID:?expected a SLURM job, got none; submit this file with sbatch}"

bin=${RECON_BIN:-$PWD/.venv/bin}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
port=$((20000 + SLURM_JOB_ID % 20000))
own=(--num-cpus="${SLURM_CPUS_PER_TASK:-1}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --block)
export RAY_USAGE_STATS_ENABLED=0

trap 'jobs -p | xargs --no-run-if-empty kill 2>/dev/null || true' EXIT
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    "$bin/ray" start --head --node-ip-address="$head" --port="$port" --include-dashboard=false "${own[@]}" &
until srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" "$bin/ray" status --address="$head:$port" >/dev/null 2>&1; do
    sleep 2
done
if [[ ${#nodes[@]} -gt 1 ]]; then
    others=$(IFS=,; echo "${nodes[*]:1}")
    srun --overlap --nodes=$((${#nodes[@]} - 1)) --ntasks-per-node=1 --nodelist="$others" \
        "$bin/ray" start --address="$head:$port" "${own[@]}" &
fi

RAY_ADDRESS="$head:$port" srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" "$bin/recon" "$1" "$2" --on ray "${@:3}"
