"""The dashboard: every query is PromQL, and every place on its grid is taken once."""

import json

from alerts import promtool
from house import ROOT, check

# What Grafana puts in their place.
VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$namespace": ".*", "$instance": ".*"}


def dashboard():
    return json.loads((ROOT / "deploy/grafana/slidecar.json").read_text())


def queries():
    """(title of the panel, expression with the variables filled in), for all panels."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            check("$" not in expression, f"the panel {panel['title']!r} uses a variable that the dashboard has not: {expression}")
            yield panel["title"], expression


def run(work):
    found = list(queries())
    rules = [{"record": f"panel:{number}", "expr": expression} for number, (_, expression) in enumerate(found)]
    path = work / "panels.rules.yaml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", path)

    board = dashboard()
    check(board["schemaVersion"] >= 39 and board["uid"] == "slidecar", "the dashboard has no current form")
    variables = {variable["name"] for variable in board["templating"]["list"]}
    check({"datasource", "job", "namespace", "instance"} == variables, f"the dashboard has the variables {sorted(variables)}")
    taken, ids = set(), set()
    for panel in board["panels"]:
        check(panel["type"] == "row" or panel["description"], f"the panel {panel['title']!r} does not say what it means")
        check(panel["id"] not in ids, f"two panels have the number {panel['id']}")
        ids.add(panel["id"])
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        check(not cells & taken and place["x"] + place["w"] <= 24, f"the panel {panel['title']!r} lies over another or over the edge")
        taken |= cells
    return f"{len(ids)} panels and rows, {len(found)} queries"
