"""The report of a run in a real browser: it opens from disk, asks for nothing, and does what it says."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from harness.findings.claim import ClaimVerdict, Finding
from harness.report.html.report_page import write_report
from harness.results import ranking
from harness.results.rank_intervals import Ranks
from harness.results.ranking import rank
from harness.results.records import Status
from tests.helpers.browser import headless
from tests.helpers.records import PROMPTS
from tests.helpers.runs import colour_of, control, large_run, pictures, small_run, timing, variant

AXE = Path(__file__).parents[1] / "data" / "axe" / "axe.min.js"
NAMES = "table.variants tbody th a"


@pytest.fixture(scope="module")
def browser():
    with headless() as one:
        yield one


@pytest.fixture(autouse=True)
def as_it_was(browser):
    browser.size(1300, 900)
    browser.theme("light")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a small run with its pictures."""
    folder = tmp_path_factory.mktemp("run")
    analysis = folder / "analysis" / "m"
    analysis.mkdir(parents=True)
    Image.new("RGB", (40, 30), "white").save(analysis / "vitality.png")
    (analysis / "figures.html").write_text("")
    finding = Finding("B2", "blocks can go", "https://example.invalid/x", "m", ClaimVerdict.NOT_APPLICABLE, reason="no")
    (folder / "findings.jsonl").write_text(json.dumps(finding.to_json()) + "\n")
    return written(folder, small_run())


def written(folder, records, *, with_pictures=True):
    if with_pictures:
        pictures(folder, records)
    (path,) = write_report(folder, records, rank(records))
    return path


def ready(browser):
    browser.until("document.documentElement.dataset.ready === 'yes'")


def test_a_run_of_claims_alone_has_a_page(browser, tmp_path):
    finding = Finding("B2", "blocks can go", "https://example.invalid/x", "m", ClaimVerdict.NOT_APPLICABLE, reason="no")
    finding = replace(finding, nodeid="cases/test_findings.py::test_finding[m-B2]")
    (tmp_path / "findings.jsonl").write_text(json.dumps(finding.to_json()) + "\n")
    (page,) = write_report(tmp_path, [], [])
    browser.open(page, "q=skip")  # an address of another run's page
    ready(browser)
    assert browser.texts("#verdict .verdict") == ["Published claims on m: 1 not applicable"]
    assert "blocks can go" in browser.texts("#findings-body")[0]
    assert browser.run("return document.querySelector('#findings pre').textContent").startswith("pytest 'cases/test_fi")
    assert browser.texts("h2") == ["Verdict", "Published claims", "Environment", ""]
    assert browser.complaints() == []


def open_case(browser, page, case):
    browser.open(page, f"case={case}")
    ready(browser)
    browser.until("document.getElementById('case').open")
    browser.until("document.querySelectorAll('.stage .tile').length === 2")


def test_it_opens_from_disk_asks_for_nothing_and_draws_everything(browser, page):
    browser.open(page)
    ready(browser)
    assert browser.texts("#verdict .verdict")[0].endswith("2 of 16 results are red")
    browser.run("document.querySelectorAll('.chart').forEach((chart) => chart.scrollIntoView())")
    charts = browser.run("return document.querySelectorAll('.chart').length")
    assert charts == 2
    browser.run("document.getElementById('speed').scrollIntoView()")
    browser.until("document.querySelectorAll('.chart[data-drawn]').length >= 1")
    browser.run("document.getElementById('tasks').scrollIntoView()")
    browser.until("document.querySelectorAll('.chart[data-drawn]').length === 2")
    assert browser.run("return document.querySelectorAll('svg.strip').length") == 2
    assert browser.complaints() == []
    asked = browser.requests()
    assert asked
    assert all(url.startswith((page.parent.as_uri(), "data:", "blob:")) for url in asked)


def test_claims_and_figures_of_analyses_are_shown(browser, page):
    browser.open(page)
    ready(browser)
    assert browser.texts("#findings-body tbody td")[2:4] == ["blocks can go", "not applicable"]
    browser.run("document.getElementById('analysis').scrollIntoView()")
    browser.until("document.querySelector('.gallery img').naturalWidth === 40")
    assert (
        browser.run("return document.querySelector('#analysis-body a').href")
        == (page.parent / "analysis" / "m" / "figures.html").as_uri()
    )
    assert browser.complaints() == []


