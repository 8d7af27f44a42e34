use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    config::EnvVersion,
    grant::Scopes,
    risk::{Ask, Entry},
    ticket::{Kind, Verdict},
    world::Timestamp,
};

/// Every metric with its type and the names of its labels, with each of them shown once.
fn exposed() -> (BTreeMap<String, (String, BTreeSet<String>)>, String) {
    let (limits, store, upstream) = (Hits::default(), Times::default(), Upstream::default());
    let metrics = Metrics::new(&limits, &store, &upstream);
    limits.hit("sockets");
    store.took("read", Duration::from_millis(1));
    let path = || label("path", "/wxa/getwxacode");
    upstream.calls.get_or_create(&[path()]).observe(0.2);
    upstream.errors.get_or_create(&[path(), label("error", "40001")]).inc();
    let (sign_ins, now) = (&metrics.sign_ins, Timestamp::from_millis(0));
    sign_ins.opened("blog", Kind::Page, now);
    sign_ins.renewed("blog", now, now);
    sign_ins.scanned(Entry::Live, Ask::Tap);
    let approved = Verdict::Approved { scopes: Scopes::parse("openid"), remember: false };
    sign_ins.decided("blog", &approved, [now, now], now);
    sign_ins.told(Duration::from_micros(80));
    sign_ins.issued("authorization_code");
    metrics.refused("no_such_ticket");
    metrics.answered("GET", "/healthz", "2xx", Duration::from_millis(1));
    metrics.told_of_logout("told");
    metrics.tidied("prune", now);
    let now = Now {
        waiting_pages: 3,
        tickets_held: Some(4),
        connections: (5, 9),
        codes: [(EnvVersion::Release, 0), (EnvVersion::Trial, 16)].into(),
        codes_wanted: 16,
        token: wechat::TokenStatus { present: true, age: None, left: None, last_error: None },
        quota: wechat::QuotaUse {
            unlimited_last_minute: 7,
            for_ever_last_minute: 0,
            for_ever_asked: 0,
            for_ever_used: None,
        },
        store: true,
        moved_on: None,
    };
    let text = metrics.text(&now).unwrap();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            found.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((name, rest)) = line.split_once('{') {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            let name = name.strip_suffix("_sum").or(name.strip_suffix("_count")).unwrap_or(name);
            let labels = rest.split_once('}').unwrap().0.split("\",");
            let labels = labels.map(|label| label.split_once('=').unwrap().0.to_owned());
            found.get_mut(name).unwrap().1.extend(labels.filter(|label| label != "le"));
        }
    }
    (found, text)
}

#[test]
fn the_pages_name_every_metric_with_its_type_and_labels_and_no_other() {
    let (found, _) = exposed();
    assert_eq!(found, told(include_str!("../../../docs/metrics.md")), "docs/metrics.md differs");
    let chinese = told(include_str!("../../../docs/metrics.zh-CN.md"));
    assert_eq!(found, chinese, "docs/metrics.zh-CN.md differs");
}

/// What a page's table says of each metric.
fn told(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = page.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.map(|row| {
        let labels = row[3].split([',', '、']).map(|label| label.trim().trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty()).map(ToOwned::to_owned).collect();
        (row[1].trim_matches('`').to_owned(), (row[2].clone(), labels))
    })
    .collect()
}

#[test]
fn what_has_not_happened_yet_is_zero_and_counts_add_up() {
    let (_, text) = exposed();
    for line in [
        "saoma_sign_ins_total{outcome=\"approved\"} 1",
        "saoma_sign_ins_total{outcome=\"expired\"} 0",
        "saoma_site_sign_ins_total{site=\"blog\"} 1",
        "saoma_step_seconds_count{step=\"scan\"} 0",
        "saoma_tickets_opened_total{kind=\"device\"} 0",
        "saoma_logouts_total{outcome=\"told\"} 1",
        "saoma_logouts_total{outcome=\"failed\"} 0",
        "saoma_logouts_total{outcome=\"given_up\"} 0",
        "saoma_waiting_pages 3",
        "saoma_connections_max 9",
        "saoma_codes_ready{version=\"release\"} 0",
        "saoma_codes_ready{version=\"trial\"} 16",
        "saoma_codes_wanted{version=\"release\"} 16",
        "saoma_ready{part=\"wechat\"} 1",
        "saoma_http_request_seconds_count{method=\"GET\",route=\"/healthz\",status=\"2xx\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
}
