"""The parts of deploy/lint that need more than a command line: the Helm chart and the Grafana dashboards.

usage: lint.py chart FOLDER | dashboards FOLDER | metrics FILE...
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent

# Values that reach every branch of the templates.
VALUES = {
    "default": {},
    "everything": {
        "imagePullSecrets": [{"name": "registry"}],
        "env": [{"name": "FLAGGATE__SERVER__WORKERS", "value": "2"}],
        "extraVolumes": [{"name": "secrets", "secret": {"secretName": "redis"}}],
        "extraVolumeMounts": [{"name": "secrets", "mountPath": "/secrets", "readOnly": True}],
        "service": {"annotations": {"a": "b"}},
        "autoscaling": {"enabled": True},
        "metrics": {"remoteWriteUrl": "http://prometheus:9090/api/v1/write"},
        "serviceAccount": {"annotations": {"a": "b"}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "nodeSelector": {"e": "f"},
        "tolerations": [{"key": "g", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    },
    "one": {
        "replicas": 1,
        "data": {"existingClaim": "flaggate"},
        "podDisruptionBudget": {"enabled": False},
        "serviceAccount": {"create": False},
    },
}
REFUSED = {"replica": 1, "data": {"existingClaim": "of-two-replicas"}, "config": "", "service": {"port": 0}, "metrics": {"remoteWriteUrl": "prometheus"}}


def chart(out: Path) -> None:
    """Lints and renders the chart, with each of VALUES into a folder, and tries values that it must refuse."""
    import helm_python as helm
    import yaml

    path = HERE / "helm/flaggate"
    with helm.Chart.load(path) as loaded:
        for name, values in VALUES.items():
            report = helm.lint(path, values, strict=True)
            wrong = [message for message in report["messages"] if message["severity"] >= 2]
            if wrong or report["errors"]:
                sys.exit(f"{name}: {wrong or report['errors']}")
            loaded.validate_schema(loaded.merge_values(values))
            folder = out / name
            folder.mkdir(parents=True, exist_ok=True)
            for template, text in loaded.render(values, name="flaggate", namespace="shop").items():
                if template.endswith(".yaml") and text.strip():
                    (folder / Path(template).name).write_text(text)
            for file, text in yaml.safe_load((folder / "configmap.yaml").read_text())["data"].items():
                (folder / "files").mkdir(exist_ok=True)
                (folder / "files" / file).write_text(text)
        for key, value in REFUSED.items():
            try:
                loaded.validate_schema(loaded.merge_values({key: value}))
                loaded.render({key: value})
            except helm.HelmError:
                continue
            sys.exit(f"the chart takes {key}: {value!r}")


def dashboards(out: Path) -> None:
    """Writes the dashboards' expressions as a file of rules, for promtool."""
    rules = []
    for file in sorted((HERE / "grafana").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                rules.append({"record": f"{file.stem}:{panel['id']}:{target['refId']}",
                              "expr": target["expr"].replace("$__rate_interval", "5m")})
    if not rules:
        sys.exit("no dashboard has an expression")
    out.mkdir(parents=True, exist_ok=True)
    (out / "dashboards.yml").write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))


def metrics(files: list[Path]) -> None:
    """Finds metrics that the sources do not name."""
    sources = "".join(path.read_text() for path in (HERE.parent / "src").rglob("*.rs"))
    known = set(re.findall(r'"(flaggate_[a-z_]+)"', sources))
    for file in files:
        for name in sorted(set(re.findall(r"\bflaggate_[a-z_]+", file.read_text()))):
            if name not in known and re.sub(r"_(bucket|count|sum)$", "", name) not in known:
                sys.exit(f"{file}: the sources have no metric {name}")


if __name__ == "__main__":
    what, *paths = sys.argv[1:]
    if what == "metrics":
        metrics([Path(path) for path in paths])
    else:
        {"chart": chart, "dashboards": dashboards}[what](Path(paths[0]))
