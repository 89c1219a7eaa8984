#!/bin/bash
# A Ray cluster inside a Slurm job, and a command on it; `dvc repro` if none is given:
#   sbatch cluster/slurm.sh
#   sbatch --nodes=8 cluster/slurm.sh adambias sweep beta2
# Submit from the project's root, on a file system that every node sees. See docs/cluster-slurm.md.
#SBATCH --job-name=adambias
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log

# With job control each background command is a process group, and can be interrupted.
set -o monitor -o nounset -o pipefail
(($#)) || set -- dvc repro

project=${ADAMBIAS_PROJECT:-$SLURM_SUBMIT_DIR}
cd "$project" || exit 1
export PATH="$project/.venv/bin:$PATH"
export ADAMBIAS_STORE=${ADAMBIAS_STORE:-$project/runs}
export RAY_USAGE_STATS_ENABLED=0
# Ray's sockets do not fit into the long temporary folders of jobs, which other nodes may not have.
export RAY_TMPDIR=${RAY_TMPDIR:-/tmp/ray-$(id -u)}
# Other users of these nodes could run code as you on a Ray that asks for no token.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | sha256sum | cut -d ' ' -f 1)
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
on_head=(srun --nodes=1 --ntasks=1 --nodelist="$head")
# The head's address on the way to another node: of those that a node has, some are of bridges
# (Docker's) that no other node reaches. Nothing is sent.
other=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 2p)
way='import socket, sys
way = socket.socket(type=socket.SOCK_DGRAM)
way.connect((sys.argv[1], 9))
print(way.getsockname()[0])'
ip=$("${on_head[@]}" python -c "$way" "${other:-localhost}")
[[ $ip ]] || {
  echo "error: node $head finds no way to node $other (see above): its name must have an IPv4 address" >&2
  exit 1
}
export RAY_ADDRESS=$ip:$((20000 + SLURM_JOB_ID % 20000))
start=(ray start --block --disable-usage-stats
       --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}")

joined() { ray status --address="$RAY_ADDRESS" 2>/dev/null | sed -n '/^Active:/,/^Pending:/p' | grep -c '^ *1 '; }

await() { # await NODES: wait until so many have joined, five minutes at most
  for ((try = 0; try < 60; try++)); do
    (($(joined) >= $1)) && return
    sleep "${ADAMBIAS_POLL_SECONDS:-5}"
  done
  echo "error: only $(joined) of $SLURM_JOB_NUM_NODES nodes joined Ray at $RAY_ADDRESS: see above" >&2
  exit 1
}

trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
"${on_head[@]}" "${start[@]}" --head --node-ip-address="$ip" --port="${RAY_ADDRESS##*:}" \
  --include-dashboard=false &
await 1
if ((SLURM_JOB_NUM_NODES > 1)); then
  others=$((SLURM_JOB_NUM_NODES - 1))
  srun --nodes=$others --ntasks=$others --exclude="$head" "${start[@]}" --address="$RAY_ADDRESS" &
fi
await "$SLURM_JOB_NUM_NODES"

# Before the time limit Slurm sends TERM to this script alone: end the command as Ctrl-C does,
# and queue the job again. What is finished is in the ledger, and the rest goes on from there.
"$@" &
command=$!
requeue=
trap 'requeue=yes; kill -INT -- -$command' TERM
wait $command
status=$?
if [[ $requeue ]]; then
  wait $command
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
