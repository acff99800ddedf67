"""Tests of the set-up.

They check the process manager's configuration, the package sources, and which folders may be
deleted.
"""

import configparser
import io
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import journal
from runtime.config import NodeConfig, from_environment, process_environment
from runtime.errors import HostLacks
from workers.setup import folders, strays
from workers.setup.bytecode import compile_folders
from workers.setup.processes import control_socket, programs, render
from workers.setup.python import lines_of, open_to_all, uv_settings
from workers.setup.running import hold_lock, running_pid
from workers.setup.steps import step

ROOT = Path(__file__).parents[3]
ROUTER = ["haproxy", "-W", "-f", "/var/lib/slipway/router/fixed.cfg"]


@pytest.fixture
def config(tmp_path):
    return NodeConfig(state=tmp_path / "state", run=tmp_path / "run")


def sections(config, *, private_redis=True):
    items = programs(config, venv=ROOT / ".venv", router=ROUTER, private_redis=private_redis)
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(render(config, items, root=ROOT))
    return parsed


def test_six_processes_are_kept_running(config):
    parsed = sections(config)
    names = [
        name.removeprefix("program:") for name in parsed.sections() if name.startswith("program:")
    ]
    assert names == ["redis", "router", "portal", "worker-build", "worker-node", "supervisor"]
    for name in names:
        assert parsed[f"program:{name}"]["autorestart"] == "true"
        assert int(parsed[f"program:{name}"]["startretries"]) > 10_000


def test_with_an_external_redis_no_private_redis_runs(config):
    assert not sections(config, private_redis=False).has_section("program:redis")


def test_processes_that_face_the_network_are_not_root(config):
    parsed = sections(config)
    for name in ("redis", "portal"):
        assert "--reuid=slipway" in parsed[f"program:{name}"]["command"]
        assert "--no-new-privs" in parsed[f"program:{name}"]["command"]


def test_only_the_router_outlives_its_manager(config):
    parsed = sections(config)
    outlive = {
        name
        for name in parsed.sections()
        if name.startswith("program:") and "--pdeathsig TERM" not in parsed[name]["command"]
    }
    assert outlive == {"program:router"}


def test_the_portal_has_a_process_per_core_up_to_four_with_shared_imports(config):
    portal = sections(config)["program:portal"]
    workers = min(os.cpu_count() or 1, 4)
    assert f"--workers={workers} " in portal["command"]
    assert "--preload" in portal["command"]
    assert f'SLIPWAY_PORTAL_WORKERS="{workers}"' in portal["environment"]


def test_the_number_of_portal_processes_is_a_setting(config):
    assert (
        "--workers=7 " in sections(replace(config, portal_workers=7))["program:portal"]["command"]
    )
    assert from_environment({"SLIPWAY_PORTAL_WORKERS": "7"}).portal_workers == 7
    with pytest.raises(HostLacks, match="SLIPWAY_PORTAL_WORKERS"):
        from_environment({"SLIPWAY_PORTAL_WORKERS": "none"})


def test_a_percent_sign_in_a_path_survives_the_manager(tmp_path):
    config = NodeConfig(state=tmp_path / "100%", run=tmp_path / "run")
    items = programs(config, venv=ROOT / ".venv", router=ROUTER, private_redis=True)
    assert "100%%" in render(config, items, root=ROOT)


