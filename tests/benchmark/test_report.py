import base64
import re
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from altercell.benchmark import compare, report
from altercell.benchmark._report_tables import number
from altercell.errors import DataError

KINDS = {"no change": "baseline", "shift": "baseline", "real": "reference"}
EVIL = "<script>alert('net')</script>"
VOID = {"meta", "img", "br", "wbr", "link"}


class Page(HTMLParser):
    """Tags that are open, tags with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def words(self):
        return re.sub(r"\s+", " ", self.text)


@pytest.fixture(scope="module")
def table(table_of):
    """Function of the numbers of sets and seeds: three models of which one has an evil name."""

    def make(n=7, seeds=1):
        base = np.arange(n) / 10
        values = {
            "mse": {EVIL: base + 1.5, "net": base + 0.4, "no change": base + 2, "shift": base * 1.1 + 1, "real": base},
            "edistance": {
                EVIL: base + 6,
                "net": base + 9,
                "no change": base + 5,
                "shift": base + 3,
                "real": base - 0.3,
            },
            "bias": {EVIL: base, "net": -base, "no change": base * np.nan, "shift": base, "real": base},
        }
        return table_of(values, kinds=KINDS, seeds=seeds)

    return make


@pytest.fixture(scope="module")
def page(table, failed, tmp_path_factory):
    rows = pd.concat([table(seeds=2).assign(sd_cells=0.25), failed("broken", ["set 0"], "ValueError: x < 0 & y")])
    path = report(
        rows,
        tmp_path_factory.mktemp("report"),
        title="Mice & men <3",
        data={"file": "a<b>.h5ad", "cells": 12345},
        settings={"train": {"epochs": 3}},
    )
    return Page(path.read_text(encoding="utf-8"))


def test_files_stand_beside_the_page(table, tmp_path):
    rows = table(seeds=2)
    before = rows.copy()
    path = report(rows, tmp_path / "new" / "folder")
    pd.testing.assert_frame_equal(rows, before)
    folder = path.parent
    assert sorted(p.name for p in folder.iterdir()) == [
        "comparisons.csv", "plots", "report.html", "results.parquet", "summary.csv",
    ]  # fmt: skip
    back = pd.read_parquet(folder / "results.parquet")
    pd.testing.assert_frame_equal(back[rows.columns], rows, check_dtype=False)
    names = {p.name for p in (folder / "plots").iterdir()}
    assert {"map.svg", "map.png", "bars-mse.svg", "bars-mse.png", "pairs-02-script-alert-net-script-mse.svg"} <= names


def test_the_summary_file_holds_independent_numbers(table, tmp_path):
    rows = table(seeds=2).assign(sd_cells=0.25)
    report(rows, tmp_path)
    summary = pd.read_csv(tmp_path / "summary.csv").set_index(["model", "metric"])
    net = rows[(rows["model"] == "net") & (rows["metric"] == "mse")]
    line = summary.loc[("net", "mse")]
    assert line["mean"] == pytest.approx(net["value"].mean())
    assert line["sd_seeds"] == pytest.approx(net.groupby("seed")["value"].mean().std())
    assert line["sd_splits"] == pytest.approx(net.groupby("split")["value"].mean().std())
    assert line["sd_cells"] == pytest.approx(0.25)
    assert (line["rank"], line["n_sets"], line["n_seeds"], line["better"]) == (1, 7, 2, "lower")
    assert np.isnan(summary.loc[("real", "mse"), "rank"])
    pairs = pd.read_csv(tmp_path / "comparisons.csv").set_index(["baseline", "model", "metric"])
    expected = compare(rows, "shift").loc[("net", "mse")]
    np.testing.assert_allclose(pairs.loc[("shift", "net", "mse")], expected)


def test_the_page_is_whole_and_needs_no_network(page):
    assert page.open == []
    assert not page.of("script")
    assert not page.of("link")
    assert {attributes["src"].split(",")[0] for attributes in page.of("img")} == {"data:image/svg+xml;base64"}
    assert all(attributes["alt"] for attributes in page.of("img"))
    policy = [a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    for attributes in page.of("img"):
        svg = base64.b64decode(attributes["src"].split(",")[1]).decode()
        assert svg.startswith("<?xml")
        assert "</svg>" in svg


def test_the_verdict_comes_first_then_tables_plots_and_settings(page):
    words = page.words()
    parts = ["Mice & men <3", "12,345", "Verdict", "How to read", "Scores", "Against each baseline", "Plots"]
    parts += ["All other scores" if "All other scores" in words else "Plots", "Settings and versions", "train.epochs"]
    places = [words.index(part) for part in parts]
    assert places == sorted(places)
    assert "net beats every baseline (better than the best of them, shift, in 7 of 7)." in words


def test_names_and_errors_are_escaped(page):
    words = page.words()
    assert EVIL in words
    assert "a<b>.h5ad" in words
    assert "broken. Failed in 1 of 14 runs: ValueError: x < 0 & y." in words
    assert "– failed" in words


def test_both_spreads_are_shown_and_named(page):
    words = page.words()
    assert "± seeds: standard deviation of the mean over 2 seeds" in words
    assert "± cells: standard deviation of the score of one held-out set" in words
    assert "± 0.0071 seeds" in words
    assert "± 0.25 cells" in words


def test_spreads_that_are_not_known_are_not_invented(table, tmp_path):
    words = Page(report(table(), tmp_path).read_text(encoding="utf-8")).words()
    assert "One seed was run, so the spread over seeds is not known." in words
    assert "The spread over cells was not computed." in words
    assert not re.search(r"± [\d.]+ (seeds|cells)", words)


def test_p_values_are_shown_only_where_they_can_be_small(table, tmp_path):
    many = Page(report(table(7), tmp_path / "many").read_text(encoding="utf-8")).words()
    few = Page(report(table(3), tmp_path / "few").read_text(encoding="utf-8")).words()
    assert "p 0.016" in many
    assert "Too few to be sure" not in many
    assert "Too few to be sure. The models were compared on 3 held-out sets." in few
    assert not re.search(r"p 0\.\d", few)


def test_sets_that_not_all_models_have_are_told(table, tmp_path):
    rows = table()
    rows = rows[(rows["model"] != "net") | (rows["split"] != "set 6")]
    words = Page(report(rows, tmp_path).read_text(encoding="utf-8")).words()
    assert "that every model was scored on (set 6 left out)" in words
    assert "held-out sets6: set 0," in words.replace("held-out sets 6", "held-out sets6")


def test_an_old_table_and_one_of_other_metrics(table, tmp_path):
    names = {"shift": "control + mean delta", "real": "real against real"}
    old = table().assign(model=lambda rows: rows["model"].replace(names))
    old = old[["model", "label", "seed", "metric", "value", "genes", "better", "seconds", "error"]]
    assert "net beats" in report(old, tmp_path / "old").read_text(encoding="utf-8")
    other = table().assign(metric="ari").drop_duplicates(["model", "split"])
    words = Page(report(other, tmp_path / "other", unit="data set").read_text(encoding="utf-8")).words()
    assert "all scores" in words
    assert "ari" in words
    assert "data sets" in words


def test_no_baselines_one_set_one_model(table, tmp_path):
    rows = table(1)
    rows = rows[rows["model"] == "net"]
    page = Page(report(rows, tmp_path).read_text(encoding="utf-8"))
    assert "net ranks first. There is no baseline to measure it by." in page.words()
    assert page.open == []


def test_the_same_table_makes_the_same_page_and_leaves_matplotlib_alone(table, tmp_path):
    before, figures = dict(mpl.rcParams), plt.get_fignums()
    first = report(table(3), tmp_path / "a").read_bytes()
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        second = report(table(3), tmp_path / "b").read_bytes()
    assert first == second
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == figures


def test_nothing_to_report(table, failed, tmp_path):
    with pytest.raises(DataError, match="no scores to report; the models failed: MemoryError: 8 GB"):
        report(failed("net", ["x"], "MemoryError: 8 GB"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("value", "text"), [(0.0123456, "0.0123"), (-2.5, "−2.5"), (54321.0, "54321"), (np.inf, "–")])
def test_numbers_are_short(value, text):
    assert number(value) == text