def test_what_is_red_and_what_changed_stand_first(browser, page):
    browser.open(page)
    ready(browser)
    assert browser.run("return document.querySelector('main section').id") == "verdict"
    assert browser.texts(".reds summary")[0].startswith("s-L03-skip")
    assert "torch 2.14.0 -> 2.15.0" in browser.texts("#verdict-body")[0]
    assert browser.texts("#verdict-body table tbody tr")[0].startswith("s-L03-skip\tharm [sd]\t8.1\t9\t90.00")


def test_the_table_sorts_with_what_was_not_measured_last(browser, page):
    browser.open(page)
    ready(browser)
    by_harm = ["u-L00-01-shuffle.s0", "s-L01-skip", "s-L01-03-reverse", "s-L02-skip", "s-L01-03-parallel"]
    by_harm += ["u-L00-01-skip", "s-L03-skip"]
    assert browser.texts(NAMES) == [*by_harm, "s-L04-skip"]
    head = "th[data-column=speed_up] button"
    browser.run(f"document.querySelector('{head}').click()")
    assert browser.texts(NAMES)[0] == "u-L00-01-skip"  # the fastest first, since more is better
    assert browser.run("return document.querySelector('th[data-column=speed_up]').ariaSort") == "descending"
    browser.run(f"document.querySelector('{head}').click()")
    assert browser.texts(NAMES)[0] == "s-L01-03-parallel"
    assert browser.texts(NAMES)[-1] == "s-L04-skip"
    assert "sort=speed_up" in browser.run("return location.hash")


def test_filters_search_and_red_only_and_a_link_to_them(browser, page):
    browser.open(page)
    ready(browser)

    def choose(label, value):
        browser.run(
            "const [label, value] = arguments;"
            "const field = [...document.querySelectorAll('#filters .field')].find("
            "(f) => f.innerText.startsWith(label));"
            "const select = field.querySelector('select'); select.value = value;"
            "select.dispatchEvent(new Event('change'))",
            label,
            value,
        )

    choose("Strategy", "skip")
    assert browser.texts("#shown") == ["5 of 8 variants"]
    choose("Stack", "u")
    assert browser.texts(NAMES) == ["u-L00-01-skip"]
    address = browser.run("return location.hash.slice(1)")
    choose("Stack", "")
    choose("Strategy", "")
    browser.run(
        "const box = document.querySelector('input[type=search]'); box.value = 'L01-03 par'; "
        "box.dispatchEvent(new Event('input'))"
    )
    assert browser.texts(NAMES) == ["s-L01-03-parallel"]
    browser.run("[...document.querySelectorAll('#filters button')].find((b) => b.innerText === 'Show all').click()")
    browser.run("[...document.querySelectorAll('#filters button')].find((b) => b.innerText === 'Only red').click()")
    assert browser.texts(NAMES) == ["s-L03-skip", "s-L04-skip"]
    browser.open(page, address)
    ready(browser)
    assert browser.texts(NAMES) == ["u-L00-01-skip"]


def test_columns_fold(browser, page):
    browser.open(page)
    ready(browser)
    before = browser.run("return document.querySelectorAll('table.variants thead th').length")
    browser.run("document.querySelector('.menu summary').click()")
    browser.run("document.querySelector('.choices input[value=latent_drift]').click()")
    assert browser.run("return document.querySelectorAll('table.variants thead th').length") == before - 1
    browser.run("[...document.querySelectorAll('.menu button')].find((b) => b.innerText === 'All columns').click()")
    assert browser.run("return document.querySelectorAll('table.variants thead th').length") > before


