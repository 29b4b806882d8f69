"""`make demo`: a model's whole life on a drawn orchard, in an Airflow of its own: scenes that happen, while their pages can be looked at.

Exit code 0: every scene happened; 1: one did not, and a line says which log to read; 2: it cannot begin; 130: Ctrl-C. However it ends,
nothing that it started is left running; what it made lies in its folder until the next demo.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pomona_airflow.deployment import PROJECT, Deployment, NotReady, dotenv
from pomona_airflow.settings.checks import BadSetting
from run import services
from run.chain import Refused, interrupt
from run.life import Life
from run.rest import Rest
from run.scenes import SCENES
from run.screen import Failed, Screen, minutes

NAME = "demo"
# Also the lock of whoever plays in the folder, and what tells it from a folder of somebody's own.
MARK = "made-by-make-demo"
SETTINGS = "settings.env"
_DRAW_S = 300.0


def main(words: Sequence[str]) -> int:
    """See the module for the codes."""
    parser = argparse.ArgumentParser(prog="make demo", description="A model's whole life on a drawn orchard, in under ten minutes.")
    parser.add_argument("--folder", default="", help="where it plays; by default demo/life in the state folder")
    given = parser.parse_args(words)
    signal.signal(signal.SIGTERM, interrupt)
    screen = Screen(sys.stdout)
    try:
        given_state = {**dotenv(PROJECT / ".env"), **os.environ}.get("POMONA_STATE", "")
        state = Deployment.from_environment({"POMONA_STATE": given_state}).state
        folder = Path(given.folder).expanduser().absolute() if given.folder else state / "demo" / "life"
        with claimed(folder):
            use(settings(folder, ports=services.free_ports(4), now=datetime.now(UTC)))
            return play(folder, Deployment.from_environment(), screen, shared=state / "spark")
    except (Refused, BadSetting, NotReady) as error:
        print(error, file=sys.stderr)
        return 2
    except (Failed, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing is left running", file=sys.stderr)
        return 130


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The folder is this demo's alone meanwhile.

    Raises
    ------
    Refused
        When another demo plays there, or it holds what no demo made.
    """
    mark = folder / MARK
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not mark.exists())):
        raise Refused(f"DEMO={folder} is no folder that a demo made: give an empty or a new one, for all in it would be removed")
    folder.mkdir(parents=True, exist_ok=True)
    with mark.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another make demo is at work in {folder}: wait for its end, or give DEMO=another-folder") from None
        yield


def settings(folder: Path, *, ports: Sequence[int], now: datetime) -> dict[str, str]:
    """The demo's own deployment; what `.env` sets beside is emptied, so that the defaults hold.

    Parameters
    ----------
    ports : four free ones
    now : in UTC
    """
    airflow, mlflow, serve, history = (str(port) for port in ports)
    own = {
        "POMONA_NAME": NAME,
        "POMONA_LANDING": str(folder / "landing"),
        "POMONA_LAKE": str(folder / "lake"),
        "POMONA_TRACKING": f"sqlite:///{folder / 'mlflow.db'}",
        "POMONA_STATE": str(folder / "state"),
        # Whatever arrives starts a run as soon as it lies still: nobody likes to wait for a demo.
        "POMONA_MIN_NEW_IMAGES": "1",
        "POMONA_SETTLE_S": "4",
        "POMONA_POLL_S": "2",
        "POMONA_SPARK_EVENTS": "none",
        # The first pictures without a label fill two windows: one that looks strange may be chance, two are an episode.
        "POMONA_DRIFT_WINDOW": "44",
        "POMONA_DRIFT_GROUPS": "9",
        # Far from now: new models start `score`, and the demo does.
        "POMONA_SCORE_SCHEDULE": f"0 {(now + timedelta(hours=12)).hour} * * *",
        "POMONA_AIRFLOW_PORT": airflow,
        "POMONA_MLFLOW_PORT": mlflow,
        "POMONA_SERVE_PORT": serve,
        "POMONA_HISTORY_PORT": history,
    }
    others = {name: "" for name in dotenv(PROJECT / ".env") if name.startswith("POMONA_")}
    return {**others, **own}


