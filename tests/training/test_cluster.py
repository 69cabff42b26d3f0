"""Configurations and launchers for clusters: they parse, and what can run without a cluster runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import yaml
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from short_runs import ROOT, checkpoint, configuration
from test_many_devices import run

from diffgmm.cli.main import main
from diffgmm.training.perceptual import NEEDED

CLUSTER = ROOT / "experiments" / "cluster"
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
LAUNCHERS = ["torchrun.sh", "slurm.sbatch"]


@pytest.mark.parametrize("name", ["ddp.yaml", "sharded.yaml"])
def test_a_layer_parses_over_every_experiment(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for base in ("mini.yaml", "base_16k.yaml"):
        layers = ["--config", str(ROOT / "experiments" / base), "--config", str(CLUSTER / name)]
        assert main(["fit", *layers, "--print_config"]) == 0
        config = yaml.safe_load(capsys.readouterr().out)
        assert config["effective_batch"]["windows"] == 96 and config["last"]["every_n_steps"] == 500
        assert config["trainer"]["strategy"]["init_args"]["timeout"] == "0:10:00"
        assert config["trainer"]["precision"] == "bf16-mixed"
        assert main(["fit", *layers[:2], "--print_config"]) == 0
        own = yaml.safe_load(capsys.readouterr().out)
        assert config["model"]["losses"] == own["model"]["losses"]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_launchers_are_scripts(name: str) -> None:
    text = (CLUSTER / name).read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n") and "\nset -euo pipefail\n" in text
    done = subprocess.run(["bash", "-n", str(CLUSTER / name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr
    assert not re.findall(r'[^"\w{]\$(?:@|\w+)[^")\w]', text.split("pipefail")[1]), (
        "a variable without quotes"
    )


def test_slurm_gives_one_task_to_a_gpu_and_time_to_save() -> None:
    options = dict(
        re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", (CLUSTER / "slurm.sbatch").read_text(), re.MULTILINE)
    )
    assert options["ntasks-per-node"] == options["gpus-per-node"] and options["signal"] == "USR1@180"
    assert "requeue" in options and options["open-mode"] == "append"


@pytest.mark.slow
def test_the_slurm_script_calls_srun_as_meant(tmp_path: Path) -> None:
    """With a program in srun's place that shows what it was told to start."""
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "4",
        "SLURM_CPUS_PER_TASK": "8",
    }  # fmt: skip
    told = subprocess.run(
        ["bash", str(CLUSTER / "slurm.sbatch"), "--config", "a file.yaml"],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert told == [
        "--kill-on-bad-exit=1", "--cpus-per-task=8", "diffgmm", "fit", "--config", "a file.yaml",
        "--trainer.num_nodes=2", "--trainer.devices=4", "--ckpt_path=auto",
    ]  # fmt: skip


def test_kubernetes_pods_are_counted_right() -> None:
    job = yaml.safe_load((CLUSTER / "kubernetes.yaml").read_text(encoding="utf-8"))
    assert job["kind"] == "PyTorchJob"
    replicas = job["spec"]["pytorchReplicaSpecs"]
    assert replicas["Master"]["replicas"] == 1 and replicas["Worker"]["replicas"] == 7
    for kind in replicas.values():
        assert kind["restartPolicy"] == "ExitCode"  # 143 and 138 mean: start again
        (container,) = kind["template"]["spec"]["containers"]
        assert "--trainer.num_nodes=$WORLD_SIZE --ckpt_path=auto" in container["args"][0]
        # What the command names lies below its working directory; runs go into the volume; workers have their memory.
        places = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
        assert f"{container['workingDir']}/runs" in places and "/dev/shm" in places
        volumes = {one["name"]: one for one in kind["template"]["spec"]["volumes"]}
        assert set(places.values()) == set(volumes)
        assert volumes[places["/dev/shm"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
        named = re.findall(r"experiments/\S+\.yaml", container["args"][0])
        assert named and all((ROOT / name).is_file() for name in named)


@pytest.mark.slow
def test_torchrun_trains_in_two_processes_and_continues(tmp_path: Path) -> None:
    config = configuration(tmp_path, strategy="ddp", max_epochs=1)
    environment = os.environ | {
        "PYTHON": sys.executable, "PROCESSES": "2", "RESTARTS": "0", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")]),
    }  # fmt: skip
    for epochs in (1, 2):
        done = subprocess.run(
            [str(CLUSTER / "torchrun.sh"), "--config", str(config), "--effective_batch.windows=8",
             f"--trainer.max_epochs={epochs}"],
            env=environment, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert "8 windows a step: 2 device(s) x 4 windows x 1 batch(es)" in done.stderr
        assert checkpoint(tmp_path)["global_step"] == 4 * epochs
        assert done.stderr.count("starting from the beginning" if epochs == 1 else "continuing from") == 1
    assert len(list((tmp_path / "run").iterdir())) == 1


@pytest.mark.slow
def test_kubeflow_variables_make_one_job_of_two_processes(tmp_path: Path) -> None:
    config = configuration(tmp_path, strategy="ddp", max_epochs=1)
    port = str(find_free_network_port())

    def pod(rank: int) -> subprocess.CompletedProcess[str]:
        return run(
            "-m", "diffgmm.cli.main", "fit", "--config", str(config), "--config", str(CLUSTER / "kubeflow.yaml"),
            "--trainer.num_nodes=2", "--ckpt_path=auto",
            seconds=300, KUBERNETES_PORT="tcp://10.0.0.1:443", MASTER_ADDR="localhost", MASTER_PORT=port,
            WORLD_SIZE="2", RANK=str(rank),
        )  # fmt: skip

    with ThreadPoolExecutor(2) as pool:
        pods = list(pool.map(pod, (0, 1)))
    assert [one.returncode for one in pods] == [0, 0], pods[0].stdout[-2000:]
    assert checkpoint(tmp_path)["global_step"] == 4
    assert "starting from the beginning" not in pods[1].stdout  # only the first one talks


@pytest.mark.slow
def test_sharded_training_gives_the_same_weights(tmp_path: Path) -> None:
    """FSDP2 on two processors' worth of processes, against one process with the same step; then continued."""
    callback = {"class_path": "diffgmm.training.callbacks.sharding.ShardNetwork"}
    alone, shared = (
        configuration(tmp_path / name, max_epochs=1, callbacks=[callback]) for name in ("alone", "shared")
    )
    # A bias whose channel is normalised next has no gradient but rounding, of which Adam would make whole steps: its
    # epsilon is above that here.
    epsilon = "--model.optimizer.init_args.eps=1e-4"
    common = ["--effective_batch.windows=8", "--model.network.norm_kind=group", epsilon]
    strategy = [
        "--trainer.strategy=lightning.pytorch.strategies.ModelParallelStrategy", "--trainer.devices=2",
        "--trainer.strategy.init_args.data_parallel_size=2", "--trainer.strategy.init_args.tensor_parallel_size=1",
        "--trainer.strategy.init_args.save_distributed_checkpoint=false", "--ckpt_path=auto",
    ]  # fmt: skip
    fit = ["-m", "diffgmm.cli.main", "fit"]
    for arguments in (
        ["--config", str(alone), *common],
        ["--config", str(shared), *common, *strategy],
    ):
        done = run(*fit, *arguments)
        assert done.returncode == 0, done.stdout[-3000:]
    one, two = checkpoint(tmp_path / "alone"), checkpoint(tmp_path / "shared")
    assert one["global_step"] == two["global_step"] == 4
    worst = max(float((one["state_dict"][k] - two["state_dict"][k]).abs().max()) for k in one["state_dict"])
    print(f"largest difference of a weight: {worst:.2g}")
    assert worst < 1e-5
    done = run(*fit, "--config", str(shared), *common, *strategy, "--trainer.max_epochs=2")
    assert done.returncode == 0 and "continuing from" in done.stdout, done.stdout[-3000:]
    assert checkpoint(tmp_path / "shared")["global_step"] == 8


@pytest.mark.slow
def test_the_sharded_layer_trains(tmp_path: Path) -> None:
    """The file as it is, on two processes: precision, strategy and its own list of callbacks."""
    config = configuration(tmp_path, max_epochs=1)
    run_folder = str(tmp_path / "run")
    arguments = [
        "--config", str(config), "--config", str(CLUSTER / "sharded.yaml"), "--trainer.accelerator=cpu",
        "--trainer.devices=2", "--trainer.strategy.init_args.data_parallel_size=2", "--effective_batch.windows=8",
        f"--trainer.default_root_dir={run_folder}",
    ]  # fmt: skip
    done = run("-m", "diffgmm.cli.main", "fit", *arguments)
    assert done.returncode == 0, done.stdout[-3000:]
    weights = checkpoint(tmp_path)["state_dict"]
    assert weights and all(value.dtype != torch.bfloat16 for value in weights.values())
    assert "the run is in" in done.stdout


@pytest.mark.slow
def test_shards_for_other_devices_are_refused_in_one_line(tmp_path: Path) -> None:
    config = configuration(tmp_path, max_epochs=1)
    layers = [
        "--config",
        str(config),
        "--config",
        str(CLUSTER / "sharded.yaml"),
        "--effective_batch.windows=8",
    ]
    done = run("-m", "diffgmm.cli.main", "fit", *layers, "--trainer.accelerator=cpu", "--trainer.devices=1")
    assert done.returncode == 1 and "Traceback" not in done.stdout, done.stdout[-3000:]
    assert "data_parallel_size=8" in done.stdout.splitlines()[-1]


def test_the_page_names_what_there_is() -> None:
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert links and [link for link in links if not (ROOT / "docs" / link).exists()] == []
    for flag in re.findall(r"--(effective_batch\.windows|last\.every_n_steps)", PAGE):
        assert flag in {"effective_batch.windows", "last.every_n_steps"}
    assert "\nbench-ddp:" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("block", re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_the_page_commands_run(block: str, tmp_path: Path) -> None:
    for loss, packages in NEEDED.items():
        for package in packages:
            pytest.importorskip(package, reason=f"base_16k.yaml needs the extra {loss}-loss")
    short = ["--data.corpus=mini", "--trainer.fast_dev_run=true", "--data.num_workers=0", "--data.valid_pairs=2",
             "--model.compile_network=false", "--effective_batch.windows=4"]  # fmt: skip
    for line in re.sub(r"\bwide\b", str(tmp_path / "wide"), block).splitlines():
        program, *words = (
            str(ROOT / one) if one.startswith("experiments/") else one for one in shlex.split(line)
        )
        assert program == "diffgmm" or words[:2] == ["-m", "experiments.release.grow"]
        called = ["-m", "diffgmm.cli.main", *words, *short] if program == "diffgmm" else words
        done = run(*called)
        assert done.returncode == 0, done.stdout[-3000:]
