"""Pages inside Airflow's UI: where the pictures go, what became of each stage of a run, its report, and how the model is doing."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from pomona.command import run_key
from pomona.outcome import BadInput
from pomona.stages import ROLLBACK, SCORE, STAGES, TIDY
from pomona_airflow.deployment import Deployment
from pomona_airflow.links import PREFIX
from pomona_airflow.settings.checks import BadSetting

if TYPE_CHECKING:
    from pomona.lake import Lake

app = FastAPI(title="Pomona", openapi_url=None)

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font-size: .9em; background: #8882; border-radius: 4px; padding: .1em .3em }
pre { padding: .8em 1em; overflow-x: auto }
h1 { font-size: 1.4rem; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .35em .8em .35em 0; border-bottom: 1px solid #8884; vertical-align: top }
.done { color: #2a8a3c } .fault, .bad_input { color: #c0392b } .nothing_new, .refused { color: #b07d12 }
"""
# What is shown holds labels and file names that anybody may have chosen: nothing in it may run or load anything.
_POLICY = {"Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'"}

_HEALTH = "health/health.html"


def _page(title: str, body: str) -> HTMLResponse:
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
    return HTMLResponse(f"{head}<h1>{escape(title)}</h1>{body}", headers=_POLICY)


def _unreachable(request: Request, fault: Exception) -> Response:
    """What is wrong with the lake or the settings, in its own line."""
    answer = _page("Pomona", f"<p>{escape(str(fault))}")
    answer.status_code = 503
    return answer


def _tell_of_faults() -> None:
    from pomona.store_faults import StoreAway

    for fault in (BadInput, BadSetting, StoreAway):
        app.add_exception_handler(fault, _unreachable)


_tell_of_faults()


@app.get("/")
def start(user: GetUserDep) -> HTMLResponse:
    """What to do next: where the landing zone is, whether anything is in it, how folders become labels, the champion, the latest runs."""
    deployment = Deployment.from_environment()
    return _page(f"Pomona: {deployment.name}", landing_text(deployment) + _champion(deployment) + _health(deployment) + _runs(deployment))


@app.get("/runs/{run}")
def run(run: str, user: GetUserDep) -> HTMLResponse:
    """One line for each stage of the run, or for the job that it was."""
    key, lake = run_key(run), _lake(Deployment.from_environment())
    rows = []
    # Runs of two DAGs that a schedule began in the same second have one name.
    alone = {job.name: job for job in (SCORE, ROLLBACK, TIDY) if lake.outcome(key, job.name)}
    stages = {} if alone and not lake.outcome(key, next(iter(STAGES))) else STAGES
    for stage, declared in {**alone, **stages}.items():
        outcome = lake.outcome(key, stage)
        state, line, seconds = (
            (outcome["status"], outcome["line"], f"{outcome['seconds']:.1f} s") if outcome else ("", f"not yet: {declared.help}", "")
        )
        rows.append(f"<tr><td>{stage}<td class={escape(state)}>{escape(state.replace('_', ' '))}<td>{escape(line)}<td>{seconds}")
    report = f"<p><a href='{PREFIX}/runs/{key}/report' target=_blank>The report</a>" if lake.exists(_report(key)) else ""
    notes = (lake.document(f"{lake.run_folder(key)}/manifests/ingest.json") or {}).get("notes", {})
    cause = f"<p>Started by: {escape(notes['started_by'])}" if notes.get("started_by") else ""
    place = f"<p>Its files: <code>{escape(lake.location(lake.run_folder(key)))}</code>"
    return _page(f"Run {key}", f"<table><tr><th>stage<th>outcome<th><th>{''.join(rows)}</table>{cause}{report}{place}")


@app.get("/runs/{run}/report")
def report(run: str, user: GetUserDep) -> Response:
    """The run's report as `register` wrote it."""
    key, lake = run_key(run), _lake(Deployment.from_environment())
    if not lake.exists(_report(key)):
        raise HTTPException(404, f"run {key} has no report: its stage register has not ended")
    return HTMLResponse(lake.get(_report(key)), headers=_POLICY)


@app.get("/health")
def health(user: GetUserDep) -> Response:
    """The monitoring page as the last job *score* or `make health` wrote it."""
    lake = _lake(Deployment.from_environment())
    if not lake.exists(_HEALTH):
        raise HTTPException(404, f"{lake.name} has no monitoring page yet: the DAG score writes it, or `make health`")
    return HTMLResponse(lake.get(_HEALTH), headers=_POLICY)


def _lake(deployment: Deployment) -> Lake:
    from pomona.lake import Lake

    return Lake(deployment.lake, deployment.name, deployment.s3)


def _report(key: str) -> str:
    return f"runs/{key}/report.html"


def landing_text(deployment: Deployment) -> str:
    """HTML that says where the pictures go, whether there are any, and when they start a run."""
    landing = deployment.landing
    state = "is where the pictures arrive."
    if deployment.landing_is_empty:
        state = "<b>is empty.</b> Put pictures there."
    return f"""<p>The landing zone <code>{escape(landing)}</code> {state}
<p>The first folder below <code>Training</code> or <code>Test</code> is the label; without these two a part of the pictures
is held back for the test.
<pre>{escape(landing)}/Training/apple/one.jpg
{escape(landing)}/Training/pear/two.jpg
{escape(landing)}/Test/apple/three.jpg</pre>
<p>Then switch on <a href='/dags/retrain' target=_top>Retrain</a>, which starts paused: {_starts(deployment)}
<b>Trigger</b> starts one at once.
No pictures at hand? <code>make run</code> draws some."""


def _starts(deployment: Deployment) -> str:
    """What starts a run by itself."""
    watch, schedule = deployment.watch, escape(deployment.schedule)
    cron = f" It also runs by its schedule, <code>{schedule}</code>." if schedule else ""
    if not watch.poll_s:
        return f"new pictures wait for a run, nobody watches for them.{cron}"
    return (
        f"a run starts by itself when {watch.min_new_images:,} new pictures have arrived and none came for {watch.settle_s:,} s, "
        f"or when the oldest has waited {watch.max_wait_s:,} s.{cron}"
    )


def _champion(deployment: Deployment) -> str:
    """Which version is champion as the ledger last knew it: MLflow itself is not asked, the page must not wait for it."""
    from pomona import reigns

    documents = _lake(deployment).entries("promotions")
    return f"<h2>Champion</h2><p>{escape(reigns.served(deployment.name, documents))}" if documents else ""


def _health(deployment: Deployment) -> str:
    """Where the monitoring page is, once there is one."""
    if not _lake(deployment).exists(_HEALTH):
        return ""
    return f"<p><a href='{PREFIX}/health' target=_blank>How it is doing</a>: champions, images, scores and drift over time"


def _runs(deployment: Deployment) -> str:
    """The latest runs of this name."""
    names = _lake(deployment).folders("runs")
    # A run's id ends with its time, whatever started it.
    latest = sorted(names, key=lambda name: name.rpartition("__")[2], reverse=True)[:20]
    items = "".join(f"<li><a href='{PREFIX}/runs/{escape(name)}'>{escape(name)}</a>" for name in latest)
    return f"<h2>Runs</h2><ul>{items}</ul>" if latest else ""
