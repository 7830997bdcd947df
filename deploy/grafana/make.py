#!/usr/bin/env python3
"""Writes the dashboards beside it: `make.py`. `make.py --check` fails where they are not what it writes."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GATEWAY = 'instance=~"$instance"'
ROUTE = GATEWAY + ', route=~"$route"'
FLAG = GATEWAY + ', flag=~"$flag"'
FAILED = ', code_class="5xx"'


def rate(metric, labels):
    return f"rate({metric}{{{labels}}}[$__rate_interval])"


def quantiles(metric, by, labels):
    """p50, p95 and p99 of a histogram."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return [(f"histogram_quantile({share}, sum by (le, {by}) ({rate(metric + '_bucket', labels)}))", f"{legend} {name}".strip())
            for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]


def total(metric, by, labels, legend=None):
    """How much of each a second."""
    return [(f"sum by ({by}) ({rate(metric, labels)})", legend or " ".join(f"{{{{{label}}}}}" for label in by.split(", ")))]


def share(metric, part, by, labels, legend):
    return [(f"sum by ({by}) ({rate(metric, part + ', ' + labels)}) / sum by ({by}) ({rate(metric, labels)})", legend)]


def panel(kind, title, expressions, width, height, description, options, defaults):
    targets = [{"refId": chr(ord("A") + number), "datasource": SOURCE, "editorMode": "code", "expr": expression,
                "legendFormat": legend, **({"instant": True, "range": False} if kind == "stat" else {"range": True})}
               for number, (expression, legend) in enumerate(expressions)]
    return {"type": kind, "title": title, "description": description, "datasource": SOURCE, "targets": targets,
            "options": options, "fieldConfig": {"defaults": defaults, "overrides": []}, "size": (width, height)}


def named(values):
    """Numbers that are told in words: `{0: ("down", "red")}`."""
    words = {str(number): {"text": text, "color": color, "index": index}
             for index, (number, (text, color)) in enumerate(values.items())}
    steps = [{"color": color, "value": number or None} for number, (_, color) in sorted(values.items())]
    return {"mappings": [{"type": "value", "options": words}], "thresholds": {"mode": "absolute", "steps": steps}}


def stat(title, expression, legend="", unit="none", words=None, bad_from=None, description=""):
    if words:
        told = named(words)
    else:
        steps = [{"color": "text" if bad_from is None else "green", "value": None}]
        steps += [] if bad_from is None else [{"color": "red", "value": bad_from}]
        told = {"mappings": [], "thresholds": {"mode": "absolute", "steps": steps}}
    options = {"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto",
               "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return panel("stat", title, [(expression, legend)], 4, 4, description, options,
                 {"unit": unit, "color": {"mode": "thresholds"}, **told})


def series(title, expressions, unit="none", stacked=False, description="", width=12):
    options = {"legend": {"displayMode": "table", "placement": "right", "showLegend": True, "calcs": ["lastNotNull"]},
               "tooltip": {"mode": "multi", "sort": "desc"}}
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if stacked else 5, "showPoints": "never",
              "spanNulls": False, "stacking": {"mode": "normal" if stacked else "none", "group": "A"}}
    return panel("timeseries", title, expressions, width, 8, description, options,
                 {"unit": unit, "min": 0, "color": {"mode": "palette-classic"}, "custom": custom})


def timeline(title, expressions, words, description="", height=8):
    options = {"mergeValues": True, "showValue": "never", "alignValue": "left", "rowHeight": 0.9,
               "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
               "tooltip": {"mode": "single", "sort": "none"}}
    return panel("state-timeline", title, expressions, 24, height, description, options,
                 {"color": {"mode": "thresholds"}, "custom": {"fillOpacity": 70, "lineWidth": 0}, **named(words)})


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "size": (24, 1)}


def variable(name, label, metric):
    query = f"label_values({metric}, {name})"
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "definition": query,
            "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "includeAll": True, "multi": True,
            "allValue": ".*", "current": {"text": "All", "value": "$__all"}, "options": [], "hide": 0, "regex": "",
            "skipUrlSync": False}


INSTANCE = variable("instance", "Gateway", "flaggate_build_info")


