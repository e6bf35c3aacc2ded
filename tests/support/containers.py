"""The services of deploy/compose.yaml without an engine, for none runs in the tests: each in a root of its own, put together as
Docker Compose says it would be.

Rule: what Compose makes of the file (`docker-compose config`) decides, not the file as we read it: user, read-only root, tmpfs,
volumes, secrets under /run/secrets, environment, no capability, no new privilege. The programs are those of the lab and of this
environment in place of the images'. Needs root.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.debian import PREFIX, environment
from support.installed import program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["COMPOSE", "Composition", "compose", "configured"]

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy" / "compose.yaml"


def compose(*words: str | Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Docker Compose on the file; only what needs no engine."""
    argv = [program().with_name("docker-compose"), "--file", COMPOSE, *words]
    environ = {"PATH": os.environ["PATH"], "HOME": "/nowhere", **(environ or {})}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)


def configured(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file as Compose understands it, every path absolute."""
    done = compose("config", "--format", "json", environ=environ)
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


class Composition:
    """The services in one folder: their volumes outlive each start, as an engine's would."""

    def __init__(self, made: Mapping[str, Any], folder: Path) -> None:
        self._made = made
        self._folder = folder
        self._starts = 0

    def argv(self, service: str, words: Sequence[str | Path]) -> list[str]:
        """What runs `words` as the service would: by its user, in its root. The network is the caller's."""
        settings = self._made["services"][service]
        self._starts += 1
        work = self._folder / f"{service}-{self._starts}"
        root = work / "root"
        root.mkdir(parents=True)
        user, _, group = settings["user"].partition(":")
        lines = [
            "set -eu",
            f"mount -t tmpfs tmpfs {work}",
            f"mkdir {root} {work}/upper {work}/work",
            f"mount -t overlay overlay -o lowerdir=/,upperdir={work}/upper,workdir={work}/work {root}",
            f"mount -t overlay overlay -o lowerdir={PREFIX}/usr:/usr {root}/usr",
            *(f"mount --rbind /{name} {root}/{name}" for name in ("proc", "dev")),
            *self._passable(root),
            *(f"echo 127.0.0.1 {name} >>{root}/etc/hosts" for name in self._made["services"]),
            *(line for mount in settings["tmpfs"] for line in self._tmpfs(root, mount, f"{work}/hidden")),
            *(line for mount in self._volumes(settings, int(user), int(group)) for line in self._bind(root, *mount)),
            f"mount -o remount,ro {root}" if settings["read_only"] else "true",
        ]
        variables = {**environment(), **settings.get("environment", {})}
        path = f"{program().parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        kept = {"PATH": path, "LD_LIBRARY_PATH": variables.get("LD_LIBRARY_PATH", "")} | settings.get("environment", {})
        rights = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--pdeathsig=KILL"]
        command = [
            *("chroot", root, "setpriv", f"--reuid={user}", f"--regid={group}", *rights),
            *("env", "-i", *(f"{name}={value}" for name, value in kept.items()), *words),
        ]
        lines.append("exec " + shlex.join(str(word) for word in command))
        script = self._folder / f"{service}-{self._starts}.sh"
        script.write_text("\n".join(lines) + "\n")
        return ["unshare", "--mount", "sh", str(script)]

    @staticmethod
    def _passable(root: Path) -> list[str]:
        """Everybody may pass to the interpreter and to this environment, wherever they are."""
        ways = {*Path(sys.base_prefix).parents, *program().parents, *PREFIX.parents} - {Path("/")}
        return [f"chmod a+x {root}{way}" for way in sorted(ways)]

    @staticmethod
    def _tmpfs(root: Path, mount: str, aside: str) -> list[str]:
        """A file system in memory; a checkout that lies below its place, in /tmp say, is brought back to where it was."""
        target, _, options = mount.partition(":")
        lines = [f"mkdir -p {root}{target}", f"mount -t tmpfs -o {options or 'rw'} tmpfs {root}{target}"]
        if not ROOT.is_relative_to(target):
            return lines
        before = [f"mkdir -p {aside}", f"mount --bind {root}{ROOT} {aside}"]
        return [*before, *lines, f"mkdir -p {root}{ROOT}", f"mount --bind {aside} {root}{ROOT}"]

    def _volumes(self, settings: Mapping[str, Any], user: int, group: int) -> list[tuple[Path, str, bool]]:
        """Source, target and whether it may be written, of each mount and secret.

        A new volume belongs to the user, as the folder in its image does.
        """
        mounts = []
        for volume in settings.get("volumes", ()):
            source = Path(volume["source"])
            if volume["type"] == "volume":
                source = self._folder / "volumes" / volume["source"]
                if not source.exists():
                    source.mkdir(parents=True)
                    os.chown(source, user, group)
            mounts.append((source, volume["target"], not volume.get("read_only", False)))
        for secret in settings.get("secrets", ()):
            file = Path(self._made["secrets"][secret["source"]]["file"])
            mounts.append((file, f"/run/secrets/{secret['target']}", False))
        return mounts

    @staticmethod
    def _bind(root: Path, source: Path, target: str, writable: bool) -> list[str]:
        place = f"{root}{target}"
        make = f"mkdir -p {place}" if source.is_dir() else f"mkdir -p {Path(place).parent} && touch {place}"
        lines = [make, f"mount --bind {source} {place}"]
        return lines if writable else [*lines, f"mount -o remount,bind,ro {place}"]
