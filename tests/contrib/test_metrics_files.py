"""The example dashboard, the example alerts and docs/metrics.rst name the exported metrics, and no others."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Tuple

import prometheus_client
import pytest
from docs_blocks import programs
from integration.conftest import DEADLINE, eventually, unused_port
from rows import each_row

from cometchat import CometChat, CometChatWSState, exceptions
from cometchat.contrib import _metrics
from cometchat.contrib.prometheus import CometChatCollector, unregister
from cometchat.sandbox import Sandbox

from .promql import PromQL

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "examples" / "grafana" / "dashboard.json"
ALERTS = ROOT / "examples" / "prometheus" / "alerts.yml"
PAGE = ROOT / "docs" / "metrics.rst"

#: Labels that Prometheus itself adds to each series.
TARGET = {"job", "instance"}


def exported() -> Dict[str, "str | None"]:
    """Return the name of a series in a scrape -> its label beside ``client``."""
    families = CometChatCollector().describe()
    assert len(families) == len(_metrics.METRICS)
    return {
        family.name + ("_total" if family.type == "counter" else ""): metric.label
        for family, metric in zip(families, _metrics.METRICS)
    }


def dashboard() -> Any:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def panel_expressions() -> List[Tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel["targets"]]


def alert_expressions() -> List[Tuple[str, str]]:
    text = ALERTS.read_text(encoding="utf-8")
    return re.findall(r"^      - alert: (\w+)\n        expr: (.+)$", text, re.M)


def page_expressions() -> List[Tuple[str, str]]:
    """Return the queries of the page: literal blocks under a line that ends in "PromQL::"."""
    blocks = re.findall(r"PromQL::\n\n((?:        .*\n|\n)+)", PAGE.read_text(encoding="utf-8"))
    return [("page", line.strip()) for block in blocks for line in block.splitlines() if line.strip()]


EXPRESSIONS = [*panel_expressions(), *alert_expressions(), *page_expressions()]


@each_row("where, text", EXPRESSIONS)
def test_every_query_uses_exported_metrics(where: str, text: str) -> None:
    """Every query can be read. It names exported metrics, their labels, and the four statuses."""
    names = exported()
    query = PromQL(text)
    assert query.selectors
    own = {names[selector.metric] for selector in query.selectors}
    assert query.labels <= {"client", *TARGET, *filter(None, own)}
    for selector in query.selectors:
        label = names[selector.metric]
        assert set(selector.matchers) <= {"client", *TARGET, *filter(None, [label])}
        assert selector.ranged == (selector.metric.endswith("_total"))
        operator, value = selector.matchers.get("status", ("=", "connected"))
        assert set(value.split("|") if operator == "=~" else [value]) <= {state.value for state in CometChatWSState}
        assert selector.matchers.get("code", ("=", "WS_AUTH_FAIL"))[1] in {*_metrics.FAILURES, *_metrics.DROPS}


@each_row(
    "text",
    [
        "sum(x",
        "sum(x))",
        "rate(x)",
        "rate(x[5])",
        "nope(x)",
        'x{a="b"',
        "x{a=b}",
        'x{a>"b"}',
        "x +",
        "x y",
        "by (a) x",
        "#",
    ]
    + ['sum by (a, "b") (x)', "increase(x[5m], 1)", ""],
)
def test_a_mistake_is_found(text: str) -> None:
    """The test above can fail: it does not accept a text that is not PromQL."""
    with pytest.raises(ValueError):
        PromQL(text)


def test_the_dashboard_is_one() -> None:
    """Grafana can load it: unique ids, queries on the variable data source, no overlapping panels."""
    board = dashboard()
    variables = [variable["name"] for variable in board["templating"]["list"]]
    assert variables == ["datasource", "job", "instance", "client"]
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells
        taken |= cells
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= {*variables, "__rate_interval"}
    for variable in board["templating"]["list"][1:]:
        assert PromQL(re.sub(r"^label_values\((.*), \w+\)$", r"\1", variable["definition"])).selectors


def test_the_status_panels_name_the_four_statuses() -> None:
    """Their numbers are the sums of the queries, and each of the four statuses has its word and colour."""
    for panel in dashboard()["panels"]:
        if panel["title"] not in ("Status", "Status over time"):
            continue
        weights = dict.fromkeys((state.value for state in CometChatWSState), 0)
        for part in panel["targets"][0]["expr"].split(" + "):
            weight, status = re.fullmatch(r'(?:(\d) \* )?sum by .*status="(\w+)"}\)', part).groups()  # type: ignore
            weights[status] = int(weight or 1)
        words = {
            int(key): word["text"] for key, word in panel["fieldConfig"]["defaults"]["mappings"][0]["options"].items()
        }
        assert {status: weight for weight, status in words.items()} == weights


def test_each_metric_is_on_the_dashboard() -> None:
    """The dashboard shows all metrics but four.

    The four are the mean since the start (a panel's own interval is more useful), the rest of the rate limit, the
    leader over Redis, and the messages that are nested too deeply (a warning names each).
    """
    shown = {selector.metric for _, text in panel_expressions() for selector in PromQL(text).selectors}
    assert set(exported()) - shown == {
        "cometchat_connection_leads",
        "cometchat_messages_truncated_total",
        "cometchat_ping_round_trip_mean_seconds",
        "cometchat_rate_limit_remaining",
    }


def test_every_alert_is_read() -> None:
    """Each alert of the file is among the checked ones, with a severity and a summary."""
    text = ALERTS.read_text(encoding="utf-8")
    count = len(alert_expressions())
    assert count == len(re.findall(r"\balert:", text)) == 7
    assert len(re.findall(r"^          severity: (?:warning|critical)$", text, re.M)) == count
    assert len(re.findall(r'^          summary: ".+\."$', text, re.M)) == count


@each_row("code", sorted({*_metrics.FAILURES, *_metrics.DROPS}))
def test_the_codes_from_the_start_are_codes(code: str) -> None:
    """Each code is one of the SDK's."""
    assert getattr(exceptions, code) == code


def test_the_table_of_the_page_is_the_code_s() -> None:
    """docs/metrics.rst lists each metric with both names, its kind and its label, in the code's order."""
    rows = re.findall(
        r"^``(cometchat_\w+)`` +``(cometchat\.[\w.]+)`` +([a-z-]+(?: counter)?) +(.+?)(?: +``(\w+)``)?$",
        PAGE.read_text(encoding="utf-8"),
        re.M,
    )
    kinds = {"counter": "counter", "up-down counter": "level", "gauge": "value"}
    units = {"seconds": "s", "bytes": "By", "0 or 1": ""}
    assert [(name, otel, kinds[kind], label or None) for name, otel, kind, _, label in rows] == [
        (name, metric.name, metric.kind.value, metric.label) for name, metric in zip(exported(), _metrics.METRICS)
    ]
    for (*_, unit, _), metric in zip(rows, _metrics.METRICS):
        assert units.get(unit.strip(), "counted") == (metric.unit if metric.unit[:1] != "{" else "counted")


def test_the_names_of_both_libraries_are_one() -> None:
    """By OpenTelemetry's rule for Prometheus, its name and unit give the name in a scrape."""
    words = {"By": "bytes", "s": "seconds"}
    for metric, name in zip(_metrics.METRICS, exported()):
        made = metric.name.replace(".", "_")
        unit = words.get(metric.unit)
        made += f"_{unit}" if unit and not made.endswith(unit) else ""
        assert name == made + ("_total" if metric.kind is _metrics.Kind.COUNTER else "")


def test_the_table_of_alerts_is_the_file_s() -> None:
    """docs/metrics.rst lists exactly the alerts of the file, with their severity and the minutes that they wait."""
    rows = re.findall(r"^``(CometChat\w+)`` +(.+?) +(critical|warning)$", PAGE.read_text(encoding="utf-8"), re.M)
    rules = re.findall(
        r"- alert: (\w+)\n +expr: (.+)\n(?: +for: (\w+)\n)? +labels:\n +severity: (\w+)$",
        ALERTS.read_text(encoding="utf-8"),
        re.M,
    )
    assert [(name, severity) for name, _, severity in rows] == [(name, severity) for name, _, _, severity in rules]
    for (_, text, _), (_, query, wait, _) in zip(rows, rules):
        minutes = [wait] if wait else re.findall(r"\[(\w+)\]", query)
        assert minutes[0].rstrip("m") in text.replace("a minute", "1 minutes").split(), text


@pytest.mark.usefixtures("facade")
def test_the_program_for_prometheus(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first program of docs/metrics.rst serves the shared client's numbers."""
    served: List[Any] = []

    def serve(port: int) -> None:
        assert port == 8000
        served.append(prometheus_client.generate_latest().decode())

    monkeypatch.setattr(prometheus_client, "start_http_server", serve)
    account = "sandbox.app_id, sandbox.settings()"
    text = programs("metrics.rst")[0].replace('"APP_ID", AppSettings(region="us")', account)
    assert "sandbox.settings()" in text
    try:
        exec(text, {"sandbox": sandbox})
        assert 'cometchat_connection_status{client="default",status="disconnected"} 1.0' in served[0]
        CometChat.login("cometchat-uid-1", sandbox.auth_key)
        CometChat.connect(DEADLINE)
        assert 'status="connected"} 1.0' in prometheus_client.generate_latest().decode()
    finally:
        unregister()


@pytest.mark.usefixtures("facade")
def test_the_program_for_opentelemetry() -> None:
    """The second program of docs/metrics.rst runs without an SDK, and its handle can be closed."""
    names: Dict[str, Any] = {}
    exec(programs("metrics.rst")[1], names)
    names["handle"].close()


APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""


def scraped(port: int) -> str:
    """Return the answer of a worker's port. Empty if no server listens, or if it does not use HTTP."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE) as answer:
            return str(answer.read().decode())
    except (OSError, http.client.HTTPException):
        return ""


@pytest.mark.parametrize("multiprocess", [False, True])
def test_the_program_for_gunicorn(tmp_path: Path, multiprocess: bool) -> None:
    """With the hook of docs/metrics.rst, two real workers of gunicorn serve their numbers, each on a separate port."""
    pytest.importorskip("gunicorn")
    first = unused_port()
    text = programs("metrics.rst")[2]
    assert "range(9100, 9200)" in text
    conf = text.replace("range(9100, 9200)", f"range({first}, {first + 100})")
    (tmp_path / "gunicorn.conf.py").write_text(conf, encoding="utf-8")
    (tmp_path / "app.py").write_text(APPLICATION, encoding="utf-8")
    environment = {**os.environ, **({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if multiprocess else {})}
    command = [sys.executable, "-m", "gunicorn", "-w", "2", "-b", f"unix:{tmp_path}/s", "app"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log)
    try:
        found = eventually(
            lambda: [p for p in range(first, first + 10) if "cometchat_connects_total" in scraped(p)][1:], 30
        )
        assert found, (tmp_path / "log").read_text(encoding="utf-8")
    finally:
        process.terminate()
        process.wait(DEADLINE)


# The real Prometheus's tool, if it is installed.

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: Debian's package prometheus")

#: One process after another gets into the state of an alert. Each alert must fire then, and not before.
RULES_TEST = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'cometchat_connection_status{{job="j",instance="up",client="c",status="connected"}}'
        values: '1x60'
      - series: 'cometchat_connection_status{{job="j",instance="away",client="c",status="connected"}}'
        values: '1x9 0x50'
      - series: 'cometchat_connection_status{{job="j",instance="refused",client="c",status="disconnected"}}'
        values: '0x9 1x50'
      - series: 'cometchat_last_error_timestamp_seconds{{job="j",instance="refused",client="c"}}'
        values: '_x9 600x50'
      - series: 'cometchat_drops_total{{job="j",instance="flaps",client="c",code="WS_CONNECTION_FAIL"}}'
        values: '0x9 0+1x50'
      - series: 'cometchat_drops_total{{job="j",instance="up",client="c",code="WS_CONNECTION_FAIL"}}'
        values: '0x9 1x50'
      - series: 'cometchat_connection_status{{job="j",instance="slow",client="c",status="featureThrottled"}}'
        values: '1x60'
      - series: 'cometchat_ping_time_seconds_total{{job="j",instance="slow",client="c"}}'
        values: '0+8x60'
      - series: 'cometchat_pings_total{{job="j",instance="slow",client="c"}}'
        values: '0+4x60'
      - series: 'cometchat_events_dropped_total{{job="j",instance="slow",client="c"}}'
        values: '0x9 5x50'
    promql_expr_test:
      - expr: count by (alertname, instance) (ALERTS{{alertstate="firing"}})
        eval_time: 8m
        exp_samples: []
      - expr: count by (alertname, instance) (ALERTS{{alertstate="firing"}})
        eval_time: 19m
        exp_samples:
          - {{labels: '{{alertname="CometChatDisconnected",instance="away"}}', value: 1}}
          - {{labels: '{{alertname="CometChatGaveUp",instance="refused"}}', value: 1}}
          - {{labels: '{{alertname="CometChatFlapping",instance="flaps"}}', value: 1}}
          - {{labels: '{{alertname="CometChatThrottled",instance="slow"}}', value: 1}}
          - {{labels: '{{alertname="CometChatSlowPings",instance="slow"}}', value: 1}}
          - {{labels: '{{alertname="CometChatEventsDropped",instance="slow"}}', value: 1}}
  - interval: 1m
    input_series: []
    promql_expr_test:
      - expr: count by (alertname) (ALERTS{{alertstate="firing"}})
        eval_time: 10m
        exp_samples:
          - {{labels: '{{alertname="CometChatNotMeasured"}}', value: 1}}
"""


@needs_promtool
def test_each_alert_fires_when_it_has_to(tmp_path: Path) -> None:
    """Prometheus's own tool runs an hour of the rules. Each alert fires for its process, and for no other."""
    (tmp_path / "test.yml").write_text(textwrap.dedent(RULES_TEST.format(rules=json.dumps(str(ALERTS)))))
    ended = subprocess.run(
        [str(PROMTOOL), "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
