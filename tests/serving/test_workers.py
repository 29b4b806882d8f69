"""The processes of one version: their own code, a death in the middle of a request, and their end."""

import asyncio
import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest

from pomona import bundle
from serving import worker
from serving.app import Limits, Sample, create_app
from serving.child import Child, ChildGone
from serving.workers import Unanswered, Workers
from tests.drawn_model import knowing_chain, strange_picture, trained_on
from tests.serving.services import IMAGES, all_gone, halved, scaled


@pytest.fixture
def model(tmp_path: Path) -> Path:
    bundle.write(tmp_path / "model", chain=knowing_chain(), probes=IMAGES, trained_on=trained_on())
    return tmp_path / "model"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def played(model: Path, play, *, n_workers: int = 2):
    """What `play` gives, told the version's processes; whatever it does, none is left."""

    async def scene():
        workers = Workers(model, n_workers=n_workers)
        await workers.start()
        known = {pid: psutil.Process(pid) for pid in workers.pids}
        try:
            return await play(workers)
        finally:
            await workers.end()
            assert all_gone(list(known.values())) and not workers.pids

    return asyncio.run(scene())


async def busy(workers: Workers) -> list[psutil.Process]:
    """The processes, once every one has an order and waits at the gate; whoever sleeps there looks a hundred times a second."""
    await asyncio.sleep(0.5)
    return [psutil.Process(pid) for pid in workers.pids]


def test_a_version_runs_its_own_code_and_not_todays(model):
    halved(model)
    reply = played(model, lambda workers: workers.ask(worker.ANSWER, IMAGES[0]), n_workers=1)
    assert sum(reply["probabilities"].values()) == pytest.approx(0.5)


def test_a_picture_whose_process_is_killed_is_answered_by_another(model, gate):
    halved(model, gate=gate)

    async def play(workers):
        gate.touch()
        asked = asyncio.gather(*(workers.ask(worker.ANSWER, IMAGES[0]) for _ in range(2)))
        first, second = await busy(workers)
        first.kill()
        await asyncio.sleep(0.2)
        gate.unlink()
        replies = await asked
        deadline = time.monotonic() + 30
        while len(workers.pids) < 2 and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return replies, set(workers.pids), first.pid, second.pid

    replies, pids, first, second = played(model, play)
    assert [reply["label"] for reply in replies] == ["lemon", "lemon"]
    assert len(pids) == 2 and first not in pids and second in pids


def test_a_picture_that_two_processes_died_of_is_given_to_no_third(model, gate):
    halved(model, gate=gate)

    async def play(workers):
        gate.touch()
        asked = asyncio.create_task(workers.ask(worker.ANSWER, IMAGES[0]))
        while not asked.done():
            for process in await busy(workers):
                process.kill()
        gate.unlink()
        with pytest.raises(Unanswered, match="its process was killed by SIGKILL"):
            await asked
        return await workers.ask(worker.ANSWER, IMAGES[0])

    assert played(model, play, n_workers=1)["label"] == "lemon"


def test_a_free_process_that_dies_is_succeeded_without_being_asked(model, monkeypatch):
    monkeypatch.setattr("serving.workers._TEND_S", 0.1)

    async def play(workers):
        (dead,) = workers.pids
        psutil.Process(dead).kill()
        deadline = time.monotonic() + 30
        while workers.pids in ([], [dead]) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return workers.pids, dead

    (pid,), dead = played(model, play, n_workers=1)
    assert pid != dead


def test_while_no_process_lives_the_service_is_not_well_and_says_so(model):
    async def play(workers):
        following = SimpleNamespace(serving=SimpleNamespace(version=3, workers=workers), standing=lambda: {"state": "in step"})
        app = create_app(following, limits=Limits(1, 1), sample=Sample())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            well = await client.get("/health")
            psutil.Process(*workers.pids).kill()
            while workers.pids:
                await asyncio.sleep(0.01)
            return well, await client.get("/health")

    well, unwell = played(model, play, n_workers=1)
    assert (well.status_code, well.json()["version"]) == (200, 3)
    assert (unwell.status_code, unwell.headers["retry-after"]) == (503, "5")
    assert unwell.json()["detail"] == "no process of version 3 lives; others are started, the service's log says more"


def test_a_successor_that_the_system_has_no_room_for_is_tried_again(model, monkeypatch):
    start, refused = asyncio.create_subprocess_exec, [errno.ENOMEM, errno.EMFILE]

    async def cramped(*words, **given):
        if refused:
            raise OSError(number := refused.pop(), os.strerror(number))
        return await start(*words, **given)

    async def play(workers):
        monkeypatch.setattr(asyncio, "create_subprocess_exec", cramped)
        psutil.Process(*workers.pids).kill()
        return await workers.ask(worker.ANSWER, IMAGES[0])

    assert played(model, play, n_workers=1)["label"] == "lemon" and not refused