def test_modules_are_compiled_in_any_shell_and_a_broken_one_is_left_out(tmp_path):
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("x = = 1\n")
    compile_folders((tmp_path,), {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert [path.name.split(".")[0] for path in (tmp_path / "__pycache__").iterdir()] == ["good"]


def test_pips_settings_are_passed_to_uv():
    environment = uv_settings(
        "global.index-url='https://mirror.internal/simple'\n"
        "global.extra-index-url='https://a.internal/simple\\nhttps://b.internal/simple'\n"
        "global.find-links='/srv/wheels'\nglobal.timeout='60'\n:env:.cert='/etc/ca.pem'\nglobal.cert='/old.pem'\n"
    )
    assert environment["UV_DEFAULT_INDEX"] == "https://mirror.internal/simple"
    assert environment["UV_INDEX"].split() == [
        "https://a.internal/simple",
        "https://b.internal/simple",
    ]
    assert environment["UV_FIND_LINKS"] == "/srv/wheels"
    assert environment["SSL_CERT_FILE"] == "/etc/ca.pem"


def test_without_pip_settings_uv_gets_none():
    assert uv_settings("") == {}


def test_the_lock_is_read_with_its_hashes():
    lock = (
        "a==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via x\nuv==2 \\\n   "
        " --hash=sha256:cc\nz==3 --hash=sha256:dd\n"
    )
    assert lines_of("a", lock).count("--hash") == 2
    assert lines_of("uv", lock) == "uv==2 \\\n    --hash=sha256:cc\n"
    assert lines_of("z", lock) == "z==3 --hash=sha256:dd\n"
    with pytest.raises(HostLacks, match="does not pin b"):
        lines_of("b", lock)


def test_a_folder_below_a_closed_one_is_not_open_to_all(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "python").write_text("")
    assert not open_to_all(tmp_path / "closed" / "python")
    assert open_to_all(Path("/bin/sh"))


def test_the_environments_own_python_leads_to_its_base_interpreter(tmp_path):
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", tmp_path], check=True)
    asked = "from workers.setup.python import suitable_interpreter; print(suitable_interpreter())"
    found = {
        subprocess.check_output([python, "-c", asked], cwd=ROOT)
        for python in ("/usr/bin/python3", tmp_path / "bin" / "python3")
    }
    assert len(found) == 1, found


def test_settings_come_from_the_file_and_the_shell_wins(tmp_path, monkeypatch):
    file = tmp_path / ".env"
    file.write_text(
        '# a remark\n\nSLIPWAY_HTTP_PORT=9000\nSLIPWAY_SCHEME = "http"\nexport SLIPWAY_USER=me\n'
    )
    monkeypatch.setenv("SLIPWAY_SCHEME", "https")
    read = process_environment(file)
    assert (read["SLIPWAY_HTTP_PORT"], read["SLIPWAY_SCHEME"], read["SLIPWAY_USER"]) == (
        "9000",
        "https",
        "me",
    )


def test_a_line_that_is_not_a_setting_is_named(tmp_path):
    (tmp_path / ".env").write_text("SLIPWAY_HTTP_PORT=1\nport 80\n")
    with pytest.raises(HostLacks, match="Line 2"):
        process_environment(tmp_path / ".env")


@given(
    st.text(
        alphabet=st.characters(
            blacklist_categories=["Cc", "Cs", "Zl", "Zp"], blacklist_characters="\"' \u00a0\x85"
        ),
        max_size=30,
    )
)
def test_any_value_without_quotes_is_read_as_written(value):
    file = Path(os.devnull).with_name("shm") / f"slipway-env-{os.getpid()}"
    try:
        file.write_text(f"ODD_VALUE_OF_A_TEST={value}\n")
        assert process_environment(file)["ODD_VALUE_OF_A_TEST"] == value.strip()
    finally:
        file.unlink()


def test_every_setting_of_the_node_is_explained():
    text = (ROOT / ".env.example").read_text()
    for field in NodeConfig.__dataclass_fields__:
        assert f"\nSLIPWAY_{field.upper()}=" in text
    assert text.count("\nDATABASE_URL=") == text.count("\nREDIS_URL=") == 1


def test_a_folder_without_slipways_mark_is_never_deleted(config):
    config.state.mkdir()
    (config.state / "thesis.txt").write_text("the only copy")
    with pytest.raises(HostLacks, match="Slipway did not create it"):
        folders.delete_state(config)
    assert (config.state / "thesis.txt").exists()


def test_a_second_platform_is_noticed_by_the_lock_of_the_first(config):
    assert running_pid(config) is None
    config.run.mkdir()
    with hold_lock(config):
        code = (
            "from runtime.config import NodeConfig; from pathlib import Path; from"
            " workers.setup.running import running_pid;"
            f" print(running_pid(NodeConfig(run=Path({str(config.run)!r}))))"
        )
        seen = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    assert seen.strip() == str(os.getpid())
    assert running_pid(config) is None
    with journal.lock(config.run / "up.lock", blocking=False) as free:
        assert free


def test_a_step_is_one_line_and_a_failed_step_shows_its_output():
    quiet, loud = io.StringIO(), io.StringIO()
    with step("Fetch", quiet) as current:
        current.output(b"noise")
    with pytest.raises(HostLacks), step("Break", loud) as current:
        current.output(b"what went wrong")
        raise HostLacks("x")
    assert quiet.getvalue().count("\n") == 1
    assert "noise" not in quiet.getvalue()
    assert "failed\n    what went wrong\n" in loud.getvalue()


def test_only_the_processes_of_a_killed_manager_are_ended(config):
    mark = {"SUPERVISOR_SERVER_URL": f"unix://{control_socket(config)}"}
    asleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    left = subprocess.Popen([*asleep, "-m", "gunicorn"], env=mark)
    others = subprocess.Popen(
        [*asleep, "-m", "gunicorn"], env={"SUPERVISOR_SERVER_URL": "unix:///elsewhere.sock"}
    )
    monitor = subprocess.Popen([*asleep, "conmon"], env=mark)
    try:
        assert strays.programs(config) == [left.pid]
        ended = threading.Thread(target=strays.end, args=(strays.programs(config),))
        ended.start()
        assert left.wait(20) == -signal.SIGTERM
        ended.join()
        assert (others.poll(), monitor.poll()) == (None, None)
    finally:
        for process in (left, others, monitor):
            process.kill()
            process.wait()
