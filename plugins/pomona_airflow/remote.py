"""A stage's job on machines that are not the task's: found by its name or submitted, waited for, and ended with its task.

A task may die between submitting and writing down what it submitted. So nothing is written down: a job's name is a function of the
run, the stage and how often the task was cleared, and whoever comes next finds the live one. What an engine adds is in its own file.
"""

from __future__ import annotations

import hashlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from airflow.sdk.exceptions import AirflowException

from pomona_airflow.deployment import Deployment, NotReady

LOG = logging.getLogger(__name__)
_TAIL_LINES = 40


State = Literal["live", "succeeded", "failed"]


@dataclass(frozen=True)
class RemoteJob:
    """A step or job run as the service tells of it: `place` is its cluster or application, `said` the service's own word and reason."""

    place: str
    id: str
    name: str
    state: State
    said: str

    @property
    def live(self) -> bool:
        return self.state == "live"


class RemoteEngine(ABC):
    """What a service that runs jobs has to offer."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    @abstractmethod
    def place(self, run: str, job: str) -> str:
        """The cluster or application on which this job of the run works.

        Raises
        ------
        NotReady
            When there is none.
        """

    @abstractmethod
    def jobs(self, place: str, name: str) -> list[RemoteJob]:
        """All jobs of the name, the oldest first."""

    @abstractmethod
    def submit(self, place: str, name: str, words: Sequence[str], *, ended: int) -> str:
        """The id of a new job; `ended` is how many of the name there have been."""

    @abstractmethod
    def look(self, job: RemoteJob) -> RemoteJob:
        """The job as it is now; one that the service has forgotten has failed."""

    @abstractmethod
    def cancel(self, job: RemoteJob) -> None:
        """Asks the service to end the job."""

    @abstractmethod
    def usage(self, job: RemoteJob) -> dict[str, Any]:
        """What the job has used, as the lake keeps it for the report."""

    @abstractmethod
    def tail(self, job: RemoteJob, n_lines: int) -> list[str]:
        """The last lines of the driver's log in the service's log folder, which may come minutes later or never."""

    def run(self, job: str, words: Sequence[str]) -> int:
        """The exit code, 0 or 1, of a job that belongs to no run: the probe of the settings, what a command gives. Ctrl-C ends the job."""
        place = self.place("", job)
        found = RemoteJob(place, self.submit(place, job, words, ended=0), job, "live", "submitted")
        try:
            while found.live:
                time.sleep(self.deployment.emr.poll_s)
                found = self.look(found)
        except KeyboardInterrupt:
            Errand(self, words[words.index("--run") + 1], words[0], job).end(found)
            raise
        LOG.info("%s ended: %s", job, found.said)
        return 0 if found.state == "succeeded" else 1

    @abstractmethod
    def pages(self, job: RemoteJob) -> dict[str, str]:
        """Addresses for people, by what is to be seen there."""


@dataclass
class Errand:
    """One stage of one run under one name, on behalf of this try of its task if any; `words(asked)` gives the job's arguments."""

    engine: RemoteEngine
    run: str
    stage: str
    name: str
    attempt: int | None = None

    def start(self, words: Callable[[int], Sequence[str]]) -> RemoteJob:
        """The live job of the name, submitted if there is none; of several the oldest stays, whoever submitted it."""
        from pomona.errand import n_asked

        engine, place = self.engine, self.engine.place(self.run, self.stage)
        if self.attempt is not None:
            self._lake.put_document(self._waiting, {"attempt": self.attempt})
        before = engine.jobs(place, self.name)
        live = [job for job in before if job.live]
        if live:
            LOG.info("%s: %s is at work already", self.name, live[0].id)
        else:
            submitted = engine.submit(place, self.name, words(n_asked(self._lake, self.run, self.name)), ended=len(before))
            LOG.info("%s: submitted as %s", self.name, submitted)
            live = self._live(place) or [RemoteJob(place, submitted, self.name, "live", "submitted")]
            if live[0].id != submitted:
                LOG.info("%s: %s was submitted at the same time and stays", self.name, live[0].id)
        for copy in live[1:]:
            engine.cancel(copy)
        return live[0]

    def _live(self, place: str) -> list[RemoteJob]:
        """The live jobs of the name, the oldest first; none when the service cannot be asked just now."""
        try:
            return [job for job in self.engine.jobs(place, self.name) if job.live]
        except Exception as error:
            if not passes(error):
                raise
            return []

    def wait(self, job: RemoteJob, *, told: int = 0) -> RemoteJob:
        """The job once it has ended; meanwhile what it says goes to the task's log. `told` is how much of it went there before."""
        while True:
            told = self.tell(told)
            job = self.looked(job)
            if not job.live:
                self.tell(told)
                return job
            time.sleep(self.engine.deployment.emr.poll_s)

    def looked(self, job: RemoteJob) -> RemoteJob:
        """The job as it is now; as it was when the service cannot be asked, and another of its name where this one was only a copy."""
        try:
            now = self.engine.look(job)
            if now.state == "succeeded" and self.settled() is None:
                return next(iter(self._live(now.place)), now)
            return now
        except Exception as error:
            if not passes(error):
                raise
            LOG.warning("%s: cannot be looked at now (%s), looking again", self.name, error)
            return job

    def tell(self, told: int) -> int:
        """Logs what the job has said in the lake since the first `told` characters; how many they are now."""
        from pomona.errand import log

        try:
            text = log(self._lake, self.run, self.name)
        except Exception as error:
            if not passes(error):
                raise
            return told
        for line in text[told if told <= len(text) else 0 :].splitlines():
            LOG.info("%s", line)
        return len(text)

    def end(self, job: RemoteJob) -> None:
        """Ends the job: by the note that it looks for, and by the service, so that one that waits never starts.

        It goes on when a later try of the task waits for it: Airflow takes a worker that stood still for dead, tries again, and
        ends the first when it moves.
        """
        from pomona.errand import ask_to_end

        waiting = self._lake.document(self._waiting) if self.attempt is not None else None
        if waiting and waiting["attempt"] > self.attempt:
            LOG.info("%s: %s goes on, try %d of its task waits for it", self.name, job.id, waiting["attempt"])
            return
        found = {job.id: job, **{other.id: other for other in self._live(job.place)}}
        asks: list[Callable[[], None]] = [partial(ask_to_end, self._lake, self.run, self.name)]
        asks += [partial(self.engine.cancel, one) for one in found.values()]
        for ask in asks:
            try:
                ask()
            except Exception as error:
                # Either way alone ends the job, if later.
                if not passes(error):
                    raise
                LOG.warning("%s: %s may end later than asked (%s)", self.name, job.id, error)
        LOG.info("%s: %s was asked to end", self.name, job.id)

    def settled(self) -> dict[str, Any] | None:
        """What became of the job, if it needs no other try."""
        from pomona.errand import settled

        return settled(self._lake, self.run, self.stage, self.name)

    def closed(self, job: RemoteJob) -> dict[str, Any] | None:
        """The outcome of the ended job, with the manifest where it is a success; its use is kept for the report.

        Raises
        ------
        AirflowException
            When it ended without a word of its own; the service's log is shown as far as it is there.
        """
        outcome = self.settled()
        if job.state == "succeeded" or outcome is None:
            LOG.info("%s: %s ended: %s", self.name, job.id, job.said)
        self._keep_usage(job)
        if outcome is not None:
            return outcome
        left: Mapping[str, Any] | None = self._lake.outcome(self.run, self.stage)
        if left is not None and left.get("job") == self.name and left["status"] == "fault":
            self._show_tail(job)
            return dict(left)
        self._show_tail(job)
        raise AirflowException(f"{self.stage}: {job.id} ended ({job.said}) and left no manifest: trying again does the stage anew")

    def pages(self, job: RemoteJob) -> dict[str, str]:
        """Addresses for people; none when the service cannot be asked just now."""
        try:
            return self.engine.pages(job)
        except Exception as error:
            if not passes(error):
                raise
            return {}

    def _show_tail(self, job: RemoteJob) -> None:
        lines = self.engine.tail(job, _TAIL_LINES)
        if lines:
            LOG.info("the end of the driver's log:\n%s", "\n".join(lines))

    def _keep_usage(self, job: RemoteJob) -> None:
        """What a stage costs is told beside its time; that it cannot be asked for ends no run."""
        try:
            usage = {**self.engine.usage(job), "job": self.name}
        except Exception as error:  # noqa: BLE001 (the job has ended: whatever is wrong with its bill changes nothing of that)
            LOG.warning("%s: what it used cannot be told (%s: %s)", self.name, type(error).__name__, error)
            return
        self._lake.put_document(f"{self._lake.run_folder(self.run)}/usage/{self.stage}.json", usage)

    @property
    def _waiting(self) -> str:
        """Where the latest try that waits for the job says so."""
        return f"runs/{self.run}/waiting/{self.name}.json"

    @property
    def _lake(self) -> Any:
        from pomona.lake import Lake

        deployment = self.engine.deployment
        return Lake(deployment.lake, deployment.name, deployment.s3)


def job_name(deployment: Deployment, stage: str, run: str, *generation: object) -> str:
    """The name of a stage's job: the same over retries, another one after the task or the run was cleared."""
    digest = hashlib.sha256(" ".join(str(part) for part in generation).encode()).hexdigest()
    return f"pomona-{deployment.name}-{stage}-{run}-{digest[:8]}"


def passes(error: BaseException) -> bool:
    """Whether the service or the store was only busy or away, as far as the error tells."""
    from pomona import store_faults

    return store_faults.passes(error) or isinstance(error, store_faults.StoreAway | ConnectionError | TimeoutError)


def not_ready(error: Exception, what: str) -> NotReady | None:
    """The refusal of a service in one line, or None when another try may mend it."""
    from botocore.exceptions import BotoCoreError, ClientError

    if passes(error) or not isinstance(error, ClientError | BotoCoreError):
        return None
    return NotReady(f"{what}: {' '.join(str(error).split())}")