def pixel(browser, x):
    """The colour at a share of the width of the picture that is compared."""
    stage = browser.driver.find_element("css selector", ".stage")
    with Image.open(io.BytesIO(stage.screenshot_as_png)) as shot:
        return shot.convert("RGB").getpixel((int(shot.width * x), shot.height // 2))


def test_control_and_variant_are_compared_prompt_by_prompt_the_worst_first(browser, page):
    open_case(browser, page, "m-s-L03-skip")
    worst = PROMPTS - 1  # the last prompt has the highest harm
    assert browser.texts(".caption")[0].startswith(f"#{worst + 1}, harm 13.50 sd")
    assert browser.texts(".caption")[0].endswith(f"prompt number {worst + 1}")
    assert pixel(browser, 0.25) == colour_of(worst, control=True)
    assert pixel(browser, 0.75) == colour_of(worst, control=False)
    browser.run("const at = document.querySelector('.position'); at.value = 90; at.dispatchEvent(new Event('input'))")
    assert pixel(browser, 0.75) == colour_of(worst, control=True)
    keys = browser.driver.find_element("css selector", ".stage")
    keys.send_keys("\ue014")  # the right arrow: the next prompt
    assert browser.texts(".caption")[0].startswith(f"#{worst}, ")
    assert pixel(browser, 0.25) == colour_of(worst - 1, control=True)
    modes = browser.driver.find_elements("css selector", ".modes button")
    modes[1].click()
    assert pixel(browser, 0.25) == colour_of(worst - 1, control=False)
    keys.send_keys("f")
    assert pixel(browser, 0.25) == colour_of(worst - 1, control=True)
    modes[2].click()
    assert pixel(browser, 0.25) == colour_of(worst - 1, control=True)
    assert pixel(browser, 0.75) == colour_of(worst - 1, control=False)
    modes[3].click()
    assert pixel(browser, 0.5) == (160, 160, 0)  # 180 beside 20, 20 beside 180, 60 beside 60
    assert browser.complaints() == []


def test_a_case_has_its_failure_its_values_and_its_command(browser, page):
    open_case(browser, page, "m-s-L03-skip")
    said = browser.texts("#case-body")[0]
    assert "harm 9 sd, baseline 8.1, limit 8.11" in said
    assert (
        "pytest 'cases/test_m.py::test_ablation[m-s-L03-skip]' --dit-stack=s --dit-range=3 --dit-strategy=skip" in said
    )
    assert "By prompt category" in said
    browser.run("document.getElementById('case-close').click()")
    browser.until("!document.getElementById('case').open && !location.hash.includes('case=')")


def test_the_keyboard_is_enough(browser, page):
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    ready(browser)
    active = browser.driver.switch_to
    browser.driver.find_element("css selector", "body").send_keys(Keys.TAB)
    assert active.active_element.text == "Skip to the content"
    browser.run(f"document.querySelector('{NAMES}').focus()")
    active.active_element.send_keys(Keys.ENTER)
    browser.until("document.getElementById('case').open")
    assert active.active_element.get_attribute("id") == "case-title"
    first = browser.texts("#case-title")
    active.active_element.send_keys("j")
    browser.until(f"document.getElementById('case-title').textContent !== {first[0]!r}")
    active.active_element.send_keys(Keys.ESCAPE)
    browser.until("!document.getElementById('case').open")
    assert active.active_element.tag_name == "a"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible(browser, page, theme):
    browser.theme(theme)
    for fragment in ("", "case=m-s-L03-skip"):
        browser.open(page, fragment)
        ready(browser)
        browser.run("document.querySelectorAll('.chart').forEach((chart) => chart.force())")
        browser.until("document.querySelectorAll('.chart[data-drawn]').length === 2")
        if fragment:
            browser.until("document.querySelectorAll('.stage .tile').length === 2")
        browser.driver.execute_script(AXE.read_text(encoding="utf-8"))
        found = browser.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']}).then((r) => done(r.violations.map("
            "(v) => [v.id, v.nodes.map((n) => n.html + ' | ' + n.failureSummary)])))"
        )
        assert found == []


def test_it_is_read_on_a_phone_and_printed_whole(browser, page):
    browser.size(360, 740, mobile=True)
    browser.open(page)
    ready(browser)
    assert browser.run("return document.documentElement.scrollWidth") == 360
    browser.run(f"document.querySelector('{NAMES}').click()")
    browser.until("document.getElementById('case').open")
    box = browser.run(
        "const d = document.getElementById('case'); return [d.getBoundingClientRect().width, d.scrollWidth]"
    )
    assert box[0] == 360
    assert box[1] <= 360


HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'>\"'`{{7*7}}\x1b[31m\u202e"


def test_what_anybody_wrote_stays_a_text(browser, tmp_path):
    texts = [f"{HOSTILE} {i}" for i in range(PROMPTS)]
    bad = variant(
        "L01", "skip", 2.0, plan=HOSTILE, stack="javascript:alert(1)", status=Status.REGRESSION, failure=HOSTILE
    )
    bad = replace(
        bad,
        nodeid=HOSTILE,
        run=HOSTILE,
        verdict=replace(bad.verdict, notes=(HOSTILE,)),
        fingerprint=replace(bad.fingerprint, device=HOSTILE, versions={HOSTILE: "javascript:alert(1)"}),
    )
    base = replace(control(texts=texts), fingerprint=bad.fingerprint)
    other = replace(bad, case=f"m-{HOSTILE}/../..", place=HOSTILE, strategy=HOSTILE, words=(HOSTILE,))
    page = written(tmp_path, [base, bad, timing(bad, 1.2), other], with_pictures=False)
    (tmp_path / "findings.jsonl").write_text("no json\n")
    browser.open(page, "case=m-javascript%3Aalert(1)-L01-skip")
    ready(browser)
    assert browser.until("document.getElementById('case').open")
    assert browser.run("return window.hacked") is None
    assert browser.run("return document.querySelectorAll('script').length") == 3
    assert browser.run("return document.querySelectorAll('[onerror], img[src=x]').length") == 0
    addresses = browser.run("return [...document.querySelectorAll('[href], [src]')].map((e) => e.href || e.src)")
    assert not [each for each in addresses if str(each).lower().startswith("javascript:")]
    assert "</script><script>window.hacked=1</script>" in browser.texts(".caption")[0]
    assert "{{7*7}}" in browser.texts("#case-body")[0]
    assert "\\u202e" in browser.texts("#case-body")[0]
    browser.run("document.querySelectorAll('.chart').forEach((chart) => chart.force())")
    browser.until("[...document.querySelectorAll('.chart')].every((chart) => chart.dataset.drawn)")
    assert browser.run("return window.hacked") is None
    assert browser.complaints() == []
    assert all(url.startswith((page.as_uri(), "data:", "blob:")) for url in browser.requests())


def test_a_page_without_its_pictures_says_so(browser, tmp_path):
    records = small_run()
    page = written(tmp_path, records)
    (tmp_path / "images" / "m-s-L03-skip-sheet.webp").unlink()
    browser.open(page, "case=m-s-L03-skip")
    browser.until("document.querySelector('.stage .failed')")
    assert "keep the folder images/ with it" in browser.texts(".stage .failed")[0]


def test_a_thousand_variants_of_48_prompts_do_not_freeze_it(browser, tmp_path, monkeypatch):
    def in_order(harms):
        places = tuple(range(1, len(harms) + 1))
        return Ranks(places, places, (1,) * len(harms), 0.0)

    # The intervals of a thousand ranks take a minute of resampling, and this is about the page.
    monkeypatch.setattr(ranking, "rank_intervals", in_order)
    records = large_run(1000, 48)
    page = written(tmp_path, records, with_pictures=False)
    assert page.stat().st_size < 8e6
    start = time.perf_counter()
    browser.open(page)
    ready(browser)
    assert time.perf_counter() - start < 30  # 0.8 s on an idle desktop
    assert browser.texts("#shown") == ["1,000 of 1,000 variants"]
    assert browser.run("return document.querySelectorAll('table.variants tbody tr').length") < 80
    took = browser.run(
        "const start = performance.now(); document.querySelector('th[data-column=clip_delta] button').click();"
        "return performance.now() - start"
    )
    assert took < 3000  # milliseconds; some 40 on an idle desktop
    browser.run("const frame = document.getElementById('table-frame'); frame.scrollTop = frame.scrollHeight")
    browser.until("document.querySelector('tr[aria-rowindex=\"1001\"]')")
    assert browser.run("return document.querySelectorAll('table.variants tbody tr').length") < 80
    start = time.perf_counter()
    browser.run("document.getElementById('speed').scrollIntoView()")
    browser.until("document.querySelector('#speed .chart[data-drawn]')", 60)
    assert time.perf_counter() - start < 60  # 2 s on an idle desktop
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("return document.querySelectorAll('table.variants tbody tr').length") == 1000