def dashboard(name, title, variables, panels):
    x = y = tallest = 0
    for number, one in enumerate(panels, 1):
        width, height = one.pop("size")
        if x + width > 24:
            x, y, tallest = 0, y + tallest, 0
        one["id"], one["gridPos"] = number, {"h": height, "w": width, "x": x, "y": y}
        x, tallest = x + width, max(tallest, height)
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {},
              "hide": 0, "includeAll": False, "multi": False, "options": [], "refresh": 1, "regex": "", "skipUrlSync": False}
    links = [{"type": "dashboards", "title": "flaggate", "tags": ["flaggate"], "asDropdown": True, "includeVars": True,
              "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}]
    return name, {"uid": f"flaggate-{name}", "title": f"flaggate: {title}", "tags": ["flaggate"], "schemaVersion": 39,
                  "version": 1, "editable": True, "graphTooltip": 1, "timezone": "browser", "refresh": "10s",
                  "time": {"from": "now-30m", "to": "now"}, "annotations": {"list": []}, "links": links,
                  "templating": {"list": [source, INSTANCE, *variables]}, "panels": panels}


UP = {0: ("down", "red"), 1: ("up", "green")}
HEALTHY = {0: ("unhealthy", "red"), 1: ("healthy", "green")}
QUIET = {0: ("idle", "green"), 1: ("active", "red")}

GATEWAYS = dashboard("gateway", "gateways and routes", [variable("route", "Route", "flaggate_requests_total")], [
    row("Now"),
    stat("Requests", f"sum({rate('flaggate_requests_total', ROUTE)})", unit="reqps"),
    stat("Answered with 5xx", f"sum({rate('flaggate_requests_total', ROUTE + FAILED)}) / sum({rate('flaggate_requests_total', ROUTE)}) or vector(0)",
         unit="percentunit", bad_from=0.05),
    stat("p99", f"histogram_quantile(0.99, sum by (le) ({rate('flaggate_request_duration_seconds_bucket', ROUTE)}))", unit="s"),
    stat("In flight", f"sum(flaggate_requests_in_flight{{{GATEWAY}}})"),
    stat("Unhealthy endpoints", f"count(flaggate_upstream_endpoint_healthy{{{GATEWAY}}} == 0) or vector(0)", bad_from=1),
    stat("Version", f"count by (version) (flaggate_build_info{{{GATEWAY}}})", "{{version}}"),
    row("Requests"),
    series("Requests by route", total("flaggate_requests_total", "route", ROUTE), "reqps", stacked=True),
    series("Requests by strategy", total("flaggate_requests_total", "strategy", ROUTE), "reqps", stacked=True),
    series("Requests by upstream", total("flaggate_requests_total", "upstream", ROUTE), "reqps", stacked=True),
    series("5xx by upstream", share("flaggate_requests_total", 'code_class="5xx"', "upstream", ROUTE, "{{upstream}}"), "percentunit"),
    series("Requests by class of status", total("flaggate_requests_total", "code_class", ROUTE), "reqps", stacked=True,
           description="none: the client went away before there was an answer."),
    series("Requests in flight", [(f"flaggate_requests_in_flight{{{GATEWAY}}}", "{{instance}}")]),
    row("Time"),
    series("Duration by route", quantiles("flaggate_request_duration_seconds", "route", ROUTE), "s"),
    series("Time to the response's header, by upstream", quantiles("flaggate_upstream_duration_seconds", "upstream", GATEWAY), "s"),
    row("Endpoints, profiles, configuration"),
    timeline("Health of endpoints", [(f"flaggate_upstream_endpoint_healthy{{{GATEWAY}}}", "{{upstream}} {{endpoint}} ({{instance}})")],
             HEALTHY, "As each gateway sees it."),
    series("Look-ups of profiles", total("flaggate_profile_lookups_total", "result", GATEWAY), "ops", stacked=True,
           description="unavailable: no answer in time, so flags were evaluated without the profile."),
    series("Access lines dropped", total("flaggate_access_log_dropped_total", "instance", GATEWAY), "ops",
           description="The log is written too slowly."),
    series("Readings of the configuration", [(f"sum by (result) (increase(flaggate_config_reloads_total{{{GATEWAY}}}[$__rate_interval]))", "{{result}}")]),
])

FLAGS = dashboard("flags", "flags and variations", [variable("flag", "Flag", "flaggate_flag_evaluations_total")], [
    row("What is given"),
    series("Evaluations by flag and variation", total("flaggate_flag_evaluations_total", "flag, variation", FLAG, "{{flag}} = {{variation}}"), "ops", stacked=True),
    series("Evaluations by reason", total("flaggate_flag_evaluations_total", "reason", FLAG), "ops", stacked=True),
    row("Rate, errors and duration of each variation"),
    series("Requests", total("flaggate_variation_requests_total", "flag, variation", FLAG, "{{flag}} = {{variation}}"), "reqps", stacked=True, width=8),
    series("Answered with 5xx", share("flaggate_variation_requests_total", 'code_class="5xx"', "flag, variation", FLAG, "{{flag}} = {{variation}}"),
           "percentunit", width=8),
    series("p95", [(f"histogram_quantile(0.95, sum by (le, flag, variation) ({rate('flaggate_variation_duration_seconds_bucket', FLAG)}))",
                    "{{flag}} = {{variation}}")], "s", width=8, description="Of the requests that say something of the upstream."),
    series("Requests by class of status", total("flaggate_variation_requests_total", "flag, variation, code_class", FLAG, "{{flag}} = {{variation}}: {{code_class}}"),
           "reqps", stacked=True, width=24),
    row("Segments"),
    series("Users who enter and leave", total("flaggate_segment_moves_total", "segment, change", GATEWAY), "ops"),
])

DELIVERY = dashboard("delivery", "deployments and kill switches", [], [
    row("Now"),
    stat("Stages that run", 'count(max by (deployment, stage) (flaggate_deployment_stage{state="running"}) == 1) or vector(0)'),
    stat("Active kill switches", "count(max by (switch) (flaggate_kill_switch_active) == 1) or vector(0)", bad_from=1),
    stat("Rollbacks", 'sum(increase(flaggate_deployment_rollbacks_total[1h])) or vector(0)', bad_from=1, description="Within the last hour."),
    row("Deployments"),
    timeline("Stages", [('max by (deployment, stage, state) (flaggate_deployment_stage) == 1', "{{deployment}}: {{stage}} {{state}}")],
             {0: ("", "transparent"), 1: ("in this state", "blue")}),
    series("How long stages took", [("max by (deployment, stage) (flaggate_deployment_stage_duration_seconds)", "{{deployment}}: {{stage}}")], "s"),
    series("Rollbacks by stage and reason", [("sum by (stage, reason) (increase(flaggate_deployment_rollbacks_total[$__rate_interval]))", "{{stage}}: {{reason}}")]),
    row("Kill switches"),
    timeline("Active", [("max by (switch) (flaggate_kill_switch_active)", "{{switch}}")], QUIET),
    series("Activations", [("max by (switch) (flaggate_kill_switch_activations_total)", "{{switch}}")]),
    series("Evaluations that were killed", total("flaggate_flag_evaluations_total", "flag", GATEWAY + ', reason="killed"'), "ops", stacked=True),
    row("Copies"),
    series("Copies of requests by what became of them", total("flaggate_mirror_requests_total", "route, upstream, result", GATEWAY), "reqps", stacked=True),
    series("Time to a copy's answer", quantiles("flaggate_mirror_duration_seconds", "upstream", GATEWAY), "s"),
    row("Who is told"),
    series("Notifications", total("flaggate_notifications_total", "result", GATEWAY), "ops"),
])

STORE = dashboard("store", "store and sync", [], [
    row("Now"),
    stat("Store", f"min(flaggate_store_up{{{GATEWAY}}})", words=UP),
    stat("Refused", f"max(flaggate_store_refused{{{GATEWAY}}})", words={0: ("no", "green"), 1: ("yes", "red")},
         description="The store is empty or older than what is served."),
    stat("Revision", f"flaggate_snapshot_revision{{{GATEWAY}}}", "{{instance}}",
         description="Gateways of one store serve the same revision, but for a moment."),
    stat("Flags", f"max(flaggate_snapshot_flags{{{GATEWAY}}})"),
    stat("Faults of documents", f"sum(flaggate_diagnostics{{{GATEWAY}}}) or vector(0)", bad_from=1),
    stat("Age of the snapshot", f"flaggate_snapshot_age_seconds{{{GATEWAY}}}", "{{instance}}", unit="s",
         description="Time since the last change was applied; it grows while no flag changes."),
    row("Changes"),
    series("Revision", [(f"flaggate_snapshot_revision{{{GATEWAY}}}", "{{instance}}")]),
    series("Behind the store for", [(f"flaggate_snapshot_stale_seconds{{{GATEWAY}}}", "{{instance}}")], "s"),
    series("Written → served", quantiles("flaggate_propagation_seconds", "instance", GATEWAY), "s",
           description="By the clocks of the writer and of the gateway."),
    series("Compiled and published in", quantiles("flaggate_snapshot_apply_seconds", "instance", GATEWAY), "s"),
    row("Store"),
    timeline("Store up", [(f"flaggate_store_up{{{GATEWAY}}}", "{{instance}}")], UP, height=6),
    series("Questions without an answer", total("flaggate_store_errors_total", "op", GATEWAY), "ops", stacked=True),
    series("Requests whose counts were given up", total("flaggate_counts_dropped_total", "instance", GATEWAY), "reqps",
           description="The store did not take the counts within a minute."),
])


def main():
    wrong = []
    for name, content in (GATEWAYS, FLAGS, DELIVERY, STORE):
        file, text = HERE / f"{name}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            wrong.append(f"{file} is not what {__file__} writes")
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
