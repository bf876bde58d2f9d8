"""What the image is: its files, its configuration, and what was sent to the builder."""

import json
import os
import re
import stat
import subprocess
import time
import tomllib
import unittest
from pathlib import Path

from harness import BINARY, FILES, IMAGE, PATIENCE, ROOT, Running, compose, podman, secret, tool


def files(folder):
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if not path.is_dir()}


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        about = json.loads(podman("image", "inspect", IMAGE).stdout)[0]
        cls.config = about["Config"]
        # podman shows it beside, Docker inside.
        cls.health_check = about.get("Healthcheck") or about["Config"]["Healthcheck"]

    def test_holds_the_program_and_its_licence_and_nothing_else(self):
        self.assertEqual(files(FILES), {"usr/local/bin/slidecar", "LICENSE"})
        for name in files(FILES):
            about = (FILES / name).stat()
            self.assertEqual((about.st_uid, about.st_gid), (0, 0), name)
            self.assertFalse(about.st_mode & (stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID), name)
        print(f"\n  the program has {BINARY.stat().st_size / 1e6:.1f} MB, profile {os.environ['PROFILE']}", flush=True)

    def test_is_static(self):
        head = subprocess.run([tool("readelf"), "-lW", BINARY], capture_output=True, text=True, check=True).stdout
        self.assertNotIn("INTERP", head)

    def test_was_compiled_with_the_settings_of_the_house(self):
        # .cargo/config.toml came along; RUSTFLAGS did not push it aside.
        settings = tomllib.loads((ROOT / ".cargo/config.toml").read_text())["env"]
        self.assertIn(settings["JEMALLOC_SYS_WITH_MALLOC_CONF"].encode(), BINARY.read_bytes())

    def test_runs_as_nobody_of_this_machine(self):
        self.assertEqual(self.config["User"], "65532:65532")
        self.assertEqual(self.config["User"], compose("compose.yaml")["user"])

    def test_starts_and_stops_as_documented(self):
        self.assertEqual(self.config["Entrypoint"], ["/usr/local/bin/slidecar"])
        self.assertFalse(self.config.get("Cmd"))
        self.assertEqual(self.config["StopSignal"], "SIGTERM")
        settings = dict(re.findall(r"^#(SLIDECAR_\w*LISTEN)=.*:(\d+)$", (ROOT / "config/slidecar.env").read_text(), re.M))
        self.assertEqual(set(self.config["ExposedPorts"]), {f"{port}/tcp" for port in settings.values()})

    def test_has_the_health_check_of_compose(self):
        self.assertEqual(self.health_check["Test"], compose("compose.yaml")["healthcheck"]["test"])

    def test_has_labels(self):
        label = "org.opencontainers.image."
        package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
        for name, value in {"title": package["name"], "version": package["version"], "licenses": package["license"]}.items():
            self.assertEqual(self.config["Labels"][label + name], value, f"the label {name} of the Dockerfile and Cargo.toml")
        self.assertIn(label + "revision", self.config["Labels"])
        self.assertIn(label + "description", self.config["Labels"])

    def test_sets_no_variable(self):
        self.assertEqual([name for name in self.config["Env"] if not name.startswith("PATH=")], [])

    def test_the_builder_gets_the_sources_and_nothing_else(self):
        allowed = re.compile(r"Cargo\.(toml|lock)|LICENSE|\.cargo/config\.toml|src/.*\.(rs|html|yaml)|client/dist/served/.*")
        self.assertEqual([name for name in files(os.environ["CONTEXT"]) if not allowed.fullmatch(name)], [])


class ColdStart(unittest.TestCase):
    def test_is_told(self):
        times = []
        for _ in range(9):
            begin = time.monotonic()
            run = Running([BINARY], env={
                "SLIDECAR_UPSTREAM": "http://127.0.0.1:9", "SLIDECAR_LISTEN": "127.0.0.1:0", "SLIDECAR_ADMIN_LISTEN": "127.0.0.1:0",
                "JWT_SECRET_FILE": str(secret()),
            })
            run.line('"listening"')
            times.append((time.monotonic() - begin) * 1000)
            run.kill()
        times.sort()
        self.assertLess(times[0], PATIENCE * 1000)
        print(f"\n  it listens after {times[0]:.0f} ms at best, {times[4]:.0f} ms in the middle, profile {os.environ['PROFILE']}", flush=True)