def test_a_process_that_does_not_answer_in_time_is_killed(model, gate):
    halved(model, gate=gate)

    async def scene():
        child = await Child.start(Workers(model, n_workers=1)._command)
        gate.touch()
        with pytest.raises(ChildGone, match="did not answer within 1 s"):
            await child.ask(worker.ANSWER, IMAGES[0], limit_s=1)
        process = psutil.Process(child.pid) if psutil.pid_exists(child.pid) else None
        await child.end()
        return process is None or all_gone([process])

    assert asyncio.run(scene())


def test_whoever_retires_answers_first_what_was_asked(model, gate):
    halved(model, gate=gate)

    async def play(workers):
        gate.touch()
        # Three orders for two processes: the third waits for one of them.
        asked = asyncio.gather(*(workers.ask(worker.ANSWER, IMAGES[0]) for _ in range(3)))
        processes = await busy(workers)
        retired = asyncio.create_task(workers.retire())
        await asyncio.sleep(0.3)
        assert not retired.done() and all(process.is_running() for process in processes)
        gate.unlink()
        replies = await asked
        await retired
        return len(replies), all_gone(processes)

    assert played(model, play) == (3, True)


def test_a_process_ends_with_its_pipe_even_in_the_middle_of_an_image(model, gate):
    halved(model, gate=gate)

    async def scene():
        child = await Child.start(Workers(model, n_workers=1)._command)
        process = psutil.Process(child.pid)
        gate.touch()
        asked = asyncio.create_task(child.ask(worker.ANSWER, IMAGES[0], limit_s=60))
        await asyncio.sleep(0.5)
        started = time.monotonic()
        await child.end()
        with pytest.raises(ChildGone, match="ended with exit code 0"):
            await asked
        return all_gone([process]), time.monotonic() - started

    gone, seconds = asyncio.run(scene())
    assert gone and seconds < 4


def unlike(model: Path) -> None:
    scaled(model, 0.99)


def untelling(model: Path) -> None:
    source = model / "code" / "pomona" / "vision" / "chain.py"
    text = source.read_text()
    telling = "return self._told(*self.judged("
    assert text.count(telling) == 1
    source.write_text(text.replace(telling, f"raise KeyError('rule')\n        {telling}"))


def foreign(model: Path) -> None:
    (model / "code" / "pomona" / "vision" / "words.py").write_text("raise RuntimeError('gone')\n")


def without_probes(model: Path) -> None:
    (model / "artifacts" / "probes.parquet").unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (unlike, "3 of 3 probes come out differently"),
        # It still gives its probabilities, but to nobody who asks with them whether it knows the picture.
        (untelling, "KeyError: 'rule'"),
        (foreign, "its process ended with exit code 1: RuntimeError: gone"),
        (without_probes, "FileNotFoundError"),
    ],
)
def test_a_version_that_does_not_prove_itself_is_not_started(model, spoil, reason):
    spoil(model)

    async def scene():
        workers = Workers(model, n_workers=2)
        with pytest.raises(ChildGone, match=reason):
            await workers.start()
        return workers.pids

    assert asyncio.run(scene()) == []


def test_a_fault_in_the_versions_code_is_told_and_ends_no_process(model):
    source = model / "code" / "pomona" / "vision" / "chain.py"
    text = source.read_text()
    source.write_text(text.replace("        check(data,", "        if len(data) < 9: raise KeyError('short')\n        check(data,"))

    async def play(workers):
        before = workers.pids
        return await workers.ask(worker.ANSWER, b"tiny"), await workers.ask(worker.ANSWER, IMAGES[0]), before == workers.pids

    fault, reply, same = played(model, play)
    assert fault == {"fault": "KeyError: 'short'"} and reply["label"] == "lemon" and same


def test_a_version_of_an_earlier_release_tells_no_keypoints(model):
    source = model / "code" / "pomona" / "vision" / "chain.py"
    source.write_text(source.read_text().replace("def keypoints(", "def _other("))
    assert played(model, lambda workers: workers.ask(worker.KEYPOINTS, IMAGES[0]), n_workers=1) == {"keypoints": None}


def test_a_picture_like_none_of_the_labels_is_unknown_and_one_of_them_is_not(model):
    async def play(workers):
        return [await workers.ask(worker.ANSWER, image) for image in (strange_picture(), *IMAGES)]

    strange, *known = played(model, play, n_workers=1)
    assert strange["unknown"] is True and strange["novelty"] > 1 and sum(strange["probabilities"].values()) == pytest.approx(1)
    assert [(reply["unknown"], reply["novelty"] <= 1) for reply in known] == [(False, True)] * 3


def test_a_version_of_an_earlier_release_answers_without_knowing_what_it_does_not_know(model):
    source = model / "code" / "pomona" / "vision" / "chain.py"
    source.write_text(source.read_text().replace("def told(", "def _other("))
    reply = played(model, lambda workers: workers.ask(worker.ANSWER, strange_picture()), n_workers=1)
    assert (reply["unknown"], reply["novelty"]) == (None, None) and reply["label"] in reply["probabilities"]
