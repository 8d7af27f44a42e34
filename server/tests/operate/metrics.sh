#!/usr/bin/env bash
# The metrics, the alert rules and the dashboard, held against Debian's Prometheus: promtool reads all of them, and a real
# Prometheus scrapes a real saoma and answers every question that the dashboard and the rules ask.
set -euo pipefail
cd "$(dirname "$0")/../../.."
# shellcheck source=server/tests/operate/stage.sh
. server/tests/operate/stage.sh
packages prometheus curl python3

promtool check rules examples/alerts.yml
promtool test rules examples/alerts.test.yml

stage
saoma_serves

curl -sf "$operators/metrics" > "$folder/metrics.txt"
promtool check metrics < "$folder/metrics.txt"
[ "$(curl -s -o "$folder/none" -w '%{http_code}' "$public/metrics")" = 404 ] || fail "/metrics is on the public listener"

cat > "$folder/prometheus.yml" <<YAML
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: ["$PWD/examples/alerts.yml"]
scrape_configs:
  - job_name: saoma
    static_configs: [{ targets: ["${operators#http://}"] }]
YAML
promtool check config "$folder/prometheus.yml"
run prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/tsdb" \
    --web.listen-address=127.0.0.1:9391 --log.level=warn

python3 - "$folder/metrics.txt" <<'PYTHON'
import json, re, sys, time, urllib.parse, urllib.request

def ask(path, **query):
    url = "http://127.0.0.1:9391/api/v1/" + path + "?" + urllib.parse.urlencode(query)
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)["data"]

for _ in range(100):
    try:
        up = ask("query", query='up{job="saoma"}')["result"]
        if up and up[0]["value"][1] == "1":
            break
    except OSError:
        pass
    time.sleep(0.3)
else:
    sys.exit("Prometheus does not scrape saoma")

page = open("docs/metrics.md").read()
named = {name.removesuffix("_total") for name in re.findall(r"^\| `(\w+)` ", page, re.M)}
board = json.load(open("examples/grafana-dashboard.json"))
questions = [t["expr"] for p in board["panels"] for t in p.get("targets", [])]
rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
if len(rules) < 10 or any(rule["health"] == "err" for rule in rules):
    sys.exit(f"rules that do not work: {rules}")
questions += [rule["query"] for rule in rules]
answered = 0
for question in questions:
    for name in re.findall(r"\b(?:saoma|process)_\w+", question):
        for end in ("_bucket", "_count", "_sum", "_total"):
            name = name.removesuffix(end)
        if name not in named:
            sys.exit(f"{name} is no metric of docs/metrics.md: {question}")
    question = question.replace("$__rate_interval", "1m").replace("$instance", ".*")
    answered += bool(ask("query", query=question)["result"])
print(f"{len(questions)} questions, {answered} of them with an answer; {len(rules)} rules; 1 passed, 0 failed")
PYTHON
