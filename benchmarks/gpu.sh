#!/usr/bin/env bash
# All that a machine with a GPU is asked for, in one short rental; with what it made it goes on in the next.
#
#   bash benchmarks/gpu.sh --minutes 9 --out OUT [--resume OUT/gpu.tar.gz] [--archive cifar10-images.tar.xz] [--paper CLONE]
#
# In this order, until the time is up: the tests marked gpu; rates of every network into rates.json; ways to compute a
# gradient; ResNet-50 at full CIFAR-10 size beside the paper's own loop and beside its floor; trainings of scale gpu,
# figures 4 and 5 first. OUT/gpu.tar.gz holds what each step said and the ledger: given to --resume, steps that are done for
# the same code and GPU are not done again, and trainings go on. Unpacked, its ledger/ is copied into runs/.
#
# Python is PYTHON (python3), with torch and torchvision. Of the few other packages what is lacking is installed
# beside the results, from the folder WHEELS if it is set, which needs no network. --tiny tries it all in sizes of no meaning.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=9 out='' resume='' archive="${ADAMBIAS_CIFAR10_ARCHIVE:-downloads/cifar10-images.tar.xz}" paper='' tiny=''
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) minutes=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --resume) resume=$2; shift 2 ;;
    --archive) archive=$2; shift 2 ;;
    --paper) paper=$2; shift 2 ;;
    --tiny) tiny=1; shift ;;
    *) echo "$1: no such option: see the first lines of $0" >&2; exit 2 ;;
  esac
done
[ -n "$out" ] || { echo "--out: is missing, a folder for what this makes" >&2; exit 2; }
end=$((SECONDS + minutes * 60))
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$out/gpu
mkdir -p "$work/steps"
[ -z "$resume" ] || tar -xzf "$resume" -C "$out"

python=${PYTHON:-python3}
export PYTHONPATH="$PWD/src:$work/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export ADAMBIAS_STORE=$work/ledger ADAMBIAS_DATA=$work/data
import='import importlib.util as u, sys; print(*(p for m, p in zip(sys.argv[1::2], sys.argv[2::2]) if not u.find_spec(m)))'
# By the names of modules, and of the packages that have them.
missing=$("$python" -c "$import" numpy numpy pandas pandas pyarrow pyarrow sklearn scikit-learn scipy scipy ruamel ruamel.yaml \
  click click rich rich filelock filelock psutil psutil pytest pytest pytest_timeout pytest-timeout hypothesis hypothesis)
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086
  "$python" -m pip install --quiet --target "$work/site" ${WHEELS:+--no-index --find-links "$WHEELS"} $missing ||
    { echo "cannot install $missing: name a folder with their wheels in WHEELS" >&2; exit 1; }
fi

here=$("$python" -c 'import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")')
# Of the files themselves: a copy that was sent here has no commit.
code=$(find src benchmarks scales -name '*.py' -o -name '*.sh' -o -name '*.yaml' | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-12)
[ -n "$tiny" ] || [ "$here" != "no GPU" ] ||
  { echo "torch sees no GPU ($("$python" -c 'from adambias.training.devices import build, driver; print(build(), driver(), sep="; ")'))" >&2; exit 1; }
echo "$here, code $code, $minutes minutes"
failed=0

# step NAME SECONDS COMMAND...: run it, at most so long, unless it is done; keep what it says.
step() {
  local name=$1 limit=$2 left=$((end - SECONDS)) rc=0
  shift 2
  if [ -f "$work/steps/$name" ] && [ "$(cat "$work/steps/$name")" = "$here $code" ]; then
    echo "== $name: done before"
    return
  fi
  if [ "$left" -lt 20 ]; then
    echo "== $name: left for the next time"
    return
  fi
  echo "== $name"
  timeout --kill-after=10 "$((left < limit ? left : limit))" "$@" 2>&1 | tee "$work/$name.txt" || rc=${PIPESTATUS[0]}
  case $rc in
    0) echo "$here $code" > "$work/steps/$name" ;;
    75) echo "== $name: goes on the next time" ;;  # a sweep whose time is up
    124 | 137) echo "== $name: cut off after $limit s" ;;
    *) echo "== $name: failed ($rc)"; failed=1 ;;
  esac
}

pack() {
  cp benchmarks/rates.json "$work/rates.json"
  tar -czf "$out/gpu.tar.gz" -C "$out" --exclude=gpu/site --exclude=gpu/data gpu
  echo "$out/gpu.tar.gz: $(du -h "$out/gpu.tar.gz" | cut -f1)"
}
trap pack EXIT

prepare='
import sys
from adambias.config import load_params
from adambias.data.preparation import prepare
params = load_params("params.yaml", sys.argv[1])
for name, spec in params.datasets.items():
    prepare(name, spec, params.data_root)'
if [ -n "$tiny" ]; then
  scale=smoke grids='beta2 beta1' seconds=60
  rates=(resnet8/batch/relu/fp32/1x8x8 --images 20 --epochs 1)
  small=(--images 40 --block 20 --side 8 --trials 2 --times 1)
  floor=(--model resnet8 --images 40 --block 20)
else
  scale=gpu grids='beta2 beta1' seconds=600
  rates=(--scale gpu --scale paper --scale cifar10 --images 1000)
  small=(--images 1000 --block 1000 --trials 4,16 --compiled)
  floor=(--model resnet50 --images 50000 --block 1000 --gpu "$(case $here in *H200*) echo H200 ;; *A100*) echo A100 ;; *) echo H100 ;; esac)")
  mkdir -p downloads
  [ -f downloads/cifar10-images.tar.xz ] || [ ! -f "$archive" ] || ln -s "$(realpath "$archive")" downloads/cifar10-images.tar.xz
fi

step correctness 150 "$python" -m pytest -q -p no:cacheprovider -m gpu tests/training/test_gpu.py
step rates 90 "$python" benchmarks/rates.py "${rates[@]}"
step paths 90 "$python" benchmarks/gpu_paths.py --model resnet8 "${small[@]}"
step floor 60 "$python" benchmarks/gpu_floor.py "${floor[@]}"
if [ -n "$paper" ]; then
  step paper 150 "$python" benchmarks/paper_loop.py "$paper" --images 50000 --test-images 10000 --block 500 --epochs 1
else
  echo "== paper: not compared, --paper names no clone of its code"
fi
# The data are not part of what comes back.
rm -f "$work/steps/prepare"
step prepare 120 "$python" -c "$prepare" "$scale"
for some in "$grids" ''; do
  left=$((end - SECONDS - 10))
  # shellcheck disable=SC2086
  [ "$left" -lt 20 ] || step "train${some:+_first}" "$seconds" "$python" -m adambias.cli sweep $some --scale "$scale" \
    --executor inline --no-track --time "${left}s"
done
exit "$failed"
