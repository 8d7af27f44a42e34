//! The shapes of what is kept as JSON. An older saoma reads a name that it does not know as if it were not there, and the
//! schema's number alone keeps it away from what a newer one wrote.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::contract::{NOW, approval, identity};
use crate::{site::Site, tickets::contract::ticket};

fn names(value: &Value, at: &str, all: &mut BTreeSet<String>) {
    let Some(fields) = value.as_object() else { return };
    for (name, value) in fields {
        all.insert(format!("{at}.{name}"));
        names(value, &format!("{at}.{name}"), all);
    }
}

#[test]
fn who_changes_the_shape_of_what_is_kept_adds_a_step_to_the_schema() {
    let site = json!({ "id": "blog", "name": "Blog", "redirect_uris": [] });
    let site: Site = serde_json::from_value(site).unwrap();
    let decision = approval("one", &identity("wx1", "ann", None)).decision;
    let mut all = BTreeSet::new();
    names(&serde_json::to_value(site).unwrap(), "site", &mut all);
    names(&serde_json::to_value(ticket("one", NOW)).unwrap(), "ticket", &mut all);
    names(&serde_json::to_value(decision).unwrap(), "decision", &mut all);
    let frozen: BTreeSet<_> = include_str!("shapes.txt").lines().map(ToOwned::to_owned).collect();
    let changed: Vec<_> = all.symmetric_difference(&frozen).collect();
    assert!(
        changed.is_empty(),
        "what is kept has another shape: add a step to both schemas, if only a comment, so that an older saoma refuses what \
         it would misread; then change these lines of shapes.txt: {changed:?}"
    );
}