def use(own: Mapping[str, str]) -> None:
    """Makes these the settings of this process and of all that it starts; those of another Airflow and of the user's Pomona are gone."""
    for name in [name for name in os.environ if name.startswith(("POMONA_", "AIRFLOW"))]:
        del os.environ[name]
    os.environ |= own


def play(folder: Path, deployment: Deployment, screen: Screen, *, shared: Path) -> int:
    """0 once every scene has happened; `shared` is where Spark's class archive lies for all deployments, which takes a while to make."""
    began = time.monotonic()
    screen.say(f"A model's life on a drawn orchard. All of it lies in {folder}; nothing of it runs on when this command ends.")
    up = fresh(folder, deployment, screen, shared=shared)
    life = Life(deployment, Rest(up.urls["Airflow"]), screen, folder / "drawn", up.home.folder / "logs", up.home.folder / "services")
    took: dict[str, float] = {}
    with drawing(life.drawn) as drawn:
        try:
            services.bring_up(up, tell=lambda line: screen.say(line, indent="   "), bound=True)
            screen.until(drawn, limit_s=_DRAW_S, log=life.drawn.with_suffix(".log"))
            for page, url in up.urls.items():
                screen.row(page, url)
            took["Airflow and MLflow come up, the orchard is drawn"] = time.monotonic() - began
            for number, (title, scene) in enumerate(SCENES.items(), start=1):
                started = time.monotonic()
                screen.title(number, title)
                scene(life)
                took[title] = time.monotonic() - started
                screen.row("", minutes(took[title]))
        finally:
            services.down(up, quiet=True)
    _end(life, folder, took, time.monotonic() - began)
    return 0


def fresh(folder: Path, deployment: Deployment, screen: Screen, *, shared: Path) -> services.Services:
    """The services of the deployment, in a folder that holds nothing of an earlier demo any more, and their settings for people."""
    earlier = [entry for entry in folder.iterdir() if entry.name != MARK]
    if earlier:
        screen.say("What the last demo left is removed.", indent="   ")
        # It may be up: by `make up` with its settings.
        services.down(services.Services.of(deployment), quiet=True)
    for entry in earlier:
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for place in (shared, deployment.state):
        place.mkdir(parents=True, exist_ok=True)
    (deployment.state / "spark").symlink_to(shared)
    ours = (f"{name}={shlex.quote(value)}" for name, value in sorted(os.environ.items()) if name.startswith("POMONA_"))
    (folder / SETTINGS).write_text("\n".join([*ours, ""]))
    return services.Services.of(deployment)


@contextmanager
def drawing(folder: Path) -> Iterator[Callable[[], bool | str]]:
    """Draws the parcels into the folder meanwhile; what is given says True once the last picture lies there, and a text before."""
    log = folder.with_suffix(".log")
    with log.open("w") as out:
        command = [sys.executable, "-m", "demo.parcels", str(folder)]
        process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def drawn() -> bool | str:
        if process.poll() is None:
            return "the pictures are drawn"
        if process.returncode:
            raise Failed(f"the pictures could not be drawn: see {log}")
        return True

    try:
        yield drawn
    finally:
        process.kill()
        process.wait()


def _end(life: Life, folder: Path, took: Mapping[str, float], seconds: float) -> None:
    """Shows how long each scene took, and where everything lies."""
    screen, lake = life.screen, life.lake
    screen.say()
    screen.say(f"A life in {minutes(seconds)}, and nothing of it runs on.")
    for title, each in took.items():
        screen.say(f"{minutes(each):<12}{title}", indent="   ")
    screen.say()
    pages = {
        "report": f"runs/{lake.entries('judged')[-1]['run']}/report.html",
        "labelling": "queue/queue.html",
        "health": "health/health.html",
    }
    for name, path in pages.items():
        if lake.exists(path):
            screen.row(name, lake.location(path))
    screen.row("again", f"set -a; . {shlex.quote(str(folder / SETTINGS))}; set +a; then make up, make served, make serve work on it")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
