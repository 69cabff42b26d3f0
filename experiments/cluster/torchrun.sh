#!/usr/bin/env bash
# Training under torchrun, on one machine or several; what fails is started again from its last checkpoint.
#   experiments/cluster/torchrun.sh --config experiments/base_16k.yaml --config experiments/cluster/ddp.yaml
# On several machines, on each of them, with the name of any one of them:
#   NNODES=2 MASTER_ADDR=node0 experiments/cluster/torchrun.sh --config ...
# PROCESSES: processes on a machine, by default one a GPU, else one. RESTARTS: how often the job is started again.
set -euo pipefail

PYTHON=${PYTHON:-python}
NNODES=${NNODES:-1}
MASTER_ADDR=${MASTER_ADDR:-localhost}
MASTER_PORT=${MASTER_PORT:-29400}
RESTARTS=${RESTARTS:-3}
PROCESSES=${PROCESSES:-$("$PYTHON" -c 'import torch; print(max(1, torch.cuda.device_count()))')}

if [ "$NNODES" -eq 1 ]; then
    where=(--standalone)
else
    where=(--rdzv-backend=c10d --rdzv-id="${JOB_ID:-diffgmm}" --rdzv-endpoint="$MASTER_ADDR:$MASTER_PORT")
fi
exec "$PYTHON" -m torch.distributed.run "${where[@]}" --nnodes="$NNODES" --nproc-per-node="$PROCESSES" \
    --max-restarts="$RESTARTS" -m diffgmm.cli.main fit "$@" \
    --trainer.num_nodes="$NNODES" --trainer.devices="$PROCESSES" --ckpt_path=auto
