"""ingest: every listed file is accounted for, and only what is new is read."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import pytest

from pomona import snapshots
from pomona.landing import Landing
from pomona.outcome import BadInput
from tests import strange_pictures


def adds_up(counts):
    assert counts["listed"] == counts["in"] + counts["ignored"]
    assert counts["in"] == counts["kept"] + counts["rejected"] + counts["duplicate"] + counts["conflict"] + counts["unselected"]
    assert counts["kept"] == counts["train"] + counts["test"]


def test_every_strange_file_has_the_fate_that_was_foretold(runs, tmp_path):
    runs.landing = tmp_path / "strange"
    expected = strange_pictures.write(runs.landing)
    result = runs.stage("r", "ingest", max_reject_share=1.0)
    adds_up(result.counts)
    wanted = strange_pictures.counted(expected)
    # The counts of the contract against the fates written by hand beside each drawn file.
    assert (
        Counter(
            {
                fate: result.counts[name]
                for fate, name in (
                    ("kept", "kept"),
                    ("rejected", "rejected"),
                    ("ignored", "ignored"),
                    ("duplicate", "duplicate"),
                    ("conflict", "conflict"),
                )
            }
        )
        == wanted
    )
    work = runs.work("r", "ingest")
    reasons = dict(zip(*(work.table("rejects")[name].to_pylist() for name in ("path", "reason")), strict=True))
    for path, expectation in expected.items():
        if expectation.fate == "rejected":
            assert expectation.reason in reasons[path], path
    kept = {path for path, expectation in expected.items() if expectation.fate == "kept"}
    assert set(work.table("roster")["path"].to_pylist()) == kept


def test_nothing_is_read_twice_and_one_image_more_is_one_image_read(runs, landing):
    assert runs.stage("a", "ingest").counts["new"] == 60
    assert runs.stage("b", "ingest").counts["new"] == 0
    shutil.copy(next(landing.glob("Test/*/*.jpg")), landing / "Training" / "new.jpg")
    (landing / "Training" / "new.jpg").rename(next(landing.glob("Training/*/")) / "r7_1_100.jpg")
    again = runs.stage("c", "ingest")
    assert again.counts["new"] == 1
    adds_up(again.counts)


def test_a_relabelled_file_is_a_new_placement_of_the_same_content(runs, landing):
    runs.stage("a", "ingest")
    first, second = sorted(landing.glob("Training/*"))[:2]
    moved = next(iter(sorted(first.iterdir())))
    moved.rename(second / "r0_77_100.jpg")
    result = runs.stage("b", "ingest")
    assert (result.counts["kept"], result.counts["gone"], result.counts["new"]) == (60, 1, 1)
    roster = runs.work("b", "ingest").table("roster").to_pandas()
    assert roster.loc[roster["path"].str.endswith("r0_77_100.jpg"), "label"].tolist() == [second.name]


def test_a_deleted_file_is_gone_from_the_roster_and_comes_back_without_being_new(runs, landing):
    runs.stage("a", "ingest")
    victim = sorted(landing.glob("Training/*/*.jpg"))[0]
    data, state = victim.read_bytes(), victim.stat()
    victim.unlink()
    gone = runs.stage("b", "ingest")
    assert (gone.counts["kept"], gone.counts["gone"]) == (59, 1)
    victim.write_bytes(data)
    os.utime(victim, ns=(state.st_atime_ns, state.st_mtime_ns))
    back = runs.stage("c", "ingest")
    assert (back.counts["kept"], back.counts["gone"], back.counts["new"]) == (60, 0, 0)


def test_an_emptied_landing_zone_stops_the_run_and_keeps_the_snapshot(runs, landing):
    runs.stage("a", "ingest")
    shutil.rmtree(landing)
    landing.mkdir()
    with pytest.raises(BadInput, match=r"60 of 60 known pictures are gone .* is the folder mounted"):
        runs.stage("b", "ingest")
    assert snapshots.latest(runs.lake).number == 1


def test_more_rejects_than_the_bound_stop_the_run_with_their_names(runs, landing):
    for n in range(20):
        (next(landing.glob("Training/*")) / f"broken{n}.jpg").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"20 of 80 files are no usable pictures, max_reject_share=0.2: .*broken"):
        runs.stage("a", "ingest")


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("", "is empty"),
        ("Test", "no usable training picture"),
        ("Training/red apple", "one label only"),
    ],
)
def test_a_landing_zone_that_cannot_teach_is_refused_in_one_line(runs, landing, tmp_path, keep, message):
    runs.landing = tmp_path / "poor"
    runs.landing.mkdir()
    if keep:
        first = sorted(landing.glob("Training/*"))[0].name
        keep = keep.replace("red apple", first)
        shutil.copytree(landing / keep, runs.landing / keep)
    with pytest.raises(BadInput, match=message) as error:
        runs.stage("a", "ingest")
    assert "\n" not in str(error.value)


def test_a_missing_landing_zone_is_named_with_the_remedy(runs, tmp_path):
    runs.landing = tmp_path / "nowhere"
    with pytest.raises(BadInput, match=r"nowhere does not exist: make it"):
        runs.stage("a", "ingest")


def test_a_landing_zone_that_is_a_file_is_named_so(runs, tmp_path):
    runs.landing = tmp_path / "file"
    runs.landing.write_text("x")
    with pytest.raises(BadInput, match="is no folder"):
        runs.stage("a", "ingest")


def test_a_file_that_changes_after_its_listing_is_looked_at_again(runs, landing):
    victim = sorted(landing.glob("Training/*/*.jpg"))[0]
    path = str(victim.relative_to(landing))
    listed = {file.path: file for file in Landing(str(landing)).files()}[path]
    victim.write_bytes(victim.read_bytes() + b"\0")
    with pytest.raises(OSError, match="changed while it was read"):
        Landing(str(landing)).read(path, listed.size, listed.version)
    victim.unlink()
    with pytest.raises(OSError, match="vanished before it was read"):
        Landing(str(landing)).read(path, listed.size, listed.version)


def test_a_folder_that_goes_while_its_landing_zone_is_listed_is_passed_over(tmp_path, monkeypatch):
    for name in ("Apple", "Pear"):
        (tmp_path / "landing" / name).mkdir(parents=True)
        (tmp_path / "landing" / name / "1.jpg").write_bytes(b"x")
    scandir = os.scandir

    def late(folder):
        if folder == tmp_path / "landing" / "Pear":
            shutil.rmtree(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", late)
    assert [file.path for file in Landing(str(tmp_path / "landing")).files()] == ["Apple/1.jpg"]


def test_a_subset_of_labels_leaves_the_others_unselected(runs, landing):
    labels = sorted(folder.name for folder in landing.glob("Training/*"))
    result = runs.stage("a", "ingest", labels=",".join(labels[:2]))
    assert (result.counts["kept"], result.counts["unselected"]) == (40, 20)
    adds_up(result.counts)
    with pytest.raises(BadInput, match="nonesuch"):
        runs.stage("b", "ingest", labels=f"{labels[0]},nonesuch")


def test_of_two_writers_of_a_snapshot_one_reads_again_and_nothing_is_lost(runs, landing, monkeypatch):
    runs.stage("a", "ingest")
    (next(landing.glob("Training/*")) / "r8_1_100.jpg").write_bytes(strange_pictures.jpeg(1))
    save, calls = snapshots.save, []

    def beaten(lake, snapshot):
        if not calls:
            # Another writer takes the number first, with what it saw: nothing new.
            calls.append(save(lake, snapshots.latest(lake)).number)
        return save(lake, snapshot)

    monkeypatch.setattr(snapshots, "save", beaten)
    result = runs.stage("b", "ingest")
    assert (result.counts["kept"], result.notes["snapshot"], calls) == (61, 3, [2])
