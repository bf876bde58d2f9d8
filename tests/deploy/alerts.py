"""The alerts: every one has numbers on which it fires and such on which it does not, and says what to do."""

import json
import re
import subprocess

import yaml

from house import ROOT, TOOLS, check, settings

RULES = ROOT / "deploy/prometheus/slidecar.rules.yaml"
ANNOTATIONS = ("summary", "description", "setting", "runbook")
TARGET = {"job": "legacy", "namespace": "shop"}


def alerts():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def series(name, values):
    """The series with the labels of a target, unless it names them itself."""
    check(isinstance(values, str), f"{name}: put {values} into quotes, YAML reads a number there")
    metric, _, labels = name.partition("{")
    pairs = [pair for pair in labels.rstrip("}").split(",") if pair]
    for label, value in {**TARGET, "instance": "a"}.items():
        if not any(pair.startswith(f"{label}=") for pair in pairs):
            pairs.append(f'{label}="{value}"')
    return {"series": f"{metric}{{{','.join(pairs)}}}", "values": values}


def promtool_test(name, rule, case, fires):
    expected = {
        "exp_labels": {**TARGET, **case.get("labels", {}), **rule["labels"]},
        "exp_annotations": rule["annotations"],
    }
    return {
        "name": f"{name} {'fires' if fires else 'keeps silent'}",
        "interval": "1m",
        "input_series": [series(*pair) for pair in case["series"].items()],
        "alert_rule_test": [{"eval_time": case["at"], "alertname": name, "exp_alerts": [expected] if fires else []}],
    }


def promtool(*arguments):
    done = subprocess.run([TOOLS / "promtool", *map(str, arguments)], capture_output=True, text=True)
    check(done.returncode == 0, f"promtool {' '.join(map(str, arguments))}:\n{done.stdout}{done.stderr}")


def run(work):
    rules, cases = alerts(), yaml.safe_load((ROOT / "tests/deploy/alerts.yaml").read_text())
    promtool("check", "rules", RULES)
    check(set(rules) == set(cases), f"alerts without cases, or cases without an alert: {sorted(set(rules) ^ set(cases))}")
    for name, rule in rules.items():
        missing = [word for word in ANNOTATIONS if not rule["annotations"].get(word)]
        check(not missing, f"{name} does not say its {missing}")
        check(rule["labels"]["severity"] in ("critical", "warning", "info"), f"{name} has no known severity")
        named = set(re.findall(r"\b(?:JWT|SESSION|SLIDECAR)_[A-Z_]*[A-Z]\b", " ".join(rule["annotations"].values())))
        check(named <= settings(), f"{name} names settings that there are not: {sorted(named - settings())}")
    tests = [promtool_test(name, rules[name], cases[name][kind], kind == "fires") for name in rules for kind in ("fires", "silent")]
    path = work / "alerts.test.yaml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", path)
    return f"{len(rules)} alerts fire and keep silent"
