"""The configuration of a rendered pod, read by the real sidecar as it would be in the pod: file, flags and environment."""
import functools
import pathlib
import subprocess
import tempfile

import tools

# Files that come from volumes, with what stands in for them.
FILES = {"/etc/molecule-token": "token", "/etc/molecule-ca": "ca.crt"}
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def flags(container):
    """What `run` is called with, without the file and without the agent's command."""
    words = (container.get("command") or []) + (container.get("args") or [])
    words = words[words.index("run") + 1:]
    if "--" in words:
        words = words[:words.index("--")]
    at = words.index("--config")
    return words[:at] + words[at + 2:]


def environment(pod):
    """Variables with their values, as far as they stand in the pod."""
    return [(name, entry["value"]) for name, entry in pod.variables(pod.sidecar).items() if "value" in entry]


@functools.lru_cache(None)
def check(text, words, variables, command):
    with tempfile.TemporaryDirectory(dir=tools.BUILD) as scratch:
        for directory, name in FILES.items():
            here = pathlib.Path(scratch) / pathlib.Path(directory).name
            here.mkdir()
            (here / name).write_text("a-token\n" if name == "token" else pathlib.Path(AUTHORITIES).read_text())
            text = text.replace(directory, str(here))
        file = pathlib.Path(scratch) / "config.yaml"
        file.write_text(text)
        done = subprocess.run([tools.SIDECAR, "check-config", *words, "--config", file, *command], capture_output=True, text=True,
                              env=dict(variables), timeout=tools.PROGRAM_SECONDS)
    return [] if done.returncode == 0 and not done.stderr else (done.stderr.strip().splitlines() or [f"ends with {done.returncode}"])


def complaints(pod):
    """Warnings count as well: the chart's own renderings deserve none."""
    text = pod.find("ConfigMap", pod.volumes["molecule-config"]["configMap"]["name"])["data"]["config.yaml"]
    command = ("--", "agent") if pod.wrapper else ()
    return check(text, tuple(flags(pod.sidecar)), tuple(environment(pod)), command)
